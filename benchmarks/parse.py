"""Parsing alone: the event's text in, every header decoded to ``str``.

The peers are the event-socket libraries of PyPI that still run, each by its own parser and nothing else of it; the
faster of them in the same run is the one to beat. (The C library ``freeswitch-esl-python`` is slower than both: it
needs a call for each header's name and one for its value.)
"""

from __future__ import annotations

import importlib
import random
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from typing import Any
from urllib.parse import unquote

from benchmarks.events import SIZES, near, text
from benchmarks.result import Row, at_least, check, interleave
from switchcast import Event, StockFrames

OTHERS = 8
"""Events made from each recorded one, so that what is measured has not just been read with the same values."""

Parser = Callable[[bytes], Any]


def run(runs: int, quick: bool) -> list[Row]:
    """One row for each size, and one that informs about whole datagrams."""
    repeats = 10 if quick else 60
    return [row for label, size in SIZES.items() for row in one_size(label, size, runs, repeats)]


def one_size(label: str, size: int, runs: int, repeats: int) -> list[Row]:
    """Ours and the libraries in turn over the same texts."""
    datagrams = [other for datagram in near(size) for other in others_like(datagram)]
    random.Random(size).shuffle(datagrams)  # noqa: S311
    texts = [text(datagram) for datagram in datagrams]
    libraries = {name: library(name) for name in ("greenswitch", "genesis")}
    for plain in texts:
        verify(plain, libraries)
    frames = StockFrames()

    def timed(parser: Parser, subjects: list[bytes]) -> Callable[[], float]:
        return lambda: each(parser, subjects, repeats)

    contenders = [
        timed(ours, texts),
        *(timed(parser, texts) for parser in libraries.values()),
        timed(lambda datagram: frames.open(datagram).items(), datagrams),
    ]
    mine, *others, opened = interleave(runs, *contenders)
    fastest, peer_runs = min(zip(libraries, others, strict=True), key=lambda pair: median(pair[1]))
    details: dict[str, Any] = {
        "mean_text_bytes": sum(map(len, texts)) / len(texts),
        "headers": sum(plain.count(b"\n") for plain in texts) / len(texts),
        "libraries_ns": {name: median(figures) for name, figures in zip(libraries, others, strict=True)},
    }
    peer = f"{fastest} {version(fastest)}"
    return [
        Row("parse", f"{label}, text to dict", "ns CPU/event", mine, peer, peer_runs, True, at_least(7), details),
        Row("parse", f"{label}, datagram to items", "ns CPU/event", opened, peer, peer_runs, True, None, details),
    ]


def others_like(datagram: bytes) -> list[bytes]:
    """Events of the same kind about other calls at other times: each digit of a value may be another."""
    changed = random.Random(datagram)  # noqa: S311

    def line(match: re.Match[bytes]) -> bytes:
        return match[1] + re.sub(rb"(?<!%)(?<!%.)\d", lambda _: b"%d" % changed.randrange(10), match[2])

    headers, end, trailer = datagram.partition(b"\n\n")
    return [re.sub(rb"(?m)^(.*: )(.*)$", line, headers) + end + trailer for _ in range(OTHERS)]


def ours(plain: bytes) -> Any:
    """Every header of the event, decoded."""
    return Event.from_plain(plain).to_dict()


def library(name: str) -> Parser:
    """The parser of a library that has no type annotations of its own."""
    if name == "greenswitch":
        event = importlib.import_module("greenswitch.esl").ESLEvent
        return lambda plain: event(plain.decode()).headers
    parse_headers = importlib.import_module("genesis.protocol.parser").parse_headers
    return lambda plain: parse_headers(plain.decode())


def verify(plain: bytes, libraries: dict[str, Parser]) -> None:
    """Ours must have read every header right; a library must have done about the same work to be a peer."""
    decoded = ours(plain)
    check(decoded == by_hand(plain), f"parse: read wrong: {plain!r}")
    for name, parser in libraries.items():
        theirs = dict(parser(plain))
        same = sum(theirs.get(header) == value for header, value in decoded.items())
        # Both undo the encoding before they split lines, or strip what they should keep, so a few values differ.
        check(same >= len(decoded) / 2, f"parse: {name} reads {same} of {len(decoded)} headers: {plain!r}")


def by_hand(plain: bytes) -> dict[str, str | list[str]]:
    """What the text says, read slowly."""
    headers: dict[str, str | list[str]] = {}
    for line in plain.split(b"\n\n")[0].split(b"\n"):
        name, _, encoded = (part.decode() for part in line.rpartition(b": "))
        decoded = "" if encoded == "_undef_" else unquote(encoded, errors="surrogateescape")
        value = decoded[7:].split("|:") if decoded.startswith("ARRAY::") else decoded
        before = headers.get(name)
        headers[name] = value if before is None else [*listed(before), *listed(value)]
    return headers


def listed(value: str | list[str]) -> list[str]:
    """A value as a list of values."""
    return [value] if isinstance(value, str) else value


def each(parser: Parser, subjects: list[bytes], repeats: int) -> float:
    """Nanoseconds of processor time for one subject."""
    start = time.process_time_ns()
    for _ in range(repeats):
        for subject in subjects:
            parser(subject)
    return (time.process_time_ns() - start) / (repeats * len(subjects))
