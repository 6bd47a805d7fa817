"""The words of a policy: which events and headers are meant, and what becomes of a value. No events here, only text.

::

    events   "HEARTBEAT CHANNEL_* CUSTOM sofia::*"      names, then CUSTOM and subclasses, as bindings are written
    headers  "Caller-*-Number"                          one pattern a text
    values   "mask all but last 3"                      an action

In every pattern ``*`` is any text and ``?`` one character, and the case of letters does not count. Each function raises
``ValueError`` with a sentence that says what would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from switchcast._native import ESSENTIAL_HEADERS, EVENT_NAMES, Matcher

__all__ = ["Action", "Kind", "covers", "read_action", "read_kinds", "read_pattern", "warn_of"]

LONGEST_PATTERN: Final = 256
"""No name of FreeSWITCH's has more than 48 characters; matching takes time in proportion."""
ACTIONS: Final = (
    'write pass, drop, mask, "mask all but first 2", "mask all but last 3", "mask all but first 2 and last 3", hash, '
    '"hash 32" or "truncate 8"'
)
HASH_DIGITS: Final = 16
FEWEST_HASH_DIGITS, MOST_HASH_DIGITS = 8, 64
MOST_CHARACTERS: Final = 65_536

_SEPARATORS = re.compile(r"[\s,]+")
_REGULAR_EXPRESSION = re.compile(r"\A\^|\$\Z|\\|\||\A\.\*|\(\?|\A\(.*\)\Z")
_MASK = re.compile(r"mask(?: all but (?:first (?P<first>\d+)(?: and last (?P<both>\d+))?|last (?P<last>\d+)))?")
_NUMBERED = re.compile(r"(?P<action>hash|truncate) (?P<number>\d+)")


class Kind(NamedTuple):
    """Events of a name, or CUSTOM events of a subclass; both are patterns."""

    name: str
    subclass: str | None = None

    def __str__(self) -> str:
        return self.name if self.subclass is None else f"{self.name} {self.subclass}"

    def covers(self, other: Kind) -> bool:
        """Whether every event of the ``other`` kind is of this one."""
        if self.subclass is None:
            return covers(self.name, other.name)
        return other.subclass is not None and covers(self.subclass, other.subclass)


class Action(NamedTuple):
    """What becomes of a value, as the native policy takes it."""

    name: str
    first: int = 0
    second: int = 0


def read_kinds(texts: Iterable[str]) -> list[Kind]:
    """The kinds of events that ``texts`` name, each of which is written as bindings are."""
    return [kind for text in texts for kind in _kinds_in(text)]


def _kinds_in(text: str) -> list[Kind]:
    names, custom, subclasses = _split(text)
    for word in (*names, *subclasses):
        read_pattern(word)
    if wrong := next((word for word in names if "::" in word), None):
        raise ValueError(f'"{wrong}" is a subclass; write CUSTOM in front of it: "CUSTOM {wrong}"')
    if custom and not subclasses:
        raise ValueError('CUSTOM says nothing of the subclass; write "CUSTOM *" for every CUSTOM event')
    if not names and not custom:
        raise ValueError('no event is named; write names such as HEARTBEAT, or "all"')
    kinds = [Kind("*" if word.lower() == "all" else word.upper()) for word in names]
    return kinds + [Kind("CUSTOM", word) for word in subclasses]


def _split(text: str) -> tuple[list[str], bool, list[str]]:
    """The words in front of CUSTOM, whether it is there, and the words behind it."""
    words = [word for word in _SEPARATORS.split(text) if word]
    at = next((place for place, word in enumerate(words) if word.upper() == "CUSTOM"), None)
    if at is None:
        return words, False, []
    return words[:at], True, [word for word in words[at:] if word.upper() != "CUSTOM"]


def warn_of(kinds: Iterable[Kind]) -> list[str]:
    """One sentence for each name that no event of FreeSWITCH's has, with the nearest that one has."""
    found: list[str] = []
    for kind in dict.fromkeys(kinds):
        if kind.subclass is not None:
            if kind.subclass.upper() in EVENT_NAMES:
                found.append(
                    f'"{kind.subclass}" stands behind CUSTOM and so is a subclass; to mean the event, put it in front'
                )
        elif "*" not in kind.name and "?" not in kind.name:
            found += Matcher(kind.name).warnings
        elif not any(covers(kind.name, name) for name in EVENT_NAMES):
            found.append(f'no event that FreeSWITCH has matches "{kind.name}"')
    return found


def read_pattern(text: str) -> str:
    """``text``, if it is a pattern of names."""
    if not text:
        raise ValueError('a pattern is empty; write a name, or "*" for every one')
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f'the pattern that starts with "{text[:20]}" is longer than {LONGEST_PATTERN} characters')
    if not text.isprintable():
        raise ValueError(f"the pattern {text!r} holds a control character; take it out")
    if _REGULAR_EXPRESSION.search(text):
        raise ValueError(f'"{text}" looks like a regular expression; in a pattern * is any text, ? one character')
    return text


def refuse_essential(text: str, what: str) -> None:
    """Raise ``ValueError`` if ``text`` names a header that always passes as it is."""
    if name := next((name for name in ESSENTIAL_HEADERS if name.lower() == text.lower()), None):
        raise ValueError(
            f"{name} cannot be {what}: it says which event it is, where from or when, and passes every policy as it "
            "is; take it out, or withhold the event"
        )


def covers(pattern: str, other: str) -> bool:
    """Whether every name that matches ``other`` matches ``pattern`` too. ``other`` may be a plain name."""
    parts = {"*": ".*", "?": "[^*]"}
    expression = "".join(parts.get(letter) or re.escape(letter) for letter in pattern.lower())
    return re.fullmatch(expression, other.lower(), re.DOTALL) is not None


def read_action(text: str) -> Action:
    """What ``text`` asks for."""
    words = " ".join(text.split()).lower()
    if words in ("pass", "drop"):
        return Action(words)
    if words == "hash":
        return Action("hash", HASH_DIGITS)
    if found := _MASK.fullmatch(words):
        first, last = int(found["first"] or 0), int(found["both"] or found["last"] or 0)
        if max(first, last) > MOST_CHARACTERS:
            raise ValueError(f'"{text}": no value is that long; at most {MOST_CHARACTERS:,} characters are kept')
        return Action("mask", first, last)
    if found := _NUMBERED.fullmatch(words):
        number = int(found["number"])
        if found["action"] == "hash" and not FEWEST_HASH_DIGITS <= number <= MOST_HASH_DIGITS:
            raise ValueError(f'"{text}": a hash has {FEWEST_HASH_DIGITS} to {MOST_HASH_DIGITS} hex digits')
        if found["action"] == "truncate" and not 1 <= number <= MOST_CHARACTERS:
            raise ValueError(f'"{text}": write 1 to {MOST_CHARACTERS:,} characters, or drop')
        return Action(found["action"], number)
    raise ValueError(f'unknown action "{text}"; {ACTIONS}')
