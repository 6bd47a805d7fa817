"""The ladder of a story, before it is drawn: a row for each step, and how each leg stands beside it.

::

    row     A          B
    +0.000  begun      none        A: 1001 calls 1000
    +0.020  begun      begun       B: 1000 is called         from A's lane to B's
    +0.360  talking    talking     A and B are bridged       between the lanes
    pause   3.2 s                  nothing happened

Every step moves the states, though the short ladder shows only the main ones. The terminal and the page draw the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from switchcast.archive.trace.story import Step, StepKind, Story

__all__ = ["PAUSE_SECONDS", "LaneState", "Row", "rows_of"]

LaneState = Literal["none", "begun", "ringing", "early", "up", "talking", "held", "parked", "conference", "ended"]

PAUSE_SECONDS: Final = 2.0
"""From here on the time in which nothing happens is told in a line, as long as it may have been."""
_ONE_NUMBER: Final = 3_000_000
"""Microseconds between two digits of what is likely one number: they share a row."""

_STATE_AFTER: Final[dict[StepKind, LaneState]] = {
    "begin": "begun",
    "ring": "ringing",
    "early": "early",
    "answer": "up",
    "hold": "held",
    "park": "parked",
    "unpark": "up",
    "hangup": "ended",
}
_BEFORE_ANSWER: Final = frozenset({"none", "begun", "ringing", "early"})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the ladder. ``at`` and ``to`` are places of lanes, ``None`` where the step is of no leg, or of one.

    ``before`` and ``after`` are the lanes' states; ``pause`` is how long nothing had happened, microseconds, 0 where
    that is not worth a line. ``letters`` are those of the legs that it is of.
    """

    step: Step
    words: str
    at: int | None
    to: int | None
    before: tuple[LaneState, ...]
    after: tuple[LaneState, ...]
    pause: int = 0
    letters: str = ""


def rows_of(story: Story, *, detail: bool = False) -> list[Row]:
    """The rows; with ``detail`` one for every step."""
    rows: list[Row] = []
    for row in _every_row(story):
        if not row.step.main and not detail:
            continue
        last = rows[-1] if rows else None
        if last is not None and _continues(last, row):
            rows[-1] = replace(last, words=last.words + row.words.removeprefix("DTMF "), step=replace(row.step))
            continue
        pause = row.step.time - last.step.time if last is not None else 0
        rows.append(replace(row, pause=pause if pause >= PAUSE_SECONDS * 1e6 else 0))
    return rows


def _continues(last: Row, row: Row) -> bool:
    """Whether both are digits of one number."""
    close = row.step.time - last.step.time <= _ONE_NUMBER
    return close and last.step.kind == row.step.kind == "dtmf" and last.step.leg == row.step.leg


def _every_row(story: Story) -> Iterator[Row]:
    places = {leg.id: place for place, leg in enumerate(story.legs)}
    states: list[LaneState] = ["none"] * len(story.legs)
    talking_to: dict[int, int] = {}
    for step in story.steps:
        at, to = places.get(step.leg), places.get(step.other)
        before = tuple(states)
        if at is not None:
            _move(step, at, to, states, talking_to)
        letters = "-".join(story.legs[place].letter for place in (at, to) if place is not None)
        if step.kind == "begin" and at is not None:
            letters = story.legs[at].letter
        yield Row(step, step.words, at, to, before, tuple(states), letters=letters)


def _move(step: Step, at: int, to: int | None, states: list[LaneState], talking_to: dict[int, int]) -> None:
    """What a step does to the states of the lanes."""
    kind, words = step.kind, step.words
    if kind == "bridge" and to is not None:
        states[at] = states[to] = "talking"
        talking_to[at], talking_to[to] = to, at
    elif kind == "unbridge" and to is not None:
        for place in (at, to):
            talking_to.pop(place, None)
            states[place] = "ended" if states[place] == "ended" else "up"
    elif kind == "unhold":
        states[at] = "talking" if at in talking_to else "up"
    elif kind == "conference":
        joins, leaves = words.startswith("joins"), words.startswith("leaves")
        states[at] = "conference" if joins else "up" if leaves else states[at]
    elif kind in {"ring", "early"} and states[at] not in _BEFORE_ANSWER:
        return
    elif kind in _STATE_AFTER and states[at] != "ended":
        states[at] = _STATE_AFTER[kind]
        if kind == "hangup":
            other = talking_to.pop(at, None)
            if other is not None and talking_to.pop(other, None) is not None and states[other] != "ended":
                states[other] = "up"
