"""From one plan to the next while events flow: what is equal runs on, what has changed is replaced, nothing is lost.

In this order, so that an error leaves everything as it was, and every event always has somewhere to go:

1. Make and open what is new. Nothing else has changed yet; if this fails, close it again and say why.
2. Endpoints that run on, but whose group has other keys now, are given these.
3. Sinks that changed: the old one ends with the batch in its hand, the new one takes over its queue, the very object,
   so that lanes of before and of after lead to the same place.
4. Sources that run on get the lanes of the new plan, between two batches.
5. Live sources that changed: the new one is open since step 1 and its buffers fill. The old one reads what it had, then
   is closed; the new one begins to read. What both heard in between is dropped as a duplicate.
6. Sources that nobody wants any more are closed, then sinks, once what waits for them is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Final, Protocol

import structlog

from switchcast._native import Event, Matcher
from switchcast.bus import Bus
from switchcast.endpoints import Endpoint
from switchcast.line.duplicates import Duplicates
from switchcast.line.holding import Hold, Holding
from switchcast.line.plan import Plan, Sink, Source, union_of
from switchcast.line.sinks import Outlet
from switchcast.line.sources import Feed, Lane
from switchcast.line.state import for_good

__all__ = ["Host", "Parts", "lead", "make_parts", "replace_parts"]

READ_OUT_SECONDS: Final = 5.0
"""How long a source that is being replaced may take to read what it had."""
ECHO_SECONDS: Final = 30.0
"""How long its successor then still looks for what both have heard."""
ECHO_EVENTS: Final = 65_536
ECHO_CORES: Final = 1_024
"""How many sequence numbers of how many Core-UUIDs are remembered for that: as many as may wait in a receiver."""
_NEVER_ASKED_ANEW: Final = frozenset({"file", "-", "archive", "udp"})
"""Schemes of sources that cannot be asked for other events: a recording is being read, and a unicast address can be
bound once only, so that no second socket can be open before the first one is closed."""


log = structlog.get_logger("switchcast")


class Parts:
    """What runs: feeds, lanes and outlets by name."""

    def __init__(self) -> None:
        self.feeds: dict[str, Feed] = {}
        self.lanes: dict[str, Lane] = {}
        self.outlets: dict[str, Outlet] = {}

    def all(self) -> list[Feed | Outlet]:
        """What has an endpoint and a task, the sinks first."""
        return [*self.outlets.values(), *self.feeds.values()]

    async def open(self) -> None:
        """Open everything, the sinks first. Raises the first error."""
        for part in self.all():
            await part.open()

    async def let_go(self) -> None:
        """Give every endpoint up."""
        for part in self.all():
            await part.let_go()

    def holdings(self) -> dict[Hashable, Holding]:
        """The endpoints in use that can go on being used, by key."""
        failed = {part.hold.holding.key for part in self.all() if part.state.status == "failed"}
        holdings = [part.hold.holding for part in self.all()]
        return {each.key: each for each in holdings if each.key not in failed}


class Host(Protocol):
    """What parts need of the node that runs them."""

    name: str
    patient: bool
    drain: float
    parts: Parts
    taps: Bus
    seen: Duplicates

    def start(self, part: Feed | Outlet) -> None: ...

    def tell(self, record: Event) -> None: ...


def make_parts(node: Host, plan: Plan, before: Parts | None = None) -> Parts:
    """The parts of ``plan``, not yet opened; of ``before``, those that can run on as they are. Raises ``UrlError``."""
    before = before or Parts()
    holdings = before.holdings()
    parts = Parts()
    # Sources first: where one connection serves both, it is made with what the source has to be asked for.
    for name, source in plan.sources.items():
        feed, matcher = before.feeds.get(name), matcher_of(node, plan, source)
        if feed is not None and feed.must_be_made_anew_for(matcher):
            holdings.pop(feed.hold.holding.key, None)
        if feed is None or holdings.get(plan.key(source)) is not feed.hold.holding:
            feed = Feed(name, _hold(holdings, plan, source, matcher), matcher, patient=node.patient)
        parts.feeds[name] = feed
    for name, sink in plan.sinks.items():
        outlet = before.outlets.get(name)
        if outlet is None or holdings.get(plan.key(sink)) is not outlet.hold.holding:
            hold = _hold(holdings, plan, sink, None)
            outlet = Outlet(sink, hold, node=node.name, patient=node.patient, tell=node.tell)
        parts.outlets[name] = outlet
    for name, route in plan.routes.items():
        lane = before.lanes.get(name)
        parts.lanes[name] = lane if lane is not None and lane.route == route else Lane(route, plan.matchers[name])
    return parts


def lead(node: Host, plan: Plan, parts: Parts, feed: Feed, *windows: Duplicates) -> None:
    """Have ``feed`` lead to the lanes of ``plan``, and these to their sinks."""
    routes = plan.routes_from(feed.name)
    for name in routes:
        lane = parts.lanes[name]
        lane.outlets = tuple(parts.outlets[sink.name] for sink in lane.route.sinks)
        lane.allowed = plan.allowed[name]
    feed.own_name = node.name if plan.hears_itself(feed.name) else ""
    seen = (node.seen,) if any(plan.routes[name].deduplicate for name in routes) else ()
    feed.lead_to([parts.lanes[name] for name in routes], (*seen, *windows))


def matcher_of(node: Host, plan: Plan, source: Source) -> Matcher | None:
    """What the source has to be asked for: what its only route selects, or the union of all bindings.

    An endpoint that was given as such keeps its own matcher. One that could not be asked anew later, in a node that may
    be given another plan, is asked for everything, from which each route selects.
    """
    if isinstance(source.at, Endpoint) or (node.patient and source.url.scheme in _NEVER_ASKED_ANEW):
        return None
    wanted = [plan.matchers[name] for name in plan.routes_from(source.name)]
    taps = [tap.matcher for tap in node.taps.subscriptions]
    return wanted[0] if len(wanted) == 1 and not taps else union_of([*wanted, *taps])


async def replace_parts(node: Host, plan: Plan) -> None:
    """Go over from the node's parts to those of ``plan``. Raises, with nothing changed, when that cannot be run."""
    before, after = node.parts, make_parts(node, plan, node.parts)
    running = before.all()
    fresh = [part for part in after.all() if not any(part is each for each in running)]
    echoes = {
        part.name: Duplicates(window=ECHO_EVENTS, cores=ECHO_CORES, address_cores=ECHO_CORES)
        for part in fresh
        if isinstance(part, Feed) and part.name in before.feeds
    }
    for name, echo in echoes.items():  # what comes to the old one from the moment that the new one is open
        before.feeds[name].windows += (echo,)
    try:
        await _open(fresh, patient=node.patient)
    except BaseException:
        for name, echo in echoes.items():
            before.feeds[name].forget(echo)
        raise

    try:
        await _go_over(node, plan, before, after, echoes)
    except BaseException:  # the node itself is ending: it lets go of what it had, and we of what is new
        for part in after.all():
            await part.hold.let_go()
        raise


async def _go_over(node: Host, plan: Plan, before: Parts, after: Parts, echoes: dict[str, Duplicates]) -> None:
    """Start what is new, end what is replaced, then what is gone. Nothing in here fails."""
    _rekey(plan, before, after)
    for name, outlet in after.outlets.items():
        if before.outlets.get(name) is outlet:
            outlet.adjust(plan.sinks[name])
        else:
            await _start_outlet(node, outlet, before.outlets.get(name))
    for name, feed in after.feeds.items():
        old = before.feeds.get(name)
        if old is feed:
            await feed.ask(matcher_of(node, plan, plan.sources[name]))
            lead(node, plan, after, feed, *(window for window in feed.windows if window is not node.seen))
        elif old is None:
            lead(node, plan, after, feed)
            node.start(feed)
        else:
            await _end_before(feed, old, node.drain)
            lead(node, plan, after, feed, echoes[name])
            asyncio.get_running_loop().call_later(ECHO_SECONDS, feed.forget, echoes[name])
            node.start(feed)
    for name in before.feeds.keys() - after.feeds.keys():
        await _end(before.feeds[name], node.drain)
    node.parts = after
    gone = before.outlets.keys() - after.outlets.keys()
    await asyncio.gather(*(before.outlets[name].finish(node.drain) for name in gone))


def _rekey(plan: Plan, before: Parts, after: Parts) -> None:
    """Give what runs on the keys of ``plan``: those that listen first, lest something come in under an unknown key."""
    for kind, planned, running, parts in (
        ("source", plan.sources, before.feeds, after.feeds),
        ("sink", plan.sinks, before.outlets, after.outlets),
    ):
        for name, part in parts.items():
            keys = planned[name].keys
            if running.get(name) is part and part.hold.holding.rekey(keys) and keys is not None:
                log.info("rekeyed", **{kind: name}, sends_with=keys.ids[0], receives=" ".join(keys.ids))


async def _start_outlet(node: Host, outlet: Outlet, old: Outlet | None) -> None:
    """Start a sink, in place of the ``old`` one if there was one."""
    if old is not None:
        await old.halt(node.drain)
        if old.failed is None:
            outlet.succeed(old)
        await old.let_go()
    node.start(outlet)


async def _end_before(feed: Feed, old: Feed, limit: float) -> None:
    """End the ``old`` source, which ``feed`` replaces, once it has read what it had."""
    if old.overlaps:
        await old.read_out(READ_OUT_SECONDS)
    await _end(old, limit)
    feed.succeed(old)


async def _open(parts: list[Feed | Outlet], *, patient: bool) -> None:
    """Open all of them at once; what only waiting can mend, a patient node tries again later."""
    results = await asyncio.gather(*(part.open() for part in parts), return_exceptions=True)
    for error in results:
        if isinstance(error, BaseException) and not (patient and isinstance(error, Exception) and not for_good(error)):
            for part in parts:
                await part.hold.let_go()
            raise error


async def _end(feed: Feed, limit: float) -> None:
    """Stop a feed, and wait until what it has read has gone its way."""
    await feed.stop()
    if feed.task is not None:
        await asyncio.wait([feed.task], timeout=limit)
        feed.task.cancel()
        await asyncio.wait([feed.task])
    await feed.let_go()  # one that was cancelled before its first step has not


def _hold(holdings: dict[Hashable, Holding], plan: Plan, part: Source | Sink, matcher: Matcher | None) -> Hold:
    """A hold on the endpoint of ``part``, which is made if there is none yet."""
    key = plan.key(part)
    if key not in holdings:
        holdings[key] = Holding(key, plan.make(part, matcher))
        holdings[key].rekey(part.keys)
    return holdings[key].hold()
