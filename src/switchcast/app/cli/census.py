"""Counting events by sender and by kind, in bounded memory, with a bound on what never arrived.

The bound comes from (Core-UUID, Event-Sequence): a switch numbers all of its events, those that are not bound and so
never sent among them. What is missing in a run of numbers is therefore the most that can have been lost, not what was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from switchcast._native import Event
from switchcast.app.cli.facts import kind_of
from switchcast.app.cli.render import sender_of
from switchcast.wire.times import event_time

__all__ = ["MOST_ROWS", "OTHERS", "Census", "Row", "Run"]

MOST_ROWS: Final = 1000
"""Senders, kinds and runs kept apart: anyone can write any name, so that a table that only grows could be filled."""
OTHERS: Final = "(others)"


@dataclass(slots=True)
class Row:
    """Events and bytes of one sender or one kind. ``before`` is what ``events`` was when the rate was last taken."""

    events: int = 0
    bytes: int = 0
    smallest: int = 0
    largest: int = 0
    rate: float = 0.0
    before: int = 0

    def add(self, size: int) -> None:
        """Count one event of ``size`` bytes."""
        self.events += 1
        self.bytes += size
        self.smallest = size if self.events == 1 else min(self.smallest, size)
        self.largest = max(self.largest, size)

    def per_second(self, seconds: float) -> float:
        """Events a second, of which ``seconds`` passed; none where no time passed."""
        return self.events / seconds if seconds > 0 else 0.0

    @property
    def mean(self) -> float:
        """Bytes an event on average."""
        return self.bytes / self.events if self.events else 0.0


@dataclass(slots=True)
class Run:
    """The numbers seen of one run of one switch."""

    sender: str
    first: int
    last: int
    seen: int = 0

    @property
    def missing(self) -> int:
        """Numbers between the first and the last that did not come."""
        return max(0, self.last - self.first + 1 - self.seen)


@dataclass
class Census:
    """What has come so far."""

    total: Row = field(default_factory=Row)
    senders: dict[str, Row] = field(default_factory=dict)
    kinds: dict[str, Row] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    _first: int | None = field(default=None, init=False)
    _last: int = field(default=0, init=False)

    @property
    def span(self) -> float:
        """Seconds from the first event to the last, by their own times."""
        return 0.0 if self._first is None else (self._last - self._first) / 1e9

    def add(self, events: Iterable[Event]) -> None:
        """Count ``events``."""
        for event in events:
            size, sender = len(event.to_plain()), sender_of(event)
            self.total.add(size)
            _row(self.senders, sender).add(size)
            _row(self.kinds, kind_of(event)).add(size)
            self._number(event, sender)
            self._date(event_time(event))

    def take_rates(self, seconds: float) -> None:
        """Set every row's ``rate`` to its events a second since the last call, ``seconds`` ago."""
        for row in (self.total, *self.senders.values(), *self.kinds.values()):
            row.rate = (row.events - row.before) / seconds if seconds > 0 else 0.0
            row.before = row.events

    def missing(self, sender: str) -> int:
        """At most how many events of ``sender`` were lost."""
        return sum(run.missing for run in self.runs.values() if run.sender == sender)

    def report(self, seconds: float, source: Mapping[str, int]) -> dict[str, Any]:
        """Everything as plain values, for JSON; ``source`` is what the endpoint counted."""
        return {
            "seconds": round(seconds, 3),
            "total": _plain(self.total, seconds),
            "lost_at_most": sum(run.missing for run in self.runs.values()),
            "senders": {
                name: _plain(row, seconds) | {"lost_at_most": self.missing(name)} for name, row in self.senders.items()
            },
            "events": {name: _plain(row, seconds) for name, row in self.kinds.items()},
            "source": dict(source),
        }

    def _date(self, time_ns: int | None) -> None:
        if time_ns is not None:
            self._first = time_ns if self._first is None else min(self._first, time_ns)
            self._last = max(self._last, time_ns)

    def _number(self, event: Event, sender: str) -> None:
        core, number = event.core_uuid, event.sequence
        if core is None or number is None:
            return
        run = self.runs.get(core)
        if run is None:
            if len(self.runs) >= MOST_ROWS:
                return
            run = self.runs[core] = Run(sender, number, number)
        run.first, run.last, run.seen = min(run.first, number), max(run.last, number), run.seen + 1


def _row(rows: dict[str, Row], name: str) -> Row:
    if name not in rows and len(rows) >= MOST_ROWS:
        name = OTHERS
    return rows.setdefault(name, Row())


def _plain(row: Row, seconds: float) -> dict[str, Any]:
    return {
        "events": row.events,
        "per_second": round(row.per_second(seconds), 3),
        "bytes": row.bytes,
        "smallest": row.smallest,
        "mean": round(row.mean, 1),
        "largest": row.largest,
    }
