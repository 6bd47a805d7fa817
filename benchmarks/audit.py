"""An audit of live traffic: what it takes of one core, and of memory, whatever comes.

The auditing process has one core for itself, the receiving thread included, and listens by the public endpoint. What
it counted is held against what was sent, header by header, so that nothing is fast for having been left out. The events
are all those of the recording, in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.child import Child, python
from benchmarks.events import kind, recorded, write_datagrams
from benchmarks.result import Row, at_least, at_most, check
from switchcast import LIMITS, StockFrames

GROUP, PORT = "239.192.11.11", 4371
BUFFER_BYTES = 4 << 20
DEEP_BUFFER_BYTES = 64 << 20
RATE = 10_000
"""Events a second that one core is to audit."""
SECONDS, QUICK_SECONDS = 10, 2
BURST_ROUNDS = 8
"""Rounds of the recording in one burst: fewer events than the deep buffer holds."""
SAME, QUICK_SAME = 5_000_000, 200_000
"""Events of the same names, of which memory is looked at."""
MIB = 2**20


def run(runs: int, quick: bool) -> list[Row]:
    """Live at the rate, flat out, then memory with names that come again and with names that never do."""
    datagrams = recorded()
    file = write_datagrams("audit", datagrams)

    def auditor(buffer: int) -> Child:
        return Child(python("benchmarks.children.audit", GROUP, PORT, buffer))

    with Child([peers.bare(), "send", GROUP, PORT, file]) as sender:
        with auditor(BUFFER_BYTES) as child:
            rows = live(child, sender, datagrams, runs, QUICK_SECONDS if quick else SECONDS)
        with auditor(DEEP_BUFFER_BYTES) as child:
            rows += flat_out(child, sender, datagrams, runs)
        with auditor(DEEP_BUFFER_BYTES) as child:
            rows += memory_of_the_same(child, sender, len(datagrams), QUICK_SAME if quick else SAME)
        with auditor(DEEP_BUFFER_BYTES) as child:
            rows += memory_of_others(child, 1 if quick else LIMITS["audit_shapes"])
    return rows


def live(child: Child, sender: Child, datagrams: Sequence[bytes], runs: int, seconds: int) -> list[Row]:
    """``RATE`` events a second, each run an audit from its start, when every value is still new."""
    rounds = max(RATE * seconds // len(datagrams), 1)
    count = rounds * len(datagrams)
    cores, lost = [], []
    for _ in range(runs):
        child.ask("fresh")
        before = child.ask("counters")
        child.tell("audit", count)
        sent = sender.ask("pace", RATE, count)
        answer = child.answer()
        after = child.ask("counters")
        lost.append(count - answer["events"])
        drops = sum(after[name] - before[name] for name in ("received_kernel_drops", "received_ring_overflow"))
        check(lost[-1] == drops, f"audit: {lost[-1]} events lost and {drops} counted as dropped")
        cores.append(answer["cpu_ns"] / sent["wall_ns"])
        if not lost[-1]:
            verify(child.ask("result"), datagrams, rounds)
    size = sum(map(len, datagrams)) / len(datagrams)
    details = {"rate": RATE, "events_a_run": count, "mean_datagram_bytes": size}
    case = f"{RATE:,} events/s live"
    return [
        Row("audit", f"{case}, of one core", "cores", cores, aim=at_most(1, of="ours"), details=details),
        Row("audit", f"{case}, lost", "events", lost, aim=at_most(0, of="ours"), details=details),
    ]


def flat_out(child: Child, sender: Child, datagrams: Sequence[bytes], runs: int) -> list[Row]:
    """Events that a second of one core's time would do, at the start of an audit and later."""
    count = BURST_ROUNDS * len(datagrams)
    young: list[float] = []
    settled: list[float] = []
    for _ in range(runs):
        child.ask("fresh")
        for rates in (young, settled):
            child.tell("audit", count)
            sender.ask("burst", count)
            answer = child.answer()
            check(answer["events"] == count, f"audit: {answer['events']} of {count} events of a burst were audited")
            rates.append(count / answer["cpu_ns"] * 1e9)
        verify(child.ask("result"), datagrams, 2 * BURST_ROUNDS)
    details = {"events_a_burst": count}
    return [
        Row("audit", f"first {count:,} events, flat out", "events/CPU s", young, details=details),
        Row("audit", "later ones, flat out", "events/CPU s", settled, aim=at_least(RATE, of="ours"), details=details),
    ]


def verify(result: dict[str, Any], datagrams: Sequence[bytes], rounds: int) -> None:
    """Check that just what was sent ``rounds`` times was counted."""
    events: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    headers: dict[str, dict[str, list[int]]] = {}
    spellings: dict[tuple[str, str], str] = {}
    frames = StockFrames()
    for datagram in datagrams:
        event = frames.open(datagram)
        name = kind(event)
        events[name] += rounds
        sizes[name] += rounds * len(event.to_plain())
        seen = set()
        for raw_name, value in event.raw_items():
            spelling = spellings.setdefault((name, raw_name.lower().decode()), raw_name.decode())
            counts = headers.setdefault(name, {}).setdefault(spelling, [0, 0])
            counts[0] += 0 if spelling in seen else rounds
            counts[1] += rounds * len(value)
            seen.add(spelling)
    expected = {name: [events[name], sizes[name], headers[name]] for name in events}
    check(result["kinds"] == expected, "audit: other events or headers were counted than were sent")
    check(result["found"] > 0, "audit: nothing was found to be given away")


def memory_of_the_same(child: Child, sender: Child, round_: int, wanted: int) -> list[Row]:
    """Resident memory once ``wanted`` events have been audited, less that after a fifth of them."""
    count = BURST_ROUNDS * round_
    samples: list[tuple[int, int]] = []
    done = 0
    while done < wanted:
        child.tell("audit", count)
        sender.ask("burst", count)
        answer = child.answer()
        check(answer["events"] == count, f"audit: {answer['events']} of {count} events of a burst were audited")
        done += count
        samples.append((done, answer["rss"]))
    tenth = max(len(samples) // 10, 1)
    early = median(rss for _, rss in samples[2 * tenth : 3 * tenth])
    late = median(rss for _, rss in samples[-tenth:])
    return [
        Row(
            benchmark="audit",
            case=f"growth from {samples[2 * tenth][0]:,} to {done:,} events",
            unit="MiB",
            runs=[max(late - early, 0) / MIB],
            aim=at_most(1, of="ours"),
            details={"samples_mib": [(at, rss / MIB) for at, rss in samples[:: max(tenth // 5, 1)]]},
        )
    ]


def memory_of_others(child: Child, shapes: int) -> list[Row]:
    """Memory at the bounds, with names that nobody else has, and what ten times as many more add to it."""
    headers = LIMITS["audit_headers_of_kind"] - 3
    kinds = LIMITS["audit_headers"] // headers + 1
    empty = child.ask("invent", 0, 0, 0, 0)["rss"]
    for number in range(kinds):
        child.ask("invent", 1, headers, shapes, number)
    child.ask("invent", LIMITS["audit_kinds"], 1, 1, kinds)
    full, *_, beyond = (child.ask("invent", LIMITS["audit_kinds"], 32, 1, turn * 10_000) for turn in range(1, 12))
    check(set(full["uncounted"]) >= {"kinds", "headers", "senders"}, "audit: a bound was not reached")
    return [
        Row(
            benchmark="audit",
            case=f"invented names up to every bound, {shapes} shapes each",
            unit="MiB",
            runs=[(full["rss"] - empty) / MIB],
            details={"empty_mib": empty / MIB, "headers": LIMITS["audit_headers"], "kinds": LIMITS["audit_kinds"]},
        ),
        Row(
            benchmark="audit",
            case="ten thousand invented kinds more",
            unit="MiB",
            runs=[max(beyond["rss"] - full["rss"], 0) / MIB],
            aim=at_most(1, of="ours"),
            details={"uncounted": beyond["uncounted"]},
        ),
    ]
