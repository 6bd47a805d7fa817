"""Draining a full socket buffer: what a receiver costs, with nobody sending meanwhile.

A bare ``recvmmsg`` loop that parses nothing is the limit. Ours checks bindings on every event and delivers the one in a
hundred that matches to Python.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks import peers
from benchmarks.child import Child, receiver_command
from benchmarks.events import PADDING, SIZES, Traffic, traffic, write_datagrams
from benchmarks.result import Row, at_most, check, interleave

GROUP, PORT, BARE_PORT = "239.192.11.1", 4301, 4302
BUFFER_BYTES = 64 << 20
"""Twice this is what the kernel accounts, and each datagram counts with its overhead."""

FILLS = 9
"""A run drains the buffer so many times and takes the median: one drain takes a few milliseconds, and anything that
comes between is felt."""


def run(runs: int, quick: bool) -> list[Row]:
    """One row for each size, and one for padded datagrams: processor time of ours to the bare loop's."""
    fills = 2 if quick else FILLS
    rows = [one_size(label, traffic(size), size, runs, fills) for label, size in SIZES.items()]
    padded = one_size(f"1.2 KB and {PADDING} NULs", traffic(1_200, PADDING), 1_200, runs, fills)
    return [*rows, padded]


def one_size(label: str, sent: Traffic, size: int, runs: int, fills: int) -> Row:
    """Ours and the bare loop in turn, each with its own port and sender, both fed the same datagrams."""
    count = 20_000 if size < 2_000 else 10_000
    file = write_datagrams("drain", sent.datagrams)
    with (
        Child([peers.bare(), "send", GROUP, PORT, file]) as sender,
        Child([peers.bare(), "send", GROUP, BARE_PORT, file]) as bare_sender,
        Child(receiver_command(GROUP, PORT, BUFFER_BYTES, sent.bindings)) as ours,
        Child([peers.bare(), "receive", GROUP, BARE_PORT, BUFFER_BYTES]) as bare,
    ):

        def drain_ours() -> dict[str, float]:
            return typical([ours_once(ours, sender, sent, count) for _ in range(fills)], count)

        def drain_bare() -> dict[str, float]:
            return typical([bare_once(bare, bare_sender, sent, count) for _ in range(fills)], count)

        drain_ours(), drain_bare()  # warm caches, allocators and the processor's clock
        mine, theirs = interleave(runs, drain_ours, drain_bare)
    return Row(
        benchmark="drain",
        case=f"{label}, bindings on every event, 1% delivered",
        unit="ns CPU/datagram",
        runs=[figures["cpu"] for figures in mine],
        peer="bare recvmmsg",
        peer_runs=[figures["cpu"] for figures in theirs],
        aim=at_most(1.25),
        details={
            "mean_datagram_bytes": sent.mean_size,
            "bindings": sent.bindings,
            "datagrams_a_fill": count,
            "fills_a_run": fills,
            "ours_wall_ns": [figures["wall"] for figures in mine],
            "bare_wall_ns": [figures["wall"] for figures in theirs],
        },
    )


def ours_once(ours: Child, sender: Child, sent: Traffic, count: int) -> dict[str, Any]:
    """Fill the buffer of a paused receiver, then let it go."""
    wanted = count // len(sent.datagrams)
    ours.ask("open")
    fill(sender, count)
    answer = ours.ask("drain", wanted)
    ours.ask("close")
    check(answer["datagrams"] == count, f"drain: {answer['datagrams']} of {count} datagrams reached our receiver")
    check(answer["delivered"] == wanted, f"drain: {answer['delivered']} events delivered, {wanted} match")
    names = [sent.bindings.split()[0]]
    check(answer["names"] == names, f"drain: delivered {answer['names']} where {names} were asked for")
    check(answer["unmatched"] == count - wanted, f"drain: {answer['unmatched']} counted as not matching")
    return answer


def bare_once(bare: Child, sender: Child, sent: Traffic, count: int) -> dict[str, Any]:
    """Fill the bare loop's buffer, then let it go. Its socket and its memory stay, warm: it is the limit."""
    fill(sender, count)
    answer = bare.ask("drain")
    size = sum(map(len, sent.datagrams)) * count // len(sent.datagrams)
    check(answer["datagrams"] == count, f"drain: {answer['datagrams']} of {count} datagrams reached the bare loop")
    check(answer["bytes"] == size, f"drain: {answer['bytes']} of {size} bytes reached the bare loop")
    return answer


def fill(sender: Child, count: int) -> None:
    """Send ``count`` datagrams; on loopback they are in the receiver's buffer when this returns."""
    check(sender.ask("burst", count)["datagrams"] == count, "drain: the sender sent too few")


def typical(answers: list[dict[str, Any]], count: int) -> dict[str, float]:
    """Nanoseconds a datagram, the median of all fills."""
    return {clock: median(answer[f"{clock}_ns"] for answer in answers) / count for clock in ("cpu", "wall")}
