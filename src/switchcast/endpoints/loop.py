"""An asyncio event loop that hands what arrives straight to the task that waits for it.

asyncio looks a ready descriptor up, queues a handle for it, and runs the handle in its next step. After an idle
millisecond all of that runs from cold caches, and takes longer than the datagram's way through the kernel. Here the
descriptors of receivers are looked at first, and their tasks go on at once; everything else goes the usual way.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["EventLoop", "run"]

_T = TypeVar("_T")


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop, and :meth:`watch` for descriptors that are served first."""

    def __init__(self) -> None:
        self._direct = _Selector()
        super().__init__(self._direct)

    def watch(self, fd: int, wake: Callable[[], object]) -> None:
        """Call ``wake`` whenever ``fd`` can be read, between two steps of the loop and outside of any task."""
        self._direct.watch(fd, wake)

    def unwatch(self, fd: int) -> None:
        """Call it no more; ``fd`` may be closed already."""
        self._direct.unwatch(fd)


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """``asyncio.run`` on a loop that hands events over with the least delay.

    Endpoints work in any event loop; in this one an event that comes after an idle moment reaches its coroutine sooner.
    """
    with asyncio.Runner(loop_factory=EventLoop, debug=debug) as runner:
        return runner.run(main)


class _Selector(selectors.EpollSelector):
    """The usual selector, as one descriptor among those that are served directly."""

    def __init__(self) -> None:
        super().__init__()
        self._usual = self.fileno()
        self._first = select.epoll()
        self._first.register(self._usual, select.EPOLLIN)
        self._wake_ups: dict[int, Callable[[], object]] = {}

    def watch(self, fd: int, wake: Callable[[], object]) -> None:
        self._first.register(fd, select.EPOLLIN)
        self._wake_ups[fd] = wake

    def unwatch(self, fd: int) -> None:
        if self._wake_ups.pop(fd, None) is not None:
            with contextlib.suppress(OSError):
                self._first.unregister(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # In whole milliseconds, rounded up, or the loop would spin until a timer is due.
        wait = -1.0 if timeout is None else math.ceil(max(timeout, 0) * 1e3) * 1e-3
        ready = self._first.poll(wait, len(self._wake_ups) + 1)
        usual = False
        for fd, _ in ready:
            wake = self._wake_ups.get(fd)
            if wake is not None:
                wake()
            elif fd == self._usual:  # and not one whose watch another wake-up has just ended
                usual = True
        return super().select(0) if usual else []

    def close(self) -> None:
        self._first.close()
        super().close()
