"""Checks of where the doctor runs and of who is on the port: each fires on made facts, and none on healthy ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from doctor_trees import NODE_INODE, SWITCH_INODE, URL, healthy, link, module_file, platform, probe, socket, switch

from switchcast.guard.doctor import platform as where
from switchcast.guard.doctor import ports
from switchcast.guard.doctor.facts import Facts
from switchcast.guard.finding import Finding, Severity
from switchcast.system.clock import Clock
from switchcast.system.owners import Owner, Owners
from switchcast.system.platform import Medium, Trace

DOCKER = Trace("Docker", "there is a /.dockerenv")
AWS = Trace("Amazon Web Services", "/sys/class/dmi/id/sys_vendor is Amazon EC2")
ALONE = probe()
SEALED = URL + "?mode=sealed"
UNSYNCHRONISED = Clock(False, 0, 16)


def codes(found: Iterable[Finding]) -> list[str]:
    return [finding.code for finding in found]


@pytest.mark.parametrize("mode", ["stock", "traced", "sealed"])
def test_a_healthy_host_has_no_finding(mode: str) -> None:
    facts = healthy(f"{URL}?mode={mode}")
    assert [*where.check(facts), *ports.check(facts)] == []
    assert [*where.unchecked(facts), *ports.unchecked(facts)] == []


def test_facts_that_could_not_be_read_are_no_findings() -> None:
    facts = Facts(target=healthy(SEALED).target, unread={"clock": "seccomp", "sockets": "no /proc"})
    assert [*where.check(facts), *ports.check(facts)] == []
    told = [*where.unchecked(facts), *ports.unchecked(facts)]
    assert [(each.what, each.why) for each in told] == [
        ("the clock", "seccomp"),
        ("who is on port 4242", "no /proc"),
    ]


@pytest.mark.parametrize(
    ("facts", "code", "severity"),
    [
        (
            healthy(platform=platform(Medium.VETH, container=DOCKER), probe=ALONE),
            "container-network",
            Severity.WARNING,
        ),
        (
            healthy(links=(link(kind="veth"),), platform=platform(container=DOCKER), probe=None),
            "container-network",
            Severity.WARNING,
        ),
        (healthy(platform=platform(cloud=AWS), probe=ALONE), "cloud-network", Severity.WARNING),
        (healthy(links=(link(kind="vlan"),), probe=ALONE), "vlan-alone", Severity.NOTICE),
        (
            healthy(links=(link(kind="wireguard", multicast=False),)),
            "tunnel-without-multicast",
            Severity.CRITICAL,
        ),
        (
            healthy(links=(link(kind="tun", framed=False),)),
            "tunnel-without-multicast",
            Severity.CRITICAL,
        ),
        (healthy(platform=platform(Medium.WIRELESS)), "wireless-link", Severity.WARNING),
        (healthy(SEALED, platform=platform(Medium.WIRELESS)), "wireless-link", Severity.NOTICE),
        (healthy(platform=platform(Medium.BOND, bond_mode="balance-rr")), "bond-mode", Severity.WARNING),
        (
            healthy(platform=platform(Medium.BOND, bond_mode="broadcast", below=("eth1", "eth2"))),
            "bond-mode",
            Severity.WARNING,
        ),
        (healthy(SEALED, clock=UNSYNCHRONISED), "clock-not-synchronised", Severity.NOTICE),
        (healthy(SEALED, clock=Clock(True, -45, 50)), "clock-offset", Severity.WARNING),
        (healthy(SEALED, clock=Clock(True, 0, 0.1, step=-3600)), "clock-jumps", Severity.WARNING),
    ],
)
def test_where_it_runs(facts: Facts, code: str, severity: Severity) -> None:
    (finding,) = where.check(facts)
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.evidence
    assert all(mend.how and mend.effect for mend in finding.mends)


@pytest.mark.parametrize(
    "facts",
    [
        healthy(platform=platform(Medium.VETH, container=DOCKER)),  # another host was heard: it works
        healthy(platform=platform(cloud=AWS)),
        healthy(links=(link(kind="vlan"),)),
        healthy(platform=platform(container=DOCKER), probe=ALONE),  # the host's own network
        healthy(platform=platform(Medium.VETH, container=DOCKER, default_interfaces=()), probe=ALONE),
        healthy(links=(link(index=7),), platform=platform(Medium.WIRELESS)),  # /sys is of another network
        healthy(links=(link(kind="gretap"),)),
        healthy(links=(link(kind="tun"),)),  # a tap
        healthy(platform=platform(Medium.BOND, bond_mode="active-backup")),
        healthy(clock=UNSYNCHRONISED),  # nothing in stock mode looks at a clock
        healthy(SEALED, clock=Clock(True, 0.4, 0.5, step=0.2)),
        healthy("udp://192.0.2.9:4242", platform=platform(Medium.VETH, container=DOCKER), probe=ALONE),
    ],
)
def test_what_does_not_matter_is_left_unsaid(facts: Facts) -> None:
    assert codes(where.check(facts)) == []


def test_the_mend_is_the_containers_own() -> None:
    pod = Trace("Kubernetes", "KUBERNETES_SERVICE_HOST is 10.96.0.1")
    (finding,) = where.check(healthy(platform=platform(Medium.VETH, container=pod), probe=ALONE))
    assert "hostNetwork: true" in finding.mends[0].how
    assert any("192.0.2.1/24" in line for line in finding.evidence)


def test_a_port_that_is_not_shared_names_who_has_it() -> None:
    owners = Owners({SWITCH_INODE: (Owner(100, "nc"),)})
    facts = healthy(sockets=(socket(SWITCH_INODE),), owners=owners, port_refused="Address already in use")
    (finding,) = ports.check(facts)
    assert (finding.code, finding.severity) == ("port-taken", Severity.CRITICAL)
    assert any("nc (process 100)" in line for line in finding.evidence)


def test_a_socket_bound_to_one_address_is_deaf_to_the_group() -> None:
    (finding,) = ports.check(healthy(sockets=(socket(SWITCH_INODE, "192.0.2.1"), socket(NODE_INODE, "239.192.1.1"))))
    assert (finding.code, finding.severity) == ("port-deaf", Severity.WARNING)
    assert finding.evidence == ("192.0.2.1:4242: freeswitch (process 100)",)
    assert ["source_address" in mend.how for mend in finding.mends] == [True]
    (finding,) = ports.check(healthy(sockets=(socket(NODE_INODE, "192.0.2.1"),)))
    assert ["source_address" in mend.how for mend in finding.mends] == [False]
    (finding,) = ports.check(healthy(sockets=(socket(5, "2001:db8::1"), socket(6, "ff15::1"))))
    assert finding.evidence[0].startswith("[2001:db8::1]:4242: ")
    assert len(finding.mends) == 2  # whose it is cannot be told
    assert codes(ports.check(healthy("udp://192.0.2.9:4242", sockets=(socket(SWITCH_INODE, "192.0.2.1"),)))) == []


def test_what_freeswitchs_file_explains_is_told_once() -> None:
    explained = switch(module=module_file(source_address="192.0.2.1"))
    assert codes(ports.check(healthy(sockets=(socket(SWITCH_INODE, "192.0.2.1"),), switch=explained))) == []


def test_a_shared_port_matters_for_unicast_alone() -> None:
    mixed = healthy("multicast://239.192.1.1,192.0.2.9:4242")
    (finding,) = ports.check(mixed)
    assert (finding.code, finding.severity) == ("port-shared", Severity.WARNING)
    assert finding.evidence == (
        "0.0.0.0:4242: freeswitch (process 100)",
        "0.0.0.0:4242: switchcast (process 200)",
    )
    assert codes(ports.check(replace(mixed, sockets=(socket(SWITCH_INODE), socket(NODE_INODE, port=4243))))) == []
    assert codes(ports.check(replace(mixed, sockets=(socket(SWITCH_INODE), socket(NODE_INODE, "::"))))) == []


def test_many_sockets_are_not_all_listed() -> None:
    facts = healthy("udp://192.0.2.9:4242", sockets=tuple(socket(number) for number in range(100)))
    (finding,) = ports.check(facts)
    assert len(finding.evidence) == ports.MOST_SHOWN + 1
    assert finding.evidence[-1] == "and 92 more"


def test_an_owner_that_cannot_be_told_is_unknown_and_said_so() -> None:
    facts = healthy(owners=Owners({}, hidden=frozenset(range(1, 8))), port_refused="Address already in use")
    (finding,) = ports.check(facts)
    assert all("unknown process" in line for line in finding.evidence[1:])
    (told,) = ports.unchecked(facts)
    assert "7 processes" in told.why
    assert "sudo" in told.how
    (told,) = ports.unchecked(replace(facts, owners=None, unread={"owners": "no /proc"}))
    assert told.why == "no /proc"
    (finding,) = ports.check(replace(facts, owners=Owners()))
    assert "hidden from here" in finding.evidence[1]


def test_a_link_that_the_kernels_files_do_not_show_is_told() -> None:
    facts = healthy(links=(link(index=7),), platform=platform(Medium.WIRELESS))
    (told,) = where.unchecked(facts)
    assert told.what == "what kind of link eth0 is"
    assert list(where.unchecked(healthy())) == []
