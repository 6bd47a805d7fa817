"""The events to measure with: real ones, from the recording that the tests use.

Sizes are those of the event's text with its trailer, without the 272 NULs that some builds of the switch send behind
it, so that the work for each byte is the greatest there is.
"""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.peers import build_folder, everyday
from switchcast import Event, StockFrames
from switchcast._native import TRAILER

__all__ = ["PADDING", "READ", "SIZES", "Traffic", "checksum", "near", "traffic", "write_datagrams"]

RECORDING = Path(__file__).parent.parent / "tests" / "data" / "stock-plain.pcap.gz"
IPV4_UDP_HEADERS = 28

SIZES = {"700 B": 700, "1.2 KB": 1200, "4 KB": 4000}
"""The sizes that figures are given for; of each, the real events nearest to it are taken."""

STAGED = (b"Command: sendevent", b"\nX-Synthetic: ", b"\nEvent-Subclass: test%3A%3A", b"\nEvent-Subclass: weird%20")
"""What marks the events that were made up for the recording, to reach odd cases."""

VARIETY = 16
"""How many different events stand in for a size, so that no branch is learnt by heart."""

OF_A_KIND = 4
"""At most so many of them are of one kind."""

PADDING = 272
"""NULs behind an event from a switch that was built with OpenSSL."""

ROUND = 100
"""One event in so many is wanted where a receiver filters."""

READ = ("Event-Name", "Event-Sequence", "Multicast-Sender")
"""The three headers that a consumer reads: the first, one from the middle, and the last."""


@cache
def recorded() -> tuple[bytes, ...]:
    """Every event of the recording that is real activity and came in one piece, with trailer and without padding."""
    data = gzip.decompress(RECORDING.read_bytes())
    found, position = [], 24
    while position < len(data):
        kept = struct.unpack_from("<I", data, position + 8)[0]
        packet = data[position + 16 : position + 16 + kept]
        position += 16 + kept
        more_fragments_or_offset = struct.unpack_from(">H", packet, 6)[0] & 0x3FFF
        if not more_fragments_or_offset and not any(mark in packet for mark in STAGED):
            found.append(packet[IPV4_UDP_HEADERS:].rstrip(b"\0"))
    return tuple(found)


def near(size: int, count: int = VARIETY) -> list[bytes]:
    """The ``count`` real events nearest to ``size`` bytes, nearest first, at most ``OF_A_KIND`` of one kind.

    An event in which one of the headers of ``READ`` is repeated is none of them: the script takes the last of such,
    ours the first, as the switch does, and the two should have read the same.
    """
    frames = StockFrames()
    chosen: list[bytes] = []
    kinds: Counter[str] = Counter()
    for datagram in sorted(set(recorded()), key=lambda datagram: (abs(len(datagram) - size), datagram)):
        event = frames.open(datagram)
        if event.body or kinds[kind(event)] == OF_A_KIND or any(len(event.getall(name)) != 1 for name in READ):
            continue
        kinds[kind(event)] += 1
        chosen.append(datagram)
        if len(chosen) == count:
            break
    return chosen


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent: a round of datagrams, the last of them the one that ``bindings`` want."""

    datagrams: tuple[bytes, ...]
    bindings: str

    @property
    def mean_size(self) -> float:
        """Bytes a datagram."""
        return sum(map(len, self.datagrams)) / len(self.datagrams)


@cache
def traffic(size: int, padding: int = 0) -> Traffic:
    """A round of 100 real events of about ``size`` bytes, of which bindings for the nearest one match just one.

    ``padding``: how many NULs stand behind each.
    """
    frames = StockFrames()
    wanted, *others = near(size, VARIETY + OF_A_KIND)
    event = frames.open(wanted)
    others = [other for other in others if kind(frames.open(other)) != kind(event)]
    datagrams = [others[index % len(others)] for index in range(ROUND - 1)]
    return Traffic(tuple(datagram + bytes(padding) for datagram in (*datagrams, wanted)), kind(event))


def kind(event: Event) -> str:
    """The bindings that want this kind of event and no other."""
    return f"CUSTOM {event.subclass}" if event.name == "CUSTOM" and event.subclass else event.name


def checksum(datagrams: Sequence[bytes]) -> int:
    """What a consumer's running sum must be that adds up the lengths of the three headers of each event.

    The everyday script is the witness here: for these headers it reads right.
    """
    parsed = [everyday.parse(datagram) for datagram in datagrams]
    return sum(len(headers[name]) for headers in parsed for name in READ)


def write_datagrams(name: str, datagrams: Sequence[bytes]) -> Path:
    """Write ``datagrams`` as the bare sender reads them."""
    path = build_folder() / f"{name}.datagrams"
    path.write_bytes(b"".join(struct.pack("<I", len(datagram)) + datagram for datagram in datagrams))
    return path


def text(datagram: bytes) -> bytes:
    """The event's text, as an event socket would carry it: the datagram less its trailer."""
    return datagram.removesuffix(TRAILER)
