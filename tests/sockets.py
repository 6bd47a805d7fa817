"""What the tests of sockets share: waiting for what is to become true, and talking to an event socket by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from switchcast.simulation.eventsocket import EventSocketServer
from switchcast.wire.eventsocket import Message, MessageReader

PATIENCE = 30.0
"""Seconds after which what should have happened is said not to; a passing test never waits for it."""


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop run until ``condition`` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.002)


PASSWORD = "ClueCon"  # noqa: S105 - no secret
"""The one that every FreeSWITCH is shipped with."""


class Caller:
    """A client of an event socket that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._messages = MessageReader()
        self._waiting: list[Message] = []

    async def next(self) -> Message | None:
        """The next message; ``None`` when the connection has ended."""
        async with asyncio.timeout(PATIENCE):
            while not self._waiting:
                try:
                    data = await self.reader.read(4096)
                except ConnectionResetError:
                    return None
                if not data:
                    return None
                self._waiting += self._messages.feed(data)
        return self._waiting.pop(0)

    async def say(self, text: str | bytes) -> Message:
        """Send a command, to which the empty line is added, and return the next message."""
        self.writer.write((text.encode() if isinstance(text, str) else text) + b"\n\n")
        message = await self.next()
        assert message is not None, f"the connection ended at {text!r}"
        return message


@asynccontextmanager
async def calling(server: EventSocketServer, password: str | None = PASSWORD) -> AsyncIterator[Caller]:
    """A connection to ``server``, logged in unless ``password`` is ``None``."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    caller = Caller(reader, writer)
    try:
        if password is not None:
            greeting = await caller.next()
            assert greeting == Message((("Content-Type", "auth/request"),))
            assert (await caller.say(f"auth {password}")).reply == "+OK accepted"
        yield caller
    finally:
        writer.close()
