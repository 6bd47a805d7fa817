"""What ``switchcast status`` and ``switchcast peers`` are told by a running node: plain values, and their making.

Counters count from the node's start. What matters to a person is what happens now, so a ``History`` keeps what they
were a while ago: a row's ``rate`` is its events a second over the last seconds, and its ``recent`` holds those counters
that have grown within the last five minutes, and by how much. Pure: ``now`` is monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypedDict

from switchcast.app.picture_state import PictureState, no_picture
from switchcast.line.state import State
from switchcast.views.peers import PeerRow

__all__ = [
    "RECENT_SECONDS",
    "Counters",
    "Destination",
    "History",
    "NodeRow",
    "PartRow",
    "PeersReply",
    "Status",
    "Warned",
    "make_status",
    "peers_reply",
]

Counters = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Counts by kind (``sources``, ``routes``, ``sinks``, ``rules``, ``peers``, ``views``), name and counter, as a node
gives them."""

RECENT_SECONDS: Final = 300.0
RATE_SECONDS: Final = 10.0
"""What a rate is taken over, at the least: a shorter time shows bursts, a longer one what has passed."""
_NOTE_SECONDS: Final = 5.0

_GAUGES: Final = frozenset({"queued", "waiting", "running", "up", "down", "returning", "rival", "cores"})
"""What counters' names end in that tell how much there is now, not how much there has been."""
_MOVING: Final = {"sources": "received", "routes": "passed", "sinks": "sent", "rules": "fired"}
"""The counter whose rate a row of each kind has."""


class NodeRow(TypedDict):
    """The node itself. ``phase`` is ``starting``, ``running``, ``reloading`` or ``stopping``; ``uptime`` in seconds."""

    name: str
    version: str
    pid: int
    phase: str
    uptime: float
    configuration: str


class PartRow(TypedDict):
    """A source, route, sink or rule. ``state`` is empty where it has none, ``since`` seconds since 1970.

    ``limit`` is what its queue holds, 0 where it has none; ``keys`` are the ids of its group's keys, the one that is
    sent with first, empty where it has none.
    """

    name: str
    state: str
    why: str
    since: float
    limit: int
    keys: list[str]
    rate: float
    counters: dict[str, int]
    recent: dict[str, int]


class Warned(TypedDict):
    """Something that the node has logged as a warning or an error: when, in seconds since 1970, and what."""

    at: float
    text: str


class Status(TypedDict):
    """The answer to ``{"ask": "status"}``. ``problems`` are those that the node knows in words; the asker adds more."""

    node: NodeRow
    sources: list[PartRow]
    routes: list[PartRow]
    sinks: list[PartRow]
    rules: list[PartRow]
    picture: PictureState
    peers: list[PeerRow]
    peer_counters: PartRow
    warnings: list[Warned]
    problems: list[str]


class Destination(TypedDict):
    """An address that events are sent to, and its kind as stock says it: ``IPv4 multicast``."""

    address: str
    kind: str


class PeersReply(TypedDict):
    """The answer to ``{"ask": "peers"}``. ``active``: whether the node receives, stock's ``Module state``."""

    active: bool
    destinations: list[Destination]
    peers: list[PeerRow]
    counters: dict[str, int]


class History:
    """What the counters were, back to ``RECENT_SECONDS`` ago. A node notes them at its start and every few seconds."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, Counters]] = deque()

    def __len__(self) -> int:
        return len(self._notes)

    def note(self, now: float, counters: Counters) -> None:
        """Keep ``counters`` as they are at ``now``; more often than every five seconds is not kept."""
        if self._notes and now - self._notes[-1][0] < _NOTE_SECONDS:
            return
        kept = {kind: {name: dict(counts) for name, counts in parts.items()} for kind, parts in counters.items()}
        self._notes.append((now, kept))
        # One that is older than all of the time that is asked for stays: it is what that time began with.
        while len(self._notes) > 1 and now - self._notes[1][0] >= RECENT_SECONDS:
            self._notes.popleft()

    def grown(
        self, kind: str, name: str, counts: Mapping[str, int], now: float, seconds: float
    ) -> tuple[float, dict[str, int]]:
        """For how long this looks back, ``seconds`` or a little more, and by how much each of ``counts`` has grown.

        What was never noted had not begun; what has become less began anew. Those that did not grow are left out.
        """
        began, before = self._at(now - seconds)
        then = before.get(kind, {}).get(name, {})
        grown = {}
        for counter, count in counts.items():
            old = then.get(counter, 0)
            more = count - old if count >= old else count
            if more and counter.rpartition("_")[2] not in _GAUGES:
                grown[counter] = more
        return now - began, grown

    def _at(self, time: float) -> tuple[float, Counters]:
        """The latest note that is no later than ``time``, or the first one."""
        if not self._notes:
            return time, {}
        return next((note for note in reversed(self._notes) if note[0] <= time), self._notes[0])


def make_status(
    node: NodeRow,
    counters: Counters,
    states: Mapping[str, Mapping[str, State]],
    history: History,
    now: float,
    *,
    limits: Mapping[str, int] | None = None,
    keys: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
    picture: PictureState | None = None,
    peers: Sequence[PeerRow] = (),
    warnings: Iterable[Warned] = (),
    problems: Iterable[str] = (),
) -> Status:
    """The whole answer, from what a node counts (``counters``) and how its parts fare (``states``).

    ``limits`` are the sizes of the queues, by the sink's or the rule's name, ``keys`` as ``Node.keys`` has them. What
    the peers' table counts stands in ``counters["peers"]["peers"]``.
    """

    def row(kind: str, name: str, counts: Mapping[str, int]) -> PartRow:
        state = states.get(kind, {}).get(name)
        row = _row(kind, name, counts, state=state, limit=(limits or {}).get(name, 0), history=history, now=now)
        row["keys"] += (keys or {}).get(kind, {}).get(name, ())
        return row

    def rows(kind: str) -> list[PartRow]:
        return [row(kind, name, counts) for name, counts in counters.get(kind, {}).items()]

    return {
        "node": node,
        "sources": rows("sources"),
        "routes": rows("routes"),
        "sinks": rows("sinks"),
        "rules": rows("rules"),
        "picture": no_picture() if picture is None else picture,
        "peers": list(peers),
        "peer_counters": row("peers", "peers", counters.get("peers", {}).get("peers", {})),
        "warnings": list(warnings),
        "problems": list(problems),
    }


def peers_reply(
    rows: Sequence[PeerRow],
    counters: Mapping[str, int],
    *,
    active: bool = True,
    destinations: Iterable[Mapping[str, object]] = (),
) -> PeersReply:
    """The answer about peers; ``destinations`` as the native sender's ``destinations()`` gives them."""
    return {
        "active": active,
        "destinations": [{"address": str(each["address"]), "kind": str(each["kind"])} for each in destinations],
        "peers": list(rows),
        "counters": dict(counters),
    }


def _row(
    kind: str, name: str, counts: Mapping[str, int], *, state: State | None, limit: int, history: History, now: float
) -> PartRow:
    seconds, lately = history.grown(kind, name, counts, now, RATE_SECONDS)
    moving = lately.get(_MOVING.get(kind, ""), 0)
    return {
        "name": name,
        "state": state.status if state is not None else "",
        "why": state.reason if state is not None else "",
        "since": state.since if state is not None else 0.0,
        "limit": limit,
        "keys": [],
        "rate": round(moving / seconds, 3) if seconds > 0 else 0.0,
        "counters": dict(counts),
        "recent": history.grown(kind, name, counts, now, RECENT_SECONDS)[1],
    }
