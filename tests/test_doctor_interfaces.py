"""Faults of interfaces, memberships, routes and queriers, made for real on hosts in namespaces: named, and gone."""

from __future__ import annotations

import shlex
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from doctor_hosts import (
    BOTH_WAYS,
    GROUP,
    PORT,
    URL,
    another_link,
    assert_sound,
    drop_in,
    found,
    gone,
    mend,
    on,
)
from namespaces import Host

ANY: Final = "0.0.0.0"  # noqa: S104 - as FreeSWITCH binds
ALL_HOSTS: Final = "224.0.0.1"
ROUTER_ALERT: Final = b"\x94\x04\x00\x00"
"""The IP option that queries have (RFC 2113)."""
IPPROTO_IGMP: Final = 2


@contextmanager
def listener(host: Host, interface: str | None = None, group: str = GROUP) -> Iterator[socket.socket]:
    """A program of ``host`` on the port; where an interface is named, it has joined the group there."""
    with host.entered():
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((ANY, PORT))
        if interface is not None:
            join(ear, interface, group)
    with ear:
        yield ear


def join(ear: socket.socket, interface: str, group: str = GROUP) -> None:
    """Join on the interface of the namespace that is entered."""
    index = socket.if_nametoindex(interface)
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + struct.pack("@4xi", index))


@contextmanager
def sending(host: Host, protocol: int, packets: list[tuple[bytes, str]]) -> Iterator[None]:
    """``host`` sends these IP packets again and again, whatever address they say that they are from."""
    with host.entered():
        mouth = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xi", socket.if_nametoindex("veth")))
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.02):
            for packet, to in packets:
                mouth.sendto(packet, (to, 0))

    thread = threading.Thread(target=send)
    with mouth:
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def packet(source: str, destination: str, protocol: int, content: bytes, options: bytes = b"") -> bytes:
    """An IP packet; the kernel fills in its length and its checksum."""
    head = struct.pack("!BBHHHBBH", 0x40 | (5 + len(options) // 4), 0, 0, 0, 0, 1, protocol, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + options + content


def query(source: str) -> tuple[bytes, str]:
    """A general membership query of IGMPv3 from ``source``."""
    return packet(
        source, "224.0.0.1", IPPROTO_IGMP, bytes.fromhex("1164ec1e00000000027d0000"), ROUTER_ALERT
    ), "224.0.0.1"


def datagram(source: str, destination: str) -> tuple[bytes, str]:
    """A UDP datagram to the port."""
    return packet(source, destination, socket.IPPROTO_UDP, struct.pack("!HHHH", 9, PORT, 12, 0) + b"any?"), destination


def test_an_interface_that_is_not_there(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    (finding,) = found(on([a], URL.replace("veth", "eth7")), (a, "interface-missing"))
    assert finding["mends"][0]["how"] == "interface=veth"
    assert_sound(on(pair, URL.replace("interface=veth", finding["mends"][0]["how"])), said=BOTH_WAYS)


def test_an_interface_without_multicast(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("ip", "link", "set", "veth", "multicast", "off")
    (finding,) = found(on([a]), (a, "interface-no-multicast"))
    mend(a, finding, "ip link set")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_an_interface_without_an_address(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("ip", "address", "delete", f"{a.ipv4}/24", "dev", "veth")
    (finding,) = found(on([a]), (a, "interface-no-address"))
    a.run(*shlex.split(finding["mends"][0]["how"].replace("ADDRESS", a.ipv4)))
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_group_on_the_loopback_interface(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    (finding,) = found(on([a], URL.replace("veth", "lo")), (a, "interface-loopback"))
    assert finding["severity"] == "notice"
    gone(on([a]), a, "interface-loopback")


def test_a_source_address_of_nobody_and_of_another_interface(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    another_link(a)
    for address, severity in (("192.0.2.77", "critical"), ("192.0.2.1", "warning")):
        (finding,) = found(on([a], f"{URL}&source_address={address}"), (a, "source-address-elsewhere"))
        assert finding["severity"] == severity
    assert_sound(on(pair, f"{URL}&source_address={a.ipv4}")[:1])


def test_a_program_that_has_not_joined(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    with listener(a) as ear:
        found(on([a]), (a, "not-joined"))
        with a.entered():
            join(ear, "veth")
        gone(on([a]), a, "not-joined")


def test_a_program_that_joined_on_another_interface(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    another_link(a)
    with listener(a, "other"):
        (finding,) = found(on([a]), (a, "joined-elsewhere"))
    mend(a, finding, "ip route add")
    with listener(a) as ear:
        with a.entered():  # as a program that names no interface joins
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + bytes(4))
        gone(on([a]), a, "joined-elsewhere", "not-joined")


def test_fewer_memberships_than_groups(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("sysctl", "-qw", "net.ipv4.igmp_max_memberships=1")
    orders = on([a], f"multicast://{GROUP},239.192.7.9:{PORT}?interface=veth")
    (finding,) = found(orders, (a, "memberships-limit"))
    assert finding["severity"] == "critical"
    mend(a, finding, "sysctl -w")
    gone(orders, a, "memberships-limit")


def test_fewer_senders_than_are_named(pair: tuple[Host, Host]) -> None:
    a, b = pair
    a.run("sysctl", "-qw", "net.ipv4.igmp_max_msf=1")
    orders = on([a], f"{URL}&source={b.ipv4},10.42.0.9")
    finding, _ = found(orders, (a, "sources-limit"), (a, "join-refused"))
    mend(a, finding, "sysctl -w")
    gone(orders, a, "sources-limit", "join-refused")


def test_a_program_that_hears_by_anothers_membership(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    with listener(a, "veth"), listener(a) as other:
        (finding,) = found(on([a]), (a, "heard-without-joining"))
        assert finding["severity"] == "notice"
        with a.entered():
            join(other, "veth")
        gone(on([a]), a, "heard-without-joining")


def test_a_bridge_that_snoops_and_does_not_ask(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1")
    a.run("ip", "link", "set", "br0", "up")
    another_link(a)
    a.run("ip", "link", "set", "other", "master", "br0")
    a.run("ip", "address", "add", "198.51.100.1/24", "dev", "br0")
    orders = on([a], URL.replace("veth", "br0"))
    (finding,) = found(orders, (a, "bridge-without-querier"))
    mend(a, finding, "ip link set dev br0 type bridge mcast_querier 1")
    gone(orders, a, "bridge-without-querier")


def test_several_queriers_on_one_link(pair: tuple[Host, Host]) -> None:
    a, b = pair
    with sending(b, IPPROTO_IGMP, [query("10.42.0.253"), query("10.42.0.254")]):
        (finding,) = found(on([a]), (a, "querier-several"))
    assert finding["evidence"] == ["IGMP query from 10.42.0.253", "IGMP query from 10.42.0.254"]
    with sending(b, IPPROTO_IGMP, [query("10.42.0.253")]):
        gone(on([a]), a, "querier-several")


def test_no_way_to_groups_of_ipv6(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("ip", "route", "delete", "multicast", "ff00::/8", "dev", "veth", "table", "local")
    orders = on(pair, f"multicast://[ff15::7:1]:{PORT}")
    (finding,) = found(orders, (a, "no-route"))
    mend(a, finding, "ip route add")
    assert_sound(orders, said=BOTH_WAYS)


def test_a_way_back_that_is_given_to_strict_filtering(pair: tuple[Host, Host]) -> None:
    b = pair[1]
    another_link(b)
    b.run("ip", "route", "add", "10.42.0.0/31", "dev", "other")
    b.run("sysctl", "-qw", "net.ipv4.conf.veth.rp_filter=1")
    (finding,) = found(on(pair), (b, "rp-filter-strict"))
    mend(b, finding, "ip route add")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_route_by_another_interface_than_the_urls(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    another_link(a)
    a.run("ip", "route", "add", f"{GROUP}/32", "dev", "other")
    (finding,) = found(on([a]), (a, "route-elsewhere"))
    mend(a, finding, "ip route replace")
    gone(on([a]), a, "route-elsewhere")


def test_packets_that_reverse_path_filtering_drops(pair: tuple[Host, Host]) -> None:
    """Of strangers who send to this host alone: whose they are the counter does not say."""
    a, b = pair
    another_link(a)  # 192.0.2.0/24 is there, and the stranger's packets come in by veth
    a.run("sysctl", "-qw", "net.ipv4.conf.veth.rp_filter=1")
    with sending(b, socket.IPPROTO_UDP, [datagram("192.0.2.9", a.ipv4)]):
        (finding,) = found(on([a]), (a, "rp-filter-drops"))
        assert finding["severity"] == "warning"
        mend(a, finding, "sysctl -w net.ipv4.conf.veth.rp_filter=2")
        (finding,) = found(on([a]), (a, "rp-filter-drops"))
    assert finding["severity"] == "notice"  # it is counted still, and grows no more


def test_a_host_of_another_network_that_a_router_passes_on(pair: tuple[Host, Host]) -> None:
    """``b``'s datagrams to the group come as they do through a router: from elsewhere, and nothing else of it comes."""
    a, b = pair
    b.run("ip", "address", "delete", f"{b.ipv4}/24", "dev", "veth")
    b.run("ip", "address", "add", "198.51.100.2/24", "dev", "veth")
    a.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.veth.rp_filter=0")
    gone(on(pair), a, "ttl-too-small")  # its reports show that it is on this link
    drop_in(a, "netdev", "ingress device veth priority 0", "ip daddr 224.0.0.1")
    (finding,) = found(on(pair), (a, "ttl-too-small"))
    assert finding["evidence"] == ["198.51.100.2 is in no network of veth"]
    gone(on(pair, f"{URL}&{finding['mends'][0]['how']}"), a, "ttl-too-small")


def test_listeners_of_this_host_without_loopback(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    with listener(a, "veth"):
        (finding,) = found(on([a], f"{URL}&loopback=no"), (a, "loopback-off"))
        gone(on([a], f"{URL}&{finding['mends'][0]['how']}"), a, "loopback-off")


def test_membership_reports_that_the_firewall_keeps_in(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    drop_in(a, "inet", "output priority 0", "ip protocol igmp")
    (finding,) = found(on([a]), (a, "firewall-drops-membership"))
    mend(a, finding, "nft")
    gone(on([a]), a, "firewall-drops-membership")


def test_a_rule_whose_sense_depends_on_what_comes(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    drop_in(a, "inet", "input priority 0", f"udp dport {PORT} limit rate over 500/second")
    (finding,) = found(on([a]), (a, "firewall-may-drop"))
    assert finding["severity"] == "notice"
    mend(a, finding, "nft")
    gone(on([a]), a, "firewall-may-drop")
