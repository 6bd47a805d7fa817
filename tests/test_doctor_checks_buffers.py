"""Losses in this host's own queues: each is found on made facts, and the healthy host has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from doctor_facts import HEALTHY, OURS, STOCK, found, link, severities, target

from switchcast.guard.doctor import buffers
from switchcast.guard.doctor.facts import Facts
from switchcast.guard.finding import Severity
from switchcast.system.counters import Counters
from switchcast.system.limits import KernelLimits
from switchcast.system.links import Queue

WARNING, NOTICE = Severity.WARNING, Severity.NOTICE
LOST = replace(STOCK, drops=40)
DEFAULT = KernelLimits(rmem_max=212_992, rmem_default=212_992)


def grown(**counts: int) -> Counters:
    return Counters({**(HEALTHY.counters or Counters()).counts, **counts})


def test_a_healthy_host_has_no_finding() -> None:
    assert found(buffers) == {}
    assert list(buffers.unchecked(HEALTHY)) == []


def test_what_could_not_be_read_is_told_and_no_finding() -> None:
    facts = Facts(target=HEALTHY.target)
    assert list(buffers.check(facts)) == []
    assert [each.what for each in buffers.unchecked(facts)] == [
        "how large receive buffers may be",
        "drops of sockets",
        "the kernel's counters",
    ]
    blind = replace(HEALTHY, sockets=(replace(OURS, receive_buffer=None),))
    assert [each.how for each in buffers.unchecked(blind)] == ["modprobe udp_diag"]


@pytest.mark.parametrize(
    ("code", "severity", "changes"),
    [
        ("receive-drops", WARNING, {"sockets": (OURS, LOST)}),
        ("receive-drops", WARNING, {"sockets": (OURS, LOST), "sockets_before": (OURS, LOST)}),
        ("receive-buffer-limited", WARNING, {"limits": DEFAULT, "sockets": (STOCK,)}),
        ("receive-buffer-small", WARNING, {"target": target(receive_buffer=2048)}),
        ("socket-buffer-small", NOTICE, {"sockets": (OURS, replace(STOCK, receive_buffer=212_992))}),
        ("receive-queue-full", WARNING, {"sockets": (OURS, replace(STOCK, receive_queue=1_000_000))}),
        ("receive-drops-elsewhere", NOTICE, {"counters": grown(UdpRcvbufErrors=3)}),
        ("receive-drops-elsewhere", NOTICE, {"counters": grown(Udp6RcvbufErrors=3)}),
        ("udp-memory-full", WARNING, {"counters": grown(UdpMemErrors=3)}),
        ("send-queue-full", WARNING, {"counters": grown(UdpSndbufErrors=3)}),
        ("send-queue-full", WARNING, {"sockets": (OURS, replace(STOCK, send_queue=200_000))}),
        ("send-queue-full", WARNING, {"links": link(queue=Queue("tbf", 12, 0))}),
        (
            "send-queue-dropped",
            NOTICE,
            {"links": link(queue=Queue("tbf", 12, 0)), "links_before": link(queue=Queue("tbf", 12, 0))},
        ),
    ],
)
def test_each_fault_is_found(code: str, severity: Severity, changes: dict[str, Any]) -> None:
    assert severities(buffers, **changes) == {code: severity}


@pytest.mark.parametrize(
    "changes",
    [
        {"sockets": (OURS, replace(LOST, port=5000))},
        {"sockets": (OURS, replace(STOCK, receive_queue=10_000, send_queue=10_000))},
        {"counters": grown(UdpRcvbufErrors=3), "counters_before": grown(UdpRcvbufErrors=3)},
        {"counters": grown(UdpRcvbufErrors=3, Udp6RcvbufErrors=1), "own_drops": 4},
        {"limits": KernelLimits()},
        {"limits": DEFAULT},  # our endpoint runs, and was granted what it asked for
    ],
)
def test_what_is_no_fault_is_not_found(changes: dict[str, Any]) -> None:
    assert found(buffers, **changes) == {}


def test_drops_are_told_in_all_and_just_now() -> None:
    finding = found(buffers, sockets=(LOST,), sockets_before=(replace(LOST, drops=30),), limits=DEFAULT)[
        "receive-drops"
    ]
    assert finding.title == "40 datagrams to port 4242 were lost on this host, 10 of them just now."
    assert [mend.how for mend in finding.mends] == [
        "sysctl -w net.core.rmem_max=4194304",
        "sysctl -w net.core.rmem_default=4194304",
        "receive_buffer=8388608",
    ]


def test_drops_of_the_port_are_not_told_again_as_those_of_others() -> None:
    assert severities(buffers, sockets=(LOST,), sockets_before=(STOCK,), counters=grown(UdpRcvbufErrors=40)) == {
        "receive-drops": WARNING
    }


def test_a_small_buffer_is_told_in_events() -> None:
    assert (
        "holds about 25 events of 4 KiB"
        in found(buffers, limits=DEFAULT, sockets=(STOCK,))["receive-buffer-limited"].cause
    )


def test_what_the_probe_lost_itself_is_evidence_for_a_small_buffer() -> None:
    evidence = found(buffers, limits=DEFAULT, sockets=(STOCK,), own_drops=44)["receive-buffer-limited"].evidence
    assert evidence[-1] == "the probe lost 44 of its own datagrams for it"
