"""Which tables nftables has, asked of the kernel itself: for hosts where ``nft``, which lists their rules, is not.

A dump of ``NFT_MSG_GETTABLE`` over netlink (``linux/netfilter/nf_tables.h``), in the network namespace of the calling
thread. Only the names are read: without ``nft`` what is in the tables stays unknown, and that is told.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

__all__ = ["read_nft_tables"]

_NETLINK_NETFILTER: Final = 12
_NFTABLES: Final = 10 << 8
"""The subsystem, in the upper half of a message's type."""
_NEW_TABLE: Final = _NFTABLES | 0
_GET_TABLE: Final = _NFTABLES | 1
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_HEAD: Final = struct.Struct("=LHHLL")
_FAMILY: Final = struct.Struct("=BBH")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NAME: Final = 1
_FAMILIES: Final = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_SECONDS: Final = 5.0
"""To wait for an answer, which comes at once."""


def read_nft_tables() -> tuple[str, ...]:
    """Each table as nft names it, ``inet filter``; none where the kernel has no nftables.

    Raises ``OSError`` where the kernel refuses, as it does without CAP_NET_ADMIN.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as kernel:
        kernel.settimeout(_SECONDS)
        kernel.send(_HEAD.pack(_HEAD.size + _FAMILY.size, _GET_TABLE, _REQUEST_DUMP, 1, 0) + _FAMILY.pack(0, 0, 0))
        found: list[str] = []
        while True:
            for kind, content in _messages(kernel.recv(65536)):
                if kind == _NEW_TABLE:
                    found.append(_table(content))
                elif kind == _DONE:
                    return tuple(found)
                elif kind == _ERROR:
                    number = -struct.unpack_from("=i", content)[0]
                    if number == errno.EINVAL:  # nobody answers for nftables
                        return ()
                    raise OSError(number, os.strerror(number))


def _messages(answer: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and content of each message."""
    while len(answer) >= _HEAD.size:
        length, kind, *_ = _HEAD.unpack_from(answer)
        yield kind, answer[_HEAD.size : length]
        answer = answer[max(_aligned(length), _HEAD.size) :]


def _table(content: bytes) -> str:
    family, attributes, name = content[0], content[_FAMILY.size :], ""
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _NAME:
            name = attributes[_ATTRIBUTE.size : length].rstrip(b"\0").decode("utf-8", "replace")
        attributes = attributes[max(_aligned(length), _ATTRIBUTE.size) :]
    return f"{_FAMILIES.get(family, str(family))} {name}"


def _aligned(length: int) -> int:
    return -(-length // 4) * 4
