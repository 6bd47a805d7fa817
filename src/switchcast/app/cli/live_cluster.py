"""A simulated cluster in step with the clock, each of its switches with an event socket of its own."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Self

from switchcast._native import Event
from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.sim import SimEndpoint
from switchcast.errors import EndpointUnavailable
from switchcast.simulation.eventsocket import EventSocketServer

__all__ = ["LiveCluster"]


class LiveCluster:
    """The cluster of a ``sim:`` URL, served on ``host``, the first switch's event socket on ``port`` and so on.

    With port 0 each takes a free one. ``fired`` counts events by the switch's name.
    """

    def __init__(self, url: str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.source = SimEndpoint(EndpointUrl.parse(url), role="source")
        self.switches = self.source.cluster.switches
        # What a client fires is among the cluster's own events, so the servers need not pass it on themselves.
        self.servers = [
            EventSocketServer(switch, host, port + index if port else 0, emit=lambda _: None)
            for index, switch in enumerate(self.switches)
        ]
        self.fired: Counter[str] = Counter()
        self._by_source = {f"sim:{switch.index + 1}": index for index, switch in enumerate(self.switches)}
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in self.servers:
            try:
                await self._opened.enter_async_context(server)
            except OSError as error:
                await self._opened.aclose()
                where = f"{server.host}:{server.port}"
                raise EndpointUnavailable(f"no event socket on {where}: {error.strerror}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.source.close()
        await self._opened.aclose()

    def publish(self, events: Sequence[Event]) -> None:
        """Give each event to the event socket of the switch that fired it."""
        for source, group in groupby(events, key=lambda event: event.source):
            index = self._by_source[source or ""]
            batch = list(group)
            self.fired[self.switches[index].name] += len(batch)
            self.servers[index].publish(batch)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """What the cluster fires, each batch published already."""
        async for batch in self.source.batches():
            self.publish(batch)
            yield batch
