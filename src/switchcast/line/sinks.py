"""The running half of a plan behind the queues: outlets, which send what waits for a sink.

::

    queue ─> loop guard ─> endpoint
              guarded       sent, too_large

What goes wrong with one sink stays there: it is counted, told once for each outage, and tried again, while its own
queue fills and drops what it must. ``offered = delivered + dropped + queued`` holds for the queue, and of what is
delivered ``delivered = sent + guarded``; events that no datagram can carry are ``too_large`` and dropped as ``failed``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from switchcast._native import TRAILER, Event
from switchcast.bus import Subscription
from switchcast.errors import EventTooLarge, SwitchcastError
from switchcast.line.loops import loop_guard
from switchcast.line.plan import Sink
from switchcast.line.state import State, broken_pipe, for_good, pauses
from switchcast.wire.gap_record import Gap

if TYPE_CHECKING:
    from switchcast.endpoints import Endpoint
    from switchcast.line.holding import Hold

__all__ = ["Outlet"]

log = structlog.get_logger("switchcast")


class Outlet:
    """A sink that runs.

    ``failed`` is the error that ended it for good, one that trying again cannot mend. ``tell`` is given the gap record
    of what the queue has dropped, for those who look on.
    """

    def __init__(
        self, sink: Sink, hold: Hold, *, node: str, patient: bool, tell: Callable[[Event], None] = lambda _: None
    ) -> None:
        self.sink = sink
        self.name = sink.name
        self.hold = hold
        self.queue = Subscription(sink.name, sink.limit, sink.overflow)
        self.sent = self.guarded = self.too_large = self.gaps = self.outages = self.undrained = 0
        self.failed: Exception | None = None
        self.state = State.now("starting")
        self.task: asyncio.Task[None] | None = None
        self._node = node
        self._patient = patient
        self._tell = tell
        self._guard = loop_guard(sink.heard_by, node, gaps=sink.tells_gaps)
        self._opened = False
        self._sending = False
        self._halting = False
        self._told = False  # of an outage

    @property
    def endpoint(self) -> Endpoint:
        """What it sends to."""
        return self.hold.holding.endpoint

    @property
    def reader_gone(self) -> bool:
        """Whether it failed because whoever read what it wrote has gone, as ``head`` does: no fault of anyone's."""
        return self.failed is not None and broken_pipe(self.failed)

    def counters(self) -> dict[str, int]:
        """``sent``, ``guarded``, ``too_large``, ``gaps`` told, ``outages``, and the queue's own."""
        return self.queue.counters() | {
            "sent": self.sent,
            "guarded": self.guarded,
            "too_large": self.too_large,
            "gaps": self.gaps,
            "outages": self.outages,
        }

    def adjust(self, sink: Sink) -> None:
        """Go on with other settings of the same endpoint."""
        self.sink = sink
        self.queue.resize(sink.limit, sink.overflow)
        self._guard = loop_guard(sink.heard_by, self._node, gaps=sink.tells_gaps)

    def succeed(self, other: Outlet) -> None:
        """Take over the queue of one that has halted, with all that is in it, and its counts."""
        self.queue = other.queue
        self.queue.resize(self.sink.limit, self.sink.overflow)
        self.sent, self.guarded, self.too_large = other.sent, other.guarded, other.too_large
        self.gaps, self.outages = other.gaps, other.outages

    async def open(self) -> None:
        """One attempt to open the sink. Raises what that does."""
        await self.endpoint.open_sink()
        self._opened = True
        self._come_up()

    async def run(self) -> None:
        """Open the sink, and send what is queued until the queue ends, the sink fails for good, or is halted."""
        try:
            if not self._opened:
                await self._try(self.open)
            while not self._halting and (batch := await self.queue.take()):
                await self._pass(batch)
        except (SwitchcastError, OSError) as error:
            self._fail(error, self.queue.close("failed"))
        except Exception as error:  # a fault of ours in one sink must not end the others
            log.exception("sink_fault", sink=self.name)
            self._fail(error, self.queue.close("failed"))
        except asyncio.CancelledError:
            if not self._halting:
                raise

    async def halt(self, limit: float) -> None:
        """End with the batch in hand; one that cannot be sent within ``limit`` seconds stays in the queue."""
        self._halting = True
        if self.task is not None and not self.task.done():
            if self._sending:
                await asyncio.wait([self.task], timeout=limit)
            self.task.cancel()
            await asyncio.wait([self.task])

    async def finish(self, limit: float) -> None:
        """Take nothing more in, send what is queued within ``limit`` seconds, drop the rest, and let go.

        One that never came up, and has nothing to send, is not waited for.
        """
        self.queue.end()
        if self.task is not None and not self.task.done() and (self._opened or self.queue.queued):
            await asyncio.wait([self.task], timeout=limit)
        self.abandon()
        await self.halt(0.0)
        await self.let_go()

    def abandon(self) -> None:
        """Drop what is queued, as ``undrained``."""
        left = self.queue.close("undrained")
        self.undrained += left
        if left:
            log.warning("sink_undrained", sink=self.name, events_lost=left)

    async def let_go(self) -> None:
        """Give the endpoint up. What fails at closing has failed for good."""
        try:
            await self.hold.let_go()
        except (SwitchcastError, OSError) as error:
            if self.failed is None:
                self._fail(error, 0)

    async def _pass(self, batch: list[Event]) -> None:
        """One batch: gap record, guard, sink."""
        passing = self._guard(batch)
        guarded = len(batch) - len(passing)
        gap = self.queue.take_gap()
        told = int(gap is not None and self.sink.tells_gaps)
        if gap is not None and told:
            passing = [gap.event(), *passing]
        too_large = self.too_large
        try:
            await self._try(lambda: self._send(passing))
        except asyncio.CancelledError:  # the batch stays in the queue, for a successor
            if gap is not None:
                self.queue.give_back(gap)
            raise
        if gap is not None:
            self._tell(gap.event())
        lost = self.too_large - too_large
        self.guarded += guarded
        self.gaps += told
        self.sent += len(passing) - lost - told
        self.queue.settle(failed=lost)

    async def _send(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self._sending = True
        try:
            await self.endpoint.send(events)
        except EventTooLarge as error:  # raised once everything that does fit has been sent
            self.too_large += max(1, sum(len(event.to_plain()) + len(TRAILER) > error.limit for event in events))
            log.warning("event_too_large", sink=self.name, error=str(error))
        finally:
            self._sending = False

    async def _try(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do ``step``, however often it takes. Raises what trying again cannot mend."""
        waits = pauses()
        while True:
            try:
                await step()
                break
            except (SwitchcastError, OSError) as error:
                if for_good(error) or not (self._patient or self._opened):
                    raise
                self._go_down(error)
                await asyncio.sleep(next(waits))
        self._come_up()

    def _come_up(self) -> None:
        if self._told:
            self._told = False
            log.warning("sink_up", sink=self.name)
        if self.state.status != "up":
            self.state = State.now("up")

    def _go_down(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self.outages += 1
            log.warning("sink_down", sink=self.name, error=str(error))
            self.state = State.now("down", str(error))

    def _fail(self, error: Exception, lost: int) -> None:
        self.failed = error
        self.state = State.now("failed", str(error))
        if lost:
            self._tell(Gap(self.name, "failed", lost).event())
        if not self.reader_gone:
            log.error("sink_failed", sink=self.name, error=str(error), events_lost=lost)
