"""The ``esl:`` sink as the relay's last step: what is re-fired, restored, left as it is, or left out, and counted."""

from __future__ import annotations

import asyncio

import pytest
from switches import esl, serve, take

from switchcast import Event
from switchcast.endpoints import make_endpoint
from switchcast.errors import UrlError

REGISTER = Event(
    "CUSTOM",
    [
        ("Event-Subclass", "sofia::register"),
        ("FreeSWITCH-IPv4", "192.0.2.7"),
        ("FreeSWITCH-Hostname", "fs7.example"),
        ("contact", '"" <sip:1000@198.51.100.4:5060>'),
        ("to-host", "pbx.example"),
        ("Multicast-Sender", "fs7"),
    ],
).with_origin("203.0.113.9:4242", 1)


def fired_with(options: str, given_events: list[Event]) -> tuple[list[Event], dict[str, int]]:
    """What a switch fires when a sink with ``options`` is given these events, and the sink's counters."""

    async def main() -> tuple[list[Event], dict[str, int]]:
        async with serve() as server, esl(server) as source, esl(server, options) as sink:
            await source.open_source()
            await sink.send(given_events)
            counters = sink.counters()
            return (await take(source, counters["sent"]) if counters["sent"] else []), counters

    return asyncio.run(main())


LOCAL = Event("CUSTOM", [("Event-Subclass", "sofia::register"), ("contact", "<sip:1@a>")])


@pytest.mark.parametrize(
    ("refiring", "subclasses"),
    [
        ("", ["multicast::event", "sofia::register"]),
        ("refire=auto", ["multicast::event", "sofia::register"]),
        ("refire=yes", ["multicast::event", "multicast::event"]),
        ("refire=original", ["sofia::register", "sofia::register"]),
        ("refire=no", ["sofia::register", "sofia::register"]),
    ],
)
def test_how_events_from_a_group_and_others_are_fired(refiring: str, subclasses: list[str]) -> None:
    shown, counters = fired_with(refiring, [REGISTER, LOCAL])
    assert [event.subclass for event in shown] == subclasses
    refired = subclasses.count("multicast::event") or int(refiring == "refire=original")
    assert (counters["sent"], counters["refired"]) == (2, refired)
    from_group, other = shown
    assert from_group.get("Multicast") == (None if refiring == "refire=no" else "yes")
    assert from_group.get("Orig-Multicast-Sender") == (None if refiring == "refire=no" else "fs7")
    assert other.get("Multicast") == ("yes" if refiring == "refire=yes" else None)


@pytest.mark.parametrize("refiring", ["refire=auto", "refire=yes", "refire=original"])
def test_what_was_refired_once_is_not_refired_again(refiring: str) -> None:
    round_trips = [
        Event("CUSTOM", [("Event-Subclass", "multicast::event"), ("Multicast-Sender", "fs2")]),
        Event("CUSTOM", [("Event-Subclass", "multicast::peerup"), ("Multicast-Sender", "fs2")]),
        Event("MESSAGE_WAITING", [("Multicast", "yes"), ("Multicast-Sender", "fs2")]),
    ]
    shown, counters = fired_with(refiring, [*round_trips, REGISTER])
    assert len(shown) == 1
    assert (counters["sent"], counters["refused"], counters["refused_loop"]) == (1, 3, 3)


def test_every_event_is_counted_once_whatever_becomes_of_it() -> None:
    too_long = Event("TALK", [("x" * 1020, "1"), ("Multicast-Sender", "fs2")])
    with_nul = Event("TALK", [("Multicast-Sender", "fs2")], b"a\0b")
    looped = Event("TALK", [("Multicast", "yes"), ("Multicast-Sender", "fs2")])
    given_events = [too_long, REGISTER, with_nul, looped] * 100
    _, counters = fired_with("", given_events)
    assert (counters["sent"], counters["refused_unsendable"], counters["refused_loop"]) == (100, 200, 100)
    assert sum(counters[name] for name in ("sent", "refused", "unanswered", "unsent")) == len(given_events)


@pytest.mark.parametrize(
    ("options", "contact"),
    [
        ("", "<sip:1@a>"),
        ("fs_path=add", "<sip:1@a;fs_path=sip:203.0.113.9>"),
        ("fs_path=rewrite&fs_path_host=ipv4", "<sip:1@a;fs_path=sip:192.0.2.7>"),
        ("fs_path=rewrite&fs_path_host=to-host&refire=original", "<sip:1@a;fs_path=sip:pbx.example>"),
    ],
)
def test_the_sink_writes_the_way_back_into_registrations_only(options: str, contact: str) -> None:
    headers = [pair for pair in REGISTER.items() if pair[0] != "contact"]
    register = Event.from_headers([*headers, ("contact", "<sip:1@a>")]).with_origin(REGISTER.source, 1)
    away = Event("CUSTOM", [("Event-Subclass", "sofia::unregister"), ("contact", "<sip:1@a>"), *headers[-1:]])
    shown, counters = fired_with(options, [register, away.with_origin(REGISTER.source, 1), LOCAL])
    found = [event.get("Orig-contact") or event["contact"] for event in shown]
    assert found == [contact, "<sip:1@a>", "<sip:1@a>"]
    assert counters["fs_path_set"] == int(contact != "<sip:1@a>")


def test_a_registration_from_nowhere_is_fired_without_a_way_back_and_counted() -> None:
    shown, counters = fired_with("fs_path=add", [REGISTER.with_origin(None, None)])
    assert shown[0]["Orig-contact"] == REGISTER["contact"]
    assert (counters["fs_path_set"], counters["fs_path_unknown_host"]) == (0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("refire=perhaps", "none of auto, yes, no, original"),
        ("fs_path=on", "none of keep, add, rewrite"),
        ("fs_path=add&fs_path_host=ipv6", "none of source, ipv4, hostname, to-host"),
        ("fs_path=add&refire=no", "refire=no re-fires nothing"),
        ("fs_path_host=ipv4", "says nothing without fs_path=add or fs_path=rewrite"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: str, message: str) -> None:
    with pytest.raises(UrlError, match=message):
        make_endpoint(f"esl://127.0.0.1?{options}")
