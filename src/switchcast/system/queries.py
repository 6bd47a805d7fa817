"""Who asks the hosts of a link for their memberships: IGMP queries (RFC 3376) and MLD queries (RFC 3810).

Switches that snoop forget a group's members when nobody asks, so a link needs one querier. Queries are heard by raw
sockets, which need the capability CAP_NET_RAW; nothing is sent.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Final

from switchcast.errors import EndpointDenied

__all__ = ["Query", "QueryListener", "arrived_by", "parse_igmp", "parse_mld"]

_IP_PKTINFO: Final = 8
_ICMP6_FILTER: Final = 1
_ICMPV6: Final = socket.IPPROTO_ICMPV6
_IGMP_QUERY: Final = 0x11
_MLD_QUERY: Final = 130
_LARGEST: Final = 9216
_MOST_AT_ONCE: Final = 256
"""Datagrams that are read before others have their turn."""


@dataclass(frozen=True, slots=True)
class Query:
    """One membership query: ``protocol`` is ``IGMP`` or ``MLD``, ``group`` ``None`` where it asks for all groups.

    ``interval`` is how often the querier asks, in seconds, where its version says so. An empty ``source``, ``0.0.0.0``
    or ``::``, is a switch that asks by proxy and takes no part in the election of a querier.
    """

    protocol: str
    version: int
    source: str
    interface: str | None
    group: str | None = None
    interval: float | None = None


def parse_igmp(packet: bytes, interface: str | None) -> Query | None:
    """The query in an IPv4 packet, header included, as a raw socket hands it over; ``None`` for anything else.

    The version is told by length and maximum response time, as RFC 3376, 7.1 says.
    """
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    header = (packet[0] & 15) * 4
    message = packet[header:]
    if header < 20 or len(message) < 8 or message[0] != _IGMP_QUERY:
        return None
    version = 3 if len(message) >= 12 else 2 if message[1] else 1
    if 8 < len(message) < 12:
        return None
    group = socket.inet_ntoa(message[4:8])
    return Query(
        "IGMP",
        version,
        socket.inet_ntoa(packet[12:16]),
        interface,
        None if group == "0.0.0.0" else group,  # noqa: S104 - a field of the message, no address to bind
        _interval(message[9]) if version == 3 else None,
    )


def parse_mld(message: bytes, source: str, interface: str | None) -> Query | None:
    """The query in an ICMPv6 message; ``None`` for anything else. RFC 3810, 8.1: 24 bytes are version 1."""
    if len(message) < 24 or message[0] != _MLD_QUERY or 24 < len(message) < 28:
        return None
    version = 2 if len(message) >= 28 else 1
    group = socket.inet_ntop(socket.AF_INET6, message[8:24])
    return Query(
        "MLD",
        version,
        source,
        interface,
        None if group == "::" else group,
        _interval(message[25]) if version == 2 else None,
    )


def _interval(code: int) -> float:
    """The Querier's Query Interval Code in seconds: from 128 on a floating point number (RFC 3376, 4.1.7)."""
    return float(code) if code < 128 else float(((code & 15) | 16) << ((code >> 4 & 7) + 3))


class QueryListener:
    """A raw socket that hears the queries of one IP version. Raises ``EndpointDenied`` without CAP_NET_RAW."""

    def __init__(self, version: int) -> None:
        self._version = version
        try:
            if version == 4:
                self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            else:
                self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, _ICMPV6)
                only = [0xFFFFFFFF] * 8
                only[_MLD_QUERY >> 5] &= ~(1 << (_MLD_QUERY & 31))
                self._socket.setsockopt(_ICMPV6, _ICMP6_FILTER, struct.pack("@8I", *only))
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        except PermissionError:
            raise EndpointDenied("a raw socket needs the capability CAP_NET_RAW") from None
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor, readable when there is something to read."""
        return self._socket.fileno()

    def read(self) -> list[Query]:
        """The queries that have come since the last time."""
        queries = []
        for _ in range(_MOST_AT_ONCE):
            try:
                packet, control, _, address = self._socket.recvmsg(_LARGEST, 256)
            except BlockingIOError:
                break
            interface = arrived_by(control)
            query = (
                parse_igmp(packet, interface)
                if self._version == 4
                else parse_mld(packet, str(address[0]).partition("%")[0], interface)
            )
            if query is not None:
                queries.append(query)
        return queries

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()


def arrived_by(control: list[tuple[int, int, bytes]]) -> str | None:
    """The name of the interface by which a datagram came, from what came beside it."""
    for level, kind, data in control:
        index = 0
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            (index,) = struct.unpack_from("@i", data)
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            (index,) = struct.unpack_from("@I", data, 16)
        if index:
            try:
                return socket.if_indextoname(index)
            except OSError:
                return None
    return None
