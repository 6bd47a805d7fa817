"""The rules that packets meet, in one form whatever wrote them: chains of rules with what each compares.

One walk can then follow a datagram through nftables and iptables alike. What a rule compares that we do not know stays
in it as ``unknown``: nobody may say more of such a rule than "may".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["PROTOCOLS", "Chain", "Firewall", "Rule", "Subject", "Test", "Unlisted", "Verdict", "protocol_name"]

Subject = Literal[
    "destination",
    "source",
    "protocol",
    "next-header",
    "destination-port",
    "source-port",
    "udp-length",
    "icmp-type",
    "fragment",
    "packet-type",
    "interface-in",
    "interface-out",
    "family",
    "state",
    "unknown",
]
"""``protocol`` is that of layer 4, by name; ``next-header`` what follows the IPv6 header itself, so that of a fragment
is ``ipv6-frag``. ``fragment`` is ``none``, ``first`` or ``later``; ``packet-type`` is ``multicast``, ``broadcast``,
``host``; ``family`` is ``ip`` or ``ip6``; ``state`` is conntrack's: ``new``, ``established``, ..."""
Verdict = Literal["accept", "drop", "reject", "jump", "goto", "return", "continue"]

PROTOCOLS: Final = {
    "1": "icmp",
    "2": "igmp",
    "6": "tcp",
    "17": "udp",
    "44": "ipv6-frag",
    "58": "icmpv6",
    "ipv6-icmp": "icmpv6",
    "136": "udplite",
}
"""Other ways to write a protocol."""


def protocol_name(text: str) -> str:
    """One name for one protocol: ``17`` is ``udp``."""
    return PROTOCOLS.get(text.lower(), text.lower())


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: it holds when what the packet has is among ``values``, or is not when ``negated``.

    Values are text: addresses, networks, ranges as ``1-9``, names with ``*`` at the end. For ``unknown`` the one value
    is the comparison as the rule has it.
    """

    __test__ = False  # no test of pytest's

    subject: Subject
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when all its tests hold, the verdict. ``target`` is the chain of a jump; ``text`` reads as listed."""

    tests: tuple[Test, ...]
    verdict: Verdict
    text: str
    target: str | None = None
    handle: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of rules. One with a ``hook`` is where packets come in; the others are jumped to."""

    tool: Literal["nft", "iptables", "ip6tables"]
    family: str
    """``ip``, ``ip6``, ``inet``, ``bridge``, ``netdev``, ``arp``."""
    table: str
    name: str
    rules: tuple[Rule, ...] = ()
    hook: str | None = None
    """``ingress``, ``prerouting``, ``input``, ``forward``, ``output``, ``postrouting`` or ``egress``."""
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"
    devices: tuple[str, ...] = ()
    """Of ``netdev`` chains: the interfaces that they stand at."""
    kind: str = "filter"
    """``filter``, ``nat`` or ``route``."""


@dataclass(frozen=True, slots=True)
class Unlisted:
    """Rules that could not be listed: whose (``nft``), and why; ``installed``: the tool that lists them is there."""

    tool: str
    why: str
    installed: bool = True


@dataclass(frozen=True, slots=True)
class Firewall:
    """Every chain that could be listed, and what could not."""

    chains: tuple[Chain, ...] = ()
    unread: tuple[Unlisted, ...] = ()

    @property
    def tracks(self) -> bool:
        """Whether connections are tracked, so that most chains see datagrams whole, put together from fragments."""
        return any(
            chain.kind == "nat" or any(test.subject == "state" for rule in chain.rules for test in rule.tests)
            for chain in self.chains
        )

    def jumped_to(self, chain: Chain, name: str | None) -> Chain | None:
        """The chain of that name in the same table."""
        for other in self.chains:
            if (other.tool, other.family, other.table, other.name) == (chain.tool, chain.family, chain.table, name):
                return other
        return None
