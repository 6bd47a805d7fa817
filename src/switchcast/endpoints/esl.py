"""``esl://[user:password@]host[:8021]``: a FreeSWITCH's event socket, a source, a sink, or both on one connection.

================== ==========================================================================================
``password_file``  file with the password; ``password=`` and ``esl://:password@host`` show in process lists
``user``           a directory user (``name@domain``) to be instead of the socket's own password (``userauth``)
``format``         ``plain`` (default) or ``json``: in what form the switch is to send events
``filter``         ``Header:value,...``: the switch sends only events that have one of these headers so
``timeout``        seconds for connecting, and for a reply; 10
``heartbeat``      seconds of silence after which the switch is asked whether it is there; 30
``reconnect``      whether a lost connection is made again; yes
``queue``          events that wait for a slow consumer; 65,536, and 64 MiB
``refire``         what becomes of events that came from a group: see ``endpoints.esl_refiring``; auto
``fs_path``        the way back to the switch that holds a registration, in its contact: keep
``fs_path_host``   what tells that switch's address: source
================== ==========================================================================================

Without a password the one is tried that every FreeSWITCH is shipped with, and that ought to have been changed.

The socket is always read, whatever the consumer does: when the queue is full the newest events are dropped and counted
(``queue_overflow``). At the first connect nobody there, or a refused password, is an error. Later a lost connection is
made again with growing, random pauses, and asks for the same events once; only a refused password ends it for good,
since it never becomes right. What the switch fired while we were away is gone.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence

import structlog

from switchcast._native import REJECT_REASONS, Event, Matcher
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.esl_connection import Connection, Job, Jobs, Rejected, connect
from switchcast.endpoints.esl_options import OPTIONS, filters_of, password_of
from switchcast.endpoints.esl_refiring import Refiring
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import (
    EndpointClosed,
    EndpointDenied,
    EndpointError,
    EndpointUnavailable,
    RejectedDatagram,
    UrlError,
    UsageError,
)
from switchcast.wire.eventsocket import (
    BODY_LIMIT,
    Interest,
    Message,
    command_line,
    render_api,
    render_auth,
    render_bgapi,
    render_sendevents,
)
from switchcast.wire.refire import from_switch

__all__ = ["DEFAULT_PORT", "EslEndpoint", "Job"]

DEFAULT_PORT = 8021
QUEUE_BYTES = 67_108_864
"""Bytes of events that wait for a slow consumer, beside the limit on their number: a body can be megabytes long."""

SEND_EVENTS = 256
"""Events written before their replies are waited for."""

PAUSE_FIRST, PAUSE_MOST = 0.2, 30.0
"""Seconds: the longest pause before the first attempt to reconnect, doubled for each further one, and the cap."""

_JOB_EVENTS = Interest(frozenset({"BACKGROUND_JOB"}))
_REFUSALS = {"-ERR permission denied": "permission", "-ERR command not found": "not_found"}
_log = structlog.get_logger("switchcast")


class EslEndpoint(Endpoint):
    """A switch's event socket. See the module for its URL.

    Everything goes over one connection: events in, and events, ``api`` and ``bgapi`` out. Every event given to ``send``
    is counted once, as ``sent``, ``refused`` (by the switch, or because no command can carry it), ``unanswered`` (the
    connection was lost or the switch stuck: it may have been fired or not) or ``unsent``.

    ``answer_bytes`` is how long an event or an answer may be; who asks for a large one raises it before the first use.
    """

    is_source = True
    is_sink = True

    def __init__(
        self,
        url: EndpointUrl,
        *,
        matcher: Matcher | None = None,
        role: Role | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """``dice`` gives numbers from 0 to 1 for the pauses."""
        super().__init__(url, matcher=matcher, role=role)
        url.only(OPTIONS)
        if len(url.hosts) != 1 or url.path not in {"", "/"}:
            raise UrlError(f"{url}: esl: takes one host and no path, as in esl://127.0.0.1:{DEFAULT_PORT}")
        self._user = url.text("user") or url.username
        self._password = password_of(url)
        render_auth(self._password, self._user)  # which refuses what its command cannot carry
        self._format = url.choice("format", "plain", ("plain", "json"))
        self._timeout = url.number("timeout", 10.0, 0.01, 3600.0)
        self._heartbeat = url.number("heartbeat", 30.0, 0.01, 86400.0)
        self._reconnect = url.boolean("reconnect", True)
        self._limit = url.integer("queue", 65_536, 1, 10_000_000)
        self._filters = filters_of(url)
        self._refiring = Refiring(url)
        self.answer_bytes = BODY_LIMIT
        self._dice = dice
        self._connection: Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._connected = asyncio.Event()
        self._matcher = matcher or Matcher("all")
        self._interest: Interest | None = None
        self._wants_jobs = False
        self._jobs = Jobs()
        self._queue: deque[tuple[list[Event], int]] = deque()
        self._queued_events = 0
        self._queued_bytes = 0
        self._arrived = asyncio.Event()
        self._counts: Counter[str] = Counter()

    async def open_source(self) -> None:
        self.check_open()
        await self._want(self._matcher, self._wants_jobs)

    async def open_sink(self) -> None:
        self.check_open()
        await self._open()

    async def batches(self) -> AsyncIterator[list[Event]]:
        self.check_open()
        try:
            await self.open_source()
        except EndpointClosed:
            return  # meanwhile
        while not self.closed:
            if self._queue:
                events, size = self._queue.popleft()
                self._queued_events -= len(events)
                self._queued_bytes -= size
                self._counts["delivered"] += len(events)
                yield events
                continue
            if self._keeper is not None and self._keeper.done():
                self._keeper.result()
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def subscribe(self, bindings: str | Matcher) -> None:
        """Listen for other events from now on, without a gap for those wanted before and after.

        A text replaces the bindings where no condition is in force; a ``Matcher`` replaces both.
        Raises ``BindingError``, and ``EndpointUnavailable`` when the switch does not answer.
        """
        self.check_open()
        if isinstance(bindings, str):
            if self._matcher.where is not None:
                raise UsageError(
                    f"{self.url}: a condition is in force: subscribe with a Matcher that has it or leaves it"
                )
            bindings = Matcher(bindings)
        await self._want(bindings, self._wants_jobs)

    async def api(self, command: str, *, seconds: float | None = None) -> str:
        """Run one command of the switch's command line and return its output, an ``-ERR`` of its own included.

        The switch answers nothing else meanwhile: what takes long belongs in ``bgapi``. Raises ``EndpointDenied`` when
        our user may not run it, ``EndpointUnavailable`` when no answer comes within ``seconds``.
        """
        line = render_api(command)
        connection = await self._ready()
        reply = await connection.command(line, self._timeout if seconds is None else seconds)
        if reply.content_type != "api/response":
            raise EndpointDenied(f"{self.url}: the switch refused {command.split(maxsplit=1)[0]!r}: {reply.reply}")
        return reply.body.decode("utf-8", "surrogateescape")

    async def bgapi(self, command: str) -> Job:
        """Start a command in the background; ``await job.output()`` for what it printed, which a BACKGROUND_JOB tells.

        Raises as ``api`` does, and ``EndpointError`` when too many jobs have not ended.
        """
        job = self._jobs.start(str(self.url))
        try:
            line = render_bgapi(command, job.uuid)
            await self._want(self._matcher if self._interest else None, jobs=True)
            connection = await self._ready()
            reply = await connection.command(line, self._timeout)
        except BaseException:
            job.forget()
            raise
        if not reply.ok:
            job.forget()
            raise EndpointDenied(f"{self.url}: the switch refused {command.split(maxsplit=1)[0]!r}: {reply.reply}")
        return job

    async def send(self, events: Sequence[Event]) -> None:
        """Fire ``events`` on the switch in order, and wait for its replies.

        An event that is refused is counted and the others go on. Raises ``EndpointUnavailable`` when there is no
        connection for ``timeout`` seconds, or the switch does not answer for as long.
        """
        left = len(events)
        try:
            for start in range(0, len(events), SEND_EVENTS):
                some = events[start : start + SEND_EVENTS]
                connection = await self._ready()
                fit, loops = self._refiring.prepare(some)
                commands, omitted = render_sendevents(fit)
                replies = connection.post(commands)
                left -= len(some)
                self._counts["headers_omitted"] += omitted
                self._refuse("loop", loops)
                self._refuse("unsendable", len(some) - loops - len(commands))
                await self._settle(connection, replies)
        finally:
            self._counts["unsent"] += left

    def counters(self) -> dict[str, int]:
        names = ["received", "delivered", "unmatched", "queue_overflow", "reconnects", "outages"]
        names += [f"rejected_{reason}" for reason in REJECT_REASONS]
        names += [
            "sent",
            "refused",
            *(f"refused_{reason}" for reason in (*_REFUSALS.values(), "loop", "unsendable", "other")),
        ]
        names += ["unanswered", "unsent", "headers_omitted"]
        counts = {name: self._counts[name] for name in names}
        return {**counts, **self._refiring.counters(), "condition_errors": self._matcher.errors}

    async def close(self) -> None:
        self.closed = True
        connection, self._connection = self._connection, None
        keeper = self._keeper
        if connection is not None:
            connection.abort()
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if connection is not None:
            await connection.close()
        self._jobs.lose(str(self.url))
        self._arrived.set()
        self._connected.set()

    async def _want(self, matcher: Matcher | None, jobs: bool) -> None:
        """Ask for these events from now on, or, when the switch refuses them, for those of before."""
        before = self._matcher, self._interest, self._wants_jobs
        if matcher is not None:
            self._matcher, self._interest = matcher, Interest.parse(matcher.bindings)
        self._wants_jobs = jobs
        try:
            await self._open()
        except EndpointError:
            self._matcher, self._interest, self._wants_jobs = before
            raise
        self.matcher = self._matcher

    async def _open(self) -> None:
        """Connect, if this is the first use; in any case ask the switch for what is wanted by now."""
        async with self._turn:
            if self._keeper is None:
                self._connection = await self._connect()
                if self.closed:
                    await self._connection.close()
                    self.check_open()
                self._connected.set()
                self._keeper = asyncio.create_task(self._keep(self._connection), name=f"keep {self.url}")
                self._keeper.add_done_callback(self._over)
            elif self._connection is not None and self._connection.usable:
                try:
                    await self._ask(self._connection)
                except EndpointUnavailable:
                    if self._connection is not None and self._connection.usable:
                        raise  # else the next connection asks

    async def _ready(self) -> Connection:
        """The connection, waited for while there is an outage."""
        self.check_open()
        if self._keeper is None:
            await self._open()
        try:
            async with asyncio.timeout(self._timeout):
                while not self.closed and self._keeper is not None and not self._keeper.done():
                    if self._connection is not None and self._connection.usable:
                        return self._connection
                    await self._connected.wait()
                    await asyncio.sleep(0)  # a connection that has just ended: its keeper takes note of it now
        except TimeoutError:
            raise EndpointUnavailable(f"{self.url}: not connected for {self._timeout:g} s, still trying") from None
        self.check_open()
        if self._keeper is not None:
            self._keeper.result()
        raise EndpointUnavailable(f"{self.url}: the connection was lost")

    async def _connect(self) -> Connection:
        connection = await connect(
            str(self.url),
            self.url.hosts[0],
            self.url.port or DEFAULT_PORT,
            self._take,
            self._timeout,
            body_limit=self.answer_bytes,
        )
        try:
            await connection.log_in(self._user, self._password, self._timeout)
            await self._ask(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _ask(self, connection: Connection) -> None:
        """Bring what the switch sends in line with what is wanted: on a fresh connection one ``event`` command."""
        before, wanted = connection.interest, self._interest
        if self._wants_jobs:
            wanted = _JOB_EVENTS if wanted is None else wanted | _JOB_EVENTS
        commands = []
        if self._filters:
            filters = [*self._filters, *([("Event-Name", "BACKGROUND_JOB")] if self._wants_jobs else [])]
            commands = [command_line("filter", *pair) for pair in filters if pair not in connection.filters]
            connection.filters.extend(pair for pair in filters if pair not in connection.filters)
        if wanted is not None:
            commands += [wanted.start(self._format)] if before is None else before.change_to(wanted, self._format)
            connection.interest = wanted
        for command, reply in zip(commands, connection.post(commands), strict=True):
            answer = await connection.reply(reply, self._timeout)
            if answer.ok or command.startswith(b"nixevent"):
                continue  # that is refused where the switch never knew the names: then it does not send them either
            if before is not None and wanted is not None:
                connection.interest = before | wanted  # the words in front of the one that was refused are granted
            if answer.reply.startswith("-ERR permission"):
                raise EndpointDenied(f"{self.url}: our user may not hear some of {wanted and wanted.words!r}")
            raise EndpointError(f"{self.url}: the switch would not give us events: {answer.reply}")

    async def _keep(self, connection: Connection) -> None:
        """Stay connected until there is no hope: raises what ended it."""
        while True:
            why = await connection.keep_alive(self._heartbeat, self._timeout)
            self._connection = None
            self._connected.clear()
            self._counts["outages"] += 1
            self._jobs.lose(str(self.url))
            if not self._reconnect:
                raise EndpointUnavailable(f"{self.url}: the connection was lost: {why}")
            _log.warning("event socket lost, reconnecting", endpoint=str(self.url), why=why)
            connection = await self._connect_again()
            self._connected.set()
            self._counts["reconnects"] += 1
            _log.info("event socket is back", endpoint=str(self.url))

    async def _connect_again(self) -> Connection:
        pause = PAUSE_FIRST
        while True:
            await asyncio.sleep(self._dice() * pause)
            pause = min(2 * pause, PAUSE_MOST)
            try:
                async with self._turn:
                    self._connection = await self._connect()
                    return self._connection
            except (EndpointUnavailable, Rejected):
                continue

    def _over(self, keeper: asyncio.Task[None]) -> None:
        """Wake whoever waits, for nothing more will come."""
        if self._reconnect and not keeper.cancelled() and (error := keeper.exception()) is not None:
            _log.error("event socket given up", endpoint=str(self.url), why=str(error))
        self._arrived.set()
        self._connected.set()

    def _take(self, bodies: list[tuple[str, bytes]]) -> None:
        """Take what one read of the socket brought; called by the connection, and never waits."""
        counts = self._counts
        counts["received"] += len(bodies)
        events = []
        size = 0
        for form, body in bodies:
            try:
                event = from_switch(form, body)
            except RejectedDatagram as error:
                counts[f"rejected_{error.reason}"] += 1
                continue
            events.append(event)
            size += len(body)
            if event.name == "BACKGROUND_JOB":
                self._jobs.end(event)
        if self._interest is None:
            counts["unmatched"] += len(events)
            return
        wanted = self._matcher.select(events)
        counts["unmatched"] += len(events) - len(wanted)
        room = self._limit - self._queued_events if self._queued_bytes + size <= QUEUE_BYTES else 0
        counts["queue_overflow"] += max(len(wanted) - room, 0)
        del wanted[room:]
        if wanted:
            self._queue.append((wanted, size))
            self._queued_events += len(wanted)
            self._queued_bytes += size
            self._arrived.set()

    async def _settle(self, connection: Connection, replies: Sequence[asyncio.Future[Message]]) -> None:
        """Wait for the replies and count them."""
        try:
            async with asyncio.timeout(self._timeout):
                await connection.room()
                if replies:
                    await asyncio.wait(replies)
        except TimeoutError:
            connection.abort()  # it answers in order: what is behind these would be no better off
            raise EndpointUnavailable(
                f"{self.url}: no reply to an event within {self._timeout:g} s; the switch may be stuck"
            ) from None
        finally:
            for reply in replies:
                self._count_reply(reply)
        for reply in replies:
            reply.result()

    def _count_reply(self, reply: asyncio.Future[Message]) -> None:
        if not reply.done() or reply.cancelled() or reply.exception() is not None:
            self._counts["unanswered"] += 1
        elif reply.result().ok:
            self._counts["sent"] += 1
        else:
            self._refuse(_REFUSALS.get(reply.result().reply, "other"), 1)

    def _refuse(self, reason: str, events: int) -> None:
        self._counts["refused"] += events
        self._counts[f"refused_{reason}"] += events
