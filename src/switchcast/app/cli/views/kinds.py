"""What each view looks like: its columns, its words for totals, and what it means when it is empty."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.render import clock, sender_style
from switchcast.app.cli.views.table import Column, Row

__all__ = ["ViewKind", "age", "at", "by_state", "count_of", "figure", "ordered", "rest", "said", "trusted", "where"]

_DIGITS: Final = re.compile("([0-9]+)")


@dataclass(frozen=True, slots=True)
class ViewKind:
    """How one view is shown.

    ``key`` gives what a row is known by; ``totals`` the phrases of the footer; ``empty`` what it means that there is no
    row. ``asked`` says whether a switch can be asked for all of it. ``ticking`` are values that change as time passes.
    ``order`` is what rows are sorted by where nothing else is asked for.
    """

    name: str
    noun: str
    nouns: str
    columns: Sequence[Column]
    key: Callable[[Row], str]
    totals: Callable[[Sequence[Row]], Iterable[str]]
    empty: str
    asked: bool = True
    ticking: frozenset[str] = frozenset()
    order: Callable[[Row], Any] | None = None

    def count(self, rows: int) -> str:
        """``1 call``, ``2,000 calls``."""
        return count_of(rows, self.noun, self.nouns)

    def column(self, name: str) -> Column | None:
        """The column with this heading."""
        return next((column for column in self.columns if column.heading == name), None)

    def news(self, row: Row) -> Any:
        """What of ``row`` makes news when it changes: all but what changes as time passes."""
        return _without(row, self.ticking)


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without(each, names) for name, each in value.items() if name not in names}
    if isinstance(value, list | tuple):
        return [_without(each, names) for each in value]
    return value


def count_of(number: int, noun: str, nouns: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun if number == 1 else nouns}"


def where(rank: int) -> Column:
    """The node, in its own colour."""
    return Column(
        "node", rank, lambda row, _: said(row, "node"), lambda row: sender_style(said(row, "node")), least=6, most=24
    )


def trusted(rank: int) -> Column:
    """How far it is believed, where not all rows are believed alike."""
    return Column("trust", rank, lambda row, _: said(row, "trust"), "dim", differing=True)


def age(heading: str, rank: int, name: str = "since") -> Column:
    """How long ago ``name`` (seconds since 1970) was."""
    return Column(
        heading,
        rank,
        lambda row, wall: "" if row.get(name) is None else short_duration(wall - row[name]),
        left=False,
        sort=lambda row: -(row.get(name) or 0.0),
        moving=True,
    )


def rest(heading: str, rank: int, name: str = "expires") -> Column:
    """How long it is until ``name`` (seconds since 1970); how long it has been since then, when that has passed."""

    def value(row: Row, wall: float) -> str:
        if row.get(name) is None:
            return ""
        left = row[name] - wall
        return f"in {short_duration(left)}" if left >= 0 else f"{short_duration(-left)} ago"

    return Column(heading, rank, value, left=False, sort=lambda row: row.get(name) or 0.0, moving=True, ahead=True)


def figure(
    heading: str, rank: int, name: str, *, style: Callable[[Row], str] | str = "", moving: bool = False
) -> Column:
    """A whole number; empty where it is not known."""
    return Column(
        heading,
        rank,
        lambda row, _: "" if row.get(name) is None else f"{row[name]:,}",
        style,
        left=False,
        sort=lambda row: row.get(name) or 0,
        moving=moving,
    )


def said(row: Row, name: str) -> str:
    """The value as text; empty where there is none."""
    value = row.get(name)
    return "" if value is None else str(value)


def at(wall: float) -> str:
    """Local time of day, to the second."""
    return clock(int(wall * 1e9))[:8]


def ordered(text: str) -> list[tuple[int, str]]:
    """What ``text`` is sorted by so that fs2 comes before fs10; a number of a million digits does no harm."""
    pieces = _DIGITS.split(text)
    return [(len(bare := piece.lstrip("0")) + 1, bare) if at % 2 else (0, piece) for at, piece in enumerate(pieces)]


def by_state(rows: Sequence[Row], name: str = "state") -> list[str]:
    """``3 active``, ``1 ringing``: the most frequent first."""
    return [f"{count:,} {state}" for state, count in Counter(said(row, name) for row in rows).most_common() if state]
