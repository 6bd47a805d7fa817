"""Work that takes a while, beside the event loop: a few threads, and whoever finds them all busy is told so.

A thread cannot be stopped. So one that works on although nobody waits for it any more keeps its place until it is done,
and no number of impatient clients makes more of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from switchcast.app.api.problems import Problem

__all__ = ["THREADS", "Aside"]

THREADS: Final = 2

T = TypeVar("T")


class Aside:
    """The threads, which begin with the first work."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "api")
        self._busy = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What ``work`` gives. Raises ``Problem`` where all threads are busy."""
        if self._busy >= THREADS:
            raise Problem(503, f"{THREADS} others look things up", "ask again later", headers={"Retry-After": "2"})
        self._busy += 1
        task = asyncio.get_running_loop().run_in_executor(self._threads, work)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def close(self) -> None:
        """End the threads; one that works on is not waited for."""
        self._threads.shutdown(wait=not self._busy, cancel_futures=True)

    def _done(self, task: asyncio.Future[T]) -> None:
        self._busy -= 1
        if not task.cancelled():
            task.exception()  # whoever asked may be gone
