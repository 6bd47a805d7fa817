"""The event socket's protocol without a socket: whole, byte by byte, in any slices, with what nobody should send."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, header_lists

from switchcast._native import EVENT_NAMES, Event
from switchcast.errors import BindingError, EndpointError, UsageError
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket_listener import Listener, SocketUser
from switchcast.wire.eventsocket import (
    BODY_LIMIT,
    COMMAND_BLOCK_LIMIT,
    HEADER_BLOCK_LIMIT,
    NOOP,
    Command,
    CommandReader,
    Interest,
    Message,
    MessageReader,
    command_line,
    render_auth,
    render_bgapi,
    render_message,
    render_sendevent,
)

STREAM = (
    b"Content-Type: auth/request\n\n"
    b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n"
    b"Content-Length: 32\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\nX: a%3Ab\n\n\n"
    b"Content-Type: api/response\nContent-Length: 0\n\n"
    b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 7f\nJob-UUID: 7f\n\n"
    b"Content-Type: text/disconnect-notice\nContent-Length: 5\n\n\n\n\r\n\n"
)
MESSAGES = [
    Message((("Content-Type", "auth/request"),)),
    Message((("Content-Type", "command/reply"), ("Reply-Text", "+OK accepted"))),
    Message(
        (("Content-Length", "32"), ("Content-Type", "text/event-plain")), b"Event-Name: HEARTBEAT\nX: a%3Ab\n\n"[:32]
    ),
    Message((("Content-Type", "api/response"), ("Content-Length", "0"))),
    Message((("Content-Type", "command/reply"), ("Reply-Text", "+OK Job-UUID: 7f"), ("Job-UUID", "7f"))),
    Message((("Content-Type", "text/disconnect-notice"), ("Content-Length", "5")), b"\n\n\r\n\n"),
]


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` cut at those places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def test_messages_are_read_whole() -> None:
    assert MessageReader().feed(STREAM) == MESSAGES


def test_messages_are_read_byte_by_byte() -> None:
    reader = MessageReader()
    assert [message for byte in STREAM for message in reader.feed(bytes([byte]))] == MESSAGES


@PROPERTY
@given(
    st.lists(st.tuples(st.sampled_from(["api/response", "text/event-plain", "log/data"]), bodies()), max_size=8),
    st.lists(st.integers(0, 2000), max_size=30),
)
def test_any_bodies_are_read_in_any_slices(sent: list[tuple[str, bytes]], cuts: list[int]) -> None:
    stream = b"".join(
        render_message([("Content-Type", kind), ("Content-Length", str(len(body)))], body) for kind, body in sent
    )
    reader = MessageReader()
    messages = [message for piece in in_pieces(stream, cuts) for message in reader.feed(piece)]
    assert [(message.content_type, message.body) for message in messages] == sent


@PROPERTY
@given(
    st.lists(st.sampled_from([b"\n", b"\r", b":", b"a: b", b"Content-Length", b"5", b"-1", b" ", b"\xff", b"\0"])),
    st.lists(st.integers(0, 100), max_size=10),
)
def test_any_bytes_give_messages_or_one_kind_of_error(parts: list[bytes], cuts: list[int]) -> None:
    for reader in (MessageReader(), CommandReader()):
        try:
            for piece in in_pieces(b"".join(parts), cuts):
                reader.feed(piece)
        except EndpointError:
            continue


def test_a_value_is_taken_behind_the_first_colon_and_its_spaces() -> None:
    (message,) = MessageReader().feed(b"A:   b: c \nno header\nB:\r\n\r\n")
    assert message.headers == (("A", "b: c "), ("B", ""))
    assert message.get("a") == "b: c "
    assert message.get("C", "none") == "none"


@pytest.mark.parametrize("length", [b"x", b"-1", b"1e3", b"", b"9" * 30])
def test_a_length_that_is_none_ends_the_connection(length: bytes) -> None:
    with pytest.raises(EndpointError, match="Content-Length that is no number"):
        MessageReader().feed(b"Content-Length: " + length + b"\n\n")


def test_a_body_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert MessageReader().feed(b"Content-Length: %d\n\n" % BODY_LIMIT) == []
    for reader in (MessageReader(), CommandReader()):
        with pytest.raises(EndpointError, match=f"{BODY_LIMIT} are allowed"):
            reader.feed(b"x\nContent-Length: %d\n\n" % (BODY_LIMIT + 1))


@pytest.mark.parametrize(
    ("reader", "limit"), [(MessageReader(), HEADER_BLOCK_LIMIT), (CommandReader(), COMMAND_BLOCK_LIMIT)]
)
def test_a_block_that_does_not_end_is_given_up(reader: MessageReader | CommandReader, limit: int) -> None:
    reader.feed(b"a" * limit)
    with pytest.raises(EndpointError, match="without an end"):
        reader.feed(b"a")


def test_a_block_of_many_short_lines_is_given_up_too() -> None:
    with pytest.raises(EndpointError, match="without an end"):
        MessageReader().feed(b"a: b\n" * 20_000)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_commands_are_read_with_either_line_ending(ending: bytes) -> None:
    stream = ending.join([b"", b"", b"sendevent CUSTOM", b"Event-Subclass: a::b", b"content-length: 3", b"", b"xyz"])
    stream += ending.join([b"api status", b"", b""])
    expected = [
        Command("sendevent CUSTOM", (("Event-Subclass", "a::b"), ("content-length", "3")), b"xyz"),
        Command("api status"),
    ]
    assert CommandReader().feed(stream) == expected
    reader = CommandReader()
    assert [command for byte in stream for command in reader.feed(bytes([byte]))] == expected


def test_each_length_of_a_command_reads_a_body_and_the_last_stays() -> None:
    # so does the switch: one who believes the first length only would take the second body for a command
    (command,) = CommandReader().feed(b"sendevent X\nContent-Length: 4\nContent-Length: 2\nContent-Length: z\n\nonesab")
    assert command.body == b"ab"


@pytest.mark.parametrize("bad", ["\n", "\r", "\0", "\r\n\r\nexit"])
def test_no_argument_can_begin_another_command(bad: str) -> None:
    with pytest.raises(UsageError, match="it would end the command and begin another"):
        command_line("api", f"status{bad}")
    with pytest.raises(UsageError, match="begin another"):
        render_bgapi(f"status{bad}", "1")
    with pytest.raises(UsageError, match="begin another"):
        render_bgapi("status", f"1{bad}")
    with pytest.raises(UsageError, match="password holds a CR, LF or NUL") as caught:
        render_auth(b"very secret" + bad.encode())
    assert "very secret" not in str(caught.value)
    with pytest.raises(UsageError):
        render_auth(b"secret", f"1000@example.com{bad}")


def test_the_refusal_of_a_huge_argument_is_short() -> None:
    with pytest.raises(UsageError) as caught:
        command_line("api", "x" * 100_000 + "\n")
    assert len(str(caught.value)) < 300


def test_commands_are_written_as_the_switch_reads_them() -> None:
    assert render_auth(b"s3cret: x") == b"auth s3cret: x\n\n"
    assert render_auth(b"s3cret", "1000@example.com") == b"userauth 1000@example.com:s3cret\n\n"
    assert render_bgapi("originate x y", "1-2") == b"bgapi originate x y\nJob-UUID: 1-2\n\n"
    assert CommandReader().feed(NOOP) == [Command("noop")]
    with pytest.raises(UsageError, match="name@domain"):
        render_auth(b"s3cret", "1000")


def fired(event: Event) -> tuple[Event, list[str]]:
    """``event`` as a listener with ``event plain`` gets it from a switch that was sent it, and what was left out."""
    data, omitted = render_sendevent(event)
    (command,) = CommandReader().feed(data)
    assert command.line == f"sendevent {event.name}"
    again = Event.from_headers([("Command", command.line), *command.headers], command.body, exact=True)
    return Event.from_plain(again.to_plain()), omitted


def carried(event: Event) -> list[tuple[str, str]]:
    """The headers that a command carries."""
    headers = [
        (name, value)
        for name, value in event.items()
        if not (name.lower() == "content-length" or name == "_body" or any(mark in name for mark in ":["))
    ]
    if event.name in EVENT_NAMES and len(event.getall("Event-Name")) == 1:
        headers.remove(next(pair for pair in headers if pair[0].lower() == "event-name"))
    return headers


@PROPERTY
@given(st.sampled_from(["CUSTOM", "MESSAGE_WAITING", "NO_SUCH_EVENT"]), header_lists(), bodies())
def test_an_event_that_is_fired_arrives_as_it_was(name: str, headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event(name, headers, body)
    if b"\0" in body:
        with pytest.raises(UsageError, match="holds a NUL"):
            render_sendevent(event)
        return
    again, omitted = fired(event)
    received = [pair for pair in again.items()[1:] if pair[0] != "Content-Length"]
    assert received == carried(event)
    assert again.body == event.body
    assert len(omitted) == sum(name == "_body" or ":" in name or "[" in name for name in event)


def test_values_go_decoded_and_what_a_line_cannot_hold_does_not() -> None:
    headers = [
        ("from-user", "sip:1000@example.com"),
        ("lines", "v=0\r\no=x"),
        ("space", "  x"),
        ("percent", "%41 %zz"),
        ("empty", ""),
        ("text", "_undef_"),
        ("list", "ARRAY::a|:b"),
    ]
    data, _ = render_sendevent(Event("CUSTOM", headers, b"body"))
    assert data == (
        b"sendevent CUSTOM\n"
        b"from-user: sip:1000@example.com\n"
        b"lines: v=0%0D%0Ao=x\n"
        b"space: %20 x\n"
        b"percent: %2541 %zz\n"
        b"empty: _undef_\n"
        b"text: %5Fundef_\n"
        b"list: ARRAY::a|:b\n"
        b"Content-Length: 4\n\nbody"
    )


@pytest.mark.parametrize("name", ["", "TWO WORDS", "A\nexit"])
def test_an_event_without_a_usable_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name that a command can carry"):
        render_sendevent(Event.from_headers([("Event-Name", name)]))


WORDS = ["HEARTBEAT", "MESSAGE_WAITING", "CHANNEL_CREATE", "CHANNEL_DESTROY"]
SUBCLASSES = ["sofia::register", "sofia::unregister", "a::b"]
EVENTS = [
    *(Event(word) for word in (*WORDS, "RE_SCHEDULE")),
    *(Event("CUSTOM", [("Event-Subclass", word)]) for word in (*SUBCLASSES, "c::d")),
]


class EverybodyComesIn:
    def check_password(self, password: str) -> bool:
        return True

    def check_user(self, user: str, password: str) -> SocketUser | None:
        return None


def listener() -> Listener:
    """A client of a switch, logged in."""
    client = Listener(
        Cluster().switches[0],
        EverybodyComesIn(),
        emit=lambda _: None,
        later=lambda _: None,
        flush=lambda: None,
    )
    assert b"+OK accepted" in client.answer(Command("auth right"))
    return client


def interests() -> st.SearchStrategy[Interest]:
    """What somebody may ask for."""
    some = st.builds(
        lambda names, subclasses: Interest(
            frozenset(names) | ({"CUSTOM"} if subclasses else set()), frozenset(subclasses)
        ),
        st.sets(st.sampled_from(WORDS)),
        st.sets(st.sampled_from(SUBCLASSES)),
    ).filter(lambda interest: bool(interest.names))
    return some | st.just(Interest(frozenset({"ALL"})))


def heard(client: Listener) -> set[int]:
    return {number for number, event in enumerate(EVENTS) if client.wants(event)}


def wanted(interest: Interest) -> set[int]:
    client = listener()
    client.answer(*CommandReader().feed(interest.start("plain")))
    return heard(client)


@PROPERTY
@given(st.lists(interests(), min_size=2, max_size=5))
def test_a_change_of_interest_hears_all_of_it_only_it_and_misses_nothing_between(steps: list[Interest]) -> None:
    client = listener()
    client.answer(*CommandReader().feed(steps[0].start("plain")))
    for old, new in pairwise(steps):
        for data in old.change_to(new, "plain"):
            assert b"+OK" in client.answer(*CommandReader().feed(data))
            assert heard(client) >= wanted(old) & wanted(new)
        assert heard(client) == wanted(new)


def test_interests_are_read_from_bindings() -> None:
    assert Interest.parse("all") == Interest(frozenset({"ALL"}))
    assert Interest.parse("heartbeat ALL CUSTOM a::b").words == "ALL"
    parsed = Interest.parse("HEARTBEAT API CUSTOM sofia::register a::b")
    assert parsed.words == "API HEARTBEAT CUSTOM a::b sofia::register"
    assert parsed.start("json") == b"event json API HEARTBEAT CUSTOM a::b sofia::register\n\n"
    assert parsed.change_to(parsed, "plain") == []
    assert (parsed | Interest.parse("MESSAGE CUSTOM c")).words == "API HEARTBEAT MESSAGE CUSTOM a::b c sofia::register"
    with pytest.raises(BindingError, match="name no event"):
        Interest.parse(" ")
