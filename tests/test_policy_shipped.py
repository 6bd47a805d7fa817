"""What the policies that come with switchcast leave of the events of a real FreeSWITCH."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from recordings import PSK

from switchcast import Event, StockFrames
from switchcast._native import ESSENTIAL_HEADERS
from switchcast.errors import ConfigurationError
from switchcast.guard.policy import SHIPPED, PolicySettings, RedactionPolicy, compile_policy, shipped


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    """Every event of both recordings."""
    plain, encrypted = StockFrames(), StockFrames(PSK)
    return [
        *(plain.open(datagram) for _, datagram in plain_datagrams),
        *(encrypted.open(datagram) for _, datagram in psk_datagrams),
    ]


def policy(name: str) -> RedactionPolicy:
    return compile_policy(name, shipped(name))


def kind(event: Event) -> str:
    return f"CUSTOM {event.subclass}" if event.name == "CUSTOM" else event.name


def lower(names: str) -> set[str]:
    return set(names.lower().split())


ESSENTIAL = lower(" ".join(ESSENTIAL_HEADERS))

READ_BY_STOCK = {
    "CUSTOM sofia::register": lower(
        "from-user from-host to-user to-host contact expires rpid call-id user-agent profile-name presence-hosts "
        "network-ip network-port username realm FreeSWITCH-IPv4 FreeSWITCH-Hostname mwi-account"
    ),
    "CUSTOM sofia::unregister": lower("profile-name from-user from-host call-id contact"),
    "CUSTOM sofia::sip_user_state": lower("profile-name from-user from-host call-id Ping-Status"),
    "PRESENCE_IN": lower(
        "alt_event_type answer-state astate call-direction Caller-Callee-ID-Number Caller-Caller-ID-Name "
        "Caller-Caller-ID-Number Caller-Destination-Number Caller-Direction Caller-Username channel-state "
        "force-status from login Other-Leg-Caller-ID-Name Other-Leg-Caller-ID-Number presence-call-direction "
        "presence-call-info-state Presence-Privacy proto register-source resub rpid status Unique-ID "
        "variable_sip_from_user variable_sip_to_user"
    ),
    "MESSAGE_WAITING": lower("MWI-Messages-Waiting MWI-Message-Account MWI-Voice-Message"),
}
"""Each kind that mod_sofia acts on when it comes as ``multicast::event``, and the headers that it then reads (without
``Orig-``), by its ``event_handler``."""
OURS = {
    "CUSTOM sofia::expire": lower("profile-name call-id user host contact expires"),
    "MESSAGE_QUERY": lower("Message-Account VM-Sofia-Profile VM-Call-ID VM-sub-call-id"),
    "HEARTBEAT": lower(
        "Event-Info Up-Time Uptime-msec Session-Count Max-Sessions Session-Per-Sec Session-Per-Sec-Last "
        "Session-Per-Sec-Max Session-Per-Sec-FiveMin Session-Since-Startup Session-Peak-Max Session-Peak-FiveMin "
        "Idle-CPU Heartbeat-Interval"
    ),
}
"""The other kinds that ``cluster`` lets pass, and the most that it leaves of them."""


def test_there_is_a_file_for_each() -> None:
    assert SHIPPED == ("all", "cluster", "monitoring")
    assert [shipped(name).warnings() for name in SHIPPED] == [[], [], []]
    assert not any(shipped(name).hashes for name in SHIPPED)
    with pytest.raises(ConfigurationError, match="no policy 'al' comes with switchcast; there are all, cluster"):
        shipped("al")


def test_all_leaves_every_event_as_it_is(recorded: list[Event]) -> None:
    passed = policy("all")(recorded)
    assert len(passed) == len(recorded)
    assert all(event is same for event, same in zip(passed, recorded, strict=True))


def test_cluster_passes_just_the_kinds_that_a_cluster_needs(recorded: list[Event]) -> None:
    expected = READ_BY_STOCK.keys() | OURS.keys()
    assert [kind(event) for event in policy("cluster")(recorded)] == [
        kind(event) for event in recorded if kind(event) in expected
    ]
    assert {kind(event) for event in recorded} >= expected - {"CUSTOM sofia::sip_user_state"}


def test_cluster_leaves_what_the_receiving_module_reads_and_nothing_else(recorded: list[Event]) -> None:
    cluster = policy("cluster")
    ping = Event.from_headers(
        [
            ("Event-Name", "CUSTOM"),
            ("Event-Subclass", "sofia::sip_user_state"),
            *((name, f"the {name}") for name in ("sip_contact", "profile-name", "from-user", "from-host", "call-id")),
            ("Ping-Status", "REACHABLE"),
        ]
    )
    seen = set()
    for event in [*recorded, ping]:
        allowed = READ_BY_STOCK.get(kind(event)) or OURS.get(kind(event))
        if allowed is None:
            continue
        (left,) = cluster([event])
        seen.add(kind(event))
        # A look-up takes the first header of a name, so each must still find the same.
        assert {name: left.get(name) for name in allowed | ESSENTIAL} == {
            name: event.get(name) for name in allowed | ESSENTIAL
        }
        assert {name.lower() for name in left} <= allowed | ESSENTIAL
        assert left.body == b""
        order = [item for item in event.raw_items() if item[0].decode().lower() in allowed | ESSENTIAL]
        assert left.raw_items() == order
    assert seen == READ_BY_STOCK.keys() | OURS.keys()


def test_what_stock_would_fire_of_an_event_under_cluster_says_the_same_to_mod_sofia(
    recorded: list[Event], decoded_events: list[dict[str, Any]]
) -> None:
    fired = {(event.get("Orig-Core-UUID"), event.get("Orig-Event-Sequence")): event for event in decoded_events}
    compared = 0
    for left in policy("cluster")(recorded):
        by_stock = fired.get((left.core_uuid, str(left.sequence)))
        if by_stock is None or kind(left) not in READ_BY_STOCK:
            continue
        # The switch's JSON shows the last of a repeated header, so those are left to the test above.
        once = [name for name in left if len(left.getall(name)) == 1]
        shown = {name.lower(): value for name, value in by_stock.items()}
        repeated = {name.lower() for name in by_stock if sum(name.lower() == other.lower() for other in by_stock) > 1}
        for name in once:
            if f"orig-{name.lower()}" not in repeated:
                assert shown[f"orig-{name.lower()}"] == left[name], name
        compared += 1
    assert compared > 50


SECRET = re.compile(r"auth|passw|digest|nonce|secret|a1-hash|token|credential", re.IGNORECASE)


def test_no_credentials_pass_cluster(recorded: list[Event]) -> None:
    added = [(name, "hunter2") for name in ("password", "vm-password", "a1-hash", "sip_auth_response", "auth-acl")]
    assert any(SECRET.search(name) for event in recorded for name in event)
    for event in recorded:
        for left in policy("cluster")([event.with_headers(added)]):
            assert [name for name in left if SECRET.search(name)] == []
            assert b"hunter2" not in left.to_plain()


UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NUMBER = r"\d+(\.\d+)?"
WORD = r"[A-Za-z][A-Za-z_ -]*"
SHAPES = {
    UUID: lower(
        "Unique-ID Channel-Call-UUID Other-Leg-Unique-ID Bridge-A-Unique-ID Bridge-B-Unique-ID Conference-Unique-ID "
        "Core-UUID CC-Member-UUID"
    ),
    NUMBER: lower(
        "Event-Sequence Event-Date-Timestamp Channel-State-Number Channel-Call-State-Number "
        "Caller-Channel-Created-Time Caller-Channel-Answered-Time Caller-Channel-Bridged-Time "
        "Caller-Channel-Hangup-Time Caller-Channel-Hold-Accum Caller-Channel-Last-Hold "
        "Caller-Channel-Progress-Time Caller-Channel-Progress-Media-Time "
        "Caller-Channel-Transfer-Time Channel-Read-Codec-Rate Channel-Read-Codec-Bit-Rate Channel-Write-Codec-Rate "
        "Channel-Write-Codec-Bit-Rate Conference-Size Conference-Ghosts Idle-CPU Max-Sessions Session-Count "
        "Session-Peak-FiveMin Session-Peak-Max Session-Per-Sec Session-Per-Sec-FiveMin Session-Per-Sec-Last "
        "Session-Per-Sec-Max Session-Since-Startup Uptime-msec Heartbeat-Interval Status variable_answermsec "
        "variable_billmsec variable_billsec variable_duration variable_hangup_cause_q850 variable_holdmsec "
        "variable_mduration variable_progressmsec variable_waitmsec variable_rtp_audio_in_mos "
        "variable_rtp_audio_in_jitter_max_variance variable_rtp_audio_in_quality_percentage "
        "variable_rtp_audio_in_skip_packet_count CC-Agent-Answered-Time CC-Agent-Called-Time CC-Agent-Wrap-Time "
        "CC-Count CC-Member-Joined-Time CC-Member-Leaving-Time"
    ),
    WORD: lower(
        "Event-Name FreeSWITCH-Hostname FreeSWITCH-Switchname Multicast-Sender Answer-State Call-Direction "
        "Caller-Direction Caller-Logical-Direction Channel-State Channel-Call-State Original-Channel-Call-State "
        "Hangup-Cause variable_hangup_cause Event-Info Gateway State Ping-Status Action Conference-Profile-Name "
        "profile-name CC-Action CC-Agent-State CC-Agent-Status CC-Cancel-Reason CC-Cause CC-Hangup-Cause CC-Queue "
        "CC-Selection"
    ),
    r"L16|PCMU": lower("Channel-Read-Codec-Name Channel-Write-Codec-Name"),
    r"[a-z]+::[a-z_]+": lower("Event-Subclass"),
    r"\d[\d.]+-release\+git~\S+~64bit": lower("FreeSWITCH-Version"),
    r"(\d+ [a-z]+(, )?){7}": lower("Up-Time"),
}
"""All that ``monitoring`` may let pass, and what each value looks like: none of these is a way to write who called."""
HARMLESS = {name for names in SHAPES.values() for name in names}

IDENTIFYING = re.compile(
    r"user$|number|caller-id-name|orig-caller|callee|ani$|rdnis|addr|(^|[-_])ip|contact|(^|[-_])(uri|from|to|req)($|[-_])"
    r"|call-id|account|digits|destination|channel-name|presence-id|username|realm|(^|-)host|domain|user-agent|uri$"
    r"|^conference-name$|dialed|mailbox|login",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,7}(?![:a-z])|\S@\S|sips?:|tel:|sofia/")


def words(text: str) -> Iterator[str]:
    yield from re.findall(r"[^\s\"<>;,:@()/=?&|]+", text)


def identities(recorded: list[Event]) -> set[str]:
    """Whatever stands in a header that tells who, or where from, as words; whatever the switch counts is none."""
    found = {
        word
        for event in recorded
        for name, value in event.items()
        if IDENTIFYING.search(name) and name.lower() not in HARMLESS
        for word in words(value)
    }
    return {word for word in found if len(word) > 2 and not re.fullmatch(UUID, word)}


def test_monitoring_shows_no_identity_of_the_recordings(recorded: list[Event]) -> None:
    known = identities(recorded)
    assert {"1000", "1001", "3001", "9196", "127.0.0.1", "192.0.2.2", "tiny-ua", "5090"} <= known
    shape_of = {name: re.compile(shape) for shape, names in SHAPES.items() for name in names}
    passed = policy("monitoring")(recorded)
    assert len(passed) > 500
    shared = set()
    for event in passed:
        assert event.body == b""
        for name, value in event.items():
            assert shape_of[name.lower()].fullmatch(value), f"{event.name}: {name}: {value}"
            assert name == "Up-Time" or not ADDRESS.search(value), f"{event.name}: {name}: {value}"
            if name.lower() not in SHAPES[NUMBER]:
                shared |= {(name, word) for word in words(value) if word in known}
    # Names of the switch's own configuration, which stand beside identities too, as in sofia/internal/1000.
    assert shared == {
        ("Event-Subclass", "sofia"),
        ("Gateway", "gwlocal"),
        ("Conference-Profile-Name", "default"),
        ("profile-name", "internal"),
    }


def test_monitoring_shows_nothing_of_any_other_header_or_body(recorded: list[Event]) -> None:
    mark = "sip:mark@192.0.2.99"
    monitoring = policy("monitoring")
    for event in recorded:
        marked = [(name, value if name.lower() in HARMLESS else mark) for name, value in event.items()]
        for spelling in (str.upper, str.lower):
            marked += [(spelling(name), mark) for name in event if name.lower() not in HARMLESS]
        for left in monitoring([Event.from_headers(marked, mark)]):
            assert b"mark" not in left.to_plain()


def test_monitoring_names_every_header_and_allows_no_more_than_was_checked() -> None:
    headers = [name for when in shipped("monitoring").when for name in when.headers or ()]
    assert [name for name in headers if "*" in name or "?" in name] == []
    assert {name.lower() for name in headers} <= HARMLESS
    assert not shipped("monitoring").headers


def test_a_shipped_policy_may_be_written_into_ones_own_configuration() -> None:
    for name in SHIPPED:
        assert PolicySettings.model_validate(shipped(name).model_dump()) == shipped(name)
