"""Each fault that the doctor knows of, made for real between hosts in namespaces: named, mended, and gone.

Where a mend is a command, the test runs it as it stands, on the host that it is for, and looks again.
"""

from __future__ import annotations

import shlex
import socket
import struct
from collections.abc import Iterator
from typing import Final

import pytest
from doctor_hosts import (
    BOTH_WAYS,
    GROUP,
    PORT,
    URL,
    another_link,
    assert_sound,
    drop_in,
    examine,
    found,
    gone,
    mend,
    on,
)
from doctors import ensure_forking
from namespaces import Host, bridged_hosts, run

IPV6_URL: Final = f"multicast://[ff15::7:1]:{PORT}?interface=veth"
QUERIED: Final = ("2100ms", "4s", "8s", "16s")
"""Waits in which a querier that asks every second is heard."""


@pytest.fixture(scope="module", autouse=True)
def _forking() -> None:
    ensure_forking()


@pytest.fixture
def bridged() -> Iterator[tuple[Host, Host]]:
    """Two hosts on a bridge that snoops and asks for memberships, as a managed switch does."""
    with bridged_hosts(2) as (a, b):
        # First how long answers may take: so long the bridge floods after it has begun to ask.
        set_bridge(a, "mcast_query_response_interval 20 mcast_query_interval 100 mcast_startup_query_interval 50")
        set_bridge(a, "mcast_snooping 1 mcast_igmp_version 3 mcast_querier 1")
        yield a, b


def bridge_of(host: Host) -> str:
    """The namespace of the bridge that connects the hosts."""
    return host.name.removesuffix("0") + "-bridge"


def set_bridge(first: Host, settings: str) -> None:
    run("ip", "-n", bridge_of(first), "link", "set", "br0", "type", "bridge", *settings.split())


def test_healthy_hosts_have_no_finding_at_all(bridged: tuple[Host, Host]) -> None:
    orders = on(bridged, URL, "--query-interval", "1s")
    answers = examine(orders, lambda answers: all("asks for memberships" in each.healthy for each in answers), QUERIED)
    for answer in answers:
        assert (answer.code, answer.findings) == (0, {}), answer.said
        assert BOTH_WAYS in answer.healthy
        assert "asks for memberships in IGMPv3" in answer.healthy
        assert not any("quer" in what or "host" in what for what in answer.unchecked), answer.unchecked


def test_healthy_hosts_of_two_groups_and_ipv6(pair: tuple[Host, Host]) -> None:
    url = f"multicast://{GROUP},[ff15::7:1]:{PORT}?interface=veth"
    assert_sound(on(pair, url), said="to and from 2 other hosts")


def test_healthy_hosts_by_unicast(pair: tuple[Host, Host]) -> None:
    a, b = pair
    assert_sound([(a, [f"udp://{b.ipv4}:{PORT}"]), (b, [f"udp://{a.ipv4}:{PORT}"])], said=BOTH_WAYS)
    assert_sound([(a, [f"udp://[{b.ipv6}]:{PORT}"]), (b, [f"udp://[{a.ipv6}]:{PORT}"])], said=BOTH_WAYS)


def test_a_dropped_route(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    orders = on(pair, f"multicast://{GROUP}:{PORT}")
    for host in pair:
        host.run("ip", "route", "add", "224.0.0.0/4", "dev", "veth")
    a.run("ip", "route", "del", "224.0.0.0/4", "dev", "veth")
    (finding,) = found(orders, (a, "no-route"))
    mend(a, finding, "ip route add")
    assert_sound(orders, said=BOTH_WAYS)


def test_strict_reverse_path_filtering(pair: tuple[Host, Host]) -> None:
    a, b = pair
    another_link(b)
    b.run("ip", "route", "add", f"{a.ipv4}/32", "dev", "other")  # the way back is another
    b.run("sysctl", "-qw", "net.ipv4.conf.veth.rp_filter=1")
    finding, _ = found(on(pair), (b, "rp-filter-strict"), (a, "peer-hears-nothing"))
    assert any(a.ipv4 in line for line in finding["evidence"]), finding
    mend(b, finding, "sysctl -w")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_rule_that_drops_fragments(pair: tuple[Host, Host]) -> None:
    a, b = pair
    drop_in(b, "inet", "prerouting priority -450", "ip frag-off & 0x1fff != 0")
    _, _, finding = found(on(pair), (a, "fragments-lost"), (b, "fragments-lost"), (b, "firewall-drops-fragments"))
    mend(b, finding, "nft")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_no_querier(bridged: tuple[Host, Host]) -> None:
    a, b = bridged
    set_bridge(a, "mcast_querier 0")
    orders = on(bridged, URL, "--query-interval", "1s")
    (finding,) = found(orders, (b, "querier-absent"), waits=QUERIED)
    command = next(each["how"] for each in finding["mends"] if each["how"].startswith("ip link set"))
    run("ip", "-n", bridge_of(a), *shlex.split(command.replace("BRIDGE", "br0"))[1:])
    assert_sound(orders, said="asks for memberships", waits=QUERIED)


def test_a_wait_that_is_too_short_for_a_querier(pair: tuple[Host, Host]) -> None:
    (answer,) = examine(on(pair[:1]), lambda _: True)
    assert "querier-absent" not in answer.findings
    assert "whether the network has an IGMP querier" in answer.unchecked
    assert "--wait 135s" in str(answer.said)


def test_the_wrong_interface(pair: tuple[Host, Host]) -> None:
    a, b = pair
    another_link(a)
    (finding,) = found([(a, [URL.replace("veth", "other")]), (b, [URL])], (a, "wrong-interface"))
    command, subcommand, url = shlex.split(finding["mends"][0]["how"])
    assert (command, subcommand) == ("switchcast", "doctor")
    assert_sound(on(pair, url), said=BOTH_WAYS)


def test_different_mtus(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("ip", "link", "set", "veth", "mtu", "1300")
    finding, _ = found(on(pair), (a, "mtu-mismatch"), (b, "mtu-mismatch"))
    mend(a, finding, "ip link set")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_buffer_that_is_too_small(pair: tuple[Host, Host]) -> None:
    """A program of this host that does not read, with the smallest buffer there is."""
    b = pair[1]
    with b.entered():
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("veth")
    with member:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        member.bind((GROUP, PORT))
        joining = socket.inet_aton(GROUP) + struct.pack("@4xi", index)
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joining)
        (finding,) = found(on(pair), (b, "receive-drops"))
        assert finding["severity"] == "warning"
    assert_sound(on(pair), said=BOTH_WAYS)


def test_settings_of_the_url_and_of_the_kernel(pair: tuple[Host, Host]) -> None:
    """Several at once: a small buffer, a TTL of 0, and an old version of IGMP made to be spoken."""
    a, b = pair
    a.run("sysctl", "-qw", "net.ipv4.conf.veth.force_igmp_version=1")
    orders = [(a, [f"{URL}&ttl=0&receive_buffer=2048"]), (b, [URL])]
    findings = found(
        orders,
        (a, "igmp-version-forced"),
        (a, "ttl-zero"),
        (a, "receive-buffer-small"),
        (b, "group-not-heard"),
    )
    mend(a, findings[0], "sysctl -w")
    gone(on([a]), a, "igmp-version-forced", "ttl-zero", "receive-buffer-small")


def test_more_buffer_asked_for_than_anybody_may_have(pair: tuple[Host, Host]) -> None:
    """``net.core.rmem_max`` is the whole machine's, so the test asks for more than it allows instead of changing it."""
    most = int(pair[0].run("sysctl", "-n", "net.core.rmem_max"))
    found(on(pair[:1], f"{URL}&receive_buffer={4 * most}"), (pair[0], "receive-buffer-limited"))


def test_too_few_memberships_allowed(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("sysctl", "-qw", "net.ipv4.igmp_max_memberships=0")
    (finding,) = found(on(pair), (a, "join-refused"))
    mend(a, finding, "sysctl -w")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_link_that_is_down(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("ip", "link", "set", "veth", "down")
    (finding,) = found(on([a]), (a, "interface-down"))
    mend(a, finding, "ip link set")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_firewall_that_drops_the_port(pair: tuple[Host, Host]) -> None:
    a, b = pair
    drop_in(b, "inet", "input priority 0", f"udp dport {PORT}")
    *_, finding = found(on(pair), (a, "peer-hears-nothing"), (b, "own-not-heard"), (b, "firewall-drops-events"))
    mend(b, finding, "nft")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_firewall_that_drops_what_is_sent(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    drop_in(a, "inet", "output priority 0", f"ip daddr {GROUP}")
    *_, finding = found(on(pair), (a, "send-refused"), (a, "firewall-drops-sending"))
    mend(a, finding, "nft")
    assert_sound(on(pair), said=BOTH_WAYS)


def test_a_firewall_that_drops_igmp(bridged: tuple[Host, Host]) -> None:
    """The switch never learns that this host is a member; announcements on the link show that the other is there."""
    b = bridged[1]
    drop_in(b, "netdev", "egress device veth priority 0", "ip protocol igmp")
    (finding,) = found(on(bridged), (b, "group-not-heard"), waits=QUERIED)
    assert any("so it is there" in line for line in finding["evidence"])
    b.run("nft", "delete table netdev faults")
    assert_sound(on(bridged), said=BOTH_WAYS, waits=QUERIED)


def test_ipv6_switched_off(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    a.run("sysctl", "-qw", "net.ipv6.conf.veth.disable_ipv6=1")
    (finding,) = found(on([a], IPV6_URL), (a, "ipv6-disabled"))
    mend(a, finding, "sysctl -w")
    gone(on([a], IPV6_URL), a, "ipv6-disabled")


def test_a_querier_of_an_old_version(bridged: tuple[Host, Host]) -> None:
    set_bridge(bridged[0], "mcast_igmp_version 2")
    a, b = bridged
    (finding,) = found(on([a], f"{URL}&source={b.ipv4}"), (a, "querier-old-version"), waits=QUERIED)
    assert finding["severity"] == "critical"


def test_some_datagrams_lost(pair: tuple[Host, Host]) -> None:
    a, b = pair
    drop_in(b, "netdev", "ingress device veth priority 0", "udp length 308 numgen inc mod 2 == 0")
    found(on(pair), (a, "datagrams-lost"), (b, "datagrams-lost"))


def test_a_port_that_nobody_listens_on(pair: tuple[Host, Host]) -> None:
    a, b = pair
    found([(a, [f"udp://{b.ipv4}:{PORT}"])], (a, "nobody-listens"))


def test_a_port_that_somebody_else_has(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    with a.entered():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.bind(("0.0.0.0", PORT))  # noqa: S104 - in a namespace of the test's own
        found(on(pair), (a, "port-taken"))
    assert_sound(on(pair), said=BOTH_WAYS)
