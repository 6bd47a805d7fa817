"""How log lines are written: on standard error, for people or as JSON, in one place for the commands and the node.

Much of what is logged was written by strangers: a header, a reason that a switch gives. In neither form can it begin a
line of its own or make a terminal do anything; the lines of a traceback are set in.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Final, Literal, get_args

import structlog
from structlog.typing import EventDict, WrappedLogger

__all__ = ["LEVELS", "LOG_FORMATS", "Level", "LogFormat", "configure"]

LogFormat = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LEVELS: Final[tuple[Level, ...]] = get_args(Level)

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends of every kind, marks that turn the direction of writing, and bytes that were no UTF-8.
"""


def configure(format: LogFormat = "console", level: Level = "warning") -> None:  # noqa: A002 - the setting's name
    """Write what is logged from now on in ``format``, and leave out what is below ``level``.

    ``json`` is one object a line: ``event``, ``level``, ``timestamp`` in UTC, then whatever belongs to the event.
    ``console`` has local time, and colours on a terminal. Loggers that exist already follow.
    """
    as_json = format == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=as_json),
            structlog.processors.format_exc_info,
            *(
                [structlog.processors.JSONRenderer()]
                if as_json
                else [_printable, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _printable(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Show what a terminal would act on as an escape."""
    for key, value in line.items():
        text = value if isinstance(value, str) else repr(value)
        if key == "exception":
            line[key] = "\n".join(f"    {_UNSAFE.sub(_escaped, part)}" for part in text.split("\n"))
        elif _UNSAFE.search(text):
            line[key] = _UNSAFE.sub(_escaped, text)
    return line


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
