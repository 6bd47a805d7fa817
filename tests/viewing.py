"""What the tests of views share: events of channels made by hand, the recording replayed, a simulation asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from switchcast import Event
from switchcast._native import StockFrames
from switchcast.simulation.commands import call_rows, channel_rows
from switchcast.simulation.switch import Switch
from switchcast.views.telling import Snapshot, Trust, View, told

__all__ = ["WALL", "Watched", "channel", "feed", "fired", "replayed", "snapshot_of"]

WALL = 1_735_689_600.0
"""The wall clock at 0 of the monotonic one; simulated clusters begin then."""
SECOND = 1_000_000


def fired(name: str, *, node: str = "fs1", core: str = "core-1", trust: Trust = "local", **headers: Any) -> Event:
    """An event that ``node`` fired; a name with colons is that of a CUSTOM event's subclass.

    Underscores in names of headers are hyphens, but for those of variables.
    """
    own = {"Core-UUID": core, "FreeSWITCH-Switchname": node}
    if "::" in name:
        own["Event-Subclass"], name = name, "CUSTOM"
    event = Event(name, own | {_name(key): value for key, value in headers.items()})
    return event.with_trust(trust, "somebody" if trust == "signed" else None)


def _name(key: str) -> str:
    return key if key.startswith("variable_") else key.replace("_", "-")


def channel(name: str, uuid: str, *, state: str = "CS_EXECUTE", call_state: str = "ACTIVE", **more: Any) -> Event:
    """An event of a channel that was created at ``created`` and answered at ``answered`` (seconds from ``WALL``)."""
    told_at = more.pop("at", None)
    created, answered = more.pop("created", 1.0), more.pop("answered", 0.0)
    headers = {
        "Channel_State": state,
        "Channel_Call_State": call_state,
        "Unique_ID": uuid,
        "Channel_Call_UUID": more.pop("call", uuid),
        "Answer_State": "hangup" if name.startswith("CHANNEL_HANGUP") else "answered",
        "Caller_Channel_Created_Time": micros(created),
        "Caller_Channel_Answered_Time": micros(answered) if answered else "0",
    }
    if told_at is not None:
        headers["Event_Date_Timestamp"] = micros(told_at)
    return fired(name, **headers | more)


def micros(seconds: float) -> str:
    """``seconds`` from ``WALL`` as the switch writes a time."""
    return str(round((WALL + seconds) * SECOND))


def feed(view: View, *events: Event, now: float = 1.0) -> None:
    """Let ``view`` learn from those of ``events`` that it asks for."""
    for event in events:
        found = told(event)
        if found is not None and found.kind in view.kinds:
            view.learn(found, now, WALL + now)


def replayed(datagrams: Sequence[tuple[int, bytes]], *views: View, until: float = float("inf")) -> Iterator[float]:
    """Let ``views`` learn from a recording up to ``until``; after each datagram, its seconds from the first."""
    frames = StockFrames()
    began = datagrams[0][0]
    for when, datagram in datagrams:
        now = (when - began) / 1e9
        if now > until:
            return
        found = told(frames.open(datagram))
        for view in views:
            view.tick(now)
            if found is not None and found.kind in view.kinds:
                view.learn(found, now, when / 1e9)
        yield now


def snapshot_of(switch: Switch, now: float, **more: Any) -> Snapshot:
    """What a simulated switch answers at ``now`` of its channels and calls."""
    asked = {"channels": tuple(channel_rows(switch)), "calls": tuple(call_rows(switch))}
    return Snapshot(switch.name, switch.core_uuid, now, WALL + now, **asked | more)


class Watched:
    """A view's rows as somebody keeps them who is only told of changes; ``now`` is that of the last look."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.rows: dict[str, dict[str, Any]] = {}
        self.look()

    def look(self) -> None:
        for key, row in self.view.changes():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row

    def keys(self) -> list[str]:
        self.look()
        return sorted(self.rows)
