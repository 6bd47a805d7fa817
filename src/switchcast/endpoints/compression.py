"""Gzip and zstd around a recording, in both directions, as streams in bounded memory. No I/O.

What goes in and comes out are iterators of pieces. An empty piece means "nothing yet" and is handed on, so that whoever
waits at the end can look up.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Literal, Protocol

import zstandard

__all__ = ["Compression", "Compressor", "CutShort", "compressor", "decompressed"]

Compression = Literal["gzip", "zstd"]

_GZIP_MARK = b"\x1f\x8b"
_ZSTD_MARK = b"\x28\xb5\x2f\xfd"
_GZIP_WINDOW = 31
"""zlib's number for the largest window and a gzip header around it."""

PIECE_BYTES = 262_144
"""Bytes that come out of gzip at a time, however well they were compressed."""

_ZSTD_INPUT_BYTES = 1_024
"""Bytes that go into zstd at a time. Four of them can stand for 128 KiB, so that a file of a megabyte could otherwise
come out as 32 GiB at once. At this size it is 32 MiB at worst."""


class CutShort(Exception):
    """The stream ends too early, or is damaged from here on; what came before is good."""


class Compressor(Protocol):
    """What zlib's and zstandard's compressors have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take ``data``; what is ready to be written, perhaps nothing."""

    def flush(self) -> bytes:
        """The rest, with the stream's end. Nothing can follow it."""


def compressor(compression: Compression) -> Compressor:
    """A new stream."""
    if compression == "gzip":
        return zlib.compressobj(wbits=_GZIP_WINDOW)
    return zstandard.ZstdCompressor().compressobj()


def decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``pieces``, decompressed if they begin as gzip or zstd. Raises ``CutShort`` behind the last good byte."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= len(_ZSTD_MARK):
            break
        yield b""
    whole = chain([start], pieces)
    if start.startswith(_GZIP_MARK):
        yield from _gunzip(whole)
    elif start.startswith(_ZSTD_MARK):
        yield from _unzstd(whole)
    else:
        yield from whole


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of a gzip file, one behind the other."""
    member = zlib.decompressobj(wbits=_GZIP_WINDOW)
    for piece in pieces:
        if not piece:
            yield b""
        rest = piece
        while rest:
            if member.eof:
                rest = rest.lstrip(b"\0")  # tapes and disks pad a file with zeros
                if not rest:
                    break
                member = zlib.decompressobj(wbits=_GZIP_WINDOW)
            yield from _inflate(member, rest)
            rest = member.unused_data
    if not member.eof:
        raise CutShort("the gzip stream is cut short")


def _inflate(member: zlib._Decompress, rest: bytes) -> Iterator[bytes]:
    """What comes of ``rest``, until that is used up or the member ends."""
    while True:
        try:
            data = member.decompress(rest, PIECE_BYTES)
        except zlib.error as error:
            raise CutShort(f"the gzip stream is damaged: {error}") from None
        if data:
            yield data
        rest = member.unconsumed_tail
        if member.eof or (not rest and len(data) < PIECE_BYTES):
            return


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every frame of a zstd file, one behind the other."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    begun = False
    for piece in pieces:
        if not piece:
            yield b""
        for at in range(0, len(piece), _ZSTD_INPUT_BYTES):
            rest = piece[at : at + _ZSTD_INPUT_BYTES]
            while rest:
                try:
                    data = frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise CutShort(f"the zstd stream is damaged: {error}") from None
                if data:
                    yield data
                rest, begun = frame.unused_data, not frame.eof
                if frame.eof:
                    frame = decompressor.decompressobj()
    if begun:
        raise CutShort("the zstd stream is cut short")
