"""The straight line that an event goes: source, match, policy, bus, sinks.

::

    source -> match -> policy -> bus -+-> queue -> guard -> sink
                                      +-> queue -> guard -> sink

A ``Route`` is one such line, and a ``Node`` runs several. What goes wrong with one sink stays there: it is counted,
told once for each outage, and tried again, while its own queue fills and drops what it must. Where events are lost, a
counter says how many and why.

The guard is the stock module's own, against events that go round in circles: what a switch has re-fired from the group,
what it says about its peers, and LOG events are never sent to a group again. It stands in front of the sinks that
other switches listen to, not at the source: an archive or a terminal may well want them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import structlog

from switchcast._native import TRAILER, Event, Matcher
from switchcast.bus import QUEUE_EVENTS, Bus, Overflow, Subscription
from switchcast.endpoints import Endpoint
from switchcast.errors import EndpointClosed, EndpointDenied, EventTooLarge, SwitchcastError, UsageError

__all__ = ["NEVER_RESENT", "Node", "Policy", "Route", "Sink", "never_resent", "unchanged"]

Policy = Callable[[list[Event]], list[Event]]
"""What may pass, and as what: takes a batch and gives back those that may go on, changed or not."""

NEVER_RESENT: Final = frozenset({"multicast::event", "multicast::peerup", "multicast::peerdown"})
"""Subclasses of CUSTOM that the stock module never sends, next to LOG events."""
_GUARDED_SCHEMES: Final = frozenset({"multicast", "udp"})
_FIRST_RETRY: Final = 0.1
_LAST_RETRY: Final = 5.0

log = structlog.get_logger("switchcast")


def unchanged(events: list[Event]) -> list[Event]:
    """The policy that lets everything pass as it is."""
    return events


def never_resent(event: Event) -> bool:
    """Whether the stock module would keep this event off the group."""
    name = event.name
    return name == "LOG" or (name == "CUSTOM" and event.subclass in NEVER_RESENT)


@dataclass(eq=False)
class Sink:
    """One end of a route: an endpoint, the queue in front of it, and how it fares.

    ``failed`` is the error that ended it for good: one that trying again cannot mend. ``outages`` counts how often it
    could not take events and was tried again.
    """

    endpoint: Endpoint
    overflow: Overflow = "drop-oldest"
    limit: int = QUEUE_EVENTS
    sent: int = 0
    guarded: int = 0
    too_large: int = 0
    outages: int = 0
    failed: Exception | None = None
    queue: Subscription | None = None

    @property
    def name(self) -> str:
        """The endpoint's URL, secrets masked."""
        return str(self.endpoint.url)

    @property
    def reader_gone(self) -> bool:
        """Whether it failed because whoever read what it wrote has gone, as ``head`` does: no fault of anyone's."""
        return self.failed is not None and _broken_pipe(self.failed)

    def counters(self) -> dict[str, int]:
        """``sent``, ``guarded``, ``too_large``, ``outages``, and the queue's own."""
        counts = {"sent": self.sent, "guarded": self.guarded, "too_large": self.too_large, "outages": self.outages}
        return counts | (self.queue.counters() if self.queue else {})

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the endpoint, and close it at the end. What fails at closing has failed for good."""
        try:
            await self.endpoint.open_sink()
            yield
        finally:
            try:
                await self.endpoint.close()
            except (SwitchcastError, OSError) as error:
                if self.failed is None:
                    self.failed = error
                    log.error("sink_failed", sink=self.name, error=str(error))  # noqa: TRY400 - not our code's

    async def run(self, queue: Subscription) -> None:
        """Send what ``queue`` holds until it ends."""
        self.queue = queue
        guarded = self.endpoint.url.scheme in _GUARDED_SCHEMES
        while batch := await queue.take():
            passing = [event for event in batch if not never_resent(event)] if guarded else batch
            self.guarded += len(batch) - len(passing)
            try:
                lost = await self._send(passing)
            except (SwitchcastError, OSError) as error:
                self._give_up(queue, error)
                return
            except Exception as error:  # a fault of ours in one sink must not end the others
                log.exception("sink_fault", sink=self.name)
                self._give_up(queue, error)
                return
            self.sent += len(passing) - lost
            queue.settle(failed=lost)

    async def _send(self, events: Sequence[Event]) -> int:
        """Send ``events``, however long that takes; how many of them can never be sent."""
        wait, down = _FIRST_RETRY, False
        while events:
            try:
                await self.endpoint.send(events)
                break
            except EventTooLarge as error:  # raised once everything that does fit has been sent
                too_large = max(1, sum(len(event.to_plain()) + len(TRAILER) > error.limit for event in events))
                self.too_large += too_large
                log.warning("event_too_large", sink=self.name, error=str(error))
                return too_large
            except (SwitchcastError, OSError) as error:
                if _for_good(error):
                    raise
                if not down:
                    down = True
                    self.outages += 1
                    log.warning("sink_down", sink=self.name, error=str(error))
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret
                wait = min(wait * 2, _LAST_RETRY)
        if down:
            log.warning("sink_up", sink=self.name)
        return 0

    def _give_up(self, queue: Subscription, error: Exception) -> None:
        self.failed = error
        lost = queue.close("failed")
        if self.reader_gone:
            return
        log.error("sink_failed", sink=self.name, error=str(error), events_lost=lost)


@dataclass(eq=False)
class Route:
    """One source, what may pass, and the sinks it goes to.

    A source that was made with a matcher has matched before Python sees an event; ``matcher`` here is for one that
    several routes share. ``ready`` is set when both ends are open.
    """

    source: Endpoint
    sinks: Sequence[Sink]
    matcher: Matcher | None = None
    policy: Policy = unchanged
    name: str = ""
    received: int = 0
    unmatched: int = 0
    withheld: int = 0
    undrained: int = 0
    failed: Exception | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def counters(self) -> dict[str, int]:
        """``received``, ``unmatched``, ``withheld`` by the policy, and ``undrained`` after the end."""
        return {
            "received": self.received,
            "unmatched": self.unmatched,
            "withheld": self.withheld,
            "undrained": self.undrained,
        }

    async def run(self, drain: float = 5.0) -> None:
        """Carry events until the source has ended and its last event is sent, or ``stop``, or no sink is left.

        After ``stop`` the queues have ``drain`` seconds. An error of the source is raised when they are empty.
        """
        bus = Bus()
        async with contextlib.AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
            for sink in self.sinks:
                await opened.enter_async_context(sink.opened())
            await opened.enter_async_context(self.source)
            await self.source.open_source()  # for one that has no role, and so is not open yet
            sinks = [
                tasks.create_task(sink.run(bus.subscribe(sink.name, limit=sink.limit, overflow=sink.overflow)))
                for sink in self.sinks
            ]
            line = tasks.create_task(self._carry(bus))
            self.ready.set()
            halts = [tasks.create_task(self._stopping.wait())]
            if sinks:
                halts.append(tasks.create_task(_all_done(sinks)))
            try:
                await asyncio.wait([line, *halts], return_when=asyncio.FIRST_COMPLETED)
                await self.source.close()
                await asyncio.wait([line], timeout=drain)
            finally:
                self.undrained = await bus.close()
                for task in [line, *halts, *sinks]:
                    task.cancel()
        if self.failed:
            raise self.failed

    def stop(self) -> None:
        """End the route soon: the source is closed, and what is queued is sent within the drain limit."""
        self._stopping.set()

    async def _carry(self, bus: Bus) -> None:
        """The line itself."""
        try:
            async for received in self.source.batches():
                self.received += len(received)
                matched = received if self.matcher is None else self.matcher.select(received)
                passed = self.policy(matched)
                self.unmatched += len(received) - len(matched)
                self.withheld += len(matched) - len(passed)
                if passed:
                    await bus.publish(passed)
        except Exception as error:  # noqa: BLE001 - raised again by run, once what came before it is sent
            self.failed = error
        await bus.drained()


class Node:
    """Several routes, run side by side: one that ends or fails leaves the others running."""

    def __init__(self, routes: Sequence[Route], *, drain: float = 5.0) -> None:
        self.routes = tuple(routes)
        self.drain = drain

    async def run(self) -> None:
        """Run until every route has ended. Cancelling it drops what is queued; ``stop`` sends that first.

        When routes failed, the first error is raised after the rest have ended.
        """
        results = await asyncio.gather(*(self._run(route) for route in self.routes), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def stop(self) -> None:
        """End every route soon, each draining its queues within the limit."""
        for route in self.routes:
            route.stop()

    async def _run(self, route: Route) -> None:
        name = route.name or str(route.source.url)
        try:
            await route.run(self.drain)
        except Exception as error:  # noqa: BLE001 - raised again, out of its group
            cause = _first(error)
            log.error("route_failed", route=name, error=str(cause))  # noqa: TRY400 - what failed is not our code
            raise cause from None
        if route.undrained:
            log.warning("route_undrained", route=name, events_lost=route.undrained)


def _broken_pipe(error: BaseException) -> bool:
    return isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError)


def _for_good(error: Exception) -> bool:
    """Whether trying again cannot mend it."""
    return isinstance(error, UsageError | EndpointDenied | EndpointClosed) or _broken_pipe(error)


async def _all_done(tasks: Sequence[asyncio.Task[None]]) -> Literal[True]:
    await asyncio.wait(tasks)
    return True


def _first(error: Exception) -> Exception:
    """The error itself, or the first one in a group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
