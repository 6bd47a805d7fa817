"""Where the kernel would send a datagram: what ``ip route get`` shows, and what it knows of the neighbour there.

By pyroute2, as in ``links``. All raise ``OSError``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Route", "Unroutable", "route_to"]


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
    """The way to an IPv4 or IPv6 address or group; by ``interface`` only, when one is named."""
    raise NotImplementedError
