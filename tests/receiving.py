"""Waiting for what native receivers are to receive."""

from __future__ import annotations

import time

from switchcast import Event
from switchcast._native import Receiver

PATIENCE = 20.0
"""Seconds after which a test gives up waiting for what should have come long ago."""


def collect(receiver: Receiver, count: int) -> list[Event]:
    """Read until ``count`` events have come."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while len(events) < count and time.monotonic() < deadline:
        receiver.wait(0.5)
        events += receiver.read()
    return events
