"""What a relay fires is what the stock receiver fired: every recorded datagram, and what was recorded nowhere.

The witness is the decoded file: the events that FreeSWITCH's own ``mod_event_multicast`` made of the recorded
datagrams, as its event socket showed them. Where that is wrong (``data/README.md``) the difference is named, and
counted.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refired import Headers, Pair, from_stock, recorded_events, relayed, with_what_stock_fired
from strategies import PROPERTY, bodies, header_lists, mutations, nearly_events, small_datagram, values
from switches import esl, serve, take

from switchcast import Event, StockFrames
from switchcast.errors import RejectedDatagram, UsageError
from switchcast.simulation import Cluster, Lamp
from switchcast.simulation.eventsocket import EventSocketServer
from switchcast.wire.eventsocket import CommandReader, render_sendevent
from switchcast.wire.fs_path import route_back
from switchcast.wire.refire import is_refired, refire, restore

FIRST = [("Event-Subclass", "multicast::event"), ("Event-Name", "CUSTOM"), ("Multicast", "yes")]


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    return recorded_events(plain_datagrams)


@pytest.fixture(scope="module")
def pairs(recorded: list[Event]) -> list[Pair]:
    return with_what_stock_fired(recorded)


def told(command: bytes) -> Headers:
    """The headers of a ``sendevent`` as the switch takes them, arrays as its JSON shows them."""
    [read] = CommandReader().feed(command)
    assert read.line == "sendevent CUSTOM"
    return [as_shown(name, value) for name, value in read.headers]


def as_shown(name: str, value: str) -> tuple[str, Any]:
    return (name, value.removeprefix("ARRAY::").split("|:")) if value.startswith("ARRAY::") else (name, value)


def difference(ours: Headers, stock: Headers) -> str:
    """How what we fire differs from what the stock receiver fired; a body and its length are looked at elsewhere."""
    stock = [pair for pair in stock if pair[0] not in ("Content-Length", "_body")]
    ours = [pair for pair in ours if pair[0] != "Content-Length"]
    if ours == stock:
        return "none"
    if stock[: len(ours)] == ours:
        return "stock makes headers of body lines"
    split = [pair for pair in stock if pair[0] != "Orig-variable_nolocal"]
    if len(stock) - len(split) == 1 and split == ours:
        return "stock cuts a name at its colon; a command cannot carry that name"
    if [(name, as_listeners_see(value)) for name, value in ours] == stock:
        return "none to listeners: a command carries line breaks, first spaces and percent signs encoded"
    return f"unexplained: {[pair for pair in ours if pair not in stock]} {[pair for pair in stock if pair not in ours]}"


def as_listeners_see(value: Any) -> Any:
    """A value as the switch tells it, who takes percent signs for its own escapes; JSON shows no Latin-1."""
    if not isinstance(value, str):
        return value
    raw = value.encode("utf-8", "surrogateescape")
    return re.sub(rb"%([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), raw).decode(errors="replace")


# Against the stock receiver


def test_every_header_of_every_recorded_event_is_fired_as_the_module_fired_it(pairs: list[Pair]) -> None:
    kinds: Counter[str] = Counter()
    left_out = 0
    for event, fired in pairs:
        command, omitted = render_sendevent(refire(event))
        # A switch takes the first Event-Subclass and adds the command's name: they end up where the module puts them.
        first, *rest = told(command)
        kinds[difference([first, ("Event-Name", "CUSTOM"), *rest], from_stock(fired))] += 1
        left_out += len(omitted)
    assert kinds == {
        "none": 1676,
        "none to listeners: a command carries line breaks, first spaces and percent signs encoded": 117,
        "stock cuts a name at its colon; a command cannot carry that name": 9,
        "stock makes headers of body lines": 8,
    }
    assert left_out == 9


def test_every_body_is_fired_as_it_was_sent(pairs: list[Pair]) -> None:
    """The stock receiver's has a newline in front, or lacks lines: see the tests of the recordings."""
    seen: Counter[str] = Counter()
    for event, fired in pairs:
        [read] = CommandReader().feed(render_sendevent(refire(event))[0])
        assert read.body == event.body
        stock = dict(fired).get("_body", "")
        seen[
            "none"
            if not event.body
            else "the same"
            if stock == "\n" + event.body.decode(errors="replace")
            else "stock differs"
        ] += 1
    assert seen == {"none": 1770, "the same": 31, "stock differs": 9}


def test_a_switch_shows_its_listeners_what_the_stock_receiver_showed(pairs: list[Pair]) -> None:
    """The way through a sink, a switch and a source, for what is relayed in practice, header by header."""
    kinds = ("PRESENCE_IN", "MESSAGE_WAITING", "sofia::register", "sofia::unregister", "HEARTBEAT")
    chosen = [pair for pair in pairs if (pair[0].subclass or pair[0].name) in kinds]
    assert len(chosen) > 60

    async def main() -> None:
        async with serve() as server, esl(server) as source, esl(server) as sink:
            await source.open_source()
            await sink.send([event for event, _ in chosen])
            for (_, fired), shown in zip(chosen, await take(source, len(chosen)), strict=True):
                assert shown.name == "CUSTOM"
                assert shown.subclass == "multicast::event"
                assert relayed(shown) == from_stock(fired)
            assert sink.counters()["refired"] == len(chosen)

    asyncio.run(main())


# Of any event


def events() -> st.SearchStrategy[Event]:
    return st.builds(Event.from_headers, header_lists(), bodies()).map(lambda event: event.with_origin("a:1", 7))


def lines(event: Event) -> list[bytes]:
    """The header lines as they stand."""
    text = event.to_plain()
    return text[: len(text) - len(event.body) - 1].split(b"\n")[:-1]


@PROPERTY
@given(events())
def test_refiring_prefixes_every_line_and_touches_no_value(event: Event) -> None:
    fired = refire(event)
    expected = [b"Event-Subclass: multicast%3A%3Aevent", b"Event-Name: CUSTOM", b"Multicast: yes"]
    expected += [b"Orig-" + line for line in lines(event)]
    assert lines(fired) == expected + ([b"Content-Length: %d" % len(event.body)] if event.body else [])
    assert (fired.body, fired.source, fired.received) == (event.body, "a:1", 7)
    assert fired.items()[:3] == FIRST
    assert [pair for pair in fired.items()[3:] if pair[0] != "Orig-Content-Length"] == [
        (f"Orig-{name}", value) for name, value in event.items() if name != "Content-Length"
    ]
    assert (fired.name, fired.subclass, is_refired(fired)) == ("CUSTOM", "multicast::event", True)


@PROPERTY
@given(events())
def test_a_command_holds_one_event_and_forges_nothing(event: Event) -> None:
    body = event.body.replace(b"\0", b"")  # which no command can carry: such an event is refused
    fired = refire(Event.from_headers(event.items(), body))
    command, omitted = render_sendevent(fired)
    [read] = CommandReader().feed(command)
    assert read.line == "sendevent CUSTOM"
    assert read.body == body
    own = [name for name, _ in read.headers if not name.startswith("Orig-")]
    assert own == ["Event-Subclass", "Multicast", *(["Content-Length"] if body else [])]
    assert len(read.headers) == len(fired) - 1 - len(omitted) + bool(body)
    assert all(re.search(r"[:\[\r]", name) for name in omitted)


SMALL = small_datagram()
"""With every part a few bytes long, so that what is changed in it is often a border."""


@PROPERTY
@given(nearly_events() | mutations([SMALL, SMALL.replace(b"X-Arr", b"Contact")]))
def test_whatever_can_be_received_is_fired_whole_or_refused(datagram: bytes) -> None:
    try:
        event = StockFrames().open(datagram)
        made = [refire(event), restore(event), refire(route_back(event, "192.0.2.1", replace=True))]
    except RejectedDatagram:
        return
    assert [line.removeprefix(b"Orig-") for line in lines(made[0])[3 : 3 + len(lines(event))]] == lines(event)
    assert made[1]["Multicast"] == "yes"
    for fired in made:
        assert fired.body == event.body
        try:
            command, _ = render_sendevent(fired)
        except UsageError:
            assert b"\0" in event.body or not re.fullmatch("[^ \r\n\0]+", fired.name)
            continue
        [read] = CommandReader().feed(command)
        assert read.body == event.body


@PROPERTY
@given(header_lists(), bodies(), values())
def test_restoring_gives_the_original_back_marked(headers: list[tuple[str, str]], body: bytes, sender: str) -> None:
    plain = [pair for pair in headers if pair[0].lower() not in ("multicast", "content-length")]
    event = Event.from_headers([*plain, ("Multicast-Sender", sender)], body)
    again = restore(event)
    renamed = [("Orig-Multicast-Sender" if n.lower() == "multicast-sender" else n, v) for n, v in plain]
    assert [(n.replace("Orig-multicast", "Orig-Multicast"), v) for n, v in again.items()] == [
        *renamed,
        ("Orig-Multicast-Sender", sender),
        ("Multicast", "yes"),
    ]
    assert (again.body, again.sender, is_refired(again)) == (event.body, None, True)
    assert restore(again) == again
    assert event.subclass == "multicast::event" or restore(refire(event)) == again


def test_a_header_of_the_event_itself_cannot_take_the_mark_away() -> None:
    event = Event(
        "TALK", [("multicast", "no"), ("Multicast:", "x"), ("Multicast: a", "y"), ("Multicast-Sender", "fs1")]
    )
    assert restore(event).getall("Multicast") == ["yes"]
    assert restore(event)["Multicast:"] == "x"
    assert restore(event)["Multicast: a"] == "y"
    assert refire(event)["Multicast"] == "yes"


def test_what_the_prefix_takes_over_a_limit_is_refused() -> None:
    for event in (Event("TALK", [("x" * 1020, "1")]), Event("TALK", [("x", "1")] * 2045)):
        with pytest.raises(RejectedDatagram):
            refire(event)


@pytest.mark.parametrize(
    ("event", "seen"),
    [
        (Event("TALK"), False),
        (Event("TALK", [("Multicast", "yes")]), True),
        (Event("TALK", [("multicast", "YES")]), True),
        (Event("TALK", [("Multicast", "no")]), False),
        (Event("CUSTOM", [("Event-Subclass", "multicast::event")]), True),
        (Event("CUSTOM", [("Event-Subclass", "multicast::peerup")]), True),
        (Event("CUSTOM", [("Event-Subclass", "multicast::peerdown")]), True),
        (Event("CUSTOM", [("Event-Subclass", "sofia::register")]), False),
    ],
)
def test_what_a_host_made_of_a_groups_event_is_known(event: Event, *, seen: bool) -> None:
    assert is_refired(event) is seen


# What mod_sofia does with it


def test_mod_sofia_takes_over_what_a_sink_fires(recorded: list[Event]) -> None:
    """The recorded registrations, lamps and presences, through a sink into a simulated switch's own views."""

    async def main() -> None:
        switch = Cluster().switches[0]
        async with EventSocketServer(switch) as server, esl(server, "fs_path=add&fs_path_host=ipv4") as sink:
            registered = next(event for event in recorded if event.subclass == "sofia::register")
            await sink.send([registered])
            account = f"{registered['from-user']}@{registered['from-host']}"
            way = f"sip:1000@127.0.0.1:5090;fs_path=sip:{registered['FreeSWITCH-IPv4']}"
            assert switch.api(f"sofia_contact {account}") == f"sofia/internal/{way}"
            assert f"Call-ID:    \t{registered['call-id']}" in switch.api("sofia status profile internal reg")
            assert switch.api("show registrations count") == "\n0 total.\n"
            await sink.send([event for event in recorded if event.subclass == "sofia::unregister"])
            assert switch.api(f"sofia_contact {account}") == "error/user_not_registered"
            await sink.send([e for e in recorded if e.name in ("MESSAGE_WAITING", "PRESENCE_IN")])
            assert switch.presence["1000@127.0.0.1"].status == "Unregistered"
            assert switch.presence["1001@127.0.0.1"].status == "Unregistered"
            assert switch.lamps["1000@127.0.0.1"] == Lamp(waiting=False, counts="0/0")
            assert switch.lamps["1001@127.0.0.1"] == Lamp(waiting=False, counts="0/0")

    asyncio.run(main())
