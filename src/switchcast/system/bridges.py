"""Behind which ports of this host's bridges somebody has joined a group: the multicast databases (mdb) of snooping.

A dump of RTM_GETMDB over rtnetlink, by a socket of our own, for pyroute2 does not read these messages. Layouts and
numbers are those of linux/if_bridge.h; everything is in the host's byte order but addresses and protocols::

    nlmsghdr  length u32, type u16, flags u16, sequence u32, port u32
    br_port_msg  family u8, padding, ifindex u32 of the bridge
    MDBA_MDB (1) / MDBA_MDB_ENTRY (1) / MDBA_MDB_ENTRY_INFO (1):
        br_mdb_entry  ifindex u32 of the port, state u8, flags u8, vid u16, address 16 bytes, proto be16
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["BridgeMember", "parse_mdb", "read_bridge_members"]

_GETMDB: Final = 86
_ROWS: Final = (84, _GETMDB)
"""RTM_NEWMDB; a dump's answers have the number of what was asked for."""
_ERROR: Final = 2
_DONE: Final = 3
_REQUEST_DUMP: Final = 0x301
_AF_BRIDGE: Final = 7
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD

_HEADER: Final = struct.Struct("=IHHII")
_PORT_MESSAGE: Final = struct.Struct("=B3xI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ENTRY: Final = struct.Struct("=IBBH16s")
_PROTOCOL: Final = struct.Struct("!H")
_NESTED: Final = 0x3FFF
"""What is left of an attribute's type without the flags for nested and for byte order."""
_MOST_MEMBERS: Final = 65_536
_PATIENCE: Final = 5.0
"""Seconds: the kernel answers at once or not at all."""


@dataclass(frozen=True, slots=True)
class BridgeMember:
    """Somebody behind ``port`` of ``bridge`` has joined ``group``; this host itself, where both have one name."""

    bridge: str
    port: str
    group: str


def read_bridge_members() -> tuple[BridgeMember, ...]:
    """Those of every bridge of this network namespace. Raises ``OSError``, where the kernel has no bridging too."""
    found: list[BridgeMember] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(_PATIENCE)
        request = _PORT_MESSAGE.pack(_AF_BRIDGE, 0)
        asking.send(_HEADER.pack(_HEADER.size + len(request), _GETMDB, _REQUEST_DUMP, 1, 0) + request)
        done = False
        while not done and len(found) < _MOST_MEMBERS:
            rows, done = parse_mdb(asking.recv(1 << 16))
            found += [BridgeMember(_name(bridge), _name(port), group) for bridge, port, group in rows]
    return tuple(found)


def parse_mdb(data: bytes) -> tuple[list[tuple[int, int, str]], bool]:
    """One answer of the kernel: the index of the bridge and of the port, and the group, of each row; and if it is all.

    Raises ``OSError`` with the number of an error that the kernel tells. What is not as it should be is passed over.
    """
    rows: list[tuple[int, int, str]] = []
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        message, data = data[_HEADER.size : length], data[_aligned(max(length, _HEADER.size)) :]
        if kind == _DONE:
            return rows, True
        if kind == _ERROR and len(message) >= 4:
            number = -struct.unpack_from("=i", message)[0]
            raise OSError(number, os.strerror(number))
        if kind in _ROWS and len(message) >= _PORT_MESSAGE.size:
            _, bridge = _PORT_MESSAGE.unpack_from(message)
            rows += [(bridge, port, group) for port, group in _entries(message[_PORT_MESSAGE.size :])]
    return rows, False


def _entries(attributes: bytes) -> Iterator[tuple[int, str]]:
    """Port and group of each entry: three levels down, each of which counts from 1."""
    for database in _values(attributes):
        for entry in _values(database):
            for info in _values(entry):
                if len(info) < _ENTRY.size + _PROTOCOL.size:
                    continue
                port, _, _, _, address = _ENTRY.unpack_from(info)
                (protocol,) = _PROTOCOL.unpack_from(info, _ENTRY.size)
                if protocol == _IPV4:
                    yield port, str(ipaddress.IPv4Address(address[:4]))
                elif protocol == _IPV6:
                    yield port, str(ipaddress.IPv6Address(address))


def _values(attributes: bytes) -> Iterator[bytes]:
    """What stands in the attributes of type 1: the only one, on each level, that is wanted."""
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if length < _ATTRIBUTE.size:
            return
        if kind & _NESTED == 1:
            yield attributes[_ATTRIBUTE.size : length]
        attributes = attributes[_aligned(length) :]


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _name(index: int) -> str:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(index)
    return f"interface {index}"
