"""Events and snapshots of calls made by hand, and what a view shows of them."""

from __future__ import annotations

from typing import Any

from viewing import WALL, channel

from switchcast import Event
from switchcast.views.calls import Calls
from switchcast.views.telling import Snapshot

__all__ = ["begun", "bridge", "leg_of", "listed", "only", "up", "uuids"]


def begun(uuid: str, **more: Any) -> Event:
    return channel("CHANNEL_CREATE", uuid, **{"state": "CS_INIT", "call_state": "DOWN"} | more)


def bridge(first: str, second: str, *, name: str = "CHANNEL_BRIDGE", **more: Any) -> Event:
    return channel(name, first, Bridge_A_Unique_ID=first, Bridge_B_Unique_ID=second, **more)


def listed(node: str, at: float, *rows: dict[str, str], pairs: tuple[tuple[str, str], ...] | None = None) -> Snapshot:
    calls = None if pairs is None else tuple({"uuid": first, "b_uuid": second} for first, second in pairs)
    return Snapshot(node, "core-1", at, WALL + at, channels=rows, calls=calls)


def up(uuid: str, **more: str) -> dict[str, str]:
    return {"uuid": uuid, "call_uuid": uuid, "state": "CS_EXECUTE", "callstate": "ACTIVE"} | more


def only(view: Calls, now: float = 1.0) -> dict[str, Any]:
    (row,) = view.rows(now)
    return row


def uuids(view: Calls, now: float = 1.0) -> list[list[str]]:
    """The legs of each call."""
    return [[leg["uuid"] for leg in row["legs"]] for row in view.rows(now)]


def leg_of(view: Calls, uuid: str, now: float = 1.0) -> dict[str, Any]:
    (leg,) = (leg for row in view.rows(now) for leg in row["legs"] if leg["uuid"] == uuid)
    return dict(leg)
