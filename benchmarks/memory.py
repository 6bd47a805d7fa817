"""Memory over ten million events: what is delivered and let go of must leave nothing behind."""

from __future__ import annotations

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
WARM_UP = 0.05
"""The share of the events after which allocators have their working set."""


def run(_runs: int, quick: bool) -> list[Row]:
    """Resident memory at the end less that after the warm-up; one run, since it looks for growth, not for speed."""
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
    warm = max(rss for at, rss in samples[: max(1, int(len(samples) * WARM_UP))])
    growth = max(samples[-1][1] - warm, 0) / 2**20
    return [
        Row(
            benchmark="memory",
            case=f"growth over {delivered:,} events",
            unit="MiB",
            runs=[growth],
            aim=at_most(1, of="ours"),
            details={"warm_mib": warm / 2**20, "samples_mib": [(at, rss / 2**20) for at, rss in samples[::25]]},
        )
    ]
