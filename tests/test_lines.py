"""JSON lines: every event comes back byte for byte, and a line that a person wrote or edited is read as it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY, arrays, bodies, header_lists, names, nearly_events, values

from switchcast._native import Event, StockFrames
from switchcast.errors import RejectedDatagram
from switchcast.wire.lines import LineSplitter, from_line, to_line

PLAIN = b"Event-Name: HEARTBEAT\nUp-Time: 1%20day\n\n"


def comes_back(event: Event) -> str:
    """The line of ``event``, from which the same event was read."""
    line = to_line(event)
    assert "\n" not in line
    for form in (line, line.encode()):
        again = from_line(form)
        assert again.to_plain() == event.to_plain()
        assert (again.source, again.received) == (event.source, event.received)
    return line


def test_every_recorded_event_comes_back(
    plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]
) -> None:
    carried = 0
    for frames, datagrams in ((StockFrames(), plain_datagrams), (StockFrames(b"ClueCon"), psk_datagrams)):
        for time_ns, datagram in datagrams:
            carried += '"_wire"' in comes_back(frames.open(datagram).with_origin("127.0.0.1:4242", time_ns))
    assert carried < len(plain_datagrams) / 10, "the wire text is for the few that need it"


def test_the_examples_of_2008_come_back(wiki_examples: list[dict[str, Any]]) -> None:
    assert len(wiki_examples) == 7
    for example in wiki_examples:
        comes_back(Event.from_headers([(name, value) for name, value in example["headers"]], encoded=True))


def test_what_json_can_say_needs_no_wire_text() -> None:
    event = Event("CUSTOM", {"Event-Subclass": "a::b", "X-Arr": ["one", "two"], "Empty": ""}, b"a: b\r\n\xe2")
    line = comes_back(event)
    assert line == event.to_json()
    assert list(json.loads(comes_back(event.with_origin("[::1]:5", 7))))[-2:] == ["_source", "_received"]


@pytest.mark.parametrize(
    "text",
    [
        b"X-Dup: 1\nA: 2\nX-Dup: 3\n\n",  # JSON puts the two together
        b"X-Dup: 1\nX-Dup: 2\n\n",  # which looks like an array of two
        b"X-Arr: ARRAY::one\n\n",
        b"A: %c3%a9\n\n",  # lower-case hex
        b"A: caf\xe9\n\n",  # a byte that is not UTF-8, not encoded
        b"A:no space\n\n",
        b"A: %41\n\n",
        b"_hidden: x\n\n",
        b"_wire: x\n\n",
        b"_source: x\nA: b\n_received: 5\n\n",
        b"_body: x\n\n",
        b"Content-Length: 4\nContent-Length: 2\n\nhi",
        b"\n",
        PLAIN,
    ],
)
def test_awkward_wire_texts_come_back(text: bytes) -> None:
    event = Event.from_plain(text)
    assert event.to_plain() == text
    comes_back(event)
    comes_back(event.with_origin("10.0.0.1:5", 0x7FFF_FFFF_FFFF_FFFF))


@PROPERTY
@given(st.lists(st.tuples(names(), values() | arrays()), max_size=12), bodies())
def test_any_event_comes_back(headers: list[tuple[str, str | list[str]]], body: bytes) -> None:
    try:
        event = Event.from_headers(headers, body)
    except ValueError:
        return  # what cannot be an event need not come back
    comes_back(event)


@PROPERTY
@given(nearly_events())
def test_whatever_opens_comes_back(datagram: bytes) -> None:
    try:
        event = StockFrames().open(datagram)
    except RejectedDatagram:
        return
    comes_back(event)


@PROPERTY
@given(header_lists(), st.text(max_size=30), st.integers(-5, 2**65))
def test_any_origin_comes_back(headers: list[tuple[str, str]], source: str, received: int) -> None:
    own = Event.from_headers([(name, value) for name, value in headers if name not in {"_body", "Content-Length"}])
    line = json.dumps(json.loads(own.to_json()) | {"_source": source, "_received": received})
    event = from_line(line)
    assert event.source == (source or None)
    assert event.received == (received if 0 < received < 2**64 else None)


def test_an_edited_line_is_read_as_it_now_stands() -> None:
    event = Event.from_plain(b"X-Dup: 1\nA: 2\nX-Dup: 3\n\n").with_origin("10.0.0.1:5", 7)
    line = json.loads(to_line(event))
    assert "_wire" in line
    for change in ({"A": "changed"}, {"B": "added"}, {"X-Dup": ["1", "4"]}):
        edited = from_line(json.dumps(line | change))
        (name, value), *_ = change.items()
        assert edited.array(name) == (value if isinstance(value, list) else [value])
        assert (edited.source, edited.received) == ("10.0.0.1:5", 7)
    del line["A"]
    assert "A" not in from_line(json.dumps(line))


def test_a_line_in_another_order_is_still_the_same_event() -> None:
    event = Event.from_plain(b"X-Dup: 1\nA: 2\nX-Dup: 3\n\n").with_origin("10.0.0.1:5", 7)
    assert from_line(json.dumps(json.loads(to_line(event)), sort_keys=True)) == event


@pytest.mark.parametrize("wire", ["no event", "\u20ac: x\n\n", 5, None, ["a"]])
def test_a_wire_text_that_makes_no_sense_counts_for_nothing(wire: object) -> None:
    assert from_line(json.dumps({"A": "b", "_wire": wire})).to_plain() == b"A: b\n\n"


@pytest.mark.parametrize("extras", [{"_source": 5}, {"_received": "5"}, {"_received": True}, {"_received": 1.5}])
def test_extras_of_somebody_else_are_left_alone(extras: dict[str, object]) -> None:
    event = from_line(json.dumps({"A": "b"} | extras | {"_more": {"x": [1]}}))
    assert (event.to_plain(), event.source, event.received) == (b"A: b\n\n", None, None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        '"_source"',
        '["_source"]',
        '{"A":"b","_source":',
        '{"A":{"b":"c"}}',
        '{"_source":' + "[" * 100_000,
        b'{"A":"\xff","_source":"x"}',
        b"\x00\x01",
    ],
)
def test_what_is_no_event_is_rejected(line: str | bytes) -> None:
    with pytest.raises(RejectedDatagram) as caught:
        from_line(line)
    assert caught.value.reason == "bad_json"


@PROPERTY
@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\n", b"\r\n", b"\n\n"]), max_size=30), st.data())
def test_lines_are_the_same_however_they_come(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    splitter = LineSplitter()
    lines = []
    while text:
        length = data.draw(st.integers(1, len(text)))
        lines += splitter.feed(text[:length])
        text = text[length:]
    assert [*lines, splitter.finish()] == b"".join(parts).split(b"\n")


def test_a_line_without_end_is_not_kept() -> None:
    splitter = LineSplitter(limit=10)
    for _ in range(1_000):
        assert splitter.feed(b"x" * 7) == []
    assert splitter.feed(b"\nshort\n" + b"y" * 30 + b"\n" + b"z" * 30) == [b"x" * 10, b"short", b"y" * 10]
    assert splitter.finish() == b"z" * 10


def test_whether_json_rebuilds_an_event_is_known_without_trying(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    told = 0
    for _, datagram in plain_datagrams:
        event = frames.open(datagram)
        assert event.json_rebuilds() == (Event.from_json(event.to_json()) == event)
        told += not event.json_rebuilds()
    assert told == 123
