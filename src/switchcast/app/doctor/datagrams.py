"""The two datagrams of the probe, to bytes and back: a rung of the ladder, and a report of what was heard.

Their bytes are drawn in ``docs/doctor.md``. Nobody but another doctor takes one for anything: the first byte is a NUL,
so a stock receiver, which reads text up to the first NUL, sees an empty one; a rung ends in filling, where an event has
its trailer; a report is no longer than the 256 bytes that stock ignores.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from switchcast.guard.doctor.facts import PROBE_SIZES

__all__ = [
    "LARGEST_REPORT",
    "MOST_HEARD",
    "MOST_NAME",
    "NODE_BYTES",
    "Report",
    "Rung",
    "Told",
    "decode",
]

NODE_BYTES: Final = 8
LARGEST_REPORT: Final = 256
"""Bytes: a stock receiver ignores what is no longer."""
MOST_NAME: Final = 64
"""Bytes of a host's name in a report."""
MOST_HEARD: Final = 6
"""Nodes that one report tells of: as many as fit beside the longest name."""

_MAGIC: Final = b"\0SCD"
_VERSION: Final = 1
_RUNG: Final = 1
_REPORT: Final = 2
_HEAD: Final = struct.Struct(">4sBBH8s")
_SIZE: Final = struct.Struct(">H")
_REPORTED: Final = struct.Struct(">16sLBBBB")
_HEARD: Final = struct.Struct(f">8sHH{len(PROBE_SIZES)}H")
_FILLING: Final = bytes(range(0x20, 0x7F)) * (max(PROBE_SIZES) // 0x5F + 1)


@dataclass(frozen=True, slots=True)
class Rung:
    """One datagram of the ladder: ``size`` bytes long, sent in the ``round``-th climb, from 1, of ``node``'s run."""

    node: bytes
    round: int
    size: int

    def encode(self) -> bytes:
        """As bytes, ``size`` of them."""
        head = _HEAD.pack(_MAGIC, _VERSION, _RUNG, self.round, self.node) + _SIZE.pack(self.size)
        return head + _FILLING[: self.size - len(head)]


@dataclass(frozen=True, slots=True)
class Told:
    """What a node heard of ``node``: rounds after ``first`` up to ``last``, and of each size of the ladder how many."""

    node: bytes
    first: int
    last: int
    counts: tuple[int, ...]

    @property
    def expected(self) -> int:
        """How many of each size were sent while it listened, as far as it can know."""
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Report:
    """That a node is there, what it has sent, and what it hears in ``group``.

    ``rounds`` of the ladder have been sent in full. ``mtu`` is that of the interface it sends on, in bytes, 0 where it
    does not know. ``hears`` counts the nodes that it hears; ``heard`` are some of them, all when there are at most
    ``MOST_HEARD``. ``name`` is what its host calls itself: text of a stranger.
    """

    node: bytes
    rounds: int
    group: str
    name: str
    mtu: int = 0
    hears: int = 0
    heard: tuple[Told, ...] = ()

    def encode(self) -> bytes:
        """As bytes, at most ``LARGEST_REPORT``; a longer name is cut."""
        name = self.name.encode("utf-8", "replace")[:MOST_NAME]
        return b"".join(
            (
                _HEAD.pack(_MAGIC, _VERSION, _REPORT, self.rounds, self.node),
                _REPORTED.pack(_packed(self.group), self.mtu, min(self.hears, 255), len(self.heard), len(name), 0),
                name,
                *(_HEARD.pack(each.node, each.first, each.last, *each.counts) for each in self.heard),
            )
        )


def decode(datagram: bytes) -> Rung | Report | None:
    """What ``datagram`` says; ``None`` where it is none of ours, has another length than it says, or rubbish behind."""
    if len(datagram) < _HEAD.size:
        return None
    magic, version, kind, count, node = _HEAD.unpack_from(datagram)
    if magic != _MAGIC or version != _VERSION:
        return None
    if kind == _RUNG:
        return _rung(node, count, datagram)
    return _report(node, count, datagram) if kind == _REPORT else None


def _rung(node: bytes, number: int, datagram: bytes) -> Rung | None:
    start = _HEAD.size + _SIZE.size
    if len(datagram) not in PROBE_SIZES or not number:
        return None
    (size,) = _SIZE.unpack_from(datagram, _HEAD.size)
    whole = size == len(datagram) and datagram[start:] == _FILLING[: size - start]
    return Rung(node, number, size) if whole else None


def _report(node: bytes, rounds: int, datagram: bytes) -> Report | None:
    at = _HEAD.size + _REPORTED.size
    if not at <= len(datagram) <= LARGEST_REPORT:
        return None
    group, mtu, hears, entries, name_length, reserved = _REPORTED.unpack_from(datagram, _HEAD.size)
    if entries > min(hears, MOST_HEARD) or name_length > MOST_NAME or reserved:
        return None
    if len(datagram) != at + name_length + entries * _HEARD.size:
        return None
    name = datagram[at : at + name_length].decode("utf-8", "replace")
    heard = tuple(
        Told(other, first, last, tuple(counts))
        for other, first, last, *counts in _HEARD.iter_unpack(datagram[at + name_length :])
    )
    if any(each.first > each.last or max(each.counts) > each.expected for each in heard):
        return None
    return Report(node, rounds, _unpacked(group), name, mtu, hears, heard)


def _packed(address: str) -> bytes:
    """16 bytes, an IPv4 address as ``::ffff:a.b.c.d``."""
    found = ipaddress.ip_address(address)
    return found.packed if found.version == 6 else b"\0" * 10 + b"\xff\xff" + found.packed


def _unpacked(packed: bytes) -> str:
    found = ipaddress.IPv6Address(packed)
    return str(found.ipv4_mapped or found)
