"""The rules of iptables and ip6tables, from what ``iptables-save`` prints."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from switchcast.system.packet_rules import Chain, Rule, Subject, Test, Verdict, protocol_name

__all__ = ["parse_iptables"]

Tool = Literal["iptables", "ip6tables"]

_VERDICTS: Final[Mapping[str, Verdict]] = {
    "ACCEPT": "accept",
    "DROP": "drop",
    "REJECT": "reject",
    "RETURN": "return",
}
_HARMLESS: Final = {"LOG", "NFLOG", "MARK", "CONNMARK", "TRACE", "NOTRACK", "CT", "DSCP", "TTL", "HL", "SET", "AUDIT"}
_SUBJECTS: Final[Mapping[str, Subject]] = {
    "-d": "destination",
    "-s": "source",
    "-p": "protocol",
    "-i": "interface-in",
    "-o": "interface-out",
    "--dport": "destination-port",
    "--dports": "destination-port",
    "--sport": "source-port",
    "--sports": "source-port",
    "--pkt-type": "packet-type",
    "--ctstate": "state",
    "--state": "state",
    "--dst-range": "destination",
    "--src-range": "source",
}
_UNDERSTOOD: Final = {"udp", "tcp", "multiport", "pkttype", "conntrack", "state", "comment", "iprange"}
"""Match modules of which nothing but their options matters."""
_PRIORITIES: Final = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_HOOKS: Final = {
    "PREROUTING": "prerouting",
    "INPUT": "input",
    "FORWARD": "forward",
    "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}


def parse_iptables(saved: str, tool: Tool) -> tuple[Chain, ...]:
    """The chains in what ``iptables-save`` or ``ip6tables-save`` printed. Lines that are no rules are passed over."""
    family = "ip" if tool == "iptables" else "ip6"
    chains: dict[tuple[str, str], Chain] = {}
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":"):
            words = line[1:].split()
            if len(words) >= 2:
                chains[table, words[0]] = Chain(
                    tool,
                    family,
                    table,
                    words[0],
                    hook=_HOOKS.get(words[0]) if words[1] != "-" else None,
                    priority=_PRIORITIES.get(table, 0),
                    policy="drop" if words[1] == "DROP" else "accept",
                    kind="nat" if table == "nat" else "filter",
                )
        elif line.startswith("-A "):
            name, rule = _rule(line)
            chain = chains.get((table, name))
            if chain is not None and rule is not None:
                chains[table, name] = replace(chain, rules=(*chain.rules, rule))
    return tuple(chains.values())


def _rule(line: str) -> tuple[str, Rule | None]:
    """A line ``-A CHAIN ...``; no rule where no packet's way depends on it."""
    try:
        words = shlex.split(line)
    except ValueError:
        words = line.split()
    name = words[1] if len(words) > 1 else ""
    tests: list[Test] = []
    verdict: Verdict = "continue"
    target = None
    place = 2
    while place < len(words):
        word = words[place]
        if word in ("-j", "-g"):
            target = words[place + 1] if place + 1 < len(words) else ""
            verdict = _VERDICTS.get(target, "goto" if word == "-g" else "jump")
            break  # what follows are options of the target
        place += _read_test(words, place, tests)
    if target is None or target in _HARMLESS:
        return name, None
    return name, Rule(tuple(tests), verdict, line, target if verdict in ("jump", "goto") else None)


def _read_test(words: list[str], place: int, tests: list[Test]) -> int:
    """Read the option at ``place`` into ``tests``; how many words it took."""
    negated = words[place] == "!"
    at = place + negated
    word = words[at] if at < len(words) else ""
    value = words[at + 1] if at + 1 < len(words) else ""
    if word == "-f":
        tests.append(Test("fragment", ("later",), negated))
        return 1 + negated
    subject = _SUBJECTS.get(word)
    if subject is not None:
        tests.append(Test(subject, _values(subject, value), negated))
        return 2 + negated
    if (word == "-m" and value in _UNDERSTOOD) or word == "--comment":
        return 2 + negated
    if word == "--dst-type" and value == "MULTICAST":
        tests.append(Test("packet-type", ("multicast",), negated))
        return 2 + negated
    if word == "-m" and value == "addrtype":
        return 2 + negated
    took = 1 if not value or value.startswith(("-", "!")) else 2
    tests.append(Test("unknown", (" ".join(words[place : at + took]),)))
    return negated + took


def _values(subject: Subject, value: str) -> tuple[str, ...]:
    if subject == "protocol":
        return (protocol_name(value),)
    if subject in ("destination-port", "source-port"):
        return tuple(part.replace(":", "-") for part in value.split(","))
    if subject == "state":
        return tuple(part.lower() for part in value.split(","))
    if subject in ("interface-in", "interface-out"):
        return (value[:-1] + "*" if value.endswith("+") else value,)
    return tuple(value.split(","))
