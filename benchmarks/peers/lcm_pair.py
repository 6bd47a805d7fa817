"""LCM's Python binding at both ends of its own UDP multicast: ``listen URL COUNT`` and ``send URL``."""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

CHANNEL = "EVENTS"
PATIENCE_MILLISECONDS = 5000


def listen(url: str, count: str) -> None:
    """Note when each of ``count`` messages reaches the handler, by the number in front of it."""
    node = connect(url)
    arrivals: list[tuple[int, int]] = []

    def handle(_channel: str, data: bytes) -> None:
        now = time.monotonic_ns()
        arrivals.append((int.from_bytes(data[:4], "big"), now))

    node.subscribe(CHANNEL, handle)
    print(json.dumps({"ready": True}), flush=True)
    while len(arrivals) < int(count) and node.handle_timeout(PATIENCE_MILLISECONDS):
        pass
    print(json.dumps({"arrivals": arrivals}), flush=True)


def connect(url: str) -> Any:
    """A node of LCM's; the binding has no type annotations."""
    return importlib.import_module("lcm").LCM(url)


if __name__ == "__main__":
    listen(*sys.argv[2:])
