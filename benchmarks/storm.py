"""A rule storm beside the line: what it takes from the line's throughput, and whether the rule's limits hold.

A node carries events from a group to an address as fast as it can, once without rules and once with a rule that one
event in ``ONE_IN`` matches, which is ten thousand a second and more; its rate lets a few of them act.
"""

from __future__ import annotations

import json
import socket
from typing import Any

from benchmarks import peers
from benchmarks.child import Child, python
from benchmarks.events import VARIETY, kind, near, write_datagrams
from benchmarks.result import Row, at_least, check, interleave
from switchcast import StockFrames

GROUP, PORT, QUIET_PORT = "239.192.11.9", 4361, 4362
BUFFER_BYTES = 64 << 20
BURST = 20_000
"""Fewer than the receive buffer holds, so that none is lost."""
ONE_IN = 12
ALLOWED = 10
"""Firings a second that the rule's rate lets through."""
SIZE = 1_200


def run(runs: int, quick: bool) -> list[Row]:
    """The line's rate with the storm, to its rate without."""
    bursts = 2 if quick else 10
    frames = StockFrames()
    wanted, *others = near(SIZE, VARIETY + ONE_IN)
    event = frames.open(wanted)
    others = [other for other in others if kind(frames.open(other)) != kind(event)][: ONE_IN - 1]
    check(len(others) == ONE_IN - 1, "storm: too few kinds of event")
    file = write_datagrams("storm", [*others, wanted])
    rule = (
        f'[[rule]]\nname = "stormy"\non = "{kind(event)}"\ntrust = "stock"\nrate = "{ALLOWED}/s"\n'
        'log = "{h[Core-UUID]}"\n'
    )
    carried: dict[Child, int] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as away:
        away.bind(("127.0.0.1", 0))
        sink_port = away.getsockname()[1]

        def node(port: int, rules: str) -> Child:
            return Child(python("benchmarks.children.node", GROUP, port, sink_port, BUFFER_BYTES, json.dumps(rules)))

        with (
            node(PORT, rule) as stormy,
            node(QUIET_PORT, "") as quiet,
            Child([peers.bare(), "send", GROUP, PORT, file]) as sender,
            Child([peers.bare(), "send", GROUP, QUIET_PORT, file]) as quiet_sender,
        ):

            def burst(child: Child, source: Child) -> dict[str, Any]:
                spent = {"wall_ns": 0, "cpu_ns": 0}
                for _ in range(bursts):
                    child.ask("prepare")
                    carried[child] = carried.get(child, 0) + BURST
                    child.tell("carry", carried[child])
                    source.ask("burst", BURST)
                    answer = child.answer()
                    spent = {clock: spent[clock] + answer[clock] for clock in spent}
                return spent

            burst(stormy, sender), burst(quiet, quiet_sender)  # warm
            mine, theirs = interleave(runs, lambda: burst(stormy, sender), lambda: burst(quiet, quiet_sender))
            counters = stormy.ask("counters")
    total = BURST * bursts * (runs + 1)
    sent = counters["sinks"]["away"]["sent"]
    check(sent == total, f"storm: {sent} of {total} events were carried")
    counts = counters["rules"]["stormy"]
    check(counts["matched"] == total // ONE_IN, f"storm: {counts['matched']} of {total // ONE_IN} events matched")
    check(counts["fired"] + counts["refused_rate"] == counts["matched"], "storm: firings do not add up")
    seconds = sum(answer["wall_ns"] for answer in mine) / 1e9
    matches = total / ONE_IN * runs / (runs + 1) / seconds
    details = {"matches_a_second": matches, "fired": counts["fired"], "one_in": ONE_IN, "events_a_run": BURST * bursts}
    return [
        Row(
            benchmark="storm",
            case=f"the line beside a storm of {matches:,.0f} matches/s",
            unit="events/s",
            runs=[BURST * bursts / answer["wall_ns"] * 1e9 for answer in mine],
            peer="without rules",
            peer_runs=[BURST * bursts / answer["wall_ns"] * 1e9 for answer in theirs],
            aim=at_least(0.9),
            details=details,
        ),
        Row(
            benchmark="storm",
            case="the same, processor time",
            unit="ns CPU/event",
            runs=[answer["cpu_ns"] / (BURST * bursts) for answer in mine],
            peer="without rules",
            peer_runs=[answer["cpu_ns"] / (BURST * bursts) for answer in theirs],
            details=details,
        ),
    ]
