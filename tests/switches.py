"""Switches and endpoints for the tests of ``esl:``: a simulated one, and one that says exactly what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sockets import PATIENCE, until

from switchcast._native import Event, Matcher
from switchcast.endpoints.esl import EslEndpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import EventSocketServer

HEARTBEAT = Event("HEARTBEAT", [("Up-Time", "0 years")])
MESSAGE = Event("MESSAGE", [("from", "1000@example.com")], "text\n\n")
SECRET = "n0t-to-be-seen"  # noqa: S105 - a test looks for it
GREETING = b"Content-Type: auth/request\n\n"
ACCEPTED = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"


def serve(**options: object) -> EventSocketServer:
    return EventSocketServer(Cluster().switches[0], **options)  # type: ignore[arg-type]


def esl(server: EventSocketServer, options: str = "", matcher: Matcher | None = None, user: str = "") -> EslEndpoint:
    """An endpoint for ``server`` that does not pause for long."""
    url = EndpointUrl.parse(f"esl://{user}127.0.0.1:{server.port}{options and '?' + options}")
    return EslEndpoint(url, matcher=matcher, dice=lambda: 0.01)


async def take(endpoint: EslEndpoint, count: int) -> list[Event]:
    """The next ``count`` events."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        async for batch in endpoint.batches():
            assert batch
            events += batch
            if len(events) >= count:
                break
    return events


async def reconnected(endpoint: EslEndpoint, times: int) -> None:
    await until(lambda: endpoint.counters()["reconnects"] == times)


async def pass_time(seconds: float) -> None:
    """Let that much time pass for everything that runs, in which something is not to happen."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await until(lambda: loop.time() > end)


def commands_seen(server: EventSocketServer) -> int:
    return sum(len(lines) for lines in server.history)


async def more_seen(server: EventSocketServer, commands: int) -> None:
    enough = commands_seen(server) + commands
    await until(lambda: commands_seen(server) >= enough)


def subscriptions(server: EventSocketServer) -> list[list[str]]:
    """For each connection that the server has had, the commands that asked for events."""
    return [[line for line in lines if line.startswith(("event ", "nixevent "))] for lines in server.history]


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[int]:
    """The port of a server that gives one answer to each thing it hears, the first unasked, and then keeps silent."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            for answer in answers:
                writer.write(answer)
                await reader.read(65536)
            await reader.read()
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            if task is not None:
                task.cancel()
        await until(lambda: not tasks)


@asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[EslEndpoint]:
    """An endpoint whose switch answers so."""
    async with scripted(*answers) as port, EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{port}")) as endpoint:
        yield endpoint


def reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()
