"""What a policy lets pass: as it is written, and against one by hand on whatever events there can be."""

from __future__ import annotations

import re
import threading
import tomllib
from pathlib import Path
from typing import Any

import policy_reference
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError
from strategies import PROPERTY, bodies, names, values

from switchcast import LIMITS, Event
from switchcast._native import ESSENTIAL_HEADERS, Policy
from switchcast.errors import ConfigurationError
from switchcast.guard.policy import PolicySettings, RedactionPolicy, compile_policy

KEY = b"0123456789abcdef"

OFFICE = """
events = "CHANNEL_* MESSAGE_WAITING CUSTOM sofia::*"
deny_events = "CHANNEL_EXECUTE* CUSTOM sofia::pre_register"
headers = ["Unique-ID", "Caller-*", "variable_duration"]
deny_headers = ["Caller-Channel-Name"]
key_file = "/etc/switchcast/hash.key"

[values]
"Caller-Caller-ID-Number" = "mask all but last 3"
"Caller-*-Name" = "truncate 1"
"Caller-*-Number" = "mask"
"Caller-ANI" = "drop"
"Caller-Username" = "hash"

[[when]]
events = "MESSAGE_WAITING"
headers = ["MWI-*"]
values = { "MWI-Message-Account" = "hash 32" }

[[when]]
events = "HEARTBEAT"
headers = ["*"]
body = true
"""


def settings(text: str) -> PolicySettings:
    return PolicySettings.model_validate(tomllib.loads(text))


def policy(text: str, key: bytes = KEY) -> RedactionPolicy:
    return compile_policy("office", settings(text), key)


def passed(text: str, event: Event) -> dict[str, str] | None:
    """The headers of ``event`` that pass, without its name; ``None`` when it does not."""
    found = policy(text)([event])
    return {name: value for name, value in found[0].items() if name != "Event-Name"} if found else None


def test_a_policy_does_what_it_says() -> None:
    call = {
        "Unique-ID": "abc",
        "Channel-State": "CS_EXECUTE",
        "Caller-Channel-Name": "sofia/internal/1000@192.0.2.1",
        "Caller-Caller-ID-Number": "+4930123456",
        "caller-caller-id-name": "Übel, Ina",
        "Caller-Destination-Number": "110",
        "Caller-ANI": "1000",
        "Caller-Username": "1000",
        "Caller-Context": "default",
        "variable_duration": "7",
        "variable_durations": "8",
    }
    assert passed(OFFICE, Event("CHANNEL_ANSWER", call, "body")) == {
        "Unique-ID": "abc",
        "Caller-Caller-ID-Number": "********456",
        "caller-caller-id-name": "Ü",
        "Caller-Destination-Number": "***",
        "Caller-Username": "c78741753c95c390",
        "Caller-Context": "default",
        "variable_duration": "7",
    }
    lamp = {"MWI-Messages-Waiting": "yes", "MWI-Message-Account": "1000", "Unique-ID": "abc"}
    waiting = {"MWI-Messages-Waiting": "yes", "MWI-Message-Account": "c78741753c95c39011c4fcf931a3f0b0"}
    assert passed(OFFICE, Event("MESSAGE_WAITING", lamp)) == waiting
    for name, subclass, passes in [
        ("CHANNEL_EXECUTE_COMPLETE", None, False),
        ("channel_create", None, True),
        ("API", None, False),
        ("CUSTOM", "sofia::register", True),
        ("CUSTOM", "Sofia::Pre_Register", False),
        ("CUSTOM", "conference::maintenance", False),
        ("CUSTOM", None, False),
        ("", None, False),
    ]:
        event = Event(name, {"Event-Subclass": subclass} if subclass else None)
        assert (passed(OFFICE, event) is not None) is passes, (name, subclass)


def test_an_event_that_is_left_as_it_is_is_the_same_object() -> None:
    heartbeat = Event("HEARTBEAT", {"Session-Count": "1"}, "a body")
    create = Event("CHANNEL_CREATE", {"Unique-ID": "abc"})
    found = policy(OFFICE)([heartbeat, Event("API"), create])
    assert [event is same for event, same in zip(found, [heartbeat, create], strict=True)] == [True, True]


def test_where_and_when_an_event_came_is_kept() -> None:
    came = Event("CHANNEL_CREATE", {"Unique-ID": "abc", "Channel-State": "x"}).with_origin("192.0.2.1:4242", 7)
    (left,) = policy(OFFICE)([came])
    assert (left.keys(), left.source, left.received) == (["Event-Name", "Unique-ID"], "192.0.2.1:4242", 7)


def test_every_value_of_a_repeated_header_is_treated_whatever_its_case() -> None:
    text = 'events = "all"\nheaders = ["*"]\nvalues = { "X-Number" = "mask all but last 1" }'
    headers = [("Event-Name", "API"), ("X-Number", "123"), ("x-number", "45"), ("X-NUMBER", "ARRAY::67|:8")]
    (left,) = policy(text)([Event.from_headers(headers)])
    assert left.items()[1:] == [("X-Number", "**3"), ("x-number", "*5"), ("X-NUMBER", "ARRAY::*7|:*")]
    (left,) = policy(text)([Event.from_plain(b"Event-Name: API\nX-Number: %3123\n\n")])
    assert left.items()[1:] == [("X-Number", "**3")]


def test_names_with_colons_and_spaces_are_names_like_any_other() -> None:
    text = 'events = "all"\nheaders = ["*"]\ndeny_headers = ["variable_nolocal:*", "with space"]'
    headers = [("Event-Name", "API"), ("variable_nolocal:foo", "1"), ("with space", "2"), ("a: b", "3"), ("x[9]", "4")]
    (left,) = policy(text)([Event.from_headers(headers)])
    assert left.keys() == ["Event-Name", "a: b", "x[9]"]


def test_what_says_which_event_it_is_passes_once_and_a_second_time_only_if_it_is_named() -> None:
    headers = [(name, "a") for name in ESSENTIAL_HEADERS] + [(name.lower(), "b") for name in ESSENTIAL_HEADERS]
    event = Event.from_headers([("Event-Name", "API"), *headers[1:], ("FreeSWITCH-IPv4", "192.0.2.1")])
    (left,) = policy('events = "API"')([event])
    assert left.keys() == list(ESSENTIAL_HEADERS)
    (left,) = policy('events = "API"\nheaders = ["core-*"]')([event])
    assert left.keys() == [*ESSENTIAL_HEADERS, "core-uuid"]


def test_an_event_as_large_as_events_may_be_is_taken_in_its_stride() -> None:
    headers = [(f"X-{number}-{'x' * (number % 50)}", "1000@192.0.2.1") for number in range(LIMITS["headers"] - 1)]
    event = Event.from_headers([("Event-Name", "CHANNEL_ANSWER"), *headers])
    patterns = ", ".join(f'"*x*{number}*x*y"' for number in range(200))
    (left,) = policy(f'events = "all"\nheaders = [{patterns}]')([event])
    assert left.keys() == ["Event-Name"]
    (left,) = policy('events = "all"\nheaders = ["*"]\nvalues = { "*" = "mask" }')([event])
    assert set(left.values()) == {"CHANNEL_ANSWER", "*" * 14}
    with pytest.raises(ValueError, match="more headers than any that is taken"):
        Event.from_headers([(f"X-{number}", "1") for number in range(60_000)])


def test_what_passed_and_what_was_done_to_it_is_counted() -> None:
    office = policy(OFFICE)
    call = {"Caller-Username": "1", "Caller-A-Name": "ab", "Caller-A-Number": "12", "X": "y", "Caller-B-Number": "*"}
    office(
        [Event("CHANNEL_ANSWER", call, "body"), Event("API"), Event("CUSTOM"), Event("invented"), Event("HEARTBEAT")]
    )
    assert office.counters() == {
        "passed": {"CHANNEL_ANSWER": 1, "HEARTBEAT": 1},
        "withheld": {"API": 1, "CUSTOM": 1, "other": 1},
        "rewritten": 1,
        "headers_removed": 1,
        "bodies_removed": 1,
        "values_masked": 1,
        "values_hashed": 1,
        "values_truncated": 1,
    }


def test_one_policy_serves_several_threads() -> None:
    office = policy(OFFICE)
    events = [
        Event("CHANNEL_ANSWER", {"Caller-Caller-ID-Number": str(number), "X": "y" * 500}) for number in range(500)
    ]
    expected = office(events)
    found: list[list[Event]] = []
    threads = [threading.Thread(target=lambda: found.append(office(events))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4
    assert office.counters()["passed"] == {"CHANNEL_ANSWER": 2500}


MISTAKES = {
    "": "no event passes; write for example events",
    'events = ""': "no event is named; write names such as HEARTBEAT",
    'events = "CUSTOM"': 'write "CUSTOM *" for every CUSTOM event',
    'events = ["API", "sofia::register"]': 'write CUSTOM in front of it: "CUSTOM sofia::register"',
    'events = "^CHANNEL"': "looks like a regular expression",
    'event = "API"': "Extra inputs are not permitted",
    'events = "API"\nheaders = [""]': "a pattern is empty",
    'events = "API"\nheaders = [".*"]': "looks like a regular expression",
    'events = "API"\nheaders = ["a|b"]': "looks like a regular expression",
    'events = "API"\nheaders = ["a\\nb"]': "holds a control character",
    f'events = "API"\nheaders = ["{"x" * 257}"]': "longer than 256 characters",
    'events = "API HEARTBEAT"\ndeny_events = "HEART*"': '"HEARTBEAT" is allowed, yet deny_events has "HEART*"',
    'events = "CUSTOM a::b"\ndeny_events = "all"': '"CUSTOM a::b" is allowed, yet deny_events has "*"',
    'events = "API"\nheaders = ["Caller-ANI"]\ndeny_headers = ["caller-*"]': '"Caller-ANI" is allowed, yet deny_',
    'events = "API"\ndeny_headers = ["event-NAME"]': "Event-Name cannot be denied",
    'events = "API"\n[values]\n"Core-UUID" = "hash"': "Core-UUID cannot be changed",
    'events = "API"\n[values]\n"a" = "obscure"': '"a": unknown action "obscure"; write pass, drop, mask',
    'events = "API"\n[values]\n"a" = "mask last 3"': 'unknown action "mask last 3"',
    'events = "API"\n[values]\n"a" = "hash 7"': "a hash has 8 to 64 hex digits",
    'events = "API"\n[values]\n"a" = "truncate 0"': "write 1 to 65,536 characters, or drop",
    'events = "API"\n[values]\n"a" = "mask all but last 99999999999999999999"': "no value is that long",
    'events = "API"\n[values]\n"a*" = "drop"\n"ab" = "mask"': '"ab" is never reached: "a*" stands in front of it',
    'events = "API"\n[values]\n"a" = "hash"': "hash needs key_file: a file of at least 16 secret bytes",
    '[[when]]\nheaders = ["a"]': "Field required",
    '[[when]]\nevents = "A*"\n[[when]]\nevents = "B API"': '"API" of when 2 is never reached: "A*"',
    '[[when]]\nevents = "A*"\n[[when]]\nevents = "A?B"': '"A?B" of when 2 is never reached',
    'deny_headers = ["a*"]\n[[when]]\nevents = "API"\nheaders = ["ab"]': '"ab" is allowed, yet deny_headers has "a*"',
    '[[when]]\nevents = "API"\nvalues = { a = "hash 32" }': "hash needs key_file",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_what_would_do(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(text)
    (error,) = refused.value.errors()
    assert MISTAKES[text] in error["msg"]


def test_a_key_that_is_missing_or_short_is_told_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match=r"policies\.office: hash needs a key, and /etc/switchcast/hash\.key"):
        compile_policy("office", settings(OFFICE))
    with pytest.raises(ConfigurationError, match=r"the key has 5 bytes, and at least 16 are needed") as refused:
        compile_policy("office", settings(OFFICE), b"short")
    assert "short" not in str(refused.value)
    assert "0123" not in repr(policy(OFFICE))


def test_the_native_policy_refuses_what_the_settings_never_ask_for() -> None:
    with pytest.raises(ValueError, match="hash needs a key"):
        Policy([([("API", None)], ["*"], [], [("a", "hash", 16, 0)], False)], [])
    with pytest.raises(ValueError, match='there is no action "obscure"'):
        Policy([([("API", None)], ["*"], [], [("a", "obscure", 0, 0)], False)], [])


def test_a_name_that_no_event_has_is_warned_of() -> None:
    text = 'events = "HEARTBEET CHANEL_* all CUSTOM any::thing API"\ndeny_events = ["CHANNEL_CREAT"]'
    assert settings(text).warnings() == [
        'unknown event "HEARTBEET"; the nearest are HEARTBEAT, SESSION_HEARTBEAT',
        'no event that FreeSWITCH has matches "CHANEL_*"',
        '"API" stands behind CUSTOM and so is a subclass; to mean the event, put it in front',
        'unknown event "CHANNEL_CREAT"; the nearest are CHANNEL_CREATE, CHANNEL_STATE, CHANNEL_DATA',
    ]
    assert settings(OFFICE).warnings() == []


def test_the_schema_takes_one_text_or_several() -> None:
    schema = PolicySettings.model_json_schema()["properties"]["events"]
    assert {option["type"] for option in schema["anyOf"]} == {"string", "array"}


NAMES = (
    st.sampled_from(["X-Number", "x-number", "X-Name", "Caller-ANI", "Core-UUID", "core-uuid", "content-length"])
    | names()
)
PATTERNS = st.sampled_from(
    ["*", "X-*", "x-number", "*-n*", "Caller-???", "core-*", "content-length", "*u?id", "[", "?"]
)
ACTIONS = st.sampled_from(
    [
        "pass",
        "drop",
        "mask",
        "mask all but first 1",
        "mask all but last 2",
        "mask all but first 1 and last 1",
        "truncate 3",
    ]
)
KINDS = st.sampled_from(["HEARTBEAT", "API", "A*", "?PI", "CUSTOM a::*", "CUSTOM *", "all", "API CUSTOM b"])


@st.composite
def events(draw: st.DrawFn) -> Event:
    headers = draw(st.lists(st.tuples(NAMES, values()), max_size=8))
    name = ("Event-Name", draw(st.sampled_from(["HEARTBEAT", "api", "CUSTOM", "new"])))
    subclass = draw(st.sampled_from([None, "a::b", "b", ""]))
    kind = [name] if subclass is None else [name, ("Event-Subclass", subclass)]
    headers.insert(draw(st.integers(0, len(headers))), ("X-Other", "1"))
    return Event.from_headers([*kind, *headers], draw(bodies()))


@st.composite
def policies(draw: st.DrawFn, *, actions: st.SearchStrategy[str] = ACTIONS) -> PolicySettings:
    """Settings that are not refused."""

    def part() -> dict[str, Any]:
        return {
            "headers": draw(st.lists(PATTERNS, max_size=3)),
            "deny_headers": draw(st.lists(PATTERNS, max_size=1)),
            "values": draw(st.dictionaries(PATTERNS, actions, max_size=3)),
            "body": draw(st.booleans()),
        }

    whole = part() | {"events": draw(KINDS), "deny_events": draw(st.lists(KINDS, max_size=1)), "key_file": "k"}
    if draw(st.booleans()):
        kept = draw(st.sets(st.sampled_from(["headers", "deny_headers", "values", "body"])))
        when = {key: value for key, value in part().items() if key in kept}
        whole["when"] = [when | {"events": draw(KINDS)}]
    try:
        return PolicySettings.model_validate(whole)
    except ValidationError:
        assume(False)
        raise


ANY_ACTION = ACTIONS | st.sampled_from(["hash", "hash 8"])


@PROPERTY
@given(policies(actions=ANY_ACTION), st.lists(events(), max_size=3))
def test_a_policy_does_what_one_by_hand_does(chosen: PolicySettings, batch: list[Event]) -> None:
    expected = [policy_reference.apply(chosen, event, KEY) for event in batch]
    found = compile_policy("any", chosen, KEY)(batch)
    assert [(event.items(), event.body) for event in found] == [outcome for outcome in expected if outcome]
    assert [Event.from_plain(event.to_plain()).items() for event in found] == [event.items() for event in found]


@PROPERTY
@given(policies(), events())
def test_what_has_passed_passes_again_unchanged(chosen: PolicySettings, event: Event) -> None:
    once = compile_policy("any", chosen, KEY)([event])
    again = compile_policy("any", chosen, KEY)(once)
    assert len(again) == len(once)
    assert all(first is second for first, second in zip(once, again, strict=True))


@PROPERTY
@given(values(), values())
def test_equal_values_stay_equal_under_a_hash_and_others_do_not(one: str, other: str) -> None:
    text = 'events = "all"\nheaders = ["*"]\nkey_file = "k"\nvalues = { "?" = "hash" }'
    assume(not one.startswith("ARRAY::") and not other.startswith("ARRAY::") and one and other)
    event = Event("API", [("A", one), ("B", one), ("C", other)])
    (left,) = policy(text)([event])
    assert left["A"] == left["B"]
    assert (left["A"] == left["C"]) is (one == other)
    (under_another,) = policy(text, b"another key of 16")([event])
    assert under_another["A"] != left["A"]


def documented() -> dict[str, Any]:
    """Every policy in the documentation's examples, by name."""
    page = (Path(__file__).parent.parent / "docs" / "policies.md").read_text(encoding="utf-8")
    tables = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]
    return {name: table for found in tables for name, table in found.get("policies", {}).items()}


def test_the_documentations_policies_are_policies() -> None:
    found = {name: PolicySettings.model_validate(table) for name, table in documented().items()}
    assert found.keys() == {"office", "careful"}
    assert all(settings.warnings() == [] for settings in found.values())


@pytest.mark.parametrize("action", ["pass", "drop", "mask", "mask all but last 3", "hash", "truncate 3"])
def test_the_documentations_table_of_actions_is_right(action: str) -> None:
    page = (Path(__file__).parent.parent / "docs" / "policies.md").read_text(encoding="utf-8")
    (shown,) = re.findall(rf"^\| `{re.escape(action)}` \| (.*?)\s*\|", page, re.MULTILINE)
    text = f'events = "all"\nheaders = ["*"]\nkey_file = "k"\nvalues = {{ "X" = "{action}" }}'
    assert passed(text, Event("API", {"X": "+4930123456"})) == ({"X": shown.strip("`")} if shown else {})
