"""The simulated switch's event socket, spoken to by hand: its texts are those of FreeSWITCH's own."""

from __future__ import annotations

import asyncio
import json

import pytest
from sockets import calling, until

from switchcast._native import Event
from switchcast.simulation import eventsocket
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import MAX_MISSED, EventSocketServer, SocketUser
from switchcast.simulation.switch import Switch
from switchcast.wire.eventsocket import Message

GOODBYE = Message(
    (("Content-Type", "text/disconnect-notice"), ("Content-Length", "67")),
    b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n",
)
REGISTER = Event("CUSTOM", [("Event-Subclass", "sofia::register"), ("from-user", "1000")])
HEARTBEAT = Event("HEARTBEAT", [("Up-Time", "0 years")])


def switch() -> Switch:
    return Cluster().switches[0]


def command_reply(text: str) -> Message:
    return Message((("Content-Type", "command/reply"), ("Reply-Text", text)))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("noop", "-ERR command not found"),
        ("api", "-ERR command not found"),
        ("auth ClueCon", "-ERR command not found"),
        ("connect", "-ERR command not found"),
        ("myevents", "-ERR command not found"),
        ("event plain ALL", "+OK event listener enabled plain"),
        ("EVENT JSON heartbeat", "+OK event listener enabled json"),
        ("event xml HEARTBEAT CUSTOM a::b", "+OK event listener enabled xml"),
        ("event SWITCH_EVENT_HEARTBEAT", "+OK event listener enabled plain"),
        ("events plain ALL", "+OK event listener enabled plain"),
        ("event plain", "-ERR no keywords supplied"),
        ("event plain NO_SUCH_EVENT", "-ERR no keywords supplied"),
        ("nixevent HEARTBEAT", "+OK events nixed"),
        ("nixevent NO_SUCH_EVENT", "-ERR no keywords supplied"),
        ("noevents", "-ERR not listening for events"),
        ("filter Event-Name HEARTBEAT", "+OK filter added. [Event-Name]=[HEARTBEAT]"),
        ("filter Caller-Name Two Words", "+OK filter added. [Caller-Name]=[Two Words]"),
        ("filter Event-Name", "-ERR invalid syntax"),
        ("filter delete Event-Name", "+OK filter deleted. [Event-Name][]"),
        ("filter delete all", "+OK filter deleted. [all][]"),
        ("filter delete Event-Name HEARTBEAT", "+OK filter deleted. [Event-Name][HEARTBEAT]"),
        ("log", "+OK log level  [7]"),
        ("log info", "+OK log level info [6]"),
        ("log 3", "+OK log level 3 [3]"),
        ("log loud", "-ERR invalid log level"),
        ("nolog", "-ERR not loging"),
        ("linger", "-ERR not controlling a session"),
        ("nolinger", "-ERR not controlling a session"),
        ("divert_events on", "-ERR not controlling a session."),
        ("sendmsg 1-2-3\ncall-command: hangup", "-ERR invalid session id [1-2-3]"),
        ("sendmsg\nsession-id: 4-5", "-ERR invalid session id [4-5]"),
        ("myevents 1-2-3", "+OK Events Enabled"),
        ("bgapi status\nJob-UUID: 77", "+OK Job-UUID: 77"),
    ],
)
def test_each_command_is_answered_in_the_modules_words(command: str, reply: str) -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            assert (await caller.say(command)).reply == reply

    asyncio.run(main())


def test_the_first_messages_are_byte_for_byte_the_modules() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(b"auth ClueCon\n\nbgapi status\nJob-UUID: 77\n\nexit\n\n")
            received = await reader.read()
            writer.close()
            assert received == (
                b"Content-Type: auth/request\n\n"
                b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
                b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 77\nJob-UUID: 77\n\n"
                b"Content-Type: command/reply\nReply-Text: +OK bye\n\n"
                b"Content-Type: text/disconnect-notice\nContent-Length: 67\n\n"
                b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
            )

    asyncio.run(main())


@pytest.mark.parametrize("command", ["auth wrong", "auth ", "userauth 1000@example.com:ClueCon", "userauth x"])
def test_a_wrong_password_ends_the_connection(command: str) -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server, None) as caller:
            await caller.next()
            assert await caller.say(command) == command_reply("-ERR invalid")
            assert await caller.next() == GOODBYE
            assert await caller.next() is None
            assert list(server.history) == [[command.partition(" ")[0] + " ***"]]

    asyncio.run(main())


def test_nothing_can_be_done_without_a_password() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server, None) as caller:
            await caller.next()
            for command in ("api status", "event plain ALL", "sendevent CUSTOM"):
                assert (await caller.say(command)).reply == "-ERR command not found"

    asyncio.run(main())


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventsocket, "AUTH_SECONDS", 0.01)

    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server, None) as caller:
            await caller.next()
            assert await caller.next() is None
            await until(lambda: server.clients == 0)

    asyncio.run(main())


def test_a_directory_user_may_do_what_the_directory_says() -> None:
    user = SocketUser("s3cret", events="HEARTBEAT CUSTOM a::b", api="status version")

    async def main() -> None:
        users = {"1000@example.com": user, "all@example.com": SocketUser("s3cret")}
        async with EventSocketServer(switch(), users=users) as server:
            async with calling(server, None) as caller:
                await caller.next()
                reply = await caller.say("userauth 1000@example.com:s3cret")
                assert reply.headers[1:] == (
                    ("Reply-Text", "+OK accepted"),
                    ("Allowed-Events", "HEARTBEAT CUSTOM a::b"),
                    ("Allowed-API", "status version"),
                    ("Allowed-LOG", "true"),
                )
                assert (await caller.say("event plain HEARTBEAT CUSTOM a::b")).ok
                assert (await caller.say("event plain MESSAGE")).reply == "-ERR permission denied"
                assert (await caller.say("event plain CUSTOM c::d")).reply == "-ERR permission denied"
                assert (await caller.say("api status")).content_type == "api/response"
                assert (await caller.say("api hupall")).reply == "-ERR permission denied"
                assert (await caller.say("bgapi hupall")).reply == "-ERR permission denied"
            async with calling(server, None) as caller:
                await caller.next()
                reply = await caller.say("userauth all@example.com:s3cret")
                assert reply.get("Allowed-Events") == reply.get("Allowed-API") == "all"
                assert (await caller.say("event plain ALL")).ok
        assert "s3cret" not in repr(user)

    asyncio.run(main())


def test_an_event_comes_in_the_format_asked_for() -> None:
    event = Event("MESSAGE", [("from", "a@b"), ("X", "two words: \r\n")], "bödy\n\n")

    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            texts = {}
            for form in ("plain", "json", "xml"):
                await caller.say(f"event {form} MESSAGE")
                server.publish([event, HEARTBEAT])
                message = await caller.next()
                assert message is not None
                assert message.headers == (
                    ("Content-Length", str(len(message.body))),
                    ("Content-Type", f"text/event-{form}"),
                )
                texts[form] = message.body
            assert Event.from_plain(texts["plain"]) == event
            assert json.loads(texts["json"])["_body"] == "bödy\n\n"
            assert texts["xml"].startswith(b"<event>")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("commands", "heard"),
    [
        (["event plain ALL"], "HR"),
        (["event plain HEARTBEAT"], "H"),
        (["event plain CUSTOM sofia::register"], "R"),
        (["event plain CUSTOM sofia::unregister"], ""),
        (["event plain ALL", "nixevent HEARTBEAT"], ""),
        (["event plain ALL CUSTOM sofia::register", "nixevent HEARTBEAT"], "R"),
        (["event plain HEARTBEAT CUSTOM sofia::register", "nixevent CUSTOM sofia::register"], "H"),
        (["event plain HEARTBEAT CUSTOM sofia::register", "nixevent ALL"], ""),
        (["event plain ALL", "noevents"], ""),
        (["event plain ALL", "noevents", "event plain HEARTBEAT"], "H"),
        (["event plain ALL", "filter Event-Name HEARTBEAT"], "H"),
        (["event plain ALL", "filter event-name heartbeat", "filter from-user 1000"], "HR"),
        (["event plain ALL", "filter from-user /^10/"], "R"),
        (["event plain ALL", "filter from-user /^11/"], ""),
        (["event plain ALL", "filter Event-Name HEARTBEAT", "filter Up-Time -0 years"], ""),
        (["event plain ALL", "filter Event-Name -HEARTBEAT"], ""),
        (["event plain ALL", "filter Event-Name HEARTBEAT", "filter delete Event-Name"], "HR"),
        (["event plain ALL", "filter a b", "filter a c", "filter delete a b", "filter delete a c"], "HR"),
        (["event plain ALL", "filter Event-Name x", "filter delete all"], "HR"),
        (["event plain ALL", "filter from-user /(/"], ""),
        (["event plain ALL", "myevents 1-2-3"], ""),
    ],
)
def test_a_client_hears_what_it_asked_for(commands: list[str], heard: str) -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            for command in commands:
                assert (await caller.say(command)).ok
            server.publish([HEARTBEAT, REGISTER])
            names = ""
            await until(
                lambda: server.waiting == 0
            )  # else the reply would overtake the events, as it does in the module
            last = await caller.say("noop")
            while last.content_type == "text/event-plain":
                names += Event.from_plain(last.body).name[0]
                message = await caller.next()
                assert message is not None
                last = message
            assert names.replace("C", "R") == heard

    asyncio.run(main())


def test_myevents_hears_one_channel() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            assert (await caller.say("myevents 1-2 json")).ok
            assert (await caller.say("myevents 1-2")).reply == "-ERR aready enabled."
            server.publish([Event("CHANNEL_ANSWER", [("Unique-ID", "9-9")]), HEARTBEAT])
            server.publish([Event("CHANNEL_ANSWER", [("Unique-ID", "1-2")])])
            message = await caller.next()
            assert message is not None
            assert json.loads(message.body)["Unique-ID"] == "1-2"

    asyncio.run(main())


def test_a_fired_event_looks_as_the_recorded_ones_do() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            await caller.say("event plain NOTIFY CUSTOM a::b")
            reply = await caller.say(
                "sendevent NOTIFY\nprofile: internal\nuser: 1000\nuser: \nhost: 127.0.0.1\ncontent-length: 2\n\nOK"
            )
            message = await caller.next()
            assert message is not None
            event = Event.from_plain(message.body)
            assert reply.reply == f"+OK {event['Event-UUID']}"
            # as in the recording, whose first such event is the same NOTIFY; an empty value takes a header away
            assert event.keys() == (
                "Command profile host content-length Event-UUID Event-Name Core-UUID FreeSWITCH-Hostname "
                "FreeSWITCH-Switchname FreeSWITCH-IPv4 FreeSWITCH-IPv6 Event-Date-Local Event-Date-GMT "
                "Event-Date-Timestamp Event-Calling-File Event-Calling-Function Event-Calling-Line-Number "
                "Event-Sequence"
            ).split(" ")
            assert (event["Command"], event.body) == ("sendevent NOTIFY", b"OK")
            reply = await caller.say("sendevent NO_SUCH\nEvent-Subclass: a::b\nx: ends")
            message = await caller.next()
            assert message is not None
            event = Event.from_plain(message.body)
            assert (event.name, event.subclass) == ("CUSTOM", "a::b")
            assert event.keys()[:4] == ["Command", "x", "Event-UUID", "Event-Subclass"]
            assert reply.ok

    asyncio.run(main())


def test_the_command_line_answers() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            answer = await caller.say("api status")
            assert answer.content_type == "api/response"
            assert answer.body.startswith(b"UP ")
            answer = await caller.say("api no_such_command x")
            assert answer.body == b"-ERR no_such_command Command not found!\n"
            await caller.say("event plain BACKGROUND_JOB")
            reply = await caller.say("bgapi status verbose")
            message = await caller.next()
            assert message is not None
            event = Event.from_plain(message.body)
            assert reply.reply == f"+OK Job-UUID: {event['Job-UUID']}"
            assert reply.get("Job-UUID") == event["Job-UUID"]
            assert (event["Job-Command"], event["Job-Command-Arg"]) == ("status", "verbose")
            assert event.body.startswith(b"UP ")

    asyncio.run(main())


def test_who_does_not_read_loses_events_and_holds_up_nobody() -> None:
    big = Event("HEARTBEAT", [("X", "x" * 60_000)])

    async def main() -> None:
        async with EventSocketServer(switch(), queue=10) as server, calling(server) as slow, calling(server) as quick:
            await slow.say("event plain HEARTBEAT")
            await quick.say("event plain HEARTBEAT")
            received = 0
            while not server.lost_events:  # until the network between is full, and the queue behind it
                server.publish([big])
                assert await quick.next() is not None
                received += 1
            assert server.clients == 2
            for _ in range(MAX_MISSED + 1):
                server.publish([big])
                assert await quick.next() is not None
            await until(lambda: server.clients == 1)  # lost too many in a row, so it was disconnected
            assert (await quick.say("noop")).reply == "-ERR command not found"

    asyncio.run(main())


def test_closing_does_not_wait_for_who_does_not_read() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as caller:
            await caller.say("event plain HEARTBEAT")
            server.publish([Event("HEARTBEAT", [("X", "x" * 60_000)])] * 200)
            await until(lambda: server.waiting < 200 * 60_000)
            async with asyncio.timeout(10):
                await server.close()
                await server.close()
            assert server.clients == 0

    asyncio.run(main())


def test_faults_come_as_they_are_ordered() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server:
            server.faults.reject = True
            async with calling(server, None) as caller:
                message = await caller.next()
                assert message == Message(
                    (("Content-Type", "text/rude-rejection"), ("Content-Length", "24")), b"Access Denied, go away.\n"
                )
                assert await caller.next() == GOODBYE
            server.faults.reject = False
            server.faults.fragment = 3
            async with calling(server) as caller:
                await caller.say("event plain HEARTBEAT")
                server.publish([HEARTBEAT] * 3)
                for _ in range(3):
                    message = await caller.next()
                    assert message is not None
                    assert Event.from_plain(message.body) == HEARTBEAT
                server.faults.fragment = 0
                server.faults.stall()
                caller.writer.write(b"noop\n\n")
                server.publish([HEARTBEAT])
                await until(lambda: server.waiting == 1)
                server.faults.resume()
                kinds = {message.content_type for _ in range(2) if (message := await caller.next())}
                assert kinds == {"command/reply", "text/event-plain"}
                server.faults.cut_event = len(b"Content-Length: 42\nContent-Type")
                server.publish([HEARTBEAT])
                assert await caller.reader.read() == b"Content-Length: %d\nContent-Type" % len(HEARTBEAT.to_plain())
            async with calling(server) as caller:
                await server.drop_connections()
                assert await caller.next() is None
            server.faults.refuse_password = True
            async with calling(server, None) as caller:
                await caller.next()
                assert (await caller.say("auth ClueCon")).reply == "-ERR invalid"

    asyncio.run(main())


def test_what_no_client_sends_ends_its_connection_only() -> None:
    async def main() -> None:
        async with EventSocketServer(switch()) as server, calling(server) as good, calling(server) as bad:
            bad.writer.write(b"sendevent X\nContent-Length: 99999999999\n\n")
            assert await bad.next() is None
            assert (await good.say("noop")).reply == "-ERR command not found"
            assert "clients=1" in repr(server)

    asyncio.run(main())
