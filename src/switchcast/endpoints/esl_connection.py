"""One connection to a switch's event socket, from the greeting to the last byte.

The switch writes events from the thread that also answers commands, so a client that does not read blocks its own
replies, and in the end loses events. This one reads whenever there is something: bytes are taken in the loop's own
callback, never by a task that somebody could hold up, and what comes of them is handed on at once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Sequence

from switchcast._native import Event
from switchcast.errors import EndpointDenied, EndpointError, EndpointUnavailable
from switchcast.wire.eventsocket import BODY_LIMIT, NOOP, Interest, Message, MessageReader, render_auth

__all__ = ["JOBS", "Connection", "Job", "Jobs", "Rejected", "connect"]

JOBS = 1_000
"""``bgapi`` jobs whose end is awaited at a time; those that never end must not make the table grow for ever."""

_EVENT_TYPES = frozenset({"text/event-plain", "text/event-json"})
_REPLY_TYPES = frozenset({"command/reply", "api/response"})


class Rejected(EndpointDenied):
    """The switch's access list turned us away, which its administrator, or its start-up, can still change."""


class Connection(asyncio.Protocol):
    """A connection; ``events`` gets the bodies of event messages in order: format (plain or json), and body.

    Commands may be posted without waiting; replies come in the same order. ``lost`` is done when the connection has
    ended, with what ended it. ``interest`` and ``filters`` are what the switch was asked for on this connection.
    """

    def __init__(
        self, shown: str, events: Callable[[list[tuple[str, bytes]]], None], body_limit: int = BODY_LIMIT
    ) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.interest: Interest | None = None
        self.filters: list[tuple[str, str]] = []
        self.last_heard = loop.time()
        self._shown = shown
        self._events = events
        self._loop = loop
        self._reader = MessageReader(body_limit)
        self._greeting: asyncio.Future[Message] = loop.create_future()
        self._pending: deque[asyncio.Future[Message]] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self._notice = ""
        self._transport: asyncio.Transport | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream protocol is given
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        try:
            messages = self._reader.feed(data)
        except EndpointError as error:
            self._notice = str(error)
            self.abort()
            return
        events = []
        for message in messages:
            kind = message.content_type
            if kind in _EVENT_TYPES:
                events.append((kind.removeprefix("text/event-"), message.body))
            elif kind in _REPLY_TYPES:
                if self._pending:
                    _resolve(self._pending.popleft(), message)
            elif kind == "text/disconnect-notice":
                if message.get("Content-Disposition") != "linger":
                    self._notice = self._notice or "the switch closed it"
            elif not self._greeting.done():
                self._greeting.set_result(message)
        if events:
            self._events(events)

    def connection_lost(self, error: Exception | None) -> None:
        why = self._notice or (f"{error}" if error else "it ended")
        if not self.lost.done():
            self.lost.set_result(why)
        self._room.set()
        for waiting in (self._greeting, *self._pending):
            if not waiting.done():
                waiting.set_exception(EndpointUnavailable(f"{self._shown}: the connection was lost: {why}"))
                waiting.exception()  # taken note of: nobody may be waiting any more
        self._pending.clear()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # Called by the endpoint.

    def post(self, commands: Sequence[bytes]) -> list[asyncio.Future[Message]]:
        """Write commands without waiting; one future for each one's reply, in order."""
        if self._transport is None or not self.usable:
            raise EndpointUnavailable(f"{self._shown}: the connection was lost")
        replies: list[asyncio.Future[Message]] = [self._loop.create_future() for _ in commands]
        self._pending.extend(replies)
        self._transport.write(b"".join(commands))
        return replies

    async def command(self, command: bytes, seconds: float) -> Message:
        """Send one command and wait for its reply. Raises ``EndpointUnavailable`` when none comes in time.

        A reply that comes later is dropped; the replies behind it still find their commands.
        """
        (reply,) = self.post([command])
        return await self.reply(reply, seconds)

    async def reply(self, reply: asyncio.Future[Message], seconds: float) -> Message:
        """Wait for the reply to a posted command."""
        try:
            async with asyncio.timeout(seconds):
                return await reply
        except TimeoutError:
            raise EndpointUnavailable(
                f"{self._shown}: no reply within {seconds:g} s; the switch may be stuck"
            ) from None

    @property
    def usable(self) -> bool:
        """Whether commands can be posted."""
        return self._transport is not None and not self._transport.is_closing()

    async def room(self) -> None:
        """Wait until the network takes more, or the connection is lost."""
        await self._room.wait()

    async def log_in(self, user: str | None, password: bytes, seconds: float) -> None:
        """Wait for the greeting and authenticate. Raises ``EndpointDenied`` and ``EndpointUnavailable``."""
        try:
            async with asyncio.timeout(seconds):
                greeting = await self._greeting
        except TimeoutError:
            raise EndpointUnavailable(
                f"{self._shown}: connected, but no greeting within {seconds:g} s; is that port an event socket?"
            ) from None
        kind = greeting.content_type
        if kind == "text/rude-rejection":
            raise Rejected(
                f"{self._shown}: the switch's access list refuses this address; "
                "allow it in the list that apply-inbound-acl names in event_socket.conf.xml"
            )
        if kind != "auth/request":
            raise EndpointUnavailable(f"{self._shown}: greeted with {kind[:60]!r}: that port is no event socket")
        reply = await self.command(render_auth(password, user), seconds)
        if not reply.ok:
            whose = f"for the user {user}" if user else "in event_socket.conf.xml"
            raise EndpointDenied(f"{self._shown}: the switch refused the password; it must be the one {whose}")

    async def keep_alive(self, quiet_seconds: float, reply_seconds: float) -> str:
        """Watch over the connection until it is lost; what ended it.

        When nothing was heard for ``quiet_seconds`` and nobody is waiting for a reply, a command that does nothing is
        sent; unanswered, the connection is dropped. A reply somebody waits for has its own time limit: the switch runs
        ``api`` in the same thread, so while it does a silent connection is no dead one.
        """
        while not self.lost.done():
            quiet = self._loop.time() - self.last_heard
            await asyncio.wait([self.lost], timeout=max(quiet_seconds - quiet, 0.01))
            if self.lost.done() or self._loop.time() - self.last_heard < quiet_seconds:
                continue
            if any(not reply.done() for reply in self._pending):
                await asyncio.wait([self.lost], timeout=quiet_seconds)
                continue
            try:
                await self.command(NOOP, reply_seconds)
            except EndpointUnavailable:
                self._notice = self._notice or f"nothing was heard for {self._loop.time() - self.last_heard:.0f} s"
                self.abort()
                break
        return await self.lost

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()
        elif not self.lost.done():
            self.connection_lost(None)

    async def close(self) -> None:
        """Drop the connection and wait until its socket is closed."""
        self.abort()
        await asyncio.wait([self.lost])


async def connect(
    shown: str,
    host: str,
    port: int,
    events: Callable[[list[tuple[str, bytes]]], None],
    seconds: float,
    *,
    body_limit: int = BODY_LIMIT,
) -> Connection:
    """Connect, without logging in. Raises ``EndpointUnavailable``, which calls the other end ``shown``.

    ``body_limit``: bytes of one event or answer, above which the connection is dropped.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(lambda: Connection(shown, events, body_limit), host, port)
    except TimeoutError:
        raise EndpointUnavailable(f"{shown}: no answer within {seconds:g} s; is there a firewall in between?") from None
    except OSError as error:
        raise EndpointUnavailable(
            f"{shown}: {error.strerror or error}; is FreeSWITCH running there, and does its "
            "event_socket.conf.xml listen on that address and port?"
        ) from error
    return connection


class Job:
    """A ``bgapi`` command on its way."""

    def __init__(self, output: asyncio.Future[str]) -> None:
        self.uuid = str(uuid.uuid4())
        self._output = output

    async def output(self) -> str:
        """Wait for its end; what it printed. Raises ``EndpointUnavailable`` when the connection was lost first."""
        return await self._output

    def forget(self) -> None:
        """Wait for it no longer."""
        self._output.cancel()


class Jobs:
    """The jobs whose end is awaited, by their UUID."""

    def __init__(self) -> None:
        self._outputs: dict[str, asyncio.Future[str]] = {}

    def start(self, shown: str) -> Job:
        """A new job. Raises ``EndpointError`` when there are too many."""
        if len(self._outputs) >= JOBS:
            raise EndpointError(f"{shown}: {JOBS} bgapi jobs have not ended yet, so no more are started")
        output: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        job = Job(output)
        self._outputs[job.uuid] = output
        output.add_done_callback(lambda _: self._outputs.pop(job.uuid, None))
        return job

    def end(self, event: Event) -> None:
        """Take a BACKGROUND_JOB event, which may be somebody else's."""
        output = self._outputs.get(event.get("Job-UUID") or "")
        if output is not None and not output.done():
            output.set_result(event.body.decode("utf-8", "surrogateescape"))

    def lose(self, shown: str) -> None:
        """Give all of them up: the connection over which they would be told is gone."""
        for output in list(self._outputs.values()):
            if not output.done():
                output.set_exception(
                    EndpointUnavailable(f"{shown}: the connection was lost before the job's end; it may still run")
                )
                output.exception()  # taken note of: nobody may be waiting


def _resolve(reply: asyncio.Future[Message], message: Message) -> None:
    if not reply.done():
        reply.set_result(message)
