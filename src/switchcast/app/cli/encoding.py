"""What is shown where the output's encoding lacks our arrows and lines: a near spelling, and never a traceback.

A log that ``cron`` mails, or a terminal under ``LC_ALL=C``, may know nothing but ASCII.
"""

from __future__ import annotations

import codecs
import io
import sys
from typing import Final

__all__ = ["SPELLED", "spell_what_is_lacking"]

SPELLED: Final = "switchcast.spelled"
"""The error handler for ``str.encode`` that spells what an encoding lacks."""

_NEAR: Final = {
    "→": "->",
    "⇄": "<->",
    "⇹": "<|>",
    "├": "+",
    "└": "`",
    "┌": ".",
    "│": "|",
    "─": "-",
    "…": "...",
    "≤": "<=",
    "•": "*",
    "✓": "ok",
    "✗": "x",
    "█": "#",
}


def spell_what_is_lacking() -> None:
    """Have standard output and standard error do so."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLED)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_NEAR.get(each) or each.encode("ascii", "backslashreplace").decode() for each in lacking), error.end


codecs.register_error(SPELLED, _spelled)
