"""What the audit's report says, in words: the same on a terminal, in HTML and in SARIF.

Text that came from the network is handed on as it came; whoever shows it makes it harmless in its own form.
"""

from __future__ import annotations

import contextlib
import ipaddress
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from switchcast.app.reports.audit_report import AuditReport, LeakRow, Listener, Listening
from switchcast.guard.audit.comparison import Comparison
from switchcast.guard.audit.inventory import COVERED_COVERAGE, COVERED_EVENTS
from switchcast.guard.audit.leaks import PERSONAL, AuditResult, Leak
from switchcast.guard.audit.reach import GroupScope, Reach, scope_of

__all__ = [
    "KNOWN_BY",
    "MEANING",
    "NOUNS",
    "TITLES",
    "Fact",
    "Step",
    "how_many",
    "length_of",
    "name_of",
    "next_steps",
    "of_kinds",
    "reach_facts",
    "seen",
    "size_of",
    "still",
    "uncounted",
    "worst",
]

TITLES: Final[dict[Leak, str]] = {
    Leak.CREDENTIALS: "Credentials",
    Leak.CONTENT: "Message and recording content",
    Leak.DTMF: "Dialled digits (DTMF)",
    Leak.NUMBERS: "Telephone numbers",
    Leak.NAMES: "Names of people",
    Leak.SIP: "SIP and user addresses",
    Leak.OUTSIDE: "Public IP addresses",
    Leak.CALL: "Call identity",
    Leak.INSIDE: "Private IP addresses",
    Leak.TOPOLOGY: "Topology",
}
MEANING: Final[dict[Leak, str]] = {
    Leak.CREDENTIALS: "Passwords, digests, nonces, tokens and keys: with them somebody else can register or log in.",
    Leak.CONTENT: "What people said or wrote: texts of messages, recordings and where they lie, keys of media.",
    Leak.DTMF: "Digits pressed during a call: PINs and card numbers are among them.",
    Leak.NUMBERS: "Telephone numbers and extensions: who called whom.",
    Leak.NAMES: "Names of people, as callers and subscribers show them.",
    Leak.SIP: "Addresses by which users are reached.",
    Leak.OUTSIDE: "Public addresses: where people and their telephones are.",
    Leak.CALL: "Channel UUIDs, Call-IDs and tags: which events belong to one call.",
    Leak.INSIDE: "Private addresses: how the network is laid out.",
    Leak.TOPOLOGY: "Host names, versions, software, modules and files: what an attacker looks for first.",
}
NOUNS: Final[dict[Leak, str]] = {
    Leak.CREDENTIALS: "credentials",
    Leak.CONTENT: "message and recording content",
    Leak.DTMF: "dialled digits",
    Leak.NUMBERS: "telephone numbers",
    Leak.NAMES: "names",
    Leak.SIP: "user addresses",
    Leak.OUTSIDE: "public IP addresses",
    Leak.CALL: "call identity",
    Leak.INSIDE: "private IP addresses",
    Leak.TOPOLOGY: "topology",
}
"""In the middle of a sentence."""
KNOWN_BY: Final = {"name": "by the header's name", "value": "by the value", "body": "in the body"}

_SCOPES: Final[dict[GroupScope, str]] = {
    "host": "this host only",
    "link": "this link: no router forwards it",
    "site": "administratively scoped: it stays within the organisation where its border routers are set up so",
    "global": "not scoped: any router that carries multicast may forward it",
}
_ENCRYPTED: Final = {
    "no": ("No", "whoever hears a datagram can read it"),
    "stock psk": ("Weakly", "the module's pre-shared key: a 32-bit IV, and nothing shows that a datagram was changed"),
    "sealed": ("Yes", "sealed: only who has the group's key can read it"),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of how far events go. ``good`` is ``None`` where it is neither."""

    name: str
    value: str
    note: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do next, and the command for it if there is one."""

    what: str
    command: str = ""


def how_many(count: int, one: str, many: str | None = None) -> str:
    """``1 header``, ``1,877 headers``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def name_of(header: str | None) -> str:
    """A header's name, or what stands for the body."""
    return "(body)" if header is None else header


def of_kinds(count: int) -> str:
    """``1 kind of event``, ``19 kinds of event``."""
    return how_many(count, "kind of event", "kinds of event")


def length_of(seconds: float) -> str:
    """``450 ms``, ``58 s``, ``3 min 7 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def size_of(octets: int) -> str:
    """``812 B``, ``5.3 kB``, ``12 MB``."""
    size, units = float(octets), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:,.1f} {units[0]}" if units[0] != "B" and size < 9.95 else f"{size:,.0f} {units[0]}"


def seen(report: AuditReport) -> str:
    """How much was seen, of whom, for how long: the first sentence."""
    result = report.result
    if not result.events:
        return f"No event came in {length_of(report.seconds)}." if not report.recorded else "There is no event in it."
    where = "in a recording of" if report.recorded else "in"
    senders = how_many(len(result.senders), "sender")
    return (
        f"{how_many(result.events, 'event')} of {how_many(len(result.kinds), 'kind')} from {senders} "
        f"{where} {length_of(report.seconds)}."
    )


def worst(report: AuditReport) -> str:
    """The worst that leaves: the second sentence."""
    if not report.leaks:
        return "Nothing in them is known to give anything away." if report.result.events else "So nothing is known yet."
    personal = [row for row in report.leaks if row.personal]
    if not personal:
        return "Nothing secret and nothing of a person; what they tell is of calls and of the network."
    first = personal[0]
    text = f"The worst of what leaves: {NOUNS[first.leak]}, {_in_places(first)}"
    rest = [NOUNS[row.leak] for row in personal[1:]]
    return f"{text}; then {_and(rest)}." if rest else f"{text}."


def reach_facts(report: AuditReport) -> Iterator[Fact]:
    """How far the events go, and who can read or forge them."""
    reach = report.reach
    if not reach.is_network:
        yield Fact("Source", report.source, _ELSEWHERE.get(reach.scheme, ""))
        return
    yield from _groups(reach)
    yield from _names(reach)
    if reach.ttl is not None:
        note = (
            "routers do not forward it"
            if reach.ttl <= 1
            else f"up to {how_many(reach.ttl - 1, 'router')} may forward it"
        )
        yield Fact("TTL", str(reach.ttl), f"{note}; this URL's own, other senders set theirs", reach.ttl <= 1)
    yield Fact("Interface", reach.interface or "by the routing table")
    yield Fact("Encrypted", *_ENCRYPTED[reach.encrypted], good=reach.encrypted == "sealed")
    yield _authenticated(reach)
    if report.listening is not None:
        yield from _listening(report.listening)


_ELSEWHERE: Final = {
    "file": "a recording: how far its events went is not in it; audit the group itself to see that",
    "archive": "an archive: how far its events went is not in it; audit the group itself to see that",
    "-": "read from standard input: how far its events went is not known",
    "sim": "simulated: nothing left this host",
    "memory": "within this process: nothing left this host",
    "esl": "an event socket: a TCP connection that is not encrypted",
}


def _groups(reach: Reach) -> Iterator[Fact]:
    for address in reach.addresses:
        if address.is_multicast:
            scope = scope_of(address)
            yield Fact("Group", f"{address} port {reach.port}", _SCOPES[scope], scope != "global")
        else:
            yield Fact(
                "Address", f"{address} port {reach.port}", "unicast: this host only, and every router on the way"
            )


def _names(reach: Reach) -> Iterator[Fact]:
    for host in reach.hosts:
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            continue
        yield Fact("Name", f"{host} port {reach.port}", "whatever address that name has, which was not looked up here")


def _authenticated(reach: Reach) -> Fact:
    if reach.mode == "stock":
        return Fact("Authenticated", "No", "anyone who reaches the group can send an event in any host's name", False)
    if not reach.keyed:
        return Fact("Authenticated", "No", "no key is given, so no proof is asked for", False)
    if reach.takes_stock:
        note = "traced events carry a proof, but those without one are taken too (stock=reject refuses them)"
        return Fact("Authenticated", "Partly", note, None)
    return Fact("Authenticated", "Yes", f"{reach.mode}: what does not carry the group's proof is rejected", True)


def _listening(listening: Listening) -> Iterator[Fact]:
    yield Fact("Joined here", ", ".join(listening.joined) or "on no interface", "before this audit joined")
    if listening.sockets:
        shown = dict.fromkeys(map(_shown, listening.sockets))
        yield Fact("Listening here", ", ".join(shown), "sockets of this host that take its datagrams")
    if listening.ports:
        yield Fact("Behind bridges", ", ".join(listening.ports), "ports behind which somebody has joined")
    for sentence in listening.unknown:
        yield Fact("Not known", "", sentence)


def _shown(listener: Listener) -> str:
    name = listener.program or "a program of another user"
    return name if listener.pid is None else f"{name} (pid {listener.pid})"


def _in_places(row: LeakRow) -> str:
    if len(row.places) == 1:
        where = "bodies" if row.places[0].header is None else row.places[0].header
        return f"in {where} of {row.places[0].kinds[0] if row.kinds == 1 else of_kinds(row.kinds)}"
    headers = [place.header for place in row.places if place.header is not None]
    bodies = len(headers) < len(row.places)
    where = how_many(len(headers), "header")
    also = " and in bodies" if bodies else ""
    return f"in {where}{also} of {of_kinds(row.kinds)}"


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_LEFT_OUT: Final = {
    "kinds": "events of further kinds",
    "headers": "further headers",
    "senders": "events of further senders",
}


def uncounted(result: AuditResult) -> str | None:
    """What the bounds left out, in words; ``None`` where that is nothing."""
    left = [f"{result.uncounted[what]:,} {words}" for what, words in _LEFT_OUT.items() if result.uncounted.get(what)]
    if cut := result.uncounted.get("cut"):
        left.append(f"the ends of {how_many(cut, 'very long value')}")
    return f"Beyond the bounds, and so not looked at: {_and(left)}." if left else None


def still(comparison: Comparison) -> str:
    """What a policy changes, in two sentences."""
    passing = (
        f"{comparison.events_after:,} of {how_many(comparison.events_before, 'event')} would leave, "
        f"{size_of(comparison.bytes_after)} instead of {size_of(comparison.bytes_before)}."
    )
    if not comparison.events_after and comparison.events_before:
        return f"{passing} Nothing that it lets pass was seen, so this says little of it."
    staying = [NOUNS[leak] for leak in comparison.stays if leak in PERSONAL]
    gone = [NOUNS[leak] for leak in comparison.gone]
    words = f"Given away no more: {_and(gone)}." if gone else "It takes no class away."
    return f"{passing} {words}" + (
        f" Still given away, of what is secret or personal: {_and(staying)}." if staying else ""
    )


def next_steps(report: AuditReport) -> Iterator[Step]:
    """What to do about it, most useful first."""
    result, url = report.result, shlex.quote(report.source)
    source = url if report.named is None else report.named.words
    if not result.events:
        if report.reach.is_network:
            yield Step("Find out why nothing arrives:", f"switchcast doctor {url}")
        else:
            yield Step("Name a source that has events in it, and look at --bindings and --where.")
        return
    if report.suggestion is not None:
        yield Step(f"Put [policies.{report.suggestion.name}] into the configuration, and name it in the route.")
    elif any(row.personal for row in report.leaks):
        keep = "registrations,presence,lamps"
        command = f"switchcast audit {source} --keep {keep} --suggest policy.toml"
        yield Step("Have the tightest policy written that still serves what you need:", command)
    if report.comparison is None:
        yield Step("See what would be left under a policy:", f"switchcast audit {source} --policy cluster")
    if not report.recorded and not _is_covered(result):
        yield Step(
            f"Listen for longer: {1 - result.coverage:.1%} of what it sends is of kinds or headers not seen yet.",
            f"switchcast audit {source} --until-covered",
        )
    yield Step(
        "Keep it so, in a pipeline:", f"switchcast audit {source} --sarif audit.sarif --fail-on credentials,content"
    )


def _is_covered(result: AuditResult) -> bool:
    return result.events >= COVERED_EVENTS and result.coverage >= COVERED_COVERAGE
