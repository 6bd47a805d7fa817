"""The straight line that an event goes, from a source to its sinks.

::

    Feed                                   Lane, one a route                Outlet, one a sink
    source ─> allowed ─> duplicates ─┬─> allowed ─> matcher ─> policy ─┬─> queue ─> loop guard ─> sink
              addresses              ├─> ...                           └─> queue ─> ...
                                     └─> taps

``Node._carry`` is that line, for a batch at a time; what stands in front of it is in ``line/sources.py``, what comes
behind it in ``line/sinks.py``. Between the two stand queues, one for each sink, so that a sink which is slow, hanging
or dead loses only its own events, and holds nobody up unless its queue was told to ``block``.

A node is given a plan (``line/plan.py``) and can be given another while it runs (``line/reloading.py``). Whoever wants
to look on, as rules and peers do, taps it: a tap sees what every source gave, after the checks of address and
duplicates and before any route, but not once more what this node sent to a group and heard back. Where events are lost,
a counter says how many and why, and a gap record says so in the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, Literal

import structlog

from switchcast._native import Event
from switchcast.bus import QUEUE_EVENTS, Bus, Overflow, Subscription, deliver
from switchcast.errors import SwitchcastError, UsageError
from switchcast.line.duplicates import Duplicates
from switchcast.line.plan import Plan, Policy, Route, Sink, Source, matcher_for, unchanged
from switchcast.line.reloading import Parts, lead, make_parts, replace_parts
from switchcast.line.sinks import Outlet
from switchcast.line.sources import Feed, Lane
from switchcast.line.state import State, note_connection
from switchcast.wire.gap_record import Gap, parted

__all__ = ["Node", "Plan", "Policy", "Route", "Sink", "Source", "unchanged"]

LOSS_SECONDS: Final = 1.0
"""Between two looks at what receivers have lost: a gap record a second, for each source and reason, at most."""

log = structlog.get_logger("switchcast")


class Node:
    """Runs a plan.

    ``name`` is this host's name: ``node`` in conditions, and the sender whose events are not sent back to a switch. A
    ``patient`` node runs until it is stopped: a source or sink that is not there is tried again and again, and one that
    fails for good is the only one to go. Otherwise an error at opening is raised at once, and the node ends when its
    sources have ended and what they gave is sent. ``drain`` is how many seconds that may take after ``stop``.
    """

    def __init__(
        self,
        routes: Iterable[Route] = (),
        *,
        sinks: Iterable[Sink] = (),
        name: str = "",
        drain: float = 5.0,
        patient: bool = False,
    ) -> None:
        """Raises ``UsageError`` where the routes do not fit together or cannot be meant."""
        self.name = name
        self.drain = drain
        self.patient = patient
        self.plan = Plan(routes, sinks, node=name)
        self.parts = Parts()
        self.injected = 0
        self.ready = asyncio.Event()
        self.seen = Duplicates()
        self.taps = Bus()
        self._changing = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._asked_anew = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def feeds(self) -> dict[str, Feed]:
        """The running sources by name."""
        return self.parts.feeds

    @property
    def lanes(self) -> dict[str, Lane]:
        """The running routes by name."""
        return self.parts.lanes

    @property
    def outlets(self) -> dict[str, Outlet]:
        """The running sinks by name."""
        return self.parts.outlets

    async def _carry(self, feed: Feed, received: list[Event]) -> None:
        """The line itself, with the gaps that a source tells of where they stand."""
        if not feed.endpoint.tells_gaps:
            await self._carry_on(feed, received)
            return
        for events, record in parted(received):
            if events:
                await self._carry_on(feed, events)
            if record is not None:
                gap = Gap.at(feed.name, record)
                feed.note_gap(gap)
                self._tell_of(feed, gap)

    async def _carry_on(self, feed: Feed, received: list[Event]) -> None:
        fresh = feed.admit(received)
        if not fresh:
            return
        shares = self.taps.shares(feed.without_echo(fresh)) if self.taps.subscriptions else []
        for lane in feed.lanes:
            passed = lane.take(fresh, matched=feed.matched)
            shares += [(outlet.queue, passed) for outlet in lane.outlets]
        await deliver(shares)

    async def run(self) -> None:
        """Run until ``stop``, or, when not patient, until the sources have ended and what they gave is sent.

        Cancelling it drops what is queued. Raises, when not patient, the first error of a source at the end.
        """
        self.parts = make_parts(self, self.plan)
        for feed in self.feeds.values():
            lead(self, self.plan, self.parts, feed)
        try:
            if not self.patient:
                await self.parts.open()
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                async with self._running(tasks):
                    await self._work(tasks)
                    await self._come_to_an_end()
        finally:
            self._tasks = None
            async with self._changing:
                await self.parts.let_go()
        for feed in self.feeds.values():
            if feed.failed is not None and not self.patient:
                raise feed.failed

    def stop(self) -> None:
        """End the node soon: its sources are closed, and what is queued is sent within the drain limit."""
        self._stopped.set()

    def tap(
        self,
        name: str,
        bindings: str = "all",
        *,
        limit: int = QUEUE_EVENTS,
        overflow: Overflow = "drop-oldest",
        where: str | None = None,
    ) -> Subscription:
        """Look on: a queue of what every source gives from now on, and of what is injected.

        It is told in-band of what it lost; of what others lost, if its bindings take ``CUSTOM switchcast::gap``. A
        source that nobody had asked for these events is asked now, which takes a moment. ``close`` ends it.
        """
        matcher = matcher_for(bindings, where, self.name)
        tap = self.taps.subscribe(name, limit=limit, overflow=overflow, matcher=matcher, tells_gaps=True)
        self._asked_anew.set()
        return tap

    async def inject(self, events: Sequence[Event], to: Sequence[str] = ()) -> None:
        """Put events of our own on the taps and into the queues of the sinks named ``to``.

        Raises ``UsageError`` for a sink that there is not.
        """
        for name in to:
            if name not in self.outlets:
                raise UsageError(f"there is no sink {name!r}; there are {', '.join(self.outlets) or 'none'}")
        self.injected += len(events)
        own = list(events)
        await deliver([*self.taps.shares(own), *((self.outlets[name].queue, own) for name in to)])

    async def reload(self, routes: Iterable[Route], *, sinks: Iterable[Sink] = ()) -> None:
        """Go over to another plan. What is equal in both runs on; not one event of it is lost.

        Raises ``UsageError``, ``EndpointDenied`` or, when not patient, ``EndpointUnavailable`` where the new plan
        cannot be run; then nothing has changed. Once begun it comes to its end, though its caller be cancelled.
        """
        await asyncio.shield(asyncio.create_task(self._change(Plan(routes, sinks, node=self.name))))

    async def _change(self, plan: Plan) -> None:
        async with self._changing:
            if self._tasks is not None and not self._stopped.is_set():
                await replace_parts(self, plan)
            self.plan = plan

    def counters(self) -> dict[str, dict[str, dict[str, int]]]:
        """Counts by kind (``sources``, ``routes``, ``sinks``, ``taps``, ``node``), name and counter.

        What an endpoint itself counts is under ``sources`` and ``sinks`` with ``endpoint_`` in front.
        """

        def whole(part: Feed | Outlet) -> dict[str, int]:
            own = {f"endpoint_{name}": count for name, count in part.endpoint.counters().items()}
            return part.counters() | own

        return {
            "sources": {name: whole(feed) for name, feed in self.feeds.items()},
            "routes": {name: lane.counters() for name, lane in self.lanes.items()},
            "sinks": {name: whole(outlet) for name, outlet in self.outlets.items()},
            "taps": {tap.name: tap.counters() for tap in self.taps.subscriptions},
            "node": {self.name: {"injected": self.injected, "deduplicated_cores": len(self.seen)}},
        }

    def states(self) -> dict[str, dict[str, State]]:
        """How each part fares, by kind (``sources``, ``sinks``) and name."""
        return {
            "sources": {name: feed.state for name, feed in self.feeds.items()},
            "sinks": {name: outlet.state for name, outlet in self.outlets.items()},
        }

    def keys(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The ids of the group keys of those parts that have some, the sending one first, by kind and name."""

        def ids(parts: Iterable[Feed | Outlet]) -> dict[str, tuple[str, ...]]:
            return {part.name: held.ids for part in parts if (held := part.hold.holding.keys) is not None}

        return {"sources": ids(self.feeds.values()), "sinks": ids(self.outlets.values())}

    def undrained(self) -> dict[str, int]:
        """After the end: how many events each sink could not send any more, where there were some."""
        return {name: outlet.undrained for name, outlet in self.outlets.items() if outlet.undrained}

    def start(self, part: Feed | Outlet) -> None:
        """Let a part run."""
        if self._tasks is None:
            raise RuntimeError("the node does not run")
        work = part.run(self._carry) if isinstance(part, Feed) else part.run()
        part.task = self._tasks.create_task(work, name=f"{type(part).__name__.lower()} {part.name}")

    def tell(self, record: Event) -> None:
        """Give a gap record to those who look on."""
        for tap, events in self.taps.shares([record]):
            if events:
                tap.offer(events)

    @contextlib.asynccontextmanager
    async def _running(self, tasks: asyncio.TaskGroup) -> AsyncIterator[None]:
        """Start everything; at the end, however that comes, count what is left and stop the rest."""
        self._asked_anew.clear()
        for part in self.parts.all():
            self.start(part)
        beside = [tasks.create_task(self._watch_losses()), tasks.create_task(self._ask_anew())]
        self.ready.set()
        try:
            yield
        finally:
            for outlet in self.outlets.values():
                outlet.abandon()
            for tap in self.taps.subscriptions:
                tap.close("undrained")
            for task in beside:
                task.cancel()
            for part in self.parts.all():
                if part.task is not None:
                    part.task.cancel()

    async def _work(self, tasks: asyncio.TaskGroup) -> None:
        """Wait for the end of it all."""
        ends: list[asyncio.Task[Literal[True]]] = [tasks.create_task(self._stopped.wait())]
        if not self.patient:
            ends.append(tasks.create_task(self._all_sent()))
            if self.outlets:
                ends.append(tasks.create_task(_all_done(self.outlets.values())))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    async def _all_sent(self) -> Literal[True]:
        """Wait until every source has ended and every queue is empty."""
        await _all_done(self.feeds.values())
        for outlet in self.outlets.values():
            await outlet.queue.drained()
        return True

    async def _come_to_an_end(self) -> None:
        """Close the sources, and give the sinks what time there is to send what is queued."""
        async with self._changing:
            clock = asyncio.get_running_loop().time
            end = clock() + self.drain
            for feed in self.feeds.values():
                await feed.stop()
            await _all_done(self.feeds.values(), self.drain)
            self._look_at_losses()
            await self.taps.close(self.drain / 2)  # what those who look on still have to say goes to the sinks
            left = max(end - clock(), 0.0)
            await asyncio.gather(*(outlet.finish(left) for outlet in self.outlets.values()))
            await _all_done(self.feeds.values(), self.drain)

    async def _watch_losses(self) -> None:
        while True:
            await asyncio.sleep(LOSS_SECONDS)
            self._look_at_losses()

    def _look_at_losses(self) -> None:
        """Tell in-band what the receivers have lost since the last look, and note which connections are away."""
        for outlet in self.outlets.values():
            outlet.state = note_connection(outlet.state, outlet.endpoint.counters())
        for feed in self.feeds.values():
            counters = feed.endpoint.counters()
            feed.state = note_connection(feed.state, counters)
            if not feed.endpoint.tells_gaps:
                for gap in feed.losses.look(counters):
                    self._tell_of(feed, gap)

    def _tell_of(self, feed: Feed, gap: Gap) -> None:
        """Give the record of what a source lost to those who look on, and to the sinks that want it."""
        record = gap.event()
        self.tell(record)
        for outlet in {outlet.name: outlet for lane in feed.lanes for outlet in lane.outlets}.values():
            if outlet.sink.tells_gaps:
                outlet.queue.offer([record])

    async def _ask_anew(self) -> None:
        """Ask the sources for what new taps want."""
        while True:
            await self._asked_anew.wait()
            self._asked_anew.clear()
            try:
                await self._change(self.plan)
            except (SwitchcastError, OSError) as error:
                log.error("tap_not_asked_for", error=str(error))  # noqa: TRY400 - what failed is not our code


async def _all_done(parts: Iterable[Feed | Outlet], limit: float | None = None) -> Literal[True]:
    """Wait until none of ``parts`` runs any more, at most ``limit`` seconds."""
    tasks = [part.task for part in parts if part.task is not None]
    if tasks:
        await asyncio.wait(tasks, timeout=limit)
    return True
