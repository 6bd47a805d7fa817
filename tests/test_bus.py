"""The bus: what was offered is delivered, dropped for a reason, or still queued, for each subscriber by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchcast import Event, Matcher
from switchcast.bus import DROP_REASONS, OVERFLOWS, Bus, Overflow, Subscription, deliver

GENEROUS = 10.0


def numbered(count: int, first: int = 0) -> list[Event]:
    return [Event("TRAP", {"Number": str(number)}) for number in range(first, first + count)]


def numbers(events: Sequence[Event]) -> list[int]:
    return [int(event["Number"]) for event in events]


def assert_balanced(subscription: Subscription) -> None:
    counts = subscription.counters()
    dropped = sum(counts[f"dropped_{reason}"] for reason in DROP_REASONS)
    assert counts["offered"] == counts["delivered"] + dropped + counts["queued"]
    assert counts["queued"] == subscription.queued >= 0


async def turns(count: int = 5) -> None:
    """Let every other task run as far as it can."""
    for _ in range(count):
        await asyncio.sleep(0)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 12)),
        st.tuples(st.just("take"), st.integers(1, 8)),
        st.tuples(st.just("settle"), st.integers(0, 3)),
        st.tuples(st.just("cancel"), st.just(0)),
        st.tuples(st.just("leave"), st.just(0)),
    ),
    max_size=40,
)


@given(overflow=st.sampled_from(OVERFLOWS), limit=st.integers(1, 10), steps=STEPS)
def test_whatever_happens_what_was_offered_is_accounted_for(
    overflow: Overflow, limit: int, steps: list[tuple[str, int]]
) -> None:
    async def act() -> None:
        bus = Bus()
        ours, other = bus.subscribe("ours", limit=limit, overflow=overflow), bus.subscribe("other", limit=1000)
        publishing: list[asyncio.Task[None]] = []
        published, seen = 0, list[int]()
        for step, count in steps:
            if step == "publish":  # several at a time, when one of them has to wait
                publishing.append(asyncio.create_task(bus.publish(numbered(count, published))))
                published += count
            elif step == "take" and ours.queued:
                seen += [number for number in numbers(await ours.take(count)) if number not in seen]
            elif step == "settle":
                ours.settle(failed=count)
            elif step == "cancel" and publishing:
                publishing.pop(0).cancel()
            elif step == "leave":
                ours.close()
            await turns()
            assert_balanced(ours)
            assert_balanced(other)
            assert len(ours._waiting) <= limit
        for task in publishing:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        left = await bus.close()
        for subscription in (ours, other):
            assert_balanced(subscription)
            assert subscription.queued == 0
        assert left == ours.dropped["undrained"] + other.dropped["undrained"]
        assert other.offered == published
        assert other.dropped["overflow"] == 0
        assert seen == sorted(seen)

    asyncio.run(act())


@pytest.mark.parametrize(
    ("overflow", "kept"), [("drop-oldest", [7, 8, 9]), ("drop-newest", [0, 1, 2])], ids=["oldest", "newest"]
)
def test_a_full_queue_drops_what_it_says(overflow: Overflow, kept: list[int]) -> None:
    async def act() -> None:
        bus = Bus()
        subscription = bus.subscribe("slow", limit=3, overflow=overflow)
        await bus.publish(numbered(2))
        await bus.publish(numbered(8, 2))
        assert numbers(await subscription.take()) == kept
        assert subscription.dropped["overflow"] == 7
        subscription.settle()
        assert_balanced(subscription)

    asyncio.run(act())


def test_one_that_blocks_holds_the_publisher_up_and_loses_nothing() -> None:
    async def act() -> None:
        bus = Bus()
        slow = bus.subscribe("slow", limit=4, overflow="block")
        quick = bus.subscribe("quick", limit=100)
        publishing = asyncio.create_task(bus.publish(numbered(10)))
        await turns()
        assert not publishing.done()
        assert numbers(await quick.take()) == list(range(10))  # has its copy before the wait
        received = list[int]()
        while len(received) < 10:
            received += numbers(await slow.take(2))
            slow.settle()
        await asyncio.wait_for(publishing, GENEROUS)
        assert received == list(range(10))
        assert slow.delivered == 10

    asyncio.run(act())


def test_a_blocked_publisher_is_let_go_when_the_subscriber_leaves() -> None:
    async def act() -> None:
        bus = Bus()
        subscription = bus.subscribe("leaving", limit=1, overflow="block")
        publishing = asyncio.create_task(bus.publish(numbered(5)))
        await turns()
        assert subscription.close() == 5
        await asyncio.wait_for(publishing, GENEROUS)
        await bus.publish(numbered(5))
        assert subscription.offered == 5
        assert subscription.dropped["closed"] == 5

    asyncio.run(act())


def test_closing_waits_for_the_subscribers() -> None:
    async def act() -> None:
        bus = Bus()
        subscription = bus.subscribe("reader")

        async def read() -> int:
            total = 0
            while batch := await subscription.take(3):
                await asyncio.sleep(0)
                total += len(batch)
                subscription.settle()
            return total

        reading = asyncio.create_task(read())
        await bus.publish(numbered(100))
        assert await bus.close(GENEROUS) == 0
        assert await reading == 100
        await bus.publish(numbered(1))
        assert (subscription.closed, subscription.offered) == (True, 100)

    asyncio.run(act())


def test_closing_says_what_was_left() -> None:
    async def act() -> None:
        bus = Bus()
        stuck = bus.subscribe("stuck")
        await bus.publish(numbered(7))
        assert len(await stuck.take(2)) == 2
        assert await bus.close(0.0) == 7
        assert stuck.dropped["undrained"] == 7
        assert await bus.close() == 0
        stuck.settle()
        assert_balanced(stuck)

    asyncio.run(act())


def test_a_cancelled_close_counts_all_the_same() -> None:
    async def act() -> None:
        bus = Bus()
        stuck = bus.subscribe("stuck")
        await bus.publish(numbered(3))
        closing = asyncio.create_task(bus.close(GENEROUS))
        await turns()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert stuck.dropped["undrained"] == 3

    asyncio.run(act())


def test_a_cancelled_take_loses_nothing() -> None:
    async def act() -> None:
        bus = Bus()
        subscription = bus.subscribe("impatient")
        taking = asyncio.create_task(subscription.take())
        await turns()
        taking.cancel()
        await turns()
        await bus.publish(numbered(2))
        assert numbers(await subscription.take()) == [0, 1]
        assert numbers(await subscription.take()) == [0, 1]  # not settled: the same ones again
        subscription.settle(failed=1)
        assert (subscription.delivered, subscription.dropped["failed"]) == (1, 1)

    asyncio.run(act())


def test_those_that_left_are_forgotten() -> None:
    bus = Bus()
    for _ in range(100):
        bus.subscribe("visitor").close()
    staying = bus.subscribe("staying")
    assert bus.subscriptions == (staying,)
    assert len(bus._subscriptions) == 1


def test_what_cannot_be_a_queue_is_refused() -> None:
    bus = Bus()
    with pytest.raises(ValueError, match="holds nothing"):
        bus.subscribe("empty", limit=0)
    with pytest.raises(ValueError, match="no overflow choice"):
        bus.subscribe("odd", overflow="drop-some")  # type: ignore[arg-type]


def test_two_publishers_wait_for_the_same_subscriber_in_turn() -> None:
    async def act() -> None:
        slow = Subscription("slow", 2, "block")
        publishing = [asyncio.create_task(deliver([(slow, numbered(4, first))])) for first in (0, 100)]
        await turns()
        assert slow.queued == 8
        received = list[int]()
        while len(received) < 8:
            received += numbers(await slow.take(1))
            slow.settle()
            await turns()
        await asyncio.wait_for(asyncio.gather(*publishing), GENEROUS)
        assert received == [0, 1, 2, 3, 100, 101, 102, 103]
        assert_balanced(slow)

    asyncio.run(act())


def test_what_is_offered_without_waiting_is_dropped_where_there_is_no_room() -> None:
    async def act() -> None:
        full = Subscription("full", 2, "block")
        full.offer(numbered(5))
        assert (full.queued, full.dropped["overflow"]) == (2, 3)
        assert numbers(await full.take()) == [0, 1]
        assert_balanced(full)

    asyncio.run(act())


def test_what_is_offered_to_one_that_failed_is_counted() -> None:
    async def act() -> None:
        failed = Subscription("failed", 5)
        await deliver([(failed, numbered(3))])
        assert failed.close("failed") == 3
        await deliver([(failed, numbered(4))])
        assert failed.close("undrained") == 0
        await deliver([(failed, numbered(1))])
        assert (failed.offered, failed.dropped["failed"]) == (8, 8)
        assert_balanced(failed)

    asyncio.run(act())


def test_a_gap_that_could_not_be_told_is_in_the_next_one() -> None:
    async def act() -> None:
        slow = Subscription("slow", 1)
        await deliver([(slow, fired(1, 4))])
        gap = slow.take_gap()
        assert gap is not None
        await deliver([(slow, fired(5, 2))])
        slow.give_back(gap)
        whole = slow.take_gap()
        assert whole is not None
        assert (whole.events, whole.first, whole.last) == (5, *fired(1, 1), *fired(5, 1))
        assert slow.take_gap() is None

    asyncio.run(act())


def test_each_subscription_gets_what_its_matcher_wants() -> None:
    async def act() -> None:
        bus = Bus()
        hearts, every = bus.subscribe("hearts", matcher=Matcher("HEARTBEAT")), bus.subscribe("every")
        await bus.publish([Event("HEARTBEAT"), Event("TRAP")])
        assert await hearts.take() == [Event("HEARTBEAT")]
        assert await every.take() == [Event("HEARTBEAT"), Event("TRAP")]

    asyncio.run(act())


def fired(first: int, count: int) -> list[Event]:
    return [
        Event("TRAP", {"Core-UUID": "4f7a", "Event-Sequence": str(number)}) for number in range(first, first + count)
    ]


@pytest.mark.parametrize(
    ("overflow", "first", "last"), [("drop-oldest", 1, 7), ("drop-newest", 4, 10)], ids=["oldest", "newest"]
)
def test_a_reader_is_told_what_its_queue_dropped(overflow: Overflow, first: int, last: int) -> None:
    async def act() -> None:
        subscription = Subscription("slow", 3, overflow, tells_gaps=True)
        await deliver([(subscription, fired(1, 5))])
        await deliver([(subscription, fired(6, 5))])
        record, *rest = await subscription.take()
        assert record.to_dict() == {
            "Event-Name": "CUSTOM",
            "Event-Subclass": "switchcast::gap",
            "Gap-Place": "slow",
            "Gap-Reason": "overflow",
            "Gap-Events": "7",
            "Gap-First": f"4f7a {first}",
            "Gap-Last": f"4f7a {last}",
        }
        assert len(rest) == 3
        subscription.settle()
        assert subscription.counters()["gaps"] == 1
        assert_balanced(subscription)
        await deliver([(subscription, fired(11, 1))])
        assert await subscription.take() == fired(11, 1)  # told once

    asyncio.run(act())


def test_a_queue_that_shrinks_keeps_what_waits() -> None:
    async def act() -> None:
        subscription = Subscription("shrinking", 10)
        await deliver([(subscription, numbered(8))])
        subscription.resize(4, "drop-newest")
        await deliver([(subscription, numbered(1, 8))])
        assert numbers(await subscription.take()) == list(range(8))
        assert subscription.dropped["overflow"] == 1
        subscription.settle()
        assert_balanced(subscription)

    asyncio.run(act())
