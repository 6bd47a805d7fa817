"""Which switches there are, how they are, and how much of what they said was not heard.

::

                    any event                 STARTUP, any event of another run
    (unknown) ───────────────> up ───────────────────────────────────> up     restarted
                               │
              unheard for      │
              ``timeout``, or  └──> down ──────> up        any event but those that follow a SHUTDOWN in the same run
              SHUTDOWN               │
                                     └──> (unknown)        after ``forget``

This is a view of switches by name, with the figures of their HEARTBEATs. ``views.peers`` answers another question: who
sends to this node, by name *and* address, as the stock module counts its peers; it decides between two hosts that use
one name, waits for ``comeback`` heartbeats, and tells rules of it. Here every event of a switch counts, heard in
whichever way, and a name is one row. A switch that is up here and no peer is heard by its event socket, or re-fired.

**Runs.** A switch has another Core-UUID after each start. An event of another run than the one known is a restart,
unless it is of the run before: what that one said comes late, or two switches have one name. Only when the new run has
been silent for a third of ``timeout`` is the old one believed again, so that one forged event does no more harm.

**Loss.** ``Event-Sequence`` counts what a switch fires, bound or not, so a gap in it is no more than an upper bound:
``lost_at_most``, of the runs as far as they were heard. Where an endpoint counts by itself (``traced``, ``sealed``) its
gap records are exact: ``missed`` adds them to ``lost``.

Pure: ``now`` is monotonic seconds, ``wall`` seconds since 1970 for display only.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from switchcast._native import Event
from switchcast.settings import Duration, Settings
from switchcast.views.losses import Losses
from switchcast.views.telling import WORTH, Snapshot, Sure, Told, Trust, told
from switchcast.wire.refire import MULTICAST_EVENT

__all__ = ["ESTABLISHED_EVENTS", "MOST_NAME_CHARACTERS", "Nodes", "NodesSettings", "Turn"]

MOST_NAME_CHARACTERS: Final = 256
"""Characters of a switch's name: a header can hold a mebibyte of it."""
ESTABLISHED_EVENTS: Final = 10
"""Who was heard this often keeps its row while it is down, whatever is invented."""
_MOST_TURNS: Final = 10_000
"""Turns that wait for ``turns``: nobody may ever ask for them."""
_MOST_CHANGES: Final = 200_000
"""Names that wait for ``changes``: who has asked once may never ask again."""
_MOST_CHARACTERS: Final = 64
"""Of a version or a Core-UUID, which have some 50 and 36."""

_WHOLE: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_FIGURES: Final[Mapping[str, str]] = {
    "sessions": "Session-Count",
    "sessions_max": "Max-Sessions",
    "sessions_peak": "Session-Peak-Max",
    "per_second": "Session-Per-Sec-Last",
    "per_second_max": "Session-Per-Sec",
    "per_second_peak": "Session-Per-Sec-Max",
}
"""Whole numbers in a row, and the headers of HEARTBEAT that tell them."""


class NodesSettings(Settings):
    """The ``[views.nodes]`` table: which switches count as up."""

    timeout: Duration = 60.0
    """Unheard for longer than this is down; three heartbeats of a stock switch."""
    forget: Duration = 86400.0
    """How long one that is down is shown."""
    most: int = Field(default=1000, ge=1, le=100_000)
    """Rows in all, however many names are invented."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A switch that came up, went down or began anew: what other views have to know."""

    what: Literal["up", "down", "restarted"]
    node: str
    core: str


@dataclass(eq=False, slots=True)
class _Node:
    """One switch. Times are monotonic seconds, but ``since``; ``ended`` is the run that told of its SHUTDOWN."""

    name: str
    trust: Trust
    heard: float
    since: float
    core: str = ""
    before: str = ""
    ended: str = ""
    state: Literal["up", "down"] = "up"
    changed: float = 0.0
    events: int = 0
    restarts: int = 0
    lost: int = 0
    losses: Losses = field(default_factory=Losses)
    beat: float | None = None
    figured: float = float("-inf")
    asked: bool = False
    doubted: float = float("-inf")
    version: str = ""
    uptime: float | None = None
    idle_cpu: float | None = None
    figures: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys(_FIGURES))


@dataclass(eq=False)
class Nodes:
    """The view; a row's key is its name."""

    settings: NodesSettings = field(default_factory=NodesSettings)
    name: ClassVar[str] = "nodes"
    kinds: ClassVar[frozenset[str]] = frozenset({"HEARTBEAT", "STARTUP", "SHUTDOWN"})
    _rows: dict[str, _Node] = field(default_factory=dict, init=False, repr=False)
    _up: OrderedDict[_Node, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _down: OrderedDict[_Node, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _frail: OrderedDict[_Node, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _strangers: OrderedDict[_Node, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _changed: dict[str, None] | None = field(default=None, init=False, repr=False)
    _turns: list[Turn] = field(default_factory=list, init=False, repr=False)
    _counts: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _now: float = field(default=float("-inf"), init=False, repr=False)
    _wall: float = field(default=0.0, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def hear(self, events: Iterable[Event], now: float, wall: float) -> None:
        """Note who fired each of ``events``, of whatever kind: who speaks is up, and its numbers tell what is missing.

        For every batch, beside ``learn`` for the events of its kinds, in whichever order; each does without the other,
        but only this counts: an event, and what is refused, once each.
        """
        self._pass_to(now, wall)
        for event in events:
            name = event.sender or event.get("FreeSWITCH-Switchname") or event.get("FreeSWITCH-Hostname")
            if not name:
                continue
            trust = event.trust
            if event.name == "CUSTOM" and event.subclass == MULTICAST_EVENT:
                inner = told(event)
                if inner is not None and inner.prefix:
                    number = _number(_WHOLE, inner.get("Event-Sequence"))
                    self._hear(inner.node, inner.core, None if number is None else int(number), trust)
                if event.source is None:
                    trust = "local"  # our own switch says what it was told: of the teller nothing, of itself enough
            self._hear(name, event.core_uuid or "", event.sequence, trust)

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Take over what a HEARTBEAT says of its switch; a SHUTDOWN takes it down at once."""
        self._pass_to(now, wall)
        number = _number(_WHOLE, told.get("Event-Sequence"))
        whole = None if number is None else int(number)
        node = self._hear(told.node, told.core, whole, told.event.trust, counted=True)
        if node is None:
            return
        if told.kind == "SHUTDOWN":
            node.ended = node.core
            self._go_down(node)
        elif told.kind == "HEARTBEAT":
            node.beat = self._now
            self._figure(node, told.get, self._now, asked=False)

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Take over what a switch said of itself when it was asked, unless it was heard since."""
        self._pass_to(now, wall)
        node = self._rows.get(snapshot.node)
        if not snapshot.status or (node is not None and node.figured > snapshot.begun):
            return
        trust: Trust = "local" if node is None or WORTH[node.trust] < WORTH["local"] else node.trust
        if (node := self._hear(snapshot.node, snapshot.core, None, trust)) is not None:
            self._figure(node, lambda name: snapshot.status.get(name, ""), snapshot.begun, asked=True)

    def doubt(self, node: str, now: float) -> None:
        """Events of ``node`` were lost: its figures are doubtful until its next HEARTBEAT or snapshot."""
        if (row := self._rows.get(node)) is not None:
            row.doubted = max(row.doubted, now)
            self._note(row)

    def restarted(self, node: str, core: str, now: float) -> None:
        """Nothing: that a switch has begun anew is known from here (``turns``)."""

    def missed(self, node: str, events: int | None, now: float) -> None:
        """An endpoint counted ``events`` of ``node`` as missing, ``None`` if it cannot know how many."""
        if (row := self._rows.get(node)) is not None:
            row.lost += max(0, events or 0)
            self.doubt(node, now)

    def tick(self, now: float) -> None:
        """Let time pass until ``now``. Time that runs backwards is taken to stand still."""
        self._pass_to(now, self._wall + now - self._now if self._rows else self._wall)

    def next_due(self) -> float | None:
        """Just after this time somebody is down, or forgotten, if nothing is heard until then."""
        due = [next(iter(self._up)).heard + self.settings.timeout] if self._up else []
        due += [next(iter(self._down)).changed + self.settings.forget] if self._down else []
        return min(due, default=None)

    def turns(self) -> list[Turn]:
        """Who came up, went down or began anew since the last call, in order."""
        turns, self._turns = self._turns, []
        return turns

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Every switch, by name."""
        return [_row(self._rows[name], now) for name in sorted(self._rows)]

    def keys(self) -> Iterable[str]:
        """The names of all switches."""
        return self._rows.keys()

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """The switch of this name, as ``rows`` has it."""
        node = self._rows.get(key)
        return None if node is None else _row(node, now)

    def away(self, now: float) -> Iterator[dict[str, Any]]:
        """Those that are down and once said how they were, in a HEARTBEAT or when asked; the last that went first.

        Of the others nobody knows whether they are meant to be heard.
        """
        return (_row(node, now) for node in reversed(self._down) if node.figured > float("-inf"))

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Switches of which more has changed than that they were heard again; ``None`` for those forgotten."""
        changed, self._changed = self._changed or {}, {}
        return [(name, _row(self._rows[name], self._now) if name in self._rows else None) for name in changed]

    def states(self) -> dict[str, int]:
        """``up`` and ``down``."""
        return {"up": len(self._up), "down": len(self._down)}

    def doubtful(self) -> Counter[str]:
        """1 for each that is."""
        return Counter(node.name for node in self._rows.values() if _sure(node) == "doubtful")

    def refusals(self) -> dict[str, int]:
        """Of events those without effect, by reason.

        ``untrusted``: of less worth than those that keep it up, or a stranger's. ``conflicts``: of the run before the
        one that goes on. ``refused_name``: too long. ``refused_full``: newcomers for whom there was no room.
        ``evicted``: rows that were given up for others. ``turns_lost``: nobody asked for them.
        """
        names = ("untrusted", "conflicts", "refused_name", "refused_full", "evicted", "turns_lost")
        return {name: self._counts[name] for name in names}

    def counters(self) -> dict[str, int]:
        """``states`` and ``refusals``."""
        return self.states() | self.refusals()

    def _pass_to(self, now: float, wall: float) -> None:
        if now < self._now:
            return
        self._now, self._wall = now, wall
        while self._up and now - (node := next(iter(self._up))).heard > self.settings.timeout:
            self._go_down(node)
        while self._down and now - (node := next(iter(self._down))).changed > self.settings.forget:
            self._remove(node)

    def _hear(self, name: str, core: str, number: int | None, trust: Trust, *, counted: bool = False) -> _Node | None:
        """One event of the switch ``name``; ``None`` if it has no effect. ``counted``: it has been counted already."""
        once = 0 if counted else 1
        node = self._rows.get(name)
        if node is None:
            if (refusal := self._refusal(name, trust)) is not None:
                self._counts[refusal] += once
                return None
            node = self._admit(name, core[:_MOST_CHARACTERS], trust)
        elif WORTH[trust] < WORTH[node.trust] and (trust == "stock" or node.state == "up"):
            self._counts["untrusted"] += once
            return None
        if core and core != node.core and not self._goes_on(node, core[:_MOST_CHARACTERS]):
            self._counts["conflicts"] += once
            return None
        if number is not None and core:
            node.losses.note(number)
        if node.ended and node.ended == node.core:
            return node  # what is still said on the way down
        node.events += once
        node.heard = self._now
        if trust != node.trust:
            node.trust = trust
            self._strangers.pop(node, None)
        elif trust == "stock":
            self._strangers[node] = None
            self._strangers.move_to_end(node)
        if node.state == "down":
            self._come_up(node)
        self._up.move_to_end(node)
        return node

    def _goes_on(self, node: _Node, core: str) -> bool:
        """Whether the run ``core`` is the one that goes on at ``node``, after beginning it if it is new."""
        if core == node.core:
            return True
        quiet = self._now - node.heard > self.settings.timeout / 3
        if core == node.before and not quiet and node.state == "up":
            return False
        if node.core:
            node.restarts += 1
            self._turn("restarted", node, core)
        node.before, node.core, node.beat, node.uptime = node.core, core, None, None
        node.losses.begin()
        self._note(node)
        return True

    def _refusal(self, name: str, trust: Trust) -> str | None:
        """Why there is no room for ``name``, after making some where that can be done; ``None`` where there is."""
        if len(name) > MOST_NAME_CHARACTERS:
            return "refused_name"
        if len(self._rows) >= self.settings.most and not self._evict(trust):
            return "refused_full"
        return None

    def _admit(self, name: str, core: str, trust: Trust) -> _Node:
        node = _Node(name, trust, self._now, self._wall, core)
        self._rows[name] = node
        self._come_up(node)
        return node

    def _evict(self, trust: Trust) -> bool:
        """Give up one that is down and was hardly heard or, for one who proves more, the stranger longest unheard."""
        among = self._frail or (self._strangers if trust != "stock" else None)
        if not among:
            return False
        self._remove(next(iter(among)))
        self._counts["evicted"] += 1
        return True

    def _remove(self, node: _Node) -> None:
        del self._rows[node.name]
        for group in (self._up, self._down, self._frail, self._strangers):
            group.pop(node, None)
        self._note(node)

    def _come_up(self, node: _Node) -> None:
        self._down.pop(node, None)
        self._frail.pop(node, None)
        self._up[node] = None
        self._enter(node, "up")

    def _go_down(self, node: _Node) -> None:
        if node.state == "down":
            return
        del self._up[node]
        self._down[node] = None
        if node.events < ESTABLISHED_EVENTS:
            self._frail[node] = None
        self._enter(node, "down")

    def _enter(self, node: _Node, state: Literal["up", "down"]) -> None:
        node.state, node.changed, node.since = state, self._now, self._wall
        self._turn(state, node, node.core)

    def _turn(self, what: Literal["up", "down", "restarted"], node: _Node, core: str) -> None:
        self._note(node)
        self._turns.append(Turn(what, node.name, core))
        if len(self._turns) > _MOST_TURNS:
            del self._turns[0]
            self._counts["turns_lost"] += 1

    def _note(self, node: _Node) -> None:
        if self._changed is not None:  # somebody has asked
            self._changed[node.name] = None
            if len(self._changed) > _MOST_CHANGES:
                del self._changed[next(iter(self._changed))]

    def _figure(self, node: _Node, get: Callable[[str], str], at: float, *, asked: bool) -> None:
        """Take over what a HEARTBEAT, or a switch that was asked, says under the names that HEARTBEAT has for it."""
        node.figured, node.asked = at, asked
        node.version = get("FreeSWITCH-Version")[:_MOST_CHARACTERS]
        uptime, idle = _number(_WHOLE, get("Uptime-msec")), _number(_DECIMAL, get("Idle-CPU"))
        node.uptime = None if uptime is None else float(uptime) / 1000
        node.idle_cpu = None if idle is None else min(float(idle), 100.0)
        for name, header in _FIGURES.items():
            figure = _number(_WHOLE, get(header))
            node.figures[name] = None if figure is None else int(figure)
        self._note(node)


def _number(pattern: re.Pattern[str], text: str) -> str | None:
    """``text``, if it is such a number and nothing else."""
    return text if pattern.fullmatch(text) else None


def _sure(node: _Node) -> Sure:
    if node.state == "down" or node.doubted >= node.figured > float("-inf"):
        return "doubtful"
    return "asked" if node.asked else "told"


def _row(node: _Node, now: float) -> dict[str, Any]:
    passed = now - node.figured if node.state == "up" else 0.0
    return {
        "node": node.name,
        "name": node.name,
        "state": node.state,
        "version": node.version,
        "core": node.core,
        "uptime": None if node.uptime is None else node.uptime + max(0.0, passed),
        **node.figures,
        "idle_cpu": node.idle_cpu,
        "heartbeat_age": None if node.beat is None else max(0.0, now - node.beat),
        "silent": max(0.0, now - node.heard),
        "restarts": node.restarts,
        "lost": node.lost,
        "lost_at_most": node.losses.at_most,
        "since": node.since,
        "sure": _sure(node),
        "trust": node.trust,
    }
