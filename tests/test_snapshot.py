"""From a node that runs to what is told of it: as whole, and as few, as the configuration's own parts."""

from __future__ import annotations

import asyncio

from parts import Given, numbered, running
from ports import free_port
from sockets import until

from switchcast.app.metrics import Exposition
from switchcast.app.snapshot import Snapshot, make_snapshot
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.line.plan import Route, Sink, Source
from switchcast.line.state import State
from switchcast.node import Node


def of(node: Node) -> Snapshot:
    """A snapshot as the daemon takes it."""
    limits = {"sinks": {name: outlet.queue.limit for name, outlet in node.outlets.items()}}
    return make_snapshot("fs1", "running", node.counters(), node.states(), limits=limits)


def test_a_node_that_runs_is_told_with_all_its_parts() -> None:
    async def carried() -> Snapshot:
        source = Source(Given(numbered(7), endless=True), name="given")
        group = Sink(f"udp://127.0.0.1:{free_port()}", name="group", limit=100)
        node = Node([Route(source, [group], bindings="TRAP", name="out")], name="fs1", patient=True, drain=0.1)
        node.tap("rules")
        async with running(node):
            await until(lambda: node.counters()["sinks"]["group"]["sent"] == 7)
            return of(node)

    taken = asyncio.run(carried())
    assert taken.ready
    assert [part.name for part in taken.sources] == ["given"]
    assert [part.name for part in taken.routes] == ["out"]
    assert [part.name for part in taken.taps] == ["rules"]
    (sink,) = taken.sinks
    assert (sink.name, sink.limit, sink.counters["sent"]) == ("group", 100, 7)
    assert {endpoint.name: endpoint.up for endpoint in taken.endpoints} == {"given": True, "group": True}
    assert not [key for part in (*taken.sources, *taken.sinks) for key in part.counters if key.startswith("endpoint_")]
    text, _ = Exposition(lambda: (taken, 0.0))(None)
    lines = set(text.decode().splitlines())
    assert 'switchcast_source_received_total{source="given"} 7.0' in lines
    assert 'switchcast_sink_sent_total{sink="group"} 7.0' in lines
    assert 'switchcast_endpoint_datagrams_total{direction="out",endpoint="group"} 7.0' in lines
    assert 'switchcast_queue_limit_events{name="group",place="sink"} 100.0' in lines


def test_what_is_down_is_told_with_the_reason() -> None:
    class Gone(MemoryEndpoint):
        """A sink that is never there."""

        async def open_sink(self) -> None:
            raise ConnectionRefusedError("nobody there")

    async def carried() -> Snapshot:
        source = Source(Given(numbered(1), endless=True), name="given")
        gone = Sink(Gone(EndpointUrl.parse("memory:gone"), role="sink"), name="switch")
        node = Node([Route(source, [gone])], patient=True, drain=0.1)
        async with running(node):
            await until(lambda: node.states()["sinks"]["switch"].status == "down")
            return of(node)

    taken = asyncio.run(carried())
    assert not taken.ready
    assert taken.readiness()["down"] == {"switch": "nobody there"}


def test_a_source_and_a_sink_of_one_name_are_one_endpoint() -> None:
    counters = {"sources": {"switch": {"endpoint_outages": 2}}, "sinks": {"switch": {"endpoint_outages": 2, "sent": 3}}}
    up, down = State("up"), State("down", "connection refused")
    both = make_snapshot("fs1", "running", counters, {"sources": {"switch": up}, "sinks": {"switch": down}})
    assert [(each.name, each.up, each.why) for each in both.endpoints] == [("switch", False, "connection refused")]
    assert both.endpoints[0].counters == {"outages": 2}
    assert make_snapshot("fs1", "running", counters, {"sources": {"switch": up}, "sinks": {"switch": up}}).ready


def test_a_recording_that_has_ended_is_well_and_one_that_starts_is_not() -> None:
    for status, up in (("ended", True), ("starting", False), ("failed", False)):
        told = make_snapshot("fs1", "running", {}, {"sources": {"file": State(status)}})  # type: ignore[arg-type]
        assert [(each.up, each.why) for each in told.endpoints] == [(up, "" if up else status)]
