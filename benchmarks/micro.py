"""What single steps cost in native code, seen from Python: for those who change one of them. Most of it has no aim."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.events import SIZES, kind, near, text
from benchmarks.result import Row, at_most, check, interleave
from switchcast import Event, Matcher, StockFrames

CONDITION = 'name == "HEARTBEAT" || h["Event-Calling-Function"].startsWith("switch_") && subclass != "sofia::register"'
CONDITION_LIMIT_NS = 5_000


def run(runs: int, quick: bool) -> list[Row]:
    """Matching and the event's ways in and out, nanoseconds an event."""
    repeats = 100 if quick else 1_000
    return [row for label, size in SIZES.items() for row in one_size(label, size, runs, repeats)]


def one_size(label: str, size: int, runs: int, repeats: int) -> list[Row]:
    """All steps in turn over the same events."""
    frames = StockFrames()
    datagrams = near(size)
    texts = [text(datagram) for datagram in datagrams]
    events = [frames.open(datagram) for datagram in datagrams]
    bindings = Matcher(kind(events[0]) + " HEARTBEAT CUSTOM sofia::register sofia::unregister")
    condition = Matcher("all", CONDITION)
    check(events[0] in bindings.select(events), "micro: bindings do not match the event they were made for")
    expected = [
        event
        for event in events
        if event.name == "HEARTBEAT"
        or (event["Event-Calling-Function"].startswith("switch_") and event.subclass != "sofia::register")
    ]
    check(condition.select(events) == expected, "micro: the condition chose other events than Python does")
    check([frames.open(frames.frame(event)) for event in events] == events, "micro: a frame opened to another event")

    steps: dict[str, Callable[[], object]] = {
        "match by bindings": lambda: bindings.select(events),
        "match by a condition": lambda: condition.select(events),
        "open a datagram": lambda: [frames.open(datagram) for datagram in datagrams],
        "read a plain text": lambda: [Event.from_plain(plain) for plain in texts],
        "read one header": lambda: [event["Event-Sequence"] for event in events],
        "decode all headers": lambda: [event.to_dict() for event in events],
        "write JSON": lambda: [event.to_json() for event in events],
        "write a datagram": lambda: [frames.frame(event) for event in events],
    }

    def timed(step: Callable[[], object]) -> Callable[[], float]:
        return lambda: each(step, repeats, len(events))

    outcomes = interleave(runs, *map(timed, steps.values()))
    return [
        Row(
            benchmark="micro",
            case=f"{label}, {name}",
            unit="ns CPU/event",
            runs=figures,
            aim=at_most(CONDITION_LIMIT_NS, of="ours") if name == "match by a condition" else None,
        )
        for name, figures in zip(steps, outcomes, strict=True)
    ]


def each(step: Callable[[], object], repeats: int, events: int) -> float:
    """Nanoseconds of processor time for one event."""
    start = time.process_time_ns()
    for _ in range(repeats):
        step()
    return (time.process_time_ns() - start) / (repeats * events)
