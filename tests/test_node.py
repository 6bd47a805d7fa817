"""Nodes: the straight line, and what happens when one end of it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import GENEROUS, Given, Keeping, assert_sums_agree, fired, numbered, numbers, run, running
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event
from switchcast.endpoints import make_endpoint
from switchcast.errors import EndpointDenied, EndpointUnavailable, EventTooLarge, UrlError, UsageError
from switchcast.line.loops import Hearer, loop_guard
from switchcast.node import Node, Route, Sink, Source
from switchcast.wire.gap_record import Gap


def node_of(source: Given, *sinks: Sink, drain: float = GENEROUS) -> Node:
    return Node([Route(Source(source), sinks, name="line")], drain=drain)


def test_events_go_straight_from_source_to_every_sink() -> None:
    source, first, second = Given(numbered(3), numbered(2, 3)), Keeping("first"), Keeping("second")
    node = node_of(source, Sink(first), Sink(second))
    run(node)
    assert first.kept == second.kept == numbered(5)
    counts = node.counters()
    assert counts["sources"]["memory:given"]["received"] == counts["routes"]["line"]["passed"] == 5
    assert all(outlet.counters()["delivered"] == outlet.sent == 5 for outlet in node.outlets.values())
    assert [first.closed, second.closed, source.closed] == [True] * 3
    assert node.states()["sources"]["memory:given"].status == "ended"


def test_only_what_matches_and_what_the_policy_lets_pass_goes_on() -> None:
    sink = Keeping()

    def even_only(events: list[Event]) -> list[Event]:
        return [event for event in events if int(event.get("Number") or 0) % 2 == 0]

    source = Source(Given([*numbered(6), Event("HEARTBEAT")]))
    node = Node([Route(source, [Sink(sink)], bindings="TRAP", policy=even_only, name="even")])
    run(node)
    assert numbers(sink.kept) == [0, 2, 4]
    assert node.counters()["routes"]["even"] == {
        "refused": 0,
        "unmatched": 1,
        "untrusted": 0,
        "unsigned": 0,
        "withheld": 3,
        "faulty": 0,
        "passed": 3,
    }


def test_a_policy_that_is_at_fault_lets_nothing_pass_and_ends_nothing() -> None:
    def stumble(_: list[Event]) -> list[Event]:
        raise KeyError("a header that is not there")

    strict, open_to_all = Keeping("strict"), Keeping("open")
    source = Source(Given(numbered(3), numbered(3, 3)))
    node = Node([Route(source, [Sink(strict)], policy=stumble, name="strict"), Route(source, [Sink(open_to_all)])])
    with capture_logs() as logs:
        run(node)
    assert strict.kept == []
    assert numbers(open_to_all.kept) == list(range(6))
    assert node.lanes["strict"].faulty == 6
    assert [entry["event"] for entry in logs] == ["policy_fault"]


def test_what_would_go_round_in_circles_is_kept_off_the_group_only() -> None:
    refired = [Event("CUSTOM", {"Event-Subclass": f"multicast::{name}"}) for name in ("event", "peerup", "peerdown")]
    restored = Event("PRESENCE_IN", {"Multicast": "yes"})
    sound = [Event("CUSTOM", {"Event-Subclass": "sofia::register"}), Event("HEARTBEAT", {"Multicast": "no"})]
    events = [*refired, Event("LOG"), restored, *sound]
    assert loop_guard("group", "fs1")(events) == events[5:]
    group, elsewhere = Keeping("group"), Keeping("elsewhere")
    node = node_of(Given(events), Sink(group, hearer="group"), Sink(elsewhere))
    run(node)
    assert group.kept == sound
    assert elsewhere.kept == events
    assert [outlet.guarded for outlet in node.outlets.values()] == [5, 0]


@pytest.mark.parametrize("hearer", ["group", "switch", "other"])
def test_gap_records_go_on_to_where_they_are_asked_for(hearer: Hearer) -> None:
    gap = Gap("elsewhere", "overflow", 3).event()
    told, spared = Keeping("told"), Keeping("spared")
    sinks = [Sink(told, hearer=hearer, gaps=True), Sink(spared, hearer=hearer, gaps=False)]
    run(node_of(Given([gap, *numbered(1)]), *sinks))
    assert told.kept == [gap, *numbered(1)]
    assert spared.kept == ([gap, *numbered(1)] if hearer == "other" else numbered(1))


def test_what_this_node_sent_itself_is_kept_from_the_switch() -> None:
    gap = Gap("elsewhere", "overflow", 3).event()
    ours, theirs = (Event("TRAP", {"Multicast-Sender": sender}) for sender in ("fs1", "fs2"))
    nobodys = Event("TRAP")
    switch = Keeping()
    node = Node(
        [Route(Source(Given([ours, theirs, gap, nobodys])), [Sink(switch, hearer="switch", gaps=False)])], name="fs1"
    )
    run(node)
    assert switch.kept == [theirs, nobodys]
    assert Sink("multicast://239.255.42.42").heard_by == Sink("udp://127.0.0.1").heard_by == "group"
    assert (Sink("esl://127.0.0.1").heard_by, Sink("file:x.jsonl").heard_by) == ("switch", "other")


def test_a_sink_that_is_down_for_a_while_is_told_of_once_and_loses_nothing() -> None:
    failures = iter([EndpointUnavailable("nobody there"), OSError("no route"), EndpointUnavailable("still nobody")])

    def fail_at_first(_: object) -> None:
        for error in failures:
            raise error

    slow, quick = Keeping("slow", fail_at_first), Keeping("quick")
    node = node_of(Given(numbered(4)), Sink(slow), Sink(quick))
    with capture_logs() as logs:
        run(node)
    assert slow.kept == quick.kept == numbered(4)
    assert [outlet.outages for outlet in node.outlets.values()] == [1, 0]
    assert [entry["event"] for entry in logs] == ["sink_down", "sink_up"]


@pytest.mark.parametrize("error", [EndpointDenied("no"), UrlError("never"), RuntimeError("a fault"), BrokenPipeError()])
def test_a_sink_that_fails_for_good_stops_no_other(error: Exception) -> None:
    def always(_: object) -> None:
        raise error

    sound = Keeping("sound")
    node = node_of(Given(numbered(10), numbered(10, 10)), Sink(Keeping("broken", always)), Sink(sound))
    with capture_logs() as logs:
        run(node)
    assert sound.kept == numbered(20)
    broken = node.outlets["memory:broken"]
    assert broken.failed is error
    assert broken.state.status == "failed"
    assert broken.counters()["offered"] == broken.counters()["dropped_failed"]
    assert broken.sent == 0
    assert len([entry for entry in logs if entry["event"] == "sink_failed"]) == (0 if error.args == () else 1)


def test_a_node_whose_sinks_have_all_failed_ends() -> None:
    def always(_: object) -> None:
        raise EndpointDenied("no")

    source = Given(numbered(1), endless=True)
    with capture_logs():
        run(node_of(source, Sink(Keeping("broken", always))))
    assert source.closed


def test_a_route_without_sinks_still_counts() -> None:
    node = node_of(Given(numbered(3)))
    run(node)
    assert node.feeds["memory:given"].received == node.lanes["line"].passed == 3


def test_a_hanging_sink_loses_only_its_own_events_counted() -> None:
    async def act() -> None:
        hanging, sound = Keeping("hanging"), Keeping("sound")
        hanging.gate.clear()
        source = Given(*(numbered(10, 10 * index) for index in range(50)))
        async with running(node_of(source, Sink(hanging, limit=20), Sink(sound), drain=0.0)) as node:
            await until(lambda: len(sound.kept) == 500)
        counters = node.outlets["memory:hanging"].counters()
        assert hanging.kept == []
        assert counters["offered"] == 500
        assert counters["dropped_overflow"] + counters["dropped_undrained"] == 500
        assert node.undrained() == {"memory:hanging": counters["dropped_undrained"]}

    asyncio.run(act())


def test_a_sink_that_blocks_holds_the_source_up_instead() -> None:
    async def act() -> None:
        slow = Keeping()
        slow.gate.clear()
        source = Given(*(numbered(10, 10 * index) for index in range(50)))
        node = node_of(source, Sink(slow, overflow="block", limit=20))
        task = asyncio.create_task(node.run())
        await until(lambda: node.feeds and node.feeds["memory:given"].received >= 30)
        for _ in range(50):
            await asyncio.sleep(0)
        assert node.feeds["memory:given"].received <= 50
        slow.gate.set()
        await asyncio.wait_for(task, GENEROUS)
        assert slow.kept == numbered(500)

    asyncio.run(act())


def test_stopping_sends_what_is_queued_first() -> None:
    async def act() -> None:
        slow, source = Keeping(), Given(numbered(100), endless=True)
        slow.gate.clear()
        node = node_of(source, Sink(slow))
        task = asyncio.create_task(node.run())
        await until(lambda: node.feeds and node.feeds["memory:given"].received == 100)
        node.stop()
        await until(lambda: source.closed)
        slow.gate.set()
        await asyncio.wait_for(task, GENEROUS)
        assert slow.kept == numbered(100)
        assert node.undrained() == {}
        assert_sums_agree(node)

    asyncio.run(act())


def test_cancelling_counts_what_was_left() -> None:
    async def act() -> None:
        stuck = Keeping()
        stuck.gate.clear()
        node = node_of(Given(numbered(9), endless=True), Sink(stuck))
        task = asyncio.create_task(node.run())
        await until(lambda: node.feeds and node.feeds["memory:given"].received == 9)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert node.undrained() == {"memory:kept": 9}
        assert stuck.closed
        assert_sums_agree(node)

    asyncio.run(act())


def test_one_that_is_cancelled_as_it_starts_lets_go_of_everything() -> None:
    async def act() -> None:
        source, sink = Given(numbered(9), endless=True), Keeping()
        node = node_of(source, Sink(sink))
        task = asyncio.create_task(node.run())
        await node.ready.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.closed
        assert sink.closed

    asyncio.run(act())


def test_an_error_of_the_source_is_raised_once_what_it_gave_is_sent() -> None:
    sink = Keeping()
    with pytest.raises(EndpointUnavailable, match="cut off"), capture_logs():
        run(node_of(Given(numbered(5), error=EndpointUnavailable("cut off")), Sink(sink)))
    assert sink.kept == numbered(5)


def test_the_other_sources_are_read_to_their_end_when_one_fails() -> None:
    sink = Keeping()
    failing = Route(Source(Given(error=EndpointUnavailable("gone"), name="failing")), [Sink(Keeping("other"))])
    with capture_logs() as logs, pytest.raises(EndpointUnavailable, match="gone"):
        run(Node([failing, Route(Source(Given(numbered(5))), [Sink(sink)])]))
    assert sink.kept == numbered(5)
    assert [entry["event"] for entry in logs] == ["source_failed"]


def test_what_cannot_be_opened_is_an_error_at_once() -> None:
    source, before = Given(numbered(5)), Keeping()
    missing = Sink(make_endpoint("file:/no/such/folder/x.jsonl", role="sink"))
    with pytest.raises(EndpointUnavailable, match="no such file"):
        run(node_of(source, Sink(before), missing))
    assert source.closed
    assert before.closed
    assert before.kept == []


def test_events_that_are_too_large_are_counted_and_the_rest_sent() -> None:
    large = Event("TRAP", {"Large": "x" * 70_000})

    def refuse_large(events: Sequence[Event]) -> None:
        sink.kept += [event for event in events if event is not large]
        if large in events:
            raise EventTooLarge("too large", 70_050, 65_507)

    sink = Keeping(obstacle=refuse_large)
    node = node_of(Given([*numbered(2), large, *numbered(2, 2)]), Sink(sink))
    with capture_logs() as logs:
        run(node)
    assert sink.kept == numbered(4)
    outlet = node.outlets["memory:kept"]
    assert (outlet.sent, outlet.too_large, outlet.counters()["dropped_failed"]) == (4, 1, 1)
    assert [entry["event"] for entry in logs] == ["event_too_large"]


def test_a_sink_that_fails_at_closing_has_failed() -> None:
    class Unfinished(Keeping):
        async def close(self) -> None:
            await super().close()
            raise EndpointUnavailable("no space left")

    node = node_of(Given(numbered(1)), Sink(Unfinished("unfinished")), Sink(Keeping()))
    with capture_logs() as logs:
        run(node)
    assert isinstance(node.outlets["memory:unfinished"].failed, EndpointUnavailable)
    assert [entry["event"] for entry in logs] == ["sink_failed"]


def test_parts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(UsageError, match="two different sinks are called 'archive'"):
        Node([Route(Source("memory:a"), [Sink("memory:x", name="archive"), Sink("memory:y", name="archive")])])
    with pytest.raises(UsageError, match="no address and no network"):
        Node([Route(Source("memory:a"), [], allow=["192.0.2.300"])])
    with pytest.raises(UsageError, match="column"):
        Node([Route(Source("memory:a"), [], where="name ==")])


BATCHES = st.lists(
    st.lists(
        st.builds(
            lambda core, sequence, name, host: fired(core, sequence, name=name, source=host and f"{host}:4242"),
            st.integers(0, 2),
            st.integers(1, 40),
            st.sampled_from(["TRAP", "HEARTBEAT", "LOG", "MESSAGE"]),
            st.sampled_from([None, "192.0.2.1", "192.0.2.77", "198.51.100.1", "[2001:db8::1]"]),
        ),
        min_size=1,
        max_size=8,
    ),
    max_size=10,
)
ALLOW = st.sampled_from([(), ("192.0.2.1",), ("192.0.2.0/24", "2001:db8::/32")])


@given(batches=BATCHES, allow=st.tuples(ALLOW, ALLOW), deduplicate=st.booleans(), limit=st.integers(1, 20))
def test_whatever_comes_every_event_is_accounted_for(
    batches: list[list[Event]], allow: tuple[tuple[str, ...], tuple[str, ...]], deduplicate: bool, limit: int
) -> None:
    source = Source(Given(*batches))
    group = Sink(Keeping("group"), hearer="group", limit=limit, gaps=False)
    both, one = Keeping("both"), Keeping("one")
    routes = [
        Route(source, [group, Sink(both)], bindings="TRAP LOG", allow=allow[0], deduplicate=deduplicate, name="first"),
        Route(source, [Sink(both), Sink(one)], where='h["Number"] != "7"', allow=allow[1], name="second"),
    ]
    node = Node(routes)
    with capture_logs():
        run(node)
    feed, first, second = node.feeds["memory:given"], node.lanes["first"], node.lanes["second"]
    assert feed.received == sum(len(batch) for batch in batches) == feed.refused + feed.duplicates + feed.passed
    for lane in (first, second):
        assert feed.passed == lane.refused + lane.unmatched + lane.withheld + lane.faulty + lane.passed
    assert node.outlets["memory:both"].queue.offered == first.passed + second.passed == len(both.kept)
    assert node.outlets["memory:group"].queue.offered == first.passed
    assert len(one.kept) == second.passed
    if deduplicate:
        told = [(event.core_uuid, event.sequence, event.name) for event in one.kept]
        assert len(told) == len(set(told))
