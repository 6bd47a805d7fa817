"""The rules that packets meet on this host: nftables, and iptables where that is what there is.

Both are read into one form, chains of rules with what each compares, so that one walk can follow a datagram through
them. What a rule compares that we do not know stays in it as such: nobody may say more of the rule than "may".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Chain", "Firewall", "Rule", "Test", "Verdict", "read_firewall"]

Subject = Literal[
    "destination",  # addresses and networks
    "source",
    "protocol",  # of layer 4: "udp", "igmp", "icmpv6", ... or a number as text
    "destination-port",
    "source-port",
    "udp-length",
    "fragment",  # "first", "later", "none"
    "packet-type",  # "multicast", "broadcast", "host"
    "interface-in",
    "interface-out",
    "family",  # "ip", "ip6"
    "state",  # conntrack's: "new", "established", "related", "invalid"
    "unknown",
]
Verdict = Literal["accept", "drop", "reject", "jump", "goto", "return", "continue"]


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: it holds when what the packet has is in ``values``, or is not when ``negated``.

    Values are text: addresses, networks, ranges as ``1-9``, names with ``*`` at the end. For ``unknown`` the one value
    is the comparison as the rule has it.
    """

    __test__ = False

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
    priority: int = 0
    policy: Literal["accept", "drop"] = "accept"
    devices: tuple[str, ...] = ()
    """Of ``netdev`` chains: the interfaces that they stand at."""


@dataclass(frozen=True, slots=True)
class Firewall:
    """Every chain. ``unread`` says of each tool that could not be read why."""

    chains: tuple[Chain, ...] = ()
    unread: tuple[tuple[str, str], ...] = ()


def read_firewall() -> Firewall:
    """By ``nft -j list ruleset``, ``iptables-save`` and ``ip6tables-save``; those that are there and permitted.

    Raises ``OSError`` when none of them could be read.
    """
    raise NotImplementedError
