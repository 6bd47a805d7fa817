"""What a running node says of itself at one moment, as plain data: for metrics, readiness and ``switchcast status``.

It is taken in the event loop, where what it tells of cannot change meanwhile, and may then be read in any thread.

Names are those of the configuration. Nothing here comes out of an event: no number, no UUID, no sender. The counters'
own names come from the code. So whoever makes labels of them has as many as the configuration has parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from switchcast.line.state import State

__all__ = ["EndpointState", "Part", "Phase", "Snapshot", "make_snapshot"]

Phase = Literal["starting", "running", "reloading", "stopping"]

_ENDPOINT: Final = "endpoint_"
_WELL: Final = frozenset({"up", "ended"})
"""A source that had an end, as a recording has, and has come to it has done all it could."""


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint: whether it is up, in a sentence why not, and its own ``counters()``."""

    name: str
    up: bool
    why: str = ""
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the node with its ``counters()``; ``limit`` is how many events, or firings, its queue holds."""

    name: str
    counters: Mapping[str, int] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The node at one moment.

    ``rules`` are as the engine counts them, ``actions`` as the runner does, by rule. ``peers``, ``journal`` and
    ``api`` are the counters of those, ``views`` those of each view and of what keeps them. ``rows`` are how many each
    view has, by what is so of them; ``answering`` whether each switch that is asked answers, by its endpoint's name;
    ``doubted`` how many nodes are in doubt, by the reason. ``reloads`` counts by outcome, ``done`` and ``refused``;
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
    actions: Sequence[Part] = ()
    peers: Mapping[str, int] = field(default_factory=dict)
    journal: Mapping[str, int] = field(default_factory=dict)
    views: Sequence[Part] = ()
    rows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    answering: Mapping[str, bool] = field(default_factory=dict)
    doubted: Mapping[str, int] = field(default_factory=dict)
    api: Mapping[str, int] = field(default_factory=dict)
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


def make_snapshot(
    node: str,
    phase: Phase,
    counters: Mapping[str, Mapping[str, Mapping[str, int]]],
    states: Mapping[str, Mapping[str, State]],
    *,
    limits: Mapping[str, Mapping[str, int]] | None = None,
    reloads: Mapping[str, int] | None = None,
    configured_at: float | None = None,
    rows: Mapping[str, Mapping[str, int]] | None = None,
    answering: Mapping[str, bool] | None = None,
    doubted: Mapping[str, int] | None = None,
) -> Snapshot:
    """The snapshot that ``Node.counters()`` and ``Node.states()`` make.

    ``counters`` may have the kinds ``rules`` (of the engine), ``actions`` (of the runner), ``policies``, ``peers``,
    ``views``, ``journal`` and ``api`` beside the node's own; ``limits`` has sizes of queues by kind and name. The
    others are as in the snapshot.
    A name that is a source and a sink is one endpoint, and up when both are.
    """

    def parts(kind: str) -> list[Part]:
        holds = (limits or {}).get(kind, {})
        return [
            Part(name, {key: count for key, count in counts.items() if not key.startswith(_ENDPOINT)}, holds.get(name))
            for name, counts in counters.get(kind, {}).items()
        ]

    return Snapshot(
        node,
        phase,
        endpoints=list(_endpoints(counters, states)),
        sources=parts("sources"),
        routes=parts("routes"),
        policies=parts("policies"),
        sinks=parts("sinks"),
        taps=parts("taps"),
        rules=parts("rules"),
        actions=parts("actions"),
        peers=counters.get("peers", {}).get("peers", {}),
        journal=counters.get("journal", {}).get("journal", {}),
        views=parts("views"),
        rows=rows or {},
        answering=answering or {},
        doubted=doubted or {},
        api=counters.get("api", {}).get("api", {}),
        reloads=reloads or {},
        configured_at=configured_at,
    )


def _endpoints(
    counters: Mapping[str, Mapping[str, Mapping[str, int]]], states: Mapping[str, Mapping[str, State]]
) -> Iterator[EndpointState]:
    roles = ("sources", "sinks")
    for name in dict.fromkeys(name for role in roles for name in states.get(role, {})):
        own = [states[role][name] for role in roles if name in states.get(role, {})]
        ill = next((state for state in own if state.status not in _WELL), None)
        counts = {
            key.removeprefix(_ENDPOINT): count
            for role in roles
            for key, count in counters.get(role, {}).get(name, {}).items()
            if key.startswith(_ENDPOINT)
        }
        yield EndpointState(name, ill is None, "" if ill is None else ill.reason or ill.status, counts)
