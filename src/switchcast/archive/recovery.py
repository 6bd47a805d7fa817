"""Whether an archive is whole, and what is done where it is not.

``check`` reads everything and changes nothing; it may be done while the archive is written. ``repair`` makes a new file
of each damaged segment with every block that is whole, and in place of what is missing a gap record that says how many
events that were. Numbers stay what they were. The damaged file is kept beside it as ``NAME.sqlite.damaged``.

A log whose tail is torn, as a crash of the machine leaves it, needs neither: SQLite goes by its checksums.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from switchcast._native import Event
from switchcast.archive import segment as files
from switchcast.archive.blocks import Damaged, decode
from switchcast.archive.filling import OpenBlock, insert_block
from switchcast.archive.salvage import Pages, Place, bodies_in, body_at, spans_in
from switchcast.archive.writing import lock
from switchcast.errors import EndpointUnavailable, SwitchcastError

__all__ = ["Checked", "Repaired", "check", "repair"]

_MOST_FAULTS: Final = 20
"""Faults of a segment that are told."""
_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a segment: events and blocks that are whole, and a sentence for each fault, 20 at most."""

    name: str
    events: int
    blocks: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a segment: events that are whole, events that are missing, and where the damaged file is."""

    name: str
    events: int
    missing: int
    kept: Path


def check(directory: str | Path) -> Iterator[Checked]:
    """Look at every segment, oldest first. Raises ``EndpointUnavailable`` or ``EndpointDenied``."""
    directory = Path(directory)
    with files.telling(directory):
        names = files.segments_in(directory)
        if not names and files.is_foreign(directory):
            raise EndpointUnavailable(f"{directory}: holds no archive, but other files")
    for name in names:
        yield _checked(files.segment_path(directory, name), name)


def repair(directory: str | Path, gap: Callable[[int], Event]) -> Iterator[Repaired]:
    """Make every damaged segment anew; ``gap`` makes the record that says how many events are missing.

    Nobody may write meanwhile. Raises ``EndpointUnavailable`` or ``EndpointDenied``.
    """
    directory = Path(directory)
    with files.telling(directory):
        files.segments_in(directory)  # or the lock would make a directory that is not there
    held = lock(directory, "stop that first")
    try:
        for checked in list(check(directory)):
            if checked.faults:
                with files.telling(directory):
                    yield _repaired(files.segment_path(directory, checked.name), checked.name, gap)
    finally:
        os.close(held)


def _checked(path: Path, name: str) -> Checked:
    faults: list[str] = []
    events = blocks = 0
    try:
        db = files.open_reading(path)
        if db is None:
            return Checked(name, 0, 0, ())
        with contextlib.closing(db):
            db.execute("BEGIN")
            for count, fault in _blocks(db):
                events += count
                blocks += 1
                if fault:
                    faults.append(fault)
            faults += [row[0] for row in db.execute(f"PRAGMA integrity_check({_MOST_FAULTS})") if row[0] != "ok"]
    except (sqlite3.DatabaseError, SwitchcastError) as error:
        faults.append(str(error))
    return Checked(name, events, blocks, tuple(dict.fromkeys(faults[:_MOST_FAULTS])))


def _blocks(db: sqlite3.Connection) -> Iterator[tuple[int, str]]:
    """Of every block how many events can be read, and what is wrong with it."""
    due = 0
    rows = db.execute("SELECT first, count, run, data FROM blocks LEFT JOIN bodies USING (first) ORDER BY first")
    for first, count, run, data in rows:
        fault = ""
        try:
            events = decode(data or b"")
        except Damaged as error:
            yield 0, f"events {first} to {first + count - 1} cannot be read: {error}"
        else:
            if first > due and not _accounts_for(events, first - due + 1):
                fault = f"events {due} to {first - 1} are missing"
            elif first < due:
                fault = f"events {first} to {due - 1} stand twice"
            elif len(events) != count:
                fault = f"the block of event {first} holds {len(events)} events instead of {count}"
            elif run is not None and run != first // files.RUN_EVENTS:
                fault = f"the block of event {first} is noted under the wrong run"
            yield len(events), fault
        due = first + count


def _accounts_for(events: list[Event], missing: int) -> bool:
    """Whether this is a repair's own record of so many events that are missing in front of it, itself among them."""
    return len(events) == 1 and events[0].get("Gap-Events") == str(missing)


def _repaired(path: Path, name: str, gap: Callable[[int], Event]) -> Repaired:
    made = path.with_name(path.name + ".new")
    for each in files.files_of(made):
        each.unlink()
    pages = Pages(path)
    with contextlib.closing(files.create(made)) as db:
        events, missing = _fill(db, name, pages, gap)
        db.execute("PRAGMA journal_mode = DELETE").fetchall()
    kept = _free_name(path.with_name(path.name + ".damaged"))
    for each in files.files_of(path):
        each.rename(kept.with_name(kept.name + each.name.removeprefix(path.name)))
    made.rename(path)
    files.sync_folder(path.parent)
    return Repaired(name, events, missing, kept)


def _fill(db: sqlite3.Connection, name: str, pages: Pages, gap: Callable[[int], Event]) -> tuple[int, int]:
    """Write what is whole in ``pages``; how many events that are, and how many are missing."""
    whole = _whole(pages)
    end = max((first + count for first, count in spans_in(pages)), default=0)
    written = missing = due = latest = 0
    db.execute("BEGIN")
    for first, place in [*sorted(whole.items()), (end, None)]:
        events = [] if place is None else decode(body_at(pages, place[1]))
        if first > due:  # the record has the number of the last one that is missing
            missing += first - due
            time = latest or (events[0].received if events else None) or 0
            _write(db, name, first - 1, [gap(first - due).with_origin(None, time)])
            due = first
        fresh = events[due - first :]
        if fresh:
            _write(db, name, due, fresh)
            written += len(fresh)
            due += len(fresh)
            latest = fresh[-1].received or 0
    db.execute("COMMIT")
    return written, missing


def _whole(pages: Pages) -> dict[int, tuple[int, Place]]:
    """Of each number the longest block that begins with it, and how many events it has."""
    whole: dict[int, tuple[int, Place]] = {}
    for first, place in bodies_in(pages):
        with contextlib.suppress(Damaged):
            found = len(decode(body_at(pages, place)))
            if found > whole.get(first, (0, place))[0]:
                whole[first] = found, place
    return whole


def _write(db: sqlite3.Connection, name: str, first: int, events: list[Event]) -> None:
    block = OpenBlock(first)
    for event in events:
        block.add(event, event.received or 0)
    insert_block(db, block.whole(name, _LEVEL))


def _free_name(path: Path) -> Path:
    """``path``, or the same with a number behind it where there is one already."""
    number = 1
    free = path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}{number}")
    return free
