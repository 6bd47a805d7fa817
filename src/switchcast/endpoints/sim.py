"""``sim://?nodes=3&cps=20&seed=1``: events of a simulated cluster, the same for the same URL.

============= ========= ===========================================================================================
option        default   meaning
============= ========= ===========================================================================================
``nodes``     3         switches, ``fs1`` and following
``cps``       1         calls that begin per second in the whole cluster
``seed``      1         decides everything that is random
``users``     20 a node users in the whole cluster
``heartbeat`` 20        seconds between a switch's HEARTBEATs
``talk``      8         seconds of conversation on average
``expires``   60        seconds for which a user registers
``start``     2025      seconds since 1970 UTC at which virtual time begins, or ``now``; only what dates read hangs on
                        it. Fixed by default (2025-01-01), so that two runs of one URL are the same, byte for byte
``speed``     1         virtual seconds per second; 0 is as fast as it goes
``for``       endless   virtual time after which the source ends: ``20s``, ``5m``, ``1h``, or seconds
============= ========= ===========================================================================================

An event's ``source`` is ``sim:1`` for one of ``fs1``, and its ``received`` is its own virtual date.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from typing import ClassVar

from switchcast._native import Event, Matcher
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UrlError
from switchcast.simulation.cluster import DEFAULT_START, MAX_NODES, MAX_USERS, USERS_PER_NODE, Cluster

__all__ = ["SimEndpoint", "cluster_from_url"]

CLUSTER_OPTIONS = ("nodes", "cps", "seed", "users", "heartbeat", "talk", "expires", "start")
OPTIONS = (*CLUSTER_OPTIONS, "speed", "for")

TICK_SECONDS = 0.01
"""How often a source in real time looks what is due; how late an event may be."""
BATCH_EVENTS = 512
"""How many events a batch should have where there is no need to wait: between batches others have their turn."""
FIRST_STEP, SHORTEST_STEP, LONGEST_STEP = 0.01, 1e-5, 60.0
"""Virtual seconds turned on at once; what ``BATCH_EVENTS`` makes of it is found out on the way."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class SimEndpoint(Endpoint):
    """A source of simulated events. ``cluster`` is the cluster itself, which tests may look into."""

    is_source: ClassVar[bool] = True

    def __init__(self, url: EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> None:
        super().__init__(url, matcher=matcher, role=role)
        url.only(OPTIONS)
        self.speed = url.number("speed", 1.0, 0.0, 1e6)
        self.limit = duration(url, "for")
        self.cluster = cluster_from_url(url)
        self._events = self._unmatched = self._batches = 0
        self._closing = asyncio.Event()

    async def batches(self) -> AsyncIterator[list[Event]]:
        """What happens in the cluster, from its start (or from where an earlier iteration ended)."""
        self.check_open()
        began = time.monotonic() - (self.cluster.now / self.speed if self.speed else 0.0)
        step = FIRST_STEP
        while not self.closed and self.cluster.now < self.limit:
            due = min((time.monotonic() - began) * self.speed, self.limit) if self.speed else self.limit
            hurry = due - self.cluster.now > step
            fired = self._advance(self.cluster.now + step if hurry else due)
            if len(fired) > BATCH_EVENTS:
                step = max(step / 2, SHORTEST_STEP)
            elif hurry and len(fired) < BATCH_EVENTS // 2:
                step = min(step * 1.5, LONGEST_STEP)
            wanted = fired if self.matcher is None else self.matcher.select(fired)
            self._unmatched += len(fired) - len(wanted)
            if wanted:
                self._batches += 1
                yield wanted
            await self._rest(0 if hurry else TICK_SECONDS)

    def _advance(self, until: float) -> list[Event]:
        fired = [event for _, _, event in self.cluster.advance(until)]
        self._events += len(fired)
        return fired

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond ``close``; with 0, let others have their turn."""
        if not seconds:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def counters(self) -> dict[str, int]:
        """``events`` fired, ``unmatched`` ones of them, ``batches``, ``calls`` begun, ``virtual_ms`` passed."""
        return {
            "events": self._events,
            "unmatched": self._unmatched,
            "batches": self._batches,
            "calls": self.cluster.calls_started,
            "virtual_ms": int(self.cluster.now * 1000),
        }

    async def close(self) -> None:
        self.closed = True
        self._closing.set()


def cluster_from_url(url: EndpointUrl) -> Cluster:
    """The cluster that the options of ``url`` ask for, at its beginning. Raises ``UrlError``."""
    if url.hosts or url.port is not None or url.path:
        raise UrlError(f"{url}: a simulated cluster is nowhere; write sim://?nodes=3&cps=20")
    nodes = url.integer("nodes", 3, 1, MAX_NODES)
    now = url.text("start") == "now"
    start = time.time() if now else url.number("start", DEFAULT_START, 86400, 32_000_000_000)
    return Cluster(
        nodes,
        url.number("cps", 1.0, 0.0, 100_000),
        url.integer("seed", 1, 0, 2**63 - 1),
        url.number("heartbeat", 20.0, 0.01, 86400),
        url.integer("users", USERS_PER_NODE * nodes, 0, MAX_USERS),
        start=start,
        talk=url.number("talk", 8.0, 0.0, 86400),
        expires=url.number("expires", 60.0, 1, 86400),
    )


def duration(url: EndpointUrl, name: str) -> float:
    """The option as seconds: ``20s``, ``5m``, ``1h``, or a number; without it, for ever."""
    value = url.text(name)
    if value is None:
        return float("inf")
    match = _DURATION.fullmatch(value)
    if match is None or float(match[1]) == 0:
        raise UrlError(f"{url}: {name}={value!r} is no length of time; write 20s, 5m or 1h")
    return round(float(match[1]) * _UNITS[match[2]], 6)
