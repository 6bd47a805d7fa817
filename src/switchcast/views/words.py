"""What the words of a PRESENCE_IN mean: of a user, a conference, a parking place.

Words are free text; the switch knows some (``Registered``, ``busy``, ``away``), people write the rest. Each value is
kept once however many users have it, for most have the same.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from switchcast.views.ledger import cut
from switchcast.views.telling import Told

__all__ = [
    "CALLS",
    "EPOCH_BEGINS",
    "LISTED",
    "LONGEST_EXPIRY",
    "REGISTERED",
    "UNREGISTERED",
    "State",
    "Words",
    "lasting",
    "said",
]

State = Literal["offline", "available", "away", "busy", "ringing", "active", "held", "idle", "unknown"]

EPOCH_BEGINS: Final = 1_000_000_000
"""An ``expires`` from here on is seconds since 1970, below it seconds from now."""
LONGEST_EXPIRY: Final = 366 * 86400.0
"""Seconds; what says more is taken for it."""

CALLS: Final[Mapping[str, State]] = {
    "alerting": "ringing",
    "progressing": "ringing",
    "seized": "ringing",
    "active": "active",
    "held": "held",
    "held-private": "held",
}
"""``presence-call-info-state`` of a call that is up; any other ends it."""
LISTED: Final[Mapping[str, State]] = {
    "RINGING": "ringing",
    "EARLY": "ringing",
    "ACTIVE": "active",
    "UNHELD": "active",
    "HELD": "held",
}
"""``callstate`` of a channel, as ``show channels`` has it; any other says nothing of what a lamp shows."""
_WORDS: Final[Mapping[str, State]] = {
    "unregistered": "offline",
    "offline": "offline",
    "unavailable": "offline",
    "closed": "offline",
    "busy": "busy",
    "on-the-phone": "busy",
    "on the phone": "busy",
    "dnd": "busy",
    "do not disturb": "busy",
    "meeting": "busy",
    "in a meeting": "busy",
    "away": "away",
    "idle": "away",
    "vacation": "away",
    "be right back": "away",
}


@dataclass(frozen=True, slots=True)
class Words:
    """What one event says: the state that a lamp shows for it, and the texts.

    ``last_status`` is ``status`` without what a conference or a parking place says in its stead (``force-status``).
    """

    own: State
    status: str
    rpid: str
    proto: str
    last_status: str = ""


REGISTERED: Final = Words("available", "Registered", "unknown", "sip")
"""What a switch says of who is registered there, in the words of its own PRESENCE_IN."""
UNREGISTERED: Final = Words("offline", "Unregistered", "unknown", "sip")


def said(told: Told) -> Words:
    """The words of a PRESENCE_IN or PRESENCE_OUT."""
    status, rpid, proto = (sys.intern(cut(told.get(name))) for name in ("status", "rpid", "proto"))
    shown = status or sys.intern(cut(told.get("force-status")))
    if proto in ("conf", "park"):
        own: State = "idle" if told.get("answer-state").lower() == "terminated" else "active"
    else:
        own = _WORDS.get(shown.lower()) or _WORDS.get(rpid.lower()) or "available"
    return Words(own, shown, rpid, proto, status)


def lasting(text: str, wall: float) -> float | None:
    """Seconds until what ``expires`` with this text has ended; ``None`` where it does not say."""
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        return None
    number = int(text)
    seconds = number - wall if number >= EPOCH_BEGINS else float(number)
    return min(seconds, LONGEST_EXPIRY) if seconds > 0 else None
