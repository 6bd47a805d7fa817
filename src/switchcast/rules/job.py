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


def identity_of(event: Event) -> str | None:
    """``Core-UUID:Event-Sequence``, the same wherever the event arrives; ``None`` for one that has no such number."""
    core, sequence = event.core_uuid, event.sequence
    if core is None or sequence is None or not _CORE_UUID.fullmatch(core):
        return None
    return f"{core}:{sequence}"


@dataclass(slots=True, eq=False)
class Job:
    """One event for one rule. ``at`` is wall time, for display and for how long a dead letter is kept."""

    rule: str
    key: str
    event: Event
    identity: str
    digest: bytes | None = None
    at: float = field(default_factory=time.time)
    row: int | None = None
    """Where it stands in the journal, if it does."""

    @classmethod
    def of(cls, rule: str, key: str, event: Event) -> Job:
        """A job for ``event``. Without an identity of its own, as events made by hand are, it gets a random one."""
        identity = identity_of(event)
        if identity is None:
            return cls(rule, key, event, f"random:{uuid.uuid4()}")
        told = f"{rule}\0{identity}".encode()
        return cls(rule, key, event, identity, hashlib.blake2b(told, digest_size=16).digest())

    @property
    def event_id(self) -> str:
        """The same at every attempt to act on it, after a restart too: a receiver counts by it what came twice."""
        return f"{self.identity}/{self.rule}"
