"""What all switches of a simulated cluster share: one clock, one pair of dice, one agenda, users and mailboxes.

Times are whole microseconds of virtual time since the cluster's start. Who plays a part is a generator: it does what is
due, then yields the time at which it wants to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from math import log
from random import Random

from switchcast._native import Event

__all__ = ["DOMAIN", "SECOND", "Mailbox", "Stage", "Task", "UserAgent"]

DOMAIN = "sim.example"
"""The SIP domain of every simulated user (``.example`` is kept free by RFC 2606)."""
SECOND = 1_000_000

Play = Iterator[int]


class UserAgent:
    """One user and the telephone in use: where it can be reached, under which Call-ID it registers."""

    __slots__ = ("number", "slots")

    def __init__(self, number: str, ip: str) -> None:
        self.number = number
        self.slots = {"user": number.encode(), "ip": ip.encode(), "port": b"5060", "rtp": b"6060", "call-id": b"0"}

    def move(self, rng: Random) -> None:
        """Take another port, and with it another Call-ID: a telephone that was restarted."""
        port = 5062 + 2 * int(rng.random() * 469)
        self.slots["port"], self.slots["rtp"] = b"%d" % port, b"%d" % (port + 1000)
        self.slots["call-id"] = b"%016x" % rng.getrandbits(64)

    def copy(self) -> UserAgent:
        """The same telephone as it is now, whatever becomes of it."""
        twin = UserAgent(self.number, "")
        twin.slots = self.slots.copy()
        return twin


@dataclass(slots=True)
class Mailbox:
    """Messages kept for one user; shared by all switches, as a cluster does with its voicemail."""

    new: int = 0
    saved: int = 0


class Task:
    """One player on the agenda."""

    __slots__ = ("play", "ticket")

    def __init__(self, play: Play, ticket: int) -> None:
        self.play = play
        self.ticket = ticket


class Stage:
    """The virtual clock, the dice, the agenda, and the events that nobody has fetched yet.

    Equal times go in the order in which the players came, so that nothing hangs on how far the clock is turned at once.
    """

    def __init__(self, seed: int, epoch: int) -> None:
        """``epoch``: microseconds from 1970 UTC to the cluster's start."""
        self.now = 0
        self.epoch = epoch
        self.rng = Random(seed)  # noqa: S311 - a simulation wants dice that fall the same way again
        self.out: list[tuple[float, int, Event]] = []
        self.mailboxes: dict[str, Mailbox] = {}
        self._agenda: list[tuple[int, int, Task]] = []
        self._tickets = 0

    def start(self, play: Play) -> Task:
        """Let ``play`` begin now."""
        self._tickets += 1
        task = Task(play, self._tickets)
        heappush(self._agenda, (self.now, task.ticket, task))
        return task

    def wake(self, task: Task) -> None:
        """Let ``task`` go on now instead of at the time it asked for."""
        self._tickets += 1
        task.ticket = self._tickets
        heappush(self._agenda, (self.now, task.ticket, task))

    def run(self, until: int) -> None:
        """Turn the clock to ``until``; whatever is due by then happens, in order."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= until:
            when, ticket, task = agenda[0]
            if ticket != task.ticket:  # it was woken and holds a newer ticket
                heappop(agenda)
                continue
            self.now = when
            then = next(task.play, None)
            # Whatever came to the agenda meanwhile stands behind this task, which therefore still stands first.
            if then is None:
                heappop(agenda)
            else:
                heapreplace(agenda, (max(then, when), ticket, task))
        self.now = max(self.now, until)

    def take(self) -> list[tuple[float, int, Event]]:
        """The events fired since the last time: virtual seconds, index of the switch, event."""
        out, self.out = self.out, []
        return out

    def exponential(self, mean: float) -> int:
        """A random time with this mean in seconds, in microseconds: the gap before the next of a Poisson process."""
        return int(-log(1.0 - self.rng.random()) * mean * SECOND)

    def between(self, low: float, high: float) -> int:
        """A random time from ``low`` to ``high`` seconds, in microseconds."""
        return int((low + (high - low) * self.rng.random()) * SECOND)
