"""The kernel's counters of this host: ``/proc/net/snmp``, ``snmp6`` and ``netstat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Counters", "read_counters"]


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
    raise NotImplementedError
