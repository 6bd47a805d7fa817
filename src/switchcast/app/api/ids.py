"""The ids of events in the stream, which mean nothing to clients.

An id is ``<run>-<number>-<time>-<check>``. The run is another after each start of the node, so that a number of an
earlier one is not taken for one of this. By the time (hexadecimal nanoseconds since 1970) and the check of its text an
archive finds the event again, or the last before it that can be known: one that a switch has fired, which has a
``Core-UUID`` and an ``Event-Sequence``. What a node makes itself it may make twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["EventId"]

_LATEST: Final = 2**62
"""Nanoseconds since 1970 that a client can name: so much a segment's index can be asked for."""
_ID: Final = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,18})-([0-9a-f]{1,16})(?:-([0-9a-f]{8}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class EventId:
    """An event's id: ``time`` and ``check`` are its own, or those of the last in front of it that can be known again.

    ``check`` is ``None`` where there is none in front of it.
    """

    run: str
    number: int
    time: int
    check: int | None

    @classmethod
    def parse(cls, text: str) -> EventId | None:
        """The id that ``text`` is, if it is one."""
        found = _ID.fullmatch(text)
        if found is None:
            return None
        check = None if found[4] is None else int(found[4], 16)
        return cls(found[1], int(found[2]), min(int(found[3], 16), _LATEST), check)

    def __str__(self) -> str:
        """As clients have it."""
        check = "" if self.check is None else f"-{self.check:08x}"
        return f"{self.run}-{self.number}-{self.time:x}{check}"
