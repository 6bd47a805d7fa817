"""Asking the running node: the option that says where it is, and what every such command prints with."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from switchcast.app.cli.running import BROKEN_PIPE, close_quietly

__all__ = ["Socket", "output_console", "to_a_reader"]

Socket = Annotated[
    str,
    typer.Option("--socket", metavar="PATH", envvar="SWITCHCAST_CONTROL", help="The running node's control socket."),
]


def output_console() -> Console:
    """Standard output, for tables of ours: nothing in them is taken for markup."""
    return _Console(highlight=False, markup=False, emoji=False)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave what it means to ``to_a_reader``; rich would exit with 1, as if something were wrong."""
        raise BrokenPipeError


@contextlib.contextmanager
def to_a_reader() -> Iterator[None]:
    """What is printed within is printed by the end; when whoever read it has gone, leave as the shell expects."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
        raise typer.Exit(BROKEN_PIPE) from None
