"""What the fuzzer of the reliable modes starts from: frames, messages, stamps and sessions around recorded events.

Nothing is sealed here: the properties seal what they are given, or leave it as a stranger's.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator

PAYLOAD_BYTES = 1_136
TAG = bytes(16)
SECRET = bytes([0x5C]) * 32
"""The key of ``fuzz/properties/sealed.rs``."""
KEY_ID = hmac.digest(hmac.digest(bytes(32), SECRET, "sha256"), b"switchcast key id\x01", "sha256")[:4]
"""HKDF-SHA256 (RFC 5869) without salt."""
SENDER_ID = hashlib.sha256(b"fs1").digest()[:8]
STREAM = bytes(range(16))
EVENT, SIGNATURE, BEACON, HELLO, WELCOME, REQUEST, REFUSAL = range(1, 8)
CONTROL = [BEACON, HELLO, WELCOME, REQUEST, REFUSAL]
"""In the order in which the first byte of a message's seed counts them."""


def seeds(texts: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Target and input of each seed."""
    for kind, payload in messages():
        yield "message", bytes([CONTROL.index(kind)]) + payload
        yield "sealed", frame(kind, 1, payload)
    yield "sealed", frame(SIGNATURE, 3, signature())
    for sequence, text in enumerate(texts, 1):
        yield from (("sealed", datagram) for datagram in frames(sequence, text))
        if text.endswith(b"\n"):
            yield "packing", text
        yield "traced", text
    for text in texts[:3]:
        yield "traced", stamped(text, proof=False)
        yield "traced", stamped(text, proof=True)
    yield from (("fragments", steps) for steps in FRAGMENTS)
    yield from (("stream", steps) for steps in STEPS)
    for session in sessions(texts):
        yield "session", session
        yield "session", b"\x02" + session[1:]


def frame(kind: int, sequence: int, payload: bytes, fragment: int = 0, fragments: int = 1) -> bytes:
    """A frame in the clear, with zeros for its tag."""
    head = struct.pack(">2sBB4s8s16s", b"\xc5\x57", 1, kind, KEY_ID, SENDER_ID, STREAM)
    return head + struct.pack(">QHHBBH", sequence, fragment, fragments, 0, 1, 0) + payload + TAG


def frames(sequence: int, text: bytes) -> list[bytes]:
    """An event's frames, not compressed."""
    pieces = [text[start : start + PAYLOAD_BYTES] for start in range(0, len(text), PAYLOAD_BYTES)]
    return [frame(EVENT, sequence, piece, number, len(pieces)) for number, piece in enumerate(pieces)]


def messages() -> Iterator[tuple[int, bytes]]:
    """Each control message, once."""
    beacon = struct.pack(">QQQQBB", 9, 1, 1_800_000_000_000, 61, 0, 3) + b"fs1"
    yield BEACON, beacon
    yield HELLO, STREAM + bytes(16) + bytes(128)
    yield WELCOME, STREAM + bytes(16) + bytes(16) + beacon
    yield REQUEST, STREAM + bytes(16) + b"\0\2" + b"\3\1\x80\2\5" + b"\0\1" + b"\x09\1\6"
    yield REFUSAL, STREAM + struct.pack(">QB", 4, 1)


def signature() -> bytes:
    """A signature by nobody known, of two events."""
    return struct.pack(">Q8sB", 1, bytes(8), 2) + bytes(2 * 16) + bytes(64)


def stamped(text: bytes, *, proof: bool) -> bytes:
    """A recorded event with a stamp of another group."""
    lines = b"Multicast-Stream: " + STREAM.hex().encode() + b"\nMulticast-Sequence: 17\n"
    if proof:
        lines += b"Multicast-MAC: " + KEY_ID.hex().encode() + b"-" + bytes(16).hex().encode() + b"\n"
    return text.replace(b"Multicast-Sender: ", lines + b"Multicast-Sender: ", 1)


FRAGMENTS = [
    bytes([1, 0, 2, 0, 0x40, 1, 1, 2, 9, 0x40]),
    bytes([1, 2, 3, 7, 0x80, 1, 0, 3, 0, 0x80, 2, 1, 2, 5, 0x50, 1, 1, 3, 0, 0x80, 2, 0, 2, 0, 0x50]),
    bytes([9, 200, 3, 0, 0x01, 8, 1, 3, 4, 0x60, 8, 0, 3, 0, 0x60, 8, 2, 3, 4, 0x60, 5, 0, 0, 0, 0xFF]),
]
"""Sequence, fragment, fragments, length, and what else: see ``fragments`` in ``fuzz/properties/sealed.rs``."""

STEPS = [
    b"\x01" + bytes([5, 8, 0, 0] * 6),
    b"\x01" + bytes([0, 10, 0, 1, 0, 9, 0, 1, 15, 0, 0, 2, 0, 8, 0, 2, 8, 20, 0, 0, 12, 9, 9, 0, 14, 0, 0, 1]),
    b"\x09" + bytes([0, 12, 0, 200] * 2 + [0, 14, 0, 200, 0, 16, 0, 250, 9, 11, 0, 1, 13, 0, 0, 0, 10, 0, 0, 3]),
    b"\xff" + bytes([0, 40, 0xF1, 9, 0, 8, 0, 3, 11, 0, 0, 0, 0, 31, 0, 5, 5, 8, 0, 0]),
]
"""What is done, where, how far, and what else: see ``Pair.step`` in ``fuzz/properties/stream_model.rs``."""


def sessions(texts: list[bytes]) -> Iterator[bytes]:
    """Datagrams, each with a step in front: how many milliseconds pass, and how many bytes follow."""
    events = [datagram for sequence, text in enumerate(texts[:8], 1) for datagram in frames(sequence, text)]
    control = [frame(kind, number, payload) for number, (kind, payload) in enumerate(messages(), 1)]
    yield steps(control[:1] + events)
    yield steps(events[:2] + control + events[3:])
    yield steps(events[::-1] + control[::-1])
    yield steps([*control[:1], *events[:1], frame(SIGNATURE, 2, signature()), stamped(texts[0], proof=True)])


def steps(datagrams: list[bytes]) -> bytes:
    """One input of ``sessions`` in ``fuzz/properties/sessions.rs``."""
    return b"".join(struct.pack(">BH", 3, len(datagram)) + datagram for datagram in datagrams)
