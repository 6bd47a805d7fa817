"""Writing: what a commit has returned for is there, once, in order, whatever comes between."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from archiving import DAY, NOBODY, NOON, SECOND, as_nobody, batches, number_of, numbered, numbers, segments, write
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.archive.reading import ArchiveReader
from switchcast.archive.segment import open_reading, segment_path
from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.writing import ArchiveWriter
from switchcast.errors import EndpointDenied, EndpointUnavailable, UsageError

SMALL = ArchiveSettings.model_validate({"size": "1GiB", "segment": "1MiB"})


def blocks_of(directory: Path, segment: str) -> list[tuple[int, int, bool]]:
    """First number, count, and whether it is a whole block, of each block of a segment."""
    db = open_reading(segment_path(directory, segment))
    assert db is not None
    with closing(db):
        rows = db.execute("SELECT first, count, run IS NOT NULL FROM blocks ORDER BY first").fetchall()
    return [(first, count, bool(whole)) for first, count, whole in rows]


def test_a_commit_tells_where_the_last_event_stands(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a", now=lambda: NOON) as writer:
        assert (writer.commit().position, writer.position) == (None, None)
        writer.write(numbered(number) for number in range(300))
        assert writer.pending == 300
        written = writer.commit()
        assert (written.position, written.events, writer.pending) == ("2026-11-01-0000/000000000299", 300, 0)
        assert writer.commit().events == 0
        assert writer.position == ArchiveReader(tmp_path / "a").newest() == written.position
    with ArchiveWriter(tmp_path / "a", now=lambda: NOON) as writer:
        assert writer.position == written.position, "the next writer goes on there"


@settings(PROPERTY, max_examples=15)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_however_it_is_cut_into_commits_and_writers(sizes: list[int], restarts: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "archive")
        total = 0
        writer = ArchiveWriter(directory, now=lambda: NOON)
        try:
            for place, size in enumerate(sizes):
                writer.write(numbered(number) for number in range(total, total + size))
                total += size
                written = writer.commit()
                assert written.events == size
                assert numbers(directory) == list(range(total))
                if place in restarts:
                    writer.close()
                    writer = ArchiveWriter(directory, now=lambda: NOON)
        finally:
            writer.close()
        stored = list(ArchiveReader(directory).events())
        assert [each.position for each in stored] == [f"2026-11-01-0000/{number:012}" for number in range(total)]


def test_pieces_become_one_block_when_it_is_full(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    events = [numbered(number) for number in range(300)]
    write(directory, *batches(events[:250], 100))
    assert blocks_of(directory, "2026-11-01-0000") == [(0, 100, False), (100, 100, False), (200, 50, False)]
    write(directory, events[250:])
    assert blocks_of(directory, "2026-11-01-0000") == [(0, 256, True), (256, 44, False)]
    assert numbers(directory) == list(range(300))


def test_few_large_events_make_a_block(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    large = [numbered(number, headers={"Filling": "x" * 300_000}) for number in range(9)]
    write(directory, large)
    assert [count for _, count, _ in blocks_of(directory, "2026-11-01-0000")] == [4, 4, 1]
    assert numbers(directory) == list(range(9))


def test_each_day_has_its_segment(tmp_path: Path) -> None:
    midnight = NOON + 12 * 3600 * SECOND
    times = [midnight - 2, midnight - 1, midnight, midnight + 1, midnight + DAY]
    write(tmp_path / "a", [numbered(number, time) for number, time in enumerate(times)], now=lambda: times[-1])
    assert segments(tmp_path / "a") == ["2026-11-01-0000", "2026-11-02-0000", "2026-11-03-0000"]
    assert numbers(tmp_path / "a") == [0, 1, 2, 3, 4]
    assert blocks_of(tmp_path / "a", "2026-11-01-0000") == [(0, 2, True)], "closed when its day is over"
    assert [path.name for path in (tmp_path / "a").glob("2026-11-01*")] == ["2026-11-01-0000.sqlite"], "a plain file"


def test_a_clock_that_goes_backwards_never_writes_into_the_past(tmp_path: Path) -> None:
    clock = [NOON]
    with ArchiveWriter(tmp_path / "a", now=lambda: clock[0]) as writer:
        positions: list[str | None] = []
        for day in (0, 2, 1, -3, 3):
            clock[0] = NOON + day * DAY
            writer.write([numbered(len(positions), clock[0])])
            positions.append(writer.commit().position)
    assert segments(tmp_path / "a") == ["2026-11-01-0000", "2026-11-03-0000", "2026-11-04-0000"]
    assert [position or "" for position in positions] == sorted(position or "" for position in positions)
    assert numbers(tmp_path / "a") == [0, 1, 2, 3, 4]
    assert numbers(tmp_path / "a", since=NOON - 3 * DAY, until=NOON) == [3], "found by the time it tells"


def test_an_event_from_the_future_does_not_drag_the_archive_there(tmp_path: Path) -> None:
    events = [numbered(0, NOON), numbered(1, NOON + 400 * DAY), numbered(2, NOON)]
    write(tmp_path / "a", events)
    assert segments(tmp_path / "a") == ["2026-11-01-0000"]
    assert numbers(tmp_path / "a", since=NOON + 400 * DAY) == [1]


def test_an_event_without_a_time_came_when_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(1).with_origin(None, None)], now=lambda: NOON + 7)
    (stored,) = ArchiveReader(tmp_path / "a").events()
    assert (stored.time, stored.event.received) == (NOON + 7, NOON + 7)


def test_a_day_with_many_events_has_several_segments(tmp_path: Path) -> None:
    noise = [numbered(number, headers={"Filling": os.urandom(1500).hex()}) for number in range(2_000)]
    write(tmp_path / "a", *batches(noise, 200), settings=SMALL)
    names = segments(tmp_path / "a")
    assert names[:2] == ["2026-11-01-0000", "2026-11-01-0001"]
    assert numbers(tmp_path / "a") == list(range(2_000))
    largest = max(path.stat().st_size for path in (tmp_path / "a").glob("*.sqlite"))
    assert largest < 2 << 20


def test_retention_by_size_keeps_the_newest(tmp_path: Path) -> None:
    limits = ArchiveSettings.model_validate({"size": "2MiB"})
    noise = [numbered(number, headers={"Filling": os.urandom(1500).hex()}) for number in range(4_000)]
    write(tmp_path / "a", *batches(noise, 100), settings=limits)
    write(tmp_path / "a", [numbered(4_000)], settings=limits)
    kept = numbers(tmp_path / "a")
    assert kept == list(range(kept[0], 4_001))
    assert 0 < kept[0] < 3_900
    assert sum(path.stat().st_size for path in (tmp_path / "a").glob("*")) < 3 << 20


def test_retention_by_age_keeps_the_newest_however_old(tmp_path: Path) -> None:
    limits = ArchiveSettings.model_validate({"keep": "3d"})
    days = [[numbered(day, NOON + day * DAY)] for day in range(6)]
    for day, events in enumerate(days):
        write(tmp_path / "a", events, settings=limits, now=lambda day=day: NOON + day * DAY)  # type: ignore[misc]
    assert numbers(tmp_path / "a") == [2, 3, 4, 5]
    with ArchiveWriter(tmp_path / "a", limits, now=lambda: NOON + 100 * DAY) as writer:
        assert writer.removed == 3
    assert numbers(tmp_path / "a") == [5]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["2026-11-06-0000.sqlite", "archive.lock"]


def test_what_cannot_be_removed_does_not_keep_it_from_writing(open_folder: Path) -> None:
    directory = open_folder / "a"
    for day in range(3):
        write(directory, [numbered(day, NOON + day * DAY)], now=lambda day=day: NOON + day * DAY)  # type: ignore[misc]
    for path in (open_folder, directory, *directory.iterdir()):
        os.chown(path, NOBODY, -1)
    directory.chmod(0o1777)
    os.chown(segment_path(directory, "2026-11-01-0000"), 0, 0)  # in a sticky directory only its owner removes it
    os.chown(directory, 0, 0)
    with as_nobody(), ArchiveWriter(directory, now=lambda: NOON + 100 * DAY) as writer:
        assert writer.removed == 0
        writer.write([numbered(3)])
        assert writer.commit().events == 1
    assert numbers(directory)[-1] == 3


def test_what_an_interrupted_removal_left_is_cleared_away(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(1)])
    (tmp_path / "a" / "2026-10-01-0000.sqlite-wal").write_bytes(b"left")
    write(tmp_path / "a", [numbered(2)])
    assert not (tmp_path / "a" / "2026-10-01-0000.sqlite-wal").exists()


def test_a_commit_that_fails_loses_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    with ArchiveWriter(directory, now=lambda: NOON) as writer:
        writer.write(numbered(number) for number in range(100))
        writer.commit()
        holder = sqlite3.connect(segment_path(directory, "2026-11-01-0000"), isolation_level=None)
        with closing(holder):
            holder.execute("PRAGMA journal_mode = WAL")
            holder.execute("BEGIN IMMEDIATE")  # somebody has it: the same to us as any other failure
            writer._db.execute("PRAGMA busy_timeout = 0") if writer._db else None
            writer.write(numbered(number) for number in range(100, 400))
            with pytest.raises(EndpointUnavailable, match="locked"):
                writer.commit()
            assert writer.pending == 300
            assert numbers(directory) == list(range(100))
            holder.execute("ROLLBACK")
        writer.write([numbered(400)])
        assert writer.commit().events == 301
        assert numbers(directory) == list(range(401))


def test_there_is_one_writer(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "a"):
        with pytest.raises(EndpointUnavailable, match=f"process {os.getpid()} writes to this archive") as caught:
            ArchiveWriter(tmp_path / "a")
        assert caught.value.exit_code == 69
        program = "import sys; from switchcast.archive.writing import ArchiveWriter; ArchiveWriter(sys.argv[1])"
        other = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], capture_output=True, check=False)
        assert b"an archive has one writer" in other.stderr
    ArchiveWriter(tmp_path / "a").close()


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is no archive, but holds other files"):
        ArchiveWriter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_segment_that_is_another_database_is_passed_over(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "2026-11-01-0000.sqlite")) as db:
        db.execute("CREATE TABLE mine (x)")
    write(tmp_path, [numbered(1)])
    assert segments(tmp_path) == ["2026-11-01-0000", "2026-11-01-0001"]
    with closing(sqlite3.connect(tmp_path / "2026-11-01-0000.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)


def test_without_permission(open_folder: Path) -> None:
    directory = open_folder / "a"
    write(directory, [numbered(1)])
    directory.chmod(0o755)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with as_nobody():
        for refused in (directory, closed, open_folder / "new"):
            with pytest.raises(EndpointDenied, match="permission denied; this runs as user") as caught:
                ArchiveWriter(refused)
            assert caught.value.exit_code == 77


def test_an_empty_file_where_a_machine_stopped_is_made_a_segment(tmp_path: Path) -> None:
    (tmp_path / "archive.lock").touch()
    (tmp_path / "2026-11-01-0000.sqlite").touch()
    assert numbers(tmp_path) == []
    write(tmp_path, [numbered(1)])
    assert (segments(tmp_path), numbers(tmp_path)) == (["2026-11-01-0000"], [1])


def test_what_was_written_before_is_not_touched_by_what_follows(tmp_path: Path) -> None:
    positions: dict[str, int] = {}
    with ArchiveWriter(tmp_path / "a", now=lambda: NOON) as writer:
        for number in range(600):
            writer.write([numbered(number)])
            if number % 7 == 0:
                writer.commit()
                for stored in ArchiveReader(tmp_path / "a").events(newest_first=True):
                    known = positions.setdefault(stored.position, number_of(stored.event))
                    assert known == number_of(stored.event)
                    if known < number - 20:
                        break
