"""The modes that lose nothing and believe nobody, traced and sealed, beside stock: the same events, in the same run.

Receiving is measured on a full socket buffer, as elsewhere, but a stream must be alive before a receiver follows it. So
each fill begins with the receiver opened and paused; a sender that runs all the time, a real one, sends a single event
and, 20 ms later, the beacon which tells that it is alive; then it sends the burst that is timed. All of it lies in the
receiver's buffer when the receiver is let go: the first event is kept aside, the beacon admits the stream, and from
there on each event comes in order and is opened, checked, unpacked and matched as it would be live. Stock goes through
the same steps, the single event included, without the beacon. The single event is in the time and not in the count.

Publishing is measured by the very bursts that fill the buffer: on loopback the kernel delivers in the sender's context,
so a sender pays for the copy into the receiver's buffer, in every mode. A sender's copies for repair are made and kept.

Bytes on the wire are computed from the datagrams that a plain socket of the same group took, beacons among them, for
Ethernet that carries 1,500 bytes of IPv4: 18 bytes of header and check sum a frame, 20 of IPv4 in each fragment, 8 of
UDP. Delay is from before ``send`` to the consumer's coroutine, as in ``latency``, at 1,000 events a second; the first
events, which wait for the stream to be admitted, are left out, for stock as well.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.child import Child, python
from benchmarks.children.endpoint import INDEX_HEADER
from benchmarks.children.ours import SO_RCVBUFFORCE
from benchmarks.children.reliable import KEY, open_sender
from benchmarks.drain import BUFFER_BYTES
from benchmarks.events import SIZES, Traffic, checksum, near, traffic, write_datagrams
from benchmarks.latency import latencies, paced, percentile
from benchmarks.result import Aim, Row, at_least, check, interleave
from switchcast import StockFrames
from switchcast.keys import KeyFile

GROUP = "239.192.11.9"
PORTS = {"stock": 4361, "traced": 4362, "sealed": 4363}
WIRE_PORT, DELAY_PORT = 4364, 4365
AIMS = {"traced": 0.75, "sealed": 0.5}
"""The share of stock's receive rate that each mode is to keep."""

ETHERNET_HEADER, ETHERNET_CHECK, IPV4_HEADER, UDP_HEADER, MTU = 14, 4, 20, 8, 1_500
FILLS = 5
"""A run fills and drains so many times and takes the median."""

WIRE_ROUNDS = 5
DELAY_SIZE = 1_200
DELAY_WARM = 200
"""Events at the head of a run of which the delay is not counted."""


def run(runs: int, quick: bool) -> list[Row]:
    """For each size: receiving all, receiving one in a hundred, publishing, the wire; and delay at one size."""
    rows = []
    for label, size in SIZES.items():
        sent = traffic(size)
        fills = 1 if quick else FILLS
        rows += receiving(label, sent, "all", runs, fills)
        rows += receiving(label, sent, sent.bindings, runs, fills)
        rows += wire(label, sent)
    return rows + delays(runs, 500 if quick else 2_000)


@dataclass(frozen=True, slots=True)
class Pair:
    """A sender and a receiver of one mode, which share a port."""

    mode: str
    sent: Traffic
    bindings: str
    sender: Child
    receiver: Child

    @classmethod
    def of(cls, mode: str, sent: Traffic, bindings: str, file: Path) -> Pair:
        """Start both; ``file`` holds the events' datagrams."""
        at = ("benchmarks.children.reliable", mode, GROUP, PORTS[mode])
        sender = Child(python(at[0], "send", *at[1:], file))
        return cls(mode, sent, bindings, sender, Child([*python(at[0], "receive", *at[1:], BUFFER_BYTES), bindings]))

    def close(self) -> None:
        """End both."""
        self.sender.close()
        self.receiver.close()

    def once(self, count: int) -> dict[str, Any]:
        """Fill the buffer of a paused receiver, let it go, and check that it gave what was sent and nothing else."""
        takes_all = self.bindings == "all"
        wanted = count + 1 if takes_all else count // len(self.sent.datagrams)
        self.receiver.ask("open")
        self.sender.ask("begin")
        published = self.sender.ask("burst", count)
        answer = self.receiver.ask("deliver" if takes_all else "drain", wanted)
        counted = self.receiver.ask("close")
        who = f"reliable: {self.mode}"
        check(published["datagrams"] >= count, f"{who}: {published['datagrams']} of {count} events sent")
        check(answer["delivered"] == wanted, f"{who}: {answer['delivered']} of {wanted} events delivered")
        check(counted["kernel_drops"] == 0, f"{who}: {counted['kernel_drops']} datagrams found the buffer full")
        rejected = {name: number for name, number in counted.items() if name.startswith("rejected_") and number}
        check(not rejected, f"{who}: rejected {rejected}")
        if takes_all:
            expected = checksum(self.sent.datagrams) * count // len(self.sent.datagrams)
            expected += checksum(self.sent.datagrams[:1])
            check(answer["checksum"] == expected, f"{who}: other headers were read than were sent")
        else:
            check(answer["names"] == [self.bindings.split()[0]], f"{who}: delivered {answer['names']}")
            check(counted["unmatched"] == count + 1 - wanted, f"{who}: {counted['unmatched']} did not match")
        if self.mode != "stock":
            came = (counted["events"], counted["gap_events"], counted["requests"])
            check(came == (count + 1, 0, 0), f"{who}: events, gaps and requests were {came}")
        return {"receiver": answer, "sender": published}


def receiving(label: str, sent: Traffic, bindings: str, runs: int, fills: int) -> list[Row]:
    """All modes in turn: rates and processor time, and of the senders too where every event is wanted."""
    frames = StockFrames()
    count = 20_000 if sent.mean_size < 2_000 else 10_000
    file = write_datagrams("reliable", [frames.frame(frames.open(datagram)) for datagram in sent.datagrams])
    pairs = [Pair.of(mode, sent, bindings, file) for mode in PORTS]

    def contender(pair: Pair) -> Callable[[], dict[str, float]]:
        return lambda: typical([pair.once(count) for _ in range(fills)], count)

    try:
        interleave(1, *map(contender, pairs))
        figures = dict(zip(PORTS, interleave(runs, *map(contender, pairs)), strict=True))
    finally:
        for pair in pairs:
            pair.close()
    details = {"mean_event_bytes": sent.mean_size, "events_a_fill": count, "fills_a_run": fills}

    def row(mode: str, case: str, unit: str, key: str, aim: Aim | None = None) -> Row:
        mine, theirs = ([figure[key] for figure in figures[side]] for side in (mode, "stock"))
        return Row("reliable", f"{label}, {mode}, {case}", unit, mine, "stock", theirs, aim=aim, details=details)

    case = "every event, three headers read" if bindings == "all" else "bindings, 1% delivered"
    rows = []
    for mode, share in AIMS.items():
        rows.append(row(mode, case, "events/s", "received", at_least(share)))
        rows.append(row(mode, case, "ns CPU/event", "receiver_cpu"))
        if bindings == "all":
            rows.append(row(mode, "publishing", "events/s", "published"))
            rows.append(row(mode, "publishing", "ns CPU/event", "sender_cpu"))
    return rows


def typical(fills: list[dict[str, Any]], count: int) -> dict[str, float]:
    """Medians of all fills: processor time an event at both ends, and events a second at both."""

    def middle(side: str, clock: str) -> float:
        return float(median(fill[side][clock] for fill in fills)) / count

    return {
        "received": 1e9 / middle("receiver", "wall_ns"),
        "published": 1e9 / middle("sender", "wall_ns"),
        "receiver_cpu": middle("receiver", "cpu_ns"),
        "sender_cpu": middle("sender", "cpu_ns"),
    }


def wire(label: str, sent: Traffic) -> list[Row]:
    """Bytes of UDP payload, bytes of Ethernet frames, and frames, for each event. Exact, so there is but one run."""
    frames = StockFrames()
    events = [frames.open(datagram) for datagram in sent.datagrams] * WIRE_ROUNDS
    figures = {mode: [total / len(events) for total in on_the_wire(mode, events)] for mode in PORTS}
    units = ("bytes of UDP payload/event", "bytes of Ethernet/event", "frames/event")
    return [
        Row("reliable", f"{label}, {mode}, on the wire", unit, [figures[mode][place]], "stock", [stock])
        for mode in AIMS
        for place, (unit, stock) in enumerate(zip(units, figures["stock"], strict=True))
    ]


def on_the_wire(mode: str, events: Sequence[Any]) -> tuple[int, int, int]:
    """Payload, bytes of Ethernet, and frames of all that a sender of that mode sends for ``events``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tap:
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        tap.bind((GROUP, WIRE_PORT))
        membership = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        tap.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        tap.setblocking(False)
        sender = open_sender(mode, GROUP, WIRE_PORT)
        try:
            done = 0
            while done < len(events):
                done += sender.send(events[done:])
        finally:
            sender.close()
        sizes = []
        with suppress(BlockingIOError):
            while True:
                sizes.append(len(tap.recv(1 << 16)))
    check(len(sizes) >= len(events), f"reliable: {mode}: {len(sizes)} datagrams on the wire for {len(events)} events")
    parts = [ceil((size + UDP_HEADER) / (MTU - IPV4_HEADER)) for size in sizes]
    each = ETHERNET_HEADER + IPV4_HEADER + ETHERNET_CHECK
    return sum(sizes), sum(sizes) + UDP_HEADER * len(sizes) + each * sum(parts), sum(parts)


def delays(runs: int, count: int) -> list[Row]:
    """What the modes add to the delay of stock: median and 99th percentile."""
    event = StockFrames().open(near(DELAY_SIZE, 1)[0])
    events = [event.with_headers([(INDEX_HEADER, str(index))]) for index in range(DELAY_WARM + count)]
    with key_file() as file:

        def contender(mode: str) -> Callable[[], list[float]]:
            options = "" if mode == "stock" else f"&mode={mode}&key_file={file}"
            return lambda: delay(mode, options, events)

        stock, *others = interleave(runs, *map(contender, PORTS))
    rows = []
    for mode, figures in zip(AIMS, others, strict=True):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            mine, theirs = ([percentile(taken, share) for taken in side] for side in (figures, stock))
            added = [one - other for one, other in zip(mine, theirs, strict=True)]
            case = f"1.2 KB, {mode}, delay {name} at 1,000/s, {median(added):+.0f} µs"
            details = {"events_a_run": count, "added": added}
            rows.append(Row("reliable", case, "µs", mine, "stock", theirs, details=details))
    return rows


def delay(mode: str, options: str, events: Sequence[Any]) -> list[float]:
    """Microseconds from before ``send`` to the consumer's coroutine, of all events but the first ``DELAY_WARM``."""
    command = python("benchmarks.children.endpoint", "listen", GROUP, DELAY_PORT, len(events), options)
    with Child(command) as listener:
        sender = open_sender(mode, GROUP, DELAY_PORT)
        try:
            batches = [[event] for event in events]
            sent = paced(lambda index: sender.send(batches[index]), len(events))
            return latencies(sent, listener.answer())[DELAY_WARM:]
        finally:
            sender.close()


@contextmanager
def key_file() -> Iterator[Path]:
    """A key file, as endpoints want it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "group.key")
        file.touch(0o600)
        file.write_text(KeyFile.new(KEY, date(2026, 1, 1)).text())
        yield file
