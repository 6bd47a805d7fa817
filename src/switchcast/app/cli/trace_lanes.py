"""The lanes of a ladder as characters: a lifeline for each leg, what happens on it, and lines from leg to leg.

::

    A          B                 talking ┃   up │   not answered ┆   held ╏   parked ┊
    ○          ╷
    ├─────────▶○                 A's switch calls B
    ●          ┃
    ┣━━━━━━━━━━┫                 bridged
    ✕

The same in ASCII, for what is mailed or piped: ``#``, ``|``, ``:``, ``=``, ``~``, and ``o``, ``x``, ``*``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from switchcast.archive.trace.ladder import LaneState, Row
from switchcast.archive.trace.story import StepKind

__all__ = ["ASCII", "UNICODE", "Glyphs", "Piece", "lanes_of", "rest_of"]

Piece = tuple[str, str]
"""Characters, and the style that they have in colour."""

STYLES: Final[dict[LaneState, str]] = {
    "none": "",
    "begun": "dim",
    "ringing": "yellow",
    "early": "yellow",
    "up": "cyan",
    "talking": "bold green",
    "held": "medium_orchid",
    "parked": "dodger_blue1",
    "conference": "bold green",
    "ended": "",
}


_NO_LINE: Final = frozenset({"none", "ended"})


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What lanes are drawn with. ``line`` is a lifeline by state; an arrow is ``tail``, ``shaft`` and ``head``."""

    line: dict[LaneState, str]
    marks: dict[StepKind, str]
    mark: str
    tail: str
    shaft: str
    head: str
    back: str
    left: str
    bar: str
    right: str
    cut: str
    cross: str
    over: str
    dot: str


UNICODE: Final = Glyphs(
    line={
        "none": " ",
        "begun": "┆",
        "ringing": "┆",
        "early": "┊",
        "up": "│",
        "talking": "┃",
        "held": "╏",
        "parked": "┊",
        "conference": "┃",
        "ended": " ",
    },
    marks={
        "begin": "○",
        "answer": "●",
        "hangup": "✕",
        "refused": "✕",
        "dtmf": "◆",
        "hold": "◐",
        "record": "◉",
        "transfer": "»",
    },
    mark="•",
    tail="├",
    shaft="─",
    head="▶",
    back="◀",
    left="┣",
    bar="━",
    right="┫",
    cut="╌",
    cross="┼",
    over="╋",
    dot="•",
)
ASCII: Final = Glyphs(
    line={
        "none": " ",
        "begun": ":",
        "ringing": ":",
        "early": ":",
        "up": "|",
        "talking": "#",
        "held": "=",
        "parked": "~",
        "conference": "#",
        "ended": " ",
    },
    marks={"begin": "o", "answer": "@", "hangup": "x", "refused": "x", "transfer": ">"},
    mark="*",
    tail="+",
    shaft="-",
    head=">",
    back="<",
    left="#",
    bar="=",
    right="#",
    cut="-",
    cross="+",
    over="#",
    dot="*",
)


def lanes_of(row: Row, width: int, glyphs: Glyphs) -> list[Piece]:
    """One row of lanes, each ``width`` columns wide, the lifeline in its first."""
    cells = _lifelines(row.before, row.after, row.at, width, glyphs)
    if row.at is None:
        return cells
    if row.to is None or row.to == row.at:
        cells[row.at * width] = _mark(row, glyphs)
        return cells
    if row.step.kind in {"bridge", "unbridge"}:
        _bar(cells, row, width, glyphs)
    else:
        _arrow(cells, row, width, glyphs)
    return cells


def rest_of(states: Sequence[LaneState], width: int, glyphs: Glyphs) -> list[Piece]:
    """The lifelines alone, for a line in which nothing happens."""
    return _lifelines(tuple(states), tuple(states), None, width, glyphs)


def _lifelines(
    before: tuple[LaneState, ...], after: tuple[LaneState, ...], at: int | None, width: int, glyphs: Glyphs
) -> list[Piece]:
    cells: list[Piece] = []
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        state = now if place == at or was != "ended" else was
        cells.append((glyphs.line[state], STYLES[state]))
        cells += [(" ", "")] * (width - 1)
    return cells


def _mark(row: Row, glyphs: Glyphs) -> Piece:
    place = row.at or 0
    kind = row.step.kind
    if kind in {"hangup", "refused"}:
        return glyphs.marks[kind], "bold red"
    if kind == "transfer":
        return glyphs.marks[kind], "bold dodger_blue1"
    state = row.after[place]
    return glyphs.marks.get(kind, glyphs.mark), STYLES[state] or "bold"


def _bar(cells: list[Piece], row: Row, width: int, glyphs: Glyphs) -> None:
    """``┣━━━━┫`` from leg to leg: they hear one another from now on, or no longer (``├╌╌╌┤``)."""
    first, last = sorted((row.at or 0, row.to or 0))
    joined = row.step.kind == "bridge"
    style = STYLES["talking"] if joined else "yellow"
    fill = glyphs.bar if joined else glyphs.cut
    for column in range(first * width + 1, last * width):
        crossing = joined and column % width == 0 and row.after[column // width] not in _NO_LINE
        cells[column] = (glyphs.over if crossing else fill, style)
    cells[first * width] = (glyphs.left, style)
    cells[last * width] = (glyphs.right, style)


def _arrow(cells: list[Piece], row: Row, width: int, glyphs: Glyphs) -> None:
    """``├────▶○`` to the leg that begins, from the one that began it; else from the step's own leg to the other."""
    at, to = row.at or 0, row.to or 0
    start, end = (to, at) if row.step.kind == "begin" else (at, to)
    low, high = sorted((start * width, end * width))
    style = "yellow" if row.step.kind == "begin" else "dodger_blue1"
    for column in range(low + 1, high):
        crossing = column % width == 0 and row.after[column // width] not in _NO_LINE
        cells[column] = (glyphs.cross if crossing else glyphs.shaft, style)
    cells[start * width] = (glyphs.tail if start < end else "┤" if glyphs is UNICODE else "+", style)
    tip = high - 1 if start < end else low + 1
    if high - low > 1:
        cells[tip] = (glyphs.head if start < end else glyphs.back, style)
    mark = glyphs.marks["begin"] if row.step.kind == "begin" else glyphs.mark
    cells[end * width] = (mark, STYLES[row.after[end]] or style)
