"""The rules of nftables, from ``nft -j list ruleset`` (libnftables-json(5)).

JSON has no text of a rule, and not always the device of a chain: these come from ``nft -a list ruleset``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from switchcast.system.packet_rules import Chain, Rule, Subject, Test, Verdict, protocol_name

__all__ = ["Listing", "parse_listing", "parse_nft"]

Key = tuple[str, str, str, int]
"""Family, table, chain and handle of a rule."""

_PAYLOADS: Final[Mapping[tuple[str, str], Subject]] = {
    ("ip", "daddr"): "destination",
    ("ip6", "daddr"): "destination",
    ("ip", "saddr"): "source",
    ("ip6", "saddr"): "source",
    ("ip", "protocol"): "protocol",
    ("ip6", "nexthdr"): "next-header",
    ("udp", "dport"): "destination-port",
    ("udp", "sport"): "source-port",
    ("udp", "length"): "udp-length",
    ("icmpv6", "type"): "icmp-type",
    ("tcp", "dport"): "destination-port",
    ("tcp", "sport"): "source-port",
    ("th", "dport"): "destination-port",
    ("th", "sport"): "source-port",
}
_METAS: Final[Mapping[str, Subject]] = {
    "l4proto": "protocol",
    "nfproto": "family",
    "protocol": "family",
    "pkttype": "packet-type",
    "iifname": "interface-in",
    "iif": "interface-in",
    "oifname": "interface-out",
    "oif": "interface-out",
}
_FAMILIES: Final = {"ipv4": "ip", "ipv6": "ip6"}
_FRAGMENTS: Final = {0x1FFF: ("later",), 0x3FFF: ("first", "later"), 0x2000: ("first", "later")}
"""What a mask of the IPv4 fragment field tells when it is not 0: the offset, both, or that more follow."""
_VERDICTS: Final[Mapping[str, Verdict]] = {
    "accept": "accept",
    "drop": "drop",
    "reject": "reject",
    "return": "return",
    "continue": "continue",
    "jump": "jump",
    "goto": "goto",
    "queue": "accept",  # a program decides; the test in front of it says so
}
_HARMLESS: Final = {"counter", "log", "comment", "mangle", "notrack", "ct helper", "flow", "tproxy", "fwd", "dup"}


@dataclass(frozen=True, slots=True)
class Listing:
    """What the ruleset as text adds: the text of each rule, and the devices of each chain that stands at some."""

    rules: Mapping[Key, str] = field(default_factory=dict)
    devices: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)


def parse_nft(ruleset: str, listing: Listing = Listing()) -> tuple[Chain, ...]:
    """The chains of a ruleset in JSON, with their rules. Raises ``ValueError`` for what is no such JSON."""
    try:
        document = json.loads(ruleset)
        entries = [entry for entry in document["nftables"] if isinstance(entry, dict)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"nft's answer is not its JSON: {error}") from None
    sets = {_place(each, "name"): each.get("elem") for each in _all(entries, "set")}
    rules: dict[tuple[str, str, str], list[Rule]] = {}
    for each in _all(entries, "rule"):
        family, table, chain = _place(each, "chain")
        handle = _number(each.get("handle"))
        text = listing.rules.get((family, table, chain, handle)) or _shown(each.get("expr"))
        named = {name: elements for (at, of, name), elements in sets.items() if (at, of) == (family, table)}
        rules.setdefault((family, table, chain), []).extend(
            _Reader(family, named, text, handle).rules(each.get("expr"))
        )
    return tuple(_chain(each, rules.get(_place(each, "name"), []), listing) for each in _all(entries, "chain"))


def parse_listing(listing: str) -> Listing:
    """What ``nft -a list ruleset`` prints. Lines that are of neither kind are passed over."""
    rules: dict[Key, str] = {}
    devices: dict[tuple[str, str, str], tuple[str, ...]] = {}
    family = table = chain = ""
    for line in listing.splitlines():
        if opened := re.match(r"table (\w+) (\S+) \{", line):
            family, table = opened[1], opened[2]
        elif opened := re.match(r"\s+chain (\S+) \{", line):
            chain = opened[1]
        elif standing := re.match(r"\s+type \w+ hook \w+ devices? (.*?) priority", line):
            devices[family, table, chain] = tuple(re.findall(r"[^\s\"{},=]+", standing[1]))
        elif rule := re.match(r"\s+(.*?) # handle (\d{1,9})$", line):
            rules[family, table, chain, int(rule[2])] = rule[1]
    return Listing(rules, devices)


def _all(entries: list[dict[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    return (entry[kind] for entry in entries if isinstance(entry.get(kind), dict))


def _place(each: Mapping[str, Any], last: str) -> tuple[str, str, str]:
    return str(each.get("family")), str(each.get("table")), str(each.get(last))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:300]


def _chain(each: Mapping[str, Any], rules: list[Rule], listing: Listing) -> Chain:
    place, hook, told = _place(each, "name"), each.get("hook"), each.get("dev")
    devices = tuple(str(name) for name in (told if isinstance(told, list) else [told] if told else []))
    return Chain(
        "nft",
        *place,
        rules=tuple(rules),
        hook=hook if isinstance(hook, str) else None,
        priority=_number(each.get("prio")),
        policy="drop" if each.get("policy") == "drop" else "accept",
        devices=devices or listing.devices.get(place, ()),
        kind=str(each.get("type") or "filter"),
    )


class _Reader:
    """Reads one rule. A verdict map makes several: one for each entry, of which at most one can match."""

    def __init__(self, family: str, sets: Mapping[str, object], text: str, handle: int) -> None:
        self._family = family
        self._sets = sets
        self._text = text
        self._handle = handle

    def rules(self, expressions: object) -> list[Rule]:
        """The rule, or the rules, of these expressions; none where no packet's way depends on it."""
        tests: list[Test] = []
        made: list[Rule] = []
        for expression in expressions if isinstance(expressions, list) else []:
            if not isinstance(expression, dict) or len(expression) != 1:
                tests.append(_unknown(expression))
                continue
            ((name, body),) = expression.items()
            if name == "match":
                tests.extend(self._tests(body))
            elif name == "vmap":
                made.extend(self._mapped(tests, body))
            elif name in _VERDICTS:
                if name == "queue":
                    tests.append(_unknown(expression))
                made.append(self._rule(tests, name, body))
            elif name not in _HARMLESS:
                tests.append(_unknown(expression))
        return made

    def _rule(self, tests: list[Test], verdict: str, body: object) -> Rule:
        target = body.get("target") if isinstance(body, dict) else None
        named = str(target) if target is not None else None
        return Rule(tuple(tests), _VERDICTS[verdict], self._text, named, self._handle)

    def _tests(self, body: object) -> list[Test]:
        """One comparison, behind what it takes for granted: ``udp dport`` holds for UDP only."""
        if not isinstance(body, dict):
            return [_unknown(body)]
        known = self._compared(body.get("left"), body.get("right"), str(body.get("op", "==")))
        return known if known is not None else [_unknown({"match": body})]

    def _compared(self, left: object, right: object, operator: str) -> list[Test] | None:
        if operator not in ("==", "!=", "in", "<", ">", "<=", ">="):
            return None
        granted, subject = self._subject(left)
        negated = operator == "!="
        if subject is None:
            return self._fragment(left, right, negated)
        values = self._values(right)
        if values is None:
            return None
        if operator in ("<", ">", "<=", ">="):
            if len(values) != 1 or not values[0].isdigit():
                return None
            number = int(values[0])
            low, high = {"<": (0, number - 1), "<=": (0, number), ">": (number + 1, 65535), ">=": (number, 65535)}[
                operator
            ]
            values = (f"{low}-{high}",)
        return [*granted, Test(subject, _canonical(subject, values), negated)]

    def _subject(self, left: object) -> tuple[list[Test], Subject | None]:
        if not isinstance(left, dict):
            return [], None
        payload, meta, ct = left.get("payload"), left.get("meta"), left.get("ct")
        if isinstance(payload, dict):
            protocol = str(payload.get("protocol"))
            return self._granted(protocol), _PAYLOADS.get((protocol, str(payload.get("field"))))
        if isinstance(meta, dict):
            return [], _METAS.get(str(meta.get("key")))
        if isinstance(ct, dict) and ct.get("key") == "state":
            return [], "state"
        return [], None

    def _granted(self, protocol: str) -> list[Test]:
        if protocol in ("udp", "tcp", "igmp", "icmp", "icmpv6"):
            return [Test("protocol", (protocol,))]
        if protocol in ("ip", "ip6") and self._family not in ("ip", "ip6"):
            return [Test("family", (protocol,))]
        return []

    def _fragment(self, left: object, right: object, negated: bool) -> list[Test] | None:
        """``ip frag-off & 0x1fff != 0``, ``exthdr frag exists`` and ``frag frag-off != 0``."""
        if not isinstance(left, dict):
            return None
        masked, header = left.get("&"), left.get("exthdr")
        if isinstance(masked, list) and len(masked) == 2 and right == 0 and isinstance(masked[0], dict):
            payload = masked[0].get("payload")
            kinds = _FRAGMENTS.get(masked[1]) if isinstance(masked[1], int) else None
            if kinds is not None and isinstance(payload, dict) and payload.get("field") == "frag-off":
                return [*self._granted("ip"), Test("fragment", kinds, not negated)]
        if isinstance(header, dict) and header.get("name") == "frag":
            family = [] if self._family == "ip6" else [Test("family", ("ip6",))]
            if header.get("field") == "frag-off" and right == 0:
                return [*family, Test("fragment", ("later",), not negated)]
            if header.get("field") is None and isinstance(right, bool):
                return [*family, Test("fragment", ("first", "later"), negated == right)]
        return None

    def _values(self, right: object) -> tuple[str, ...] | None:
        """The values of the right side; ``None`` when it is not all understood."""
        if isinstance(right, str) and right.startswith("@"):
            elements = self._sets.get(right[1:])
            return self._many(elements) if isinstance(elements, list) else ()
        if isinstance(right, dict) and isinstance(right.get("set"), list):
            return self._many(right["set"])
        if isinstance(right, list):
            return self._many(right)
        one = _value(right)
        return None if one is None else (one,)

    def _many(self, elements: list[Any]) -> tuple[str, ...] | None:
        found = []
        for element in elements:
            one = _value(element)
            if one is None:
                return None
            found.append(one)
        return tuple(found)

    def _mapped(self, tests: list[Test], body: object) -> Iterator[Rule]:
        """``udp dport vmap { 4242 : accept }``."""
        data = body.get("data") if isinstance(body, dict) else None
        entries = data.get("set") if isinstance(data, dict) else self._sets.get(str(data)[1:])
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], dict):
                continue
            for verdict, target in entry[1].items():
                if verdict in _VERDICTS:
                    key = body.get("key") if isinstance(body, dict) else None
                    known = self._compared(key, entry[0], "==") or [_unknown({"vmap": [key, entry[0]]})]
                    yield self._rule([*tests, *known], verdict, target)


def _value(value: object) -> str | None:
    """One value as text; ``None`` for what is not understood."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, body),) = value.items()
        if kind == "prefix" and isinstance(body, dict):
            return f"{body.get('addr')}/{body.get('len')}"
        if kind == "range" and isinstance(body, list) and len(body) == 2:
            return f"{body[0]}-{body[1]}"
        if kind == "elem" and isinstance(body, dict):
            return _value(body.get("val"))
    return None


def _canonical(subject: Subject, values: tuple[str, ...]) -> tuple[str, ...]:
    if subject in ("protocol", "next-header"):
        return tuple(protocol_name(value) for value in values)
    if subject == "family":
        return tuple(_FAMILIES.get(value, value) for value in values)
    return values


def _unknown(expression: object) -> Test:
    return Test("unknown", (_shown(expression),))
