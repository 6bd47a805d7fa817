"""What ``test_archive_full`` runs in a mount namespace of its own: a node whose archive's disk is full for a while.

It prints one object: what the archive holds at the end, what the other sink kept, how the archive's sink fared, and the
same of an archive that is closed while its disk is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from parts import Given, Keeping, numbered, numbers, running
from sockets import until
from structlog.testing import capture_logs

from switchcast.archive.reading import ArchiveReader
from switchcast.endpoints import make_endpoint
from switchcast.errors import EndpointUnavailable
from switchcast.node import Node, Route, Sink, Source
from switchcast.wire.gap_record import is_gap

QUEUE = 600
BATCH = 50


def fill_up(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


async def scenario(disk: Path) -> dict[str, object]:
    """Events before, while and after there is no room."""
    directory = disk / "archive"
    source, other = Given(endless=True), Keeping("other")
    archive = Sink(f"archive:{directory}?commit=1ms", name="archive", limit=QUEUE)
    node = Node([Route(Source(source), [archive, Sink(other, limit=100_000)])], patient=True)
    sent = 0

    async def send(count: int) -> None:
        nonlocal sent
        events = numbered(count, sent, Filling=os.urandom(200).hex())
        await source.send([event.with_origin("192.0.2.1:4242", time.time_ns()) for event in events])
        sent += count

    with capture_logs() as logs:
        async with running(node):
            outlet = node.outlets["archive"]
            counters = outlet.endpoint.counters
            await send(500)
            await until(lambda: counters().get("committed") == sent)
            ballast = fill_up(disk)
            while outlet.state.status != "down" or not outlet.counters()["dropped_overflow"]:
                await send(BATCH)
                await until(lambda: len(other.kept) == sent)
            down = outlet.state
            ballast.unlink()
            await until(lambda: outlet.state.status == "up" and not outlet.queue.queued)
            await send(100)
            await until(lambda: not outlet.queue.queued and not counters()["backlog"])
            counts = outlet.counters() | counters()
    stored = [each.event for each in ArchiveReader(directory).events()]
    return {
        "sent": sent,
        "other": numbers(other.kept),
        "archived": numbers(stored),
        "gaps": [event.to_dict() for event in stored if is_gap(event)],
        "reason": down.reason,
        "counters": counts,
        "logs": [entry["event"] for entry in logs],
    }


async def closed_while_full(disk: Path) -> dict[str, object]:
    """An archive that has to be closed while there is no room: what it says of that, and what is there."""
    directory = disk / "closed"
    endpoint = make_endpoint(f"archive:{directory}?commit=1ms", role="sink")
    sent, error = 100, ""
    await endpoint.send(numbered(sent))
    await until(lambda: endpoint.counters()["committed"] == sent)
    ballast = fill_up(disk)
    with contextlib.suppress(EndpointUnavailable):
        while True:
            await endpoint.send(numbered(BATCH, sent, Filling=os.urandom(200).hex()))
            sent += BATCH
            await asyncio.sleep(0)
    try:
        await endpoint.close()
    except EndpointUnavailable as refused:
        error = str(refused)
    ballast.unlink()
    archived = numbers([each.event for each in ArchiveReader(directory).events()])
    return {"sent": sent, "error": error, "archived": archived, "counters": endpoint.counters()}


def main() -> None:
    """Mount a small disk, and run."""
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], check=True)
    told = asyncio.run(scenario(disk))
    with capture_logs() as logs:
        closed = asyncio.run(closed_while_full(disk))
    print(json.dumps(told | {"closed": closed | {"logs": [entry["event"] for entry in logs]}}))


if __name__ == "__main__":
    main()
