"""Two hundred clients of the live stream, ten of them slow, and what they cost the others and the line.

Not run by the suite; for a figure on a quiet machine::

    python -m pytest tests/soak_api_clients.py -s

The clients are a process of their own, so that what they cost themselves is not counted. The node carries events from
a source to a sink at a steady rate all the while; measured is how long each waits on its way, and how late the event
loop is. The slow ones read nothing until the last event has been carried. What memory has forgotten by then they are
told the number of, or, from a node with an archive, they are given it.
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
from pathlib import Path

import pytest
from api_clients import served
from parts import CORES
from sockets import until

from switchcast import Event

CLIENTS, SLOW = 200, 10
RATE = 200
"""Events a second of some 2.4 KB: with 200 clients 90 MB a second."""
SECONDS = 25
EVENTS = RATE * SECONDS
RECENT = 500
"""What memory holds: a client may be 2.5 s late, and what the kernel holds for it, before it is told of a gap."""
TICK = 0.02

READERS = """
import asyncio, json, re, socket, sys

EVENT = re.compile(rb'"Number":"([0-9]+)"')
GAP = re.compile(rb'^data: {"events": ([0-9]+|null),')

async def read(port, seen, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(b"GET /api/v1/events/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    end = b""
    while piece := await reader.read(1 << 20):
        piece = end + piece
        seen[number][0] += piece.count(b"\\nid: ")
        seen[number][1] += piece.count(b"\\nevent: gap")
        end = piece[-11:].rpartition(b"\\n")[1] + piece[-11:].rpartition(b"\\n")[2]
        if b"\\nid: " in end or b"\\nevent: gap" in end:
            end = b""
    writer.close()

async def dawdle(port, seen, number, go, last):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET /api/v1/events/stream HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    await go.wait()
    reader, writer = await asyncio.open_connection(sock=client, limit=1 << 20)
    before, missed = -1, 0
    async for line in reader:
        if found := EVENT.search(line):
            event = int(found[1])
            if event - before - 1 != missed:
                raise SystemExit(f"{event} after {before}, of {missed} missing")
            seen[number][0] += 1
            before, missed = event, 0
            if event == last:
                break
        elif found := GAP.match(line):
            missed += int(found[1])
            seen[number][1] += int(found[1])
    writer.close()

async def main():
    port, clients, slow, last = map(int, sys.argv[1:])
    seen = [[0, 0] for _ in range(clients)]
    go = asyncio.Event()
    tasks = [asyncio.create_task(dawdle(port, seen, number, go, last)) for number in range(slow)]
    tasks += [asyncio.create_task(read(port, seen, number)) for number in range(slow, clients)]
    await asyncio.to_thread(sys.stdin.readline)
    go.set()
    await asyncio.gather(*tasks[:slow])
    print("done", flush=True)
    await asyncio.gather(*tasks)
    print(json.dumps(seen))

asyncio.run(main())
"""
"""The clients, as a program. By the end it tells of each how many events it has seen and how many it was told it had
missed; of those that are not slow, how many gaps. A slow one checks that the gaps say what is missing, one by one."""


async def lag(late: list[float]) -> None:
    """How late the event loop is, every few milliseconds, until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + 0.01
        await asyncio.sleep(0.01)
        late.append(clock() - due)


async def carry(
    clients: int, slow: int, archive: Path | None
) -> tuple[list[tuple[int, int]], list[float], dict[str, int], float]:
    """Carry events with so many clients.

    What each has read and missed, the loop's lateness, the API's counters, CPU seconds.
    """
    async with served({"recent": RECENT}, archive) as server:
        program = [sys.executable, "-c", READERS, *map(str, (server.api.port, clients, slow, EVENTS - 1))]
        pipe = subprocess.PIPE
        process = await asyncio.to_thread(subprocess.Popen, program, stdin=pipe, stdout=pipe, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        await until(lambda: server.api.readers == clients)
        late: list[float] = []
        watching = asyncio.create_task(lag(late))
        used = resource.getrusage(resource.RUSAGE_SELF)
        headers = {"Core-UUID": CORES[0]} | {f"variable_{number}": "x" * 60 for number in range(30)}
        sinks = ["out"] if archive is None else ["out", "history"]
        began, given = time.monotonic(), 0
        while given < EVENTS:
            wanted = min(int((time.monotonic() - began) * RATE), EVENTS)
            numbers = ({"Event-Sequence": str(number), "Number": str(number)} for number in range(given, wanted))
            await server.node.inject([Event("CHANNEL_ANSWER", headers | each) for each in numbers], sinks)
            given = wanted
            await asyncio.sleep(TICK)
        await until(lambda: server.api.recent.newest.number > EVENTS)
        await asyncio.sleep(2)
        ended = resource.getrusage(resource.RUSAGE_SELF)
        watching.cancel()
        process.stdin.write("go\n")
        process.stdin.flush()
        assert await asyncio.to_thread(process.stdout.readline) == "done\n"
        counters = server.node.counters()
        assert counters["taps"]["api"]["dropped_overflow"] == 0
        assert all(counters["sinks"][name]["sent"] == EVENTS for name in sinks)
        counts = server.api.counters()
        await server.api.close()
        out, _ = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 0
        seen = [(events, missed) for events, missed in json.loads(out)]
        return seen, late, counts, ended.ru_utime + ended.ru_stime - used.ru_utime - used.ru_stime


def told(late: Sequence[float]) -> str:
    ordered = sorted(late)
    return f"loop late {1e3 * statistics.median(late):.1f} ms median, {1e3 * ordered[len(late) * 99 // 100]:.0f} ms p99"


@pytest.mark.parametrize(
    ("clients", "slow", "archived"),
    [(0, 0, False), (CLIENTS - SLOW, 0, False), (CLIENTS, SLOW, False), (CLIENTS, SLOW, True)],
)
def test_two_hundred_clients_ten_of_them_slow(clients: int, slow: int, archived: bool, tmp_path: Path) -> None:
    seen, late, counts, cpu = asyncio.run(carry(clients, slow, tmp_path / "history" if archived else None))
    print(
        f"{clients} clients, {slow} slow{', an archive' * archived}: {RATE}/s for {SECONDS} s, "
        f"{cpu / SECONDS:.0%} of a core, {told(late)}; slow ones read and missed {seen[:slow]}; "
        f"{counts['events_archived']} from the archive"
    )
    assert all(each == (EVENTS, 0) for each in seen[slow:]), sorted(seen[slow:])[:5]
    assert all(events + missed == EVENTS for events, missed in seen[:slow])
    assert counts["events_missed"] == sum(missed for _, missed in seen[:slow])
    assert counts["streams_stalled"] == 0
    if archived:
        assert counts["events_missed"] == 0
        assert counts["events_archived"] > 0
    else:
        assert all(missed > 0 for _, missed in seen[:slow])
