"""Which of an endpoint's counters mean that something was lost, and how to say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["Losses", "count_of", "describe", "losses"]

_WORDS: Final = {
    "ring_overflow": "dropped because this program was too slow",
    "kernel_drops": "dropped by the kernel, whose receive buffer was full",
    "condition_errors": "left out because the condition failed on them",
    "too_large": "too large for a datagram",
    "errors": "failed sends",
    "queue_overflow": "dropped because this program was too slow",
    "refused": "refused by the switch",
    "unanswered": "sent, but the switch never answered",
    "unsent": "not sent, for want of a connection",
    "truncated": "cut short",
    "overflow": "dropped because a queue was full",
    "failed": "dropped because the sink failed",
    "closed": "dropped when the sink was closed",
    "undrained": "left over at the end",
    "lost": "lost, for the archive could not be written",
    "damaged": "damaged blocks of the archive, passed over",
    "missing": "missing from streams, told of as gaps",
    "guarded": "kept off the group, as the stock module does",
}
_DIRECTIONS: Final = ("received_", "sent_")


def losses(counters: Mapping[str, int]) -> dict[str, int]:
    """Those counters that count something lost, where they are not 0, without the direction in their names."""
    return {_bare(name): count for name, count in counters.items() if count and _means_loss(_bare(name))}


def count_of(counters: Mapping[str, int], name: str) -> int:
    """The counter ``name``, whether or not the endpoint puts the direction in front of it."""
    return sum(count for full, count in counters.items() if _bare(full) == name)


def _bare(name: str) -> str:
    return next((name.removeprefix(each) for each in _DIRECTIONS if name.startswith(each)), name)


def _means_loss(name: str) -> bool:
    return name in _WORDS or name.startswith(("rejected_", "dropped_"))


def describe(lost: Mapping[str, int]) -> list[str]:
    """One phrase for each: ``12 dropped because ...``."""
    return [f"{count:,} {_phrase(name)}" for name, count in lost.items() if count]


def _phrase(name: str) -> str:
    if name.startswith("rejected_"):
        return f"rejected: {name.removeprefix('rejected_').replace('_', ' ')}"
    return _WORDS.get(name.removeprefix("dropped_"), name.replace("_", " "))


class Losses:
    """Tells what has been lost since it was last asked."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def since(self, counters: Mapping[str, int]) -> dict[str, int]:
        """What came on top since the last call."""
        now = losses(counters)
        fresh = {name: count - self._known.get(name, 0) for name, count in now.items()}
        self._known = now
        return {name: count for name, count in fresh.items() if count > 0}
