"""What it means which datagrams of the probe arrived, and which did not.

Fragments are looked at in ``fragments``; here is what concerns whole packets: none at all, in one direction or in both,
some, those that are larger than the other's MTU, and those that come by another interface.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import PROBE_SIZES, Facts, Heard, Neighbour, ProbeResult, Unchecked
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.routes import Unroutable

__all__ = ["check", "unchecked"]

_LEAST_SENT: Final = 3
"""Rounds before silence means something: one may have been on its way."""
_LEAST_RATED: Final = 5
"""Rounds before a rate of loss is told."""
_HEADERS: Final = {4: 28, 6: 48}
"""Bytes of IP and UDP header in front of the payload."""
_SMALLEST: Final = min(PROBE_SIZES)


def check(facts: Facts) -> Iterator[Finding]:
    """All that the probe shows, from what could not even be sent to what others lose."""
    probe = facts.probe
    if probe is None:
        return
    yield from _unjoined(facts, probe)
    yield from _unsent(facts, probe)
    yield from _nobody(facts, probe)
    yield from _own(facts, probe)
    for neighbour in probe.neighbours:
        yield from _elsewhere(facts, neighbour)
    for sender, hearer, group in _pairs(probe):
        rows = {row.size: row for row in probe.rows if (row.sender, row.hearer, row.group) == (sender, hearer, group)}
        other = _neighbour_of(probe, hearer if sender == probe.here else sender, group)
        if rows[_SMALLEST].sent < _LEAST_SENT or other is None:
            continue
        if not any(row.heard for row in rows.values()):
            if not (sender == probe.here and probe.send_errors):
                yield _silent(facts, probe, other, rows[_SMALLEST])
        elif too_large := _too_large(facts, probe, other, rows):
            yield too_large
        else:
            yield from _lossy(facts, probe, other, rows[_SMALLEST])


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What only a second host can tell, where none was there."""
    probe = facts.probe
    if probe is not None and not probe.neighbours:
        yield Unchecked(
            "the way between this host and another",
            f"no other host ran the doctor on this address and port in {probe.seconds:.3g} s",
            "run the same command on the other host at the same time",
        )
    if probe is not None and probe.crowded:
        yield Unchecked(
            "some of the other hosts that run the doctor",
            f"{probe.crowded:,} datagrams came of more nodes than are listened to, or counted too fast",
            "run it when fewer do; a stranger may be making them up",
        )


def _pairs(probe: ProbeResult) -> dict[tuple[str, str, str], None]:
    return dict.fromkeys((row.sender, row.hearer, row.group) for row in probe.rows if not row.looped)


def _neighbour_of(probe: ProbeResult, name: str, group: str) -> Neighbour | None:
    return next((each for each in probe.neighbours if (each.name, each.group) == (name, group)), None)


def _unsent(facts: Facts, probe: ProbeResult) -> Iterator[Finding]:
    """The kernel refused to send, for a reason that no other check tells: no way, too large, a queue that is full."""
    unroutable = any(isinstance(route, Unroutable) for route in (facts.routes or {}).values())
    told = {os.strerror(errno.ENOBUFS), os.strerror(errno.EMSGSIZE)}
    errors = {size: said for size, said in probe.send_errors.items() if said not in told}
    if not errors or (unroutable and facts.target.interface is None):
        return
    refused = any(said == os.strerror(errno.EPERM) for said in errors.values())
    all_sizes = len(errors) == len(PROBE_SIZES)
    interface = facts.link.name if facts.link is not None else facts.target.interface or "INTERFACE"
    yield Finding(
        code="send-refused",
        severity=Severity.CRITICAL if all_sizes else Severity.WARNING,
        title=f"This host's kernel refuses to send to {facts.target.url}.",
        evidence=tuple(f"sending {size} bytes: {said}" for size, said in errors.items()),
        cause=(
            "A firewall rule of this host's own drops what it sends."
            if refused
            else "The interface cannot send, or has no address to send from, or the kernel knows no way."
        ),
        mends=(
            Mend("nft list ruleset", "shows the rule in an output chain; let the port's datagrams pass it")
            if refused
            else Mend(
                f"ip address show dev {interface}", "shows whether it is up and has an address of this IP version"
            ),
        ),
    )


def _unjoined(facts: Facts, probe: ProbeResult) -> Iterator[Finding]:
    """The kernel refused to join a group, and not because it knows no way, which ``routing`` tells."""
    for group, said in probe.join_errors.items():
        if said == os.strerror(errno.ENODEV) and facts.target.interface is None:
            continue
        limit = said == os.strerror(errno.ENOBUFS)
        source = bool(facts.target.sources)
        sysctl = f"net.ipv4.igmp_max_{'msf' if source else 'memberships'}"
        yield Finding(
            code="join-refused",
            severity=Severity.CRITICAL,
            title=f"This host's kernel refuses to join {group}.",
            evidence=(f"joining {group}: {said}", *_limit_shown(facts, sysctl, limit)),
            cause=(
                f"A socket may join no more {'senders of a group' if source else 'groups'} than {sysctl} says."
                if limit
                else "Without a membership no network card and no switch passes the group's datagrams to this host."
            ),
            mends=(
                Mend(f"sysctl -w {sysctl}={10 if source else 20}", "the kernel's default; raise it further for more")
                if limit
                else Mend(
                    f"ip -details link show dev {facts.link.name if facts.link else facts.target.interface}",
                    "shows whether it is up, has MULTICAST among its flags, and an address of this IP version",
                ),
            ),
        )


def _limit_shown(facts: Facts, sysctl: str, wanted: bool) -> Iterator[str]:
    if wanted and facts.limits is not None:
        yield f"{sysctl} is {getattr(facts.limits, sysctl.rpartition('.')[2])}"


def _nobody(facts: Facts, probe: ProbeResult) -> Iterator[Finding]:
    """A unicast address whose host says that the port is nobody's."""
    there = {neighbour.group for neighbour in probe.neighbours}  # it had only not begun yet, or was done sooner
    for address in probe.refused:
        if address in there:
            continue
        yield Finding(
            code="nobody-listens",
            severity=Severity.CRITICAL,
            title=f"Nobody listens on port {facts.target.port} of {address}.",
            evidence=(f"{address} answered that the port is unreachable",),
            cause="Datagrams reach that host, and it has no program that takes them.",
            mends=(
                Mend(
                    f"ss -ulnp sport = :{facts.target.port}", f"on {address}: shows who listens; start the node there"
                ),
            ),
        )


def _own(facts: Facts, probe: ProbeResult) -> Iterator[Finding]:
    """What this host sends does not come back to it though it should."""
    for group in dict.fromkeys(row.group for row in probe.rows if row.looped):
        rows = [row for row in probe.rows if row.looped and row.group == group]
        sent = max(row.sent for row in rows)
        if sent < _LEAST_SENT or probe.send_errors or any(row.heard for row in rows):
            continue
        yield Finding(
            code="own-not-heard",
            severity=Severity.CRITICAL,
            title=f"This host does not hear what it sends itself to {group}.",
            evidence=(f"{sent} datagrams of each size sent, none heard, though loopback is on",),
            cause=(
                "What is sent to a group is given back to this host's own members on the sending interface. None of it "
                "came: the group is joined on another interface, or a firewall rule of this host drops it. What other "
                "hosts send is likely to be lost the same way."
            ),
            mends=(
                Mend("nft list ruleset", "shows the rules; let datagrams to the group's port come in"),
                Mend(
                    f"interface={facts.link.name if facts.link else 'NAME'}",
                    "in the URL: joins and sends on one and the same interface",
                ),
            ),
        )


def _elsewhere(facts: Facts, neighbour: Neighbour) -> Iterator[Finding]:
    """A neighbour is behind another interface than the one that the group is joined on."""
    link = facts.link
    found = neighbour.link_interface
    if neighbour.interface is not None or found is None or link is None or found in ("lo", link.name):
        return
    yield Finding(
        code="wrong-interface",
        severity=Severity.CRITICAL,
        title=f"The group is joined on {link.name}, but the other host is on the network of {found}.",
        evidence=(
            f"{neighbour.name} announces itself on {found}",
            f"nothing of {neighbour.group} came by {link.name}",
        ),
        cause="A membership counts for one interface only; datagrams that come in by another are not delivered.",
        mends=(
            Mend(
                f"switchcast doctor '{_with_interface(facts.target.url, found)}'",
                f"joins and sends on {found}; where it is well, give the endpoint the same interface=",
            ),
        ),
    )


def _with_interface(url: str, interface: str) -> str:
    """``url`` with another ``interface=``."""
    base, _, query = url.partition("?")
    kept = [part for part in query.split("&") if part and not part.startswith("interface=")]
    return f"{base}?{'&'.join([f'interface={interface}', *kept])}"


def _silent(facts: Facts, probe: ProbeResult, neighbour: Neighbour, row: Heard) -> Finding:
    """Nothing at all of one sender, which is there: it announces itself on the link, or it is heard itself."""
    interface = neighbour.interface or neighbour.link_interface or (facts.link.name if facts.link else "INTERFACE")
    if row.sender == probe.here:
        return Finding(
            code="peer-hears-nothing",
            severity=Severity.CRITICAL,
            title=f"{neighbour.name} hears nothing of what this host sends to {row.group}.",
            evidence=(
                f"it says so, and runs the doctor on the same address and port; {row.sent} rounds were sent meanwhile",
            ),
            cause=(
                "Its datagrams or reports come here, so the cable is well. Ours are lost on the way, or on its side "
                "behind the network card: a firewall, strict rp_filter, a switch that does not know it is a member, "
                f"or a TTL of {facts.target.ttl} that is used up in between."
            ),
            mends=(
                Mend(
                    f"switchcast doctor '{facts.target.url}'",
                    "run there: the host that does not hear is the one that can tell why",
                ),
            ),
        )
    way = f"reports of it come in by {interface}" if neighbour.link_interface else "it reports"
    return Finding(
        code="group-not-heard",
        severity=Severity.CRITICAL,
        title=f"Nothing that {neighbour.name} sends to {row.group} reaches this host.",
        evidence=(f"it sent {row.sent} rounds of datagrams, none was heard", f"{way}, so it is there"),
        cause=(
            "Something passes what is for all hosts and holds back what is for the group: a switch with IGMP snooping "
            "that did not hear this host join (its reports are filtered, or there is no querier), or a firewall."
        ),
        mends=(
            Mend("nft list ruleset", "shows whether this host drops the group's datagrams, or IGMP that it sends"),
            Mend(
                f"tcpdump -ni {interface} igmp",
                "shows whether this host's reports leave, and whether anybody asks for them",
            ),
        ),
    )


def _too_large(facts: Facts, probe: ProbeResult, neighbour: Neighbour, rows: dict[int, Heard]) -> Finding | None:
    """Small datagrams arrive, and those whose packets the other end's MTU does not allow do not."""
    sending = rows[_SMALLEST].sender == probe.here
    own, other = facts.link.mtu if facts.link else None, neighbour.mtu
    from_mtu, to_mtu = (own, other) if sending else (other, own)
    version = rows[_SMALLEST].version
    lost = [size for size, row in rows.items() if not row.heard]
    passed = [size for size, row in rows.items() if row.heard]
    if not lost or not passed or min(lost) < max(passed):
        return None
    whole = from_mtu is not None and min(lost) + _HEADERS[version] <= from_mtu
    larger = from_mtu is not None and to_mtu is not None and from_mtu > to_mtu
    if not larger and not (whole and min(lost) + _HEADERS[version] > 576):
        return None
    if larger and to_mtu is not None and min(lost) + _HEADERS[version] <= to_mtu:
        return None
    sender, hearer = ("this host", neighbour.name) if sending else (neighbour.name, "this host")
    evidence = [
        f"of {sender}'s datagrams {hearer} hears those up to {max(passed)} bytes, none from {min(lost)} bytes on",
    ]
    if own is not None and other is not None:
        evidence.append(f"the MTU is {own} here and {other} there, as it says")
    target = min(each for each in (from_mtu, to_mtu) if each is not None) if larger else max(passed) + _HEADERS[version]
    here = neighbour.interface or (facts.link.name if facts.link else "INTERFACE")
    mends = [
        Mend(
            f"ip link set dev {here} mtu {target}",
            ("on this host: " if sending else f"on {neighbour.name}, with the name that its interface has: ")
            + "larger datagrams are sent in fragments that fit",
        )
    ]
    if larger:
        mends.append(
            Mend(
                f"ip link set dev {here} mtu {from_mtu}",
                (f"on {neighbour.name}, with its interface's name" if sending else "on this host")
                + ": takes the larger packets too, where the network carries them",
            )
        )
    return Finding(
        code="mtu-mismatch",
        severity=Severity.CRITICAL,
        title=f"Packets of {sender} that are larger than the way to {hearer} allows are lost.",
        evidence=tuple(evidence),
        cause=(
            "Hosts of one link must have one MTU. A packet that is larger than the receiver's, or than a switch in "
            "between takes, is dropped without a word; multicast has no path MTU discovery that would tell."
        ),
        mends=tuple(mends),
    )


def _lossy(facts: Facts, probe: ProbeResult, neighbour: Neighbour, row: Heard) -> Iterator[Finding]:
    """Some of the smallest datagrams are lost."""
    lost = row.sent - row.heard
    if row.sent < _LEAST_RATED or lost < 2:
        return
    sender, hearer = ("this host", neighbour.name) if row.sender == probe.here else (neighbour.name, "this host")
    yield Finding(
        code="datagrams-lost",
        severity=Severity.WARNING,
        title=f"{lost / row.sent:.0%} of what {sender} sends is lost on the way to {hearer}.",
        evidence=(f"{row.sent} datagrams of {row.size} bytes sent to {row.group}, {row.heard} heard",),
        cause=(
            "Multicast is not repeated by anybody: a wireless link, a port that drops, a rate limit or a full buffer "
            "loses it for good. A datagram of several fragments is lost when one of them is."
        ),
        mends=(
            Mend("mode=traced&key_file=FILE", "in the URL of our endpoints: what is lost is noticed and repaired"),
            Mend(
                f"ip -s link show dev {facts.link.name if facts.link else 'INTERFACE'}",
                "shows whether the drops happen at this host's own interface",
            ),
        ),
    )
