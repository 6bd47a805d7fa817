"""The connection of ``esl:`` endpoints under every fault: refused, killed, stuck, silent, cancelled, closed."""

from __future__ import annotations

import asyncio

import pytest
from sockets import PATIENCE, until
from structlog.testing import capture_logs
from switches import (
    ACCEPTED,
    GREETING,
    HEARTBEAT,
    SECRET,
    esl,
    pass_time,
    reconnected,
    reply,
    scripted,
    serve,
    subscriptions,
    take,
)

from switchcast._native import Event
from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.esl import EslEndpoint
from switchcast.errors import (
    EndpointClosed,
    EndpointDenied,
    EndpointError,
    EndpointUnavailable,
)


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


def test_a_job_is_lost_with_the_connection_that_would_have_told_its_end() -> None:
    async def main() -> None:
        async with serve(emit=lambda _: None) as server, esl(server) as endpoint:
            job = await endpoint.bgapi("status")
            await server.drop_connections()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(EndpointUnavailable, match="before the job's end"):
                    await job.output()
            await reconnected(endpoint, 1)

    asyncio.run(main())


def test_closing_loses_the_jobs_too() -> None:
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
