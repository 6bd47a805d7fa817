"""The legs of all switches: made, changed and ended by CHANNEL events, put right by what a switch answers.

**Lost events.** A leg whose CREATE was lost is made from the first event that shows it up and not yet hung up. A leg
whose end was lost goes, whichever comes first, with the next snapshot of its switch, which does not have it; with a new
Core-UUID of its switch; ``LINGER`` after its CHANNEL_HANGUP, where only the DESTROY was lost. As a last resort, where
nobody can ask that switch, one of which nothing is heard for ``quiet`` is ``doubtful``, and after ``forget`` it is
taken to have ended. A lost BRIDGE is made good by CALL_UPDATE (``Bridged-To``), by CS_EXCHANGE_MEDIA, and by ``show
calls``.

**Late events.** Each leg remembers the Event-Sequence of its newest event; one that is older changes nothing. The UUIDs
of legs that have gone are kept for a while, so that neither the CHANNEL_STATE that follows CHANNEL_DESTROY nor a
snapshot that was taken before brings one back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Final

from switchcast.views.grouping import Groups
from switchcast.views.ledger import MOST_NODES, Ledger, cut
from switchcast.views.legs import ENDED, UNBORN, Leg, read, read_end, read_place, read_row, tags_of
from switchcast.views.telling import Snapshot, Told

__all__ = ["GONE_SECONDS", "KINDS", "LINGER", "MOST_GONE", "Channels"]

LINGER: Final = 30.0
"""Seconds for which a leg that was hung up waits for its CHANNEL_DESTROY, which comes within some milliseconds."""
MOST_GONE: Final = 50_000
"""UUIDs of legs that are gone."""
GONE_SECONDS: Final = 60.0
"""How long they are kept: longer than a snapshot takes."""
_SWEEP: Final = 60.0

_WHOLE: Final = frozenset(
    {
        "CHANNEL_CREATE",
        "CHANNEL_ORIGINATE",
        "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_ANSWER",
        "CHANNEL_BRIDGE",
        "CHANNEL_UNBRIDGE",
        "CHANNEL_PARK",
        "CHANNEL_UNPARK",
        "CALL_UPDATE",
        "CODEC",
    }
)
"""Events with which more than the state can have changed."""
_REROUTED: Final = frozenset({"CS_ROUTING", "CS_EXCHANGE_MEDIA"})
"""States in which it can have changed too: a transfer begins with the one, the other is that of a bridged leg."""
_ENDINGS: Final = frozenset({"CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"})
_PLACES: Final = frozenset({"conference::maintenance", "valet_parking::info"})
KINDS: Final[Collection[str]] = (
    _WHOLE
    | _ENDINGS
    | _PLACES
    | {"CHANNEL_STATE", "CHANNEL_CALLSTATE", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CHANNEL_EXECUTE"}
    | {"CHANNEL_UUID", "CHANNEL_DESTROY"}
)
"""The events that legs are known by."""


class Channels:
    """The table of legs. ``most``: how many; ``quiet`` and ``forget``: seconds, see above."""

    def __init__(self, most: int, quiet: float, forget: float) -> None:
        self.quiet, self.forget = quiet, forget
        self._legs: Ledger[Leg] = Ledger(most, self._leave)
        self.groups = Groups(lambda uuid: self._legs.rows[uuid].strange)
        self._gone: OrderedDict[str, tuple[str, int, float]] = OrderedDict()  # core, last sequence, when
        self._ending: OrderedDict[str, float] = OrderedDict()
        self._cores: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._sweep: float | None = None
        self._now = 0.0
        self._legs.touched()  # begins it

    def __len__(self) -> int:
        return len(self._legs)

    @property
    def legs(self) -> Mapping[str, Leg]:
        """Every leg by its UUID."""
        return self._legs.rows

    @property
    def waiting(self) -> int:
        """How many UUIDs ``touched`` would give."""
        return self._legs.waiting

    def touched(self) -> list[str]:
        """UUIDs of legs that have changed or gone since the last call."""
        return self._legs.touched()

    def doubtful(self) -> Mapping[str, int]:
        """How many legs are, by node."""
        return self._legs.doubtful()

    def refusals(self) -> dict[str, int]:
        """What was refused, by reason; ``late``: events older than what is known of their leg."""
        return self._legs.refusals() | {"late": self._legs.counts["late"]}

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event of ``KINDS``."""
        self._now = now
        uuid = told.get("Unique-ID")
        if not uuid:
            return
        kind = told.kind
        if kind == "CHANNEL_UUID":
            self._rename(told, uuid, now)
            return
        leg = self._legs.rows.get(uuid)
        if leg is None:
            leg = self._meet(told, uuid, now, wall)
            if leg is None:
                return
        elif not self._legs.admits(told, leg):
            return
        sequence = _sequence(told)
        if kind == "CHANNEL_DESTROY" or (kind == "CHANNEL_STATE" and told.get("Channel-State") == "CS_DESTROY"):
            self._bury(uuid, told.core, sequence, now)
            return
        self._legs.credit(uuid, leg, told, now)
        if leg.sure == "asked":
            leg.sure = "told"
        if leg.core != told.core:
            leg.core, leg.sequence, leg.bridge_sequence = told.core, -1, -1
        if kind in ("CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE"):
            self._bridge(leg, told, sequence, now)
        if sequence >= 0 and sequence < leg.sequence:
            self._legs.counts["late"] += 1
            return
        leg.sequence = max(leg.sequence, sequence)
        self._update(leg, told, kind, now, wall)

    def _update(self, leg: Leg, told: Told, kind: str, now: float, wall: float) -> None:
        state = told.get("Channel-State")
        if state:
            leg.channel_state = cut(state)
        call_state = told.get("Channel-Call-State")
        if call_state:
            leg.state = cut(call_state.lower())
        if kind == "CHANNEL_EXECUTE":
            leg.application = cut(told.get("Application"))
        elif kind in _ENDINGS:
            read_end(leg, told)
        if leg.over or state in ENDED:
            self._ending.setdefault(leg.uuid, now + LINGER)
            return  # what its headers say of its call and of the other leg is no longer so
        if kind in _WHOLE or state in _REROUTED:
            read(leg, told, wall)
            self._follow(leg, told, kind, state, now)
            self.groups.tag(leg.uuid, tags_of(leg))
        elif kind in _PLACES:
            read_place(leg, told)

    def _follow(self, leg: Leg, told: Told, kind: str, state: str, now: float) -> None:
        """What an event says by being there: parked or not, bridged though no CHANNEL_BRIDGE was heard."""
        if kind == "CHANNEL_PARK":
            leg.parked = True
        elif kind == "CHANNEL_UNPARK" or state == "CS_ROUTING":
            leg.parked = False
        if not leg.bridged_to:
            other = told.get("Bridged-To") if kind == "CALL_UPDATE" else ""
            if kind == "CHANNEL_STATE" and state == "CS_EXCHANGE_MEDIA":
                other = leg.other
            if other:
                self._join(leg, cut(other), now)

    def _meet(self, told: Told, uuid: str, now: float, wall: float) -> Leg | None:
        """Make a leg of the first event heard of it; ``None`` if that event does not show that it is up."""
        kind = told.kind
        if not self._legs.admits(told, None):
            return None
        core, _ = self._cores.get(told.node, (told.core, 0.0))
        if told.core != core:
            self._legs.counts["late"] += 1  # the switch has begun anew since
            return None
        gone = self._gone.get(uuid)
        if kind == "CHANNEL_DESTROY":
            if gone is None and told.worth >= self._legs.best(told.node):
                self._entomb(uuid, told.core, _sequence(told), now)
            return None
        if kind == "CHANNEL_CREATE":
            if gone is not None and gone[0] == told.core and -1 < _sequence(told) <= gone[1]:
                return None
        else:
            state = told.get("Channel-State")
            if gone is not None or state in UNBORN or state in ENDED or told.get("Answer-State") == "hangup":
                return None
        if not self._legs.has_room(uuid, told.worth):
            return None
        leg = Leg(uuid, told.node, told.core, wall, now, told.worth, told.event.trust, "told", _sequence(told))
        leg.call_uuid = uuid
        self._take_in(leg, now)
        if kind not in _WHOLE:
            read(leg, told, wall)
            self.groups.tag(uuid, tags_of(leg))
        return leg

    def _take_in(self, leg: Leg, now: float) -> None:
        self._gone.pop(leg.uuid, None)
        self._legs.add(leg.uuid, leg)
        for other in self.groups.naming(leg.uuid):
            near = self._legs.rows[other]
            if near.bridged_to == leg.uuid and near.worth >= leg.worth:
                leg.bridged_to = other  # which told of it before this leg was known
        self.groups.tag(leg.uuid, tags_of(leg))
        self._sweep = self._sweep or now + _SWEEP

    def _bridge(self, leg: Leg, told: Told, sequence: int, now: float) -> None:
        """CHANNEL_BRIDGE and CHANNEL_UNBRIDGE are told once, by one of the two legs, and name both."""
        if -1 < sequence <= leg.bridge_sequence:
            return
        leg.bridge_sequence = max(leg.bridge_sequence, sequence)
        if told.kind == "CHANNEL_BRIDGE":
            first, second = told.get("Bridge-A-Unique-ID"), told.get("Bridge-B-Unique-ID")
            other = (second if first == leg.uuid else first) or told.get("Other-Leg-Unique-ID")
            self._join(leg, cut(other), now)
        else:
            self._part(leg, now)

    def _join(self, leg: Leg, other: str, now: float) -> None:
        self._part(leg, now)
        if other == leg.uuid or not other:
            return
        leg.bridged_to = other
        partner = self._legs.rows.get(other)
        if partner is not None and partner.worth <= leg.worth:
            self._part(partner, now)
            partner.bridged_to, partner.bridge_heard = leg.uuid, now
            self._retag(partner)
        self._retag(leg)

    def _part(self, leg: Leg, now: float) -> None:
        leg.bridge_heard = now
        if not leg.bridged_to:
            return
        partner = self._legs.rows.get(leg.bridged_to)
        leg.bridged_to = ""
        self._retag(leg)
        if partner is not None and partner.bridged_to == leg.uuid:
            partner.bridged_to, partner.bridge_heard = "", now
            self._retag(partner)

    def _retag(self, leg: Leg) -> None:
        self.groups.tag(leg.uuid, tags_of(leg))
        self._legs.touch(leg.uuid)

    def _rename(self, told: Told, uuid: str, now: float) -> None:
        """CHANNEL_UUID: the channel goes on under another UUID."""
        old = told.get("Old-Unique-ID")
        leg = self._legs.rows.get(old)
        if leg is None or uuid in self._legs.rows or uuid != cut(uuid) or not self._legs.admits(told, leg):
            return
        partner = self._legs.rows.get(leg.bridged_to)
        self._bury(old, told.core, _sequence(told), now)
        leg.uuid, leg.call_uuid = uuid, uuid if leg.call_uuid == old else leg.call_uuid
        leg.bridged_to = ""
        self._take_in(leg, now)
        if partner is not None:
            self._join(leg, partner.uuid, now)
        self._legs.credit(uuid, leg, told, now)

    def _bury(self, uuid: str, core: str, sequence: int, now: float) -> None:
        self._legs.remove(uuid)
        self._entomb(uuid, core, sequence, now)

    def _entomb(self, uuid: str, core: str, sequence: int, now: float) -> None:
        if uuid == cut(uuid):
            self._gone[uuid] = (core, sequence, now)
            self._gone.move_to_end(uuid)
        while len(self._gone) > MOST_GONE:
            self._gone.popitem(last=False)

    def _leave(self, uuid: str, leg: Leg) -> None:
        self.groups.tag(uuid, ())
        self._ending.pop(uuid, None)
        partner = self._legs.rows.get(leg.bridged_to)
        if partner is not None and partner.bridged_to == uuid:
            partner.bridged_to, partner.bridge_heard = "", self._now
            self._retag(partner)

    # What a switch answers

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right what is known of one switch by its ``show channels`` and ``show calls``.

        The switch writes these tables a moment after it fires the events. So a leg that it does not list yet, or any
        more, is not kept away: its next event brings it back.
        """
        self._now = now
        core, since = self._cores.get(snapshot.node, ("", 0.0))
        if snapshot.core and core and core != snapshot.core and since >= snapshot.begun:
            return  # it has begun anew since it was asked
        if snapshot.channels is not None:
            listed = {row.get("uuid") or "": row for row in snapshot.channels}
            for uuid in self._legs.of_node(snapshot.node):
                leg = self._legs.rows[uuid]
                if uuid not in listed and leg.heard < snapshot.begun:
                    self._legs.remove(uuid)
            for uuid, row in listed.items():
                self._list(uuid, row, snapshot, now, wall)
        if snapshot.calls is not None:
            self._pair(snapshot, now)

    def _list(self, uuid: str, row: Mapping[str, str], snapshot: Snapshot, now: float, wall: float) -> None:
        """One row of ``show channels``."""
        sure = self._legs.sure_by(snapshot)
        leg = self._legs.rows.get(uuid)
        if leg is None:
            if uuid in self._gone or not self._legs.has_room(uuid, -1):
                return
            leg = Leg(uuid, snapshot.node, snapshot.core, wall, snapshot.begun, -1, "local", sure, call_uuid=uuid)
            leg.bridge_heard = snapshot.begun - 1.0
            self._take_in(leg, now)
        elif leg.heard >= snapshot.begun:
            leg.sure = "told" if sure == "asked" else leg.sure
            self._legs.touch(uuid)
            return
        leg.heard, leg.sure = snapshot.begun, sure
        leg.sequence = leg.bridge_sequence = -1  # a forged one would keep the true events out for ever
        if leg.node != snapshot.node:
            self._legs.move(uuid, leg, snapshot.node)
        read_row(leg, row, snapshot)
        if leg.over:
            self._ending.setdefault(uuid, now + LINGER)
        self._retag(leg)

    def _pair(self, snapshot: Snapshot, now: float) -> None:
        """``show calls``: who is bridged to whom, of those whose bridge no event has told of since."""
        pairs: dict[str, str] = {}
        for row in snapshot.calls or ():
            first, second = cut(row.get("uuid") or ""), cut(row.get("b_uuid") or "")
            if first and second and first != second:
                pairs[first], pairs[second] = second, first
        for uuid in self._legs.of_node(snapshot.node):
            leg = self._legs.rows[uuid]
            other = pairs.get(uuid, "")
            if leg.bridge_heard < snapshot.begun and leg.bridged_to != other:
                leg.bridged_to = other
                self._retag(leg)

    # What time and loss do

    def doubt(self, node: str, now: float) -> None:
        """Something of this node was missed."""
        self._legs.doubt(node, now)

    def restarted(self, node: str, core: str, now: float) -> None:
        """No channel outlives its switch; those that it recovers are created anew."""
        self._now = now
        self._cores[node] = (core, now)
        self._cores.move_to_end(node)
        if len(self._cores) > MOST_NODES:
            self._cores.popitem(last=False)
        for uuid in self._legs.of_node(node):
            if self._legs.rows[uuid].core != core:
                self._legs.remove(uuid)

    def tick(self, now: float) -> None:
        """Let go of legs whose end was lost, and of what is remembered of those that have gone."""
        self._now = now
        while self._ending and (first := next(iter(self._ending.items())))[1] <= now:
            self._bury(first[0], self._legs.rows[first[0]].core, self._legs.rows[first[0]].sequence, now)
        if self._sweep is None or now < self._sweep:
            return
        while self._gone and next(iter(self._gone.values()))[2] <= now - GONE_SECONDS:
            self._gone.popitem(last=False)
        for uuid, leg in list(self._legs.rows.items()):
            if leg.heard <= now - self.forget:
                self._legs.remove(uuid)
            elif leg.heard <= now - self.quiet and leg.sure != "doubtful":
                leg.sure = "doubtful"
                self._legs.touch(uuid)
        self._sweep = now + _SWEEP if self._legs.rows or self._gone else None

    def next_due(self) -> float | None:
        """When ``tick`` has something to do at the earliest."""
        due = [next(iter(self._ending.values()))] if self._ending else []
        due += [self._sweep] if self._sweep is not None else []
        return min(due, default=None)


def _sequence(told: Told) -> int:
    """Event-Sequence where the event was fired; -1 where it does not say."""
    if not told.prefix:
        sequence = told.event.sequence
        return -1 if sequence is None else sequence
    text = told.get("Event-Sequence")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else -1
