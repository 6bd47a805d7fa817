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

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from switchcast._native import Event

__all__ = ["GAP_SUBCLASS", "Gap", "GapLog", "LossWatch", "is_gap", "parted"]

WARN_SECONDS: Final = 60.0
"""Between two warnings of one sender's gaps: a bad network is told of, and does not fill the log."""
_SENDERS: Final = 1024
"""Senders whose last warning is remembered: anyone with the group's key can invent more."""

log = structlog.get_logger("switchcast")

GAP_SUBCLASS: Final = "switchcast::gap"
RECEIVER_LOSSES: Final = {
    "received_kernel_drops": "kernel_drops",
    "received_ring_overflow": "ring_overflow",
    "queue_overflow": "queue_overflow",
}
"""The counters of sources that mean events were lost between the wire and us, and the reason each is told as."""


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


class GapLog:
    """Warns of gaps: at once of a sender's first, then once in ``WARN_SECONDS``, with how many events are missing."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    def note(self, gap: Gap, now: float) -> None:
        """A gap at ``now``, in monotonic seconds."""
        key = gap.place, gap.sender
        if key not in self._told and len(self._told) >= _SENDERS:
            self._told.clear()
        if now - self._told.get(key, -WARN_SECONDS) < WARN_SECONDS:
            self._untold[key] += gap.events or 0
            return
        self._told[key] = now
        log.warning(
            "events_missing",
            source=gap.place,
            sender=gap.sender,
            range=gap.range,
            events=gap.events,
            reason=gap.reason,
            since_last_warning=self._untold.pop(key, 0),
        )


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
