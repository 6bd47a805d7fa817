"""What property tests draw from: headers and bodies of every kind, and bytes that are nearly events.

Awkward pieces of the wire format are drawn far more often than chance would bring them.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st
from reference import TRAILER, write_datagram

PROPERTY = settings(deadline=None, max_examples=200)
"""Enough examples to reach the awkward pieces in pairs; a deadline would make the tests depend on the machine."""

AWKWARD_VALUES = [
    "",
    "_undef_",
    "%41",
    "%4",
    "%zz",
    "%00",
    "%",
    "100%25",
    "a: b",
    ": ",
    " ",
    "\r\n",
    "\n\n",
    "ARRAY::one|:two: 2|:",
    "ARRAY::",
    "dés: ✓",
    "\udce2\udc84",
    "\x00",
    "\x7f",
]
AWKWARD_NAMES = [
    "Event-Name",
    "event-name",
    "Event-Subclass",
    "Content-Length",
    "variable_nolocal:foo",
    "a: b",
    "x[4000]",
    "_body",
    "_undef_",
    "Multicast-Sender",
    "with space",
    "%41",
    ":",
    " ",
    "ü",
]
AWKWARD_BODIES = [
    b"",
    b"\n",
    b"\r\n",
    b"Event-Name: FAKE\nContent-Length: 5\n\nhello",
    b"x " + TRAILER + b" y",
    TRAILER,
    TRAILER + bytes(272),
    b"\xe2",
    b"\x00",
    b"caf\xe9 \xff\xfe",
    b"\n\n\n",
]


TEXT = (
    b"Event-Subclass: sofia%3A%3Aregister\n"
    b"Event-Name: CUSTOM\n"
    b"Core-UUID: 774efe72-0b02-4ad5-b685-481f4ce4aaff\n"
    b"FreeSWITCH-Hostname: fs1\n"
    b"Event-Date-Timestamp: 1795404669491970\n"
    b"Event-Sequence: 426\n"
    b"X-Dup: 1\n"
    b"x-dup: two%20words\n"
    b"X-Arr: ARRAY%3A%3Aone%7C%3At%C3%AAte\n"
    b"X-Empty: _undef_\n"
    b"Multicast-Sender: fs1\n"
    b"Content-Length: 5\n\nhello"
)
"""An event with every kind of header and a body."""


def text_of(raw: bytes) -> str:
    """``raw`` as switchcast gives text that may not be UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def values() -> st.SearchStrategy[str]:
    """Decoded header values: any text, any bytes, and the awkward ones."""
    return st.sampled_from(AWKWARD_VALUES) | st.text(max_size=40) | st.binary(max_size=40).map(text_of)


def names() -> st.SearchStrategy[str]:
    """Header names that can be written: not empty, without line breaks and NULs."""
    free = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
    return st.sampled_from(AWKWARD_NAMES) | free


def header_lists() -> st.SearchStrategy[list[tuple[str, str]]]:
    """Headers in order, names repeating often."""
    return st.lists(st.tuples(names(), values()), max_size=12)


def arrays() -> st.SearchStrategy[list[str]]:
    """Elements that an array header can hold: any text but what separates them."""

    def keeps_its_elements(elements: list[str]) -> bool:
        return "|:".join(elements).split("|:") == elements

    return st.lists(values(), min_size=1, max_size=6).filter(keeps_its_elements)


def bodies() -> st.SearchStrategy[bytes]:
    """Bodies: any bytes, and the awkward ones."""
    return st.sampled_from(AWKWARD_BODIES) | st.binary(max_size=200)


FRAGMENTS = [
    b"\n",
    b"\n\n",
    b": ",
    b":",
    b" ",
    b"%",
    b"%41",
    b"%zz",
    b"\r\n",
    b"\0",
    b"Event-Name: HEARTBEAT\n",
    b"Content-Length",
    b"Content-Length: 5\n\n",
    b"content-length: 0\n",
    b"0",
    b"5",
    b"-1",
    b"99999999999999999999",
    b"hello",
    b"X: ARRAY%3A%3Aone%7C%3Atwo\n",
    b"_undef_",
    b"\xe2",
    TRAILER,
    TRAILER[:-1],
    bytes(272),
]


def nearly_events() -> st.SearchStrategy[bytes]:
    """Bytes put together from pieces of the format, many of which end as a datagram does."""
    pieces = st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=6), max_size=16).map(b"".join)
    framed = st.tuples(pieces, st.sampled_from([TRAILER, TRAILER + bytes(3), TRAILER + bytes(272)])).map(b"".join)
    with_length = st.tuples(pieces, st.binary(max_size=12), st.integers(-2, 2)).map(_with_content_length)
    return pieces | framed | with_length


def _with_content_length(parts: tuple[bytes, bytes, int]) -> bytes:
    """A datagram whose Content-Length is right, or a little wrong."""
    headers, body, error = parts
    return b"%bContent-Length: %d\n\n%b%b" % (headers, len(body) + error, body, TRAILER)


@st.composite
def mutations(draw: st.DrawFn, datagrams: Sequence[bytes]) -> bytes:
    """One of ``datagrams`` with a few bytes changed, cut out, doubled, put in, or its ends cut off."""
    datagram = draw(st.sampled_from(datagrams))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(datagram)))
        length = draw(st.integers(0, 8))
        piece = draw(st.sampled_from(FRAGMENTS) | st.binary(max_size=4))
        kind = draw(st.sampled_from(["put", "replace", "cut", "double", "end", "start"]))
        if kind == "put":
            datagram = datagram[:at] + piece + datagram[at:]
        elif kind == "replace":
            datagram = datagram[:at] + piece + datagram[at + len(piece) :]
        elif kind == "cut":
            datagram = datagram[:at] + datagram[at + length :]
        elif kind == "double":
            datagram = datagram[: at + length] + datagram[at:]
        elif kind == "end":
            datagram = datagram[:at]
        else:
            datagram = datagram[at:]
    return datagram


def small_datagram() -> bytes:
    """A whole datagram with a body, of which every part is short: for tests that try each of its bytes."""
    headers = [
        (b"Event-Name", b"CUSTOM"),
        (b"Event-Subclass", b"a%3A%3Ab"),
        (b"content-length", b"99"),
        (b"X-Arr", b"ARRAY%3A%3Aone%7C%3Atwo"),
        (b"Multicast-Sender", b"fs1"),
    ]
    return write_datagram(headers, b"a: b\r\n\xe2")
