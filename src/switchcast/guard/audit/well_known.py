"""Secrets that everybody knows, in values that go by.

The audit's examples are masked, so whether a value is ``ClueCon`` must be asked while it can be seen: ``Sightings``
stands in front of a classifier, answers as it does, and remembers where it saw one.
"""

from __future__ import annotations

import re
from typing import Final

from switchcast.guard.audit.inventory import Classifier
from switchcast.guard.audit.leaks import Match

__all__ = ["MOST_PLACES", "WELL_KNOWN_SECRETS", "Sightings", "holds_well_known", "is_well_known"]

WELL_KNOWN_SECRETS: Final = ("ClueCon",)
"""Passwords and keys that everybody knows: what every FreeSWITCH is shipped with, and what its examples use."""
SAMPLE_PASSWORDS: Final = ("1234",)
"""Those of its sample users (``default_password``); where nothing is said of a password they are just numbers."""
MOST_PLACES: Final = 256
"""Places that are remembered: names come from the network."""

_TEXTS: Final = "|".join(re.escape(secret) for secret in WELL_KNOWN_SECRETS)
_GIVEN: Final = re.compile(
    rf"\A\s*(?:{_TEXTS})\s*\Z"
    rf"|(?:\bauth|pass(?:word|wd)?|psk|secret)['\"]?(?:\s*[=:,]\s*|\s+)['\"]?(?:{_TEXTS})(?![\w.!-])"
    rf"|://[^\s/@]*:(?:{_TEXTS})@"
)
"""A whole value, or what a command, a setting or a URL gives as a password; not the name in a greeting."""
_SAMPLE_GIVEN: Final = re.compile(
    rf"(?:pass(?:word|wd)?|secret)['\"]?\s*[=:]\s*['\"]?(?:{'|'.join(SAMPLE_PASSWORDS)})(?![\w.!-])", re.IGNORECASE
)
"""``default_password=1234``, as in what the API command ``global_getvar`` answers."""
_PASSWORD_NAME: Final = re.compile(r"passw|passwd|secret|\Apsk\Z", re.IGNORECASE)


class Sightings:
    """A classifier that also remembers in which kind and header a well-known secret stood."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._seen: dict[tuple[str, str], None] = {}

    @property
    def seen(self) -> tuple[tuple[str, str], ...]:
        """Kind and header of each, in the order in which they came; ``body`` stands for a body."""
        return tuple(self._seen)

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        """As the classifier's."""
        if holds_well_known(value) or (value in SAMPLE_PASSWORDS and _PASSWORD_NAME.search(header)):
            self._note(kind, header)
        return self._classifier.of(kind, header, value)

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        """As the classifier's."""
        if holds_well_known(body.decode("utf-8", "replace")):
            self._note(kind, "body")
        return self._classifier.of_body(kind, body)

    def _note(self, kind: str, header: str) -> None:
        if len(self._seen) < MOST_PLACES:
            self._seen[kind, header] = None


def is_well_known(secret: bytes | None) -> bool:
    """Whether everybody knows ``secret``."""
    return secret is not None and secret.decode("utf-8", "replace") in WELL_KNOWN_SECRETS


def holds_well_known(text: str) -> bool:
    """Whether a secret that everybody knows stands in ``text``: alone, or where a password is given."""
    if any(secret in text for secret in WELL_KNOWN_SECRETS) and _GIVEN.search(text) is not None:
        return True
    return any(secret in text for secret in SAMPLE_PASSWORDS) and _SAMPLE_GIVEN.search(text) is not None
