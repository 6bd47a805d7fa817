"""A client that others wrote, genesis from PyPI, at the simulated switch's event socket.

Seen with genesis 2026.10.18: a body that is not UTF-8, which a switch passes on as it is, ends its reader without a
word (``raw_body.decode("utf-8")``); a CUSTOM event without a subclass reaches none of its handlers; ``_undef_`` stays
in its values, in which bytes that are not UTF-8 become U+FFFD; an event in JSON is a body to it.

It runs as a program of its own, so that its threads and what it imports are no part of the tests.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sockets import PASSWORD, PATIENCE, until

from switchcast._native import Event, StockFrames
from switchcast.endpoints import make_endpoint
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import EventSocketServer

PROGRAM = Path(__file__).with_name("genesis_client.py")
LINE_BYTES = 2**20
HEARTBEAT = Event("HEARTBEAT", [("Up-Time", "0 years, 1 day: 2 h"), ("X", "dés")])


class Genesis:
    """The program that runs genesis: told what to do, and listened to."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    async def next(self, kind: str) -> dict[str, Any]:
        """The next thing that it says, which is of this kind."""
        async with asyncio.timeout(PATIENCE):
            said: dict[str, Any] = json.loads(await self._out.readline() or '{"kind": "its end"}')
        assert said["kind"] == kind
        return said

    def on(self, *names: str) -> None:
        """Listen for the events of those names."""
        for name in names:
            self._in.write(json.dumps({"on": name}).encode() + b"\n")

    async def send(self, command: str) -> dict[str, Any]:
        """Send a command; what was answered."""
        self._in.write(json.dumps({"send": command}).encode() + b"\n")
        return await self.next("reply")

    async def reply(self, command: str) -> str:
        """Send a command; its ``Reply-Text``."""
        return str((await self.send(command))["headers"]["Reply-Text"])


@asynccontextmanager
async def running(what: str, server: EventSocketServer, *rest: str) -> AsyncIterator[Genesis]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        what,
        server.host,
        str(server.port),
        *(rest or (PASSWORD,)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=sys.stderr,
        limit=LINE_BYTES,
    )
    try:
        yield Genesis(process)
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[EventSocketServer, Genesis]]:
    """A simulated switch's event socket, and genesis that has logged in there."""
    async with EventSocketServer(Cluster().switches[0]) as server, running("inbound", server) as genesis:
        await genesis.next("ready")
        yield server, genesis


def test_it_logs_in_and_runs_commands() -> None:
    async def main() -> None:
        async with connected() as (server, genesis):
            answer = await genesis.send("api status")
            assert answer["headers"]["Content-Type"] == "api/response"
            assert answer["body"].startswith("UP ")
            assert (await genesis.send("api no_such"))["body"] == "-ERR no_such Command not found!\n"
            assert await genesis.reply("no_such") == "-ERR command not found"
            assert await genesis.reply("exit") == "+OK bye"
            await until(lambda: server.clients == 0)

    asyncio.run(main())


def test_it_is_told_of_a_wrong_password() -> None:
    async def main() -> None:
        async with (
            EventSocketServer(Cluster().switches[0]) as server,
            running("inbound", server, "wrong") as genesis,
        ):
            await genesis.next("denied")

    asyncio.run(main())


def test_it_hears_the_events_that_it_asks_for() -> None:
    async def main() -> None:
        async with connected() as (server, genesis):
            genesis.on("HEARTBEAT", "MESSAGE", "RE_SCHEDULE")
            assert await genesis.reply("event plain HEARTBEAT MESSAGE") == "+OK event listener enabled plain"
            server.publish([Event("RE_SCHEDULE"), HEARTBEAT])
            beat = await genesis.next("event")
            assert beat["headers"]["Up-Time"] == "0 years, 1 day: 2 h"
            assert beat["headers"]["X"] == "dés"
            assert await genesis.reply("nixevent HEARTBEAT") == "+OK events nixed"
            server.publish([HEARTBEAT, Event("MESSAGE", [("from", "a@b")], "two\n\nlines")])
            message = await genesis.next("event")
            assert (message["headers"]["from"], message["body"]) == ("a@b", "two\n\nlines")

    asyncio.run(main())


def test_it_filters() -> None:
    async def main() -> None:
        async with connected() as (server, genesis):
            genesis.on("HEARTBEAT", "MESSAGE")
            await genesis.send("event plain ALL")
            assert await genesis.reply("filter from a@b") == "+OK filter added. [from]=[a@b]"
            server.publish([HEARTBEAT, Event("MESSAGE", [("from", "a@b")])])
            assert (await genesis.next("event"))["headers"]["Event-Name"] == "MESSAGE"
            assert await genesis.reply("filter delete from") == "+OK filter deleted. [from][]"
            server.publish([HEARTBEAT])
            assert (await genesis.next("event"))["headers"]["Event-Name"] == "HEARTBEAT"

    asyncio.run(main())


def test_it_runs_a_job_in_the_background() -> None:
    async def main() -> None:
        async with connected() as (_, genesis):
            genesis.on("BACKGROUND_JOB")
            await genesis.send("event plain BACKGROUND_JOB")
            reply = await genesis.send("bgapi status")
            job = await genesis.next("event")
            assert job["headers"]["Job-UUID"] == reply["headers"]["Job-UUID"]
            assert reply["headers"]["Reply-Text"] == f"+OK Job-UUID: {job['headers']['Job-UUID']}"
            assert job["body"].startswith("UP ")

    asyncio.run(main())


def test_it_fires_events_and_hears_ours() -> None:
    async def main() -> None:
        async with (
            connected() as (server, genesis),
            make_endpoint(f"esl://{server.host}:{server.port}") as endpoint,
        ):
            genesis.on("MESSAGE")
            await genesis.send("event plain ALL")
            await endpoint.open_source()
            reply = await genesis.reply("sendevent CUSTOM\nEvent-Subclass: a::b\nnote: two words: ü")
            (event,) = await anext(aiter(endpoint.batches()))
            assert (event.subclass, event["note"]) == ("a::b", "two words: ü")
            assert reply == f"+OK {event['Event-UUID']}"
            await endpoint.send([Event("MESSAGE", [("a", "x\r\n\r\ny"), ("odd", "%41")], "bödy")])
            message = await genesis.next("event")
            assert (message["headers"]["a"], message["headers"]["odd"], message["body"]) == (
                "x\r\n\r\ny",
                "%41",
                "bödy",
            )

    asyncio.run(main())


def takes(event: Event) -> bool:
    """Whether genesis takes it as it is: see above; of a repeated header it makes a list."""
    readable = event.body.decode("utf-8", "replace").encode() == event.body
    named_once = len(event.getall("Event-Name")) == 1 and "Content-Length" not in event
    return readable and named_once and not (event.name == "CUSTOM" and event.subclass is None)


def test_its_consumer_hears_one_event_of_every_recorded_kind(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    kinds: dict[tuple[str, str | None], Event] = {}
    for _, datagram in plain_datagrams:
        event = frames.open(datagram)
        if takes(event):
            kinds.setdefault((event.name, event.subclass), event)

    async def main() -> None:
        names = sorted({subclass or name for name, subclass in kinds})
        async with (
            EventSocketServer(Cluster().switches[0]) as server,
            running("consumer", server, PASSWORD, *names) as genesis,
        ):
            # it asks for all events, and then for a filter for each name and for one of its own
            await until(lambda: server.history and len(server.history[0]) >= 2 + len(names))
            assert len(kinds) > 100
            for event in kinds.values():
                server.publish([event])
                heard = await genesis.next("event")
                assert heard["headers"]["Event-Name"] == event.name
                for name, raw in event.raw_items():
                    header = name.decode()
                    if len(event.getall(header)) == 1 and ":" not in header:
                        assert heard["headers"][header] == unquote(raw.decode())
                assert (heard["body"] or "") == event.body.decode()

    asyncio.run(main())
