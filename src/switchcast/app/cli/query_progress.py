"""The line that moves while an archive is read: how far, how many events, and how long it still takes.

::

    ━━━━━━━━────  63%  1,204,224 events read, 17 found, 4 s left

It is shown where standard error is a terminal, once reading has taken a while.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from rich.live import Live
from rich.text import Text

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.render import error_console, how_many
from switchcast.archive.query import Search

__all__ = ["Progress", "line"]

_PATIENCE: Final = 0.5
_EVERY: Final = 0.1
_BAR: Final = 12
_TELLING: Final = 0.02
"""The share from which on it can be said how long the rest will take."""


class Progress:
    """Shows how far ``search()`` is; ``step`` is called at each block, and costs next to nothing most times."""

    def __init__(self, search: Callable[[], Search], clock: Callable[[], float] = time.monotonic) -> None:
        self._search = search
        self._clock = clock
        self._began = clock()
        self._due = self._began + _PATIENCE
        self._live: Live | None = None
        self._closed = not sys.stderr.isatty()

    def step(self) -> None:
        """A block has been read."""
        if self._closed or (now := self._clock()) < self._due:
            return
        self._due = now + _EVERY
        if self._live is None:
            self._live = Live(console=error_console(), auto_refresh=False, transient=True)
            self._live.start()
        search = self._search()
        self._live.update(line(search.share(), search.read, search.found, now - self._began), refresh=True)

    def close(self) -> None:
        """Show it no longer."""
        self._closed = True
        live, self._live = self._live, None
        if live is not None:
            live.stop()


def line(share: float, read: int, found: int, passed: float) -> Text:
    """How far: ``share`` from 0 to 1, and ``passed`` seconds so far."""
    whole = round(_BAR * share)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("━" * whole, "green").append("─" * (_BAR - whole), "dim")
    text.append(f" {share:4.0%}", "bold")
    text.append(f"  {how_many(read)} read, {found:,} found")
    if share >= _TELLING:
        text.append(f", {short_duration(passed / share - passed + 0.5)} left", "dim")
    return text
