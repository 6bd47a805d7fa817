"""uvicorn within the node's own event loop: bounded connections, a deadline for each request, an end without waiting.

The loop is the node's: it takes signals, it logs, it decides when to end. So uvicorn gets a socket that listens
already, and neither signal nor log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

__all__ = ["HEAD_SECONDS", "ApiServer", "protocol"]

HEAD_SECONDS: Final = 10.0
"""For the whole head of a request to come, however slowly it does."""
_IDLE_SECONDS: Final = 15
_MOST_HEAD: Final = 16_384
_END_SECONDS: Final = 1
"""For what is under way when the server ends; streams are told to end before."""


class ApiServer(Server):
    """Serves ``app`` on ``listener`` to at most ``connections`` clients at once."""

    def __init__(self, app: ASGIApp, listener: socket.socket, connections: int) -> None:
        super().__init__(
            Config(
                app,
                http=protocol(connections, HEAD_SECONDS),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_END_SECONDS,
                h11_max_incomplete_event_size=_MOST_HEAD,
            )
        )
        self._listener = listener
        self._task: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()

    async def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self.serve([self._listener]), name="api")
        beginning = asyncio.create_task(self._begun.wait())
        await asyncio.wait({self._task, beginning}, return_when=asyncio.FIRST_COMPLETED)
        beginning.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._begun.set()

    async def stop(self) -> None:
        """Answer no more, give what is under way a second, and end every connection. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self.should_exit = True
        try:
            await task
        finally:
            for connection in tuple(self.server_state.connections):
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the node."""
        yield


def protocol(connections: int, seconds: float) -> type[H11Protocol]:
    """The protocol of uvicorn with what it lacks: a limit that says so, and a deadline for a request's head."""

    class Bounded(H11Protocol):
        """One connection."""

        def __init__(
            self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None
        ) -> None:
            super().__init__(config, server_state, app_state, _loop)
            self._late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its base does
            super().connection_made(transport)
            self.app_state = {**self.app_state, "abort": transport.abort}
            if len(self.connections) > connections:
                text = f"{connections} clients are connected"
                transport.write(_raw(503, text, "ask again later", b"Retry-After: 10\r\n"))
                transport.close()
            else:
                self._late = self.loop.call_later(seconds, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._late = self._late or self.loop.call_later(seconds, self.transport.abort)
            else:
                self._in_time()

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(_raw(400, "what came is no HTTP request", "ask as HTTP/1.1"))
            self.transport.close()

        def on_response_complete(self) -> None:
            self._in_time()
            super().on_response_complete()

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Bounded


def _raw(status: int, what: str, mend: str, headers: bytes = b"") -> bytes:
    """An answer to what has not become a request."""
    title = {400: "Bad Request", 503: "Service Unavailable"}[status]
    problem = {"type": "about:blank", "title": title, "status": status, "detail": what, "where": "", "mend": mend}
    body = json.dumps(problem).encode() + b"\n"
    return (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n".encode()
        + headers
        + b"\r\n"
        + body
    )
