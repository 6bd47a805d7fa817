"""How log lines are written: on standard error, for people or as JSON, in one place for the commands and the node.

Much of what is logged was written by strangers: a header, a reason that a switch gives. In neither form can it begin a
line of its own or make a terminal do anything; the lines of a traceback are set in.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import MutableSequence
from typing import Final, Literal, get_args

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from switchcast.app.status import Warned

__all__ = ["LEVELS", "LOG_FORMATS", "Level", "LogFormat", "configure"]

LogFormat = Literal["console", "json"]
Level = Literal["debug", "info", "warning", "error"]

LOG_FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LEVELS: Final[tuple[Level, ...]] = get_args(Level)

_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends of every kind, marks that turn the direction of writing, and bytes that were no UTF-8.
"""

_NOT_TOLD: Final = frozenset({"event", "level", "timestamp", "exception"})
_LONGEST_KEPT: Final = 1_000


def configure(
    format: LogFormat = "console",  # noqa: A002 - the setting's name
    level: Level = "warning",
    *,
    keep: MutableSequence[Warned] | None = None,
) -> None:
    """Write what is logged from now on in ``format``, and leave out what is below ``level``.

    Warnings and errors are also put into ``keep``, as a person would read them.

    ``json`` is one object a line: ``event``, ``level``, ``timestamp`` in UTC, then whatever belongs to the event.
    ``console`` has local time, and colours on a terminal. Loggers that exist already follow.
    """
    as_json = format == "json"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=as_json),
            structlog.processors.format_exc_info,
            *([] if keep is None else [_keeping(keep)]),
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


def _keeping(kept: MutableSequence[Warned]) -> Processor:
    def keep(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        if line.get("level") in {"warning", "error", "critical"}:
            told = [f"{key}={value}" for key, value in line.items() if key not in _NOT_TOLD]
            text = " ".join([str(line.get("event", "")), *told])
            kept.append({"at": time.time(), "text": _UNSAFE.sub(_escaped, text)[:_LONGEST_KEPT]})
        return line

    return keep


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
