"""The recorded datagrams, read with the standard library alone: the code under test is never its own witness."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

DATA = Path(__file__).parent / "data"
PSK = b"ClueCon"
"""The key of the recording that is under one."""
IPV4_UDP_HEADERS = 28


def read_pcap(path: Path) -> list[tuple[int, bytes]]:
    """``(time_ns, UDP payload)`` of each packet of a gzipped little-endian pcap of raw IPv4, microsecond times."""
    data = gzip.decompress(path.read_bytes())
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", data)
    assert (magic, link_type) == (0xA1B2C3D4, 101), f"{path.name} is not the pcap that this reader is for"
    datagrams = []
    position = 24
    while position < len(data):
        seconds, microseconds, kept, whole = struct.unpack_from("<IIII", data, position)
        assert kept == whole, f"{path.name}: a packet is cut short"
        position += 16
        datagrams.append((seconds * 10**9 + microseconds * 10**3, data[position + IPV4_UDP_HEADERS : position + kept]))
        position += kept
    return datagrams
