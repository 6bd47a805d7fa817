"""A simulated switch's event socket: what FreeSWITCH's ``mod_event_socket`` speaks to those who connect to it.

Commands, replies, filters and what happens to a slow client are the module's own. It differs where a simulated switch
has nothing to offer: it controls no channel and writes no log lines, so ``sendmsg``, ``linger`` and ``divert_events``
find no channel, and ``log`` is accepted and stays silent.

The server asks little of a switch: see ``SwitchLike``. What the switch emits is handed to ``publish``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from switchcast._native import Event
from switchcast.errors import EndpointError
from switchcast.simulation.eventsocket_listener import Listener, SocketUser, SwitchLike, text_message
from switchcast.wire.eventsocket import CommandReader, render_message

__all__ = ["AUTH_SECONDS", "MAX_MISSED", "QUEUE_EVENTS", "EventSocketServer", "Faults", "SocketUser", "SwitchLike"]

QUEUE_EVENTS = 100_000
"""Events that wait for one client before further ones are lost to it; the module's own figure."""

MAX_MISSED = 500
"""Events lost in a row after which a client is disconnected; the module's own figure."""

AUTH_SECONDS = 25
"""How long a client may take for its first command; the module's own figure."""

HISTORY_CLIENTS = 200
"""Connections whose commands are remembered, for tests; a server that runs for days must not grow."""

HISTORY_COMMANDS = 1_000
"""Command lines remembered of each."""

_GOODBYE = b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
_REJECTION = b"Access Denied, go away.\n"


class Faults:
    """What tests can make the server do wrong. Each may be set at any time.

    ``reject`` turns every new client away, as an access list does; ``refuse_password`` refuses even the right password;
    ``fragment`` writes at most so many bytes at a time, other tasks running in between (0: whole messages);
    ``cut_event`` sends so many bytes of the next event, then drops that connection, once.
    """

    def __init__(self) -> None:
        self.reject = False
        self.refuse_password = False
        self.fragment = 0
        self.cut_event: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()

    def stall(self) -> None:
        """Read and answer nothing and send no events from now on, while connections stay open."""
        self.flowing.clear()

    def resume(self) -> None:
        """End a stall."""
        self.flowing.set()


class EventSocketServer:
    """One switch's event socket on ``host:port``; port 0 takes a free one, and ``port`` then tells which.

    ``users`` are those of ``userauth``, by ``name@domain``. ``emit`` gets each event that a client fired or a ``bgapi``
    job ended with; by default it goes to this server's own clients and nowhere else. ``queue`` is the number of events
    that may wait for one client. ``history`` holds the commands of each connection, passwords masked.
    """

    def __init__(
        self,
        switch: SwitchLike,
        host: str = "127.0.0.1",
        port: int = 0,
        password: str = "ClueCon",  # noqa: S107 - the one that every FreeSWITCH is shipped with
        *,
        users: Mapping[str, SocketUser] | None = None,
        emit: Callable[[Event], None] | None = None,
        queue: int = QUEUE_EVENTS,
    ) -> None:
        self.switch = switch
        self.host = host
        self.port = port
        self.queue = queue
        self.emit = emit or (lambda event: self.publish([event]))
        self.faults = Faults()
        self.history: deque[list[str]] = deque(maxlen=HISTORY_CLIENTS)
        self.lost_events = 0
        self._password = password
        self._users = dict(users or {})
        self._server: asyncio.Server | None = None
        self._clients: dict[_Client, asyncio.Task[None]] = {}

    def __repr__(self) -> str:
        return f"<EventSocketServer {self.switch.name} {self.host}:{self.port} clients={len(self._clients)}>"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Listen. After ``close`` it may be called again, and takes the same port. Raises ``OSError``."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Say goodbye to every client and stop listening. Idempotent."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for client in list(self._clients):
            client.goodbye()
        await self._end_clients()

    async def kill(self) -> None:
        """Stop listening and cut every connection without a word, as a crash does."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.drop_connections()

    async def drop_connections(self) -> None:
        """Cut every connection at once, without a word; the server goes on listening."""
        for client in list(self._clients):
            client.cut()
        await self._end_clients()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    @property
    def waiting(self) -> int:
        """Events that wait to be written to clients, and bytes of them that the network has not taken yet."""
        return sum(client.waiting for client in self._clients)

    def publish(self, events: Sequence[Event]) -> None:
        """Give ``events`` to every client that asked for them. Never waits: a client that is too slow loses them."""
        for client in list(self._clients):
            for event in events:
                client.offer(event)

    def check_password(self, password: str) -> bool:
        """Whether ``auth`` is to be accepted."""
        return _same(self._password, password) and not self.faults.refuse_password

    def check_user(self, user: str, password: str) -> SocketUser | None:
        """The directory user, where name and password are right."""
        known = self._users.get(user)
        if known is None or self.faults.refuse_password or not _same(known.password, password):
            return None
        return known

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(self, reader, writer)
        self.history.append(client.commands)
        task = asyncio.get_running_loop().create_task(client.run())
        self._clients[client] = task
        task.add_done_callback(lambda _: self._clients.pop(client, None))

    async def _end_clients(self) -> None:
        tasks = list(self._clients.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Client:
    """One connection: reads commands, writes replies at once, and events as fast as the client takes them."""

    def __init__(self, server: EventSocketServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.commands: list[str] = []
        self._server = server
        self._faults = server.faults
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._missed = 0
        self._listener = Listener(
            server.switch,
            server,
            emit=server.emit,
            later=_soon,
            flush=self._events.clear,
        )

    @property
    def waiting(self) -> int:
        return len(self._events) + self._writer.transport.get_write_buffer_size()

    async def run(self) -> None:
        """Serve until either side ends it."""
        pump = asyncio.create_task(self._pump())
        try:
            if self._faults.reject:
                await self._write(text_message("text/rude-rejection", _REJECTION))
            else:
                await self._write(render_message([("Content-Type", "auth/request")]))
                await self._serve()
            self.goodbye()
        except (OSError, EndpointError, TimeoutError):
            self.cut()  # the client went away, said nothing for too long, or sent what no client sends
        finally:
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await pump
            if self._writer.transport.get_write_buffer_size():
                self.cut()  # it does not read, so it would hold the socket for ever
            self._writer.close()

    def goodbye(self) -> None:
        """The module's last words, where there is still somebody to hear them."""
        if not self._writer.is_closing():
            self._writer.write(text_message("text/disconnect-notice", _GOODBYE))
            self._writer.close()

    def cut(self) -> None:
        """Drop the connection with whatever waits for it."""
        self._listener.running = False
        self._writer.transport.abort()

    def offer(self, event: Event) -> None:
        """Queue ``event`` where the client wants it and has room; else count it as lost."""
        if not self._listener.wants(event):
            return
        if len(self._events) < self._server.queue:
            self._missed = 0
            self._events.append(event)
            self._wake.set()
            return
        self._server.lost_events += 1
        self._missed += 1
        if self._missed > MAX_MISSED:
            self.cut()

    async def _serve(self) -> None:
        reader = CommandReader()
        while True:
            async with asyncio.timeout(None if self.commands else AUTH_SECONDS):
                data = await self._reader.read(65536)
            if not data:
                return
            for command in reader.feed(data):
                await self._faults.flowing.wait()
                if len(self.commands) < HISTORY_COMMANDS:
                    self.commands.append(_without_password(command.line))
                await self._write(self._listener.answer(command))
                if not self._listener.running:
                    return

    async def _pump(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while True:
                await self._faults.flowing.wait()
                if not self._events:
                    break
                frame = self._listener.frame(self._events.popleft())
                cut, self._faults.cut_event = self._faults.cut_event, None
                await self._write(frame[:cut])
                if cut is not None:
                    self._writer.close()  # not aborted: the first bytes are to arrive
                    return

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            piece = self._faults.fragment or len(data) or 1
            for start in range(0, len(data), piece):
                self._writer.write(data[start : start + piece])
                await self._writer.drain()
                if piece < len(data):
                    await asyncio.sleep(0)


def _soon(job: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(job)


def _same(secret: str, given: str) -> bool:
    return hmac.compare_digest(secret.encode("utf-8", "surrogateescape"), given.encode("utf-8", "surrogateescape"))


def _without_password(line: str) -> str:
    word = line.partition(" ")[0]
    return f"{word} ***" if word.lower() in {"auth", "userauth"} else line
