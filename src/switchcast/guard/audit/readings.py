"""What a value gives away, once its header's name has told what kind of thing it is.

One reading for each ``Meaning``: the value in, clues out. A reading answers only for what the name told it; addresses,
UUIDs and the like in the same value are found by ``by_value.py`` all the same, unless ``MISTAKEN`` says that here they
would be something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from switchcast.guard.audit.by_name import Meaning, meaning_of
from switchcast.guard.audit.by_value import OWN_USERS, Clue, says_nothing
from switchcast.guard.audit.leaks import Leak

__all__ = ["MISTAKEN", "read", "without_assigned"]

MISTAKEN: Final[Mapping[Meaning, frozenset[Leak]]] = {
    Meaning.CREDENTIAL: frozenset(Leak),
    Meaning.PLAIN: frozenset({Leak.CALL, Leak.NUMBERS}),
    Meaning.MEASURE: frozenset({Leak.NUMBERS, Leak.DTMF}),
    Meaning.CALL: frozenset({Leak.SIP, Leak.NUMBERS}),
    Meaning.SYSTEM: frozenset({Leak.SIP, Leak.CALL, Leak.NUMBERS, Leak.OUTSIDE, Leak.CONTENT}),
    Meaning.DIGITS: frozenset({Leak.NUMBERS}),
}
"""What a value with this meaning only looks like: a version is no IP address, a Call-ID no SIP address, and of a secret
no piece may be shown as anything."""

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}", re.IGNORECASE)
_STREAM: Final = re.compile(r"[a-z_]+://|(?:say|phrase):", re.IGNORECASE)
_PRESSED: Final = re.compile(r"[0-9*#a-dw,+ @]*[0-9*#][0-9*#a-dw,+ @]*", re.IGNORECASE)
_PARTY_DIGITS: Final = re.compile(r"(?<![\w.])\+?(?:\d[\s().-]?){0,24}[\d*#]{2,24}(?![\w.])")
_IN_TRANSFER: Final = re.compile(r"\d{10}:[0-9a-f-]{36}:\w+:([^/|]*)")
_USER: Final = re.compile(r"[^\W\d][\w.+-]{0,63}")
_SERVICES: Final = frozenset("operator voicemail conference park parking echo queue ivr start stop s h t i".split())
"""What stands where a number could, and is nobody."""
_SOURCE: Final = re.compile(r".*\.(?:c|cpp|lua|js|py|so)|mod_\w+")
_KNOWN_STATUS: Final = re.compile(
    r"CS_\w+|(?:un)?registered(?:\(.*\))?|(?:in)?active(?: \(\d+ (?:caller|waiting)s?\))?|(?:un)?available"
    r"|busy|away|idle|answered|hold|unhold|holding|terminated|confirmed|early|ringing|open|closed|online|offline"
    r"|on the phone|dnd|do not disturb|on break|logged out|available \(on demand\)|talking|proceeding|trying"
    r"|(?:un)?reachable|\d*|[a-z]+-[a-z]+-?\w*",
    re.IGNORECASE,
)
_ROOM_NUMBER: Final = re.compile(r"(?:conference_)?(\+?\d{2,})(?:@.*|_.*)?")
_CALLER: Final = re.compile(r"\s*\"?(.*?)\"?\s*<([^<>]*)>[^<>]*")
_IP: Final = re.compile(r"\[?[0-9a-f:.]*[:.][0-9a-f:.]*\]?(?::\d+)?", re.IGNORECASE)

_ASSIGNED: Final = re.compile(r"([A-Za-z][\w:-]{1,60})=(?:'([^']*)'|([^,}\]]*))")
_CHAT: Final = re.compile(r"[\w.-]+\|[^|]*@[^|]*\|[^|]*@?[^|]*\|([^|]+)(?:\|.*)?", re.DOTALL)
_UUID_AND: Final = re.compile(rf"{_UUID.pattern} (.+)", re.DOTALL)
_NAME_AND_NUMBER: Final = re.compile(r"([^|]*[^\W\d][^|]*)\|(\+?\d+)")
_EXTENSION: Final = re.compile(
    r"(\+?\d{3,})@[\w-]+|(?:[a-z_]+ )*[\w-]+(?:\.[\w-]+)+ (\d{2,})|(?:.*\bvalet_park:)?\w*(?:lot|park)\w* (\d{3,})"
)
_MOST_ASSIGNMENTS: Final = 32


def read(kind: str, meaning: Meaning, value: str) -> Iterator[Clue]:
    """What ``value`` gives away for having this ``meaning`` in an event of this ``kind``."""
    reading = _READINGS.get(meaning)
    if reading is None or (meaning is not Meaning.CREDENTIAL and says_nothing(value)):
        return
    if meaning is Meaning.COMMAND and "=" in value:
        yield from _assigned(kind, value)
    yield from reading(value)


def without_assigned(kind: str, value: str) -> tuple[str, str | None]:
    """``value``, a command, with what it assigns to names of credentials blanked out, and the first of these."""
    credentials: list[str] = []

    def blank(match: re.Match[str]) -> str:
        name, quoted, bare = match.groups()
        if not (quoted or bare) or meaning_of(kind, name) is not Meaning.CREDENTIAL:
            return match[0]
        credentials.append(quoted or bare)
        return "\n"

    value = _ASSIGNED.sub(blank, value)
    return value, credentials[0] if credentials else None


def _credential(value: str) -> Iterator[Clue]:
    if value.strip() not in ("", "_undef_"):
        yield Leak.CREDENTIALS, value


def _digits(value: str) -> Iterator[Clue]:
    if _PRESSED.fullmatch(value):
        yield Leak.DTMF, value


def _text(value: str) -> Iterator[Clue]:
    yield Leak.CONTENT, value


def _status(value: str) -> Iterator[Clue]:
    if _KNOWN_STATUS.fullmatch(value) is None:
        yield Leak.NAMES, value


def _recording(value: str) -> Iterator[Clue]:
    if "/" in value and not _STREAM.match(value) and not value.endswith(".so"):
        yield Leak.CONTENT, value


def _party(value: str) -> Iterator[Clue]:
    if "@" in value:
        user = value.partition("@")[0].removeprefix("sip:").rpartition("<sip:")[2]
        yield (Leak.TOPOLOGY if OWN_USERS.fullmatch(user) else Leak.SIP), value
        return
    moved = _IN_TRANSFER.search(value)
    value = _UUID.sub(" ", value if moved is None else moved[1])
    digits = _PARTY_DIGITS.search(value)
    if digits is not None and not _IP.fullmatch(value):
        yield Leak.NUMBERS, digits[0]
    elif _USER.fullmatch(value) and not _SOURCE.fullmatch(value) and value.lower() not in _SERVICES:
        yield Leak.SIP, value


def _room(value: str) -> Iterator[Clue]:
    number = _ROOM_NUMBER.fullmatch(value)
    if number is not None:
        yield Leak.NUMBERS, number[1]


def _name(value: str) -> Iterator[Clue]:
    yield (Leak.NAMES if any(letter.isalpha() for letter in value) else Leak.NUMBERS), value


def _caller(value: str) -> Iterator[Clue]:
    both = _CALLER.fullmatch(value)
    if both is None:
        yield from _party(value)
        return
    name, party = both.groups()
    if not says_nothing(name):
        yield from _name(name)
    if not says_nothing(party):
        yield from _party(party.partition(":")[2].partition("@")[0] if "@" in party else party)


def _call(value: str) -> Iterator[Clue]:
    yield Leak.CALL, value


def _host(value: str) -> Iterator[Clue]:
    if not _IP.fullmatch(value):
        yield Leak.TOPOLOGY, value


def _system(value: str) -> Iterator[Clue]:
    yield Leak.TOPOLOGY, value


def _command(value: str) -> Iterator[Clue]:
    """What applications and API commands are told, in the forms of those that are told something of people."""
    chat = _CHAT.fullmatch(value)
    if chat is not None:
        yield Leak.CONTENT, chat[1]
    of_call = _UUID_AND.fullmatch(value)
    if of_call is not None:
        if _PRESSED.fullmatch(of_call[1]):
            yield Leak.DTMF, of_call[1]
        named = _NAME_AND_NUMBER.fullmatch(of_call[1])
        if named is not None:
            yield Leak.NAMES, named[1]
            yield Leak.NUMBERS, named[2]
    extension = _EXTENSION.fullmatch(value)
    if extension is not None:
        yield Leak.NUMBERS, next(group for group in extension.groups() if group)


def _assigned(kind: str, value: str) -> Iterator[Clue]:
    """Each ``name=value`` in a command is read as a header of that name."""
    for _, match in zip(range(_MOST_ASSIGNMENTS), _ASSIGNED.finditer(value), strict=False):
        name, quoted, bare = match.groups()
        meaning = meaning_of(kind, name)
        if meaning is not Meaning.COMMAND:
            yield from read(kind, meaning, quoted or bare or "")


_READINGS: Final[Mapping[Meaning, Callable[[str], Iterator[Clue]]]] = {
    Meaning.CREDENTIAL: _credential,
    Meaning.DIGITS: _digits,
    Meaning.TEXT: _text,
    Meaning.STATUS: _status,
    Meaning.RECORDING: _recording,
    Meaning.PARTY: _party,
    Meaning.ROOM: _room,
    Meaning.NAME: _name,
    Meaning.CALLER: _caller,
    Meaning.CALL: _call,
    Meaning.HOST: _host,
    Meaning.SYSTEM: _system,
    Meaning.COMMAND: _command,
}
