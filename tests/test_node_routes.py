"""Several routes at one source and one sink, the checks in front of them, and those who look on."""

from __future__ import annotations

import asyncio

import pytest
from parts import Given, Keeping, fired, numbered, numbers, run, running
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event, Matcher
from switchcast.endpoints import Endpoint, EndpointUrl
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.errors import UsageError
from switchcast.line.addresses import Allowed
from switchcast.line.gaps import LossWatch
from switchcast.line.plan import union_of
from switchcast.node import Node, Route, Sink, Source
from switchcast.wire.gap_record import is_gap


def test_a_source_and_a_sink_that_routes_share_are_opened_once_and_closed_once() -> None:
    given, kept = Given([*numbered(2), Event("HEARTBEAT")]), Keeping()
    source, sink = Source(given), Sink(kept)
    run(Node([Route(source, [sink], bindings="TRAP"), Route(source, [sink], bindings="HEARTBEAT"), Route(source, [])]))
    assert (given.opened, given.closings) == (kept.opened, kept.closings) == (1, 1)
    assert kept.kept == [*numbered(2), Event("HEARTBEAT")]


def test_an_endpoint_that_is_both_is_closed_once_at_the_end() -> None:
    class Both(MemoryEndpoint):
        closings = 0

        async def close(self) -> None:
            self.closings += 1
            await super().close()

    async def act() -> None:
        both, far = Both(EndpointUrl.parse("memory:near")), Keeping("far")
        back = Given(numbered(3), endless=True)
        routes = [Route(Source(both, name="switch"), [Sink(far)]), Route(Source(back), [Sink(both, name="switch")])]
        async with running(Node(routes)) as node:
            await until(lambda: len(far.kept) == 3)  # there, heard back, and on
            assert both.closings == 0
        assert both.closings == 1
        assert node.feeds["switch"].hold.holding is node.outlets["switch"].hold.holding
        assert node.outlets["switch"].sent == node.feeds["switch"].received == 3

    asyncio.run(act())


@pytest.mark.parametrize(
    ("bindings", "union"),
    [
        (["TRAP", "HEARTBEAT TRAP"], "TRAP HEARTBEAT"),
        (["TRAP CUSTOM a::b", "CUSTOM c::d a::b"], "TRAP CUSTOM a::b c::d"),
        (["CUSTOM", "TRAP"], "TRAP CUSTOM"),
        (["TRAP", "all"], None),
        ([" ".join(f"X{number}" for number in range(base, base + 800)) for base in (0, 1000)], None),
    ],
)
def test_a_source_is_asked_for_the_union_of_what_is_wanted(bindings: list[str], union: str | None) -> None:
    matcher = union_of([Matcher(text) for text in bindings])
    assert (matcher and matcher.bindings) == union
    assert union_of([Matcher("TRAP"), None]) is None


def asked_of(node: Node, source: str) -> Matcher | None:
    return node.feeds[source].endpoint.matcher


def test_only_what_someone_wants_is_asked_of_a_source() -> None:
    async def act() -> None:
        sink, line = Keeping(), MemoryEndpoint(EndpointUrl.parse("memory:line"))
        source = Source("memory:line", name="line")
        only = Route(source, [Sink(sink)], bindings="TRAP", where='h["Number"] != "1"', name="only")
        async with running(Node([only])) as node:
            asked = asked_of(node, "line")
            assert asked is not None
            assert (asked.bindings, asked.where) == ("TRAP", only.where)
            assert node.feeds["line"].matched
            await line.send([*numbered(3), Event("HEARTBEAT")])
            await until(lambda: numbers(sink.kept) == [0, 2])
            assert node.lanes["only"].unmatched == 0  # the source had matched already
            tap = node.tap("look", "HEARTBEAT")
            await until(lambda: (asked_of(node, "line") or asked).where is None)
            await line.send([*numbered(3), Event("HEARTBEAT"), Event("MESSAGE")])
            assert await tap.take() == [Event("HEARTBEAT")]
            tap.settle()
            await until(lambda: numbers(sink.kept) == [0, 2, 0, 2])
            assert node.lanes["only"].unmatched == 2
            assert node.feeds["line"].endpoint.counters()["unmatched"] == 3

    asyncio.run(act())


def test_an_address_that_is_not_allowed_is_not_heard() -> None:
    near, far = fired(0, 1, source="192.0.2.7:4242"), fired(0, 2, source="10.0.0.1:4242")
    local = fired(0, 3)
    narrow, wide = Keeping("narrow"), Keeping("wide")
    source = Source(Given([near, far, local, fired(0, 9, source="203.0.113.1:1")]))
    routes = [
        Route(source, [Sink(narrow)], allow=["192.0.2.0/24"], name="narrow"),
        Route(source, [Sink(wide)], allow=["192.0.2.0/24", "10.0.0.1"], name="wide"),
    ]
    node = Node(routes, drain=0.2)
    tap = node.tap("look")
    run(node)
    assert narrow.kept == [near, local]
    assert wide.kept == [near, far, local]
    assert tap.offered == 3
    assert (node.feeds["memory:given"].refused, node.lanes["narrow"].refused, node.lanes["wide"].refused) == (1, 1, 0)


def test_which_addresses_are_allowed() -> None:
    allowed = Allowed(["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"])
    heard = ["192.0.2.1:4242", "198.51.100.9:1", "[2001:db8::5]:4242", "[::ffff:192.0.2.1]:4242", None, "sim:1"]
    assert all(allowed.admits(source) for source in heard)
    assert not any(allowed.admits(source) for source in ["192.0.2.2:4242", "[2001:db9::1]:1", "[fe80::1%eth0]:1"])
    for port in range(10_000):  # what is remembered is bounded
        allowed.admits(f"192.0.2.2:{port}")
    assert len(allowed._answers) <= 4096
    with pytest.raises(UsageError, match="'fs1' is no address"):
        Allowed(["fs1"])


def test_what_comes_on_two_paths_goes_on_once() -> None:
    async def act() -> None:
        first, second, sink = Given(name="first", endless=True), Given(name="second", endless=True), Keeping()
        alone = Given(name="alone", endless=True)
        ends = [Sink(sink)]
        routes = [Route(Source(each), ends, deduplicate=each is not alone) for each in (first, second, alone)]
        events = [fired(0, number) for number in range(50)]
        async with running(Node(routes)) as node:
            for batch in (events[:30], events[20:], numbered(2)):
                for path in ("first", "second", "alone"):
                    await MemoryEndpoint(EndpointUrl.parse(f"memory:{path}")).send(batch)
            await until(lambda: sum(feed.received for feed in node.feeds.values()) == 186)
        assert len(sink.kept) == 50 + 4 + 60 + 2  # of those without a pair each is one of its own
        assert sum(feed.duplicates for feed in node.feeds.values()) == 70
        assert node.feeds["memory:alone"].duplicates == 0

    asyncio.run(act())


def test_what_is_injected_reaches_taps_and_the_sinks_that_are_named() -> None:
    async def act() -> None:
        named, other = Keeping("named"), Keeping("other")
        ours = Event("CUSTOM", {"Event-Subclass": "multicast::peerup", "Peer": "fs2"})
        route = Route(Source(Given(endless=True)), [Sink(other, name="other")])
        async with running(Node([route], sinks=[Sink(named, name="named")])) as node:
            tap = node.tap("look", "CUSTOM multicast::peerup")
            await node.inject([ours, Event("TRAP")], to=["named"])
            assert await tap.take() == [ours]
            tap.settle()
            with pytest.raises(UsageError, match="no sink 'nowhere'; there are other, named"):
                await node.inject([ours], to=["nowhere"])
        assert named.kept == [ours, Event("TRAP")]
        assert other.kept == []
        assert node.counters()["node"][""]["injected"] == 2
        assert await tap.take() == []  # the end

    asyncio.run(act())


def test_a_sink_for_people_is_told_what_its_queue_dropped_and_so_are_those_who_look_on() -> None:
    async def act() -> None:
        archive, group = Keeping("archive"), Keeping("group")
        for each in (archive, group):
            each.gate.clear()
        source = Given(*([fired(0, 10 * tens + ones) for ones in range(10)] for tens in range(10)), endless=True)
        sinks = [Sink(archive, name="archive", limit=20), Sink(group, name="group", limit=20, gaps=False)]
        node = Node([Route(Source(source), sinks)])
        tap = node.tap("look", "CUSTOM switchcast::gap")
        async with running(node):
            await until(lambda: node.feeds["memory:given"].received == 100)
            archive.gate.set()
            group.gate.set()
            await until(lambda: archive.kept[-1:] == group.kept[-1:] == [fired(0, 99)])
            told = [event for event in archive.kept if is_gap(event)]
            lost = node.outlets["archive"].counters()["dropped_overflow"]
            assert lost > 0
            assert sum(int(event["Gap-Events"]) for event in told) == lost
            assert told[0]["Gap-Place"] == "archive"
            assert len(archive.kept) == 100 - lost + len(told)
            at = archive.kept.index(told[0])
            between = range(int(told[0]["Gap-First"].split()[1]), int(told[0]["Gap-Last"].split()[1]) + 1)
            assert set(numbers(archive.kept)).isdisjoint(between)
            assert numbers(archive.kept[at + 1 :])[0] > between[-1]
            assert not any(is_gap(event) for event in group.kept)
            await until(lambda: tap.queued == 2)
            assert {event["Gap-Place"] for event in await tap.take()} == {"archive", "group"}
            tap.settle()
        assert node.outlets["archive"].gaps == len(told)
        assert node.outlets["group"].gaps == 0

    asyncio.run(act())


def test_who_is_sent_gap_records_by_default() -> None:
    urls = ["file:x.jsonl", "-", "memory:x", "esl://127.0.0.1", "multicast://239.255.42.42", "udp://127.0.0.1"]
    assert [Sink(url).tells_gaps for url in urls] == [True, True, True, False, False, False]
    assert Sink("esl://127.0.0.1", gaps=True).tells_gaps


def test_what_the_receiver_itself_lost_is_told_in_the_stream() -> None:
    async def act() -> None:
        sink = Keeping()
        blocked = Keeping("blocked")
        blocked.gate.clear()
        sinks = [Sink(sink), Sink(blocked, overflow="block", limit=1)]
        line = MemoryEndpoint(EndpointUrl.parse("memory:line"))
        node = Node([Route(Source("memory:line?queue=10", name="line"), sinks)])
        tap = node.tap("look", "CUSTOM switchcast::gap")
        async with running(node):
            await line.send(numbered(5))
            await until(lambda: node.feeds["line"].received == 5)
            await line.send(numbered(30))  # the source is held up, and keeps ten
            (record,) = await tap.take()
            tap.settle()
            assert (record["Gap-Place"], record["Gap-Reason"], record["Gap-Events"]) == ("line", "queue_overflow", "20")
            await until(lambda: record in sink.kept)
            tap.close()
            blocked.gate.set()

    asyncio.run(act())


def test_a_loss_is_told_once_and_again_when_a_counter_begins_anew() -> None:
    watch = LossWatch("group")
    assert watch.look({"received_kernel_drops": 0}) == []
    told = watch.look({"received_kernel_drops": 3, "received_ring_overflow": 2, "received_unmatched": 9})
    assert [(gap.reason, gap.events) for gap in told] == [("kernel_drops", 3), ("ring_overflow", 2)]
    assert watch.look({"received_kernel_drops": 3, "received_ring_overflow": 2}) == []
    assert [gap.events for gap in watch.look({"received_kernel_drops": 1, "received_ring_overflow": 2})] == [1]


def test_a_tap_that_nobody_reads_holds_nobody_up() -> None:
    sink = Keeping()
    node = Node([Route(Source(Given(*(numbered(10) for _ in range(20)))), [Sink(sink)])], drain=0.2)
    idle = node.tap("idle", limit=10)
    with capture_logs():
        run(node)
    assert len(sink.kept) == 200
    assert idle.counters()["dropped_overflow"] == 190
    assert idle.counters()["dropped_undrained"] == 10


def test_a_source_that_is_an_endpoint_keeps_its_own_matcher() -> None:
    matcher = Matcher("TRAP")
    given: Endpoint = MemoryEndpoint(EndpointUrl.parse("memory:line"), matcher=matcher, role="source")

    async def act() -> None:
        async with running(Node([Route(Source(given), [Sink(Keeping())], bindings="HEARTBEAT")])):
            assert given.matcher is matcher

    asyncio.run(act())
