"""Whether the group is joined, and where: each fault is found on made facts, and the healthy host has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_facts import ETH0, ETH1, GROUP, GROUP6, HEALTHY, LOOPBACK, OURS, STOCK, found, link, severities, target

from switchcast.guard.doctor import membership
from switchcast.guard.doctor.facts import Facts, Queries
from switchcast.guard.finding import Severity
from switchcast.system.groups import Membership
from switchcast.system.limits import KernelLimits
from switchcast.system.links import Address, Bridge
from switchcast.system.queries import Query
from switchcast.system.routes import Route, Unroutable

CRITICAL, WARNING, NOTICE = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE
IPV4_ONLY = (Address("10.42.0.1", 24),)


def test_a_healthy_host_has_no_finding() -> None:
    assert found(membership) == {}
    assert list(membership.unchecked(HEALTHY)) == []


def test_what_could_not_be_read_is_told_and_no_finding() -> None:
    facts = Facts(target=HEALTHY.target, unread={"links": "Permission denied"})
    assert list(membership.check(facts)) == []
    assert [(each.what, each.why) for each in membership.unchecked(facts)] == [
        ("the interfaces", "Permission denied"),
        ("which groups are joined", "it was not read"),
    ]


@pytest.mark.parametrize(
    ("code", "severity", "changes"),
    [
        ("interface-missing", CRITICAL, {"target": target(interface="eth7")}),
        ("interface-missing", CRITICAL, {"target": target(interface="192.0.2.9")}),
        ("interface-down", CRITICAL, {"links": link(up=False, carrier=False)}),
        ("interface-down", CRITICAL, {"links": link(carrier=False)}),
        ("interface-no-multicast", CRITICAL, {"links": link(multicast=False)}),
        ("interface-no-address", CRITICAL, {"links": link(addresses=(Address("fd42::1", 64),))}),
        ("interface-no-address", CRITICAL, {"links": link(addresses=IPV4_ONLY), "target": target(groups=(GROUP6,))}),
        (
            "interface-no-address",
            CRITICAL,
            {"links": link(addresses=(Address("fe80::1", 64, tentative=True),)), "target": target(groups=(GROUP6,))},
        ),
        (
            "ipv6-disabled",
            CRITICAL,
            {"links": link(addresses=IPV4_ONLY, ipv6_disabled=True), "target": target(groups=(GROUP6,))},
        ),
        ("source-address-elsewhere", CRITICAL, {"target": target(source_address="192.0.2.9")}),
        (
            "source-address-elsewhere",
            WARNING,
            {"target": target(source_address="10.43.0.1"), "links": (LOOPBACK, ETH0, ETH1)},
        ),
        ("not-joined", CRITICAL, {"memberships": (Membership("224.0.0.1", "eth0", 1, "V3"),)}),
        (
            "joined-elsewhere",
            CRITICAL,
            {"memberships": (Membership(GROUP, "eth1", 1, "V3"),), "links": (LOOPBACK, ETH0, ETH1)},
        ),
        (
            "joined-elsewhere",
            CRITICAL,
            {
                "target": target(interface=None),
                "routes": {GROUP: Route(GROUP, "eth0")},
                "memberships": (Membership(GROUP, "eth1", 1, "V3"),),
                "links": (LOOPBACK, ETH0, ETH1),
            },
        ),
        ("memberships-limit", NOTICE, {"limits": KernelLimits(igmp_max_memberships=1)}),
        (
            "memberships-limit",
            CRITICAL,
            {
                "limits": KernelLimits(igmp_max_memberships=1),
                "target": target(groups=(GROUP, "239.192.1.2")),
            },
        ),
        (
            "sources-limit",
            CRITICAL,
            {
                "limits": KernelLimits(igmp_max_msf=1),
                "target": target(sources=("10.42.0.2", "10.42.0.3")),
            },
        ),
        ("igmp-version-forced", NOTICE, {"links": link(force_igmp_version=2)}),
        ("igmp-version-forced", WARNING, {"links": link(force_igmp_version=1)}),
        (
            "igmp-version-forced",
            CRITICAL,
            {
                "links": link(force_igmp_version=2),
                "target": target(sources=("10.42.0.2",)),
            },
        ),
        (
            "igmp-version-forced",
            NOTICE,
            {
                "links": link(force_mld_version=1),
                "target": target(groups=(GROUP6,)),
                "sockets": (),
            },
        ),
        (
            "heard-without-joining",
            NOTICE,
            {
                "memberships": (Membership(GROUP, "eth0", 1, "V3"),),
                "sockets": (STOCK, replace(STOCK, inode=201)),
            },
        ),
        ("bridge-without-querier", NOTICE, {"links": link(kind="bridge", bridge=Bridge(snooping=True, querier=False))}),
    ],
)
def test_each_fault_is_found(code: str, severity: Severity, changes: dict[str, Any]) -> None:
    assert severities(membership, **changes).get(code) is severity


def test_a_limit_that_keeps_a_listener_out_is_critical() -> None:
    changes = {
        "limits": KernelLimits(igmp_max_memberships=2),
        "memberships": tuple(Membership(f"239.1.1.{place}", "eth0", 1, "V3") for place in (1, 2)),
        "sockets": (STOCK,),
    }
    assert severities(membership, **changes) == {"not-joined": CRITICAL, "memberships-limit": CRITICAL}


def test_loopback_alone_is_worth_a_notice() -> None:
    changes = {"target": target(interface="lo"), "memberships": (Membership(GROUP, "lo", 1),)}
    assert severities(membership, **changes) == {"interface-loopback": NOTICE}


def test_a_port_of_a_bridge_is_told_of_the_bridge() -> None:
    bridge = replace(ETH1, name="br0", kind="bridge", bridge=Bridge(snooping=True, querier=False))
    finding = found(membership, links=(LOOPBACK, replace(ETH0, master=bridge.index), bridge))["bridge-without-querier"]
    assert finding.mends[0].how == "ip link set dev br0 type bridge mcast_querier 1"


@pytest.mark.parametrize(
    "changes",
    [
        {"sockets": (), "memberships": ()},
        {"sockets": (replace(OURS, address="239.192.9.9"),), "memberships": ()},
        {"sockets": (replace(OURS, port=5000),), "memberships": ()},
        {"target": target(interface="10.42.0.1")},
        {"target": target(interface=None), "routes": {GROUP: Unroutable(GROUP, "Network is unreachable")}},
        {"links": link(kind="bridge", bridge=Bridge(snooping=True, querier=True))},
        {"links": link(kind="bridge", bridge=Bridge(snooping=False, querier=False))},
        {"target": target(groups=(), hosts=("10.42.0.2",)), "links": link(up=False)},
        {"limits": KernelLimits()},
        {"links": link(force_mld_version=1)},
    ],
)
def test_what_is_no_fault_is_not_found(changes: dict[str, Any]) -> None:
    assert found(membership, **changes) == {}


def test_a_querier_that_was_heard_is_enough_for_a_bridge() -> None:
    heard = Queries(4, (Query("IGMP", 3, "10.42.0.9", "eth0"),), seconds=130.0)
    snooping = link(kind="bridge", bridge=Bridge(snooping=True, querier=False))
    assert found(membership, links=snooping, queries=(heard,)) == {}
