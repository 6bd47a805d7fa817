"""What a rule must not forget: a file, and one thread that writes it.

The event loop never waits for the disk. What is to be written is handed to the thread, which takes all that waits at
once and commits it as one transaction: while one ``fsync`` is under way the next batch gathers, so that thousands of
firings a second cost some dozens of them. The answer comes back into the event loop when the batch is durable.

A write that fails (the disk is full, the file has reached its limit) is told and counted. Each part of the batch is
then tried alone, since what is struck out makes room; what was to be struck out and could not be is tried again with
the next batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import structlog

from switchcast.rules.job import Job
from switchcast.rules.journal_file import JOURNAL_BYTES, JournalFile

__all__ = ["FILE_NAME", "Journal", "Verdict"]

FILE_NAME: Final = "rules.journal"
"""The journal's name in the node's state directory."""

Verdict = Literal["kept", "duplicate", "unwritten"]
"""What became of a job in the journal: it is durable, it is known already, or it could not be written."""
_T = TypeVar("_T")
_Step = Callable[[JournalFile, Counter[str]], Callable[[], None] | None]
"""Something to write, in the thread, and to count; gives back what to do in the event loop once it is durable."""

log = structlog.get_logger("switchcast")


class _Write:
    """A step, and what to do in the event loop when it cannot be written."""

    __slots__ = ("failed", "step")

    def __init__(self, step: _Step, failed: Callable[[], None]) -> None:
        self.step = step
        self.failed = failed


class Journal:
    """The rules' memory across restarts. Used from one event loop, between ``open`` and ``close``."""

    def __init__(self, path: Path, *, limit: int = JOURNAL_BYTES, now: Callable[[], float] = time.time) -> None:
        """``limit`` is in bytes; ``now`` tells wall time, by which dead letters and marks grow old."""
        self.path = path
        self._limit = limit
        self._now = now
        self._counts: Counter[str] = Counter()
        self._change = threading.Condition()
        self._waiting: list[_Write] = []
        self._ending = False
        self._down = False
        self._late: list[int] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._closed: asyncio.Future[None]

    async def open(self) -> list[Job]:
        """Open the file, or make it; the jobs that a run before this one left undone, oldest first.

        A file that is damaged, or written by a newer version, is set aside beside the new one and told of as an error
        in the log. Raises ``EndpointUnavailable`` (another node uses it) and ``EndpointDenied``.
        """
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[list[Job]] = self._loop.create_future()
        self._closed = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(opened, self._closed), name="rules journal", daemon=True
        )
        self._thread.start()
        try:
            return await opened
        except BaseException:
            await self.close()
            raise

    def take_up(self, jobs: Sequence[tuple[Job, bool]], then: Callable[[list[tuple[Job, Verdict]]], None]) -> None:
        """Make ``jobs`` durable, those with ``True`` to be done at least once, the others at most once.

        Returns at once; ``then`` is called in the event loop with what became of each, in order.
        """

        def step(file: JournalFile, counts: Counter[str]) -> Callable[[], None]:
            verdicts: list[tuple[Job, Verdict]] = []
            for job, again in jobs:
                known = not (file.keep(job) if again else file.mark(job))
                verdicts.append((job, "duplicate" if known else "kept"))
                counts["duplicates" if known else "journalled" if again else "marked"] += 1
            return lambda: then(verdicts)

        def failed() -> None:
            self._counts["unwritten"] += len(jobs)
            for job, _ in jobs:
                job.row = None
            then([(job, "unwritten") for job, _ in jobs])

        self._write(_Write(step, failed))

    def settle(self, job: Job) -> None:
        """Strike out a job that is done. Where that is not written before a crash, it is done once more."""
        row = job.row
        if row is None:
            return

        def step(file: JournalFile, counts: Counter[str]) -> None:
            file.settle([row])
            counts["settled"] += 1

        self._write(_Write(step, lambda: self._late.append(row)))

    def bury(self, job: Job, why: str) -> None:
        """Keep a job that failed for good as a dead letter."""

        def step(file: JournalFile, counts: Counter[str]) -> None:
            file.bury(job, why)
            counts["dead"] += 1

        def failed() -> None:
            self._counts["dead_lost"] += job.row is None  # else it is still pending, and done again after a restart

        self._write(_Write(step, failed))

    async def dead(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest dead letters: ``id``, ``rule``, ``key``, ``event_id``, ``at``, ``died``, ``why``."""
        return await self._ask(lambda file, _: file.dead(limit))

    async def revive(self, rows: Sequence[int] | None, keeps: Callable[[str], bool | None]) -> list[Job]:
        """Take dead letters out to be tried again: those of these numbers, or all.

        ``keeps`` says of a rule whether its jobs are to be done at least once, or ``None`` to leave its letters dead.
        """

        def take_out(file: JournalFile, counts: Counter[str]) -> list[Job]:
            revived = []
            for row, job in list(file.dead_jobs(rows)):
                keep = keeps(job.rule)
                if keep is not None:
                    file.revive(row, job, keep=keep)
                    revived.append(job)
            counts["revived"] += len(revived)
            return revived

        return await self._ask(take_out)

    async def flush(self) -> None:
        """Wait until everything handed over so far is written or has failed."""
        await self._ask(lambda _file, _counts: None)

    def counters(self) -> dict[str, int]:
        """Since the start: what was written, known, not written; letters that died, were revived and expired."""
        names = ["replayed", "journalled", "marked", "duplicates", "settled", "unwritten", "batches"]
        names += ["dead", "dead_lost", "dead_expired", "revived", "set_aside"]
        return {name: self._counts[name] for name in names}

    async def close(self) -> None:
        """Write what waits and let go of the file. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        with self._change:
            self._ending = True
            self._change.notify()
        await asyncio.shield(self._closed)
        thread.join()

    async def _ask(self, question: Callable[[JournalFile, Counter[str]], _T]) -> _T:
        """The answer to ``question``, put to the file in its thread, once everything before it is written."""
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def step(file: JournalFile, counts: Counter[str]) -> Callable[[], None]:
            found = question(file, counts)
            return lambda: None if answer.done() else answer.set_result(found)

        def failed() -> None:
            if not answer.done():
                answer.set_exception(sqlite3.OperationalError(f"{self.path}: the journal cannot be written"))

        self._write(_Write(step, failed))
        return await answer

    def _write(self, write: _Write) -> None:
        with self._change:
            self._waiting.append(write)
            self._change.notify()

    # From here on: the thread.

    def _run(self, opened: asyncio.Future[list[Job]], closed: asyncio.Future[None]) -> None:
        try:
            self._serve(opened)
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            why = error
            self._tell(lambda: None if opened.done() else opened.set_exception(why))
        finally:
            self._tell(lambda: closed.set_result(None))

    def _serve(self, opened: asyncio.Future[list[Job]]) -> None:
        file = JournalFile(self.path, limit=self._limit, now=self._now)
        try:
            pending = file.pending()
            begun = Counter(replayed=len(pending), set_aside=int(file.set_aside is not None))
            self._tell(lambda: self._counts.update(begun))
            self._tell(lambda: None if opened.done() else opened.set_result(pending))
            while batch := self._next():
                self._commit(file, batch)
        finally:
            file.close()

    def _next(self) -> list[_Write]:
        """Everything that waits; empty at the end."""
        with self._change:
            while not self._waiting and not self._ending:
                self._change.wait()
            batch, self._waiting = self._waiting, []
        return batch

    def _commit(self, file: JournalFile, batch: list[_Write]) -> None:
        if self._committed(file, batch):
            return
        for write in batch:
            if not self._committed(file, [write]):
                self._tell(write.failed)

    def _committed(self, file: JournalFile, batch: list[_Write]) -> bool:
        then: list[Callable[[], None]] = []
        late = list(self._late)
        counts: Counter[str] = Counter(batches=1)
        expired = file.expired

        def steps() -> None:
            file.settle(late)
            then.extend(told for write in batch if (told := write.step(file, counts)) is not None)

        try:
            file.transaction(steps)
        except Exception as error:  # whatever it is, this thread has to go on
            if not self._down:
                self._down = True
                fault = not isinstance(error, sqlite3.Error)
                log.error("journal_unwritable", journal=str(self.path), error=str(error), exc_info=fault)  # noqa: TRY400
            return False
        del self._late[: len(late)]
        counts["dead_expired"] = file.expired - expired
        self._tell(lambda: self._done(counts, then))
        if self._down:
            self._down = False
            log.warning("journal_is_back", journal=str(self.path))
        return True

    def _done(self, counts: Counter[str], then: Sequence[Callable[[], None]]) -> None:
        self._counts.update(counts)
        for told in then:
            told()

    def _tell(self, what: Callable[[], object]) -> None:
        """Do ``what`` in the event loop, if there is one still."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what)
