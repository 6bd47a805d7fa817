"""What it costs to let less leave: events through the policy ``cluster`` and to the wire, beside ``all``.

Both ends of the question are asked. Of a switch's traffic as recorded, ``cluster`` withholds nearly everything, and so
costs less than to send it; of the events that it lets pass, it rewrites every one, which is the most that it can cost.
A receiver on loopback takes what is sent, and is emptied between bursts, while the clock stands. Publishing is the aim;
what it costs without the kernel's part is told beside it.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence

from benchmarks.events import recorded
from benchmarks.result import Row, at_most, check, interleave
from switchcast import Event, StockFrames
from switchcast._native import ESSENTIAL_HEADERS, Sender
from switchcast.guard.policy import RedactionPolicy, compile_policy, shipped

ADDRESS, PORT = "127.0.0.1", 4351
BURST = 32
"""Events that are handed over at once; the receiver's buffer holds them all."""
LONGEST_DATAGRAM = 65_536
AIM = 2.0

Work = Callable[[Sequence[Event]], int]
"""Handles a burst, and says how many datagrams became of it."""


def run(runs: int, quick: bool) -> list[Row]:
    """Two mixes of events, each sent, and written as datagrams."""
    frames = StockFrames()
    everything = [frames.open(datagram) for datagram in recorded()]
    random.Random(4242).shuffle(everything)  # noqa: S311
    cluster = compile_policy("cluster", shipped("cluster"))
    passing = [event for event in everything if cluster([event])]
    rounds = 2 if quick else 20
    return [
        *one_mix("as recorded", everything, runs, rounds),
        *one_mix("only what cluster passes", passing, runs, rounds * len(everything) // len(passing) // 4),
    ]


def one_mix(label: str, events: list[Event], runs: int, rounds: int) -> list[Row]:
    """``cluster`` and ``all`` in turn over the same events."""
    bursts = [events[at : at + BURST] for at in range(0, len(events), BURST)]
    expected = {"all": [as_it_is(event) for event in events], "cluster": [left for e in events for left in by_hand(e)]}
    rows = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        receiver.bind((ADDRESS, PORT))
        receiver.setblocking(False)
        sender = Sender([ADDRESS], PORT)
        for name, wanted in expected.items():
            arrived = [datagram for burst in bursts for datagram in (sending(sender, name)(burst), drain(receiver))[1]]
            check(arrived == wanted, f"policy: under {name} other datagrams arrived than should have")
        for step, start, aim in (("apply and send", sending, at_most(AIM)), ("apply and write", writing, None)):

            def timed(name: str, start: Callable[[Sender, str], Work] = start) -> Callable[[], float]:
                return lambda: each(start(sender, name), bursts, rounds, receiver, len(expected[name]))

            mine, theirs = interleave(runs, timed("cluster"), timed("all"))
            details = {
                "events": len(events),
                "cluster_passes": len(expected["cluster"]),
                "all_bytes": sum(map(len, expected["all"])),
                "cluster_bytes": sum(map(len, expected["cluster"])),
            }
            case = f"{label}, {step}: cluster"
            rows.append(Row("policy", case, "ns CPU/event", mine, "all", theirs, aim=aim, details=details))
        sender.close()
    return rows


def policy(name: str) -> RedactionPolicy:
    """A policy that comes with switchcast."""
    return compile_policy(name, shipped(name))


def writing(_sender: Sender, name: str) -> Work:
    """Apply the policy, and write what passes as datagrams."""
    apply, frame = policy(name), StockFrames().frame
    return lambda events: len([frame(event) for event in apply(events)])


def sending(sender: Sender, name: str) -> Work:
    """Apply the policy, and send what passes."""
    apply = policy(name)
    return lambda events: sender.send(apply(events))


def each(work: Work, bursts: list[list[Event]], rounds: int, receiver: socket.socket, passing: int) -> float:
    """Nanoseconds of processor time for one event that goes in, whether it comes out or not."""
    taken = done = 0
    for _ in range(rounds):
        for burst in bursts:
            start = time.process_time_ns()
            done += work(burst)
            taken += time.process_time_ns() - start
            drain(receiver)
    check(done == passing * rounds, f"policy: {done} datagrams where {passing * rounds} were meant")
    return taken / (rounds * sum(map(len, bursts)))


def drain(receiver: socket.socket) -> list[bytes]:
    """Everything that has arrived; on loopback that is everything that was sent."""
    arrived = []
    while True:
        try:
            arrived.append(receiver.recv(LONGEST_DATAGRAM))
        except BlockingIOError:
            return arrived


def as_it_is(event: Event) -> bytes:
    """The datagram of an event of which everything passes."""
    return StockFrames().frame(event)


def by_hand(event: Event) -> list[bytes]:
    """What ``cluster`` should leave of an event, by its file: one datagram or none."""
    kind = f"CUSTOM {event.subclass}" if event.name == "CUSTOM" else event.name
    allowed = {when.events[0]: when.headers for when in shipped("cluster").when}.get(kind)
    if allowed is None:
        return []
    kept = {name.lower() for name in (*allowed, *ESSENTIAL_HEADERS)}
    headers = [(name.decode(), raw.decode()) for name, raw in event.raw_items() if name.decode().lower() in kept]
    return [StockFrames().frame(Event.from_headers(headers, encoded=True))]
