"""Behind which ports of bridges somebody has joined: on a real bridge, and on what no kernel would say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from namespaces import two_hosts

from switchcast.system.bridges import BridgeMember, parse_mdb, read_bridge_members

DONE = struct.pack("=IHHII", 16, 3, 2, 1, 0)
ENTRY = bytes.fromhex("01000000 01000000 ef090909 00000000 00000000 00000000 0800 0000")


def attribute(content: bytes) -> bytes:
    return struct.pack("=HH", len(content) + 4, 1) + content + bytes(-len(content) % 4)


def message(kind: int, content: bytes) -> bytes:
    return struct.pack("=IHHII", len(content) + 16, kind, 2, 1, 0) + content


ROW = message(86, struct.pack("=B3xI", 7, 2) + attribute(attribute(attribute(ENTRY))))


def test_a_bridge_tells_its_members() -> None:
    with two_hosts() as (here, _):
        for command in (
            "ip link add br0 type bridge mcast_snooping 1",
            "ip link add port1 type veth peer name behind1",
            "ip link set port1 master br0",
            "ip link set br0 up",
            "ip link set port1 up",
            "ip link set behind1 up",
            "bridge mdb add dev br0 port port1 grp 239.192.1.1 permanent",
            "bridge mdb add dev br0 port port1 grp ff15::beef permanent",
        ):
            here.run(*command.split())
        with here.entered():
            members = read_bridge_members()
    assert {BridgeMember("br0", "port1", "239.192.1.1"), BridgeMember("br0", "port1", "ff15::beef")} <= set(members)


def test_a_dump_is_read_to_its_end() -> None:
    assert parse_mdb(ROW) == ([(2, 1, "239.9.9.9")], False)
    assert parse_mdb(ROW + ROW + DONE) == ([(2, 1, "239.9.9.9")] * 2, True)


def test_an_error_of_the_kernel_is_an_oserror() -> None:
    with pytest.raises(OSError, match="not supported"):
        parse_mdb(message(2, struct.pack("=i", -95) + bytes(16)))


@given(st.binary(max_size=200), st.integers(0, len(ROW)))
def test_rubbish_is_passed_over(rubbish: bytes, cut: int) -> None:
    for data in (rubbish, ROW[:cut], ROW[:cut] + rubbish, message(86, rubbish)):
        try:
            rows, _ = parse_mdb(data)
        except OSError:
            continue
        assert all(isinstance(group, str) for _, _, group in rows)
