"""The block that is being filled, and how it and its pieces go into a segment."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from switchcast._native import Event
from switchcast.archive.blocks import BLOCK_BYTES, BLOCK_EVENTS, encode, framed
from switchcast.archive.segment import RUN_EVENTS
from switchcast.archive.terms import hashes_of

__all__ = ["OpenBlock", "Row", "insert_block", "insert_piece"]


@dataclass(slots=True)
class Row:
    """A block, or a piece of one, as it goes to the disk; ``fresh`` of its events have not been there before."""

    segment: str
    first: int
    count: int
    begin: int
    end: int
    raw: int
    data: bytes
    fresh: int
    terms: list[int] | None = None


@dataclass(slots=True)
class OpenBlock:
    """The block that is being filled; ``written`` of its events stand on the disk, in pieces."""

    first: int
    frames: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    raw: int = 0
    written: int = 0

    @property
    def full(self) -> bool:
        """Whether nothing more belongs into it."""
        return len(self.frames) >= BLOCK_EVENTS or self.raw >= BLOCK_BYTES

    @property
    def fresh(self) -> int:
        """Events that do not stand on the disk yet."""
        return len(self.frames) - self.written

    def add(self, event: Event, time: int) -> None:
        """One more event, which came at ``time`` (ns since 1970)."""
        frame = framed(event, time)
        self.frames.append(frame)
        self.events.append(event)
        self.times.append(time)
        self.raw += len(frame)

    def piece(self, segment: str, level: int) -> Row:
        """What does not stand on the disk yet."""
        return self._row(segment, level, self.written)

    def whole(self, segment: str, level: int) -> Row:
        """All of it, with its terms."""
        row = self._row(segment, level, 0)
        row.terms = hashes_of(self.events)
        return row

    def _row(self, segment: str, level: int, since: int) -> Row:
        times, frames = self.times[since:], self.frames[since:]
        raw = sum(map(len, frames))
        data = encode(frames, level)
        return Row(segment, self.first + since, len(frames), min(times), max(times), raw, data, self.fresh)


def insert_block(db: sqlite3.Connection, row: Row) -> None:
    """A whole block in place of its pieces, with its terms."""
    run, at = divmod(row.first, RUN_EVENTS)
    span = row.first, row.first + row.count
    db.execute("DELETE FROM bodies WHERE first >= ? AND first < ?", span)
    db.execute("DELETE FROM blocks WHERE first >= ? AND first < ?", span)
    _insert(db, row, run)
    db.executemany("INSERT OR IGNORE INTO terms VALUES (?, ?, ?)", [(run, term, at) for term in row.terms or ()])


def insert_piece(db: sqlite3.Connection, row: Row) -> None:
    """A part of a block that is not full yet."""
    _insert(db, row, None)


def _insert(db: sqlite3.Connection, row: Row, run: int | None) -> None:
    """OR REPLACE, as OR IGNORE: a commit that told of an error may have come about all the same."""
    values = row.first, row.count, row.begin, row.end, row.raw, run
    db.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, ?, ?)", values)
    db.execute("INSERT OR REPLACE INTO bodies VALUES (?, ?)", (row.first, row.data))
