"""Waiting for a native descriptor inside asyncio, at the lowest cost that the event loop allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from switchcast.endpoints.loop import EventLoop

__all__ = ["Watch"]


class Watch:
    """Waits until a descriptor can be read, and stays registered with the event loop from one wait to the next.

    To register and to leave again costs more than to receive an event. So the loop goes on to look, and only when
    nobody waits although there is something to read does the watch leave.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiters: list[_Waiter] = []
        self._registered = False

    def readable(self) -> asyncio.Future[None]:
        """A future that is done once the descriptor can be read, or the watch has ended."""
        waiter = _Waiter(loop=self._loop)
        self._waiters.append(waiter)
        if not self._registered:
            if isinstance(self._loop, EventLoop):
                self._loop.watch(self._fd, self._wake)
            else:
                self._loop.add_reader(self._fd, self._wake)
            self._registered = True
        return waiter

    def end(self) -> None:
        """Look no more, and let everyone go who waits."""
        if self._registered:
            if isinstance(self._loop, EventLoop):
                self._loop.unwatch(self._fd)
            else:
                self._loop.remove_reader(self._fd)
            self._registered = False
        for waiter in self._take():
            waiter.release()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.resume()
        if not waiters:
            self.end()

    def _take(self) -> list[_Waiter]:
        """Those who wait now: one that is resumed may be back before the next has been."""
        waiters, self._waiters = self._waiters, []
        return waiters


class _Waiter(asyncio.Future[None]):
    """A future that can resume its task at once, and not in the event loop's next round.

    That round costs more than all the rest of receiving an event. The wake-ups are kept here and not with the base
    class, which would schedule them.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._wake_ups: list[tuple[Callable[[Any], object], Context]] = []

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        self._wake_ups.append((fn, copy_context() if context is None else context))

    def resume(self) -> None:
        """Run whoever waits, now. To be called by the event loop itself, while no task runs."""
        if not self.done():
            self.set_result(None)
            for wake_up, context in self._wake_ups:
                context.run(wake_up, self)

    def release(self) -> None:
        """Let whoever waits run in the event loop's next round."""
        if not self.done():
            self.set_result(None)
            self._schedule()

    def cancel(self, msg: Any | None = None) -> bool:
        cancelled = super().cancel(msg=msg)
        if cancelled:
            self._schedule()
        return cancelled

    def _schedule(self) -> None:
        for wake_up, context in self._wake_ups:
            self.get_loop().call_soon(wake_up, self, context=context)
