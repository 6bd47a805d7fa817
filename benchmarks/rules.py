"""What rules cost: an event that concerns none of them, one that fires, and one in a storm that the rate refuses.

The peer is what a script does: a dictionary of handlers by event name, then a comparison, over events that have been
parsed into dictionaries already. Its parsing is not counted, and it has no limits; it stands for the least that
Python can do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from benchmarks.events import recorded
from benchmarks.peers import everyday
from benchmarks.result import Row, at_most, check, interleave
from switchcast import Event, StockFrames
from switchcast.rules.engine import Engine
from switchcast.rules.settings import RuleSettings

BATCH: Final = 64
"""Events that come at once, as a receiver under load hands them over."""
STORM: Final = 10_000
"""Matches a second: what a storm is."""
ALLOWED: Final = 10
"""Firings a second that the rate lets through."""
UNMATCHED_LIMIT_NS: Final = 500
MATCHED_LIMIT_NS: Final = 10_000
"""A tenth of a core at ``STORM`` matches a second."""

BOUND: Final = ("MESSAGE_WAITING", "HEARTBEAT", "PRESENCE_IN", "DTMF", "CHANNEL_HANGUP", "TRAP", "SHUTDOWN", "NOTIFY")
"""What the rules are bound to, one each."""
HEADER, VALUE = "Event-Calling-Function", "switch_core_session_hupall"
STORMY: Final = "CHANNEL_STATE"

Handlers = Mapping[str, Sequence[Callable[[Mapping[str, str]], bool]]]
"""A script's handlers by event name."""


def run(runs: int, quick: bool) -> list[Row]:
    """Each case over recorded events, nanoseconds of processor time an event."""
    frames = StockFrames()
    datagrams = recorded()
    events = [frames.open(datagram) for datagram in datagrams]
    others = [(datagram, event) for datagram, event in zip(datagrams, events, strict=True) if event.name not in BOUND]
    stormy = [(datagram, event) for datagram, event in others if event.name == STORMY]
    repeats = 5 if quick else 50
    return [
        unmatched(others, runs, repeats),
        *matched(stormy, runs, repeats * len(others) // len(stormy) // 10),
    ]


def unmatched(pairs: Sequence[tuple[bytes, Event]], runs: int, repeats: int) -> Row:
    """Events that no rule is bound to, past as many rules as there are in ``BOUND``."""
    settings = [rule(name, on=name, where=f'h["{HEADER}"] == "{VALUE}"') for name in BOUND]
    handlers = {name: [comparing] for name in BOUND}
    events, parsed = [event for _, event in pairs], [everyday.parse(datagram) for datagram, _ in pairs]

    def ours() -> float:
        engine = Engine(settings, "fs1")
        spent = clocked(lambda: [engine.take(batch, 0.0) for batch in batches(events)], repeats, len(events))
        check(not any(row["matched"] for row in engine.counters().values()), "rules: one matched that should not have")
        return spent

    def theirs() -> float:
        return clocked(lambda: dispatched(parsed, handlers), repeats, len(events))

    mine, script = interleave(runs, ours, theirs)
    return Row(
        benchmark="rules",
        case=f"no match, {len(BOUND)} rules",
        unit="ns CPU/event",
        runs=mine,
        peer="handlers over parsed events",
        peer_runs=script,
        aim=at_most(UNMATCHED_LIMIT_NS, of="ours"),
    )


def matched(pairs: Sequence[tuple[bytes, Event]], runs: int, repeats: int) -> list[Row]:
    """Events that match, at ``STORM`` a second: all firing, under a rate, and each held until its channel is quiet."""
    events = [event for _, event in pairs]
    parsed = [everyday.parse(datagram) for datagram, _ in pairs]
    where = f'h["{HEADER}"] != "{VALUE}"'
    cases = {
        "fires": rule("fires", on=STORMY, where=where),
        f"storm under {ALLOWED}/s": rule("rated", on=STORMY, where=where, rate=f"{ALLOWED}/s"),
        "held by key": rule("held", on=STORMY, where=where, debounce="1s", key="{unique_id}"),
    }

    def storm(settings: RuleSettings) -> Callable[[], float]:
        def timed() -> float:
            engine, now = Engine([settings], "fs1"), [0.0]

            def once() -> None:
                for batch in batches(events):
                    engine.take(batch, now[0])
                    now[0] += len(batch) / STORM

            spent = clocked(once, repeats, len(events))
            counts = engine.counters()[settings.name]
            check(counts["matched"] == repeats * len(events), "rules: not every event of the storm matched")
            if settings.rate is not None:
                allowed = ALLOWED * (now[0] + 1)
                check(allowed - 2 <= counts["fired"] <= allowed + 1, f"rules: {counts['fired']} fired under the rate")
            return spent

        return timed

    def script() -> float:
        return clocked(lambda: dispatched(parsed, {STORMY: [comparing]}), repeats, len(events))

    *mine, theirs = interleave(runs, *map(storm, cases.values()), script)
    return [
        Row(
            benchmark="rules",
            case=f"match, {name}",
            unit="ns CPU/event",
            runs=figures,
            peer="handlers over parsed events",
            peer_runs=theirs,
            aim=at_most(MATCHED_LIMIT_NS, of="ours"),
        )
        for name, figures in zip(cases, mine, strict=True)
    ]


def rule(name: str, **table: Any) -> RuleSettings:
    """A rule, as it stands in a file."""
    return RuleSettings.model_validate({"name": name, "log": "{name}", "trust": "stock"} | table)


def batches(events: Sequence[Event]) -> list[Sequence[Event]]:
    """``events`` as they come."""
    return [events[at : at + BATCH] for at in range(0, len(events), BATCH)]


def comparing(headers: Mapping[str, str]) -> bool:
    """What a script's handler begins with."""
    return headers.get(HEADER) == VALUE


def dispatched(parsed: Sequence[Mapping[str, str]], handlers: Handlers) -> int:
    """How many handlers would have acted."""
    acted = 0
    for headers in parsed:
        for handler in handlers.get(headers["Event-Name"], ()):
            acted += handler(headers)
    return acted


def clocked(step: Callable[[], object], repeats: int, events: int) -> float:
    """Nanoseconds of processor time for one event."""
    start = time.process_time_ns()
    for _ in range(repeats):
        step()
    return (time.process_time_ns() - start) / (repeats * events)
