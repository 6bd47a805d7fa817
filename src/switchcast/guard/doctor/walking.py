"""A packet's way through the chains of a firewall: which rules drop it, and which may.

A test answers yes, no, or maybe: maybe when the rule compares what we do not know of the packet, or what we do not
understand. A rule drops for certain only if all its tests say yes and nothing in front of it may have accepted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final, Literal

from switchcast.system.packet_rules import Chain, Firewall, Rule, Subject, Test

__all__ = ["Hit", "Packet", "hits"]

DEEPEST: Final = 16
"""Jumps into one another: nft allows as many."""
MOST_RULES: Final = 20_000
"""Rules that one packet is held against: chains that jump to one another many times over could take for ever."""
DEFRAGMENTED: Final = -400
"""The priority at which connection tracking puts datagrams together, in front of what has a larger one."""
INWARD: Final = ("ingress", "prerouting", "input")
OUTWARD: Final = ("output", "postrouting", "egress")


@dataclass(frozen=True, slots=True)
class Packet:
    """What is known of a packet. ``None`` is what is not: a test of it says maybe."""

    version: int
    direction: Literal["in", "out"]
    protocol: str
    destination: str
    port: int | None = None
    """``None`` where the packet has none: IGMP, and the later fragments of a datagram."""
    interface: str | None = None
    source: str | None = None
    fragment: Literal["none", "first", "later"] = "none"
    next_header: str | None = None
    """IPv6: what follows the first header, when that is not the protocol."""
    udp_length: int | None = None
    icmp_type: str | None = None
    """ICMPv6: its type, as nft names it."""
    bridged: bool = False
    """The interface is a bridge, so that the chains of family ``bridge`` see it too."""

    @property
    def multicast(self) -> bool:
        """Whether it goes to a group."""
        return ipaddress.ip_address(self.destination).is_multicast


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule, or a chain's policy (``rule`` is ``None``), that drops the packet, or may."""

    chain: Chain
    rule: Rule | None
    certain: bool


class _Answer(Enum):
    NO = 0
    MAYBE = 1
    YES = 2


class _Way(Enum):
    """How a chain was left."""

    ACCEPTED = "accepted"
    DROPPED = "dropped"
    PASSED = "passed"


@dataclass(slots=True)
class _Walk:
    firewall: Firewall
    packet: Packet
    sure: bool = True
    left: int = MOST_RULES
    found: list[Hit] = field(default_factory=list)


def hits(firewall: Firewall, packet: Packet) -> tuple[Hit, ...]:
    """Every rule that drops the packet, or may, in the order that it meets them; none after a certain one."""
    found: list[Hit] = []
    for chain in _entered(firewall, packet):
        walk = _Walk(firewall, packet)
        way = _through(walk, chain, 0)
        if way is _Way.PASSED and chain.policy == "drop":
            walk.found.append(Hit(chain, None, walk.sure))
        found.extend(walk.found)
        if any(hit.certain for hit in walk.found):
            break
    return tuple(found)


def _entered(firewall: Firewall, packet: Packet) -> Iterator[Chain]:
    """The chains with a hook that the packet comes by, in order."""
    hooks = INWARD if packet.direction == "in" else OUTWARD
    own = "ip" if packet.version == 4 else "ip6"
    chains = [
        chain
        for chain in firewall.chains
        if chain.hook in hooks
        and chain.family in (own, "inet", "netdev", *(["bridge"] if packet.bridged else []))
        and (not chain.devices or packet.interface is None or packet.interface in chain.devices)
        and (packet.fragment == "none" or _sees_fragments(firewall, chain, packet.version))
    ]
    yield from sorted(chains, key=lambda chain: (hooks.index(chain.hook or ""), chain.priority))


def _sees_fragments(firewall: Firewall, chain: Chain, version: int) -> bool:
    """Whether fragments come to this chain one by one, or put together.

    Those of IPv4 are put together in front of ``input`` in any case, those of IPv6 behind it; connection tracking does
    both earlier. What is sent is divided behind most chains.
    """
    if chain.hook in ("output", "postrouting"):
        return False
    if chain.family in ("netdev", "bridge"):
        return True
    if chain.hook == "input" and version == 4:
        return False
    return not firewall.tracks or chain.priority < DEFRAGMENTED


def _through(walk: _Walk, chain: Chain, depth: int) -> _Way:
    """Follow the packet through one chain, and those that it is sent on to."""
    for rule in chain.rules:
        walk.left -= 1
        if walk.left < 0:
            walk.sure = False
            break
        answer = _matches(rule, walk.packet)
        if answer is _Answer.NO or rule.verdict == "continue":
            continue
        way = _done(walk, chain, rule, answer, depth)
        if way is not None:
            return way
    return _Way.PASSED


def _done(walk: _Walk, chain: Chain, rule: Rule, answer: _Answer, depth: int) -> _Way | None:
    """What a rule that matches, or may, does; ``None`` when the next rule is looked at."""
    yes = answer is _Answer.YES
    if rule.verdict in ("drop", "reject"):
        walk.found.append(Hit(chain, rule, yes and walk.sure))
        way: _Way | None = _Way.DROPPED
    elif rule.verdict in ("jump", "goto"):
        way = _jumped(walk, chain, rule, depth, yes=yes)
    else:
        way = _Way.ACCEPTED if rule.verdict == "accept" else _Way.PASSED
    if way is not None and not yes:
        # It may have ended here, so whatever follows is no longer certain.
        walk.sure = False
        return None
    return way


def _jumped(walk: _Walk, chain: Chain, rule: Rule, depth: int, *, yes: bool) -> _Way | None:
    target = walk.firewall.jumped_to(chain, rule.target)
    if target is None or depth >= DEEPEST:
        walk.sure = False
        return None
    sure = walk.sure
    walk.sure = sure and yes
    way = _through(walk, target, depth + 1)
    if not yes:
        walk.sure = sure  # a jump that is not taken leaves all as it was; the caller sees to the rest
    return None if way is _Way.PASSED and rule.verdict == "jump" else way


def _matches(rule: Rule, packet: Packet) -> _Answer:
    answer = _Answer.YES
    for test in rule.tests:
        each = _holds(test, packet)
        if each is _Answer.NO:
            return each
        if each is _Answer.MAYBE:
            answer = each
    return answer


def _holds(test: Test, packet: Packet) -> _Answer:
    """One comparison. A later fragment has no ports: what compares them does not match, negated or not."""
    if test.subject in ("destination-port", "source-port", "udp-length") and (
        packet.fragment == "later" or packet.protocol not in ("udp", "tcp")
    ):
        return _Answer.NO
    answers = [_equals(test, value, packet) for value in test.values]
    if test.subject == "unknown" or _Answer.MAYBE in answers:
        return _Answer.MAYBE
    return _Answer.YES if (_Answer.YES in answers) != test.negated else _Answer.NO


def _equals(test: Test, value: str, packet: Packet) -> _Answer:
    if test.subject in ("destination", "source"):
        return _within(packet.destination if test.subject == "destination" else packet.source, value)
    if test.subject in ("destination-port", "udp-length"):
        return _in_range(packet.port if test.subject == "destination-port" else packet.udp_length, value)
    if test.subject in ("interface-in", "interface-out"):
        met = (test.subject == "interface-in") == (packet.direction == "in")
        return _named(packet.interface if met else "", value)
    known = _KNOWN[test.subject](packet)
    if known is None or (test.subject == "state" and value not in _STATES):
        return _Answer.MAYBE
    return _Answer.YES if known == value else _Answer.NO


def _state(packet: Packet) -> str | None:
    """What comes to a group answers nothing, so no connection is known for it; MLD is not tracked at all."""
    if packet.protocol == "icmpv6":
        return "untracked"
    return "new" if packet.multicast else None


_STATES: Final = ("new", "established", "related", "invalid", "untracked")
_KNOWN: Final[Mapping[Subject, Callable[[Packet], str | None]]] = {
    "protocol": lambda packet: packet.protocol,
    "next-header": lambda packet: "ipv6-frag" if packet.fragment != "none" else packet.next_header or packet.protocol,
    "fragment": lambda packet: packet.fragment,
    "packet-type": lambda packet: "multicast" if packet.multicast else "host",
    "family": lambda packet: "ip" if packet.version == 4 else "ip6",
    "icmp-type": lambda packet: packet.icmp_type or "none",
    "state": _state,
    "source-port": lambda _: None,
    "unknown": lambda _: None,
}
"""What is known of a packet by what a rule may compare; the other subjects are not compared for equality."""


def _within(address: str | None, value: str) -> _Answer:
    """An address in another, a network, or a range."""
    if address is None:
        return _Answer.MAYBE
    try:
        host = ipaddress.ip_address(address.partition("%")[0])
        low, dash, high = value.partition("-")
        if dash:
            first, last = ipaddress.ip_address(low), ipaddress.ip_address(high)
            inside = host.version == first.version == last.version and int(first) <= int(host) <= int(last)
        else:
            network = ipaddress.ip_network(value, strict=False)
            inside = host.version == network.version and host in network
    except ValueError:
        return _Answer.MAYBE
    return _Answer.YES if inside else _Answer.NO


def _in_range(number: int | None, value: str) -> _Answer:
    if number is None:
        return _Answer.MAYBE
    low, _, high = value.partition("-")
    try:
        return _Answer.YES if int(low) <= number <= int(high or low) else _Answer.NO
    except ValueError:  # a service by its name
        return _Answer.MAYBE


def _named(interface: str | None, value: str) -> _Answer:
    if interface is None:
        return _Answer.MAYBE
    same = fnmatchcase(interface, value.replace("[", "[[]")) if value.endswith("*") else interface == value
    return _Answer.YES if same else _Answer.NO
