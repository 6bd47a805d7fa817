"""The event as Python sees it: an immutable mapping of headers, and how one is built."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import reference
from hypothesis import given
from strategies import PROPERTY, TEXT, bodies, header_lists

from switchcast import Event


@pytest.fixture
def event() -> Event:
    """An event with every kind of header and a body."""
    return Event.from_plain(TEXT)


# The mapping


def test_a_name_is_looked_up_whatever_its_case(event: Event) -> None:
    for name in ["Event-Name", "event-name", "EVENT-NAME"]:
        assert event[name] == event.get(name) == "CUSTOM"
        assert name in event


def test_case_is_ignored_in_ascii_only() -> None:
    event = Event("X", {"Straße-Ä": "1"})
    assert "straße-Ä" in event
    assert "Straße-ä" not in event


def test_an_absent_header_is_an_error_a_default_or_nothing(event: Event) -> None:
    with pytest.raises(KeyError, match="No-Such"):
        event["No-Such"]
    assert event.get("No-Such") is None
    assert event.get("No-Such", "other") == "other"
    assert event.getall("No-Such") == []
    assert event.array("No-Such") == []
    assert event.raw("No-Such") is None
    assert "No-Such" not in event
    assert 7 not in event
    assert None not in event


def test_of_a_repeated_header_a_look_up_takes_the_first(event: Event) -> None:
    assert event["X-DUP"] == "1"
    assert event.raw("x-dup") == b"1"
    assert event.getall("X-Dup") == ["1", "two words"]
    assert event.keys().count("X-Dup") == event.keys().count("x-dup") == 1


def test_order_case_and_repetition_are_kept(event: Event) -> None:
    raw = reference.read_text(TEXT).headers
    assert event.raw_items() == raw
    assert event.keys() == list(event) == [name.decode() for name, _ in raw]
    assert event.values() == [value for _, value in event.items()]
    assert event.items() == reference.read_text(TEXT).items()
    assert len(event) == len(raw) == 11


def test_the_line_that_frames_the_body_is_no_header(event: Event) -> None:
    assert "Content-Length" not in event
    assert event.body == b"hello"


def test_a_senders_own_content_length_is_a_header() -> None:
    event = Event.from_plain(b"content-length: 99\nA: b\nContent-Length: 2\n\nhi")
    assert event["Content-Length"] == "99"
    assert event.body == b"hi"
    assert Event.from_plain(b"content-length: 99\nA: b\n\n").getall("Content-Length") == ["99"]


def test_an_array_is_a_list(event: Event) -> None:
    assert event.array("x-arr") == ["one", "tête"]
    assert event["X-Arr"] == "ARRAY::one|:tête"
    assert event.array("Event-Name") == ["CUSTOM"]
    assert event.array("X-Empty") == [""]


def test_the_raw_value_is_reachable_beside_the_decoded_one(event: Event) -> None:
    assert event.raw("Event-Subclass") == b"sofia%3A%3Aregister"
    assert event["Event-Subclass"] == "sofia::register"
    assert event.raw("X-Empty") == b"_undef_"
    assert event["X-Empty"] == ""


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"%41%4a%4A", "AJJ"),
        (b"%00", "\0"),
        (b"%zz", "%zz"),
        (b"%4", "%4"),
        (b"100%", "100%"),
        (b"%%41", "%A"),
        (b"%2541", "%41"),
        (b"a+b", "a+b"),
        (b"%C3%A9", "é"),
        (b"%E9", "\udce9"),
        (b"\xc3\xa9", "é"),
        (b"_undef_", ""),
        (b"%5Fundef_", "_undef_"),
        (b"_UNDEF_", "_UNDEF_"),
        (b"", ""),
    ],
)
def test_values_are_percent_decoded(raw: bytes, value: str) -> None:
    event = Event.from_plain(b"A: " + raw + b"\n\n")
    assert event["A"] == value
    assert event.raw("A") == raw


def test_the_properties_name_what_events_share(event: Event) -> None:
    assert (event.name, event.subclass, event.sender, event.hostname) == ("CUSTOM", "sofia::register", "fs1", "fs1")
    assert event.core_uuid == "774efe72-0b02-4ad5-b685-481f4ce4aaff"
    assert (event.sequence, event.timestamp) == (426, 1795404669491970)
    assert event.unique_id is None
    assert Event("X", {"Unique-ID": "leg"}).unique_id == "leg"


def test_the_properties_of_an_empty_event_are_empty() -> None:
    event = Event.from_plain(b"\n")
    assert (event.name, event.body, len(event)) == ("", b"", 0)
    for value in [event.subclass, event.sender, event.core_uuid, event.sequence, event.timestamp, event.hostname]:
        assert value is None
    assert (event.unique_id, event.source, event.received) == (None, None, None)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "99999999999999999999999", "٣"])
def test_a_sequence_that_is_no_number_is_none(text: str) -> None:
    event = Event("X", {"Event-Sequence": text, "Event-Date-Timestamp": text})
    assert event.sequence is None
    assert event.timestamp is None


# Building


def test_an_event_is_built_with_its_name_first() -> None:
    event = Event("CUSTOM", {"Event-Subclass": "a::b", "X": "1"}, "bödy")
    assert event.to_plain() == (b"Event-Name: CUSTOM\nEvent-Subclass: a%3A%3Ab\nX: 1\nContent-Length: 5\n\nb\xc3\xb6dy")
    assert Event("HEARTBEAT").to_plain() == b"Event-Name: HEARTBEAT\n\n"


def test_headers_are_a_mapping_or_pairs_and_pairs_may_repeat() -> None:
    pairs = [("A", "1"), ("a", "2"), ("A", "3")]
    assert Event.from_headers(pairs).items() == pairs
    assert Event.from_headers(iter(pairs)).items() == pairs
    assert Event.from_headers({"A": "1", "B": "2"}).items() == [("A", "1"), ("B", "2")]
    assert Event("X", pairs).items() == [("Event-Name", "X"), *pairs]


def test_an_event_is_headers_for_another(event: Event) -> None:
    assert Event.from_headers(event.items(), event.body) == event


def test_a_list_becomes_an_array() -> None:
    event = Event("X", {"Arr": ["one", "two: 2", ""], "One": ["x"]})
    assert event["Arr"] == "ARRAY::one|:two: 2|:"
    assert event.array("Arr") == ["one", "two: 2", ""]
    assert event.array("One") == ["x"]
    assert event.raw("Arr") == b"ARRAY%3A%3Aone%7C%3Atwo%3A%202%7C%3A"


def test_text_that_reads_as_an_escape_is_escaped_unless_asked_to_write_as_the_switch_does() -> None:
    values = {"A": "%41", "B": "_undef_", "C": "", "D": "%zz"}
    lossless, exact = Event.from_headers(values), Event.from_headers(values, exact=True)
    assert [raw for _, raw in lossless.raw_items()] == [b"%2541", b"%5Fundef_", b"_undef_", b"%25zz"]
    assert [raw for _, raw in exact.raw_items()] == [b"%41", b"_undef_", b"_undef_", b"%25zz"]
    assert dict(lossless.items()) == values
    assert dict(exact.items()) == values | {"A": "A", "B": ""}


def test_encoded_values_are_taken_as_they_stand() -> None:
    event = Event.from_headers([("A", "%41%zz"), ("B", "x y")], b"body", encoded=True)
    assert event.raw_items() == [(b"A", b"%41%zz"), (b"B", b"x y")]
    assert event.to_plain() == b"A: %41%zz\nB: x y\nContent-Length: 4\n\nbody"


def test_a_header_named_content_length_is_not_taken_for_the_frame() -> None:
    event = Event.from_headers([("A", "b"), ("Content-Length", "99")])
    assert event.items() == [("A", "b"), ("Content-Length", "99")]
    assert event.body == b""
    again = Event.from_plain(event.to_plain())
    assert again == event
    assert again.items() == event.items()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Event("X", {"": "v"}), "empty"),
        (lambda: Event("X", {"a\nb": "v"}), "line break"),
        (lambda: Event("X", {"a\rb": "v"}), "line break"),
        (lambda: Event("X", {"a\0b": "v"}), "NUL"),
        (lambda: Event("X", {"A": []}), "'?\"?A"),
        (lambda: Event("X", {"A": ["one|:two"]}), r"\|:"),
        (lambda: Event("X", {"n" * 1025: "v"}), "1024"),
        (lambda: Event.from_headers({"A": "a\nb"}, encoded=True), "line break"),
        (lambda: Event.from_headers({"A": "a: b"}, encoded=True), "A"),
        (lambda: Event("X", {"A": "\ud800"}), "surrogate|UTF-8|utf-8"),
        (lambda: Event("X", {"A": ["x"] * 4001}), "array"),
        (lambda: Event("X", [(f"h{i}", "v") for i in range(2048)]), "header"),
    ],
)
def test_what_cannot_be_built_says_what_and_where(build: Callable[[], Event], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build()


ANYTHING: Any = Event
"""The class without its types, for what the type checker would not let pass."""


@pytest.mark.parametrize(
    "build",
    [
        lambda: ANYTHING(7),
        lambda: ANYTHING("X", {"A": 7}),
        lambda: ANYTHING("X", {"A": None}),
        lambda: ANYTHING("X", {7: "A"}),
        lambda: ANYTHING("X", 7),
        lambda: ANYTHING("X", {}, 7),
        lambda: ANYTHING("X", {"A": ["x", 7]}),
    ],
)
def test_what_is_of_another_type_is_a_type_error(build: Callable[[], Event]) -> None:
    with pytest.raises(TypeError):
        build()


def test_an_event_does_not_change(event: Event) -> None:
    anything: Any = event
    with pytest.raises(AttributeError):
        anything.name = "OTHER"
    with pytest.raises(TypeError):
        anything["Event-Name"] = "OTHER"


# Copies


def test_more_headers_stand_behind_those_that_are_there(event: Event) -> None:
    longer = event.with_headers([("X-Dup", "3"), ("New", "a: b"), ("Arr", ["x", "y"])])
    assert longer.items() == [*event.items(), ("X-Dup", "3"), ("New", "a: b"), ("Arr", "ARRAY::x|:y")]
    assert longer.body == event.body
    assert longer["X-Dup"] == "1"
    assert Event.from_plain(longer.to_plain()) == longer
    assert "New" not in event


def test_origin_is_kept_by_copies_and_does_not_count_in_comparisons(event: Event) -> None:
    from_there = event.with_origin("192.0.2.7:4242", 1795404669973337000)
    assert (from_there.source, from_there.received) == ("192.0.2.7:4242", 1795404669973337000)
    assert from_there == event
    assert hash(from_there) == hash(event)
    longer = from_there.with_headers([("A", "b")])
    assert (longer.source, longer.received) == ("192.0.2.7:4242", 1795404669973337000)
    nowhere = from_there.with_origin(None, None)
    assert (nowhere.source, nowhere.received) == (None, None)


def test_an_ipv6_source_and_a_name_are_kept_as_written(event: Event) -> None:
    for source in ["[2001:db8::7]:4242", "events.jsonl", "fs1"]:
        assert event.with_origin(source, 1).source == source


def test_pickle_and_copy_keep_everything(event: Event) -> None:
    from_there = event.with_origin("[2001:db8::7]:4242", 42)
    for again in [pickle.loads(pickle.dumps(from_there)), copy.copy(from_there), copy.deepcopy(from_there)]:
        assert again == from_there
        assert (again.source, again.received) == ("[2001:db8::7]:4242", 42)


def test_events_are_equal_when_their_text_is(event: Event) -> None:
    assert event == Event.from_plain(TEXT)
    assert event != Event.from_plain(TEXT.replace(b"X-Dup", b"X-DUP"))
    assert event != TEXT
    assert len({event, Event.from_plain(TEXT)}) == 1


def test_events_are_read_while_the_garbage_collector_reads_events(event: Event) -> None:
    """A finaliser runs wherever Python makes an object, and may itself read an event: neither waits for the other."""
    finalised: list[list[str]] = []

    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            finalised.append([*event.keys(), *map(str, event.to_dict().values()), event.name])

    thresholds = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Cycle()
            assert len(event.to_dict()) == len(event.items()) == len(event.keys())
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(finalised) == 200


def test_many_threads_read_the_same_events(plain_datagrams: list[tuple[int, bytes]]) -> None:
    events = [Event.from_plain(datagram[:-293]) for _, datagram in plain_datagrams[:200]]
    expected = [(event.items(), event.to_dict(), event.to_json()) for event in events]

    def read(_: int) -> bool:
        return [(event.items(), event.to_dict(), event.to_json()) for event in events] == expected

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(16)))


# For people


def test_repr_names_the_event_and_stays_short(event: Event) -> None:
    assert "CUSTOM" in repr(event)
    assert "sofia::register" in repr(event)
    long = Event("X" * 1000, [("Event-Subclass", "s" * 60_000), ("Multicast-Sender", "m" * 9000)], b"b" * 60_000)
    assert len(repr(long)) < 400
    assert repr(Event.from_plain(b"\n"))


def test_repr_shows_no_control_characters() -> None:
    shown = repr(Event("A\x1b[31m\n\r", {"Event-Subclass": "\udce9\x00"}))
    assert shown.isascii() or shown.isprintable()
    assert "\n" not in shown
    assert "\x1b" not in shown


# Any event at all


@PROPERTY
@given(header_lists(), bodies())
def test_any_headers_and_body_survive_being_built(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    assert event.items() == headers
    assert event.body == body
    assert len(event) == len(headers)
    for name, _ in headers:
        same = [value for other, value in headers if ascii_lower(other) == ascii_lower(name)]
        assert event.getall(name) == same
        assert event[name] == event.get(name) == same[0]
        assert name in event


def ascii_lower(name: str) -> str:
    """``name`` with A to Z in lower case, as names are compared."""
    return name.encode().lower().decode()


@PROPERTY
@given(header_lists(), bodies())
def test_any_event_survives_plain_and_pickle(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    for again in [Event.from_plain(event.to_plain()), pickle.loads(pickle.dumps(event)), copy.deepcopy(event)]:
        assert again == event
        assert hash(again) == hash(event)
        assert again.items() == headers
        assert again.body == body


@PROPERTY
@given(header_lists(), bodies())
def test_the_default_encoding_is_what_the_reference_writes(headers: list[tuple[str, str]], body: bytes) -> None:
    for exact, encode in [(True, reference.encode), (False, reference.encode_lossless)]:
        event = Event.from_headers(headers, body, exact=exact)
        expected = [(name.encode(), encode(value.encode("utf-8", "surrogateescape"))) for name, value in headers]
        assert event.raw_items() == expected
        if not ends_in_content_length(headers):
            assert event.to_plain() == reference.write_text(expected, body)


def ends_in_content_length(headers: list[tuple[str, str]]) -> bool:
    """Whether the last header would be taken for the frame of a body, if it had no frame behind it."""
    return bool(headers) and headers[-1][0].lower() == "content-length"


@PROPERTY
@given(header_lists(), bodies(), header_lists())
def test_any_headers_can_be_added(headers: list[tuple[str, str]], body: bytes, more: list[tuple[str, str]]) -> None:
    longer = Event.from_headers(headers, body).with_headers(more)
    assert longer.items() == headers + more
    assert longer.body == body
    assert longer == Event.from_plain(longer.to_plain())


@PROPERTY
@given(header_lists(), bodies())
def test_any_event_has_a_short_repr_without_control_characters(headers: list[tuple[str, str]], body: bytes) -> None:
    shown = repr(Event.from_headers(headers, body))
    assert len(shown) < 400
    assert not any(character < " " or character == "\x7f" for character in shown)
