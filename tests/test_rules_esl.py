"""``esl-api`` and ``esl-event`` at a simulated switch: an event's value stays what it is on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from acting import act, counts, firings, idle, numbered, pass_time, rule, run, running, turns
from sockets import until
from switches import esl, serve

from switchcast._native import Event, Matcher
from switchcast.endpoints import make_endpoint
from switchcast.errors import ConfigurationError
from switchcast.rules.runner import Runner
from switchcast.rules.settings import RuleSettings
from switchcast.simulation.eventsocket import EventSocketServer

ESCAPES = [
    "a\nb",
    "a\r\n\r\napi shutdown",
    "a\rb",
    "a\0b",
    "a b",
    "a\tb",
    "a\u00a0b",
    "a\u2028b",
    "a|b",
    "a,b",
    "a:_:b",
    "'a",
    '"a',
    "`a`",
    "a\\b",
    "${reboot}",
    "$$a",
    "{origination_caller_id_number=1}sofia/gateway/premium/900",
    "[x=1]a",
    "<a>",
    "&system(reboot)",
    "a^^b",
    "\udcff",
    "\x1b[2J",
    "-rf",
    "",
    "x" * 5_000,
    "x" * 100_000,
]
"""Values that would be more than one argument to some verb of the switch, or another command."""
PLAIN = [
    "1000@example.com",
    "sofia/internal/sip:1000@192.0.2.1:5060;transport=udp",
    "8f9be0c2-1fd9-4d9b-8c7e-6a3a2b1c0d9e",
    "+441632960000",
    "*97",
    "Jürgen",
    "50%",
]


@asynccontextmanager
async def at_switch(tmp_path: Path, acting: RuleSettings) -> AsyncIterator[tuple[Runner, EventSocketServer]]:
    """A runner for one rule, and the switch that it acts on."""
    async with (
        serve() as server,
        esl(server) as endpoint,
        running(tmp_path, acting, endpoints={"switch": endpoint}) as runner,
    ):
        yield runner, server


def api(*arguments: str, verb: str = "echo", **table: Any) -> RuleSettings:
    delivery = table.pop("delivery", "at-most-once")
    return rule(esl_api={"endpoint": "switch", "command": [verb, *arguments]} | table, delivery=delivery)


def commands(server: EventSocketServer) -> list[str]:
    """What has been asked of the switch, but for the password."""
    return [line for lines in server.history for line in lines if not line.startswith("auth ")]


@pytest.mark.parametrize("value", ESCAPES, ids=lambda value: ascii(value[:20]))
def test_a_value_that_could_be_more_than_one_argument_is_refused(tmp_path: Path, value: str) -> None:
    acting = api("{h[X]}", "end")

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, server):
            (result,) = await act(runner, acting, numbered(1, {"X": value}))
            assert result["outcome"] == "refused"
            counted = counts(runner)
            assert sum(counted[name] for name in counted if name.startswith("refused_")) == 1
            assert commands(server) == []

    asyncio.run(main())


@pytest.mark.parametrize("value", PLAIN)
def test_a_plain_value_is_one_argument(tmp_path: Path, value: str) -> None:
    acting = api("user {h[X]}", "-{h[X]}", "{{}}", verb="uuid_transfer", verbs=["uuid_transfer"])

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, server):
            await act(runner, acting, numbered(1, {"X": value}))
            assert commands(server) == [f"api uuid_transfer user {value} -{value} {{}}"]

    asyncio.run(main())


@pytest.mark.parametrize("background", [False, True])
def test_an_answer_is_told(tmp_path: Path, background: bool) -> None:
    acting = api(verb="status", background=background)

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, _):
            (result,) = await act(runner, acting, numbered(1))
            assert (result["outcome"], result["detail"]) == ("done", "status")
            assert result["output"].startswith("UP ")

    asyncio.run(main())


def test_an_error_of_the_switch_is_a_failure(tmp_path: Path) -> None:
    acting = api("{unique_id}", verb="uuid_kill", verbs=["uuid_kill"], delivery="at-least-once")

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, _):
            (result,) = await act(runner, acting, numbered(1, {"Unique-ID": "8f9be0c2"}))
            assert (result["outcome"], counts(runner)["failed"]) == ("failed", 1)
            assert result["detail"].startswith("-ERR")
            assert (await runner.dead_letters())[0]["why"] == result["detail"]

    asyncio.run(main())


def test_a_switch_that_is_away_is_waited_for_where_once_more_does_no_harm(tmp_path: Path) -> None:
    acting = api("{h[Event-Sequence]}", delivery="at-least-once")

    async def main() -> None:
        async with serve() as server, esl(server, "timeout=0.05") as endpoint:
            await endpoint.open_sink()
            await server.kill()
            async with running(tmp_path, acting, endpoints={"switch": endpoint}) as runner:
                await runner.submit(firings(acting, [numbered(number) for number in range(3)]))
                await until(lambda: counts(runner)["retries"] > 1)
                await server.start()
                assert (await idle(runner))["done"] == 3
                assert [entry["output"] for entry in runner.log(3)] == ["2", "1", "0"]

    asyncio.run(main())


def test_a_switch_that_stays_away_makes_dead_letters(tmp_path: Path) -> None:
    acting = api("x", delivery="at-least-once")

    async def main() -> None:
        async with serve() as server, esl(server, "timeout=0.05") as endpoint:
            await endpoint.open_sink()
            await server.kill()
            async with running(tmp_path, acting, endpoints={"switch": endpoint}) as runner:
                await runner.submit(firings(acting, [numbered(1)]))
                while not counts(runner)["failed"]:
                    await turns()
                    pass_time(20.0)
                assert counts(runner)["retries"] > 3
                assert len(await runner.dead_letters()) == 1

    run(main())


def test_a_switch_that_is_away_is_a_failure_where_it_was_to_be_once(tmp_path: Path) -> None:
    acting = api("x")

    async def main() -> None:
        async with serve() as server, esl(server, "timeout=0.05") as endpoint:
            await endpoint.open_sink()
            await server.kill()
            async with running(tmp_path, acting, endpoints={"switch": endpoint}) as runner:
                (result,) = await act(runner, acting, numbered(1))
                assert (result["outcome"], counts(runner)["retries"]) == ("failed", 0)

    asyncio.run(main())


def fired(**table: Any) -> RuleSettings:
    return rule(esl_event={"endpoint": "switch"} | table)


def test_an_event_is_fired_with_its_marks(tmp_path: Path) -> None:
    acting = fired(name="MESSAGE", headers={"to": "{h[X]}"}, body="for {h[X]}:\n{body}")

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, server), esl(server, matcher=Matcher("MESSAGE")) as listener:
            await listener.open_source()
            cause = numbered(1, {"X": "%41 and 'b'", "Switchcast-Hops": "1"}, b"text\n\nmore")
            (result,) = await act(runner, acting, cause)
            assert (result["outcome"], result["detail"]) == ("done", "MESSAGE fired")
            (event,) = await anext(listener.batches())
            assert event["to"] == "%41 and 'b'"
            assert event["Switchcast-Origin"] == "fs1.example.com/test"
            assert event["Switchcast-Hops"] == "2"
            assert event.body == b"for %41 and 'b':\ntext\n\nmore"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("value", "reason"),
    [("a\nEvent-Name: x", "line_break"), ("a\r\n\r\napi shutdown", "line_break"), ("a\0b", "nul")],
)
def test_no_value_begins_another_line(tmp_path: Path, value: str, reason: str) -> None:
    acting = fired(subclass="test::made", headers={"Value": "{h[X]}"})

    async def main() -> None:
        async with at_switch(tmp_path, acting) as (runner, server):
            await act(runner, acting, numbered(1, {"X": value}))
            assert counts(runner)[f"refused_{reason}"] == 1
            assert commands(server) == []

    asyncio.run(main())


def test_an_endpoint_that_is_no_event_socket_is_told(tmp_path: Path) -> None:
    endpoints = {"group": make_endpoint("memory:acting"), "switch": make_endpoint("esl://127.0.0.1")}
    acting = rule(esl_event={"endpoint": "group", "subclass": "a::b"})

    async def emit(events: list[Event], to: object) -> None:
        raise AssertionError(f"{events} to {to}")

    with pytest.raises(
        ConfigurationError, match="'group' is memory:, not the event socket of a switch; name one of sw"
    ):
        Runner([acting], endpoints=endpoints, emit=emit, state_dir=tmp_path, node="")
