"""A firing that is to be acted on, and how it is told from every other."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Final

from switchcast._native import Event

__all__ = ["Job", "identity_of"]

_CORE_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_NAME: Final = re.compile(r"[A-Z_]{1,64}")
_RANDOM: Final = "random:"


def identity_of(event: Event) -> str | None:
    """``Core-UUID:Event-Sequence:Event-Name``, the same wherever the event arrives; ``None`` where it has no number.

    The name belongs to it: mod_sofia fires an incoming MESSAGE a second time under the number of a first that has no
    name, and the two are not the same event.
    """
    core, sequence = event.core_uuid, event.sequence
    if core is None or sequence is None or not _CORE_UUID.fullmatch(core):
        return None
    return f"{core}:{sequence}:{event.name if _NAME.fullmatch(event.name) else ''}"


@dataclass(slots=True, eq=False)
class Job:
    """One event for one rule. ``at`` is wall time, for display and for how long a dead letter is kept."""

    rule: str
    key: str
    event: Event
    identity: str
    at: float = field(default_factory=time.time)
    row: int | None = None
    """Where it stands in the journal, if it does."""

    @classmethod
    def of(cls, rule: str, key: str, event: Event) -> Job:
        """A job for ``event``. Without an identity of its own, as events made by hand are, it gets a random one."""
        return cls(rule, key, event, identity_of(event) or f"{_RANDOM}{uuid.uuid4()}")

    def digest(self, plain: bytes) -> bytes | None:
        """By which one that comes again is known; ``None`` where the event has no number. ``plain`` is its text.

        All of the event goes into it: whoever sends another one under the same number does not silence this one.
        """
        if self.identity.startswith(_RANDOM):
            return None
        return hashlib.blake2b(self.rule.encode() + b"\0" + plain, digest_size=16).digest()

    @property
    def event_id(self) -> str:
        """The same at every attempt to act on it, after a restart too: a receiver counts by it what came twice."""
        return f"{self.identity}/{self.rule}"
