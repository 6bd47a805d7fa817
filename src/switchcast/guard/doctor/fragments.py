"""Whether datagrams that are larger than one packet arrive: what the probe saw, and what reassembly counts.

A datagram of 6,000 bytes travels in five fragments of 1,500, and is lost with any one of them. Those that came wait in
memory for the one that did not, so a few losses can take the room of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Heard, Neighbour, Unchecked
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["check", "unchecked"]

HEADERS: Final = {4: 28, 6: 48}
"""Bytes of IP and UDP header in front of the payload."""
COMMON_MTU: Final = 1500
LEAST_SENT: Final = 3
"""Rounds before silence means something."""
FEW: Final = 0.5
"""Large datagrams of which no more than this part arrives, while small ones do, are not lost by chance."""
LEAST_MEMORY: Final = 256 * 1024
"""Bytes of reassembly memory that hold two of the largest datagrams, with the kernel's overhead."""
PACKET_MEMORY: Final = 2304
"""Bytes of kernel memory that one fragment of an Ethernet takes."""
LOST_PART: Final = 0.1
"""The loss at which memory should still do; at 10% four of five events of 6 KB were lost for want of it."""
FAILURES: Final = {
    4: ("IpReasmFails", "IpReasmTimeout", "IpReasmReqds", "IpReasmOKs"),
    6: ("Ip6ReasmFails", "Ip6ReasmTimeout", "Ip6ReasmReqds", "Ip6ReasmOKs"),
}


def check(facts: Facts) -> Iterator[Finding]:
    """What happens to fragments."""
    yield from _probed(facts)
    for version, family in ((4, "IPv4"), (6, "IPv6")):
        yield from _failing(facts, version, family)
        yield from _memory(facts, version, family)
    yield from _refused(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """Reassembly that could not be looked at."""
    if facts.limits is None or facts.limits.ipfrag_high_thresh is None:
        why = facts.unread.get("limits", "net.ipv4.ipfrag_high_thresh is not there")
        yield Unchecked("the memory for fragments", why, "run it on the container's host")


def _probed(facts: Facts) -> Iterator[Finding]:
    probe = facts.probe
    if probe is None:
        return
    for pair in dict.fromkeys((row.sender, row.hearer, row.group) for row in probe.rows if not row.looped):
        rows = [row for row in probe.rows if (row.sender, row.hearer, row.group) == pair]
        other = pair[1] if pair[0] == probe.here else pair[0]
        neighbour = next((each for each in probe.neighbours if (each.name, each.group) == (other, pair[2])), None)
        whole, parted = _divided(facts, rows, neighbour, sending=pair[0] == probe.here)
        if not whole or not parted or any(row.heard < row.sent - 1 or row.sent < LEAST_SENT for row in whole):
            continue
        lost = [row for row in parted if row.heard <= FEW * row.sent]
        if lost:
            yield _lost(probe.here, whole, lost, everything=not any(row.heard for row in parted))


def _divided(
    facts: Facts, rows: list[Heard], neighbour: Neighbour | None, *, sending: bool
) -> tuple[list[Heard], list[Heard]]:
    """The rows whose datagrams go in one packet, and those that go in fragments which fit the hearer's MTU."""
    ours = facts.link.mtu if facts.link is not None else COMMON_MTU
    theirs = neighbour.mtu if neighbour is not None and neighbour.mtu else ours
    leaving, taken = (ours, theirs) if sending else (theirs, ours)
    headers = HEADERS[rows[0].version]
    whole = [row for row in rows if row.size + headers <= leaving]
    # Fragments as large as the sender's MTU, which the hearer's does not let in, are another fault.
    parted = [row for row in rows if row.size + headers > leaving] if leaving <= taken else []
    return whole, parted


def _lost(here: str, whole: list[Heard], lost: list[Heard], *, everything: bool) -> Finding:
    first = lost[0]
    sender = "this host" if first.sender == here else first.sender
    hearer = "this host" if first.hearer == here else first.hearer
    most = max(row.size for row in whole)
    large = "Datagrams larger than one packet" if everything else f"Most datagrams of {first.size:,} bytes and more"
    header = "ip frag-off & 0x1fff != 0" if first.version == 4 else "exthdr frag exists"
    return Finding(
        code="fragments-lost",
        severity=Severity.CRITICAL if everything else Severity.WARNING,
        title=f"{large} do not get from {sender} to {hearer}.",
        evidence=(
            f"up to {most:,} bytes: {sum(row.heard for row in whole)} of {sum(row.sent for row in whole)} heard",
            *(f"{row.size:,} bytes: {row.heard} of {row.sent} heard" for row in lost),
        ),
        cause="Larger datagrams travel in fragments, of which only the first has the port. A firewall that lets only "
        "the port pass drops the others, and so do some switches and clouds."
        if everything
        else "A datagram is lost with any one of its fragments: some are dropped on the way, or there is no memory "
        "left to wait for the missing ones.",
        mends=(
            Mend(
                "nft list ruleset",
                f"On {hearer}, and on firewalls in between: shows the rule that drops them. In front of it, "
                f"'{header} accept' lets later fragments pass.",
            ),
            Mend(
                "mode=sealed&key_file=FILE",
                "In the URL, on every host: events travel in frames of at most 1,200 bytes, on a port of their own, "
                "and what is lost is repaired; no fragments are needed.",
            ),
        ),
    )


def _failing(facts: Facts, version: int, family: str) -> Iterator[Finding]:
    """Datagrams could not be put together from their fragments."""
    if facts.counters is None:
        return
    fails, timeouts, wanted, done = FAILURES[version]
    total = facts.counters[fails]
    if total <= 0:
        return
    grown = facts.grown((fails, timeouts))
    limit = "ipfrag" if version == 4 else "ip6frag"
    lately = "; ".join(f"{name} {count:,} more" for name, count in grown.items()) or "none"
    yield Finding(
        code="reassembly-failures",
        severity=Severity.WARNING if grown else Severity.NOTICE,
        title=f"{family} datagrams that came in fragments were lost on this host.",
        evidence=(
            f"{fails} {total:,}, {timeouts} {facts.counters[timeouts]:,}, since the host was started",
            f"{wanted} {facts.counters[wanted]:,} fragments, {done} {facts.counters[done]:,} datagrams put together",
            f"while the doctor looked on: {lately}",
        ),
        cause="A fragment is missing, or there was no memory left to wait for it. The counters are of all programs of "
        "this host.",
        mends=(
            Mend(f"sysctl -w net.ipv{version}.{limit}_time=5", "What is incomplete gives its memory back after 5 s."),
            Mend(
                f"sysctl -w net.ipv{version}.{limit}_high_thresh={16 << 20}",
                "16 MiB for datagrams that are not complete.",
            ),
        ),
    )


def _memory(facts: Facts, version: int, family: str) -> Iterator[Finding]:
    """The memory for fragments is small by itself, or for what comes in."""
    limits = facts.limits
    if limits is None:
        return
    high, kept, name = (
        (limits.ipfrag_high_thresh, limits.ipfrag_time, "net.ipv4.ipfrag")
        if version == 4
        else (limits.ip6frag_high_thresh, limits.ip6frag_time, "net.ipv6.ip6frag")
    )
    if high is None or version not in (facts.target.versions or (4,)):
        return
    wanted = FAILURES[version][2]
    came = max(facts.grown((wanted,)).get(wanted, 0) - _of_the_probe(facts, version), 0)
    rate = came / facts.waited if facts.waited else 0.0
    filled = int(rate * LOST_PART * PACKET_MEMORY * (kept or 30))
    if high >= LEAST_MEMORY and filled <= high:
        return
    room = max(16 << 20, 2 * filled)
    yield Finding(
        code="fragment-memory-small",
        severity=Severity.WARNING if high < LEAST_MEMORY else Severity.NOTICE,
        title=f"There is little memory for {family} datagrams that come in fragments.",
        evidence=(
            f"{name}_high_thresh = {high} bytes, {name}_time = {kept} s",
            f"{rate:,.0f} fragments came each second: at 10% loss {filled:,} bytes would wait for the missing",
        ),
        cause="When it is full, every datagram that comes in fragments is dropped until the incomplete ones have been "
        "given up.",
        mends=(
            Mend(f"sysctl -w {name}_high_thresh={room}", "More datagrams can wait for what is missing of them."),
            Mend(f"sysctl -w {name}_time=5", "What is incomplete gives its memory back after 5 s."),
        ),
    )


def _of_the_probe(facts: Facts, version: int) -> int:
    """The fragments of the probe's datagrams: those of others, and of IPv6 its own, which come back divided."""
    probe = facts.probe
    if probe is None:
        return 0
    room = COMMON_MTU - HEADERS[version]
    own = sum(
        row.sent * math.ceil(row.size / room)
        for row in probe.rows
        if row.looped and row.version == version == 6 and row.size > room
    )
    return own + probe.fragments


def _refused(facts: Facts) -> Iterator[Finding]:
    """The kernel was not allowed to send in fragments what is too large for one packet."""
    grown = facts.grown(("IpFragFails", "Ip6FragFails"))
    if grown:
        yield Finding(
            code="fragmentation-refused",
            severity=Severity.WARNING,
            title="Datagrams that are too large for one packet are not sent.",
            evidence=tuple(f"{name}: {count:,} more while the doctor looked on" for name, count in grown.items()),
            cause="A program forbids fragments (IP_MTU_DISCOVER), or passes on packets that forbid them, and the "
            "interface's MTU is smaller.",
            mends=(
                Mend("ip link show", "Shows the MTU of each interface; the way out has a smaller one than the way in."),
            ),
        )
