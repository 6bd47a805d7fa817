"""What doctors on several hosts say to each other about one group: datagrams and the time in, datagrams out.

Each round a node first reports, how many rounds it has sent and what it heard of whom, then climbs the ladder: one
datagram of each size. So whoever reads a report has had a whole round's time for the datagrams that it counts. Reports
also go to the link's all-hosts group, which no switch filters: a node that is known by that way alone is one whose
datagrams to the group are lost.

Everything heard is a stranger's word. A node's state is made for at most ``MOST_NODES``, of which an address has at
most ``MOST_OF_ADDRESS``; nothing is ever answered, for what is sent depends on the time alone and goes where the URL
says, so that nobody can be made to send to a third.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from switchcast.app.doctor.datagrams import MOST_HEARD, Report, Rung, Told, decode
from switchcast.guard.doctor.facts import PROBE_SIZES, Heard

__all__ = ["HERE", "LEAST_EVERY", "MOST_EVERY", "MOST_NODES", "MOST_OF_ADDRESS", "Arrival", "Conversation", "Node"]

HERE: Final = "this host"
LEAST_EVERY: Final = 0.05
"""Seconds from one round to the next, at least: 70 kB a round."""
MOST_EVERY: Final = 1.0
"""At most. A stock host's default buffer holds two of the largest datagrams, and is emptied twice a second."""
MOST_NODES: Final = 64
MOST_OF_ADDRESS: Final = 4
_MOST_ROUNDS: Final = 0xFFFF
_HASTE: Final = 64
"""Rounds that may be read at once, after a pause of this host's, before a count is taken for a lie."""
_UNLIKE_A_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a datagram came: from whom, by which interface, with how many hops left, and whether by the link's group."""

    address: str
    interface: str | None = None
    hops: int | None = None
    on_link: bool = False


@dataclass(slots=True)
class Node:
    """Another host, or this one, as far as it was heard. ``rounds`` are sets of bits, one for each size."""

    address: str
    met: float
    first: int
    """Rounds that it had sent when it was met."""
    ours: int
    """Rounds that this host had sent then."""
    last: int = 0
    name: str = ""
    mtu: int = 0
    hops: int | None = None
    interface: str | None = None
    """By which the group's datagrams come in."""
    link_interface: str | None = None
    """By which its reports to the link come in."""
    told: Told | None = None
    """What it last said of this host."""
    deaf: int = 0
    """Rounds that this host sent while it heard, as it says, nothing of them."""
    rounds: list[int] = field(default_factory=lambda: [0] * len(PROBE_SIZES))
    heard: bool = False

    @property
    def label(self) -> str:
        """What to call it: its word for itself where it has one, and its address."""
        return f"{self.name} ({self.address})" if self.name else self.address

    def counts(self) -> tuple[int, ...]:
        """How many of each size were heard, of the rounds after ``first`` up to ``last``."""
        window = (1 << (self.last + 1)) - (1 << (self.first + 1))
        return tuple((each & window).bit_count() for each in self.rounds)

    def plausible(self, count: int, now: float) -> bool:
        """Whether so many rounds can have been sent by now."""
        return count - self.first <= _HASTE + (now - self.met) / LEAST_EVERY


class Conversation:
    """One node's part in the talk about one destination. It has no socket and reads no clock.

    ``group`` is the address that is sent to; where ``shared``, those who talk of another are not listened to. Call
    ``due`` at ``next_due`` and send what it returns: rungs to the group, reports to the group and to the link.
    """

    def __init__(
        self,
        node: bytes,
        group: str,
        *,
        now: float,
        every: float = MOST_EVERY,
        name: str = "",
        mtu: int = 0,
        shared: bool = True,
    ) -> None:
        self.group = group
        self.next_due = now
        self.rounds = 0
        self.strange = 0
        """Datagrams that are none of ours, or not about this group."""
        self.crowded = 0
        """Datagrams of nodes that there was no room for."""
        self.nodes: dict[bytes, Node] = {}
        self.own = Node("", now, 0, 0)
        self._node = node
        self._every = min(max(every, LEAST_EVERY), MOST_EVERY)
        self._report = Report(node, 0, group, name, mtu)
        self._shared = shared
        self._addresses: Counter[str] = Counter()
        self._turn = 0

    def due(self, now: float) -> list[Rung | Report]:
        """What is to be sent by ``now``; none before ``next_due``. A round that was missed is not made up for."""
        if now < self.next_due or self.rounds >= _MOST_ROUNDS:
            return []
        self.next_due = (self.next_due if now < self.next_due + self._every else now) + self._every
        self.own.last = self.rounds
        report = self._reported()
        self.rounds += 1
        return [report, *(Rung(self._node, self.rounds, size) for size in PROBE_SIZES)]

    def take(self, datagram: bytes, arrival: Arrival, now: float) -> bool:
        """Take in what was heard; whether it was of a doctor that talks of this group."""
        said = decode(datagram)
        if said is None or (self._shared and isinstance(said, Report) and said.group != self.group):
            self.strange += 1
            return False
        if said.node == self._node:
            if isinstance(said, Rung) and said.round <= self.rounds:
                self._hear(self.own, said, arrival)
            return True
        node = self._known(said, arrival, now)
        count = said.round if isinstance(said, Rung) else said.rounds
        if node is None or not node.plausible(count, now):
            self.crowded += 1
            return False
        if isinstance(said, Rung):
            self._hear(node, said, arrival)
        else:
            self._be_told(node, said, arrival)
        return True

    def rows(self, *, looped: bool = True) -> list[Heard]:
        """What was heard of whom, and what others say that they heard of this host; ``looped``: and of itself."""
        rows = []
        if looped and self.own.last:
            rows += self._rows(HERE, HERE, self.own.last, self.own.counts())
        for node in self.nodes.values():
            if node.last > node.first:
                rows += self._rows(HERE, node.label, node.last - node.first, node.counts())
            if node.deaf:
                rows += self._rows(node.label, HERE, node.deaf, (0,) * len(PROBE_SIZES))
            elif node.told is not None and node.told.expected:
                rows += self._rows(node.label, HERE, node.told.expected, node.told.counts)
        return rows

    def _rows(self, hearer: str, sender: str, sent: int, counts: tuple[int, ...]) -> list[Heard]:
        return [
            Heard(hearer, sender, self.group, size, sent, count)
            for size, count in zip(PROBE_SIZES, counts, strict=True)
        ]

    def _known(self, said: Rung | Report, arrival: Arrival, now: float) -> Node | None:
        """The node that speaks, met now where it was not known; ``None`` where there is no room for it."""
        node = self.nodes.get(said.node)
        if node is None:
            if len(self.nodes) >= MOST_NODES or self._addresses[arrival.address] >= MOST_OF_ADDRESS:
                return None
            self._addresses[arrival.address] += 1
            first = said.round if isinstance(said, Rung) else said.rounds
            node = Node(arrival.address, now, first, self.rounds, last=first)
            self.nodes[said.node] = node
        return node

    @staticmethod
    def _hear(node: Node, rung: Rung, arrival: Arrival) -> None:
        node.heard = True
        node.interface = arrival.interface or node.interface
        if arrival.hops is not None:
            node.hops = arrival.hops if node.hops is None else min(node.hops, arrival.hops)
        if rung.round > node.first:  # others of the round in which it was met were sent before
            node.rounds[PROBE_SIZES.index(rung.size)] |= 1 << rung.round

    def _be_told(self, node: Node, report: Report, arrival: Arrival) -> None:
        node.name = _UNLIKE_A_NAME.sub("?", report.name)
        node.mtu = report.mtu
        node.last = max(node.last, report.rounds)
        if arrival.on_link:
            node.link_interface = arrival.interface
        of_us = next((each for each in report.heard if each.node == self._node), None)
        if of_us is not None:
            if of_us.last <= self.rounds:
                node.told, node.deaf = of_us, 0
        elif report.hears <= MOST_HEARD:
            # Its report was written before it had all of this host's newest round.
            node.deaf = max(self.rounds - 1 - node.ours, 0)

    def _reported(self) -> Report:
        """The report of this round; where more nodes are heard than it holds, they take turns."""
        heard = [(node, each) for node, each in self.nodes.items() if each.heard]
        start = self._turn if len(heard) > MOST_HEARD else 0
        chosen = [heard[(start + place) % len(heard)] for place in range(min(len(heard), MOST_HEARD))]
        self._turn = (start + MOST_HEARD) % len(heard) if heard else 0
        told = tuple(Told(node, each.first, each.last, each.counts()) for node, each in chosen)
        return replace(self._report, rounds=self.rounds, hears=len(heard), heard=told)
