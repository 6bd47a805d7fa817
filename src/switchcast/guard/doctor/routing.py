"""The way to the group and back: routes, reverse path filtering, how far datagrams go, and this host's own copies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Sender, Unchecked, version_of
from switchcast.guard.doctor.membership import hearing
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.links import Link, find_link
from switchcast.system.routes import Route, Unroutable

__all__ = ["check", "unchecked"]

STRICT: Final = 1
LOOSE: Final = 2
DROPPED: Final = "TcpExtIPReversePathFilter"
"""Packets that reverse path filtering dropped, on all interfaces."""


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the way there and back."""
    yield from _routes(facts)
    yield from _reverse_path(facts)
    yield from _reach(facts)
    yield from _loopback(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What the kernel did not tell."""
    if facts.routes is None:
        yield Unchecked("the routes", facts.unread.get("routes", "they were not read"), "run it outside of any sandbox")


def _routes(facts: Facts) -> Iterator[Finding]:
    named, link = facts.target.interface, facts.link
    for address, way in (facts.routes or {}).items():
        group = address in facts.target.groups
        if isinstance(way, Unroutable):
            if not group or named is None:
                yield _no_route(facts, way, group)
        elif group and named is not None and link is not None and way.interface != link.name and not link.loopback:
            yield _routed_elsewhere(way, link)


def _no_route(facts: Facts, way: Unroutable, group: bool) -> Finding:
    version = version_of(way.destination)
    candidate = next(
        (each.name for each in facts.links or () if each.up and each.multicast and each.usable(version)), "NAME"
    )
    block = ("224.0.0.0/4" if version == 4 else "ff00::/8 table local") if group else way.destination
    mends = [
        Mend(
            f"ip route add {'multicast ' if group and version == 6 else ''}{block} dev {candidate}",
            "Every program of this host, FreeSWITCH too, sends and joins there. Put it into the network's "
            "configuration, too, or it is gone at the next start."
            if group
            else "What is sent there leaves by that interface.",
        )
    ]
    if group:
        mends.insert(0, Mend(f"interface={candidate}", "In the URL: our endpoint joins and sends there, route or not."))
    return Finding(
        code="no-route",
        severity=Severity.CRITICAL,
        title=f"There is no route to {way.destination}.",
        evidence=(f"ip route get {way.destination}: {way.why}",),
        cause="The kernel chooses by the routing table where to join and to send when no interface is named. "
        "Without a default route, or one for groups, it refuses."
        if group
        else "The kernel knows no way to that address, and refuses to send.",
        mends=tuple(mends),
    )


def _routed_elsewhere(way: Route, link: Link) -> Finding:
    prefix = 32 if version_of(way.destination) == 4 else 128
    return Finding(
        code="route-elsewhere",
        severity=Severity.NOTICE,
        title=f"The URL names {link.name}, and the routing table sends {way.destination} by {way.interface}.",
        evidence=(f"ip route get {way.destination}: dev {way.interface}", f"interface={link.name} in the URL"),
        cause="Our endpoint uses the interface that it names. A program on this host that names none, as FreeSWITCH's "
        f"module, sends and joins on {way.interface}, so the two do not meet.",
        mends=(
            Mend(
                f"ip route replace {way.destination}/{prefix} dev {link.name}",
                "All programs of this host use the same interface for the group.",
            ),
        ),
    )


def _reverse_path(facts: Facts) -> Iterator[Finding]:
    """Only IPv4 has it. A sender whose way back is by another interface is dropped before any socket sees it."""
    link = facts.link
    caught = tuple(_caught(facts))
    if caught:
        yield _filtered(caught)
        return
    filtering = [each for each in facts.links or () if each.rp_filter and not each.loopback]
    if not filtering or 4 not in {version_of(each) for each in (*facts.target.groups, *facts.target.hosts)}:
        return
    grown = facts.grown([DROPPED]).get(DROPPED, 0)
    total = facts.counters[DROPPED] if facts.counters else 0
    if total > 0:
        yield _dropping(filtering, grown, total)
    elif link is not None and link.rp_filter == STRICT and not link.loopback:
        others = [
            each for each in facts.links or () if each.up and not each.loopback and each != link and each.usable(4)
        ]
        if others:
            yield _strict(link, others)


def _caught(facts: Facts) -> Iterator[tuple[Sender, Link]]:
    """Senders that are dropped where their datagrams come in, as the routing table has the way back to them."""
    for sender in facts.senders or ():
        came = find_link(facts.links or (), sender.interface) if sender.interface else facts.link
        if came is None or sender.back is None or version_of(sender.address) != 4 or came.loopback or sender.heard:
            continue
        if isinstance(sender.back, Unroutable):
            dropped = came.rp_filter in (STRICT, LOOSE)
        else:
            dropped = came.rp_filter == STRICT and sender.back.interface != came.name and not sender.back.local
        if dropped:
            yield sender, came


def _filtered(caught: tuple[tuple[Sender, Link], ...]) -> Finding:
    evidence = []
    for sender, came in caught[:8]:
        back = sender.back.interface if isinstance(sender.back, Route) else "nowhere"
        evidence.append(f"{sender.address} comes in by {came.name}, the way back to it is by {back}")
    sender, link = caught[0]
    strict = link.rp_filter == STRICT
    mends = [
        Mend(
            f"ip route add {sender.address}/32 dev {link.name}",
            "The way back is by the same interface, and the check is passed; better a route for the whole network.",
        )
    ]
    if strict:
        mends.insert(
            0,
            Mend(
                f"sysctl -w net.ipv4.conf.{link.name}.rp_filter=2",
                "A route back by any interface is enough (loose mode); the larger of this and of conf.all holds.",
            ),
        )
    return Finding(
        code="rp-filter-strict",
        severity=Severity.CRITICAL,
        title=f"Reverse path filtering on {link.name} drops what {sender.address} sends.",
        evidence=(*evidence, f"rp_filter of {link.name}: {link.rp_filter} ({'strict' if strict else 'loose'})"),
        cause="The kernel drops a packet whose sender it would not answer by the interface that it came in by"
        + (" (strict)." if strict else ", or at all (loose)."),
        mends=tuple(mends),
    )


def _dropping(filtering: list[Link], grown: int, total: int) -> Finding:
    names = ", ".join(f"{each.name} {each.rp_filter}" for each in filtering[:8])
    lately = f", {grown:,} of them while the doctor looked on" if grown else ", none while the doctor looked on"
    return Finding(
        code="rp-filter-drops",
        severity=Severity.WARNING if grown else Severity.NOTICE,
        title="Reverse path filtering drops packets on this host.",
        evidence=(f"IPReversePathFilter: {total:,} packets{lately}", f"rp_filter: {names}"),
        cause="Packets come in by an interface by which their senders would not be answered. They may be events.",
        mends=(
            Mend("sysctl -w net.ipv4.conf.all.log_martians=1", "The kernel's log names their senders (dmesg)."),
            Mend(
                f"sysctl -w net.ipv4.conf.{filtering[0].name}.rp_filter=2",
                "A route back by any interface is enough (loose mode).",
            ),
        ),
    )


def _strict(link: Link, others: list[Link]) -> Finding:
    return Finding(
        code="rp-filter-strict",
        severity=Severity.NOTICE,
        title=f"{link.name} drops senders that this host would answer by another interface.",
        evidence=(
            f"rp_filter of {link.name}: 1 (strict)",
            f"other ways out: {', '.join(each.name for each in others[:8])}",
            "no packet was dropped for it so far",
        ),
        cause="With several interfaces, the way back to a sender may be another than the one it comes in by.",
        mends=(Mend(f"sysctl -w net.ipv4.conf.{link.name}.rp_filter=2", "A route back by any interface is enough."),),
    )


def _reach(facts: Facts) -> Iterator[Finding]:
    """The TTL: 0 stays on this host, 1 in its network."""
    target = facts.target
    if not target.groups:
        return
    word = "hop limit" if target.versions == (6,) else "TTL"
    if target.ttl == 0:
        yield Finding(
            code="ttl-zero",
            severity=Severity.CRITICAL,
            title=f"What is sent never leaves this host: its {word} is 0.",
            evidence=("ttl=0 in the URL",),
            cause="A datagram to a group with 0 is given to this host's own members only.",
            mends=(Mend("ttl=1", "In the URL: reaches the hosts of the same network, and no router passes it on."),),
        )
    elif target.ttl == 1:
        far = [address for address in _others(facts) if facts.link is not None and not _near(facts.link, address)]
        if far:
            yield Finding(
                code="ttl-too-small",
                severity=Severity.WARNING,
                title=f"A {word} of 1 does not reach hosts of other networks.",
                evidence=tuple(f"{address} is in no network of {facts.link.name}" for address in far[:8])
                if facts.link
                else (),
                cause="Each router takes one off, and drops what has none left.",
                mends=(
                    Mend(
                        "ttl=2",
                        "In the URL, and more for more routers in between; they must route the group (PIM), and what "
                        "is sent goes further: see to the policy, or seal it.",
                    ),
                ),
            )


def _others(facts: Facts) -> Iterator[str]:
    """Addresses of other hosts on the group, of the group's IP version, but for those known to be on the link.

    What a host tells all hosts of the link no router passes on, whatever networks its address is of.
    """
    neighbours = facts.probe.neighbours if facts.probe is not None else ()
    near = {neighbour.address for neighbour in neighbours if neighbour.link_interface is not None}
    addresses = [sender.address for sender in facts.senders or ()] + [each.address for each in neighbours]
    wanted = dict.fromkeys(each for each in addresses if version_of(each) in facts.target.versions)
    yield from (each for each in wanted if each not in near)


def _near(link: Link, address: str) -> bool:
    """Whether ``address`` is in a network of the interface, as far as can be told."""
    host = ipaddress.ip_address(address.partition("%")[0])
    if host.is_link_local or host.is_loopback:
        return True
    own = [each for each in link.addresses if each.version == host.version]
    return not own or any(
        host in ipaddress.ip_network(f"{each.address.partition('%')[0]}/{each.prefix}", strict=False) for each in own
    )


def _loopback(facts: Facts) -> Iterator[Finding]:
    """Loopback is off, and somebody on this host listens."""
    if facts.target.loopback:
        return
    for group in facts.target.groups:
        listening = hearing(facts, group)
        if listening:
            yield Finding(
                code="loopback-off",
                severity=Severity.WARNING,
                title=f"This host's own listeners on port {facts.target.port} do not hear what it sends to {group}.",
                evidence=(
                    "loopback=no in the URL",
                    f"{len(listening)} sockets on this host are bound to port {facts.target.port}",
                ),
                cause="With loopback off the kernel gives members on the sending host no copy.",
                mends=(Mend("loopback=yes", "In the URL: listeners on this host hear it, too."),),
            )
