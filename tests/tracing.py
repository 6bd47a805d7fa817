"""Traces of events that are at hand: of the recording, and of whatever a test has made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from audit_samples import recorded_events

from switchcast import Event
from switchcast.archive.trace.following import Bounds, Found, gather
from switchcast.archive.trace.sources import Collected
from switchcast.archive.trace.story import Story

__all__ = ["main_steps", "only_call", "recorded_calls", "recorded_collected", "trace_of"]


def trace_of(key: str, events: Iterable[Event], *, bounds: Bounds | None = None, reveal: bool = False) -> Found:
    """What ``key`` matches in ``events``."""
    collected = Collected()
    collected.take(events)
    return gather(key, collected, bounds=bounds, reveal=reveal)


@cache
def recorded_collected() -> Collected:
    """The recording, ready to be searched."""
    collected = Collected()
    collected.take(recorded_events())
    return collected


@cache
def recorded_calls(key: str) -> tuple[Story, ...]:
    """The recording's calls that ``key`` matches."""
    return gather(key, recorded_collected()).calls


def only_call(found: Found | tuple[Story, ...]) -> Story:
    """The one call that was found."""
    calls = found.calls if isinstance(found, Found) else found
    assert len(calls) == 1, [call.id for call in calls]
    return calls[0]


def main_steps(story: Story) -> list[tuple[str, str, str]]:
    """The short ladder: kind, the letters of the legs, words."""
    letters = {leg.id: leg.letter for leg in story.legs}
    return [
        (step.kind, letters.get(step.leg, "") + letters.get(step.other, ""), step.words)
        for step in story.steps
        if step.main
    ]
