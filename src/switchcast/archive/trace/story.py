"""What a trace tells: a call as legs, what happened to them step by step, and what ties them together. Plain values.

::

    Story ─┬─ legs        one a channel, whatever node it was on     A  B  C ...
           ├─ steps       what happened, in order of time            A answers; A and B are bridged; ...
           ├─ bridges     who could hear whom, from when to when
           ├─ transfers   who was sent where, blind or attended
           ├─ links       why two legs are one call, and how sure that is
           └─ missing     what was not heard, or not looked at

Times are microseconds since 1970 UTC by the clock of the node that an event is of; ``None`` is not known. What an event
does not tell is empty, never guessed: only a link can be likely, and then says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from switchcast.archive.trace.causes import cause_text

__all__ = [
    "Bridge",
    "Leg",
    "Link",
    "LinkKind",
    "Missing",
    "Step",
    "StepKind",
    "Story",
    "Transfer",
    "moment",
]

StepKind = Literal[
    "begin",
    "ring",
    "early",
    "answer",
    "bridge",
    "unbridge",
    "hold",
    "unhold",
    "transfer",
    "dtmf",
    "record",
    "recorded",
    "play",
    "played",
    "park",
    "unpark",
    "conference",
    "voicemail",
    "application",
    "command",
    "codec",
    "rename",
    "state",
    "refused",
    "hangup",
    "event",
    "gap",
]

LinkKind = Literal["bridge", "originate", "loopback", "call", "call-id", "conference", "likely"]
"""``bridge``: they were bridged, or bound to be. ``originate``: the one began the other. ``loopback``: the two halves
of a loopback channel. ``call``: the switch gave them one Channel-Call-UUID. ``call-id``: one SIP Call-ID on both.
``conference``: they were in it together. ``likely``: number, time and network address agree; nothing proves it."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moment(time: int | None) -> str | None:
    """``2026-11-23T03:31:25.033318Z``: a time in ISO 8601, UTC."""
    if time is None:
        return None
    return (_EPOCH + dt.timedelta(microseconds=time)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else round(microseconds / 1e6, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One channel. ``letter`` names it in this story; ``also`` are the UUIDs that it had before it was renamed.

    ``from_*`` and ``to_number`` are as the leg began. ``address`` is the network address at its other end; ``heard``
    how many of its events are in the story: 0 where others only speak of it.
    """

    id: str
    letter: str
    node: str
    core: str = ""
    also: tuple[str, ...] = ()
    direction: str = ""
    name: str = ""
    from_number: str = ""
    from_name: str = ""
    to_number: str = ""
    user: str = ""
    address: str = ""
    node_address: str = ""
    sip_call_id: str = ""
    user_agent: str = ""
    codec_read: str = ""
    codec_write: str = ""
    began: int | None = None
    rang: int | None = None
    answered: int | None = None
    ended: int | None = None
    held: int = 0
    cause: str = ""
    cause_code: int | None = None
    sip_status: str = ""
    disposition: str = ""
    ended_by: str = ""
    """Who ended it, as far as its own events tell: ``telephone``, ``switch``, ``command``, or nothing."""
    quality: Mapping[str, float] = field(default_factory=dict)
    heard: int = 0
    begin_heard: bool = False
    end_heard: bool = False

    @property
    def inbound(self) -> bool:
        """Whether it came in to its node."""
        return self.direction == "inbound"

    @property
    def party(self) -> str:
        """Whom this leg leads to: who called on it, or who was called by it."""
        return (self.from_number if self.inbound else self.to_number) or self.user

    @property
    def state(self) -> str:
        """``up``, ``ringing`` or ``ended``, as last heard; ``unknown`` for one that was not heard itself."""
        if self.ended is not None or self.cause:
            return "ended"
        if not self.heard:
            return "unknown"
        return "up" if self.answered is not None else "ringing"

    @property
    def cause_text(self) -> str:
        """``16 normal call clearing``, after Q.850; empty where there is no cause."""
        return cause_text(self.cause, self.cause_code)

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "letter": self.letter,
            "uuid": self.id,
            "also": list(self.also),
            "node": self.node,
            "direction": self.direction,
            "name": self.name,
            "from_number": self.from_number,
            "from_name": self.from_name,
            "to_number": self.to_number,
            "user": self.user,
            "address": self.address,
            "sip_call_id": self.sip_call_id,
            "user_agent": self.user_agent,
            "codec_read": self.codec_read,
            "codec_write": self.codec_write,
            "state": self.state,
            "began": moment(self.began),
            "rang": moment(self.rang),
            "answered": moment(self.answered),
            "ended": moment(self.ended),
            "held": _seconds(self.held),
            "cause": self.cause,
            "cause_code": self.cause_code,
            "cause_text": self.cause_text,
            "sip_status": self.sip_status,
            "ended_by": self.ended_by,
            "quality": dict(self.quality),
            "events": self.heard,
            "begin_heard": self.begin_heard,
            "end_heard": self.end_heard,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened. ``words`` say what, without the leg's letter; ``main`` ones make the short ladder.

    ``leg`` and ``other`` are UUIDs, empty where there is none; ``event`` is the kind of event that told it, and
    ``told`` is false where no event of that moment was heard, and a later one gave the time of it.
    """

    time: int
    kind: StepKind
    leg: str
    words: str
    other: str = ""
    node: str = ""
    event: str = ""
    sequence: int = 0
    main: bool = True
    told: bool = True

    def to_dict(self, began: int) -> dict[str, Any]:
        """As plain values; ``after`` is seconds since the story's beginning."""
        return {
            "time": moment(self.time),
            "after": _seconds(self.time - began),
            "kind": self.kind,
            "leg": self.leg,
            "other": self.other,
            "node": self.node,
            "words": self.words,
            "event": self.event,
            "main": self.main,
            "told": self.told,
        }


@dataclass(frozen=True, slots=True)
class Bridge:
    """Two legs that could hear one another."""

    a: str
    b: str
    began: int | None
    ended: int | None

    @property
    def seconds(self) -> float | None:
        """How long, where both ends are known."""
        return None if self.began is None or self.ended is None else max(0, self.ended - self.began) / 1e6

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "a": self.a,
            "b": self.b,
            "began": moment(self.began),
            "ended": moment(self.ended),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class Transfer:
    """A leg that was sent elsewhere. ``to`` is a number, or the UUID of the leg that it was connected with."""

    leg: str
    kind: Literal["blind", "attended", "bridge"]
    to: str
    time: int
    by: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"leg": self.leg, "kind": self.kind, "to": self.to, "time": moment(self.time), "by": self.by}


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """Two legs of one call, and by what that is known."""

    a: str
    b: str
    kind: LinkKind

    @property
    def sure(self) -> bool:
        """Whether a switch said so."""
        return self.kind != "likely"

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"a": self.a, "b": self.b, "kind": self.kind, "sure": self.sure}


@dataclass(frozen=True, slots=True)
class Missing:
    """What the story lacks. ``kind``: ``begin``, ``end``, ``leg``, ``gap``, ``clock``, ``bound``, ``likely``."""

    kind: str
    words: str
    leg: str = ""
    node: str = ""
    time: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "kind": self.kind,
            "words": self.words,
            "leg": self.leg,
            "node": self.node,
            "time": moment(self.time),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One call, from its first event to its last. ``clauses`` tell it in one sentence."""

    id: str
    clauses: tuple[str, ...]
    began: int
    ended: int
    legs: tuple[Leg, ...]
    steps: tuple[Step, ...]
    bridges: tuple[Bridge, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    links: tuple[Link, ...] = ()
    missing: tuple[Missing, ...] = ()
    caller: str = ""
    callee: str = ""
    result: str = ""
    talked: float | None = None
    events: int = 0
    trust: Mapping[str, int] = field(default_factory=dict)
    revealed: bool = False

    def head(self, at: str) -> str:
        """The sentence, with the time that ``at`` says: ``1001 called 1000 at 03:31:25; answered after 0.3 s``."""
        first, *others = self.clauses
        return "; ".join([f"{first} {at}".rstrip(), *others])

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes it was on, in the order of its legs."""
        return tuple(dict.fromkeys(leg.node for leg in self.legs))

    @property
    def running(self) -> bool:
        """Whether a leg was up when it was last heard of."""
        return any(leg.state in {"up", "ringing"} for leg in self.legs)

    @property
    def duration(self) -> float:
        """Seconds from its beginning to its end, or to the last that was heard of it."""
        return max(0, self.ended - self.began) / 1e6

    def leg(self, uuid: str) -> Leg | None:
        """The leg of this UUID."""
        return next((leg for leg in self.legs if leg.id == uuid), None)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON: the same for the same events, whatever order they came in."""
        return {
            "id": self.id,
            "head": self.head(f"at {(moment(self.began) or '')[11:19]} UTC"),
            "caller": self.caller,
            "callee": self.callee,
            "result": self.result,
            "running": self.running,
            "began": moment(self.began),
            "ended": moment(self.ended),
            "duration": self.duration,
            "talked": self.talked,
            "nodes": list(self.nodes),
            "legs": [leg.to_dict() for leg in self.legs],
            "steps": [step.to_dict(self.began) for step in self.steps],
            "bridges": [bridge.to_dict() for bridge in self.bridges],
            "transfers": [transfer.to_dict() for transfer in self.transfers],
            "links": [link.to_dict() for link in self.links],
            "missing": [missing.to_dict() for missing in self.missing],
            "events": self.events,
            "trust": dict(sorted(self.trust.items())),
            "revealed": self.revealed,
        }
