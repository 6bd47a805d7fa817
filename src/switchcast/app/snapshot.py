"""What a running node says of itself at one moment, as plain data: for metrics, readiness and ``switchcast status``.

It is taken in the event loop, where what it tells of cannot change meanwhile, and may then be read in any thread.

Names are those of the configuration. Nothing here comes out of an event: no number, no UUID, no sender. The counters'
own names come from the code. So whoever makes labels of them has as many as the configuration has parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["EndpointState", "Part", "Phase", "Snapshot"]

Phase = Literal["starting", "running", "reloading", "stopping"]


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint: whether it is up, in a sentence why not, and its own ``counters()``."""

    name: str
    up: bool
    why: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the node with its ``counters()``; ``limit`` is how many events, or firings, its queue holds.

    Of a rule the counters of engine and runner stand together.
    """

    name: str
    counters: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The node at one moment.

    ``peers`` and ``journal`` are the counters of those two. ``reloads`` counts by outcome, ``done`` and ``refused``;
    ``configured_at`` is when the configuration in force was taken, in seconds since 1970.
    """

    node: str
    phase: Phase
    endpoints: Sequence[EndpointState] = ()
    sources: Sequence[Part] = ()
    routes: Sequence[Part] = ()
    policies: Sequence[Part] = ()
    sinks: Sequence[Part] = ()
    taps: Sequence[Part] = ()
    rules: Sequence[Part] = ()
    peers: Mapping[str, int] = field(default_factory=dict)
    journal: Mapping[str, int] = field(default_factory=dict)
    reloads: Mapping[str, int] = field(default_factory=dict)
    configured_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether the node does all that its configuration asks for."""
        return self.phase in {"running", "reloading"} and all(endpoint.up for endpoint in self.endpoints)

    def readiness(self) -> dict[str, object]:
        """``ready``, ``node``, ``phase``, and under ``down`` why each endpoint is that is not up."""
        down = {endpoint.name: endpoint.why or "not open" for endpoint in self.endpoints if not endpoint.up}
        return {"ready": self.ready, "node": self.node, "phase": self.phase, "down": down}
