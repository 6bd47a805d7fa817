"""Calls, as people mean them: all legs that hang together, on whichever switch they are.

::

    CHANNEL_CREATE ──> leg ── STATE, CALLSTATE, ANSWER, HOLD, ... ──> HANGUP ──> CHANNEL_DESTROY: gone
                        │            BRIDGE, UNBRIDGE                                     (``channels``)
       tags in common ──┴──> call: one row                                                (``grouping``)

A call's ``id`` is the Channel-Call-UUID that its oldest leg names. Its state is that of the legs which somebody vouches
for, of all where nobody does: ``held`` if one of them is on hold, ``parked`` if one waits in a parking place or for
whoever parked it and none is bridged, else the furthest of ``active``, ``early``, ``ringing``, ``down``; ``hangup``
when all are hung up and only their channels are still there.

What hangs together is found out when somebody asks for rows or changes, so that events by the thousand cost no more
than what they change in one leg.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from pydantic import model_validator

from switchcast.settings import Duration, Settings
from switchcast.views.channels import KINDS, Channels
from switchcast.views.legs import Leg, lasted, leg_row
from switchcast.views.telling import ROOM, WORTH, Snapshot, Told

__all__ = ["MOST_LEGS_SHOWN", "MOST_WAITING", "Calls", "CallsSettings"]

MOST_LEGS_SHOWN: Final = 1_000
"""Of one call, in its row; anyone can invent legs of a call."""
MOST_WAITING: Final = 10_000
"""Legs that have changed since it was last found out what is a call: then it is, whether anybody asks or not."""
_FURTHEST: Final = ("active", "unheld", "early", "ring_wait", "ringing", "dialing")
_SHOWN_AS: Final = {"unheld": "active", "ring_wait": "ringing", "dialing": "ringing"}


class CallsSettings(Settings):
    """The ``[views.calls]`` table: legs of which nobody says that they have ended."""

    quiet: Duration = 3600.0
    """A leg of which nothing was heard for this long is doubtful; a switch that is asked lists those that go on."""
    forget: Duration = 86400.0
    """A leg of which nothing was heard for this long is taken to have ended."""

    @model_validator(mode="after")
    def _doubted_before_it_is_gone(self) -> CallsSettings:
        if self.quiet > self.forget:
            raise ValueError(
                f"quiet ({self.quiet:g}s) is longer than forget ({self.forget:g}s): a leg would be gone before it is "
                "doubtful; make forget the longer one"
            )
        return self


class Calls:
    """The view ``calls``: a row a call, with its legs. ``most``: legs in all, however many are invented."""

    name = "calls"
    kinds: Collection[str] = KINDS

    def __init__(self, settings: CallsSettings | None = None, *, most: int = ROOM) -> None:
        self.settings = settings or CallsSettings()
        self._channels = Channels(most, self.settings.quiet, self.settings.forget)
        self._calls: dict[str, set[str]] = {}
        self._call_of: dict[str, str] = {}
        self._changed: dict[str, None] | None = None
        self._ahead = 0.0  # the wall clock less the monotonic one
        self._now = 0.0

    def __len__(self) -> int:
        self._regroup()
        return len(self._calls)

    def legs(self) -> Mapping[str, Leg]:
        """Every leg by its UUID."""
        return self._channels.legs

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event of these kinds."""
        self._now, self._ahead = now, wall - now
        self._channels.learn(told, now, wall)
        if self._channels.waiting >= MOST_WAITING:
            self._regroup()

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right what is known of one switch by its ``show channels`` and ``show calls``."""
        self._now, self._ahead = now, wall - now
        self._channels.seed(snapshot, now, wall)

    def doubt(self, node: str, now: float) -> None:
        """Something of this node was missed: of its legs, and of those that may have begun or ended."""
        self._channels.doubt(node, now)

    def restarted(self, node: str, core: str, now: float) -> None:
        """No channel outlives its switch."""
        self._channels.restarted(node, core, now)

    def tick(self, now: float) -> None:
        """Let go of legs whose end was lost."""
        self._now = now
        self._channels.tick(now)

    def next_due(self) -> float | None:
        """When ``tick`` has something to do at the earliest."""
        return self._channels.next_due()

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Every call, by its id."""
        self._regroup()
        return [self._row(call, now) for call in sorted(self._calls)]

    def keys(self) -> Iterable[str]:
        """The ids of all calls."""
        self._regroup()
        return self._calls.keys()

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """One call."""
        self._regroup()
        return self._row(key, now) if key in self._calls else None

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Ids of calls that have changed since the last call, each with its row, ``None`` where it is over."""
        self._regroup()
        changed = list(self._changed or ())
        self._changed = {}
        return [(call, self._row(call, self._now) if call in self._calls else None) for call in changed]

    def states(self) -> dict[str, int]:
        """All ``calls`` and ``legs``; legs that are ``answered``, ``held`` and ``bridged``."""
        self._regroup()
        legs = [leg for leg in self._channels.legs.values() if not leg.over]
        return {
            "calls": len(self._calls),
            "legs": len(self._channels),
            "answered": sum(leg.answered > 0 for leg in legs),
            "held": sum(leg.held for leg in legs),
            "bridged": sum(bool(leg.bridged_to) for leg in legs),
        }

    def doubtful(self) -> Mapping[str, int]:
        """How many legs are, by node."""
        return self._channels.doubtful()

    def refusals(self) -> dict[str, int]:
        """Of legs, as those of ``Ledger``; ``late``: events older than what is known of their leg."""
        return self._channels.refusals()

    def counters(self) -> dict[str, int]:
        """``states`` and ``refusals``."""
        return self.states() | self.refusals()

    def _regroup(self) -> None:
        """Bring what is a call up to date with the legs that have changed, and with those of the same calls."""
        ahead = self._channels.touched()
        legs, done = self._channels.legs, set[str]()
        stale = set[str]()
        fresh: dict[str, set[str]] = {}
        while ahead:
            uuid = ahead.pop()
            if uuid in done:
                continue
            if uuid in legs:
                together = self._channels.groups.call(uuid)
                fresh[self._id(together)] = together
            else:
                together = {uuid}
            done |= together
            for leg in together:
                call = self._call_of.pop(leg, None)
                if call is not None and call not in stale:
                    stale.add(call)
                    ahead += self._calls[call] - done
        for call in stale:
            del self._calls[call]
        self._calls |= fresh
        for call, together in fresh.items():
            self._call_of |= dict.fromkeys(together, call)
        if self._changed is not None:
            self._changed |= dict.fromkeys([*stale, *fresh])

    def _id(self, together: set[str]) -> str:
        oldest = min(self._vouched(together), key=_age)
        return oldest.call_uuid or oldest.uuid

    def _vouched(self, together: Iterable[str]) -> list[Leg]:
        """The legs that somebody vouches for; all of them where nobody does."""
        legs = [self._channels.legs[uuid] for uuid in together]
        return [leg for leg in legs if not leg.strange] or legs

    def _row(self, call: str, now: float) -> dict[str, Any]:
        wall = now + self._ahead
        vouched = sorted(self._vouched(self._calls[call]), key=_age)
        others = self._calls[call] - {leg.uuid for leg in vouched}
        legs = vouched + sorted((self._channels.legs[uuid] for uuid in others), key=_age)
        up = [leg for leg in vouched if not leg.over]
        answered = [leg for leg in up or vouched if leg.answered]
        doubtful = any(leg.sure == "doubtful" for leg in vouched)
        return {
            "id": call,
            "state": _state(up),
            "legs": [leg_row(leg, wall) for leg in legs[:MOST_LEGS_SHOWN]],
            "more_legs": max(0, len(legs) - MOST_LEGS_SHOWN),
            "talking": max((lasted(leg, leg.answered, wall) for leg in answered), default=0.0),
            "duration": lasted(vouched[0], vouched[0].created, wall),
            "nodes": sorted({leg.node for leg in vouched}),
            "node": vouched[0].node,
            "since": _since(vouched[0]),
            "sure": "doubtful" if doubtful else vouched[0].sure,
            "trust": min((leg.trust for leg in vouched), key=WORTH.__getitem__),
        }


def _since(leg: Leg) -> float:
    return leg.created / 1_000_000 if leg.created else leg.since


def _age(leg: Leg) -> tuple[float, int, str]:
    return _since(leg), leg.first, leg.uuid


def _state(up: list[Leg]) -> str:
    """The call's state, from its legs that are not hung up."""
    if not up:
        return "hangup"
    states = {leg.state for leg in up}
    if "held" in states:
        return "held"
    if any(leg.parked for leg in up) and not any(leg.bridged_to for leg in up):
        return "parked"
    furthest = next((state for state in _FURTHEST if state in states), "down")
    return _SHOWN_AS.get(furthest, furthest)
