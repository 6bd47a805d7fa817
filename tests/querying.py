"""Archives that queries are tried on, and what a plain loop over the same events finds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from archiving import batches, write

from switchcast._native import Event, StockFrames
from switchcast.archive.query import Search, Selection
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.settings import ArchiveSettings
from switchcast.endpoints import make_endpoint

FOR_EVER = ArchiveSettings(keep="36500d")  # type: ignore[arg-type]
"""However old the events of a test are."""


def recorded(datagrams: Sequence[tuple[int, bytes]]) -> list[Event]:
    """The recorded events, received when they were."""
    frames = StockFrames()
    return [frames.open(datagram).with_origin("192.0.2.2:4242", time) for time, datagram in datagrams]


def simulated(seconds: int) -> list[Event]:
    """What a simulated cluster of three switches fires in so many seconds."""

    async def read() -> list[Event]:
        async with make_endpoint(f"sim://?nodes=3&cps=2&seed=7&speed=0&for={seconds}s", role="source") as source:
            return [event async for batch in source.batches() for event in batch]

    return asyncio.run(read())


def archived(directory: Path, events: Sequence[Event]) -> Path:
    """An archive of ``events``, in blocks of several sizes."""
    write(directory, *batches(events, 700), settings=FOR_EVER)
    return directory


def search(directory: Path, **wanted: object) -> Search:
    """The search for such a selection."""
    return Search(ArchiveReader(directory), Selection(**wanted))  # type: ignore[arg-type]


def found(directory: Path, **wanted: object) -> list[Event]:
    """The events that a search finds."""
    return [stored.event for some in search(directory, **wanted).batches() for stored in some]


def looped(events: Iterable[Event], taken: Callable[[Event], bool]) -> list[Event]:
    """The same by looking at each."""
    return [event for event in events if taken(event)]
