"""One event as a trace reads it: which leg it is of, when and where it happened, and which others it names.

A ``multicast::event``, which a switch fires for what it received, is read through its ``Orig-`` headers: it is the
same event as the one that was sent. Two events are the same when Core-UUID and Event-Sequence are; the switch that
counts them uses no number twice. Of two that claim the same number the better proven one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from switchcast._native import Event
from switchcast.wire.refire import fired_as

__all__ = [
    "MOST_ID_CHARACTERS",
    "Known",
    "Reference",
    "Sighting",
    "distinct",
    "in_order",
    "merged",
    "sighting",
]

MOST_ID_CHARACTERS: Final = 128
"""Of a leg's name. A UUID has 36; anyone can send more, and it would be kept as the name of a leg."""
_LATEST: Final = 32_000_000_000_000_000
"""Microseconds: beyond the year 2984 a date is not believed, and the time of receipt counts."""
_OF_NO_LEG: Final = ("PRESENCE_", "MESSAGE_", "ROSTER")
"""Kinds whose ``unique-id`` can be a conference's name or a user's."""
_WORTH: Final = {"stock": 0, "local": 1, "member": 2, "signed": 3}


@dataclass(frozen=True, slots=True)
class Reference:
    """Another leg that an event of one names. ``how`` is a ``LinkKind``, or ``rename`` where both are one."""

    to: str
    how: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """An event of a call. ``leg`` is its Unique-ID, empty for those of a conference as a whole and for gap records.

    ``time`` is microseconds since 1970, of the node's clock.
    """

    event: Event
    kind: str
    leg: str
    node: str
    core: str
    sequence: int
    time: int
    prefix: str = ""
    _named: list[tuple[tuple[str, Reference], ...]] = field(default_factory=list, compare=False, repr=False)

    def get(self, name: str) -> str:
        """The first header of this name; empty where there is none."""
        return self.event.get(self.prefix + name if self.prefix else name) or ""

    def array(self, name: str) -> list[str]:
        """The elements of an array; a plain value is a list of one."""
        return self.event.array(self.prefix + name if self.prefix else name)

    def number(self, name: str) -> int:
        """The header as a whole number; 0 where it is none."""
        text = self.get(name)
        return int(text) if len(text) < 20 and text.isascii() and text.isdigit() else 0

    def moment(self, name: str) -> int | None:
        """The header as microseconds since 1970; ``None`` where it has not happened."""
        value = self.number(name)
        return value if 0 < value < _LATEST else None

    @property
    def references(self) -> tuple[tuple[str, Reference], ...]:
        """Each pair of a leg and another one that this event names. They are read once: a trace asks many times."""
        if not self._named:
            self._named.append(tuple(_references(self)))
        return self._named[0]

    @property
    def order(self) -> tuple[int, str, int, str, str]:
        """What sightings are put in order by; the same however they came."""
        return self.time, self.core, self.sequence, self.kind, self.leg


Known = dict[tuple[str, int] | bytes, Sighting]
"""Sightings by what makes them one: run of the switch and number there, else their whole text."""


def sighting(event: Event) -> Sighting | None:
    """What ``event`` is for a trace; ``None`` where it does not tell its kind or its time."""
    kind, prefix = fired_as(event)
    if not kind:
        return None
    get = event.get
    leg = "" if kind.startswith(_OF_NO_LEG) else get(prefix + "Unique-ID") or ""
    names = ("Multicast-Sender", "FreeSWITCH-Switchname", "FreeSWITCH-Hostname")
    node = next((value for name in names if (value := get(prefix + name))), "")
    made = Sighting(event, kind, _id(leg), node, get(prefix + "Core-UUID") or "", 0, 0, prefix)
    time = made.moment("Event-Date-Timestamp")
    if time is None and event.received is not None and 0 < event.received // 1000 < _LATEST:
        time = event.received // 1000
    if time is None:
        return None
    return Sighting(event, kind, made.leg, node, made.core, made.number("Event-Sequence"), time, prefix)


def _id(text: str) -> str:
    text = text.strip()
    return text.lower() if 0 < len(text) <= MOST_ID_CHARACTERS else ""


def distinct(events: Iterable[Event]) -> list[Sighting]:
    """What ``events`` are for a trace, each once, in order."""
    return in_order(merged({}, (seen for event in events if (seen := sighting(event)) is not None)))


def merged(known: Known, seen: Iterable[Sighting]) -> Known:
    """``known`` with what is new in ``seen``, in place."""
    for each in seen:
        key = (each.core, each.sequence) if each.core and each.sequence else each.event.to_plain()
        there = known.get(key)
        if there is None or (there.event is not each.event and _rank(each) < _rank(there)):
            known[key] = each
    return known


def in_order(known: Known) -> list[Sighting]:
    """All that is known, in order."""
    return sorted(known.values(), key=lambda seen: seen.order)


def _rank(seen: Sighting) -> tuple[int, str, int, bytes]:
    """The least of those that claim one number counts."""
    return -_WORTH[seen.event.trust], seen.prefix, seen.event.received or 0, seen.event.to_plain()


_NAMED: Final = (
    ("Other-Leg-Unique-ID", "originate"),
    ("Old-Unique-ID", "rename"),
    ("variable_other_loopback_leg_uuid", "loopback"),
    ("variable_loopback_from_uuid", "originate"),
    ("variable_other_loopback_from_uuid", "originate"),
    ("variable_originator", "originate"),
    ("variable_originating_leg_uuid", "originate"),
    ("variable_signal_bond", "originate"),
    ("variable_bridge_uuid", "bridge"),
    ("Bridged-To", "bridge"),
    ("Bridge-To-UUID", "bridge"),
    ("variable_last_bridge_to", "bridge"),
    ("Channel-Call-UUID", "call"),
)
"""Headers that name another leg, and what that makes of the two. ``Channel-Call-UUID`` is the first leg's UUID."""


def _references(seen: Sighting) -> Iterator[tuple[str, Reference]]:
    if not seen.leg:
        return
    for name, how in _NAMED:
        other = _id(seen.get(name))
        if other and other != seen.leg:
            yield seen.leg, Reference(other, how)
    a, b = _id(seen.get("Bridge-A-Unique-ID")), _id(seen.get("Bridge-B-Unique-ID"))
    if a and b and a != b:
        yield a, Reference(b, "bridge")
    for entry in seen.array("variable_originated_legs"):
        other = _id(entry.partition(";")[0])
        if other and other != seen.leg:
            yield seen.leg, Reference(other, "originate")
    for entry in (seen.get("Caller-Transfer-Source"), *seen.array("variable_transfer_history")):
        parts = entry.split(":", 3)
        other = _id(parts[3]) if len(parts) == 4 and parts[2] == "uuid_br" else ""
        if other and other != seen.leg:
            yield seen.leg, Reference(other, "bridge")
