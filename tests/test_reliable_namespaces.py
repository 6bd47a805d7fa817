"""Hosts on a bridge whose packets are dropped at random, fragments too: nothing is lost, or all of it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from namespaces import Host, bridged_hosts, drop_some
from reliable_streams import (
    Listener,
    assert_conserved,
    assert_gaps_told,
    bare,
    numbered,
    receiver,
    send_all,
    send_numbered,
    sender,
)

from switchcast import Event, StockFrames

PORT = 4242
GROUP = "239.192.1.1"
RATE = 1_500


@pytest.fixture(scope="module")
def hosts() -> Iterator[list[Host]]:
    with bridged_hosts(4) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def events(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    """The recorded events: all sizes up to 61 KB."""
    frames = StockFrames()
    return bare([frames.open(datagram) for _, datagram in plain_datagrams])


@pytest.mark.parametrize("mode", ["traced", "sealed"])
@pytest.mark.parametrize("group", [GROUP, "ff12::4242"], ids=["IPv4", "IPv6 link-local"])
def test_no_event_is_lost_where_a_tenth_of_the_packets_is(
    hosts: list[Host], events: list[Event], mode: str, group: str
) -> None:
    """Dropped on the way to each receiver, and requests on the way back."""
    count = 2 * RATE
    listeners = []
    for host in hosts[1:]:
        with host.entered():
            listeners.append(Listener(receiver(mode, group, PORT)))
    with hosts[0].entered():
        out = sender(mode, group, PORT, "fs1")
    for host in hosts:
        drop_some(host, 10)
    try:
        send_numbered(out, events, count, RATE)
        assert all(listener.wait_for("fs1", count) for listener in listeners)
    finally:
        for host in hosts:
            drop_some(host, 0)
    out.close()
    for listener in listeners:
        rows = listener.stop()
        assert listener.numbers["fs1"] == list(range(1, count + 1))
        assert_conserved(rows)
        assert not listener.gaps
        assert sum(row["repaired"] for row in rows) > count / 20


@pytest.mark.parametrize("mode", ["traced", "sealed"])
def test_without_repair_every_loss_is_told(hosts: list[Host], events: list[Event], mode: str) -> None:
    """The same faults must show when nothing mends them, and then each missing event stands in a gap record."""
    count = RATE
    with hosts[1].entered():
        listener = Listener(receiver(mode, GROUP, PORT, repair=False))
    with hosts[0].entered():
        out = sender(mode, GROUP, PORT, "fs1")
    send_all(out, numbered(events, 10))
    assert listener.wait_for("fs1", 10)
    drop_some(hosts[1], 10)
    try:
        send_numbered(out, events, count, RATE, first=11)
    finally:
        drop_some(hosts[1], 0)
    last = 10 + count
    # A beacon tells of the last ones, should they be lost too.
    assert listener.wait_until_settled(last)
    out.close()
    rows = listener.stop()
    missing = sorted(set(range(1, last + 1)) - set(listener.numbers["fs1"]))
    assert len(missing) > count / 50
    assert_conserved(rows)
    assert_gaps_told(rows, listener.gaps)
    told: list[int] = []
    for gap in listener.gaps:
        first, final = map(int, gap["Gap-Range"].split("-"))
        told += range(first, final + 1)
    assert told == missing
