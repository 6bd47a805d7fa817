"""Datagrams that were made to hurt: each has the outcome it should have, and none costs memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from reference import TRAILER, write_datagram

from switchcast import LIMITS, Event, StockFrames
from switchcast._native import MAX_DATAGRAM_IPV4, MAX_DATAGRAM_IPV6
from switchcast.errors import RejectedDatagram

FRAMES = StockFrames()
NAME = b"Event-Name: CUSTOM\n"
MEMORY_LIMIT_KIB = 1024


def datagram_of(text: bytes, size: int | None = None) -> bytes:
    """``text`` with its trailer, and NULs up to ``size`` bytes."""
    datagram = text + TRAILER
    return datagram if size is None else datagram.ljust(size, b"\0")


def with_body(body: bytes) -> bytes:
    """A datagram that carries ``body``."""
    return datagram_of(b"%bContent-Length: %d\n\n%b" % (NAME, len(body), body))


def reason_of(datagram: bytes) -> str:
    """Why ``datagram`` is rejected."""
    with pytest.raises(RejectedDatagram) as rejected:
        FRAMES.open(datagram)
    return rejected.value.reason


def filled(size: int) -> bytes:
    """A datagram of ``size`` bytes, nearly all of it body."""
    overhead = len(with_body(b"x" * 60_000)) - 60_000
    return with_body(b"x" * (size - overhead))


# Sizes


def test_a_zero_length_datagram_is_rejected_and_nothing_more() -> None:
    assert reason_of(b"") == "zero_length"
    with pytest.raises(RejectedDatagram) as rejected:
        StockFrames(b"ClueCon").open(b"")
    assert rejected.value.reason == "zero_length"


def test_the_largest_datagrams_of_both_families_open() -> None:
    for size in [MAX_DATAGRAM_IPV4, MAX_DATAGRAM_IPV6]:
        datagram = filled(size)
        assert len(datagram) == size
        event = FRAMES.open(datagram)
        assert len(event.body) > 65_000
        assert FRAMES.frame(event) == datagram + bytes(272)
    assert (MAX_DATAGRAM_IPV4, MAX_DATAGRAM_IPV6) == (65_507, 65_527)


@pytest.mark.parametrize("size", [256, 257])
def test_a_datagram_of_256_bytes_opens_though_stock_ignores_it(size: int) -> None:
    datagram = datagram_of(NAME + b"\n", size)
    assert len(datagram) == size
    assert FRAMES.open(datagram).name == "CUSTOM"


@pytest.mark.parametrize("size", [1, 20, 21, 22, 36, 255, 256, 264, 272, 300, 65_507])
def test_nothing_but_nul_is_rejected(size: int) -> None:
    assert reason_of(bytes(size)) == "no_trailer"
    with pytest.raises(RejectedDatagram):
        StockFrames(b"ClueCon").open(bytes(size))


def test_the_trailer_alone_is_rejected() -> None:
    assert reason_of(TRAILER) == "no_end_of_headers"
    assert reason_of(TRAILER * 3000) == "no_end_of_headers"


def test_an_event_without_a_header_opens_and_is_empty() -> None:
    event = FRAMES.open(b"\n" + TRAILER)
    assert (len(event), event.name, event.body) == (0, "", b"")


# Headers


def test_an_index_in_a_name_is_part_of_the_name() -> None:
    """Stock allocates 4,001 strings for this one, so a datagram of them costs it 800 MB."""
    event = FRAMES.open(datagram_of(NAME + b"x[4000]: v\nx[-1]: w\nx[99999999999]: y\n\n"))
    assert event.items() == [("Event-Name", "CUSTOM"), ("x[4000]", "v"), ("x[-1]", "w"), ("x[99999999999]", "y")]
    assert event.array("x[4000]") == ["v"]
    assert "x" not in event


def test_60_000_headers_are_rejected() -> None:
    assert rejected_text(b"h: v\n" * 60_000 + b"\n") == "too_many_headers"


def test_as_many_headers_as_a_datagram_holds_are_rejected() -> None:
    datagram = datagram_of(b"h:\n" * ((MAX_DATAGRAM_IPV4 - len(TRAILER) - 1) // 3) + b"\n")
    assert len(datagram) > MAX_DATAGRAM_IPV4 - 3
    assert reason_of(datagram) == "too_many_headers"


def test_the_limit_on_headers_is_where_it_says() -> None:
    most = LIMITS["headers"]
    assert len(FRAMES.open(datagram_of(b"h: v\n" * most + b"\n"))) == most
    assert reason_of(datagram_of(b"h: v\n" * (most + 1) + b"\n")) == "too_many_headers"


def test_a_name_of_10_000_bytes_is_rejected() -> None:
    assert reason_of(datagram_of(b"n" * 10_000 + b": v\n\n")) == "header_name_too_long"


def test_the_limit_on_names_is_where_it_says() -> None:
    most = LIMITS["header_name_bytes"]
    assert most < 10_000
    assert FRAMES.open(datagram_of(b"n" * most + b": v\n\n"))["n" * most] == "v"
    assert reason_of(datagram_of(b"n" * (most + 1) + b": v\n\n")) == "header_name_too_long"


def test_the_limit_on_values_is_where_it_says() -> None:
    most = LIMITS["header_value_bytes"]
    assert Event.from_plain(b"A: " + b"v" * most + b"\n\n")["A"] == "v" * most
    assert rejected_text(b"A: " + b"v" * (most + 1) + b"\n\n") == "header_value_too_long"


def test_the_limit_on_text_is_where_it_says() -> None:
    most = LIMITS["event_bytes"]
    head = b"Content-Length: %d\n\n"
    body = b"b" * (most - len(head % most))
    text = head % len(body) + body
    assert len(text) == most
    assert len(Event.from_plain(text).body) == len(body)
    assert rejected_text(text + b"b") == "too_long"


@pytest.mark.parametrize("prefix", [b"ARRAY::", b"ARRAY%3A%3A", b"%41RRAY%3A:", b"%41%52%52%41%59%3A%3A"])
@pytest.mark.parametrize("separator", [b"|:", b"%7C%3A", b"|%3a"])
def test_the_limit_on_arrays_is_where_it_says(prefix: bytes, separator: bytes) -> None:
    """However the prefix and the separators are encoded."""
    most = LIMITS["array_elements"]
    event = FRAMES.open(datagram_of(b"A: " + prefix + separator * (most - 1) + b"\n\n"))
    assert event.array("A") == [""] * most
    assert reason_of(datagram_of(b"A: " + prefix + separator * most + b"\n\n")) == "array_too_long"


def test_the_largest_array_that_a_datagram_holds_is_rejected() -> None:
    assert reason_of(datagram_of(b"A: ARRAY::" + b"|:" * 32_000 + b"\n\n")) == "array_too_long"


def test_repeated_names_are_all_kept() -> None:
    event = FRAMES.open(datagram_of(b"A: 1\na: 2\n" * 1000 + b"\n"))
    assert event.getall("A") == ["1", "2"] * 1000
    assert event["A"] == "1"


@pytest.mark.parametrize(
    ("raw", "value"), [(b"a%00b", "a\0b"), (b"%zz", "%zz"), (b"%", "%"), (b"%4", "%4"), (b"_undef_", ""), (b"", "")]
)
def test_odd_values_open(raw: bytes, value: str) -> None:
    event = FRAMES.open(datagram_of(NAME + b"A: " + raw + b"\n\n"))
    assert event["A"] == value
    assert event.raw("A") == raw


@pytest.mark.parametrize("line", [b"no colon", b": v", b" ", b"\r", b"\0", TRAILER])
def test_a_line_that_is_no_header_is_rejected(line: bytes) -> None:
    assert reason_of(datagram_of(NAME + line + b"\n\n")) == "malformed_header"


# Bodies


@pytest.mark.parametrize(
    "body",
    [
        b"Signal=5\r\nDuration=160\r\n",
        b"\r",
        b"Orig-Event-Name: FORGED\n",
        b": \n: \n",
        b"\xe2",
        b"\xe2\x84\xb1",
        TRAILER,
        b"x " + TRAILER + b" y",
        TRAILER + bytes(272),
        b"\n",
        b"\n\n\n\n",
        b"Content-Length: 3\n\nabc",
        b"\0",
        b"a\0b\0",
        write_datagram([(b"Event-Name", b"INNER")]),
    ],
)
def test_a_body_is_kept_whatever_it_holds(body: bytes) -> None:
    event = FRAMES.open(with_body(body))
    assert event.body == body
    assert event.items() == [("Event-Name", "CUSTOM")]
    assert FRAMES.open(with_body(body) + bytes(272)) == event


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (b"4", "length_mismatch"),
        (b"6", "length_mismatch"),
        (b"0", "length_mismatch"),
        (b"65507", "length_mismatch"),
        (b"4294967301", "length_mismatch"),
        (b"9223372036854775807", "length_mismatch"),
        (b"18446744073709551615", "bad_content_length"),
        (b"18446744073709551621", "bad_content_length"),
        (b"9" * 4000, "bad_content_length"),
        (b"-1", "bad_content_length"),
        (b"-5", "bad_content_length"),
        (b"+5", "bad_content_length"),
        (b" 5", "bad_content_length"),
        (b"5 ", "bad_content_length"),
        (b"5.0", "bad_content_length"),
        (b"0x5", "bad_content_length"),
        (b"%35", "bad_content_length"),
        (b"", "bad_content_length"),
        (b"_undef_", "bad_content_length"),
        (b"\xd9\xa5", "bad_content_length"),
    ],
)
def test_a_content_length_that_is_not_right_is_rejected(length: bytes, reason: str) -> None:
    assert reason_of(datagram_of(NAME + b"Content-Length: " + length + b"\n\nhello")) == reason


def test_a_content_length_with_zeros_in_front_is_a_number() -> None:
    assert FRAMES.open(datagram_of(NAME + b"Content-Length: 0005\n\nhello")).body == b"hello"


def test_only_the_last_content_length_counts() -> None:
    event = FRAMES.open(datagram_of(b"content-length: -1\nA: b\nContent-Length: 2\n\nhi"))
    assert (event["Content-Length"], event.body) == ("-1", b"hi")
    event = FRAMES.open(datagram_of(b"Content-Length: 99999\nMulticast-Sender: fs1\n\n"))
    assert (event["Content-Length"], event.body) == ("99999", b"")
    assert reason_of(datagram_of(b"Content-Length: 2\nContent-Length: 3\n\nhi")) == "length_mismatch"


def test_a_body_without_a_length_is_rejected() -> None:
    assert reason_of(datagram_of(NAME + b"\nhello")) == "length_mismatch"


def rejected_text(text: bytes) -> str:
    """Why ``text``, which no datagram could carry, is rejected."""
    with pytest.raises(RejectedDatagram) as rejected:
        Event.from_plain(text)
    return rejected.value.reason


# Memory

HOSTILE: dict[str, Callable[[], bytes]] = {
    "zero-length": lambda: b"",
    "65,507 bytes of body": lambda: filled(65_507),
    "65,507 NULs": lambda: bytes(65_507),
    "trailers": lambda: TRAILER * 3119,
    "an index in a name": lambda: datagram_of(NAME + b"x[4000]: v\n\n"),
    "an index in every name": lambda: datagram_of(b"x[9999]: v\n" * LIMITS["headers"] + b"\n"),
    "60,000 headers": lambda: datagram_of(b"h: v\n" * 60_000 + b"\n"),
    "too many headers": lambda: datagram_of(b"h:\n" * 21_000 + b"\n"),
    "as many headers as are taken": lambda: datagram_of(b"h:\n" * LIMITS["headers"] + b"\n"),
    "as many names as are taken": lambda: datagram_of(
        b"".join(b"%028d: x\n" % n for n in range(LIMITS["headers"] - 100)) + b"\n"
    ),
    "a long name": lambda: datagram_of(b"n" * 60_000 + b": v\n\n"),
    "a long value": lambda: datagram_of(b"A: " + b"v" * 65_000 + b"\n\n"),
    "a long value of escapes": lambda: datagram_of(b"A: " + b"%00" * 21_000 + b"\n\n"),
    "too long an array": lambda: datagram_of(b"A: ARRAY::" + b"|:" * 32_000 + b"\n\n"),
    "too long an array, encoded": lambda: datagram_of(b"A: %41RRAY%3A%3A" + b"|:" * 32_000 + b"\n\n"),
    "as long an array as is taken": lambda: datagram_of(b"A: ARRAY::ab" + b"|:ab" * 3999 + b"\n\n"),
    "a length that overflows": lambda: datagram_of(b"Content-Length: 9223372036854775807\n\n"),
    "a body that is not UTF-8": lambda: with_body(b"\xff" * 60_000),
    "a sealed shape": lambda: b"dae00fd0-1c45-4215-853e-30c6eeaf7b53".ljust(256, b"\0") + b"x" * 65_248,
}
MEASURE = """
import ctypes, re, sys
from switchcast import Event, StockFrames
from switchcast.errors import RejectedDatagram

def kib(name):
    with open("/proc/self/status") as status:
        return int(re.search(name + r":\\s+(\\d+) kB", status.read())[1])

def take(frames, datagram):
    try:
        event = frames.open(datagram)
    except RejectedDatagram:
        return
    for name in event.keys()[:1]:
        event[name], event.array(name), event.getall(name)
    event.items(), event.body, repr(event)

ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: a huge page would count whole for one byte in use
hostile = sys.stdin.buffer.read()
keys = [StockFrames(), StockFrames(b"ClueCon")]
harmless = keys[0].frame(Event("CUSTOM", [("A", "b")] * 20, b"x" * 60_000))
for _ in range(50):
    for frames in keys:
        take(frames, harmless)
before = kib("VmRSS")
with open("/proc/self/clear_refs", "w") as peak:
    peak.write("5")  # the peak starts again from what is in use now
for _ in range(200):
    for frames in keys:
        take(frames, hostile)
print(kib("VmHWM") - before)
"""


def measured_growth(script: str, hostile: bytes) -> int:
    """KiB by which ``script``, in a process of its own with ``hostile`` on its standard input, raises its peak."""
    process = subprocess.run(
        [sys.executable, "-c", script], input=hostile, capture_output=True, check=False, timeout=60
    )
    assert process.returncode == 0, process.stderr.decode()
    return int(process.stdout)


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_datagram_raises_memory_by_more_than_a_mebibyte(kind: str) -> None:
    """Peak resident memory of a process that opens the datagram 200 times and reads it, with and without a key."""
    hostile = HOSTILE[kind]()
    assert len(hostile) <= MAX_DATAGRAM_IPV4 or kind == "60,000 headers", "no datagram, but an event socket, has room"
    assert measured_growth(MEASURE, hostile) < MEMORY_LIMIT_KIB


def test_the_measure_of_memory_sees_a_leak() -> None:
    keeping = MEASURE.replace("for _ in range(200):", "kept = []\nfor _ in range(200):").replace(
        "        take(frames, hostile)", "        kept.append(hostile + b'.')"
    )
    assert measured_growth(keeping, filled(65_507)) > MEMORY_LIMIT_KIB
