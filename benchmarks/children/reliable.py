"""A receiver and a sender of any wire mode as children.

``receive MODE GROUP PORT BUFFER BINDINGS`` and ``send MODE GROUP PORT FILE``; ``MODE`` is stock, traced or sealed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.child import Stopwatch, serve
from benchmarks.children.ours import force_buffer, read_datagrams
from benchmarks.events import READ
from switchcast import Matcher, StockFrames
from switchcast._native import Receiver, ReliableReceiver, ReliableSender, Sender

KEY: Final = bytes(range(32))
INDEX_HEADER: Final = "Bench-Index"
PATIENCE: Final = 5.0
FIRST, SECOND, THIRD = READ


def receive(mode: str, group: str, port: str, buffer: str, bindings: str) -> None:
    """Serve ``open``, ``drain``, ``arrivals`` and ``close``, one receiver at a time."""
    opened: list[Receiver | ReliableReceiver] = []

    def open_(paused: str = "paused") -> dict[str, Any]:
        options: dict[str, Any] = {"interface": "lo", "matcher": Matcher(bindings), "paused": paused == "paused"}
        if mode == "stock":
            opened.append(Receiver([group], int(port), **options))
        else:
            opened.append(ReliableReceiver([group], int(port), mode=mode, keys=[KEY], **options))
        force_buffer(int(port), int(buffer))
        return {}

    def drain(expected: str) -> dict[str, Any]:
        """Start a paused receiver, and read three headers of each event that it gives."""
        receiver, delivered, total = opened[0], 0, 0
        watch = Stopwatch()
        receiver.resume()
        while delivered < int(expected) and receiver.wait(PATIENCE):
            events = receiver.read()
            for event in events:
                total += len(event[FIRST]) + len(event[SECOND]) + len(event[THIRD])
            delivered += len(events)
        return {**watch.read(), "delivered": delivered, "checksum": total}

    def arrivals(expected: str) -> dict[str, Any]:
        """When each event came, by its index."""
        receiver, came = opened[0], []
        while len(came) < int(expected) and receiver.wait(PATIENCE):
            events = receiver.read()
            now = time.monotonic_ns()
            came += [(int(event[INDEX_HEADER]), now) for event in events]
        return {"arrivals": came}

    def close() -> dict[str, Any]:
        receiver = opened.pop()
        counters = receiver.counters()
        streams = receiver.streams() if isinstance(receiver, ReliableReceiver) else []
        receiver.close()
        return {"counters": counters, "streams": streams}

    serve({"open": open_, "drain": drain, "arrivals": arrivals, "close": close})


def send(mode: str, group: str, port: str, file: str) -> None:
    """Serve ``burst``, which sends the file's events again and again as one new stream, and ``close``."""
    frames = StockFrames()
    events = [frames.open(datagram) for datagram in read_datagrams(Path(file))]
    opened: list[Sender | ReliableSender] = []

    def burst(count: str) -> dict[str, Any]:
        if mode == "stock":
            sender: Sender | ReliableSender = Sender([group], int(port), interface="lo")
        else:
            sender = ReliableSender([group], int(port), mode=mode, name="bench", keys=[KEY], interface="lo")
        opened.append(sender)
        # Its first beacon goes ahead of its events, so that what is measured is not how a stream is admitted.
        deadline = time.monotonic() + PATIENCE
        while mode != "stock" and not sender.counters()["beacons"] and time.monotonic() < deadline:
            time.sleep(0.001)
        watch = Stopwatch()
        for _ in range(int(count) // len(events)):
            done = 0
            while done < len(events):
                done += sender.send(events[done:])
        return {**watch.read(), **sender.counters()}

    def close() -> dict[str, Any]:
        opened.pop().close()
        return {}

    serve({"burst": burst, "close": close})


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "receive":
        receive(*arguments)
    else:
        send(*arguments)
