"""Network interfaces with their addresses and what is set for each: what ``ip address`` and ``sysctl`` show.

From netlink (rtnetlink(7)) and ``/proc/sys``, in the network namespace of the calling thread, which has no event loop
running (see ``netlink``). All raise ``OSError``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from switchcast.system.files import read_sysctl
from switchcast.system.netlink import routing

__all__ = ["Address", "Bridge", "Link", "Queue", "find_link", "read_links"]

IFF_UP: Final = 0x1
IFF_LOOPBACK: Final = 0x8
IFF_MULTICAST: Final = 0x1000
IFF_LOWER_UP: Final = 0x10000
ARPHRD_NONE: Final = 0xFFFE
IFA_F_OPTIMISTIC: Final = 0x04
IFA_F_DADFAILED: Final = 0x08
IFA_F_TENTATIVE: Final = 0x40
TC_H_ROOT: Final = 0xFFFFFFFF
TC_H_INGRESS: Final = 0xFFFFFFF1


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
    framed: bool = True
    """It carries frames, as a wire does; a tun carries bare IP packets (``ARPHRD_NONE``)."""
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
    with routing() as netlink:
        links = tuple(netlink.link("dump"))
        addresses = tuple(netlink.addr("dump"))
        queues = _queues(netlink)
    return tuple(
        sorted(
            (_link(message, addresses, queues.get(message["index"]), root) for message in links),
            key=lambda link: link.index,
        )
    )


def _link(message: Any, addresses: Iterable[Any], queue: Queue | None, root: Path) -> Link:
    """One interface from its netlink message, and from ``/proc/sys`` what is set for it."""
    name, flags = str(message.get("ifname")), int(message["flags"])
    return Link(
        index=message["index"],
        name=name,
        mtu=message.get("mtu") or 0,
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        multicast=bool(flags & IFF_MULTICAST),
        loopback=bool(flags & IFF_LOOPBACK),
        kind=message.get(("linkinfo", "kind")),
        framed=message.get("ifi_type") != ARPHRD_NONE,
        master=message.get("master"),
        addresses=tuple(_address(each) for each in addresses if each["index"] == message["index"]),
        rp_filter=_larger(root, "net/ipv4/conf/{}/rp_filter", name),
        force_igmp_version=_all_first(root, "net/ipv4/conf/{}/force_igmp_version", name),
        force_mld_version=_all_first(root, "net/ipv6/conf/{}/force_mld_version", name),
        ipv6_disabled=_flag(read_sysctl(f"net/ipv6/conf/{name}/disable_ipv6", root)),
        queue=queue,
        bridge=_bridge(message.get(("linkinfo", "data"))) if message.get(("linkinfo", "kind")) == "bridge" else None,
    )


def _address(message: Any) -> Address:
    flags = message.get("flags") or 0
    return Address(
        # Of a point-to-point link the first is the other end's.
        address=str(message.get("local") or message.get("address")),
        prefix=message["prefixlen"],
        tentative=bool(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) and not flags & IFA_F_OPTIMISTIC,
    )


def _bridge(data: Any) -> Bridge | None:
    if data is None:
        return None
    return Bridge(snooping=bool(data.get("br_mcast_snooping")), querier=bool(data.get("br_mcast_querier")))


def _queues(netlink: Any) -> dict[int, Queue]:
    """The queueing discipline at the root of each interface, by its index; with several queues, all of them summed."""
    queues: dict[int, Queue] = {}
    for message in netlink.tc("dump"):
        stats = message.get("stats2")
        counts = stats.get_attr("TCA_STATS_QUEUE") if stats is not None else None
        if message["parent"] == TC_H_INGRESS or counts is None:
            continue
        had = queues.get(message["index"])
        if message["parent"] == TC_H_ROOT or had is None:
            queues[message["index"]] = Queue(str(message.get("kind")), counts["drops"], counts["qlen"])
    return queues


def _larger(root: Path, sysctl: str, name: str) -> int | None:
    """As the kernel takes rp_filter (ip-sysctl): the larger of the interface's own and that of all."""
    values = [read_sysctl(sysctl.format(each), root) for each in ("all", name)]
    return max((value for value in values if value is not None), default=None)


def _all_first(root: Path, sysctl: str, name: str) -> int | None:
    """As the kernel takes a forced version: that of all where it is set, else the interface's own."""
    return read_sysctl(sysctl.format("all"), root) or read_sysctl(sysctl.format(name), root)


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)
