"""An audit as a child: ``GROUP PORT BUFFER``, one core that listens to a group and classes what it hears.

Answers ``fresh``, which begins anew; ``audit COUNT`` when so many events more have been audited, with what that took;
``result`` with what was counted; ``counters`` with the endpoint's; and ``invent KINDS HEADERS SHAPES OFFSET``, which
audits events made here, with names that no other has.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Any

import switchcast
from benchmarks.child import Stopwatch
from benchmarks.children.endpoint import say
from benchmarks.children.ours import force_buffer, resident
from switchcast import Event
from switchcast.endpoints.base import Endpoint
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.inventory import Audit
from switchcast.wire.gap_record import is_gap

PATIENCE_SECONDS = 5.0
MARKS = "!$&'()*,-./_~"


async def main(group: str, port: str, buffer: str) -> None:
    """Run until standard input ends."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    audit = Audit(Classifier())
    async with switchcast.open(f"multicast://{group}:{port}?interface=lo", role="source") as endpoint:
        force_buffer(int(port), int(buffer))
        say({"ready": True})
        while line := await asyncio.to_thread(sys.stdin.readline):
            word, *arguments = line.split()
            if word == "fresh":
                audit = Audit(Classifier())
                say({})
            elif word == "audit":
                say(await listen(audit, endpoint, int(arguments[0])))
            elif word == "result":
                say(counted(audit))
            elif word == "counters":
                say(endpoint.counters())
            else:
                say(invent(audit, *map(int, arguments)))


async def listen(audit: Audit, endpoint: Endpoint, count: int) -> dict[str, Any]:
    """Audit ``count`` events as they come; fewer if nothing comes any more."""
    done = 0
    batches = endpoint.batches()
    watch = Stopwatch()
    with contextlib.suppress(TimeoutError):
        while done < count:
            async with asyncio.timeout(PATIENCE_SECONDS):
                events = await anext(batches)
            audit.add([event for event in events if not (event.trust == "local" and is_gap(event))])
            done += len(events)
    return {**watch.read(), "events": done, "rss": resident()}


def counted(audit: Audit) -> dict[str, Any]:
    """What was counted, without what was found: for each kind its events, bytes, and its headers with theirs."""
    result = audit.result()
    kinds = {
        row.kind: [row.events, row.bytes, {header.name: [header.events, header.bytes] for header in row.headers}]
        for row in result.kinds
    }
    found = sum(bool(header.found) for row in result.kinds for header in row.headers)
    return {"events": result.events, "kinds": kinds, "found": found, "uncounted": result.uncounted}


def invent(audit: Audit, kinds: int, headers: int, shapes: int, offset: int) -> dict[str, Any]:
    """Audit ``kinds`` kinds, each with as many headers, senders too, each header with values of so many shapes.

    ``offset`` makes all of them others than those of another offset.
    """
    for kind in range(offset, offset + kinds):
        names = [f"X-Invented-{kind}-{number}" for number in range(headers)]
        for shape in range(shapes):
            value = f"{MARKS[shape % 13]}1000{MARKS[shape // 13 % 13]}192.0.2.1"
            sender = [("Multicast-Sender", f"invented-{kind}")]
            audit.add([Event(f"INVENTED_{kind}", [*((name, value) for name in names), *sender])])
    return {"rss": resident(), "uncounted": audit.result().uncounted}


if __name__ == "__main__":
    switchcast.run(main(*sys.argv[1:]))
