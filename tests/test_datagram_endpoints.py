"""``multicast:`` and ``udp:`` inside asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from ports import free_port

from switchcast import Event, Matcher, StockFrames
from switchcast.endpoints import make_endpoint
from switchcast.errors import EndpointClosed, EventTooLarge, KeyTextError, SwitchcastError, UrlError

PATIENCE = 20.0


def group() -> str:
    return f"multicast://239.255.78.1:{free_port()}?interface=lo"


def numbered(count: int, start: int = 0) -> list[Event]:
    return [Event("HEARTBEAT", {"Event-Sequence": str(start + i)}) for i in range(count)]


async def take(batches: AsyncIterator[list[Event]], count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while len(events) < count:
            events += await anext(batches)
    return events


@pytest.mark.parametrize("scheme", ["multicast", "udp"])
def test_what_is_sent_is_received(scheme: str) -> None:
    url = group() if scheme == "multicast" else f"udp://127.0.0.1:{free_port()}"

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            await sink.send(numbered(2000))
            batches = source.batches()
            assert [event.sequence for event in await take(batches, 2000)] == list(range(2000))
            await batches.aclose()  # type: ignore[attr-defined]
            assert source.counters()["received_delivered"] == 2000 == sink.counters()["sent_datagrams"]

    asyncio.run(main())


def test_one_endpoint_does_both_and_iterates_by_event() -> None:
    async def main() -> None:
        async with make_endpoint(group(), role="source") as endpoint:
            await endpoint.send(numbered(5))
            got = []
            async with asyncio.timeout(PATIENCE), aclosing(aiter(endpoint)) as events:  # type: ignore[type-var]
                async for event in events:
                    got.append(event.sequence)
                    if len(got) == 5:
                        break
            assert got == [0, 1, 2, 3, 4]

    asyncio.run(main())


def test_under_a_key_from_a_file(tmp_path: Path, psk_datagrams: list[tuple[int, bytes]]) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"ClueCon\n")
    file.chmod(0o600)
    url = f"{group()}&psk_file={file}"
    frames = StockFrames(b"ClueCon")
    events = [frames.open(datagram) for _, datagram in psk_datagrams]

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            await sink.send(events)
            assert await take(source.batches(), len(events)) == events

    asyncio.run(main())


def test_the_seven_events_of_2008_pass_unchanged(wiki_examples: list[dict[str, object]]) -> None:
    events = [Event.from_headers(example["headers"], encoded=True) for example in wiki_examples]  # type: ignore[arg-type]
    assert len(events) == 7
    url = group()

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            await sink.send(events)
            assert await take(source.batches(), 7) == events

    asyncio.run(main())


def test_only_what_matches_arrives() -> None:
    url = group()

    async def main() -> None:
        matcher = Matcher("HEARTBEAT", 'h["Event-Sequence"] == "3"')
        async with make_endpoint(url, role="source", matcher=matcher) as source, make_endpoint(url) as sink:
            await sink.send([*numbered(5), Event("TALK")])
            assert [event.sequence for event in await take(source.batches(), 1)] == [3]
            assert source.counters()["received_unmatched"] == 5

    asyncio.run(main())


def test_an_event_that_no_datagram_carries_is_an_error_and_the_others_are_sent() -> None:
    url = group()

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            with pytest.raises(EventTooLarge, match=r"TEXT makes a datagram of 70,.* at most 65,507") as caught:
                await sink.send([*numbered(1), Event("TEXT", body=b"x" * 70_000), *numbered(1, start=1)])
            assert caught.value.limit == 65507
            assert caught.value.size > 70_000
            assert [event.sequence for event in await take(source.batches(), 2)] == [0, 1]

    asyncio.run(main())


def test_the_senders_name_is_added_to_what_has_none() -> None:
    url = group()
    switch = Event("HEARTBEAT", {"FreeSWITCH-Switchname": "fs a"})
    named = Event("HEARTBEAT", {"Multicast-Sender": "other"})

    async def main() -> None:
        async with make_endpoint(url, role="source") as source:
            batches = source.batches()
            for options, expected in [("", ["fs a", "other"]), ("&sender=n%C3%B6de", ["nöde", "other"])]:
                async with make_endpoint(url + options, role="sink") as sink:
                    await sink.send([switch, named])
                got = await take(batches, 2)
                assert [event.sender for event in got] == expected
                assert got[0].keys()[-1] == "Multicast-Sender"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("setting", "arrive", "counter", "count"),
    [
        ("send", ["TEXT", "HEARTBEAT"], "sent_misread", 0),
        ("warn", ["TEXT", "HEARTBEAT"], "sent_misread", 1),
        ("refuse", ["HEARTBEAT"], "refused_misread", 1),
    ],
)
def test_what_stock_would_misread_is_treated_as_the_setting_says(
    setting: str, arrive: list[str], counter: str, count: int
) -> None:
    url = group()

    async def main() -> None:
        async with (
            make_endpoint(url, role="source") as source,
            make_endpoint(f"{url}&misread={setting}", role="sink") as sink,
        ):
            await sink.send([Event("TEXT", body="Event-Name: FORGED\n"), Event("HEARTBEAT")])
            assert [event.name for event in await take(source.batches(), len(arrive))] == arrive
            assert sink.counters()[counter] == count

    asyncio.run(main())


def test_waiting_for_events_can_be_cancelled_and_begun_again() -> None:
    url = group()

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            for number in range(3):
                waiting = asyncio.ensure_future(anext(source.batches()))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await sink.send(numbered(1, start=number))
                assert [event.sequence for event in await take(source.batches(), 1)] == [number]

    asyncio.run(main())


def test_closing_ends_a_waiting_source() -> None:
    async def main() -> None:
        async with make_endpoint(group(), role="source") as source:
            waiting = asyncio.ensure_future(anext(source.batches(), None))
            await asyncio.sleep(0)
            await source.close()
            await source.close()
            async with asyncio.timeout(PATIENCE):
                assert await waiting is None
            with pytest.raises(EndpointClosed):
                await source.send(numbered(1))

    asyncio.run(main())


def test_a_busy_loop_loses_nothing() -> None:
    """While the loop sits in a callback the receiver's own thread empties the kernel's buffer."""
    url = group()

    async def main() -> None:
        async with make_endpoint(url, role="source") as source, make_endpoint(url, role="sink") as sink:
            batches = source.batches()
            await sink.send(numbered(1))
            await take(batches, 1)
            native = source.receiver  # type: ignore[attr-defined]
            sent = 1
            # No await from here on: the loop is as good as hung, and more comes than the buffer can hold.
            while native.counters()["waiting"] < 20_000:
                todo = numbered(50, start=sent)
                while todo:
                    todo = todo[sink.sender.send(todo) :]  # type: ignore[attr-defined]
                sent += 50
            got = [event.sequence for event in await take(batches, sent - 1)]
            assert got == list(range(1, sent))
            assert native.counters()["kernel_drops"] == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("udp://239.192.1.1:4242", UrlError, "multicast group; write multicast://"),
        ("multicast://192.0.2.1:4242", UrlError, "no multicast group.*write udp://"),
        ("multicast://239.192.1.1:4242?ttl=256", UrlError, "0 to 255"),
        ("multicast://239.192.1.1:4242?psk=" + "k" * 73, KeyTextError, "73 bytes"),
        ("udp://name.invalid:4242", SwitchcastError, "'name.invalid' cannot be looked up"),
    ],
)
def test_mistakes_are_told(url: str, error: type[Exception], words: str) -> None:
    async def main() -> None:
        async with make_endpoint(url, role="sink"):
            pass

    with pytest.raises(error, match=words):
        asyncio.run(main())
