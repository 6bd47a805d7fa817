"""``switchcast run``: the node itself, from a configuration, until it is told to stop."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from switchcast.app.cli.running import run as run_work
from switchcast.errors import UsageError

__all__ = ["run"]

DEFAULT_FILE: Final = Path("/etc/switchcast/switchcast.toml")


def run(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The configuration: TOML, or the module's event_multicast.conf.xml.")
    ] = DEFAULT_FILE,
    *,
    switch: Annotated[
        str | None,
        typer.Option("--switch", metavar="URL", help="With an XML file: the switch, by default esl://127.0.0.1:8021."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="With an XML file: a variable that stands in it as $${NAME}."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, whatever the file says.")] = False,
) -> None:
    """Run a node until SIGTERM or Ctrl-C.

    It carries events as the routes of its configuration say, knows its peers, and acts on rules. SIGHUP has it read the
    configuration again: a wrong one changes nothing and says why, a right one replaces only what has changed.
    'switchcast status' shows how it fares.

    switchcast run /etc/switchcast/switchcast.toml
    """
    run_work(_run(file, switch, _variables(set_ or []), verbose=verbose))


async def _run(file: Path, switch: str | None, variables: dict[str, str], *, verbose: bool) -> int:
    from switchcast.app.config import StockOptions, load_either
    from switchcast.app.daemon import Daemon

    options = StockOptions(variables=variables, switch=switch)
    daemon = Daemon(lambda: load_either(file, stock=options), log_level="debug" if verbose else None)
    with daemon.signals() as came:
        await daemon.run()
    return 130 if came[:1] == [signal.SIGINT] else 0


def _variables(given: list[str]) -> dict[str, str]:
    """``NAME=VALUE``, each once."""
    variables = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {text!r} is not written NAME=VALUE")
        variables[name] = value
    return variables
