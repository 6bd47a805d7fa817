"""Fan-out of batches: every subscriber has a queue of its own, bounded, and says what it does when that is full.

::

    deliver([(queue, events), (queue, other events), ...])      from one source to many subscriptions, or from many
    bus.publish(events)                                         each subscription's matcher chooses its share

What holds for each subscription at all times, and is tested as a property::

    offered = delivered + dropped + queued

``queued`` counts what waits and what the subscriber has in hand: a batch that was taken counts as delivered only when
it is settled, so that one that was never dealt with is reported, not forgotten. Each drop has a reason:

=============  ==========================================================================
``overflow``   the queue was full, and the subscription is ``drop-oldest`` or ``drop-newest``
``failed``     the subscriber gave the batch up, or has failed for good
``closed``     the subscriber left with these still queued, or the publisher was cancelled
``undrained``  there was an end to wait for, and its limit passed first
=============  ==========================================================================

A subscriber that asks for it is told in the stream: when its queue dropped events, the next batch that it takes begins
with a gap record (``switchcast.line.gaps``), which counts as offered and delivered like any other event.

Nothing here knows endpoints, and nothing is safe to share between event loops.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Literal, get_args

from switchcast._native import Event, Matcher
from switchcast.wire.gap_record import Gap

__all__ = ["DROP_REASONS", "OVERFLOWS", "QUEUE_EVENTS", "Bus", "Overflow", "Subscription", "deliver"]

Overflow = Literal["drop-oldest", "drop-newest", "block"]
DropReason = Literal["overflow", "failed", "closed", "undrained"]

OVERFLOWS: Final[tuple[Overflow, ...]] = get_args(Overflow)
DROP_REASONS: Final[tuple[DropReason, ...]] = get_args(DropReason)
QUEUE_EVENTS: Final = 16384
"""Events that a queue holds by default: 16 s at 1,000 events/s, 38 MB at the median size of a recorded event."""
_TAKE_EVENTS: Final = 1024


class Subscription:
    """One subscriber's queue: any number of publishers, read by one task at a time.

    ``limit`` counts events that wait; the batch in hand, of at most 1,024, comes on top of it. ``matcher`` chooses what
    ``Bus.publish`` offers. With ``tells_gaps`` the reader is told of what was dropped.
    """

    def __init__(
        self,
        name: str,
        limit: int = QUEUE_EVENTS,
        overflow: Overflow = "drop-oldest",
        *,
        matcher: Matcher | None = None,
        tells_gaps: bool = False,
    ) -> None:
        self.name = name
        self.matcher = matcher
        self.tells_gaps = tells_gaps
        self.offered = 0
        self.delivered = 0
        self.gaps = 0
        self.dropped: dict[DropReason, int] = dict.fromkeys(DROP_REASONS, 0)
        self._waiting: deque[Event] = deque()
        self._in_hand: list[Event] = []
        self._promised: deque[_Promise] = deque()
        self._lost = 0
        self._first_lost: Event | None = None
        self._last_lost: Event | None = None
        self._ending = False
        self._gone = False
        self._left_for: DropReason = "closed"
        self._changed = asyncio.Event()
        self.resize(limit, overflow)

    def resize(self, limit: int, overflow: Overflow) -> None:
        """Hold ``limit`` events from now on, and do ``overflow`` when full. What waits already is kept."""
        if limit < 1:
            raise ValueError(f"a queue of {limit} events holds nothing; at least 1 is needed")
        if overflow not in OVERFLOWS:
            raise ValueError(f"{overflow!r} is no overflow choice; there are {', '.join(OVERFLOWS)}")
        self.limit = limit
        self.overflow = overflow
        self._refill()
        self._wake()

    @property
    def queued(self) -> int:
        """Events offered and neither delivered nor dropped: promised, waiting or in hand."""
        return sum(len(promise.events) for promise in self._promised) + len(self._waiting) + len(self._in_hand)

    @property
    def closed(self) -> bool:
        """No more will be queued; what waits can still be taken."""
        return self._ending

    def counters(self) -> dict[str, int]:
        """``offered``, ``delivered``, ``queued``, ``gaps`` told and ``dropped_<reason>`` for every reason."""
        counts = {"offered": self.offered, "delivered": self.delivered, "queued": self.queued, "gaps": self.gaps}
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
                if self.tells_gaps and (gap := self.take_gap()) is not None:
                    self._in_hand.insert(0, gap.event())
                    self.offered += 1
                    self.gaps += 1
                self._refill()
                self._wake()
            elif self._ending:
                return []
            else:
                await self._change()
        return self._in_hand

    def take_gap(self) -> Gap | None:
        """What the full queue has dropped since this was last asked."""
        if not self._lost:
            return None
        gap = Gap(self.name, "overflow", self._lost, self._first_lost, self._last_lost)
        self._lost, self._first_lost, self._last_lost = 0, None, None
        return gap

    def give_back(self, gap: Gap) -> None:
        """Take back a gap that could not be told: the next one holds it too."""
        self._lost += gap.events or 0
        self._first_lost = gap.first or self._first_lost
        self._last_lost = self._last_lost or gap.last

    def settle(self, *, failed: int = 0) -> None:
        """The events in hand are dealt with: delivered, but for ``failed`` of them, which are given up.

        Without effect once the subscription is closed: they were counted then.
        """
        failed = min(failed, len(self._in_hand))
        self.delivered += len(self._in_hand) - failed
        self.dropped["failed"] += failed
        self._in_hand = []
        self._wake()

    def end(self) -> None:
        """Take nothing more in; what waits can still be taken. Idempotent."""
        self._ending = True
        self._wake()

    def close(self, reason: DropReason = "closed") -> int:
        """Leave. What is still queued, or offered later, is dropped for ``reason``; how many that were. Idempotent."""
        left = self.queued
        self.dropped[reason] += left
        if not self._gone:
            self._gone, self._left_for = True, reason
        self._waiting.clear()
        for promise in self._promised:
            promise.events = ()
        self._promised.clear()
        self._in_hand = []
        self.end()
        return left

    async def drained(self) -> None:
        """Wait until nothing is queued."""
        while self.queued:
            await self._change()

    def offer(self, events: Sequence[Event]) -> None:
        """Queue what there is room for, without waiting: a subscription that chose ``block`` drops the newest."""
        if (promise := self._admit(events)) is not None:
            self._drop(promise.events)
            self._promised.remove(promise)

    def _admit(self, events: Sequence[Event]) -> _Promise | None:
        """Queue what the overflow choice admits; what a blocking publisher has to wait with is promised."""
        count, room = len(events), self.limit - len(self._waiting)
        self.offered += count
        if self._ending:
            self.dropped[self._left_for] += count
            return None
        promise = None
        if count <= room and not self._promised:
            self._waiting.extend(events)
        elif self.overflow == "block":
            promise = _Promise(events)
            self._promised.append(promise)
            self._refill()
        elif self.overflow == "drop-newest":
            room = max(room, 0)
            self._waiting.extend(events[:room])
            self._drop(events[room:])
        else:
            self._waiting.extend(events)
            self._drop([self._waiting.popleft() for _ in range(len(self._waiting) - self.limit)])
        self._wake()
        return promise if promise is not None and promise.events else None

    def _drop(self, lost: Sequence[Event]) -> None:
        """Count what there was no room for, and remember the ends of it."""
        if lost:
            self.dropped["overflow"] += len(lost)
            self._lost += len(lost)
            self._first_lost = self._first_lost or lost[0]
            self._last_lost = lost[-1]

    def _refill(self) -> None:
        """Move what is promised into the queue as far as there is room now, first come first served."""
        while self._promised and (room := self.limit - len(self._waiting)) > 0:
            promise = self._promised[0]
            self._waiting.extend(promise.events[:room])
            promise.events = promise.events[room:]
            if not promise.events:
                self._promised.popleft()

    async def _kept(self, promise: _Promise) -> None:
        """Wait until all of ``promise`` has been queued, or the subscriber has left."""
        while promise.events:
            await self._change()

    def _withdraw(self, promise: _Promise) -> None:
        """Drop what is still promised: its publisher no longer waits."""
        if promise.events:
            self.dropped["closed"] += len(promise.events)
            promise.events = ()
            self._promised.remove(promise)

    def _wake(self) -> None:
        """Wake all who wait for a change; each looks for itself whether it is the one it waits for."""
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _Promise:
    """What a publisher has offered and waits with until there is room."""

    __slots__ = ("events",)

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events


async def deliver(shares: Iterable[tuple[Subscription, Sequence[Event]]]) -> None:
    """Offer each subscription its share, then wait for those that are full and chose ``block``.

    They have asked that the source be held up rather than an event dropped; every other one has its share before that
    wait begins. One that has left, and is offered something all the same, counts it as dropped.
    """
    waiting = []
    for subscription, events in shares:
        if events and (promise := subscription._admit(events)) is not None:
            waiting.append((subscription, promise))
    try:
        for subscription, promise in waiting:
            await subscription._kept(promise)
    finally:
        for subscription, promise in waiting:
            subscription._withdraw(promise)


class Bus:
    """Gives every batch to every subscription, as far as its matcher wants it."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """Those that have not left."""
        return tuple(each for each in self._subscriptions if not each.closed)

    def subscribe(
        self,
        name: str,
        *,
        limit: int = QUEUE_EVENTS,
        overflow: Overflow = "drop-oldest",
        matcher: Matcher | None = None,
        tells_gaps: bool = False,
    ) -> Subscription:
        """A new subscription; it sees what is published from now on."""
        subscription = Subscription(name, limit, overflow, matcher=matcher, tells_gaps=tells_gaps)
        self._subscriptions = [*self.subscriptions, subscription]  # forgets those that have left
        return subscription

    def shares(self, events: list[Event]) -> list[tuple[Subscription, list[Event]]]:
        """What of ``events`` each subscription wants, for ``deliver``."""
        return [
            (each, events if each.matcher is None else each.matcher.select(events))
            for each in self._subscriptions
            if not each.closed
        ]

    async def publish(self, events: list[Event]) -> None:
        """Offer ``events`` to every subscription that has not left."""
        await deliver(self.shares(events))

    async def drained(self) -> None:
        """Wait until no subscription has anything queued."""
        for each in self._subscriptions:
            await each.drained()

    async def close(self, drain: float = 0.0) -> int:
        """End every subscription when it is empty, or after ``drain`` seconds; how many events were left by then.

        Those count as ``undrained`` where they were left. Cancelling the wait ends it at once, with the same count.
        Idempotent.
        """
        for each in self._subscriptions:
            each.end()
        try:
            async with asyncio.timeout(drain):
                await self.drained()
        except TimeoutError:
            pass
        finally:
            left = sum(each.close("undrained") for each in self._subscriptions)
        return left
