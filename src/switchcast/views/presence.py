"""Presence: what people say of themselves, and whether they are on the telephone.

Two things come as PRESENCE_IN. **Words**: a user registered or unregistered, or published a note ("At désk"); so do
conferences and parking lots. **Calls**: each call of a user with a presence is told step by step, by the channel's
headers and ``presence-call-info-state``. The last event alone says neither: after a call its ``status`` is
``CS_HANGUP``. So a row keeps the words (``status``, ``rpid``, ``proto``), and the calls beside them by their UUID;
``state`` is one word out of both, as a lamp shows it.

==============  ====================================================================================================
``state``       when
==============  ====================================================================================================
``active``      a call is up, or the conference or parking place is in use
``ringing``     a call rings, none is up
``held``        the user's only calls are on hold
``busy``        no call; the words say so (``busy``, ``on-the-phone``, ``dnd``, ...)
``away``        no call; the words say so
``available``   registered, or a note that says nothing else
``idle``        a conference or parking place nobody is in
``offline``     ``Unregistered``, or PRESENCE_OUT
``unknown``     only calls were heard of so far
==============  ====================================================================================================

A call whose end was lost is let go when its channel is destroyed, when a snapshot has it no more, or when nothing was
heard of it for ``forget`` seconds. A row with ``expires`` goes at that time; one that is offline, or doubtful with
nobody to ask, ``forget`` seconds after it was last heard of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Final

from switchcast.settings import Duration, Settings
from switchcast.views.ledger import Ledger, cut
from switchcast.views.mailboxes import account_of
from switchcast.views.telling import ROOM, Snapshot, Sure, Told, Trust
from switchcast.views.words import CALLS, LISTED, REGISTERED, UNREGISTERED, State, Words, lasting, said

__all__ = ["MOST_CALLS_EACH", "Presence", "PresenceSettings"]

MOST_CALLS_EACH: Final = 1_000
"""Calls kept for one user; a conference with more is one user here."""
_SWEEP: Final = 300.0
_SPARE: Final = 100

_GOING: Final = frozenset({"offline", "idle", "unknown"})
"""States that are no loss."""
_REGISTRATION: Final = frozenset({"", "Registered", "Unregistered"})


class PresenceSettings(Settings):
    """The ``[views.presence]`` table."""

    forget: Duration = 86400.0
    """How long one who is offline, or doubtful, is remembered, and a call of which nothing is heard."""


@dataclass(slots=True, eq=False)
class _Call:
    """One call of a user, as its last PRESENCE_IN told."""

    state: State
    node: str
    core: str
    heard: float


@dataclass(slots=True, eq=False)
class _User:
    """``own`` is the state that the words say; ``last`` status and rpid of the very last event, whatever made it."""

    node: str
    since: float
    heard: float
    worth: int
    trust: Trust
    sure: Sure
    shown: State = "unknown"
    """``state`` when ``since`` was noted."""
    own: State = "unknown"
    status: str = ""
    rpid: str = ""
    proto: str = ""
    last_status: str = ""
    last_rpid: str = ""
    due: float | None = None
    """Monotonic; when the words run out."""
    expires: float | None = None
    calls: dict[str, _Call] | None = None

    @property
    def state(self) -> State:
        if self.calls:
            states = {call.state for call in self.calls.values()}
            return "active" if "active" in states else "ringing" if "ringing" in states else "held"
        return self.own


class Presence:
    """The view ``presence``: a row a user (``user@domain``). ``most``: users, and calls of users, in all."""

    name = "presence"
    kinds: Collection[str] = frozenset({"PRESENCE_IN", "PRESENCE_OUT", "CHANNEL_DESTROY"})

    def __init__(self, settings: PresenceSettings | None = None, *, most: int = ROOM) -> None:
        self.settings = settings or PresenceSettings()
        self._most = most
        self._users: Ledger[_User] = Ledger(most, self._leave)
        self._callers: dict[str, str] = {}  # the user of each call
        self._due: list[tuple[float, str]] = []
        self._sweep: float | None = None
        self._wall = self._ahead = 0.0  # now, and the wall clock less the monotonic one

    def __len__(self) -> int:
        return len(self._users)

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event of these kinds."""
        self._wall, self._ahead = wall, wall - now
        if told.kind == "CHANNEL_DESTROY":
            self._end_call(told)
            return
        name = account_of(told.get("from"))
        user = self._users.rows.get(name)
        if not self._users.admits(told, user):
            return
        if user is None:
            if told.kind == "PRESENCE_OUT" or not self._users.has_room(name, told.worth):
                return
            user = _User(told.node, wall, now, told.worth, told.event.trust, "told")
            self._users.add(name, user)
            self._sweep = self._sweep or now + _SWEEP
        words = said(told)
        user.last_status, user.last_rpid = words.last_status, words.rpid
        if told.kind == "PRESENCE_OUT":
            self._say(user, words, "offline")
        elif told.get("Channel-Name"):
            self._tell_call(name, user, told, now)
        else:
            self._say(user, words, words.own)
            self._expire(name, user, told.get("expires"), now, wall)
            user.sure = "told"
        self._show(name, user)
        self._users.credit(name, user, told, now)

    def _show(self, name: str, user: _User) -> None:
        """Something of the user has changed."""
        if user.state != user.shown:
            user.shown, user.since = user.state, self._wall
        self._users.touch(name)

    def _say(self, user: _User, words: Words, own: State) -> None:
        if user.status != words.status:
            user.since = self._wall
        user.own, user.status, user.rpid, user.proto = own, words.status, words.rpid, words.proto

    def _expire(self, name: str, user: _User, text: str, now: float, wall: float) -> None:
        user.due = user.expires = None
        seconds = lasting(text, wall)
        if seconds is not None:
            user.due, user.expires = now + seconds, wall + seconds
            heappush(self._due, (user.due, name))
            if len(self._due) > 2 * len(self._users) + _SPARE:  # most are of those who have said it again
                self._due = [(each.due, n) for n, each in self._users.rows.items() if each.due is not None]
                heapify(self._due)

    def _tell_call(self, name: str, user: _User, told: Told, now: float) -> None:
        uuid = told.get("Unique-ID")
        state = CALLS.get(told.get("presence-call-info-state").lower())
        calls = user.calls
        other = self._users.rows.get(self._callers.get(uuid, name))
        if other is not None and told.worth < other.worth:
            self._users.counts["untrusted"] += 1
            return
        if state is None:
            self._forget_call(uuid)
            return
        if calls is not None and uuid in calls:
            calls[uuid] = _Call(state, told.node, told.core, now)
            return
        self._forget_call(uuid)  # it was another's
        self._take_call(name, user, uuid, _Call(state, told.node, told.core, now))

    def _end_call(self, told: Told) -> None:
        uuid = told.get("Unique-ID")
        name = self._callers.get(uuid)
        user = self._users.rows.get(name) if name is not None else None
        if user is not None and told.worth >= user.worth:
            self._forget_call(uuid)

    def _forget_call(self, uuid: str) -> None:
        name = self._callers.pop(uuid, None)
        user = self._users.rows.get(name) if name is not None else None
        if name is not None and user is not None and user.calls:
            user.calls.pop(uuid, None)
            if not user.calls:
                user.calls = None
            self._show(name, user)

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right the calls of that switch, and say of who is registered there, or is no more, that it is so.

        Words that somebody published no switch can be asked for: they stay.
        """
        self._wall, self._ahead = wall, wall - now
        if snapshot.channels is not None:
            self._seed_calls(snapshot)
        if snapshot.registrations is not None:
            self._seed_registered(snapshot, now)

    def _seed_calls(self, snapshot: Snapshot) -> None:
        """Let go of calls that the switch has not, and take what is so of the others from its channels."""
        listed = {row.get("uuid", ""): row for row in snapshot.channels or ()}
        for uuid, call in self._calls_of(snapshot.node):
            if call.heard >= snapshot.begun:
                continue
            state = LISTED.get(listed[uuid].get("callstate", "").upper()) if uuid in listed else None
            if uuid not in listed:
                self._forget_call(uuid)
            elif state is not None and state != call.state:
                call.state = state
                name = self._callers[uuid]
                self._show(name, self._users.rows[name])
        for uuid, row in listed.items():
            name = row.get("presence_id", "")
            user = self._users.rows.get(name)
            state = LISTED.get(row.get("callstate", "").upper())
            if user is None or state is None or user.heard >= snapshot.begun or uuid in self._callers:
                continue  # one that ended since then is not to come back
            self._take_call(name, user, uuid, _Call(state, snapshot.node, snapshot.core, snapshot.begun))
            self._show(name, user)

    def _take_call(self, name: str, user: _User, uuid: str, call: _Call) -> None:
        """Keep one more call of ``user``, if there is room for it."""
        calls = user.calls if user.calls is not None else {}
        full = len(calls) >= MOST_CALLS_EACH or len(self._callers) >= self._most
        if full or not uuid or uuid != cut(uuid):
            self._users.counts["refused_calls"] += 1
            return
        calls[uuid], user.calls, self._callers[uuid] = call, calls, name

    def _calls_of(self, node: str) -> list[tuple[str, _Call]]:
        users = self._users.rows
        found = []
        for uuid, name in self._callers.items():
            user = users.get(name)
            call = user.calls.get(uuid) if user is not None and user.calls else None
            if call is not None and call.node == node:
                found.append((uuid, call))
        return found

    def _seed_registered(self, snapshot: Snapshot, now: float) -> None:
        registered = {cut(row.get("user", "")): None for row in snapshot.registrations or ()}
        for name in registered:
            user = self._users.rows.get(name)
            if user is None and self._users.has_room(name, -1):
                user = _User(snapshot.node, self._wall, snapshot.begun, -1, "local", "asked")
                self._users.add(name, user)
                self._sweep = self._sweep or now + _SWEEP
            if user is not None and user.heard <= snapshot.begun:
                self._ask(name, user, REGISTERED, snapshot)
        for name in self._users.of_node(snapshot.node):
            user = self._users.rows[name]
            if name not in registered and user.heard < snapshot.begun and user.status in ("Registered", "Unregistered"):
                self._ask(name, user, UNREGISTERED, snapshot)

    def _ask(self, name: str, user: _User, words: Words, snapshot: Snapshot) -> None:
        if user.status not in _REGISTRATION:
            return
        if user.status != words.status:
            self._say(user, words, words.own)
            self._users.move(name, user, snapshot.node)
        user.heard, user.sure = max(user.heard, snapshot.begun), self._users.sure_by(snapshot)
        self._show(name, user)

    def doubt(self, node: str, now: float) -> None:
        """What ``node`` told last of a user may not be the last."""
        self._users.doubt(node, now)

    def restarted(self, node: str, core: str, now: float) -> None:
        """The calls of the switch's last run are gone; who is registered there still is."""
        for uuid, call in self._calls_of(node):
            if call.core != core:
                self._forget_call(uuid)

    def tick(self, now: float) -> None:
        """Let words go that have run out, and who has been offline for long."""
        self._wall = now + self._ahead
        while self._due and self._due[0][0] <= now:
            due, name = heappop(self._due)
            user = self._users.rows.get(name)
            if user is not None and user.due == due:
                self._users.remove(name)
        if self._sweep is None or now < self._sweep:
            return
        before = now - self.settings.forget
        for name, user in list(self._users.rows.items()):
            for uuid in [uuid for uuid, call in (user.calls or {}).items() if call.heard < before]:
                self._forget_call(uuid)
            if user.heard < before and not user.calls and (user.own in _GOING or user.sure == "doubtful"):
                self._users.remove(name)
        self._sweep = now + _SWEEP if self._users.rows else None

    def _leave(self, name: str, user: _User) -> None:
        for uuid in user.calls or ():
            self._callers.pop(uuid, None)

    def next_due(self) -> float | None:
        """When ``tick`` has something to do at the earliest."""
        due = [self._due[0][0]] if self._due else []
        due += [self._sweep] if self._sweep is not None else []
        return min(due, default=None)

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Everyone, by name."""
        return [_row(name, user) for name, user in sorted(self._users.rows.items())]

    def keys(self) -> Iterable[str]:
        """The names of all."""
        return self._users.rows.keys()

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """The row of one user."""
        found = self._users.rows.get(key)
        return None if found is None else _row(key, found)

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Users whose row has changed since the last call."""
        return [(key, self.row(key, 0.0)) for key in self._users.touched()]

    def states(self) -> dict[str, int]:
        """All ``users``, how many ``calls`` they have, and how many users are in each state."""
        states = Counter(user.state for user in self._users.rows.values())
        return {"users": len(self._users), "calls": len(self._callers)} | dict(sorted(states.items()))

    def doubtful(self) -> Mapping[str, int]:
        """How many rows are, by node."""
        return self._users.doubtful()

    def refusals(self) -> dict[str, int]:
        """As those of ``Ledger``; ``refused_calls``: there was no room for more calls, of that user or of all."""
        return self._users.refusals() | {"refused_calls": self._users.counts["refused_calls"]}

    def counters(self) -> dict[str, int]:
        """``states`` and ``refusals``."""
        return self.states() | self.refusals()


def _row(name: str, user: _User) -> dict[str, Any]:
    return {
        "user": name,
        "state": user.state,
        "status": user.status,
        "rpid": user.rpid,
        "proto": user.proto,
        "calls": len(user.calls or ()),
        "said": user.last_status,
        "said_rpid": user.last_rpid,
        "expires": user.expires,
        "node": user.node,
        "since": user.since,
        "sure": user.sure,
        "trust": user.trust,
    }
