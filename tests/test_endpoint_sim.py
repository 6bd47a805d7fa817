"""The ``sim:`` endpoint: its options, its pace, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from switchcast import Event, Matcher
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.sim import BATCH_EVENTS, SimEndpoint
from switchcast.errors import EndpointClosed, UrlError

PATIENCE = 60.0


def endpoint(url: str, matcher: Matcher | None = None) -> SimEndpoint:
    made = make_endpoint(url, matcher=matcher, role="source")
    assert isinstance(made, SimEndpoint)
    return made


async def all_batches(source: SimEndpoint) -> list[list[Event]]:
    async with source:
        return [batch async for batch in source.batches()]


def run(url: str, matcher: Matcher | None = None) -> list[Event]:
    """Every event of ``url``, which must come to an end."""
    batches = asyncio.run(asyncio.wait_for(all_batches(endpoint(url, matcher)), PATIENCE))
    return [event for batch in batches for event in batch]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sim://?nodes=0", "nodes=0 is out of range"),
        ("sim://?nodes=two", "nodes='two' is not a whole number"),
        ("sim://?cps=-1", "cps=-1 is out of range"),
        ("sim://?cps=nan", "cps=nan is out of range"),
        ("sim://?speed=-2", "speed=-2 is out of range"),
        ("sim://?users=1000000", "users=1000000 is out of range"),
        ("sim://?heartbeat=0", "heartbeat=0 is out of range"),
        ("sim://?for=soon", "for='soon' is no length of time; write 20s, 5m or 1h"),
        ("sim://?for=0s", "for='0s' is no length of time"),
        ("sim://?start=today", "start='today' is not a number"),
        ("sim://?seeds=3", "did you mean 'seed'?"),
        ("sim://?seed=3&seed=4", "given twice"),
        ("sim://somewhere?nodes=3", "a simulated cluster is nowhere"),
        ("sim:cluster", "a simulated cluster is nowhere"),
    ],
)
def test_a_mistake_in_the_url_is_said(url: str, says: str) -> None:
    with pytest.raises(UrlError) as caught:
        endpoint(url)
    assert says in str(caught.value)


def test_nothing_can_be_sent_to_it() -> None:
    with pytest.raises(UrlError, match="listened to but not sent to"):
        make_endpoint("sim://", role="sink")


def test_one_url_gives_the_same_bytes_whenever_it_is_read() -> None:
    url = "sim://?nodes=2&cps=5&seed=9&speed=0&for=20s"
    first = [event.to_plain() for event in run(url)]
    assert first == [event.to_plain() for event in run(url)]
    assert first != [event.to_plain() for event in run(url.replace("seed=9", "seed=10"))]
    assert len(first) > 3000


def test_the_pace_changes_nothing_but_when() -> None:
    url = "sim://?nodes=2&cps=8&seed=2&for=4s&speed="
    assert [e.to_plain() for e in run(url + "20")] == [e.to_plain() for e in run(url + "0")]


def test_start_moves_the_dates_and_nothing_else() -> None:
    url = "sim://?nodes=1&cps=2&speed=0&for=3s&start="
    early, late = run(url + "1000000000"), run(url + "1000086400")
    assert early[0]["Event-Date-Local"].startswith("2001-09-09 01:46:4")
    assert [e.name for e in early] == [e.name for e in late]
    assert {b.timestamp - a.timestamp for a, b in zip(early, late, strict=True)} == {86_400_000_000}  # type: ignore[operator]
    now = run(url + "now")
    assert abs((now[0].received or 0) / 1e9 - time.time()) < PATIENCE


def test_real_time_takes_its_time() -> None:
    began = time.monotonic()
    events = run("sim://?cps=50&for=300ms")
    assert time.monotonic() - began >= 0.3
    assert events
    began = time.monotonic()
    run("sim://?cps=5&for=2s&speed=10")
    assert time.monotonic() - began >= 0.2


def test_only_what_matches_is_handed_over() -> None:
    url = "sim://?nodes=2&cps=5&speed=0&for=25s&heartbeat=5"
    matcher = Matcher("HEARTBEAT CUSTOM sofia::register")
    source = endpoint(url, matcher)
    batches = asyncio.run(all_batches(source))
    kinds = [(event.name, event.subclass) for batch in batches for event in batch]
    assert set(kinds) == {("HEARTBEAT", None), ("CUSTOM", "sofia::register")}
    assert all(batches)
    counters = source.counters()
    assert counters["events"] - counters["unmatched"] == len(kinds)
    assert counters["batches"] == len(batches)
    assert counters["virtual_ms"] == 25_000
    assert counters["calls"] == source.cluster.calls_started > 50


def test_batches_stay_small_when_there_is_much() -> None:
    batches = asyncio.run(all_batches(endpoint("sim://?cps=2000&users=200&speed=0&for=500ms")))
    sizes = [len(batch) for batch in batches]
    assert sum(sizes) > 30 * BATCH_EVENTS
    assert max(sizes) < 8 * BATCH_EVENTS


def test_closing_ends_the_batches() -> None:
    async def main() -> None:
        source = endpoint("sim://?cps=10&heartbeat=1")
        async for _ in source.batches():
            await source.close()
        await source.close()
        with pytest.raises(EndpointClosed):
            await anext(source.batches())

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_closing_ends_a_wait_for_the_next_event() -> None:
    async def main() -> None:
        source = endpoint("sim://?cps=0&users=0&heartbeat=80000&speed=1")
        reading = asyncio.create_task(all_batches(source))
        await asyncio.sleep(0)
        await source.close()
        assert isinstance(await reading, list)

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


@pytest.mark.parametrize("speed", ["0", "1", "1000"])
def test_a_cancelled_reader_goes_at_once(speed: str) -> None:
    async def main() -> None:
        source = endpoint(f"sim://?cps=20&speed={speed}")
        seen = asyncio.Event()

        async def read() -> None:
            async for _ in source.batches():
                seen.set()

        reading = asyncio.create_task(read())
        await seen.wait()
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        assert reading.cancelled()
        await source.close()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_an_earlier_iteration_is_gone_on_with() -> None:
    async def main() -> list[int]:
        source = endpoint("sim://?nodes=1&cps=5&speed=0&for=10s")
        numbers: list[int] = []
        async with source:
            for whole in (False, True):
                async for batch in source.batches():
                    numbers += [event.sequence or 0 for event in batch]
                    if not whole:
                        break
        return numbers

    numbers = asyncio.run(main())
    assert numbers == list(range(401, 401 + len(numbers)))
    assert len(numbers) > 1000
