"""The marks on events that a rule makes, and what they are for: two nodes' rules that answer one another must settle.

An event made by a rule (``emit``, ``esl-event``) tells who made it and how many rules stand between it and what
happened at a switch::

    Switchcast-Origin: fs1.example.com/lamp-off      node and rule
    Switchcast-Hops: 1                               one more than the event that fired the rule

``refusal`` says which events may not fire a rule: those that the same rule of the same node made, and those with
``MAX_HOPS`` rules behind them. A switch that re-fires an event puts ``Orig-`` in front of its headers; both forms
count. Anyone can leave the marks out: they end accidents, and rate limits bound the rest.
"""

from __future__ import annotations

from typing import Final, Literal

from switchcast._native import Event

__all__ = ["HOPS", "MAX_HOPS", "ORIGIN", "hops_of", "origin_headers", "refusal"]

ORIGIN: Final = "Switchcast-Origin"
HOPS: Final = "Switchcast-Hops"
MAX_HOPS: Final = 3
"""Rules behind an event; with so many it fires none. Answers rules of several hosts that fire one another."""

_ORIGINAL: Final = "Orig-"
_MOST_DIGITS: Final = 3


def origin_headers(event: Event, node: str, rule: str) -> list[tuple[str, str]]:
    """The marks of an event that ``rule`` of ``node`` makes because of ``event``."""
    return [(ORIGIN, f"{node}/{rule}"), (HOPS, str(hops_of(event) + 1))]


def hops_of(event: Event) -> int:
    """How many rules stand behind ``event``; ``MAX_HOPS`` where its mark cannot be read."""
    hops = _number(event.get(HOPS))
    return hops if event.name != "CUSTOM" else max(hops, _number(event.get(_ORIGINAL + HOPS)))


def refusal(event: Event, node: str, rule: str) -> Literal["hops", "own"] | None:
    """Why ``event`` may not fire ``rule`` of ``node``: ``"hops"``, ``"own"``, or ``None`` when it may."""
    hops = hops_of(event)
    if not hops:
        return None
    if hops >= MAX_HOPS:
        return "hops"
    made_here = f"{node}/{rule}"
    return "own" if made_here in (event.get(ORIGIN), event.get(_ORIGINAL + ORIGIN)) else None


def _number(text: str | None) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text)
    return MAX_HOPS
