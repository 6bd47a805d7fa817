"""One rule's jobs on their way: a bounded queue, order within a key, and so many at once as the rule allows.

A key's jobs run one after the other, in the order they came; keys take turns. A rule without a key keeps the order of
all its jobs while its concurrency is 1, and with more has none to keep.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final

from switchcast.rules.actions.base import REASONS, Action
from switchcast.rules.job import Job
from switchcast.rules.settings import RuleSettings

__all__ = ["COUNTERS", "Lane"]

COUNTERS: Final = (
    "accepted", "replayed", "done", "failed", "dead", "unfinished", "unjournalled",
    "refused_queue_full", "refused_stopping", "refused_duplicate", "refused_unwritten",
    *(f"refused_{reason}" for reason in REASONS),
)  # fmt: skip
"""What is counted for each rule: ``accepted + replayed`` is the sum of done, failed, unfinished, the refusals from
``refused_duplicate`` on, and what waits or runs."""


class Lane:
    """The queue of one rule. ``carry_out`` does one job and raises nothing but ``CancelledError``."""

    def __init__(self, rule: RuleSettings, action: Action, carry_out: Callable[[Lane, Job], Awaitable[None]]) -> None:
        self.rule = rule
        self.action = action
        self.counts: Counter[str] = Counter()
        self.at_least_once = rule.delivery == "at-least-once"
        self.held = 0
        """Jobs that are accepted and have not begun."""
        self.running = 0
        self._carry_out = carry_out
        self._ordered = bool(rule.key) or rule.concurrency == 1
        self._each = itertools.count()
        self._waiting: dict[str | int, deque[Job]] = {}
        self._ready: deque[str | int] = deque()
        self._workers: set[asyncio.Task[None] | None] = set()
        self._changed = asyncio.Event()

    @property
    def idle(self) -> bool:
        return not self.held and not self.running

    def accept(self) -> bool:
        """Take a place in the queue for a job; counted as refused when there is none."""
        if self.held >= self.rule.queue:
            self.counts["refused_queue_full"] += 1
            return False
        self.held += 1
        self.counts["accepted"] += 1
        return True

    def replay(self, job: Job) -> None:
        """Queue a job of a run before this one, or a dead letter: these have a place in any case."""
        self.held += 1
        self.counts["replayed"] += 1
        self.add(job)

    def give_up(self, reason: str) -> None:
        """Let go of the place of a job that is not to be done after all."""
        self.held -= 1
        self.counts[reason] += 1
        self._changed.set()

    def add(self, job: Job) -> None:
        """Queue a job that has its place."""
        order = job.key if self._ordered else next(self._each)
        queue = self._waiting.get(order)
        if queue is not None:  # one of that key runs, or is in line: this one comes after it
            queue.append(job)
            return
        self._waiting[order] = deque((job,))
        self._ready.append(order)
        if len(self._workers) < self.rule.concurrency:
            self._workers.add(asyncio.create_task(self._work(), name=f"rule {self.rule.name}"))

    async def drained(self) -> None:
        """Wait until nothing is left to do."""
        while not self.idle:
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> int:
        """Cancel what runs and forget what waits; how many jobs that were."""
        workers = [worker for worker in self._workers if worker is not None]
        left = self.held + self.running
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        self.counts["unfinished"] += left
        self.held = 0
        self._waiting.clear()
        self._ready.clear()
        return left

    def counters(self) -> dict[str, int]:
        """``COUNTERS`` since the start, how often something was tried again, and what waits and runs now."""
        counts = {name: self.counts[name] for name in COUNTERS}
        return counts | {"retries": self.action.retries, "waiting": self.held, "running": self.running}

    async def _work(self) -> None:
        try:
            while self._ready:
                await self._next()
                await asyncio.sleep(0)  # an action that waits for nothing would keep all else from running
        finally:  # at once, so that whoever adds a job next finds this one gone
            self._workers.discard(asyncio.current_task())

    async def _next(self) -> None:
        """Do the next job of the key whose turn it is."""
        order = self._ready.popleft()
        queue = self._waiting[order]
        job = queue.popleft()
        self.held -= 1
        self.running += 1
        try:
            await self._carry_out(self, job)
        finally:
            self.running -= 1
            self._changed.set()
            if queue:
                self._ready.append(order)
            else:
                self._waiting.pop(order, None)
