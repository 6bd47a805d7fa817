"""One segment of an archive: a SQLite file with the events of a day, or of a part of one where there were many.

::

    DIR/2026-11-23-0000.sqlite          the first of that day (UTC, by arrival), DIR/2026-11-23-0001.sqlite the second
    DIR/archive.lock                    locked by whoever writes, with its process id

    blocks (first, count, begin, end, raw, run)      one row a block: its first event's number, how many, the earliest
                                                     and latest time in ns, bytes of their text; run: see below
    bodies (first, data)                             the events themselves (``blocks.py``)
    terms  (run, term, at)                           in which blocks a term occurs (``terms.py``)

Events of a segment are numbered from 0 on, and a number never changes its event: ``2026-11-23-0000/000000000042`` is a
position for good. Segments are never numbered backwards, whatever the clock does, so that positions are in the order in
which events were written.

A *run* is the blocks that begin within 16,384 numbers; ``at`` is the first number of a block within its run. Terms of a
new block go to the end of the table, where a table ordered by term alone would have each of them on a page of its own;
a search looks into each run once, 611 of them for ten million events. A block without a run is a *piece*: it holds
what there was at a commit, its terms are not noted yet, and it is replaced by the whole block in one transaction when
that is full, each event keeping its number.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from switchcast.errors import EndpointDenied, EndpointUnavailable

__all__ = [
    "APPLICATION",
    "ENDING",
    "LOCK",
    "RUN_EVENTS",
    "SCHEMA",
    "code_of",
    "create",
    "day_of",
    "end_of",
    "file_bytes",
    "files_of",
    "is_damage",
    "is_foreign",
    "is_sealed",
    "name_of",
    "open_reading",
    "open_writing",
    "parse_position",
    "position_of",
    "seal",
    "segment_path",
    "segments_in",
    "sync_folder",
    "telling",
]

ENDING: Final = ".sqlite"
LOCK: Final = "archive.lock"
APPLICATION: Final = 0x7377_6176
"""``swav`` in the file's header: whose it is."""
SCHEMA: Final = 1
RUN_EVENTS: Final = 16_384
BUSY_SECONDS: Final = 5.0
"""How long a reader waits for the moment in which a segment is closed."""
_DAY_NS: Final = 86_400 * 10**9
_NAME: Final = re.compile(r"\d{4}-\d{2}-\d{2}-\d{4}")
_POSITION: Final = re.compile(r"(\d{4}-\d{2}-\d{2}-\d{4})/(\d{12})")
_BESIDE: Final = ("-wal", "-shm", "-journal")

_TABLES: Final = f"""
BEGIN;
CREATE TABLE blocks (
    first INTEGER PRIMARY KEY, count INTEGER NOT NULL, begin INTEGER NOT NULL, end INTEGER NOT NULL,
    raw INTEGER NOT NULL, run INTEGER);
CREATE TABLE bodies (first INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE terms (
    run INTEGER NOT NULL, term INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (run, term, at)) WITHOUT ROWID;
CREATE INDEX pieces ON blocks (first) WHERE run IS NULL;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {SCHEMA};
COMMIT;
"""


def name_of(day: str, number: int) -> str:
    """``2026-11-23-0000``."""
    return f"{day}-{number:04}"


def day_of(time: int) -> str:
    """The day of ``time`` (ns since 1970), in UTC."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=time // _DAY_NS)).isoformat()


def end_of(day: str) -> int:
    """The time (ns since 1970) at which ``day`` is over."""
    return ((dt.date.fromisoformat(day) - dt.date(1970, 1, 1)).days + 1) * _DAY_NS


def position_of(segment: str, number: int) -> str:
    """The position of an event: text that sorts as events were written."""
    return f"{segment}/{number:012}"


def parse_position(text: str) -> tuple[str, int]:
    """Segment and number. Raises ``ValueError``."""
    found = _POSITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no position in an archive, such as 2026-11-23-0000/000000000042")
    return found[1], int(found[2])


def segment_path(directory: Path, segment: str) -> Path:
    """Where a segment's file is."""
    return directory / (segment + ENDING)


def segments_in(directory: Path) -> list[str]:
    """The names of the segments, oldest first. Raises ``OSError``."""
    return sorted(
        name.removesuffix(ENDING)
        for name in os.listdir(directory)
        if name.endswith(ENDING) and _NAME.fullmatch(name.removesuffix(ENDING))
    )


def is_foreign(directory: Path) -> bool:
    """Whether there is something in the directory, and nothing of an archive."""
    names = [name for name in os.listdir(directory) if name != "lost+found"]
    return bool(names) and LOCK not in names and not segments_in(directory)


def files_of(path: Path) -> list[Path]:
    """A segment's file, and those that SQLite has beside it now."""
    return [each for each in (path, *(path.with_name(path.name + end) for end in _BESIDE)) if each.exists()]


def file_bytes(path: Path) -> int:
    """Bytes that a segment takes up on the disk."""
    total = 0
    for each in files_of(path):
        with contextlib.suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


@contextlib.contextmanager
def telling(path: Path) -> Iterator[None]:
    """Make an error of SQLite or of the system in here one of ours about ``path``, with it as its cause.

    ``EndpointDenied`` where permission is missing, else ``EndpointUnavailable``.
    """
    try:
        yield
    except PermissionError as error:
        raise EndpointDenied(f"{path}: permission denied; this runs as user {os.geteuid()}") from error
    except FileNotFoundError as error:
        raise EndpointUnavailable(f"{path}: no such directory") from error
    except OSError as error:
        raise EndpointUnavailable(f"{path}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        code = code_of(error)
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN} and not _writable(path):
            raise EndpointDenied(f"{path}: permission denied; this runs as user {os.geteuid()}") from error
        if is_damage(error):
            folder = path.parent if path.name.endswith(ENDING) else path
            mend = f"stop what writes to it, then: switchcast archive repair {folder}"
            raise EndpointUnavailable(f"{path}: damaged: {error}; {mend}") from error
        raise EndpointUnavailable(f"{path}: {error}") from error


def code_of(error: BaseException | None) -> int:
    """SQLite's primary code of an error; 0 where there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def is_damage(error: BaseException | None) -> bool:
    """Whether it says that a file is not what it was."""
    return code_of(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _writable(path: Path) -> bool:
    """By the user that SQLite acts as, where a program has two."""
    beside = os.access(path.parent, os.W_OK | os.X_OK, effective_ids=True)
    return beside and os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def create(path: Path) -> sqlite3.Connection:
    """A new segment, open for writing. Raises ``sqlite3.Error`` and ``OSError``."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640))
    db = open_writing(path)
    sync_folder(path.parent)
    return db


def open_writing(path: Path) -> sqlite3.Connection:
    """A segment open for writing; its tables are made where there are none. Raises ``sqlite3.Error``."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            db.executescript(_TABLES)
        _check_kind(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA secure_delete = OFF")  # what a whole block replaces, it holds itself
    except BaseException:
        db.close()
        raise
    return db


def open_reading(path: Path) -> sqlite3.Connection | None:
    """A segment open for reading, ``None`` where it is not there or holds nothing yet. Raises ``sqlite3.Error``."""
    if not path.exists():
        return None
    try:
        return _opened(path, "mode=ro")
    except sqlite3.OperationalError as error:
        if not path.exists():  # retention was faster
            return None
        logged = path.with_name(path.name + "-wal").exists()
        if logged or code_of(error) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise
        return _opened(path, "mode=ro&immutable=1")  # where SQLite may not write even what readers share


def _opened(path: Path, options: str) -> sqlite3.Connection | None:
    address = f"{path.absolute().as_uri()}?{options}"
    db = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            db.close()
            return None
        _check_kind(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check_kind(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA application_id").fetchone()[0], db.execute("PRAGMA user_version").fetchone()[0]
    if found[0] != APPLICATION:
        raise EndpointUnavailable(f"{path}: is no segment of an archive, but some other database; move it away")
    if found[1] > SCHEMA:
        raise EndpointUnavailable(
            f"{path}: was written by a later version of switchcast (its format is {found[1]}, ours {SCHEMA})"
        )


def is_sealed(path: Path) -> bool:
    """Whether a segment is one plain file, without a log. Raises ``OSError``."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x01\x01"  # what SQLite calls legacy, for reading and for writing


def seal(path: Path) -> bool:
    """Make a segment that is not written to any more one plain file; not while somebody reads in it.

    Whether it is one now. Raises ``sqlite3.Error`` for other reasons than that.
    """
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as error:
        if code_of(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
        return False
    finally:
        db.close()
    return True


def sync_folder(directory: Path) -> None:
    """Make new and removed names in a folder last, should the machine stop."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
