"""A web server for the tests of ``webhook``, which answers as it is told, or not at all."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from sockets import until

OK = "HTTP/1.1 204 No Content\r\n"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A web server that answers as it is told: the next of ``answers``, and 204 when there is none left."""

    def __init__(self, *answers: str | Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[str | Answer] = list(answers)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None] | None] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/events"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            if task is not None:
                task.cancel()
        await until(lambda: not self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((line, headers, body))
            answer = self.answers.pop(0) if self.answers else OK
            if isinstance(answer, str):
                writer.write(f"{answer}Connection: close\r\n\r\n".encode())
                await writer.drain()
            else:
                await answer(writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has gone, or the server stops
        finally:
            writer.close()
            self._tasks.discard(task)


def status(code: int, *headers: str) -> str:
    return f"HTTP/1.1 {code} Whatever\r\n" + "".join(f"{header}\r\n" for header in headers)


async def never(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def broken(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """A header that never ends, a byte at a time: no pause in it is long."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.5)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"\x1b[2J" * 1000)
        await writer.drain()
