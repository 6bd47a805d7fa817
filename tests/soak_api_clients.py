"""Two hundred clients of the live stream, ten of them slow, and what they cost the others and the line.

Not run by the suite; for a figure on a quiet machine::

    python -m pytest tests/soak_api_clients.py -s

The clients are a process of their own, so that what they cost themselves is not counted. The node carries events from
a source to a sink at a steady rate all the while; measured is how long each waits on its way, and how late the event
loop is.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from api_clients import served
from sockets import until

from switchcast import Event

CLIENTS, SLOW = 200, 10
RATE = 200
"""Events a second of some 2.4 KB: with 200 clients 90 MB a second."""
SECONDS = 15
TICK = 0.02

READERS = """
import asyncio, json, sys

async def read(port, slow, seen, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16 if slow else 1 << 20)
    writer.write(b"GET /api/v1/events/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    end = b""
    while piece := await reader.read(4096 if slow else 1 << 20):
        piece = end + piece
        seen[number] += piece.count(b"\\nid: ")
        end = piece[-4:] if not piece.endswith(b"\\nid: ") else b""
        if slow:
            await asyncio.sleep(0.5)

async def main():
    port, clients, slow = map(int, sys.argv[1:])
    seen = [0] * clients
    tasks = [asyncio.create_task(read(port, number < slow, seen, number)) for number in range(clients)]
    if clients > slow:
        await asyncio.wait(tasks[slow:])
    for task in tasks[:slow]:
        task.cancel()
    print(json.dumps(seen))

asyncio.run(main())
"""
"""The clients, as a program: how many events each has seen by the end. The slow ones take 8 KiB a second."""


async def lag(late: list[float]) -> None:
    """How late the event loop is, every few milliseconds, until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + 0.01
        await asyncio.sleep(0.01)
        late.append(clock() - due)


async def carry(clients: int, slow: int) -> tuple[list[int], list[float], dict[str, int], float]:
    """Carry events with so many clients; what each has read, the loop's lateness, the API's counters, CPU seconds."""
    async with served() as server:
        program = [sys.executable, "-c", READERS, str(server.api.port), str(clients), str(slow)]
        process = await asyncio.to_thread(subprocess.Popen, program, stdout=subprocess.PIPE, text=True)
        await until(lambda: server.api.readers == clients)
        late: list[float] = []
        watching = asyncio.create_task(lag(late))
        used = resource.getrusage(resource.RUSAGE_SELF)
        event = Event("CHANNEL_ANSWER", {f"variable_{number}": "x" * 60 for number in range(30)})
        began, given = time.monotonic(), 0
        while given < RATE * SECONDS:
            wanted = min(int((time.monotonic() - began) * RATE), RATE * SECONDS)
            await server.node.inject([event] * (wanted - given), ["out"])
            given = wanted
            await asyncio.sleep(TICK)
        await until(lambda: server.api.recent.newest.number > RATE * SECONDS)
        await asyncio.sleep(2)
        ended = resource.getrusage(resource.RUSAGE_SELF)
        counters = server.node.counters()
        assert counters["taps"]["api"]["dropped_overflow"] == 0
        assert counters["sinks"]["out"]["sent"] == RATE * SECONDS
        watching.cancel()
        counts = server.api.counters()
        await server.api.close()
        out, _ = await asyncio.to_thread(process.communicate, timeout=60)
        seen: list[int] = json.loads(out)
        return seen, late, counts, ended.ru_utime + ended.ru_stime - used.ru_utime - used.ru_stime


def told(late: Sequence[float]) -> str:
    ordered = sorted(late)
    return f"loop late {1e3 * statistics.median(late):.1f} ms median, {1e3 * ordered[len(late) * 99 // 100]:.0f} ms p99"


def test_two_hundred_clients_ten_of_them_slow() -> None:
    for clients, slow in ((0, 0), (CLIENTS - SLOW, 0), (CLIENTS, SLOW)):
        seen, late, counts, cpu = asyncio.run(carry(clients, slow))
        fast = seen[slow:]
        assert all(count >= RATE * SECONDS for count in fast), sorted(fast)[:5]
        print(
            f"{clients} clients, {slow} slow: {RATE}/s for {SECONDS} s, {cpu / SECONDS:.0%} of a core, {told(late)}; "
            f"slow read {seen[:slow]}, gaps {counts['gaps']}, missed {counts['events_missed']}"
        )
