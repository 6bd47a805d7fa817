"""Who is there: from the HEARTBEATs of others, as the stock module does, but without believing every name.

::

                  heard                       heard ``comeback`` times
    (unknown) ───────────────> up <────────────────────────────────┐
                               │                                   │
                               └──> down ──────────> returning ────┘
                        unheard  ^   │    heard         │
                                 │   │ ``forget``       │ unheard
                                 │   └──> (unknown)     │
                                 └──────────────────────┘

A HEARTBEAT marks its ``Multicast-Sender`` as seen; who is unheard for longer than ``timeout`` is down. The first coming
up is told at once. After a down it takes ``comeback`` heartbeats with no more than ``timeout`` between them, so that
one whose heartbeats come rarely, or on a bad line, goes down once and not every minute.

Anyone can write any name, so a row is kept for each pair of name and source address. A name belongs to the address that
was heard under it first: its **holder**. Under another address the same name is a **rival**: shown beside the holder,
counted, and without effect on it. Only the holder comes up and goes down. Once it is down a rival can take its name
over, as one that comes back would. Without signatures nobody can tell which of the two is meant; the address is told.

The number of rows is bounded, in all and for one address. Nobody who is up is given up for a newcomer, nor who was long
there and is down now; of the others that are down the one that was heard least is.

Pure: ``now`` is monotonic seconds, ``wall`` seconds since 1970 for display only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict

from pydantic import Field

from switchcast._native import Event
from switchcast.settings import Duration, Settings
from switchcast.wire.refire import MULTICAST_EVENT

__all__ = [
    "BINDINGS",
    "ESTABLISHED_HEARTBEATS",
    "MOST_NAME_CHARACTERS",
    "Change",
    "PeerRow",
    "PeerState",
    "Peers",
    "PeersSettings",
]

BINDINGS: Final = f"HEARTBEAT CUSTOM {MULTICAST_EVENT}"
"""The events that peers are known by."""
MOST_NAME_CHARACTERS: Final = 256
"""Characters of a sender's name: a header can hold a mebibyte of it, and a thousand of those are kept."""
ESTABLISHED_HEARTBEATS: Final = 10
"""Who was heard this often, some 200 s at stock's rate, keeps its row while it is down, whatever is invented."""
_CORE_CHARACTERS: Final = 36
"""Of a UUID; anyone can send more, and it is kept with each row."""

PeerState = Literal["up", "returning", "down", "rival"]
Trust = Literal["stock", "local", "member", "signed"]

_WORTH: Final[dict[Trust, int]] = {"stock": 0, "local": 1, "member": 2, "signed": 3}


class PeersSettings(Settings):
    """The ``[peers]`` table: who counts as there."""

    timeout: Duration = 60.0
    """Unheard for longer than this is down; stock's own figure, three of its heartbeats."""
    comeback: int = Field(default=2, ge=1, le=100)
    """Heartbeats until one that was down is up again; 1 is what stock does."""
    forget: Duration = 86400.0
    """How long one that is down is remembered."""
    most: int = Field(default=1000, ge=1, le=100_000)
    """Rows in all, however many names are invented."""
    most_per_address: int = Field(default=32, ge=1, le=100_000)
    """Rows for one source address."""
    to: tuple[str, ...] = ()
    """Sinks that are told who comes and goes, as the module tells its own switch; rules hear of it anyway."""


class PeerRow(TypedDict):
    """One name at one address, as plain values. Times are seconds, ``last_seen`` since 1970; ``core`` its Core-UUID."""

    name: str
    address: str
    core: str
    state: PeerState
    last_seen: float
    seconds_ago: float
    in_state: float
    heartbeats: int
    downs: int
    also: list[str]


@dataclass(frozen=True, slots=True)
class Change:
    """A peer that came up or went down. ``last_seen`` is when it was heard before that, ``None`` for never."""

    what: Literal["up", "down"]
    name: str
    address: str
    last_seen: float | None
    trust: Trust = "local"
    signer: str | None = None

    def event(self) -> Event:
        """``multicast::peerup`` or ``multicast::peerdown`` with stock's headers, and the address where it is known.

        It is worth the trust that the heartbeats are that it was made of.
        """
        headers = [
            ("Event-Subclass", f"multicast::peer{self.what}"),
            ("Event-Name", "CUSTOM"),
            ("Peer", self.name),
            ("Lastseen", "Never" if self.last_seen is None else str(int(self.last_seen))),
        ]
        if self.address:
            headers.append(("Peer-Address", self.address))
        return Event.from_headers(headers).with_trust(self.trust, self.signer)


@dataclass(eq=False, slots=True)
class _Peer:
    """One name at one address. ``run`` counts heartbeats since it began to come back.

    ``trust`` is that of the heartbeats which count for it: those of less are not its own.
    """

    name: str
    address: str
    state: PeerState
    since: float
    heard: float
    wall: float
    core: str
    number: int | None
    trust: Trust
    signer: str | None
    heartbeats: int = 1
    downs: int = 0
    run: int = 0
    last_up: float | None = None

    def change(self, what: Literal["up", "down"]) -> Change:
        return Change(what, self.name, self.address, self.last_up, self.trust, self.signer)


@dataclass(frozen=True, slots=True)
class _Heartbeat:
    """Who was heard and from where, in which run of the switch, and its number there: two alike are one heartbeat."""

    name: str
    address: str
    core: str
    number: int | None
    trust: Trust
    signer: str | None


@dataclass(eq=False)
class Peers:
    """The table. ``own`` are this node's names, which are no peers; ``settings`` can be replaced at any time."""

    settings: PeersSettings = field(default_factory=PeersSettings)
    own: Collection[str] = ()
    _rows: dict[str, dict[str, _Peer]] = field(default_factory=dict, init=False, repr=False)
    _holders: dict[str, _Peer] = field(default_factory=dict, init=False, repr=False)
    _heard: OrderedDict[_Peer, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _down: OrderedDict[_Peer, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _frail: OrderedDict[_Peer, None] = field(default_factory=OrderedDict, init=False, repr=False)
    _counts: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    _now: float = field(default=float("-inf"), init=False, repr=False)

    def __len__(self) -> int:
        return len(self._heard) + len(self._down)

    def take(self, events: Iterable[Event], now: float, wall: float) -> list[Change]:
        """Learn from ``events``, which were received at ``now``; what has changed by that and by time, in order."""
        changes = self.tick(now)
        for event in events:
            heartbeat = _heartbeat_of(event)
            if heartbeat is not None and (change := self._hear(heartbeat, wall)) is not None:
                changes.append(change)
        return changes

    def tick(self, now: float) -> list[Change]:
        """Let time pass until ``now``; who has gone down. Time that runs backwards is taken to stand still."""
        self._now = max(self._now, now)
        changes = []
        while self._heard and self._now - (peer := next(iter(self._heard))).heard > self.settings.timeout:
            change = self._miss(peer)
            if change is not None:
                changes.append(change)
        while self._down and self._now - (peer := next(iter(self._down))).since > self.settings.forget:
            self._remove(peer)
        return changes

    def next_due(self) -> float | None:
        """When a ``tick`` has something to do at the earliest, if nothing is heard until then.

        Just after this time, that is: who is unheard for as long as ``timeout`` and no longer is still there.
        """
        due = [next(iter(self._heard)).heard + self.settings.timeout] if self._heard else []
        due += [next(iter(self._down)).since + self.settings.forget] if self._down else []
        return min(due, default=None)

    def rows(self, now: float) -> list[PeerRow]:
        """Everyone known, by name, the holder of a name before its rivals."""
        by_name: defaultdict[str, list[_Peer]] = defaultdict(list)
        for peer in (*self._heard, *self._down):
            by_name[peer.name].append(peer)
        rows = []
        for name in sorted(by_name):
            peers = sorted(by_name[name], key=lambda peer: (peer.state == "rival", peer.address))
            for peer in peers:
                also = [other.address for other in peers if other is not peer and other.state != "down"]
                rows.append(_row(peer, now, [address for address in also if address]))
        return rows

    def counters(self) -> dict[str, int]:
        """``heartbeats`` heard, and those without effect by reason; rows ``evicted``; rows now, by state.

        ``own``: under this node's name. ``untrusted``: of less worth than those before. ``repeated``: a switch told of
        one that is heard directly. ``refused_name``: too long. ``refused_address`` and ``refused_full``: newcomers for
        whom there was no room.
        """
        names = (
            "heartbeats",
            "own",
            "untrusted",
            "repeated",
            "refused_name",
            "refused_address",
            "refused_full",
            "evicted",
        )
        states = Counter(peer.state for peer in self._heard)
        counts = {name: self._counts[name] for name in names}
        return (
            counts
            | {"up": states["up"], "returning": states["returning"], "rival": states["rival"]}
            | {"down": len(self._down)}
        )

    def _hear(self, heartbeat: _Heartbeat, wall: float) -> Change | None:
        self._counts["heartbeats"] += 1
        if heartbeat.name in self.own:
            self._counts["own"] += 1
            return None
        peer = self._rows.get(heartbeat.address, {}).get(heartbeat.name)
        if peer is None:
            return self._admit(heartbeat, wall)
        if _WORTH[heartbeat.trust] < _WORTH[peer.trust]:
            self._counts["untrusted"] += 1
            return None
        peer.trust, peer.signer = heartbeat.trust, heartbeat.signer
        fresh = heartbeat.number is None or (heartbeat.core, heartbeat.number) != (peer.core, peer.number)
        peer.heartbeats += fresh
        peer.core, peer.number, peer.heard, peer.wall = heartbeat.core, heartbeat.number, self._now, wall
        self._down.pop(peer, None)
        self._frail.pop(peer, None)
        self._heard[peer] = None
        self._heard.move_to_end(peer)
        return None if peer.state == "up" else self._return(peer, fresh=fresh)

    def _admit(self, heartbeat: _Heartbeat, wall: float) -> Change | None:
        """Make a row for a newcomer, if there is to be one: up at once, unless another address holds the name."""
        name, address = heartbeat.name, heartbeat.address
        holder = self._holders.get(name)
        if len(name) > MOST_NAME_CHARACTERS:
            self._counts["refused_name"] += 1
            return None
        if holder is not None and not address:
            self._counts["repeated"] += 1
            return None
        if not self._has_room(address):
            return None
        state: PeerState = "up" if holder is None else "rival"
        core, number, trust, signer = heartbeat.core, heartbeat.number, heartbeat.trust, heartbeat.signer
        peer = _Peer(name, address, state, self._now, self._now, wall, core, number, trust, signer)
        self._rows.setdefault(address, {})[name] = peer
        self._heard[peer] = None
        if holder is not None:
            return self._return(peer, fresh=True)
        self._holders[name] = peer
        return peer.change("up")

    def _return(self, peer: _Peer, *, fresh: bool) -> Change | None:
        """One more heartbeat of one that was down, or of a rival.

        A rival can only come up while the holder is down, or if it proves more than the holder: a stranger who was
        there first does not keep a member out. One that proves less waits until the holder is forgotten.
        """
        holder = self._holders.get(peer.name, peer)
        more = _WORTH[peer.trust] - _WORTH[holder.trust]
        if holder is not peer and (more < 0 or (more == 0 and holder.state != "down")):
            peer.run = 0
            return None
        peer.run += fresh
        if peer.run < self.settings.comeback:
            if peer.state == "down":
                peer.state, peer.since = "returning", self._now
            return None
        if holder is not peer:
            peer.last_up, peer.downs = holder.last_up, holder.downs
            self._remove(holder)
        self._holders[peer.name] = peer
        peer.state, peer.since, peer.run = "up", self._now, 0
        return peer.change("up")

    def _miss(self, peer: _Peer) -> Change | None:
        """``peer`` has not been heard for too long."""
        if peer.state == "rival":
            self._remove(peer)
            return None
        was_up = peer.state == "up"
        del self._heard[peer]
        self._down[peer] = None
        if peer.heartbeats < ESTABLISHED_HEARTBEATS:
            self._frail[peer] = None
        peer.state, peer.since, peer.run = "down", self._now, 0
        if not was_up:
            return None
        peer.downs += 1
        peer.last_up = peer.wall
        return peer.change("down")

    def _has_room(self, address: str) -> bool:
        """Whether one more row for ``address`` is allowed, after giving up one that is down if need be."""
        settings, here = self.settings, self._rows.get(address, {})
        # What a switch re-fires has no address of its own, and tells of a whole cluster.
        for_address = settings.most_per_address if address else max(1, settings.most // 2)
        if len(here) >= for_address:
            if not self._evict(here.values()):
                self._counts["refused_address"] += 1
                return False
        elif len(self) >= settings.most and not self._evict(self._frail):
            self._counts["refused_full"] += 1
            return False
        return True

    def _evict(self, among: Iterable[_Peer]) -> bool:
        """Give up the one that is down and was heard least, unless it was heard often.

        Going through all of these is paid for: each has first been heard, and then not for ``timeout``.
        """
        down = [peer for peer in among if peer in self._frail] if self._frail else []
        if not down:
            return False
        self._remove(min(down, key=lambda peer: (peer.heartbeats, peer.since)))
        self._counts["evicted"] += 1
        return True

    def _remove(self, peer: _Peer) -> None:
        self._heard.pop(peer, None)
        self._down.pop(peer, None)
        self._frail.pop(peer, None)
        here = self._rows[peer.address]
        del here[peer.name]
        if not here:
            del self._rows[peer.address]
        if self._holders.get(peer.name) is peer:
            del self._holders[peer.name]


def _heartbeat_of(event: Event) -> _Heartbeat | None:
    """What ``event`` tells of a sender: a HEARTBEAT from a group, or one that a switch has re-fired."""
    name = event.name
    if name == "HEARTBEAT":
        sender, core, number = event.sender, event.core_uuid, event.sequence
    elif name == "CUSTOM" and event.subclass == MULTICAST_EVENT and event.get("Orig-Event-Name") == "HEARTBEAT":
        sender, core = event.get("Orig-Multicast-Sender"), event.get("Orig-Core-UUID")
        number = event.sequence  # the switch's that re-fired it, which tells one from the next as well
    else:
        return None
    if not sender:
        return None
    core = (core or "")[:_CORE_CHARACTERS]
    return _Heartbeat(sender, _address_of(event.source), core, number, event.trust, event.signer)


def _address_of(source: str | None) -> str:
    """``192.0.2.7:4242`` or ``[2001:db8::7]:4242`` without the port, which changes with each start of a sender."""
    host, colon, port = (source or "").rpartition(":")
    if not colon or not port.isdigit():
        return source or ""
    return host.removeprefix("[").removesuffix("]")


def _row(peer: _Peer, now: float, also: list[str]) -> PeerRow:
    return {
        "name": peer.name,
        "address": peer.address,
        "core": peer.core,
        "state": peer.state,
        "last_seen": peer.wall,
        "seconds_ago": max(0.0, now - peer.heard),
        "in_state": max(0.0, now - peer.since),
        "heartbeats": peer.heartbeats,
        "downs": peer.downs,
        "also": also,
    }
