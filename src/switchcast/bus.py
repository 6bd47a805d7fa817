"""Fan-out of batches: every subscriber has a queue of its own, bounded, and says what it does when that is full.

What holds for each subscription at all times, and is tested as a property::

    offered = delivered + dropped + queued

``queued`` counts what waits and what the subscriber has in hand: a batch that was taken counts as delivered only when
it is settled, so that one that was never dealt with is reported, not forgotten. Each drop has a reason:

=============  ==========================================================================
``overflow``   the queue was full, and the subscription is ``drop-oldest`` or ``drop-newest``
``failed``     the subscriber gave the batch up
``closed``     the subscriber left with these still queued, or the publisher was cancelled
``undrained``  the bus was closed and its drain limit passed first
=============  ==========================================================================

Nothing here knows endpoints, and nothing is safe to share between event loops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, get_args

from switchcast._native import Event

__all__ = ["DROP_REASONS", "OVERFLOWS", "QUEUE_EVENTS", "Bus", "Overflow", "Subscription"]

Overflow = Literal["drop-oldest", "drop-newest", "block"]
DropReason = Literal["overflow", "failed", "closed", "undrained"]

OVERFLOWS: Final[tuple[Overflow, ...]] = get_args(Overflow)
DROP_REASONS: Final[tuple[DropReason, ...]] = get_args(DropReason)
QUEUE_EVENTS: Final = 16384
"""Events that a queue holds by default: 16 s at 1,000 events/s, 38 MB at the median size of a recorded event."""
_TAKE_EVENTS: Final = 1024


class Subscription:
    """One subscriber's queue. Made by ``Bus.subscribe``; read by one task at a time.

    ``limit`` counts events that wait; the batch in hand, of at most 1,024, comes on top of it.
    """

    def __init__(self, name: str, limit: int, overflow: Overflow) -> None:
        if limit < 1:
            raise ValueError(f"a queue of {limit} events holds nothing; at least 1 is needed")
        if overflow not in OVERFLOWS:
            raise ValueError(f"{overflow!r} is no overflow choice; there are {', '.join(OVERFLOWS)}")
        self.name = name
        self.limit = limit
        self.overflow = overflow
        self.offered = 0
        self.delivered = 0
        self.dropped: dict[DropReason, int] = dict.fromkeys(DROP_REASONS, 0)
        self._waiting: deque[Event] = deque()
        self._in_hand: list[Event] = []
        self._promised: Sequence[Event] = ()  # offered by a publisher that is blocked until there is room
        self._ending = False
        self._changed = asyncio.Event()

    @property
    def queued(self) -> int:
        """Events offered and neither delivered nor dropped: promised, waiting or in hand."""
        return len(self._promised) + len(self._waiting) + len(self._in_hand)

    @property
    def closed(self) -> bool:
        """No more will be queued; what waits can still be taken."""
        return self._ending

    def counters(self) -> dict[str, int]:
        """``offered``, ``delivered``, ``queued`` and ``dropped_<reason>`` for every reason."""
        counts = {"offered": self.offered, "delivered": self.delivered, "queued": self.queued}
        counts.update((f"dropped_{reason}", count) for reason, count in self.dropped.items())
        return counts

    async def take(self, most: int = _TAKE_EVENTS) -> list[Event]:
        """The oldest events that wait, at most ``most``; waits for the first; empty when the subscription has ended.

        They stay in hand until they are settled, and another ``take`` without that gives the same ones again. Being
        cancelled loses nothing.
        """
        while not self._in_hand:
            if self._waiting:
                if len(self._waiting) <= most:
                    self._in_hand = list(self._waiting)
                    self._waiting.clear()
                else:
                    self._in_hand = [self._waiting.popleft() for _ in range(most)]
                self._refill()
                self._wake()
            elif self._ending:
                return []
            else:
                await self._change()
        return self._in_hand

    def settle(self, *, failed: int = 0) -> None:
        """The events in hand are dealt with: delivered, but for ``failed`` of them, which are given up.

        Without effect once the subscription is closed: they were counted then.
        """
        failed = min(failed, len(self._in_hand))
        self.delivered += len(self._in_hand) - failed
        self.dropped["failed"] += failed
        self._in_hand = []
        self._wake()

    def close(self, reason: DropReason = "closed") -> int:
        """Leave the bus. What is still queued is dropped for ``reason``; how many that were. Idempotent."""
        left = self.queued
        self.dropped[reason] += left
        self._waiting.clear()
        self._promised = ()
        self._in_hand = []
        self._end()
        return left

    def _offer(self, events: Sequence[Event]) -> None:
        """Queue what the overflow choice admits; what a blocking publisher has to wait with is promised."""
        count, room = len(events), self.limit - len(self._waiting)
        self.offered += count
        if count <= room:
            self._waiting.extend(events)
        elif self.overflow == "block":
            self._waiting.extend(events[:room])
            self._promised = events[room:]
        elif self.overflow == "drop-newest":
            self._waiting.extend(events[:room])
            self.dropped["overflow"] += count - room
        else:
            self._waiting.extend(events[-self.limit :])
            while len(self._waiting) > self.limit:
                self._waiting.popleft()
            self.dropped["overflow"] += count - room
        self._wake()

    def _refill(self) -> None:
        """Move what is promised into the queue as far as there is room now."""
        if self._promised:
            room = self.limit - len(self._waiting)
            self._waiting.extend(self._promised[:room])
            self._promised = self._promised[room:]

    async def _kept(self) -> None:
        """Wait until nothing is promised any more."""
        while self._promised:
            await self._change()

    def _withdraw(self) -> None:
        """Drop what is still promised: its publisher no longer waits."""
        self.dropped["closed"] += len(self._promised)
        self._promised = ()

    async def _drained(self) -> None:
        while self.queued:
            await self._change()

    def _end(self) -> None:
        self._ending = True
        self._wake()

    def _wake(self) -> None:
        """Wake all who wait for a change; each looks for itself whether it is the one it waits for."""
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Bus:
    """Gives every batch to every subscription.

    Publishing waits for nobody but subscriptions that chose ``block``: they have asked that the source be held up
    rather than an event dropped, and every other subscription has its copy before that wait begins.
    """

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._closed = False

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that have not left."""
        return tuple(each for each in self._subscriptions if not each.closed)

    def subscribe(self, name: str, *, limit: int = QUEUE_EVENTS, overflow: Overflow = "drop-oldest") -> Subscription:
        """A new subscription; it sees what is published from now on."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        subscription = Subscription(name, limit, overflow)
        self._subscriptions = [*self.subscriptions, subscription]  # forgets those that have left
        return subscription

    async def publish(self, events: Sequence[Event]) -> None:
        """Offer ``events`` to every subscription that has not left. One publisher at a time."""
        if self._closed:
            raise RuntimeError("the bus is closed")
        present = self.subscriptions
        for each in present:
            each._offer(events)
        try:
            for each in present:
                await each._kept()
        finally:
            for each in present:
                each._withdraw()

    async def drained(self) -> None:
        """Wait until no subscription has anything queued."""
        for each in self._subscriptions:
            await each._drained()

    async def close(self, drain: float = 0.0) -> int:
        """End every subscription when it is empty, or after ``drain`` seconds; how many events were left by then.

        Those count as ``undrained`` where they were left. Cancelling the wait ends it at once, with the same count.
        Idempotent.
        """
        self._closed = True
        for each in self._subscriptions:
            each._end()
        try:
            async with asyncio.timeout(drain):
                await self.drained()
        except TimeoutError:
            pass
        finally:
            left = sum(each.close("undrained") for each in self._subscriptions)
        return left
