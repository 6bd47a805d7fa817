"""``/peers`` and ``/stats``: who is there, and how the node itself fares."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from switchcast.app.api.facts import Facts
from switchcast.app.api.reply import Described, problems, reply

__all__ = ["PeersBody", "StatsBody", "node_router"]


class PeerBody(Described):
    """One name at one address."""

    name: str = Field(examples=["fs2"])
    """What the switch calls itself. Without signatures anyone can write any name."""
    address: str = Field(examples=["192.0.2.2"])
    """Where it was heard from; empty where events come without an address."""
    core: str = Field(examples=["2f4be9a8-6a0b-4c1f-9f39-0d7c4ec6b1aa"])
    """Its Core-UUID, another after each start of the switch."""
    state: Literal["up", "returning", "down", "rival"] = Field(examples=["up"])
    """``rival``: the same name is known at another address, which came first."""
    last_seen: float = Field(examples=[1795462923.125])
    """When it was last heard, seconds since 1970."""
    seconds_ago: float = Field(examples=[3.2])
    """How long ago that is."""
    in_state: float = Field(examples=[86400.5])
    """How long it has been in this state, in seconds."""
    heartbeats: int = Field(examples=[4321])
    """Heartbeats heard."""
    downs: int = Field(examples=[0])
    """How often it went down."""
    also: list[str] = Field(examples=[["192.0.2.9"]])
    """Other addresses under which the same name is heard."""


class DestinationBody(Described):
    """An address that events are sent to."""

    address: str = Field(examples=["239.192.1.1:4242"])
    """Address and port."""
    kind: str = Field(examples=["IPv4 multicast"])
    """Its kind, as the stock module names it."""


class PeersBody(Described):
    """Who is there."""

    active: bool = Field(examples=[True])
    """Whether the node receives: one of its sources is up."""
    destinations: list[DestinationBody]
    """Where the node sends to."""
    peers: list[PeerBody]
    """Everyone known, by name."""
    counters: dict[str, int] = Field(examples=[{"heartbeats": 4321, "up": 1, "down": 0}])
    """What was heard, and why something had no effect."""


class PartBody(Described):
    """A part of the node."""

    name: str = Field(examples=["group"])
    """Its name in the configuration."""
    counters: dict[str, int] = Field(examples=[{"received": 1200, "passed": 1200}])
    """What it has counted since the node's start; docs/monitoring.md tells what each is."""
    limit: int | None = Field(examples=[16384])
    """How much its queue holds, where it has one."""


class EndpointBody(Described):
    """An endpoint."""

    name: str = Field(examples=["group"])
    """Its name in the configuration."""
    up: bool = Field(examples=[True])
    """Whether it can do its work."""
    why: str = Field(examples=[""])
    """In a sentence why not."""
    counters: dict[str, int] = Field(examples=[{"received_datagrams": 1200}])
    """What it has counted itself."""


class StatsBody(Described):
    """The node at this moment, as /metrics has it."""

    node: str = Field(examples=["fs1"])
    """What this node calls itself."""
    phase: Literal["starting", "running", "reloading", "stopping"] = Field(examples=["running"])
    """What it is about."""
    ready: bool = Field(examples=[True])
    """Whether it does all that its configuration asks for."""
    configured_at: float | None = Field(examples=[1795462000.0])
    """When the configuration in force was taken, seconds since 1970."""
    endpoints: list[EndpointBody]
    """Endpoints, each once though it be a source and a sink."""
    sources: list[PartBody]
    """Sources."""
    routes: list[PartBody]
    """Routes."""
    policies: list[PartBody]
    """Policies."""
    sinks: list[PartBody]
    """Sinks and their queues."""
    taps: list[PartBody]
    """Those within the node that look on."""
    rules: list[PartBody]
    """Rules, as the engine counts them."""
    actions: list[PartBody]
    """Rules, as their actions are counted."""
    peers: dict[str, int] = Field(examples=[{"up": 1}])
    """Counters of the table of peers."""
    views: list[PartBody]
    """The views of the cluster and what keeps them: events without effect, by reason, and how often switches were
    asked."""
    rows: dict[str, dict[str, int]] = Field(examples=[{"nodes": {"up": 3, "down": 0}}])
    """How many rows each view has now, by what is so of them."""
    answering: dict[str, bool] = Field(examples=[{"switch": True}])
    """Whether each switch that is asked answers, by the endpoint's name."""
    doubted: dict[str, int] = Field(examples=[{"lost": 1}])
    """Nodes of which not all is known that happened, by why: ``lost``, ``down`` or ``restarted``."""
    journal: dict[str, int] = Field(examples=[{"entries": 0}])
    """Counters of the journal of actions."""
    api: dict[str, int] = Field(examples=[{"requests": 12, "readers": 1}])
    """Counters of this API."""
    reloads: dict[str, int] = Field(examples=[{"done": 1, "refused": 0}])
    """Times that the configuration was read again, by what came of it."""


def node_router(facts: Facts) -> APIRouter:
    """The paths."""
    router = APIRouter(tags=["node"])

    @router.get("/peers", response_model=PeersBody, responses=problems())
    async def peers() -> Response:
        """Who is there: the other switches, from their heartbeats."""
        return reply(facts.peers())

    @router.get("/stats", response_model=StatsBody, responses=problems())
    async def stats() -> Response:
        """The node's own figures: what every part has counted since the start, and how it fares."""
        snapshot = facts.snapshot()
        known = set(StatsBody.model_fields)
        told: dict[str, Any] = {name: value for name, value in asdict(snapshot).items() if name in known}
        return reply(told | {"ready": snapshot.ready})

    return router
