"""All views together: each event goes to those that learn from its kind, and what was missed makes them doubt.

::

    events ──┬──> nodes.hear        who fired them, in which run, how many before      ──> up, down, restarted
             └──> by kind ──> view.learn                                                        │
    gap records ─────────────────────────────────> view.doubt, of the sender or of all <── down ┤
    snapshots ───────────────────────────────────> view.seed                                    │
                                                   view.restarted <─────────────────── restarted┘

An event of a kind that no view learns from costs a look-up in one table. A view is asked for its rows a page at a time.

What becomes doubtful, and what does not. A gap record says that events are missing: of its sender where it names one,
else of anyone who was heard. A node that falls silent or that begins anew has told less than was so. A jump of a stock
sender's Event-Sequence proves nothing, because a switch numbers its own events too, and those that nobody asked for: it
is told as an upper bound (``lost_at_most``), and makes nothing doubtful. What was lost there is healed by the next
snapshot all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from typing import Any, Final, Literal, TypedDict

from pydantic import Field

from switchcast._native import EVENT_NAMES, Event
from switchcast.errors import UsageError
from switchcast.settings import Duration, Settings
from switchcast.views.calls import Calls, CallsSettings
from switchcast.views.mailboxes import Mailboxes
from switchcast.views.nodes import Nodes, NodesSettings, Turn
from switchcast.views.presence import Presence, PresenceSettings
from switchcast.views.registrations import Registrations, RegistrationsSettings
from switchcast.views.telling import ROOM, Snapshot, View, told
from switchcast.wire.gap_record import GAP_SUBCLASS
from switchcast.wire.refire import MULTICAST_EVENT

__all__ = ["MOST_ROWS", "VIEWS", "Doubt", "Page", "Picture", "ViewsSettings", "holds"]

VIEWS: Final = ("nodes", "registrations", "presence", "mailboxes", "calls")
MOST_ROWS: Final = 10_000
"""Rows of one page: an answer has to be made in one go, while which the node does nothing else."""
MOST_DOUBTED: Final = 1000
"""Nodes of which it is remembered since when and why they are doubted."""
_NAMES: Final = frozenset(EVENT_NAMES)


class ViewsSettings(Settings):
    """The ``[views]`` table: the picture of the cluster that the node keeps."""

    ask: tuple[str, ...] | None = None
    """The ``esl:`` endpoints whose switches are asked what is so; by default all of them, and with ``[]`` none."""
    refresh: Duration = 60.0
    """How often each of them is asked again; less often where its answers take long."""
    voicemail: bool = True
    """Whether each is asked for the messages of the mailboxes that were heard of."""
    most: int = Field(default=ROOM, ge=1, le=10_000_000)
    """Registrations, users with a presence, mailboxes and call legs, of each; strangers can invent any number."""
    nodes: NodesSettings = NodesSettings()
    """Which switches count as up."""
    registrations: RegistrationsSettings = RegistrationsSettings()
    """Who counts as registered."""
    presence: PresenceSettings = PresenceSettings()
    """How long users are remembered."""
    calls: CallsSettings = CallsSettings()
    """Legs of which nobody says that they have ended."""

    def same_picture(self, other: ViewsSettings) -> bool:
        """Whether a picture that was kept by ``other`` is one by these, though switches are asked otherwise."""
        asking = {"refresh", "voicemail"}
        return self.model_dump(exclude=asking) == other.model_dump(exclude=asking)


class Doubt(TypedDict):
    """Since when (seconds since 1970) and why not all that happened on a node is known."""

    since: float
    why: Literal["lost", "down", "restarted"]


class Page(TypedDict):
    """Some rows of a view; ``next`` is the key to go on after, ``None`` when there are no more.

    ``doubts`` are those that no snapshot has healed yet, by node.
    """

    rows: list[dict[str, Any]]
    next: str | None
    counters: dict[str, int]
    doubts: dict[str, Doubt]


class Picture:
    """The five views of one cluster, kept together. Pure: ``now`` is monotonic seconds, ``wall`` only for display.

    ``views`` are they by name, ``most`` how many rows each has room for; that of ``calls`` counts legs.
    """

    def __init__(self, settings: ViewsSettings | None = None) -> None:
        settings = settings or ViewsSettings()
        self.nodes = Nodes(settings.nodes)
        self._others: tuple[View, ...] = (
            Registrations(settings.registrations, settings.most),
            Presence(settings.presence, most=settings.most),
            Mailboxes(most=settings.most),
            Calls(settings.calls, most=settings.most),
        )
        self.views: dict[str, View] = {view.name: view for view in (self.nodes, *self._others)}
        self.most = dict.fromkeys(self.views, settings.most) | {self.nodes.name: settings.nodes.most}
        self.gaps = 0
        self.snapshots = 0
        self.doubts: dict[str, Doubt] = {}
        self._wall = 0.0
        self._learning: dict[str, tuple[View, ...]] = {}
        for view in self.views.values():
            for kind in view.kinds:
                self._learning[kind] = (*self._learning.get(kind, ()), view)

    @property
    def bindings(self) -> str:
        """The events that some view learns from, and what tells of loss, in FreeSWITCH's words."""
        kinds = sorted(self._learning)
        names = [kind for kind in kinds if kind in _NAMES]
        subclasses = [kind for kind in kinds if kind not in _NAMES]
        return " ".join([*names, "CUSTOM", *subclasses, MULTICAST_EVENT, GAP_SUBCLASS])

    def view(self, name: str) -> View:
        """The view of this name. Raises ``UsageError`` where there is none."""
        found = self.views.get(name)
        if found is None:
            raise UsageError(f"there is no view {name!r}; there are {', '.join(self.views)}")
        return found

    def take(self, events: Sequence[Event], now: float, wall: float) -> set[str]:
        """Learn from ``events``, which were received at ``now``; the nodes of which more has to be asked."""
        self._wall = wall
        self.nodes.hear(events, now, wall)
        turns = self.nodes.turns()
        doubted: set[str] = set()
        if turns:
            events = self._follow(turns, events, now, wall, doubted)
        self._learn(events, now, wall, doubted)
        return doubted | self.tick(now)

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right what is known of one switch by what it said itself."""
        self.snapshots += 1
        self._wall = wall
        self.nodes.seed(snapshot, now, wall)
        self._turn(self.nodes.turns(), now, set())  # what ended with a run that is over must not be seeded upon
        for view in self._others:
            view.seed(snapshot, now, wall)
        self.doubts.pop(snapshot.node, None)

    def tick(self, now: float) -> set[str]:
        """Let what has run out by ``now`` go; the nodes of which more has to be asked."""
        doubted: set[str] = set()
        self.nodes.tick(now)
        self._turn(self.nodes.turns(), now, doubted)
        for node in [node for node in self.doubts if node not in self.nodes]:
            del self.doubts[node]  # it has been forgotten
        for view in self._others:
            view.tick(now)
        return doubted

    def doubt(self, node: str, now: float) -> None:
        """Something of ``node`` was lost, by whatever way: doubt what is known of it until it is asked."""
        self._note(node, "lost")
        for view in self.views.values():
            view.doubt(node, now)

    def accounts(self, snapshot: Snapshot) -> list[str]:
        """Whose messages its switch can be asked for, in order: mailboxes it told of, and who is registered there."""
        boxes = {row["account"]: row["node"] for row in self.views["mailboxes"].rows(0.0)}
        registered = {row.get("user", "") for row in snapshot.registrations or ()}
        return sorted({box for box, node in boxes.items() if node == snapshot.node} | (registered - boxes.keys()))

    def next_due(self) -> float | None:
        """When ``tick`` has something to do at the earliest."""
        return min((due for view in self.views.values() if (due := view.next_due()) is not None), default=None)

    def page(self, name: str, now: float, *, after: str = "", limit: int = MOST_ROWS, match: str = "") -> Page:
        """Rows of the view ``name`` whose keys come behind ``after``, by key, at most ``limit``.

        ``match`` is text, in any case, that one of a row's values must hold. Raises ``UsageError``.
        """
        if not 1 <= limit <= MOST_ROWS:
            raise UsageError(f"limit is a whole number from 1 to {MOST_ROWS:,}, not {limit!r}")
        view = self.view(name)
        behind = [key for key in view.keys() if key > after]  # noqa: SIM118 - no mapping
        rows: list[dict[str, Any]] = []
        last: str | None = None
        for key in sorted(behind) if match else iter(nsmallest(limit + 1, behind)):
            row = view.row(key, now)
            if row is None or (match and not holds(row, match)):
                continue
            if len(rows) == limit:
                break
            rows.append(row)
            last = key
        else:
            last = None
        return {"rows": rows, "next": last, "counters": view.counters(), "doubts": dict(self.doubts)}

    def states(self) -> dict[str, dict[str, int]]:
        """How many rows each view has now, by what is so of them. It looks at all of them."""
        return {name: view.states() for name, view in self.views.items()}

    def in_doubt(self) -> dict[str, int]:
        """How many rows of each node in ``doubts`` are doubtful; one that has none any more is forgotten there.

        It looks at all rows, where anybody is in doubt: what was doubtful has been told anew, or has run out.
        """
        if not self.doubts:
            return {}
        rows = sum((Counter(view.doubtful()) for view in self.views.values()), Counter[str]())
        self.doubts = {node: doubt for node, doubt in self.doubts.items() if rows[node]}
        return {node: rows[node] for node in self.doubts}

    def counters(self) -> dict[str, dict[str, int]]:
        """What each view counts, and under ``picture`` the ``gaps`` that were told and the ``snapshots`` taken."""
        own = {"gaps": self.gaps, "snapshots": self.snapshots}
        return {name: view.refusals() for name, view in self.views.items()} | {"picture": own}

    def _learn(self, events: Sequence[Event], now: float, wall: float, doubted: set[str]) -> None:
        learning = self._learning
        for event in events:
            kind = event.name
            if kind == "CUSTOM":
                kind = event.subclass or ""
                if kind in (MULTICAST_EVENT, GAP_SUBCLASS):
                    if kind == GAP_SUBCLASS:
                        self._miss(event, now, doubted)
                        continue
                    kind = event.get("Orig-Event-Subclass") or event.get("Orig-Event-Name") or ""
            views = learning.get(kind or "")
            if views is None:
                continue
            told_of = told(event)
            if told_of is not None:
                for view in views:
                    view.learn(told_of, now, wall)

    def _follow(
        self, turns: Sequence[Turn], events: Sequence[Event], now: float, wall: float, doubted: set[str]
    ) -> Sequence[Event]:
        """Let each new run begin where its first event stands among ``events``; those that are left to learn from.

        What the old run told before that ended with it, and what the new one told after that did not.
        """
        begun = {(turn.node, turn.core): turn for turn in turns if turn.what == "restarted"}
        self._turn([turn for turn in turns if turn.what != "restarted"], now, doubted)
        start = 0
        for place, event in enumerate(events):
            if not begun:
                break
            told_of = told(event)
            turn = None if told_of is None else begun.pop((told_of.node, told_of.core), None)
            if turn is not None:
                self._learn(events[start:place], now, wall, doubted)
                self._turn([turn], now, doubted)
                start = place
        self._turn(list(begun.values()), now, doubted)
        return events[start:]

    def _turn(self, turns: Sequence[Turn], now: float, doubted: set[str]) -> None:
        for turn in turns:
            doubted.add(turn.node)
            if turn.what != "up":
                self._note(turn.node, turn.what)
            for view in self._others:
                if turn.what == "restarted":
                    view.restarted(turn.node, turn.core, now)
                elif turn.what == "down":
                    view.doubt(turn.node, now)

    def _note(self, node: str, why: Literal["lost", "down", "restarted"]) -> None:
        if node in self.nodes and len(self.doubts) < MOST_DOUBTED:
            self.doubts.setdefault(node, {"since": self._wall, "why": why})

    def _miss(self, record: Event, now: float, doubted: set[str]) -> None:
        """A gap record, which only this host writes: one that the network brings is somebody else's claim."""
        if record.trust != "local":
            return
        self.gaps += 1
        sender, missing = record.get("Gap-Sender"), record.get("Gap-Events")
        if sender:
            self.nodes.missed(sender, int(missing) if missing else None, now)
        for node in [sender] if sender else list(self.nodes.keys()):
            doubted.add(node)
            self.doubt(node, now)


def holds(row: object, text: str) -> bool:
    """Whether a text in ``row``, however deep, has ``text`` in it, in any case."""
    text = text.casefold()
    return any(text in value.casefold() for value in _values(row))


def _values(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _values(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _values(each)
