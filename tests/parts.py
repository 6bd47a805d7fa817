"""Sources and sinks for the tests of nodes: ones that give what they are told to, and keep what they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from switchcast import Event
from switchcast.bus import DROP_REASONS
from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.node import Node

GENEROUS = 20.0
CORES = ("4f7a2b1c-0001", "4f7a2b1c-0002", "4f7a2b1c-0003")


def numbered(count: int, first: int = 0, **headers: str) -> list[Event]:
    return [Event("TRAP", {"Number": str(number), **headers}) for number in range(first, first + count)]


def fired(core: int, sequence: int, *, source: str | None = None, name: str = "TRAP") -> Event:
    """An event that has the pair by which duplicates are known."""
    headers = {"Core-UUID": CORES[core], "Event-Sequence": str(sequence), "Number": str(sequence)}
    return Event(name, headers).with_origin(source, None)


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(event["Number"]) for event in events if "Number" in event]


class Given(MemoryEndpoint):
    """A source that yields what it was given, then ends, or fails with ``error``, or goes on with what is sent."""

    def __init__(
        self, *batches: list[Event], name: str = "given", error: Exception | None = None, endless: bool = False
    ) -> None:
        super().__init__(EndpointUrl.parse(f"memory:{name}"), role="source")
        self.given = batches
        self.error = error
        self.endless = endless
        self.opened = self.closings = 0

    async def open_source(self) -> None:
        self.opened += 1
        await super().open_source()

    async def close(self) -> None:
        self.closings += 1
        await super().close()

    async def batches(self) -> AsyncIterator[list[Event]]:
        for batch in self.given:
            yield batch
        if self.error:
            raise self.error
        if self.endless:
            async for batch in super().batches():
                yield batch


class Keeping(MemoryEndpoint):
    """A sink that keeps what it is sent; ``obstacle`` may raise first, and ``gate`` holds it up while it is not set."""

    def __init__(self, name: str = "kept", obstacle: Callable[[Sequence[Event]], object] | None = None) -> None:
        super().__init__(EndpointUrl.parse(f"memory:{name}"), role="sink")
        self.kept: list[Event] = []
        self.obstacle = obstacle
        self.gate = asyncio.Event()
        self.gate.set()
        self.opened = self.closings = 0

    async def open_sink(self) -> None:
        self.opened += 1
        await super().open_sink()

    async def close(self) -> None:
        self.closings += 1
        await super().close()

    async def send(self, events: Sequence[Event]) -> None:
        await self.gate.wait()
        if self.obstacle is not None:
            self.obstacle(events)
        self.kept += events


@asynccontextmanager
async def running(node: Node) -> AsyncIterator[Node]:
    """``node``, running as long as the block lasts, then stopped and its sums checked."""
    task = asyncio.create_task(node.run())
    ready = asyncio.create_task(node.ready.wait())
    try:
        async with asyncio.timeout(GENEROUS):
            await asyncio.wait([task, ready], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield node
    finally:
        ready.cancel()
        node.stop()
        await asyncio.wait_for(task, GENEROUS)
    assert_sums_agree(node)


def assert_sums_agree(node: Node) -> None:
    """What came in is all accounted for, in every part, once nothing is under way."""
    for feed in node.feeds.values():
        assert feed.received == feed.refused + feed.duplicates + feed.passed
        for lane in feed.lanes:
            assert feed.passed >= sum(lane.counters().values())
    for outlet in node.outlets.values():
        counts = outlet.counters()
        dropped = sum(counts[f"dropped_{reason}"] for reason in DROP_REASONS)
        assert counts["offered"] == counts["delivered"] + dropped + counts["queued"]
        assert counts["delivered"] == counts["sent"] + counts["guarded"]


def run(node: Node) -> None:
    """Run ``node`` to its end by itself."""
    asyncio.run(asyncio.wait_for(node.run(), GENEROUS))
    assert_sums_agree(node)
