"""Where the doctor runs: networks that carry no multicast, links that carry it badly, and the clock.

What is only a rule of thumb (a container, a cloud) is left unsaid when the probe heard another host: then it works.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Unchecked
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.clock import Clock
from switchcast.system.links import Link
from switchcast.system.platform import Medium

__all__ = ["check", "known", "unchecked"]

FRESH_SECONDS: Final = 30.0
"""How far the clocks of two hosts may be apart where a stream is admitted by its time (``docs/repair.md``)."""

MOST_ERROR: Final = 16.0
"""Seconds, NTP_PHASE_LIMIT of ``linux/timex.h``: the bound of a clock of which nothing is known."""

_STEP_SECONDS: Final = 1.0
"""A step below this is a clock being put right."""

_DEAF_TUNNELS: Final = frozenset({"wireguard", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm"})
"""Links that pass on what is addressed to the one peer behind them. GRE, VXLAN and tap carry groups."""

_BY_UNICAST: Final = Mend(
    "udp://HOST:PORT",
    "As the endpoint's URL, or the addresses of all hosts in place of the group, "
    "multicast://239.192.1.1,192.0.2.1,192.0.2.2:4242: every event goes to each host by itself, which any network "
    "carries; the sender's traffic grows with the hosts.",
)


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong with where this host runs."""
    if facts.target.groups:
        link = facts.link
        if not (facts.probe is not None and facts.probe.others):
            yield from _container(facts, link)
            yield from _cloud(facts)
            yield from _vlan(facts, link)
        if link is not None:
            yield from _tunnel(link)
            yield from _wireless(facts, link)
            yield from _bond(facts, link)
    yield from _clock(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What could not be looked at."""
    if facts.clock is None and facts.target.mode != "stock" and "clock" in facts.unread:
        yield Unchecked("the clock", facts.unread["clock"], "look at it by timedatectl, or chronyc tracking.")

    link = facts.link
    if (
        facts.target.groups
        and facts.platform is not None
        and link is not None
        and not link.loopback
        and not known(facts)
    ):
        yield Unchecked(
            f"what kind of link {link.name} is",
            "/sys shows the interfaces of another network namespace than this",
            "ip netns exec NAME switchcast doctor, which brings that namespace's own /sys",
        )


def known(facts: Facts) -> bool:
    """Whether the kernel's files tell of the endpoint's own interface."""
    link = facts.link
    return link is None or facts.platform is None or facts.platform.interface(link.name, link.index) is not None


def _medium(facts: Facts, link: Link) -> Medium | None:
    """What the kernel's files say that the link is."""
    interface = None if facts.platform is None else facts.platform.interface(link.name, link.index)
    return None if interface is None else interface.medium


def _container(facts: Facts, link: Link | None) -> Iterator[Finding]:
    if facts.platform is None or facts.platform.container is None or link is None:
        return
    inner = link.kind in {"veth", "tun"} or _medium(facts, link) in {Medium.VETH, Medium.TUNNEL}
    if not inner or link.name not in facts.platform.default_interfaces:
        return  # the host's own network, or a link that somebody laid for this
    container = facts.platform.container
    addresses = ", ".join(f"{own.address}/{own.prefix}" for own in link.addresses if own.version == 4) or "no address"
    if container.name == "Kubernetes":
        mend = Mend("hostNetwork: true in the pod's specification", "The pod uses the network of its node.")
    else:
        mend = Mend(
            "docker run --network host ...  (podman takes the same option)",
            "The container uses the host's network, its interfaces and its ports.",
        )
    yield Finding(
        code="container-network",
        severity=Severity.WARNING,
        title=f"This is a {container.name} container whose network carries no multicast beyond its host.",
        evidence=(container.evidence, f"{link.name} is one end of a virtual link ({addresses})"),
        cause="A container's bridge translates addresses on the way out, and no translator passes a group on; most "
        "networks of Kubernetes have no multicast even between pods of one node.",
        mends=(
            mend,
            Mend(
                "docker network create -d macvlan -o parent=eth0 --subnet 192.0.2.0/24 voice",
                "Gives containers of the network voice addresses of their own on the link of eth0.",
            ),
            _BY_UNICAST,
        ),
    )


def _cloud(facts: Facts) -> Iterator[Finding]:
    if facts.platform is None or facts.platform.cloud is None:
        return
    cloud = facts.platform.cloud
    mends = [_BY_UNICAST]
    if cloud.name == "Amazon Web Services":
        how = (
            "aws ec2 create-transit-gateway --options MulticastSupport=enable, and a multicast domain with the subnets"
        )
        mends.append(
            Mend(how, "The transit gateway passes groups on between the subnets of the domain; it is charged.")
        )
    yield Finding(
        code="cloud-network",
        severity=Severity.WARNING,
        title=f"This machine is in {cloud.name}, whose networks carry no multicast of themselves.",
        evidence=(cloud.evidence, "the probe heard no other host" if facts.probe else "the probe did not run"),
        cause="The virtual network of a cloud delivers to addresses that it gave out itself; what is sent to a group "
        "is dropped without a word.",
        mends=tuple(mends),
    )


def _vlan(facts: Facts, link: Link | None) -> Iterator[Finding]:
    if link is None or facts.probe is None:
        return
    if link.kind != "vlan" and _medium(facts, link) is not Medium.VLAN:
        return
    yield Finding(
        code="vlan-alone",
        severity=Severity.NOTICE,
        title=f"{link.name} is a VLAN, and no other host was heard on it.",
        evidence=(f"{link.name} is a VLAN", f"nobody answered the probe within {facts.probe.seconds:g} s"),
        cause="A group reaches the hosts of the same VLAN alone, and only where every port of the switch between "
        "them carries its tag.",
        mends=(
            Mend(
                "interface=NAME in the URL, with the interface that the other hosts share",
                "Joins and sends on that interface.",
            ),
            Mend("switchcast doctor on another host at the same time", "Shows whether the two hear each other."),
        ),
    )


def _tunnel(link: Link) -> Iterator[Finding]:
    if link.kind not in _DEAF_TUNNELS and (link.kind != "tun" or link.framed):
        return
    yield Finding(
        code="tunnel-without-multicast",
        severity=Severity.CRITICAL,
        title=f"{link.name} is a tunnel ({link.kind}) that carries no groups.",
        evidence=(f"{link.name}: {link.kind}, multicast flag {'set' if link.multicast else 'not set'}",),
        cause="Such a tunnel sends each packet to the one peer that has its address, and a group is nobody's.",
        mends=(
            Mend("interface=eth0 in the URL, if the hosts share a link", "Joins and sends there."),
            _BY_UNICAST,
            Mend(
                "ip link add gre1 type gretap remote 192.0.2.2 local 192.0.2.1",
                "A tunnel that carries whole frames, groups among them, between two hosts; it can run inside this one.",
            ),
        ),
    )


def _wireless(facts: Facts, link: Link) -> Iterator[Finding]:
    if _medium(facts, link) is not Medium.WIRELESS:
        return
    repaired = facts.target.mode != "stock"
    yield Finding(
        code="wireless-link",
        severity=Severity.NOTICE if repaired else Severity.WARNING,
        title=f"{link.name} is Wi-Fi, which loses much of what is sent to a group.",
        evidence=(f"{link.name} has an 802.11 radio",),
        cause="An access point sends to a group once, unacknowledged, at its slowest rate and only at the times that "
        "sleeping stations wake; what is lost there, nobody sends again. In traced and sealed mode it is asked for.",
        mends=(
            Mend("interface=eth0 in the URL, with a cable there", "Leaves the radio out of it."),
            Mend("mode=traced in the URL of every node", "Nodes see what is missing and ask for it again by unicast."),
            Mend(
                "multicast_to_unicast=1 in the access point's hostapd.conf",
                "It sends to each member by itself, acknowledged and at that station's rate.",
            ),
        ),
    )


def _bond(facts: Facts, link: Link) -> Iterator[Finding]:
    interface = None if facts.platform is None else facts.platform.interface(link.name, link.index)
    if interface is None or interface.bond_mode not in {"balance-rr", "broadcast"}:
        return
    twice = interface.bond_mode == "broadcast"
    yield Finding(
        code="bond-mode",
        severity=Severity.WARNING,
        title=f"The bond {link.name} lets events arrive {'twice' if twice else 'out of order'}.",
        evidence=(f"/sys/class/net/{link.name}/bonding/mode is {interface.bond_mode}",)
        + ((f"its links are {', '.join(interface.below)}",) if interface.below else ()),
        cause="The mode broadcast sends every packet on every link."
        if twice
        else "The mode balance-rr takes the links in turn, packet by packet, so one overtakes another; a stock host "
        "takes events as they come, and fragments wait for each other.",
        mends=(
            Mend(
                f"nmcli connection modify {link.name} bond.options mode=active-backup\nnmcli connection up {link.name}",
                "Or bond-mode active-backup in /etc/network/interfaces. One link carries everything until it fails. "
                "The host is off the network for the moment of the change.",
            ),
        ),
    )


def _error_told(clock: Clock) -> str:
    """The kernel lets its bound grow up to ``MOST_ERROR`` while nobody tells it better."""
    if clock.largest_error >= MOST_ERROR:
        return "and the kernel does not know how far off it is"
    return f"off by at most {clock.largest_error:g} s"


def _clock(facts: Facts) -> Iterator[Finding]:
    """Nothing in stock mode looks at a clock."""
    clock = facts.clock
    if clock is None or facts.target.mode == "stock":
        return
    service = Mend(
        "apt-get install chrony  (or: timedatectl set-ntp true)",
        "Keeps the clock to within milliseconds of the others'.",
    )
    admitted = (
        f"A stream that a host has not met is admitted when it answers a question, or else when its time is within "
        f"{FRESH_SECONDS:g} s of ours; where no unicast comes through, the time alone has to do."
    )
    if abs(clock.step) > _STEP_SECONDS:
        yield Finding(
            code="clock-jumps",
            severity=Severity.WARNING,
            title=f"The clock was set {'forward' if clock.step > 0 else 'back'} by {abs(clock.step):.1f} s meanwhile.",
            evidence=(f"the time of day moved {clock.step:+.1f} s against the time since the start",),
            cause=f"Something sets this clock rather than steers it. {admitted}",
            mends=(service,),
        )
    if not clock.synchronised:
        yield Finding(
            code="clock-not-synchronised",
            severity=Severity.NOTICE,
            title="The kernel holds its clock for not synchronised.",
            evidence=(f"adjtimex says: not synchronised, {_error_told(clock)}",),
            cause=f"No time service runs, or it has not reached its source, or it does not tell the kernel. {admitted}",
            mends=(service,),
        )
    elif abs(clock.offset) > _STEP_SECONDS:
        yield Finding(
            code="clock-offset",
            severity=Severity.WARNING,
            title=f"The clock is still {abs(clock.offset):.1f} s off, and is being steered.",
            evidence=(f"adjtimex says: an offset of {clock.offset:+.1f} s",),
            cause=admitted,
            mends=(Mend("chronyc makestep", "Sets the clock at once; events in between show a jump in time."),),
        )
