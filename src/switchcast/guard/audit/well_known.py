"""Secrets that everybody knows, in values that go by.

The audit's examples are masked, so whether a value is ``ClueCon`` must be asked while it can be seen: ``Sightings``
stands in front of a classifier, answers as it does, and remembers where it saw one.
"""

from __future__ import annotations

from typing import Final, Protocol

from switchcast.guard.audit.leaks import Match
from switchcast.guard.audit.reach import WELL_KNOWN_SECRETS

__all__ = ["MOST_PLACES", "Classing", "Sightings", "holds_well_known"]

MOST_PLACES: Final = 256
"""Places that are remembered: names come from the network."""
_TEXTS: Final = tuple(secret.decode().casefold() for secret in WELL_KNOWN_SECRETS)


class Classing(Protocol):
    """What the audit asks of a classifier."""

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]: ...

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]: ...


class Sightings:
    """A classifier that also remembers in which kind and header a well-known secret stood."""

    def __init__(self, classifier: Classing) -> None:
        self._classifier = classifier
        self.seen: dict[tuple[str, str], None] = {}

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        """As the classifier's."""
        if holds_well_known(value):
            self._note(kind, header)
        return self._classifier.of(kind, header, value)

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        """As the classifier's."""
        if holds_well_known(body.decode("utf-8", "replace")):
            self._note(kind, "body")
        return self._classifier.of_body(kind, body)

    def _note(self, kind: str, header: str) -> None:
        if len(self.seen) < MOST_PLACES:
            self.seen[kind, header] = None


def holds_well_known(text: str) -> bool:
    """Whether a secret that everybody knows stands in ``text``, as it is or within a command or a URL."""
    folded = text.casefold()
    return any(secret in folded for secret in _TEXTS)
