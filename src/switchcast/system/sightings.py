"""Who sends to a group, seen at the interface: in front of the firewall and of the source check of the kernel.

What is seen here and heard by no socket was dropped by this host itself. By a packet socket (packet(7)), which needs
the capability CAP_NET_RAW; a filter in the kernel lets only the group's packets through. Nothing is sent.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final

from switchcast.errors import EndpointDenied

__all__ = ["Sighting", "SightingListener"]

_SO_ATTACH_FILTER: Final = 26
_ETHERTYPES: Final = {4: 0x0800, 6: 0x86DD}
_SENT_BY_US: Final = 4
"""``PACKET_OUTGOING``."""
_HEADS: Final = 64
"""Bytes that are read of a packet: both addresses, and more is not needed."""
_MOST_AT_ONCE: Final = 256
_CARRIED: Final = (bytes([socket.IPPROTO_UDP]), bytes([socket.IPPROTO_FRAGMENT]))
# Classic BPF: load a word at an offset, go on where it is equal, else to the end; return how many bytes to keep.
_LOAD: Final = 0x20
_EQUAL: Final = 0x15
_RETURN: Final = 0x06


@dataclass(frozen=True, slots=True)
class Sighting:
    """A UDP packet to the group came in by ``interface``, from ``source``."""

    source: str
    interface: str


class SightingListener:
    """A packet socket for what comes to ``group``. Raises ``EndpointDenied`` without CAP_NET_RAW."""

    def __init__(self, group: str) -> None:
        address = ipaddress.ip_address(group)
        self._version = address.version
        ethertype = _ETHERTYPES[self._version]
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethertype))
        except PermissionError:
            raise EndpointDenied("a packet socket needs the capability CAP_NET_RAW") from None
        program = _filter(address.packed, 16 if self._version == 4 else 24)
        steps = ctypes.create_string_buffer(program)
        length = len(program) // 8
        try:
            self._socket.setsockopt(
                socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", length, ctypes.addressof(steps))
            )
        except OSError:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self._drain()

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read."""
        return self._socket.fileno()

    def read(self) -> list[Sighting]:
        """The packets that have come since the last time; not those that this host sends."""
        seen = []
        for _ in range(_MOST_AT_ONCE):
            try:
                packet, (interface, _, kind, *_) = self._socket.recvfrom(_HEADS)
            except BlockingIOError:
                break
            source, carried = (packet[12:16], packet[9:10]) if self._version == 4 else (packet[8:24], packet[6:7])
            # IGMP goes to the group too, for which its queriers need no address.
            if kind != _SENT_BY_US and interface != "lo" and carried in _CARRIED and len(source) in (4, 16):
                seen.append(Sighting(str(ipaddress.ip_address(source)), interface))
        return seen

    def _drain(self) -> None:
        """What came before the filter was there is anybody's."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(_MOST_AT_ONCE):
                self._socket.recv(_HEADS)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def _filter(destination: bytes, offset: int) -> bytes:
    """A program that keeps the head of a packet whose destination, at ``offset`` of the IP header, is this one."""
    words = [word for (word,) in struct.iter_unpack(">I", destination)]
    steps = []
    for place, word in enumerate(words):
        left = 2 * (len(words) - place) - 1
        steps.append(struct.pack("@HBBI", _LOAD, 0, 0, offset + 4 * place))
        steps.append(struct.pack("@HBBI", _EQUAL, 0, left, word))
    steps.append(struct.pack("@HBBI", _RETURN, 0, 0, _HEADS))
    steps.append(struct.pack("@HBBI", _RETURN, 0, 0, 0))
    return b"".join(steps)
