"""Gap records: an event in the stream itself that says how many others are missing from it, where and why.

::

    Event-Name: CUSTOM
    Event-Subclass: switchcast::gap
    Gap-Place: archive                      the sink, tap or source that lost them
    Gap-Reason: overflow
    Gap-Events: 812
    Gap-First: <Core-UUID> <Event-Sequence> the first and the last of them, where they were known
    Gap-Last:  <Core-UUID> <Event-Sequence>

They are for whoever reads the stream later, a person or an archive. Stock hosts and switches never get one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from switchcast._native import Event

__all__ = ["GAP_SUBCLASS", "Gap", "LossWatch", "is_gap"]

GAP_SUBCLASS: Final = "switchcast::gap"
RECEIVER_LOSSES: Final = {
    "received_kernel_drops": "kernel_drops",
    "received_ring_overflow": "ring_overflow",
    "queue_overflow": "queue_overflow",
}
"""The counters of sources that mean events were lost between the wire and us, and the reason each is told as."""


@dataclass(frozen=True)
class Gap:
    """``events`` lost at ``place`` for ``reason``; the first and last of them where they are known."""

    place: str
    reason: str
    events: int
    first: Event | None = None
    last: Event | None = None

    def event(self) -> Event:
        """The record."""
        headers = [
            ("Event-Subclass", GAP_SUBCLASS),
            ("Gap-Place", self.place),
            ("Gap-Reason", self.reason),
            ("Gap-Events", str(self.events)),
        ]
        for name, lost in (("Gap-First", self.first), ("Gap-Last", self.last)):
            if lost is not None and lost.core_uuid is not None and lost.sequence is not None:
                headers.append((name, f"{lost.core_uuid} {lost.sequence}"))
        return Event("CUSTOM", headers)


def is_gap(event: Event) -> bool:
    """Whether it is a gap record."""
    return event.name == "CUSTOM" and event.subclass == GAP_SUBCLASS


class LossWatch:
    """What a source's own counters say it lost since they were last looked at."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._known: dict[str, int] = {}

    def look(self, counters: Mapping[str, int]) -> list[Gap]:
        """One gap for each reason that has grown. A counter that went back began anew."""
        gaps = []
        for name, reason in RECEIVER_LOSSES.items():
            count, known = counters.get(name, 0), self._known.get(name, 0)
            self._known[name] = count
            fresh = count - known if count >= known else count
            if fresh:
                gaps.append(Gap(self._place, reason, fresh))
        return gaps
