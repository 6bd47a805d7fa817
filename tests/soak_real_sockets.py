"""The long runs on real sockets: a minute of loss, kills, restarts, flapping links, and a stranger's flood.

``make soak`` runs them, by this file's name, which no other run collects. Each asserts that all that was sent is
delivered, or told to be missing, and prints its figures (``pytest -s``).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from namespaces import Host, bridged_hosts, drop_some
from recordings import read_pcap
from reliable_streams import (
    KEY,
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
from switchcast._native import key_id

PORT = 4242
GROUP = "239.192.1.1"
RATE, SECONDS = 5_000, 60
TIMES = 20
REJOIN_SECONDS = 2.0
FLOOD_RATE, FLOOD_SECONDS = 100_000, 30
HERE = Path(__file__).parent
PLAIN = [Event("TEXT", {"Pad": "x" * 700})]
MODES = pytest.mark.parametrize("mode", ["traced", "sealed"])


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with bridged_hosts(5) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """The recorded events: all sizes up to 61 KB."""
    frames = StockFrames()
    return bare([frames.open(datagram) for _, datagram in read_pcap(HERE / "data" / "stock-plain.pcap.gz")])


@contextmanager
def dropping(hosts: list[Host], percent: int) -> Iterator[None]:
    """Lose so many of what comes in to each of ``hosts``."""
    for host in hosts:
        drop_some(host, percent)
    try:
        yield
    finally:
        for host in hosts:
            drop_some(host, 0)


def listen(host: Host, mode: str, **options: Any) -> Listener:
    with host.entered():
        return Listener(receiver(mode, GROUP, PORT, **options))


def tell(what: str, rows: list[dict[str, Any]]) -> None:
    """Print a stream's figures."""
    for row in rows:
        names = ("next", "delivered", "repaired", "spurious", "requests", "gaps", "duplicates", "silent", "ended")
        print(what, *(f"{name}={row[name]}" for name in names))


def forget_fragments_soon(host: Host) -> None:
    """Give up a datagram of which a fragment is missing after a second, and have room for those until then.

    By default they are kept for 30 s in 4 MiB: soon nothing that is fragmented comes in any more, as at traced events.
    """
    for family in ("ipv4.ipfrag", "ipv6.ip6frag"):
        host.run("sysctl", "--quiet", "--write", f"net.{family}_time=1", f"net.{family}_high_thresh=134217728")


@MODES
def test_a_minute_in_which_a_tenth_is_lost(hosts: list[Host], events: list[Event], mode: str) -> None:
    count = RATE * SECONDS
    for host in hosts[1:4]:
        forget_fragments_soon(host)
    listeners = [listen(host, mode) for host in hosts[1:4]]
    with hosts[0].entered():
        out = sender(mode, GROUP, PORT, "fs1")
    with dropping(hosts[:4], 10):
        began = time.monotonic()
        send_numbered(out, events, count, RATE)
        print(f"{mode}: {count / (time.monotonic() - began):,.0f} events/s sent; {out.counters()}")
        assert all(listener.wait_for("fs1", count) for listener in listeners)
    out.close()
    for listener in listeners:
        rows = listener.stop()
        tell(mode, rows)
        assert_conserved(rows)
        assert listener.numbers["fs1"] == list(range(1, count + 1))
        assert not listener.gaps


@MODES
def test_the_same_without_repair_shows_the_loss_and_tells_it(hosts: list[Host], events: list[Event], mode: str) -> None:
    count = RATE * SECONDS // 6
    listener = listen(hosts[1], mode, repair=False)
    with hosts[0].entered():
        out = sender(mode, GROUP, PORT, "fs1")
    send_all(out, numbered(events, 10))
    assert listener.wait_for("fs1", 10)
    with dropping(hosts[1:2], 10):
        send_numbered(out, events, count - 10, RATE, first=11)
    assert listener.wait_until_settled(count)
    out.close()
    rows = listener.stop()
    tell(mode, rows)
    assert_conserved(rows)
    assert_gaps_told(rows, listener.gaps)
    missing = sorted(set(range(1, count + 1)) - set(listener.numbers["fs1"]))
    told = [number for gap in listener.gaps for number in range_of(gap)]
    assert len(missing) > count / 20
    assert told == missing


@MODES
def test_a_sender_is_killed_twenty_times(hosts: list[Host], mode: str) -> None:
    """Each start is heard within two seconds, and of each end it is told that nobody knows where it is."""
    listener = listen(hosts[1], mode)
    took = []
    with dropping(hosts[1:2], 10):
        for life in range(TIMES):
            process = start_sender(hosts[0], mode, "fs1", 1_000)
            assert process.stdout is not None
            sent = float(process.stdout.readline())
            assert wait_until(lambda life=life: len(listener.starts) > life), listener.receiver.streams()
            took.append(listener.starts[life] - sent)
            assert listener.wait_for("fs1", len(listener.numbers["fs1"]) + 300), life
            process.send_signal(signal.SIGKILL)
            process.communicate()
    print(f"{mode}: heard {min(took):.3f} to {max(took):.3f} s after the first event was sent")
    assert max(took) < REJOIN_SECONDS
    assert wait_until(lambda: listener.receiver.streams()[-1]["silent"])
    rows = listener.stop()
    assert_conserved(rows)
    open_ends = [gap for gap in listener.gaps if gap["Gap-Range"].endswith("-")]
    print(f"{mode}: {len(open_ends)} open ends, {len(listener.gaps)} gaps")
    # Of the last one nobody took the place: it is silent, and may come back.
    assert {gap["Gap-Stream"] for gap in open_ends} == {row["stream"] for row in rows[:-1]}
    assert len(listener.starts) == len(rows) == TIMES


@MODES
def test_a_receiver_starts_twenty_times(hosts: list[Host], mode: str) -> None:
    process = start_sender(hosts[0], mode, "fs1", 1_000)
    took = []
    try:
        with dropping(hosts[1:2], 10):
            for _ in range(TIMES):
                began = time.monotonic()
                listener = listen(hosts[1], mode)
                assert listener.wait_for("fs1", 200)
                rows = listener.stop()
                assert_conserved(rows)
                numbers = listener.numbers["fs1"]
                assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
                if numbers[0] > 1:  # else the sender was not there yet
                    took.append(listener.first["fs1"] - began)
    finally:
        process.kill()
        process.communicate()
    print(f"{mode}: heard after {min(took):.3f} to {max(took):.3f} s")
    assert max(took) < REJOIN_SECONDS


@MODES
def test_a_link_goes_down_twenty_times(hosts: list[Host], mode: str) -> None:
    """Two thirds of a second each: all that was sent meanwhile is asked for, and comes in order."""
    listener = listen(hosts[1], mode)
    with hosts[0].entered():
        out = sender(mode, GROUP, PORT, "fs1")
    took, sent = [], 0
    for _ in range(TIMES):
        send_numbered(out, PLAIN, 500, 1_000, first=sent + 1)
        hosts[1].run("ip", "link", "set", "veth", "down")
        send_numbered(out, PLAIN, 700, 1_000, first=sent + 501)
        hosts[1].run("ip", "link", "set", "veth", "up")
        began = time.monotonic()
        send_numbered(out, PLAIN, 300, 1_000, first=sent + 1_201)
        sent += 1_500
        assert listener.wait_for("fs1", sent), listener.receiver.streams()
        took.append(listener.heard["fs1"] - began)
    out.close()
    rows = listener.stop()
    tell(mode, rows)
    print(f"{mode}: complete {min(took):.2f} to {max(took):.2f} s after the link was up, 0.3 s of sending included")
    assert listener.numbers["fs1"] == list(range(1, sent + 1))
    assert_conserved(rows)
    assert max(took) < REJOIN_SECONDS


@MODES
def test_a_stranger_floods_the_group(hosts: list[Host], mode: str) -> None:
    """Good events come through, and memory stays where it was."""
    listener = listen(hosts[1], mode)
    with hosts[0].entered():
        out = sender(mode, GROUP, PORT, "fs1")
    send_numbered(out, PLAIN, 1_000, 1_000, first=1)
    assert listener.wait_for("fs1", 1_000)
    before = resident()
    words = [sys.executable, str(HERE / "soak_stranger.py"), GROUP, str(PORT), str(FLOOD_RATE), str(FLOOD_SECONDS)]
    stranger = subprocess.Popen(
        ["ip", "netns", "exec", hosts[4].name, *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KEY_ID": key_id(KEY)},
    )
    count = 1_000 + 1_000 * FLOOD_SECONDS
    send_numbered(out, PLAIN, count - 1_000, 1_000, first=1_001)
    sent = stranger.communicate(timeout=60)[0].split()
    assert listener.wait_for("fs1", count, 60)
    grown = resident() - before
    counters = listener.receiver.counters()
    out.close()
    rows = listener.stop()
    tell(mode, rows)
    rejected = {name: count for name, count in counters.items() if name.startswith("rejected_") and count}
    print(f"{mode}: {int(sent[0]) / FLOOD_SECONDS:,.0f} datagrams/s of the stranger's, {rejected},")
    print(f"{mode}: {counters['kernel_drops']:,} dropped by the kernel; {grown / 1e6:.1f} MB more memory")
    assert listener.numbers["fs1"] == list(range(1, count + 1))
    assert_conserved(rows)
    assert [row["sender"] for row in rows] == ["fs1"]
    assert sum(rejected.values()) + counters["kernel_drops"] > 0
    assert grown < 256e6


def range_of(gap: Event) -> range:
    first, last = map(int, gap["Gap-Range"].split("-"))
    return range(first, last + 1)


def wait_until(condition: Any, patience: float = 30.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def start_sender(host: Host, mode: str, name: str, rate: int) -> subprocess.Popen[bytes]:
    """A sender as a process of its own, on ``host``."""
    words = [sys.executable, str(HERE / "soak_streaming.py"), mode, GROUP, str(PORT), name, str(rate)]
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        ["ip", "netns", "exec", host.name, *words], env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE
    )


def resident() -> int:
    """Bytes of this process's memory that are resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
