"""The public endpoint as children: ``send GROUP PORT FILE`` and ``listen GROUP PORT COUNT [OPTIONS]``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import switchcast
from benchmarks.child import Stopwatch
from benchmarks.children.ours import read_datagrams
from switchcast import StockFrames

PATIENCE_SECONDS = 5.0
INDEX_HEADER = "X-Bench-Index"


async def send(group: str, port: str, file: str) -> None:
    """Answer ``burst COUNT``: the file's events through ``endpoint.send``, again and again."""
    frames = StockFrames()
    events = [frames.open(datagram) for datagram in read_datagrams(Path(file))]
    async with switchcast.open(f"multicast://{group}:{port}?interface=lo", role="sink") as endpoint:
        say({"ready": True})
        for line in sys.stdin:
            count = int(line.split()[1])
            watch = Stopwatch()
            for _ in range(count // len(events)):
                await endpoint.send(events)
            say({**watch.read(), "datagrams": count})


async def listen(group: str, port: str, count: str, options: str = "") -> None:
    """Note when each of ``count`` events reaches this coroutine, by the header that numbers them.

    ``options`` stand in the URL behind those that all have.
    """
    arrivals: list[tuple[int, int]] = []

    async def consume() -> None:
        url = f"multicast://{group}:{port}?interface=lo{options}"
        async with switchcast.open(url, role="source") as endpoint:
            say({"ready": True})
            async for event in endpoint:
                now = time.monotonic_ns()
                arrivals.append((int(event[INDEX_HEADER]), now))
                if len(arrivals) == int(count):
                    return

    with contextlib.suppress(TimeoutError):  # the arrivals tell what is missing
        await asyncio.wait_for(consume(), PATIENCE_SECONDS + int(count) / 200)
    say({"arrivals": arrivals})


def say(answer: object) -> None:
    """One line of JSON for whoever started this."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    switchcast.run(send(*arguments) if role == "send" else listen(*arguments))
