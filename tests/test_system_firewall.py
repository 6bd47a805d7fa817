"""Rules of nftables and iptables, read into one form: as the real tools print them, and any text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from doctor_trees import lay
from hypothesis import given
from hypothesis import strategies as st
from namespaces import Host, two_hosts
from strategies import PROPERTY

from switchcast.system import firewall
from switchcast.system.iptables import parse_iptables
from switchcast.system.nftables import parse_listing, parse_nft
from switchcast.system.packet_rules import Chain, Rule, Test


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with two_hosts() as (host, _):
        yield host


def read(host: Host, *rules: str) -> tuple[Chain, ...]:
    """The chains of a host whose ruleset is made of these ``nft`` commands."""
    host.run("nft", "flush ruleset")
    for rule in rules:
        host.run("nft", rule)
    with host.entered():
        return firewall.read_firewall().chains


BASE = ("add table inet f", "add chain inet f input { type filter hook input priority 10; policy drop; }")


def compared_by(host: Host, rule: str, *before: str) -> tuple[Test, ...]:
    """What nft makes of one rule, as it was read."""
    (chain,) = read(host, *BASE, *before, f"add rule inet f input {rule}")
    assert (chain.family, chain.table, chain.name) == ("inet", "f", "input")
    assert (chain.hook, chain.priority, chain.policy) == ("input", 10, "drop")
    (read_rule,) = chain.rules
    assert read_rule.text
    return read_rule.tests


UDP, IP = Test("protocol", ("udp",)), Test("family", ("ip",))


@pytest.mark.parametrize(
    ("rule", "tests"),
    [
        ("udp dport 4242 drop", (UDP, Test("destination-port", ("4242",)))),
        ("udp dport != 4242 drop", (UDP, Test("destination-port", ("4242",), negated=True))),
        ("udp dport { 53, 4000-5000 } drop", (UDP, Test("destination-port", ("53", "4000-5000")))),
        ("udp length <= 264 drop", (UDP, Test("udp-length", ("0-264",)))),
        ("ip daddr 239.0.0.0/8 drop", (IP, Test("destination", ("239.0.0.0/8",)))),
        ("ip daddr 239.1.1.1-239.1.1.9 drop", (IP, Test("destination", ("239.1.1.1-239.1.1.9",)))),
        ("ip protocol igmp drop", (IP, Test("protocol", ("igmp",)))),
        ("meta l4proto { udp, 2 } drop", (Test("protocol", ("igmp", "udp")),)),
        ("meta pkttype multicast drop", (Test("packet-type", ("multicast",)),)),
        ("meta nfproto ipv6 drop", (Test("family", ("ip6",)),)),
        ('iifname "eth*" drop', (Test("interface-in", ("eth*",)),)),
        ("ct state new drop", (Test("state", ("new",)),)),
        ("ip frag-off & 0x1fff != 0 drop", (IP, Test("fragment", ("later",)))),
        ("ip frag-off & 0x3fff != 0 drop", (IP, Test("fragment", ("first", "later")))),
        ("exthdr frag exists drop", (Test("family", ("ip6",)), Test("fragment", ("first", "later")))),
        ("frag frag-off != 0 drop", (Test("family", ("ip6",)), Test("fragment", ("later",)))),
        (
            "icmpv6 type mld-listener-query drop",
            (Test("protocol", ("icmpv6",)), Test("icmp-type", ("mld-listener-query",))),
        ),
        ("tcp dport 22 counter log drop", (Test("protocol", ("tcp",)), Test("destination-port", ("22",)))),
    ],
)
def test_what_a_rule_compares_is_understood(host: Host, rule: str, tests: tuple[Test, ...]) -> None:
    assert compared_by(host, rule) == tests


@pytest.mark.parametrize(
    "rule", ["meta mark 7 drop", "limit rate 5/second drop", "numgen random mod 100 < 10 drop", "ip ttl < 2 drop"]
)
def test_what_is_not_understood_stays_in_the_rule(host: Host, rule: str) -> None:
    assert [test.subject for test in compared_by(host, rule) if test.subject == "unknown"] == ["unknown"]


def test_named_sets_are_looked_up(host: Host) -> None:
    sets = ("add set inet f ports { type inet_service; flags interval; }", "add element inet f ports { 53, 4000-5000 }")
    assert compared_by(host, "udp dport @ports drop", *sets) == (UDP, Test("destination-port", ("53", "4000-5000")))


def test_a_verdict_map_is_a_rule_for_each_entry(host: Host) -> None:
    (chain,) = read(host, *BASE, "add rule inet f input udp dport vmap { 53 : accept, 4242 : drop }")
    assert sorted((rule.tests[-1].values, rule.verdict) for rule in chain.rules) == [
        (("4242",), "drop"),
        (("53",), "accept"),
    ]


def test_jumps_devices_and_texts(host: Host) -> None:
    chains = read(
        host,
        "add table netdev n",
        "add chain netdev n i { type filter hook ingress device veth priority -500; }",
        "add chain netdev n sub",
        "add rule netdev n sub drop",
        "add rule netdev n i udp dport 4242 jump sub",
    )
    entry, sub = sorted(chains, key=lambda chain: chain.name)
    assert (entry.hook, entry.devices, entry.priority) == ("ingress", ("veth",), -500)
    assert (entry.rules[0].verdict, entry.rules[0].target, entry.rules[0].text) == (
        "jump",
        "sub",
        "udp dport 4242 jump sub",
    )
    assert (sub.hook, sub.rules[0].verdict, sub.rules[0].text) == (None, "drop", "drop")
    assert firewall.Firewall(chains).jumped_to(entry, "sub") == sub


def test_a_host_without_rules_has_no_chains(host: Host) -> None:
    assert read(host) == ()


def test_where_no_tool_is_there_the_kernel_itself_is_asked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.run("nft", "flush ruleset")
    monkeypatch.setattr(firewall, "WHERE", "/nonexistent")
    with host.entered():
        assert firewall.read_firewall() == firewall.Firewall()
        for table in ("inet filter", "netdev a-name-of-more-than-four-bytes"):
            host.run("nft", f"add table {table}")
        (told,) = firewall.read_firewall().unread
    assert told == firewall.Unlisted(
        "nft",
        "nft is not installed, and the kernel has tables of it: inet filter, netdev a-name-of-more-than-four-bytes",
        installed=False,
    )


def test_tables_of_an_iptables_that_is_not_installed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel lists them in ``/proc``: nothing here makes such a table."""
    monkeypatch.setattr(firewall, "WHERE", "/nonexistent")
    monkeypatch.setattr(firewall, "ROOT", lay(tmp_path, {"proc/net/ip_tables_names": "filter\nnat\n"}))
    told = {each.tool: each.why for each in firewall.read_firewall().unread}
    assert told["iptables"] == "iptables-save is not installed, and the kernel has tables of it: filter, nat"
    assert "ip6tables" not in told


SAVED = """\
# Generated by iptables-save v1.8.9
*nat
:POSTROUTING ACCEPT [0:0]
COMMIT
*filter
:INPUT DROP [10:800]
:OUTPUT ACCEPT [0:0]
:f2b-sshd - [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i eth+ -p udp -m udp --dport 4000:5000 -m comment --comment "events, in" -j ACCEPT
-A INPUT ! -d 224.0.0.0/4 -p igmp -j REJECT --reject-with icmp-port-unreachable
-A INPUT -f -j DROP
-A INPUT -p tcp -m multiport --dports 22,80 -g f2b-sshd
-A INPUT -m pkttype --pkt-type multicast -j DROP
-A INPUT -m limit --limit 5/min -j LOG
-A INPUT -m limit --limit 5/min -j DROP
-A f2b-sshd -j RETURN
COMMIT
"""


def test_iptables_is_read_into_the_same_form() -> None:
    nat, chain, out, sub = parse_iptables(SAVED, "iptables")
    assert (nat.kind, nat.hook, out.policy) == ("nat", "postrouting", "accept")
    assert (chain.tool, chain.family, chain.hook, chain.policy) == ("iptables", "ip", "input", "drop")
    assert [(rule.tests, rule.verdict, rule.target) for rule in chain.rules] == [
        ((Test("state", ("related", "established")),), "accept", None),
        ((Test("interface-in", ("eth*",)), UDP, Test("destination-port", ("4000-5000",))), "accept", None),
        ((Test("destination", ("224.0.0.0/4",), negated=True), Test("protocol", ("igmp",))), "reject", None),
        ((Test("fragment", ("later",)),), "drop", None),
        ((Test("protocol", ("tcp",)), Test("destination-port", ("22", "80"))), "goto", "f2b-sshd"),
        ((Test("packet-type", ("multicast",)),), "drop", None),
        ((Test("unknown", ("-m limit",)), Test("unknown", ("--limit 5/min",))), "drop", None),
    ]
    assert (sub.hook, sub.rules) == (None, (Rule((), "return", "-A f2b-sshd -j RETURN"),))


def test_what_is_not_nfts_json_is_an_error_of_one_line() -> None:
    for text in ("", "[]", "{}", '{"nftables": 5}', "[" * 100_000):
        with pytest.raises(ValueError, match="nft's answer is not its JSON"):
            parse_nft(text)


@PROPERTY
@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_iptables(text, "iptables")
    parse_iptables(f"*filter\n:INPUT DROP\n-A INPUT {text}\n", "ip6tables")
    parse_listing(text)


_leaf = st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["@s", "udp", "frag-off"])
_names = st.sampled_from(
    ["match", "left", "right", "op", "payload", "protocol", "field", "meta", "key", "ct", "&", "exthdr", "name", "set",
     "prefix", "range", "elem", "val", "vmap", "data", "drop", "jump", "target", "queue", "xt"]
)  # fmt: skip
_json = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3), max_leaves=12
)


@PROPERTY
@given(_json, st.lists(_json, max_size=4))
def test_any_json_is_read_without_an_error(anything: object, expressions: list[object]) -> None:
    place = {"family": "inet", "table": "f"}
    entries = [
        anything,
        {"chain": {**place, "name": "c", "hook": "input", "prio": anything, "policy": anything, "dev": anything}},
        {"set": {**place, "name": "s", "elem": anything}},
        {"rule": {**place, "chain": "c", "handle": anything, "expr": expressions}},
        {"rule": anything},
    ]
    chains = parse_nft(json.dumps({"nftables": entries}))
    assert all(
        isinstance(value, str)
        for chain in chains
        for rule in chain.rules
        for test in rule.tests
        for value in test.values
    )
