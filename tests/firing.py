"""Events of switches, made up for tests of the view of them."""

from __future__ import annotations

from typing import Any

from switchcast import Event
from switchcast.views.nodes import Nodes
from switchcast.views.telling import Trust, told

WALL = 1_800_000_000.0


def fired(
    node: str = "fs1",
    name: str = "HEARTBEAT",
    *,
    core: str = "run-1",
    number: int = 0,
    trust: Trust = "local",
    **headers: str,
) -> Event:
    """An event of ``node``; a header's name has ``_`` for ``-``. Without ``number`` it has none."""
    numbered = {"Event-Sequence": str(number)} if number else {}
    others = {header.replace("_", "-"): value for header, value in headers.items()}
    event = Event(name, {"FreeSWITCH-Switchname": node, "Core-UUID": core} | numbered | others)
    return event.with_origin("192.0.2.77:4242", None).with_trust(trust, "x" if trust == "signed" else None)


def hear(nodes: Nodes, now: float, *events: Event) -> Nodes:
    """What a picture does with a batch: all of it is heard, and learned from where it is of the view's kinds."""
    nodes.hear(events, now, WALL + now)
    for event in events:
        said = told(event)
        if said is not None and said.kind in nodes.kinds:
            nodes.learn(said, now, WALL + now)
    return nodes


def states(nodes: Nodes, now: float) -> dict[str, str]:
    """The state of each switch at ``now``."""
    nodes.tick(now)
    return {row["name"]: row["state"] for row in nodes.rows(now)}


def only(nodes: Nodes, now: float = 0.0) -> dict[str, Any]:
    """The row of the only switch."""
    [row] = nodes.rows(now)
    return row


def turned(nodes: Nodes) -> list[tuple[str, str]]:
    """What turned since the last call, without the runs."""
    return [(turn.what, turn.node) for turn in nodes.turns()]
