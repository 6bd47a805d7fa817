"""Whether this host's own firewall lets the group's datagrams in and out, their fragments, and IGMP and MLD.

Packets as they would come are walked through its rules (``walking``). A rule that is not wholly understood, or asks for
what is not known, "may" drop, which is a notice and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from switchcast.guard.doctor.facts import Facts, Unchecked, version_of
from switchcast.guard.doctor.walking import Hit, Packet, hits
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["check", "unchecked"]

EVENT_BYTES: Final = 1208
"""UDP length of an event of the common size: no rule against short datagrams is about it."""
MOST_SHOWN: Final = 6
"""Rules, and commands, in one finding."""
MOST_SENDERS: Final = 4
"""Senders whose addresses are walked through the rules."""
MLD_QUERY: Final = "mld-listener-query"
MLD_REPORT: Final = "mld2-listener-report"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of packets, and what a firewall that drops them does."""

    code: str
    severity: Severity
    what: str
    cause: str


EVENTS: Final = _Kind(
    "firewall-drops-events",
    Severity.CRITICAL,
    "events that come in",
    "The datagrams reach this host, and its own firewall drops them before any program sees them.",
)
FRAGMENTS: Final = _Kind(
    "firewall-drops-fragments",
    Severity.CRITICAL,
    "events that come in fragments",
    "An event that is larger than one packet comes in fragments, of which only the first has the port. With one of "
    "them dropped the event is lost; small events arrive.",
)
MEMBERSHIP: Final = _Kind(
    "firewall-drops-membership",
    Severity.WARNING,
    "IGMP or MLD, by which groups are joined",
    "Switches and routers ask who is a member, and pass the group to those who answer. Without question or answer it "
    "works until they forget this host, after about four minutes.",
)
SENDING: Final = _Kind(
    "firewall-drops-sending",
    Severity.CRITICAL,
    "events that this host sends",
    "The events are dropped on their way out; the program that sends them is told 'Operation not permitted'.",
)
MAY: Final = "firewall-may-drop"


def check(facts: Facts) -> Iterator[Finding]:
    """What the rules do to each kind of packet."""
    firewall = facts.firewall
    if firewall is None:
        return
    for kind, packets in _packets(facts):
        met = [(hit, packet) for packet in packets for hit in hits(firewall, packet)]
        dropped = {packet.version for hit, packet in met if hit.certain}
        for certain in (True, False):
            these = [(hit, packet) for hit, packet in met if hit.certain is certain]
            if not certain:  # once it is dropped for certain, what else may do so is of no use to know
                these = [(hit, packet) for hit, packet in these if packet.version not in dropped]
            if these:
                yield _finding(kind, these, certain=certain)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """Rules that this program may not read."""
    if facts.firewall is None:
        yield Unchecked("the firewall", facts.unread.get("firewall", "its rules were not read"), _AS_ROOT)
    else:
        for each in facts.firewall.unread:
            how = _AS_ROOT if each.installed else f"apt-get install {_PACKAGES.get(each.tool, each.tool)}"
            yield Unchecked(f"the rules of {each.tool}", each.why, how)


_AS_ROOT = "run it as root: sudo switchcast doctor"
_PACKAGES: Final = {"nft": "nftables", "ip6tables": "iptables"}
"""The Debian package that has the tool, where that is called otherwise."""


def _packets(facts: Facts) -> Iterator[tuple[_Kind, list[Packet]]]:
    """What would come and go, the kinds whose loss is worst first."""
    target, link = facts.target, facts.link
    name = link.name if link is not None else None
    bridged = link is not None and (link.kind == "bridge" or link.master is not None)
    comes = [
        Packet(
            version_of(group),
            "in",
            "udp",
            group,
            port=target.port,
            interface=name,
            source=source,
            udp_length=EVENT_BYTES,
            bridged=bridged,
        )
        for group in target.groups
        for source in _sources(facts, version_of(group))
    ]
    yield EVENTS, comes
    yield (
        SENDING,
        [
            Packet(
                version_of(address),
                "out",
                "udp",
                address,
                port=target.port,
                interface=name if address in target.groups else None,
                udp_length=EVENT_BYTES,
                bridged=bridged and address in target.groups,
            )
            for address in (*target.groups, *target.hosts)
        ],
    )
    yield (
        FRAGMENTS,
        [
            *(replace(packet, fragment="later", port=None, udp_length=None) for packet in comes),
            *(replace(packet, fragment="first") for packet in comes),
        ],
    )
    # A query goes to all hosts, and reports go to all routers that snoop. MLD stands behind a hop-by-hop header.
    igmp = Packet(4, "in", "igmp", "224.0.0.1", interface=name, bridged=bridged)
    mld = Packet(6, "in", "icmpv6", "ff02::1", interface=name, next_header="0", icmp_type=MLD_QUERY, bridged=bridged)
    pairs = (
        (igmp, replace(igmp, direction="out", destination="224.0.0.22")),
        (mld, replace(mld, direction="out", destination="ff02::16", icmp_type=MLD_REPORT)),
    )
    yield MEMBERSHIP, [packet for pair in pairs for packet in pair if packet.version in target.versions]


def _sources(facts: Facts, version: int) -> list[str | None]:
    """The senders' addresses, where any is known."""
    known = [sender.address for sender in facts.senders or () if version_of(sender.address) == version]
    known += [each for each in facts.target.sources if version_of(each) == version]
    return [*list(dict.fromkeys(known))[:MOST_SENDERS]] or [None]


def _finding(kind: _Kind, met: list[tuple[Hit, Packet]], *, certain: bool) -> Finding:
    may = "" if certain else "may "
    return Finding(
        code=kind.code if certain else MAY,
        severity=kind.severity if certain else Severity.NOTICE,
        title=f"This host's firewall {may}drop{'s' if certain else ''} {kind.what}.",
        evidence=tuple(dict.fromkeys(_shown(hit) for hit, _ in met))[:MOST_SHOWN],
        cause=kind.cause
        if certain
        else f"Whether it does depends on what cannot be told from the rule alone. {kind.cause}",
        mends=tuple(dict.fromkeys(_mend(hit, packet) for hit, packet in met))[:MOST_SHOWN],
    )


def _shown(hit: Hit) -> str:
    chain = hit.chain
    where = f"{chain.tool} {chain.family} {chain.table} {chain.name}"
    return f"{where}: {hit.rule.text if hit.rule is not None else 'policy drop'}"


def _mend(hit: Hit, packet: Packet) -> Mend:
    """The command that lets just such packets pass, in front of what drops them."""
    chain = hit.chain
    kept = "It lasts until the rules are loaded anew: put it into their file, too."
    if chain.tool == "nft":
        place = f"{chain.family} {chain.table} {chain.name}"
        command = f"insert rule {place} position {hit.rule.handle}" if hit.rule is not None else f"add rule {place}"
        return Mend(f"nft '{command} {_nft_match(packet)} accept'", f"{_effect(packet)} {kept}")
    match = _iptables_match(packet)
    return Mend(f"{chain.tool} -t {chain.table} -I {chain.name} 1 {match} -j ACCEPT", f"{_effect(packet)} {kept}")


def _effect(packet: Packet) -> str:
    if packet.protocol != "udp":
        return "Membership queries and reports pass."
    if packet.fragment != "none":
        return "Fragments to the group pass."
    return "Events to the group pass." if packet.multicast else "Events to that address pass."


def _nft_match(packet: Packet) -> str:
    address = f"{'ip' if packet.version == 4 else 'ip6'} daddr {packet.destination}"
    if packet.protocol == "igmp":
        return "ip protocol igmp"
    if packet.protocol == "icmpv6":
        return f"icmpv6 type {packet.icmp_type}"
    if packet.fragment != "none":
        return f"{address} {'ip frag-off & 0x3fff != 0' if packet.version == 4 else 'exthdr frag exists'}"
    return f"{address} udp dport {packet.port}"


def _iptables_match(packet: Packet) -> str:
    if packet.protocol == "igmp":
        return "-p igmp"
    if packet.protocol == "icmpv6":
        return "-p ipv6-icmp"
    if packet.fragment == "later":
        return f"-d {packet.destination} " + ("-f" if packet.version == 4 else "-m ipv6header --header frag --soft")
    return f"-d {packet.destination} -p udp --dport {packet.port}"
