"""The events of late, kept once for all who read them, and how each reader gets on in them.

::

    tap ──> Recent: chunk chunk chunk chunk          numbered from 1, the oldest go when there are too many
                      ^           ^      ^
                   reader      reader  readers       each is a number: the next event that it has not been given

No reader has a queue: it has a place. What one has not read yet is what all the others have read, so a reader that is
slow costs nothing but its place; one that falls behind the oldest event reads on in an archive (``way.py``), or is told
how many have gone (``Missed``). An event becomes text once, whoever reads it, and a condition is tried on it once,
however many readers have the same. Pure: no I/O, no clock.
"""

from __future__ import annotations

import bisect
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from switchcast._native import Event, Matcher
from switchcast.app.api.ids import EventId
from switchcast.archive.following import check_of
from switchcast.wire.gap_record import is_gap

__all__ = ["RESTARTED", "TAP", "Known", "Missed", "Place", "Reading", "Recent", "Selection", "rendered"]

TAP: Final = "api"
"""The name of the tap that the events come through."""
RESTARTED: Final = "the node has been started again since"
CHUNK_EVENTS: Final = 64
CHUNK_BYTES: Final = 65_536
"""What a reader is given at once: little enough that no reader keeps the event loop from the line."""
_WARM_CHUNKS: Final = 256
"""Chunks, the newest, whose texts and selections are kept for the next reader: 16,384 events, or 16 MiB of them."""
_MOST_SELECTIONS: Final = 1_024
"""Selections that a chunk remembers the outcome of: a client can think of as many as it likes."""
_BREAKS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""What is no line's end in a stream of events, but is taken for one by many who read lines."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Events that a reader will not get: how many, ``None`` if nobody can know, why, and the id of the next one.

    ``since`` is when the last came that it has been given, or a little before, seconds since 1970, where that is known.
    """

    events: int | None
    why: str
    next: str | None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """An event that can be known again, with its number and by what."""

    event: Event
    number: int
    time: int
    check: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: the number of the next event that it has not been given."""

    number: int


class Selection:
    """Which events a reader wants. Readers that want the same have the same ``key``."""

    def __init__(self, bindings: str = "all", where: str | None = None, node: str = "") -> None:
        """Raises ``BindingError`` and ``ConditionError``."""
        matcher = Matcher(bindings, where or None, node=node)
        self.warnings = matcher.warnings
        self.key = (matcher.bindings, where or None)
        self.matcher = None if self.key == ("ALL", None) else matcher

    def of(self, events: Sequence[Event]) -> tuple[int, ...]:
        """The indices of those wanted. A record of what this host has lost is wanted by everybody."""
        if self.matcher is None:
            return tuple(range(len(events)))
        matches = self.matcher.matches
        return tuple(
            index for index, event in enumerate(events) if matches(event) or (event.trust == "local" and is_gap(event))
        )


@dataclass(slots=True)
class _Chunk:
    """Events that came one after the other. ``first`` is the number of the first, ``time`` when it was received.

    ``keys`` are the time and check in the id of each.
    """

    run: str
    time: int
    first: int
    events: list[Event]
    keys: list[tuple[int, int | None]]
    size: int
    texts: list[bytes | None] = field(default_factory=list)
    selected: dict[tuple[str, str | None], tuple[int, ...]] = field(default_factory=dict)
    warm: bool = True

    @property
    def end(self) -> int:
        return self.first + len(self.events)

    def id_of(self, number: int) -> str:
        """The id of the event of this number."""
        time, check = self.keys[number - self.first]
        return f"{self.run}-{number}-{time:x}" if check is None else f"{self.run}-{number}-{time:x}-{check:08x}"

    def wanted(self, selection: Selection) -> tuple[int, ...]:
        """The indices that ``selection`` wants."""
        found = self.selected.get(selection.key)
        if found is None:
            found = selection.of(self.events)
            if self.warm and len(self.selected) < _MOST_SELECTIONS:
                self.selected[selection.key] = found
        return found

    def cool(self) -> None:
        """Keep no more than the events."""
        self.warm = False
        self.texts = []
        self.selected = {}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader is given: what it has missed, then events; and where it stands then.

    ``numbers`` and ``events`` go together; ``texts`` of them, lines of JSON, are made when they are asked for.
    """

    missed: Missed | None
    place: Place
    numbers: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()
    _chunk: _Chunk | None = field(default=None, repr=False)

    @property
    def time(self) -> int:
        """When the first of the events was received, nanoseconds since 1970."""
        return 0 if self._chunk is None else self._chunk.time

    @property
    def last_id(self) -> str | None:
        """The id of the last event in front of ``place``, wanted or not, where that is one of these."""
        return None if self._chunk is None else self._chunk.id_of(self.place.number - 1)

    def ids(self) -> list[str]:
        """The ids of the events."""
        return [] if self._chunk is None else [self._chunk.id_of(number) for number in self.numbers]

    def id_at(self, index: int) -> str:
        """The id of one of them."""
        return "" if self._chunk is None else self._chunk.id_of(self.numbers[index])

    def texts(self) -> list[bytes]:
        """The events, each as a line of JSON; kept for the next reader where they are of the newest."""
        chunk = self._chunk
        if chunk is None:
            return []
        texts: list[bytes | None] = chunk.texts if chunk.warm else [None] * len(chunk.events)
        if not texts:
            texts = chunk.texts = [None] * len(chunk.events)
        found = []
        for number, event in zip(self.numbers, self.events, strict=True):
            index = number - chunk.first
            text = texts[index]
            if text is None:
                text = texts[index] = rendered(chunk.id_of(number), event)
            found.append(text)
        return found


class Recent:
    """At most ``most`` events and ``size`` bytes of them. ``run`` tells this start of the node from others."""

    def __init__(self, run: str, most: int, size: int) -> None:
        self.run = run
        self.most = most
        self.size = size
        self.events = 0
        self.bytes = 0
        self.first: Known | None = None
        """The first event of this run that can be known again, though it may no longer be kept."""
        self.uncounted = 0
        """The number behind which the numbers count everything: in front of it the tap has lost some."""
        self._key: tuple[int, int] | None = None
        self._numbers: dict[int, int] = {}
        self._chunks: deque[_Chunk] = deque()
        self._by_first: dict[int, _Chunk] = {}
        self._next = 1

    @property
    def oldest(self) -> int:
        """The number of the oldest event kept; that of the next to come, where none is."""
        return self._chunks[0].first if self._chunks else self._next

    @property
    def newest(self) -> Place:
        """Behind the newest event."""
        return Place(self._next)

    def last_id(self, place: Place) -> str | None:
        """The id of the event in front of ``place``, from which on a reader would be resumed, where it is kept."""
        chunk = self._chunk_with(place.number - 1)
        return None if chunk is None else chunk.id_of(place.number - 1)

    def resize(self, most: int, size: int) -> None:
        """Keep this many from now on."""
        self.most, self.size = most, size
        self._trim()

    def add(self, events: Iterable[Event], now: int) -> None:
        """Keep ``events``, which came by ``now``, nanoseconds since 1970."""
        batch: list[Event] = []
        keys: list[tuple[int, int | None]] = []
        size = 0
        for event in events:
            length = len(event.to_plain())
            if batch and (len(batch) >= CHUNK_EVENTS or size + length > CHUNK_BYTES):
                self._append(_Chunk(self.run, batch[0].received or now, self._next, batch, keys, size))
                batch, keys, size = [], [], 0
            keys.append(self._note(event, self._next + len(batch), event.received or now))
            batch.append(event)
            size += length
        if batch:
            self._append(_Chunk(self.run, batch[0].received or now, self._next, batch, keys, size))
        self._trim()

    def number_of(self, event: Event, check: int) -> int | None:
        """The number of ``event``, which has this check, if it is kept and can be known again."""
        number = self._numbers.get(check)
        return number if number is not None and self.event_at(number) == event else None

    def event_at(self, number: int) -> Event | None:
        """The event of this number, if it is kept."""
        chunk = self._chunk_with(number)
        return None if chunk is None else chunk.events[number - chunk.first]

    def resumed(self, last: str | None) -> tuple[Place, Missed | None]:
        """Where a reader stands that was given the event with the id ``last``; ``None``: one that begins now."""
        if last is None:
            return self.newest, None
        found = EventId.parse(last)
        oldest = Place(self.oldest)
        if found is None:
            return oldest, self.missed(None, "that is no id of an event here", oldest)
        since = found.time / 1e9
        if found.run != self.run:
            return oldest, self.missed(None, RESTARTED, oldest, since)
        wanted = found.number + 1
        if wanted > self._next:
            return oldest, self.missed(None, "there has been no such event yet", oldest)
        missed = self.missed_before(Place(wanted), since)
        return (Place(wanted) if missed is None else oldest), missed

    def read(self, place: Place, selection: Selection, most: int = CHUNK_EVENTS) -> Reading | None:
        """What comes next for a reader at ``place``, at most a chunk of it; ``None`` where nothing has come yet."""
        missed = self.missed_before(place)
        if missed is not None:
            place = Place(self.oldest)
        chunk = self._chunk_with(place.number)
        if chunk is None:
            return None if missed is None else Reading(missed, place)
        start = place.number - chunk.first
        wanted = tuple(index for index in chunk.wanted(selection) if index >= start)
        end = chunk.end
        if len(wanted) > most:
            wanted = wanted[:most]
            end = chunk.first + wanted[-1] + 1
        numbers = tuple(chunk.first + index for index in wanted)
        return Reading(missed, Place(end), numbers, tuple(chunk.events[index] for index in wanted), chunk)

    def scan(self, place: Place | None, *, newest_first: bool = False) -> Iterator[Reading]:
        """All from ``place`` on, or with ``newest_first`` all in front of it, backwards; a chunk at a time.

        ``None`` is the beginning, which is the newest with ``newest_first``. It goes over what is kept now, however
        long the caller takes.
        """
        chunks = tuple(self._chunks)
        for chunk in reversed(chunks) if newest_first else chunks:
            numbers = range(chunk.first, chunk.end)
            if place is not None:
                cut = min(max(place.number - chunk.first, 0), len(numbers))
                numbers = numbers[:cut] if newest_first else numbers[cut:]
            if not numbers:
                continue
            order = tuple(reversed(numbers)) if newest_first else tuple(numbers)
            yield Reading(
                None, Place(order[-1]), order, tuple(chunk.events[each - chunk.first] for each in order), chunk
            )

    def missed_before(self, place: Place, since: float | None = None) -> Missed | None:
        """What a reader at ``place`` has missed of what was once kept."""
        oldest = Place(self.oldest)
        lost = oldest.number - place.number
        return self.missed(lost, "they are no longer kept", oldest, since) if lost > 0 else None

    def missed(self, events: int | None, why: str, next_place: Place, since: float | None = None) -> Missed:
        """So many, and what comes behind them."""
        chunk = self._chunk_with(next_place.number)
        return Missed(events, why, None if chunk is None else chunk.id_of(next_place.number), since)

    def _note(self, event: Event, number: int, time: int) -> tuple[int, int | None]:
        """What is to be in the id of an event, by which it is found again if it can be known."""
        if event.core_uuid is not None and event.sequence is not None:
            check = check_of(event)
            self._key = time, check
            self._numbers[check] = number
            self.first = self.first or Known(event, number, time, check)
        elif event.trust == "local" and is_gap(event) and event.get("Gap-Place") == TAP:
            self.uncounted = number
        return self._key or (time, None)

    def _append(self, chunk: _Chunk) -> None:
        self._chunks.append(chunk)
        self._by_first[chunk.first] = chunk
        self._next = chunk.end
        self.events += len(chunk.events)
        self.bytes += chunk.size
        if len(self._chunks) > _WARM_CHUNKS:
            self._chunks[-1 - _WARM_CHUNKS].cool()

    def _trim(self) -> None:
        while len(self._chunks) > 1 and (self.events > self.most or self.bytes > self.size):
            gone = self._chunks.popleft()
            del self._by_first[gone.first]
            self.events -= len(gone.events)
            self.bytes -= gone.size
            for number, (_, check) in enumerate(gone.keys, gone.first):
                if check is not None and self._numbers.get(check) == number:
                    del self._numbers[check]

    def _chunk_with(self, number: int) -> _Chunk | None:
        """The chunk that holds this number."""
        if not self.oldest <= number < self._next:
            return None
        found = self._by_first.get(number)
        if found is not None:
            return found
        firsts = list(self._by_first)  # in order, as they were added; only who begins within a chunk comes here
        return self._by_first[firsts[bisect.bisect_right(firsts, number) - 1]]


def rendered(event_id: str, event: Event) -> bytes:
    """An event as the API tells it: one line of JSON, the members of ``rows.EventRow`` in order."""
    received = "null" if event.received is None else f"{event.received / 1e9:.6f}"
    head = (
        f'{{"id":{json.dumps(event_id)},"received":{received},"source":{json.dumps(event.source)},'
        f'"trust":"{event.trust}","signer":{json.dumps(event.signer)},"event":'
    )
    text = event.to_json()
    if not text.isascii():
        text = text.translate(_BREAKS)
    return head.encode() + text.encode() + b"}"
