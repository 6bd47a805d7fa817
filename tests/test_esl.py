"""``esl:`` endpoints against the simulated switch: events both ways, filters, bindings, commands, jobs, counts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from sockets import until
from switches import (
    ACCEPTED,
    GREETING,
    HEARTBEAT,
    MESSAGE,
    SECRET,
    esl,
    listening,
    more_seen,
    reconnected,
    reply,
    serve,
    subscriptions,
    take,
)

from switchcast._native import Event, Matcher, StockFrames
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.esl_connection import JOBS
from switchcast.errors import (
    EndpointDenied,
    EndpointError,
    EndpointUnavailable,
    SwitchcastError,
    UrlError,
    UsageError,
)
from switchcast.simulation.eventsocket import SocketUser


@pytest.mark.parametrize("form", ["plain", "json"])
def test_a_source_gives_the_events_that_were_asked_for(form: str) -> None:
    async def main() -> None:
        matcher = Matcher("HEARTBEAT MESSAGE", 'name == "HEARTBEAT" || h["from"] != ""')
        async with serve() as server, esl(server, f"format={form}", matcher) as endpoint:
            await endpoint.open_source()
            await endpoint.open_source()
            server.publish([HEARTBEAT, Event("MESSAGE"), Event("RE_SCHEDULE"), MESSAGE])
            events = await take(endpoint, 2)
            assert [(event.items(), event.body) for event in events] == [
                (event.items(), event.body) for event in (HEARTBEAT, MESSAGE)
            ]
            counters = endpoint.counters()
            assert (counters["received"], counters["delivered"], counters["unmatched"]) == (3, 2, 1)
            assert subscriptions(server) == [[f"event {form} HEARTBEAT MESSAGE"]]

    asyncio.run(main())


def test_an_endpoint_is_found_by_its_url() -> None:
    async def main() -> None:
        async with (
            serve() as server,
            make_endpoint(f"esl://127.0.0.1:{server.port}", role="source") as source,
            make_endpoint(f"esl://127.0.0.1:{server.port}", role="sink") as sink,
        ):
            await sink.send([HEARTBEAT])
            (event,) = await anext(aiter(source.batches()))
            assert event["Up-Time"] == "0 years"
            assert subscriptions(server) == [["event plain ALL"], []]

    asyncio.run(main())


def test_every_recorded_event_comes_through_a_switch_as_it_was(
    plain_datagrams: list[tuple[int, bytes]], wiki_examples: list[dict[str, list[tuple[str, str]]]]
) -> None:
    frames = StockFrames()
    events = [frames.open(datagram) for _, datagram in plain_datagrams]
    events += [
        Event.from_headers([(name, value) for name, value in example["headers"]], encoded=True)
        for example in wiki_examples
    ]

    async def main() -> None:
        async with serve() as server, esl(server) as source, esl(server, "refire=no") as sink:
            await source.open_source()
            await sink.send(events)
            counters = sink.counters()
            assert (counters["sent"], counters["refused"]) == (len(events), 0)
            arrived = await take(source, len(events))
            for event, again in zip(events, arrived, strict=True):
                assert again.name == event.name
                assert again.body == event.body
                assert again.subclass == event.subclass
                for name in event:
                    # the switch keeps one Event-Subclass, and adds a Command in front and headers of its own behind
                    if name in {"Event-Subclass", "variable_nolocal:foo"} or name.lower() == "content-length":
                        continue
                    values = event.getall(name)
                    first = 1 if name == "Command" else 0
                    assert again.getall(name)[first : first + len(values)] == values
            assert counters["headers_omitted"] == sum("variable_nolocal:foo" in event for event in events) > 0

    asyncio.run(main())


def test_filters_are_the_switchs() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, "filter=from:1000@example.com,Up-Time:9 years") as endpoint:
            await endpoint.open_source()
            server.publish([HEARTBEAT, MESSAGE])
            assert await take(endpoint, 1) == [MESSAGE]
            assert endpoint.counters()["received"] == 1
            # what comes of a job is let through, too
            job = await endpoint.bgapi("status")
            assert (await job.output()).startswith("UP ")
            assert server.history[0] == [
                "auth ***",
                "filter from 1000@example.com",
                "filter Up-Time 9 years",
                "event plain ALL",
                "filter Event-Name BACKGROUND_JOB",
                "bgapi status",
            ]

    asyncio.run(main())


def test_bindings_can_be_changed_without_a_gap() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, matcher=Matcher("HEARTBEAT CUSTOM a::b")) as endpoint:
            await endpoint.open_source()
            await endpoint.subscribe("MESSAGE, heartbeat")
            server.publish([HEARTBEAT, MESSAGE, Event("CUSTOM", [("Event-Subclass", "a::b")])])
            assert await take(endpoint, 2) == [HEARTBEAT, MESSAGE]
            await endpoint.subscribe(Matcher("MESSAGE", 'h["from"] == "nobody"'))
            server.publish([HEARTBEAT, MESSAGE])
            await until(lambda: endpoint.counters()["unmatched"])
            assert subscriptions(server) == [
                [
                    "event plain HEARTBEAT CUSTOM a::b",
                    "event plain MESSAGE",
                    "nixevent CUSTOM a::b",
                    "nixevent HEARTBEAT",
                ]
            ]
            with pytest.raises(UsageError, match="a condition is in force"):
                await endpoint.subscribe("ALL")
            await endpoint.subscribe(Matcher("all"))
            await server.drop_connections()
            await until(lambda: endpoint.counters()["reconnects"] == 1)
            assert subscriptions(server)[1] == ["event plain ALL"]
            assert endpoint.counters()["received"] == 3

    asyncio.run(main())


def test_a_word_that_no_switch_knows_can_be_given_up_again() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, matcher=Matcher("HEARTBEAT NO_SUCH")) as endpoint:
            await endpoint.open_source()
            await endpoint.subscribe("HEARTBEAT")
        async with serve() as server, esl(server, matcher=Matcher("NO_SUCH")) as endpoint:
            with pytest.raises(EndpointError, match="would not give us events: -ERR no keywords supplied"):
                await endpoint.open_source()

    asyncio.run(main())


def test_what_is_no_event_is_counted_with_its_reason() -> None:
    enabled = reply("+OK event listener enabled plain")
    bad = b"Content-Length: 3\nContent-Type: text/event-json\n\n{x}"
    broken = b"Content-Length: 3\nContent-Type: text/event-plain\n\na b"
    log_line = b"Content-Length: 3\nContent-Type: log/data\n\na b"
    good = b"Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n"

    async def main() -> None:
        async with listening(GREETING, ACCEPTED, enabled + bad + broken + log_line + good) as endpoint:
            assert [event.name for event in await take(endpoint, 1)] == ["HEARTBEAT"]
            counters = endpoint.counters()
            rejected = {name: count for name, count in counters.items() if name.startswith("rejected_") and count}
            assert rejected.pop("rejected_bad_json") == 1
            assert sum(rejected.values()) == 1
            assert counters["received"] == 3

    asyncio.run(main())


def test_a_consumer_that_sleeps_never_holds_up_the_switch() -> None:
    flood = [Event("MESSAGE", [("number", str(number)), ("X", "x" * 2000)]) for number in range(20_000)]

    async def main() -> None:
        async with serve() as server, esl(server, "queue=100") as endpoint:
            wake = asyncio.Event()
            taken: list[Event] = []

            async def consume() -> None:
                async for batch in endpoint.batches():
                    taken.extend(batch)
                    await wake.wait()

            await endpoint.open_source()
            consumer = asyncio.create_task(consume())
            server.publish(flood)
            await until(lambda: server.waiting == 0)  # 40 MB have left the switch, and the consumer still sleeps
            await until(lambda: endpoint.counters()["received"] == len(flood))
            assert server.lost_events == 0
            assert (await endpoint.api("status")).startswith("UP ")
            assert not wake.is_set()
            wake.set()
            await until(
                lambda: (
                    endpoint.counters()["received"]
                    == sum(endpoint.counters()[name] for name in ("delivered", "queue_overflow"))
                )
            )
            counters = endpoint.counters()
            assert counters["delivered"] == len(taken) >= 100
            assert counters["queue_overflow"] == len(flood) - len(taken) >= len(flood) - 200
            numbers = [int(event["number"]) for event in taken]
            assert numbers == sorted(numbers)
            assert numbers[0] == 0  # the newest are dropped, not the oldest
            consumer.cancel()
            await asyncio.wait([consumer])

    asyncio.run(main())


def test_what_waits_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchcast.endpoints.esl.QUEUE_BYTES", 10_000)

    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            server.publish([Event("MESSAGE", [], b"x" * 5_000)])
            await until(lambda: endpoint.counters()["received"] == 1)
            server.publish([Event("MESSAGE", [], b"x" * 5_000)])
            await until(lambda: endpoint.counters()["queue_overflow"] == 1)
            assert len(await take(endpoint, 1)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("fragment", [1, 7, 1000])
def test_events_in_fragments_are_put_together(fragment: int) -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            server.faults.fragment = fragment
            await endpoint.open_source()
            server.publish([HEARTBEAT, MESSAGE] * 5)
            assert await take(endpoint, 10) == [HEARTBEAT, MESSAGE] * 5

    asyncio.run(main())


def test_commands_are_run() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            assert (await endpoint.api("status")).startswith("UP ")
            assert await endpoint.api("no_such_command") == "-ERR no_such_command Command not found!\n"
            answers = await asyncio.gather(*(endpoint.api(f"no_such_{number}") for number in range(50)))
            assert answers == [f"-ERR no_such_{number} Command not found!\n" for number in range(50)]
            for bad in ("status\n\nexit", "status\rX: y", "status\0"):
                with pytest.raises(UsageError):
                    await endpoint.api(bad)
                with pytest.raises(UsageError):
                    await endpoint.bgapi(bad)
            with pytest.raises(UsageError, match="an empty command"):
                await endpoint.api(" ")
            assert server.history[0][:3] == ["auth ***", "api status", "api no_such_command"]

    asyncio.run(main())


def test_jobs_end_with_their_own_output() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, matcher=Matcher("HEARTBEAT")) as endpoint:
            await endpoint.open_source()
            first, second = await asyncio.gather(endpoint.bgapi("status"), endpoint.bgapi("no_such"))
            assert first.uuid != second.uuid
            assert (await first.output()).startswith("UP ")
            assert await second.output() == "-ERR no_such Command not found!\n"
            server.publish([HEARTBEAT])
            assert await take(endpoint, 1) == [HEARTBEAT]  # the jobs' events were not asked for
            assert subscriptions(server) == [["event plain HEARTBEAT", "event plain BACKGROUND_JOB"]]
            await server.drop_connections()
            await until(lambda: endpoint.counters()["reconnects"])
            assert subscriptions(server)[1] == ["event plain BACKGROUND_JOB HEARTBEAT"]

    asyncio.run(main())


def test_jobs_without_end_are_bounded() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            jobs = [endpoint._jobs.start("") for _ in range(JOBS)]
            with pytest.raises(EndpointError, match="have not ended yet"):
                await endpoint.bgapi("status")
            for job in jobs:
                job.forget()
            await asyncio.sleep(0)
            assert (await (await endpoint.bgapi("status")).output()).startswith("UP ")

    asyncio.run(main())


def test_a_user_of_the_directory_may_do_less() -> None:
    async def main() -> None:
        users = {
            "1000@example.com": SocketUser(SECRET, events="HEARTBEAT", api="status"),
            "2000@example.com": SocketUser(SECRET, api="status"),
        }
        async with serve(users=users) as server:
            user = f"1000%40example.com:{SECRET}@"
            async with esl(server, user=user, matcher=Matcher("HEARTBEAT")) as endpoint:
                await endpoint.open_source()
                assert (await endpoint.api("status")).startswith("UP ")
                with pytest.raises(EndpointDenied, match="refused 'hupall': -ERR permission denied"):
                    await endpoint.api("hupall now")
                with pytest.raises(EndpointDenied, match="may not hear some of 'BACKGROUND_JOB HEARTBEAT'"):
                    await endpoint.bgapi("status")
                with pytest.raises(EndpointDenied, match="may not hear some of 'HEARTBEAT MESSAGE'"):
                    await endpoint.subscribe("HEARTBEAT MESSAGE")
                await server.drop_connections()  # and goes on with what it was allowed
                await reconnected(endpoint, 1)
                server.publish([MESSAGE, HEARTBEAT])
                assert await take(endpoint, 1) == [HEARTBEAT]
                assert SECRET not in repr(endpoint)
            async with esl(server, f"user=2000@example.com&password={SECRET}") as endpoint:
                with pytest.raises(EndpointDenied, match="refused 'hupall'"):
                    await endpoint.bgapi("hupall now")
                assert (await endpoint.api("status")).startswith("UP ")
            async with esl(server, "user=1000@example.com") as endpoint:
                with pytest.raises(EndpointDenied, match=r"the one for the user 1000@example\.com"):
                    await endpoint.api("status")

    asyncio.run(main())


def test_an_event_that_cannot_be_sent_is_counted_and_the_others_go_on() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as source, esl(server) as sink:
            await source.open_source()
            await sink.send([HEARTBEAT, Event("MESSAGE", [], b"a\0b"), Event.from_headers([("x", "y")]), MESSAGE])
            assert [event.name for event in await take(source, 2)] == ["HEARTBEAT", "MESSAGE"]
            counters = sink.counters()
            assert (counters["sent"], counters["refused"], counters["refused_unsendable"]) == (2, 2, 2)

    asyncio.run(main())


def test_an_event_that_the_switch_refuses_is_counted_with_its_reason() -> None:
    answers = (reply("-ERR command not found"), reply("-ERR permission denied"), reply("-ERR a reason"), reply("+OK 7"))

    async def main() -> None:
        async with listening(GREETING, ACCEPTED, b"".join(answers)) as endpoint:
            await endpoint.send([HEARTBEAT] * 4)
            counters = endpoint.counters()
            assert (counters["sent"], counters["refused"]) == (1, 3)
            for reason in ("not_found", "permission", "other"):
                assert counters[f"refused_{reason}"] == 1

    asyncio.run(main())


def test_each_event_given_to_a_sink_is_counted_once_whatever_happens() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_sink()
            given = 0
            for _ in range(10):
                sending = asyncio.create_task(endpoint.send([MESSAGE] * 1000))
                given += 1000
                await more_seen(server, 100)
                await server.drop_connections()
                (outcome,) = await asyncio.gather(sending, return_exceptions=True)
                assert outcome is None or isinstance(outcome, EndpointUnavailable)
            counters = endpoint.counters()
            assert sum(counters[name] for name in ("sent", "refused", "unanswered", "unsent")) == given
            assert counters["sent"] > 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("esl://", "takes one host"),
        ("esl://a,b:8021", "takes one host"),
        ("esl://a/path", "takes one host and no path"),
        ("esl://a?bindings=ALL", "unknown option 'bindings'"),
        ("esl://a?format=xml", "none of plain, json"),
        ("esl://a?timeout=0", "out of range"),
        ("esl://a?heartbeat=no", "is not a number"),
        ("esl://a?reconnect=perhaps", "neither yes nor no"),
        ("esl://a?queue=0", "out of range"),
        ("esl://a?filter=Event-Name", "not written Header:value"),
        ("esl://a?filter=Two%20Words:x", "not written Header:value"),
        ("esl://a?filter=X:a%0Ab", "begin another"),
        (f"esl://:{SECRET}@a?password={SECRET}", "given twice"),
        (f"esl://:{SECRET}%0D@a", "holds a CR, LF or NUL"),
        (f"esl://1000:{SECRET}@a", "written name@domain"),
        ("esl://a?password_file=/nonexistent/file", "no such file"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused(url: str, message: str) -> None:
    with pytest.raises(SwitchcastError, match=message) as caught:
        make_endpoint(url)
    assert isinstance(caught.value, (UrlError, UsageError, EndpointUnavailable))
    assert SECRET not in str(caught.value)


def test_the_password_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "esl.password"
    file.write_text(SECRET + "\n")
    os.chmod(file, 0o600)

    async def main() -> None:
        async with serve(password=SECRET) as server:
            async with esl(server, f"password_file={file}") as endpoint:
                await endpoint.send([HEARTBEAT])
                assert endpoint.counters()["sent"] == 1
            async with esl(server, user=f":{SECRET}@") as endpoint:
                await endpoint.send([HEARTBEAT])

    asyncio.run(main())
