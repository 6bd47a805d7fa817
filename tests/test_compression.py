"""Gzip and zstd as streams: any pieces, any cut, and no more memory than promised."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import nullcontext

import pytest
import zstandard

from switchcast.endpoints.compression import CutShort, decompressed


def test_a_bomb_comes_out_in_pieces() -> None:
    size = 300_000_000
    for data, most in ((gzip.compress(bytes(size), 1), 262_144), (zstandard.compress(bytes(size)), 33_554_432)):
        assert len(data) < size // 100
        lengths = [len(piece) for piece in decompressed(iter([data]))]
        assert (sum(lengths), max(lengths) <= most) == (size, True)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_compressed_streams_come_in_any_pieces(compress: Callable[[bytes], bytes]) -> None:
    text = bytes(range(256)) * 8
    data = compress(text) + compress(b"") + compress(text)
    for size in (1, 2, 3, 7, len(data)):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert b"".join(decompressed(iter([b"", *pieces, b""]))) == text * 2
    whole = {len(compress(text)), len(compress(text) + compress(b"")), len(data)}
    for cut in range(4, len(data) + 1):
        found = bytearray()
        with nullcontext() if cut in whole else pytest.raises(CutShort, match="is cut short"):
            for piece in decompressed(iter([data[:cut]])):
                found += piece
        assert (text * 2).startswith(bytes(found))
