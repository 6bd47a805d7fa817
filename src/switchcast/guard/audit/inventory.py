"""The audit itself: events in; what was seen, how often, from whom, and what it gives away, out.

Counting is native (``_native.Inventory``), over headers that nobody has decoded. Of the values it hands over only those
that may tell something new, ever fewer as time goes by, and only these are classed here. So ``looked_at`` is not how
often a header gave something away but how many of the values that were looked at did; how often it came is ``events``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from switchcast._native import Event, Inventory
from switchcast.guard.audit.leaks import AuditResult, Found, HeaderRow, KindRow, Match

__all__ = ["BODY", "COVERED_COVERAGE", "COVERED_EVENTS", "Audit", "Classifier"]

COVERED_EVENTS: Final = 1_000
"""Events below which nothing can be said about those that did not come."""
COVERED_COVERAGE: Final = 0.99
"""Coverage from which on it counts as enough: fewer than one event in a hundred shows something new."""
BODY: Final = "_body"
"""The name of a kind's bodies where a header's would stand, as in JSON."""
_EXAMPLES: Final = 3


class Classifier(Protocol):
    """Says what a value gives away."""

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        """What ``value``, decoded, of this header in this kind of event gives away."""

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        """What the body of an event of this kind gives away."""


class Audit:
    """Takes in events, and tells what they give away so far, at any time.

    ``add`` takes events from the network: gap records, which we make ourselves, are for the caller to take out. The
    bounds are the native ``LIMITS`` (``audit_*``), or lower; what is beyond them is in the result's ``uncounted``.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        most_kinds: int | None = None,
        most_headers: int | None = None,
        most_headers_of_kind: int | None = None,
        most_senders: int | None = None,
    ) -> None:
        self._classifier = classifier
        self._inventory = Inventory(
            most_kinds=most_kinds,
            most_headers=most_headers,
            most_headers_of_kind=most_headers_of_kind,
            most_senders=most_senders,
        )
        self._found: dict[tuple[str, str | None], list[Found]] = {}

    def add(self, events: Sequence[Event]) -> None:
        """Count ``events``, and class what of them may tell something new."""
        for kind, header, value in self._inventory.add(events):
            matches = self._matches(kind, header, value)
            if matches:
                _collect(self._found.setdefault((kind, header), []), matches)

    @property
    def events(self) -> int:
        """Events so far."""
        return self._inventory.events

    @property
    def trust(self) -> dict[str, int]:
        """Events by what vouches for them, as ``Event.trust``."""
        return self._inventory.trust()

    def coverage(self) -> float:
        """How likely the next event shows no kind, and no header of its kind, that has not been seen: 0 to 1.

        Good and Turing's estimate: one less the share of the events so far that are alone in showing something.
        """
        return self._inventory.coverage()

    @property
    def covered(self) -> bool:
        """Whether enough was seen: ``COVERED_EVENTS`` and a coverage of ``COVERED_COVERAGE``.

        It is of the traffic as it is now: what happens at night, or once a month, nobody can know of by day.
        """
        return self.events >= COVERED_EVENTS and self.coverage() >= COVERED_COVERAGE

    def result(self) -> AuditResult:
        """All that was seen so far, kinds by name, headers in the order in which they were first seen."""
        inventory = self._inventory
        kinds = []
        for kind, events, size, smallest, largest, senders, headers, (bodies, body_bytes) in inventory.kinds():
            rows = [HeaderRow(name, seen, octets, self._found_of(kind, name)) for name, seen, octets in headers]
            body = HeaderRow(BODY, bodies, body_bytes, self._found_of(kind, None)) if bodies else None
            kinds.append(KindRow(kind, events, size, smallest, largest, bodies, senders, rows, body))
        return AuditResult(
            events=inventory.events,
            bytes=inventory.event_bytes,
            senders=inventory.senders(),
            kinds=sorted(kinds, key=lambda row: row.kind),
            coverage=inventory.coverage(),
            uncounted={what: count for what, count in inventory.uncounted().items() if count},
        )

    def _matches(self, kind: str, header: str | None, value: str | bytes) -> tuple[Match, ...]:
        if isinstance(value, bytes):
            return self._classifier.of_body(kind, value)
        return self._classifier.of(kind, header or "", value)

    def _found_of(self, kind: str, header: str | None) -> list[Found]:
        """What this header gives away, worst first; copies, which stay as they are while the audit goes on."""
        found = sorted(self._found.get((kind, header), ()), key=lambda entry: (entry.leak.rank, entry.by))
        return [Found(entry.leak, entry.by, entry.looked_at, entry.examples.copy()) for entry in found]


def _collect(found: list[Found], matches: tuple[Match, ...]) -> None:
    """Add what one value gives away: a value that gives the same away twice counts once."""
    counted: list[Found] = []
    for match in matches:
        entry = next((known for known in found if (known.leak, known.by) == (match.leak, match.by)), None)
        if entry is None:
            entry = Found(match.leak, match.by)
            found.append(entry)
        if not any(entry is other for other in counted):
            counted.append(entry)
            entry.looked_at += 1
        if len(entry.examples) < _EXAMPLES and match.evidence not in entry.examples:
            entry.examples.append(match.evidence)
