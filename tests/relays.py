"""Nodes that relay: what a switch fires goes to a group, and what the group tells is fired on the switch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from namespaces import Host
from sockets import until

from switchcast import Event, Matcher
from switchcast.endpoints import Endpoint, make_endpoint
from switchcast.node import Node, Policy, Route, Sink, Source, unchanged
from switchcast.simulation import Cluster, Switch
from switchcast.simulation.eventsocket import EventSocketServer

BINDINGS = Matcher("PRESENCE_IN MESSAGE_WAITING HEARTBEAT CUSTOM sofia::register sofia::unregister")
"""What is relayed: what mod_sofia acts on, and a HEARTBEAT to mark the end of what was sent."""


class Pair:
    """Two switches of one simulated cluster, each with an event socket on the loopback address of its own host."""

    def __init__(
        self, cluster: Cluster, hosts: Sequence[Host | None] = (None, None), address: str = "127.0.0.1"
    ) -> None:
        self.cluster = cluster
        self.hosts = hosts
        self.servers = [
            EventSocketServer(switch, address, emit=lambda _: self.live(0)) for switch in cluster.switches[:2]
        ]
        self.told: list[list[Event]] = [[], []]
        """What each switch fired by itself, of what is relayed."""
        self.heard: list[list[Event]] = [[], []]
        """What each switch fired because its event socket was told to."""

    @property
    def switches(self) -> list[Switch]:
        """Both, in order."""
        return self.cluster.switches[:2]

    def live(self, seconds: float) -> None:
        """Let the cluster live so long; its clients hear of it."""
        for _, index, event in self.cluster.advance(self.cluster.now + seconds):
            self.servers[index].publish([event])
            if "Command" in event:
                self.heard[index].append(event)
            else:
                self.told[index] += BINDINGS.select([event])

    async def start(self) -> None:
        """Listen, each on its host."""
        for server, host in zip(self.servers, self.hosts, strict=True):
            with inside(host):
                await server.start()


def inside(host: Host | None) -> AbstractContextManager[None]:
    """What is opened inside belongs to ``host``, where there is one."""
    return nullcontext() if host is None else host.entered()


def event_socket(server: EventSocketServer, options: str = "", matcher: Matcher | None = None) -> Endpoint:
    """An endpoint for ``server``."""
    address = f"[{server.host}]" if ":" in server.host else server.host
    return make_endpoint(f"esl://{address}:{server.port}{options and '?' + options}", matcher=matcher)


@dataclass
class Relay:
    """A node that runs, with its two endpoints: each is a source and a sink."""

    node: Node
    switch: Endpoint
    group: Endpoint

    @property
    def sent(self) -> int:
        """Datagrams that it has put on the group."""
        return self.group.counters()["sent_datagrams"]

    @property
    def fired(self) -> int:
        """Events that it has fired on its switch."""
        return self.switch.counters()["sent"]


@asynccontextmanager
async def relaying(
    name: str,
    server: EventSocketServer,
    group: str,
    options: str = "",
    host: Host | None = None,
    *,
    policy: Policy = unchanged,
) -> AsyncIterator[Relay]:
    """A node ``name`` beside the switch of ``server``, both ways; ``options`` are those of its ``esl:`` endpoint.

    ``policy`` says what may go to the group.
    """
    switch, members = event_socket(server, options, BINDINGS), make_endpoint(group)
    with inside(host):
        for endpoint in (switch, members):
            await endpoint.open_source()
            await endpoint.open_sink()
    node = Node(
        [
            Route(Source(switch), [Sink(members)], bindings=BINDINGS.bindings, policy=policy),
            Route(Source(members), [Sink(switch)], trust="stock"),
        ],
        name=name,
    )
    running = asyncio.create_task(node.run())
    try:
        await node.ready.wait()
        yield Relay(node, switch, members)
    finally:
        node.stop()
        await running
        assert switch.closed
        assert members.closed


async def settled(pair: Pair, relays: Sequence[Relay], rounds: int = 3) -> None:
    """Wait until everything that was sent has arrived, then let HEARTBEATs cross both ways a few times.

    What went round in circles would have come round meanwhile, since nothing overtakes them.
    """
    one, other = relays

    def crossed() -> bool:
        told, told_there = (len(told) for told in pair.told)
        return min(one.sent, other.fired) >= told and min(other.sent, one.fired) >= told_there

    for _ in range(rounds + 1):
        await until(crossed)
        for switch in pair.switches:
            switch.fire("HEARTBEAT", [])
        pair.live(0)
