"""``switchcast status``: how the running node fares, what is wrong first."""

from __future__ import annotations

import json as json_text
import sys
import time
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.text import Text

from switchcast.app.cli.asking import Socket, output_console, show, to_a_reader
from switchcast.app.cli.options import seconds
from switchcast.app.cli.status_view import find_problems, picture
from switchcast.app.control import DEFAULT_SOCKET, ask
from switchcast.app.status import Status
from switchcast.errors import SwitchcastError, UsageError

__all__ = ["status"]

_EVERY: Final = 2.0


def status(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON object; with --watch one a line.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until Ctrl-C.")] = False,
    interval: Annotated[
        str | None, typer.Option("--interval", metavar="TIME", help="How often with --watch: 2s by default.")
    ] = None,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show how the running node fares.

    What is wrong stands first; then the exit code is 1. When no node runs it is 69.

    switchcast status
    """
    every = seconds(interval, "--interval")
    if every is not None and not watch:
        raise UsageError("--interval is how often --watch shows the status, and that is not given")
    with to_a_reader():
        if watch:
            _watch(socket, every or _EVERY, json=json)
        reply = _ask(socket)
        _print(reply, json=json)
    raise typer.Exit(1 if reply["problems"] else 0)


def _ask(socket: str) -> Status:
    reply: Status = ask(socket, {"ask": "status"})
    reply["problems"] = find_problems(reply, time.time())
    return reply


def _print(reply: Status, *, json: bool) -> None:
    if json:
        print(json_text.dumps(reply))
    else:
        console = output_console()
        show(console, picture(reply, console.width, time.time()))


def _watch(socket: str, every: float, *, json: bool) -> None:
    """Until Ctrl-C. On a terminal a node that is gone is waited for."""
    console = output_console()
    if json or not console.is_terminal:
        while True:
            _print(_ask(socket), json=json)
            sys.stdout.flush()
            time.sleep(every)
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            try:
                live.update(picture(_ask(socket), console.width, time.time()), refresh=True)
            except SwitchcastError as error:
                live.update(Text(str(error), style="bold red"), refresh=True)
            time.sleep(every)
