"""The way back to the switch that holds a registration: where it is written, whose address it is, what stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, header_lists, names, values

from switchcast import Event
from switchcast.wire.fs_path import HOSTS, is_registration, route_back, serving_host, with_fs_path

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


@pytest.mark.parametrize(
    ("contact", "added", "rewritten"),
    [
        ('"" <sip:1@a>', '"" <sip:1@a;fs_path=sip:H>', None),
        ('"<;fs_path=x>" <sip:1@a>', '"<;fs_path=x>" <sip:1@a;fs_path=sip:H>', None),
        ("sip:1@a", "sip:1@a;fs_path=sip:H", None),
        ("<sip:1@a>;expires=60", "<sip:1@a;fs_path=sip:H>;expires=60", None),
        ("<sip:1@a;fs_nat=yes>", "<sip:1@a;fs_nat=yes;fs_path=sip:H>", None),
        ("<sip:1@a;fs_path=sip:old>", "<sip:1@a;fs_path=sip:old>", "<sip:1@a;fs_path=sip:H>"),
        (
            "<sip:1@a;fs_path=sip:old:5080;lr>;q=1",
            "<sip:1@a;fs_path=sip:old:5080;lr>;q=1",
            "<sip:1@a;fs_path=sip:H;lr>;q=1",
        ),
    ],
)
def test_where_the_way_back_is_written(contact: str, added: str, rewritten: str | None) -> None:
    assert with_fs_path(contact, "H", replace=False) == added
    assert with_fs_path(contact, "H", replace=True) == (rewritten or added)


@PROPERTY
@given(values(), st.sampled_from(["192.0.2.1", "[fd00::1]", "fs1.example"]))
def test_the_way_back_is_there_once_and_nothing_is_lost(contact: str, host: str) -> None:
    path = f";fs_path=sip:{host}"
    changed = with_fs_path(contact, host, replace=True)
    assert path in changed
    assert changed.replace(path, "", 1) == contact or ";fs_path=" in contact
    assert with_fs_path(changed, host, replace=True) == changed
    assert with_fs_path(changed, "other", replace=False) == changed


@PROPERTY
@given(header_lists(), names(), values().filter(bool), bodies())
def test_only_the_first_contact_changes(headers: list[tuple[str, str]], name: str, contact: str, body: bytes) -> None:
    before = [pair for pair in headers if pair[0].lower() not in ("contact", "content-length")]
    event = Event.from_headers([*before, ("Contact", contact), ("contact", "second"), (name, "x")], body)
    event = event.with_origin("a:1", 7)
    routed = route_back(event, "192.0.2.1", replace=True)
    assert routed["contact"] == with_fs_path(contact, "192.0.2.1", replace=True)
    at = len(before)
    old, new = event.raw_items(), routed.raw_items()
    assert new[:at] + new[at + 1 :] == old[:at] + old[at + 1 :]
    assert (routed.body, routed.source, routed.received) == (body, "a:1", 7)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("source", "203.0.113.9"), ("ipv4", "192.0.2.7"), ("hostname", "fs7.example"), ("to-host", "pbx.example")],
)
def test_the_host_is_told_by_what_was_asked_for(host: Any, expected: str) -> None:
    assert serving_host(REGISTER, host) == expected
    assert set(HOSTS) == {"source", "ipv4", "hostname", "to-host"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[fd42::1]:4242", "[fd42::1]"),
        ("[FD42:0::1]:4242", "[fd42::1]"),
        ("[fe80::1]:4242", None),
        ("[fd42::1%;evil>]:4242", None),
        ("0.0.0.0:1", None),
        ("sim:1", None),
        ("events.jsonl", None),
        (None, None),
    ],
)
def test_a_source_that_no_call_can_be_sent_to_is_no_host(source: str | None, expected: str | None) -> None:
    assert serving_host(REGISTER.with_origin(source, 1), "source") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a;transport=tcp",
        "a>",
        "a\r\nb",
        "-a",
        "a..b",
        "x" * 64,
        "1.2.3.4:5060",
        "ü",
        "a" + ".a" * 130,
        "::1%>",
    ],
)
@pytest.mark.parametrize("host", ["ipv4", "hostname", "to-host"])
def test_a_header_that_is_no_host_is_not_believed(text: str, host: Any) -> None:
    header = {"ipv4": "FreeSWITCH-IPv4", "hostname": "FreeSWITCH-Hostname", "to-host": "to-host"}[host]
    assert serving_host(Event("CUSTOM", [(header, text)]), host) is None


def test_only_a_registration_is_one() -> None:
    assert is_registration(REGISTER)
    assert not is_registration(Event("CUSTOM", [("Event-Subclass", "sofia::unregister")]))
    assert not is_registration(Event("TALK", [("Event-Subclass", "sofia::register")]))
