"""What a recording holds to events, and events to a recording: JSON lines and captures. No I/O; everything is counted.

Which of them it is, is told by how it begins; a name or an option decides only where the beginning does not.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Literal, Protocol

import structlog

from switchcast._native import MAX_DATAGRAM_IPV4, MAX_DATAGRAM_IPV6, CaptureReader, CaptureWriter, Event, StockFrames
from switchcast.endpoints.compression import CutShort, decompressed
from switchcast.errors import EndpointError, RejectedDatagram
from switchcast.wire.lines import LineSplitter, from_line, to_line

__all__ = ["BATCH_EVENTS", "Format", "RecordingReader", "RecordingWriter"]

Format = Literal["jsonl", "pcap", "pcapng"]

BATCH_EVENTS = 512
"""Events that are handed on at once, at most."""

SOURCE = ("127.0.0.1", 4242)
"""Where a written packet comes from when the event does not know."""
DESTINATIONS = {4: "225.1.1.1", 6: "ff02::4242"}
"""Where a written packet goes, by IP version: the stock module's own group, and one like it."""
PORT = 4242

LAST_SECOND = 2**32 - 1
"""The last second that a pcap file can tell of, in 2106."""

_CAPTURE_MARKS = (
    b"\n\r\r\n",
    b"\xa1\xb2\xc3\xd4",
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",
    b"\x4d\x3c\xb2\xa1",
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOLD_LINES = 3
"""Bad lines of a file that are told of one by one; the counter tells how many there were."""

log = structlog.get_logger("switchcast")


class RecordingReader:
    """The pieces of one recording to batches of events.

    ``name`` stands in messages. ``psk`` opens the datagrams of a capture; ``port``, when given, leaves out those that
    went to another one.
    """

    def __init__(
        self, name: str, expected: Format | None, *, psk: bytes | None = None, port: int | None = None
    ) -> None:
        self._name = name
        self._expected = expected
        self._frames = StockFrames(psk)
        self._port = port
        self._tally: Counter[str] = Counter()
        self._capture: CaptureReader | None = None
        self._cut: str | None = None
        self._first_fault = ""

    def counters(self) -> dict[str, int]:
        """``events``, ``truncated`` (0 or 1), ``rejected_<reason>``; of a capture also what its packets were."""
        counts = {"events": 0, "truncated": 0} | self._tally
        return counts | (self._capture.counters() if self._capture else {})

    def batches(self, pieces: Iterator[bytes]) -> Iterator[list[Event]]:
        """Lists of events, an empty one wherever nothing has come yet.

        Raises ``EndpointError`` for what is neither JSON lines nor a capture. What is cut short gives what is there,
        and then a warning.
        """
        whole = self._until_cut(decompressed(pieces))
        start = b""
        for piece in whole:
            start += piece
            if len(start) >= 4 and start.removeprefix(_BYTE_ORDER_MARK).strip():
                break
            yield []
        rest = chain([start], whole)
        if self._is_capture(start):
            yield from self._datagrams(rest)
        else:
            yield from self._lines(rest)

    def _until_cut(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """``pieces``, until the compressed stream around them ends too early."""
        try:
            yield from pieces
        except CutShort as error:
            self._cut = str(error)

    def _is_capture(self, start: bytes) -> bool:
        text = start.removeprefix(_BYTE_ORDER_MARK).strip()
        if start.startswith(_CAPTURE_MARKS):
            return True
        if text.startswith(b"{") or not text:
            return False
        if self._expected is None:
            raise EndpointError(
                f"{self._name}: neither JSON lines nor a capture (pcap, pcapng): it begins with {text[:16]!r}"
                + ("; for one object a line: jq -c '.[]'" if text.startswith(b"[") else "")
            )
        return self._expected != "jsonl"

    def _lines(self, pieces: Iterator[bytes]) -> Iterator[list[Event]]:
        splitter = LineSplitter()
        number = 0
        for piece in pieces:
            lines = splitter.feed(piece)
            for at in range(0, len(lines), BATCH_EVENTS):
                yield self._parse(lines[at : at + BATCH_EVENTS], number + at)
            number += len(lines)
            if not lines:
                yield []
        tail = splitter.finish()
        if tail.lstrip().startswith(b"{") and not tail.rstrip().endswith(b"}"):
            self._cut = self._cut or f"line {number + 1}, the last one, is cut short"
        if not self._cut:
            yield self._parse([tail], number)
        self._tell_of_cut()
        rejected = sum(count for name, count in self._tally.items() if name.startswith("rejected_"))
        if rejected and not self._tally["events"]:
            raise EndpointError(f"{self._name}: no line of it is an event in JSON; {self._first_fault}")

    def _parse(self, lines: Sequence[bytes], before: int) -> list[Event]:
        events = []
        for number, line in enumerate(lines, before + 1):
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if not text or text.isspace():
                continue
            try:
                events.append(from_line(text))
            except RejectedDatagram as error:
                self._reject_line(number, error)
        return self._counted(events)

    def _reject_line(self, number: int, error: RejectedDatagram) -> None:
        self._tally[f"rejected_{error.reason}"] += 1
        self._tally["bad_lines"] += 1
        self._first_fault = self._first_fault or f"line {number}: {error}"
        if self._tally["bad_lines"] <= _TOLD_LINES:
            log.warning("a line is no event and was left out", file=self._name, line=number, fault=str(error))

    def _datagrams(self, pieces: Iterator[bytes]) -> Iterator[list[Event]]:
        reader = self._capture = CaptureReader()
        for piece in pieces:
            try:
                found = reader.feed(piece)
            except ValueError as error:
                raise EndpointError(f"{self._name}: {error}") from None
            for at in range(0, len(found), BATCH_EVENTS):
                yield self._open(found[at : at + BATCH_EVENTS])
            if not found:
                yield []
        self._cut = reader.finish() or self._cut
        self._tell_of_cut()
        counts = reader.counters()
        if counts["packets"] and not self._tally["events"]:
            counts |= self._tally
            log.warning("the capture holds no event", file=self._name, **{name: n for name, n in counts.items() if n})

    def _open(self, datagrams: Sequence[tuple[int, str, int, str, int, bytes]]) -> list[Event]:
        events = []
        for time_ns, source, source_port, _, port, payload in datagrams:
            if self._port is not None and port != self._port:
                self._tally["other_port"] += 1
                continue
            try:
                event = self._frames.open(payload)
            except RejectedDatagram as error:
                self._tally[f"rejected_{error.reason}"] += 1
                continue
            origin = f"[{source}]:{source_port}" if ":" in source else f"{source}:{source_port}"
            events.append(event.with_origin(origin, time_ns or None))
        return self._counted(events)

    def _counted(self, events: list[Event]) -> list[Event]:
        self._tally["events"] += len(events)
        return events

    def _tell_of_cut(self) -> None:
        if self._cut:
            self._tally["truncated"] += 1
            log.warning("the file is cut short or damaged; what came before was read", file=self._name, fault=self._cut)


class RecordingWriter(Protocol):
    """Events to the bytes of a recording."""

    def start(self) -> bytes:
        """What a new file begins with."""

    def encode(self, events: Sequence[Event]) -> bytes:
        """What is written for these events."""

    def counters(self) -> dict[str, int]:
        """``events``, and what could not be written."""


class LineWriter:
    """JSON lines."""

    def __init__(self) -> None:
        self._events = 0

    def start(self) -> bytes:
        return b""

    def encode(self, events: Sequence[Event]) -> bytes:
        self._events += len(events)
        return b"".join(to_line(event).encode() + b"\n" for event in events)

    def counters(self) -> dict[str, int]:
        return {"events": self._events}


class PacketWriter:
    """Stock datagrams in a capture, as if they had just been sent to the stock module's group.

    A packet's time is when its event was received, else the event's own, else ``now_ns``. It comes from the event's
    source, or from 127.0.0.1:4242.
    """

    def __init__(
        self, name: str, capture_format: Format, psk: bytes | None, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._name = name
        self._writer = CaptureWriter(capture_format)
        self._frames = StockFrames(psk)
        self._now_ns = now_ns
        self._tally: Counter[str] = Counter()

    def start(self) -> bytes:
        return self._writer.header()

    def encode(self, events: Sequence[Event]) -> bytes:
        return b"".join(self._packet(event) for event in events)

    def counters(self) -> dict[str, int]:
        return {"events": 0, "too_large": 0} | self._tally

    def _packet(self, event: Event) -> bytes:
        payload = self._frames.frame(event)
        source, source_port = source_of(event)
        version = ipaddress.ip_address(source).version
        limit = MAX_DATAGRAM_IPV4 if version == 4 else MAX_DATAGRAM_IPV6
        if len(payload) > limit:
            self._tally["too_large"] += 1
            if self._tally["too_large"] == 1:
                log.warning(
                    "an event is larger than any datagram and was left out",
                    file=self._name,
                    name=event.name,
                    size=len(payload),
                    limit=limit,
                )
            return b""
        self._tally["events"] += 1
        return self._writer.packet(self._time_ns(event), source, source_port, DESTINATIONS[version], PORT, payload)

    def _time_ns(self, event: Event) -> int:
        own = None if event.timestamp is None else event.timestamp * 1_000
        for time_ns in (event.received, own):
            if time_ns is not None and 0 <= time_ns // 1_000_000_000 <= LAST_SECOND:
                return time_ns
        return self._now_ns()


def source_of(event: Event) -> tuple[str, int]:
    """The address and port in ``Event.source``, or the default for an event that came another way."""
    address, _, port = (event.source or "").rpartition(":")
    address = address.removeprefix("[").removesuffix("]").partition("%")[0]  # a packet has no room for a zone
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError:
        return SOURCE
    return (address, number) if 0 <= number <= 65_535 else SOURCE
