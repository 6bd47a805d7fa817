"""Sealed frames read and written by other hands: the witness that the native code is held against.

It follows docs/sealed.md with the ``cryptography`` package and ``zstandard``, and shares nothing with the native code
but the dictionary. It knows single frames and whole events, and the MAC of traced datagrams; it keeps no state and no
limits.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from zstandard import ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

HEADER = struct.Struct("> 2s B B 4s 8s 16s Q H H B B H")
MAGIC = b"\xc5\x57"
TAG = 16
PAYLOAD = 1_200 - HEADER.size - TAG
KINDS = {"event": 1, "signature": 2, "beacon": 3, "hello": 4, "welcome": 5, "request": 6, "refusal": 7}
CIPHERS: dict[int, type[ChaCha20Poly1305 | AESGCM]] = {1: ChaCha20Poly1305, 2: AESGCM}
INFOS = {1: b"switchcast 1 chacha20-poly1305", 2: b"switchcast 1 aes-256-gcm"}
LABEL = b"switchcast 1 signature"
DICTIONARY = ZstdCompressionDict(
    (Path(__file__).parent.parent / "native" / "src" / "sealed" / "dictionary.bin").read_bytes()
)


@dataclass(frozen=True)
class Header:
    """The 48 bytes in front of a frame, but for its magic number and version."""

    kind: int
    key: bytes
    sender: bytes
    stream: bytes
    sequence: int
    fragment: int = 0
    fragments: int = 1
    flags: int = 0
    cipher: int = 1
    dictionary: int = 0

    @classmethod
    def read(cls, frame: bytes) -> Header:
        """The header of ``frame``."""
        magic, version, *fields = HEADER.unpack_from(frame)
        assert (magic, version) == (MAGIC, 1)
        return cls(*fields)

    def wire(self) -> bytes:
        """As it stands on the wire."""
        return HEADER.pack(MAGIC, 1, *vars(self).values())

    @property
    def associated(self) -> bytes:
        """What is authenticated of it."""
        return replace(self, flags=0).wire()

    @property
    def nonce(self) -> bytes:
        """The nonce of its frame."""
        return struct.pack("> B x H Q", self.kind > 2, self.fragment, self.sequence)


def derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 of a group key."""
    return HKDF(SHA256(), length, salt, info).derive(secret)


def key_id(secret: bytes) -> bytes:
    """A group key's name on the wire."""
    return derive(secret, b"", b"switchcast key id", 4)


def sender_id(name: str) -> bytes:
    """A sender's name on the wire."""
    return hashlib.sha256(name.encode("utf-8")).digest()[:8]


def open_frame(secret: bytes, frame: bytes) -> bytes:
    """The payload of a frame; ``InvalidTag`` when it is not authentic."""
    header = Header.read(frame)
    cipher = CIPHERS[header.cipher](derive(secret, header.stream, INFOS[header.cipher], 32))
    return cipher.decrypt(header.nonce, frame[HEADER.size :], header.associated)


def seal_frame(secret: bytes, header: Header, payload: bytes) -> bytes:
    """The whole frame."""
    cipher = CIPHERS[header.cipher](derive(secret, header.stream, INFOS[header.cipher], 32))
    return header.wire() + cipher.encrypt(header.nonce, payload, header.associated)


def open_event(secret: bytes, frames: list[bytes]) -> bytes:
    """The text of the event whose frames these are, in any order."""
    frames = sorted(frames, key=lambda frame: Header.read(frame).fragment)
    packed = b"".join(open_frame(secret, frame) for frame in frames)
    match Header.read(frames[0]).dictionary:
        case 0:
            return packed
        case 1:
            return ZstdDecompressor(dict_data=DICTIONARY).decompress(packed)
        case other:
            raise AssertionError(f"there is no dictionary {other}")


def seal_event(secret: bytes, header: Header, text: bytes, level: int = 19) -> list[bytes]:
    """The frames of an event, packed in another way than ours are where ``header`` names the dictionary."""
    packed = text
    if header.dictionary:
        packed = ZstdCompressor(level=level, dict_data=DICTIONARY, write_checksum=True).compress(text)
    pieces = [packed[at : at + PAYLOAD] for at in range(0, len(packed), PAYLOAD)] or [b""]
    return [
        seal_frame(secret, replace(header, fragment=number, fragments=len(pieces)), piece)
        for number, piece in enumerate(pieces)
    ]


def digest(stream: bytes, sequence: int, text: bytes) -> bytes:
    """What stands for an event in a signature."""
    return hashlib.sha256(stream + struct.pack("> Q", sequence) + text).digest()[:16]


def verify(key: bytes, header: Header, payload: bytes) -> tuple[int, list[bytes]]:
    """The first sequence and the digests that a signature is of; ``InvalidSignature`` when it is not by ``key``."""
    body, signature = payload[:-64], payload[-64:]
    Ed25519PublicKey.from_public_bytes(key).verify(signature, LABEL + header.associated + body)
    first, hint, count = struct.unpack_from("> Q 8s B", body)
    assert (hint, len(body)) == (key[:8], 17 + 16 * count)
    return first, [body[at : at + 16] for at in range(17, len(body), 16)]


def sign(seed: bytes, header: Header, first: int, texts: list[bytes]) -> bytes:
    """The payload of a signature."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    digests = [digest(header.stream, first + place, text) for place, text in enumerate(texts)]
    body = struct.pack("> Q 8s B", first, key.public_key().public_bytes_raw()[:8], len(texts)) + b"".join(digests)
    return body + key.sign(LABEL + header.associated + body)


def traced_mac(secret: bytes, stream: bytes, sequence: int, text: bytes) -> bytes:
    """The MAC that a traced datagram has, of its ``text`` without the line of the MAC: docs/wire-format.md."""
    subkey = HKDF(SHA256(), 32, stream, b"switchcast 1 traced aes-256-gcm").derive(secret)
    filled = -len(text) % 16
    return AESGCM(subkey).encrypt(struct.pack("> I Q", filled, sequence), text + bytes(filled), None)[-TAG:]
