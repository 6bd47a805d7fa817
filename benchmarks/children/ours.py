"""Our receiver and sender as children: ``receive GROUP PORT BUFFER BINDINGS`` and ``send GROUP PORT FILE``."""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from benchmarks.child import Stopwatch, serve
from benchmarks.events import READ
from switchcast import Event, Matcher, StockFrames
from switchcast._native import Receiver, ReliableReceiver, Sender

QUIET_SECONDS = 0.3
"""A burst is over when nothing has come for this long."""

SO_RCVBUFFORCE = 33
FIRST, SECOND, THIRD = READ


def receive(group: str, port: str, buffer: str, bindings: str) -> None:
    """Serve ``open``, ``drain``, ``live`` and ``close``, one receiver at a time."""
    opened: list[Receiver] = []

    def open_(paused: str = "paused") -> dict[str, Any]:
        matcher = Matcher(bindings)
        receiver = Receiver([group], int(port), interface="lo", matcher=matcher, paused=paused == "paused")
        force_buffer(int(port), int(buffer))
        opened.append(receiver)
        return {}

    def close() -> dict[str, Any]:
        receiver = opened.pop()
        counters = receiver.counters()
        receiver.close()
        return counters

    def drain(expected: str) -> dict[str, Any]:
        return drain_all(opened[0], int(expected))

    def deliver(expected: str) -> dict[str, Any]:
        return deliver_all(opened[0], int(expected))

    def count(expected: str) -> dict[str, Any]:
        return {**take(opened[0], int(expected)), "rss": resident()}

    def live(patience: str) -> dict[str, Any]:
        return listen(opened[0], float(patience))

    serve({"open": open_, "drain": drain, "deliver": deliver, "live": live, "count": count, "close": close})


def drain_all(receiver: Receiver | ReliableReceiver, expected: int) -> dict[str, Any]:
    """Start a paused receiver and take events until ``expected`` have come, doing nothing with them."""
    kept: list[list[Event]] = []
    delivered = 0
    watch = Stopwatch()
    receiver.resume()
    while delivered < expected and receiver.wait(5.0):
        events = receiver.read()
        delivered += len(events)
        kept.append(events)
    taken = watch.read()
    names = sorted({event.name for events in kept for event in events})
    return {**taken, **receiver.counters(), "delivered": delivered, "names": names}


def deliver_all(receiver: Receiver | ReliableReceiver, expected: int) -> dict[str, Any]:
    """Start a paused receiver, and read three headers of each of ``expected`` events."""
    watch = Stopwatch()
    receiver.resume()
    taken = take(receiver, expected)
    return {**watch.read(), **receiver.counters(), **taken}


def take(receiver: Receiver | ReliableReceiver, expected: int) -> dict[str, int]:
    """Read three headers of each of ``expected`` events, as they come."""
    delivered = total = 0
    while delivered < expected and receiver.wait(5.0):
        events = receiver.read()
        for event in events:
            total += len(event[FIRST]) + len(event[SECOND]) + len(event[THIRD])
        delivered += len(events)
    return {"delivered": delivered, "checksum": total}


def listen(receiver: Receiver, patience: float) -> dict[str, Any]:
    """Read three headers of whatever comes until nothing comes any more."""
    delivered = total = 0
    watch = Stopwatch()
    while receiver.wait(QUIET_SECONDS if delivered else patience):
        events = receiver.read()
        for event in events:
            total += len(event[FIRST]) + len(event[SECOND]) + len(event[THIRD])
        delivered += len(events)
    return {**watch.read(), **receiver.counters(), "delivered": delivered, "checksum": total, "rss": resident()}


def send(group: str, port: str, file: str) -> None:
    """Serve ``burst``: the file's events, again and again, with the native sender."""
    frames = StockFrames()
    events = [frames.open(datagram) for datagram in read_datagrams(Path(file))]
    sender = Sender([group], int(port), interface="lo")

    def burst(count: str) -> dict[str, Any]:
        rounds = int(count) // len(events)
        before = sender.counters()["datagrams"]
        watch = Stopwatch()
        for _ in range(rounds):
            done = sender.send(events)
            while done < len(events):  # a queue is full; what it cannot take in time is counted, and done with
                done += sender.send(events[done:])
        taken = watch.read()
        return {**taken, "datagrams": sender.counters()["datagrams"] - before}

    serve({"burst": burst})


def force_buffer(port: int, size: int) -> None:
    """Give the socket bound to ``port`` in this process a receive buffer of ``size`` bytes, whatever rmem_max says.

    Full buffers larger than the machine's limit are what the benchmark needs, not the library.
    """
    for entry in os.listdir("/proc/self/fd"):
        try:
            duplicate = socket.socket(fileno=os.dup(int(entry)))
        except OSError:  # a descriptor that is gone already, or no socket
            continue
        with duplicate:
            if duplicate.family == socket.AF_INET and duplicate.getsockname()[1] == port:
                duplicate.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
                return
    raise LookupError(f"no socket of this process is bound to port {port}")


def read_datagrams(path: Path) -> list[bytes]:
    """What ``write_datagrams`` wrote."""
    data, position, datagrams = path.read_bytes(), 0, []
    while position < len(data):
        (length,) = struct.unpack_from("<I", data, position)
        datagrams.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return datagrams


def resident() -> int:
    """Bytes of this process's memory that are resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "receive":
        receive(*arguments)
    else:
        send(*arguments)
