"""The probe's sockets: with the options that the endpoint's own have, and which say more of what comes in.

They take nothing from a program that listens: a group's datagrams are given to each of its members, and the port of a
unicast address is only taken where nobody else has it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from switchcast.app.doctor.conversation import Arrival
from switchcast.guard.doctor.facts import Target, version_of
from switchcast.system.links import Link
from switchcast.system.queries import arrived_by

__all__ = ["ALL_HOSTS", "link_ears", "link_mouth", "open_ear", "open_mouth", "received"]

ALL_HOSTS: Final = {4: "224.0.0.1", 6: "ff02::1"}
"""Every host of the link is a member, and no switch holds it back (RFC 4541, 2.1.2)."""

_IP_PKTINFO: Final = 8
_IP_RECVERR: Final = 11
_IP_RECVTTL: Final = 12
_IPV6_RECVERR: Final = 25
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
_SO_RCVBUFFORCE: Final = 33
_MCAST_JOIN_SOURCE_GROUP: Final = 46
_LEVELS: Final = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_LARGEST: Final = 65_536
_MOST_AT_ONCE: Final = 64
"""Datagrams that are read before others have their turn."""
_MOST_LINKS: Final = 16


def open_ear(target: Target, address: str, index: int) -> socket.socket:
    """A socket that hears what is sent to ``address`` of the target, as the endpoint would. Raises ``OSError``.

    ``address`` may be a group, or an address of this host; ``index`` 0 leaves the interface to the routing table.
    """
    version = version_of(address)
    group = ipaddress.ip_address(address).is_multicast
    ear = _open(version)
    try:
        _set_receive_buffer(ear, target.receive_buffer)
        if group:
            _share(ear, version)
        ear.bind(_place(address, target.port, index))
        if group:
            _join(ear, address, index, [each for each in target.sources if version_of(each) == version])
    except OSError:
        ear.close()
        raise
    return ear


def open_mouth(target: Target, address: str, index: int) -> socket.socket:
    """A socket connected to ``address`` that sends as the endpoint does. Raises ``OSError``."""
    version = version_of(address)
    mouth = _open(version)
    try:
        mouth.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, target.send_buffer)
        # Without it a full queue swallows datagrams, and the call succeeds all the same.
        mouth.setsockopt(_LEVELS[version], _IP_RECVERR if version == 4 else _IPV6_RECVERR, 1)
        if ipaddress.ip_address(address).is_multicast:
            _send_by(mouth, version, index, target.ttl, loopback=target.loopback)
        if target.source_address is not None and version_of(target.source_address) == version:
            mouth.bind(_place(target.source_address, 0, index))
        mouth.connect(_place(address, target.port, index))
    except OSError:
        mouth.close()
        raise
    return mouth


def link_ears(port: int, version: int, links: Sequence[Link]) -> list[socket.socket]:
    """Sockets that hear, on every interface, what other doctors tell all hosts of its link. Raises ``OSError``."""
    able = [link for link in links if link.up and link.multicast and not link.loopback and link.usable(version)]
    ears: list[socket.socket] = []
    try:
        for link in able[:_MOST_LINKS]:
            if version == 6 or not ears:
                ear = _open(version)
                ears.append(ear)
                _share(ear, version)
                ear.bind(_place(ALL_HOSTS[version], port, link.index))
            _join(ears[-1], ALL_HOSTS[version], link.index, [])
    except OSError:
        for ear in ears:
            ear.close()
        raise
    return ears


def link_mouth(port: int, version: int, index: int) -> socket.socket:
    """A socket that tells all hosts of the interface's link. Raises ``OSError``."""
    mouth = _open(version)
    try:
        _send_by(mouth, version, index, ttl=1, loopback=False)
        mouth.connect(_place(ALL_HOSTS[version], port, index))
    except OSError:
        mouth.close()
        raise
    return mouth


def received(ear: socket.socket, *, on_link: bool = False) -> Iterator[tuple[bytes, Arrival]]:
    """The datagrams that wait, at most so many that others have their turn."""
    for _ in range(_MOST_AT_ONCE):
        try:
            datagram, control, _, address = ear.recvmsg(_LARGEST, 256)
        except OSError:  # nothing more, or an error of what was sent before
            return
        source = str(address[0]).partition("%")[0]
        yield datagram, Arrival(source, arrived_by(control), _hops(control), on_link)


def _hops(control: list[tuple[int, int, bytes]]) -> int | None:
    kinds = {(socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}
    for level, kind, data in control:
        if (level, kind) in kinds:
            return int(struct.unpack_from("@i", data)[0])
    return None


def _open(version: int) -> socket.socket:
    """A socket that tells by which interface and with how many hops left a datagram came."""
    opened = socket.socket(_FAMILIES[version], socket.SOCK_DGRAM)
    opened.setblocking(False)
    if version == 4:
        opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
    else:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    return opened


def _share(ear: socket.socket, version: int) -> None:
    """Beside other members on the port, and deaf to the groups that only they have joined."""
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ear.setsockopt(_LEVELS[version], _IP_MULTICAST_ALL if version == 4 else _IPV6_MULTICAST_ALL, 0)


def _set_receive_buffer(ear: socket.socket, size: int) -> None:
    """What the endpoint asks for: more than ``rmem_max`` where the privilege is there."""
    with contextlib.suppress(PermissionError):
        ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        return
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def _join(ear: socket.socket, group: str, index: int, sources: Sequence[str]) -> None:
    if sources:
        for source in sources:
            request = struct.pack("@I4x", index) + _storage(group) + _storage(source)
            ear.setsockopt(_LEVELS[version_of(group)], _MCAST_JOIN_SOURCE_GROUP, request)
    elif version_of(group) == 4:
        request = socket.inet_aton(group) + struct.pack("@4xi", index)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    else:
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index)
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def _storage(address: str) -> bytes:
    """A ``sockaddr_storage``, 128 bytes."""
    packed = ipaddress.ip_address(address).packed
    family = struct.pack("@HH", _FAMILIES[version_of(address)], 0)
    return (family + packed if len(packed) == 4 else family + bytes(4) + packed).ljust(128, b"\0")


def _send_by(mouth: socket.socket, version: int, index: int, ttl: int, *, loopback: bool) -> None:
    if version == 4:
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, loopback)
        if index:
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xi", index))
    else:
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, loopback)
        if index:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)


def _place(address: str, port: int, index: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """A socket address; what is local to a link means something only together with an interface."""
    if version_of(address) == 4:
        return (address, port)
    found = ipaddress.IPv6Address(address)
    local = found.is_link_local or (found.is_multicast and found.packed[1] & 15 <= 2)
    return (address, port, 0, index if local else 0)
