"""Publishing from Python: a list of events to the wire, beside a bare ``sendmmsg`` loop over the same bytes.

Delivery is included: a receiver has joined and reads nothing, and its buffer takes everything that is sent.
"""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.child import Child, python
from benchmarks.drain import BUFFER_BYTES
from benchmarks.events import SIZES, traffic, write_datagrams
from benchmarks.result import Row, at_least, check, interleave
from switchcast import StockFrames

GROUP, PORT = "239.192.11.4", 4331

BURSTS = 5
"""A run sends so many bursts, and the receiver's buffer is emptied after each."""


def run(runs: int, quick: bool) -> list[Row]:
    """Two rows for each size: by the clock, and processor time."""
    return [row for label, size in SIZES.items() for row in one_size(label, size, runs, 2 if quick else BURSTS)]


def one_size(label: str, size: int, runs: int, bursts: int) -> list[Row]:
    """Ours, native sender and endpoint, and the bare loop in turn, into one receiver."""
    frames = StockFrames()
    datagrams = [frames.frame(frames.open(datagram)) for datagram in traffic(size).datagrams]
    count = 10_000 if size < 2_000 else 5_000
    file = write_datagrams("publish", datagrams)
    bytes_sent = sum(map(len, datagrams)) * count // len(datagrams)
    with (
        Child(python("benchmarks.children.ours", "send", GROUP, PORT, file)) as ours,
        Child(python("benchmarks.children.endpoint", "send", GROUP, PORT, file)) as endpoint,
        Child([peers.bare(), "send", GROUP, PORT, file]) as bare,
        Child([peers.bare(), "receive", GROUP, PORT, BUFFER_BYTES]) as receiver,
    ):

        def publish(sender: Child) -> dict[str, float]:
            cpu = wall = 0
            for _ in range(bursts):
                answer = sender.ask("burst", count)
                got = receiver.ask("drain")
                check(answer["datagrams"] == count, f"publish: {answer['datagrams']} of {count} datagrams sent")
                check(got["datagrams"] == count, f"publish: {got['datagrams']} of {count} datagrams arrived")
                check(
                    got["bytes"] == bytes_sent, f"publish: {got['bytes']} bytes arrived where {bytes_sent} were meant"
                )
                cpu += answer["cpu_ns"]
                wall += answer["wall_ns"]
            return {"cpu": cpu / count / bursts, "wall": wall / count / bursts}

        contenders = (lambda: publish(ours), lambda: publish(endpoint), lambda: publish(bare))
        interleave(1, *contenders)
        mine, through_endpoint, theirs = interleave(runs, *contenders)
    details: dict[str, Any] = {
        "mean_datagram_bytes": bytes_sent / count,
        "datagrams_a_burst": count,
        "bursts_a_run": bursts,
    }
    rows = []
    for name, figures in (("Sender.send", mine), ("endpoint.send", through_endpoint)):
        for clock, unit in (("wall", "ns/datagram"), ("cpu", "ns CPU/datagram")):
            runs_, peer_runs = ([figure[clock] for figure in side] for side in (figures, theirs))
            case = f"{label}, {name}, {'rate' if clock == 'wall' else 'processor time'}"
            rows.append(Row("publish", case, unit, runs_, "bare sendmmsg", peer_runs, True, at_least(0.8), details))
    return rows
