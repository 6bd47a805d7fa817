"""A story on a terminal: the sentence, the legs, the ladder, and what is missing; in colour or not, at any width.

::

    1001 called 1000 at 03:31:25; answered after 0.36 s; talked 4.8 s; hung up by 1001: NORMAL_CLEARING

                  vm
                  A           B
    +0.000        ○           ┆          A  1001 calls 1000 from 127.0.0.1:5096
    +0.020        ├──────────▶○          B  1000 is called

Times are of day where they fit, in this host's zone, and always seconds from the call's beginning.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from switchcast.app.cli.render import clock, printable, sender_style
from switchcast.app.cli.sections import Cell, Entry, section
from switchcast.app.cli.trace_lanes import ASCII, UNICODE, Glyphs, Piece, lanes_of, rest_of
from switchcast.archive.trace.causes import NORMAL
from switchcast.archive.trace.ladder import LaneState, Row, rows_of
from switchcast.archive.trace.sentence import seconds_of
from switchcast.archive.trace.steps import MASK
from switchcast.archive.trace.story import Leg, Story

__all__ = ["after", "calls_table", "day_of", "story_view", "zone_of"]

_CLOCK_FROM: Final = 96
"""Columns from which each row has the time of day to the millisecond."""
_LEAST_WORDS: Final = 24
"""Columns that the words of a step need at least; where lanes leave less, there are none."""
_RELATIVE: Final = 9
_WHOLE_CLOCK: Final = len("03:31:25.033")
_SHORT_CLOCK: Final = len("03:31:25")
_WIDEST_LANE: Final = 12
_STYLES: Final = {
    "bridge": "green",
    "answer": "green",
    "hold": "medium_orchid",
    "unhold": "medium_orchid",
    "park": "dodger_blue1",
    "transfer": "bold dodger_blue1",
    "rename": "dodger_blue1",
    "refused": "bold red",
    "command": "dim",
    "state": "dim",
    "event": "dim",
    "codec": "dim",
    "conference": "green",
}


def story_view(
    story: Story, width: int, *, detail: bool = False, ascii_only: bool = False, cut: Sequence[str] = ()
) -> Group:
    """The whole of it for a terminal ``width`` columns wide."""
    glyphs = ASCII if ascii_only else UNICODE
    parts: list[RenderableType] = [*_head(story), Text()]
    parts += section("leg", [_entry(leg, width) for leg in story.legs], width)
    parts.append(Text())
    parts += _ladder(story, rows_of(story, detail=detail), _Columns(width, len(story.legs), glyphs))
    notes = [*(missing.words for missing in story.missing), *cut]
    if notes:
        parts.append(Text())
        parts.append(Text("not heard, or not sure", style="yellow"))
        parts += [Padding(Text(f"{'*' if ascii_only else '•'} {printable(note)}"), (0, 0, 0, 2)) for note in notes]
    return Group(*parts)


def day_of(microseconds: int) -> str:
    """``2026-11-23 03:31:25``, in this host's zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(microseconds // 1_000_000))
    except (OverflowError, OSError, ValueError):
        return "?"


def zone_of(microseconds: int) -> str:
    """The name of that zone at this time."""
    try:
        return time.strftime("%Z", time.localtime(microseconds // 1_000_000))
    except (OverflowError, OSError, ValueError):
        return ""


def after(time: int, began: int) -> str:
    """``+0.340``: seconds from the beginning to ``time``, as the clock beside it shows them, to the millisecond."""
    return f"+{max(0, time // 1000 - began // 1000) / 1000:.3f}"


def _head(story: Story) -> Iterator[RenderableType]:
    at = day_of(story.began).rpartition(" ")[2]
    sentence = Text(printable(story.head(f"at {at}")), style="bold")
    if story.running:
        sentence.append(" …" if sentence.plain.isascii() is False else " ...", style="bold yellow")
    yield sentence
    facts = [
        f"{day_of(story.began)} {zone_of(story.began)}".rstrip(),
        seconds_of(story.ended - story.began),
        f"{len(story.legs)} leg{'' if len(story.legs) == 1 else 's'}",
        f"{len(story.nodes)} node{'' if len(story.nodes) == 1 else 's'}",
        f"{story.events:,} events",
        story.id,
    ]
    yield Text(printable(", ".join(facts)), style="dim")


def _entry(leg: Leg, width: int) -> Entry:
    way = {"inbound": "in", "outbound": "out"}.get(leg.direction, "")
    numbers = f"{leg.from_number or '?'} > {leg.to_number or '?'}"
    cells = [
        Cell("node", printable(leg.node), sender_style(leg.node), left=True),
        Cell("way", way, "dim", left=True),
        Cell("from > to", printable(numbers), left=True),
        Cell("codec", printable(leg.codec_read), "dim", left=True),
    ]
    if width >= 130:
        cells.append(Cell("address", printable(leg.address), "dim", left=True))
        cells.append(Cell("mos", f"{leg.quality['mos']:.2f}" if "mos" in leg.quality else ""))
    cells.append(Cell("up for", _up_for(leg)))
    good = leg.cause in {"", *NORMAL}
    cells.append(Cell("end", printable(leg.cause or leg.state), "green" if good else "bold red", left=True))
    if width >= 96:
        cells.append(Cell("id", printable(leg.id if width >= 150 else leg.id[:8]), "dim", left=True))
    return Entry(leg.letter, cells=cells)


def _up_for(leg: Leg) -> str:
    if leg.answered is None:
        return "-"
    return seconds_of(leg.ended - leg.answered) if leg.ended is not None else "still"


class _Columns:
    """Where the parts of a row stand, and what its lanes are drawn with."""

    def __init__(self, width: int, legs: int, glyphs: Glyphs) -> None:
        self.glyphs = glyphs
        self.clock = _WHOLE_CLOCK if width >= _CLOCK_FROM else _SHORT_CLOCK
        self.start = _RELATIVE + 1 + self.clock + 2
        wanted = 42 if width < _CLOCK_FROM else 46 if width < 130 else 60
        room = width - self.start - wanted
        self.lane = max(2, min(_WIDEST_LANE, room // max(1, legs)))
        self.words = width - self.start - self.lane * legs - 1
        self.lanes = self.words >= _LEAST_WORDS
        if not self.lanes:
            self.words = width - self.start - 1

    def drawn(self, row: Row) -> list[Piece]:
        """The lanes of a row; nothing where there is no room for lanes."""
        return lanes_of(row, self.lane, self.glyphs) if self.lanes else []

    def idle(self, states: Sequence[LaneState]) -> list[Piece]:
        """The lifelines alone."""
        return rest_of(states, self.lane, self.glyphs) if self.lanes else []

    def line(self, cells: Sequence[Piece], relative: str = "", told: str = "") -> Text:
        """A line up to where the words begin."""
        line = Text(f"{relative:<{_RELATIVE}} ", no_wrap=True)
        line.append(told.ljust(self.clock + 2), style="dim")
        for characters, style in cells:
            line.append(characters, style=style or None)
        return line


def _ladder(story: Story, rows: Sequence[Row], columns: _Columns) -> Iterator[Text]:
    if columns.lanes:
        yield from _headings(story, columns)
    shown = ""
    for row in rows:
        if row.pause:
            later = f" {seconds_of(row.pause)} later"
            yield columns.line(columns.idle(row.before)).append(later, style="dim italic")
        now = clock(row.step.time * 1000)[: columns.clock]
        told = now if columns.clock == _WHOLE_CLOCK or now != shown else ""
        shown = now
        yield from _row(story, row, told, columns)
    if story.running and columns.lanes and rows:
        yield columns.line(columns.idle(rows[-1].after))


def _headings(story: Story, columns: _Columns) -> Iterator[Text]:
    """The nodes over their legs, where they fit, and the legs' letters."""
    nodes = Text(" " * columns.start)
    letters = Text(" " * columns.start)
    for node, group in groupby(story.legs, key=lambda leg: leg.node):
        legs = list(group)
        room = columns.lane * len(legs)
        nodes.append(printable(node)[: room - 1].ljust(room), style=sender_style(node))
        for leg in legs:
            letters.append(leg.letter[: columns.lane].ljust(columns.lane), style="bold")
    nodes.rstrip()
    letters.rstrip()
    yield nodes
    yield letters


def _row(story: Story, row: Row, told: str, columns: _Columns) -> Iterator[Text]:
    who = f"{row.letters:<3} " if row.letters else ""
    style = _STYLES.get(row.step.kind, "")
    if row.step.kind == "hangup":
        leg = story.leg(row.step.leg)
        style = "" if leg is None or leg.cause in {"", *NORMAL} else "red"
    told_words = printable(row.words)
    if columns.glyphs is ASCII:
        told_words = told_words.replace(MASK, ASCII.dot).replace("…", "...")
    words = Text(told_words, style=style)
    if not row.step.told:
        words.append(" (told by a later event)", style="dim")
    first, *others = words.wrap(Console(width=columns.words), columns.words - len(who)) or [Text()]
    line = columns.line(columns.drawn(row), after(row.step.time, story.began), told)
    yield line.append(" ").append(who, style="bold").append(first)
    for piece in others:
        yield columns.line(columns.idle(row.after)).append(" " * (len(who) + 1)).append(piece)


def calls_table(calls: Sequence[Story], width: int) -> Group:
    """The calls that a key matches, newest first."""
    entries = [
        Entry(
            call.id[:8],
            cells=[
                Cell("when", day_of(call.began), left=True),
                Cell("from", printable(call.caller or "(a switch)"), left=True),
                Cell("to", printable(call.callee or "?"), left=True),
                Cell("length", seconds_of(call.ended - call.began)),
                Cell("result", printable(call.result), left=True),
                Cell("nodes", printable(", ".join(call.nodes)), "dim", left=True),
            ],
        )
        for call in calls
    ]
    return Group(*section("id", entries, width))
