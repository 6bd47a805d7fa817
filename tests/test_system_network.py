"""What is read of the real kernel, in namespaces of our own: the same as ``ip -j`` tells."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from namespaces import Host, two_hosts

from switchcast._native import Receiver
from switchcast.system.counters import read_counters
from switchcast.system.groups import Membership, read_memberships
from switchcast.system.links import Bridge, Link, find_link, read_links
from switchcast.system.routes import Route, Unroutable, route_to
from switchcast.system.sockets import read_udp_sockets

GROUP, PORT = "239.192.1.1", 4242


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with a veth, a bridge that is down, and a rate limit on the veth."""
    with two_hosts() as (host, _):
        host.run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1")
        host.run("ip", "route", "add", "blackhole", "198.51.100.0/24")
        host.run("ip", "route", "add", "192.0.2.0/24", "via", "10.42.0.2")
        host.run("sysctl", "--quiet", "--write", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.veth.rp_filter=2")
        host.run("sysctl", "--quiet", "--write", "net.ipv4.conf.veth.force_igmp_version=2")
        yield host


def told(host: Host, *words: str) -> list[dict[str, Any]]:
    """What ``ip -j`` tells there."""
    rows: list[dict[str, Any]] = json.loads(host.run("ip", "-j", *words))
    return rows


def links_of(host: Host) -> dict[str, Link]:
    with host.entered():
        return {link.name: link for link in read_links()}


def test_interfaces_are_those_that_ip_shows(host: Host) -> None:
    links = links_of(host)
    rows = told(host, "address", "show")
    assert [link.name for link in links.values()] == [row["ifname"] for row in rows]
    for row in rows:
        link = links[row["ifname"]]
        assert (link.index, link.mtu) == (row["ifindex"], row["mtu"])
        assert (link.up, link.carrier, link.multicast, link.loopback) == tuple(
            flag in row["flags"] for flag in ("UP", "LOWER_UP", "MULTICAST", "LOOPBACK")
        )
        assert sorted((own.address, own.prefix) for own in link.addresses) == sorted(
            (own["local"], own["prefixlen"]) for own in row["addr_info"]
        )


def test_what_is_set_for_an_interface_is_what_holds(host: Host) -> None:
    links = links_of(host)
    assert (links["lo"].rp_filter, links["veth"].rp_filter) == (1, 2)
    assert (links["lo"].force_igmp_version, links["veth"].force_igmp_version) == (0, 2)
    assert links["veth"].ipv6_disabled is False
    assert (links["veth"].kind, links["br0"].kind) == ("veth", "bridge")
    assert links["br0"].bridge == Bridge(snooping=True, querier=True)
    assert find_link(tuple(links.values()), "10.42.0.1") == links["veth"]


def test_drops_of_a_queue_are_counted(host: Host) -> None:
    host.run("tc", "qdisc", "replace", "dev", "veth", "root", "tbf", "rate", "8kbit", "burst", "1600", "limit", "1600")
    try:
        with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            for _ in range(20):
                sending.sendto(bytes(1200), ("10.42.0.2", 9))
            queue = next(link.queue for link in read_links() if link.name == "veth")
        assert queue is not None
        assert queue.kind == "tbf"
        assert queue.drops >= 10
    finally:
        host.run("tc", "qdisc", "delete", "dev", "veth", "root")


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("10.42.0.9", None),
        ("192.0.2.7", None),
        (GROUP, "veth"),
        ("fd42::2", None),
        ("10.42.0.1", None),
        ("ff15::1", "veth"),
    ],
)
def test_the_way_is_the_one_that_ip_shows(host: Host, address: str, interface: str | None) -> None:
    (row,) = told(host, "route", "get", address, *(["oif", interface] if interface else []))
    with host.entered():
        way = route_to(address, interface)
    assert way == Route(address, row["dev"], row["prefsrc"], row.get("gateway"), local=row.get("type") == "local")


@pytest.mark.parametrize(
    ("address", "interface", "why"),
    [
        (GROUP, None, "Network is unreachable"),
        ("198.51.100.7", None, "a blackhole route"),
        ("fd99::1", None, "Network is unreachable"),
        (GROUP, "nowhere0", "No such device"),
    ],
)
def test_where_there_is_no_way_the_kernel_says_so(host: Host, address: str, interface: str | None, why: str) -> None:
    with host.entered():
        assert route_to(address, interface) == Unroutable(address, why)


def test_readers_that_ask_by_netlink_work_beside_an_event_loop(host: Host) -> None:
    async def both() -> tuple[tuple[Link, ...], Route | Unroutable]:
        return await asyncio.to_thread(read_links), await asyncio.to_thread(route_to, "10.42.0.2")

    with host.entered():
        links, way = asyncio.run(both())
    assert [link.name for link in links] == ["lo", "veth", "br0"]
    assert isinstance(way, Route)


def test_memberships_and_sockets_of_this_network_only(host: Host) -> None:
    with host.entered():
        with (
            closing(Receiver([GROUP, "ff15::4242"], PORT, interface="veth")),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stock,
        ):
            stock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
            stock.bind(("", PORT))
            sockets = {each.address: each for each in read_udp_sockets(port=PORT)}
            joined = read_memberships()
        assert read_udp_sockets(port=PORT) == ()
    assert {each.inode for each in read_udp_sockets(port=PORT)}.isdisjoint(each.inode for each in sockets.values())
    assert Membership(GROUP, "veth", 1, "V2") in joined
    assert Membership("ff15::4242", "veth", 1) in joined
    (any_address,) = (each for each in sockets.values() if each.wildcard)
    assert (any_address.receive_buffer, any_address.multicast_all, any_address.multicast_loop) == (100_000, True, True)
    assert sockets[GROUP].multicast_all is False
    assert (sockets[GROUP].receive_buffer or 0) > 100_000


def test_drops_and_counters_agree(host: Host) -> None:
    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full:
        full.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        full.bind(("127.0.0.1", PORT))
        before = read_counters()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            for _ in range(50):
                sending.sendto(bytes(1000), ("127.0.0.1", PORT))
        (seen,) = read_udp_sockets(port=PORT)
        since = read_counters().since(before)
    assert seen.drops > 0
    assert seen.receive_queue > 0
    assert since["UdpRcvbufErrors"] == seen.drops
