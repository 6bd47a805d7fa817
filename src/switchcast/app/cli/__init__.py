"""The ``switchcast`` command: one file for each subcommand, and the one place where errors become exit codes.

======  ==========================================================================
0       done
1       what was asked for was tried and did not come out right
2       the command line cannot be meant as it stands
69, 77  nobody there, or permission refused (``errors.py`` has them all)
74      an input or output error of the system, a full disk among them
130     Ctrl-C; 143 for SIGTERM, 141 when whoever read the output went away
======  ==========================================================================
"""

from __future__ import annotations

import sys
from typing import Annotated, Final, NoReturn

import typer

from switchcast._native import __version__
from switchcast.app import logs
from switchcast.app.cli import (
    archive,
    audit,
    config,
    demo,
    doctor,
    key,
    peers,
    pipe,
    query,
    rules,
    run,
    send,
    simulate,
    stats,
    status,
    tail,
    trace,
    views,
)
from switchcast.app.cli.encoding import spell_what_is_lacking
from switchcast.app.cli.helping import Command
from switchcast.app.cli.render import printable
from switchcast.app.cli.running import first_of
from switchcast.errors import EndpointDenied, SwitchcastError

__all__ = ["app", "main"]

_INPUT_OUTPUT_ERROR: Final = 74
_INTERRUPTED: Final = 130

app = typer.Typer(
    name="switchcast",
    help="FreeSWITCH events: listen to them, move them, count them, make them up.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    tail.tail,
    pipe.pipe,
    send.send,
    run.run,
    status.status,
    peers.peers,
    views.nodes,
    views.registrations,
    views.presence,
    views.mailboxes,
    views.calls,
    query.query,
    simulate.simulate,
    stats.stats,
    audit.audit,
    doctor.doctor,
    demo.demo,
    trace.trace,
):
    app.command(cls=Command)(command)
app.add_typer(archive.app, name="archive")
app.add_typer(config.app, name="config")
app.add_typer(key.app, name="key")
app.add_typer(rules.app, name="rules")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"switchcast {__version__}")
        raise typer.Exit


@app.callback()
def _settings(
    log_format: Annotated[
        str, typer.Option("--log-format", metavar="console|json", help="How log lines on standard error are written.")
    ] = "console",
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what is done, not only what goes wrong.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if log_format not in logs.LOG_FORMATS:
        raise typer.BadParameter(f"{log_format!r} is neither console nor json", param_hint="--log-format")
    logs.configure(log_format, "debug" if verbose else "warning")


def main() -> NoReturn:
    """Run the command line, and leave with its exit code; a user's mistake is one line, never a traceback."""
    spell_what_is_lacking()
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, prog_name="switchcast", standalone_mode=False)
    except SwitchcastError as error:
        return _complain(str(error), error.exit_code)
    except ExceptionGroup as group:
        error_within = first_of(group)
        if not isinstance(error_within, SwitchcastError):
            raise
        return _complain(str(error_within), error_within.exit_code)
    except typer.TyperException as error:
        return _complain_of_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except PermissionError as error:
        return _complain(_without_number(error), EndpointDenied.exit_code)
    except OSError as error:
        return _complain(_without_number(error), _INPUT_OUTPUT_ERROR)
    return code if isinstance(code, int) else 0


def _without_number(error: OSError) -> str:
    """``PATH: what went wrong``, or the latter alone."""
    said = error.strerror or str(error)
    return said if error.filename is None else f"{error.filename}: {said}"


def _complain_of_usage(error: typer.TyperException) -> int:
    """What typer finds wrong with the command line; where no command is named it gives the help instead."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and message == context.get_help():
        print(message, file=sys.stderr)
        return error.exit_code
    path = context.command_path if context else "switchcast"
    option = getattr(error, "option_name", None)
    if context is not None and any(option in param.opts for param in context.find_root().command.params):
        message = f"{option} goes in front of the command: {path.replace(' ', f' {option} ', 1)}"
    return _complain(f"{message.rstrip('.')} (see {path} --help)", error.exit_code)


def _complain(message: str, code: int) -> int:
    print("\n".join(printable(line) for line in f"switchcast: {message}".splitlines()), file=sys.stderr)
    return code
