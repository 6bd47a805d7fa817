"""What can still be read of a segment that SQLite refuses: every page of the file is looked at by itself.

A block's bytes are a row of ``bodies``: they begin on a leaf page and go on along a chain of overflow pages, and
neither needs the tree above them. zstd's checksum says whether what is found is whole. Pages that the write-ahead log
has newer are taken from there, up to its last commit. The format of both files is SQLite's own:
https://sqlite.org/fileformat2.html
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Pages", "Place", "bodies_in", "body_at", "spans_in"]

_LEAF: Final = 0x0D
_PAGE_BYTES: Final = 4_096
_HEADER_BYTES: Final = 100
_WAL_MAGIC: Final = 0x377F0682
_WAL_HEADER: Final = struct.Struct(">IIII8sII")
_FRAME: Final = struct.Struct(">II8sII")
_BLOB: Final = 12
_INTEGER_BYTES: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_LARGEST: Final = 64 << 20
_ZSTD: Final = b"\x28\xb5\x2f\xfd"


class Pages:
    """The pages of a database file, those in its log before those in itself."""

    def __init__(self, path: Path) -> None:
        """Raises ``OSError``."""
        with path.open("rb") as file:
            empty = not os.fstat(file.fileno()).st_size
            self._file = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = _page_size(self._file[:_HEADER_BYTES])
        self._log: dict[int, bytes] = {}
        with contextlib.suppress(FileNotFoundError):
            self._log = _committed(path.with_name(path.name + "-wal").read_bytes(), self.size)

    @property
    def count(self) -> int:
        """The number of the last page."""
        return max(-(-len(self._file) // self.size), max(self._log, default=0))

    def page(self, number: int) -> bytes:
        """The page of a number from 1 on; empty where there is none, short where the file ends in it."""
        start = (number - 1) * self.size
        return self._log.get(number) or self._file[start : start + self.size]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the record of a row is: its page, where on that, and how many bytes it has in all."""

    page: int
    start: int
    size: int


def bodies_in(pages: Pages) -> Iterator[tuple[int, Place]]:
    """Every row that looks like one of ``bodies``: the number of the first event, and where it is."""
    for first, place in _rows(pages):
        if body_at(pages, place):
            yield first, place


def body_at(pages: Pages, place: Place) -> bytes:
    """The block that the row of ``bodies`` at ``place`` holds; nothing where that is no such row."""
    with contextlib.suppress(IndexError, ValueError):
        payload = _payload(pages, place)
        types, at = _record(payload)
        if len(types) == 2 and types[0] == 0 and types[1] >= _BLOB and types[1] % 2 == 0:
            data = payload[at : at + (types[1] - _BLOB) // 2]
            return data if data.startswith(_ZSTD) else b""
    return b""


def spans_in(pages: Pages) -> Iterator[tuple[int, int]]:
    """Every row that looks like one of ``blocks``: the number of the first event, and how many there were."""
    for first, place in _rows(pages):
        with contextlib.suppress(IndexError, ValueError):
            payload = _payload(pages, place)
            types, at = _record(payload)
            if len(types) == 6 and types[0] == 0 and all(kind <= 9 for kind in types):
                count = {8: 0, 9: 1}.get(types[1])
                if count is None:
                    count = int.from_bytes(payload[at : at + _INTEGER_BYTES[types[1]]], "big", signed=True)
                if 0 < count <= 65_536:
                    yield first, count


def _rows(pages: Pages) -> Iterator[tuple[int, Place]]:
    """The row id and the place of every cell on a leaf page of a table."""
    for number in range(1, pages.count + 1):
        page = pages.page(number)
        head = _HEADER_BYTES if number == 1 else 0
        if len(page) < head + 8 or page[head] != _LEAF:
            continue
        cells = int.from_bytes(page[head + 3 : head + 5], "big")
        for at in range(head + 8, min(head + 8 + 2 * cells, len(page) - 1), 2):
            with contextlib.suppress(IndexError, ValueError):
                size, start = _varint(page, int.from_bytes(page[at : at + 2], "big"))
                row, start = _varint(page, start)
                if size <= _LARGEST:
                    yield row, Place(number, start, size)


def _payload(pages: Pages, place: Place) -> bytes:
    """A record, which goes on elsewhere if it is long. Raises ``ValueError`` where it breaks off."""
    page, start, size, usable = pages.page(place.page), place.start, place.size, pages.size
    if size <= usable - 35:
        return page[start : start + size]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    if local > usable - 35:
        local = least
    parts = [page[start : start + local]]
    following = int.from_bytes(page[start + local : start + local + 4], "big")
    left = size - local
    while left > 0:
        overflow = pages.page(following) if following else b""
        if not overflow:
            raise ValueError("the chain breaks off")
        part = overflow[4 : 4 + left]
        parts.append(part)
        left -= usable - 4
        following = int.from_bytes(overflow[:4], "big")
    return b"".join(parts)


def _record(payload: bytes) -> tuple[list[int], int]:
    """The types of a record's columns, and where the first begins."""
    end, at = _varint(payload, 0)
    types = []
    while at < end:
        kind, at = _varint(payload, at)
        types.append(kind)
    return types, end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """SQLite's integers of 1 to 9 bytes, and where the next byte is. Raises ``IndexError``."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[at + 8], at + 9


def _page_size(header: bytes) -> int:
    size = int.from_bytes(header[16:18], "big")
    size = 65_536 if size == 1 else size
    return size if header.startswith(b"SQLite format 3\0") and size.bit_count() == 1 and size >= 512 else _PAGE_BYTES


def _committed(log: bytes, size: int) -> dict[int, bytes]:
    """The newest form of each page in a write-ahead log, up to its last commit."""
    if len(log) < _WAL_HEADER.size:
        return {}
    magic, _, log_size, _, salts, _, _ = _WAL_HEADER.unpack_from(log)
    if magic & ~1 != _WAL_MAGIC or log_size != size:
        return {}
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    for at in range(_WAL_HEADER.size, len(log) - _FRAME.size - size + 1, _FRAME.size + size):
        number, committed, frame_salts, _, _ = _FRAME.unpack_from(log, at)
        if frame_salts != salts:
            break
        pending[number] = log[at + _FRAME.size : at + _FRAME.size + size]
        if committed:
            pages |= pending
            pending = {}
    return pages
