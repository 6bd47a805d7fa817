"""``esl:`` endpoints against the simulated switch's event socket: events both ways, commands, and every fault."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sockets import PATIENCE, until
from structlog.testing import capture_logs

from switchcast._native import Event, Matcher, StockFrames
from switchcast.endpoints import EndpointUrl, make_endpoint
from switchcast.endpoints.esl import EslEndpoint
from switchcast.endpoints.esl_connection import JOBS
from switchcast.errors import (
    EndpointClosed,
    EndpointDenied,
    EndpointError,
    EndpointUnavailable,
    SwitchcastError,
    UrlError,
    UsageError,
)
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import EventSocketServer, SocketUser

HEARTBEAT = Event("HEARTBEAT", [("Up-Time", "0 years")])
MESSAGE = Event("MESSAGE", [("from", "1000@example.com")], "text\n\n")
SECRET = "n0t-to-be-seen"  # noqa: S105 - a test looks for it


def serve(**options: object) -> EventSocketServer:
    return EventSocketServer(Cluster().switches[0], **options)  # type: ignore[arg-type]


def esl(server: EventSocketServer, options: str = "", matcher: Matcher | None = None, user: str = "") -> EslEndpoint:
    """An endpoint for ``server`` that does not pause for long."""
    url = EndpointUrl.parse(f"esl://{user}127.0.0.1:{server.port}{options and '?' + options}")
    return EslEndpoint(url, matcher=matcher, dice=lambda: 0.01)


async def take(endpoint: EslEndpoint, count: int) -> list[Event]:
    """The next ``count`` events."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        async for batch in endpoint.batches():
            assert batch
            events += batch
            if len(events) >= count:
                break
    return events


async def reconnected(endpoint: EslEndpoint, times: int) -> None:
    await until(lambda: endpoint.counters()["reconnects"] == times)


async def pass_time(seconds: float) -> None:
    """Let that much time pass for everything that runs, in which something is not to happen."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await until(lambda: loop.time() > end)


def commands_seen(server: EventSocketServer) -> int:
    return sum(len(lines) for lines in server.history)


async def more_seen(server: EventSocketServer, commands: int) -> None:
    enough = commands_seen(server) + commands
    await until(lambda: commands_seen(server) >= enough)


def subscriptions(server: EventSocketServer) -> list[list[str]]:
    """For each connection that the server has had, the commands that asked for events."""
    return [[line for line in lines if line.startswith(("event ", "nixevent "))] for lines in server.history]


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[int]:
    """The port of a server that gives one answer to each thing it hears, the first unasked, and then keeps silent."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        tasks.add(task)
        try:
            for answer in answers:
                writer.write(answer)
                await reader.read(65536)
            await reader.read()
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            if task is not None:
                task.cancel()
        await until(lambda: not tasks)


@asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[EslEndpoint]:
    """An endpoint whose switch answers so."""
    async with scripted(*answers) as port, EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{port}")) as endpoint:
        yield endpoint


GREETING = b"Content-Type: auth/request\n\n"
ACCEPTED = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"


def reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


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
        async with serve() as server, esl(server) as source, esl(server) as sink:
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


def test_a_switch_that_is_killed_in_the_middle_of_an_event_is_found_again_and_asked_once() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            assert endpoint._connection is not None
            heard = endpoint._connection.last_heard
            with capture_logs() as logs:
                server.faults.fragment = 1
                server.publish([Event("MESSAGE", [], b"x" * 60_000)])
                await until(lambda: endpoint._connection is not None and endpoint._connection.last_heard > heard)
                await server.kill()
                server.faults.fragment = 0
                await until(lambda: endpoint.counters()["outages"])
                await server.start()
                await until(lambda: endpoint.counters()["reconnects"])
            assert [(entry["event"], entry["log_level"]) for entry in logs] == [
                ("event socket lost, reconnecting", "warning"),
                ("event socket is back", "info"),
            ]
            server.publish([HEARTBEAT])
            assert await take(endpoint, 1) == [HEARTBEAT]
            assert subscriptions(server) == [["event plain ALL"]] * 2
            assert endpoint.counters()["outages"] == endpoint.counters()["reconnects"] == 1
            assert endpoint.counters()["received"] == 1  # nothing of the event that was cut in two

    asyncio.run(main())


def test_a_long_outage_is_told_once_however_many_attempts_it_takes() -> None:
    async def main() -> None:
        pauses: list[float] = []

        def dice() -> float:
            pauses.append(0)
            return 0.0

        async with serve() as server:
            url = EndpointUrl.parse(f"esl://127.0.0.1:{server.port}")
            async with EslEndpoint(url, dice=dice) as endpoint:
                await endpoint.open_source()
                with capture_logs() as logs:
                    await server.close()
                    await until(lambda: len(pauses) > 20)
                    assert len(logs) == 1
                    server.faults.reject = True  # an access list that is not loaded yet is no reason to give up
                    await server.start()
                    await until(lambda: len(server.history) > 5)
                    server.faults.reject = False
                    await until(lambda: endpoint.counters()["reconnects"])
                    assert len(logs) == 2

    asyncio.run(main())


def test_twenty_restarts_ask_once_each() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            for restart in range(1, 21):
                await server.drop_connections()
                await reconnected(endpoint, restart)
                server.publish([HEARTBEAT])
                assert await take(endpoint, 1) == [HEARTBEAT]
            assert subscriptions(server) == [["event plain ALL"]] * 21

    asyncio.run(main())


@pytest.mark.parametrize("role", ["source", "sink"])
def test_a_wrong_password_is_told_at_once_and_not_tried_again(role: str) -> None:
    async def main() -> None:
        async with serve() as server:
            with capture_logs() as logs:
                endpoint = esl(server, f"password={SECRET}")
                with pytest.raises(EndpointDenied, match="refused the password") as caught:
                    await (endpoint.open_source() if role == "source" else endpoint.send([HEARTBEAT]))
                await until(lambda: server.clients == 0)
                await endpoint.close()
            assert list(server.history) == [["auth ***"]]
            shown = f"{caught.value} {endpoint!r} {endpoint.url} {logs} {endpoint.counters()}"
            assert SECRET not in shown
            assert "***" in shown

    asyncio.run(main())


def test_a_password_that_is_refused_later_ends_the_source() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            server.faults.refuse_password = True
            with capture_logs() as logs:
                await server.drop_connections()
                with pytest.raises(EndpointDenied, match="refused the password"):
                    await take(endpoint, 1)
                with pytest.raises(EndpointDenied, match="refused the password"):
                    await endpoint.send([HEARTBEAT])
            assert [entry["log_level"] for entry in logs] == ["warning", "error"]
            assert len(server.history) == 2
            assert endpoint.counters()["unsent"] == 1

    asyncio.run(main())


def test_an_access_list_that_turns_us_away_is_named() -> None:
    async def main() -> None:
        async with serve() as server:
            server.faults.reject = True
            endpoint = esl(server)
            with pytest.raises(EndpointDenied, match="apply-inbound-acl"):
                await endpoint.open_source()
            assert list(server.history) == [[]]
            await endpoint.close()

    asyncio.run(main())


def test_nobody_there_is_told_with_the_mend() -> None:
    async def main() -> None:
        async with serve() as server:
            pass
        endpoint = esl(server)
        with pytest.raises(EndpointUnavailable, match=r"127\.0\.0\.1:\d+.*is FreeSWITCH running there"):
            await endpoint.open_source()
        with pytest.raises(EndpointUnavailable):  # it may be tried again
            await endpoint.send([HEARTBEAT])
        await server.start()
        await endpoint.send([HEARTBEAT])
        assert (endpoint.counters()["sent"], endpoint.counters()["unsent"]) == (1, 1)
        await endpoint.close()
        await server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([b""], "no greeting within"),
        ([b"220 mail.example.com ESMTP\r\n"], "no greeting within"),
        ([b"HTTP/1.1 400 Bad Request\nContent-Type: text/html\n\n"], "that port is no event socket"),
        ([b"x" * 70_000], "without an end"),
        ([GREETING], "no reply within"),
        ([GREETING, ACCEPTED], "no reply within"),
        ([GREETING, ACCEPTED, reply("-ERR permission denied")], "our user may not hear some of 'ALL'"),
    ],
)
def test_what_is_no_event_socket_is_told(answers: list[bytes], message: str) -> None:
    async def main() -> None:
        async with scripted(*answers) as port:
            # a switch that answers is given time, on however slow a machine; for one that does not, a second will do
            seconds = 1 if message.startswith("no ") else PATIENCE
            endpoint = EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{port}?timeout={seconds}"))
            with pytest.raises(EndpointError, match=message):
                await endpoint.open_source()
            await endpoint.close()

    asyncio.run(main())


def test_garbage_in_the_stream_is_an_outage() -> None:
    enabled = reply("+OK event listener enabled plain")

    async def main() -> None:
        async with scripted(GREETING, ACCEPTED, enabled + b"Content-Length: x\n\n") as port:
            url = EndpointUrl.parse(f"esl://127.0.0.1:{port}?reconnect=no")
            async with EslEndpoint(url) as endpoint:
                with pytest.raises(EndpointUnavailable, match="a Content-Length that is no number"):
                    await take(endpoint, 1)

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


def test_a_silent_switch_is_asked_whether_it_is_there() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, "heartbeat=0.02") as endpoint:
            await endpoint.open_source()
            await until(lambda: server.history[0].count("noop") > 3)
            assert endpoint.counters()["outages"] == 0

    asyncio.run(main())


def test_a_stuck_switch_is_left_and_found_again() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, "heartbeat=0.02") as endpoint:
            await endpoint.open_source()
            server.faults.stall()
            endpoint._timeout = 0.05
            await until(lambda: endpoint.counters()["outages"])
            endpoint._timeout = PATIENCE
            server.faults.resume()
            await until(lambda: endpoint.counters()["reconnects"])
            server.publish([HEARTBEAT])
            assert await take(endpoint, 1) == [HEARTBEAT]
            assert subscriptions(server)[-1] == ["event plain ALL"]

    asyncio.run(main())


def test_a_slow_command_is_no_dead_switch() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, "heartbeat=0.02") as endpoint:
            await endpoint.open_source()
            server.faults.stall()
            endpoint._timeout = 0.05
            slow = asyncio.create_task(endpoint.api("status", seconds=PATIENCE))
            await pass_time(0.4)
            assert endpoint.counters()["outages"] == 0
            server.faults.resume()
            assert (await slow).startswith("UP ")

    asyncio.run(main())


def test_without_reconnect_a_lost_connection_ends_the_source() -> None:
    async def main() -> None:
        async with serve() as server, esl(server, "reconnect=no") as endpoint:
            await endpoint.open_source()
            server.publish([HEARTBEAT])
            await until(lambda: endpoint.counters()["received"])
            await server.close()
            await until(lambda: endpoint.counters()["outages"])
            batches = endpoint.batches()
            assert await anext(batches) == [HEARTBEAT]  # what had come is not lost
            with pytest.raises(EndpointUnavailable, match="the switch closed it"):
                await anext(batches)
            with pytest.raises(EndpointUnavailable, match="lost"):
                await endpoint.api("status")

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
            assert counters["queue_overflow"] == len(flood) - len(taken)
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


def test_a_late_answer_is_not_taken_for_the_next() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            server.faults.stall()
            with pytest.raises(EndpointUnavailable, match=r"no reply within 0.01 s"):
                await endpoint.api("status", seconds=0.01)
            impatient = asyncio.create_task(endpoint.api("status"))
            await asyncio.sleep(0)
            impatient.cancel()
            server.faults.resume()
            assert await endpoint.api("no_such") == "-ERR no_such Command not found!\n"
            assert impatient.cancelled()

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


def test_a_job_is_lost_with_the_connection() -> None:
    async def main() -> None:
        enabled = reply("+OK event listener enabled plain")
        async with scripted(GREETING, ACCEPTED, enabled, reply("+OK Job-UUID: 1")) as port:
            endpoint = EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{port}"))
            await endpoint.open_source()
            job, forgotten = await endpoint.bgapi("status"), endpoint._jobs.start("")
            await endpoint.close()
            with pytest.raises(EndpointUnavailable, match="before the job's end"):
                await job.output()
            await asyncio.sleep(0)
            assert forgotten.uuid not in endpoint._jobs._outputs

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
        users = {"1000@example.com": SocketUser(SECRET, events="HEARTBEAT BACKGROUND_JOB", api="status")}
        async with serve(users=users) as server:
            user = f"1000%40example.com:{SECRET}@"
            async with esl(server, user=user, matcher=Matcher("HEARTBEAT")) as endpoint:
                await endpoint.open_source()
                assert (await endpoint.api("status")).startswith("UP ")
                with pytest.raises(EndpointDenied, match="refused 'hupall': -ERR permission denied"):
                    await endpoint.api("hupall now")
                with pytest.raises(EndpointDenied, match="refused 'hupall'"):
                    await endpoint.bgapi("hupall now")
                with pytest.raises(EndpointDenied, match="may not hear some of 'BACKGROUND_JOB HEARTBEAT MESSAGE'"):
                    await endpoint.subscribe("HEARTBEAT MESSAGE")
                assert SECRET not in repr(endpoint)
            async with esl(server, f"user=1000@example.com&password={SECRET}") as endpoint:
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


def test_a_stuck_switch_does_not_hold_up_a_sink_for_ever() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_sink()
            server.faults.stall()
            endpoint._timeout = 0.05
            with pytest.raises(EndpointUnavailable, match="no reply to an event within"):
                await endpoint.send([Event("MESSAGE", [], b"x" * 60_000)] * 1000)
            counters = endpoint.counters()
            assert counters["sent"] == 0
            assert counters["unanswered"] + counters["unsent"] == 1000
            server.faults.resume()

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


def test_a_sink_waits_for_the_connection_to_come_back() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_sink()
            await server.close()
            await until(lambda: endpoint.counters()["outages"])
            sending = asyncio.create_task(endpoint.send([HEARTBEAT]))
            await server.start()
            await sending
            assert endpoint.counters()["sent"] == 1
            await server.close()
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_sink()
            await server.close()
            await until(lambda: endpoint.counters()["outages"])
            endpoint._timeout = 0.05
            with pytest.raises(EndpointUnavailable, match=r"not connected for 0.05 s"):
                await endpoint.send([HEARTBEAT])
            assert endpoint.counters()["unsent"] == 1

    asyncio.run(main())


@pytest.mark.parametrize("answers", [(b"",), (GREETING,), (GREETING, ACCEPTED)])
def test_it_can_be_cancelled_and_closed_wherever_it_is(answers: tuple[bytes, ...]) -> None:
    async def main() -> None:
        async with scripted(*answers) as port:
            for close_first in (True, False):
                endpoint = EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{port}"))
                task = asyncio.create_task(take(endpoint, 1))
                await pass_time(0.02)
                assert not task.done()
                if close_first:
                    await endpoint.close()
                task.cancel()
                await asyncio.wait([task])
                await endpoint.close()
                await endpoint.close()

    asyncio.run(main())


def test_a_consumer_can_be_cancelled_and_go_on() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            waiting = asyncio.create_task(take(endpoint, 1))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            server.publish([HEARTBEAT])
            assert await take(endpoint, 1) == [HEARTBEAT]

    asyncio.run(main())


def test_closing_ends_a_pending_source_and_everything_after_is_told() -> None:
    async def main() -> None:
        async with serve() as server, esl(server) as endpoint:
            await endpoint.open_source()
            waiting = asyncio.create_task(take(endpoint, 1))
            await asyncio.sleep(0)
            await endpoint.close()
            assert await waiting == []
            await until(lambda: server.clients == 0)
            with pytest.raises(EndpointClosed):
                await endpoint.send([HEARTBEAT])
            with pytest.raises(EndpointClosed):
                await take(endpoint, 1)
            with pytest.raises(EndpointClosed):
                await endpoint.api("status")

    asyncio.run(main())


def test_closing_during_an_outage_leaves_nothing_behind() -> None:
    async def main() -> None:
        async with serve() as server:
            endpoint = EslEndpoint(EndpointUrl.parse(f"esl://127.0.0.1:{server.port}"), dice=lambda: 1.0)
            await endpoint.open_source()
            waiting = asyncio.create_task(take(endpoint, 1))
            sending = asyncio.create_task(endpoint.send([HEARTBEAT]))
            await sending
            await server.close()
            await until(lambda: endpoint.counters()["outages"])
            sending = asyncio.create_task(endpoint.send([HEARTBEAT]))
            await asyncio.sleep(0)
            await endpoint.close()
            assert [event.name for event in await waiting] in ([], ["HEARTBEAT"])
            with pytest.raises(EndpointClosed):
                await sending

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
