"""Gap records: an event in the stream itself that says how many others are missing from it, where and why.

::

    Event-Name: CUSTOM
    Event-Subclass: switchcast::gap
    Gap-Place: archive                      the sink, tap or source that lost them
    Gap-Reason: overflow
    Gap-Events: 812
    Gap-First: <Core-UUID> <Event-Sequence> the first and the last of them, where they were known
    Gap-Last:  <Core-UUID> <Event-Sequence>
    Gap-Since: 1793500000000000             when these two came or, where that is not known, happened: in
    Gap-Until: 1793500004200000             microseconds since 1970 UTC, as Event-Date-Timestamp has it
    Gap-Sender: fs1                         of a stream that counts its events: whose they are,
    Gap-Stream: <32 hex digits>             in which stream,
    Gap-Range: 17-42                        and which; ``17-``, without Gap-Events, when nobody can know the last

They are for whoever reads the stream later, a person or an archive. Stock hosts and switches never get one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from switchcast._native import Event

__all__ = ["GAP_SUBCLASS", "Gap", "is_gap", "parted"]

GAP_SUBCLASS: Final = "switchcast::gap"


@dataclass(frozen=True)
class Gap:
    """``events`` lost at ``place`` for ``reason``, ``None`` if nobody can know how many.

    The first and last of them, and ``sender``, ``stream`` and ``range`` in it, where they are known.
    """

    place: str
    reason: str
    events: int | None
    first: Event | None = None
    last: Event | None = None
    sender: str = ""
    stream: str = ""
    range: str = ""

    @classmethod
    def at(cls, place: str, record: Event) -> Gap:
        """What the ``record`` says of an endpoint that tells of gaps itself, and does not know its name."""
        events = record.get("Gap-Events")
        return cls(
            place,
            record.get("Gap-Reason") or "",
            None if events is None else int(events),
            sender=record.get("Gap-Sender") or "",
            stream=record.get("Gap-Stream") or "",
            range=record.get("Gap-Range") or "",
        )

    def event(self) -> Event:
        """The record."""
        headers = [
            ("Event-Subclass", GAP_SUBCLASS),
            ("Gap-Place", self.place),
            ("Gap-Reason", self.reason),
        ]
        if self.events is not None:
            headers.append(("Gap-Events", str(self.events)))
        for name, lost in (("Gap-First", self.first), ("Gap-Last", self.last)):
            if lost is not None and lost.core_uuid is not None and lost.sequence is not None:
                headers.append((name, f"{lost.core_uuid} {lost.sequence}"))
        for name, lost in (("Gap-Since", self.first), ("Gap-Until", self.last)):
            if lost is not None and (time := _microseconds(lost)) is not None:
                headers.append((name, str(time)))
        for name, known in (("Gap-Sender", self.sender), ("Gap-Stream", self.stream), ("Gap-Range", self.range)):
            if known:
                headers.append((name, known))
        return Event("CUSTOM", headers)


def _microseconds(event: Event) -> int | None:
    """When it was received, else when it happened."""
    return event.timestamp if event.received is None else event.received // 1000


def is_gap(event: Event) -> bool:
    """Whether it is a gap record."""
    return event.name == "CUSTOM" and event.subclass == GAP_SUBCLASS


def parted(events: list[Event]) -> Iterator[tuple[list[Event], Event | None]]:
    """The events in front of each gap record that this host vouches for, with it; at last those behind the last."""
    start = 0
    for place, event in enumerate(events):
        if event.trust == "local" and is_gap(event):
            yield events[start:place], event
            start = place + 1
    if start < len(events):
        yield events[start:] if start else events, None
