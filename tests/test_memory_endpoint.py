"""``memory:`` endpoints: everybody who listens gets everything, and what is lost is counted."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast._native import Event, Matcher
from switchcast.endpoints import make_endpoint
from switchcast.endpoints import memory as memory_module
from switchcast.endpoints.base import Endpoint
from switchcast.errors import EndpointClosed, SwitchcastError


def memory(text: str = "memory:line", matcher: Matcher | None = None) -> Endpoint:
    return make_endpoint(text, matcher=matcher)


def numbered(count: int) -> list[Event]:
    return [Event("HEARTBEAT", [("number", str(number))]) for number in range(count)]


async def take(endpoint: Endpoint, count: int) -> list[Event]:
    """The next ``count`` events."""
    events: list[Event] = []
    async with asyncio.timeout(30):
        async for batch in endpoint.batches():
            assert batch
            events += batch
            if len(events) >= count:
                break
    return events


def test_every_source_gets_what_is_sent_after_it_opened() -> None:
    events = numbered(3000)

    async def main() -> None:
        async with memory() as sink, memory() as early, memory() as late, memory("memory:other") as other:
            await early.open_source()
            await early.open_source()
            await other.open_source()
            await sink.send(events[:1000])
            await late.open_source()
            await sink.send(events[1000:])
            assert await take(early, 3000) == events
            assert await take(late, 2000) == events[1000:]
            assert other.counters()["received"] == 0
            assert sink.counters()["sent"] == 3000
            # the very events, not copies: what they came from and when is kept
            await sink.send([events[0].with_origin("192.0.2.1:4242", 7)])
            (event,) = await take(early, 1)
            assert (event.source, event.received) == ("192.0.2.1:4242", 7)

    asyncio.run(main())


def test_the_recorded_examples_pass_unchanged(wiki_examples: list[dict[str, list[list[str]]]]) -> None:
    headers = [[(name, value) for name, value in example["headers"]] for example in wiki_examples]
    events = [Event.from_headers(pairs, encoded=True) for pairs in headers]

    async def main() -> None:
        async with memory() as sink, memory() as source:
            await source.open_source()
            await sink.send(events)
            assert [event.to_plain() for event in await take(source, 7)] == [event.to_plain() for event in events]

    asyncio.run(main())


def test_a_source_that_falls_behind_loses_its_oldest_and_counts_them() -> None:
    events = numbered(25)

    async def main() -> None:
        async with memory() as sink, memory("memory:line?queue=10") as slow, memory() as quick:
            await slow.open_source()
            await quick.open_source()
            await sink.send(events)
            assert await take(slow, 10) == events[15:]
            assert await take(quick, 25) == events
            assert (slow.counters()["queue_overflow"], quick.counters()["queue_overflow"]) == (15, 0)

    asyncio.run(main())


def test_a_condition_chooses() -> None:
    async def main() -> None:
        matcher = Matcher("HEARTBEAT", 'h["number"] == "1"')
        async with memory() as sink, memory(matcher=matcher) as source:
            await source.open_source()
            await sink.send([Event("MESSAGE", [("number", "1")]), *numbered(3)])
            assert [event["number"] for event in await take(source, 1)] == ["1"]
            assert source.counters()["unmatched"] == 3

    asyncio.run(main())


@PROPERTY
@given(st.lists(st.integers(0, 30) | st.none(), max_size=20), st.integers(1, 20))
def test_every_event_is_accounted_for(steps: list[int | None], limit: int) -> None:
    async def main() -> None:
        matcher = Matcher("all", 'h["number"] != "3"')
        async with memory() as sink, memory(f"memory:line?queue={limit}", matcher) as source:
            await source.open_source()
            batches = source.batches()
            sent = 0
            for step in steps:
                if step is not None:
                    await sink.send(numbered(step))
                    sent += step
                elif source.counters()["waiting"]:
                    await anext(batches)
                counters = source.counters()
                assert counters["received"] == sent
                assert sent == sum(counters[name] for name in ("delivered", "unmatched", "queue_overflow", "waiting"))
                assert counters["waiting"] <= limit

    asyncio.run(main())


def test_closing_ends_a_pending_source_and_leaves_the_line() -> None:
    async def main() -> None:
        source, other, sink = memory(), memory(), memory()
        await other.open_source()
        waiting = asyncio.create_task(take(source, 1))
        await asyncio.sleep(0)
        await source.close()
        await source.close()
        assert await waiting == []
        with pytest.raises(EndpointClosed):
            await take(source, 1)
        await sink.send(numbered(2))
        assert source.counters()["received"] == 0
        assert len(await take(other, 2)) == 2
        await other.close()
        await sink.close()
        with pytest.raises(EndpointClosed):
            await sink.send(numbered(1))
        assert not memory_module._listening[asyncio.get_running_loop()]

    asyncio.run(main())


def test_a_consumer_can_be_cancelled_and_nothing_is_lost() -> None:
    async def main() -> None:
        async with memory() as sink, memory() as source:
            await source.open_source()
            waiting = asyncio.create_task(take(source, 1))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            await sink.send(numbered(2))
            assert await take(source, 2) == numbered(2)

    asyncio.run(main())


def test_the_same_name_in_another_loop_is_another_line() -> None:
    async def main() -> None:
        async with memory() as source:
            await source.open_source()

            async def elsewhere() -> None:
                async with memory() as sink:
                    await sink.send(numbered(1))

            thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
            thread.start()
            await asyncio.to_thread(thread.join)
            assert source.counters()["received"] == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory:", "needs a name"),
        ("memory://host/name", "needs a name"),
        ("memory:line?queue=0", "out of range"),
        ("memory:line?size=1", "unknown option 'size'"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, message: str) -> None:
    with pytest.raises(SwitchcastError, match=message):
        make_endpoint(url)
