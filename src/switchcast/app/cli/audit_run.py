"""Listening for the audit: a source is read to its end, the limit, a signal, or until enough has been seen.

Events are audited as they come and, where a policy is tried, what it leaves of them a second time, in the same pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from switchcast._native import Event
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.render import error_console
from switchcast.app.cli.running import run_until
from switchcast.app.reports.audit_report import RECORDED, Ended
from switchcast.app.reports.audit_words import how_many, length_of
from switchcast.endpoints import Endpoint
from switchcast.guard.audit.inventory import COVERED_COVERAGE, COVERED_EVENTS, Audit
from switchcast.wire.gap_record import is_gap

__all__ = ["Hearing", "Limits"]

_REFRESH_SECONDS: Final = 0.25
_CHECK_SECONDS: Final = 0.5
"""How often it is asked whether enough has been seen: the answer costs a look at everything."""
_SILENCE_SECONDS: Final = 10.0
_BAR: Final = 12

Redact = Callable[[Sequence[Event]], list[Event]]


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: after ``seconds``, after ``events``, or once it is ``covered`` what the source sends."""

    seconds: float | None = None
    events: int | None = None
    covered: bool = False


class Hearing:
    """Reads one source into the audit, and through ``redact`` into the audit of what a policy leaves.

    Afterwards ``ended`` and ``seconds`` say why it stopped and how long it was: of a recording, what its events span.
    """

    def __init__(self, endpoint: Endpoint, audit: Audit, limits: Limits, under: tuple[Redact, Audit] | None) -> None:
        self._endpoint = endpoint
        self._audit = audit
        self._limits = limits
        self._under = under
        self._began = time.monotonic()
        self._first: int | None = None
        self._last: int | None = None
        self._next_check = 0.0
        self.ended: Ended = "time"
        self.seconds = 0.0
        self.lost: tuple[str, ...] = ()
        self.opened: Callable[[], None] = lambda: None

    async def run(self) -> int:
        """Listen; the exit code that a signal means, or 0."""
        async with self._endpoint:
            self._began = time.monotonic()
            self.opened()
            async with self._progress():
                code = await run_until(self._hear(), limit=self._limits.seconds)
            if code:
                self.ended = "signal"
            self.seconds = self._passed()
            self.lost = tuple(describe(losses(self._endpoint.counters())))
        return code

    async def _hear(self) -> None:
        async for received in self._endpoint.batches():
            events = [event for event in received if not is_gap(event)] if self._endpoint.tells_gaps else received
            if self._limits.events is not None:
                events = events[: self._limits.events - self._audit.events]
            self._take(events)
            if self._limits.events is not None and self._audit.events >= self._limits.events:
                self.ended = "count"
                return
            if self._limits.covered and self._is_covered():
                self.ended = "covered"
                return
        self.ended = "source"

    def _take(self, events: list[Event]) -> None:
        if not events:
            return
        self._audit.add(events)
        self._first = events[0].received if self._first is None else self._first
        self._last = events[-1].received or self._last
        if self._under is not None:
            redact, audit = self._under
            audit.add(redact(events))

    def _is_covered(self) -> bool:
        now = time.monotonic()
        if self._audit.events < COVERED_EVENTS or (
            now < self._next_check and self._endpoint.url.scheme not in RECORDED
        ):
            return False
        self._next_check = now + _CHECK_SECONDS
        return self._audit.covered

    def _passed(self) -> float:
        if self._endpoint.url.scheme in RECORDED and self._first is not None and self._last is not None:
            return max(0.0, (self._last - self._first) / 1e9)
        return time.monotonic() - self._began

    @contextlib.asynccontextmanager
    async def _progress(self) -> AsyncIterator[None]:
        """A line on standard error that moves while this runs, where that is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        showing = asyncio.create_task(self._show(error_console()))
        try:
            yield
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing

    async def _show(self, console: Console) -> None:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(_REFRESH_SECONDS)
                live.update(self._line(), refresh=True)

    def _line(self) -> Text:
        """``12 s  1,877 events  98.3% covered  ━━━━━━━━───``"""
        passed, events = time.monotonic() - self._began, self._audit.events
        text = Text(f"{length_of(passed) if passed >= 1 else '0 s'}  ", no_wrap=True, overflow="ellipsis")
        if not events:
            text.append("nothing heard yet", "yellow" if passed > _SILENCE_SECONDS else "dim")
        else:
            text.append(how_many(events, "event"), "bold")
            text.append(f"  {self._audit.coverage():.1%} covered  ")
            whole = round(_BAR * self._share())
            text.append("━" * whole, "green").append("─" * (_BAR - whole), "dim")
        return text.append("  Ctrl-C ends it with the report", "dim")

    def _share(self) -> float:
        """How far along, by whichever limit is nearest; by coverage where there is none."""
        passed, events, limits = time.monotonic() - self._began, self._audit.events, self._limits
        shares = [passed / limits.seconds] if limits.seconds else []
        shares += [events / limits.events] if limits.events else []
        if limits.covered or not shares:
            shares.append(min(events / COVERED_EVENTS, self._audit.coverage() / COVERED_COVERAGE))
        return min(1.0, max(shares))
