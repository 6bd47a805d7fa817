r"""The stock wire format read and written the slow, obvious way: the witness that the native code is held against.

It follows the description of the format from the front of the datagram to its end, one line at a time, with nothing but
the standard library, and knows no limits but those it is given. Nothing here is shared with the native code, which
cuts the trailer off the end first and keeps an index instead of lists.

::

    plain:      Name: url-encoded-value \n ... [Content-Length: N \n] \n body | trailer | NULs
    under psk:  UUID, 36 characters | NULs up to 256 bytes | Blowfish-CBC( text | trailer ), PKCS#7
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

TRAILER = bytes.fromhex("E284B1 C598C6 8ED3AC C59ED0 A9D087 C5A6CF 9AC4A6")
PADDING = bytes(272)
"""What a FreeSWITCH that was built with OpenSSL sends behind the trailer."""
SALT_FIELD = 256
ENCODED = frozenset(b' "#%&+:;<=>?@[\\]^`{|}') | frozenset(range(0x20)) | frozenset(range(0x7F, 0x100))
NO_LIMITS: Mapping[str, int] = {}


class NotAnEvent(Exception):
    """These bytes are not an event."""


class ReferenceEvent(NamedTuple):
    """``headers`` in order as they stand on the wire, without the line that frames the body, and ``body``."""

    headers: list[tuple[bytes, bytes]]
    body: bytes

    def items(self) -> list[tuple[str, str]]:
        """Every header in order, decoded."""
        return [(as_text(name), as_text(decode(raw))) for name, raw in self.headers]


def as_text(value: bytes) -> str:
    """``value`` as the text it is, a byte that is not UTF-8 as a lone surrogate."""
    return value.decode("utf-8", "surrogateescape")


def encode(value: bytes) -> bytes:
    """``value`` as the switch writes it: a ``%`` in front of two upper-case hex digits is not encoded again."""
    if not value:
        return b"_undef_"
    out = b""
    for at, byte in enumerate(value):
        already_encoded = byte == ord("%") and re.match(rb"[0-9A-F]{2}", value[at + 1 :])
        out += b"%%%02X" % byte if byte in ENCODED and not already_encoded else bytes([byte])
    return out


def encode_lossless(value: bytes) -> bytes:
    """``value`` written so that it reads back as it was: every ``%`` is encoded, and the text ``_undef_`` too."""
    if value == b"_undef_":
        return b"%5Fundef_"
    return b"%25".join(encode(part) if part else b"" for part in value.split(b"%")) if value else encode(value)


def decode(raw: bytes) -> bytes:
    """The value that ``raw`` stands for: ``%`` and two hex digits of either case are one byte."""
    if raw == b"_undef_":
        return b""
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda escape: bytes.fromhex(escape[1].decode()), raw)


def array(raw: bytes) -> list[bytes] | None:
    """The elements of an array value, or ``None`` when it is none."""
    value = decode(raw)
    return value[len(b"ARRAY::") :].split(b"|:") if value.startswith(b"ARRAY::") else None


def split_line(line: bytes) -> tuple[bytes, bytes]:
    """Name and value of a header line.

    A line splits at its last ``: ``. No FreeSWITCH leaves the space out; where another sender does, the last colon.
    """
    name, separator, value = line.rpartition(b": ")
    if not separator:
        name, separator, value = line.rpartition(b":")
    if not separator or not name:
        raise NotAnEvent(f"no header: {line[:60]!r}")
    return name, value


def read_headers(text: bytes, limits: Mapping[str, int]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Every header line up to the first empty line, and whatever follows it."""
    headers: list[tuple[bytes, bytes]] = []
    while True:
        line, line_break, text = text.partition(b"\n")
        if not line_break:
            raise NotAnEvent("no empty line ends the headers")
        if not line:
            return headers, text
        name, value = split_line(line)
        headers.append((name, value))
        elements = array(value) or []
        for limit, size in [
            ("headers", len(headers)),
            ("header_name_bytes", len(name)),
            ("header_value_bytes", len(value)),
            ("array_elements", len(elements)),
        ]:
            if size > limits.get(limit, size):
                raise NotAnEvent(f"{limit}: {size}")


def take_body(headers: list[tuple[bytes, bytes]], rest: bytes, end: re.Pattern[bytes]) -> tuple[ReferenceEvent, bytes]:
    """The event whose headers end in front of ``rest``, and what follows its body; ``end`` is what may follow.

    The last Content-Length counts the bytes of the body. One that is not the last header of all is a sender's own when
    no body is there.
    """
    places = [at for at, (name, _) in enumerate(headers) if name.lower() == b"content-length"]
    is_framed = bool(places) and (places[-1] == len(headers) - 1 or not end.fullmatch(rest))
    if not is_framed:
        return ReferenceEvent(headers, b""), rest
    value = headers[places[-1]][1]
    if not re.fullmatch(rb"[0-9]{1,19}", value):
        raise NotAnEvent(f"Content-Length: {value[:60]!r}")
    length = int(value)
    if length > len(rest):
        raise NotAnEvent(f"a body of {length} bytes in {len(rest)}")
    if places[-1] == len(headers) - 1:
        headers = headers[:-1]
    return ReferenceEvent(headers, rest[:length]), rest[length:]


def read(text: bytes, end: re.Pattern[bytes], limits: Mapping[str, int]) -> ReferenceEvent:
    """The event that ``text`` starts with; nothing but ``end`` may follow it."""
    headers, rest = read_headers(text, limits)
    event, rest = take_body(headers, rest, end)
    if not end.fullmatch(rest):
        raise NotAnEvent(f"behind the event stands {rest[:60]!r}")
    return event


def read_text(text: bytes, limits: Mapping[str, int] = NO_LIMITS) -> ReferenceEvent:
    """The event that ``text`` is, as ``event plain`` sends it."""
    return read(text, re.compile(b""), limits)


def read_datagram(datagram: bytes, psk: bytes | None = None, limits: Mapping[str, int] = NO_LIMITS) -> ReferenceEvent:
    """The event in ``datagram``, encrypted under ``psk`` if there is one."""
    if psk is not None:
        datagram = decrypt(datagram, psk)
    return read(datagram, re.compile(re.escape(TRAILER) + rb"\x00*"), limits)


def write_text(headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    """The text of an event whose values stand in ``headers`` as on the wire."""
    lines = b"".join(name + b": " + value + b"\n" for name, value in headers)
    return lines + (b"Content-Length: %d\n\n%b" % (len(body), body) if body else b"\n")


def write_datagram(headers: list[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    """The plain datagram of an event whose values stand in ``headers`` as on the wire."""
    return write_text(headers, body) + TRAILER + PADDING


def write_sealed_datagram(headers: list[tuple[bytes, bytes]], body: bytes, psk: bytes, salt: str) -> bytes:
    """The same event under a pre-shared key, ``salt`` being the UUID in front."""
    text = write_text(headers, body) + TRAILER
    pad = 8 - len(text) % 8
    front = salt.encode().ljust(SALT_FIELD, b"\0")
    return front + Blowfish(psk).encrypt_cbc(front[:8], text + bytes([pad]) * pad)


def decrypt(datagram: bytes, psk: bytes) -> bytes:
    """The text and trailer in an encrypted datagram."""
    front, sealed = datagram[:SALT_FIELD], datagram[SALT_FIELD:]
    if len(front) < SALT_FIELD or not re.fullmatch(rb"[0-9A-Fa-f-]{36}\x00{220}", front):
        raise NotAnEvent("no UUID in front")
    if not sealed or len(sealed) % 8:
        raise NotAnEvent("no whole blocks")
    text = Blowfish(psk).decrypt_cbc(front[:8], sealed)
    pad = text[-1]
    if not 1 <= pad <= 8 or text[-pad:] != bytes([pad]) * pad:
        raise NotAnEvent("wrong padding")
    return text[:-pad]


@functools.cache
def pi_words() -> list[int]:
    """The first 1,042 words of 32 bits behind the point of pi: what Blowfish's tables start from.

    Machin's formula, in fixed point: pi = 16 arctan(1/5) - 4 arctan(1/239).
    """
    words = 18 + 4 * 256
    guard = 64
    one = 1 << (32 * words + guard)

    def arctan_of_inverse(n: int) -> int:
        total = term = one // n
        divisor = 1
        while term:
            term //= -n * n
            divisor += 2
            total += term // divisor
        return total

    fraction = ((16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)) % one) >> guard
    return [fraction >> 32 * (words - 1 - i) & 0xFFFFFFFF for i in range(words)]


class Blowfish:
    """Bruce Schneier's cipher of 1993, in CBC mode. A key is repeated cyclically over the eighteen subkeys."""

    def __init__(self, key: bytes) -> None:
        words = pi_words()
        cycle = (key * (72 // len(key) + 1))[:72]
        self.p = [words[i] ^ int.from_bytes(cycle[4 * i : 4 * i + 4], "big") for i in range(18)]
        self.s = [words[18 + 256 * box : 18 + 256 * (box + 1)] for box in range(4)]
        left = right = 0
        for table in [self.p, *self.s]:
            for i in range(0, len(table), 2):
                left, right = self.rounds(left, right, self.p)
                table[i], table[i + 1] = left, right

    def rounds(self, left: int, right: int, subkeys: list[int]) -> tuple[int, int]:
        """One block through the sixteen rounds, with the subkeys in the order given."""
        a, b, c, d = self.s
        for subkey in subkeys[:16]:
            left ^= subkey
            mixed = (a[left >> 24] + b[left >> 16 & 255] ^ c[left >> 8 & 255]) + d[left & 255]
            left, right = right ^ mixed & 0xFFFFFFFF, left
        return right ^ subkeys[17], left ^ subkeys[16]

    def encrypt_cbc(self, iv: bytes, text: bytes) -> bytes:
        """``text``, whole blocks, encrypted."""
        out = []
        left, right = int.from_bytes(iv[:4], "big"), int.from_bytes(iv[4:], "big")
        for at in range(0, len(text), 8):
            left ^= int.from_bytes(text[at : at + 4], "big")
            right ^= int.from_bytes(text[at + 4 : at + 8], "big")
            left, right = self.rounds(left, right, self.p)
            out.append((left << 32 | right).to_bytes(8, "big"))
        return b"".join(out)

    def decrypt_cbc(self, iv: bytes, sealed: bytes) -> bytes:
        """The whole blocks in ``sealed`` decrypted."""
        out = []
        backwards = self.p[::-1]
        previous = int.from_bytes(iv, "big")
        for at in range(0, len(sealed), 8):
            block = int.from_bytes(sealed[at : at + 8], "big")
            left, right = self.rounds(block >> 32, block & 0xFFFFFFFF, backwards)
            out.append(((left << 32 | right) ^ previous).to_bytes(8, "big"))
            previous = block
        return b"".join(out)
