"""A stream that goes on from the archive: each event once, in order, whoever is slow and whatever begins anew."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from api_runs import NOON, PATIENCE, Client, Run, accounted, event, events, running
from sockets import until

from switchcast.app.api import way as way_module
from switchcast.app.api.recent import Selection
from switchcast.archive.following import Following, Mark, Stretch
from switchcast.archive.reading import ArchiveReader

SEEDS = range(40)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_module, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(way_module, "POLL_SECONDS", 0.001)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_event_comes_once_however_often_the_node_and_the_client_begin_anew(seed: int, tmp_path: Path) -> None:
    """Nothing is lost but what a crash takes with it, and what a client asks for before it has been written."""
    chance = random.Random(seed)  # noqa: S311 - no secret

    async def play() -> None:
        clients = [Client() for _ in range(3)]
        number, clock, lossy = 0, NOON, False
        for _ in range(chance.randint(1, 4)):
            async with running(Run(tmp_path / "history", clock, recent=chance.choice([1, 100, 300, 10_000]))) as run:
                if not number:
                    number = 1
                    run.hear(events(0, 1))
                    run.commit()
                    for client in clients:
                        await client.begin(run)
                for _ in range(chance.randint(1, 8)):
                    run.clock += chance.choice([0, 10**9, 7 * 3_600 * 10**9])
                    heard = events(number, chance.randint(1, 200), run.clock if chance.random() < 0.5 else None)
                    run.hear(heard)
                    number += len(heard)
                    if chance.random() < 0.8:
                        run.commit()
                    for client in chance.sample(clients, chance.randint(0, 3)):
                        if not run.pending or seed % 3 == 0:
                            lossy = lossy or bool(run.pending)
                            await client.read(run, chance.choice([1, 7, 100, 1_000]))
                if seed % 4:
                    run.commit()
                lossy = lossy or bool(run.pending)
                clock = run.clock + chance.choice([0, 10**9, -3_600 * 10**9])
        async with running(Run(tmp_path / "history", clock)) as run:
            run.hear(events(number, 10))
            for client in clients:
                await client.read(run)
                gaps = accounted(client.told)
                assert client.numbers[-1] == number + 9
                if not lossy:
                    assert client.numbers == list(range(number + 10))
                    assert set(gaps) <= {None}

    asyncio.run(play())


def test_what_the_archive_gives_is_what_memory_had(tmp_path: Path) -> None:
    """The same events by the same ids, whoever asks when, and chosen by the same bindings and condition."""

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=100)) as run:
            live, late, some = Client(), Client(), Client()
            run.hear(events(0, 1))
            await live.begin(run)
            late.last = some.last = live.last
            for first in range(1, 900, 50):
                run.hear(events(first, 50, run.clock if first % 100 == 1 else None))
                run.commit()
                await live.read(run)
            await late.read(run)
            assert [each.id for each in late.told] == [each.id for each in live.told[1:]]
            assert late.numbers == list(range(1, 901))
            await some.read(run, selection=Selection("HEARTBEAT", 'h["Number"].endsWith("9")'))
            assert some.numbers == [number for number in range(1, 901) if number % 3 == 0 and number % 10 == 9]
            assert run.hub.counts["streams_behind"] == 2
            assert run.hub.counts["gaps"] == 0

    asyncio.run(play())


@pytest.mark.parametrize(
    ("forged", "comes"),
    [
        ("0123abcd-5-{past}-00000001", "all"),
        ("0123abcd-5-{future}-00000001", "all"),
        ("0123abcd-5-ffffffffffffffff-ffffffff", "all"),
        ("{run}-5-{now}-00000001", "some"),
        ("{run}-5-ffffffffffffffff-00000001", "memory"),
        ("{run}-999999999999999999-{now}-00000001", "memory"),
        ("2026-11-23-0000/000000000005", "behind"),
        ("2026-11-23-9999/999999999999", "memory"),
        ("0000-00-00-0000/000000000000", "all"),
        ("0123abcd-5-{past}", "memory"),
        ("nonsense", "memory"),
        ("\U0001f4a3" * 20, "memory"),
    ],
)
def test_an_id_that_was_never_given_leads_to_a_gap_and_to_no_event_twice(
    forged: str, comes: str, tmp_path: Path
) -> None:
    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=64)) as run:
            for first in range(0, 500, 50):
                run.hear(events(first, 50, run.clock))
                run.commit()
            client = Client()
            client.last = forged.format(
                run=run.hub.recent.run, past="1", now=f"{NOON + 3_000_000:x}", future=f"{2**62:x}"
            )
            await client.read(run)
            oldest = run.hub.recent.oldest - 1
            first, gaps = client.numbers[0], [each.data["events"] for each in client.told if each.number is None]
            assert None in gaps
            assert client.numbers == list(range(first, 500))
            assert first == {"all": 0, "memory": oldest, "behind": 6}.get(comes, first) <= oldest

    asyncio.run(play())


def test_a_position_in_the_archive_is_an_id_too(tmp_path: Path) -> None:
    """Who has read ``/events`` to its end goes on with the stream, and misses nothing."""

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=1_000)) as run:
            run.hear(events(0, 500))
            run.commit()
            positions = [each.position for each in ArchiveReader(tmp_path / "history").events()]
            client = Client()
            client.last = positions[123]
            await client.read(run)
            assert client.numbers == list(range(124, 500))
            assert {each.kind for each in client.told} == {"message"}

    asyncio.run(play())


def test_what_is_not_written_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_module, "GRACE_SECONDS", PATIENCE)

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=1)) as run:
            client = Client()
            run.hear(events(0, 1))
            await client.begin(run)
            run.hear(events(1, 100))
            reading = asyncio.create_task(client.read(run))
            await until(lambda: run.hub.counts["streams_behind"])
            for first in range(101, 1_001, 100):
                run.hear(events(first, 100))
                await asyncio.sleep(0)
            assert not reading.done()
            run.commit()
            await reading
            assert client.numbers == list(range(1_001))
            assert {each.kind for each in client.told} == {"message"}

    asyncio.run(play())


def test_a_client_that_is_slow_in_the_archive_gets_all_and_holds_nobody_up(tmp_path: Path) -> None:
    """At each piece that it takes the node hears more than memory holds; another client is told all as it comes."""

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=100)) as run:
            slow, brisk = Client(), Client()
            run.hear(events(0, 1))
            await slow.begin(run)
            brisk.last = slow.last
            number = 1

            async def meanwhile() -> None:
                nonlocal number
                if number < 4_000:
                    run.hear([event(each, run.clock, Pad="x" * 900) for each in range(number, number + 150)])
                    number += 150
                    run.commit()
                    await brisk.read(run)

            for _ in range(10):
                await meanwhile()
            await slow.read(run, meanwhile=meanwhile)
            assert slow.numbers == [0, *brisk.numbers] == list(range(number))
            assert number > 4_000
            assert run.hub.counts["gaps"] == 0

    asyncio.run(play())


def test_one_at_a_time_reads_in_the_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, most = 0, 0
    behind = Following.behind

    def counted(following: Following, mark: Mark) -> Stretch | None:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        try:
            return behind(following, mark)
        finally:
            reading -= 1

    monkeypatch.setattr(Following, "behind", counted)

    async def play() -> None:
        async with running(Run(tmp_path / "history", recent=64)) as run:
            first = Client()
            run.hear(events(0, 1))
            await first.begin(run)
            run.hear(events(1, 600))
            run.commit()
            clients = [Client() for _ in range(40)]
            for client in clients:
                client.last = first.last
            await asyncio.gather(*(client.read(run) for client in clients))
            assert all(client.numbers == list(range(1, 601)) for client in clients)
            assert most == 1

    asyncio.run(play())
