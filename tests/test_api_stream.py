"""The live stream: complete and in order for who keeps up, told gaps for who does not, and an end when it is time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import httpx
import pytest
from api_clients import PATIENCE, Listener, Served, listening, served
from parts import numbered
from sockets import until

from switchcast import Event
from switchcast.app.api import stream as stream_module
from switchcast.app.api.recent import Place, Recent, Selection
from switchcast.app.api.settings import ApiSettings
from switchcast.wire.gap_record import Gap


def number(event: dict[str, str]) -> int:
    return int(event["Number"])


def test_events_come_as_they_are_each_with_an_id_and_chosen() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            wanted = {"bindings": "TRAP", "where": "h['Number'].endsWith('7')"}
            async with listening(client, wanted) as some, listening(client) as every:
                await server.give(*numbered(100), Event("HEARTBEAT", {"X": "line\nbreak \u2028 é"}))
                told = await some.take(10)
                assert [number(each.data["event"]) for each in told] == list(range(7, 100, 10))
                assert all(each.id == each.data["id"] and each.kind == "message" for each in told)
                whole = await every.take(101)
                assert [number(each.data["event"]) for each in whole[:100]] == list(range(100))
                assert whole[100].data["event"]["X"] == "line\nbreak \u2028 é"
                assert every.comments == 1
                assert every.answer.headers["content-type"] == "text/event-stream; charset=utf-8"

    asyncio.run(ask())


def test_a_client_that_comes_back_goes_on_where_it_was() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            async with listening(client) as first:
                await server.give(*numbered(10))
                last = (await first.take(4))[-1].id
            await server.give(*numbered(10, first=10))
            for query, headers in (({}, {"Last-Event-ID": last}), ({"last_event_id": last}, {})):
                async with listening(client, query, headers) as again:
                    told = await again.take(16)
                    assert [number(each.data["event"]) for each in told] == list(range(4, 20))

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ("0123abcd-5-1", "the node has been started again since"),
        ("nonsense", "that is no id of an event here"),
        ("{run}-99-1", "there has been no such event yet"),
    ],
)
def test_what_cannot_be_resumed_is_told_as_a_gap_in_front_of_what_there_is(last: str, why: str) -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            await server.give(*numbered(3))
            asked = last.format(run=server.api.recent.run)
            async with listening(client, headers={"Last-Event-ID": asked}) as listener:
                gap, *rest = await listener.take(4)
                assert (gap.kind, gap.data["why"], gap.data["events"]) == ("gap", why, None)
                assert gap.data["next"] == rest[0].id
                assert [number(each.data["event"]) for each in rest] == [0, 1, 2]

    asyncio.run(ask())


def test_what_is_no_longer_kept_is_counted_in_the_gap() -> None:
    async def ask() -> None:
        async with served({"recent": 64}) as server, server.client() as client:
            async with listening(client) as listener:
                await server.give(*numbered(1))
                last = (await listener.next()).id
            await server.give(*numbered(1000, first=1))
            async with listening(client, headers={"Last-Event-ID": last}) as listener:
                gap, first = await listener.take(2)
                assert gap.kind == "gap"
                assert gap.data["events"] + 1 == number(first.data["event"])
                assert 0 < gap.data["since"] <= time.time()
                assert (await listener.next()).kind == "message"

    asyncio.run(ask())


def test_what_the_node_itself_has_lost_is_told_to_everyone() -> None:
    async def ask() -> None:
        async with (
            served() as server,
            server.client() as client,
            listening(client, {"bindings": "HEARTBEAT"}) as listener,
        ):
            await server.give(Event("TRAP"), Gap("group", "overflow", 812).event(), Event("HEARTBEAT"))
            gap, heartbeat = await listener.take(2)
            assert (gap.kind, gap.data["event"]["Gap-Events"]) == ("gap", "812")
            assert heartbeat.data["event"]["Event-Name"] == "HEARTBEAT"

    asyncio.run(ask())


def test_silence_is_broken_by_comments_that_move_the_id_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 0.01)

    async def ask() -> None:
        async with (
            served() as server,
            server.client() as client,
            listening(client, {"bindings": "HEARTBEAT"}) as listener,
        ):
            await server.give(*numbered(5))
            waiting = asyncio.create_task(listener.next())
            await until(lambda: listener.comments > 3)
            assert listener.last_id.startswith(f"{server.api.recent.run}-5-")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(ask())


def test_one_client_too_many_is_asked_to_come_again() -> None:
    async def ask() -> None:
        async with served({"streams": 2}) as server, server.client() as client:
            async with listening(client), listening(client):
                refused = await client.get("/events/stream")
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "10"
                assert "2 clients read the stream" in refused.json()["detail"]
            await until(lambda: server.api.readers == 0)
            async with listening(client) as listener:
                await server.give(*numbered(1))
                await listener.next()

    asyncio.run(ask())


@contextlib.asynccontextmanager
async def deaf(server: Served) -> AsyncIterator[socket.socket]:
    """A client that asks for the stream and takes nothing of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", server.api.port))
        before = server.api.readers
        await loop.sock_sendall(client, b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: server.api.readers > before)
        yield client


def test_slow_clients_cost_the_others_nothing() -> None:
    """Twenty read all, four nothing: the node and the twenty have every event, in order; the four are told what not."""
    batches, size = 15, 100
    body = "x" * 6000

    async def ask() -> None:
        async with served({"recent": 500}) as server, contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                httpx.AsyncClient(base_url=server.base, timeout=PATIENCE, limits=httpx.Limits(max_connections=None))
            )
            slow = [await stack.enter_async_context(deaf(server)) for _ in range(4)]
            listeners = [await stack.enter_async_context(listening(client)) for _ in range(20)]
            for batch in range(batches):
                await server.give(*numbered(size, first=batch * size, Body=body))
                await asyncio.gather(*(take(listener, batch * size, size) for listener in listeners))
            counts = server.api.counters()
            assert counts["streams_stalled"] == 0
            assert server.node.counters()["taps"]["api"]["dropped_overflow"] == 0
            for each in slow:  # now they read, and find what they were too slow for
                assert await missed(each, batches * size) > 0

    async def take(listener: Listener, first: int, count: int) -> None:
        told = await listener.take(count)
        assert [number(each.data["event"]) for each in told] == list(range(first, first + count))

    asyncio.run(ask())


async def missed(client: socket.socket, last: int) -> int:
    """Read to the last event; how many events the gaps tell of, which are just those that are not there."""
    reader, writer = await asyncio.open_connection(sock=client)
    numbers, gaps = [-1], 0
    async with asyncio.timeout(PATIENCE):
        while numbers[-1] < last - 1:
            line = await reader.readline()
            if b'"Number":"' in line:
                numbers.append(int(line.partition(b'"Number":"')[2].partition(b'"')[0]))
            elif line.startswith(b'data: {"events"'):
                gaps += int(line.partition(b": ")[2].partition(b": ")[2].partition(b",")[0])
    writer.close()
    assert sum(after - before - 1 for before, after in pairwise(numbers)) == gaps
    return gaps


def test_a_client_that_takes_nothing_at_all_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "STALLED_SECONDS", 0.05)

    async def ask() -> None:
        async with served() as server, deaf(server):
            for first in range(0, 20_000, 1000):
                await server.give(*numbered(1000, first=first, Body="x" * 2000))
            await until(lambda: server.api.counters()["streams_stalled"] == 1)
            await until(lambda: server.api.readers == 0)

    asyncio.run(ask())


def test_a_change_of_the_table_ends_streams_and_they_go_on() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            async with listening(client) as listener:
                await server.give(*numbered(2))
                last = (await listener.next()).id
                port = server.api.port
                await server.api.change(ApiSettings(listen=f"127.0.0.1:{port}", streams=7))
                await listener.next()
                with pytest.raises(StopAsyncIteration):
                    await listener.next()
            await server.give(*numbered(1, first=2))
            async with server.client() as again, listening(again, headers={"Last-Event-ID": last}) as listener:
                assert [number(each.data["event"]) for each in await listener.take(2)] == [1, 2]

    asyncio.run(ask())


def test_the_end_of_the_node_is_held_up_by_no_stream() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client, listening(client) as listener, deaf(server):
            await server.give(*numbered(100, Body="x" * 2000))
            await listener.take(100)
            async with asyncio.timeout(PATIENCE):
                await server.api.close()
            with pytest.raises(StopAsyncIteration):
                await listener.next()

    asyncio.run(ask())


def test_little_is_kept_and_none_of_it_twice() -> None:
    recent = Recent("0a", most=100, size=1 << 30)
    recent.add(numbered(1000), 1)
    assert 100 - 64 < recent.events <= 100
    assert recent.oldest == 1001 - recent.events
    small = Recent("0a", most=10_000, size=10_000)
    small.add(numbered(1000, Body="x" * 900), 1)
    assert small.bytes <= 10_000 + 65_536
    reading = small.read(Place(1), Selection())
    assert reading is not None
    assert reading.missed is not None
    assert reading.missed.events == small.oldest - 1
    assert reading.texts()[0] is reading.texts()[0]
