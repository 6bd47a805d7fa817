"""What an event can give away, and the rows in which the audit says what did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

__all__ = ["PERSONAL", "AuditResult", "Found", "HeaderRow", "KindRow", "Leak", "Match"]


class Leak(StrEnum):
    """What a value gives away, worst first."""

    CREDENTIALS = "credentials"
    """Passwords, digests, nonces, tokens, keys."""
    CONTENT = "content"
    """Texts of messages, recordings and their paths, media descriptions with keys."""
    DTMF = "dtmf"
    """Digits that somebody dialled during a call: PINs, card numbers."""
    NUMBERS = "numbers"
    """Telephone numbers and extensions."""
    NAMES = "names"
    """Names of people, and what they say of themselves: presence notes."""
    SIP = "sip"
    """SIP addresses and other addresses of users."""
    OUTSIDE = "outside"
    """Public IP addresses."""
    CALL = "call"
    """Which call: channel UUIDs, SIP Call-IDs, tags."""
    INSIDE = "inside"
    """Private IP addresses."""
    TOPOLOGY = "topology"
    """The network and its hosts: names, versions, software, modules, files, interfaces."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Leak).index(self)


PERSONAL: Final = (Leak.CREDENTIALS, Leak.CONTENT, Leak.DTMF, Leak.NUMBERS, Leak.NAMES, Leak.SIP, Leak.OUTSIDE)
"""What is secret, or tells of a person. The others tell of calls and of the network."""

By = Literal["name", "value", "body"]


@dataclass(frozen=True, slots=True)
class Match:
    """One value gives this away; known ``by`` its header's name, by the value itself, or as a body.

    ``evidence`` is the value as it may be shown: masked, printable ASCII or UTF-8, at most 80 characters.
    """

    leak: Leak
    by: By
    evidence: str


@dataclass(slots=True)
class Found:
    """What one header (or body) of one kind of event gives away. ``looked_at`` values of it matched."""

    leak: Leak
    by: By
    looked_at: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class HeaderRow:
    """One header of one kind of event: in how many events, with how many bytes of values, as they stand on the wire."""

    name: str
    events: int
    bytes: int
    found: list[Found] = field(default_factory=list)


@dataclass(slots=True)
class KindRow:
    """One kind of event: a name, or ``CUSTOM`` and a subclass. Sizes are in bytes of plain text."""

    kind: str
    events: int
    bytes: int
    smallest: int
    largest: int
    bodies: int
    senders: dict[str, int]
    headers: list[HeaderRow]
    body: HeaderRow | None = None


@dataclass(slots=True)
class AuditResult:
    """All that was seen. ``uncounted`` is what the bounds left out, by what it was."""

    events: int
    bytes: int
    senders: dict[str, int]
    kinds: list[KindRow]
    coverage: float
    """How likely the next event shows no kind and no header that has not been seen: 0 to 1."""
    uncounted: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)
