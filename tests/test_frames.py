"""Stock datagrams: any event survives them, any bytes are an event or a rejection, and the reference agrees."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable

import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from reference import NotAnEvent, ReferenceEvent
from strategies import PROPERTY, bodies, header_lists, mutations, nearly_events, small_datagram

from switchcast import LIMITS, REJECT_REASONS, Event, StockFrames
from switchcast._native import TRAILER, stock_misreads
from switchcast.errors import RejectedDatagram

SALT = "dae00fd0-1c45-4215-853e-30c6eeaf7b53"
PLAIN = StockFrames()
SEALED = StockFrames(b"ClueCon")


def outcome(frames: StockFrames, datagram: bytes) -> Event | str:
    """The event in ``datagram``, or the reason why there is none, which must be one that is known."""
    return event_or_reason(lambda: frames.open(datagram))


def event_or_reason(read: Callable[[], Event]) -> Event | str:
    """The event that is read, or the reason why there is none, which must be one that is known."""
    try:
        return read()
    except RejectedDatagram as error:
        rejected = error
    assert rejected.reason in REJECT_REASONS
    assert str(rejected)
    return rejected.reason


def reference_outcome(read: Callable[[], ReferenceEvent]) -> ReferenceEvent | None:
    """What the reference reads, or ``None`` when it rejects."""
    try:
        return read()
    except NotAnEvent:
        return None


def assert_the_reference_agrees(datagram: bytes) -> None:
    """Both read the same headers and body, or both reject."""
    found = outcome(PLAIN, datagram)
    expected = reference_outcome(lambda: reference.read_datagram(datagram, limits=LIMITS))
    if expected is None:
        assert isinstance(found, str), found
        return
    assert isinstance(found, Event), (found, expected)
    assert found.raw_items() == expected.headers
    assert found.items() == expected.items()
    assert found.body == expected.body
    assert found.to_plain() + TRAILER == datagram.rstrip(b"\0")
    for name, raw in expected.headers:
        elements = reference.array(raw)
        if elements is not None and found.raw(reference.as_text(name)) == raw:
            assert found.array(reference.as_text(name)) == [reference.as_text(element) for element in elements]


# The reference


@pytest.mark.parametrize(
    ("key", "clear", "sealed"),
    [
        ("0000000000000000", "0000000000000000", "4EF997456198DD78"),
        ("FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFF", "51866FD5B85ECB8A"),
        ("0123456789ABCDEF", "1111111111111111", "61F9C3802281B096"),
    ],
)
def test_the_cipher_of_the_reference_is_blowfish(key: str, clear: str, sealed: str) -> None:
    """Vectors that Eric Young published with the cipher's first implementations."""
    cipher = reference.Blowfish(bytes.fromhex(key))
    assert cipher.encrypt_cbc(bytes(8), bytes.fromhex(clear)) == bytes.fromhex(sealed)
    assert cipher.decrypt_cbc(bytes(8), bytes.fromhex(sealed)) == bytes.fromhex(clear)


# The frame


def test_the_trailer_is_the_one_of_the_format() -> None:
    assert TRAILER == reference.TRAILER
    assert len(TRAILER) == 21


def test_a_plain_frame_is_text_trailer_and_padding() -> None:
    event = Event("HEARTBEAT", {"Up-Time": "0 years"}, b"hi")
    text = b"Event-Name: HEARTBEAT\nUp-Time: 0%20years\nContent-Length: 2\n\nhi"
    assert PLAIN.frame(event) == text + reference.TRAILER + bytes(272)
    assert PLAIN.open(text + reference.TRAILER) == event


def test_a_stock_host_hears_our_smallest_event() -> None:
    """It ignores datagrams of 256 bytes or fewer, which the padding alone exceeds."""
    assert len(PLAIN.frame(Event.from_plain(b"\n"))) > 256
    assert len(SEALED.frame(Event.from_plain(b"\n"))) > 256


def test_a_sealed_frame_is_salt_and_blowfish_cbc() -> None:
    event = Event("HEARTBEAT", {"A": "b: c"}, b"body")
    datagram = SEALED.frame(event, salt=SALT)
    assert datagram == reference.write_sealed_datagram(event.raw_items(), event.body, b"ClueCon", SALT)
    assert SEALED.open(datagram) == event


def test_each_sealed_frame_has_a_fresh_uuid_in_front() -> None:
    event = Event("HEARTBEAT")
    salts = {SEALED.frame(event)[:36].decode() for _ in range(50)}
    assert len(salts) == 50
    assert all(str(uuid.UUID(salt)) == salt for salt in salts)
    assert all(not any(SEALED.frame(event)[36:256]) for _ in range(3))


@pytest.mark.parametrize("salt", ["", "short", SALT[:-1], SALT + "0", "é" * 18, SALT[:35] + "\n"])
def test_a_salt_that_is_no_uuid_is_refused(salt: str) -> None:
    with pytest.raises(ValueError, match="36"):
        SEALED.frame(Event("X"), salt=salt)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 8, 55, 56, 57, 71, 72])
def test_keys_of_every_length_that_stock_takes_agree_with_the_reference(length: int) -> None:
    key = bytes(range(1, length + 1))
    event = Event("X", {"A": "b"}, b"body")
    datagram = StockFrames(key).frame(event, salt=SALT)
    assert reference.read_datagram(datagram, key) == (event.raw_items(), event.body)
    assert StockFrames(key).open(datagram) == event


def test_a_key_never_shows() -> None:
    frames = StockFrames(b"hush-hush")
    assert "hush" not in repr(frames) + str(frames)
    with pytest.raises(RejectedDatagram) as rejected:
        frames.open(SEALED.frame(Event("X")))
    assert "hush" not in str(rejected.value)


def test_what_stands_behind_the_trailer_must_be_nul() -> None:
    datagram = small_datagram()
    assert isinstance(outcome(PLAIN, datagram + bytes(1000)), Event)
    assert outcome(PLAIN, datagram + b"x") == "no_trailer"
    assert outcome(PLAIN, datagram + TRAILER) == "length_mismatch"
    assert outcome(PLAIN, datagram + datagram) == "length_mismatch"


def test_an_event_cut_at_every_byte_is_rejected_until_the_trailer_is_whole() -> None:
    datagram = small_datagram()
    whole = len(datagram) - 272
    for length in range(len(datagram) + 1):
        found = outcome(PLAIN, datagram[:length])
        assert isinstance(found, Event) == (length >= whole)
    assert outcome(PLAIN, b"") == "zero_length"


def test_an_event_without_its_first_bytes_never_passes_for_another(plain_datagrams: list[tuple[int, bytes]]) -> None:
    """What is left may still be lines of an event, and then the reference reads the same ones."""
    datagram = plain_datagrams[55][1]
    for start in range(len(datagram) - 272):
        assert_the_reference_agrees(datagram[start:])


def test_recorded_events_cut_at_every_byte_agree_with_the_reference(
    plain_datagrams: list[tuple[int, bytes]],
) -> None:
    for at in [1766, 1769, 1771]:
        datagram = plain_datagrams[at][1]
        for length in range(len(datagram)):
            assert_the_reference_agrees(datagram[:length])


def test_a_sealed_event_cut_at_every_byte_is_rejected_until_whole() -> None:
    datagram = SEALED.frame(Event("CUSTOM", {"A": "b"}, b"body"), salt=SALT)
    for length in range(len(datagram)):
        assert isinstance(outcome(SEALED, datagram[:length]), str)
    assert outcome(SEALED, datagram + b"x" * 8) == "wrong_key"
    assert outcome(SEALED, datagram + b"x") == "wrong_key"


def test_the_first_empty_line_ends_the_headers() -> None:
    assert outcome(PLAIN, b"A: b\n\nB: c\n\n" + TRAILER) == "length_mismatch"


def test_a_name_of_any_bytes_is_kept() -> None:
    event = PLAIN.open(b"caf\xe9 \x00\r: v\nvariable_a:b: c: d\n\n" + TRAILER)
    assert event.raw_items() == [(b"caf\xe9 \x00\r", b"v"), (b"variable_a:b: c", b"d")]
    assert event["caf\udce9 \x00\r"] == "v"


# Any event, any bytes


@PROPERTY
@given(header_lists(), bodies())
def test_any_headers_and_body_survive_a_plain_datagram(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    again = PLAIN.open(PLAIN.frame(event))
    assert again == event
    assert again.items() == headers
    assert again.body == body
    assert_the_reference_agrees(PLAIN.frame(event))


@PROPERTY
@given(header_lists(), bodies(), st.binary(min_size=1, max_size=72))
def test_any_headers_and_body_survive_a_sealed_datagram(
    headers: list[tuple[str, str]], body: bytes, key: bytes
) -> None:
    frames = StockFrames(key)
    event = Event.from_headers(headers, body)
    again = frames.open(frames.frame(event))
    assert again == event
    assert again.items() == headers
    assert again.body == body


@PROPERTY
@given(st.binary(max_size=600) | nearly_events())
def test_any_bytes_are_an_event_or_a_rejection(datagram: bytes) -> None:
    for frames in [PLAIN, SEALED]:
        found = outcome(frames, datagram)
        if isinstance(found, Event):
            assert Event.from_plain(found.to_plain()) == found
            assert json.loads(found.to_json()).keys() >= found.to_dict().keys() == set(found)
            assert found.to_xml().startswith("<event>")
            assert repr(found)
            assert all(stock_misreads(found))


@PROPERTY
@given(st.binary(max_size=600))
def test_any_bytes_behind_a_salt_are_an_event_or_a_rejection(sealed: bytes) -> None:
    for cut in [sealed, sealed[: len(sealed) // 8 * 8]]:
        outcome(SEALED, SALT.encode() + bytes(220) + cut)


@PROPERTY
@given(st.binary(max_size=300) | nearly_events())
def test_the_reference_agrees_on_any_bytes(datagram: bytes) -> None:
    assert_the_reference_agrees(datagram)
    assert_the_reference_agrees(datagram + TRAILER)


@PROPERTY
@given(nearly_events())
def test_the_reference_agrees_on_any_text(text: bytes) -> None:
    expected = reference_outcome(lambda: reference.read_text(text, LIMITS))
    found = event_or_reason(lambda: Event.from_plain(text))
    if expected is None:
        assert isinstance(found, str)
    else:
        assert isinstance(found, Event)
        assert (found.raw_items(), found.body) == expected


SMALL = small_datagram()


@PROPERTY
@given(mutations([SMALL, SMALL[:-272]]))
def test_the_reference_agrees_on_mutated_small_datagrams(datagram: bytes) -> None:
    assert_the_reference_agrees(datagram)


def test_the_reference_agrees_on_mutated_recorded_datagrams(plain_datagrams: list[tuple[int, bytes]]) -> None:
    """With the bodies of every kind among them; 1.5 KB at most, to leave the examples small."""
    recorded = [datagram for _, datagram in plain_datagrams if len(datagram) < 1500]
    assert len(recorded) > 500

    @PROPERTY
    @given(mutations([*recorded[:20], *recorded[-100:]]))
    def agrees(datagram: bytes) -> None:
        assert_the_reference_agrees(datagram)

    agrees()


def test_the_reference_agrees_on_one_changed_byte_anywhere() -> None:
    """Each byte of a whole event replaced by each byte that means something in the format."""
    for at in range(len(SMALL) - 272):
        for byte in b"\n:% \r\0059aZ\xe2":
            assert_the_reference_agrees(SMALL[:at] + bytes([byte]) + SMALL[at + 1 :])


def test_flipped_bits_in_a_sealed_datagram_never_raise_anything_else(psk_datagrams: list[tuple[int, bytes]]) -> None:
    """A few bits all over each datagram; the cipher detects none of them by itself."""
    for _, datagram in psk_datagrams[:60]:
        for bit in range(3, 8 * len(datagram), 8 * len(datagram) // 20):
            changed = bytes([datagram[bit // 8] ^ 1 << bit % 8])
            outcome(SEALED, datagram[: bit // 8] + changed + datagram[bit // 8 + 1 :])


# What stock would misread


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Event("X", {}, b"\xe2\x9c\x93"), "0xE2"),
        (Event("X", {"é✓": "v"}), "0xE2"),
        (Event("X", {}, b"a\r\nb"), "carriage return"),
        (Event("X", {}, b"Orig-Event-Name: FORGED"), "colon"),
        (Event("X", {"variable_nolocal:foo": "v"}), "variable_nolocal:foo"),
        (Event("X", {"x[4000]": "v"}), r"x\[4000\]"),
        (Event("X", {"A": "a\0b"}), "NUL"),
        (Event("X", {}, b"a\0b"), "NUL"),
        (Event("X", {"n" * 200: "v"}), "122"),
    ],
)
def test_what_stock_would_misread_is_told(event: Event, says: str) -> None:
    assert any(re.search(says, sentence) for sentence in stock_misreads(event))


def test_of_what_was_recorded_stock_misreads_only_what_it_was_seen_to(
    plain_datagrams: list[tuple[int, bytes]],
) -> None:
    """Ten headers with a colon in the name, and bodies with 0xE2, a carriage return or a colon."""
    told = [event for _, datagram in plain_datagrams if stock_misreads(event := PLAIN.open(datagram))]
    faulty = [
        event
        for _, datagram in plain_datagrams
        if re.search(rb"[\xe2\r:\0]", (event := PLAIN.open(datagram)).body) or any(":" in name for name in event)
    ]
    assert told == faulty
    assert 20 < len(told) < 40
