"""An event's plain, JSON and XML forms, as the event socket writes them, and reading the first two back.

How FreeSWITCH writes them was read from its ``src/switch_event.c`` and ``src/switch_xml.c``.
"""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY, TEXT, arrays, bodies, names, text_of, values

from switchcast import Event, StockFrames
from switchcast.errors import RejectedDatagram


@pytest.fixture
def event() -> Event:
    """An event with every kind of header and a body."""
    return Event.from_plain(TEXT)


def test_plain_is_the_wire_text(event: Event) -> None:
    assert event.to_plain() == TEXT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no_end_of_headers"),
        (b"Event-Name: X\n", "no_end_of_headers"),
        (b"Event-Name\n\n", "malformed_header"),
        (b": X\n\n", "malformed_header"),
        (b"Event-Name: X\n\nrubbish", "length_mismatch"),
        (b"Content-Length: 3\n\nhi", "length_mismatch"),
        (b"Content-Length: 1\n\nhi", "length_mismatch"),
        (b"Content-Length: two\n\nhi", "bad_content_length"),
    ],
)
def test_text_that_is_no_event_is_rejected_with_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(RejectedDatagram) as rejected:
        Event.from_plain(text)
    assert rejected.value.reason == reason


def test_json_is_one_line_as_the_switch_writes_it(event: Event) -> None:
    """``event json``: no spaces, decoded values, arrays as lists, then the length of the body as text and ``_body``."""
    written = event.to_json()
    assert "\n" not in written
    assert written.startswith('{"Event-Subclass":"sofia::register","Event-Name":"CUSTOM","Core-UUID":"774efe72-')
    assert written.endswith('"Multicast-Sender":"fs1","Content-Length":"5","_body":"hello"}')
    read = json.loads(written)
    assert read["X-Arr"] == ["one", "tête"]
    assert read["X-Empty"] == ""
    assert read["Event-Sequence"] == "426"
    assert Event("X").to_json() == '{"Event-Name":"X"}'


def test_a_repeated_header_is_a_list_in_json() -> None:
    assert json.loads(Event.from_headers([("A", "1"), ("B", "x"), ("A", "2")]).to_json()) == {"A": ["1", "2"], "B": "x"}


def test_json_escapes_what_json_must() -> None:
    value = '"\\/\b\f\n\r\t\x00\x1f\x7fé✓😀\udce9'
    written = Event("X", {"V": value}, b"\x00\xff").to_json()
    assert json.loads(written) == {"Event-Name": "X", "V": value, "Content-Length": "2", "_body": "\x00\udcff"}
    assert r"\u0000\u001f" in written
    assert r"\udce9" in written
    assert written.encode()


def test_json_of_the_switch_reads_back(decoded_events: list[dict[str, Any]]) -> None:
    """The recorded JSON came from a FreeSWITCH's event socket, so reading it is reading ``event json``."""
    for line in decoded_events:
        if any("\n" in name for name in line):  # made of body lines by the stock receiver
            with pytest.raises(RejectedDatagram, match="line break"):
                Event.from_json(json.dumps(line))
            continue
        event = Event.from_json(json.dumps(line))
        assert event.to_dict() == {
            name: value for name, value in line.items() if name not in {"Content-Length", "_body"}
        }
        assert event.body == line.get("_body", "").encode()
        if "\N{REPLACEMENT CHARACTER}" not in line.get("_body", ""):  # longer than the byte that it stands for
            assert json.loads(event.to_json()) == line


@pytest.mark.parametrize("body", [b"", b"hi"])
def test_a_senders_own_content_length_survives_json(body: bytes) -> None:
    event = Event.from_headers([("Content-Length", "99"), ("content-length", "98"), ("A", "b")], body)
    assert Event.from_json(event.to_json()) == event


def test_json_skips_what_is_ours_and_takes_text_or_bytes() -> None:
    text = '{"Event-Name":"X","_received":5,"_source":"192.0.2.7:4242","_body":"é"}'
    given: list[str | bytes] = [text, text.encode()]
    for given_as in given:
        event = Event.from_json(given_as)
        assert event.items() == [("Event-Name", "X")]
        assert event.body == "é".encode()


@pytest.mark.parametrize(
    "text",
    [
        *["", "{", "[]", "7", '"x"', "null", '{"A":"b"} x', '{"A":"\\ud8', '{"":"x"}', '{"a\\nb":"x"}'],
        *['{"A":7}', '{"A":{}}', '{"A":[7]}', '{"A":[]}', '{"A":["x|:y"]}', '{"A":"\\ud800"}', "[" * 100_000],
        *['{"_body":["x"]}', '{"_body":7}', '{"_body":"\\ud800"}'],
    ],
)
def test_json_that_is_no_event_is_rejected(text: str) -> None:
    with pytest.raises(RejectedDatagram) as rejected:
        Event.from_json(text)
    assert rejected.value.reason == "bad_json"


def test_xml_is_indented_as_the_switch_writes_it(event: Event) -> None:
    """``event xml``: no declaration, values percent-encoded, an element for each item of an array, no ``_undef_``."""
    assert event.to_xml() == (
        "<event>\n"
        "  <headers>\n"
        "    <Event-Subclass>sofia%3A%3Aregister</Event-Subclass>\n"
        "    <Event-Name>CUSTOM</Event-Name>\n"
        "    <Core-UUID>774efe72-0b02-4ad5-b685-481f4ce4aaff</Core-UUID>\n"
        "    <FreeSWITCH-Hostname>fs1</FreeSWITCH-Hostname>\n"
        "    <Event-Date-Timestamp>1795404669491970</Event-Date-Timestamp>\n"
        "    <Event-Sequence>426</Event-Sequence>\n"
        "    <X-Dup>1</X-Dup>\n"
        "    <x-dup>two%20words</x-dup>\n"
        "    <X-Arr>one</X-Arr>\n"
        "    <X-Arr>t%C3%AAte</X-Arr>\n"
        "    <X-Empty></X-Empty>\n"
        "    <Multicast-Sender>fs1</Multicast-Sender>\n"
        "  </headers>\n"
        "  <Content-Length>5</Content-Length>\n"
        "  <body>hello</body>\n"
        "</event>\n"
    )


def test_xml_of_an_empty_event() -> None:
    assert Event.from_plain(b"\n").to_xml() == "<event>\n  <headers></headers>\n</event>\n"


def test_an_xml_body_is_escaped_and_ends_as_the_switch_ends_it() -> None:
    """A body is not percent-encoded; behind its last line break the switch indents the closing tag."""
    written = Event("X", {}, '<a & b>\r\n"é"\n'.encode()).to_xml()
    assert written.endswith('  <body>&lt;a &amp; b&gt;&#xD;\n"&#xE9;"\n  </body>\n</event>\n')


def test_recorded_events_are_well_formed_xml(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    for _, datagram in plain_datagrams:
        event = frames.open(datagram)
        if any(not name.replace("-", "").replace("_", "").isalnum() for name in event):
            continue
        headers = ET.fromstring(event.to_xml()).find("headers")
        assert headers is not None
        expected = [(name, item) for name, value in event.items() for item in items_of(value)]
        found = [(child.tag, text_of(reference.decode((child.text or "").encode()))) for child in headers]
        assert found == expected


def items_of(value: str) -> list[str]:
    """The elements of an array value, or the value alone."""
    return value.removeprefix("ARRAY::").split("|:") if value.startswith("ARRAY::") else [value]


def test_a_dictionary_has_lists_for_arrays_and_repeated_headers(event: Event) -> None:
    read = event.to_dict()
    assert list(read) == event.keys()
    assert read["X-Arr"] == ["one", "tête"]
    assert read["X-Empty"] == ""
    repeated = Event.from_headers([("A", "1"), ("B", "x"), ("A", "2")]).to_dict()
    assert repeated == {"A": ["1", "2"], "B": "x"}
    assert list(repeated) == ["A", "B"]


def test_who_changes_a_dictionary_changes_his_own_only() -> None:
    headers = [("A", ["1", "2"]), ("B", "x"), ("C", "3"), ("C", "4")]
    for _ in range(4):
        read = Event.from_headers(headers).to_dict()
        assert read == {"A": ["1", "2"], "B": "x", "C": ["3", "4"]}
        assert isinstance(read["A"], list)
        read["A"].append("more")
        read.clear()


# Any event at all


@PROPERTY
@given(st.data())
def test_events_of_one_kind_are_read_each_with_its_own_values(data: st.DataObject) -> None:
    kind = data.draw(st.lists(names(), min_size=1, max_size=8))
    values_of_kind = st.lists(values() | arrays(), min_size=len(kind), max_size=len(kind))
    for values_drawn in data.draw(st.lists(values_of_kind, min_size=3, max_size=6)):
        headers = list(zip(kind, values_drawn, strict=True))
        event = Event.from_headers(headers)
        read = dict[str, list[str]]()
        for name, value in event.items():
            read.setdefault(name, []).extend(items_of(value))
        is_list = {name for name, value in event.items() if value.startswith("ARRAY::") or kind.count(name) > 1}
        assert event.to_dict() == {name: found if name in is_list else found[0] for name, found in read.items()}
        assert event.items() == list(zip(event.keys(), event.values(), strict=True))


JSON_NAMES = names().filter(lambda name: not name.startswith("_") and name.lower() != "content-length")
JSON_VALUES = values().filter(lambda value: not value.startswith("ARRAY::")) | arrays()


@PROPERTY
@given(st.lists(st.tuples(JSON_NAMES, JSON_VALUES), max_size=10, unique_by=lambda header: header[0]), bodies())
def test_any_event_without_repeated_headers_survives_json(headers: list[tuple[str, Any]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    assert event.to_dict() == dict(headers)
    written = event.to_json()
    assert Event.from_json(written) == event
    assert Event.from_json(written.encode()) == event
    expected = dict(headers) | ({"Content-Length": str(len(body)), "_body": text_of(body)} if body else {})
    assert json.loads(written) == expected


def assert_json_is_an_event_or_rejected(text: str | bytes) -> None:
    """Whatever ``text`` is, reading it raises nothing but the one rejection, and what is read can be written."""
    reason = "bad_json"
    try:
        event = Event.from_json(text)
    except RejectedDatagram as rejected:
        reason = rejected.reason
    else:
        assert json.loads(event.to_json()).keys() >= event.to_dict().keys()
    assert reason == "bad_json"


@PROPERTY
@given(st.text() | st.binary() | st.from_regex(r"\{.{0,60}\}"))
def test_any_text_is_an_event_in_json_or_rejected(text: str | bytes) -> None:
    assert_json_is_an_event_or_rejected(text)


ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=8) | st.sampled_from(["_body", "Content-Length", "A"])
ANY_VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=6,
)


@PROPERTY
@given(ANY_VALUE | st.dictionaries(ANY_TEXT, ANY_VALUE) | st.dictionaries(ANY_TEXT, ANY_TEXT | st.lists(ANY_TEXT)))
def test_any_json_is_an_event_or_rejected(value: Any) -> None:
    """Lone surrogates, numbers that are none, nesting and all."""
    assert_json_is_an_event_or_rejected(json.dumps(value))
