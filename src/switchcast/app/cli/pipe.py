"""``switchcast pipe``: move events from a source to one or more sinks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from switchcast._native import Event
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.naming import EndpointConfig, endpoint_named
from switchcast.app.cli.options import Bindings, Count, For, Source, Where, matcher_of, seconds
from switchcast.app.cli.render import error_console, how_many
from switchcast.app.cli.running import BROKEN_PIPE, close_quietly, run, run_until
from switchcast.bus import OVERFLOWS, Overflow
from switchcast.endpoints import Endpoint
from switchcast.errors import UsageError
from switchcast.line.plan import Source as RouteSource
from switchcast.line.sinks import Outlet
from switchcast.node import Node, Policy, Route, Sink, unchanged

__all__ = ["FirstEvents", "pipe"]

_WAITING_SCHEMES: Final = frozenset({"file", "-", "archive", "sim"})
"""Sources that lose nothing when they are held up."""


def pipe(
    source: Source,
    sinks: Annotated[
        list[str],
        typer.Argument(
            metavar="SINK", help="Where they go: multicast://, udp://, esl://, file:, archive:, -, or names."
        ),
    ],
    *,
    bindings: Bindings = "all",
    where: Where = None,
    count: Count = None,
    for_: For = None,
    overflow: Annotated[
        str | None,
        typer.Option(
            "--overflow",
            metavar="CHOICE",
            help="When a sink is too slow: block, drop-oldest or drop-newest. By default block if the source can "
            "wait (file:, -, archive:, sim:), drop-oldest if it is live.",
        ),
    ] = None,
    config: EndpointConfig = None,
) -> None:
    """Move events from a source to one or more sinks.

    switchcast pipe multicast://225.1.1.1:4242 file:events.jsonl.zst
    """
    limit = seconds(for_)
    come_from = endpoint_named(source, config, matcher=matcher_of(bindings, where), role="source")
    chosen = _overflow(overflow, come_from)
    go_to = [Sink(endpoint_named(sink, config, role="sink"), overflow=chosen) for sink in sinks]
    if [sink.name for sink in go_to].count("-") > 1:
        raise UsageError("there is only one standard output; give - once")
    run(_Pipe(come_from, go_to, count).run(limit))


def _overflow(text: str | None, source: Endpoint) -> Overflow:
    if text is None:
        return "block" if source.url.scheme in _WAITING_SCHEMES else "drop-oldest"
    for choice in OVERFLOWS:
        if choice == text:
            return choice
    raise UsageError(f"--overflow {text!r} is none of {', '.join(OVERFLOWS)}")


class FirstEvents:
    """The policy that lets the first ``count`` events pass, and then says that it is enough."""

    def __init__(self, count: int, enough: Callable[[], None]) -> None:
        self._left = count
        self._enough = enough

    def __call__(self, events: list[Event]) -> list[Event]:
        passing = events[: self._left]
        self._left -= len(passing)
        if not self._left:
            self._enough()
        return passing


class _Pipe:
    """One route, with a display while it runs and a summary when it has run."""

    def __init__(self, source: Endpoint, sinks: list[Sink], count: int | None) -> None:
        self._source = source
        self._count = count
        policy: Policy = unchanged if count is None else FirstEvents(count, self._enough)
        self._node = Node([Route(RouteSource(source), sinks, policy=policy)])
        self._began = time.monotonic()
        self._console = error_console()

    async def run(self, limit: float | None) -> int:
        try:
            showing = asyncio.create_task(self._show()) if sys.stderr.isatty() else None
            try:
                code = await run_until(self._node.run(), limit=limit, halt=self._node.stop)
            finally:
                if showing is not None:
                    showing.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await showing
        finally:
            if self._node.ready.is_set():
                self._sum_up()
        if any(outlet.reader_gone for outlet in self._node.outlets.values()):
            close_quietly()
            return code or BROKEN_PIPE
        return code or int(any(outlet.failed for outlet in self._node.outlets.values()))

    @property
    def _received(self) -> int:
        return sum(feed.received for feed in self._node.feeds.values())

    def _enough(self) -> None:
        self._node.stop()

    async def _show(self) -> None:
        """A bar where the source has an end, a rate where it has none."""
        progress: Callable[[], tuple[int, int | None]] = getattr(self._source, "progress", lambda: (0, None))
        columns: tuple[ProgressColumn, ...] = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            _Rate(Column(no_wrap=True)),
        )
        if self._source.url.scheme == "file":
            columns = (
                TextColumn("{task.description}"),
                BarColumn(20),
                TextColumn("{task.percentage:>3.0f}%"),
                _Rate(Column(no_wrap=True)),
            )
            columns = (*columns, TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True, refresh_per_second=8) as bar:
            task = bar.add_task(str(self._source.url), total=None, events=0)
            while True:
                done, total = progress()
                bar.update(task, completed=done, total=total, events=self._received)
                await asyncio.sleep(0.125)

    def _sum_up(self) -> None:
        passed = max(time.monotonic() - self._began, 1e-6)
        received = self._received if self._count is None else min(self._received, self._count)
        lines = [f"{how_many(received)} from {self._source.url} in {passed:.1f} s ({received / passed:,.0f}/s)"]
        lines += [f"  {phrase}" for phrase in describe(losses(self._source.counters()))]
        for outlet in self._node.outlets.values():
            lines.append(f"{outlet.sent:,} to {outlet.name}")
            lines += [f"  {phrase}" for phrase in describe(_lost_at(outlet))]
            if outlet.failed is not None and not outlet.reader_gone:
                lines.append(f"  failed: {outlet.failed}")
        for line in lines:
            self._console.print(Text(line, style="dim" if not line.startswith("  ") else "yellow"))


def _lost_at(outlet: Outlet) -> dict[str, int]:
    """What did not get out of this sink, by reason."""
    counters: dict[str, int] = losses(outlet.counters())
    for name, lost in losses(outlet.endpoint.counters()).items():
        counters[name] = max(counters.get(name, 0), lost)
    if outlet.guarded:
        counters["guarded"] = outlet.guarded
    return counters


class _Rate(ProgressColumn):
    """Events so far and how many a second, over the whole run."""

    def render(self, task: Task) -> Text:
        events: Any = task.fields["events"]
        return Text(f"{events:,} events  {events / max(task.elapsed or 0.0, 0.001):,.0f}/s")
