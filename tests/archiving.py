"""Archives for tests: numbered events, and what an archive gives back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from switchcast._native import Event
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.writing import ArchiveWriter

SECOND = 10**9
DAY = 86_400 * SECOND
NOON = 1_793_534_400 * SECOND
"""2026-11-01 12:00 UTC, in nanoseconds."""

NOBODY = 65_534

Origin = tuple[bytes, str | None, str, str | None]


def numbered(number: int, time: int | None = None, headers: Mapping[str, str] | None = None) -> Event:
    """The event of a number, which came at ``time``, by default a millisecond after the one before it."""
    made = Event("CUSTOM", {"Event-Subclass": "test::archive", "Event-Sequence": str(number), **(headers or {})})
    return made.with_origin("192.0.2.1:4242", NOON + number * 1_000_000 if time is None else time)


def number_of(event: Event) -> int:
    """The number that ``numbered`` gave it."""
    number = event.sequence
    assert number is not None
    return number


def numbers(directory: Path, **options: Any) -> list[int]:
    """The numbers of the events that an archive gives."""
    return [number_of(stored.event) for stored in ArchiveReader(directory).events(**options)]


def origin(event: Event) -> Origin:
    """All of an event but when it was received."""
    return event.to_plain(), event.source, event.trust, event.signer


def write(
    directory: Path,
    *batches: Iterable[Event],
    settings: ArchiveSettings | None = None,
    now: Callable[[], int] = lambda: NOON,
) -> list[str | None]:
    """Write each batch and commit it; the positions that were reported."""
    with ArchiveWriter(directory, settings, now=now) as writer:
        reported = []
        for batch in batches:
            writer.write(batch)
            reported.append(writer.commit().position)
    return reported


def segments(directory: Path) -> list[str]:
    """The names of an archive's segments."""
    return ArchiveReader(directory).segments()


def batches(events: Sequence[Event], size: int) -> list[Sequence[Event]]:
    """``events`` in pieces of ``size``."""
    return [events[at : at + size] for at in range(0, len(events), size)]


@contextmanager
def as_nobody() -> Iterator[None]:
    """As an ordinary user, whom permissions hold back."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)
