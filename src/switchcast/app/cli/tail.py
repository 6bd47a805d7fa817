"""``switchcast tail``: show events as they come."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from switchcast._native import Event
from switchcast.app.cli.encoding import SPELLED
from switchcast.app.cli.losses import Losses, count_of, describe, losses
from switchcast.app.cli.naming import EndpointConfig, endpoint_named
from switchcast.app.cli.options import Bindings, Count, For, Source, Where, matcher_of, seconds, warn
from switchcast.app.cli.render import EventLines, as_headers, error_console, how_many, printable
from switchcast.app.cli.running import run, run_until
from switchcast.endpoints import Endpoint
from switchcast.errors import UsageError
from switchcast.wire.lines import to_line

__all__ = ["Tail", "tail"]

_SILENCE: Final = 10.0
_MOST_KNOWN: Final = 2000
"""Names of headers that are remembered, to find the one that was meant."""
_GROUP_SCHEMES: Final = frozenset({"multicast", "udp"})


def tail(
    source: Source,
    *,
    plain: Annotated[bool, typer.Option("--plain", help="Whole events as text: headers, then the body.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Whole events as JSON, one a line.")] = False,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="Only these headers, tab-separated, one event a line.")
    ] = None,
    bindings: Bindings = "all",
    where: Where = None,
    count: Count = None,
    for_: For = None,
    config: EndpointConfig = None,
) -> None:
    """Show events as they come, one a line.

    switchcast tail multicast://225.1.1.1:4242
    """
    if plain + json + (fields is not None) > 1:
        raise UsageError("--plain, --json and --fields exclude one another; keep one of them")
    endpoint = endpoint_named(source, config, matcher=matcher_of(bindings, where), role="source")
    write = _writer(plain, json, fields)
    view = Tail(endpoint, write, count, notices_on_screen=not json)
    try:
        run(view.run(seconds(for_)))
    finally:
        if isinstance(write, _FieldsWriter):
            write.tell_of_absent()


def _writer(plain: bool, json: bool, fields: str | None) -> Callable[[Sequence[Event]], None]:
    """What writes a batch in the form that was asked for."""
    if json:
        return _Writer(lambda event: f"{to_line(event)}\n")
    if plain:
        return _Writer(as_headers)
    if fields is not None:
        names = [name.strip() for name in fields.split(",") if name.strip()]
        if not names:
            raise UsageError("--fields names no header; write --fields Event-Name,Core-UUID")
        return _FieldsWriter(names)
    if sys.stdout.isatty():
        return _ColourWriter()
    lines = EventLines()
    return _Writer(lambda event: f"{lines.plain(event)}\n")


class _Writer:
    """Each event as text; flushed once a batch."""

    def __init__(self, text_of: Callable[[Event], str]) -> None:
        self._text_of = text_of
        self._encoding = sys.stdout.encoding or "utf-8"

    def __call__(self, events: Sequence[Event]) -> None:
        text = "".join(map(self._text_of, events))
        sys.stdout.buffer.write(text.encode(self._encoding, SPELLED))
        sys.stdout.buffer.flush()


class _FieldsWriter(_Writer):
    """The values of some headers, an event a line; empty where an event has none of that name."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(self._line)
        self._names = names
        self._absent = dict.fromkeys(names)
        self._known: dict[str, None] = {}

    def _line(self, event: Event) -> str:
        values = [event.get(name) for name in self._names]
        if self._absent and len(self._known) < _MOST_KNOWN:
            self._known |= dict.fromkeys(event)
        for name, value in zip(self._names, values, strict=True):
            if value is not None:
                self._absent.pop(name, None)
        return "\t".join(printable(value or "") for value in values) + "\n"

    def tell_of_absent(self) -> None:
        """Warn of names that no event had, where there were events."""
        known = {name.lower(): name for name in self._known}
        for name in self._absent if known else ():
            near = difflib.get_close_matches(name.lower(), known, n=1)
            warn(f"no event had a header {name}" + (f"; did you mean {known[near[0]]}?" if near else ""))


class _ColourWriter:
    """One coloured line an event, on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._lines = EventLines()

    def __call__(self, events: Sequence[Event]) -> None:
        width = self._console.width
        self._console.print(Text("\n").join(self._lines.styled(event, width) for event in events), no_wrap=True)


class Tail:
    """Follows one source: writes what comes, tells of what was lost, and sums up."""

    def __init__(
        self,
        endpoint: Endpoint,
        write: Callable[[Sequence[Event]], None],
        count: int | None = None,
        *,
        notices_on_screen: bool = True,
    ) -> None:
        self._endpoint = endpoint
        self._write = write
        self._left = count
        self._received = 0
        self._lost = Losses()
        self._began = time.monotonic()
        self._errors = error_console()
        self._watched = notices_on_screen and sys.stdout.isatty() and endpoint.url.scheme in _GROUP_SCHEMES

    async def run(self, limit: float | None) -> int:
        """Follow the source to its end, the count, the limit or a signal; gives the exit code."""
        async with self._endpoint:
            self._began = time.monotonic()
            try:
                return await run_until(self._follow(), limit=limit)
            finally:
                self._sum_up()

    async def _follow(self) -> None:
        watching = asyncio.create_task(self._watch())
        try:
            async for received in self._endpoint.batches():
                batch = received if self._left is None else received[: self._left]
                self._received += len(batch)
                self._write(batch)
                if self._left is not None:
                    self._left -= len(batch)
                    if not self._left:
                        return
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        """Tell of losses within a second, and of a silence once."""
        while True:
            await asyncio.sleep(1.0)
            fresh = self._lost.since(self._endpoint.counters())
            if fresh:
                self._notice(f"── {'; '.join(describe(fresh))} ──", "bold yellow")
            if self._watched and self._received:
                self._watched = False
            elif self._watched and time.monotonic() - self._began > _SILENCE:
                self._watched = False
                self._notice(
                    f"nothing heard yet on {self._endpoint.url}: is the sender's loopback on if it runs on this host, "
                    "and is the group joined on the right interface (?interface=eth0)?",
                    "yellow",
                )

    def _notice(self, text: str, style: str) -> None:
        self._errors.print(Text(text, style=style))

    def _sum_up(self) -> None:
        passed = max(time.monotonic() - self._began, 1e-6)
        counters = self._endpoint.counters()
        text = f"{how_many(self._received)} in {passed:.1f} s ({self._received / passed:,.1f}/s)"
        others = count_of(counters, "unmatched")
        if others:
            text += f", {others:,} others not asked for"
        self._notice("; ".join([text, *describe(losses(counters))]), "dim")
