"""Network interfaces with their addresses and what is set for each: what ``ip address`` and ``sysctl`` show.

From netlink (rtnetlink(7)) by pyroute2, whose calls run an event loop of their own: in a program with one, call these
from another thread. Read in the network namespace of the calling thread. All raise ``OSError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Address", "Bridge", "Link", "Queue", "find_link", "read_links"]

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_MULTICAST: Final = 0x1000
IFF_LOWER_UP: Final = 0x10000


@dataclass(frozen=True, slots=True)
class Address:
    """One address of an interface. ``tentative``: IPv6 that may not be used yet, or never (a duplicate)."""

    address: str
    prefix: int
    tentative: bool = False

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Queue:
    """The queueing discipline of an interface: what it dropped since it was set up, and what waits, in packets."""

    kind: str
    drops: int
    backlog: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a bridge does with groups: ``snooping`` passes them only to ports that asked; ``querier`` asks itself."""

    snooping: bool
    querier: bool


@dataclass(frozen=True, slots=True)
class Link:
    """One interface. What could not be read of it is ``None``."""

    index: int
    name: str
    mtu: int
    up: bool = True
    """Administratively up (``ip link set NAME up``)."""
    carrier: bool = True
    """The other end is there."""
    multicast: bool = True
    loopback: bool = False
    kind: str | None = None
    """``bridge``, ``bond``, ``vlan``, ``veth``, ...; ``None`` for hardware."""
    master: int | None = None
    """The index of the bridge or bond that it is a port of."""
    addresses: tuple[Address, ...] = ()
    rp_filter: int | None = None
    """As it holds: the larger of the interface's own and that of ``all``. 0 none, 1 strict, 2 loose."""
    force_igmp_version: int | None = None
    """As it holds: that of ``all`` if it is set, else the interface's own. 0 means none is forced."""
    force_mld_version: int | None = None
    ipv6_disabled: bool | None = None
    queue: Queue | None = None
    bridge: Bridge | None = None

    def has(self, address: str) -> bool:
        """Whether ``address`` is one of its addresses."""
        return any(own.address == address for own in self.addresses)

    def usable(self, version: int) -> tuple[str, ...]:
        """Its addresses of IP version 4 or 6 that can be used now."""
        return tuple(own.address for own in self.addresses if own.version == version and not own.tentative)


def find_link(links: tuple[Link, ...], named: str) -> Link | None:
    """The interface of that name, or with that address."""
    return next((link for link in links if named == link.name or link.has(named)), None)


def read_links(root: Path = Path("/")) -> tuple[Link, ...]:
    """Every interface, by its index."""
    raise NotImplementedError
