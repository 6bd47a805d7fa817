"""When an event was, for whoever looks at it later than it came."""

from __future__ import annotations

from switchcast._native import Event

__all__ = ["event_time"]


def event_time(event: Event) -> int | None:
    """Nanoseconds since 1970: when it was received, else when it happened by its switch's clock."""
    if event.received is not None:
        return event.received
    return None if event.timestamp is None else event.timestamp * 1_000
