"""``memory:name``: a line inside this process, for tests and for programs that feed themselves.

Every source that is open on a name gets what any sink sends to that name from then on. Nothing is kept for those who
open later. A source that falls behind loses its oldest events, so that it never holds up a sink; ``queue=`` is the
number of events it keeps waiting (65,536).

Sources and sinks meet within one event loop. The same name in another loop, in another thread then, is another line.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from weakref import WeakKeyDictionary

from switchcast._native import Event, Matcher
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UrlError

__all__ = ["MemoryEndpoint"]

BATCH_EVENTS = 1_024
"""Events that a source hands over at a time."""

_listening: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, list[MemoryEndpoint]]] = WeakKeyDictionary()


class MemoryEndpoint(Endpoint):
    """One end of an in-process line. For a source ``received = delivered + unmatched + queue_overflow + waiting``."""

    is_source = True
    is_sink = True

    def __init__(self, url: EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> None:
        super().__init__(url, matcher=matcher, role=role)
        url.only(("queue",))
        if not url.path or url.hosts:
            raise UrlError(f"{url}: a memory: endpoint needs a name, as in memory:events")
        self._limit = url.integer("queue", 65_536, 1, 10_000_000)
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._lines: dict[str, list[MemoryEndpoint]] | None = None
        self._received = self._delivered = self._unmatched = self._overflow = self._sent = 0

    async def open_source(self) -> None:
        self.check_open()
        if self._lines is None:
            self._lines = _listening.setdefault(asyncio.get_running_loop(), {})
            self._lines.setdefault(self.url.path, []).append(self)

    async def open_sink(self) -> None:
        self.check_open()

    async def batches(self) -> AsyncIterator[list[Event]]:
        await self.open_source()
        while not self.closed:
            if self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_EVENTS))]
                self._delivered += len(batch)
                yield batch
            else:
                self._arrived.clear()
                await self._arrived.wait()

    async def send(self, events: Sequence[Event]) -> None:
        self.check_open()
        lines = _listening.get(asyncio.get_running_loop(), {})
        for source in lines.get(self.url.path, ()):
            source._take(events)
        self._sent += len(events)
        await asyncio.sleep(0)  # a sink that never lets go would starve those it feeds

    def counters(self) -> dict[str, int]:
        return {
            "received": self._received,
            "delivered": self._delivered,
            "unmatched": self._unmatched,
            "queue_overflow": self._overflow,
            "waiting": len(self._queue),
            "sent": self._sent,
        }

    async def close(self) -> None:
        self.closed = True
        if self._lines is not None:
            others = [source for source in self._lines.pop(self.url.path, []) if source is not self]
            if others:
                self._lines[self.url.path] = others
            self._lines = None
        self._arrived.set()

    def _take(self, events: Sequence[Event]) -> None:
        self._received += len(events)
        wanted = list(events) if self.matcher is None else self.matcher.select(events)
        self._unmatched += len(events) - len(wanted)
        self._queue.extend(wanted)
        while len(self._queue) > self._limit:
            self._queue.popleft()
            self._overflow += 1
        self._arrived.set()
