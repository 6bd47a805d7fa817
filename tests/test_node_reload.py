"""Another plan while events flow: what is equal runs on, what changed is replaced, nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

import pytest
from parts import Given, Keeping, fired, numbered, numbers, running
from ports import free_port
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event
from switchcast._native import Sender
from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.errors import EndpointDenied, UsageError
from switchcast.node import Node, Route, Sink, Source
from switchcast.testing import simulated_switch

GROUP = "239.255.42.77"


class Listening:
    """What arrives on a ``memory:`` line."""

    def __init__(self, name: str) -> None:
        self.endpoint = MemoryEndpoint(EndpointUrl.parse(f"memory:{name}?queue=1000000"))
        self.heard: list[Event] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.endpoint.open_source()
        self._task = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.endpoint.close()
        assert self._task is not None
        await self._task

    async def _listen(self) -> None:
        async for batch in self.endpoint.batches():
            self.heard += batch


def line(name: str) -> MemoryEndpoint:
    return MemoryEndpoint(EndpointUrl.parse(f"memory:{name}"), role="sink")


class Load:
    """Fires one event after another into ``send`` as long as the block lasts."""

    def __init__(self, send: Callable[[list[Event]], Awaitable[None]]) -> None:
        self.fired = 0
        self._send = send
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._fire())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending = True
        assert self._task is not None
        await self._task

    async def _fire(self) -> None:
        while not self._ending:
            batch = [fired(0, self.fired + number) for number in range(5)]
            await self._send(batch)
            self.fired += len(batch)
            await asyncio.sleep(0.0005)

    async def more(self, events: int = 50) -> None:
        """Let that many more be fired."""
        enough = self.fired + events
        await until(lambda: self.fired >= enough)


def test_fifty_reloads_under_load_lose_nothing_and_leave_nothing() -> None:
    """The source runs on; the sink is now the same, now another connection, now with another queue."""

    async def act() -> None:
        node = Node(plan(0), patient=True)
        async with Listening("out") as out, Listening("side") as side, running(node), Load(line("in").send) as load:
            await until(lambda: out.heard)
            kept = node.feeds["in"]
            for number in range(1, 51):
                await node.reload(plan(number))
                await load.more(20)
            assert node.feeds["in"] is kept
            assert set(node.feeds) == {"in"}
            assert set(node.outlets) == {"out"}
            assert len(asyncio.all_tasks()) <= 12
            await load.__aexit__()
            await until(lambda: len(out.heard) >= load.fired)
            assert numbers(out.heard) == list(range(load.fired))
            assert numbers(side.heard) == sorted(set(numbers(side.heard)))

    def plan(number: int) -> list[Route]:
        source = Source("memory:in", name="in")
        out = Sink("memory:out", name="out", spec=number // 2, limit=10_000 + number)
        side = Sink("memory:side", name="side", overflow="drop-newest")
        first = Route(source, [out], where=f"{number} == {number}", name="first")
        return [first, Route(source, [side], bindings="TRAP", name="second")] if number % 3 == 1 else [first]

    asyncio.run(act())


async def sending(sender: Sender, events: Sequence[Event]) -> None:
    done = 0
    while done < len(events):
        done += sender.send(events[done:])
        await asyncio.sleep(0)


@pytest.mark.parametrize("change", ["options", "bindings", "tap"])
def test_a_socket_that_is_replaced_under_load_misses_nothing_and_repeats_nothing(change: str) -> None:
    async def act() -> None:
        port = free_port()
        sender = Sender([GROUP], port, interface="lo", sender="fs1")
        ring = itertools.count(10_000)
        words = itertools.cycle(["TRAP", "TRAP HEARTBEAT"])

        def plan() -> list[Route]:
            size = next(ring) if change == "options" else 9_999
            source = Source(f"multicast://{GROUP}:{port}?interface=lo&ring={size}", name="group")
            bindings = next(words) if change == "bindings" else "TRAP"
            return [Route(source, [Sink("memory:out", name="out")], bindings=bindings, name="line")]

        node = Node(plan(), patient=True)
        async with Listening("out") as out, running(node):
            async with Load(lambda events: sending(sender, events)) as load:
                await until(lambda: out.heard)
                for number in range(10):
                    before = node.feeds["group"]
                    if change == "tap":
                        tap = node.tap(f"look {number}", f"HEARTBEAT CUSTOM a::{number}")
                        await until(lambda before=before: node.feeds["group"] is not before)  # type: ignore[misc]
                        tap.close()
                    else:
                        await node.reload(plan())
                    assert node.feeds["group"] is not before
                    assert before.endpoint.closed
                    await load.more(20)
            await until(lambda: len(out.heard) >= load.fired)
        assert numbers(out.heard) == list(range(load.fired))
        sender.close()

    with capture_logs() as logs:
        asyncio.run(act())
    assert logs == []


def test_a_unicast_socket_stays_when_only_routes_change_since_its_address_is_its_own() -> None:
    async def act() -> None:
        port = free_port()
        sender = Sender(["127.0.0.1"], port, sender="fs1")

        def plan(bindings: str, options: str = "") -> list[Route]:
            source = Source(f"udp://127.0.0.1:{port}{options}", name="udp")
            return [Route(source, [Sink("memory:out", name="out")], bindings=bindings, name="line")]

        node = Node(plan("TRAP"), patient=True)
        async with Listening("out") as out, running(node):
            before = node.feeds["udp"]
            await until(lambda: before.state.status == "up")
            async with Load(lambda events: sending(sender, events)) as load:
                for bindings in ["TRAP MESSAGE", "all", "TRAP"] * 5:
                    await node.reload(plan(bindings))
                    await load.more(20)
            await until(lambda: len(out.heard) >= load.fired)
            assert numbers(out.heard) == list(range(load.fired))
            assert node.feeds["udp"] is before
            await node.reload(plan("TRAP", "?ring=10000"))  # other options need another socket
            assert node.feeds["udp"] is not before
            await until(lambda: node.feeds["udp"].state.status == "up")
            await sending(sender, [fired(1, 0)])
            await until(lambda: out.heard[-1] == fired(1, 0).with_headers([("Multicast-Sender", "fs1")]))
        sender.close()

    asyncio.run(act())


def test_an_event_socket_is_asked_for_other_events_on_the_connection_it_has() -> None:
    async def act() -> None:
        async with simulated_switch() as switch, Listening("out") as out:
            source, sink = Source(switch.url, name="switch"), Sink("memory:out", name="out")
            back = Route(Source("memory:in", name="in"), [Sink(switch.url, name="switch")])
            node = Node([Route(source, [sink], bindings="TRAP"), back], patient=True)
            async with running(node):
                await until(lambda: node.states()["sources"]["switch"].status == "up")
                switch.fire("TRAP")
                switch.fire("MESSAGE")
                await until(lambda: len(out.heard) == 1)
                connection = node.feeds["switch"].endpoint
                assert connection is node.outlets["switch"].endpoint
                await node.reload([Route(source, [sink], bindings="TRAP MESSAGE"), back])
                assert node.feeds["switch"].endpoint is connection
                switch.fire("MESSAGE")
                await until(lambda: len(out.heard) == 2)
                assert out.heard[1].name == "MESSAGE"
                assert len(switch.server.history) == 1  # one connection

                await node.reload([back])  # no source any more: the sink's connection is made anew, and hears nothing
                assert connection.closed
                assert "switch" not in node.feeds
                await until(lambda: node.states()["sinks"]["switch"].status == "up")
                await line("in").send(numbered(1))
                await until(lambda: node.outlets["switch"].sent == 1)

    asyncio.run(act())


def test_an_event_socket_that_is_replaced_misses_nothing_and_repeats_nothing() -> None:
    async def act() -> None:
        async with simulated_switch() as switch, Listening("out") as out:

            def plan(number: int) -> list[Route]:
                source = Source(f"{switch.url}?queue={10_000 + number}", name="switch")
                return [Route(source, [Sink("memory:out", name="out")], bindings="TRAP", name="line")]

            async def fire(events: list[Event]) -> None:
                for event in events:
                    switch.fire("TRAP", {"Number": event["Number"]})

            async with running(Node(plan(0), patient=True)) as node:
                await until(lambda: node.feeds["switch"].state.status == "up")
                async with Load(fire) as load:
                    for number in range(1, 6):
                        await load.more(20)
                        await node.reload(plan(number))
                await until(lambda: len(out.heard) >= load.fired)
            assert numbers(out.heard) == list(range(load.fired))
            assert len(switch.server.history) == 6

    asyncio.run(act())


def test_plans_that_follow_one_another_at_once_leave_no_connection_behind() -> None:
    async def act() -> None:
        async with simulated_switch() as switch:

            def plan(number: int) -> list[Route]:
                url = f"{switch.url}?queue={10_000 + number}"
                back = Route(Source("memory:in", name="in"), [Sink(url, name="switch")])
                return [back, Route(Source(url, name="switch"), [Sink("memory:out", name="out")])]

            async with running(Node(plan(0), patient=True)) as node:
                await asyncio.gather(*(node.reload(plan(number)) for number in range(1, 11)))
                await until(lambda: switch.server.clients == 1)
                assert str(node.feeds["switch"].endpoint.url).endswith("queue=10010")
            await until(lambda: switch.server.clients == 0)

    asyncio.run(act())


def test_the_successor_of_a_sink_gets_what_waited_for_it() -> None:
    async def act() -> None:
        old, new = Keeping("old"), Keeping("new")
        old.gate.clear()
        source = Source(Given(numbered(10), numbered(10, 10), endless=True))
        async with running(Node([Route(source, [Sink(old, name="out")])], drain=0.05)) as node:
            await until(lambda: node.feeds["memory:given"].received == 20)
            await node.reload([Route(source, [Sink(new, name="out")])])
            await until(lambda: len(new.kept) == 20)
        assert new.kept == numbered(20)
        assert old.closed
        assert node.outlets["out"].sent == node.outlets["out"].queue.offered == 20

    asyncio.run(act())


def test_what_is_taken_out_is_drained_and_closed() -> None:
    async def act() -> None:
        going, staying = Keeping("going"), Keeping("staying")
        going.gate.clear()
        first, second = Given(numbered(5), endless=True, name="first"), Given(endless=True, name="second")
        routes = [Route(Source(first), [Sink(going)]), Route(Source(second), [Sink(staying)])]
        async with running(Node(routes)) as node:
            await until(lambda: node.feeds["memory:first"].received == 5)
            reloading = asyncio.create_task(node.reload(routes[1:]))
            await until(lambda: first.closed)
            going.gate.set()
            await reloading
            assert going.kept == numbered(5)
            assert going.closed
            assert (second.closed, staying.closed) == (False, False)
            assert set(node.states()["sinks"]) == {"memory:staying"}

    asyncio.run(act())


@pytest.mark.parametrize("mistake", ["url", "condition", "names", "opening", "password"])
def test_a_plan_with_a_mistake_changes_nothing(mistake: str) -> None:
    async def act() -> None:
        async with simulated_switch() as switch, Listening("out") as out:
            source, sink = Source("memory:in", name="in"), Sink("memory:out", name="out")
            route = Route(source, [sink], name="first")
            node = Node([route], patient=True)
            async with running(node), Load(line("in").send) as load:
                await until(lambda: out.heard)
                parts, tasks = node.parts, asyncio.all_tasks()
                for _ in range(5):
                    with pytest.raises(EndpointDenied if mistake == "password" else UsageError):
                        await node.reload(wrong(switch.url, sink))
                    await load.more(20)
                assert node.parts is parts
                assert asyncio.all_tasks() == tasks
                assert list(node.plan.routes) == ["first"]
                await load.__aexit__()
                await until(lambda: len(out.heard) >= load.fired)
                assert numbers(out.heard) == list(range(load.fired))

    def wrong(url: str, sink: Sink) -> list[Route]:
        changed = Source("memory:in", name="in", spec="changed")
        ends = [Sink("memory:out", name="out", spec="changed"), Sink("memory:more")]
        good = Route(changed, ends, name="good")
        match mistake:
            case "url":
                return [good, Route(Source("multicats://239.255.42.42"), ends)]
            case "condition":
                return [good, Route(changed, ends, where="name ==")]
            case "names":
                return [good, Route(changed, [sink])]
            case "opening":
                return [good, Route(Source("multicast://192.0.2.1:4242"), ends)]
            case _:
                return [good, Route(Source(url.replace("ClueCon", "wrong"), name="switch"), ends)]

    asyncio.run(act())


def test_what_failed_for_good_is_tried_again_by_a_reload(tmp_path: Path) -> None:
    async def act() -> None:
        password = tmp_path / "password"
        password.touch(0o600)
        password.write_text("wrong")
        async with simulated_switch() as switch:
            url = f"esl://{switch.server.host}:{switch.server.port}?password_file={password}"
            routes = [Route(Source("memory:in", name="in"), [Sink(url, name="switch")])]
            async with running(Node(routes, patient=True)) as node:
                await until(lambda: node.states()["sinks"]["switch"].status == "failed")
                with pytest.raises(EndpointDenied):
                    await node.reload(routes)  # still wrong
                password.write_text("ClueCon")
                await node.reload(routes)
                assert node.states()["sinks"]["switch"].status == "up"
                await line("in").send(numbered(3))
                await until(lambda: node.outlets["switch"].sent == 3)

    with capture_logs() as logs:
        asyncio.run(act())
    assert [entry["event"] for entry in logs] == ["sink_failed"]


def test_a_group_that_failed_is_made_anew_for_other_events_too() -> None:
    async def act() -> None:
        url = f"multicast://{GROUP}:{free_port()}?interface=lo"

        def plan(bindings: str) -> list[Route]:
            return [Route(Source(url, name="group"), [Sink("memory:out", name="out")], bindings=bindings)]

        async with running(Node(plan("TRAP"), patient=True)) as node:
            await until(lambda: node.states()["sources"]["group"].status == "up")
            failed = node.feeds["group"]
            failed._fail(EndpointDenied("taken away"))
            await node.reload(plan("MESSAGE"))
            assert node.feeds["group"] is not failed
            assert node.states()["sources"]["group"].status == "up"
            assert failed.endpoint.closed

    with capture_logs() as logs:
        asyncio.run(act())
    assert [entry["event"] for entry in logs] == ["source_failed"]


def test_a_node_that_does_not_run_yet_takes_the_plan_for_later() -> None:
    async def act() -> None:
        node = Node(patient=True)
        await node.reload([Route(Source("memory:in", name="in"), [Sink("memory:out", name="out")])])
        async with Listening("out") as out, running(node):
            await until(lambda: node.states()["sources"]["in"].status == "up")
            await line("in").send(numbered(3))
            await until(lambda: out.heard == numbered(3))

    asyncio.run(act())
