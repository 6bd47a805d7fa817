"""The way to the group and back: each fault is found on made facts, and the healthy host has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_facts import ETH0, ETH1, GROUP, HEALTHY, LOOPBACK, OTHER, OURS, found, link, severities, target

from switchcast.guard.doctor import routing
from switchcast.guard.doctor.facts import Facts, Sender
from switchcast.guard.finding import Severity
from switchcast.system.counters import Counters
from switchcast.system.routes import Route, Unroutable

CRITICAL, WARNING, NOTICE = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE
NO_WAY = Unroutable(GROUP, "Network is unreachable")
TWO_LINKS = (LOOPBACK, ETH0, ETH1)
UNHEARD = Sender(OTHER, "eth0", Route(OTHER, "eth1"), heard=False)
DROPS = Counters({"TcpExtIPReversePathFilter": 7})


def test_a_healthy_host_has_no_finding() -> None:
    assert found(routing) == {}
    assert list(routing.unchecked(HEALTHY)) == []


def test_what_could_not_be_read_is_told_and_no_finding() -> None:
    facts = Facts(target=HEALTHY.target)
    assert list(routing.check(facts)) == []
    assert [each.what for each in routing.unchecked(facts)] == ["the routes"]


@pytest.mark.parametrize(
    ("code", "severity", "changes"),
    [
        ("no-route", CRITICAL, {"target": target(interface=None), "routes": {GROUP: NO_WAY}}),
        (
            "no-route",
            CRITICAL,
            {"target": target(groups=(), hosts=(OTHER,)), "routes": {OTHER: Unroutable(OTHER, "a blackhole route")}},
        ),
        ("route-elsewhere", NOTICE, {"routes": {GROUP: Route(GROUP, "eth1")}}),
        ("rp-filter-strict", CRITICAL, {"senders": (UNHEARD,), "links": TWO_LINKS}),
        ("rp-filter-strict", CRITICAL, {"senders": (replace(UNHEARD, interface=None),), "links": TWO_LINKS}),
        ("rp-filter-strict", CRITICAL, {"senders": (replace(UNHEARD, back=Unroutable(OTHER, "no")),)}),
        (
            "rp-filter-strict",
            CRITICAL,
            {"senders": (replace(UNHEARD, back=Unroutable(OTHER, "no")),), "links": link(rp_filter=2)},
        ),
        ("rp-filter-drops", WARNING, {"counters": DROPS}),
        ("rp-filter-drops", NOTICE, {"counters": DROPS, "counters_before": DROPS}),
        ("rp-filter-strict", NOTICE, {"links": TWO_LINKS}),
        ("ttl-zero", CRITICAL, {"target": target(ttl=0)}),
        (
            "ttl-too-small",
            WARNING,
            {"senders": (Sender("192.0.2.7", "eth0", Route("192.0.2.7", "eth0", None, OTHER)),)},
        ),
        ("loopback-off", WARNING, {"target": target(loopback=False)}),
    ],
)
def test_each_fault_is_found(code: str, severity: Severity, changes: dict[str, Any]) -> None:
    assert severities(routing, **changes) == {code: severity}


@pytest.mark.parametrize(
    "changes",
    [
        {"routes": {GROUP: NO_WAY}},
        {"senders": (UNHEARD,), "links": (LOOPBACK, replace(ETH0, rp_filter=2), ETH1)},
        {"senders": (UNHEARD,), "links": (LOOPBACK, replace(ETH0, rp_filter=0), ETH1)},
        {"senders": (replace(UNHEARD, heard=True),)},
        {"links": (LOOPBACK, ETH0, replace(ETH1, up=False))},
        {"target": target(ttl=4), "senders": (Sender("192.0.2.7", "eth0"),)},
        {"senders": (Sender("fe80::2", "eth0"), Sender("fd42::2", "eth0"))},
        {"target": target(loopback=False), "sockets": (replace(OURS, port=5000),)},
        {"target": target(interface="lo"), "routes": {GROUP: Route(GROUP, "eth0")}},  # which ``membership`` tells
    ],
)
def test_what_is_no_fault_is_not_found(changes: dict[str, Any]) -> None:
    assert found(routing, **changes) == {}


def test_configuration_without_evidence_is_never_critical() -> None:
    assert severities(routing, links=TWO_LINKS, senders=None, counters=None, probe=None) == {"rp-filter-strict": NOTICE}


def test_the_mend_of_a_missing_route_names_an_interface_that_would_do() -> None:
    finding = found(routing, target=target(interface=None), routes={GROUP: NO_WAY})["no-route"]
    assert [mend.how for mend in finding.mends] == ["interface=eth0", "ip route add 224.0.0.0/4 dev eth0"]
