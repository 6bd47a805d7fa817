"""Nodes: which switches there are, and how busy they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from switchcast.app.cli.facts import short_duration, short_uuid
from switchcast.app.cli.views.kinds import ViewKind, age, by_state, count_of, figure, said, trusted
from switchcast.app.cli.views.table import Column, Row

__all__ = ["NODES"]

_UP: Final = {"up": "green", "down": "bold red"}
_NEARLY_FULL: Final = 0.8


def _sessions(row: Row) -> str:
    if row.get("sessions") is None:
        return ""
    most = row.get("sessions_max")
    return f"{row['sessions']:,}" + (f"/{most:,}" if most else "")


def _crowded(row: Row) -> str:
    most = row.get("sessions_max") or 0
    return "bold yellow" if most and (row.get("sessions") or 0) >= _NEARLY_FULL * most else ""


def _lasting(name: str, row: Row) -> str:
    return short_duration(row[name]) if row.get(name) else ""


def _heard(row: Row, _: float) -> str:
    return "" if row.get("heartbeat_age") is None else f"{short_duration(row['heartbeat_age'])} ago"


def _version(row: Row, _: float) -> str:
    """Without the commit and the word width, which stand behind a plus sign."""
    return said(row, "version").partition("+")[0]


def _percent(row: Row) -> str:
    return "" if row.get("idle_cpu") is None else f"{row['idle_cpu']:.0f} %"


def _lost_events(row: Row) -> int:
    return row.get("lost") or 0


def _lost(row: Row, _: float) -> str:
    """What is known to be lost. The bound is left to JSON: a switch also numbers all that this view never asked for."""
    return f"{row['lost']:,}" if row.get("lost") else ""


def _all_nodes(rows: Sequence[Row]) -> Iterable[str]:
    yield from by_state(rows)
    yield count_of(sum(row.get("sessions") or 0 for row in rows), "session", "sessions")
    if lost := sum(row.get("lost") or 0 for row in rows):
        yield f"{count_of(lost, 'event', 'events')} lost"


NODES: Final = ViewKind(
    "nodes",
    "node",
    "nodes",
    columns=(
        Column("node", 0, lambda row, _: said(row, "name"), "bold", least=8, most=32),
        Column("state", 1, lambda row, _: said(row, "state"), lambda row: _UP.get(said(row, "state"), "yellow")),
        age("for", 2),
        Column(
            "sessions",
            3,
            lambda row, _: _sessions(row),
            _crowded,
            left=False,
            sort=lambda row: row.get("sessions") or 0,
            moving=True,
        ),
        figure("per s", 5, "per_second", moving=True),
        Column(
            "idle",
            6,
            lambda row, _: _percent(row),
            left=False,
            sort=lambda row: row.get("idle_cpu") or 0.0,
            moving=True,
        ),
        Column("heard", 4, _heard, left=False, sort=lambda row: row.get("heartbeat_age") or 0.0, moving=True),
        Column(
            "uptime",
            7,
            lambda row, _: _lasting("uptime", row),
            left=False,
            sort=lambda row: row.get("uptime") or 0.0,
            moving=True,
        ),
        Column(
            "lost",
            8,
            _lost,
            lambda row: "yellow" if row.get("lost") else "dim",
            left=False,
            sort=_lost_events,
            moving=True,
        ),
        Column("version", 9, _version, "dim", least=8, most=32),
        Column("run", 10, lambda row, _: short_uuid(said(row, "core")), "dim"),
        trusted(11),
    ),
    key=lambda row: str(row["name"]),
    totals=_all_nodes,
    empty="no switch has been heard",
    ticking=frozenset(
        {
            "since",
            "uptime",
            "sessions",
            "sessions_peak",
            "per_second",
            "per_second_peak",
            "idle_cpu",
            "heartbeat_age",
            "silent",
            "lost",
            "lost_at_most",
        }
    ),
)
