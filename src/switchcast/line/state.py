"""How a part of a node fares, and how long to wait before it is tried again.

::

    starting ──> up <──> down          down: tried again with growing pauses, told of once for each outage
                 │
                 ├─────> ended         a source that had an end, as a recording has
                 └─────> failed        what waiting cannot mend: a wrong URL, a password refused
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from switchcast.errors import EndpointClosed, EndpointDenied, EndpointError

__all__ = ["State", "Status", "broken_pipe", "for_good", "note_connection", "pauses"]

Status = Literal["starting", "up", "down", "ended", "failed"]

FIRST_PAUSE: Final = 0.1
LAST_PAUSE: Final = 5.0
"""Seconds: the longest first pause, doubled for each further attempt, and the cap."""
CONNECTING_AGAIN: Final = "the connection was lost; connecting again"


@dataclass(frozen=True)
class State:
    """``status``, why (empty where there is nothing to say), and ``since`` when, in seconds since 1970 UTC."""

    status: Status
    reason: str = ""
    since: float = 0.0

    @staticmethod
    def now(status: Status, reason: str = "") -> State:
        """The state that begins now."""
        return State(status, reason, time.time())


def pauses(dice: Callable[[], float] = random.random) -> Iterator[float]:
    """Seconds to wait before each further attempt: growing, and jittered, so that many nodes do not come at once."""
    longest = FIRST_PAUSE
    while True:
        yield longest * (0.5 + 0.5 * dice())
        longest = min(2 * longest, LAST_PAUSE)


def broken_pipe(error: BaseException) -> bool:
    """Whether it says that whoever read what we wrote has gone, as ``head`` does."""
    return isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError)


def note_connection(state: State, counters: Mapping[str, int]) -> State:
    """``state``, in view of what an endpoint that connects again by itself has counted: it has told of it already."""
    away = counters.get("outages", 0) > counters.get("reconnects", 0)
    if away and state.status == "up":
        return State.now("down", CONNECTING_AGAIN)
    if not away and (state.status, state.reason) == ("down", CONNECTING_AGAIN):
        return State.now("up")
    return state


def for_good(error: Exception) -> bool:
    """Whether trying again cannot mend it: only what an endpoint or the system runs into can pass by itself."""
    mendable = isinstance(error, EndpointError | OSError)
    return not mendable or isinstance(error, EndpointDenied | EndpointClosed) or broken_pipe(error)
