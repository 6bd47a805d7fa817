"""Calls: one line for each, with its legs folded into it, or each leg on a line of its own under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from switchcast.app.cli.facts import short_duration, short_uuid
from switchcast.app.cli.views.kinds import ViewKind, age, by_state, count_of, said, trusted
from switchcast.app.cli.views.table import Column, Row

__all__ = ["CALLS", "legs_of"]

_STATES: Final = {
    "active": "green",
    "ringing": "yellow",
    "early": "yellow",
    "held": "magenta",
    "parked": "magenta",
    "hangup": "dim",
    "down": "dim",
}


def legs_of(row: Row) -> Sequence[Mapping[str, Any]]:
    """The legs of a call, as it tells them: the one that began it first."""
    legs = row.get("legs")
    return legs if isinstance(legs, list | tuple) else ()


def _is_leg(row: Row) -> bool:
    return "uuid" in row


def _first(row: Row) -> Mapping[str, Any]:
    """The leg that tells who calls whom: the first that came in, else the first."""
    legs = legs_of(row)
    return next((leg for leg in legs if leg.get("direction") == "inbound"), legs[0] if legs else {})


def _known_by(row: Row, _: float) -> str:
    return short_uuid(said(row, "uuid" if _is_leg(row) else "id"))


def _caller(row: Row, _: float) -> str:
    leg = row if _is_leg(row) else _first(row)
    number, name = said(leg, "from_number"), said(leg, "from_name")
    caller = name if number in name.split() else f"{name} {number}".strip() or said(leg, "user")
    return f"{row.get('branch', '')}{caller}"


def _called(row: Row, _: float) -> str:
    return said(row if _is_leg(row) else _first(row), "to_number")


def _talking(row: Row, _: float) -> str:
    """How long since somebody answered; of a leg, since it was answered itself."""
    if not _is_leg(row):
        return short_duration(row["talking"]) if row.get("talking") else ""
    if row.get("answered") is None:
        return ""
    return short_duration(max(0.0, (row.get("created") or 0.0) + (row.get("duration") or 0.0) - row["answered"]))


def _peer(row: Row, _: float) -> str:
    """Whom the caller speaks with: the other leg's user, where it is another than was dialled."""
    if _is_leg(row):
        return short_uuid(said(row, "bridged_to"))
    first = _first(row)
    others = [leg for leg in legs_of(row) if leg.get("uuid") == first.get("bridged_to")]
    names = [said(leg, "user") or said(leg, "to_number") for leg in others]
    return ", ".join(name for name in names if name and name.partition("@")[0] != said(first, "to_number"))


def _legs(row: Row, _: float) -> str:
    """How many; of a leg, whether it came in or went out."""
    return said(row, "direction").removesuffix("bound") if _is_leg(row) else f"{len(legs_of(row)):,}"


def _codec(row: Row, _: float) -> str:
    leg = row if _is_leg(row) else _first(row)
    read, write = said(leg, "codec_read"), said(leg, "codec_write")
    return read if read == write or not write else f"{read or '?'} ⇄ {write}"


def _quality(row: Row, _: float) -> str:
    legs = [row] if _is_leg(row) else legs_of(row)
    found = [leg["quality"]["mos"] for leg in legs if leg.get("quality") and leg["quality"].get("mos") is not None]
    return f"{min(float(mos) for mos in found):.1f}" if found else ""


def _places(row: Row, _: float) -> str:
    nodes = row.get("nodes") or [said(row, "node")]
    return ", ".join(map(str, nodes))


def _state(row: Row, _: float) -> str:
    """With the cause, of a leg that has ended."""
    return f"hangup {row['cause']}" if row.get("cause") else said(row, "state")


def _call_totals(rows: Sequence[Row]) -> Iterable[str]:
    yield from by_state(rows)
    yield count_of(sum(len(legs_of(row)) for row in rows), "leg", "legs")


CALLS: Final = ViewKind(
    "calls",
    "call",
    "calls",
    columns=(
        Column("call", 5, _known_by, "dim", least=8),
        Column("from", 0, _caller, "bold", least=14, most=32),
        Column("to", 1, _called, "bold", least=6, most=24),
        Column("state", 2, _state, lambda row: _STATES.get(said(row, "state"), ""), least=7, most=28),
        Column("talking", 3, _talking, left=False, sort=lambda row: row.get("talking") or 0.0, moving=True),
        Column("with", 7, _peer, least=8, most=32),
        Column(
            "legs",
            6,
            _legs,
            left=False,
            sort=lambda row: len(legs_of(row)),
        ),
        Column("node", 4, _places, least=6, most=28),
        Column("codec", 8, _codec, least=9, most=24),
        Column("mos", 9, _quality, left=False, moving=True),
        age("begun", 10),
        trusted(11),
    ),
    key=lambda row: str(row["id"]),
    order=lambda row: row.get("since") or 0.0,
    totals=_call_totals,
    empty="no call is up",
    ticking=frozenset({"since", "duration", "talking", "quality"}),
)
