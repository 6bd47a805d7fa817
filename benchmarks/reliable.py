"""What it costs that nothing gets lost or forged: the modes traced and sealed beside stock, in one interleaved run.

A receiver is paused until its socket's buffer holds a whole stream, and drains it: as fast as it can, with nobody
sending meanwhile. Once every event is delivered and three of its headers are read, once bindings want 1%. Then one
event at a time, for what a mode adds to the way from ``send`` to the consumer's code.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from benchmarks.child import Child, python
from benchmarks.children.reliable import INDEX_HEADER, KEY
from benchmarks.events import SIZES, Traffic, checksum, near, traffic, write_datagrams
from benchmarks.latency import latencies, percentile
from benchmarks.result import Row, at_least, check, interleave
from switchcast import StockFrames
from switchcast._native import ReliableSender, Sender

GROUP: Final = "239.192.11.7"
PORTS: Final = {"stock": 4351, "traced": 4352, "sealed": 4353}
AIMS: Final = {"traced": 0.75, "sealed": 0.5}
"""The share of stock's rate that is aimed at."""
BUFFER_BYTES: Final = 64 << 20
FILLS: Final = 5
"""A run drains so many streams and takes the median."""
RATE: Final = 500
SIZE: Final = 1_200


def run(runs: int, quick: bool) -> list[Row]:
    """Rates, processor time, bytes on the wire, and latency."""
    fills = 1 if quick else FILLS
    rows = []
    for label, size in SIZES.items():
        rows += one_size(label, traffic(size), 20_000 if size < 2_000 else 10_000, runs, fills)
    return rows + added_latency(runs, 200 if quick else 1_000)


class Pair:
    """A sender and a receiver of one mode."""

    def __init__(self, mode: str, sent: Traffic, bindings: str) -> None:
        at = (mode, GROUP, PORTS[mode])
        file = write_datagrams("reliable", sent.datagrams)
        self.mode, self.sent, self.wanted = mode, sent, bindings != "all"
        self.sender = Child(python("benchmarks.children.reliable", "send", *at, file))
        self.receiver = Child([*python("benchmarks.children.reliable", "receive", *at, BUFFER_BYTES), bindings])

    def close(self) -> None:
        """End both."""
        self.sender.close()
        self.receiver.close()

    def drained(self, count: int) -> dict[str, float]:
        """Fill the buffer and drain it; what it took for each event, and that every one is accounted for."""
        rounds = count // len(self.sent.datagrams)
        expected = rounds if self.wanted else count
        read = self.sent.datagrams[-1:] if self.wanted else self.sent.datagrams
        self.receiver.ask("open")
        sent = self.sender.ask("burst", count)
        got = self.receiver.ask("drain", expected)
        told = self.receiver.ask("close")
        self.sender.ask("close")
        check(got["delivered"] == expected, f"reliable: {self.mode}: {got['delivered']} of {expected} delivered")
        check(got["checksum"] == rounds * checksum(read), f"reliable: {self.mode}: the headers read are not those sent")
        if self.mode != "stock":
            [row] = told["streams"]
            check(row["delivered"] == count, f"reliable: {self.mode}: {row}")
            check(row["repaired"] + row["gaps"] == 0, f"reliable: {self.mode}: the buffer did not hold them all: {row}")
        return {
            "rate": expected / got["wall_ns"] * 1e9 * (count / expected),
            "cpu": got["cpu_ns"] / count,
            "sent_bytes": sent["bytes"] / count,
            "send_cpu": sent["cpu_ns"] / count,
        }


def one_size(label: str, sent: Traffic, count: int, runs: int, fills: int) -> list[Row]:
    """Rates with all and with 1% wanted, and what else the runs tell."""
    rows = []
    for case, bindings in (("all delivered, three headers read", "all"), ("1% wanted", sent.bindings)):
        pairs = [Pair(mode, sent, bindings) for mode in PORTS]
        try:
            figures = dict(zip(PORTS, interleave(runs, *(typical(pair, count, fills) for pair in pairs)), strict=True))
        finally:
            for pair in pairs:
                pair.close()
        for mode, aim in AIMS.items():
            rows.append(row(f"{label}, {mode}, {case}", "events/s", "rate", figures, mode, aim=at_least(aim)))
            rows.append(row(f"{label}, {mode}, {case}", "ns CPU/event", "cpu", figures, mode))
    for mode in AIMS:
        rows.append(row(f"{label}, {mode}, on the wire", "bytes/event", "sent_bytes", figures, mode))
        rows.append(row(f"{label}, {mode}, sent", "ns CPU/event", "send_cpu", figures, mode))
    return rows


def typical(pair: Pair, count: int, fills: int) -> Callable[[], dict[str, float]]:
    """The median of ``fills`` drains, figure by figure."""

    def once() -> dict[str, float]:
        drains = [pair.drained(count) for _ in range(fills)]
        return {name: median(drain[name] for drain in drains) for name in drains[0]}

    return once


def row(case: str, unit: str, figure: str, figures: dict[str, list[dict[str, float]]], mode: str, **aim: Any) -> Row:
    """One mode's figure beside stock's."""
    mine, theirs = ([run[figure] for run in figures[name]] for name in (mode, "stock"))
    return Row("reliable", case, unit, mine, "stock", theirs, **aim)


def added_latency(runs: int, count: int) -> list[Row]:
    """Median and 99th percentile from ``send`` to the consumer, one event at a time."""
    event = StockFrames().open(near(SIZE, 1)[0])
    events = [[event.with_headers([(INDEX_HEADER, str(index))])] for index in range(count)]

    def once(mode: str) -> list[float]:
        at = (mode, GROUP, PORTS[mode])
        with Child([*python("benchmarks.children.reliable", "receive", *at, BUFFER_BYTES), "all"]) as receiver:
            receiver.ask("open", "running")
            sender: Sender | ReliableSender
            if mode == "stock":
                sender = Sender([GROUP], PORTS[mode], interface="lo")
            else:
                sender = ReliableSender([GROUP], PORTS[mode], mode=mode, name="bench", keys=[KEY], interface="lo")
            try:
                receiver.tell("arrivals", count)
                sent = []
                for batch in events:
                    sent.append(time.monotonic_ns())
                    sender.send(batch)
                    time.sleep(1 / RATE)
                return latencies(sent, receiver.answer())
            finally:
                sender.close()

    outcomes = dict(zip(PORTS, interleave(runs, *((lambda mode=mode: once(mode)) for mode in PORTS)), strict=True))
    rows = []
    for mode in AIMS:
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            mine, theirs = ([percentile(figures, share) for figures in outcomes[each]] for each in (mode, "stock"))
            rows.append(Row("reliable", f"latency, {mode}, {name}", "µs", mine, "stock", theirs))
    return rows
