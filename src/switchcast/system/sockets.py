"""The UDP sockets of this host: ``/proc/net/udp`` and ``/proc/net/udp6``, and more of each from sock_diag(7)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UdpSocket", "read_udp_sockets"]


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """One bound socket. Queues and buffers are in bytes as the kernel counts them, overhead included.

    What only sock_diag tells is ``None`` where the kernel does not have it.
    """

    address: str
    """``0.0.0.0`` or ``::`` for any."""
    port: int
    inode: int
    """Names the socket in ``/proc/PID/fd``."""
    uid: int = 0
    receive_queue: int = 0
    send_queue: int = 0
    drops: int = 0
    """Datagrams that found the receive buffer full, since the socket was opened."""
    interface: str | None = None
    """The interface it is bound to (SO_BINDTODEVICE)."""
    receive_buffer: int | None = None
    send_buffer: int | None = None
    multicast_all: bool | None = None
    """IP_MULTICAST_ALL: it hears every group that anyone on this host has joined."""
    multicast_loop: bool | None = None
    """IP_MULTICAST_LOOP: what it sends to a group is heard on this host too."""

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.address else 4

    @property
    def wildcard(self) -> bool:
        """Bound to any address."""
        return ipaddress.ip_address(self.address).is_unspecified


def read_udp_sockets(root: Path = Path("/"), *, port: int | None = None) -> tuple[UdpSocket, ...]:
    """Every UDP socket, or those on one port. Raises ``OSError``."""
    raise NotImplementedError
