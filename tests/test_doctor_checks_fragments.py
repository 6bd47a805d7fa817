"""What happens to datagrams larger than one packet: found on made facts, and nothing on the healthy host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_facts import GROUP6, HEALTHY, PROBE, found, link, severities, target

from switchcast.guard.doctor import fragments
from switchcast.guard.doctor.facts import Facts, Heard, ProbeResult
from switchcast.guard.finding import Severity
from switchcast.system.counters import Counters
from switchcast.system.limits import KernelLimits

CRITICAL, WARNING, NOTICE = Severity.CRITICAL, Severity.WARNING, Severity.NOTICE


def heard(sizes: dict[int, int], *, sender: str = "fs2", mtu: int | None = 1500) -> ProbeResult:
    """The healthy probe, but that of ``sender``'s datagrams of these sizes the other heard so many."""
    rows = tuple(
        replace(row, heard=sizes[row.size]) if row.sender == sender and not row.looped and row.size in sizes else row
        for row in PROBE.rows
    )
    return replace(PROBE, rows=rows, neighbours=(replace(PROBE.neighbours[0], mtu=mtu),))


NO_FRAGMENTS = {1473: 0, 6000: 0, 60000: 0}


def test_a_healthy_host_has_no_finding() -> None:
    assert found(fragments) == {}
    assert list(fragments.unchecked(HEALTHY)) == []


def test_what_could_not_be_read_is_told_and_no_finding() -> None:
    facts = Facts(target=HEALTHY.target)
    assert list(fragments.check(facts)) == []
    assert [each.what for each in fragments.unchecked(facts)] == ["the memory for fragments"]


@pytest.mark.parametrize(
    ("code", "severity", "changes"),
    [
        ("fragments-lost", CRITICAL, {"probe": heard(NO_FRAGMENTS)}),
        ("fragments-lost", CRITICAL, {"probe": heard(NO_FRAGMENTS, sender="fs1")}),
        ("fragments-lost", CRITICAL, {"probe": heard(NO_FRAGMENTS, mtu=None)}),
        ("fragments-lost", WARNING, {"probe": heard({60000: 2})}),
        ("reassembly-failures", WARNING, {"counters": Counters({"IpReasmFails": 9, "IpReasmTimeout": 2})}),
        ("reassembly-failures", WARNING, {"counters": Counters({"Ip6ReasmFails": 9})}),
        (
            "reassembly-failures",
            NOTICE,
            {"counters": Counters({"IpReasmFails": 9}), "counters_before": Counters({"IpReasmFails": 9})},
        ),
        ("fragment-memory-small", WARNING, {"limits": KernelLimits(ipfrag_high_thresh=65536, ipfrag_time=30)}),
        (
            "fragment-memory-small",
            WARNING,
            {"limits": KernelLimits(ip6frag_high_thresh=65536), "target": target(groups=(GROUP6,))},
        ),
        ("fragment-memory-small", NOTICE, {"counters": Counters({"IpReasmReqds": 20_000}), "probe": None}),
        ("fragmentation-refused", WARNING, {"counters": Counters({"IpFragFails": 1})}),
    ],
)
def test_each_fault_is_found(code: str, severity: Severity, changes: dict[str, Any]) -> None:
    assert severities(fragments, **changes) == {code: severity}


@pytest.mark.parametrize(
    "changes",
    [
        {"probe": heard({300: 0, 1472: 0, **NO_FRAGMENTS})},
        {"probe": heard({60000: 8})},
        # Larger packets than the other end's MTU lets in: that is a fault of the MTU, not of fragments.
        {"probe": heard({6000: 0, 60000: 0}, mtu=9000)},
        {"probe": heard({1472: 0, **NO_FRAGMENTS}, mtu=1400, sender="fs1")},
        {"probe": heard({1472: 0, **NO_FRAGMENTS}), "links": link(mtu=9000)},
        {"counters": Counters({"IpReasmReqds": 200, "IpReasmOKs": 40})},
        {"limits": KernelLimits(ip6frag_high_thresh=65536)},
    ],
)
def test_what_is_no_fault_is_not_found(changes: dict[str, Any]) -> None:
    assert found(fragments, **changes) == {}


def test_who_loses_whose_is_told() -> None:
    title = found(fragments, probe=heard(NO_FRAGMENTS, sender="fs1"))["fragments-lost"].title
    assert title == "Datagrams larger than one packet do not get from this host to fs2."


def test_the_probes_own_fragments_are_not_held_against_the_network() -> None:
    changes = {"counters": Counters({"IpReasmReqds": 20_000}), "probe": replace(PROBE, fragments=20_000)}
    assert found(fragments, **changes) == {}


def test_the_probes_own_datagrams_come_back_in_fragments_over_ipv6() -> None:
    rows = (Heard("fs1", "fs1", GROUP6, 60000, 1000, 0),)
    changes = {"counters": Counters({"Ip6ReasmReqds": 42_000}), "target": target(groups=(GROUP6,))}
    assert found(fragments, probe=replace(PROBE, rows=rows), **changes) == {}
    assert "fragment-memory-small" in found(fragments, probe=replace(PROBE, rows=()), **changes)
