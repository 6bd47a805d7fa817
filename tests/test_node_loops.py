"""Nodes that relay both ways, on redundant paths and round corners: every event arrives once, and then it is quiet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from parts import fired, numbers, running
from ports import free_port
from sockets import until

from switchcast import Event
from switchcast.endpoints import EndpointUrl, make_endpoint
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.node import Node, Route, Sink, Source
from switchcast.testing import SimulatedSwitch, simulated_switch

QUIET_TURNS = 200
GROUP = "239.255.42.78"
WANTED = "PRESENCE_IN CUSTOM multicast::event"
"""What a switch fires, and what it re-fires when it has been sent something from the group."""


def memory(name: str) -> MemoryEndpoint:
    return MemoryEndpoint(EndpointUrl.parse(f"memory:{name}"))


async def settled(*nodes: Node) -> None:
    """Wait until nothing has moved for many turns."""
    before, quiet = -1, 0

    def moved() -> int:
        return sum(part.received for node in nodes for part in node.feeds.values()) + sum(
            part.sent + part.guarded for node in nodes for part in node.outlets.values()
        )

    while quiet < QUIET_TURNS:
        await asyncio.sleep(0)
        now = moved()
        before, quiet = now, quiet + 1 if now == before else 0


@asynccontextmanager
async def switch_that_refires(name: str, sent: list[Event]) -> AsyncIterator[Callable[[Event], Awaitable[None]]]:
    """A switch on two ``memory:`` lines: what it is sent it fires, marked as from the group, beside its own.

    What it was sent is added to ``sent``; gives the function that fires.
    """
    heard = memory(f"{name}-hears")
    await heard.open_source()

    async def refire() -> None:
        async for batch in heard.batches():
            sent.extend(batch)
            await memory(f"{name}-fires").send([event.with_headers([("Multicast", "yes")]) for event in batch])

    task = asyncio.create_task(refire())
    try:
        yield lambda event: memory(f"{name}-fires").send([event])
    finally:
        await heard.close()
        await task


def relaying(name: str) -> list[Route]:
    """A switch and the group, both ways."""
    return [
        Route(Source(f"memory:{name}-fires", name="switch"), [Sink("memory:group", name="group", hearer="group")]),
        Route(Source("memory:group", name="group"), [Sink(f"memory:{name}-hears", name="switch", hearer="switch")]),
    ]


def test_two_nodes_that_relay_both_ways_settle() -> None:
    async def act() -> None:
        names = ["fs1", "fs2", "fs3"]
        sent: dict[str, list[Event]] = {name: [] for name in names}
        nodes = [Node(relaying(name), name=name) for name in names]
        async with AsyncExitStack() as stack:
            fire = {name: await stack.enter_async_context(switch_that_refires(name, sent[name])) for name in names}
            for node in nodes:
                await stack.enter_async_context(running(node))
            await settled(*nodes)
            for sequence in range(20):
                for core, name in enumerate(names):
                    own = fired(core, 100 * core + sequence).with_headers([("Multicast-Sender", name)])
                    await fire[name](own)
            await until(lambda: all(len(each) >= 40 for each in sent.values()))
            await settled(*nodes)
            for core, name in enumerate(names):
                others = [100 * other + sequence for other in range(3) if other != core for sequence in range(20)]
                assert sorted(numbers(sent[name])) == others
        for node in nodes:
            assert node.outlets["group"].sent == 20
            assert node.outlets["group"].guarded == 40  # what its switch re-fired
            assert node.outlets["switch"].guarded == 20  # its own, heard back from the group

    asyncio.run(act())


def test_two_bridges_between_two_groups_settle() -> None:
    """Every event would go round for ever between them; each node lets it pass once."""

    async def act() -> None:
        def bridge() -> Node:
            ends = [
                Route(Source(f"memory:{here}", name=here), [Sink(f"memory:{there}", name=there)], deduplicate=True)
                for here, there in (("near", "far"), ("far", "near"))
            ]
            return Node(ends)

        nodes = [bridge(), bridge()]
        ears = memory("far")
        await ears.open_source()
        async with running(nodes[0]), running(nodes[1]):
            await settled(*nodes)
            await memory("near").send([fired(0, sequence) for sequence in range(30)])
            await until(lambda: ears.counters()["received"] >= 60)
            await settled(*nodes)
            assert ears.counters()["received"] == 60  # one from each bridge
            back = sum(node.outlets["near"].sent for node in nodes)
            assert back == 0
        await ears.close()

    asyncio.run(act())


def test_nodes_relay_between_switches_over_real_multicast_and_settle() -> None:
    """Two simulated switches with event sockets, two nodes, one group on loopback: each event is at the other once."""

    async def act() -> None:
        url = f"multicast://{GROUP}:{free_port()}?interface=lo"
        async with AsyncExitStack() as stack:
            switches = [await stack.enter_async_context(simulated_switch(seed=seed)) for seed in (1, 2)]
            names = ["fs1", "fs2"]
            ears = await stack.enter_async_context(make_endpoint(url, role="source"))
            nodes = [
                await stack.enter_async_context(running(Node(both_ways(switch, f"{url}&sender={name}"), name=name)))
                for switch, name in zip(switches, names, strict=True)
            ]
            for number in range(25):
                for switch in switches:
                    switch.fire("PRESENCE_IN", {"Number": str(number)})
                await asyncio.sleep(0)
            await until(lambda: all(node.outlets["switch"].sent >= 25 for node in nodes))
            await until(lambda: all(node.outlets["switch"].guarded >= 25 for node in nodes))
            await settled(*nodes)
            for node in nodes:
                assert node.outlets["switch"].sent == 25
                assert node.outlets["group"].sent == 25
                assert node.outlets["group"].guarded == 25  # what its switch re-fired
            heard: list[Event] = []
            async for batch in ears.batches():
                heard += batch
                if len(heard) >= 50:
                    break
            await settled(*nodes)
            assert ears.counters()["received_datagrams"] == 50

    def both_ways(switch: SimulatedSwitch, group: str) -> list[Route]:
        return [
            Route(Source(switch.url, name="switch"), [Sink(group, name="group")], bindings=WANTED),
            Route(Source(group, name="group"), [Sink(switch.url, name="switch")], trust="stock"),
        ]

    asyncio.run(act())
