"""Each fault that the doctor knows of, made for real between hosts in namespaces: named, mended, and gone.

Where a mend is a command, the test runs it as it stands, on the host that it is for, and looks again.
"""

from __future__ import annotations

import multiprocessing.forkserver
import multiprocessing.resource_tracker
import shlex
import socket
from collections.abc import Iterator
from typing import Any, Final

import pytest
from doctors import Answer, doctors
from namespaces import Host, bridged_hosts, run, two_hosts

GROUP: Final = "239.192.7.1"
PORT: Final = 4299
URL: Final = f"multicast://{GROUP}:{PORT}?interface=veth"
IPV6_URL: Final = f"multicast://[ff15::7:1]:{PORT}?interface=veth"
WAIT: Final = "700ms"


@pytest.fixture(scope="module", autouse=True)
def _forking() -> Iterator[None]:
    """The process that the doctors are forked from, there before anything looks for what a test leaves behind."""
    multiprocessing.resource_tracker.ensure_running()
    multiprocessing.forkserver.ensure_running()
    yield


@pytest.fixture
def pair() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as hosts:
        yield hosts


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


def examine(*hosts: Host, url: str = URL, wait: str = WAIT, options: tuple[str, ...] = ()) -> list[Answer]:
    """Each host's doctor, at the same time."""
    return doctors(*((host, [url, "--wait", wait, *options]) for host in hosts))


def worst(answer: Answer) -> list[str]:
    """Codes of what is wrong, without what is only worth knowing."""
    return [code for code, finding in answer.findings.items() if finding["severity"] != "notice"]


def mend(host: Host, finding: dict[str, Any], tool: str) -> str:
    """Run the finding's first mend by ``tool`` on ``host``, word for word."""
    command: str = next(each["how"] for each in finding["mends"] if each["how"].startswith(tool))
    host.run(*shlex.split(command))
    return command


def found(answers: list[Answer], host: Host, code: str) -> dict[str, Any]:
    """The finding of this code on ``host``, which must be there."""
    answer = next(answer for answer in answers if answer.host == host.name)
    assert code in answer.findings, answer.said
    return answer.findings[code]


def assert_sound(answers: list[Answer]) -> None:
    for answer in answers:
        assert (answer.code, worst(answer)) == (0, []), answer.said


def test_healthy_hosts_have_no_finding_at_all(bridged: tuple[Host, Host]) -> None:
    answers = examine(*bridged, wait="3s", options=("--query-interval", "1s"))
    for answer in answers:
        assert (answer.code, answer.findings) == (0, {}), answer.said
        said = " ".join(answer.said["endpoints"][0]["healthy"])
        assert "datagrams of every size get through to and from 1 other host" in said
        assert "asks for memberships in IGMPv" in said


def test_healthy_hosts_of_two_groups_and_ipv6(pair: tuple[Host, Host]) -> None:
    url = f"multicast://{GROUP},[ff15::7:1]:{PORT}?interface=veth"
    for answer in examine(*pair, url=url):
        assert (answer.code, answer.findings) == (0, {}), answer.said


def test_healthy_hosts_by_unicast(pair: tuple[Host, Host]) -> None:
    a, b = pair
    answers = doctors(
        (a, [f"udp://{b.ipv4}:{PORT}", "--wait", WAIT]),
        (b, [f"udp://{a.ipv4}:{PORT}", "--wait", WAIT]),
    )
    for answer in answers:
        assert (answer.code, answer.findings) == (0, {}), answer.said
        assert any("1 other host" in line for line in answer.said["endpoints"][0]["healthy"]), answer.said


def test_a_dropped_route(pair: tuple[Host, Host]) -> None:
    url = f"multicast://{GROUP}:{PORT}"
    for host in pair:
        host.run("ip", "route", "add", "224.0.0.0/4", "dev", "veth")
    pair[0].run("ip", "route", "del", "224.0.0.0/4", "dev", "veth")
    answers = examine(*pair, url=url)
    mend(pair[0], found(answers, pair[0], "no-route"), "ip route add")
    assert_sound(examine(*pair, url=url))


def test_strict_reverse_path_filtering(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("ip", "link", "add", "other", "type", "veth", "peer", "unused")
    b.run("ip", "link", "set", "other", "up")
    b.run("ip", "link", "set", "unused", "up")
    b.run("ip", "address", "add", "192.0.2.1/24", "dev", "other")
    b.run("ip", "route", "add", f"{a.ipv4}/32", "dev", "other")  # the way back is another
    b.run("sysctl", "-qw", "net.ipv4.conf.veth.rp_filter=1")
    answers = examine(a, b)
    finding = found(answers, b, "rp-filter-strict")
    assert any(a.ipv4 in line for line in finding["evidence"]), finding
    assert "peer-hears-nothing" in worst(answers[0]), answers[0].said
    mend(b, finding, "sysctl -w")
    assert_sound(examine(a, b))


def test_a_rule_that_drops_fragments(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("nft", "add table inet faults")
    b.run("nft", "add chain inet faults early { type filter hook prerouting priority -450; }")
    b.run("nft", "add rule inet faults early ip frag-off & 0x1fff != 0 drop")
    answers = examine(a, b)
    assert "of 60000" not in found(answers, b, "fragments-lost")["title"]
    found(answers, a, "fragments-lost")
    b.run("nft", "delete table inet faults")
    assert_sound(examine(a, b))


def test_no_querier(bridged: tuple[Host, Host]) -> None:
    set_bridge(bridged[0], "mcast_querier 0")
    options = ("--query-interval", "1s")
    answers = examine(*bridged, wait="2100ms", options=options)
    finding = found(answers, bridged[1], "querier-absent")
    command = next(each["how"] for each in finding["mends"] if each["how"].startswith("ip link set"))
    run("ip", "-n", bridge_of(bridged[0]), *shlex.split(command.replace("BRIDGE", "br0"))[1:])
    assert_sound(examine(*bridged, wait="2100ms", options=options))


def test_a_wait_that_is_too_short_for_a_querier(pair: tuple[Host, Host]) -> None:
    (answer,) = examine(pair[0])
    assert "querier-absent" not in answer.findings
    assert "whether the network has an IGMP querier" in answer.unchecked
    assert "--wait 135s" in str(answer.said)


def test_the_wrong_interface(pair: tuple[Host, Host]) -> None:
    a, b = pair
    a.run("ip", "link", "add", "wrong", "type", "veth", "peer", "unused")
    a.run("ip", "link", "set", "unused", "up")
    a.run("ip", "link", "set", "wrong", "up")
    a.run("ip", "address", "add", "192.0.2.1/24", "dev", "wrong")
    wrong = URL.replace("veth", "wrong")
    answers = doctors((a, [wrong, "--wait", WAIT]), (b, [URL, "--wait", WAIT]))
    finding = found(answers, a, "wrong-interface")
    mended = shlex.split(finding["mends"][0]["how"])
    assert mended[:2] == ["switchcast", "doctor"]
    assert_sound(examine(a, b, url=mended[2]))


def test_different_mtus(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("ip", "link", "set", "veth", "mtu", "1300")
    answers = examine(a, b)
    found(answers, b, "mtu-mismatch")
    mend(a, found(answers, a, "mtu-mismatch"), "ip link set")
    assert_sound(examine(a, b))


def test_a_buffer_that_is_too_small(pair: tuple[Host, Host]) -> None:
    """A program of this host that does not read, with the smallest buffer there is."""
    a, b = pair
    with b.entered():
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("veth")
    with member:
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        member.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        member.bind((GROUP, PORT))
        joining = socket.inet_aton(GROUP) + bytes(4) + index.to_bytes(4, "little")
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joining)
        answers = examine(a, b)
        finding = found(answers, b, "receive-drops")
        assert finding["severity"] == "warning"
    assert_sound(examine(a, b))


def test_a_buffer_that_the_url_makes_too_small(pair: tuple[Host, Host]) -> None:
    (answer,) = examine(pair[0], url=f"{URL}&receive_buffer=2048")
    assert "receive-buffer-small" in answer.findings, answer.said


def test_too_few_memberships_allowed(pair: tuple[Host, Host]) -> None:
    a, b = pair
    a.run("sysctl", "-qw", "net.ipv4.igmp_max_memberships=0")
    mend(a, found(examine(a, b), a, "join-refused"), "sysctl -w")
    assert_sound(examine(a, b))


def test_a_link_that_is_down(pair: tuple[Host, Host]) -> None:
    a, b = pair
    a.run("ip", "link", "set", "veth", "down")
    mend(a, found(examine(a), a, "interface-down"), "ip link set")
    assert_sound(examine(a, b))


def test_a_ttl_of_0(pair: tuple[Host, Host]) -> None:
    a, b = pair
    answers = doctors((a, [f"{URL}&ttl=0", "--wait", WAIT]), (b, [URL, "--wait", WAIT]))
    found(answers, a, "ttl-zero")
    found(answers, b, "group-not-heard")


def test_a_firewall_that_drops_the_port(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("nft", "add table inet faults")
    b.run("nft", "add chain inet faults input { type filter hook input priority 0; }")
    b.run("nft", f"add rule inet faults input udp dport {PORT} drop")
    answers = examine(a, b)
    found(answers, b, "own-not-heard")
    found(answers, a, "peer-hears-nothing")
    b.run("nft", "delete table inet faults")
    assert_sound(examine(a, b))


def test_a_firewall_that_drops_what_is_sent(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    a.run("nft", "add table inet faults")
    a.run("nft", "add chain inet faults output { type filter hook output priority 0; }")
    a.run("nft", f"add rule inet faults output ip daddr {GROUP} drop")
    found(examine(a), a, "send-refused")


def test_a_firewall_that_drops_igmp(bridged: tuple[Host, Host]) -> None:
    """The switch never learns that this host is a member; announcements on the link show that the other is there."""
    a, b = bridged
    b.run("nft", "add table netdev faults")
    b.run("nft", "add chain netdev faults out { type filter hook egress device veth priority 0; }")
    b.run("nft", "add rule netdev faults out ip protocol igmp drop")
    options = ("--query-interval", "1s")
    answers = examine(a, b, wait="3s", options=options)
    finding = found(answers, b, "group-not-heard")
    assert any("so it is there" in line for line in finding["evidence"])
    b.run("nft", "delete table netdev faults")
    assert_sound(examine(a, b, wait="3s", options=options))


def test_ipv6_switched_off(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    a.run("sysctl", "-qw", "net.ipv6.conf.veth.disable_ipv6=1")
    finding = found(examine(a, url=IPV6_URL), a, "ipv6-disabled")
    mend(a, finding, "sysctl -w")
    (answer,) = examine(a, url=IPV6_URL)
    assert "ipv6-disabled" not in answer.findings


def test_an_igmp_version_that_is_forced(pair: tuple[Host, Host]) -> None:
    a, _ = pair
    a.run("sysctl", "-qw", "net.ipv4.conf.veth.force_igmp_version=1")
    finding = found(examine(a), a, "igmp-version-forced")
    mend(a, finding, "sysctl -w")
    (answer,) = examine(a)
    assert "igmp-version-forced" not in answer.findings


def test_a_querier_of_an_old_version(bridged: tuple[Host, Host]) -> None:
    set_bridge(bridged[0], "mcast_igmp_version 2")
    options = ("--query-interval", "1s")
    (answer,) = examine(bridged[0], url=f"{URL}&source=10.44.0.2", wait="2s", options=options)
    assert answer.findings["querier-old-version"]["severity"] == "critical"


def test_some_datagrams_lost(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("nft", "add table netdev faults")
    b.run("nft", "add chain netdev faults ingress { type filter hook ingress device veth priority 0; }")
    b.run("nft", "add rule netdev faults ingress udp length 308 numgen inc mod 2 == 0 drop")
    answers = examine(a, b)
    found(answers, b, "datagrams-lost")
    found(answers, a, "datagrams-lost")


def test_a_port_that_nobody_listens_on(pair: tuple[Host, Host]) -> None:
    a, b = pair
    (answer,) = doctors((a, [f"udp://{b.ipv4}:{PORT}", "--wait", WAIT]))
    assert "nobody-listens" in answer.findings, answer.said


def test_a_port_that_somebody_else_has(pair: tuple[Host, Host]) -> None:
    a, b = pair
    with a.entered():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.bind(("0.0.0.0", PORT))
        found(examine(a, b), a, "port-taken")
    assert_sound(examine(a, b))
