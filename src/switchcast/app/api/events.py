"""``/events``: what has been, from the node's archive or its memory; ``/events/stream``: what comes, as it comes."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query
from pydantic import AfterValidator, Field, WithJsonSchema
from starlette.responses import Response

from switchcast.app.api.aside import Aside, Deadline
from switchcast.app.api.facts import Facts
from switchcast.app.api.guard import STREAM_PATH
from switchcast.app.api.hub import Hub
from switchcast.app.api.ids import EventId
from switchcast.app.api.problems import Problem
from switchcast.app.api.recent import Missed, Place, Selection, rendered
from switchcast.app.api.reply import Described, Page, Parameters, problems
from switchcast.app.api.stream import EventStream
from switchcast.archive.following import Following, position_at
from switchcast.archive.reading import ArchiveReader, Block
from switchcast.archive.terms import Term, TermFilter
from switchcast.archive.times import parse_time
from switchcast.errors import BindingError, ConditionError, EndpointError, UsageError

__all__ = ["EventPage", "EventRow", "MissedRow", "events_router"]

MOST_ROWS: Final = 1_000
_CHUNKS_A_TURN: Final = 16
"""Chunks that are looked through before the event loop turns: 1,024 events, half a millisecond with a condition."""


class EventRow(Described):
    """An event."""

    id: str = Field(examples=["5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c", "2026-11-23-0000/000000000042"])
    """Which it is, here: to go on behind it, with ``after`` or ``Last-Event-ID``. Nothing can be read from it."""
    received: float | None = Field(examples=[1795462923.125])
    """When it was received, seconds since 1970; null for one that the node made itself."""
    source: str | None = Field(examples=["192.0.2.7:4242"])
    """The address that its datagram came from, where one did."""
    trust: Literal["stock", "local", "member", "signed"] = Field(examples=["stock"])
    """What vouches for it: ``stock``, nothing; ``local``, it did not come as a datagram; ``member``, someone with the
    group's key; ``signed``, the holder of a signing key."""
    signer: str | None = Field(examples=[None])
    """Whose signature, where it is ``signed``."""
    event: dict[str, Any] = Field(examples=[{"Event-Name": "HEARTBEAT", "FreeSWITCH-Switchname": "fs1"}])
    """Its headers, decoded, as the event socket's JSON has them: a text, or of arrays and repeated headers a list of
    texts; ``_body`` is the body. A byte that is not UTF-8 is a lone surrogate's escape."""


class MissedRow(Described):
    """Events that are not told, because they are no longer there."""

    events: int | None = Field(examples=[812])
    """How many, of all kinds; null where nobody can know."""
    why: str = Field(examples=["they are no longer kept"])
    """Why."""
    next: str | None = Field(examples=["5f0c6a1e-830-18a3c0f2d1b2a400-8b7a6c5d"])
    """The id of the first that is there, if there is one."""
    since: float | None = Field(examples=[1795462923.125])
    """When the last came that was told before, or a little earlier, where that is known: an archive can be asked for
    what came since."""


class EventPage(Page[EventRow]):
    """Some of the events."""

    origin: Literal["archive", "memory"] = Field(examples=["memory"])
    """Where they come from: the node's archive, or, where it has none, the events of late in its memory."""
    missed: MissedRow | None = None
    """With ``order=oldest`` and ``after``: what has gone meanwhile, and is missing in front of these rows."""


def _instant(text: str) -> str:
    _nanoseconds(text)
    return text


def _nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 of ``text``: seconds since then, or what ``switchcast query`` takes."""
    if not _SECONDS.fullmatch(text):
        return parse_time(text, time.time_ns())
    seconds = Decimal(text)
    if seconds > _LAST_SECOND:
        raise ValueError(f"write seconds since 1970, at most {_LAST_SECOND:,}")
    return int(seconds * 1_000_000_000)


_LAST_SECOND: Final = 9_999_999_999
_BINDINGS: Final = r"^[!-+\--~]{1,128}([ ,]+[!-+\--~]{1,128}){0,127}$"
Instant = Annotated[
    str,
    AfterValidator(_instant),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": _LAST_SECOND},
                {"type": "string", "pattern": "^[1-9][0-9]{0,2}[smhd]$"},
                {
                    "type": "string",
                    "pattern": r"^20\d{2}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3])(:[0-5]\d){2}Z$",
                },
            ]
        }
    ),
]
"""What a description can say of it; more is understood: fractions, offsets, ``today``."""
_SECONDS: Final = re.compile(r"[0-9]{1,24}(?:\.[0-9]{0,24})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
Text = Annotated[str, Field(min_length=1, max_length=256)]


class Wanted(Parameters):
    """Which events."""

    bindings: str = Field(default="all", pattern=_BINDINGS, examples=["HEARTBEAT CUSTOM sofia::register"])
    """Which events, in FreeSWITCH's own words: names, and after ``CUSTOM`` subclasses."""
    where: str | None = Field(
        default=None,
        max_length=4096,
        json_schema_extra={"format": "cel"},
        examples=['h["Caller-Destination-Number"] == "1000"'],
    )
    """Which of those: a condition in CEL."""

    def selection(self, node: str) -> Selection:
        """These, compiled. Raises ``Problem``."""
        try:
            return Selection(self.bindings, self.where, node)
        except BindingError as error:
            raise Problem(
                422, str(error), "write all, or event names and CUSTOM subclasses", "query: bindings"
            ) from None
        except ConditionError as error:
            raise Problem(422, str(error), "see docs/selecting.md for what can be asked", "query: where") from None


class EventParameters(Wanted):
    """Which events, in which order, from where on."""

    number: Text | None = Field(default=None, examples=["1000"])
    """Only events in which this number calls or is called."""
    call: Text | None = Field(default=None, examples=["6d5b2c1e-0f6a-4a57-9f4e-000000000017"])
    """Only events of the call with this Unique-ID, Channel-Call-UUID or SIP Call-ID."""
    user: Text | None = Field(default=None, examples=["1000@example.com"])
    """Only events of this user; without ``@`` in any domain."""
    sender: Text | None = Field(default=None, examples=["fs1"])
    """Only events that this switch has fired."""
    since: Instant | None = Field(default=None, examples=["2026-11-23T20:42:03Z"])
    """Only events received from this time on: seconds since 1970, ISO 8601, or ``2h`` for two hours ago. A time without
    an offset is the node's own."""
    until: Instant | None = Field(default=None, examples=["1795462923.5"])
    """Only events received before this time."""
    order: Literal["newest", "oldest"] = Field(default="newest", examples=["newest"])
    """Which come first."""
    after: str | None = Field(default=None, max_length=128, examples=["5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c"])
    """Go on behind this event, in that order: the ``next`` of the page before, or any event's ``id``."""
    limit: int = Field(default=100, ge=1, le=MOST_ROWS, examples=[100])
    """At most so many."""

    def terms(self) -> list[Term]:
        """What an event has to have, all of it."""
        makers = ((self.number, Term.number), (self.user, Term.user), (self.sender, Term.node))
        return [make(text) for text, make in makers if text is not None]

    def calls(self) -> list[Term]:
        """Of these an event has to have one."""
        return [] if self.call is None else [Term.uuid(self.call), Term.call_id(self.call)]

    def span(self) -> tuple[int | None, int | None]:
        """From when to before when, nanoseconds since 1970."""
        since, until = (None if each is None else _nanoseconds(each) for each in (self.since, self.until))
        return since, until


class StreamParameters(Wanted):
    """Which events, and from where on."""

    last_event_id: str | None = Field(default=None, max_length=128, examples=["5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c"])
    """Go on behind the event with this id, as with the header ``Last-Event-ID``, which wins."""


_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Server-sent events. The ``data`` of an event is an EventRow, that of an ``event: gap`` either "
        "an EventRow with a gap record, of what the node has not heard, or a MissedRow, of what this client was too "
        "slow or too late for. Comments, and ids without data, are heartbeats.",
        "content": {
            "text/event-stream": {
                "schema": {  # of each event, as it is understood before OpenAPI 3.2
                    "type": "object",
                    "required": ["data"],
                    "properties": {
                        "id": {"type": "string"},
                        "event": {"enum": ["message", "gap"]},
                        "data": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {
                                "anyOf": [
                                    {"$ref": f"#/components/schemas/{each}"} for each in ("EventRow", "MissedRow")
                                ]
                            },
                        },
                    },
                },
                "example": {
                    "id": "5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c",
                    "data": '{"id":"5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c","received":1795462923.125,"source":null,'
                    '"trust":"local","signer":null,"event":{"Event-Name":"HEARTBEAT"}}',
                },
            }
        },
    }
}


def events_router(facts: Facts, hub: Hub, aside: Aside, node: str) -> APIRouter:
    """The paths."""
    router = APIRouter(tags=["events"])

    @router.get("/events", response_model=EventPage, responses=problems(404))
    async def events(wanted: Annotated[EventParameters, Query()]) -> Response:
        """Events that have been: from the archive where the node keeps one, else the events of late in its memory.

        The newest come first, unless ``order`` says otherwise.
        """
        selection = wanted.selection(node)
        directory = facts.archive()
        if directory is None:
            return await _from_memory(hub, wanted, selection)
        return await aside.run(lambda: _from_archive(directory, wanted, selection))

    @router.get(STREAM_PATH.removeprefix("/api/v1"), responses=problems() | _STREAM, response_class=Response)
    async def stream(
        wanted: Annotated[StreamParameters, Query()],
        last_event_id: Annotated[
            str | None, Header(max_length=128, examples=["5f0c6a1e-17-18a3c0f2d1b2a400-1f2e3d4c"])
        ] = None,
    ) -> Response:
        """Events as they come, until the client leaves, as server-sent events.

        Give the id of the last event that came to go on behind it. What memory no longer has comes from the node's
        archive; what is not there either is told as a gap. A slow client holds up nobody else.
        """
        selection = wanted.selection(node)
        if hub.full:
            hub.counts["streams_refused"] += 1
            raise Problem(
                503,
                f"{hub.most} clients read the stream",
                "try again later, or raise streams in [api]",
                headers={"Retry-After": "10"},
            )
        return EventStream(hub, selection, last_event_id or wanted.last_event_id)

    return router


async def _from_memory(hub: Hub, wanted: EventParameters, selection: Selection) -> Response:
    recent = hub.recent
    newest_first = wanted.order == "newest"
    place: Place | None = None
    missed: Missed | None = None
    if wanted.after is not None:
        place, missed = recent.resumed(wanted.after)
        if missed is not None and (newest_first or missed.events is None):
            raise Problem(404, missed.why, "begin anew, without it", "query: after")
        if newest_first:
            place = Place(place.number - 1)
    terms, calls = TermFilter(every=wanted.terms()), TermFilter(wanted.calls())
    since, until = wanted.span()
    rows: list[bytes] = []
    last = ""
    for turn, reading in enumerate(recent.scan(place, newest_first=newest_first)):
        if turn % _CHUNKS_A_TURN == _CHUNKS_A_TURN - 1:
            await asyncio.sleep(0)
        for index in selection.of(reading.events):
            event, event_id = reading.events[index], reading.id_at(index)
            came = event.received or reading.time
            if (since is not None and came < since) or (until is not None and came >= until):
                continue
            if (terms and not terms.matches(event)) or (calls and not calls.matches(event)):
                continue
            if len(rows) == wanted.limit:
                return _page(rows, last, "memory", missed)
            rows.append(rendered(event_id, event))
            last = event_id
    return _page(rows, None, "memory", missed)


def _from_archive(directory: Path, wanted: EventParameters, selection: Selection) -> Response:
    """The same from an archive; in a thread. A search that takes long gives what it has, and how to go on."""
    rows: list[bytes] = []
    last = ""
    newest_first = wanted.order == "newest"
    search = _Search(newest_first)
    since, until = wanted.span()
    try:
        stored = ArchiveReader(directory).events(
            since,
            until,
            wanted.calls(),
            selection.matcher,
            every=wanted.terms(),
            newest_first=newest_first,
            after=None if wanted.after is None else _position(directory, wanted.after),
            passing=search.passing,
        )
        for each in stored:
            if len(rows) == wanted.limit:
                return _page(rows, last, "archive", None)
            rows.append(rendered(each.position, each.event))
            last = each.position
    except _LateError:
        return _page(rows, search.reached, "archive", None)
    except UsageError as error:
        raise Problem(404, str(error), "begin anew, without it", "query: after") from None
    except EndpointError as error:
        raise Problem(503, str(error), "see the node's log", headers={"Retry-After": "10"}) from None
    return _page(rows, None, "archive", None)


class _LateError(Exception):
    """A search has gone on for long enough."""


class _Search:
    """How far a search has come, and how long it may go on."""

    def __init__(self, newest_first: bool) -> None:
        self.reached: str | None = None
        self._newest_first = newest_first
        self._looked_into: Block | None = None
        self._deadline = Deadline()

    def passing(self, block: Block) -> None:
        """The next block; raises ``_LateError``, but never in front of the first."""
        if (before := self._looked_into) is not None:
            number = before.first if self._newest_first else before.first + before.count - 1
            self.reached = position_at((before.segment, number))
            if self._deadline.passed:
                raise _LateError
        self._looked_into = block


def _position(directory: Path, event_id: str) -> str:
    """The position of an event that is named by it, or as the stream does. Raises ``UsageError`` where it has gone."""
    found = EventId.parse(event_id)
    if found is None:
        return event_id
    mark = None if found.check is None else Following(directory).find(found.time, found.check)
    if mark is None:
        raise UsageError("the archive does not have the event with this id")
    return position_at(mark)


def _page(rows: list[bytes], after: str | None, origin: str, missed: Missed | None) -> Response:
    """The rows, which are JSON already."""
    told = "null" if missed is None else MissedRow(**asdict(missed)).model_dump_json()
    tail = (
        f'],"next":{"null" if after is None else f"{chr(34)}{after}{chr(34)}"},"origin":"{origin}","missed":{told}}}\n'
    )
    return Response(b'{"rows":[' + b",".join(rows) + tail.encode(), media_type="application/json")
