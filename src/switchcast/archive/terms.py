"""What people search an archive by: the UUIDs, call ids, numbers, users, node and kind that an event names.

======== ===================================================================== =======================================
kind     which headers name one                                                how two are known to be the same
======== ===================================================================== =======================================
uuid     ``Unique-ID``, the other leg's, the call's, both of a bridge, and       letter by letter, but for case
         what else ties legs together; conferences and background jobs;
         what a command such as ``uuid_kill`` was given
call_id  SIP Call-IDs                                                          letter by letter
number   caller, callee and destination of either leg                          by their digits, if it is dialled with
                                                                               such: ``+49 (30) 1234`` is ``49301234``
user     who registers, publishes, calls, or has mail                          as ``user@domain`` and as ``user``, but
                                                                               for case
node     ``FreeSWITCH-Hostname``, ``FreeSWITCH-Switchname``,                     but for case
         ``Multicast-Sender``
kind     ``Event-Name``; of a CUSTOM event its ``Event-Subclass``               but for case
======== ===================================================================== =======================================

Of an event that a switch re-fired as ``multicast::event`` its terms are there too, and those of the event within it.

A block of the archive keeps a number of 32 bits for each distinct term in it. Two terms may share one, which costs the
reading of a block for nothing; what is found is always compared in full.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import unquote_to_bytes

from switchcast._native import Event
from switchcast.errors import RejectedDatagram
from switchcast.wire.refire import restore

__all__ = ["KINDS", "Term", "TermFilter", "hashes_of", "terms_of"]

Kind = Literal["uuid", "call_id", "number", "user", "node", "kind"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_UUIDS: Final = (
    "Unique-ID",
    "Channel-Call-UUID",
    "Other-Leg-Unique-ID",
    "Bridge-A-Unique-ID",
    "Bridge-B-Unique-ID",
    "variable_bridge_uuid",
    "variable_signal_bond",
    "variable_originator",
    "variable_originating_leg_uuid",
    "variable_other_loopback_leg_uuid",
    "variable_other_loopback_from_uuid",
    "variable_last_bridge_to",
    "Bridge-To-UUID",
    "Bridged-To",
    "Old-Unique-ID",
    "Conference-Unique-ID",
    "Job-UUID",
    "VM-UUID",
)
_COMMANDED: Final = re.compile(rb"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")
_MOST_COMMANDED: Final = 1024
"""Bytes of a command's arguments that are looked through."""
_CALL_IDS: Final = ("variable_sip_call_id", "Call-ID", "sub-call-id", "VM-Call-ID")
_NUMBERS: Final = (
    "Caller-Caller-ID-Number",
    "Caller-Destination-Number",
    "Caller-Callee-ID-Number",
    "Caller-ANI",
    "Caller-Orig-Caller-ID-Number",
    "Other-Leg-Caller-ID-Number",
    "Other-Leg-Destination-Number",
    "Other-Leg-Callee-ID-Number",
    "VM-Caller-ID-Number",
)
_USERS: Final = (
    "Channel-Presence-ID",
    "Caller-Username",
    "variable_presence_id",
    "variable_sip_from_uri",
    "from",
    "to",
    "MWI-Message-Account",
    "Message-Account",
)
_USERS_AND_DOMAINS: Final = (
    ("from-user", "from-host"),
    ("to-user", "to-host"),
    ("username", "realm"),
    ("user", "host"),
    ("variable_user_name", "variable_domain_name"),
    ("VM-User", "VM-Domain"),
    ("from_user", "from_host"),
    ("to_user", "to_host"),
)
_NODES: Final = ("FreeSWITCH-Hostname", "FreeSWITCH-Switchname", "Multicast-Sender")

_REFIRED: Final = b"multicast%3A%3Aevent"
_DIALLED: Final = re.compile(r"[0-9+*#()./ -]*[0-9][0-9+*#()./ -]*")
_PUNCTUATION: Final = re.compile(r"[+()./ -]+")
_SCHEME: Final = re.compile(r"^sips?:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """Something to search by; made by the methods named after its kind, which write it as it is compared."""

    kind: Kind
    value: str

    @classmethod
    def uuid(cls, text: str) -> Term:
        """A leg, a call, a conference, a background job."""
        return cls("uuid", text.strip().lower())

    @classmethod
    def call_id(cls, text: str) -> Term:
        """A SIP Call-ID."""
        return cls("call_id", text.strip())

    @classmethod
    def number(cls, text: str) -> Term:
        """A number, however it is written."""
        text = text.strip()
        return cls("number", _PUNCTUATION.sub("", text) if _DIALLED.fullmatch(text) else text.lower())

    @classmethod
    def user(cls, text: str) -> Term:
        """``user@domain``, or a user whatever the domain; ``sip:`` in front does not count."""
        return cls("user", _SCHEME.sub("", text.strip()).partition(";")[0].lower())

    @classmethod
    def node(cls, text: str) -> Term:
        """A switch, by its host's name or its own."""
        return cls("node", text.strip().lower())

    @classmethod
    def named(cls, text: str) -> Term:
        """The events of a name, or of a subclass."""
        return cls("kind", text.strip().lower())

    @property
    def hash(self) -> int:
        """What stands for it in a segment: 32 bits, as a signed number."""
        return zlib.crc32(f"{self.kind}:{self.value}".encode("utf-8", "surrogateescape")) - 2**31


_MAKERS: Final[dict[Kind, Callable[[str], Term]]] = {
    "uuid": Term.uuid,
    "call_id": Term.call_id,
    "number": Term.number,
    "user": Term.user,
    "node": Term.node,
    "kind": Term.named,
}
_Found = dict[Kind, set[bytes | None]]


def terms_of(event: Event) -> set[Term]:
    """Every term of one event."""
    return _terms(_collected([event], KINDS))


def hashes_of(events: Iterable[Event]) -> list[int]:
    """The hashes of every distinct term of ``events``, in order of size."""
    return sorted({term.hash for term in _terms(_collected(events, KINDS))})


class TermFilter:
    """Whether an event has one of ``terms`` (if there are any), and each of ``every``."""

    def __init__(self, terms: Iterable[Term] = (), every: Iterable[Term] = ()) -> None:
        self.terms = frozenset(terms)
        self.every = frozenset(every)
        self._kinds: Sequence[Kind] = [kind for kind in KINDS if any(t.kind == kind for t in self.terms | self.every)]

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def matches(self, event: Event) -> bool:
        """Whether this event has them."""
        if not self._kinds:
            return True
        found = _terms(_collected([event], self._kinds))
        return found >= self.every and (not self.terms or not found.isdisjoint(self.terms))


def _collected(events: Iterable[Event], kinds: Sequence[Kind]) -> _Found:
    """The values of these kinds as they stand on the wire: each is decoded only once, however many events have it."""
    found: _Found = {kind: set() for kind in kinds}
    collectors = [(_COLLECTORS[kind], found[kind]) for kind in kinds]
    for event in events:
        raw = event.raw
        for collect, values in collectors:
            collect(raw, values)
        if raw("Event-Subclass") == _REFIRED:
            with contextlib.suppress(RejectedDatagram):
                raw = restore(event).raw
                for collect, values in collectors:
                    collect(raw, values)
    return found


_Raw = Callable[[str], bytes | None]
_Values = set[bytes | None]


def _values_of(*names: str) -> Callable[[_Raw, _Values], None]:
    def collect(raw: _Raw, values: _Values) -> None:
        values.update(map(raw, names))

    return collect


def _collect_uuids(raw: _Raw, values: _Values) -> None:
    values.update(map(raw, _UUIDS))
    arguments = raw("API-Command-Argument")
    if arguments:
        values.update(_COMMANDED.findall(unquote_to_bytes(arguments[:_MOST_COMMANDED])))


def _collect_users(raw: _Raw, values: _Values) -> None:
    values.update(map(raw, _USERS))
    for user_name, domain_name in _USERS_AND_DOMAINS:
        user = raw(user_name)
        if user:
            domain = raw(domain_name)
            values.add(user + b"@" + domain if domain and b"@" not in user and b"%40" not in user else user)


def _collect_kind(raw: _Raw, values: _Values) -> None:
    name = raw("Event-Name")
    values.add((raw("Event-Subclass") or name) if name == b"CUSTOM" else name)


_COLLECTORS: Final[dict[Kind, Callable[[_Raw, _Values], None]]] = {
    "uuid": _collect_uuids,
    "call_id": _values_of(*_CALL_IDS),
    "number": _values_of(*_NUMBERS),
    "user": _collect_users,
    "node": _values_of(*_NODES),
    "kind": _collect_kind,
}


def _terms(found: _Found) -> set[Term]:
    terms = set()
    for kind, values in found.items():
        make = _MAKERS[kind]
        for value in values:
            if not value or value == b"_undef_":
                continue
            text = (
                unquote_to_bytes(value).decode("utf-8", "surrogateescape")
                if b"%" in value
                else value.decode("utf-8", "surrogateescape")
            )
            term = make(text)
            terms.add(term)
            if kind == "user" and "@" in term.value:
                terms.add(Term("user", term.value.partition("@")[0]))
    return terms
