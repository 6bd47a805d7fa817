"""A block of events as bytes: what is in a segment for up to 256 of them. Pure.

::

    zstd( event event ... )                          with zstd's own checksum over what is compressed
           |
           received trust source  signer  text       "<QBIII" and the three texts
           ns, 8    1     length  length  length
                          4       4       4

``text`` is the event as ``Event.to_plain`` gives it, byte for byte; the source and the signer are UTF-8. An event that
did not say when it was received has the time at which it was written.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import zstandard

from switchcast._native import Event
from switchcast.errors import RejectedDatagram

__all__ = ["BLOCK_BYTES", "BLOCK_EVENTS", "Damaged", "decode", "encode", "framed", "time_of"]

BLOCK_EVENTS: Final = 256
"""Events of a full block: 64 of the recorded ones take 0.040 of their size, 256 take 0.030, 512 take 0.027, and to read
one event is to read its block."""
BLOCK_BYTES: Final = 1 << 20
"""Bytes from which on a block is full with fewer events."""
_LARGEST: Final = 64 << 20
"""Bytes that a block may come out as: the last event of one, of 16 MiB at most, is added however large it is."""
_HEAD: Final = struct.Struct("<QBIII")
_LATEST: Final = 2**63 - 1

Trust = Literal["stock", "local", "member", "signed"]
_TRUSTS: Final[tuple[Trust, ...]] = ("stock", "local", "member", "signed")
_TRUST_NUMBERS: Final = {trust: number for number, trust in enumerate(_TRUSTS)}

_per_thread = threading.local()
"""zstd's objects are made once for each thread: one cannot be used by two."""


class Damaged(Exception):
    """Bytes that are no block, or not any more."""


def time_of(event: Event, now: int) -> int:
    """When an event came, in nanoseconds since 1970: when it was received, else ``now``."""
    received = event.received
    return now if received is None else min(received, _LATEST)


def framed(event: Event, time: int) -> bytes:
    """One event as it stands in a block before that is compressed."""
    source = _bytes(event.source)
    signer = _bytes(event.signer)
    text = event.to_plain()
    return _HEAD.pack(time, _TRUST_NUMBERS[event.trust], len(source), len(signer), len(text)) + source + signer + text


def encode(frames: Sequence[bytes], level: int) -> bytes:
    """The block of what ``framed`` gave."""
    made: dict[int, zstandard.ZstdCompressor] = _per_thread.__dict__.setdefault("compressors", {})
    if level not in made:
        made[level] = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)
    return made[level].compress(b"".join(frames))


def decode(data: bytes) -> list[Event]:
    """The events of a block, with ``received`` set. Raises ``Damaged``."""
    return [_event(*parts) for parts in _parts(_decompressed(data))]


def _decompressed(data: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= _LARGEST:
            raise Damaged(f"a block of {size:,} bytes")
        decompressor = _per_thread.__dict__.get("decompressor")
        if decompressor is None:
            decompressor = _per_thread.decompressor = zstandard.ZstdDecompressor()
        whole: bytes = decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from None
    return whole


def _parts(data: bytes) -> Iterable[tuple[int, int, bytes, bytes, bytes]]:
    at, end = 0, len(data)
    while at < end:
        text_at = at + _HEAD.size
        if text_at > end:
            raise Damaged("a block that ends within an event")
        time, trust, *lengths = _HEAD.unpack_from(data, at)
        at = text_at + sum(lengths)
        if at > end or trust >= len(_TRUSTS):
            raise Damaged("a block whose lengths do not fit")
        signer_at = text_at + lengths[0]
        body_at = signer_at + lengths[1]
        yield time, trust, data[text_at:signer_at], data[signer_at:body_at], data[body_at:at]


def _event(time: int, trust: int, source: bytes, signer: bytes, text: bytes) -> Event:
    try:
        return Event.from_plain(text, _text(source), time, _TRUSTS[trust], _text(signer))
    except (RejectedDatagram, ValueError) as error:
        raise Damaged(f"an event that cannot be read: {error}") from None


def _bytes(text: str | None) -> bytes:
    return b"" if text is None else text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str | None:
    return data.decode("utf-8", "surrogatepass") if data else None
