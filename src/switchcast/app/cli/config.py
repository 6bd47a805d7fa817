"""``switchcast config``: check a configuration, show what it means, and make one from the module's own file.

What reads configurations takes a while to import, so that is left to the commands that need it.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from switchcast.app.cli.helping import Command
from switchcast.app.cli.options import warn
from switchcast.errors import UsageError

if TYPE_CHECKING:
    from switchcast.app.config import Configuration, StockOptions

__all__ = ["DEFAULT_FILE", "File", "Set", "Switch", "app", "read", "stock_options", "tell_warnings"]

DEFAULT_FILE: Final = Path("/etc/switchcast/switchcast.toml")
_VARIABLE: Final = re.compile(r"([^=${}]+)=(.*)", re.DOTALL)

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", readable=False, help="A configuration, or the module's own event_multicast.conf.xml."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="With the module's file: a $${variable} of FreeSWITCH's."),
]
Switch = Annotated[
    str | None,
    typer.Option(
        "--switch",
        metavar="URL",
        help="With the module's file: the switch's event socket, if not esl://127.0.0.1:8021.",
    ),
]

app = typer.Typer(
    name="config",
    help="Check, show, describe and convert configurations.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def read(file: Path, variables: list[str] | None, switch: str | None) -> Configuration:
    """The configuration that ``FILE``, ``--set`` and ``--switch`` name, only to be looked at.

    Raises ``ConfigurationError``.
    """
    from switchcast.app.config import load_either

    return load_either(file, stock=stock_options(variables, switch), outside=True)


def tell_warnings(configuration: Configuration) -> None:
    """Tell what is odd about a configuration, on standard error."""
    for sentence in configuration.warnings:
        warn(sentence)


def stock_options(variables: list[str] | None, switch: str | None) -> StockOptions:
    """What ``--set`` and ``--switch`` say. Raises ``UsageError``."""
    from switchcast.app.config import StockOptions

    given = {}
    for text in variables or ():
        found = _VARIABLE.fullmatch(text)
        if found is None:
            raise UsageError(f"--set {text!r} is not written NAME=VALUE")
        given[found[1].strip()] = found[2]
    return StockOptions(variables=given, switch=switch)


@app.command(cls=Command)
def check(file: File = DEFAULT_FILE, *, set_: Set = None, switch: Switch = None) -> None:
    """Check a configuration as a whole, and say what it holds.

    Every mistake is told, one a line; the exit code is 78 then. Opens nothing.
    """
    configuration = read(file, set_, switch)
    tell_warnings(configuration)
    print(f"{file}: {_summary(configuration)}")


@app.command(cls=Command)
def show(
    file: File = DEFAULT_FILE,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    set_: Set = None,
    switch: Switch = None,
) -> None:
    """Show what a configuration means.

    With every default and what the environment says instead, without secrets. What is printed can be read again as a
    configuration.
    """
    from switchcast.app.config.writing import toml_text

    configuration = read(file, set_, switch)
    tell_warnings(configuration)
    tables = configuration.as_tables()
    print(json.dumps(tables, indent=2) if as_json else toml_text(tables), end="\n" if as_json else "")


@app.command(cls=Command)
def schema() -> None:
    """Print the JSON Schema of configurations.

    Editors complete, explain and check a configuration by it.
    """
    from switchcast.app.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2))


@app.command(cls=Command)
def convert(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="The module's own event_multicast.conf.xml.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write there, not on standard output.")
    ] = None,
    psk_file: Annotated[
        Path | None,
        typer.Option("--psk-file", metavar="PATH", help="Write the pre-shared key there, for its owner only."),
    ] = None,
    set_: Set = None,
    switch: Switch = None,
) -> None:
    """Turn the module's own file into a configuration of ours.

    It does the same. A file that exists already is never written over.
    """
    from switchcast.app.config import load_stock
    from switchcast.app.config.stock import PSK_FILE, as_toml
    from switchcast.app.config.stock_xml import read_stock

    options = stock_options(set_, switch)
    load_stock(file, options=options)  # which tells what is wrong before anything is written
    stock = read_stock(file, options.variables, os.environ)
    kept = psk_file.absolute() if psk_file is not None else Path(PSK_FILE)
    text, warnings = as_toml(stock, file, str(kept), options)
    for sentence in warnings:
        warn(sentence)
    if psk_file is not None and stock.psk is None:
        warn(f"{file}: has no psk, so {psk_file} is not written")
    elif psk_file is not None:
        _write_new(psk_file, f"{stock.psk}\n", 0o600)
    elif stock.psk is not None:
        warn(f"the psk is left out; put it into {kept} with mode 0600, or let --psk-file write it")
    if output is None:
        print(text, end="")
    else:
        _write_new(output, text, 0o644)


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that does not exist yet. Raises ``UsageError`` if it does."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise UsageError(f"{path}: exists already, and is not written over; move it, or choose another name") from None
    with open(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _summary(configuration: Configuration) -> str:
    """``2 endpoints, 1 route, 0 rules``, and policies where the file has some of its own."""
    counts = [
        _count(len(configuration.endpoints), "endpoint", "endpoints"),
        _count(len(configuration.routes), "route", "routes"),
        _count(len(configuration.rules), "rule", "rules"),
    ]
    if configuration.policies:
        counts.append(_count(len(configuration.policies), "policy", "policies"))
    return ", ".join(counts)


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
