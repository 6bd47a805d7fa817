"""Memory over ten million events: what is delivered and let go of must leave nothing behind.

How much is resident goes up and down by some MiB with how far the consumer is behind at the moment, so growth is looked
for between the medians of two stretches.
"""

from __future__ import annotations

from statistics import median

from benchmarks import peers
from benchmarks.child import Child, receiver_command
from benchmarks.events import traffic, write_datagrams
from benchmarks.result import Row, at_most, check

GROUP, PORT = "239.192.11.7", 4351
BUFFER_BYTES = 64 << 20
BURST = 20_000
"""Fewer than the receive buffer holds, so that none is lost and every one is delivered."""

EVENTS = 10_000_000
QUICK_EVENTS = 500_000


def run(_runs: int, quick: bool) -> list[Row]:
    """Resident memory in the last quarter less that in the second; one run, for it looks for growth, not for speed."""
    wanted = QUICK_EVENTS if quick else EVENTS
    sent = traffic(1_200)
    file = write_datagrams("memory", sent.datagrams)
    delivered, samples = 0, []
    with (
        Child([peers.bare(), "send", GROUP, PORT, file]) as sender,
        Child(receiver_command(GROUP, PORT, BUFFER_BYTES, "all")) as ours,
    ):
        ours.ask("open", "running")
        while delivered < wanted:
            ours.tell("count", BURST)
            sender.ask("burst", BURST)
            answer = ours.answer()
            check(answer["delivered"] == BURST, f"memory: {answer['delivered']} of {BURST} events delivered")
            delivered += BURST
            samples.append((delivered, answer["rss"]))
        counters = ours.ask("close")
    check(counters["delivered"] == delivered, f"memory: {counters['delivered']} counted of {delivered} delivered")
    quarter = len(samples) // 4
    before, after = (median(rss for _, rss in part) for part in (samples[quarter : 2 * quarter], samples[-quarter:]))
    return [
        Row(
            benchmark="memory",
            case=f"growth over {delivered:,} events",
            unit="MiB",
            runs=[max(after - before, 0) / 2**20],
            aim=at_most(1, of="ours"),
            details={
                "second_quarter_mib": before / 2**20,
                "last_quarter_mib": after / 2**20,
                "samples_mib": [(at, rss / 2**20) for at, rss in samples[::25]],
            },
        )
    ]
