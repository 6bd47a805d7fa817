"""The five subcommands: what is asked for, whom to ask, and how it is to be shown."""

from __future__ import annotations

import asyncio
import contextlib
import json as json_text
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from switchcast.app.cli.asking import Socket, output_console, show, to_a_reader
from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.naming import EndpointConfig
from switchcast.app.cli.options import seconds
from switchcast.app.cli.running import run, run_until
from switchcast.app.cli.views.calls import CALLS
from switchcast.app.cli.views.fetching import MOST_WATCHED, fetch
from switchcast.app.cli.views.kinds import ViewKind
from switchcast.app.cli.views.listening import Change, Listening, listening_to
from switchcast.app.cli.views.people import MAILBOXES, PRESENCE, REGISTRATIONS
from switchcast.app.cli.views.showing import Choice, Seen, as_object, table
from switchcast.app.cli.views.switches import NODES
from switchcast.app.cli.views.table import plain, styled
from switchcast.app.cli.views.watching import Board, Printer, Screen
from switchcast.app.control import DEFAULT_SOCKET
from switchcast.errors import EndpointUnavailable, NoNode, SwitchcastError, UrlError, UsageError

__all__ = ["calls", "mailboxes", "nodes", "presence", "registrations"]

STOCK_GROUP: Final = "multicast://225.1.1.1:4242"
"""Where FreeSWITCH's sample configuration sends."""
_EVERY: Final = 2.0
_REFRESH: Final = 0.5

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="Listen here instead of asking the running node: multicast://, file:, ..., or an endpoint of the "
        "configuration by name; an esl:// switch is asked at once. Without a node multicast://225.1.1.1:4242, as in "
        "FreeSWITCH's sample configuration.",
    ),
]
For = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="TIME",
        help="How long to listen: 25s by default, a recording to its end, an esl:// switch until it has answered. "
        "In a recording it is the recording's time.",
    ),
]
Match = Annotated[str, typer.Option("--match", metavar="TEXT", help="Only rows that hold this text, in any case.")]
OfNode = Annotated[str, typer.Option("--node", metavar="NAME", help="Only rows of this node.")]
Sort = Annotated[str, typer.Option("--sort", metavar="COLUMN", help="By this column; -COLUMN: the other way round.")]
Watched = Annotated[
    bool, typer.Option("--watch", help="Keep it up to date until Ctrl-C; where the output is no terminal, each change.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object; with --watch one for each change.")]
Interval = Annotated[
    str | None, typer.Option("--interval", metavar="TIME", help="How often --watch asks the node: 2s by default.")
]


@dataclass(frozen=True, slots=True)
class _Wish:
    """All that a command line can ask for, beside the view itself."""

    source: str | None
    for_: str | None
    watch: bool
    json: bool
    interval: str | None
    config: Path | None
    socket: str


def _command(kind: ViewKind, name: str, help_text: str) -> Callable[..., None]:
    """The subcommand that shows one kind of rows: the same for each but for ``calls``, which has an option more."""

    def command(
        source: Source = None,
        *,
        for_: For = None,
        match: Match = "",
        node: OfNode = "",
        sort: Sort = "",
        watch: Watched = False,
        interval: Interval = None,
        json: Json = False,
        config: EndpointConfig = None,
        socket: Socket = DEFAULT_SOCKET,
    ) -> None:
        _show_view(Choice(kind, match, node, sort), _Wish(source, for_, watch, json, interval, config, socket))

    command.__name__, command.__doc__ = name, help_text
    return command


nodes = _command(NODES, "nodes", "Show the switches: up or down, how long, how busy.\n\nswitchcast nodes")
registrations = _command(
    REGISTRATIONS,
    "registrations",
    "Show who is registered, where, and until when.\n\nswitchcast registrations --match 1000@",
)
presence = _command(
    PRESENCE,
    "presence",
    "Show how users say they are, and who is on the telephone.\n\nswitchcast presence --watch",
)
mailboxes = _command(
    MAILBOXES, "mailboxes", "Show which mailboxes have messages, and whose lamp is lit.\n\nswitchcast mailboxes"
)


def calls(
    source: Source = None,
    *,
    legs: Annotated[bool, typer.Option("--legs", help="Each leg of a call on a line of its own.")] = False,
    for_: For = None,
    match: Match = "",
    node: OfNode = "",
    sort: Sort = "",
    watch: Watched = False,
    interval: Interval = None,
    json: Json = False,
    config: EndpointConfig = None,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show which calls are up, who speaks with whom, and where.

    switchcast calls --legs
    """
    _show_view(Choice(CALLS, match, node, sort, legs), _Wish(source, for_, watch, json, interval, config, socket))


def _show_view(choice: Choice, wish: _Wish) -> None:
    every = seconds(wish.interval, "--interval")
    if every is not None and not wish.watch:
        raise UsageError("--interval is how often --watch asks, and that is not given")
    limit, source = seconds(wish.for_), wish.source
    if source is None:
        try:
            with to_a_reader():
                _from_node(choice, wish, limit, every or _EVERY)
        except NoNode as error:
            print(f"switchcast: {error}; listening to {STOCK_GROUP} meanwhile", file=sys.stderr)
            source = STOCK_GROUP
        else:
            return
    try:
        listening = listening_to(source, choice, wish.config)
    except UrlError as error:
        if ":" in source:
            raise
        raise UrlError(f"{error}; for the {choice.kind.nouns} that hold it --match {shlex.quote(source)}") from None
    run(_Following(listening, choice, wish).run(limit))


def _from_node(choice: Choice, wish: _Wish, limit: float | None, every: float) -> None:
    seen = fetch(wish.socket, choice, MOST_WATCHED if wish.watch else None)
    if limit is not None:
        raise UsageError("--for is how long to listen where no node runs, and one does; leave it out")
    if not wish.watch:
        _print(choice, seen, json=wish.json)
    elif wish.json or not output_console().is_terminal:
        _print_changes(choice, wish, seen, every)
    else:
        _redraw(choice, wish, seen, every)


def _print_changes(choice: Choice, wish: _Wish, seen: Seen, every: float) -> None:
    board, printer = Board(choice), Printer(choice, as_json=wish.json)
    while True:
        printer.tell(board.whole(seen.rows, seen.wall), seen.wall)
        time.sleep(every)
        seen = _fetched_again(choice, wish)


def _redraw(choice: Choice, wish: _Wish, seen: Seen, every: float) -> None:
    """Until Ctrl-C; a node that is gone is waited for."""
    board = Board(choice)
    with Screen(choice) as screen:
        while True:
            screen.mark(board.whole(seen.rows, seen.wall), time.monotonic())
            screen.draw(seen, time.monotonic())
            time.sleep(every)
            try:
                seen = fetch(wish.socket, choice, MOST_WATCHED)
            except SwitchcastError as error:
                screen.say(str(error))


def _fetched_again(choice: Choice, wish: _Wish) -> Seen:
    """What the node knows by now. One that has gone meanwhile is no reason to listen to another source."""
    try:
        return fetch(wish.socket, choice, MOST_WATCHED)
    except NoNode as error:
        raise EndpointUnavailable(str(error)) from None


def _print(choice: Choice, seen: Seen, *, json: bool) -> None:
    if json:
        print(json_text.dumps(as_object(choice, seen)))
        return
    console = output_console()
    lines = table(choice, seen, console.width)
    if console.color_system is None or console.no_color:
        print("\n".join(map(plain, lines)))  # a hundred thousand rows are as many lines, and no time is to be lost
    else:
        show(console, Group(*map(styled, lines)))


class _Following:
    """Listens to a source, and shows what has been heard: once at the end, or as it changes."""

    def __init__(self, listening: Listening, choice: Choice, wish: _Wish) -> None:
        self._listening = listening
        self._choice = choice
        self._wish = wish
        self._board = Board(choice)
        self._console = output_console()
        self._on_screen = self._console.is_terminal and not wish.json
        self._screen = Screen(choice, self._console) if wish.watch and self._on_screen else None
        self._printer = Printer(choice, as_json=wish.json)

    async def run(self, limit: float | None) -> int:
        """Listen for as long as that is asked for; gives the exit code."""
        watch = self._wish.watch
        if limit is None and not watch:
            limit = self._listening.default_limit
        changed = self._note if watch else None
        async with self._listening.endpoint:
            beside = asyncio.create_task(self._draw(limit))
            try:
                code = await run_until(self._listening.listen(limit, changed))
            finally:
                beside.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beside
        if not watch:
            _print(self._choice, self._listening.seen(), json=self._wish.json)
        return code

    def _note(self, changes: Iterator[Change], there: bool) -> None:
        news = self._board.changes(changes, "there" if there else "new")
        if self._screen is None:
            self._printer.tell(news, self._listening.wall)
        else:
            self._screen.mark(news, time.monotonic())

    async def _draw(self, limit: float | None) -> None:
        """Keep the screen up to date, where there is one, and let time pass."""
        if self._screen is not None:
            with self._screen as screen:
                while True:
                    screen.draw(self._listening.seen(), time.monotonic())
                    await self._pause()
        if self._wish.watch:
            while True:
                await self._pause()
        if not self._on_screen or limit is None:
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                seen = self._listening.seen()
                left = short_duration(limit - (seen.wall - seen.began))
                told = Text(f"listening to {seen.source}, {left} left", "dim")
                lines = table(self._choice, seen, self._console.width, height=self._console.height - 1)
                live.update(Group(*map(styled, lines), told), refresh=True)
                await asyncio.sleep(_REFRESH)

    async def _pause(self) -> None:
        await asyncio.sleep(_REFRESH)
        self._note(self._listening.tick(), there=False)
