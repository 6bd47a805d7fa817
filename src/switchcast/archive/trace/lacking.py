"""What a story lacks: legs whose beginning or end was not heard, events that were lost, clocks that do not agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.story import Leg, Link, Missing
from switchcast.wire.gap_record import GAP_SUBCLASS

__all__ = ["lacking"]

_AROUND: Final = 5_000_000
"""Microseconds before and behind a call in which lost events can have been its own."""
_CLOCKS: Final = 1_000_000
"""Microseconds by which the clocks of two nodes may differ before it is worth a word."""


def lacking(
    legs: Sequence[Leg], links: Sequence[Link], seen: Sequence[Sighting], began: int, ended: int
) -> Iterator[Missing]:
    """Everything that is known to be missing, or doubtful."""
    for leg in legs:
        if not leg.heard:
            yield Missing("leg", f"nothing of leg {leg.letter} was heard; others speak of it", leg.id, leg.node)
            continue
        if not leg.begin_heard:
            told = "; a later event tells when it was" if leg.began is not None else ""
            yield Missing("begin", f"the beginning of leg {leg.letter} was not heard{told}", leg.id, leg.node)
        if not leg.end_heard:
            words = f"leg {leg.letter} was {leg.state} when it was last heard of"
            if leg.ended is not None:
                words = f"the end of leg {leg.letter} was not heard; another event tells when it was"
            yield Missing("end", words, leg.id, leg.node)
    letters = {leg.id: leg.letter for leg in legs}
    for link in links:
        if not link.sure:
            a, b = sorted((letters[link.a], letters[link.b]))
            yield Missing(
                "likely", f"that {a} and {b} are one way between two nodes is likely, by number, time and address"
            )
    nodes = {"", *(leg.node for leg in legs)}
    for each in seen:
        sender = each.get("Gap-Sender")
        vouched = each.kind == GAP_SUBCLASS and each.event.trust == "local"  # others can claim what they like
        if vouched and sender in nodes and began - _AROUND <= each.time <= ended + _AROUND:
            yield _gap(each, sender)
    yield from _clocks(legs, seen)


def _gap(each: Sighting, sender: str) -> Missing:
    count = each.number("Gap-Events")
    many = f"{count:,} events" if count > 1 else "1 event" if count else "events"
    where = f" of {sender}" if sender else ""
    why = ", ".join(part for part in (each.get("Gap-Reason"), each.get("Gap-Place")) if part)
    return Missing("gap", f"{many}{where} were lost" + (f" ({why})" if why else ""), "", sender, each.time)


def _clocks(legs: Sequence[Leg], seen: Sequence[Sighting]) -> Iterator[Missing]:
    """Nodes whose clocks differ, as far as the times tell at which their events were received."""
    cores = {leg.core: leg.node for leg in legs if leg.heard}
    behind: dict[str, int] = defaultdict(lambda: 2**62)
    for each in seen:
        if each.core in cores and each.event.received is not None:
            node = cores[each.core]
            behind[node] = min(behind[node], each.event.received // 1000 - each.time)
    if len(behind) > 1:
        first = min(behind, key=lambda node: behind[node])
        last = max(behind, key=lambda node: behind[node])
        if behind[last] - behind[first] > _CLOCKS:
            difference = (behind[last] - behind[first]) / 1e6
            yield Missing(
                "clock",
                f"the clock of {last} is about {difference:.1f} s behind that of {first}:"
                " what happened on both may be out of order",
                "",
                last,
            )
