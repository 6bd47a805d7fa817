"""The journal's file: SQLite, three tables, and what is done about one that cannot be used.

========== ===========================================================================================================
``pending`` firings of at-least-once rules that are not done yet; replayed at the next start, in this order
``acted``  marks of firings that at-most-once rules have taken up, so that an event that comes again is known
``dead``   what failed for good, kept to be looked at and replayed
========== ===========================================================================================================

Write-ahead log with ``synchronous=FULL``: what is committed outlives a crash of the host, and a commit is one
``fsync``. The lock is exclusive: two nodes on one journal would each act on the other's firings. Texts that an event
brought are stored as bytes, for SQLite takes no lone surrogates.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from switchcast._native import Event
from switchcast.errors import EndpointDenied, EndpointUnavailable, RejectedDatagram
from switchcast.rules.job import Job

__all__ = ["ACTED_AGE", "ACTED_LIMIT", "DEAD_AGE", "DEAD_LIMIT", "JOURNAL_BYTES", "SCHEMA", "JournalFile"]

SCHEMA: Final = 1
APPLICATION: Final = 0x7377_6361
"""``swca`` in the file's header: whose it is."""
JOURNAL_BYTES: Final = 1 << 30
"""Size that the file may grow to: a dead server and a busy rule must not fill the disk that the switch lives on."""
DEAD_LIMIT: Final = 10_000
DEAD_AGE: Final = 30 * 86_400.0
"""Dead letters that are kept, and for how many seconds; older ones go first."""
ACTED_LIMIT: Final = 250_000
ACTED_AGE: Final = 86_400.0
"""Marks that are kept, and for how many seconds: how far back an event that comes again is known."""
_TRIM_EVERY: Final = 1_000

_TABLES: Final = """
CREATE TABLE pending (
    row INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB UNIQUE, rule TEXT NOT NULL, key BLOB NOT NULL,
    identity TEXT NOT NULL, at REAL NOT NULL, source TEXT, received INTEGER, event BLOB NOT NULL);
CREATE TABLE acted (row INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, at REAL NOT NULL);
CREATE TABLE dead (
    row INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB, rule TEXT NOT NULL, key BLOB NOT NULL, identity TEXT NOT NULL,
    at REAL NOT NULL, source TEXT, received INTEGER, event BLOB NOT NULL, died REAL NOT NULL, why BLOB NOT NULL);
CREATE INDEX dead_died ON dead (died);
"""
_FIELDS: Final = "digest, rule, key, identity, at, source, received, event"

log = structlog.get_logger("switchcast")


class JournalFile:
    """The file, used by one thread. Every method raises ``sqlite3.Error`` when it cannot be written."""

    def __init__(self, path: Path, *, limit: int = JOURNAL_BYTES, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self.limit = limit
        self.set_aside: Path | None = None
        """Where the file went that stood here and could not be used."""
        self.expired = 0
        self._now = now
        self._marks = 0
        self._db = self._open()
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk: told when something is to be written
            self._trim_marks()
            self._trim_dead()

    def close(self) -> None:
        self._db.close()

    def transaction(self, steps: Callable[[], None]) -> None:
        """Do all of ``steps`` or, when they raise, none."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            steps()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite has rolled back already where the disk is full
                self._db.execute("ROLLBACK")
            raise

    def keep(self, job: Job) -> bool:
        """Write down a job that is to be done; ``False`` when it stands there already."""
        added = self._db.execute(
            f"INSERT OR IGNORE INTO pending ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            _values(job),
        )
        if added.rowcount:
            job.row = added.lastrowid
        return bool(added.rowcount)

    def mark(self, job: Job) -> bool:
        """Note that a job is taken up; ``False`` when one for the same event and rule was before."""
        digest = job.digest(job.event.to_plain())
        if digest is None:
            return True
        added = self._db.execute("INSERT OR IGNORE INTO acted (digest, at) VALUES (?, ?)", (digest, self._now()))
        self._marks += 1
        if self._marks % _TRIM_EVERY == 0:
            self._trim_marks()
        return bool(added.rowcount)

    def settle(self, rows: Sequence[int]) -> None:
        """Strike out what is done."""
        self._db.executemany("DELETE FROM pending WHERE row = ?", [(row,) for row in rows])

    def bury(self, job: Job, why: str) -> None:
        """Move a job to the dead letters."""
        self._db.execute(
            f"INSERT INTO dead ({_FIELDS}, died, why) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (*_values(job), self._now(), _bytes(why)),
        )
        if job.row is not None:
            self.settle([job.row])
        self._trim_dead()

    def pending(self) -> list[Job]:
        """What a run before this one left undone, oldest first. What cannot be read any more becomes a dead letter."""
        jobs = []
        rows = self._db.execute(f"SELECT row, {_FIELDS} FROM pending ORDER BY row").fetchall()  # noqa: S608
        for row, *fields in rows:
            try:
                jobs.append(_job(fields, row))
            except RejectedDatagram as error:
                self.transaction(lambda row=row, why=str(error): self._bury_unread(row, why))  # type: ignore[misc]
        return jobs

    def dead(self, limit: int) -> list[dict[str, Any]]:
        """The newest dead letters, without the events themselves."""
        rows = self._db.execute(
            "SELECT row, rule, key, identity, at, died, why FROM dead ORDER BY row DESC LIMIT ?", (limit,)
        )
        return [
            {
                "id": row,
                "rule": rule,
                "key": _text(key),
                "event_id": f"{identity}/{rule}",
                "at": at,
                "died": died,
                "why": _text(why),
            }
            for row, rule, key, identity, at, died, why in rows
        ]

    def dead_jobs(self, rows: Sequence[int] | None) -> Iterator[tuple[int, Job]]:
        """The dead letters of those numbers, or all, oldest first."""
        found = self._db.execute(f"SELECT row, {_FIELDS} FROM dead ORDER BY row").fetchall()  # noqa: S608
        wanted = None if rows is None else set(rows)
        for row, *fields in found:
            if wanted is None or row in wanted:
                try:
                    yield row, _job(fields)
                except RejectedDatagram:
                    continue  # it stays where it is, to be looked at

    def revive(self, row: int, job: Job, *, keep: bool) -> None:
        """Take a dead letter out; ``keep`` puts it among the pending, at their end."""
        self._db.execute("DELETE FROM dead WHERE row = ?", (row,))
        if keep and not self.keep(job):
            digest = job.digest(job.event.to_plain())
            job.row = self._db.execute("SELECT row FROM pending WHERE digest = ?", (digest,)).fetchone()[0]

    def _bury_unread(self, row: int, why: str) -> None:
        self._db.execute(
            f"INSERT INTO dead ({_FIELDS}, died, why) SELECT {_FIELDS}, ?, ? FROM pending WHERE row = ?",  # noqa: S608
            (self._now(), _bytes(f"it cannot be read again: {why}"), row),
        )
        self.settle([row])

    def _trim_marks(self) -> None:
        self._db.execute(
            "DELETE FROM acted WHERE at < ? OR row <= (SELECT max(row) FROM acted) - ?",
            (self._now() - ACTED_AGE, ACTED_LIMIT),
        )

    def _trim_dead(self) -> None:
        self.expired += self._db.execute(
            "DELETE FROM dead WHERE died < ? OR row < (SELECT row FROM dead ORDER BY row DESC LIMIT 1 OFFSET ?)",
            (self._now() - DEAD_AGE, DEAD_LIMIT - 1),
        ).rowcount

    def _open(self) -> sqlite3.Connection:
        """The journal of before, or a new one where there is none or none that can be used."""
        self._make_place()
        try:
            return self._connect()
        except _Unusable as error:
            why = error
        self.set_aside = self._move_aside(why.kind)
        log.error("journal_set_aside", journal=str(self.path), moved_to=str(self.set_aside), error=str(why))
        try:
            return self._connect()
        except _Unusable as error:
            raise EndpointUnavailable(f"{self.path}: a new journal cannot be made: {error}") from None

    def _make_place(self) -> None:
        """The file, readable by us alone: events hold numbers and names."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except PermissionError as error:
            raise EndpointDenied(
                f"{error.filename}: the rules' journal cannot be written here; set state_dir under [node] to a "
                "directory that this user owns"
            ) from None
        except OSError as error:
            why = "its directory is a file" if isinstance(error, FileExistsError) else error.strerror
            raise EndpointUnavailable(
                f"{self.path}: the rules' journal cannot be opened: {why}; set state_dir under [node]"
            ) from None

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, timeout=0.5)
        try:
            self._prepare(db)
        except sqlite3.OperationalError as error:
            db.close()
            if "locked" in str(error):
                raise EndpointUnavailable(
                    f"{self.path}: another node uses this journal; stop it, or set another state_dir under [node]"
                ) from None
            raise EndpointUnavailable(f"{self.path}: the rules' journal cannot be opened: {error}") from None
        except sqlite3.DatabaseError as error:
            db.close()
            raise _Unusable("corrupt", f"it is damaged, or no journal at all: {error}") from None
        except BaseException:
            db.close()
            raise
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Look before anything is written: what is not ours is to stay as it is."""
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        schema = db.execute("PRAGMA user_version").fetchone()[0]
        application = db.execute("PRAGMA application_id").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables or schema:
            self._check(db, application, schema)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 16777216")
        page = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {max(self.limit // page, 1)}")
        if not tables:
            db.executescript(
                f"BEGIN EXCLUSIVE; {_TABLES} PRAGMA application_id = {APPLICATION}; "
                f"PRAGMA user_version = {SCHEMA}; COMMIT;"
            )

    def _check(self, db: sqlite3.Connection, application: int, schema: int) -> None:
        if application != APPLICATION:
            raise _Unusable("foreign", "it is a database, but not a journal of ours")
        if schema != SCHEMA:
            raise _Unusable("newer", f"it is of version {schema}, and this switchcast writes version {SCHEMA}")
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _Unusable("corrupt", f"it is damaged: {found}")

    def _move_aside(self, kind: str) -> Path:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))
        for number in range(1000):
            there = self.path.with_name(f"{self.path.name}.{kind}-{stamp}" + (f"-{number}" if number else ""))
            if not there.exists():
                break
        else:
            raise EndpointUnavailable(f"{self.path}: there are too many journals set aside beside it; move them away")
        for ending in ("-wal", "-shm", ""):  # what has not been written into the file yet goes with it
            beside = self.path.with_name(self.path.name + ending)
            if beside.exists():
                beside.rename(there.with_name(there.name + ending))
        return there


class _Unusable(Exception):
    """A file that is to be set aside, and what to call it there."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def _values(job: Job) -> tuple[object, ...]:
    event, plain = job.event, job.event.to_plain()
    return (
        job.digest(plain),
        job.rule,
        _bytes(job.key),
        job.identity,
        job.at,
        event.source,
        event.received,
        plain,
    )


def _job(fields: Sequence[Any], row: int | None = None) -> Job:
    """Raises ``RejectedDatagram`` for an event that is none any more."""
    _digest, rule, key, identity, at, source, received, plain = fields
    event = Event.from_plain(plain, source, received)
    return Job(rule, _text(key), event, identity, at, row)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
