"""What every view is made of: who tells what, how sure that is, and how a view is kept.

::

    events ──> told() ──> Told ──> view.learn      what happened on a switch, from it or from another host
    switch ──> Snapshot ─────────> view.seed       what is so on a switch, by its own answer
    gaps   ──> node's name ──────> view.doubt      some of what happened there was not heard
    clock  ──────────────────────> view.tick       what has run out

A view is a reducer: it does no I/O and reads no clock. ``now`` is monotonic seconds and decides when something runs
out; ``wall`` is seconds since 1970 and is only shown.

A snapshot takes a while, and events go on meanwhile. So it counts for what nobody has told of since it was ``begun``: a
row that an event has touched after that is left as it is, and one that an event has taken away does not come back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from switchcast._native import Event
from switchcast.wire.refire import fired_as

__all__ = ["ROOM", "WORTH", "Snapshot", "Sure", "Told", "Trust", "View", "told"]

Trust = Literal["stock", "local", "member", "signed"]

Sure = Literal["asked", "told", "doubtful"]
"""``asked``: the switch said so when it was asked. ``told``: an event said so. ``doubtful``: since then events of that
node were lost, or the node is down, and no snapshot has healed it yet."""

WORTH: Final[Mapping[Trust, int]] = {"stock": 0, "local": 1, "member": 2, "signed": 3}
"""A row is not changed by one who proves less than the one who wrote it."""

ROOM: Final = 200_000
"""Rows that a view has room for, unless it is told otherwise: a stranger can invent any number."""


@dataclass(frozen=True, slots=True)
class Told:
    """One event, as the host that fired it meant it: a ``multicast::event`` is read through its ``Orig-`` headers.

    ``kind`` is the event's name, of CUSTOM events the subclass; ``node`` the switch that fired it; ``core`` its
    Core-UUID, another after each start.
    """

    event: Event
    kind: str
    node: str
    core: str
    prefix: str = ""

    def get(self, name: str) -> str:
        """The first header of this name, decoded; empty where there is none."""
        return self.event.get(self.prefix + name if self.prefix else name) or ""

    @property
    def worth(self) -> int:
        """How far it is believed, from ``WORTH``."""
        return WORTH[self.event.trust]


def told(event: Event) -> Told | None:
    """What ``event`` tells; ``None`` if it does not say which kind of event it is, or which switch fired it."""
    kind, prefix = fired_as(event)
    names = ("Multicast-Sender", "FreeSWITCH-Switchname", "FreeSWITCH-Hostname")
    node = next((value for name in names if (value := event.get(prefix + name))), "")
    if not kind or not node:
        return None
    core = (event.get("Orig-Core-UUID") if prefix else event.core_uuid) or ""
    return Told(event, kind, node, core, prefix)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one switch answered: rows as it gave them, by column. ``None`` where it was not asked, or could not tell.

    ``begun`` is when the first question was sent, monotonic seconds; ``wall`` the same since 1970.
    """

    node: str
    core: str
    begun: float
    wall: float
    channels: tuple[Mapping[str, str], ...] | None = None
    """``show channels as json``."""
    calls: tuple[Mapping[str, str], ...] | None = None
    """``show calls as json``."""
    registrations: tuple[Mapping[str, str], ...] | None = None
    """``sofia xmlstatus profile NAME reg`` of every profile, ``profile`` added; with what other hosts propagated."""
    mailboxes: Mapping[str, tuple[int, int]] | None = None
    """Messages new and saved, by ``user@domain``."""
    status: Mapping[str, str] = field(default_factory=dict)
    """Version, uptime, sessions and their limit, as HEARTBEAT names them."""


class View(Protocol):
    """One picture of the cluster. Rows are plain values with ``node``, ``since`` (wall), ``sure`` and ``trust``."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def kinds(self) -> Collection[str]:
        """Event names and subclasses that it learns from."""

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event of these kinds."""

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right what is known of one switch by what it said itself."""

    def doubt(self, node: str, now: float) -> None:
        """Events of ``node`` were lost, or it went silent: what is known of it is doubtful until the next ``seed``."""

    def restarted(self, node: str, core: str, now: float) -> None:
        """``node`` has begun anew under another Core-UUID: what ended with the old one is gone."""

    def tick(self, now: float) -> None:
        """Let what has run out by ``now`` go."""

    def next_due(self) -> float | None:
        """When ``tick`` has something to do at the earliest."""

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Everything, in a stable order."""

    def keys(self) -> Iterable[str]:
        """The keys of all rows, in any order."""

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """One row, as ``rows`` has it: who wants a page of a hundred does not pay for a hundred thousand."""

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Keys of what has changed since the last call, each with its row, or ``None`` where it is gone.

        The first call begins it: what nobody asks for is not noted.
        """

    def __len__(self) -> int:
        """How many rows there are."""

    def states(self) -> dict[str, int]:
        """How many rows there are now, by what is so of them; those that are counted whatever is so come first."""

    def doubtful(self) -> Mapping[str, int]:
        """How many rows are doubtful, by node; of calls, how many legs."""

    def refusals(self) -> dict[str, int]:
        """What had no effect, and rows that were given up, by reason: counters that only grow, and cost nothing."""

    def counters(self) -> dict[str, int]:
        """Both of them."""
