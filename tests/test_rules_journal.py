"""The journal: durable, in order, bounded, and never deleted when it cannot be used."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from acting import numbered
from hypothesis import given, settings
from hypothesis import strategies as st
from sockets import until
from strategies import bodies, header_lists

from switchcast._native import Event
from switchcast.errors import EndpointDenied, EndpointUnavailable
from switchcast.rules import journal_file
from switchcast.rules.actions.base import REASONS
from switchcast.rules.actions.esl import VALUE_BYTES
from switchcast.rules.actions.run import ARGUMENT_BYTES
from switchcast.rules.actions.webhook import PAUSE_MOST
from switchcast.rules.job import Job, identity_of
from switchcast.rules.journal import FILE_NAME, Journal, Verdict
from switchcast.rules.runner import LINES_A_SECOND, LOG_ENTRIES, RETRY_FOR

DAY = 86_400.0


def job(number: int, rule: str = "test", key: str = "") -> Job:
    return Job.of(rule, key, numbered(number))


class Clock:
    """Wall time as a test sets it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[tuple[Journal, list[Job]]]:
    journal = Journal(path / FILE_NAME, **options)
    try:
        yield journal, await journal.open()
    finally:
        await journal.close()


async def take_up(journal: Journal, jobs: Sequence[Job], *, again: bool = True) -> list[Verdict]:
    """What became of ``jobs``, once that is known."""
    found: list[Verdict] = []
    journal.take_up([(each, again) for each in jobs], lambda verdicts: found.extend(what for _, what in verdicts))
    await until(lambda: len(found) == len(jobs))
    return found


def identities(jobs: Sequence[Job]) -> list[str]:
    return [each.identity for each in jobs]


def test_what_is_not_done_is_there_again_in_order(tmp_path: Path) -> None:
    jobs = [job(number, key=f"{number % 3}") for number in range(20)]

    async def main() -> None:
        async with opened(tmp_path) as (journal, left):
            assert left == []
            assert set(await take_up(journal, jobs)) == {"kept"}
            for each in jobs[::2]:
                journal.settle(each)
        async with opened(tmp_path) as (journal, left):
            assert identities(left) == identities(jobs[1::2])
            assert [each.key for each in left] == [each.key for each in jobs[1::2]]
            assert [each.event for each in left] == [each.event for each in jobs[1::2]]
            assert [each.event_id for each in left] == [each.event_id for each in jobs[1::2]]
            assert journal.counters()["replayed"] == 10

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(header_lists(), bodies(), st.text(st.characters(exclude_categories=[]), max_size=10)), max_size=4
    )
)
def test_any_event_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, given_: list[tuple[list[tuple[str, str]], bytes, str]]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    jobs = [
        Job.of("test", key, Event.from_headers(headers, body).with_origin("192.0.2.1:4242", 7))
        for headers, body, key in given_
    ]

    async def main() -> None:
        async with opened(folder) as (journal, _):
            await take_up(journal, jobs)
        async with opened(folder) as (journal, left):
            kept = list(
                {each.digest(each.event.to_plain()) or each.identity: each for each in reversed(jobs)}.values()
            )[::-1]
            assert [(each.event.to_plain(), each.key) for each in left] == [
                (each.event.to_plain(), each.key) for each in kept
            ]
            assert {(each.event.source, each.event.received) for each in left} <= {("192.0.2.1:4242", 7)}

    asyncio.run(main())


def test_an_event_that_comes_again_is_known(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            assert await take_up(journal, [job(1), job(2)], again=False) == ["kept", "kept"]
            assert await take_up(journal, [job(3), job(4)]) == ["kept", "kept"]
            assert await take_up(journal, [job(1), job(1, rule="another")], again=False) == ["duplicate", "kept"]
        async with opened(tmp_path) as (journal, left):
            assert await take_up(journal, [job(2), job(5)], again=False) == ["duplicate", "kept"]
            assert await take_up(journal, [job(3)]) == ["duplicate"]
            journal.settle(left[0])
            assert await take_up(journal, [job(3)]) == ["kept"], "what is done may be done again"

    asyncio.run(main())


def test_an_event_without_a_number_is_never_taken_for_another(tmp_path: Path) -> None:
    event = Event("HEARTBEAT", [("Up-Time", "0 years")])
    forged = Event("HEARTBEAT", [("Core-UUID", "a\r\nX: y"), ("Event-Sequence", "1")])
    assert identity_of(event) is None
    assert identity_of(forged) is None
    assert identity_of(numbered(7)) == "0e7e9e04-5fd1-4b45-9d77-5a8f7f2c1ea3:7:MESSAGE_WAITING"

    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            jobs = [Job.of("test", "", event) for _ in range(3)]
            assert await take_up(journal, jobs, again=False) == ["kept"] * 3
            assert len({each.event_id for each in jobs}) == 3

    asyncio.run(main())


def test_a_number_that_stands_on_two_events_makes_them_no_one(tmp_path: Path) -> None:
    """As mod_sofia does it: each incoming MESSAGE comes twice, first without its name."""
    headers = [("Core-UUID", "774efe72"), ("Event-Sequence", "764")]
    nameless, message = Event.from_headers(headers), Event("MESSAGE", headers)

    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            for again in (True, False):
                jobs = [Job.of("test", "", event) for event in (nameless, message, message)]
                assert await take_up(journal, jobs, again=again) == ["kept", "kept", "duplicate"]
                assert [each.event_id for each in jobs[:2]] == ["774efe72:764:/test", "774efe72:764:MESSAGE/test"]

    asyncio.run(main())


def test_dead_letters_are_kept_listed_and_taken_out_again(tmp_path: Path) -> None:
    jobs = [job(number) for number in range(4)]

    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            await take_up(journal, jobs[:3])
            for each in jobs:
                journal.bury(each, "no \udcff answer")
            letters = await journal.dead(3)
            assert [each["event_id"] for each in letters] == [each.event_id for each in jobs[:0:-1]]
            assert letters[0]["why"] == "no \udcff answer"
        async with opened(tmp_path) as (journal, left):
            assert left == [], "a dead letter is not pending"
            assert await journal.revive(None, lambda _: None) == []
            (revived,) = await journal.revive([letters[0]["id"]], lambda _: True)
            assert revived.event == jobs[3].event
            assert identities(await journal.revive(None, lambda _: False)) == identities(jobs[:3])
            assert await journal.dead() == []
        async with opened(tmp_path) as (journal, left):
            assert identities(left) == [jobs[3].identity], "the others were to be done at most once"

    asyncio.run(main())


def test_dead_letters_are_bounded_by_number_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "DEAD_LIMIT", 10)
    clock = Clock()

    async def main() -> None:
        async with opened(tmp_path, now=clock) as (journal, _):
            for number in range(25):
                journal.bury(job(number), "why")
            assert [each["id"] for each in await journal.dead(100)] == list(range(25, 15, -1))
            assert journal.counters()["dead_expired"] == 15
            clock.now += 29 * DAY
            journal.bury(job(99), "why")
            assert len(await journal.dead(100)) == 10
            clock.now += 2 * DAY
        async with opened(tmp_path, now=clock) as (journal, _):
            assert [each["event_id"] for each in await journal.dead(100)] == [job(99).event_id]

    asyncio.run(main())


def test_marks_are_bounded_by_number_and_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "ACTED_LIMIT", 50)
    monkeypatch.setattr(journal_file, "_TRIM_EVERY", 10)
    clock = Clock()

    async def main() -> None:
        async with opened(tmp_path, now=clock) as (journal, _):
            await take_up(journal, [job(number) for number in range(200)], again=False)
            assert await take_up(journal, [job(10), job(199)], again=False) == ["kept", "duplicate"]
            clock.now += 2 * DAY
        async with opened(tmp_path, now=clock) as (journal, _):
            assert await take_up(journal, [job(199)], again=False) == ["kept"]
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
            assert db.execute("SELECT count(*) FROM acted").fetchone()[0] == 1

    asyncio.run(main())


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "state" / "switchcast") as (journal, _):
            assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600
            assert stat.S_IMODE(os.stat(journal.path.parent).st_mode) == 0o700
            with pytest.raises(EndpointUnavailable, match="another node uses this journal; stop it"):
                await Journal(journal.path).open()

    asyncio.run(main())


def damage_header(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever it was before" * 10)


def damage_tables(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE somebody_elses (x)")
        db.execute("PRAGMA user_version = 1")


def set_aside(folder: Path, kind: str) -> list[Path]:
    return [path for path in folder.iterdir() if f".{kind}-" in path.name and "-wal" not in path.name]


@pytest.mark.parametrize(
    ("change", "kind"),
    [(damage_header, "corrupt"), (damage_tables, "corrupt"), (make_newer, "newer"), (make_foreign, "foreign")],
)
def test_a_file_that_cannot_be_used_is_set_aside_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, kind: str
) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            await take_up(journal, [job(1)])
        change(tmp_path / FILE_NAME)
        before = (tmp_path / FILE_NAME).read_bytes()
        for number in (1, 2):
            async with opened(tmp_path, now=Clock()) as (journal, left):
                assert left == []
                assert journal.counters()["set_aside"] == 1
                assert await take_up(journal, [job(2)]) == ["kept"]
            aside = set_aside(tmp_path, kind)
            assert len(aside) == number, "a second one has a name of its own"
            assert before in [path.read_bytes() for path in aside]
            change(tmp_path / FILE_NAME)

    asyncio.run(main())
    said = capsys.readouterr().out
    assert "journal_set_aside" in said
    assert f"moved_to={tmp_path / FILE_NAME}.{kind}-2027" in said


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        with pytest.raises(EndpointUnavailable, match=r"its directory is a file; set state_dir under \[node\]"):
            await Journal(tmp_path / "file" / FILE_NAME).open()
        with pytest.raises((EndpointDenied, EndpointUnavailable), match=r"set state_dir under \[node\]"):
            await Journal(Path("/proc/1/nothing") / FILE_NAME).open()

    asyncio.run(main())


def test_a_full_disk_is_told_and_counted_and_room_is_used_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def large(number: int) -> Job:
        return Job.of("test", "", numbered(number, {"X": "x" * 10_000}))

    async def main() -> None:
        async with opened(tmp_path, limit=200_000) as (journal, _):
            kept: list[Job] = []
            for number in range(100):
                each = large(number)
                if await take_up(journal, [each]) == ["unwritten"]:
                    assert each.row is None
                    break
                kept.append(each)
            assert 5 < len(kept) < 20, "the limit is what ended it"
            assert journal.counters()["unwritten"] == 1
            assert await take_up(journal, [large(200)] * 3) == ["unwritten"] * 3
            for each in kept:  # what makes room is written beside what there is no room for
                journal.settle(each)
            await journal.flush()
            assert journal.counters()["settled"] == len(kept)
            assert await take_up(journal, [large(300)]) == ["kept"]
        async with opened(tmp_path) as (journal, left):
            assert identities(left) == [large(300).identity]

    asyncio.run(main())
    said = capsys.readouterr().out
    assert said.count("journal_unwritable") == 1, "once for an outage"
    assert "database or disk is full" in said
    assert said.count("journal_is_back") == 1


def test_many_are_committed_together(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            found: list[Verdict] = []
            for number in range(5_000):
                journal.take_up([(job(number), True)], lambda verdicts: found.extend(what for _, what in verdicts))
            await journal.flush()
            assert found == ["kept"] * 5_000
            assert journal.counters()["batches"] < 500

    asyncio.run(main())


def test_what_cannot_be_read_again_is_a_dead_letter(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            await take_up(journal, [job(1), job(2)])
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
            db.execute("UPDATE pending SET event = x'ff' WHERE row = 1")
            db.commit()
        async with opened(tmp_path) as (journal, left):
            assert identities(left) == [job(2).identity]
            (letter,) = await journal.dead()
            assert letter["why"].startswith("it cannot be read again: ")
            assert await journal.revive(None, lambda _: True) == []
            assert len(await journal.dead()) == 1

    asyncio.run(main())


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path) as (journal, _):
            await journal.close()
        await Journal(tmp_path / FILE_NAME).close()

    asyncio.run(main())


def test_the_limits_are_documented_with_their_figures() -> None:
    page = " ".join((Path(__file__).parent.parent / "docs" / "actions.md").read_text(encoding="utf-8").split())
    limits = [f"{journal_file.DEAD_LIMIT:,} of them are kept, for {journal_file.DEAD_AGE / DAY:.0f} days"]
    limits += [f"Marks are kept for a day, the last {journal_file.ACTED_LIMIT:,}"]
    limits += [f"at most {journal_file.JOURNAL_BYTES >> 30} GiB", f"more than {ARGUMENT_BYTES:,} bytes"]
    limits += [f"longer than {VALUE_BYTES:,} bytes", f"the last {LOG_ENTRIES:,} results"]
    limits += [f"up to {LINES_A_SECOND} lines a second", f"Pauses grow to {PAUSE_MOST:.0f} s"]
    assert [limit for limit in limits if limit not in page] == []
    assert journal_file.ACTED_AGE == DAY
    assert RETRY_FOR == 300, "five minutes"
    assert [reason for reason in REASONS if f"`{reason}`" not in page and reason not in {"line_break", "empty"}] == []
