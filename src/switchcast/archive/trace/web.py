"""Which legs belong together: the web that the events of many legs make, and the calls it falls into.

What ties two legs, from the surest on: a bridge; the one began the other; two halves of a loopback channel; one
Channel-Call-UUID; one SIP Call-ID, which the leg out of a node and the leg in to the next have in common; one
conference. Where no Call-ID was heard, a leg out of one node is *likely* the leg in to another when the number is the
same, the one's network address is where the other came from, and they began within seconds; if two would do, none is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, cast

from switchcast.archive.trace.legs import make_leg
from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.story import Leg, Link, LinkKind

__all__ = ["LIKELY_SECONDS", "Web", "likely"]

LIKELY_SECONDS: Final = 5.0
"""Between the beginnings of two legs that are likely the two ends of one: what an INVITE takes, and clocks differ."""
_SUREST_FIRST: Final[tuple[LinkKind, ...]] = (
    "bridge",
    "originate",
    "loopback",
    "call",
    "call-id",
    "conference",
    "likely",
)

_OTHERS: Final = ("Other-Leg-Unique-ID", "Bridge-A-Unique-ID", "Bridge-B-Unique-ID")
"""Headers by which an event of one leg speaks of another."""


class Web:
    """The legs of ``seen``, which are in order and distinct, by the names that they have at last."""

    def __init__(self, seen: Sequence[Sighting], likely_links: Iterable[tuple[str, str]] = ()) -> None:
        self._same: dict[str, str] = {}
        self._renamed: set[str] = set()
        self._find_names(seen)
        self.sightings: dict[str, list[Sighting]] = defaultdict(list)
        self.conferences: dict[str, set[str]] = defaultdict(set)
        self.spoken: dict[str, list[Sighting]] = defaultdict(list)
        """Legs that others speak of, with the events that do."""
        self._kinds: dict[tuple[str, str], LinkKind] = {}
        self._call_ids: dict[str, set[str]] = defaultdict(set)
        for each in seen:
            if each.leg:
                self._note(each)
        self._tie_sharers()
        for one, other in likely_links:
            self._tie(one, other, "likely")

    def _note(self, each: Sighting) -> None:
        """What one event of a leg says: of the leg itself, of others, and of what it shares with whom."""
        leg = self.name(each.leg)
        self.sightings[leg].append(each)
        for one, reference in each.references:
            self._tie(one, reference.to, reference.how)
        for name in _OTHERS:
            other = each.get(name).strip().lower()
            if other and self.name(other) != leg:
                self.spoken[self.name(other)].append(each)
        if call_id := each.get("variable_sip_call_id"):
            self._call_ids[call_id].add(leg)
        if conference := each.get("Conference-Unique-ID").lower():
            self.conferences[conference].add(leg)

    def _tie_sharers(self) -> None:
        """Tie the legs of one SIP Call-ID, and those of one conference, to the first of them."""
        for kind, shared in (("call-id", self._call_ids), ("conference", self.conferences)):
            for legs in shared.values():
                first, *others = sorted(legs)
                for other in others:
                    self._tie(first, other, kind)

    def _find_names(self, seen: Sequence[Sighting]) -> None:
        for each in seen:
            old = each.get("Old-Unique-ID").strip().lower() if each.kind == "CHANNEL_UUID" else ""
            if old and each.leg and self.name(old) != self.name(each.leg):
                self._renamed.add(old)
                self._same[self.name(old)] = self.name(each.leg)

    def name(self, leg: str) -> str:
        """What ``leg`` is called at last."""
        while leg in self._same:
            leg = self._same[leg]
        return leg

    def also(self, leg: str) -> list[str]:
        """What it was called before."""
        return [old for old in sorted(self._renamed) if old != leg and self.name(old) == leg]

    def _tie(self, one: str, other: str, how: str) -> None:
        a, b = sorted((self.name(one), self.name(other)))
        if a == b or how == "rename":
            return
        kind = cast(LinkKind, how)
        known = self._kinds.get((a, b))
        if known is None or _SUREST_FIRST.index(kind) < _SUREST_FIRST.index(known):
            self._kinds[a, b] = kind

    @property
    def links(self) -> list[Link]:
        """Every tie, each pair once, by the surest that is known of it."""
        return [Link(a, b, kind) for (a, b), kind in sorted(self._kinds.items())]

    def around(self, leg: str, most: int) -> tuple[list[str], bool]:
        """The legs tied to ``leg``, however far, the nearest first; and whether there are more than ``most``.

        Names that nothing is known of but that they tie others together do not count.
        """
        neighbours: dict[str, set[str]] = defaultdict(set)
        for a, b in self._kinds:
            neighbours[a].add(b)
            neighbours[b].add(a)
        found, ring, known = list[str](), [self.name(leg)], {self.name(leg)}
        while ring:
            for each in ring:
                if each in self.sightings or each in self.spoken:
                    if len(found) == most:
                        return found, True
                    found.append(each)
            following = {other for each in ring for other in neighbours[each]} - known
            known |= following
            ring = sorted(following)
        return found, False


def likely(out: Leg, into: Leg) -> bool:
    """Whether the leg ``out`` of one node may be the leg ``into`` another, as far as both tell."""
    if out.inbound or not into.inbound or not out.node or not into.node or out.node == into.node:
        return False
    if out.sip_call_id and into.sip_call_id:
        return False  # had they been one, so would be these
    if not out.to_number or out.to_number != into.to_number or out.began is None or into.began is None:
        return False
    if not out.node_address or into.address.rpartition(":")[0] != out.node_address != into.address:
        return False
    return abs(into.began - out.began) <= LIKELY_SECONDS * 1e6


def likely_pairs(web: Web) -> list[tuple[str, str]]:
    """The legs of ``web`` that are likely the two ends of one: each with only one that would do."""
    legs = {uuid: make_leg(uuid, "", seen) for uuid, seen in sorted(web.sightings.items())}
    known = {leg for link in web.links if link.kind == "call-id" for leg in (link.a, link.b)}
    outs = [leg for leg in legs.values() if leg.direction == "outbound" and leg.id not in known]
    intos = [leg for leg in legs.values() if leg.inbound and leg.id not in known]
    by_number: dict[str, list[Leg]] = defaultdict(list)
    for into in intos:
        by_number[into.to_number].append(into)
    pairs = [(out.id, into.id) for out in outs for into in by_number[out.to_number] if likely(out, into)]
    ones, others = [a for a, _ in pairs], [b for _, b in pairs]
    return [(a, b) for a, b in pairs if ones.count(a) == 1 and others.count(b) == 1]
