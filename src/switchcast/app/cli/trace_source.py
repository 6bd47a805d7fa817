"""What ``switchcast trace`` listens to: a source that is read to its end, or heard for a while."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Final

from rich.live import Live
from rich.text import Text

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.render import error_console, how_many
from switchcast.app.cli.running import run_until
from switchcast.archive.trace.sources import Collected
from switchcast.endpoints import Endpoint

__all__ = ["Listening"]

_REFRESH: Final = 0.25
_ENDLESS: Final = frozenset({"multicast", "udp", "esl"})
"""Sources that go on until they are told to stop."""


class Listening:
    """Collects from one source. Afterwards ``lost`` says in words what the source itself could not take in."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._began = time.monotonic()
        self.collected = Collected()
        self.lost: tuple[str, ...] = ()

    async def run(self, limit: float | None) -> int:
        """Listen to the end, for ``limit`` seconds, or until a signal; Ctrl-C ends it with what has come."""
        async with self._endpoint, self._progress(limit):
            self._began = time.monotonic()
            code = await run_until(self._hear(), limit=limit)
            self.lost = tuple(describe(losses(self._endpoint.counters())))
        return code

    async def _hear(self) -> None:
        async for events in self._endpoint.batches():
            now = time.time_ns()
            self.collected.take(
                event if event.received is not None else event.with_origin(event.source, now) for event in events
            )

    @contextlib.asynccontextmanager
    async def _progress(self, limit: float | None) -> AsyncIterator[None]:
        """A line on standard error that moves while this listens, where that is a terminal."""
        if not sys.stderr.isatty() or self._endpoint.url.scheme not in _ENDLESS | {"sim"}:
            yield
            return
        showing = asyncio.create_task(self._show(limit))
        try:
            yield
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing

    async def _show(self, limit: float | None) -> None:
        with Live(console=error_console(), auto_refresh=False, transient=True) as live:
            while True:
                passed = time.monotonic() - self._began
                left = f", {short_duration(limit - passed)} left" if limit is not None else ""
                heard = f"{how_many(self.collected.taken)}, {len(self.collected):,} of calls"
                live.update(Text(f"listening{left}  {heard}  Ctrl-C ends it with the trace", "dim"), refresh=True)
                await asyncio.sleep(_REFRESH)
