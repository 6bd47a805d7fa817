"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final

import typer

from switchcast._native import Matcher
from switchcast.errors import BindingError, ConditionError, UsageError
from switchcast.listening import make_matcher

__all__ = ["Bindings", "Count", "For", "Source", "Where", "matcher_of", "port_of", "seconds", "warn"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_WIDEST_POINTED: Final = 200
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Where events come from: multicast://, udp://, esl://, sim://, file:, archive:, -, or the name of an "
        "endpoint of the configuration.",
    ),
]
Bindings = Annotated[
    str,
    typer.Option(
        "--bindings",
        "-b",
        metavar="WORDS",
        help="Which events, as FreeSWITCH says it: 'HEARTBEAT CUSTOM sofia::register'",
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        "--where", "-w", metavar="CONDITION", help='Which of those, in CEL: \'sender == "fs1" && h["expires"] != "0"\''
    ),
]
Count = Annotated[int | None, typer.Option("--count", "-n", metavar="N", min=1, help="Stop after N events.")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="Stop after this time: 500ms, 20s, 5m, 1h.")]


def seconds(text: str | None, option: str = "--for") -> float | None:
    """``20s``, ``500ms``, ``5m``, ``1h`` or ``2d`` in seconds; a number alone is seconds. Raises ``UsageError``."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text.strip())
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < value <= 100 * 365 * 86400:
        raise UsageError(f"{option} {text!r} is no length of time; write 500ms, 20s, 5m, 1h or 2d")
    return value


def port_of(port: int, option: str) -> int:
    """``port`` itself when it is one. Raises ``UsageError``."""
    if not 1 <= port <= 65535:
        raise UsageError(f"{option} {port} is no port; 1 to 65535 are allowed")
    return port


def matcher_of(bindings: str, where: str | None) -> Matcher | None:
    """The matcher that the options ask for; what is odd about them is told on standard error."""
    try:
        matcher = make_matcher(bindings, where)
    except ConditionError as error:
        raise ConditionError(f"--where: {error}{_pointer(where or '', error.column)}", error.column) from None
    except BindingError as error:
        raise BindingError(f"--bindings: {error}") from None
    for sentence in matcher.warnings if matcher else ():
        warn(sentence)
    return matcher


def _pointer(condition: str, column: int | None) -> str:
    """The condition with a caret under the column, where it fits on one line."""
    if column is None or "\n" in condition or len(condition) > _WIDEST_POINTED:
        return ""
    return f"\n  {condition}\n  {' ' * (column - 1)}^"


def warn(sentence: str) -> None:
    """Tell the user something that does not stop the work."""
    print(f"switchcast: warning: {sentence}", file=sys.stderr, flush=True)
