"""Work that takes a while, beside the event loop: a few threads, and whoever finds them all busy is told so.

A thread cannot be stopped. So one that works on although nobody waits for it any more keeps its place until it is done,
and no number of impatient clients makes more of them; and what may have no end asks ``Deadline`` how long it has had.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from switchcast.app.api.problems import Problem

__all__ = ["LOOK_SECONDS", "THREADS", "Aside", "Deadline"]

THREADS: Final = 2
LOOK_SECONDS: Final = 15.0
"""For one question to an archive: half of what an answer may take, so that a thread ends before its client has gone."""
_END_SECONDS: Final = 1.0

T = TypeVar("T")


class Deadline:
    """When something that has begun now has gone on for too long."""

    def __init__(self) -> None:
        self._end = time.monotonic() + LOOK_SECONDS

    @property
    def passed(self) -> bool:
        """Whether that is now."""
        return time.monotonic() >= self._end


class Aside:
    """The threads, which begin with the first work. ``waiting`` may wait in turn for one, with ``None`` any number."""

    def __init__(self, threads: int = THREADS, waiting: int | None = 0) -> None:
        self._threads = ThreadPoolExecutor(threads, "api")
        self._number = threads
        self._most = None if waiting is None else threads + waiting
        self._work: set[asyncio.Future[Any]] = set()

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives. Raises ``Problem`` where all threads are busy, and as many wait as may."""
        if self._most is not None and len(self._work) >= self._most:
            raise Problem(503, f"{self._number} others look things up", "ask again later", headers={"Retry-After": "2"})
        task = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._work.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for what is under way, at most a second."""
        if self._work:
            await asyncio.wait(self._work, timeout=_END_SECONDS)

    def close(self) -> None:
        """End the threads; one that works on is not waited for."""
        self._threads.shutdown(wait=not self._work, cancel_futures=True)

    def _done(self, task: asyncio.Future[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may be gone
