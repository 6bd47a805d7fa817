"""The kernel's counters of this host: ``/proc/net/snmp``, ``snmp6`` and ``netstat``."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from switchcast.system.files import net_file

__all__ = ["Counters", "parse_names_and_counts", "parse_pairs_of_lines", "read_counters"]

LONGEST: Final = 24
"""Characters of a count at most: 64 bits have 20 digits."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What was counted since the host (or its network namespace) began, under names as ``nstat`` has them.

    ``UdpRcvbufErrors``, ``IpReasmFails``, ``Udp6RcvbufErrors``, ``Ip6ReasmFails``, ``TcpExtIPReversePathFilter``, ...
    """

    counts: Mapping[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        """The count, 0 where this kernel does not count it."""
        return self.counts.get(name, 0)

    def since(self, earlier: Counters) -> Counters:
        """How much each has grown since ``earlier``."""
        return Counters({name: count - earlier[name] for name, count in self.counts.items()})


def read_counters(root: Path = Path("/")) -> Counters:
    """All of them, now. Raises ``OSError``; a host without IPv6 has none of that."""
    counts = parse_pairs_of_lines(net_file("snmp", root)) | parse_pairs_of_lines(net_file("netstat", root))
    with contextlib.suppress(FileNotFoundError):
        counts |= parse_names_and_counts(net_file("snmp6", root))
    return Counters(counts)


def parse_pairs_of_lines(text: str) -> dict[str, int]:
    """``snmp`` and ``netstat``: a line of names under a heading, and one of numbers. What is not so is passed over."""
    counts: dict[str, int] = {}
    lines = text.splitlines()
    for names, numbers in itertools.pairwise(lines):
        heading, _, fields = names.partition(":")
        if not heading or not numbers.startswith(f"{heading}:"):
            continue
        for name, number in zip(fields.split(), numbers.partition(":")[2].split(), strict=False):
            _put(counts, heading + name, number)
    return counts


def parse_names_and_counts(text: str) -> dict[str, int]:
    """``snmp6``: a name and a number in each line. What is not so is passed over."""
    counts: dict[str, int] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2:
            _put(counts, words[0], words[1])
    return counts


def _put(counts: dict[str, int], name: str, number: str) -> None:
    """A line of names that looks like one of numbers gives nothing; a few real counts are -1 ("no limit")."""
    if number.removeprefix("-").isascii() and number.removeprefix("-").isdigit() and len(number) < LONGEST:
        counts[name] = int(number)
