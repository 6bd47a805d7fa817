"""The rules of a running node: its tap, the engine that decides, the runner that acts.

::

    tap ─> engine ─> runner                 what the engine lets fire, the runner is given at once
             └─ what was due by time ─┘

When the configuration changes, the new rules begin where the old ones end: in one step of the event loop the old tap
takes no more and the new one begins, so no event is seen twice or not at all; what the old one still holds is put to
the new rules. Firings of at-least-once rules that the old runner has not done are in the journal, from where the new
runner takes them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import structlog

from switchcast.app.assembly import action_endpoints, make_endpoints
from switchcast.app.config import Configuration, ConfiguredEndpoint
from switchcast.bus import Subscription
from switchcast.endpoints import Endpoint
from switchcast.errors import SwitchcastError
from switchcast.node import Node
from switchcast.rules.engine import Engine
from switchcast.rules.runner import Runner
from switchcast.rules.settings import RuleSettings

__all__ = ["Automation"]

TAP: Final = "rules"

log = structlog.get_logger("switchcast")


class Automation:
    """Rules at work. ``prepare`` what a configuration asks for, which can fail; then ``change`` to it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._engine = Engine((), node.name)
        self._runner: Runner | None = None
        self._endpoints: dict[str, Endpoint] = {}
        self._made_from: Prepared | None = None
        self._taps: deque[Subscription] = deque()
        self._tapped = asyncio.Event()

    @property
    def rules(self) -> Sequence[RuleSettings]:
        """Those at work."""
        return self._engine.rules

    def prepare(self, configuration: Configuration) -> Prepared:
        """What ``configuration`` asks for, not at work yet. Raises what making the actions does."""
        prepared = Prepared(self._node, configuration)
        prepared.check()
        return prepared

    async def change(self, prepared: Prepared, drain: float) -> None:
        """Go over to other rules; those under way have ``drain`` seconds. Raises what opening the actions does."""
        if self._made_from is not None and prepared.same_as(self._made_from):
            return
        before, engine = self._engine, Engine(prepared.rules, self._node.name, previous=self._engine)
        # No await from here until the new tap is there.
        self._engine = engine
        if self._taps:
            self._taps[-1].end()
        if engine.bindings:
            self._taps.append(self._node.tap(TAP, engine.bindings))
            self._tapped.set()
        if before.next_due() is not None and self._runner is not None:
            await self._runner.submit(before.due(float("inf")))
        await self._stop_runner(drain)
        self._endpoints = make_endpoints(prepared.endpoints)
        runner = prepared.runner(self._endpoints)
        await runner.__aenter__()
        self._runner, self._made_from = runner, prepared

    async def run(self) -> None:
        """Put what is tapped to the rules, until cancelled."""
        while True:
            if not self._taps:
                self._tapped.clear()
                await self._tapped.wait()
            tap = self._taps[0]
            batch = await self._batch(tap)
            runner = self._runner
            if runner is None:
                await asyncio.sleep(0.05)  # the change to other rules is under way; the batch stays in hand
                continue
            now = asyncio.get_running_loop().time()
            firings = self._engine.take(batch, now) if batch else self._engine.due(now)
            if firings:
                await runner.submit(firings)
            if batch:
                tap.settle()
            elif tap.closed and not tap.queued:
                self._taps.popleft()

    async def stop(self, drain: float) -> int:
        """Act no more; how many firings could not be done within ``drain`` seconds."""
        for tap in self._taps:
            tap.close()
        return await self._stop_runner(drain)

    def counters(self) -> dict[str, dict[str, int]]:
        """For each rule what became of its events and of its firings; what waits for either is added up."""
        runner = self.runner_counters()
        whole = {}
        for name, counts in self.engine_counters().items():
            whole[name] = dict(counts)
            for counter, count in runner.get(name, {}).items():
                whole[name][counter] = whole[name].get(counter, 0) + count
        return whole

    def engine_counters(self) -> dict[str, dict[str, int]]:
        """For each rule what became of its events."""
        return self._engine.counters()

    def runner_counters(self) -> dict[str, dict[str, int]]:
        """For each rule what became of its firings."""
        return {} if self._runner is None else cast("dict[str, dict[str, int]]", self._runner.counters()["rules"])

    def journalled(self) -> dict[str, int]:
        """What the journal has written."""
        return {} if self._runner is None else cast("dict[str, int]", self._runner.counters()["journal"])

    def log(self, limit: int) -> list[dict[str, Any]]:
        """What rules have done, the latest first."""
        return [] if self._runner is None else self._runner.log(limit)

    async def dead_letters(self, limit: int) -> list[dict[str, Any]]:
        """What failed for good, the latest first."""
        return [] if self._runner is None else await self._runner.dead_letters(limit)

    async def replay(self, ids: Sequence[int] | None) -> int:
        """Do what failed for good again; how many."""
        return 0 if self._runner is None else await self._runner.replay(ids)

    async def _batch(self, tap: Subscription) -> list[Any]:
        """What the tap has; empty when something is due by time, or the tap has ended."""
        due = self._engine.next_due()
        loop = asyncio.get_running_loop()
        wait = None if due is None else max(due - loop.time(), 0.0)
        try:
            async with asyncio.timeout(wait):
                return await tap.take()
        except TimeoutError:
            return []

    async def _stop_runner(self, drain: float) -> int:
        runner, self._runner = self._runner, None
        left = 0 if runner is None else await runner.stop(drain)
        for endpoint in self._endpoints.values():
            with contextlib.suppress(SwitchcastError, OSError):
                await endpoint.close()
        self._endpoints = {}
        return left


class Prepared:
    """Rules and what they act through, as a configuration asks for them."""

    def __init__(self, node: Node, configuration: Configuration) -> None:
        self.rules: tuple[RuleSettings, ...] = configuration.rules
        self.endpoints: Mapping[str, ConfiguredEndpoint] = action_endpoints(configuration)
        self.state_dir = Path(configuration.node.state_dir)
        self._node = node

    def same_as(self, other: Prepared) -> bool:
        """Whether nothing has changed."""
        return all(getattr(self, name) == getattr(other, name) for name in ("rules", "endpoints", "state_dir"))

    def check(self) -> None:
        """Make the actions once, so that what cannot be made is known before anything is changed."""
        self.runner(make_endpoints(self.endpoints))

    def runner(self, endpoints: Mapping[str, Endpoint]) -> Runner:
        """A runner for them, not entered yet."""
        return Runner(
            self.rules, endpoints=endpoints, emit=self._node.inject, state_dir=self.state_dir, node=self._node.name
        )
