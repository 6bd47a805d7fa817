"""What each thing that a cluster does needs of the events: kind by kind, the headers that somebody reads.

This is the one table of it. ``suggest`` makes policies of it; that the policies ``cluster`` and ``monitoring`` allow
just this, and not more, is a test. What mod_sofia reads is from its ``event_handler``, in the names of the event before
it was re-fired; what the others send is from the recordings, and from the modules' own documentation.

Nothing here is a credential or the content of a call, and nothing ever is: what needs those is no feature.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from switchcast.errors import UsageError

__all__ = ["FEATURES", "Feature", "Need", "features_named"]


@dataclass(frozen=True, slots=True)
class Need:
    """Headers that ``why`` needs of events of some ``kinds``, each ``HEARTBEAT`` or ``CUSTOM sofia::register``.

    Those that pass every policy (``ESSENTIAL_HEADERS``) are not among them.
    """

    kinds: tuple[str, ...]
    why: str
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that somebody may name in ``--keep``, ``what`` it is, and what it needs."""

    name: str
    what: str
    needs: tuple[Need, ...]


def _need(kinds: str, why: str, headers: str = "") -> Need:
    """A ``Need`` of kinds that are written with commas between them, and headers with spaces."""
    return Need(tuple(kind.strip() for kind in kinds.split(",")), why, tuple(headers.split()))


_REGISTRATIONS: Final = Feature(
    "registrations",
    "a telephone that is registered at one switch can be called from the others",
    (
        _need(
            "CUSTOM sofia::register",
            "mod_sofia inserts into sip_registrations; FreeSWITCH-IPv4 is for rewrite-multicasted-fs-path",
            "FreeSWITCH-IPv4 call-id contact expires from-host from-user mwi-account network-ip network-port "
            "presence-hosts profile-name realm rpid to-host to-user user-agent username",
        ),
        _need(
            "CUSTOM sofia::unregister",
            "mod_sofia deletes from sip_registrations",
            "call-id contact from-host from-user profile-name",
        ),
        _need(
            "CUSTOM sofia::expire",
            "the picture of who is registered; mod_sofia lets registrations run out by itself",
            "call-id contact expires host profile-name user",
        ),
        _need(
            "CUSTOM sofia::sip_user_state",
            "mod_sofia updates ping_status in sip_registrations",
            "Ping-Status call-id from-host from-user profile-name",
        ),
    ),
)

_PRESENCE: Final = Feature(
    "presence",
    "who is busy, ringing or away is the same on telephones of every switch",
    (
        _need(
            "PRESENCE_IN",
            "mod_sofia tells its subscribers",
            "Caller-Callee-ID-Number Caller-Caller-ID-Name Caller-Caller-ID-Number Caller-Destination-Number "
            "Caller-Direction Caller-Username Other-Leg-Caller-ID-Name Other-Leg-Caller-ID-Number Presence-Privacy "
            "Unique-ID alt_event_type answer-state astate call-direction channel-state force-status from login "
            "presence-call-direction presence-call-info-state proto register-source resub rpid status "
            "variable_sip_from_user variable_sip_to_user",
        ),
    ),
)

_LAMPS: Final = Feature(
    "lamps",
    "the message lamp is lit, wherever the telephone is registered",
    (
        _need(
            "MESSAGE_WAITING",
            "mod_sofia lights the lamps",
            "MWI-Message-Account MWI-Messages-Waiting MWI-Voice-Message",
        ),
    ),
)

_MAILBOXES: Final = Feature(
    "mailboxes",
    "a telephone may ask for its lamp at a switch that does not have its mailbox",
    (
        _need(
            "MESSAGE_QUERY",
            "whoever has the mailbox answers",
            "Message-Account VM-Call-ID VM-Sofia-Profile VM-sub-call-id",
        ),
    ),
)

_PEERS: Final = Feature(
    "peers",
    "the list of hosts that are there",
    (_need("HEARTBEAT", "mod_event_multicast and switchcast mark the sender as seen; it is named in every event"),),
)

_LOAD: Final = Feature(
    "load",
    "how busy each switch is, and since when it runs",
    (
        _need(
            "HEARTBEAT",
            "calls in progress and per second, idle processor time, limits",
            "Event-Info Heartbeat-Interval Idle-CPU Max-Sessions Session-Count Session-Peak-FiveMin Session-Peak-Max "
            "Session-Per-Sec Session-Per-Sec-FiveMin Session-Per-Sec-Last Session-Per-Sec-Max Session-Since-Startup "
            "Up-Time Uptime-msec",
        ),
    ),
)

_VERSIONS: Final = Feature(
    "versions",
    "which version of FreeSWITCH each switch runs",
    (_need("HEARTBEAT", "the version", "FreeSWITCH-Version"),),
)

_CALL_KINDS: Final = (
    "CHANNEL_CREATE, CHANNEL_PROGRESS, CHANNEL_PROGRESS_MEDIA, CHANNEL_ANSWER, CHANNEL_BRIDGE, CHANNEL_UNBRIDGE, "
    "CHANNEL_HOLD, CHANNEL_UNHOLD, CHANNEL_PARK, CHANNEL_UNPARK, CHANNEL_CALLSTATE, CHANNEL_HANGUP, "
    "CHANNEL_HANGUP_COMPLETE, CHANNEL_DESTROY"
)
_CALLS: Final = Feature(
    "calls",
    "how many calls there are, in which state, for how long, and how they ended; not whose they are",
    (
        _need(
            _CALL_KINDS,
            "one leg: its state, its codecs, its times, which other it talks to, and why it ended",
            "Answer-State Bridge-A-Unique-ID Bridge-B-Unique-ID Call-Direction Caller-Channel-Answered-Time "
            "Caller-Channel-Bridged-Time Caller-Channel-Created-Time Caller-Channel-Hangup-Time "
            "Caller-Channel-Hold-Accum Caller-Channel-Last-Hold Caller-Channel-Progress-Media-Time "
            "Caller-Channel-Progress-Time Caller-Channel-Transfer-Time Caller-Direction Caller-Logical-Direction "
            "Channel-Call-State Channel-Call-State-Number Channel-Call-UUID Channel-Read-Codec-Bit-Rate "
            "Channel-Read-Codec-Name Channel-Read-Codec-Rate Channel-State Channel-State-Number "
            "Channel-Write-Codec-Bit-Rate Channel-Write-Codec-Name Channel-Write-Codec-Rate Hangup-Cause "
            "Original-Channel-Call-State Other-Leg-Unique-ID Unique-ID",
        ),
        _need(
            "CHANNEL_HANGUP_COMPLETE, CHANNEL_DESTROY",
            "how long it took",
            "variable_answermsec variable_billmsec variable_billsec variable_duration variable_hangup_cause "
            "variable_hangup_cause_q850 variable_holdmsec variable_mduration variable_progressmsec variable_waitmsec",
        ),
    ),
)

_CALLERS: Final = Feature(
    "callers",
    "which number calls which; without names, which the numbers stand for",
    (
        _need(
            "CHANNEL_CREATE, CHANNEL_ANSWER, CHANNEL_BRIDGE, CHANNEL_HANGUP_COMPLETE",
            "both numbers, and the leg that they are of",
            "Call-Direction Caller-Callee-ID-Number Caller-Caller-ID-Number Caller-Destination-Number "
            "Channel-Call-UUID Unique-ID",
        ),
    ),
)

_QUALITY: Final = Feature(
    "quality",
    "how well calls could be heard",
    (
        _need(
            "CHANNEL_HANGUP_COMPLETE, CHANNEL_DESTROY",
            "what a leg received, summed up when it ended",
            "Channel-Read-Codec-Name Channel-Write-Codec-Name Unique-ID variable_rtp_audio_in_jitter_max_variance "
            "variable_rtp_audio_in_mos variable_rtp_audio_in_quality_percentage "
            "variable_rtp_audio_in_skip_packet_count",
        ),
    ),
)

_LOGINS: Final = Feature(
    "logins",
    "how many telephones register, leave and fail to, on which profile; not which",
    (
        _need(
            "CUSTOM sofia::register, CUSTOM sofia::unregister, CUSTOM sofia::expire, CUSTOM sofia::register_failure",
            "one of them, on this profile",
            "profile-name",
        ),
    ),
)

_FAILED_LOGINS: Final = Feature(
    "failed-logins",
    "who fails to register, and from where, for whoever shuts out attackers",
    (
        _need(
            "CUSTOM sofia::register_failure",
            "the account that was tried, and the address that tried it",
            "network-ip network-port profile-name registration-type to-host to-user user-agent",
        ),
    ),
)

_GATEWAYS: Final = Feature(
    "gateways",
    "whether trunks are up",
    (_need("CUSTOM sofia::gateway_state", "which trunk, and how it is", "Gateway Ping-Status State Status"),),
)

_CONFERENCES: Final = Feature(
    "conferences",
    "how large conferences are; not which, for a conference is named by the number that is dialled",
    (
        _need(
            "CUSTOM conference::maintenance",
            "what happened, and how many are there",
            "Action Conference-Ghosts Conference-Profile-Name Conference-Size Conference-Unique-ID",
        ),
    ),
)

_QUEUES: Final = Feature(
    "queues",
    "how long queues are, and how long callers wait; not who waits, nor who answers",
    (
        _need(
            "CUSTOM callcenter::info",
            "what happened in mod_callcenter's queue, and when",
            "CC-Action CC-Agent-Answered-Time CC-Agent-Called-Time CC-Agent-State CC-Agent-Status CC-Agent-Wrap-Time "
            "CC-Cancel-Reason CC-Cause CC-Count CC-Hangup-Cause CC-Member-Joined-Time CC-Member-Leaving-Time "
            "CC-Member-UUID CC-Queue CC-Selection",
        ),
    ),
)

_PARKING: Final = Feature(
    "parking",
    "which places of a parking lot are taken",
    (_need("CUSTOM valet_parking::info", "the lot and the place", "Action Unique-ID Valet-Extension Valet-Lot-Name"),),
)

_SWITCHES: Final = Feature(
    "switches",
    "switches start, stop, and crash",
    (_need("STARTUP, SHUTDOWN, SHUTDOWN_REQUESTED, SESSION_CRASH", "what happened", "Event-Info"),),
)

FEATURES: Final[Mapping[str, Feature]] = {
    feature.name: feature
    for feature in (
        _REGISTRATIONS,
        _PRESENCE,
        _LAMPS,
        _MAILBOXES,
        _PEERS,
        _LOAD,
        _VERSIONS,
        _CALLS,
        _CALLERS,
        _QUALITY,
        _LOGINS,
        _FAILED_LOGINS,
        _GATEWAYS,
        _CONFERENCES,
        _QUEUES,
        _PARKING,
        _SWITCHES,
    )
}
"""By name, in the order in which they are told."""


def features_named(keep: Iterable[str]) -> list[Feature]:
    """The features with these names, each once, in the order of ``FEATURES``.

    Raises ``UsageError``, which names the nearest and all, for a name that is none, and for no name at all.
    """
    names = [name.strip().lower() for name in keep]
    for name in names:
        if name not in FEATURES:
            near = difflib.get_close_matches(name, FEATURES, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"--keep {name!r} is nothing that can be kept; {hint}there are {_all()}")
    if not names:
        raise UsageError(f"--keep names nothing, so nothing would leave; there are {_all()}")
    return [feature for feature in FEATURES.values() if feature.name in names]


def _all() -> str:
    return ", ".join(FEATURES)
