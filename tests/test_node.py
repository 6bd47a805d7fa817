"""Routes and nodes: the straight line, and what happens when one end of it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event, Matcher
from switchcast.endpoints import EndpointUrl, make_endpoint
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.errors import EndpointDenied, EndpointUnavailable, EventTooLarge, UrlError
from switchcast.node import Node, Route, Sink, never_resent

GENEROUS = 20.0


def numbered(count: int, first: int = 0) -> list[Event]:
    return [Event("TRAP", {"Number": str(number)}) for number in range(first, first + count)]


class Given(MemoryEndpoint):
    """A source that yields what it was given, then ends, or fails with ``error``."""

    def __init__(self, *batches: list[Event], error: Exception | None = None, endless: bool = False) -> None:
        super().__init__(EndpointUrl.parse("memory:given"), role="source")
        self.given = batches
        self.error = error
        self.endless = endless

    async def batches(self) -> AsyncIterator[list[Event]]:
        for batch in self.given:
            yield batch
        if self.error:
            raise self.error
        if self.endless:
            async for batch in super().batches():
                yield batch


class Keeping(MemoryEndpoint):
    """A sink that keeps what it is sent; ``obstacle`` may raise, or wait, first."""

    def __init__(self, url: str = "memory:kept", obstacle: Callable[[Sequence[Event]], object] | None = None) -> None:
        super().__init__(EndpointUrl.parse(url), role="sink")
        self.kept: list[Event] = []
        self.obstacle = obstacle
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, events: Sequence[Event]) -> None:
        await self.gate.wait()
        if self.obstacle is not None:
            self.obstacle(events)
        self.kept += events


class AsGroup(Keeping):
    """A sink whose URL is that of a group."""

    def __init__(self) -> None:
        super().__init__()
        self.url = EndpointUrl.parse("multicast://239.255.42.42:4242")


def run(route: Route, drain: float = GENEROUS) -> None:
    asyncio.run(asyncio.wait_for(route.run(drain), GENEROUS))


def test_events_go_straight_from_source_to_every_sink() -> None:
    first, second = Keeping(), Keeping()
    route = Route(Given(numbered(3), numbered(2, 3)), [Sink(first), Sink(second)])
    run(route)
    assert first.kept == second.kept == numbered(5)
    assert route.counters() == {"received": 5, "unmatched": 0, "withheld": 0, "undrained": 0}
    assert all(sink.counters()["delivered"] == sink.sent == 5 for sink in route.sinks)
    assert first.closed
    assert second.closed
    assert route.source.closed


def test_only_what_matches_and_what_the_policy_lets_pass_goes_on() -> None:
    sink = Keeping()

    def even_only(events: list[Event]) -> list[Event]:
        return [event for event in events if int(event.get("Number") or 0) % 2 == 0]

    route = Route(
        Given([*numbered(6), Event("HEARTBEAT")]), [Sink(sink)], matcher=Matcher("TRAP"), policy=even_only, name="even"
    )
    run(route)
    assert [event["Number"] for event in sink.kept] == ["0", "2", "4"]
    assert route.counters() == {"received": 7, "unmatched": 1, "withheld": 3, "undrained": 0}


def test_what_would_go_round_in_circles_is_kept_off_the_group_only() -> None:
    refired = [Event("CUSTOM", {"Event-Subclass": f"multicast::{name}"}) for name in ("event", "peerup", "peerdown")]
    events = [*refired, Event("LOG"), Event("CUSTOM", {"Event-Subclass": "sofia::register"}), Event("HEARTBEAT")]
    assert [never_resent(event) for event in events] == [True, True, True, True, False, False]
    group, elsewhere = AsGroup(), Keeping()
    route = Route(Given(events), [Sink(group), Sink(elsewhere)])
    run(route)
    assert group.kept == events[4:]
    assert elsewhere.kept == events
    assert [sink.guarded for sink in route.sinks] == [4, 0]


def test_a_sink_that_is_down_for_a_while_is_told_of_once_and_loses_nothing() -> None:
    failures = iter([EndpointUnavailable("nobody there"), OSError("no route"), EndpointUnavailable("still nobody")])

    def fail_at_first(_: object) -> None:
        for error in failures:
            raise error

    slow, quick = Keeping(obstacle=fail_at_first), Keeping()
    route = Route(Given(numbered(4)), [Sink(slow), Sink(quick)])
    with capture_logs() as logs:
        run(route)
    assert slow.kept == quick.kept == numbered(4)
    assert [sink.outages for sink in route.sinks] == [1, 0]
    assert [entry["event"] for entry in logs] == ["sink_down", "sink_up"]


@pytest.mark.parametrize("error", [EndpointDenied("no"), UrlError("never"), RuntimeError("a fault"), BrokenPipeError()])
def test_a_sink_that_fails_for_good_stops_no_other(error: Exception) -> None:
    def always(_: object) -> None:
        raise error

    broken, sound = Keeping(obstacle=always), Keeping()
    route = Route(Given(numbered(10), numbered(10, 10)), [Sink(broken), Sink(sound)])
    with capture_logs() as logs:
        run(route)
    assert sound.kept == numbered(20)
    assert route.sinks[0].failed is error
    counters = route.sinks[0].counters()
    assert counters["offered"] == counters["dropped_failed"]
    assert counters["sent"] == 0
    assert len([entry for entry in logs if entry["event"] == "sink_failed"]) == (0 if error.args == () else 1)


def test_a_route_whose_sinks_have_all_failed_ends() -> None:
    def always(_: object) -> None:
        raise EndpointDenied("no")

    route = Route(Given(numbered(1), endless=True), [Sink(Keeping(obstacle=always))])
    with capture_logs():
        run(route)
    assert route.source.closed


def test_a_route_without_sinks_still_counts() -> None:
    route = Route(Given(numbered(3)), [])
    run(route)
    assert route.received == 3


def test_a_hanging_sink_loses_only_its_own_events_counted() -> None:
    async def act() -> None:
        hanging, sound = Keeping(), Keeping()
        hanging.gate.clear()
        route = Route(Given(*(numbered(10, 10 * index) for index in range(50))), [Sink(hanging, limit=20), Sink(sound)])
        running = asyncio.create_task(route.run(drain=0.0))
        await until(lambda: len(sound.kept) == 500)
        route.stop()
        await asyncio.wait_for(running, GENEROUS)
        counters = route.sinks[0].counters()
        assert hanging.kept == []
        assert counters["offered"] == 500
        assert counters["dropped_overflow"] + counters["dropped_undrained"] == 500
        assert counters["queued"] == 0
        assert route.undrained == counters["dropped_undrained"] > 0

    asyncio.run(act())


def test_a_sink_that_blocks_holds_the_source_up_instead() -> None:
    async def act() -> None:
        slow = Keeping()
        slow.gate.clear()
        route = Route(Given(*(numbered(10, 10 * index) for index in range(50))), [Sink(slow, "block", limit=20)])
        running = asyncio.create_task(route.run())
        await until(lambda: route.received >= 30)
        for _ in range(50):
            await asyncio.sleep(0)
        assert route.received <= 50
        slow.gate.set()
        await asyncio.wait_for(running, GENEROUS)
        assert slow.kept == numbered(500)

    asyncio.run(act())


def test_stopping_sends_what_is_queued_first() -> None:
    async def act() -> None:
        slow = Keeping()
        slow.gate.clear()
        route = Route(Given(numbered(100), endless=True), [Sink(slow)])
        running = asyncio.create_task(Node([route], drain=GENEROUS).run())
        await asyncio.wait_for(route.ready.wait(), GENEROUS)
        await until(lambda: route.received == 100)
        route.stop()
        await until(lambda: route.source.closed)
        slow.gate.set()
        await asyncio.wait_for(running, GENEROUS)
        assert slow.kept == numbered(100)
        assert route.undrained == 0

    asyncio.run(act())


def test_cancelling_counts_what_was_left() -> None:
    async def act() -> None:
        stuck = Keeping()
        stuck.gate.clear()
        route = Route(Given(numbered(9), endless=True), [Sink(stuck)])
        running = asyncio.create_task(route.run())
        await until(lambda: route.received == 9)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert route.undrained == 9
        assert stuck.closed

    asyncio.run(act())


def test_an_error_of_the_source_is_raised_once_what_it_gave_is_sent() -> None:
    sink = Keeping()
    route = Route(Given(numbered(5), error=EndpointUnavailable("cut off")), [Sink(sink)])
    with pytest.raises(EndpointUnavailable, match="cut off"):
        run(route)
    assert sink.kept == numbered(5)


def test_a_node_runs_its_other_routes_on_when_one_fails() -> None:
    sink = Keeping()
    failing = Route(Given(error=EndpointUnavailable("gone")), [Sink(Keeping())], name="failing")
    missing = Route(Given(), [Sink(make_endpoint("file:/no/such/folder/x.jsonl", role="sink"))], name="missing")
    sound = Route(Given(numbered(5)), [Sink(sink)])
    with capture_logs() as logs, pytest.raises(EndpointUnavailable, match="gone"):
        asyncio.run(Node([failing, missing, sound]).run())
    assert sink.kept == numbered(5)
    assert sorted(entry["route"] for entry in logs if entry["event"] == "route_failed") == ["failing", "missing"]


def test_events_that_are_too_large_are_counted_and_the_rest_sent() -> None:
    large = Event("TRAP", {"Large": "x" * 70_000})

    def refuse_large(events: Sequence[Event]) -> None:
        sink.kept += [event for event in events if event is not large]
        if large in events:
            raise EventTooLarge("too large", 70_050, 65_507)

    sink = Keeping(obstacle=refuse_large)
    route = Route(Given([*numbered(2), large, *numbered(2, 2)]), [Sink(sink)])
    with capture_logs() as logs:
        run(route)
    assert sink.kept == numbered(4)
    assert (route.sinks[0].sent, route.sinks[0].too_large, route.sinks[0].counters()["dropped_failed"]) == (4, 1, 1)
    assert [entry["event"] for entry in logs] == ["event_too_large"]


def test_a_sink_that_fails_at_closing_has_failed() -> None:
    class Unfinished(Keeping):
        async def close(self) -> None:
            await super().close()
            raise EndpointUnavailable("no space left")

    route = Route(Given(numbered(1)), [Sink(Unfinished()), Sink(Keeping())])
    with capture_logs() as logs:
        run(route)
    assert isinstance(route.sinks[0].failed, EndpointUnavailable)
    assert [entry["event"] for entry in logs] == ["sink_failed"]
