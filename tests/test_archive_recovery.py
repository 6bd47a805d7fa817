"""Damage is found, what is whole is saved, and what is missing is told."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from archiving import NOON, batches, number_of, numbered, numbers, write
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast._native import Event, StockFrames
from switchcast.archive.blocks import encode, framed
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.recovery import Repaired, check, repair
from switchcast.archive.segment import open_writing, segment_path
from switchcast.archive.terms import Term
from switchcast.archive.writing import ArchiveWriter
from switchcast.errors import EndpointUnavailable
from switchcast.wire.gap_record import Gap, is_gap

SEGMENT = "2026-11-01-0000"
COUNT = 3_000
WRITER = Path(__file__).with_name("archive_killed.py")


def gap_of(events: int) -> Event:
    return Gap("archive", "damaged", events).event()


def faults(directory: Path) -> list[str]:
    return [fault for checked in check(directory) for fault in checked.faults]


def repaired(directory: Path) -> list[Repaired]:
    return list(repair(directory, gap_of))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one segment, whose events are large enough that each block has pages of its own."""
    directory = tmp_path_factory.mktemp("recovery") / "sound"
    events = [
        numbered(number, headers={"Filling": os.urandom(100).hex(), "Unique-ID": f"leg-{number // 100}"})
        for number in range(COUNT)
    ]
    write(directory, *batches(events, 700))
    return directory


def damaged(sound: Path, directory: Path, damage: Callable[[bytearray], None]) -> Path:
    """A copy of ``sound``, with ``damage`` done to its segment."""
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(sound, directory)
    path = segment_path(directory, SEGMENT)
    content = bytearray(path.read_bytes())
    damage(content)
    path.write_bytes(content)
    return path


def accounted(directory: Path) -> int:
    """How many numbers are there or told to be missing, up to the last; they are in order, each in its place."""
    due = 0
    for stored in ArchiveReader(directory).events():
        place = int(stored.position.rpartition("/")[2])
        if is_gap(stored.event):
            assert place == due + int(stored.event["Gap-Events"]) - 1
        else:
            assert place == due == number_of(stored.event)
        due = place + 1
    return due


def test_what_is_sound_is_left_alone(sound: Path) -> None:
    before = segment_path(sound, SEGMENT).read_bytes()
    (checked,) = check(sound)
    assert (checked.events, checked.faults) == (COUNT, ())
    assert repaired(sound) == []
    assert segment_path(sound, SEGMENT).read_bytes() == before


@settings(PROPERTY, max_examples=10)
@given(st.data())
def test_whatever_is_torn_off_or_overwritten(sound: Path, data: st.DataObject) -> None:
    size = segment_path(sound, SEGMENT).stat().st_size

    def damage(content: bytearray) -> None:
        if data.draw(st.booleans(), label="torn"):
            del content[data.draw(st.integers(size // 4, size - 1)) :]
        for _ in range(data.draw(st.integers(0, 3), label="holes")):
            start = data.draw(st.integers(0, size - 1))
            length = data.draw(st.sampled_from([1, 100, 4_096, 20_000]))
            content[start : start + length] = bytes(len(content[start : start + length]))

    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "archive")
        path = damaged(sound, directory, damage)
        found = faults(directory)
        if not found:  # the damage hit what says nothing, as the unused end of a page
            assert numbers(directory) == list(range(COUNT))
            return
        (done,) = repaired(directory)
        assert faults(directory) == []
        assert done.kept.exists()
        assert done.events + done.missing == accounted(directory) <= COUNT
        assert numbers_of_events(directory) <= set(range(COUNT))
        assert path.exists()
        write(directory, [numbered(COUNT)])
        assert number_of(next(ArchiveReader(directory).events(newest_first=True)).event) == COUNT


def numbers_of_events(directory: Path) -> set[int]:
    return {number_of(stored.event) for stored in ArchiveReader(directory).events() if not is_gap(stored.event)}


def test_a_hole_costs_only_the_blocks_in_it(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a"

    def hole(content: bytearray) -> None:
        middle = len(content) // 2 // 4_096 * 4_096
        content[middle : middle + 4_096] = bytes(4_096)

    damaged(sound, directory, hole)
    assert faults(directory)
    (done,) = repaired(directory)
    assert done.events >= COUNT - 2 * 256
    assert done.events + done.missing == COUNT == accounted(directory)
    assert numbers(directory, terms=[Term.uuid("leg-3")]) == list(range(300, 400)), "with terms to search by"


def test_a_lost_tail_costs_only_the_tail(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a"
    damaged(sound, directory, lambda content: content.__delitem__(slice(len(content) * 3 // 4, None)))
    with pytest.raises(AssertionError):
        assert numbers(directory) == list(range(COUNT))
    (done,) = repaired(directory)
    assert done.events > COUNT // 2
    assert len(numbers_of_events(directory)) == done.events


def test_the_very_beginning_may_be_gone(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a"
    damaged(sound, directory, lambda content: content.__setitem__(slice(0, 4_096), bytes(4_096)))
    assert any("not a database" in fault or "some other database" in fault for fault in faults(directory))
    (done,) = repaired(directory)
    assert (done.events, done.missing) == (COUNT, 0)
    assert numbers(directory) == list(range(COUNT))


def test_a_writer_goes_on_beside_a_damaged_segment(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a"
    damaged(sound, directory, lambda content: content.__setitem__(slice(0, 4_096), os.urandom(4_096)))
    write(directory, [numbered(COUNT)])
    assert numbers(directory) == [COUNT], "what can be read is read"
    assert ArchiveReader(directory).stats().segments[0].damaged
    repaired(directory)
    assert numbers(directory) == list(range(COUNT + 1))


def test_a_block_that_was_changed_is_passed_over_and_told(sound: Path, tmp_path: Path) -> None:
    directory = tmp_path / "a"
    shutil.copytree(sound, directory)
    with closing(open_writing(segment_path(directory, SEGMENT))) as db:
        db.execute("UPDATE bodies SET data = ? WHERE first = 256", (encode([framed(numbered(1), NOON)], 3)[:-1],))
        db.execute("UPDATE bodies SET data = ? WHERE first = 1024", (encode([framed(numbered(1), NOON)], 3),))
        db.execute("DELETE FROM blocks WHERE first = 1536")
        db.execute("UPDATE blocks SET run = 7 WHERE first = 2048")
    reader = ArchiveReader(directory)
    assert number_of(next(reader.events(after=f"{SEGMENT}/000000000255")).event) == 512
    assert reader.damaged == 1
    found = faults(directory)
    assert [fault.partition(":")[0] for fault in found] == [
        "events 256 to 511 cannot be read",
        "the block of event 1024 holds 1 events instead of 256",
        "events 1536 to 1791 are missing",
        "the block of event 2048 is noted under the wrong run",
    ]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive whose writer was killed after some 20 commits."""
    directory = tmp_path_factory.mktemp("recovery") / "killed"
    with subprocess.Popen([sys.executable, WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        print(directory, 0, 1, file=writer.stdin, flush=True)
        process = int(writer.stdout.readline())
        for _ in range(20):
            writer.stdout.readline()
        os.kill(process, signal.SIGKILL)
        writer.stdin.close()
        writer.stdout.read()
    return directory


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("overwritten", [False, True])
def test_a_torn_log_leaves_what_came_before_it(killed: Path, tmp_path: Path, cut: float, overwritten: bool) -> None:
    """As a machine that lost power may leave it, where what it was told was on the disk was not."""
    directory = tmp_path / "a"
    shutil.copytree(killed, directory)
    path = segment_path(directory, SEGMENT)
    log = path.with_name(path.name + "-wal")
    content = bytearray(log.read_bytes())
    place = int(len(content) * cut)
    if overwritten:
        content[place : place + 5_000] = os.urandom(len(content[place : place + 5_000]))
    else:
        del content[place:]
    log.write_bytes(content)
    left = numbers(directory)
    assert left == list(range(len(left))), "in order, without a hole"
    assert faults(directory) == []
    write(directory, [numbered(number) for number in range(len(left), len(left) + 300)])
    assert numbers(directory) == list(range(len(left) + 300))


def test_what_still_stands_in_the_log_is_saved_too(sound: Path, tmp_path: Path) -> None:
    directory, killed = tmp_path / "a", tmp_path / "b"
    shutil.copytree(sound, directory)
    with ArchiveWriter(directory, now=lambda: NOON) as writer:
        writer.write(numbered(number) for number in range(COUNT, COUNT + 600))
        writer.commit()
        shutil.copytree(directory, killed)
    path = segment_path(killed, SEGMENT)
    content = bytearray(path.read_bytes())
    content[4_096:] = bytes(len(content) - 4_096)  # all that stands in no log
    path.write_bytes(content)
    assert faults(killed)
    (done,) = repaired(killed)
    assert done.events >= 600
    assert numbers_of_events(killed) >= set(range(COUNT, COUNT + 600))
    assert accounted(killed) == COUNT + 600
    assert {each.name for each in killed.glob("*.damaged*")} >= {done.kept.name, f"{done.kept.name}-wal"}


def test_nothing_is_repaired_while_it_is_written(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path / "a")
    with (
        ArchiveWriter(tmp_path / "a"),
        pytest.raises(EndpointUnavailable, match=r"writes to this archive already.* so stop that first"),
    ):
        repaired(tmp_path / "a")


def test_recorded_events_are_saved_byte_for_byte(tmp_path: Path, plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    events = [frames.open(datagram).with_origin("192.0.2.1:4242", NOON) for _, datagram in plain_datagrams]
    write(tmp_path / "a", events)
    path = segment_path(tmp_path / "a", SEGMENT)
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    repaired(tmp_path / "a")
    stored = [each.event for each in ArchiveReader(tmp_path / "a").events()]
    assert [each.to_plain() for each in stored] == [each.to_plain() for each in events]
    assert {(each.source, each.trust) for each in stored} == {("192.0.2.1:4242", "stock")}
    kept = itertools.islice((tmp_path / "a").glob("*.damaged"), 2)
    assert len(list(kept)) == 1
