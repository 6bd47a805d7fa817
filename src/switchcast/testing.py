"""For the tests of programs that use switchcast: a simulated switch with a real event socket, and a clock to set.

::

    async with switchcast.testing.simulated_switch() as switch:
        async with switchcast.open(switch.url, bindings="HEARTBEAT", role="source") as source:
            switch.fire("HEARTBEAT", {"Session-Count": "3"})
            batch = await anext(source.batches())

For events within one process there is the ``memory:`` endpoint, which needs no helper.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Mapping

from switchcast._native import Event
from switchcast.simulation import Cluster, Switch
from switchcast.simulation.eventsocket import EventSocketServer

__all__ = ["ManualClock", "SimulatedSwitch", "simulated_switch"]


class SimulatedSwitch:
    """One simulated FreeSWITCH that does nothing unless told to, with an event socket on loopback.

    ``url`` is the ``esl:`` URL of its event socket, ``switch`` what it knows (registrations, channels, ...), ``server``
    the event socket itself, whose ``faults`` break it on purpose.
    """

    def __init__(self, cluster: Cluster, password: str) -> None:
        self._cluster = cluster
        self._password = password
        self.switch: Switch = cluster.switches[0]
        self.server = EventSocketServer(self.switch, password=password, emit=lambda _: self._publish())

    @property
    def url(self) -> str:
        """Where its event socket listens, with the password; the port is known once it does."""
        return f"esl://:{self._password}@{self.server.host}:{self.server.port}"

    def fire(self, name: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Event:
        """Fire an event with the headers that the switch gives to every one; its clients get it at once."""
        event = self.switch.fire(name, list((headers or {}).items()), body)
        self._publish()
        return event

    def pass_time(self, seconds: float) -> None:
        """Let the switch live through ``seconds`` at once: heartbeats, registrations that expire."""
        self._publish(seconds)

    def _publish(self, seconds: float = 0.0) -> None:
        self.server.publish([event for _, _, event in self._cluster.advance(self._cluster.now + seconds)])


@contextlib.asynccontextmanager
async def simulated_switch(*, password: str = "ClueCon", seed: int = 1) -> AsyncIterator[SimulatedSwitch]:  # noqa: S107
    """A switch whose event socket listens as long as the block lasts. The same ``seed`` gives the same events."""
    switch = SimulatedSwitch(Cluster(nodes=1, cps=0.0, seed=seed), password)
    async with switch.server:
        yield switch


class ManualClock:
    """A clock that stands still until it is told to go on, for whatever takes ``clock`` and ``sleep``."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def time(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved on by ``seconds``."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Move the clock on, and wake whoever has slept long enough, in the order of their times."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
