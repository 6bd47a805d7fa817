"""The live stream's side that is the node's: a tap fills ``Recent``, and those who read are woken, at a bounded pace.

One task takes from the tap. Between two takes it sleeps, the longer the more readers there are, so that events gather
meanwhile and all readers together are woken at most ``_WAKES`` times a second: what they cost the event loop is
bounded, and with few of them nobody notices the wait.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from switchcast.app.api.audit import Auditing
from switchcast.app.api.past import Past
from switchcast.app.api.recent import TAP, Recent
from switchcast.app.api.settings import ApiSettings
from switchcast.bus import Subscription
from switchcast.node import Node

__all__ = ["Hub", "Reader"]

_WAKES: Final = 2_000
_COUNTED: Final = (
    "streams",
    "streams_refused",
    "streams_stalled",
    "streams_behind",
    "gaps",
    "events_missed",
    "events_sent",
    "events_archived",
)
_AT_ONCE: Final = 16
"""Readers that are woken before the event loop turns, so that the line need not wait for all of them."""
_LEAST_PAUSE: Final = 0.005
"""Seconds between two takes from the tap, at the least."""


class Reader:
    """One who reads the live stream: woken when there is more, when its client has gone, and at the end."""

    def __init__(self) -> None:
        self.gone = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something to look at."""
        self._wake.set()

    def leave(self) -> None:
        """The client is no longer there, or it is to go."""
        self.gone = True
        self._wake.set()

    async def woken(self, limit: float) -> bool:
        """Wait for the next wake, at most ``limit`` seconds; whether it came."""
        try:
            async with asyncio.timeout(limit):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True


class Hub:
    """What has come of late, and who reads it as it comes. ``counts`` are of the streams."""

    def __init__(self, node: Node, settings: ApiSettings) -> None:
        self.recent = Recent(secrets.token_hex(4), settings.recent, settings.recent_size)
        self.past = Past(node, self.recent)
        self.most = settings.streams
        self.counts: Counter[str] = Counter()
        self.auditing = Auditing() if settings.audit else None
        self._node = node
        self._readers: set[Reader] = set()

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    @property
    def full(self) -> bool:
        """Whether no further one may read."""
        return len(self._readers) >= self.most

    def change(self, settings: ApiSettings) -> None:
        """Go on with other settings. Raises ``MissingExtra``."""
        if settings.audit != (self.auditing is not None):
            self.auditing = Auditing() if settings.audit else None
        self.most = settings.streams
        self.recent.resize(settings.recent, settings.recent_size)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Be among the readers for as long as the context lasts."""
        reader = Reader()
        self._readers.add(reader)
        self.counts["streams"] += 1
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def end_streams(self) -> None:
        """Have every stream come to its end."""
        for reader in tuple(self._readers):
            reader.leave()

    def begin(self) -> asyncio.Task[None]:
        """Take what comes from now on, until the node ends or the task is cancelled."""
        return asyncio.create_task(self._run(self._node.tap(TAP)), name="api events")

    async def _run(self, tap: Subscription) -> None:
        try:
            while batch := await tap.take():
                self.recent.add(batch, time.time_ns())
                if self.auditing is not None:
                    self.auditing.add(batch)
                tap.settle()
                for place, reader in enumerate(tuple(self._readers), 1):
                    reader.wake()
                    if place % _AT_ONCE == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(max(_LEAST_PAUSE, len(self._readers) / _WAKES))
        finally:
            tap.close()
            self.end_streams()

    def counters(self) -> dict[str, int]:
        """``streams`` begun, ``refused``, ``stalled``; ``gaps`` told and ``missed`` events; what is kept now.

        ``streams_behind`` is how many times one went on in the archive, ``events_archived`` what it was given there.
        """
        own = dict.fromkeys(_COUNTED, 0)
        own |= self.counts
        return own | {"readers": self.readers, "events_kept": self.recent.events, "bytes_kept": self.recent.bytes}
