"""A trace as one page of HTML that can be mailed: no script, nothing from outside, every value escaped.

The ladder is a list of rows, each a grid of lanes, so that it can be read at any width, and printed. A page is for
people who may not know the call: it says what the lines mean, and what was not heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from switchcast._native import __version__
from switchcast.app.reports.pages import check_available, environment, policy_of, resource
from switchcast.archive.trace.causes import NORMAL
from switchcast.archive.trace.ladder import LaneState, Row, rows_of
from switchcast.archive.trace.sentence import seconds_of
from switchcast.archive.trace.story import Leg, Link, LinkKind, Story

__all__ = ["check_available", "trace_page"]

_MOST_ROWS: Final = 2_000
"""Of one ladder; a browser takes a while over more."""

_STATES: Final[dict[LaneState, str]] = {
    "begun": "called, not answered",
    "ringing": "ringing",
    "early": "early media",
    "up": "up",
    "talking": "talking",
    "held": "on hold",
    "parked": "parked",
    "conference": "in conference",
}
_LINKS: Final[dict[LinkKind, str]] = {
    "bridge": "were bridged",
    "originate": "one began the other",
    "loopback": "are two halves of a loopback",
    "call": "have one Channel-Call-UUID",
    "call-id": "have one SIP Call-ID",
    "conference": "were in one conference",
    "likely": "agree in number, time and address: likely one way between two nodes",
}


@dataclass(frozen=True, slots=True)
class _Lane:
    """One lifeline beside a row: its place from 1, its state, and whether it begins or ends here."""

    place: int
    state: LaneState
    edge: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as the template has it. ``first`` and ``last`` are the lanes that an arrow or a bar spans, else 0."""

    row: Row
    relative: str
    clock: str
    lanes: tuple[_Lane, ...]
    at: int
    first: int
    last: int
    shape: str
    pause: str
    tone: str


def trace_page(story: Story, *, detail: bool = False) -> str:
    """The whole page. Raises ``MissingExtra`` where jinja2 is not installed."""
    from switchcast.app.cli.trace_view import day_of, zone_of

    style = resource("trace.css") + _placed(len(story.legs))
    main, every = rows_of(story, detail=detail), rows_of(story, detail=True)
    states = [state for state in _STATES if any(state in row.after for row in every)]
    return (
        environment()
        .from_string(resource("trace.html.j2"))
        .render(
            story=story,
            style=style,
            policy=policy_of(style),
            version=__version__,
            head=story.head(f"at {day_of(story.began).rpartition(' ')[2]}"),
            day=day_of(story.began),
            zone=zone_of(story.began),
            length=seconds_of(story.ended - story.began),
            talked=None if story.talked is None else seconds_of(round(story.talked * 1e6)),
            nodes=list(_spans(story)),
            lines=[_line(story, row) for row in main[:_MOST_ROWS]],
            every=[] if detail else [_line(story, row) for row in every[:_MOST_ROWS]],
            more=max(0, len(main if detail else every) - _MOST_ROWS),
            states=[(state, _STATES[state]) for state in states],
            facts=_facts,
            links=[(_letters(story, link), _LINKS[link.kind], link.sure) for link in story.links],
        )
    )


def _placed(legs: int) -> str:
    """The rules that put things into lanes: a style attribute could not be allowed by its hash."""
    rules = [f":root{{--legs:{legs}}}"]
    rules += [f".at-{place}{{grid-column-start:{place}}}" for place in range(1, legs + 1)]
    rules += [f".to-{place}{{grid-column-end:{place + 1}}}" for place in range(1, legs + 1)]
    return "\n".join(rules) + "\n"


def _spans(story: Story) -> Iterator[tuple[str, int, int]]:
    """Each node over the legs that stand beside one another on it: its name, the first and the last place."""
    first = 0
    for place, leg in enumerate(story.legs):
        if place + 1 == len(story.legs) or story.legs[place + 1].node != leg.node:
            yield leg.node, first + 1, place + 1
            first = place + 1


def _line(story: Story, row: Row) -> _Line:
    from switchcast.app.cli.render import clock
    from switchcast.app.cli.trace_view import after

    places = sorted(place + 1 for place in (row.at, row.to) if place is not None)
    spanning = len(places) == 2 and places[0] != places[1]
    return _Line(
        row=row,
        relative=after(row.step.time, story.began),
        clock=clock(row.step.time * 1000),
        lanes=tuple(_lanes(row)),
        at=0 if row.at is None else row.at + 1,
        first=places[0] if spanning else 0,
        last=places[1] if spanning else 0,
        shape=_shape(row) if spanning else "",
        pause=seconds_of(row.pause) if row.pause else "",
        tone=_tone(story, row),
    )


def _lanes(row: Row) -> Iterator[_Lane]:
    for place, (before, after) in enumerate(zip(row.before, row.after, strict=True)):
        if before in {"none", "ended"} and after in {"none", "ended"}:
            continue
        if before == "none":
            yield _Lane(place + 1, after, "starts")
        elif after == "ended":
            yield _Lane(place + 1, before, "stops")
        else:
            yield _Lane(place + 1, after)


def _shape(row: Row) -> str:
    """A bar for a bridge, broken for its end; else an arrow, to the leg that begins, or that something is done to."""
    if row.step.kind in {"bridge", "unbridge"}:
        return row.step.kind
    at, to = row.at or 0, row.to or 0
    start, end = (to, at) if row.step.kind == "begin" else (at, to)
    return "arrow right" if start < end else "arrow left"


def _tone(story: Story, row: Row) -> str:
    if row.step.kind == "hangup":
        leg = story.leg(row.step.leg)
        return "calm" if leg is None or leg.cause in {"", *NORMAL} else "grave"
    return row.step.kind


def _letters(story: Story, link: Link) -> str:
    letters = sorted(leg.letter for leg in story.legs if leg.id in (link.a, link.b))
    return " and ".join(letters)


def _facts(leg: Leg) -> Iterator[tuple[str, str]]:
    """What there is to say of a leg, by name."""
    cause = f"{leg.cause} ({leg.cause_text})" if leg.cause_text else leg.cause
    status = f", SIP {leg.sip_status}" if leg.sip_status else ""
    by = f", by the {leg.ended_by}" if leg.ended_by in {"telephone", "switch"} else ""
    yield "ended", f"{cause}{status}{by}" if cause else leg.state
    if leg.answered is not None:
        yield "up for", seconds_of(leg.ended - leg.answered) if leg.ended is not None else "still up"
    if leg.held:
        yield "on hold", seconds_of(leg.held)
    yield "codec", leg.codec_read if leg.codec_read == leg.codec_write else f"{leg.codec_read}, {leg.codec_write}"
    yield "address", leg.address
    yield "telephone", leg.user_agent
    if "mos" in leg.quality:
        skipped = leg.quality.get("packets_skipped", 0)
        yield "quality", f"MOS {leg.quality['mos']:.2f}, {skipped:.0f} packets skipped"
    yield "channel", leg.name
    yield "UUID", leg.id
    yield "was", ", ".join(leg.also)
    yield "Call-ID", leg.sip_call_id
