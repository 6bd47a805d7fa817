"""Running a command's work: its end by time, by count or by signal, and what the shell is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import typer

from switchcast.endpoints import loop

__all__ = ["BROKEN_PIPE", "Signals", "caught_signals", "run", "run_until"]

BROKEN_PIPE: Final = 128 + signal.SIGPIPE


class Signals:
    """SIGINT and SIGTERM, as something that can be waited for."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.arrived = asyncio.Event()

    def note(self, number: int) -> None:
        """One has come."""
        self.number = number
        self.arrived.set()


@contextlib.contextmanager
def caught_signals() -> Iterator[Signals]:
    """Have SIGINT and SIGTERM noted instead of acted on; a second one ends the program at once, so nobody is held up.

    As the kernel does: an exception would come in the middle of the work's own ending, and be told at length.
    """
    loop, caught = asyncio.get_running_loop(), Signals()

    def release() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    def note(number: int) -> None:
        release()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        caught.note(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, note, number)
    try:
        yield caught
    finally:
        release()
        signal.signal(signal.SIGINT, signal.default_int_handler)


async def run_until(
    work: Coroutine[Any, Any, None], *, limit: float | None = None, halt: Callable[[], None] | None = None
) -> int:
    """Do ``work`` until it is done, ``limit`` seconds have passed, or a signal asks to stop; the exit code that means.

    ``halt`` asks the work to come to an end by itself; without one it is cancelled.
    """
    task = asyncio.create_task(work)
    with caught_signals() as caught:
        stopping = asyncio.create_task(caught.arrived.wait())
        try:
            await asyncio.wait({task, stopping}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not task.done() and halt is not None:
                halt()
            else:
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 128 + caught.number if caught.number else 0


def run(work: Coroutine[Any, Any, int]) -> None:
    """Run a command's coroutine and leave with the exit code that it gives."""
    try:
        code = loop.run(work)
        sys.stdout.flush()
    except BrokenPipeError:
        close_quietly()
        code = BROKEN_PIPE
    except ExceptionGroup as group:
        raise first_of(group) from None
    raise typer.Exit(code)


def first_of(group: ExceptionGroup) -> Exception:
    """The first error in ``group`` that is none itself."""
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def close_quietly() -> None:
    """Whoever read our output has gone: let what is left of it go nowhere, so that nothing complains at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
