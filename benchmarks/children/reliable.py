"""A receiver and a sender of any wire mode as children.

``receive MODE GROUP PORT BUFFER BINDINGS`` and ``send MODE GROUP PORT FILE``; ``stock`` is a mode like the two others.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.child import Stopwatch, serve
from benchmarks.children.ours import deliver_all, drain_all, force_buffer, read_datagrams
from switchcast import Matcher, StockFrames
from switchcast._native import Receiver, ReliableReceiver, ReliableSender, Sender

KEY = bytes(range(32))
"""The group key of all benchmarks: what it protects is public."""

NAME = "bench"
LOOK_SECONDS = 0.002
PATIENCE_SECONDS = 5.0


def receive(mode: str, group: str, port: str, buffer: str, bindings: str) -> None:
    """Serve ``open``, ``drain``, ``deliver`` and ``close``, one receiver at a time."""
    opened: list[Receiver | ReliableReceiver] = []

    def open_() -> dict[str, Any]:
        opened.append(open_receiver(mode, group, int(port), Matcher(bindings)))
        force_buffer(int(port), int(buffer))
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

    serve({"open": open_, "drain": drain, "deliver": deliver, "close": close})


def open_receiver(mode: str, group: str, port: int, matcher: Matcher) -> Receiver | ReliableReceiver:
    """A receiver of that mode, joined to ``group`` and paused."""
    if mode == "stock":
        return Receiver([group], port, interface="lo", matcher=matcher, paused=True)
    return ReliableReceiver([group], port, mode=mode, keys=[KEY], interface="lo", matcher=matcher, paused=True)


def open_sender(mode: str, group: str, port: int) -> Sender | ReliableSender:
    """A sender of that mode to ``group``."""
    if mode == "stock":
        return Sender([group], port, interface="lo")
    return ReliableSender([group], port, mode=mode, name=NAME, keys=[KEY], interface="lo")


def send(mode: str, group: str, port: str, file: str) -> None:
    """Serve ``begin``: one event, and the beacon that follows it; and ``burst``: the file's events, again and again.

    Both say how many datagrams have left the sender meanwhile.
    """
    frames = StockFrames()
    events = [frames.open(datagram) for datagram in read_datagrams(Path(file))]
    sender = open_sender(mode, group, int(port))

    def begin() -> dict[str, Any]:
        before = sender.counters()
        sender.send(events[:1])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while mode != "stock" and sender.counters()["beacons"] == before["beacons"]:
            if time.monotonic() > deadline:
                raise TimeoutError("the sender says nothing")
            time.sleep(LOOK_SECONDS)
        return {"datagrams": sender.counters()["datagrams"] - before["datagrams"]}

    def burst(count: str) -> dict[str, Any]:
        before = sender.counters()["datagrams"]
        watch = Stopwatch()
        for _ in range(int(count) // len(events)):
            done = sender.send(events)
            while done < len(events):
                done += sender.send(events[done:])
        taken = watch.read()
        return {**taken, "datagrams": sender.counters()["datagrams"] - before}

    serve({"begin": begin, "burst": burst})


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "receive":
        receive(*arguments)
    else:
        send(*arguments)
