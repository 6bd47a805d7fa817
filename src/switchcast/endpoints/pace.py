"""The pace at which events that were recorded are given again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from switchcast._native import Event
from switchcast.wire.times import event_time

__all__ = ["FASTEST", "Pace", "pause"]

FASTEST: Final = 1_000_000.0
"""The largest factor that ``speed`` takes; whoever wants more wants 0."""


class Pace:
    """When each event is due, at ``speed`` times the pace that it was recorded with; 0 for no pace at all."""

    def __init__(self, speed: float, clock: Callable[[], float]) -> None:
        self._speed = speed
        self._clock = clock
        self._origin: tuple[float, int] | None = None

    def delay(self, event: Event) -> float:
        """Seconds until ``event`` is due; 0 or less when it is."""
        time_ns = event_time(event)
        if time_ns is None:
            return 0.0
        now = self._clock()
        if self._origin is None:
            self._origin = (now, time_ns)
        begun, first_ns = self._origin
        return begun + (time_ns - first_ns) / 1e9 / self._speed - now

    def count_due(self, events: Sequence[Event]) -> int:
        """How many of ``events``, from the first on, are due."""
        if not self._speed:
            return len(events)
        return next((index for index, event in enumerate(events) if self.delay(event) > 0), len(events))


async def pause(
    seconds: float, stopped: asyncio.Event, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
) -> None:
    """Sleep, but no longer than until ``stopped``."""
    tasks = [asyncio.ensure_future(sleep(seconds)), asyncio.ensure_future(stopped.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
