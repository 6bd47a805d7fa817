"""Which groups this host has joined, on which interfaces: ``/proc/net/igmp`` and ``/proc/net/igmp6``."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from switchcast.system.files import net_file

__all__ = ["Membership", "parse_igmp", "parse_igmp6", "read_memberships"]


@dataclass(frozen=True, slots=True)
class Membership:
    """A group joined on an interface. ``users`` counts the sockets that did (the kernel's own joins too)."""

    group: str
    interface: str
    users: int
    version: str | None = None
    """The version of IGMP spoken on the interface, ``V1``, ``V2`` or ``V3``; not told for IPv6."""


def read_memberships(root: Path = Path("/")) -> tuple[Membership, ...]:
    """Every membership of both families. Raises ``OSError``; a host without IPv6 has just none of it."""
    found = [*parse_igmp(net_file("igmp", root))]
    with contextlib.suppress(FileNotFoundError):
        found.extend(parse_igmp6(net_file("igmp6", root)))
    return tuple(found)


def parse_igmp(text: str) -> Iterator[Membership]:
    """``/proc/net/igmp``: a line an interface, and under it, indented, one a group. What is not so is passed over."""
    interface, version = "", None
    for line in text.splitlines():
        words = line.split()
        if line[:1].isdigit() and ":" in line:
            head, _, tail = line.partition(":")
            interface = head.split()[1] if len(head.split()) > 1 else ""
            version = tail.split()[-1] if tail.split() else None
        elif line[:1].isspace() and interface and len(words) >= 2:
            group, users = _group_of(words[0]), _count(words[1])
            if group is not None and users is not None:
                yield Membership(group, interface, users, version)


def parse_igmp6(text: str) -> Iterator[Membership]:
    """``/proc/net/igmp6``: index, interface, group, users, flags, timer. What is not so is passed over."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or len(words[2]) != 32:
            continue
        try:
            group = str(ipaddress.IPv6Address(bytes.fromhex(words[2])))
        except ValueError:
            continue
        users = _count(words[3])
        if users is not None:
            yield Membership(group, words[1], users)


def _group_of(word: str) -> str | None:
    """``010000E0``: an IPv4 address as the host's own integer, in hex."""
    try:
        number = int(word, 16)
        return str(ipaddress.IPv4Address(number.to_bytes(4, sys.byteorder)))
    except (ValueError, OverflowError):
        return None


def _count(word: str) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 12 else None
