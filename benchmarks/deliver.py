"""Every event delivered, and three of its headers read in Python: what a consumer costs.

The peer is the script that everybody writes. Both drain a full socket buffer, so that the rate is the receiver's own.
"""

from __future__ import annotations

from typing import Any

from benchmarks import peers
from benchmarks.child import Child, python, receiver_command
from benchmarks.drain import BUFFER_BYTES, fill
from benchmarks.events import SIZES, checksum, traffic, write_datagrams
from benchmarks.result import Row, at_least, check, interleave

GROUP, PORT, SCRIPT_PORT = "239.192.11.2", 4311, 4312
AIMED_AT = "1.2 KB"
"""The size that the aims are given for; the others inform."""


def run(runs: int, quick: bool) -> list[Row]:
    """Two rows for each size: processor time beside the script's, and events a second."""
    count = 10_000 if quick else 20_000
    return [row for label, size in SIZES.items() for row in one_size(label, size, runs, count)]


def one_size(label: str, size: int, runs: int, count: int) -> list[Row]:
    """Ours and the script in turn, each with its own port."""
    sent = traffic(size)
    count = count if size < 2_000 else count // 2
    expected = checksum(sent.datagrams) * count // len(sent.datagrams)
    file = write_datagrams("deliver", sent.datagrams)
    with (
        Child([peers.bare(), "send", GROUP, PORT, file]) as sender,
        Child([peers.bare(), "send", GROUP, SCRIPT_PORT, file]) as script_sender,
        Child(receiver_command(GROUP, PORT, BUFFER_BYTES, "all")) as ours,
        Child(python("benchmarks.children.script", GROUP, SCRIPT_PORT, BUFFER_BYTES)) as script,
    ):

        def deliver_ours() -> dict[str, Any]:
            ours.ask("open")
            fill(sender, count)
            answer = ours.ask("deliver", count)
            ours.ask("close")
            return verify(answer, "our consumer")

        def deliver_script() -> dict[str, Any]:
            fill(script_sender, count)
            return verify(script.ask("deliver", count), "the script")

        def verify(answer: dict[str, Any], who: str) -> dict[str, Any]:
            check(answer["delivered"] == count, f"deliver: {answer['delivered']} of {count} events reached {who}")
            check(answer["checksum"] == expected, f"deliver: {who} read other headers than were sent")
            return answer

        deliver_ours(), deliver_script()
        mine, theirs = interleave(runs, deliver_ours, deliver_script)
    aimed = label == AIMED_AT
    details = {"mean_datagram_bytes": sent.mean_size, "events_a_run": count}
    return [
        Row(
            benchmark="deliver",
            case=f"{label}, every event, three headers read",
            unit="ns CPU/event",
            runs=[answer["cpu_ns"] / count for answer in mine],
            peer="everyday script",
            peer_runs=[answer["cpu_ns"] / count for answer in theirs],
            inverse=True,
            aim=at_least(12) if aimed else None,
            details=details,
        ),
        Row(
            benchmark="deliver",
            case=f"{label}, rate",
            unit="events/s",
            runs=[count / answer["wall_ns"] * 1e9 for answer in mine],
            peer="everyday script",
            peer_runs=[count / answer["wall_ns"] * 1e9 for answer in theirs],
            aim=at_least(250_000, of="ours") if aimed else None,
            details=details,
        ),
    ]
