"""Says what a value gives away: by its header's name, by itself, with evidence that may be shown.

The name is asked first and is believed: ``1000`` is an extension under ``Caller-ANI`` and nothing under
``Session-Count``. Then the value is looked through for what gives itself away anywhere, an address in a custom header
or a key in a media description. The two answer as one, with at most one match for each class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote

from switchcast.guard.audit.by_name import Meaning, meaning_of
from switchcast.guard.audit.by_value import MOST_LOOKED_AT, Clue, Numbers, clues_in, without_cards, without_credentials
from switchcast.guard.audit.leaks import By, Leak, Match
from switchcast.guard.audit.masking import masked, revealed
from switchcast.guard.audit.readings import (
    MISTAKEN,
    members_of,
    read,
    tells_nothing,
    without_assigned,
    without_members,
)

__all__ = ["Classifier"]

_ARRAY: Final = "ARRAY::"
_MOST_ELEMENTS: Final = 16
_NO_CARDS: Final = frozenset({Meaning.PLAIN, Meaning.MEASURE, Meaning.DIGITS, Meaning.CALL, Meaning.SYSTEM})
"""Under names with these meanings long numbers are no cards, or are told as what they were: pressed."""
_JSON: Final = ("{", "[")
_NONE: Final = frozenset[Leak]()
_MESSAGES: Final = re.compile(
    r"(?:RECV_|SEND_)?MESSAGE|TEXT|DETECTED_SPEECH|CUSTOM (?:sofia::error|.*(?:sms|chat|message|transcri).*)",
    re.IGNORECASE,
)
"""Kinds of events whose bodies are what somebody wrote or said."""


class Classifier:
    """Classes values. It remembers names, numbers and addresses it has seen, some thousand of each, and nothing else.

    ``region`` (two letters of ISO 3166) also finds telephone numbers written as in that country; without it only those
    with ``+`` and a country code, and those whose header's name says so. ``reveal`` leaves evidence unmasked. Raises
    ``MissingExtra`` where ``phonenumbers`` is not installed, ``UsageError`` for a region that is none.
    """

    def __init__(self, region: str | None = None, *, reveal: bool = False) -> None:
        self._numbers = Numbers(region)
        self._show: Callable[[Leak, str], str] = _unmasked if reveal else masked

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        """What ``value``, decoded, of this header gives away in an event of this kind (``CUSTOM sofia::register``).

        Worst first, each class once; empty for a value that gives nothing away.
        """
        if not value:
            return ()
        meaning = meaning_of(kind, header)
        found: dict[Leak, Match] = {}
        if meaning is Meaning.CREDENTIAL:
            self._take(found, "name", read(kind, meaning, value))
            return _worst_first(found)
        text = self._without_secrets(found, kind, meaning, _decoded(value[:MOST_LOOKED_AT]))
        if tells_nothing(meaning, text):
            return _worst_first(found)
        text = self._members(found, "value", kind, text)
        if meaning is not Meaning.UNKNOWN:
            for element in _elements(text):
                self._take(found, "name", read(kind, meaning, element))
        mistaken = MISTAKEN.get(meaning, _NONE)
        for clue in clues_in(text, self._numbers, measure=meaning is Meaning.MEASURE):
            if clue[0] not in mistaken:
                self._take(found, "value", [clue])
        return _worst_first(found)

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        """What the body of an event of this kind gives away. Of a body beyond 8,192 characters only these are read."""
        text = body[: 4 * MOST_LOOKED_AT].decode("utf-8", "replace")[:MOST_LOOKED_AT]
        found: dict[Leak, Match] = {}
        if text.strip() and _MESSAGES.fullmatch(kind):
            self._take(found, "body", [(Leak.CONTENT, text)])
        text, credential = without_credentials(_decoded(text))
        self._take_secret(found, "body", credential)
        text, card = without_cards(text)
        self._take_secret(found, "body", card)
        text = self._members(found, "body", kind, text)
        self._take(found, "body", clues_in(text, self._numbers))
        return _worst_first(found)

    def _without_secrets(self, found: dict[Leak, Match], kind: str, meaning: Meaning, text: str) -> str:
        """Cut credentials out before the others look, whose evidence could hold a piece of one."""
        text, credential = without_credentials(text)
        self._take_secret(found, "value", credential)
        if meaning not in _NO_CARDS:
            text, card = without_cards(text)
            self._take_secret(found, "value", card)
        if meaning is Meaning.COMMAND:
            text, credential = without_assigned(kind, text)
            self._take_secret(found, "name", credential)
        return text

    def _members(self, found: dict[Leak, Match], by: By, kind: str, text: str) -> str:
        """Take what the members of JSON give away by their names; ``text`` without those that are credentials."""
        if not text.lstrip().startswith(_JSON) or '"' not in text:
            return text
        text, credential = without_members(kind, text)
        self._take_secret(found, by, credential)
        self._take(found, by, members_of(kind, text))
        return text

    def _take_secret(self, found: dict[Leak, Match], by: By, secret: str | None) -> None:
        if secret is not None:
            self._take(found, by, [(Leak.CREDENTIALS, secret)])

    def _take(self, found: dict[Leak, Match], by: By, clues: Iterable[Clue]) -> None:
        for leak, text in clues:
            if leak not in found:
                found[leak] = Match(leak, by, self._show(leak, text))


def _worst_first(found: dict[Leak, Match]) -> tuple[Match, ...]:
    return tuple(found[leak] for leak in Leak if leak in found) if found else ()


def _decoded(text: str) -> str:
    """``text`` as it was before somebody put it into a URL: what stands behind ``fs_path=`` is such an address."""
    return unquote(text) if "%" in text else text


def _elements(value: str) -> list[str]:
    """The elements of an array, or the value itself."""
    if not value.startswith(_ARRAY):
        return [value]
    return value.removeprefix(_ARRAY).split("|:", _MOST_ELEMENTS)[:_MOST_ELEMENTS]


def _unmasked(_: Leak, text: str) -> str:
    return revealed(text)
