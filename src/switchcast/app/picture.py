"""The picture of the cluster, kept by a running node: a tap for what happens, and switches asked for what is so.

::

    tap ────────────────────────────> picture          events of the kinds that some view learns from
    switch <── asked ── Asker ──────> picture          at the start, every ``refresh``, and soon after doubt
    source's connection lost ───────> doubt, asked     what the switch fired meanwhile is gone

An asker has a connection of its own: what a switch is slow to answer holds up no event of a route. Large answers are
read in a thread. A switch that takes long to answer is asked less often, so that at most a twentieth of the time is
spent on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog

from switchcast.app.assembly import make_endpoints
from switchcast.app.config import Configuration, ConfiguredEndpoint
from switchcast.app.picture_state import AskedRow, PictureState, Recent, picture_state
from switchcast.endpoints.esl import EslEndpoint
from switchcast.errors import AnswerError, EndpointError, SwitchcastError, UsageError
from switchcast.node import Node
from switchcast.views.answers import box_count
from switchcast.views.asking import MOST_ACCOUNTS, Asking, mailbox_questions
from switchcast.views.picture import MOST_ROWS, Page, Picture
from switchcast.views.telling import Snapshot

__all__ = ["ViewReply", "Watching", "ask_mailboxes", "ask_switch", "unread"]

TAP: Final = "views"
ANSWER_SECONDS: Final = 60.0
"""How long one answer may take: a switch writes out 100,000 registrations in some seconds."""
ANSWER_BYTES: Final = 268_435_456
"""Bytes of one answer: 100,000 registrations are some 70 MB of XML, and a switch may hold more."""
LOOK_SECONDS: Final = 1.0
"""Between two looks at the connections of sources."""
SOONEST_SECONDS: Final = 2.0
"""Between two snapshots of one switch, whatever is in doubt: a line that loses events all the time is asked no more."""
HOPELESS: Final = 3
"""Answers about mailboxes, the first ones, that all cannot be read: without mod_voicemail no other can be either."""
RESTS: Final = 20
"""How many times as long as the last answers took until the next ones are asked for, at the least."""

log = structlog.get_logger("switchcast")


class ViewReply(Page):
    """The answer to ``view``: a page, and which switches were asked."""

    asked: list[AskedRow]


class Watching:
    """Keeps the picture of a running ``node``."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self._node = node
        self.settings = configuration.views
        self.picture = Picture(self.settings)
        self._askers: dict[str, _Asker] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._faults = 0
        self._ask_those(asked_endpoints(configuration))

    async def run(self) -> None:
        """Learn and ask, until cancelled."""
        tap = self._node.tap(TAP, self.picture.bindings)
        clock = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for asker in self._askers.values():
                asker.start(tasks)
            looking = tasks.create_task(self._look())
            try:
                while True:
                    picture = self.picture
                    due = picture.next_due()
                    try:
                        async with asyncio.timeout(None if due is None else max(due - clock(), 0.0) + 0.001):
                            batch = await tap.take()
                    except TimeoutError:
                        batch = []
                    else:
                        if not batch:
                            return  # the node has ended
                    with self.unharmed():
                        now = clock()
                        self._wake(picture.take(batch, now, time.time()) if batch else picture.tick(now))
                    tap.settle()
            finally:
                self._tasks = None
                looking.cancel()
                for asker in self._askers.values():
                    asker.stop()

    def change(self, configuration: Configuration) -> None:
        """Go on with another configuration. Other limits, or others to ask, begin another picture."""
        before, self.settings = self.settings, configuration.views
        if not self.settings.same_picture(before):
            self.picture = Picture(self.settings)
        if self.settings != before:
            for asker in self._askers.values():
                asker.soon()
        self._ask_those(asked_endpoints(configuration))

    def page(self, name: str, *, after: str = "", limit: int = MOST_ROWS, match: str = "") -> ViewReply:
        """Rows of a view, as ``Picture.page``, with the switches that were asked. Raises ``UsageError``."""
        page = self.picture.page(name, asyncio.get_running_loop().time(), after=after, limit=limit, match=match)
        return {**page, "asked": self.asked()}

    def reply(self, request: Mapping[str, Any]) -> ViewReply:
        """The answer to ``{"ask": "view", "name": "registrations", "after": key, "limit": n, "match": text}``."""
        for key in ("name", "after", "match"):
            if not isinstance(request.get(key, ""), str):
                raise UsageError(f"{key} is text, not {request[key]!r}")
        limit = request.get("limit", MOST_ROWS)
        if not isinstance(limit, int) or isinstance(limit, bool):
            raise UsageError(f"limit is a whole number, not {limit!r}")
        after, match = request.get("after") or "", request.get("match") or ""
        return self.page(request.get("name", ""), after=after, limit=limit, match=match)

    def asked(self) -> list[AskedRow]:
        """The switches that are asked."""
        return [asker.row() for asker in self._askers.values()]

    def state(self, recent: Recent) -> PictureState:
        """How the picture stands; ``recent`` tells by how much counters have grown lately."""
        now = asyncio.get_running_loop().time()
        return picture_state(self.picture, self.asked(), self.counters(), recent, now)

    def doubted(self) -> dict[str, int]:
        """How many nodes have doubtful rows, by why."""
        doubts = self.picture.doubts
        return dict(Counter(doubts[node]["why"] for node in self.picture.in_doubt()))

    def counters(self) -> dict[str, dict[str, int]]:
        """As ``Picture.counters``, with what askers count under ``asked``, and faults of ours under ``kept``."""
        asked = [asker.counts for asker in self._askers.values()]
        sums = {name: sum(counts[name] for counts in asked) for name in ("answered", "unanswered", "refused")}
        return self.picture.counters() | {"asked": sums, "kept": {"faults": self._faults}}

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """A fault of ours in a view costs that view some events, and nobody else anything."""
        try:
            yield
        except Exception:
            self._faults += 1
            log.exception("views_fault")

    def _ask_those(self, configured: Mapping[str, ConfiguredEndpoint]) -> None:
        """Ask these and no others; the asker of an endpoint that is the same goes on."""
        for name, asker in list(self._askers.items()):
            if configured.get(name) != asker.configured:
                asker.stop()
                del self._askers[name]
        for name, endpoint in configured.items():
            if name not in self._askers:
                self._askers[name] = _Asker(self, endpoint)
                if self._tasks is not None:
                    self._askers[name].start(self._tasks)

    def _wake(self, doubted: Iterable[str]) -> None:
        for node in doubted:
            for asker in self._askers.values():
                if asker.node == node:
                    asker.soon()

    async def _look(self) -> None:
        """Doubt what is known of a switch whose connection was lost: what it fired meanwhile is gone."""
        outages: dict[str, int] = {}
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, asker in self._askers.items():
                feed = self._node.feeds.get(name)
                count = 0 if feed is None else feed.endpoint.counters().get("outages", 0)
                if count > outages.get(name, 0) and asker.node:
                    self.picture.doubt(asker.node, asyncio.get_running_loop().time())
                    asker.soon()
                outages[name] = count


class _Asker:
    """Asks one switch, again and again."""

    def __init__(self, watching: Watching, configured: ConfiguredEndpoint) -> None:
        self.configured = configured
        self.node = ""
        self._task: asyncio.Task[None] | None = None
        self.counts = {"answered": 0, "unanswered": 0, "refused": 0}
        self._watching = watching
        self._at: float | None = None
        self._took = 0.0
        self._why = self._unread = ""
        self._complained: tuple[str, ...] = ()
        self._soon = asyncio.Event()
        self._last_account = ""

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to ask."""
        self._task = tasks.create_task(self.run(), name=f"ask {self.configured.name}")

    def soon(self) -> None:
        """Ask as soon as that may be."""
        self._soon.set()

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    def row(self) -> AskedRow:
        """How it stands."""
        return {
            "endpoint": self.configured.name,
            "node": self.node,
            "at": self._at,
            "took": self._took,
            "why": self._why,
            "unread": self._unread,
        }

    async def run(self) -> None:
        """Ask until cancelled."""
        endpoint = make_endpoints({self.configured.name: self.configured})[self.configured.name]
        if not isinstance(endpoint, EslEndpoint):
            raise TypeError(f"{endpoint}: only an event socket can be asked")
        endpoint.answer_bytes = ANSWER_BYTES
        clock = asyncio.get_running_loop().time
        try:
            while True:
                began, wall = clock(), time.time()
                self._soon.clear()
                try:
                    await self._ask(endpoint, wall)
                except (SwitchcastError, OSError) as error:
                    self._fail(str(error))
                else:
                    self._why, self._took = "", clock() - began
                await self._rest(began)
        finally:
            with contextlib.suppress(SwitchcastError, OSError):
                await endpoint.close()

    async def _ask(self, endpoint: EslEndpoint, wall: float) -> None:
        snapshot, faults = await ask_switch(endpoint)
        self.node = snapshot.node
        self.counts["answered"] += 1
        self._take(snapshot)
        self._at = wall
        if self._watching.settings.voicemail:
            messages, refused = await ask_mailboxes(endpoint, snapshot, self._turn(snapshot))
            self._take(messages)
            faults += refused
        self._complain(faults)

    def _complain(self, faults: list[AnswerError]) -> None:
        """Note what nobody could read, and warn of it once, not each time that it is the same."""
        self.counts["refused"] += len(faults)
        self._unread = unread(faults)
        reasons = tuple(dict.fromkeys(fault.reason for fault in faults))
        if faults and reasons != self._complained:
            log.warning("switch_not_understood", endpoint=self.configured.name, why=self._unread)
        self._complained = reasons

    def _take(self, snapshot: Snapshot) -> None:
        with _without_collection(), self._watching.unharmed():
            self._watching.picture.seed(snapshot, asyncio.get_running_loop().time(), time.time())

    def _turn(self, snapshot: Snapshot) -> list[str]:
        """Some mailboxes of this switch, each time those whose turn it is."""
        accounts = self._watching.picture.accounts(snapshot)
        start = bisect_right(accounts, self._last_account)
        turn = [*accounts[start:], *accounts[:start]][:MOST_ACCOUNTS]
        self._last_account = turn[-1] if turn else ""
        return turn

    def _fail(self, why: str) -> None:
        self.counts["unanswered"] += 1
        if not self._why:
            log.warning("switch_not_asked", endpoint=self.configured.name, why=why)
            if self.node:
                self._watching.picture.doubt(self.node, asyncio.get_running_loop().time())
        self._why = why

    async def _rest(self, began: float) -> None:
        """Wait until it is time to ask again; one that did not answer is not spared, for it had no work with it."""
        clock, refresh = asyncio.get_running_loop().time, self._watching.settings.refresh
        if self._why:
            await asyncio.sleep(min(refresh, SOONEST_SECONDS))
            return
        spared = RESTS * self._took
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + max(refresh, spared)):
                await self._soon.wait()
        await asyncio.sleep(max(began + min(refresh, max(SOONEST_SECONDS, spared)) - clock(), 0.0))


@contextlib.contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage among rows by the hundred thousand, none of which is any: that takes longer than the rows."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


async def ask_switch(endpoint: EslEndpoint) -> tuple[Snapshot, list[AnswerError]]:
    """What the switch at ``endpoint`` says is so, and what it said that nobody could read. Raises ``EndpointError``."""
    asking = Asking("", asyncio.get_running_loop().time(), time.time())
    while (command := asking.next()) is not None:
        answer = await endpoint.api(command, seconds=ANSWER_SECONDS)
        await asyncio.to_thread(asking.take, answer)
    snapshot = asking.snapshot()
    if not snapshot.node:
        raise EndpointError(f"{endpoint.url}: the switch does not say what it is called")
    return snapshot, asking.faults


async def ask_mailboxes(
    endpoint: EslEndpoint, snapshot: Snapshot, accounts: Iterable[str]
) -> tuple[Snapshot, list[AnswerError]]:
    """The messages of ``accounts`` at the switch that gave ``snapshot``, as one that says nothing else.

    One that cannot tell of the first few is asked no further.
    """
    counted, faults = {}, []
    begun, wall = asyncio.get_running_loop().time(), time.time()
    for command, account in mailbox_questions(accounts).items():
        try:
            counted[account] = box_count(command, await endpoint.api(command, seconds=ANSWER_SECONDS))
        except AnswerError as fault:
            faults.append(fault)
            if not counted and len(faults) == HOPELESS:
                break
    return Snapshot(snapshot.node, snapshot.core, begun, wall, mailboxes=counted), faults


def unread(faults: Sequence[AnswerError]) -> str:
    """Those of a switch's answers that nobody could read, in a sentence; nothing where there are none."""
    more = f", and {len(faults) - 1:,} more like it" if len(faults) > 1 else ""
    return f"{faults[0]}{more}" if faults else ""


def asked_endpoints(configuration: Configuration) -> dict[str, ConfiguredEndpoint]:
    """The event sockets that are asked, by name."""
    names = configuration.views.ask
    if names is None:
        names = tuple(name for name, endpoint in configuration.endpoints.items() if endpoint.url.scheme == "esl")
    return {name: configuration.endpoints[name] for name in names}
