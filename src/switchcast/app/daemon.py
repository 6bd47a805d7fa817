"""One node for as long as its host runs: a configuration becomes a running node, is read again, and comes to an end.

::

    read ──> assemble ──> control socket ──> node, rules, peers, views, metrics, API ──> running
                ^                                                                          │  │
                └──────────── SIGHUP, ``reload``: checked as a whole ──────────────────────┘  │
                                                      SIGTERM, SIGINT ────────────────────────┴──> drained ──> ended

A configuration that is wrong changes nothing and is told of: in the log, in ``status`` and to whoever asked. What is
right replaces only what has changed. What cannot change while the node runs (its name, its control socket) is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import structlog

from switchcast.app import logs
from switchcast.app.api import load_api
from switchcast.app.api.facts import NodeFacts, archive_of
from switchcast.app.assembly import Assembly
from switchcast.app.automation import Automation
from switchcast.app.config import Configuration
from switchcast.app.control import ControlServer
from switchcast.app.health import serving
from switchcast.app.picture import Watching
from switchcast.app.presence import Presence
from switchcast.app.report import Report
from switchcast.app.systemd import Notifier
from switchcast.errors import ConfigurationError, SwitchcastError, UsageError
from switchcast.node import Node

if TYPE_CHECKING:
    from switchcast.app.api.service import Api

__all__ = ["Daemon"]

NOTE_SECONDS: Final = 5.0
"""Between two looks at the counters, for rates."""
RULES_PROBLEM: Final = "rules"
RELOAD_PROBLEM: Final = "reload"

log = structlog.get_logger("switchcast")


class Daemon:
    """Runs what ``read`` gives, and reads it again when told to.

    ``read`` raises ``ConfigurationError``; it is called in a thread. ``log_level`` overrides the configuration's.
    """

    def __init__(
        self,
        read: Callable[[], Configuration],
        *,
        notifier: Notifier | None = None,
        log_level: logs.Level | None = None,
    ) -> None:
        self._read = read
        self._level = log_level
        self._notifier = notifier or Notifier()
        self._configuration = read()
        self._assembly = Assembly(self._configuration)
        self.node = Node(
            self._assembly.routes,
            sinks=self._assembly.sinks,
            name=self._configuration.node.name,
            drain=self._configuration.node.drain,
            patient=True,
        )
        self._automation = Automation(self.node)
        self._presence = Presence(self.node, self._configuration.peers)
        self.watching = Watching(self.node, self._configuration)
        self.report = Report(self.node, self._automation, self._presence, self.watching)
        self._metrics: contextlib.AsyncExitStack | None = None
        self._facts = NodeFacts(self.report, self.watching)
        self._api: Api | None = None
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self.running = asyncio.Event()

    async def run(self) -> None:
        """Run until ``stop``. Raises what keeps the node from starting at all."""
        configuration = self._configuration
        rules = self._automation.prepare(configuration)
        self._take_effect(configuration)
        async with contextlib.AsyncExitStack() as whole:
            await whole.enter_async_context(ControlServer(configuration.control.socket, self._answers()))
            await self._serve_metrics(configuration)
            whole.push_async_callback(self._end_metrics)
            await self._change_api(configuration)
            whole.push_async_callback(self._end_api)
            node = asyncio.create_task(self.node.run(), name="node")
            watchdog = asyncio.create_task(self._notifier.keep_watchdog())  # ends where there is no watchdog
            beside = [asyncio.create_task(self._note())]
            try:
                await _either(node, self.node.ready.wait())
                await self._automation.change(rules, 0.0)
                works = (self._automation.run(), self._presence.run(), self.watching.run())
                beside += [asyncio.create_task(work) for work in works]
                self.report.phase = "running"
                self._notifier.ready(self._in_a_line())
                self.running.set()
                log.info("running", node=self.node.name, routes=len(configuration.routes))
                await _either(node, self._stopping.wait(), *beside)
            finally:
                await self._end(node, beside)
                watchdog.cancel()

    def stop(self) -> None:
        """Come to an end soon: nothing more is taken in, and what is queued is sent within the drain limit."""
        self._stopping.set()

    async def reload(self) -> str:
        """Read the configuration again and go over to it; what has been done, in words.

        Raises ``SwitchcastError`` when it is wrong; then nothing has changed.
        """
        async with self._reloading:
            self._notifier.reloading()
            self.report.phase = "reloading"
            try:
                configuration = await asyncio.to_thread(self._read)
                await self._change_to(configuration)
            except (SwitchcastError, OSError) as error:
                self.report.reloads["refused"] += 1
                self.report.problems[RELOAD_PROBLEM] = f"the changed configuration was not taken: {error}"
                log.error("reload_refused", error=str(error))  # noqa: TRY400 - what is wrong is the file
                raise
            else:
                self.report.reloads["done"] += 1
                self.report.problems.pop(RELOAD_PROBLEM, None)
                log.info("reloaded", routes=len(configuration.routes), rules=len(configuration.rules))
                return f"{configuration.path}: {len(configuration.routes)} routes, {len(configuration.rules)} rules"
            finally:
                self.report.phase = "running"
                self._notifier.ready(self._in_a_line())

    @contextlib.contextmanager
    def signals(self) -> Iterator[list[int]]:
        """SIGTERM and SIGINT stop, a second one at once; SIGHUP reloads. Gives a list of the numbers that came."""
        loop = asyncio.get_running_loop()
        came: list[int] = []
        reloads: set[asyncio.Task[None]] = set()

        def end(number: int) -> None:
            came.append(number)
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(each)  # the next one acts as ever
            self.stop()

        async def reload() -> None:
            with contextlib.suppress(SwitchcastError, OSError):  # told of already
                await self.reload()

        def again() -> None:
            if self.running.is_set() and not self._stopping.is_set():
                task = loop.create_task(reload())
                reloads.add(task)
                task.add_done_callback(reloads.discard)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        loop.add_signal_handler(signal.SIGHUP, again)
        try:
            yield came
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _change_to(self, configuration: Configuration) -> None:
        before = self._configuration
        for what, old, new in (
            ("node.name", before.node.name, configuration.node.name),
            ("control.socket", before.control.socket, configuration.control.socket),
        ):
            if old != new:
                raise ConfigurationError(f"{configuration.path}: {what} was {old!r}; restart the node to change it")
        rules = self._automation.prepare(configuration)
        assembly = Assembly(configuration, self._assembly)
        await self._change_metrics(before, configuration)
        try:
            await self._change_api(configuration)
            await self.node.reload(assembly.routes, sinks=assembly.sinks)
        except (SwitchcastError, OSError):
            await self._change_metrics(configuration, before)
            await self._change_api(before)
            raise
        self._configuration, self._assembly = configuration, assembly
        self.node.drain = configuration.node.drain
        self._presence.change(configuration.peers)
        self.watching.change(configuration)
        self._take_effect(configuration)
        try:
            await self._automation.change(rules, configuration.node.drain)
        except (SwitchcastError, OSError) as error:
            self.report.problems[RULES_PROBLEM] = f"no rule is at work: {error}"
            log.error("rules_stopped", error=str(error))  # noqa: TRY400 - what failed is not our code
            raise
        self.report.problems.pop(RULES_PROBLEM, None)

    def _take_effect(self, configuration: Configuration) -> None:
        """What needs no other moment than now."""
        logs.configure(configuration.log.format, self._level or configuration.log.level, keep=self.report.warnings)
        for sentence in configuration.warnings:
            log.warning("configuration", warning=sentence)
        self._facts.archive_at = archive_of(configuration)
        self.report.path = str(configuration.path)
        self.report.policies = self._assembly.policies
        self.report.configured_at = time.time()

    async def _change_metrics(self, before: Configuration, after: Configuration) -> None:
        """Serve as ``after`` says; where that cannot be, as before."""
        if after.metrics == before.metrics:
            return
        await self._end_metrics()
        try:
            await self._serve_metrics(after)
        except (SwitchcastError, OSError):
            await self._serve_metrics(before)
            raise

    async def _serve_metrics(self, configuration: Configuration) -> None:
        if configuration.metrics is None:
            return
        from switchcast.app.metrics import Exposition

        settings, stack = configuration.metrics, contextlib.AsyncExitStack()
        server = await stack.enter_async_context(
            serving(settings.listen, self.report.snapshot, Exposition, allow_remote=settings.allow_remote)
        )
        self._metrics = stack
        log.info("metrics", address=server.address, port=server.port)

    async def _end_metrics(self) -> None:
        stack, self._metrics = self._metrics, None
        if stack is not None:
            await stack.aclose()

    async def _change_api(self, configuration: Configuration) -> None:
        """Serve as ``configuration`` says; where that cannot be, as before."""
        if configuration.api is None:
            await self._end_api()
        elif self._api is not None:
            await self._api.change(configuration.api)
        else:
            api = load_api()(self.node, self._facts, configuration.api)
            await api.start()
            self._api = self.report.api = api

    async def _end_api(self) -> None:
        api, self._api = self._api, None
        self.report.api = None
        if api is not None:
            await api.close()

    async def _end(self, node: asyncio.Task[None], beside: list[asyncio.Task[Any]]) -> None:
        """Drain what is queued, and say what could not be sent."""
        self.report.phase = "stopping"
        self._notifier.stopping()
        log.info("stopping", drain=self.node.drain)
        self.node.stop()
        api = asyncio.create_task(self._end_api())  # while the queues are drained
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([node])
        await asyncio.wait([api])
        unfinished = await self._automation.stop(self.node.drain)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        undrained = self.node.undrained()
        if undrained or unfinished:
            log.warning("stopped", events_not_sent=undrained, firings_not_done=unfinished)
        else:
            log.info("stopped")
        await node

    async def _note(self) -> None:
        while True:
            self.report.note()
            if self.report.phase == "running":
                self._notifier.status(self._in_a_line())
            await asyncio.sleep(NOTE_SECONDS)

    def _in_a_line(self) -> str:
        states = [state.status for parts in self.node.states().values() for state in parts.values()]
        return f"{len(states)} endpoints, {states.count('up')} up; {len(self._configuration.rules)} rules"

    def _answers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        async def status(_: dict[str, Any]) -> object:
            return self.report.status()

        async def peers(_: dict[str, Any]) -> object:
            return self.report.peers()

        async def view(request: dict[str, Any]) -> object:
            return self.watching.reply(request)

        async def rules(_: dict[str, Any]) -> object:
            return self.report.rules()

        async def rules_log(request: dict[str, Any]) -> object:
            return self._automation.log(_count(request, "limit", 100))

        async def dead_letters(request: dict[str, Any]) -> object:
            return await self._automation.dead_letters(_count(request, "limit", 100))

        async def replay(request: dict[str, Any]) -> object:
            return await self._automation.replay(request.get("ids"))

        async def reload(_: dict[str, Any]) -> object:
            return await self.reload()

        async def health(_: dict[str, Any]) -> object:
            return self.report.snapshot().readiness()

        return {
            "status": status,
            "peers": peers,
            "view": view,
            "rules": rules,
            "rules-log": rules_log,
            "rules-dead": dead_letters,
            "rules-replay": replay,
            "reload": reload,
            "health": health,
        }


def _count(request: dict[str, Any], name: str, default: int) -> int:
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100_000:
        raise UsageError(f"{name} is a whole number from 1 to 100,000, not {value!r}")
    return value


async def _either(node: asyncio.Task[None], *others: Any) -> None:
    """Wait for the first of these; raises what it raised."""
    waiting = [each if isinstance(each, asyncio.Task) else asyncio.ensure_future(each) for each in others]
    try:
        done, _ = await asyncio.wait([node, *waiting], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for each, task in zip(others, waiting, strict=True):
            if each is not task:
                task.cancel()
