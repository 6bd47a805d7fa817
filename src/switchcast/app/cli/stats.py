"""``switchcast stats``: who sends how much of what, and what is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json as json_text
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from switchcast.app.cli.census import Census, Row
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.naming import EndpointConfig, endpoint_named
from switchcast.app.cli.options import Bindings, For, Source, Where, matcher_of, seconds
from switchcast.app.cli.render import family_style, printable, sender_style
from switchcast.app.cli.running import run, run_until
from switchcast.endpoints import Endpoint
from switchcast.wire.gap_record import is_gap

__all__ = ["stats"]

_LEAST_KINDS: Final = 4
_OWN_TIME: Final = frozenset({"file", "-", "archive", "sim"})
"""Sources whose seconds are those of their events, however fast these are read."""


def stats(
    source: Source,
    *,
    for_: For = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object at the end, or at each interval.")] = False,
    interval: Annotated[
        str | None,
        typer.Option("--interval", metavar="TIME", help="How often to refresh (or to print): 1s by default."),
    ] = None,
    bindings: Bindings = "all",
    where: Where = None,
    config: EndpointConfig = None,
) -> None:
    """Count events by sender and by kind.

    With rates, sizes, and what is known of losses.

    switchcast stats multicast://225.1.1.1:4242
    """
    limit, every = seconds(for_), seconds(interval, "--interval")
    endpoint = endpoint_named(source, config, matcher=matcher_of(bindings, where), role="source")
    run(
        _Stats(endpoint, json=json, every=every, complete=bindings.strip().lower() == "all" and where is None).run(
            limit
        )
    )


class _Stats:
    """Counts one source; shows a live table on a terminal, or prints at each interval, then a summary."""

    def __init__(self, endpoint: Endpoint, *, json: bool, every: float | None, complete: bool) -> None:
        self._endpoint = endpoint
        self._json = json
        self._every = every
        self._complete = complete
        self._census = Census()
        self._began = time.monotonic()
        self._own_time = endpoint.url.scheme in _OWN_TIME
        self._console = Console(highlight=False, markup=False, emoji=False)

    async def run(self, limit: float | None) -> int:
        async with self._endpoint:
            self._began = time.monotonic()
            showing = asyncio.create_task(self._show())
            try:
                code = await run_until(self._count(), limit=limit)
            finally:
                showing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await showing
            passed = self._passed()
        if self._json:
            self._print_json(passed)
        else:
            self._console.print(self._tables(passed, live=False))
        return code

    async def _count(self) -> None:
        async for batch in self._endpoint.batches():
            self._census.add([event for event in batch if not is_gap(event)] if self._endpoint.tells_gaps else batch)

    async def _show(self) -> None:
        """At each interval: a fresh table on a terminal, a line of JSON where that was asked for."""
        every = self._every or 1.0
        if self._json:
            while self._every is not None:
                await asyncio.sleep(every)
                self._print_json(self._passed())
        elif sys.stdout.isatty():
            with Live(console=self._console, auto_refresh=False, transient=True) as live:
                while True:
                    await asyncio.sleep(every)
                    self._census.take_rates(every)
                    live.update(self._tables(self._passed(), live=True), refresh=True)

    def _passed(self) -> float:
        """Seconds that what was counted took: by the clock, or from the first event of a recording to its last."""
        return self._census.span if self._own_time else time.monotonic() - self._began

    def _print_json(self, passed: float) -> None:
        report = dict(self._census.report(passed, self._endpoint.counters()))
        if streams := self._endpoint.streams():
            report["streams"] = streams
        print(json_text.dumps(report), flush=True)

    def _tables(self, passed: float, *, live: bool) -> Group:
        census, room = self._census, self._console.height - 8
        senders = _largest(census.senders, max(3, room // 3) if live else None)
        kinds = _largest(census.kinds, max(_LEAST_KINDS, room - len(senders)) if live else None)
        title = Text(f"{self._endpoint.url}  {passed:.0f} s", style="bold")
        by_sender = _table("sender", lost=self._complete)
        for name, row in senders:
            cells = _cells(row, row.rate if live else row.per_second(passed))
            lost = [f"{census.missing(name):,}"] if self._complete else []
            by_sender.add_row(Text(printable(name), style=sender_style(name)), *cells, *lost)
        by_kind = _table("event")
        for name, row in kinds:
            cells = _cells(row, row.rate if live else row.per_second(passed))
            by_kind.add_row(Text(printable(name), style=family_style(name)), *cells)
        parts: list[Text | Table] = [title, by_sender, by_kind]
        if streams := self._endpoint.streams():
            parts.insert(2, _streams(streams))
        if len(kinds) < len(census.kinds):
            parts.append(Text(f"and {len(census.kinds) - len(kinds)} more kinds", style="dim"))
        parts.append(self._footer(passed))
        return Group(*parts)

    def _footer(self, passed: float) -> Text:
        total = self._census.total
        text = f"{total.events:,} events, {total.bytes:,} bytes, {total.per_second(passed):,.1f}/s"
        if self._complete:
            missing = sum(run.missing for run in self._census.runs.values())
            text += f"; at most {missing:,} lost (unsent events count too)"
        lost = describe(losses(self._endpoint.counters()))
        return Text("; ".join([text, *lost]), style="yellow" if lost else "dim")


def _table(what: str, *, lost: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(what, min_width=20, no_wrap=True, overflow="ellipsis")
    for name in ("events", "per s", "bytes", "mean", "largest", *(["lost ≤"] if lost else [])):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _streams(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Of each stream that counts its events: exact figures, where those of stock senders are upper bounds."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("stream of", min_width=20, no_wrap=True, overflow="ellipsis")
    for name in ("delivered", "repaired", "missing", "rejected", "waiting", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        figures = [f"{row[name]:,}" for name in ("delivered", "repaired", "gaps", "rejected", "waiting")]
        state = "ended" if row["ended"] else "silent" if row["silent"] else ""
        sender = printable(row["sender"])
        table.add_row(Text(sender, style=sender_style(row["sender"])), *figures, Text(state, style="dim"))
    return table


def _cells(row: Row, rate: float) -> list[str]:
    return [f"{row.events:,}", f"{rate:,.1f}", f"{row.bytes:,}", f"{row.mean:,.0f}", f"{row.largest:,}"]


def _largest(rows: Mapping[str, Row], most: int | None) -> list[tuple[str, Row]]:
    """The ``most`` busiest rows."""
    return sorted(rows.items(), key=lambda item: (-item[1].events, item[0]))[:most]
