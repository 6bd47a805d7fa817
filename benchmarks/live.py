"""A live pair: one sender at full speed, one receiver, at the same time.

On loopback the kernel delivers in the sender's context, so the sender's core is the bottleneck, and a receiver that
keeps up receives what was sent. The question is whether ours holds its sender up no more than the bare loop does, and
loses nothing that the bare loop does not lose. The aims are for the receiver of the drain: bindings on every event, 1%
delivered. With all of them delivered and read, Python wants a share of the receiver's core; how far that goes, informs.
"""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.child import Child, receiver_command
from benchmarks.events import SIZES, Traffic, traffic, write_datagrams
from benchmarks.result import Aim, Row, at_least, at_most, check, interleave

GROUP, PORT, BARE_PORT = "239.192.11.3", 4321, 4322
BUFFER_BYTES = 4 << 20
PATIENCE_SECONDS = 5

SEARCH_STEPS = 5
"""How often the interval is halved in which the greatest rate without loss lies."""

TRIES = 2
"""How often the bare loop must have lost nothing at a rate that it is said to take."""


def run(runs: int, quick: bool) -> list[Row]:
    """Rate at full speed with 1% and with all events delivered, and loss at the rate that the bare loop takes."""
    seconds = 0.2 if quick else 0.5
    rows = []
    for label, size in SIZES.items():
        sent = traffic(size)
        rows.append(full_speed(f"{label}, 1% delivered", sent, sent.bindings, runs, seconds, aim=at_least(1)))
        rows.append(full_speed(f"{label}, all delivered, three headers read", sent, "all", runs, seconds))
        rows.append(lossless(label, sent, runs, seconds))
    return rows


class Pair:
    """One sender and one receiver for ours, and the same for the bare loop; the four of them run, two are at work."""

    def __init__(self, sent: Traffic, bindings: str) -> None:
        file = write_datagrams("live", sent.datagrams)
        self.sent = sent
        self.bindings = bindings
        self.sender = Child([peers.bare(), "send", GROUP, PORT, file])
        self.bare_sender = Child([peers.bare(), "send", GROUP, BARE_PORT, file])
        self.receiver = Child(receiver_command(GROUP, PORT, BUFFER_BYTES, bindings))
        self.bare = Child([peers.bare(), "receive", GROUP, BARE_PORT, BUFFER_BYTES])

    def close(self) -> None:
        """End all four."""
        for child in (self.sender, self.bare_sender, self.receiver, self.bare):
            child.close()

    def ours(self, *command: object) -> dict[str, Any]:
        """Send as ``command`` says, and check that every datagram is accounted for."""
        self.receiver.ask("open", "running")
        self.receiver.tell("live", PATIENCE_SECONDS)
        sent = self.sender.ask(*command)
        got = self.receiver.answer()
        self.receiver.ask("close")
        outcome = joined(sent, got)
        accounted = got["datagrams"] + got["kernel_drops"]
        check(accounted == sent["datagrams"], f"live: {accounted} datagrams accounted for of {sent['datagrams']} sent")
        counted = got["delivered"] + got["unmatched"] + got["ring_overflow"]
        check(counted == got["datagrams"], f"live: {counted} events accounted for of {got['datagrams']} received")
        outcome["lost"] += got["ring_overflow"]
        return outcome

    def theirs(self, *command: object) -> dict[str, Any]:
        """The same with the bare loop."""
        self.bare.tell("live", PATIENCE_SECONDS)
        sent = self.bare_sender.ask(*command)
        return joined(sent, self.bare.answer())


def joined(sent: dict[str, Any], got: dict[str, Any]) -> dict[str, Any]:
    """What came of what was sent, a second of sending."""
    return {
        "rate": got["datagrams"] / sent["wall_ns"] * 1e9,
        "sent_rate": sent["datagrams"] / sent["wall_ns"] * 1e9,
        "lost": sent["datagrams"] - got["datagrams"],
        "receiver_cpu_ns": got["cpu_ns"] / max(got["datagrams"], 1),
    }


def full_speed(case: str, sent: Traffic, bindings: str, runs: int, seconds: float, *, aim: Aim | None = None) -> Row:
    """Events received a second while the sender does nothing but send."""
    count = int(350_000 * seconds)
    pair = Pair(sent, bindings)
    try:
        mine, theirs = interleave(runs, lambda: pair.ours("burst", count), lambda: pair.theirs("burst", count))
    finally:
        pair.close()
    return Row(
        benchmark="live",
        case=case,
        unit="events/s",
        runs=[outcome["rate"] for outcome in mine],
        peer="bare recvmmsg",
        peer_runs=[outcome["rate"] for outcome in theirs],
        aim=aim,
        details={"sent": count, "ours": mine, "bare": theirs},
    )


def lossless(label: str, sent: Traffic, runs: int, seconds: float) -> Row:
    """Events that ours loses at the greatest rate at which the bare loop lost none, found in the same run."""
    pair = Pair(sent, sent.bindings)
    try:
        low, high = 0.0, pair.theirs("burst", int(350_000 * seconds))["sent_rate"]
        rate = high
        for _ in range(SEARCH_STEPS):
            losses = [pair.theirs("pace", int(rate), int(rate * seconds))["lost"] for _ in range(TRIES)]
            low, high = (low, rate) if any(losses) else (rate, high)
            rate = (low + high) / 2
        rate = low
        check(rate > 0, "live: the bare loop loses events at any rate that was tried")
        command = ("pace", int(rate), int(rate * seconds))
        mine, theirs = interleave(runs, lambda: pair.ours(*command), lambda: pair.theirs(*command))
    finally:
        pair.close()
    return Row(
        benchmark="live",
        case=f"{label}, 1% delivered, lost at {rate:,.0f}/s with 4 MiB",
        unit="events",
        runs=[outcome["lost"] for outcome in mine],
        peer="bare recvmmsg",
        peer_runs=[outcome["lost"] for outcome in theirs],
        aim=at_most(0, of="ours"),
        details={"rate": rate, "ours": mine, "bare": theirs},
    )
