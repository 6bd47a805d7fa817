"""Reads an archive, also while it is written, from any number of threads and processes.

A reader takes one look at each segment: what had been committed at that moment it sees, in the order in which it was
written (``newest_first``: backwards). Whole blocks never change, and the pieces of the block that is being filled are
taken along with the look, so that no reader holds a writer up, nor keeps its log from being cut.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from switchcast._native import Event, Matcher
from switchcast.archive import segment as files
from switchcast.archive.blocks import Damaged, decode
from switchcast.archive.terms import Term, TermFilter
from switchcast.errors import EndpointUnavailable, UsageError

__all__ = ["ArchiveReader", "Block", "SegmentStats", "Stats", "Stored"]

_LISTED: Final = "SELECT first, count, begin, end, raw, run FROM blocks"
_RUNS: Final = """
WITH RECURSIVE runs (run) AS (SELECT 0 UNION ALL SELECT run + 1 FROM runs WHERE run < ?)
SELECT DISTINCT terms.run * {size} + terms.at FROM runs CROSS JOIN terms ON terms.run = runs.run
WHERE terms.term IN ({marks})
"""

log = structlog.get_logger("switchcast")


@dataclass(frozen=True, slots=True)
class Stored:
    """An event of the archive: when it came (ns since 1970 UTC), and its position, to resume behind."""

    event: Event
    time: int
    position: str


@dataclass(frozen=True, slots=True)
class Block:
    """Events that stand together: the number of the first, how many, the earliest and latest time (ns), their bytes."""

    segment: str
    first: int
    count: int
    begin: int
    end: int
    raw_bytes: int
    data: bytes = field(repr=False)

    def events(self) -> list[Event]:
        """The events. Raises ``Damaged``."""
        return decode(self.data)

    def stored(self) -> list[Stored]:
        """The events, each with its time and its position. Raises ``Damaged``."""
        head = self.segment
        return [
            Stored(event, event.received or 0, files.position_of(head, number))
            for number, event in enumerate(self.events(), self.first)
        ]


@dataclass(frozen=True, slots=True)
class SegmentStats:
    """One segment: ``raw_bytes`` is what its events have as text, ``file_bytes`` what it takes on the disk.

    ``damaged`` says why nothing is known of it.
    """

    name: str
    file_bytes: int
    events: int = 0
    blocks: int = 0
    raw_bytes: int = 0
    begin: int | None = None
    end: int | None = None
    damaged: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """An archive, segment by segment, oldest first."""

    directory: str
    segments: tuple[SegmentStats, ...]

    @property
    def events(self) -> int:
        """How many there are."""
        return sum(each.events for each in self.segments)

    @property
    def raw_bytes(self) -> int:
        """Bytes of the events' text."""
        return sum(each.raw_bytes for each in self.segments)

    @property
    def file_bytes(self) -> int:
        """Bytes on the disk."""
        return sum(each.file_bytes for each in self.segments)

    @property
    def begin(self) -> int | None:
        """The earliest time (ns)."""
        return min((each.begin for each in self.segments if each.begin is not None), default=None)

    @property
    def end(self) -> int | None:
        """The latest time (ns)."""
        return max((each.end for each in self.segments if each.end is not None), default=None)


class ArchiveReader:
    """The archive in ``directory``. It holds nothing open between calls, so one serves any number of threads.

    ``damaged`` counts blocks that could not be read, which are passed over. Every method raises ``EndpointUnavailable``
    or ``EndpointDenied`` for what it runs into.
    """

    def __init__(self, directory: str | Path) -> None:
        """Raises ``EndpointUnavailable`` where there is no archive."""
        self.directory = Path(directory)
        self.damaged = 0
        with files.telling(self.directory):
            if files.is_foreign(self.directory):
                raise EndpointUnavailable(f"{self.directory}: holds no archive, but other files")

    def segments(self) -> list[str]:
        """The names of the segments, oldest first."""
        with files.telling(self.directory):
            return files.segments_in(self.directory)

    def events(
        self,
        since: int | None = None,
        until: int | None = None,
        terms: Iterable[Term] = (),
        matcher: Matcher | None = None,
        *,
        every: Iterable[Term] = (),
        newest_first: bool = False,
        after: str | None = None,
        passing: Callable[[Block], object] | None = None,
    ) -> Generator[Stored, None, None]:
        """Events from ``since`` up to before ``until`` (ns since 1970 UTC), in the order in which they were written.

        Of ``terms`` an event has one at least, if there are any, of ``every`` all; ``matcher`` chooses among those.
        ``after``: only what stands behind that position, or with ``newest_first`` in front of it. ``passing`` is called
        with each block before it is looked into, and may raise what ends the search. Raises ``UsageError`` for what is
        no position.
        """
        chosen = TermFilter(terms, every)
        start = _start(after)
        for block in self._blocks(since, until, chosen, newest_first=newest_first, start=start):
            if passing is not None:
                passing(block)
            try:
                stored = block.stored()
            except Damaged as error:
                self._tell(block, error)
                continue
            if since is not None and block.begin < since:
                stored = [each for each in stored if each.time >= since]
            if until is not None and block.end >= until:
                stored = [each for each in stored if each.time < until]
            if after is not None and start is not None and block.segment == start[0]:
                stored = [each for each in stored if (each.position < after if newest_first else each.position > after)]
            stored = _matching(stored, chosen, matcher)
            yield from reversed(stored) if newest_first else stored

    def blocks(
        self,
        since: int | None = None,
        until: int | None = None,
        terms: Iterable[Term] = (),
        *,
        every: Iterable[Term] = (),
        newest_first: bool = False,
        after: str | None = None,
    ) -> Iterator[Block]:
        """Blocks that may hold such events: each has others too."""
        return self._blocks(since, until, TermFilter(terms, every), newest_first=newest_first, start=_start(after))

    def newest(self) -> str | None:
        """The position of the last event; ``None`` where there is none."""
        for name in reversed(self.segments()):
            path = files.segment_path(self.directory, name)
            with files.telling(path), _opened(path) as db:
                last = db and db.execute("SELECT first + count - 1 FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
            if last:
                return files.position_of(name, last[0])
        return None

    def stats(self) -> Stats:
        """What there is, segment by segment."""
        return Stats(str(self.directory), tuple(self._stats_of(name) for name in self.segments()))

    def _stats_of(self, name: str) -> SegmentStats:
        path = files.segment_path(self.directory, name)
        size = files.file_bytes(path)
        try:
            with files.telling(path), _opened(path) as db:
                row = (
                    db
                    and db.execute("SELECT count(*), sum(count), sum(raw), min(begin), max(end) FROM blocks").fetchone()
                )
        except EndpointUnavailable as error:
            if not files.is_damage(error.__cause__):
                raise
            return SegmentStats(name, size, damaged=str(error))
        blocks, events, raw, begin, end = row or (0, 0, 0, None, None)
        return SegmentStats(name, size, events or 0, blocks, raw or 0, begin, end)

    def _blocks(
        self,
        since: int | None,
        until: int | None,
        chosen: TermFilter,
        *,
        newest_first: bool,
        start: tuple[str, int] | None,
    ) -> Iterator[Block]:
        names = self.segments()
        for name in reversed(names) if newest_first else names:
            number = None
            if start is not None:
                if name > start[0] if newest_first else name < start[0]:
                    continue
                number = start[1] if name == start[0] else None
            path = files.segment_path(self.directory, name)
            try:
                with files.telling(path), _opened(path) as db:
                    if db is not None:
                        where = _where(since, until, number, newest_first=newest_first)
                        yield from _blocks_of(db, name, where, chosen, newest_first=newest_first)
            except EndpointUnavailable as error:
                if not files.is_damage(error.__cause__):
                    raise
                self.damaged += 1
                log.warning("archive_segment_damaged", segment=name, directory=str(self.directory), error=str(error))

    def _tell(self, block: Block, error: Damaged) -> None:
        self.damaged += 1
        position = files.position_of(block.segment, block.first)
        log.warning("archive_block_damaged", position=position, events=block.count, error=str(error))


def _start(after: str | None) -> tuple[str, int] | None:
    if after is None:
        return None
    try:
        return files.parse_position(after)
    except ValueError as error:
        raise UsageError(str(error)) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection | None]:
    db = files.open_reading(path)
    try:
        yield db
    finally:
        if db is not None:
            db.close()


@dataclass(frozen=True, slots=True)
class _Where:
    """A condition on rows of ``blocks``."""

    text: str
    values: tuple[int, ...]


def _where(since: int | None, until: int | None, number: int | None, *, newest_first: bool) -> _Where:
    conditions, values = ["1"], []
    if since is not None:
        conditions.append("end >= ?")
        values.append(since)
    if until is not None:
        conditions.append("begin < ?")
        values.append(until)
    if number is not None:
        conditions.append("first < ?" if newest_first else "first + count > ?")
        values.append(number if newest_first else number + 1)
    return _Where(" AND ".join(conditions), tuple(values))


def _blocks_of(
    db: sqlite3.Connection, name: str, where: _Where, chosen: TermFilter, *, newest_first: bool
) -> Iterator[Block]:
    """The blocks of one segment, as it is at one moment."""
    db.execute("BEGIN")
    rows = db.execute(f"{_LISTED} WHERE {where.text} ORDER BY first", where.values).fetchall()
    pieces = {row[0]: _body(db, row[0]) for row in rows if row[-1] is None}
    wanted = _candidates(db, chosen)
    db.execute("COMMIT")
    for first, count, begin, end, raw, _ in reversed(rows) if newest_first else rows:
        if wanted is None or first in wanted or first in pieces:
            yield Block(name, first, count, begin, end, raw, pieces[first] if first in pieces else _body(db, first))


def _body(db: sqlite3.Connection, first: int) -> bytes:
    """What a block holds; nothing where a damaged segment has lost it."""
    row = db.execute("SELECT data FROM bodies WHERE first = ?", (first,)).fetchone()
    return row[0] if row else b""


def _candidates(db: sqlite3.Connection, chosen: TermFilter) -> set[int] | None:
    """The first numbers of the whole blocks in which the terms may be; ``None`` for all of them."""
    if not chosen:
        return None
    last = db.execute("SELECT max(first) FROM blocks").fetchone()[0] or 0
    groups: list[list[int]] = [[term.hash] for term in chosen.every]
    if chosen.terms:
        groups.append([term.hash for term in chosen.terms])
    found: set[int] | None = None
    for group in groups:
        held: set[int] = set()
        for at in range(0, len(group), 500):
            part = group[at : at + 500]
            query = _RUNS.format(size=files.RUN_EVENTS, marks=", ".join("?" * len(part)))
            held.update(row[0] for row in db.execute(query, (last // files.RUN_EVENTS, *part)))
        found = held if found is None else found & held
    return found


def _matching(stored: list[Stored], chosen: TermFilter, matcher: Matcher | None) -> list[Stored]:
    if chosen:
        stored = [each for each in stored if chosen.matches(each.event)]
    if matcher is not None and stored:
        matched = {id(event) for event in matcher.select([each.event for each in stored])}
        stored = [each for each in stored if id(each.event) in matched]
    return stored
