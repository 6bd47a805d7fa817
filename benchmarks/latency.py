"""From ``send`` to the consumer's code, at 1,000 events a second.

Three pairs in turn: our sender to our endpoint's coroutine, LCM's Python binding to its handler, and our sender to a
blocking receiver in C. The sender is this process each time; it keeps the time just before each send, the consumer
the time at which its code has the event, both from the monotonic clock that all processes share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.child import Child, python
from benchmarks.children.endpoint import INDEX_HEADER
from benchmarks.events import near
from benchmarks.peers import lcm_pair
from benchmarks.result import Row, at_most, check, interleave
from switchcast import Event, StockFrames
from switchcast._native import Sender

GROUP, PORT, C_PORT = "239.192.11.5", 4341, 4342
LCM_URL = "udpm://239.192.11.6:4343?ttl=0"
RATE = 1_000
SIZE = 1_200


def run(runs: int, quick: bool) -> list[Row]:
    """Median and 99th percentile beside LCM's, and the median beside the C receiver's."""
    count = 500 if quick else 2_000
    event = StockFrames().open(near(SIZE, 1)[0])
    events = [event.with_headers([(INDEX_HEADER, str(index))]) for index in range(count)]
    ours, lcm, blocking = interleave(
        runs,
        lambda: switchcast_pair(python("benchmarks.children.endpoint", "listen", GROUP, PORT, count), PORT, events),
        lambda: lcm_run(count, len(event.to_plain())),
        lambda: switchcast_pair([peers.blocking(), GROUP, C_PORT, count], C_PORT, events),
    )
    details = {"event_bytes": len(events[0].to_plain()), "events_a_run": count, "rate": RATE}
    rows = []
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        mine, theirs = ([percentile(figures, share) for figures in side] for side in (ours, lcm))
        rows.append(
            Row("latency", f"{name}, beside LCM", "µs", mine, "LCM Python", theirs, aim=at_most(1), details=details)
        )
    mine, theirs = ([percentile(figures, 0.5) for figures in side] for side in (ours, blocking))
    rows.append(Row("latency", "p50, beside C", "µs", mine, "blocking C", theirs, aim=at_most(2), details=details))
    tails = {"lcm_p99": [percentile(figures, 0.99) for figures in lcm]}
    tails["c_p99"] = [percentile(figures, 0.99) for figures in blocking]
    rows.append(
        Row(
            "latency",
            "p99, beside C",
            "µs",
            [percentile(figures, 0.99) for figures in ours],
            "blocking C",
            tails["c_p99"],
            details=tails,
        )
    )
    return rows


def switchcast_pair(command: Sequence[object], port: int, events: Sequence[Event]) -> list[float]:
    """Our sender, native and from Python, to whatever ``command`` runs."""
    sender = Sender([GROUP], port, interface="lo")
    try:
        with Child(command) as listener:
            batches = [[event] for event in events]
            sent = paced(lambda index: sender.send(batches[index]), len(events))
            return latencies(sent, listener.answer())
    finally:
        sender.close()


def lcm_run(count: int, size: int) -> list[float]:
    """LCM's sender to LCM's handler, messages of the same size."""
    node = lcm_pair.connect(LCM_URL)
    messages = [index.to_bytes(4, "big") + bytes(size - 4) for index in range(count)]
    with Child(python("benchmarks.peers.lcm_pair", "listen", LCM_URL, count)) as listener:
        sent = paced(lambda index: node.publish(lcm_pair.CHANNEL, messages[index]), count)
        return latencies(sent, listener.answer())


def paced(send: Callable[[int], Any], count: int) -> list[int]:
    """Call ``send`` RATE times a second; the time just before each call."""
    times = []
    start = time.monotonic_ns()
    for index in range(count):
        due = start + index * 1_000_000_000 // RATE
        if (early := due - time.monotonic_ns()) > 0:
            time.sleep(early / 1e9)
        times.append(time.monotonic_ns())
        send(index)
    return times


def latencies(sent: list[int], answer: dict[str, Any]) -> list[float]:
    """Microseconds from send to arrival, of each event; every one must have arrived, once."""
    arrivals = dict(answer["arrivals"])
    check(len(answer["arrivals"]) == len(arrivals) == len(sent), f"latency: {len(arrivals)} of {len(sent)} arrived")
    return [(arrivals[index] - time_sent) / 1e3 for index, time_sent in enumerate(sent)]


def percentile(figures: Sequence[float], share: float) -> float:
    """The figure that ``share`` of the figures do not exceed."""
    return median(figures) if share == 0.5 else sorted(figures)[int(share * (len(figures) - 1))]
