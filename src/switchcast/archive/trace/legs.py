"""Legs out of their events. What an event was not heard to say, a later one often says again: its channel's times."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from switchcast.archive.trace.causes import CAUSES
from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.story import Leg

__all__ = ["letter_of", "make_leg", "spoken_of"]

_NOBODY: Final = frozenset({"", "0000000000", "unknown", "Outbound Call", "_undef_"})
"""What FreeSWITCH writes for a caller that there is none of."""
_BY_TELEPHONE: Final = frozenset({"recv_bye", "recv_cancel", "recv_refuse"})
_BY_SWITCH: Final = frozenset({"send_bye", "send_cancel", "send_refuse"})
_QUALITY: Final = {
    "mos": "variable_rtp_audio_in_mos",
    "quality": "variable_rtp_audio_in_quality_percentage",
    "packets_in": "variable_rtp_audio_in_packet_count",
    "packets_out": "variable_rtp_audio_out_packet_count",
    "packets_skipped": "variable_rtp_audio_in_skip_packet_count",
    "jitter_max": "variable_rtp_audio_in_jitter_max_variance",
}
_FIGURE: Final = re.compile(r"\d{1,15}(\.\d{1,9})?")
_SIP_STATUS: Final = re.compile(r"sip:(\d{3})")


def letter_of(number: int) -> str:
    """``A`` to ``Z``, then ``A1`` to ``Z1``, and so on."""
    turn, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(turn) if turn else "")


def make_leg(uuid: str, letter: str, seen: Sequence[Sighting], also: Iterable[str] = ()) -> Leg:
    """The leg ``uuid`` from its own events, in order, of which there is at least one."""
    first = _First(seen)
    hangup = next((each for each in seen if each.kind in {"CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE"}), None)
    cause = first("Hangup-Cause", "variable_hangup_cause")
    disposition = first("variable_sip_hangup_disposition")
    q850 = first("variable_hangup_cause_q850")
    code = CAUSES[cause][0] if cause in CAUSES else int(q850) if q850.isdigit() and len(q850) < 6 else None
    status = _SIP_STATUS.fullmatch(first("variable_proto_specific_hangup_cause"))
    return Leg(
        id=uuid,
        letter=letter,
        node=first.of(lambda each: each.node),
        core=first.of(lambda each: each.core),
        also=tuple(sorted(also)),
        direction=first("Call-Direction", "Caller-Direction"),
        name=first("Channel-Name", "variable_channel_name"),
        from_number=first("Caller-Caller-ID-Number", "Caller-Orig-Caller-ID-Number", "Caller-ANI", but=_NOBODY),
        from_name=first("Caller-Caller-ID-Name", "Caller-Orig-Caller-ID-Name", but=_NOBODY),
        to_number=first("Caller-Destination-Number", but=_NOBODY),
        user=first("Channel-Presence-ID", "variable_presence_id"),
        address=_address(first),
        node_address=first("FreeSWITCH-IPv4", "FreeSWITCH-IPv6"),
        sip_call_id=first("variable_sip_call_id"),
        user_agent=first("variable_sip_user_agent"),
        codec_read=_codec(seen, "Read"),
        codec_write=_codec(seen, "Write"),
        began=_began(seen),
        rang=_when(seen, "CHANNEL_PROGRESS", "Caller-Channel-Progress-Time"),
        answered=_when(seen, "CHANNEL_ANSWER", "Caller-Channel-Answered-Time"),
        ended=_when(seen, "CHANNEL_HANGUP", "Caller-Channel-Hangup-Time")
        or (None if hangup is None else hangup.time)
        or next((each.time for each in seen if each.kind == "CHANNEL_DESTROY"), None),
        held=_held(seen),
        cause=cause,
        cause_code=code,
        sip_status=status[1] if status else "",
        disposition=disposition,
        ended_by="telephone" if disposition in _BY_TELEPHONE else "switch" if disposition in _BY_SWITCH else "",
        quality=_quality(first),
        heard=len(seen),
        begin_heard=any(each.kind == "CHANNEL_CREATE" for each in seen),
        end_heard=hangup is not None or any(each.kind == "CHANNEL_DESTROY" for each in seen),
    )


def spoken_of(uuid: str, letter: str, others: Iterable[Sighting]) -> Leg:
    """A leg that was not heard itself, from what the events of others say of theirs (``Other-Leg-``)."""
    told = [each for each in others if each.get("Other-Leg-Unique-ID").lower() == uuid]
    first = _First(told)
    return Leg(
        id=uuid,
        letter=letter,
        node=first.of(lambda each: each.node),
        direction=first("Other-Leg-Direction"),
        name=first("Other-Leg-Channel-Name"),
        from_number=first("Other-Leg-Caller-ID-Number", "Other-Leg-ANI", but=_NOBODY),
        from_name=first("Other-Leg-Caller-ID-Name", but=_NOBODY),
        to_number=first("Other-Leg-Destination-Number", but=_NOBODY),
        address=first("Other-Leg-Network-Addr"),
        began=_when(told, "", "Other-Leg-Channel-Created-Time"),
        answered=_when(told, "", "Other-Leg-Channel-Answered-Time"),
        ended=_when(told, "", "Other-Leg-Channel-Hangup-Time"),
    )


class _First:
    """The earliest that a leg's events say under some names."""

    def __init__(self, seen: Sequence[Sighting]) -> None:
        self._seen = seen

    def __call__(self, *names: str, but: frozenset[str] = frozenset({""})) -> str:
        for name in names:
            for each in self._seen:
                value = each.get(name)
                if value and value not in but:
                    return value
        return ""

    def of(self, value_of: Callable[[Sighting], str]) -> str:
        return next((value for each in self._seen if (value := value_of(each))), "")


def _began(seen: Sequence[Sighting]) -> int:
    """The earliest of what it says itself and of what was heard."""
    return min(time for each in seen for time in (each.moment("Caller-Channel-Created-Time"), each.time) if time)


def _when(seen: Sequence[Sighting], kind: str, header: str) -> int | None:
    """When its first event of ``kind`` was fired; where none was heard, the time that others give in ``header``."""
    times = [each.time for each in seen if each.kind == kind]
    return min(times or [time for each in seen if (time := each.moment(header)) is not None], default=None)


def _address(first: _First) -> str:
    """The network address at the other end, with its port where that is known."""
    address = first("variable_sip_network_ip")
    if address:
        port = first("variable_sip_network_port")
        return f"{address}:{port}" if port else address
    return first("Caller-Network-Addr")


def _codec(seen: Sequence[Sighting], direction: str) -> str:
    """The last one that was told, as ``PCMU/8000``."""
    for each in reversed(seen):
        name = each.get(f"Channel-{direction}-Codec-Name")
        if name:
            rate = each.get(f"Channel-{direction}-Codec-Rate")
            return f"{name}/{rate}" if rate else name
    return ""


def _held(seen: Sequence[Sighting]) -> int:
    """Microseconds that it was held, where both the beginning and the end of it were told."""
    held, since = 0, None
    for each in seen:
        if each.kind == "CHANNEL_HOLD" and since is None:
            since = each.time
        elif since is not None and each.kind == "CHANNEL_UNHOLD":
            held += each.time - since
            since = None
    return held


def _quality(first: _First) -> Mapping[str, float]:
    found = {name: first(header) for name, header in _QUALITY.items()}
    return {name: float(text) for name, text in found.items() if _FIGURE.fullmatch(text)}
