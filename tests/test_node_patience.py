"""A patient node: what is not there yet, or no more, is waited for, while everything else runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence

import pytest
from parts import Given, Keeping, numbered, numbers, running
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event
from switchcast.endpoints import make_endpoint
from switchcast.errors import EndpointDenied, EndpointUnavailable, MissingExtra, RejectedDatagram, UrlError
from switchcast.line.state import CONNECTING_AGAIN, LAST_PAUSE, for_good, pauses
from switchcast.node import Node, Route, Sink, Source
from switchcast.testing import simulated_switch


class Absent(Keeping):
    """A sink that cannot be opened until someone comes."""

    def __init__(self, name: str, error: Exception) -> None:
        super().__init__(name)
        self.error: Exception | None = error

    async def open_sink(self) -> None:
        await super().open_sink()
        if self.error is not None:
            raise self.error


class Late(Given):
    """A source that fails as it is told: at opening, then once after its first batch."""

    def __init__(self, error: Exception, attempts: int) -> None:
        super().__init__(name="late", endless=True)
        self.failures = [error] * attempts
        self.cut_off = False

    async def open_source(self) -> None:
        await super().open_source()
        if self.failures:
            raise self.failures.pop()

    async def batches(self) -> AsyncIterator[list[Event]]:
        yield numbered(1)
        if not self.cut_off:
            self.cut_off = True
            raise EndpointUnavailable("cut off")
        async for batch in super().batches():
            yield batch


def events_of(logs: Sequence[object]) -> list[str]:
    return [entry["event"] for entry in logs]  # type: ignore[index]


def test_a_sink_that_is_not_there_is_waited_for_while_the_rest_runs() -> None:
    async def act() -> None:
        absent, sound = Absent("absent", EndpointUnavailable("nobody there")), Keeping("sound")
        source = Given(numbered(30), endless=True)
        node = Node([Route(Source(source), [Sink(absent, limit=10), Sink(sound)])], patient=True)
        async with running(node):
            await until(lambda: len(sound.kept) == 30 and absent.opened >= 3)
            state = node.states()["sinks"]["memory:absent"]
            assert (state.status, state.reason) == ("down", "nobody there")
            absent.error = None
            await until(lambda: len(absent.kept) == 11)
            assert numbers(absent.kept) == list(range(20, 30))  # the newest of them, behind a gap record
            assert node.states()["sinks"]["memory:absent"].status == "up"
        assert node.outlets["memory:absent"].outages == 1

    with capture_logs() as logs:
        asyncio.run(act())
    assert events_of(logs) == ["sink_down", "sink_up"]


def test_a_source_that_is_not_there_is_waited_for() -> None:
    async def act() -> None:
        late, sink, other = Late(EndpointUnavailable("no such interface"), 3), Keeping("kept"), Keeping("other")
        routes = [Route(Source(late), [Sink(sink)]), Route(Source(Given(numbered(5), endless=True)), [Sink(other)])]
        async with running(Node(routes, patient=True)) as node:
            await until(lambda: len(other.kept) == 5)
            await until(lambda: len(sink.kept) == 2)  # one of each connection
            assert node.states()["sources"]["memory:late"].status == "up"
        assert node.feeds["memory:late"].outages == 2

    with capture_logs() as logs:
        asyncio.run(act())
    assert events_of(logs) == ["source_down", "source_up", "source_down", "source_up"]


@pytest.mark.parametrize(
    "error", [UrlError("no such option"), EndpointDenied("wrong password")], ids=["usage", "denied"]
)
def test_what_waiting_cannot_mend_fails_that_part_only(error: Exception) -> None:
    async def act() -> None:
        absent, sound = Absent("absent", error), Keeping("sound")
        late = Late(error, 1)
        routes = [
            Route(Source(Given(numbered(5), endless=True)), [Sink(absent), Sink(sound)]),
            Route(Source(late), [Sink(sound)]),
        ]
        async with running(Node(routes, patient=True)) as node:
            await until(lambda: len(sound.kept) == 5)
            states = node.states()
            for state in (states["sinks"]["memory:absent"], states["sources"]["memory:late"]):
                assert (state.status, state.reason) == ("failed", str(error))
                assert state.since > 0
            assert node.outlets["memory:absent"].counters()["dropped_failed"] == 5
            assert states["sources"]["memory:given"].status == states["sinks"]["memory:sound"].status == "up"
        assert absent.opened == late.opened == 1

    with capture_logs() as logs:
        asyncio.run(act())
    assert sorted(events_of(logs)) == ["sink_failed", "source_failed"]


def test_a_patient_node_runs_on_when_its_sources_have_ended(tmp_path: object) -> None:
    async def act() -> None:
        sink = Keeping()
        recording = make_endpoint(f"file:{tmp_path}/e.jsonl", role="sink")
        async with recording:
            await recording.send(numbered(3))
        source = Source(f"file:{tmp_path}/e.jsonl", name="recording")
        async with running(Node([Route(source, [Sink(sink)], bindings="TRAP")], patient=True)) as node:
            await until(lambda: node.states()["sources"]["recording"].status == "ended")
            await until(lambda: sink.kept == numbered(3))
            assert node.states()["sinks"]["memory:kept"].status == "up"

    asyncio.run(act())


def test_stopping_does_not_wait_for_what_never_comes() -> None:
    class Hanging(Keeping):
        async def open_sink(self) -> None:
            await asyncio.Event().wait()

    class Deaf(Given):
        async def open_source(self) -> None:
            await asyncio.Event().wait()

    async def act() -> None:
        routes = [Route(Source(Deaf(name="deaf")), [Sink(Hanging("hanging"))])]
        async with running(Node(routes, patient=True, drain=200.0)) as node:
            assert node.states()["sources"]["memory:deaf"].status == "starting"
            assert node.states()["sinks"]["memory:hanging"].status == "starting"

    asyncio.run(act())


def test_pauses_grow_to_a_limit_and_are_jittered() -> None:
    longest = list(itertools.islice(pauses(lambda: 1.0), 10))
    shortest = list(itertools.islice(pauses(lambda: 0.0), 10))
    assert longest == sorted(longest)
    assert longest[0] == 0.1
    assert longest[-1] == LAST_PAUSE
    assert shortest == [pause / 2 for pause in longest]


def test_which_errors_pass_by_themselves() -> None:
    assert not any(for_good(error) for error in [EndpointUnavailable("nobody"), OSError("no route")])
    lasting = [
        EndpointDenied("no"),
        UrlError("no"),
        MissingExtra("zstd", "zstandard"),
        RejectedDatagram("bad_json", "no"),
        BrokenPipeError(),
        KeyError("ours"),
    ]
    assert all(for_good(error) for error in lasting)


def test_an_event_socket_that_is_lost_is_down_until_it_is_back() -> None:
    async def act() -> None:
        async with simulated_switch() as switch:
            sink = Sink(switch.url, name="switch")
            node = Node([Route(Source(switch.url, name="switch"), [sink])], patient=True)
            async with running(node):

                def both(status: str) -> bool:
                    return all(states["switch"].status == status for states in node.states().values())

                await until(lambda: both("up"))
                await switch.server.kill()
                await until(lambda: both("down"))
                assert node.states()["sources"]["switch"].reason == CONNECTING_AGAIN
                await switch.server.start()
                await until(lambda: both("up"))

    with capture_logs() as logs:
        asyncio.run(act())
    assert events_of(logs) == ["event socket lost, reconnecting", "event socket is back"]
