"""``archive:`` as a sink that keeps and a source that gives again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from archiving import DAY, NOON, SECOND, number_of, numbered, numbers, segments, write
from parts import Given, run
from sockets import until

from switchcast._native import Event, Matcher
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.recording import BACKLOG_EVENTS
from switchcast.archive.writing import ArchiveWriter
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.archive import ArchiveEndpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointClosed, EndpointUnavailable, UrlError
from switchcast.node import Node, Route, Sink, Source
from switchcast.wire.gap_record import Gap


def sink(directory: Path, options: str = "") -> ArchiveEndpoint:
    endpoint = make_endpoint(f"archive:{directory}{options}", role="sink")
    assert isinstance(endpoint, ArchiveEndpoint)
    return endpoint


async def keep(directory: Path, *batches: Sequence[Event], options: str = "") -> dict[str, int]:
    async with sink(directory, options) as endpoint:
        for batch in batches:
            await endpoint.send(batch)
    return endpoint.counters()


async def replay(url: str, **options: Any) -> list[Event]:
    async with make_endpoint(url, role="source", **options) as endpoint:
        return [event async for event in endpoint]


def test_what_is_sent_is_there_when_it_is_closed(tmp_path: Path) -> None:
    events = [numbered(number) for number in range(700)]
    counts = asyncio.run(keep(tmp_path / "a", events[:300], events[300:], options="?commit=60s"))
    assert (counts["committed"], counts["backlog"], counts["lost"]) == (700, 0, 0)
    assert asyncio.run(replay(f"archive:{tmp_path}/a")) == events


def test_what_is_sent_is_there_within_the_commit_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sink(tmp_path / "a", "?commit=1ms") as endpoint:
            for number in range(5):
                await endpoint.send([numbered(number)])
                await until(lambda number=number: endpoint.counters()["committed"] == number + 1)  # type: ignore[misc]
                assert numbers(tmp_path / "a") == list(range(number + 1)), "and can be read at once"

    asyncio.run(scenario())


def test_a_sender_waits_while_the_archive_has_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded, and the event loop turns, however slow the disk is."""
    gate = asyncio.Event()
    commit = ArchiveWriter.commit

    def slow(writer: ArchiveWriter) -> Any:
        while not gate.is_set():  # a disk that takes its time
            if writer._lock < 0:
                break
        return commit(writer)

    async def scenario() -> None:
        monkeypatch.setattr(ArchiveWriter, "commit", slow)
        batch = [numbered(number) for number in range(1_000)]
        async with sink(tmp_path / "a", "?commit=1ms") as endpoint:
            sending = [asyncio.create_task(endpoint.send(batch)) for _ in range(12)]
            await until(lambda: endpoint.counters().get("backlog", 0) >= BACKLOG_EVENTS)
            done, waiting = await asyncio.wait(sending, timeout=0.05)
            assert waiting
            assert endpoint.counters()["backlog"] == len(done) * 1_000 < BACKLOG_EVENTS + 1_000
            gate.set()
            await asyncio.gather(*sending)
        assert endpoint.counters()["committed"] == 12_000

    asyncio.run(scenario())


def test_replayed_at_any_speed(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(number, NOON + number * SECOND) for number in range(4)])
    slept: list[float] = []
    now = [100.0]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def scenario() -> list[list[int]]:
        url = EndpointUrl.parse(f"archive:{tmp_path}/a?speed=2")
        async with ArchiveEndpoint(url, role="source", clock=lambda: now[0], sleep=sleep) as endpoint:
            return [[number_of(event) for event in batch] async for batch in endpoint.batches()]

    assert asyncio.run(scenario()) == [[0], [1], [2], [3]]
    assert slept == [0.5, 0.5, 0.5]


def test_replayed_in_part(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(number, NOON + number * SECOND) for number in range(600)])
    url = f"archive:{tmp_path}/a"

    def got(options: str, **more: Any) -> list[int]:
        return [number_of(event) for event in asyncio.run(replay(url + options, **more))]

    assert got("?since=2026-11-01T12:00:30Z&until=2026-11-01T12:00:33Z") == [30, 31, 32]
    assert got("?after=2026-11-01-0000/000000000597") == [598, 599]
    assert got("", matcher=Matcher("CUSTOM test::archive", 'h["Event-Sequence"].endsWith("99")')) == [
        *range(99, 600, 100)
    ]
    assert got("?since=2200-01-01") == []


def test_it_follows_the_node_like_any_sink_and_source(tmp_path: Path) -> None:
    events = [numbered(number) for number in range(2_000)]
    run(Node([Route(Source(Given(events)), [Sink(f"archive:{tmp_path}/a", overflow="block")])]))
    again = [Sink(f"archive:{tmp_path}/b?keep=2d&level=1&size=2MiB&segment=1MiB", overflow="block")]
    run(Node([Route(Source(f"archive:{tmp_path}/a"), again, where='h["Event-Sequence"] != "7"')]))
    assert numbers(tmp_path / "b") == [number for number in range(2_000) if number != 7]


def test_trust_is_lowered_and_never_raised_by_a_replay(tmp_path: Path) -> None:
    event = numbered(1)
    kinds = [event.with_trust("stock"), event, event.with_trust("member"), event.with_trust("signed", "fs1")]
    write(tmp_path / "a", kinds)
    assert [each.event.trust for each in ArchiveReader(tmp_path / "a").events()] == [
        "stock",
        "local",
        "member",
        "signed",
    ], "the archive itself knows what it was"
    assert [each.trust for each in asyncio.run(replay(f"archive:{tmp_path}/a"))] == ["stock", "local", "local", "local"]


def test_a_gap_record_is_kept(tmp_path: Path) -> None:
    gap = Gap("group", "overflow", 3).event()
    asyncio.run(keep(tmp_path / "a", [gap]))
    (stored,) = ArchiveReader(tmp_path / "a").events()
    assert stored.event == gap
    assert Sink(f"archive:{tmp_path}/a").tells_gaps


def test_days_pass_while_it_is_open(tmp_path: Path) -> None:
    asyncio.run(keep(tmp_path / "a", [numbered(0, NOON)], [numbered(1, NOON - DAY)], options="?commit=1ms"))
    assert segments(tmp_path / "a")[0] <= "2026-11-01-0000"
    assert numbers(tmp_path / "a") == [0, 1]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with sink(tmp_path / "a") as first:
            with pytest.raises(EndpointUnavailable, match="writes to this archive already"):
                await sink(tmp_path / "a").open_sink()
            await first.send([numbered(1)])

    asyncio.run(scenario())
    assert numbers(tmp_path / "a") == [1]


def test_closed_at_any_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        write(tmp_path / "a", [numbered(number, NOON + number * DAY) for number in range(3)])
        source = make_endpoint(f"archive:{tmp_path}/a?speed=1", role="source")
        batches = source.batches()
        assert len(await anext(batches)) == 1
        pending = asyncio.ensure_future(anext(batches, None))
        await asyncio.sleep(0)
        await source.close()
        assert await pending is None, "though a day was to be waited for"
        await source.close()
        into = sink(tmp_path / "b")
        await into.close()
        with pytest.raises(EndpointClosed):
            await into.send([numbered(1)])
        never = sink(tmp_path / "c")
        await never.send([numbered(1)])
        await asyncio.gather(never.close(), never.close())
        assert numbers(tmp_path / "c") == [1]

    asyncio.run(scenario())


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnavailable, match="no such directory"):
        asyncio.run(replay(f"archive:{tmp_path}/nothing"))


@pytest.mark.parametrize(
    ("role", "url", "message"),
    [
        ("sink", "archive:", "names no directory; write archive:DIR"),
        ("sink", "archive://host/x", "an archive has no host; write archive:DIR"),
        ("source", "archive:x?since=soon", "since='soon': write 2026-11-23"),
        ("source", "archive:x?after=3", "after='3': '3' is no position"),
        ("source", "archive:x?speed=-1", "speed=-1 is out of range"),
        ("source", "archive:x?keep=1d", "unknown option 'keep'"),
        ("sink", "archive:x?keep=long", "keep='long': write a length of time"),
        ("sink", "archive:x?size=1KiB", "size='1KiB': it is 1048576 at least"),
        ("sink", "archive:x?level=99", "level='99': it is 19 at most"),
        ("sink", "archive:x?level=high", "level='high': it is no whole number"),
        ("sink", "archive:x?commit=2m", "commit=2m is too long; an event waits 60s at most"),
    ],
)
def test_a_url_that_cannot_be_meant(role: Any, url: str, message: str) -> None:
    with pytest.raises(UrlError) as caught:
        make_endpoint(url, role=role)
    assert message in str(caught.value)
