"""Acts: takes what the engine says is to be done, and does it, beside the line and never in its way.

::

    firings -> place in the rule's queue -> journal -> turn of its key -> action -> struck out, or a dead letter
               (else refused, counted)      (durable)

At least once: a firing is in the journal before its action begins, and struck out when that is done; what a crash or a
stop leaves there is replayed at the next start, in order. At most once: it is marked in the journal before, and one
that is marked already is not acted on again, wherever the event comes from a second time. Where the journal cannot be
written, the former acts all the same (``unjournalled``) and the latter does not (``refused_unwritten``): each breaks
the promise that it did not make. ``log`` alone, at most once, needs no journal.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from switchcast.endpoints import Endpoint
from switchcast.errors import SwitchcastError
from switchcast.rules.actions import EmitCallable, make_action
from switchcast.rules.actions.base import Done, Failed, Refused, Unavailable, shown
from switchcast.rules.engine import Firing
from switchcast.rules.job import Job
from switchcast.rules.journal import FILE_NAME, Journal, Verdict
from switchcast.rules.lane import Lane
from switchcast.rules.settings import RuleSettings

__all__ = ["LOG_ENTRIES", "RETRY_FOR", "Runner"]

LOG_ENTRIES: Final = 1_000
"""Results that are remembered, the oldest forgotten first."""
LOG_CHARACTERS: Final = 8_388_608
"""Of output that is remembered with them, all together: a rule may keep megabytes of each."""
LINES_A_SECOND: Final = 10
"""Lines of one rule in the node's log; what is beyond it is only counted, for a storm must not fill the log."""
FULL_SECONDS: Final = 10.0
"""Between two lines that say that a rule's queue is full."""
SHOWN: Final = 1_000
"""Characters of a key, or of output, in one line."""
RETRY_FOR: Final = 300.0
"""Seconds for which an at-least-once job is tried again while what it needs is not there."""
PAUSE_FIRST, PAUSE_MOST = 0.2, 30.0
"""Seconds: the longest pause before the second attempt, doubled for each further one, and the cap."""

log = structlog.get_logger("switchcast")


class Runner:
    """The actions of ``rules``, between ``async with`` and ``stop``.

    ``endpoints`` are the node's, by name, for ``esl-api`` and ``esl-event``; ``emit`` puts events into sinks;
    ``state_dir`` holds the journal; ``node`` is this host's name. Entering raises ``ConfigurationError``,
    ``MissingExtra``, ``EndpointDenied`` and ``EndpointUnavailable``: what a rule needs is not there.
    """

    def __init__(
        self,
        rules: Sequence[RuleSettings],
        *,
        endpoints: Mapping[str, Endpoint],
        emit: EmitCallable,
        state_dir: Path,
        node: str,
    ) -> None:
        self._lanes = {
            rule.name: Lane(rule, make_action(rule, endpoints=endpoints, emit=emit, node=node), self._carry_out)
            for rule in rules
        }
        needed = any(_journalled(lane) for lane in self._lanes.values())
        self._journal = Journal(state_dir / FILE_NAME) if needed else None
        self._results: deque[dict[str, Any]] = deque()
        self._output = 0
        self._lines = _Lines(LINES_A_SECOND, 1.0)
        self._full = _Lines(1, FULL_SECONDS)
        self._running = False
        self._ended = False

    async def __aenter__(self) -> Self:
        opened: list[Lane] = []
        try:
            for lane in self._lanes.values():
                await lane.action.open()
                opened.append(lane)
            left = [] if self._journal is None else await self._journal.open()
        except BaseException:
            for lane in opened:
                await lane.action.close()
            raise
        self._running = True
        self._replay(left)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(0.0)

    async def submit(self, firings: Iterable[Firing]) -> None:
        """Take ``firings`` over. Waits for nothing: what there is no room for is refused and counted.

        Raises ``KeyError`` for a rule that is none of those run here, and takes none then.
        """
        by_journal: list[tuple[Job, bool]] = []
        for firing, lane in [(firing, self._lanes[firing.rule.name]) for firing in firings]:
            if not self._running:
                lane.counts["refused_stopping"] += 1
            elif lane.accept():
                job = Job.of(firing.rule.name, firing.key, firing.event)
                if _journalled(lane):
                    by_journal.append((job, lane.at_least_once))
                else:
                    lane.add(job)
            else:
                self._tell_full(lane)
        if by_journal and self._journal is not None:
            self._journal.take_up(by_journal, self._taken_up)

    def log(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest results, the last one first.

        Each has ``time`` (ISO 8601, UTC), ``rule``, ``action``, ``key``, ``event`` (its name), ``event_id``,
        ``outcome`` (``done``, ``failed``, ``refused``, ``unfinished``), ``detail``, ``output`` and ``seconds``.
        """
        return [dict(entry) for entry, _ in zip(reversed(self._results), range(limit), strict=False)]

    def counters(self) -> dict[str, dict[str, int] | dict[str, dict[str, int]]]:
        """``rules``: for each rule what became of its firings; ``journal``: what was written, by kind."""
        rules = {name: lane.counters() for name, lane in self._lanes.items()}
        return {"rules": rules, "journal": self._journal.counters() if self._journal is not None else {}}

    async def dead_letters(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest of what failed for good: ``id``, ``rule``, ``key``, ``event_id``, ``at``, ``died``, ``why``."""
        return [] if self._journal is None else await self._journal.dead(limit)

    async def replay(self, ids: Sequence[int] | None = None) -> int:
        """Do dead letters again, those of these numbers or all, the oldest first; how many that are.

        Those of rules that are no more stay where they are.
        """
        if self._journal is None or not self._running:
            return 0
        jobs = await self._journal.revive(ids, self._keeps)
        for job in jobs:
            self._lanes[job.rule].replay(job)
        return len(jobs)

    async def journalled(self) -> None:
        """Wait until all that was submitted so far is durable, or counted as not."""
        if self._journal is not None:
            await self._journal.flush()

    async def stop(self, drain: float = 0.0) -> int:
        """Take no more, give what is under way ``drain`` seconds, then end it; how many firings were left. Idempotent.

        Those of at-least-once rules are replayed at the next start.
        """
        if not self._running:
            return 0
        self._running = False
        lanes = self._lanes.values()
        try:
            async with asyncio.timeout(drain):
                await self.journalled()
                for lane in lanes:
                    await lane.drained()
        except TimeoutError:
            pass
        finally:
            self._ended = True
            left = sum(await asyncio.gather(*(lane.stop() for lane in lanes)))
            if self._journal is not None:
                await self._journal.close()
            for lane in lanes:
                await lane.action.close()
        if left:
            log.warning("rules_unfinished", firings=left)
        return left

    def _replay(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            lane = self._lanes.get(job.rule)
            if lane is not None:
                lane.replay(job)
            elif self._journal is not None:
                self._journal.bury(job, f"there is no rule {job.rule} any more")
                log.warning("rule_gone", rule=job.rule, event_id=job.event_id)

    def _keeps(self, rule: str) -> bool | None:
        """Whether a dead letter of ``rule`` that is tried again is to be in the journal; ``None``: it stays dead."""
        lane = self._lanes.get(rule)
        return None if lane is None else lane.at_least_once

    def _taken_up(self, verdicts: list[tuple[Job, Verdict]]) -> None:
        if self._ended:
            return  # they were counted as unfinished
        for job, verdict in verdicts:
            lane = self._lanes[job.rule]
            if verdict == "duplicate":
                lane.give_up("refused_duplicate")
            elif verdict == "unwritten" and not lane.at_least_once:
                lane.give_up("refused_unwritten")
            else:
                lane.counts["unjournalled"] += verdict == "unwritten"
                lane.add(job)

    def _tell_full(self, lane: Lane) -> None:
        if self._full.may(lane.rule.name, asyncio.get_running_loop().time()) is not None:
            log.warning(
                "rule_queue_full",
                rule=lane.rule.name,
                queue=lane.rule.queue,
                refused=lane.counts["refused_queue_full"],
            )

    async def _carry_out(self, lane: Lane, job: Job) -> None:
        """Do one job, whatever comes of it."""
        began = asyncio.get_running_loop().time()
        outcome, done = "unfinished", Done("ended by the node's stop")
        try:
            done = await self._persist(lane, job)
            outcome = "done"
        except Refused as error:
            lane.counts[f"refused_{error.reason}"] += 1
            outcome, done = "refused", Done(shown(str(error)))
        except Failed as error:
            outcome, done = "failed", Done(shown(str(error)), error.output)
        except (SwitchcastError, OSError) as error:
            outcome, done = "failed", Done(shown(str(error)))
        except Exception as error:
            log.exception("rule_fault", rule=job.rule)
            outcome, done = "failed", Done(f"a fault of ours: {type(error).__name__}: {shown(str(error))}")
        finally:
            self._settle(lane, job, outcome, done.detail)
            self._tell(lane, job, outcome, done, asyncio.get_running_loop().time() - began)

    async def _persist(self, lane: Lane, job: Job) -> Done:
        """Do it, again and again while what it needs is not there, where once more does no harm."""
        loop = asyncio.get_running_loop()
        until, longest = loop.time() + RETRY_FOR, PAUSE_FIRST
        while True:
            try:
                return await lane.action.act(job)
            except Unavailable:
                pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
                if not lane.at_least_once or loop.time() + pause > until:
                    raise
            lane.action.retries += 1
            await asyncio.sleep(pause)
            longest = min(2 * longest, PAUSE_MOST)

    def _settle(self, lane: Lane, job: Job, outcome: str, why: str) -> None:
        """Count it, and have the journal know."""
        if outcome == "unfinished":
            return  # counted where it was ended; where it is in the journal, it stays there
        if outcome in {"done", "failed"}:
            lane.counts[outcome] += 1
        if self._journal is None:
            return
        if outcome == "failed" and (lane.at_least_once or lane.action.keeps_failures):
            lane.counts["dead"] += 1
            self._journal.bury(job, why)
        else:
            self._journal.settle(job)

    def _tell(self, lane: Lane, job: Job, outcome: str, done: Done, seconds: float) -> None:
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "rule": job.rule,
            "action": lane.rule.kind.replace("_", "-"),
            "key": shown(job.key[:SHOWN]),
            "event": shown(job.event.name[:SHOWN]),
            "event_id": job.event_id,
            "outcome": outcome,
            "detail": done.detail,
            "output": done.output,
            "seconds": round(seconds, 6),
        }
        self._remember(entry)
        told = self._lines.may(job.rule, asyncio.get_running_loop().time())
        if told is None:
            return
        level = log.debug if outcome == "done" else log.warning
        fields = {name: entry[name] for name in ("rule", "action", "key", "event_id", "detail", "seconds")}
        if done.output:
            fields["output"] = done.output[:SHOWN]
        if told:
            fields["not_logged"] = told
        level(f"rule_{outcome}", **fields)

    def _remember(self, entry: dict[str, Any]) -> None:
        self._results.append(entry)
        self._output += len(entry["output"])
        while len(self._results) > LOG_ENTRIES or (self._output > LOG_CHARACTERS and len(self._results) > 1):
            self._output -= len(self._results.popleft()["output"])


class _Lines:
    """Which lines are written to the log: so many for each rule in so many seconds."""

    def __init__(self, lines: int, seconds: float) -> None:
        self._lines = lines
        self._seconds = seconds
        self._rules: dict[str, tuple[float, int, int]] = {}

    def may(self, rule: str, now: float) -> int | None:
        """How many lines were left out before this one, which may be written; ``None`` when it may not."""
        since, written, left_out = self._rules.get(rule, (now, 0, 0))
        if now - since >= self._seconds:
            since, written = now, 0
        if written >= self._lines:
            self._rules[rule] = since, written, left_out + 1
            return None
        self._rules[rule] = since, written + 1, 0
        return left_out


def _journalled(lane: Lane) -> bool:
    return lane.at_least_once or lane.rule.log is None
