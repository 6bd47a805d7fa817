"""The UDP sockets of this host: ``/proc/net/udp`` and ``/proc/net/udp6``, and more of each from sock_diag(7)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from switchcast.system.files import net_file
from switchcast.system.socket_details import SocketDetails, read_details

__all__ = ["UdpSocket", "parse_udp", "read_udp_sockets"]


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
    """Every UDP socket, or those on one port. Raises ``OSError``; a host without IPv6 has none of that.

    What sock_diag tells is of this host, so it is asked only where ``root`` is the real one.
    """
    found = [*parse_udp(net_file("udp", root))]
    with contextlib.suppress(FileNotFoundError):
        found.extend(parse_udp(net_file("udp6", root)))
    if port is not None:
        found = [each for each in found if each.port == port]
    details = read_details() if root == Path("/") else {}
    return tuple(_with_details(each, details.get(each.inode)) for each in found)


def parse_udp(text: str) -> Iterator[UdpSocket]:
    """``/proc/net/udp`` or ``udp6``: a heading, then a line a socket. What is not so is passed over."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 13 or ":" not in words[1]:
            continue
        try:
            host, port = words[1].split(":")
            send_queue, receive_queue = words[4].split(":")
            yield UdpSocket(
                _address(host),
                int(port, 16),
                int(words[9]),
                uid=int(words[7]),
                receive_queue=int(receive_queue, 16),
                send_queue=int(send_queue, 16),
                drops=int(words[12]),
            )
        except ValueError:
            continue


def _address(word: str) -> str:
    """An address in hex, each 32 bits of it as an integer of this host."""
    raw = bytes.fromhex(word)
    if len(raw) not in (4, 16):
        raise ValueError(word)
    if sys.byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(ipaddress.ip_address(raw))


def _with_details(seen: UdpSocket, details: SocketDetails | None) -> UdpSocket:
    if details is None:
        return seen
    return replace(
        seen,
        interface=_name_of(details.interface),
        receive_buffer=details.receive_buffer,
        send_buffer=details.send_buffer,
        multicast_all=details.multicast_all,
        multicast_loop=details.multicast_loop,
    )


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index) if index else None
    except OSError:  # gone since
        return None
