"""Runs of a node, step by step, and clients of its stream that come and go: what a stream is resumed over."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parts import CORES
from starlette.types import Message

from switchcast import Event
from switchcast.app.api.hub import Hub
from switchcast.app.api.recent import Selection
from switchcast.app.api.settings import ApiSettings
from switchcast.app.api.stream import EventStream
from switchcast.archive.writing import ArchiveWriter
from switchcast.node import Node, Route, Sink, Source

PATIENCE = 5.0
NOON = 1_795_435_200_000_000_000


def event(number: int, received: int | None = None, **headers: str) -> Event:
    """As a switch fires it: through the event socket, where nothing says when it was received, or as a datagram."""
    known = {"Core-UUID": CORES[0], "Event-Sequence": str(number), "Number": str(number)}
    made = Event("TRAP" if number % 3 else "HEARTBEAT", known | headers)
    return made if received is None else made.with_origin("192.0.2.7:4242", received)


def events(first: int, count: int, received: int | None = None) -> list[Event]:
    """Some of them, all received in one batch."""
    return [event(number, received) for number in range(first, first + count)]


@dataclass(frozen=True)
class Told:
    """What a client has been told: an event with its id, or a gap."""

    id: str
    kind: str
    data: Any

    @property
    def number(self) -> int | None:
        """Which event it is, if it is one."""
        return int(self.data["event"]["Number"]) if self.kind == "message" else None


class Run:
    """One run of a node, step by step: what its stream has had, and what its archive has been given and committed."""

    def __init__(self, directory: Path, clock: int = NOON, **settings: int) -> None:
        self.clock = clock
        self.pending: list[Event] = []
        route = Route(Source("memory:in", name="in"), [Sink(f"archive:{directory}?commit=1ms", name="history")])
        self.hub = Hub(Node([route], name="fs1"), ApiSettings.model_validate(settings))
        self.writer = ArchiveWriter(directory, now=lambda: self.clock)

    def hear(self, heard: Sequence[Event], kept: Sequence[Event] | None = None) -> None:
        """The stream has these, and so has the archive, or just what is to be ``kept``."""
        self.clock += 1_000_000
        self.hub.recent.add(heard, self.clock)
        self.pending += heard if kept is None else kept

    def commit(self) -> None:
        """Have the archive write what it has been given."""
        self.writer.write(self.pending)
        self.writer.commit()
        self.pending = []

    async def read(
        self,
        last: str | None,
        most: int,
        selection: Selection | None = None,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> list[Told]:
        """What a client is told that leaves after ``most`` events, or when there is nothing more for it.

        ``meanwhile`` is what happens while it takes a piece.
        """
        told: list[Told] = []
        leaving = asyncio.Event()

        async def receive() -> Message:
            await leaving.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            told.extend(parsed(message.get("body", b"")))
            if meanwhile is not None:
                await meanwhile()
            if len(told) >= most:
                leaving.set()
                await asyncio.sleep(0)

        stream = EventStream(self.hub, selection or Selection(), last)
        reading = asyncio.create_task(stream({"type": "http"}, receive, send))
        async with asyncio.timeout(PATIENCE):
            while not reading.done():
                at_end = stream._way is None and stream._place == self.hub.recent.newest
                if at_end:
                    for _ in range(4):
                        await asyncio.sleep(0)
                    leaving.set()
                await asyncio.wait([reading], timeout=0.001)
            await reading
        return told[:most] if len(told) > most else told


@contextlib.asynccontextmanager
async def running(run: Run) -> AsyncIterator[Run]:
    """The run, which ends as in a crash: what no commit has returned for is lost."""
    try:
        yield run
    finally:
        run.writer.close()
        await run.hub.past.close()


def parsed(piece: bytes) -> Iterator[Told]:
    """The events of a piece of a stream, which ends with one."""
    for block in piece.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            yield Told(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))


def accounted(told: Sequence[Told]) -> list[int | None]:
    """Check that each event came once, in order, and that what is missing is told; what the gaps say.

    A gap with a number is about the events in front of the next one. One without may be about any as long as those
    come that an earlier run has numbered: until the ids are of another run.
    """
    gaps: list[int | None] = []
    before, counted, unsure, run = -1, 0, False, ""
    for each in told:
        if each.number is None:
            gaps.append(each.data["events"])
            counted += each.data["events"] or 0
            unsure = unsure or each.data["events"] is None
            continue
        missing = each.number - before - 1
        assert missing >= 0, f"{each.number} after {before}"
        assert missing == counted or (unsure and missing > counted), (before, each.number, counted)
        if run and each.id.split("-", maxsplit=1)[0] != run:
            unsure = False
        before, counted, run = each.number, 0, each.id.split("-", maxsplit=1)[0]
    return gaps


class Client:
    """One that comes back with the id of the last event it has had, as often as it likes."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.told: list[Told] = []

    async def begin(self, run: Run) -> None:
        """Be given what is there, from the first event on."""
        self.last = f"{run.hub.recent.run}-0-0"
        await self.read(run)

    async def read(
        self,
        run: Run,
        most: int = 1_000_000,
        selection: Selection | None = None,
        meanwhile: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Come back, and leave again as in ``Run.read``."""
        told = await run.read(self.last, most, selection, meanwhile)
        while told and told[-1].number is None:  # it is told again, for it has no id
            told.pop()
        self.told += told
        self.last = told[-1].id if told else self.last

    @property
    def numbers(self) -> list[int]:
        """The events that it has had."""
        return [each.number for each in self.told if each.number is not None]


def accounted_sum(told: Sequence[Told]) -> int:
    """How many events the gaps tell of, all of which say how many."""
    return sum(each.data["events"] for each in told if each.number is None)
