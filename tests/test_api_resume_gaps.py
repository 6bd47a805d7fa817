"""A stream that goes on from an archive that lacks something: what neither it nor memory has is told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from api_runs import Client, Run, accounted_sum, event, events, running

from switchcast import Event
from switchcast.app.api import past as past_module
from switchcast.app.api import way as way_module
from switchcast.app.api.past import Archive, archive_for
from switchcast.app.api.recent import RESTARTED, TAP
from switchcast.errors import EndpointUnavailable
from switchcast.guard.policy import compile_policy, shipped
from switchcast.node import Plan, Policy, Route, Sink, Source
from switchcast.wire.gap_record import Gap


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_module, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(way_module, "POLL_SECONDS", 0.001)


def test_an_archive_that_takes_only_some_gives_those_and_the_others_are_counted(tmp_path: Path) -> None:
    async def play() -> None:
        client, stranger = Client(), Client()
        async with running(Run(tmp_path / "history", recent=1)) as run:
            run.hear(events(0, 1))
            await client.begin(run)
            stranger.last = client.last
            for first in range(1, 900, 50):
                heard = events(first, 50)
                run.hear(heard, [each for each in heard if each.name == "HEARTBEAT"])
                run.commit()
            await client.read(run)
            assert accounted_sum(client.told) + len(client.numbers) == 901
            assert [number for number in client.numbers[1:] if number < 840] == list(range(3, 840, 3))
            assert client.told[1].kind == "message"  # the gap stands where the archive ends
        async with running(Run(tmp_path / "history", run.clock)) as run:
            run.hear(events(901, 10))
            await stranger.read(run)
            gap, *rest = stranger.told
            assert (gap.kind, gap.data["events"], gap.data["why"]) == ("gap", None, RESTARTED)
            assert gap.data["next"] == rest[0].id
            assert [each.number for each in rest] == [*range(3, 901, 3), *range(901, 911)]

    asyncio.run(play())


def test_a_client_that_breaks_off_in_the_archive_comes_back_with_the_count(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=1)) as run:
            client = Client()
            run.hear(events(0, 1))
            await client.begin(run)
            for first in range(1, 1_001, 100):
                heard = events(first, 100)
                run.hear(heard, heard[:-7])
                run.commit()
            for _ in range(30):
                await client.read(run, 20)
            await client.read(run)
            assert accounted_sum(client.told) == 7 * 9  # what the archive lacks of the last hundred, memory has
            assert client.numbers[-1] == 1_000

    asyncio.run(play())


def test_what_retention_removes_under_a_reader_is_counted(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=64)) as run:
            client, late = Client(), Client()
            run.hear(events(0, 1))
            await client.begin(run)
            late.last = client.last
            for first in range(1, 1_001, 100):
                run.hear(events(first, 100, run.clock))
                run.commit()
                run.clock += 6 * 3_600 * 10**9
            oldest, second, *_ = sorted((tmp_path / "history").glob("*.sqlite"))

            async def remove() -> None:
                second.unlink(missing_ok=True)

            await client.read(run, meanwhile=remove)
            assert client.numbers == sorted(set(client.numbers))
            assert 0 < accounted_sum(client.told) == 1_001 - len(client.numbers)
            oldest.unlink()
            await late.read(run)
            assert late.told[0].data["events"] is None  # its event has gone: from where on it was to count nobody knows
            assert late.numbers == list(range(late.numbers[0], 1_001))

    asyncio.run(play())


def test_an_archive_that_cannot_be_read_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=64)) as run:
            client = Client()
            run.hear(events(0, 1))
            await client.begin(run)
            run.hear(events(1, 500))
            run.commit()
            monkeypatch.setattr(run.hub.past, "look", broken)
            await client.read(run)
            gap = client.told[1]
            assert gap.data["why"] == "the node's archive cannot be read"
            assert gap.data["events"] is None
            assert client.numbers == [0, *range(client.numbers[1], 501)]

    async def broken(_: object) -> object:
        raise EndpointUnavailable("the disk is gone")

    asyncio.run(play())


def test_what_the_node_makes_itself_is_counted_where_the_archive_does_not_take_it(tmp_path: Path) -> None:
    own = Event("CUSTOM", {"Event-Subclass": "multicast::peerup", "Peer": "fs9"})

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=1)) as run:
            client, named = Client(), Client()
            run.hear(events(0, 1))
            await client.begin(run)
            run.hear([own], [])
            named.last = str((await run.read(client.last, 1))[0].id)  # of an event that the archive does not have
            for first in range(1, 501, 100):
                run.hear([*events(first, 100), own, own], events(first, 100))
                run.commit()
            run.hear(events(501, 64))
            run.commit()
            for each, told in ((client, 11), (named, 10)):
                each.told = [one for one in each.told if one.number is not None]
                await each.read(run)
                gaps = [one.data["events"] for one in each.told if one.kind == "gap"]
                assert (gaps, each.numbers[-1]) == ([told], 564)
                assert each.numbers[-564:] == list(range(1, 565))

    asyncio.run(play())


def test_what_the_tap_has_lost_is_in_the_archive_and_spoils_the_count(tmp_path: Path) -> None:
    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=1)) as run:
            client = Client()
            run.hear(events(0, 1))
            await client.begin(run)
            run.hear([Gap(TAP, "overflow", 50).event(), *events(51, 100)], events(1, 150))
            run.hear(events(151, 64))
            run.commit()
            await client.read(run)
            assert client.numbers == list(range(215))
            assert [each.data["events"] for each in client.told if each.number is None] == [None]

    asyncio.run(play())


def route(source: str, to: str, bindings: str = "all", **more: Any) -> Route:
    return Route(Source(source, name=source), [Sink(to, name=to)], bindings=bindings, **more)


def test_only_an_archive_that_is_in_the_order_of_the_stream_and_unaltered_is_gone_on_from() -> None:
    def found(*routes: Route) -> str | None:
        archive = archive_for(Plan(routes, node="fs1"), "fs1")
        return None if archive is None else str(archive.directory)

    policy: Policy = compile_policy("monitoring", shipped("monitoring"))
    assert found(route("memory:a", "memory:b")) is None
    assert found(route("memory:a", "archive:x")) == "x"
    assert found(route("memory:a", "archive:x"), route("memory:b", "archive:x")) == "x"
    assert found(route("memory:a", "archive:x", "HEARTBEAT"), route("memory:a", "archive:x", "TRAP")) is None
    assert found(route("memory:a", "archive:x", policy=policy)) is None
    assert found(route("memory:a", "archive:x", policy=policy), route("memory:a", "archive:y", "TRAP")) == "y"
    assert found(route("memory:a", "archive:x", "TRAP"), route("memory:a", "archive:y")) == "y"
    group = "multicast://239.192.1.1:4242"
    echoing = [route("esl://127.0.0.1:8021", group), route(group, "archive:x?commit=2s")]
    archive = archive_for(Plan(echoing, node="fs1"), "fs1")
    assert archive is not None
    assert (archive.own, archive.commit) == ("fs1", 2.0)


def test_the_echo_of_the_nodes_own_events_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echoing = Archive(tmp_path / "history", 0.0, "fs1")
    monkeypatch.setattr(past_module, "archive_for", lambda *_: echoing)

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=64)) as run:
            client = Client()
            run.hear(events(0, 1))
            await client.begin(run)
            for first in range(1, 501, 100):
                heard = events(first, 100)
                echo = [event(each, run.clock, **{"Multicast-Sender": "fs1"}) for each in range(first, first + 100)]
                run.hear(heard, heard + echo)
                run.commit()
            await client.read(run)
            assert client.numbers == list(range(501))
            assert run.hub.counts["gaps"] == 0

    asyncio.run(play())
