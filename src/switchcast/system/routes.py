"""Where the kernel would send a datagram: what ``ip route get`` shows.

In the network namespace of the calling thread, which has no event loop running (see ``netlink``).
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from typing import Final

from switchcast.system.netlink import routing

__all__ = ["Route", "Unroutable", "route_to"]

NO_WAY: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.ENODEV, errno.EADDRNOTAVAIL)
"""What the kernel answers where a route is missing, or where one forbids (``blackhole``, ``prohibit``)."""

RTN_UNICAST: Final = 1
RTN_LOCAL: Final = 2
RTN_BROADCAST: Final = 3
RTN_MULTICAST: Final = 5
FORBIDDING: Final = {errno.EINVAL: "a blackhole route", errno.EACCES: "a prohibit route"}
"""What the kernel answers where a route of that kind is met: EHOSTUNREACH for an unreachable one."""
REFUSING: Final = {6: "a blackhole route", 7: "an unreachable route", 8: "a prohibit route"}


@dataclass(frozen=True, slots=True)
class Route:
    """The way to ``destination``: the interface it leaves by, the address it is sent from, and the next router."""

    destination: str
    interface: str
    source: str | None = None
    gateway: str | None = None
    local: bool = False
    """The destination is this host."""


@dataclass(frozen=True, slots=True)
class Unroutable:
    """There is no way to ``destination``; ``why`` is the kernel's word, as in "Network is unreachable"."""

    destination: str
    why: str


def route_to(address: str, interface: str | None = None) -> Route | Unroutable:
    """The way to an IPv4 or IPv6 address or group; by ``interface`` only, when one is named. Raises ``OSError``."""
    by: dict[str, int] = {}
    if interface is not None:
        try:
            by["oif"] = socket.if_nametoindex(interface)
        except OSError:
            return Unroutable(address, os.strerror(errno.ENODEV))
    try:
        with routing() as netlink:
            message = next(iter(netlink.route("get", dst=address, **by)))
            kind, leaves_by = message["type"], message.get("oif")
    except OSError as error:
        if error.errno in NO_WAY:
            return Unroutable(address, FORBIDDING.get(error.errno, os.strerror(error.errno)))
        raise
    if kind not in (RTN_UNICAST, RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST) or leaves_by is None:
        return Unroutable(address, REFUSING.get(kind, "the routing table says nothing of it"))
    return Route(
        address,
        socket.if_indextoname(leaves_by),
        source=message.get("prefsrc"),
        gateway=message.get("gateway"),
        local=kind == RTN_LOCAL,
    )
