"""Registrations, presence and mailboxes: what concerns a user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from switchcast.app.cli.views.kinds import ViewKind, age, by_state, count_of, rest, said, trusted, where
from switchcast.app.cli.views.table import Column, Row

__all__ = ["MAILBOXES", "PRESENCE", "REGISTRATIONS"]

_STATES: Final = {
    "available": "green",
    "active": "bold cyan",
    "ringing": "bold yellow",
    "held": "magenta",
    "busy": "yellow",
    "away": "yellow",
    "offline": "dim",
    "idle": "dim",
    "unknown": "dim",
}


def _account(heading: str, name: str) -> Column:
    return Column(heading, 0, lambda row, _: said(row, name), "bold", least=12, most=40)


def _reached(row: Row) -> str:
    reachable = row.get("reachable")
    return "" if reachable is None else "yes" if reachable else "no"


def _nodes_of(rows: Sequence[Row]) -> str:
    return count_of(len({row.get("node") for row in rows}), "node", "nodes")


def _registered(rows: Sequence[Row]) -> Iterable[str]:
    yield f"of {count_of(len({row['user'] for row in rows}), 'user', 'users')} at {_nodes_of(rows)}"
    if unreachable := sum(row.get("reachable") is False for row in rows):
        yield f"{unreachable:,} unreachable"


REGISTRATIONS: Final = ViewKind(
    "registrations",
    "registration",
    "registrations",
    columns=(
        _account("user", "user"),
        where(1),
        Column("address", 2, lambda row, _: said(row, "address"), least=15),
        rest("expires", 3),
        Column("reached", 4, lambda row, _: _reached(row), lambda row: "" if row.get("reachable") else "bold red"),
        Column("agent", 5, lambda row, _: said(row, "agent"), "dim", least=12, most=32),
        age("since", 6),
        Column("profile", 7, lambda row, _: said(row, "profile"), "dim"),
        Column("contact", 8, lambda row, _: said(row, "contact"), least=20, most=64),
        trusted(9),
        Column("call id", 10, lambda row, _: said(row, "call_id"), "dim", least=16),
    ),
    key=lambda row: f"{row['user']} {said(row, 'profile')} {said(row, 'contact')}",
    totals=_registered,
    empty="nobody is registered",
    ticking=frozenset({"expires", "expires_in", "since"}),
)


def _words(row: Row) -> str:
    words = [said(row, "status"), said(row, "rpid")]
    return ", ".join(word for word in dict.fromkeys(words) if word and word != "unknown")


PRESENCE: Final = ViewKind(
    "presence",
    "user",
    "users",
    columns=(
        _account("user", "user"),
        Column("state", 1, lambda row, _: said(row, "state"), lambda row: _STATES.get(said(row, "state"), "")),
        Column("says", 3, lambda row, _: _words(row), least=12, most=40),
        Column(
            "calls",
            4,
            lambda row, _: f"{row['calls']:,}" if row.get("calls") else "",
            left=False,
            sort=lambda row: row.get("calls") or 0,
        ),
        age("for", 5),
        where(2),
        rest("expires", 6),
        trusted(7),
    ),
    key=lambda row: str(row["user"]),
    totals=by_state,
    empty="nobody has told of a presence",
    ticking=frozenset({"expires", "since"}),
)


def _waiting(row: Row, kind: str) -> str:
    urgent = row.get(f"urgent_{kind}") or 0
    return f"{row.get(kind) or 0:,}" + (f" ({urgent:,} urgent)" if urgent else "")


def _messages(rows: Sequence[Row]) -> Iterable[str]:
    lit = sum(bool(row.get("lamp")) for row in rows)
    yield f"{count_of(lit, 'lamp', 'lamps')} lit"
    yield f"{sum(row.get('new') or 0 for row in rows):,} new and {sum(row.get('saved') or 0 for row in rows):,} saved"


MAILBOXES: Final = ViewKind(
    "mailboxes",
    "mailbox",
    "mailboxes",
    columns=(
        _account("account", "account"),
        Column(
            "lamp",
            1,
            lambda row, _: "on" if row.get("lamp") else "off",
            lambda row: "bold yellow" if row.get("lamp") else "dim",
        ),
        Column("new", 2, lambda row, _: _waiting(row, "new"), left=False, sort=lambda row: row.get("new") or 0),
        Column("saved", 3, lambda row, _: _waiting(row, "saved"), left=False, sort=lambda row: row.get("saved") or 0),
        where(4),
        age("since", 5),
        trusted(6),
    ),
    key=lambda row: str(row["account"]),
    totals=_messages,
    empty="no mailbox has been heard of",
    ticking=frozenset({"since"}),
)
