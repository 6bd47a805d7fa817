"""Writes an archive: events into blocks, blocks into segments, each commit on the disk when it returns.

::

    write(events) ─> open block ──── full: 256 events or 1 MiB ───> ready ──┐
                         │                                                  ├─ commit: one transaction, one fsync
                         └────────── what no commit has seen yet: a piece ──┘

What ``commit`` has returned for survives ``kill -9`` and, as SQLite's write-ahead log is used with
``synchronous=FULL``, a loss of power. A commit that fails has lost nothing: what it was about goes with the next one.

A block that is not full at a commit is written as far as it goes. Each further commit adds the next piece, and when
the block is full it takes the place of its pieces in one transaction; so an event is written twice at most, however
few come between two commits. A writer that begins again takes the pieces up that the last one has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from switchcast._native import Event
from switchcast.archive import segment as files
from switchcast.archive.blocks import Damaged, decode, time_of
from switchcast.archive.filling import OpenBlock, Row, insert_block, insert_piece
from switchcast.archive.retention import clear_left_over, latest_time, remove_old
from switchcast.archive.settings import ArchiveSettings
from switchcast.errors import EndpointUnavailable, SwitchcastError, UsageError

__all__ = ["ArchiveWriter", "Written", "lock"]

RETENTION_SECONDS: Final = 60.0
"""Between two looks for segments that are to be removed; a new segment is a reason for one too."""
_MOST_SEGMENTS: Final = 10_000

log = structlog.get_logger("switchcast")


@dataclass(frozen=True, slots=True)
class Written:
    """What is on the disk: where the last event stands, ``None`` before the first, and how many this commit added."""

    position: str | None
    events: int


class ArchiveWriter:
    """The one writer of the archive in ``directory``, which is made where it is not there.

    ``now`` tells nanoseconds since 1970. Used by one thread at a time. Raises ``EndpointDenied`` where permission is
    missing, ``EndpointUnavailable`` where another process writes there, and ``UsageError`` for a directory of other
    things.
    """

    def __init__(
        self,
        directory: str | Path,
        settings: ArchiveSettings | None = None,
        *,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self.directory = Path(directory)
        self.settings = settings or ArchiveSettings()
        self.removed = 0
        """Segments that retention has removed."""
        self._now = now
        self._ready: list[Row] = []
        self._open = OpenBlock(0)
        self._segment: str | None = None
        self._ends = "", -1
        self._full = False  # the segment is as large as it may get
        self._db: sqlite3.Connection | None = None
        self._db_segment = ""
        self._reported: str | None = None
        self._latest: dict[str, int] = {}
        self._look_at = time.monotonic() + RETENTION_SECONDS
        self._lock = lock(self.directory)
        try:
            self._take_up()
        except BaseException:
            self._let_go()
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pending(self) -> int:
        """Events written that no commit has returned for."""
        return sum(row.fresh for row in self._ready) + self._open.fresh

    @property
    def position(self) -> str | None:
        """Where the last event stands that a commit has returned for."""
        return self._reported

    def write(self, events: Iterable[Event]) -> None:
        """Take ``events`` in, in order; they are on the disk when the next ``commit`` has returned.

        They are held in memory until then: a caller commits every few thousand.
        """
        now = self._now()
        for event in events:
            time = time_of(event, now)
            if self._full or min(time, now) >= self._day_end:
                self._begin_segment(files.day_of(min(time, now)))
            self._open.add(event, time)
            if self._open.full:
                self._close_block()

    def commit(self) -> Written:
        """Put on the disk all that was written, and say where the last event stands.

        Raises ``EndpointUnavailable`` or ``EndpointDenied`` when that cannot be done, as on a full disk; then the next
        commit tries again.
        """
        before = self.pending
        try:
            with files.telling(self.directory):
                while self._ready and self._ready[0].segment != self._segment:
                    self._store([row for row in self._ready if row.segment == self._ready[0].segment], None)
                piece = None
                if self._segment is not None and self._open.fresh:
                    piece = self._open.piece(self._segment, self.settings.level)
                if self._ready or piece is not None:
                    self._store(self._ready, piece)
        except BaseException:
            self._let_go()  # after an error of the disk nothing is known of what SQLite holds in memory
            raise
        self._look_after(before)
        return Written(self._reported, before - self.pending)

    def close(self) -> None:
        """Commit what is left, and let go of the archive. Raises as ``commit``; idempotent."""
        if self._lock < 0:
            return
        try:
            self.commit()
            open_segment = self._db_segment if self._db is not None else None
            self._let_go()
            if open_segment is not None:
                self._seal(open_segment)
        finally:
            self._let_go()
            os.close(self._lock)
            self._lock = -1

    def _take_up(self) -> None:
        """Go on where the last writer has ended."""
        with files.telling(self.directory):
            clear_left_over(self.directory)
            segments = files.segments_in(self.directory)
            for name in segments[:-1]:
                self._seal(name)
            if segments:
                self._take_up_segment(segments[-1])
            self._retain()

    def _take_up_segment(self, name: str) -> None:
        path = files.segment_path(self.directory, name)
        try:
            db = files.open_writing(path)
        except (sqlite3.DatabaseError, SwitchcastError) as error:
            if not isinstance(error, SwitchcastError) and not files.is_damage(error):
                raise
            self._set_aside(name, error)
            return
        self._db, self._db_segment, self._segment = db, name, name
        try:
            end = db.execute("SELECT first + count FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
            self._open = OpenBlock(end[0] if end else 0)
            pieces = db.execute(
                "SELECT first, data FROM blocks JOIN bodies USING (first) WHERE run IS NULL ORDER BY first"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            if not files.is_damage(error):
                raise
            self._let_go()
            self._set_aside(name, error)
            return
        if self._open.first:
            self._reported = files.position_of(name, self._open.first - 1)
        self._reopen(pieces, self._open.first)

    def _reopen(self, pieces: list[tuple[int, bytes]], end: int) -> None:
        """Make the block anew that ``pieces``, which lead up to the number ``end``, are of."""
        block = None
        for first, data in pieces:
            try:
                events = decode(data)
            except Damaged:
                block = None  # stays as it is: readers pass it over, ``check`` tells of it
                continue
            if block is None or block.first + len(block.frames) != first:
                block = OpenBlock(first)
            for event in events:
                block.add(event, event.received or 0)
        if block is not None and block.first + len(block.frames) == end:
            block.written = len(block.frames)
            self._open = block
            if block.full:
                self._close_block()

    def _set_aside(self, name: str, error: Exception) -> None:
        """Begin a new segment behind one that cannot be written to any more."""
        self._tell(name, error)
        self._segment = name
        self._begin_segment(name[:10])

    def _tell(self, name: str, error: Exception) -> None:
        log.error("archive_segment_damaged", segment=name, directory=str(self.directory), error=str(error))

    @property
    def _day_end(self) -> int:
        """The time (ns) from which on events belong into another segment."""
        if self._segment is None:
            return -1
        if self._segment != self._ends[0]:
            self._ends = self._segment, files.end_of(self._segment[:10])
        return self._ends[1]

    def _begin_segment(self, day: str) -> None:
        """Go over to the next segment: of ``day``, unless the last one is of that day or a later one."""
        self._full = False
        if self._segment is None:
            self._segment = files.name_of(day, 0)
            return
        last_day, number = self._segment[:10], int(self._segment[11:])
        if day <= last_day and number + 1 >= _MOST_SEGMENTS:
            return
        if self._open.frames:
            self._close_block()
        self._segment = files.name_of(day, 0) if day > last_day else files.name_of(last_day, number + 1)
        self._open = OpenBlock(0)

    def _close_block(self) -> None:
        """The open block has all that it will have."""
        block = self._open
        if self._segment is None:
            raise AssertionError("a block without a segment")
        row = block.whole(self._segment, self.settings.level)
        self._ready.append(row)
        self._open = OpenBlock(block.first + row.count)

    def _store(self, rows: list[Row], piece: Row | None) -> None:
        """One transaction: full blocks of one segment, and the piece behind them."""
        last = piece or rows[-1]
        db = self._connection(last.segment)
        db.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                insert_block(db, row)
            if piece is not None:
                insert_piece(db, piece)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._ready = self._ready[len(rows) :]
        if piece is not None:
            self._open.written = len(self._open.frames)
        self._reported = files.position_of(last.segment, last.first + last.count - 1)

    def _connection(self, name: str) -> sqlite3.Connection:
        if self._db is not None and self._db_segment == name:
            return self._db
        former = self._db_segment if self._db is not None else None
        self._let_go()
        if former is not None and former != name:
            self._seal(former)
            self._retain()
        path = files.segment_path(self.directory, name)
        self._db = files.open_writing(path) if path.exists() else files.create(path)
        self._db_segment = name
        return self._db

    def _look_after(self, fresh: int) -> None:
        """What is due beside writing. Nothing that fails here has to do with what was written."""
        if self._db is None or not fresh:
            return
        with contextlib.suppress(sqlite3.Error):
            pages = self._db.execute("PRAGMA page_count").fetchone()[0]
            size = self._db.execute("PRAGMA page_size").fetchone()[0]
            self._full = pages * size >= self.settings.segment_bytes
            if time.monotonic() >= self._look_at:
                self._retain()

    def _retain(self) -> None:
        """Remove what is too old or too much. That it cannot be removed is no reason not to write."""
        self._look_at = time.monotonic() + RETENTION_SECONDS
        try:
            removed = remove_old(self.directory, self.settings.keep, self.settings.size, self._now(), self._latest)
        except OSError as error:
            log.warning("archive_not_shortened", directory=str(self.directory), error=str(error))
        else:
            self.removed += len(removed)

    def _seal(self, name: str) -> None:
        """Make a plain file of a segment that is done; one that somebody reads in stays as it is for now."""
        path = files.segment_path(self.directory, name)
        try:
            if not files.is_sealed(path):
                files.seal(path)
        except (sqlite3.Error, OSError) as error:
            if files.is_damage(error):  # anything else passes: the next start tries again
                self._tell(name, error)
        latest = latest_time(path)
        if latest is not None:
            self._latest[name] = latest

    def _let_go(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()


def lock(directory: Path, mend: str = "name another directory, or read it as a source") -> int:
    """The descriptor that keeps other writers away until it is closed; the directory is made where it is not there.

    Raises ``EndpointUnavailable``, ``EndpointDenied``, and ``UsageError`` for a directory of other things.
    """
    with files.telling(directory):
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        if files.is_foreign(directory):
            raise UsageError(f"{directory}: is no archive, but holds other files; name a directory of its own")
        lock = os.open(directory / files.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "?"
            os.close(lock)
            raise EndpointUnavailable(
                f"{directory}: process {other} writes to this archive already; an archive has one writer, so {mend}"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            pass  # a full disk; whose lock it is, is only for the message
    return lock
