"""What sock_diag(7) tells of UDP sockets beyond ``/proc/net/udp``: buffers, and how they stand to multicast.

Spoken here and not by pyroute2, whose diagnostic socket cannot tell an error from an answer. A request is::

    0                   4         6         8                   12                  16
    | length            | type 20 | flags   | sequence          | port 0            |    struct nlmsghdr
    | family, 17, ext, 0| states            | struct inet_diag_sockid, 48 bytes of 0 |    struct inet_diag_req_v2

and each answer a ``struct inet_diag_msg`` of 72 bytes with attributes behind it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["SocketDetails", "parse_answers", "read_details"]

NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3
NLM_F_REQUEST_DUMP: Final = 0x301
EVERY_STATE: Final = 0xFFFFFFFF
INET_DIAG_SKMEMINFO: Final = 7
INET_DIAG_SOCKOPT: Final = 22
MC_LOOP: Final = 1 << 4
MC_ALL: Final = 1 << 6

HEADER: Final = struct.Struct("=IHHII")
ATTRIBUTE: Final = struct.Struct("=HH")
MESSAGE: Final = struct.Struct("=BBBB 2s2s 16s16s I 8s IIII I")
MEMORY: Final = struct.Struct("=4I")
ANSWER_BYTES: Final = 1 << 16
PATIENCE: Final = 2.0
"""Seconds to wait for the kernel, which answers at once."""
MOST_ANSWERS: Final = 1000
"""Reads of one dump: many times more sockets than a host has."""


@dataclass(frozen=True, slots=True)
class SocketDetails:
    """Of one socket. Buffers are in bytes, twice what was asked for, as the kernel counts overhead too."""

    interface: int = 0
    """The index of the interface it is bound to; 0 for none."""
    receive_buffer: int | None = None
    send_buffer: int | None = None
    multicast_all: bool | None = None
    multicast_loop: bool | None = None


def read_details() -> dict[int, SocketDetails]:
    """Of every UDP socket in this thread's network namespace, by inode; empty where the kernel has no such answers."""
    found: dict[int, SocketDetails] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            for answer in _answers(family):
                found.update(parse_answers(answer))
        except OSError:  # the module udp_diag is not there, or not permitted
            continue
    return found


def _answers(family: int) -> Iterator[bytes]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as asking:
        asking.settimeout(PATIENCE)
        question = struct.pack("=BBBBI48x", family, socket.IPPROTO_UDP, 1 << (INET_DIAG_SKMEMINFO - 1), 0, EVERY_STATE)
        asking.send(HEADER.pack(HEADER.size + len(question), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0) + question)
        for _ in range(MOST_ANSWERS):
            answer = asking.recv(ANSWER_BYTES)
            yield answer
            if any(kind in (NLMSG_DONE, NLMSG_ERROR) for kind, _ in _messages(answer)):
                return


def parse_answers(data: bytes) -> dict[int, SocketDetails]:
    """The sockets in what one read gave, by inode. What is cut short is passed over."""
    found = {}
    for kind, body in _messages(data):
        if kind == SOCK_DIAG_BY_FAMILY and len(body) >= MESSAGE.size:
            fields = MESSAGE.unpack_from(body)
            found[fields[-1]] = _details(fields[8], body[MESSAGE.size :])
    return found


def _details(interface: int, attributes: bytes) -> SocketDetails:
    """From a socket's attributes; of SKMEMINFO the second word is the receive buffer and the fourth the send buffer."""
    told = dict(_parts(attributes, ATTRIBUTE))
    memory, options = told.get(INET_DIAG_SKMEMINFO, b""), told.get(INET_DIAG_SOCKOPT, b"")
    buffers = MEMORY.unpack_from(memory) if len(memory) >= MEMORY.size else None
    return SocketDetails(
        interface=interface,
        receive_buffer=buffers[1] if buffers else None,
        send_buffer=buffers[3] if buffers else None,
        multicast_all=bool(options[0] & MC_ALL) if options else None,
        multicast_loop=bool(options[0] & MC_LOOP) if options else None,
    )


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    return _parts(data, HEADER)


def _parts(data: bytes, header: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Netlink's messages and attributes alike: a length with the header's own, a type, and so on, padded to four."""
    place = 0
    while place + header.size <= len(data):
        length, kind, *_ = header.unpack_from(data, place)
        if length < header.size or place + length > len(data):
            return
        yield kind, data[place + header.size : place + length]
        place += (length + 3) & ~3
