"""A block gives back every event, byte for byte, and knows when it is not whole."""

from __future__ import annotations

from typing import Any

import pytest
from archiving import NOON, numbered, origin
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, header_lists, nearly_events

from switchcast._native import Event, StockFrames
from switchcast.archive.blocks import Damaged, decode, encode, framed, time_of
from switchcast.errors import RejectedDatagram
from switchcast.wire.gap_record import Gap, is_gap

LEVEL = 3


def there_and_back(events: list[Event]) -> list[Event]:
    return decode(encode([framed(event, time_of(event, NOON)) for event in events], LEVEL))


@settings(PROPERTY, max_examples=100)
@given(
    st.lists(st.tuples(header_lists(), bodies()), min_size=1, max_size=4),
    st.none() | st.integers(1, 2**63 - 1),
    st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
def test_any_events_come_back_as_they_were(drawn: list[Any], received: int | None, source: str | None) -> None:
    events = [Event.from_headers(headers, body).with_origin(source, received) for headers, body in drawn]
    back = there_and_back(events)
    assert [origin(event) for event in back] == [origin(event) for event in events]
    assert {event.received for event in back} == {NOON if received is None else received}


@PROPERTY
@given(nearly_events())
def test_whatever_a_network_can_bring_comes_back(datagram: bytes) -> None:
    try:
        event = StockFrames().open(datagram)
    except RejectedDatagram:
        return
    assert [origin(event)] == [origin(back) for back in there_and_back([event])]


def test_recorded_events_come_back(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    events = [frames.open(datagram).with_origin("192.0.2.1:4242", time) for time, datagram in plain_datagrams]
    back = there_and_back(events)
    assert [origin(event) for event in back] == [origin(event) for event in events]
    assert [event.received for event in back] == [time for time, _ in plain_datagrams]


def test_what_vouches_for_an_event_comes_back() -> None:
    event = numbered(1)
    kinds = [event.with_trust("stock"), event, event.with_trust("member"), event.with_trust("signed", "fs1")]
    assert [(each.trust, each.signer) for each in there_and_back(kinds)] == [
        ("stock", None),
        ("local", None),
        ("member", None),
        ("signed", "fs1"),
    ]


def test_a_large_body_and_a_gap_record_come_back() -> None:
    large = Event("CUSTOM", {"Event-Subclass": "test::large"}, bytes(range(1, 256)) * 20_000)
    gap = Gap("group", "overflow", 12, numbered(1), numbered(12)).event()
    back = there_and_back([large, gap])
    assert back == [large, gap]
    assert is_gap(back[1])
    assert back[1]["Gap-Since"] == str((NOON + 1_000_000) // 1000)
    assert back[1]["Gap-Until"] == str((NOON + 12_000_000) // 1000)


@PROPERTY
@given(st.data())
def test_a_changed_byte_or_a_lost_tail_is_noticed(data: st.DataObject) -> None:
    block = encode([framed(numbered(number), NOON) for number in range(20)], LEVEL)
    if data.draw(st.booleans()):
        broken = block[: data.draw(st.integers(0, len(block) - 1))]
    else:
        place = data.draw(st.integers(0, len(block) - 1))
        broken = block[:place] + bytes([block[place] ^ data.draw(st.integers(1, 255))]) + block[place + 1 :]
    try:
        found = decode(broken)
    except Damaged:
        return
    assert found == decode(block), "a bit that does not matter may change, as those that zstd leaves unused"


@PROPERTY
@given(st.binary(max_size=300))
def test_rubbish_is_no_block(rubbish: bytes) -> None:
    with pytest.raises(Damaged):
        decode(rubbish)


def test_lengths_that_do_not_fit_are_noticed() -> None:
    frame = framed(numbered(1), NOON)
    for broken in (frame[:10], frame[:-1], frame[:8] + b"\x09" + frame[9:], frame[:17] + b"\xff" + frame[18:]):
        with pytest.raises(Damaged):
            decode(encode([broken], LEVEL))


def test_a_block_that_would_come_out_too_large_is_not_opened() -> None:
    with pytest.raises(Damaged, match="67,108,865 bytes"):
        decode(encode([bytes((64 << 20) + 1)], LEVEL))
