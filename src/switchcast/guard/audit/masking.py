"""What may be shown of a value: enough to recognise it in one's own events, too little to learn it from a report.

Of a credential, of dialled digits and of a text nothing is shown but the length, of a telephone number its last two
digits, of an IP address its first group, of anything else its first characters: a quarter of them, at most four, and of
what is too short for that the length. A report is passed on by people who mean to tell of a leak, and must not be one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from switchcast.guard.audit.leaks import Leak

__all__ = ["LONGEST_EVIDENCE", "MOST_SHOWN", "masked", "revealed"]

LONGEST_EVIDENCE: Final = 80
"""Characters; a terminal's line has room for it."""
MOST_SHOWN: Final = 4
"""Characters of a value, at most."""
_QUARTER: Final = 4
_LONGEST_EXTENSION: Final = 6
"""Digits; of fewer than a telephone number has, two would be too much to show."""


def masked(leak: Leak, text: str) -> str:
    """``text``, which gives away ``leak``, as it may be shown."""
    return _MASKS.get(leak, _head)(text.strip())


def revealed(text: str) -> str:
    """``text`` itself: what cannot be printed replaced, and cut to ``LONGEST_EVIDENCE``."""
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:LONGEST_EVIDENCE]
    )
    return shown if len(text) <= LONGEST_EVIDENCE else shown[:-1] + "…"


def _length(text: str) -> str:
    return f"({len(text)} character{'' if len(text) == 1 else 's'})"


def _nothing(_: str) -> str:
    return "(digits)"


def _content(text: str) -> str:
    """Of a path what kind of file it is, of a text how long it is."""
    name = text.rpartition("/")[2]
    _, dot, suffix = name.rpartition(".")
    if "/" in text and dot and suffix.isascii() and suffix.isalnum() and len(suffix) <= MOST_SHOWN:
        return f"(a file, .{suffix})"
    return _length(text)


def _head(text: str) -> str:
    """Its first characters; of what is too short for that, how short."""
    shown = min(MOST_SHOWN, len(text) // _QUARTER)
    return revealed(text[:shown]) + "…" if shown else _length(text)


def _number(text: str) -> str:
    digits = [letter for letter in text if letter.isdigit()]
    tail = f"…{digits[-2]}{digits[-1]} " if len(digits) > _LONGEST_EXTENSION else ""
    return f"{tail}({len(digits)} digits)"


def _address(text: str) -> str:
    """Of ``sip:anna@example.com`` its ``a``."""
    user = text.partition(":")[2] if text.lower().startswith(("sip:", "sips:")) else text
    return f"{_head(user.partition('@')[0])}@…" if "@" in user else _head(user)


def _ip(text: str) -> str:
    """The first group: ``10.…``, ``2001:…``."""
    group = re.match(r"[0-9A-Fa-f]{0,4}[.:]", text)
    return f"{group[0]}…" if group is not None else _head(text)


_MASKS: Final[Mapping[Leak, Callable[[str], str]]] = {
    Leak.CREDENTIALS: _length,
    Leak.CONTENT: _content,
    Leak.DTMF: _nothing,
    Leak.NUMBERS: _number,
    Leak.SIP: _address,
    Leak.OUTSIDE: _ip,
    Leak.INSIDE: _ip,
}
