"""The archive: how fast events go in, what they take on the disk, how soon a number is found in ten million of them.

What is written are recorded events, made into many calls: each round of the recording gets UUIDs and numbers of its
own. Writing is timed as a node does it, with a commit, and its fsync, every 4,096 events, and until the last one is on
the disk. The peer is what one would write first: SQLite with a row for each event and an index on each of four columns,
under the same promise.
"""

from __future__ import annotations

import os
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.events import recorded, text
from benchmarks.result import Row, at_least, at_most, check, interleave
from switchcast import Event
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.recording import COMMIT_EVENTS
from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.terms import Term, hashes_of
from switchcast.archive.writing import ArchiveWriter

MANY: Final = 10_000_000
QUICK: Final = 100_000
WRITTEN: Final = 200_000
"""Events of one timed run of writing."""
SECOND_NS: Final = 1_000_000_000
BEGAN: Final = 1_793_534_400 * SECOND_NS
PACE: Final = 120 * SECOND_NS // 1_000_000
"""Nanoseconds from one event to the next: ten million are 20 minutes of 8,333 events/s, within one day."""

EVENTS_LIMIT: Final = 30_000
SHARE_LIMIT: Final = 0.2
TERMS_LIMIT_US: Final = 10
QUERY_LIMIT: Final = 1.0

_CHANGING: Final = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb"|(?<=-Number: )[0-9]+(?=\n)|(?<=-ANI: )[0-9]+(?=\n)"
)
_BETWEEN: Final = b"\x00"
"""Stands in no event."""


def run(runs: int, quick: bool) -> list[Row]:
    """Writing against the peer, then the parts of it, then a large archive."""
    rounds = Rounds()
    written = list(rounds.events(QUICK // 10 if quick else WRITTEN))
    with tempfile.TemporaryDirectory(prefix="switchcast-archive-") as folder:
        rows = [*writing(written, Path(folder), runs), terms(written, runs)]
        rows += searching(rounds, QUICK if quick else MANY, Path(folder) / "many", runs)
    return rows


class Rounds:
    """The recorded events again and again, each time with other UUIDs and numbers."""

    def __init__(self) -> None:
        whole = _BETWEEN.join(text(datagram) for datagram in recorded())
        names: dict[bytes, int] = {}
        self._pieces: list[bytes] = []
        self._places: list[int] = []
        at = 0
        for found in _CHANGING.finditer(whole):
            self._pieces += [whole[at : found.start()], b""]
            self._places.append(names.setdefault(found[0], len(names)))
            at = found.end()
        self._pieces.append(whole[at:])
        self._names = list(names)
        self._numbers = [name for name in self._names if len(name) != 36]

    def events(self, count: int) -> Iterator[Event]:
        """``count`` events, each a little later than the one before it."""
        dice = random.Random(1)  # noqa: S311 - the same events in each run
        given = 0
        while True:
            for plain in self._round(dice).split(_BETWEEN):
                if given == count:
                    return
                yield Event.from_plain(plain, "192.0.2.1:4242", BEGAN + given * PACE, "stock")
                given += 1

    def _round(self, dice: random.Random) -> bytes:
        fresh = [made_up(name, dice) for name in self._names]
        self.last_number = next(new for name, new in zip(self._names, fresh, strict=True) if len(name) == 10)
        self._pieces[1::2] = [fresh[place] for place in self._places]
        return b"".join(self._pieces)


def made_up(name: bytes, dice: random.Random) -> bytes:
    """Another UUID, or another number of ten digits."""
    if len(name) != 36:
        return b"%010d" % dice.randrange(10**10)
    digits = b"%032x" % dice.getrandbits(128)
    return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def writing(events: Sequence[Event], folder: Path, runs: int) -> list[Row]:
    """Events a second, and bytes of text that one byte on the disk stands for."""
    raw = sum(len(event.to_plain()) for event in events)
    shares: list[float] = []
    peer_shares: list[float] = []
    processor: list[float] = []

    def ours() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as directory:
            begin, began = time.perf_counter(), time.process_time()
            with ArchiveWriter(Path(directory, "a")) as writer:
                for at in range(0, len(events), COMMIT_EVENTS):
                    writer.write(events[at : at + COMMIT_EVENTS])
                    writer.commit()
            spent = time.perf_counter() - begin
            processor.append((time.process_time() - began) / len(events) * 1e6)
            found = ArchiveReader(Path(directory, "a")).stats()
            check(found.events == len(events), f"archive: {found.events} of {len(events)} events are there")
            shares.append(found.file_bytes / raw)
            return len(events) / spent

    def theirs() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as directory:
            path = Path(directory, "peer.sqlite")
            spent = row_by_row(path, events)
            peer_shares.append(path.stat().st_size / raw)
            return len(events) / spent

    mine, peers = interleave(runs, ours, theirs)
    peer = "a row an event, four indexes"
    return [
        Row(
            benchmark="archive",
            case=f"write, mean {raw // len(events):,} B",
            unit="events/s",
            runs=mine,
            peer=peer,
            peer_runs=peers,
            aim=at_least(EVENTS_LIMIT, of="ours"),
            details={"us_cpu_per_event": processor},
        ),
        Row(
            benchmark="archive",
            case="on the disk",
            unit="of the events' text",
            runs=shares,
            peer=peer,
            peer_runs=peer_shares,
            aim=at_most(SHARE_LIMIT, of="ours"),
        ),
    ]


def row_by_row(path: Path, events: Sequence[Event]) -> float:
    """Write ``events`` as the peer does; the seconds that took."""
    begin = time.perf_counter()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE events (time INTEGER, leg TEXT, caller TEXT, callee TEXT, event BLOB)")
    for column in ("time", "leg", "caller", "callee"):
        db.execute(f"CREATE INDEX by_{column} ON events ({column})")
    for at in range(0, len(events), COMMIT_EVENTS):
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
            (
                (
                    event.received,
                    event.unique_id,
                    event.get("Caller-Caller-ID-Number"),
                    event.get("Caller-Destination-Number"),
                    event.to_plain(),
                )
                for event in events[at : at + COMMIT_EVENTS]
            ),
        )
        db.execute("COMMIT")
    db.close()
    return time.perf_counter() - begin


def terms(events: Sequence[Event], runs: int) -> Row:
    """What it costs to find out what an event can be searched by."""
    blocks = [events[at : at + 256] for at in range(0, len(events), 256)]

    def ours() -> float:
        begin = time.process_time()
        found = sum(len(hashes_of(block)) for block in blocks)
        check(found > len(blocks), "archive: blocks without terms")
        return (time.process_time() - begin) / len(events) * 1e6

    (mine,) = interleave(runs, ours)
    return Row(
        benchmark="archive",
        case="find the terms",
        unit="us CPU/event",
        runs=mine,
        aim=at_most(TERMS_LIMIT_US, of="ours"),
    )


def searching(rounds: Rounds, count: int, directory: Path, runs: int) -> list[Row]:
    """Write ``count`` events once; then look for a number of one caller among them, and for none's."""
    begin = time.perf_counter()
    with ArchiveWriter(directory, ArchiveSettings.model_validate({"size": "100GiB"})) as writer:
        pending: list[Event] = []
        number = b""
        for given, event in enumerate(rounds.events(count)):
            if given == count // 2:
                number = rounds.last_number
            pending.append(event)
            if len(pending) == COMMIT_EVENTS:
                writer.write(pending)
                writer.commit()
                pending = []
        writer.write(pending)
    built = time.perf_counter() - begin
    reader = ArchiveReader(directory)
    found = reader.stats()
    check(found.events == count, f"archive: {found.events} of {count} events are there")
    caller, nobody = Term.number(number.decode()), Term.number("99999999999")

    def search(term: Term, *, cold: bool, events: range) -> Callable[[], float]:
        def timed() -> float:
            if cold:
                forget(directory)
            begin = time.perf_counter()
            hits = sum(1 for _ in reader.events(terms=[term]))
            spent = time.perf_counter() - begin
            check(hits in events, f"archive: {hits} events of {term.value}")
            return spent

        return timed

    some, none = range(1, 5_000), range(1)
    cases = {
        "from the disk": search(caller, cold=True, events=some),
        "from memory": search(caller, cold=False, events=some),
        "that is not there": search(nobody, cold=True, events=none),
    }
    outcomes = interleave(runs, *cases.values())
    rows = [
        Row(
            benchmark="archive",
            case=f"a number in {count:,} events, {name}",
            unit="s",
            runs=figures,
            aim=at_most(QUERY_LIMIT, of="ours"),
        )
        for name, figures in zip(cases, outcomes, strict=True)
    ]
    rows.append(
        Row(
            benchmark="archive",
            case=f"{count:,} events on the disk",
            unit="bytes/event",
            runs=[found.file_bytes / count],
            details={"segments": len(found.segments), "raw_bytes": found.raw_bytes, "seconds_to_build": round(built)},
        )
    )
    return rows


def forget(directory: Path) -> None:
    """Have the kernel drop what it holds of the files, so that they come from the disk."""
    for path in directory.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
