"""What is read of /proc: made-up trees, lines as kernels print them, and any text at all."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.system.counters import parse_names_and_counts, parse_pairs_of_lines, read_counters
from switchcast.system.groups import Membership, parse_igmp, parse_igmp6, read_memberships
from switchcast.system.limits import SYSCTLS, KernelLimits, read_limits, sysctl_name
from switchcast.system.socket_details import SocketDetails, parse_answers
from switchcast.system.sockets import UdpSocket, parse_udp, read_udp_sockets

IGMP = """\
Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter
1\tlo        :     1      V3
\t\t\t\t010000E0     1 0:00000000\t\t0
4\teth0.100  :     2      V2
\t\t\t\t0101C0EF     2 0:00000000\t\t0
\t\t\t\t010000E0     1 1:00000C2F\t\t1
"""
IGMP6 = """\
1    lo              ff020000000000000000000000000001     1 0000000C 0
4    eth0.100        ff150000000000000000000000004242     3 00000004 0
"""
UDP = """\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 3501: 0101C0EF:1092 00000000:0000 07 00000200:00034000 00:00000000 00000000   998        0 77 2 0000000000000000 17
garbage: here
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when \
retrnsmt   uid  timeout inode ref pointer drops
  12: 000015FF000000000000000042420000:1092 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 \
00000000     0        0 99 2 0000000000000000 0
"""
SNMP = "Ip: Forwarding ReasmFails\nIp: 2 5\nUdp: InDatagrams RcvbufErrors\nUdp: 100 7\n"
NETSTAT = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 0 9\n"
SNMP6 = "Ip6InReceives                   \t29319\nUdp6RcvbufErrors                \t3\n"


def tree(root: Path, files: dict[str, str]) -> Path:
    """A made-up root directory with these files below ``/proc``."""
    for name, text in files.items():
        path = root / "proc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_memberships_of_both_families(tmp_path: Path) -> None:
    root = tree(tmp_path, {"net/igmp": IGMP, "net/igmp6": IGMP6})
    assert read_memberships(root) == (
        Membership("224.0.0.1", "lo", 1, "V3"),
        Membership("239.192.1.1", "eth0.100", 2, "V2"),
        Membership("224.0.0.1", "eth0.100", 1, "V2"),
        Membership("ff02::1", "lo", 1),
        Membership("ff15::4242", "eth0.100", 3),
    )


def test_sockets_of_both_families(tmp_path: Path) -> None:
    root = tree(tmp_path, {"net/udp": UDP, "net/udp6": UDP6})
    ours = UdpSocket("239.192.1.1", 4242, 77, uid=998, receive_queue=0x34000, send_queue=0x200, drops=17)
    assert read_udp_sockets(root) == (ours, UdpSocket("ff15::4242", 4242, 99))
    assert read_udp_sockets(root, port=5000) == ()
    assert not ours.wildcard
    assert ours.version == 4


def test_counters_have_the_names_of_nstat(tmp_path: Path) -> None:
    root = tree(tmp_path, {"net/snmp": SNMP, "net/netstat": NETSTAT, "net/snmp6": SNMP6})
    counters = read_counters(root)
    assert dict(counters.counts) == {
        "IpForwarding": 2,
        "IpReasmFails": 5,
        "UdpInDatagrams": 100,
        "UdpRcvbufErrors": 7,
        "TcpExtSyncookiesSent": 0,
        "TcpExtIPReversePathFilter": 9,
        "Ip6InReceives": 29319,
        "Udp6RcvbufErrors": 3,
    }
    assert counters["NotCounted"] == 0
    assert counters.since(counters)["IpReasmFails"] == 0


def test_a_host_without_ipv6_has_just_none_of_it(tmp_path: Path) -> None:
    root = tree(tmp_path, {"net/igmp": IGMP, "net/udp": UDP, "net/snmp": SNMP, "net/netstat": NETSTAT})
    assert {each.group for each in read_memberships(root)} == {"224.0.0.1", "239.192.1.1"}
    assert len(read_udp_sockets(root)) == 1
    assert read_counters(root)["UdpRcvbufErrors"] == 7


@pytest.mark.parametrize("read", [read_memberships, read_udp_sockets, read_counters])
def test_what_is_not_there_is_an_error_of_the_system(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def test_a_thread_reads_of_its_own_network(tmp_path: Path) -> None:
    """The first thread's network may be another one than that which this thread has entered."""
    root = tree(tmp_path, {"net/igmp": "", "net/igmp6": "", "thread-self/net/igmp": IGMP, "thread-self/net/igmp6": ""})
    assert len(read_memberships(root)) == 3


def test_limits_are_none_where_the_kernel_has_none(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == KernelLimits()
    root = tree(tmp_path, {f"sys/{place}": f"{number}\n" for number, place in enumerate(SYSCTLS.values())})
    assert read_limits(root) == KernelLimits(**{name: number for number, name in enumerate(SYSCTLS)})
    assert sysctl_name("ip6frag_high_thresh") == "net.ipv6.ip6frag_high_thresh"


@PROPERTY
@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    for parse in (parse_igmp, parse_igmp6, parse_udp):
        list(parse(text))
    parse_pairs_of_lines(text)
    parse_names_and_counts(text)


@PROPERTY
@given(st.sampled_from([IGMP, IGMP6, UDP, UDP6, SNMP, NETSTAT, SNMP6]), st.integers(0, 400), st.text(max_size=8))
def test_damaged_lines_are_read_without_an_error(text: str, place: int, put: str) -> None:
    damaged = text[:place] + put + text[place + 3 :]
    for parse in (parse_igmp, parse_igmp6, parse_udp):
        list(parse(damaged))
    parse_pairs_of_lines(damaged)
    parse_names_and_counts(damaged)


def sock_diag_answer(options: int) -> bytes:
    """One socket as the kernel tells it: inode 77 on interface 3, 425,984 bytes to receive and 212,992 to send."""
    memory = struct.pack("=HH9I", 4 + 36, 7, 0, 425_984, 0, 212_992, 0, 0, 0, 0, 0)
    socket_options = struct.pack("=HHBBxx", 6, 22, options, 0)
    message = bytes([2, 7, 0, 0]) + bytes(36) + struct.pack("=I", 3) + bytes(24) + struct.pack("=I", 77)
    body = message + memory + socket_options
    return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body


def test_buffers_and_multicast_options_are_read_from_sock_diag() -> None:
    assert parse_answers(sock_diag_answer(1 << 6)) == {77: SocketDetails(3, 425_984, 212_992, True, False)}
    assert parse_answers(sock_diag_answer(1 << 4)) == {77: SocketDetails(3, 425_984, 212_992, False, True)}


@PROPERTY
@given(st.binary(max_size=300) | st.integers(0, 200).map(lambda cut: sock_diag_answer(0)[:cut]))
def test_any_bytes_are_no_answer_and_no_error(data: bytes) -> None:
    parse_answers(data)
