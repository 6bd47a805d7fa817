"""Made facts of a healthy host, for the checks to be silent on; a test says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any, Protocol

from switchcast.guard.doctor.facts import PROBE_SIZES, Facts, Heard, Neighbour, ProbeResult, Sender, Target
from switchcast.guard.finding import Finding, Severity
from switchcast.system.counters import Counters
from switchcast.system.firewall import Firewall
from switchcast.system.groups import Membership
from switchcast.system.limits import KernelLimits
from switchcast.system.links import Address, Link, Queue
from switchcast.system.routes import Route
from switchcast.system.sockets import UdpSocket

GROUP, GROUP6, PORT = "239.192.1.1", "ff15::4242", 4242
OTHER = "10.42.0.2"
ANY = str(IPv4Address(0))

LOOPBACK = Link(1, "lo", 65536, multicast=False, loopback=True, addresses=(Address("127.0.0.1", 8),), rp_filter=1)
ETH0 = Link(
    2,
    "eth0",
    1500,
    addresses=(Address("10.42.0.1", 24), Address("fd42::1", 64), Address("fe80::1", 64)),
    rp_filter=1,
    force_igmp_version=0,
    force_mld_version=0,
    ipv6_disabled=False,
    queue=Queue("fq_codel", 0, 0),
)
ETH1 = Link(3, "eth1", 1500, addresses=(Address("10.43.0.1", 24),), rp_filter=0)
OURS = UdpSocket(GROUP, PORT, 100, receive_buffer=8 << 20, send_buffer=8 << 20, multicast_all=False)
STOCK = UdpSocket(ANY, PORT, 200, receive_buffer=1 << 20, send_buffer=212_992, multicast_all=True)
PROBE = ProbeResult(
    "fs1",
    tuple(
        Heard(hearer, sender, GROUP, size, 10, 10)
        for hearer in ("fs1", "fs2")
        for sender in ("fs1", "fs2")
        for size in PROBE_SIZES
    ),
    5.0,
    neighbours=(Neighbour("fs2", GROUP, OTHER, 1500, "eth0", "eth0"),),
)
HEALTHY = Facts(
    target=Target("multicast://239.192.1.1:4242?interface=eth0", (GROUP,), port=PORT, interface="eth0"),
    links=(LOOPBACK, ETH0),
    links_before=(LOOPBACK, ETH0),
    routes={GROUP: Route(GROUP, "eth0", "10.42.0.1")},
    memberships=(Membership(GROUP, "eth0", 2, "V3"), Membership("224.0.0.1", "eth0", 1, "V3")),
    sockets=(OURS, STOCK),
    sockets_before=(OURS, STOCK),
    counters=Counters({"UdpInDatagrams": 500}),
    counters_before=Counters({"UdpInDatagrams": 400}),
    waited=5.0,
    limits=KernelLimits(
        rmem_max=16 << 20,
        rmem_default=8 << 20,
        wmem_max=16 << 20,
        wmem_default=8 << 20,
        igmp_max_memberships=20,
        igmp_max_msf=10,
        ipfrag_high_thresh=4 << 20,
        ipfrag_time=30,
        ip6frag_high_thresh=4 << 20,
        ip6frag_time=60,
    ),
    firewall=Firewall(),
    senders=(Sender(OTHER, "eth0", Route(OTHER, "eth0", "10.42.0.1")),),
    probe=PROBE,
)
"""A host with one interface, on which one of our endpoints and FreeSWITCH have joined the group."""


class Checks(Protocol):
    """A module of checks."""

    def check(self, facts: Facts) -> Iterable[Finding]: ...


def target(**changes: Any) -> Target:
    """The healthy host's endpoint, but for ``changes``."""
    return replace(HEALTHY.target, **changes)


def link(**changes: Any) -> tuple[Link, ...]:
    """The healthy host's interfaces, but for ``changes`` of ``eth0``."""
    return (LOOPBACK, replace(ETH0, **changes))


def found(checks: Checks, **changes: Any) -> dict[str, Finding]:
    """What ``checks`` find on the healthy host but for ``changes``, by code. Each is held to be one for people."""
    findings = list(checks.check(replace(HEALTHY, **changes)))
    for finding in findings:
        assert finding.title.endswith("."), finding.title
        assert finding.evidence, finding.code
        assert all(line and "\n" not in line for line in finding.evidence), finding.evidence
        assert finding.cause.endswith((".", ").")), finding.cause
        assert finding.mends, finding.code
        assert all(mend.how and mend.effect.endswith(".") for mend in finding.mends), finding.mends
    return {finding.code: finding for finding in findings}


def severities(checks: Checks, **changes: Any) -> dict[str, Severity]:
    """The same, by code the severity."""
    return {code: finding.severity for code, finding in found(checks, **changes).items()}
