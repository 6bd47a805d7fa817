"""Asking the running node: the option that says where it is, and what every such command prints with."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console, RenderableType

from switchcast.app.cli.running import BROKEN_PIPE, close_quietly

__all__ = ["Socket", "output_console", "show", "to_a_reader"]

Socket = Annotated[
    str,
    typer.Option("--socket", metavar="PATH", envvar="SWITCHCAST_CONTROL", help="The running node's control socket."),
]


def output_console() -> Console:
    """Standard output, for tables of ours: nothing in them is taken for markup."""
    return Console(highlight=False, markup=False, emoji=False)


def show(console: Console, picture: RenderableType) -> None:
    """Print ``picture``, but for the blanks at the ends of lines, which would only be in the way of other programs."""
    with console.capture() as captured:
        console.print(picture)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


@contextlib.contextmanager
def to_a_reader() -> Iterator[None]:
    """What is printed within is printed by the end; when whoever read it has gone, leave as the shell expects."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
        raise typer.Exit(BROKEN_PIPE) from None
