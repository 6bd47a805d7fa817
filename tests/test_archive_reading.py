"""Reading: by time, by terms, by matcher, in both directions, from anywhere, while it is written."""

from __future__ import annotations

import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest
from archiving import DAY, NOON, SECOND, as_nobody, batches, number_of, numbered, numbers, write
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast._native import Event, Matcher, StockFrames
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.segment import is_sealed, open_writing, segment_path
from switchcast.archive.terms import Term, terms_of
from switchcast.archive.times import parse_time
from switchcast.archive.writing import ArchiveWriter
from switchcast.errors import EndpointDenied, EndpointUnavailable, UsageError

COUNT = 1_500


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events over two days, a leg for every 50 of them, and a caller for every 300."""
    directory = tmp_path_factory.mktemp("reading") / "a"
    events = [
        numbered(
            number,
            NOON + number * DAY // 1_000,
            {
                "Unique-ID": f"leg-{number // 50}",
                "Caller-ANI": f"+49 {number // 300}00",
                "FreeSWITCH-Hostname": "fs1",
            },
        )
        for number in range(COUNT)
    ]
    write(directory, *batches(events, 190), now=lambda: NOON + 2 * DAY)
    return directory


@settings(PROPERTY, max_examples=50)
@given(st.integers(-100, COUNT + 100), st.integers(-100, COUNT + 100), st.booleans())
def test_by_time(archive: Path, since: int, until: int, newest_first: bool) -> None:
    found = numbers(
        archive, since=NOON + since * DAY // 1_000, until=NOON + until * DAY // 1_000, newest_first=newest_first
    )
    expected = [number for number in range(COUNT) if since <= number < until]
    assert found == (expected[::-1] if newest_first else expected)


@pytest.mark.parametrize("newest_first", [False, True])
def test_on_behind_a_position(archive: Path, newest_first: bool) -> None:
    stored = list(ArchiveReader(archive).events(newest_first=newest_first))
    assert [number_of(each.event) for each in stored] == sorted(range(COUNT), reverse=newest_first)
    positions = [each.position for each in stored]
    assert positions == sorted(positions, reverse=newest_first)
    for place in (0, 1, 189, 190, 255, 256, 499, 500, 501, 1_498, 1_499):
        rest = numbers(archive, after=positions[place], newest_first=newest_first)
        assert rest == [number_of(each.event) for each in stored[place + 1 :]]


def test_by_terms(archive: Path) -> None:
    leg = Term.uuid("LEG-7")
    assert numbers(archive, terms=[leg]) == list(range(350, 400))
    assert numbers(archive, terms=[leg, Term.uuid("leg-20")]) == [*range(350, 400), *range(1000, 1050)]
    assert numbers(archive, terms=[leg], every=[Term.number("49100")]) == list(range(350, 400))
    assert numbers(archive, terms=[leg], every=[Term.number("49200")]) == []
    assert numbers(archive, every=[Term.node("fs1"), Term.number("+49-400")]) == list(range(1_200, 1_500))
    assert numbers(archive, terms=[Term.uuid("leg-77")]) == []
    assert numbers(archive, terms=[leg], newest_first=True, since=NOON + 380 * DAY // 1_000) == [*range(399, 379, -1)]


def test_a_search_reads_only_blocks_that_may_hold_what_is_asked_for(archive: Path) -> None:
    reader = ArchiveReader(archive)
    assert len(list(reader.blocks())) == 7
    found = list(reader.blocks(terms=[Term.uuid("leg-2")]))
    assert [(block.segment, block.first) for block in found if block.count == 256] == [("2026-11-01-0000", 0)]
    assert all(block.count < 256 for block in found[1:]), "what is not full yet is always looked at"


def test_by_matcher(archive: Path) -> None:
    where = Matcher("CUSTOM test::archive", 'h["Event-Sequence"].endsWith("77")')
    assert numbers(archive, matcher=where) == list(range(77, COUNT, 100))
    assert numbers(archive, matcher=Matcher("HEARTBEAT")) == []


def test_every_term_of_recorded_events_finds_them(tmp_path: Path, plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    events = [frames.open(datagram).with_origin(None, time) for time, datagram in plain_datagrams]
    write(tmp_path / "a", *batches(events, 700), now=lambda: events[-1].received or 0)
    reader = ArchiveReader(tmp_path / "a")
    for term in list(terms_of(events[900]) | terms_of(events[1_500])):
        expected = [event for event in events if term in terms_of(event)]
        assert [stored.event for stored in reader.events(terms=[term])] == expected


def test_a_reader_sees_a_growing_archive_whole_and_in_order(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    write(directory, [numbered(0)])
    reported, stop, seen = [0], threading.Event(), [0]
    faults: list[str] = []

    def look() -> None:
        reader = ArchiveReader(directory)
        while not stop.is_set():
            known = reported[0]
            found = [number_of(stored.event) for stored in reader.events()]
            if found != list(range(len(found))) or len(found) <= known:
                faults.append(f"{len(found)} of more than {known}")
            seen[0] += 1

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        with ArchiveWriter(directory, now=lambda: NOON) as writer:
            number = 1
            while number < 1_500 or seen[0] < 4:
                writer.write(numbered(each) for each in range(number, number + 23))
                number += 23
                writer.commit()
                reported[0] = number - 1
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not faults


def test_a_reader_in_the_middle_is_not_disturbed(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    write(directory, [numbered(number) for number in range(300)])
    under_way = ArchiveReader(directory).events()
    first = next(under_way)
    write(directory, [numbered(number) for number in range(300, 900)])
    assert [number_of(each.event) for each in (first, *under_way)] == list(range(300)), "what there was when it began"
    under_way = ArchiveReader(directory).events()
    first = next(under_way)
    shutil.rmtree(directory)  # retention goes by whole segments, and may take the one that is read
    assert [number_of(each.event) for each in (first, *under_way)] == list(range(900))


def test_statistics(archive: Path, tmp_path: Path) -> None:
    found = ArchiveReader(archive).stats()
    assert (found.events, len(found.segments)) == (COUNT, 2)
    assert (found.begin, found.end) == (NOON, NOON + (COUNT - 1) * DAY // 1_000)
    assert found.file_bytes == sum(path.stat().st_size for path in archive.glob("*.sqlite*"))
    assert found.raw_bytes > COUNT * 100
    write(tmp_path / "empty")
    assert ArchiveReader(tmp_path / "empty").stats().events == 0
    assert ArchiveReader(tmp_path / "empty").newest() is None


@pytest.mark.parametrize("closed_well", [True, False])
def test_an_archive_on_a_disk_that_cannot_be_written_is_read(open_folder: Path, closed_well: bool) -> None:
    directory = open_folder / "a"
    write(directory, [numbered(number) for number in range(300)])
    if not closed_well:  # as a copy is that was taken without the log
        with closing(open_writing(segment_path(directory, "2026-11-01-0000"))):
            pass
        assert not is_sealed(segment_path(directory, "2026-11-01-0000"))
    for path in (directory, *directory.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with as_nobody():
        assert numbers(directory) == list(range(300))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EndpointUnavailable, match="no such directory"):
        ArchiveReader(tmp_path / "nothing")
    (tmp_path / "letter.txt").touch()
    with pytest.raises(EndpointUnavailable, match="holds no archive, but other files"):
        ArchiveReader(tmp_path)
    write(tmp_path / "a", [numbered(1)])
    with pytest.raises(UsageError, match="'x' is no position in an archive, such as 2026-11-23-0000/000000000042"):
        list(ArchiveReader(tmp_path / "a").events(after="x"))


def test_without_permission(open_folder: Path) -> None:
    write(open_folder / "a", [numbered(1)])
    (open_folder / "a").chmod(0o700)
    with as_nobody(), pytest.raises(EndpointDenied, match="permission denied; this runs as user"):
        ArchiveReader(open_folder / "a")
    (open_folder / "a").chmod(0o755)
    (open_folder / "a" / "2026-11-01-0000.sqlite").chmod(0o600)
    with as_nobody(), pytest.raises(EndpointDenied, match=r"0000\.sqlite: permission denied"):
        numbers(open_folder / "a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOON - 2 * 3600 * SECOND),
        ("500ms", NOON - SECOND // 2),
        ("2026-11-01T12:00:00Z", NOON),
        ("2026-11-01T13:00:00.5+01:00", NOON + SECOND // 2),
        ("2026-11-01 12:00+00:00", NOON),
        ("11:00Z", NOON - 3600 * SECOND),
    ],
)
def test_points_in_time(text: str, expected: int) -> None:
    assert parse_time(text, NOON) == expected


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "2026-13-01", "--2h", "1969-01-01T00:00Z"])
def test_what_is_no_point_in_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 2026-11-23|before 1970"):
        parse_time(text, NOON)


def test_an_event_is_found_by_the_case_of_no_letter(tmp_path: Path) -> None:
    write(tmp_path / "a", [Event("DTMF", {"Unique-ID": "ABC"}), Event("DTMF", {"Unique-ID": "abd"})])
    found = list(ArchiveReader(tmp_path / "a").events(terms=[Term.uuid("aBc")]))
    assert [stored.event.unique_id for stored in found] == ["ABC"]
