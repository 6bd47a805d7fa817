"""``switchcast run``: the node itself, from a configuration, until it is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from switchcast.app.cli.config import DEFAULT_FILE, File, Set, Switch, stock_options
from switchcast.app.cli.running import run as run_work

if TYPE_CHECKING:
    from switchcast.app.config import Configuration

__all__ = ["run"]


def run(
    file: File = DEFAULT_FILE,
    *,
    switch: Switch = None,
    set_: Set = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, whatever the file says.")] = False,
) -> None:
    """Run a node until SIGTERM or Ctrl-C.

    It carries events as the routes of its configuration say, knows its peers, and acts on rules. SIGHUP has it read the
    configuration again: a wrong one changes nothing and says why, a right one replaces only what has changed.
    'switchcast status' shows how it fares.

    switchcast run /etc/switchcast/switchcast.toml
    """
    from switchcast.app.config import load_either

    options = stock_options(set_, switch)
    run_work(_run(lambda: load_either(file, stock=options), verbose=verbose))


async def _run(read: Callable[[], Configuration], *, verbose: bool) -> int:
    from switchcast.app.daemon import Daemon

    daemon = Daemon(read, log_level="debug" if verbose else None)
    with daemon.signals() as came:
        await daemon.run()
    return 130 if came[:1] == [signal.SIGINT] else 0
