"""What an event can be found by, and by which spelling."""

from __future__ import annotations

import pytest
from archiving import numbered
from hypothesis import given
from strategies import PROPERTY, header_lists

from switchcast._native import Event, StockFrames
from switchcast.archive.terms import Term, TermFilter, hashes_of, terms_of
from switchcast.wire.refire import refire

LEG = "89b0012d-2cca-48ce-8e91-a1b281a3c80c"
OTHER = "172F2F1B-611D-42B2-A102-F1524CCD5358"


def test_a_leg_is_found_by_itself_its_call_and_who_it_is_joined_to() -> None:
    event = Event(
        "CHANNEL_BRIDGE",
        {
            "Unique-ID": LEG,
            "Channel-Call-UUID": LEG,
            "Other-Leg-Unique-ID": OTHER,
            "variable_sip_call_id": "c9ed2fbf9cef35c1@127.0.0.1",
            "Caller-Caller-ID-Number": "+49 (30) 12-34",
            "Caller-Destination-Number": "9196",
            "Caller-Username": "1000",
            "variable_user_name": "1000",
            "variable_domain_name": "Example.com",
            "FreeSWITCH-Hostname": "FS1",
        },
    )
    assert terms_of(event) == {
        Term.uuid(LEG.upper()),
        Term.uuid(OTHER.lower()),
        Term.call_id("c9ed2fbf9cef35c1@127.0.0.1"),
        Term.number("49301234"),
        Term.number("9196"),
        Term.user("1000"),
        Term.user("sip:1000@example.com"),
        Term.node("fs1"),
        Term.named("channel_bridge"),
    }


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("+49 30 1234", "49301234"),
        ("(030) 1234", "030/12 34"),
        ("*97", "*97"),
        ("alice", "Alice"),
        ("0000000000", "0000000000"),
    ],
)
def test_a_number_is_the_same_however_it_is_written(written: str, asked: str) -> None:
    assert Term.number(asked) in terms_of(Event("DTMF", {"Caller-ANI": written}))


@pytest.mark.parametrize(("written", "asked"), [("1000", "1001"), ("*97", "97"), ("1000", "100")])
def test_other_numbers_are_others(written: str, asked: str) -> None:
    assert Term.number(asked) not in terms_of(Event("DTMF", {"Caller-ANI": written}))


def test_users_are_those_who_register_publish_and_have_mail() -> None:
    register = Event("CUSTOM", {"Event-Subclass": "sofia::register", "from-user": "1001", "from-host": "example.com"})
    waiting = Event("MESSAGE_WAITING", {"MWI-Message-Account": "sip:1000@example.com"})
    whole = Event("PRESENCE_IN", {"from": "1002@example.com"})
    assert {Term.user("1001"), Term.user("1001@example.com"), Term.named("sofia::register")} <= terms_of(register)
    assert {Term.user("1000"), Term.user("1000@example.com")} <= terms_of(waiting)
    assert {Term.user("1002"), Term.user("1002@EXAMPLE.com")} <= terms_of(whole)


def test_a_refired_event_is_found_by_what_is_within_it() -> None:
    within = numbered(1, headers={"Unique-ID": LEG, "Caller-ANI": "1234"})
    found = terms_of(refire(within))
    assert {Term.uuid(LEG), Term.number("1234"), Term.named("multicast::event"), Term.named("test::archive")} <= found


@PROPERTY
@given(header_lists())
def test_any_event_has_terms_and_is_found_by_each(headers: list[tuple[str, str]]) -> None:
    event = Event.from_headers(headers)
    found = terms_of(event)
    assert hashes_of([event]) == sorted({term.hash for term in found})
    assert TermFilter(every=found).matches(event)
    for term in found:
        assert TermFilter([term]).matches(event)
        assert -(2**31) <= term.hash < 2**31


def test_one_of_these_and_all_of_those() -> None:
    event = numbered(1, headers={"Unique-ID": LEG, "Caller-ANI": "1234"})
    leg, number, other = Term.uuid(LEG), Term.number("1234"), Term.number("5678")
    assert TermFilter([leg, other]).matches(event)
    assert TermFilter([other, leg], [number]).matches(event)
    assert not TermFilter([other]).matches(event)
    assert not TermFilter([leg], [number, other]).matches(event)
    assert not TermFilter()


def test_every_recorded_channel_event_is_found_by_its_leg(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    events = [frames.open(datagram) for _, datagram in plain_datagrams]
    legs = [event for event in events if event.unique_id]
    assert len(legs) > 1_300
    for event in legs:
        assert Term.uuid(event.unique_id or "") in terms_of(event)


def test_a_command_is_found_by_the_legs_that_it_was_given() -> None:
    event = Event("API", {"API-Command": "uuid_bridge", "API-Command-Argument": f"{LEG} {OTHER} more {LEG[:-1]}"})
    assert terms_of(event) == {Term.uuid(LEG), Term.uuid(OTHER), Term.named("API")}
    assert TermFilter([Term.uuid(OTHER)]).matches(event)


@pytest.mark.parametrize(
    "argument", ["", "status", LEG[:-1], f"x{LEG}", f"{LEG}0", LEG.replace("-", ""), " " * 1024 + LEG]
)
def test_what_is_no_leg_is_no_term(argument: str) -> None:
    event = Event("API", {"API-Command": "uuid_dump", "API-Command-Argument": argument})
    assert terms_of(event) == {Term.named("API")}
