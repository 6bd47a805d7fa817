"""``--watch``: a table that stays up to date on a terminal, and a line for each change elsewhere.

::

    10:02:11.250 there    1000@example.com  node fs1  address 192.0.2.7:5060  expires in 41s
    10:02:14.250 new      1001@example.com  node fs2  address 192.0.2.8:5060  expires in 1m00s
    10:02:19.250 changed  1001@example.com  node fs2 → fs1
    10:02:31.250 gone     1001@example.com
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from switchcast.app.cli.asking import output_console
from switchcast.app.cli.render import clock
from switchcast.app.cli.views.kinds import at
from switchcast.app.cli.views.showing import Choice, Seen, table
from switchcast.app.cli.views.table import Column, Row, Widths, styled

__all__ = ["Board", "News", "Printer", "Screen"]

What = Literal["there", "new", "changed", "gone"]

MARKED_SECONDS: Final = 4.0
"""How long a row is marked on the screen after it has changed, and stays after it has gone."""
_FACTS: Final = 4
_WIDEST_WHAT: Final = 7


@dataclass(frozen=True, slots=True)
class News:
    """What became of a row. ``row`` is how it is now, or was last; ``before`` how it was before."""

    what: What
    key: str
    row: Row
    before: Row | None = None


class Board:
    """The rows as they were last, so that what comes next can be told from them."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._rows: dict[str, Row] = {}
        self._begun = False

    def whole(self, rows: Sequence[Row], wall: float) -> list[News]:
        """All rows as they are now: what that changes. The first time they are there already."""
        key = self._choice.kind.key
        first, self._begun = not self._begun, True
        now = {key(row): row for row in (self._choice.sorted(rows, wall) if first else rows)}
        gone = [(known, None) for known in self._rows if known not in now]
        return list(self.changes([*gone, *now.items()], "there" if first else "new"))

    def changes(self, changes: Iterable[tuple[str, Row | None]], fresh: What = "new") -> Iterator[News]:
        """What became of some rows: a row, or ``None`` where it is gone."""
        news = self._choice.kind.news
        for key, row in changes:
            before = self._rows.pop(key, None)
            if row is None:
                if before is not None:
                    yield News("gone", key, before)
                continue
            self._rows[key] = row
            if before is None:
                yield News(fresh, key, row)
            elif news(before) != news(row):
                yield News("changed", key, row, before)


class Printer:
    """One line for each change, for people or, as ``json``, for programs."""

    def __init__(self, choice: Choice, *, as_json: bool) -> None:
        self._choice = choice
        self._json = as_json

    def tell(self, news: Iterable[News], wall: float) -> None:
        """Print what has changed by ``wall`` (seconds since 1970)."""
        lines = [line for each in news if (line := self._line(each, wall))]
        if lines:
            print("\n".join(lines))
            sys.stdout.flush()

    def _line(self, news: News, wall: float) -> str:
        if self._json:
            return json.dumps(
                {"at": wall, "view": self._choice.kind.name, "change": news.what, "key": news.key, "row": news.row}
            )
        first, *columns = self._choice.kind.columns
        if news.before is None:
            telling = [column for column in _by_rank(columns) if column.ahead or not column.moving]
            told = [(column.heading, column.shown(news.row, wall)) for column in telling]
            facts = [f"{heading} {text}" for heading, text in told if text]
            facts = [] if news.what == "gone" else facts[:_FACTS]
        else:
            facts = list(_differences(columns, news.before, news.row, wall))
            if not facts:
                return ""
        return "  ".join(
            [f"{clock(int(wall * 1e9))} {news.what.ljust(_WIDEST_WHAT)}", first.shown(news.row, wall), *facts]
        )


def _by_rank(columns: Iterable[Column]) -> list[Column]:
    return sorted(columns, key=lambda column: column.rank)


def _differences(columns: Iterable[Column], before: Row, after: Row, wall: float) -> Iterator[str]:
    for column in _by_rank(columns):
        old, new = column.shown(before, wall), column.shown(after, wall)
        if old != new and not column.moving:
            yield f"{column.heading} {old or 'none'} → {new or 'none'}"
    if before.get("sure") != after.get("sure"):
        yield f"{before.get('sure')} → {after.get('sure')}"


class Screen:
    """The table on a terminal, drawn anew again and again, with what has just changed marked."""

    def __init__(self, choice: Choice, console: Console | None = None) -> None:
        self._choice = choice
        self._console = console or output_console()
        self._live = Live(console=self._console, auto_refresh=False, screen=True, vertical_overflow="crop")
        self._marked: dict[str, tuple[News, float]] = {}
        self._kept: Widths = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def mark(self, news: Iterable[News], now: float) -> None:
        """Remember what has changed at ``now`` (monotonic seconds)."""
        for each in news:
            if each.what != "there":
                self._marked[each.key] = each, now + MARKED_SECONDS

    def draw(self, seen: Seen, now: float) -> None:
        """Show ``seen`` in all of the screen."""
        self._marked = {key: marked for key, marked in self._marked.items() if marked[1] > now}
        marks = {key: news.what for key, (news, _) in self._marked.items()}
        there = {self._choice.kind.key(row) for row in seen.rows}
        lingering = [news.row for key, (news, _) in self._marked.items() if news.what == "gone" and key not in there]
        width, height = self._console.size
        shown = table(self._choice, seen, width, height=height - 1, marks=marks, kept=self._kept, gone=lingering)
        self._show(Group(*map(styled, shown), Text(f"{at(seen.wall)}  Ctrl-C ends it", style="dim")))

    def say(self, message: str) -> None:
        """Show ``message`` in place of a table that there is none of."""
        self._show(Group(Text(message, style="bold red")))

    def _show(self, picture: Group) -> None:
        self._live.update(picture, refresh=True)
