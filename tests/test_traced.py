"""Traced datagrams: a stock receiver reads them as before, and nothing but a member's own words passes for them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import TRAILER, read_datagram, write_datagram
from sealed_reference import traced_mac
from strategies import PROPERTY, bodies, header_lists, mutations, small_datagram

from switchcast import Event, StockFrames
from switchcast._native import TracedFrames, key_id, stock_misreads
from switchcast.errors import RejectedDatagram

SECRET = bytes(range(32))
STREAM = bytes(range(16))
FRAMES = TracedFrames(SECRET, stream=STREAM)
KEYLESS = TracedFrames(stream=STREAM)
SMALL = StockFrames().open(small_datagram())
STAMP = [
    ("Multicast-Stream", "000102030405060708090a0b0c0d0e0f"),
    ("Multicast-Sequence", "17"),
    ("Multicast-MAC", ""),
]


def of(frames: TracedFrames, event: Event) -> tuple[list[tuple[str, str]], bytes, bytes]:
    """Headers, body and whole datagram of what ``frames`` make of ``event``, as the reference reads it."""
    datagram = frames.frame(event, 17)
    read = read_datagram(datagram)
    return read.items(), read.body, datagram


def with_stamp(headers: list[tuple[str, str]], proof: str) -> list[tuple[str, str]]:
    """``headers`` as a stock receiver should find them: three more, in front of a sender that stands last."""
    stamp = [*STAMP[:2], ("Multicast-MAC", proof)] if proof else STAMP[:2]
    place = len(headers) - (bool(headers) and headers[-1][0].lower() == "multicast-sender")
    return [*headers[:place], *stamp, *headers[place:]]


def test_the_form_is_that_of_the_description() -> None:
    event = Event("HEARTBEAT", [("Multicast-Sender", "fs1")], "up\n")
    assert re.fullmatch(
        rb"Event-Name: HEARTBEAT\nMulticast-Stream: 000102030405060708090a0b0c0d0e0f\nMulticast-Sequence: 17\n"
        rb"Multicast-MAC: " + key_id(SECRET).encode() + rb"-[0-9a-f]{32}\n"
        rb"Multicast-Sender: fs1\nContent-Length: 3\n\nup\n" + TRAILER + rb"\x00{272}",
        FRAMES.frame(event, 17),
    )
    assert TracedFrames.stamp(FRAMES.frame(event, 17)) == {"stream": STREAM, "sequence": 17, "key": key_id(SECRET)}
    assert TracedFrames.stamp(KEYLESS.frame(event, 17)) == {"stream": STREAM, "sequence": 17, "key": None}
    assert TracedFrames.stamp(StockFrames().frame(event)) is None


@pytest.mark.parametrize("sequence", [1, 17, (1 << 64) - 1])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 60_000])
def test_the_mac_is_that_of_the_description(sequence: int, size: int) -> None:
    event = Event("MESSAGE", [("Multicast-Sender", "fs1")], "a: b\n\n"[:size].ljust(size, "\n"))
    text = FRAMES.frame(event, sequence).rpartition(TRAILER)[0]
    line = re.search(rb"^Multicast-MAC: [0-9a-f]{8}-([0-9a-f]{32})\n", text, re.MULTILINE)
    assert line is not None
    assert traced_mac(SECRET, STREAM, sequence, text.replace(line[0], b"")).hex() == line[1].decode()


def test_every_recorded_event_is_read_by_stock_as_before(plain_datagrams: list[tuple[int, bytes]]) -> None:
    for _, datagram in plain_datagrams:
        stock, event = read_datagram(datagram), StockFrames().open(datagram)
        headers, body, traced = of(FRAMES, event)
        proof = dict(headers)["Multicast-MAC"]
        assert headers == with_stamp(stock.items(), proof)
        assert body == stock.body
        assert headers[-1][0] == "Multicast-Sender"
        assert stock_misreads(StockFrames().open(traced)) == stock_misreads(event)
        again = FRAMES.open(traced)
        assert (again, again.trust) == (event, "member")
        assert KEYLESS.open(KEYLESS.frame(event, 17)).trust == "stock"


@PROPERTY
@given(header_lists(), bodies())
def test_any_event_is_read_by_stock_as_before(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    stock = read_datagram(StockFrames().frame(event))
    for frames in (FRAMES, KEYLESS):
        found, told, datagram = of(frames, event)
        assert found == with_stamp(stock.items(), dict(found).get("Multicast-MAC", ""))
        assert told == stock.body
        assert frames.open(datagram) == event


@PROPERTY
@given(mutations([FRAMES.frame(SMALL, 17), KEYLESS.frame(SMALL, 17), small_datagram()]))
def test_nothing_but_the_members_own_words_opens(datagram: bytes) -> None:
    original = FRAMES.frame(SMALL, 17)
    try:
        event = FRAMES.open(datagram)
    except RejectedDatagram:
        return
    assert datagram.rstrip(b"\0") == original.rstrip(b"\0")
    assert event == SMALL


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "zero_length"),
        (StockFrames().frame(Event("TRAP")), "untraced"),
        (KEYLESS.frame(Event("TRAP"), 17), "untraced"),
        (TracedFrames(bytes(32)).frame(Event("TRAP"), 17), "unknown_key"),
        (FRAMES.frame(Event("TRAP"), 17).replace(b"TRAP", b"TRIP"), "not_authentic"),
        (FRAMES.frame(Event("TRAP"), 17).replace(b": 17", b": 18"), "not_authentic"),
        (FRAMES.frame(Event("TRAP"), 17).replace(b": 17", b": 017"), "malformed_stamp"),
        (FRAMES.frame(Event("TRAP"), 17).replace(b"Stream: 0", b"Stream: x"), "malformed_stamp"),
        (write_datagram([(b"Multicast-Sequence", b"17")]), "malformed_stamp"),
    ],
)
def test_what_is_no_members_datagram_has_its_reason(datagram: bytes, reason: str) -> None:
    with pytest.raises(RejectedDatagram) as error:
        FRAMES.open(datagram)
    assert error.value.reason == reason


@PROPERTY
@given(st.lists(st.sampled_from([STAMP[0], STAMP[1], ("A", "1"), ("Multicast-Sender", "x")]), max_size=6), bodies())
def test_a_stamp_that_is_there_already_gives_way(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers([*headers, ("A", "1"), *STAMP[:2], ("Multicast-Sender", "fs1")], body)
    found, told, datagram = of(FRAMES, event)
    proof = dict(found)["Multicast-MAC"]
    assert found == with_stamp([*headers, ("A", "1"), ("Multicast-Sender", "fs1")], proof)
    assert told == body
    assert FRAMES.open(datagram).items() == [*headers, ("A", "1"), ("Multicast-Sender", "fs1")]


def test_what_cannot_be_framed_is_refused() -> None:
    with pytest.raises(ValueError, match="counts from 1"):
        FRAMES.frame(Event("TRAP"), 0)
    with pytest.raises(ValueError, match="32 bytes"):
        TracedFrames(b"short")
    with pytest.raises(ValueError, match="16 bytes"):
        TracedFrames(SECRET, stream=b"short")
    assert "0c0d0e0f" in repr(FRAMES)
    assert repr(SECRET) not in repr(FRAMES)
