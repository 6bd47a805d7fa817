"""One call leg: a channel of one switch, read from its events or from the switch's own table.

Every CHANNEL event has the channel's whole state in its headers, so the newest event alone says all but who is bridged
to whom. Most of them change no more than the state, so no more is read of them; ``read`` takes in the rest where it
can have changed.

Times are the switch's: ``Caller-Channel-*-Time``, microseconds since 1970 UTC by its clock. How long something lasts
is a difference of two of them, or, while it still goes on, of one of them and our clock less the ``lag``: how far ours
was ahead when the event came. So a switch whose clock is wrong, and a recording, show the right durations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from switchcast.views.ledger import cut
from switchcast.views.telling import Snapshot, Sure, Told, Trust

__all__ = ["ENDED", "UNBORN", "Leg", "leg_row", "read", "read_end", "read_place", "read_row", "tags_of"]

UNBORN: Final = frozenset({"", "CS_NEW", "CS_INIT", "CS_NONE"})
"""Channel-State before CHANNEL_CREATE: the switch does not list the channel yet, and may never."""
ENDED: Final = frozenset({"CS_HANGUP", "CS_REPORTING", "CS_DESTROY"})
"""Channel-State of a channel that has been hung up."""

_MICROS: Final = 1_000_000
_QUALITY: Final = {
    "mos": "variable_rtp_audio_in_mos",
    "quality": "variable_rtp_audio_in_quality_percentage",
    "jitter_min": "variable_rtp_audio_in_jitter_min_variance",
    "jitter_max": "variable_rtp_audio_in_jitter_max_variance",
    "loss_rate": "variable_rtp_audio_in_jitter_loss_rate",
    "flaws": "variable_rtp_audio_in_flaw_total",
    "packets_in": "variable_rtp_audio_in_packet_count",
    "packets_skipped": "variable_rtp_audio_in_skip_packet_count",
    "packets_out": "variable_rtp_audio_out_packet_count",
}
"""What CHANNEL_HANGUP_COMPLETE tells of the audio that came in."""


@dataclass(slots=True, eq=False)
class Leg:
    """``since`` (wall) is when it was first heard of, ``heard`` (monotonic) when last; times in microseconds."""

    uuid: str
    node: str
    core: str
    since: float
    heard: float
    worth: int
    trust: Trust
    sure: Sure
    first: int = -1
    """Event-Sequence of the event that it was made from; which of two that began at once was the first."""
    sequence: int = -1
    """Event-Sequence of the newest event that was taken in."""
    call_uuid: str = ""
    direction: str = ""
    name: str = ""
    from_number: str = ""
    from_name: str = ""
    to_number: str = ""
    user: str = ""
    channel_state: str = ""
    state: str = "down"
    """Channel-Call-State in lower case, as the events and ``show channels`` have it."""
    created: int = 0
    answered: int = 0
    ended: int = 0
    lag: float = 0.0
    codec_read: str = ""
    codec_write: str = ""
    bridged_to: str = ""
    bridge_heard: float = float("-inf")
    bridge_sequence: int = -1
    application: str = ""
    """The last that the dialplan began for it. Its arguments are not kept: they can hold a PIN."""
    parked: bool = False
    conference: str = ""
    loopback: str = ""
    other: str = ""
    sip_call_id: str = ""
    cause: str = ""
    quality: dict[str, float] | None = None

    @property
    def strange(self) -> bool:
        """Nobody vouches for it: stock datagrams told of it, and the switch was not asked since."""
        return self.worth == 0 and self.sure != "asked"

    @property
    def held(self) -> bool:
        """On hold. CHANNEL_HOLD by itself does not say so: the hold of a loopback leg has no event for its end."""
        return self.state == "held"

    @property
    def over(self) -> bool:
        """Hung up, though the channel is still there."""
        return self.ended > 0 or self.state == "hangup"


def read(leg: Leg, told: Told, wall: float) -> None:
    """Take in who talks to whom and how, from an event of the channel."""
    get = told.get
    leg.name = cut(get("Channel-Name")) or leg.name
    leg.direction = cut(get("Call-Direction")) or leg.direction
    leg.from_number = cut(get("Caller-Caller-ID-Number")) or leg.from_number
    leg.from_name = cut(get("Caller-Caller-ID-Name")) or leg.from_name
    leg.to_number = cut(get("Caller-Destination-Number")) or leg.to_number
    leg.user = cut(get("Channel-Presence-ID")) or leg.user
    leg.call_uuid = cut(get("Channel-Call-UUID")) or leg.call_uuid
    leg.other = cut(get("Other-Leg-Unique-ID"))
    leg.sip_call_id = leg.sip_call_id or cut(get("variable_sip_call_id"))
    if not leg.loopback and leg.name.startswith("loopback/"):
        leg.loopback = cut(get("variable_other_loopback_leg_uuid"))
    leg.codec_read = _codec(get("Channel-Read-Codec-Name"), get("Channel-Read-Codec-Rate")) or leg.codec_read
    leg.codec_write = _codec(get("Channel-Write-Codec-Name"), get("Channel-Write-Codec-Rate")) or leg.codec_write
    leg.created = micros(get("Caller-Channel-Created-Time")) or leg.created
    leg.answered = micros(get("Caller-Channel-Answered-Time")) or leg.answered
    fired = micros(get("Event-Date-Timestamp"))
    if fired:
        leg.lag = wall - fired / _MICROS


def read_end(leg: Leg, told: Told) -> None:
    """Take in when and why the channel was hung up and, from CHANNEL_HANGUP_COMPLETE, how it sounded."""
    leg.cause = cut(told.get("Hangup-Cause")) or leg.cause
    fired = micros(told.get("Event-Date-Timestamp"))
    leg.ended = micros(told.get("Caller-Channel-Hangup-Time")) or leg.ended or fired or 1
    leg.answered = micros(told.get("Caller-Channel-Answered-Time")) or leg.answered
    if told.kind == "CHANNEL_HANGUP_COMPLETE" and told.get(_QUALITY["mos"]):
        figures = {name: _figure(told.get(header)) for name, header in _QUALITY.items()}
        leg.quality = {name: figure for name, figure in figures.items() if figure is not None}


def read_place(leg: Leg, told: Told) -> None:
    """Take in where the leg is: in a conference or in a parking lot."""
    action = told.get("Action")
    if action == "add-member":
        leg.conference = cut(told.get("Conference-Name"))
    elif action == "del-member":
        leg.conference = ""
    elif told.kind == "valet_parking::info" and action in ("hold", "bridge", "exit"):
        leg.parked = action == "hold"


def read_row(leg: Leg, row: Mapping[str, str], snapshot: Snapshot) -> None:
    """Take in a row of ``show channels``."""

    def get(column: str) -> str:
        return cut(row.get(column) or "")

    leg.core = snapshot.core or leg.core
    leg.name, leg.direction = get("name") or leg.name, get("direction") or leg.direction
    leg.from_number, leg.from_name = get("cid_num"), get("cid_name")
    leg.to_number = get("dest") or leg.to_number
    leg.user = get("presence_id") or leg.user
    leg.call_uuid = get("call_uuid") or leg.call_uuid or leg.uuid
    leg.channel_state, leg.state = get("state"), get("callstate").lower() or leg.state
    leg.codec_read = _codec(get("read_codec"), get("read_rate")) or leg.codec_read
    leg.codec_write = _codec(get("write_codec"), get("write_rate")) or leg.codec_write
    if not leg.created:
        leg.created = micros(get("created_epoch")) * _MICROS
    leg.application = get("application")
    leg.parked = leg.application in ("park", "valet_park")
    leg.conference = get("application_data").partition("@")[0] if leg.application == "conference" else ""


def tags_of(leg: Leg) -> tuple[str, ...]:
    """What it has in common with the other legs of its call."""
    sip = f"sip:{leg.sip_call_id}" if leg.sip_call_id else ""
    named = dict.fromkeys((leg.uuid, leg.call_uuid, leg.bridged_to, leg.loopback, leg.other, sip))
    return tuple(tag for tag in named if tag)


def leg_row(leg: Leg, wall: float) -> dict[str, Any]:
    """The leg as plain values; ``wall`` is now."""
    return {
        "uuid": leg.uuid,
        "node": leg.node,
        "direction": leg.direction,
        "name": leg.name,
        "from_number": leg.from_number,
        "from_name": leg.from_name,
        "to_number": leg.to_number,
        "user": leg.user,
        "state": leg.state,
        "channel_state": leg.channel_state,
        "created": leg.created / _MICROS if leg.created else None,
        "answered": leg.answered / _MICROS if leg.answered else None,
        "held": leg.held,
        "application": leg.application,
        "parked": leg.parked,
        "conference": leg.conference,
        "codec_read": leg.codec_read,
        "codec_write": leg.codec_write,
        "bridged_to": leg.bridged_to,
        "sip_call_id": leg.sip_call_id,
        "duration": lasted(leg, leg.created, wall),
        "cause": leg.cause,
        "quality": leg.quality,
        "sure": leg.sure,
        "trust": leg.trust,
    }


def lasted(leg: Leg, since: int, wall: float) -> float:
    """Seconds from ``since``, a time of this leg's, to its end or, while it is up, to now."""
    if not since:
        return 0.0
    until = leg.ended / _MICROS if leg.ended else wall - leg.lag
    return max(0.0, round(until - since / _MICROS, 6))


def micros(text: str) -> int:
    """A time or a count as it stands in an event; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _codec(name: str, rate: str) -> str:
    return cut(f"{name}/{rate}" if rate else name) if name else ""


def _figure(text: str) -> float | None:
    try:
        figure = float(text)
    except ValueError:
        return None
    return figure if abs(figure) < 1e12 else None  # neither infinite nor no number at all
