"""Goes along an archive from any place in it, a block at a time, and finds the place of an event that is known.

For those who follow an archive for long, at a pace of their own: nothing is held open between two blocks, so that a
reader who takes an hour for one keeps neither a log from being cut nor a segment from being removed. A *mark* is where
one stands: the segment and the number of the last event that is behind. The events between two blocks that retention
has removed meanwhile are passed over without a word; whoever has to know counts.
"""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from switchcast._native import Event
from switchcast.archive import segment as files
from switchcast.archive.blocks import Damaged, decode

__all__ = ["BEGINNING", "Followed", "Following", "Mark", "Stretch", "check_of", "mark_of", "position_at"]

Mark = tuple[str, int]
"""A segment, and the number in it of the last event that is behind; -1 where that is none of this segment."""

BEGINNING: Final[Mark] = ("", -1)
"""In front of everything."""

_SKEW_NS: Final = 10 * 10**9
"""How far the time that an event is looked for by may be from that at which it was written, where its source does not
say when it was received: both are then taken on the way, one behind a queue."""
_MOST_LOOKED_INTO: Final = 8
"""Blocks that are read to find an event, those nearest in time: 2,048 events."""
_CACHED_BLOCKS: Final = 8
"""Blocks that are kept decoded, 5 MB of recorded events: clients that come back together look for the same events, and
read the same ones."""
_NO_NUMBER: Final = 2**62
_LISTED: Final = "SELECT first, count FROM blocks"

_Block = tuple[str, int, int, bytes]
"""A segment, the number of the first event, how many there are, and the bytes that they are in."""


def check_of(event: Event) -> int:
    """32 bits of the event's text: with its time, what one event is known by among others."""
    return zlib.crc32(event.to_plain())


def mark_of(position: str) -> Mark:
    """The mark behind a position. Raises ``ValueError``."""
    return files.parse_position(position)


def position_at(mark: Mark) -> str:
    """The position of the event that ``mark`` is behind."""
    return files.position_of(*mark)


@dataclass(frozen=True, slots=True)
class Followed:
    """An event, when it came (ns since 1970), its ``check_of``, and the mark behind it."""

    event: Event
    time: int
    check: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events that come next, and where one stands behind them; none where the block that has them is damaged."""

    events: tuple[Followed, ...]
    end: Mark


class Following:
    """The archive in ``directory``; used by one thread at a time.

    Every method raises ``EndpointUnavailable`` or ``EndpointDenied`` for what it runs into.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._decoded: OrderedDict[tuple[str, int, int], tuple[Followed, ...]] = OrderedDict()

    def behind(self, mark: Mark) -> Stretch | None:
        """What comes next behind ``mark``, at most a block of it; ``None`` where nothing more has been committed."""
        found = self._next_block(mark)
        while found is not None and found[0] != mark[0]:
            # A later segment has events: whatever this one still lacked a moment ago has been committed before.
            again = self._next_block(mark)
            if again is None or again[:3] == found[:3]:
                break
            found = again
        if found is None:
            return None
        name, first, count, _ = found
        return Stretch(tuple(each for each in self._events(found) if each.mark > mark), (name, first + count - 1))

    def find(self, time: int, check: int, before: Mark | None = None) -> Mark | None:
        """The mark behind the event that came at about ``time`` and has this check, the nearest in time.

        With ``before`` only among those in front of that mark. Where a clock has jumped, or the disk was full, an event
        may have been written long after it came; so those that were written next after ``time`` are looked at too.
        """
        earliest = files.day_of(max(time - _SKEW_NS, 0))
        for name in self._segments():
            if name[:10] < earliest or (before is not None and name > before[0]):
                continue
            with self._opened(name) as db:
                for block in _nearest(db, name, time):
                    for each in reversed(self._events(block)):
                        near = each.check == check and abs(each.time - time) <= _SKEW_NS
                        if near and (before is None or each.mark < before):
                            return each.mark
        return self._find_behind(self.last_until(time, before), check, before)

    def _find_behind(self, mark: Mark, check: int, before: Mark | None) -> Mark | None:
        for _ in range(_MOST_LOOKED_INTO):
            stretch = self.behind(mark)
            if stretch is None or (before is not None and mark >= before):
                break
            for each in stretch.events:
                if each.check == check and (before is None or each.mark < before):
                    return each.mark
            mark = stretch.end
        return None

    def last_until(self, time: int, before: Mark | None = None) -> Mark:
        """The mark behind the last event that had come by ``time``, of those in front of ``before``."""
        for name in reversed(self._segments()):
            if before is not None and name > before[0]:
                continue
            limit = before[1] if before is not None and name == before[0] else _NO_NUMBER
            with self._opened(name) as db:
                for block in _blocks(db, name, "begin <= ? AND first < ? ORDER BY first DESC", time, limit):
                    for each in reversed(self._events(block)):
                        if each.time <= time and each.mark[1] < limit:
                            return each.mark
        return BEGINNING

    def _segments(self) -> list[str]:
        with files.telling(self.directory):
            return files.segments_in(self.directory)

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[sqlite3.Connection | None]:
        """One segment as it is at one moment; ``None`` where it is gone or empty."""
        path = files.segment_path(self.directory, name)
        with files.telling(path):
            db = files.open_reading(path)
            if db is None:
                yield None
                return
            with contextlib.closing(db):
                db.execute("BEGIN")
                yield db

    def _next_block(self, mark: Mark) -> _Block | None:
        """The first block that has something behind ``mark``."""
        for name in self._segments():
            if name < mark[0]:
                continue
            number = mark[1] if name == mark[0] else -1
            with self._opened(name) as db:
                # The one that the next number stands in, if any does, else the one behind it.
                for where, value in (
                    ("first <= ? ORDER BY first DESC", number + 1),
                    ("first > ? ORDER BY first", number),
                ):
                    block = next(_blocks(db, name, f"{where} LIMIT 1", value), None)
                    if block is not None and block[1] + block[2] > number + 1:
                        return block
        return None

    def _events(self, block: _Block) -> tuple[Followed, ...]:
        """What is in a block; nothing where it is damaged, which ``archive check`` tells of."""
        name, first, count, data = block
        key = name, first, count
        found = self._decoded.get(key)
        if found is None:
            try:
                events = decode(data)
            except Damaged:
                return ()
            found = tuple(
                Followed(event, event.received or 0, check_of(event), (name, number))
                for number, event in enumerate(events, first)
            )
            self._decoded[key] = found
            if len(self._decoded) > _CACHED_BLOCKS:
                self._decoded.popitem(last=False)
        else:
            self._decoded.move_to_end(key)
        return found


def _nearest(db: sqlite3.Connection | None, name: str, time: int) -> Iterator[_Block]:
    """The blocks that an event of about this time may be in, the nearest first, the later of two that are as near."""
    where = "begin <= ? AND end >= ? ORDER BY max(begin - ?, ? - end, 0), first DESC LIMIT ?"
    return _blocks(db, name, where, time + _SKEW_NS, time - _SKEW_NS, time, time, _MOST_LOOKED_INTO)


def _blocks(db: sqlite3.Connection | None, name: str, where: str, *values: int) -> Iterator[_Block]:
    """Blocks of a segment, each read when it is asked for."""
    if db is None:
        return
    for first, count in db.execute(f"{_LISTED} WHERE {where}", values):
        row = db.execute("SELECT data FROM bodies WHERE first = ?", (first,)).fetchone()
        yield name, first, count, row[0] if row else b""
