"""``mode=traced`` and ``mode=sealed`` inside asyncio, on loopback."""

from __future__ import annotations

import asyncio
import base64
import os
import random
import socket
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from reliable_streams import KEY, assert_conserved
from sockets import until

from switchcast import Event, Matcher, StockFrames
from switchcast._native import key_id
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.errors import EndpointClosed, EventTooLarge
from switchcast.keys import GroupKeys
from switchcast.node import Node, Route, Sink, Source
from switchcast.wire.gap_record import is_gap

PATIENCE = 20.0
MODES = pytest.mark.parametrize("mode", ["traced", "sealed"])


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_keys(tmp_path / "group.key", KEY)


def write_keys(path: Path, *secrets: bytes) -> Path:
    """A key file that sends with the first of ``secrets``."""
    states = ["send"] + ["receive"] * (len(secrets) - 1)
    lines = [
        f"{key_id(secret)} {base64.b64encode(secret).decode()} {state} 2026-11-23\n"
        for secret, state in zip(secrets, states, strict=True)
    ]
    path.write_text("".join(reversed(lines)))
    path.chmod(0o600)
    return path


def place(kind: str) -> str:
    """Where a test's events go."""
    return {
        "multicast IPv4": f"multicast://239.255.78.9:{free_port()}?interface=lo",
        "udp IPv4": f"udp://127.0.0.1:{free_port()}?misread=send",
        "udp IPv6": f"udp://[::1]:{free_port()}?misread=send",
    }[kind]


def made(at: str, mode: str, key_file: Path, role: Any, **options: str) -> DatagramEndpoint:
    more = "".join(f"&{name}={value}" for name, value in options.items())
    matcher = Matcher("HEARTBEAT CUSTOM nothing") if role == "source" else None
    endpoint = make_endpoint(f"{at}&mode={mode}&key_file={key_file}{more}", role=role, matcher=matcher)
    assert isinstance(endpoint, DatagramEndpoint)
    return endpoint


def numbered(count: int, start: int = 0) -> list[Event]:
    return [Event("HEARTBEAT", {"Event-Sequence": str(start + i)}) for i in range(count)]


async def take(batches: AsyncIterator[list[Event]], count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while len(events) < count:
            events += await anext(batches)
    return events


@MODES
@pytest.mark.parametrize("kind", ["multicast IPv4", "udp IPv4", "udp IPv6"])
def test_what_is_sent_is_received_in_order(mode: str, kind: str, key_file: Path) -> None:
    at = place(kind)

    async def main() -> None:
        async with made(at, mode, key_file, "source") as source, made(at, mode, key_file, "sink", sender="fs1") as sink:
            for start in range(0, 2_000, 100):
                await sink.send(numbered(100, start))
                await sink.send([Event("TALK")])
            events = await take(source.batches(), 2_000)
            assert [event.sequence for event in events] == list(range(2_000))
            assert {event.sender for event in events} == {"fs1"}
            assert not {"Multicast-Stream", "Multicast-MAC"} & set(events[0])
            [row] = source.streams()
            assert (row["sender"], row["first"], row["next"], row["delivered"]) == ("fs1", 1, 2_021, 2_020)
            counters = source.counters()
            assert (counters["received_delivered"], counters["received_unmatched"]) == (2_000, 20)
            assert sink.counters()["sent_events"] == 2_020

    asyncio.run(main())


@MODES
def test_an_end_is_told_and_does_not_hold_the_loop_up(mode: str, key_file: Path) -> None:
    at = place("multicast IPv4")

    async def main() -> None:
        async with made(at, mode, key_file, "source") as source:
            sink = made(at, mode, key_file, "sink", sender="fs1")
            await sink.send(numbered(10))
            await take(source.batches(), 10)
            turns = 0
            closing = asyncio.create_task(sink.close())
            while not closing.done():
                await asyncio.sleep(0.005)
                turns += 1
            await closing
            await sink.close()
            assert turns > 10
            assert source.streams()[0]["ended"]
            with pytest.raises(EndpointClosed):
                await sink.send(numbered(1))

    asyncio.run(main())


@MODES
def test_a_sender_that_dies_leaves_an_open_gap_and_its_successor_is_heard(mode: str, key_file: Path) -> None:
    at = place("multicast IPv4")

    async def main() -> None:
        async with made(at, mode, key_file, "source") as source:
            batches = source.batches()
            for life in range(3):
                sink = made(at, mode, key_file, "sink", sender="fs1")
                await sink.send(numbered(50, 50 * life))
                began = time.monotonic()
                fresh = [event for event in await take(batches, 50 + (life > 0)) if not is_gap(event)]
                assert time.monotonic() - began < 2
                assert [event.sequence for event in fresh][-1] == 50 * life + 49
                assert sink.sender is not None
                sink.sender.close()  # no last beacons: as if it had been killed
            rows = source.streams()
            assert_conserved(rows)
            assert len({row["stream"] for row in rows}) == len(rows)

    asyncio.run(main())


@MODES
def test_keys_change_under_load_and_nothing_is_lost(mode: str, tmp_path: Path) -> None:
    at = place("multicast IPv4")
    old, new = os.urandom(32), os.urandom(32)
    file = write_keys(tmp_path / "group.key", old)

    async def main() -> None:
        async with made(at, mode, file, "source") as source, made(at, mode, file, "sink", sender="fs1") as sink:
            got = asyncio.create_task(take(source.batches(), 3_000))
            for start in range(0, 3_000, 50):
                await sink.send(numbered(50, start))
                if start == 1_000:
                    source.rekey(GroupKeys((old, new)))
                if start == 1_500:
                    sink.rekey(GroupKeys((new, old)))
                    source.rekey(GroupKeys((new, old)))
                if start == 2_500:
                    sink.rekey(GroupKeys((new,)))
                await asyncio.sleep(0.001)
            assert [event.sequence for event in await got] == list(range(3_000))
            assert_conserved(source.streams())

    asyncio.run(main())


@MODES
def test_what_a_stranger_sends_is_not_taken(mode: str, key_file: Path, tmp_path: Path) -> None:
    """Rubbish, what was sent before, the same with a bit changed or cut short, and what is under another key."""
    at = place("multicast IPv4")
    other = write_keys(tmp_path / "other.key", os.urandom(32))
    chance = random.Random(4)  # noqa: S311 - to be the same in each run

    async def main() -> None:
        async with made(at, mode, key_file, "source", **({"stock": "reject"} if mode == "traced" else {})) as source:
            port = source.port
            with listening("239.255.78.9", port) as ear, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                sink = made(at, mode, key_file, "sink", sender="fs1")
                foreign = made(at, mode, other, "sink", sender="fs2")
                await sink.send(numbered(100))
                await take(source.batches(), 100)
                heard = [ear.recv(65_536) for _ in range(100)]
                await foreign.send(numbered(100))
                forged = [chance.randbytes(chance.randrange(1, 1_400)) for _ in range(300)]
                for datagram in heard:
                    flipped = bytearray(datagram)
                    # Not in the padding behind a traced event, nor in the flags of a frame: neither means anything.
                    end = len(datagram.rstrip(b"\0")) if mode == "traced" else 44
                    flipped[chance.randrange(end)] ^= 1 << chance.randrange(8)
                    forged += [datagram, bytes(flipped), datagram[: chance.randrange(end)]]
                for datagram in forged:
                    mouth.sendto(datagram, ("239.255.78.9", port))
                await sink.send(numbered(1, 100))
                events = await take(source.batches(), 1)
                assert [event.sequence for event in events] == [100]
                rejected = {name: count for name, count in source.counters().items() if "rejected" in name and count}
                assert sum(rejected.values()) >= 300 + 100, rejected
                assert [row["sender"] for row in source.streams()] == ["fs1"]
                for endpoint in (sink, foreign):
                    await endpoint.close()

    asyncio.run(main())


def test_a_stock_host_reads_traced_events(key_file: Path) -> None:
    at = place("multicast IPv4")

    async def main() -> None:
        async with made(at, "traced", key_file, "sink", sender="fs1") as sink:
            with listening("239.255.78.9", sink.port) as ear:
                await sink.send([Event("HEARTBEAT", {"Event-Info": "System Ready"}, body=b"a body")])
                while (datagram := ear.recv(65_536)).startswith(b"\xc5\x57"):
                    pass  # a beacon, which no stock host takes for an event: it has no trailer
                event = StockFrames().open(datagram)
        assert (event.name, event.sender, event.body) == ("HEARTBEAT", "fs1", b"a body")
        assert event["Multicast-Sequence"] == "1"
        assert {"Multicast-Stream", "Multicast-MAC"} <= set(event)

    asyncio.run(main())


def test_traced_without_a_key_counts_and_takes_stock_events_too() -> None:
    at = place("multicast IPv4")

    async def main() -> None:
        async with (
            make_endpoint(f"{at}&mode=traced", role="source") as source,
            make_endpoint(f"{at}&mode=traced&sender=fs1", role="sink") as traced,
            make_endpoint(f"{at}&sender=fs2", role="sink") as stock,
        ):
            await traced.send(numbered(20))
            await stock.send(numbered(20))
            events = await take(source.batches(), 40)
            assert {event.sender for event in events} == {"fs1", "fs2"}
            [row] = source.streams()
            assert (row["admitted"], row["delivered"]) == ("unproven", 20)

    asyncio.run(main())


@MODES
def test_an_event_that_is_too_large_is_named(mode: str, key_file: Path) -> None:
    size = 70_000 if mode == "traced" else 2_000_000

    async def main() -> None:
        async with made(place("multicast IPv4"), mode, key_file, "sink", sender="fs1") as sink:
            with pytest.raises(EventTooLarge, match="TALK"):
                await sink.send([Event("TALK", body=b"x" * size)])
            assert sink.counters()["sent_too_large"] == 1

    asyncio.run(main())


@MODES
def test_what_finds_no_room_is_told_to_the_line_in_its_place(mode: str, key_file: Path) -> None:
    """The loop sleeps while the ring, of 16 events, overflows: sinks and taps get the record of the gap, once."""
    at = place("multicast IPv4")
    url = f"{at}&mode={mode}&key_file={key_file}&ring=16"

    async def main() -> None:
        route = Route(Source(url, name="group"), [Sink("memory:kept", name="kept", gaps=True)], name="all")
        async with make_endpoint("memory:kept", role="source") as kept:
            node = Node([route], name="here")
            running = asyncio.create_task(node.run())
            await node.ready.wait()
            source = node.feeds["group"].endpoint
            assert isinstance(source, DatagramEndpoint)
            sink = made(at, mode, key_file, "sink", sender="fs1")
            await sink.send(numbered(1))
            batches = kept.batches()
            got = await take(batches, 1)
            await sink.send(numbered(99, 1))
            deadline = time.monotonic() + PATIENCE
            while source.counters()["received_ring_overflow"] < 83 and time.monotonic() < deadline:
                time.sleep(0.001)  # noqa: ASYNC251 - the loop is to be too slow
            await until(lambda: node.feeds["group"].gaps)
            await sink.send(numbered(1, 100))
            while got[-1].sequence != 100:
                got += await take(batches, 1)
            [gap] = [event for event in got if is_gap(event)]
            assert [event.sequence for event in got if not is_gap(event)] == [*range(17), 100]
            assert got.index(gap) == 17
            assert gap["Gap-Place"] == "group"
            assert (gap["Gap-Reason"], gap["Gap-Events"], gap["Gap-Sender"]) == ("overflow", "83", "fs1")
            assert gap["Gap-Range"] == "18-100"
            counters = node.counters()["sources"]["group"]
            assert (counters["gaps"], counters["missing"]) == (1, 83)
            await sink.close()
            node.stop()
            await running

    asyncio.run(main())


def listening(group: str, port: int) -> socket.socket:
    """Any program's socket in that group, on loopback."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    ear.bind((group, port))
    index = socket.if_nametoindex("lo")
    ear.setsockopt(
        socket.IPPROTO_IP,
        socket.IP_ADD_MEMBERSHIP,
        struct.pack("=4s4si", socket.inet_aton(group), bytes(4), index),
    )
    ear.settimeout(PATIENCE)
    return ear
