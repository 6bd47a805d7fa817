"""Whether this host has joined the group, and where: its interfaces, memberships, and what limits them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Unchecked, version_of
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.limits import sysctl_name
from switchcast.system.links import Link
from switchcast.system.sockets import UdpSocket

__all__ = ["check", "hearing", "unchecked"]

ALWAYS_JOINED: Final = "224.0.0.1"
"""All hosts: the kernel joins it on every interface, and no socket's limit counts it."""


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong with the interface, and with the joining of groups on it."""
    if not facts.target.groups:
        return
    yield from _interface(facts)
    yield from _joined(facts)
    yield from _limits(facts)
    yield from _versions(facts)
    yield from _never_joined(facts)
    yield from _bridge(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What the kernel did not tell."""
    if facts.target.groups:
        for member, what in (("links", "the interfaces"), ("memberships", "which groups are joined")):
            if getattr(facts, member) is None:
                yield Unchecked(what, facts.unread.get(member, "it was not read"), "run it outside of any sandbox")


def hearing(facts: Facts, group: str) -> tuple[UdpSocket, ...]:
    """The sockets on the port that hear ``group`` once somebody has joined it: bound to it or to any address."""
    version = version_of(group)
    return tuple(
        socket
        for socket in facts.on_port
        if socket.address == group or (socket.wildcard and socket.version in (version, 6))
    )


def _interface(facts: Facts) -> Iterator[Finding]:
    """The interface does not exist, is down, or cannot carry a group."""
    if facts.links is None:
        return
    link, named = facts.link, facts.target.interface
    if link is None:
        if named is not None:
            yield _missing(facts.links, named)
        return
    if not link.up or not link.carrier:
        yield _down(link)
    if link.loopback:
        yield _loopback(link)
    elif not link.multicast:
        yield Finding(
            code="interface-no-multicast",
            severity=Severity.CRITICAL,
            title=f"{link.name} is set to carry no multicast.",
            evidence=(f"ip link show dev {link.name}: no MULTICAST flag",),
            cause="The kernel neither joins groups on such an interface nor routes them by it.",
            mends=(
                Mend(f"ip link set dev {link.name} multicast on", "Groups can be joined and sent to there."),
                Mend(f"interface={_other(facts.links, link)}", "In the URL: uses another interface."),
            ),
        )
    for version in facts.target.versions:
        if not link.usable(version):
            yield _no_address(link, version)
    source = facts.target.source_address
    if source is not None and not link.has(source):
        yield _source_elsewhere(facts.links, link, source)


def _missing(links: tuple[Link, ...], named: str) -> Finding:
    shown = [f"{link.name}: {', '.join(own.address for own in link.addresses) or 'no address'}" for link in links]
    kind = "address" if "." in named or ":" in named else "interface"
    return Finding(
        code="interface-missing",
        severity=Severity.CRITICAL,
        title=f"This host has no {kind} {named}.",
        evidence=tuple(shown[:12]),
        cause="Neither joining nor sending is possible on an interface that does not exist; names change with "
        "hardware and drivers, and an address must be one of this host's own.",
        mends=(Mend(f"interface={_other(links, None)}", "In the URL: names one that exists."),),
    )


def _down(link: Link) -> Finding:
    what = "down" if not link.up else "without a carrier: nothing answers at the other end of the cable"
    return Finding(
        code="interface-down",
        severity=Severity.CRITICAL,
        title=f"{link.name} is {what.partition(':')[0]}.",
        evidence=(f"ip link show dev {link.name}: {'DOWN' if not link.up else 'NO-CARRIER'}",),
        cause=f"The interface is {what}. Nothing is sent or received there.",
        mends=(
            Mend(f"ip link set dev {link.name} up", "The interface works again, and the kernel joins the groups anew.")
            if not link.up
            else Mend(
                f"ethtool {link.name}", "Shows whether there is a link; look at the cable and the switch's port."
            ),
        ),
    )


def _loopback(link: Link) -> Finding:
    return Finding(
        code="interface-loopback",
        severity=Severity.NOTICE,
        title=f"The group is used on {link.name}, which is this host alone.",
        evidence=(f"{link.name} is the loopback interface",),
        cause="What is sent there is heard on this host and never leaves it. Good for trying things out.",
        mends=(Mend("interface=NAME", "In the URL: an interface of the network that the other hosts are on."),),
    )


def _no_address(link: Link, version: int) -> Finding:
    tentative = [own.address for own in link.addresses if own.version == version and own.tentative]
    if version == 6 and link.ipv6_disabled:
        return Finding(
            code="ipv6-disabled",
            severity=Severity.CRITICAL,
            title=f"IPv6 is switched off on {link.name}, and the group is one of IPv6.",
            evidence=(f"net.ipv6.conf.{link.name}.disable_ipv6 = 1",),
            cause="Without IPv6 the interface has no link-local address, and no IPv6 group can be joined there.",
            mends=(
                Mend(f"sysctl -w net.ipv6.conf.{link.name}.disable_ipv6=0", "IPv6 works there, with an address."),
                Mend("a group of IPv4 in the URL, on every host", "Needs no IPv6."),
            ),
        )
    family = "IPv4" if version == 4 else "IPv6"
    evidence = f"{family} addresses: none that can be used"
    if tentative:
        evidence += f"; {', '.join(tentative)} is tentative, or another host has it (duplicate address detection)"
    address = "ADDRESS/24" if version == 4 else "ADDRESS/64"
    return Finding(
        code="interface-no-address",
        severity=Severity.CRITICAL,
        title=f"{link.name} has no {family} address.",
        evidence=(f"ip address show dev {link.name}: {evidence}",),
        cause="What is sent has no sender's address then, and reports of membership are not believed by most switches.",
        mends=(Mend(f"ip address add {address} dev {link.name}", "Events can be sent from there, and are heard."),),
    )


def _source_elsewhere(links: tuple[Link, ...], link: Link, source: str) -> Finding:
    holder = next((each.name for each in links if each.has(source)), None)
    return Finding(
        code="source-address-elsewhere",
        severity=Severity.WARNING if holder else Severity.CRITICAL,
        title=f"The source address {source} is not one of {link.name}.",
        evidence=(f"{source} is an address of {holder}" if holder else f"no interface has {source}",),
        cause="Datagrams leave by one interface with the address of another; hosts that check the way back "
        "(rp_filter) drop them."
        if holder
        else "The kernel does not let a socket send from an address that this host does not have.",
        mends=(Mend("source_address=ADDRESS", f"In the URL: one of {link.name}, or leave it out."),),
    )


def _other(links: tuple[Link, ...], besides: Link | None) -> str:
    """An interface that could do it; a placeholder where there is none."""
    for link in links:
        if link != besides and link.up and link.multicast and not link.loopback and link.addresses:
            return link.name
    return "NAME"


def _joined(facts: Facts) -> Iterator[Finding]:
    """Somebody listens on the port, but the group is not joined, or not where its datagrams come in."""
    if facts.memberships is None or facts.sockets is None:
        return
    for group in facts.target.groups:
        joined = tuple(dict.fromkeys(each.interface for each in facts.memberships if each.group == group))
        listening = hearing(facts, group)
        if not listening or not (facts.links is None or facts.link is not None or not joined):
            continue
        bound = f"{len(listening)} socket{'s' if len(listening) > 1 else ''} bound to port {facts.target.port}"
        if not joined:
            yield _not_joined(facts, group, bound)
        elif facts.link is not None and facts.link.name not in joined:
            yield _joined_elsewhere(facts.link.name, group, joined, bound)


def _not_joined(facts: Facts, group: str, bound: str) -> Finding:
    where = facts.link.name if facts.link else facts.target.interface or "NAME"
    return Finding(
        code="not-joined",
        severity=Severity.CRITICAL,
        title=f"A program listens on port {facts.target.port}, but nobody on this host has joined {group}.",
        evidence=(bound, f"/proc/net/{'igmp6' if ':' in group else 'igmp'}: {group} on no interface"),
        cause="Without a membership the network card and the network's switches do not pass the group's datagrams to "
        "this host. The program was set to another group, failed to join, or its interface came up after it.",
        mends=(
            Mend(
                f"switchcast tail '{facts.target.url}'",
                "Joins the group as long as it runs: what it prints shows that the network is well.",
            ),
            Mend(
                f"ip maddress show dev {where}", "Shows which groups are joined there; set the program to this group."
            ),
        ),
    )


def _joined_elsewhere(wanted: str, group: str, joined: tuple[str, ...], bound: str) -> Finding:
    return Finding(
        code="joined-elsewhere",
        severity=Severity.CRITICAL,
        title=f"{group} is joined on {', '.join(joined)}, but not on {wanted}.",
        evidence=(bound, *(f"/proc/net/{'igmp6' if ':' in group else 'igmp'}: {group} on {each}" for each in joined)),
        cause="A membership counts for one interface. A program that names none joins on the one that the routing "
        f"table gives for the group; what comes in by {wanted} is not for its sockets.",
        mends=(
            Mend(f"interface={wanted}", "In the URL of our endpoints: joins and sends there."),
            Mend(
                f"ip route add {group}/{128 if ':' in group else 32} dev {wanted}",
                "Programs that name no interface, FreeSWITCH among them, join there when they are started again.",
            ),
        ),
    )


def _limits(facts: Facts) -> Iterator[Finding]:
    """How many groups one socket may join, and how many senders it may name."""
    limits = facts.limits
    if limits is None:
        return
    groups = [group for group in facts.target.groups if version_of(group) == 4]
    most = limits.igmp_max_memberships
    joined = {
        (each.group, each.interface)
        for each in facts.memberships or ()
        if version_of(each.group) == 4 and each.group != ALWAYS_JOINED
    }
    if groups and most is not None and (len(joined) >= most or len(groups) > most):
        lacking = [group for group in groups if group not in {name for name, _ in joined}]
        listened = any(hearing(facts, group) for group in lacking)
        name, more = sysctl_name("igmp_max_memberships"), max(2 * most, 4 * len(joined), 20)
        yield Finding(
            code="memberships-limit",
            severity=Severity.CRITICAL if listened or len(groups) > most else Severity.NOTICE,
            title=f"One socket may join {most} groups, and this host has joined {len(joined)}.",
            evidence=(f"{name} = {most}", *([f"not joined: {', '.join(lacking)}"] if lacking else [])),
            cause="A socket that has reached the limit gets an error for the next group (No buffer space available), "
            "and hears nothing of it. The limit is each socket's own; the kernel does not tell how many each has.",
            mends=(Mend(f"sysctl -w {name}={more}", "Allows more; start the program that listens again."),),
        )
    sources, most = [each for each in facts.target.sources if version_of(each) == 4], limits.igmp_max_msf
    if most is not None and len(sources) > most:
        name = sysctl_name("igmp_max_msf")
        yield Finding(
            code="sources-limit",
            severity=Severity.CRITICAL,
            title=f"{len(sources)} senders are named, and one socket may name {most} for a group.",
            evidence=(f"{name} = {most}",),
            cause="The kernel refuses to join for more senders than that.",
            mends=(Mend(f"sysctl -w {name}={2 * len(sources)}", "Allows more senders for each group."),),
        )


def _versions(facts: Facts) -> Iterator[Finding]:
    """An older version of IGMP or MLD is forced: without it, nobody can choose senders."""
    link = facts.link
    if link is None:
        return
    kinds = ((4, "IGMP", link.force_igmp_version, 3, "igmp"), (6, "MLD", link.force_mld_version, 2, "mld"))
    for version, protocol, forced, newest, word in kinds:
        if version not in facts.target.versions or not forced or forced >= newest:
            continue
        sources = any(version_of(each) == version for each in facts.target.sources)
        name = f"net.ipv{version}.conf.{link.name}.force_{word}_version"
        yield Finding(
            code="igmp-version-forced",
            severity=Severity.CRITICAL if sources else Severity.WARNING if forced < newest - 1 else Severity.NOTICE,
            title=f"{link.name} is made to speak {protocol} version {forced}.",
            evidence=(f"{name} = {forced}, or that of all interfaces",),
            cause=f"Version {forced} cannot say which senders are wanted, which source-specific groups need"
            + (", and does not say when it leaves." if forced == 1 else ".")
            + (
                " Senders are named for this endpoint." if sources else " Plain groups work where the network knows it."
            ),
            mends=(
                Mend(
                    f"sysctl -w net.ipv{version}.conf.all.force_{word}_version=0 {name}=0",
                    "The newest version is spoken, and an older one where the network's querier is older.",
                ),
            ),
        )


def _never_joined(facts: Facts) -> Iterator[Finding]:
    """More sockets hear an IPv4 group than have joined it."""
    for group in facts.target.groups:
        if version_of(group) == 6 or facts.memberships is None:
            continue
        users = sum(each.users for each in facts.memberships if each.group == group)
        hears = [socket for socket in facts.on_port if socket.wildcard and socket.version == 4 and socket.multicast_all]
        if 0 < users < len(hears):
            yield Finding(
                code="heard-without-joining",
                severity=Severity.NOTICE,
                title=f"{len(hears)} sockets hear {group}, and {users} joined it.",
                evidence=(
                    f"/proc/net/igmp: {group} has {users} user{'s' if users > 1 else ''}",
                    f"{len(hears)} sockets on port {facts.target.port} are bound to any address with IP_MULTICAST_ALL",
                ),
                cause="Such a socket hears every group that anybody on this host has joined. It works by chance: when "
                "the one that joined is stopped, the others hear nothing any more.",
                mends=(Mend("join the group in each program", "Each hears it by itself, whoever else runs."),),
            )


def _bridge(facts: Facts) -> Iterator[Finding]:
    """The interface is a bridge of this host, or a port of one, that snoops while nobody asks who is a member."""
    link = facts.link
    found = next(
        (each for each in facts.links or () if link and each.bridge and each.index in (link.index, link.master)), None
    )
    if found is None or found.bridge is None or not found.bridge.snooping or found.bridge.querier:
        return
    if any(queries.heard for queries in facts.queries or ()):
        return
    yield Finding(
        code="bridge-without-querier",
        severity=Severity.NOTICE,
        title=f"The bridge {found.name} passes groups only to members, and does not ask who is one.",
        evidence=(f"{found.name}: mcast_snooping 1, mcast_querier 0", "no membership query was heard so far"),
        cause="Once it has heard any query, it forgets members after some four minutes without another: the network "
        "needs somebody who asks, all the time.",
        mends=(
            Mend(f"ip link set dev {found.name} type bridge mcast_querier 1", "The bridge asks by itself."),
            Mend(f"ip link set dev {found.name} type bridge mcast_snooping 0", "Groups are passed to every port."),
        ),
    )
