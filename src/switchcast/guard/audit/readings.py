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
from switchcast.guard.audit.by_value import OWN_USERS, TOKEN, Clue, says_nothing
from switchcast.guard.audit.leaks import Leak

__all__ = ["MISTAKEN", "members_of", "read", "tells_nothing", "without_assigned", "without_members"]

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
_STREAM: Final = re.compile(r"(?!https?:|s3:|gs:|s?ftp:|file:)[a-z_]+://|(?:say|phrase):", re.IGNORECASE)
"""What is played and kept nowhere; of stores the names are those of files."""
_PRESSED: Final = re.compile(r"[0-9*#a-dw,+ @]*[0-9*#][0-9*#a-dw,+ @]*", re.IGNORECASE)
_PARTY_DIGITS: Final = re.compile(r"(?<![\w.])\+?(?:\d[\s().-]?){0,24}[\d*#]{2,24}(?![\w.])")
_IN_TRANSFER: Final = re.compile(r"\d{10}:[0-9a-f-]{36}:\w+:([^/|]*)")
_USER: Final = re.compile(r"[^\W\d][\w.+-]{0,63}")
_FULL_NAME: Final = re.compile(r"[^\W\d_][^\W\d_'.-]*(?: [^\W\d_][^\W\d_'.-]*){1,3}")
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
_UUID_AND: Final = re.compile(rf"(?:\w+ )?{_UUID.pattern} (.+)", re.DOTALL | re.IGNORECASE)
_VARIABLE: Final = re.compile(rf"(?:\w+ )?{_UUID.pattern} ([A-Za-z][\w:-]{{1,60}}) (.+)", re.DOTALL | re.IGNORECASE)
"""What ``uuid_setvar`` is told."""
_NAME_AND_NUMBER: Final = re.compile(r"([^|]*[^\W\d][^|]*)\|(\+?\d+)")
_EXTENSION: Final = re.compile(
    r"(\+?\d{3,})@[\w-]+|(?:[a-z_]+ )*[\w-]+(?:\.[\w-]+)+ (\d{2,})|(?:.*\bvalet_park:)?\w*(?:lot|park)\w* (\d{3,})"
)
_MEMBER: Final = re.compile(r'"([A-Za-z][\w-]{0,60})"\s{0,8}:\s{0,8}(?:"((?:[^"\\]|\\.){0,2048})"|(-?[\d.]{1,24}))')
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_MOST_ASSIGNMENTS: Final = 32


def tells_nothing(meaning: Meaning, value: str) -> bool:
    """Whether ``value`` stands under a name with this ``meaning`` where nothing is known.

    What says nothing elsewhere is a secret under the name of one, and ``0`` and ``#`` are keys that were pressed.
    """
    if meaning is Meaning.CREDENTIAL:
        return value.strip() in ("", "_undef_")
    return says_nothing(value) and not (meaning is Meaning.DIGITS and _PRESSED.fullmatch(value))


def read(kind: str, meaning: Meaning, value: str) -> Iterator[Clue]:
    """What ``value`` gives away for having this ``meaning`` in an event of this ``kind``."""
    reading = _READINGS.get(meaning)
    if reading is None or tells_nothing(meaning, value):
        return
    if meaning is Meaning.COMMAND:
        yield from _assigned(kind, value)
    yield from reading(value)


def members_of(kind: str, text: str) -> Iterator[Clue]:
    """What the members of objects in ``text``, which is JSON, give away: each is read as a header of its name."""
    for _, match in zip(range(_MOST_ASSIGNMENTS), _MEMBER.finditer(text), strict=False):
        meaning = _meaning_of_member(kind, match[1])
        if meaning is not Meaning.COMMAND:
            yield from read(kind, meaning, match[2] or match[3] or "")


def without_members(kind: str, text: str) -> tuple[str, str | None]:
    """``text``, which is JSON, with its members that are credentials by their names blanked out; the first of these."""
    credentials: list[str] = []

    def blank(match: re.Match[str]) -> str:
        name, quoted, number = match.groups()
        if not (quoted or number) or _meaning_of_member(kind, name) is not Meaning.CREDENTIAL:
            return match[0]
        credentials.append(quoted or number)
        return "\n"

    text = _MEMBER.sub(blank, text)
    return text, credentials[0] if credentials else None


def _meaning_of_member(kind: str, name: str) -> Meaning:
    """Programs write ``phoneNumber`` where FreeSWITCH writes ``phone_number``."""
    return meaning_of(kind, _HUMP.sub("-", name))


def without_assigned(kind: str, value: str) -> tuple[str, str | None]:
    """``value``, a command, with what it assigns to names of credentials blanked out, and the first of these."""
    credentials: list[str] = []

    def blank(match: re.Match[str]) -> str:
        name, quoted, bare = match.groups()
        if not (quoted or bare) or meaning_of(kind, name) is not Meaning.CREDENTIAL:
            return match[0]
        credentials.append(quoted or bare)
        return "\n"

    if "=" in value:
        value = _ASSIGNED.sub(blank, value)
    variable = _VARIABLE.fullmatch(value)
    if variable is not None and meaning_of(kind, variable[1]) is Meaning.CREDENTIAL:
        credentials.append(variable[2])
        value = value[: variable.start(2)]
    return value, credentials[0] if credentials else None


def _credential(value: str) -> Iterator[Clue]:
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
        if OWN_USERS.fullmatch(user):
            yield Leak.TOPOLOGY, value
        elif "<" in value or ":" in value.partition("@")[0] or TOKEN.fullmatch(user) is None:
            yield Leak.SIP, value
        return
    moved = _IN_TRANSFER.search(value)
    value = _UUID.sub(" ", value if moved is None else moved[1])
    digits = _PARTY_DIGITS.search(value)
    if digits is not None and not _IP.fullmatch(value):
        yield Leak.NUMBERS, digits[0]
    elif _USER.fullmatch(value) and not _SOURCE.fullmatch(value) and value.lower() not in _SERVICES:
        yield Leak.SIP, value
    elif _FULL_NAME.fullmatch(value):
        yield Leak.NAMES, value


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
    """Each ``name=value`` in a command, and the variable that it sets, is read as a header of that name."""
    given = [(name, quoted or bare or "") for name, quoted, bare in _some_assigned(value)]
    variable = _VARIABLE.fullmatch(value)
    if variable is not None:
        given.append((variable[1], variable[2]))
    for name, text in given:
        meaning = meaning_of(kind, name)
        if meaning is not Meaning.COMMAND:
            yield from read(kind, meaning, text)


def _some_assigned(value: str) -> Iterator[tuple[str, ...]]:
    if "=" not in value:
        return
    for _, match in zip(range(_MOST_ASSIGNMENTS), _ASSIGNED.finditer(value), strict=False):
        yield match.groups()


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
