"""What a source has lost: told in the log, but not again and again, and read from its own counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog

from switchcast.wire.gap_record import Gap

__all__ = ["GapLog", "LossWatch"]

WARN_SECONDS: Final = 60.0
"""Between two warnings of one sender's gaps: a bad network is told of, and does not fill the log."""
_SENDERS: Final = 1024
"""Senders whose last warning is remembered: anyone with the group's key can invent more."""

log = structlog.get_logger("switchcast")

RECEIVER_LOSSES: Final = {
    "received_kernel_drops": "kernel_drops",
    "received_ring_overflow": "ring_overflow",
    "queue_overflow": "queue_overflow",
}
"""The counters of sources that mean events were lost between the wire and us, and the reason each is told as."""


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
