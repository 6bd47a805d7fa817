"""Finding a call's events: what a key matches, then what those events name, and so on until nothing new is named.

::

    key ──> events of the legs that it names ──> UUIDs, Call-IDs and conferences in them ──> their events ──> ...

What is looked up is asked of a ``Search``: an archive, or what was collected from a live source. Each round asks for
all that the last one brought up, so a call of three nodes takes three or four questions however many legs it has.
Bounds are named, and a story says which of them it ran into.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from switchcast._native import Event
from switchcast.archive.terms import Term
from switchcast.archive.trace.legs import make_leg
from switchcast.archive.trace.sightings import Known, Sighting, distinct, in_order, merged, sighting
from switchcast.archive.trace.steps import command_of
from switchcast.archive.trace.story import Leg, Missing, Story
from switchcast.archive.trace.telling import tell
from switchcast.archive.trace.web import LIKELY_SECONDS, Web, likely, likely_pairs
from switchcast.wire.gap_record import GAP_SUBCLASS

__all__ = ["Bounds", "Found", "Search", "gather"]

_NUMBERS: Final = (
    "Caller-Caller-ID-Number",
    "Caller-Orig-Caller-ID-Number",
    "Caller-ANI",
    "Caller-Destination-Number",
    "Caller-Callee-ID-Number",
)
_USERS: Final = (
    "Channel-Presence-ID",
    "Caller-Username",
    "variable_presence_id",
    "variable_user_name",
    "variable_sip_from_user",
    "variable_sip_to_user",
    "variable_dialed_user",
)
_BEGINNING: Final = re.compile(r"[0-9a-f]{4,8}(-[0-9a-f-]*)?")
"""Of a UUID: four of its digits are the least that is looked for."""
_NEWEST_LEGS: Final = 16
"""That are followed to find the newest call: older calls, too, get legs now."""
_TO_NUMBER: Final = "Caller-Destination-Number"
_TOGETHER_SECONDS: Final = 600.0
"""Legs that began within this time of each other are asked about at once: to read the same blocks again takes long, and
of a longer time there may be too many events to hold."""
_BEGINNERS: Final = ("CHANNEL_CREATE", "CHANNEL_UUID", "CHANNEL_HANGUP_COMPLETE")
"""Kinds of event by which every leg is found when only the beginning of its name is known."""


class Search(Protocol):
    """Where events are looked up."""

    def __call__(
        self, terms: Collection[Term], since: float | None = None, until: float | None = None
    ) -> Iterable[Event]:
        """The events that have any of ``terms``, received from ``since`` to ``until`` (seconds since 1970).

        More may come than was asked for, in any order, and the same twice.
        """


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a call is followed. A number that calls all day, or a conference of hundreds, would have no end."""

    calls: int = 50
    """That a key can match; the newest are told."""
    legs: int = 48
    """Of one call: the nearest to the leg that the key matched."""
    all_legs: int = 2_000
    """Of all calls that a key matches, while they are being told apart."""
    events: int = 50_000
    """Of all of them; each takes some kilobytes."""
    rounds: int = 12
    """From leg to leg."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a key matched: the calls, newest first, and in words which bounds were run into."""

    key: str
    calls: tuple[Story, ...]
    cut: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As plain values."""
        return {"key": self.key, "calls": [call.to_dict() for call in self.calls], "cut": list(self.cut)}


def gather(
    key: str, search: Search, *, bounds: Bounds | None = None, newest: bool = False, reveal: bool = False
) -> Found:
    """Every call that ``key`` matches, each with all that belongs to it, newest first; with ``newest`` only that one.

    ``key`` is a Unique-ID or its beginning, a telephone number, a SIP Call-ID, or a user (``1000``, ``1000@domain``).
    ``reveal`` shows the digits that were pressed. The same events in any order give the same.
    """
    following = _Following(search, bounds or Bounds())
    seeds = following.start(key.strip(), newest=newest)
    following.follow()
    found = following.tell(key.strip(), seeds, reveal=reveal)
    return replace(found, calls=found.calls[:1]) if newest else found


def matches(seen: Sighting, key: str) -> bool:
    """Whether this event's own leg is one that ``key`` names."""
    low = key.lower()
    if low in {seen.leg, seen.get("Old-Unique-ID").lower(), seen.get("Channel-Call-UUID").lower()}:
        return True
    if key == seen.get("variable_sip_call_id"):
        return True
    number = Term.number(key)
    if any(Term.number(value) == number for name in _NUMBERS if (value := seen.get(name))):
        return True
    return any(low in {value, value.partition("@")[0]} for name in _USERS if (value := seen.get(name).lower()))


class _Following:
    """Events gathered so far, and what they name that has not been asked for."""

    def __init__(self, search: Search, bounds: Bounds) -> None:
        self._search = search
        self._bounds = bounds
        self._known: Known = {}
        self._seen: list[Sighting] = []
        self._asked: set[Term] = set()
        self._hinted: set[str] = set()
        self._cut: dict[str, None] = {}

    def start(self, key: str, *, newest: bool = False) -> set[str]:
        """The legs that ``key`` names; with ``newest`` those that began last, among which the newest call's are."""
        if not key:
            return set()
        terms = [Term.uuid(key), Term.call_id(key), Term.number(key), Term.user(key)]
        found = [each for each in distinct(self._search(terms)) if each.leg and matches(each, key)]
        if not found and _BEGINNING.fullmatch(key.lower()):
            ways = [Term.named(kind) for kind in _BEGINNERS]
            found = [
                each
                for each in distinct(self._search(ways))
                if each.leg.startswith(key.lower()) or each.get("Old-Unique-ID").lower().startswith(key.lower())
            ]
        times: dict[str, int] = {}
        for each in found:
            times[each.leg] = (min if newest else max)(times.get(each.leg, each.time), each.time)
        latest = sorted(times, key=lambda leg: (-times[leg], leg))
        most = _NEWEST_LEGS if newest else self._bounds.calls * 4
        if len(latest) > most and not newest:
            self._cut[f"{len(latest):,} legs match; only the newest {most:,} were followed"] = None
        seeds = set(latest[:most])
        self._add(each for each in found if each.leg in seeds)
        return seeds

    def _add(self, seen: Iterable[Sighting]) -> bool:
        """Keep what is new; whether there was anything."""
        before = len(self._known)
        merged(self._known, seen)
        self._seen = in_order(self._known)
        if len(self._seen) > self._bounds.events:
            self._cut[f"only the first {self._bounds.events:,} events were followed"] = None
            self._seen = self._seen[: self._bounds.events]
            self._known = merged({}, self._seen)
        return len(self._known) > before

    def follow(self) -> None:
        """Ask for what the events name until they name nothing new, or a bound is reached."""
        for _ in range(self._bounds.rounds):
            asked = self._ask_for_named()
            if not asked and not self._ask_for_likely():
                return
        self._cut[f"it goes on; it was asked {self._bounds.rounds} times what belongs to it"] = None

    def _ask_for_named(self) -> bool:
        legs, wanted = set[str](), dict[Term, None]()
        for each in self._seen:
            for value in _named_by(each):
                wanted[value] = None
                if value.kind == "uuid":
                    legs.add(value.value)
        if len(legs) > self._bounds.all_legs:
            self._cut[f"only the first {self._bounds.all_legs:,} legs were followed"] = None
            allowed = set(sorted(legs)[: self._bounds.all_legs])
            wanted = {term: None for term in wanted if term.kind != "uuid" or term.value in allowed}
        fresh = [term for term in wanted if term not in self._asked]
        if not fresh:
            return False
        self._asked.update(fresh)
        names = {term.value for term in wanted}
        self._add(each for each in distinct(self._search(fresh)) if not names.isdisjoint(_names(each)))
        return True

    def _ask_for_likely(self) -> bool:
        """For legs to or from another node whose Call-ID nobody else has: whether one there began just then."""
        web = Web(self._seen)
        tied = {leg for link in web.links if link.kind == "call-id" for leg in (link.a, link.b)}
        legs = []
        for uuid in sorted(web.sightings):
            if uuid in self._hinted:
                continue
            self._hinted.add(uuid)
            leg = make_leg(uuid, "", web.sightings[uuid])
            if uuid not in tied and leg.began is not None and leg.to_number and leg.name.startswith("sofia/"):
                legs.append((leg.began / 1e6, leg))
        legs.sort(key=lambda each: each[0])
        found: list[Sighting] = []
        while legs:
            first = legs[0][0]
            together = [each for each in legs if each[0] <= first + _TOGETHER_SECONDS]
            legs = legs[len(together) :]
            found += self._others_like([leg for _, leg in together], first, together[-1][0])
        return self._add(found)

    def _others_like(self, legs: Sequence[Leg], first: float, last: float) -> Iterator[Sighting]:
        """The events of those that may be one with any of ``legs``, which began between ``first`` and ``last``."""
        around = LIKELY_SECONDS + 60.0  # what is received late, or by a clock that is slow
        asked: dict[str, list[Leg]] = defaultdict(list)
        for leg in legs:
            asked[leg.to_number].append(leg)
        terms = {Term.number(number) for number in asked}
        seen = (sighting(event) for event in self._search(terms, first - around, last + around))
        there = [each for each in seen if each is not None and each.leg and each.get(_TO_NUMBER) in asked]
        for uuid, own in sorted(Web(in_order(merged({}, there))).sightings.items()):
            other = make_leg(uuid, "", own)
            alike = [leg for leg in asked.get(other.to_number, ()) if leg.id != uuid]
            if any(likely(leg, other) or likely(other, leg) for leg in alike):
                yield from own

    def tell(self, key: str, seeds: Collection[str], *, reveal: bool) -> Found:
        """The stories of the calls that have one of ``seeds``, newest first."""
        pairs = likely_pairs(Web(self._seen))
        web = Web(self._seen, pairs)
        told: set[str] = set()
        calls = []
        heard = {leg: own[-1].time for leg in seeds if (own := web.sightings.get(web.name(leg)))}
        for seed in sorted(heard, key=lambda leg: (-heard[leg], leg)):
            if web.name(seed) in told:
                continue
            members, more = web.around(seed, self._bounds.legs)
            told.update(members)
            story = tell([*self._seen, *self._gaps(members, web)], web, members, reveal=reveal)
            if more:
                words = f"the call has more than {self._bounds.legs} legs; these are the nearest to {seed[:8]}"
                story = replace(story, missing=(*story.missing, Missing("bound", words)))
            calls.append(story)
        calls.sort(key=lambda story: (-story.began, story.id))
        if len(calls) > self._bounds.calls:
            self._cut[f"{len(calls):,} calls match; these are the newest {self._bounds.calls:,}"] = None
        return Found(key, tuple(calls[: self._bounds.calls]), tuple(self._cut))

    def _gaps(self, members: Collection[str], web: Web) -> list[Sighting]:
        times = [each.time / 1e6 for leg in members for each in web.sightings.get(leg, ())]
        asked = self._search([Term.named(GAP_SUBCLASS)], min(times) - 60.0, max(times) + 60.0)
        return [each for each in distinct(asked) if each.kind == GAP_SUBCLASS]


def _named_by(seen: Sighting) -> Iterator[Term]:
    """What an event of a call names that others of the call may have."""
    if seen.leg:
        yield Term.uuid(seen.leg)
    for one, reference in seen.references:
        yield Term.uuid(one)
        yield Term.uuid(reference.to)
    if seen.leg and (call_id := seen.get("variable_sip_call_id")):
        yield Term.call_id(call_id)
    if conference := seen.get("Conference-Unique-ID"):
        yield Term.uuid(conference)


def _names(seen: Sighting) -> set[str]:
    """By what an event can be one that was asked for."""
    names = {term.value for term in _named_by(seen)}
    command, words = command_of(seen)
    return names.union(words) if command else names
