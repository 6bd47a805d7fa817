"""What a firewall does to the group: the walk through made rules, and the same as what a real kernel does."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
from doctor_facts import GROUP, GROUP6, HEALTHY, OTHER, PORT, found, link, severities, target
from hypothesis import given
from hypothesis import strategies as st
from namespaces import Host, two_hosts
from strategies import PROPERTY

from switchcast.guard.doctor import filtering
from switchcast.guard.doctor.facts import Facts, Sender
from switchcast.guard.doctor.walking import Packet, hits
from switchcast.guard.finding import Severity
from switchcast.system.firewall import Firewall, Unlisted, read_firewall
from switchcast.system.iptables import parse_iptables
from switchcast.system.packet_rules import Chain, Rule, Subject, Test, Verdict

CRITICAL, WARNING, NOTICE = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE
EVENTS = {"firewall-drops-events": CRITICAL}
FENCE = 4999
"""A port that every ruleset of these tests lets pass: what came by it came after what was sent before."""
BASE = (
    "add table inet f",
    "add chain inet f input { type filter hook input priority 0; policy drop; }",
    f"add rule inet f input udp dport {FENCE} accept",
)


def walls(*rules: Rule, **changes: Any) -> Firewall:
    """One chain of ``inet`` at ``input`` with these rules."""
    return Firewall((replace(Chain("nft", "inet", "f", "input", rules, hook="input"), **changes),))


def rule(verdict: Any, *tests: Test, **changes: Any) -> Rule:
    return replace(Rule(tests, verdict, f"{len(tests)} tests {verdict}", handle=7), **changes)


UDP, THE_PORT = Test("protocol", ("udp",)), Test("destination-port", (str(PORT),))
UNKNOWN = Test("unknown", ("meta mark 7",))
IGMP = rule("accept", Test("protocol", ("igmp",)))


def test_a_healthy_host_has_no_finding() -> None:
    assert found(filtering) == {}
    assert list(filtering.unchecked(HEALTHY)) == []


def test_what_could_not_be_read_is_told_and_no_finding() -> None:
    facts = Facts(target=HEALTHY.target, unread={"firewall": "Operation not permitted"})
    assert list(filtering.check(facts)) == []
    assert [(each.what, each.why) for each in filtering.unchecked(facts)] == [
        ("the firewall", "Operation not permitted")
    ]
    half = replace(HEALTHY, firewall=Firewall(unread=(Unlisted("nft", "Operation not permitted"),)))
    assert [each.what for each in filtering.unchecked(half)] == ["the rules of nft"]
    absent = Firewall(unread=(Unlisted("ip6tables", "ip6tables-save is not installed", installed=False),))
    assert [each.how for each in filtering.unchecked(replace(HEALTHY, firewall=absent))] == ["apt-get install iptables"]


@pytest.mark.parametrize(
    ("severities_found", "firewall"),
    [
        (EVENTS, walls(rule("drop", UDP, THE_PORT))),
        (EVENTS, walls(rule("reject", UDP, Test("destination", ("239.0.0.0/8",))))),
        (EVENTS, walls(rule("drop", UDP, Test("interface-in", ("eth*",))))),
        (EVENTS, walls(IGMP, policy="drop")),
        (EVENTS, walls(IGMP, rule("accept", UDP, Test("destination-port", ("1-4241",))), policy="drop")),
        (
            EVENTS,
            walls(rule("accept", UDP, Test("state", ("established",))), IGMP, rule("drop", Test("state", ("new",)))),
        ),
        ({"firewall-drops-membership": WARNING}, walls(rule("drop", Test("protocol", ("igmp",))))),
        ({"firewall-drops-membership": WARNING}, walls(rule("accept", UDP), policy="drop")),
        ({"firewall-drops-sending": CRITICAL}, walls(rule("drop", UDP, THE_PORT), hook="output")),
        ({"firewall-may-drop": NOTICE}, walls(rule("drop", UDP, THE_PORT, UNKNOWN))),
        ({"firewall-may-drop": NOTICE}, walls(IGMP, rule("accept", UDP, UNKNOWN), rule("drop"))),
        ({"firewall-may-drop": NOTICE}, walls(IGMP, rule("jump", UDP, target="gone"), rule("drop", UDP))),
        (
            {"firewall-drops-fragments": CRITICAL},
            walls(rule("drop", Test("fragment", ("later",))), family="netdev", hook="ingress", devices=("eth0",)),
        ),
        (
            {"firewall-drops-fragments": CRITICAL},
            walls(rule("accept", UDP, THE_PORT), IGMP, policy="drop", hook="prerouting"),
        ),
    ],
)
def test_each_fault_is_found(severities_found: dict[str, Severity], firewall: Firewall) -> None:
    assert severities(filtering, firewall=firewall) == severities_found


@pytest.mark.parametrize(
    "firewall",
    [
        walls(rule("drop", Test("protocol", ("tcp",)))),
        walls(rule("accept", UDP, THE_PORT), IGMP, policy="drop"),
        walls(rule("accept", Test("packet-type", ("multicast",))), policy="drop"),
        walls(rule("drop", UDP, Test("destination-port", ("5000",)))),
        walls(rule("drop", UDP, Test("udp-length", ("0-264",)))),
        walls(rule("drop", Test("family", ("ip6",)))),
        walls(rule("drop"), family="ip6"),
        walls(rule("drop"), hook="forward"),
        walls(rule("drop"), hook=None),
        walls(rule("drop"), family="netdev", hook="ingress", devices=("eth9",)),
        walls(rule("drop"), family="bridge"),
        walls(rule("drop", Test("interface-in", ("lo",)))),
        walls(rule("drop", UDP, THE_PORT, Test("destination", (GROUP,), negated=True))),
        walls(rule("drop", Test("state", ("invalid",)))),
        walls(rule("drop", Test("fragment", ("later",)))),
        # Datagrams are put together in front of this chain, for connections are tracked.
        walls(rule("accept", Test("state", ("new",))), policy="drop", hook="prerouting"),
    ],
)
def test_what_is_no_fault_is_not_found(firewall: Firewall) -> None:
    assert found(filtering, firewall=firewall) == {}


def test_chains_that_are_jumped_to_are_followed() -> None:
    entry = Chain("nft", "inet", "f", "input", (rule("jump", UDP, target="sub"), rule("drop")), hook="input")
    passing = Chain("nft", "inet", "f", "sub", (rule("return", UDP), rule("drop")))
    accepting = replace(passing, rules=(rule("accept", THE_PORT),))
    circle = replace(passing, rules=(rule("jump", UDP, target="sub"),))
    event = Packet(4, "in", "udp", GROUP, port=PORT, interface="eth0")
    assert [hit.certain for hit in hits(Firewall((entry, passing)), event)] == [True]
    assert hits(Firewall((entry, accepting)), event) == ()
    assert [hit.certain for hit in hits(Firewall((entry, circle)), event)] == [False]


def test_chains_that_jump_to_one_another_again_and_again_are_given_up() -> None:
    names = [f"c{place}" for place in range(16)]
    chains = [
        Chain("nft", "inet", "f", name, tuple(rule("jump", UDP, target=after) for _ in range(4)))
        for name, after in zip(names, [*names[1:], "last"], strict=True)
    ]
    entry = replace(chains[0], hook="input", policy="drop")
    last = Chain("nft", "inet", "f", "last", (rule("accept", Test("protocol", ("tcp",))),))
    event = Packet(4, "in", "udp", GROUP, port=PORT, interface="eth0")
    assert [(hit.rule, hit.certain) for hit in hits(Firewall((entry, *chains[1:], last)), event)] == [(None, False)]


def test_a_sender_that_is_known_decides_what_a_rule_says_of_senders() -> None:
    only_us = walls(rule("accept", UDP, Test("source", ("10.42.0.0/24",))), IGMP, policy="drop")
    assert severities(filtering, firewall=only_us) == {}
    assert severities(filtering, firewall=only_us, senders=(Sender("192.0.2.7"),)) == EVENTS
    assert severities(filtering, firewall=only_us, senders=None) == {"firewall-may-drop": NOTICE}


def test_a_bridge_is_met_by_its_own_chains() -> None:
    assert severities(filtering, firewall=walls(rule("drop", UDP), family="bridge"), links=link(kind="bridge")) == (
        EVENTS | {"firewall-drops-fragments": CRITICAL}
    )


def test_unicast_is_looked_at_where_it_is_sent() -> None:
    unicast = target(groups=(), hosts=(OTHER,), interface=None)
    blocked = walls(rule("drop", UDP, Test("destination", (OTHER,))), hook="output")
    assert severities(filtering, firewall=blocked, target=unicast) == {"firewall-drops-sending": CRITICAL}


def test_iptables_is_mended_by_iptables() -> None:
    saved = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p udp --dport 4242 -j DROP\nCOMMIT\n"
    finding = found(filtering, firewall=Firewall(parse_iptables(saved, "iptables")))["firewall-drops-events"]
    assert finding.evidence == ("iptables ip filter INPUT: -A INPUT -p udp --dport 4242 -j DROP",)
    assert [mend.how for mend in finding.mends] == [
        "iptables -t filter -I INPUT 1 -d 239.192.1.1 -p udp --dport 4242 -j ACCEPT"
    ]


_VALUES = ["udp", "4242", "1-9", "239.0.0.0/8", "ff00::/8", "eth*", "later", "@x", "", "-", "ip", "["]
_tests = st.builds(
    Test,
    st.sampled_from(get_args(Subject)),
    st.lists(st.sampled_from(_VALUES)).map(tuple),
    st.booleans(),
)
_rules = st.builds(
    Rule,
    st.lists(_tests, max_size=3).map(tuple),
    st.sampled_from(get_args(Verdict)),
    st.just("text"),
    st.sampled_from([None, "a", "b", "c"]),
)
_chains = st.builds(
    Chain,
    st.just("nft"),
    st.sampled_from(["ip", "ip6", "inet", "netdev", "bridge"]),
    st.just("t"),
    st.sampled_from(["a", "b", "c"]),
    st.lists(_rules, max_size=4).map(tuple),
    st.sampled_from([None, "ingress", "prerouting", "input", "output"]),
)


@PROPERTY
@given(st.lists(_chains, max_size=4).map(tuple))
def test_any_rules_are_walked_to_an_end(chains: tuple[Chain, ...]) -> None:
    both = replace(HEALTHY, firewall=Firewall(chains), target=target(groups=(GROUP, GROUP6)))
    for finding in filtering.check(both):
        assert len(finding.evidence) <= filtering.MOST_SHOWN


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as hosts:
        yield hosts


def facts_of(host: Host) -> Facts:
    """The healthy host's facts with the firewall of this one."""
    with host.entered():
        firewall = read_firewall()
    return replace(
        HEALTHY,
        target=target(groups=(GROUP, GROUP6), interface="veth"),
        links=tuple(replace(each, name="veth") if each.name == "eth0" else each for each in HEALTHY.links or ()),
        firewall=firewall,
        senders=None,
    )


def listener(group: str, port: int, host: Host) -> socket.socket:
    """A member of ``group`` on ``host``, whose namespace is entered."""
    version = ipaddress.ip_address(group).version
    ear = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
    packed, index = ipaddress.ip_address(group).packed, socket.if_nametoindex(host.interface)
    if version == 4:
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed + struct.pack("@4si", bytes(4), index))
    else:
        ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed + struct.pack("@I", index))
    ear.bind((group, port))
    ear.settimeout(20)
    return ear


def heard(hearer: Host, sender: Host, group: str) -> set[int]:
    """Which sizes ``hearer`` hears of what ``sender`` sends: one that fits a packet, and one that does not."""
    version = ipaddress.ip_address(group).version
    with hearer.entered():
        ear, fence = listener(group, PORT, hearer), listener(group, FENCE, hearer)
    with sender.entered():
        mouth = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(sender.interface)
    with ear, fence, mouth:
        if version == 4:
            mouth.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", bytes(4), bytes(4), index)
            )
        else:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        for size in (1200, 4000):
            mouth.sendto(bytes(size), (group, PORT))
        mouth.sendto(b"!", (group, FENCE))
        fence.recv(16)
        ear.setblocking(False)
        sizes = set()
        while True:
            try:
                sizes.add(len(ear.recv(8192)))
            except BlockingIOError:
                return sizes


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (*BASE, "add rule inet f input ct state established,related accept"),
        (*BASE, f"add rule inet f input udp dport {PORT} accept"),
        (*BASE, "add rule inet f input ct state established accept", f"add rule inet f input udp dport {PORT} accept"),
        (*BASE, f"add rule inet f input ip daddr {GROUP} accept"),
        (*BASE, "add rule inet f input meta pkttype multicast accept"),
        (
            *BASE,
            "add chain inet f sub",
            "add rule inet f input udp dport vmap { 4242 : jump sub }",
            "add rule inet f sub accept",
        ),
        (
            "add table inet f",
            "add chain inet f early { type filter hook prerouting priority -500; }",
            "add rule inet f early ip frag-off & 0x1fff != 0 drop",
        ),
        (
            "add table netdev n",
            "add chain netdev n i { type filter hook ingress device veth priority 0; }",
            "add rule netdev n i ip frag-off & 0x3fff != 0 drop",
            "add rule netdev n i exthdr frag exists drop",
        ),
        (
            "add table netdev n",
            "add chain netdev n i { type filter hook ingress device veth priority 0; }",
            f"add rule netdev n i udp dport {PORT} udp length <= 264 drop",
        ),
    ],
)
def test_the_walk_says_what_the_kernel_does_and_the_mends_mend(
    hosts: tuple[Host, Host], rules: tuple[str, ...]
) -> None:
    hearer, sender = hosts
    hearer.run("nft", "flush ruleset")
    for command in rules:
        hearer.run("nft", command)
    facts = facts_of(hearer)
    findings = {each.code: each for each in filtering.check(facts)}
    assert "firewall-may-drop" not in findings
    expected = {}
    for group in (GROUP, GROUP6):
        event = Packet(4 if group == GROUP else 6, "in", "udp", group, port=PORT, interface="veth", udp_length=1208)
        walked = facts.firewall or Firewall()
        later = replace(event, fragment="later", port=None, udp_length=None)
        passes = not hits(walked, event)
        whole = passes and not hits(walked, replace(event, fragment="first")) and not hits(walked, later)
        expected[group] = {size for size, arrives in ((1200, passes), (4000, whole)) if arrives}
    assert {group: heard(hearer, sender, group) for group in expected} == expected
    for finding in findings.values():
        for mend in finding.mends:
            hearer.run("sh", "-c", mend.how)
    assert list(filtering.check(facts_of(hearer))) == []
    assert {group: heard(hearer, sender, group) for group in expected} == {group: {1200, 4000} for group in expected}
