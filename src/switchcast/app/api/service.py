"""The API of a running node: started, changed and ended with its configuration.

::

    Api ── hub ── tap                 for as long as there is an [api] table, through every change of it
     └─── server ── app ── guard      anew where the table or the token has changed

What is kept of events outlives a change, so that clients whose streams end with it go on where they were.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sized
from typing import Final

import structlog

from switchcast.app.api.app import make_app
from switchcast.app.api.aside import Aside
from switchcast.app.api.facts import Facts
from switchcast.app.api.guard import Door
from switchcast.app.api.hub import Hub
from switchcast.app.api.recent import Recent
from switchcast.app.api.server import ApiServer
from switchcast.app.api.settings import SETTING, ApiSettings
from switchcast.app.listen import is_local, listening
from switchcast.node import Node
from switchcast.private_files import read_secret

__all__ = ["Api", "Token", "read_token"]

_OTHER_CONNECTIONS: Final = 64
"""Connections besides those of streams."""
_BACKLOG: Final = 128

log = structlog.get_logger("switchcast")

Token = bytes | None


def read_token(settings: ApiSettings) -> Token:
    """The token that is to be brought. Raises ``EndpointError`` where its file cannot be read."""
    return None if settings.token_file is None else read_secret(settings.token_file)


class Api:
    """Serves ``node`` over HTTP. ``port`` is where, which tells it when the setting's port is 0."""

    def __init__(self, node: Node, facts: Facts, settings: ApiSettings) -> None:
        self.settings = settings
        self.port = 0
        self._node = node
        self._facts = facts
        self._hub = Hub(node, settings)
        self._aside = Aside()
        self._counts: Counter[str] = Counter()
        self._token: Token = None
        self._server: contextlib.AsyncExitStack | None = None
        self._connections: Sized = ()
        self._work: asyncio.Task[None] | None = None

    @property
    def recent(self) -> Recent:
        """The events of late."""
        return self._hub.recent

    @property
    def readers(self) -> int:
        """How many clients read the live stream."""
        return self._hub.readers

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def start(self) -> None:
        """Begin to serve. Raises ``EndpointUnavailable`` and what ``read_token`` does, with nothing begun."""
        await self._serve(self.settings, read_token(self.settings))
        self._work = self._hub.begin()

    async def change(self, settings: ApiSettings) -> None:
        """Serve as ``settings`` say; where that cannot be, as before, and raises why."""
        token = read_token(settings)
        if settings == self.settings and token == self._token:
            return
        before, token_before = self.settings, self._token
        await self._end_server()
        try:
            await self._serve(settings, token)
        except BaseException:
            await self._serve(before, token_before)
            raise

    async def close(self) -> None:
        """End every stream, and serve no more. Idempotent."""
        await self._end_server()
        self._aside.close()
        await self._hub.past.close()
        work, self._work = self._work, None
        if work is not None:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    def counters(self) -> dict[str, int]:
        """``requests``, ``answers_2xx`` and so on, and what the hub counts."""
        own = dict.fromkeys(("requests", "answers_2xx", "answers_4xx", "answers_5xx"), 0)
        return own | self._counts | self._hub.counters()

    async def _serve(self, settings: ApiSettings, token: Token) -> None:
        address, port = settings.address
        self._hub.change(settings)
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(listening(SETTING, address, port, _BACKLOG))
            door = Door(token, is_local(address), settings.hosts)
            app = make_app(self._facts, self._hub, self._aside, self._node.name, door=door, counts=self._counts)
            server = ApiServer(app, listener, settings.streams + _OTHER_CONNECTIONS)
            await server.start()
            stack.push_async_callback(server.stop)
            stack.callback(self._hub.end_streams)  # before the server waits for what is under way
            self._server = stack.pop_all()
            self._connections = server.server_state.connections
        self.settings, self._token = settings, token
        self.port = listener.getsockname()[1]
        log.info("api", address=address, port=self.port, token=token is not None)

    async def _end_server(self) -> None:
        stack, self._server = self._server, None
        if stack is not None:
            await stack.aclose()
