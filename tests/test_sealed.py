"""Sealed frames: any event crosses them unchanged, nothing else is taken, and other hands read and write the same."""

from __future__ import annotations

import random
import statistics
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sealed_reference as reference
from hypothesis import given
from hypothesis import strategies as st
from recordings import PSK
from sealed_reference import Header
from strategies import AWKWARD_BODIES, AWKWARD_VALUES, PROPERTY, bodies, header_lists

from switchcast import LIMITS, Event, StockFrames
from switchcast._native import SEALED_DICTIONARY, SealedFrames, key_id, public_key
from switchcast.errors import RejectedDatagram

ROOT = Path(__file__).parent.parent
SECRET = bytes(range(32))
STREAM = bytes(range(16))
SEED = bytes(range(32, 64))
CIPHERS = ["chacha20-poly1305", "aes-256-gcm"]
FRAMES = {cipher: SealedFrames(SECRET, sender="fs1", stream=STREAM, cipher=cipher) for cipher in CIPHERS}
HEADER = Header(1, reference.key_id(SECRET), reference.sender_id("fs1"), STREAM, 1)


def reason(frames: SealedFrames, *sealed: bytes) -> str:
    """Why these are not opened."""
    with pytest.raises(RejectedDatagram) as rejected:
        frames.open(sealed)
    return rejected.value.reason


def events() -> st.SearchStrategy[Event]:
    """Events that hold anything that an event can hold."""

    def built(headers: list[tuple[str, str]], body: bytes) -> Event:
        allowed = [(name, value) for name, value in headers if name.lower() != "content-length"]
        return Event.from_headers(allowed, body)

    return st.builds(built, header_lists(), bodies())


def incompressible(length: int) -> Event:
    """An event whose body cannot be packed, so that it takes as many frames as it is long."""
    return Event("CUSTOM", {"Event-Subclass": "test::long"}, random.Random(length).randbytes(length))  # noqa: S311


@PROPERTY
@given(events(), st.sampled_from(CIPHERS), st.integers(1, 2**64 - 1))
def test_any_event_crosses_unchanged_and_others_read_the_same(event: Event, cipher: str, sequence: int) -> None:
    sealed = FRAMES[cipher].frame(event, sequence)
    assert FRAMES[cipher].open(sealed) == event
    assert reference.open_event(SECRET, sealed) == event.to_plain()


@PROPERTY
@given(events(), st.sampled_from([1, 2]), st.sampled_from([0, 1]), st.integers(1, 2**64 - 1), st.integers(1, 22))
def test_what_others_seal_is_opened(event: Event, cipher: int, dictionary: int, sequence: int, level: int) -> None:
    header = replace(HEADER, cipher=cipher, dictionary=dictionary, sequence=sequence)
    sealed = reference.seal_event(SECRET, header, event.to_plain(), level)
    assert SealedFrames(SECRET, sender="other").open(sealed) == event


@pytest.mark.parametrize("value", AWKWARD_VALUES)
def test_values_that_the_stock_encoding_confuses_stay_apart(value: str) -> None:
    written = [Event.from_headers([("Event-Name", "CUSTOM"), ("X", value)], exact=exact) for exact in (False, True)]
    for event in written:
        opened = FRAMES[CIPHERS[0]].open(FRAMES[CIPHERS[0]].frame(event, 1))
        assert opened.to_plain() == event.to_plain()


@pytest.mark.parametrize("body", AWKWARD_BODIES)
def test_bodies_cross_byte_for_byte(body: bytes) -> None:
    event = Event("MESSAGE", {}, body)
    assert FRAMES[CIPHERS[0]].open(FRAMES[CIPHERS[0]].frame(event, 1)).body == body


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_long_event_is_cut_into_full_frames_that_open_in_any_order(cipher: str) -> None:
    event = incompressible(60_000)
    sealed = FRAMES[cipher].frame(event, 7)
    headers = [SealedFrames.header(frame) for frame in sealed]
    assert [len(frame) for frame in sealed[:-1]] == [1_200] * (len(sealed) - 1)
    assert [header["fragment"] for header in headers] == list(range(len(sealed)))
    assert {header["fragments"] for header in headers} == {len(sealed)}
    shuffled = random.Random(1).sample(sealed, len(sealed))  # noqa: S311
    assert FRAMES[cipher].open(shuffled) == event
    assert reference.open_event(SECRET, shuffled) == event.to_plain()
    with pytest.raises(ValueError, match="fragments of the event are missing"):
        FRAMES[cipher].open(sealed[1:])
    other = FRAMES[cipher].frame(event, 8)
    with pytest.raises(ValueError, match="more than one event"):
        FRAMES[cipher].open([sealed[0], *other[1:]])
    moved = [sealed[0], sealed[2][:48] + sealed[1][48:], *sealed[2:]]
    assert reason(FRAMES[cipher], *moved) == "not_authentic"


def test_an_event_beyond_the_limit_is_not_sealed() -> None:
    largest = incompressible(LIMITS["sealed_event_bytes"] - 200)
    assert FRAMES[CIPHERS[0]].open(FRAMES[CIPHERS[0]].frame(largest, 1)) == largest
    with pytest.raises(ValueError, match="frames take 1048576"):
        FRAMES[CIPHERS[0]].frame(incompressible(LIMITS["sealed_event_bytes"]), 1)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_frame_that_is_not_as_it_was_sealed_is_refused(cipher: str) -> None:
    frames = FRAMES[cipher]
    (frame,) = frames.frame(Event("HEARTBEAT", {"Event-Info": "System Ready"}), 17)
    for place in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[place] ^= 1 << bit
            if place == 44:  # a flag is a hint, and not authenticated
                assert frames.open([bytes(changed)]) == frames.open([frame])
            else:
                assert reason(frames, bytes(changed)) in {
                    "not_sealed",
                    "frame_version",
                    "malformed_frame",
                    "unknown_key",
                    "not_authentic",
                }
    for length in range(len(frame)):
        assert reason(frames, frame[:length]) in {"zero_length", "not_sealed", "malformed_frame", "not_authentic"}
    assert reason(frames, frame + b"\0") == "not_authentic"


def test_only_the_groups_key_opens() -> None:
    (frame,) = FRAMES[CIPHERS[0]].frame(Event("HEARTBEAT"), 1)
    assert reason(SealedFrames(bytes(32), sender="fs1"), frame) == "unknown_key"
    pretended = frame[:4] + reference.key_id(bytes(32)) + frame[8:]
    assert reason(SealedFrames(bytes(32), sender="fs1"), pretended) == "not_authentic"


@pytest.mark.parametrize("cipher", [1, 2])
def test_what_a_member_may_not_make_others_unpack_is_refused(cipher: int) -> None:
    frames = SealedFrames(SECRET, sender="other")
    header = replace(HEADER, cipher=cipher, dictionary=1)
    bomb = reference.seal_event(SECRET, header, bytes(LIMITS["sealed_event_bytes"] + 1))
    assert len(bomb) == 1
    assert reason(frames, *bomb) == "bad_payload"
    for dictionary, payload in [(1, b""), (1, b"Event-Name: HEARTBEAT\n\n"), (2, b"Event-Name: HEARTBEAT\n\n")]:
        sealed = reference.seal_frame(SECRET, replace(header, dictionary=dictionary), payload)
        assert reason(frames, sealed) == "bad_payload"
    assert (
        reason(frames, reference.seal_frame(SECRET, replace(header, dictionary=0), b"no event")) == "no_end_of_headers"
    )
    largest = reference.seal_frame(SECRET, replace(header, fragments=65_535), bytes(reference.PAYLOAD))
    assert reason(frames, largest) == "bad_payload"


def test_a_recorded_event_takes_a_sixth_of_stocks_bytes(
    plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]
) -> None:
    recorded = [StockFrames().open(datagram) for _, datagram in plain_datagrams]
    recorded += [StockFrames(PSK).open(datagram) for _, datagram in psk_datagrams]
    sealed = [FRAMES[CIPHERS[0]].frame(event, 1) for event in recorded]
    assert [FRAMES[CIPHERS[0]].open(frames) for frames in sealed] == recorded
    sizes = [sum(map(len, frames)) for frames in sealed]
    assert sum(sizes) < sum(len(StockFrames().frame(event)) for event in recorded) / 6
    assert statistics.median(sizes) < 330
    assert sum(len(frames) == 1 for frames in sealed) > 0.98 * len(sealed)


def test_the_dictionary_is_what_its_script_makes_of_the_recordings(tmp_path: Path) -> None:
    made = tmp_path / "dictionary.bin"
    subprocess.run([sys.executable, ROOT / "scripts/train_dictionary.py", made], check=True, timeout=120)
    assert made.read_bytes() == SEALED_DICTIONARY


def test_the_dictionary_holds_nothing_of_the_recorded_site(plain_datagrams: list[tuple[int, bytes]]) -> None:
    first = StockFrames().open(plain_datagrams[0][1])
    assert first.core_uuid is not None
    for identity in (first.core_uuid, first["Event-Date-Local"], first["FreeSWITCH-IPv4"]):
        assert str(identity).encode() not in SEALED_DICTIONARY


def test_nothing_of_an_event_or_a_key_shows() -> None:
    event = Event("CUSTOM", {"Event-Subclass": "test::secret", "X": "plain words that nobody may read"})
    assert b"plain" not in b"".join(FRAMES[CIPHERS[0]].frame(event, 1))
    shown = repr(FRAMES[CIPHERS[0]])
    assert STREAM.hex() in shown
    assert SECRET.hex() not in shown
    assert repr(SECRET) not in shown


def test_a_header_tells_what_the_reference_reads() -> None:
    for number, cipher in enumerate(CIPHERS, start=1):
        frame = FRAMES[cipher].frame(incompressible(3_000), 2**63)[1]
        header = Header.read(frame)
        assert SealedFrames.header(frame) == {
            "kind": "event",
            "key": key_id(SECRET),
            "sender": reference.sender_id("fs1"),
            "stream": STREAM,
            "sequence": 2**63,
            "fragment": 1,
            "fragments": 3,
            "repair": False,
            "cipher": cipher,
            "dictionary": header.dictionary,
        }
        assert (header.key.hex(), header.cipher) == (key_id(SECRET), number)
        assert header == replace(
            HEADER, sequence=2**63, fragment=1, fragments=3, cipher=number, dictionary=header.dictionary
        )


def test_streams_are_random_unless_they_are_given() -> None:
    streams = {SealedFrames(SECRET, sender="fs1").stream for _ in range(100)}
    assert len(streams) == 100
    assert FRAMES[CIPHERS[0]].stream == STREAM


@pytest.mark.parametrize("kind", ["beacon", "hello", "welcome", "request", "refusal"])
def test_control_frames_are_read_by_others_and_malformed_ones_refused(kind: str) -> None:
    frames = FRAMES[CIPHERS[0]]
    frame = frames.control(kind, b"rubbish", 5)
    header = Header.read(frame)
    assert (header.kind, header.sequence, header.dictionary) == (reference.KINDS[kind], 5, 0)
    assert header.nonce[0] == 1
    assert reference.open_frame(SECRET, frame) == b"rubbish"
    with pytest.raises(RejectedDatagram, match="not in the right form"):
        frames.message(frame)


@PROPERTY
@given(st.lists(events(), min_size=1, max_size=6), st.integers(1, 2**63))
def test_a_signature_is_verified_by_others_and_theirs_by_us(signed: list[Event], first: int) -> None:
    frames = FRAMES[CIPHERS[0]]
    frame = frames.sign(signed, first, SEED)
    header = Header.read(frame)
    assert (header.kind, header.sequence) == (reference.KINDS["signature"], first + len(signed))
    texts = [event.to_plain() for event in signed]
    digests = [reference.digest(STREAM, first + place, text) for place, text in enumerate(texts)]
    assert reference.verify(public_key(SEED), header, reference.open_frame(SECRET, frame)) == (first, digests)
    assert frames.signer(frame, signed, {"alice": public_key(SEED)}) == "alice"
    theirs = replace(HEADER, kind=2, sequence=first + len(signed))
    sealed = reference.seal_frame(SECRET, theirs, reference.sign(SEED, theirs, first, texts))
    assert sealed == frame, "Ed25519 signs the same bytes alike"


def test_a_signature_is_by_its_signer_for_its_events_and_no_other() -> None:
    frames = FRAMES[CIPHERS[0]]
    signed = [Event("HEARTBEAT", {"Event-Sequence": str(number)}) for number in range(3)]
    frame = frames.sign(signed, 10, SEED)
    signers = {"alice": public_key(SEED), "bob": public_key(bytes(32))}
    assert frames.signer(frame, signed, signers) == "alice"
    for events_of, known in [
        (signed, {"bob": signers["bob"]}),
        (signed, {"alice": signers["bob"]}),
        (signed[:2], signers),
        (signed[::-1], signers),
    ]:
        with pytest.raises(RejectedDatagram) as rejected:
            frames.signer(frame, events_of, known)
        assert rejected.value.reason == "bad_signature"


def test_what_cannot_be_sealed_says_why() -> None:
    frames = FRAMES[CIPHERS[0]]
    (event,) = frames.frame(Event("HEARTBEAT"), 1)
    beacon = frames.control("beacon", struct.pack("> Q Q Q Q B B", 2, 1, 0, 0, 0, 0), 1)
    with pytest.raises(ValueError, match="a key has 32 bytes, not 31"):
        SealedFrames(bytes(31), sender="fs1")
    with pytest.raises(ValueError, match="a stream has 16 bytes"):
        SealedFrames(SECRET, sender="fs1", stream=b"short")
    with pytest.raises(ValueError, match="there are chacha20-poly1305 and aes-256-gcm"):
        SealedFrames(SECRET, sender="fs1", cipher="rot13")
    with pytest.raises(ValueError, match="no kind of control frame"):
        frames.control("event", b"", 1)
    with pytest.raises(ValueError, match="a frame holds 1136 bytes, not 1137"):
        frames.control("hello", bytes(1_137), 1)
    with pytest.raises(ValueError, match="1 to 64 events"):
        frames.sign([], 1, SEED)
    with pytest.raises(ValueError, match="a beacon, not of an event"):
        frames.open([beacon])
    with pytest.raises(ValueError, match="kind event is no message"):
        frames.message(event)
    with pytest.raises(ValueError, match="a beacon, not a signature"):
        frames.signer(beacon, [], {})
    with pytest.raises(ValueError, match="fragments of the event are missing"):
        frames.open([])
