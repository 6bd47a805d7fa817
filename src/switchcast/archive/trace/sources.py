"""Where a trace looks things up: an archive on disk, or events that were collected from anywhere else."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from switchcast._native import Event
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.terms import Term, terms_of
from switchcast.archive.trace.following import Search
from switchcast.archive.trace.sightings import sighting
from switchcast.archive.trace.steps import command_of
from switchcast.wire.gap_record import GAP_SUBCLASS

__all__ = ["MOST_COLLECTED", "Collected", "in_archive"]

MOST_COLLECTED: Final = 100_000
"""Events of calls that are kept from a source that cannot be asked again; each takes some three kilobytes. Of more the
oldest are let go."""


def in_archive(reader: ArchiveReader, begin: int | None = None, end: int | None = None) -> Search:
    """A search in an archive from ``begin`` up to before ``end`` (ns since 1970 UTC), newest events first."""

    def search(terms: Collection[Term], since: float | None = None, until: float | None = None) -> Iterator[Event]:
        first = [time for time in (begin, None if since is None else int(since * 1e9)) if time is not None]
        last = [time for time in (end, None if until is None else int(until * 1e9)) if time is not None]
        for stored in reader.events(max(first, default=None), min(last, default=None), terms, newest_first=True):
            yield stored.event

    return search


class Collected:
    """Events from a source that goes by only once: what can be of a call is kept, and looked up when all are there.

    ``taken`` counts all that came, ``let_go`` those of calls that there was no room for.
    """

    def __init__(self, most: int = MOST_COLLECTED) -> None:
        self._events: deque[Event] = deque(maxlen=most)
        self._index: dict[int, list[int]] | None = None
        self.taken = 0
        self.let_go = 0

    def __len__(self) -> int:
        return len(self._events)

    def take(self, events: Iterable[Event]) -> None:
        """Keep those of ``events`` that a trace can use."""
        self._index = None
        for event in events:
            self.taken += 1
            if _is_of_a_call(event):
                self.let_go += len(self._events) == self._events.maxlen
                self._events.append(event)

    def __call__(
        self, terms: Collection[Term], since: float | None = None, until: float | None = None
    ) -> Iterator[Event]:
        """The search."""
        if self._index is None:
            self._index = self._indexed()
        events = list(self._events)
        found = {place for term in terms for place in self._index.get(term.hash, ())}
        for place in sorted(found, reverse=True):
            event = events[place]
            received = (event.received or 0) / 1e9
            if event.received is None or ((since or received) <= received <= (until or received)):
                yield event

    def _indexed(self) -> dict[int, list[int]]:
        index: dict[int, list[int]] = {}
        for place, event in enumerate(self._events):
            for number in {term.hash for term in _terms_of(event)}:
                index.setdefault(number, []).append(place)
        return index


def _is_of_a_call(event: Event) -> bool:
    seen = sighting(event)
    if seen is None:
        return False
    return bool(seen.leg or seen.kind in {GAP_SUBCLASS, "conference::maintenance"} or command_of(seen)[0])


def _terms_of(event: Event) -> Iterator[Term]:
    """What an archive knows it by, and what a leg is tied to besides; of a refired event what it was."""
    yield from terms_of(event)
    seen = sighting(event)
    if seen is None:
        return
    if seen.prefix:
        plain = [(name.removeprefix(seen.prefix), value) for name, value in event.items()]
        yield from terms_of(Event.from_headers([(name, value) for name, value in plain if name]))
    for one, reference in seen.references:
        yield Term.uuid(one)
        yield Term.uuid(reference.to)
    yield from map(Term.uuid, command_of(seen)[1])
