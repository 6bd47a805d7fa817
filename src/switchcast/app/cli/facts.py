"""What matters in an event, by its kind, as short pieces of text in the field's own words.

Each function takes an event and gives its facts in order of importance, for one line cut off at the terminal's edge. A
header that is missing makes a fact missing, never an error: what comes from a network can be anything. The header names
are those of recorded events.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from switchcast._native import Event

__all__ = ["Fact", "facts", "kind_of", "short_duration", "short_uuid"]

Fact = tuple[str, str]
"""Text, and the role that it plays: ``""``, ``good``, ``bad``, ``warn``, ``name``, ``quiet``."""

_Facts = Iterator[Fact]
_ANGLES: Final = re.compile(r"<([^<>]*)>")
_UNHELPFUL: Final = frozenset({"", "unknown", "N/A", "n/a"})
_GOOD_CAUSES: Final = frozenset({"NORMAL_CLEARING", "ORIGINATOR_CANCEL", "NONE"})


def kind_of(event: Event) -> str:
    """What the event is called: its name, or the subclass of a CUSTOM one."""
    name = event.name
    return (event.subclass or name) if name == "CUSTOM" else name or "(no name)"


def facts(event: Event) -> list[Fact]:
    """The facts of ``event``, most important first; empty when it tells none that we know."""
    kind = kind_of(event)
    teller = _TELLERS.get(kind) or _TELLERS.get(kind.partition("::")[0] + "::")
    if teller is None:
        teller = _channel if event.unique_id else _anything
    return [fact for fact in teller(event) if fact[0]]


def short_uuid(uuid: str | None) -> str:
    """The first eight characters: enough to tell calls apart on a screen."""
    return (uuid or "")[:8]


def short_duration(seconds: float) -> str:
    """``58s``, ``3m07s``, ``2h05m``, ``4d03h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def _first(event: Event, *names: str) -> str:
    """The first of these headers that says something."""
    for name in names:
        value = event.get(name)
        if value and value not in _UNHELPFUL:
            return value
    return ""


def _labelled(label: str, value: str | None) -> Fact:
    return (f"{label} {value}", "quiet") if value else ("", "")


def _account(user: str, host: str) -> str:
    return f"{user}@{host}" if user and host else user or host


def _address(text: str) -> str:
    """The address in ``"Name" <sip:user@host>;tag=...``, without its parameters."""
    found = _ANGLES.search(text)
    return (found[1] if found else text).partition(";")[0].removeprefix("sip:")


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _parties(event: Event, prefix: str = "Caller-") -> str:
    """``caller → destination`` of one leg."""
    caller = _first(event, f"{prefix}Caller-ID-Number", f"{prefix}ANI", f"{prefix}Username")
    destination = _first(event, f"{prefix}Destination-Number", f"{prefix}Callee-ID-Number")
    return f"{caller or '?'} → {destination or '?'}" if caller or destination else ""


def _leg(event: Event) -> _Facts:
    """What tells one leg from another."""
    yield short_uuid(event.unique_id), "name"
    yield {"inbound": "in", "outbound": "out"}.get(event.get("Call-Direction") or "", ""), "quiet"
    yield _parties(event) or _first(event, "Channel-Name"), ""


def _channel(event: Event) -> _Facts:
    yield from _leg(event)
    state = _first(event, "Channel-Call-State")
    yield state, "quiet" if state in {"DOWN", "HANGUP"} else ""


def _state(event: Event) -> _Facts:
    yield from _leg(event)
    yield _first(event, "Channel-State").removeprefix("CS_"), ""
    yield _first(event, "Answer-State"), "quiet"


def _call_state(event: Event) -> _Facts:
    yield from _leg(event)
    before, now = _first(event, "Original-Channel-Call-State"), _first(event, "Channel-Call-State")
    yield f"{before} → {now}" if before else now, ""


def _hangup(event: Event) -> _Facts:
    yield from _leg(event)
    cause = _first(event, "Hangup-Cause")
    yield cause, "good" if cause in _GOOD_CAUSES else "bad"
    spoken = _number(event.get("variable_billsec"))
    if spoken is not None:
        yield f"talked {short_duration(spoken)}" if spoken else "not answered", "quiet"


def _execute(event: Event) -> _Facts:
    yield from _leg(event)
    yield f"{_first(event, 'Application')}({event.get('Application-Data') or ''})", ""
    yield _labelled("response", _first(event, "Application-Response")) if event.name.endswith("COMPLETE") else ("", "")


def _bridge(event: Event) -> _Facts:
    first = _first(event, "Bridge-A-Unique-ID") or event.unique_id
    second = _first(event, "Bridge-B-Unique-ID", "Other-Leg-Unique-ID")
    yield f"{short_uuid(first)} {'⇄' if event.name == 'CHANNEL_BRIDGE' else '⇹'} {short_uuid(second)}", "name"
    yield _parties(event), ""
    other = _parties(event, "Other-Leg-")
    yield f"with {other}" if other else "", ""


def _codec(event: Event) -> _Facts:
    yield short_uuid(event.unique_id), "name"
    for direction, header in (("read", "Channel-Read-Codec-"), ("write", "Channel-Write-Codec-")):
        name, rate = _first(event, f"{header}Name"), _first(event, f"{header}Rate")
        yield f"{direction} {name}/{rate}" if name else "", ""
    yield _first(event, "Channel-Name"), "quiet"


def _dtmf(event: Event) -> _Facts:
    yield short_uuid(event.unique_id), "name"
    yield f"digit {_first(event, 'DTMF-Digit')}", "warn"
    duration = _number(event.get("DTMF-Duration"))
    rate = _number(event.get("Channel-Read-Codec-Rate")) or 8000
    yield f"{duration / rate * 1000:.0f} ms" if duration else "", "quiet"
    yield _parties(event), "quiet"


def _file(event: Event) -> _Facts:
    yield short_uuid(event.unique_id), "name"
    yield _first(event, "Record-File-Path", "Playback-File-Path", "Media-Bug-Target"), ""
    yield _first(event, "Record-Completion-Cause", "Playback-Status", "Media-Bug-Function"), "quiet"


def _rtcp(event: Event) -> _Facts:
    yield short_uuid(event.unique_id), "name"
    yield _labelled("packets", _first(event, "Sender-Packet-Count"))
    yield _labelled("bytes", _first(event, "Octect-Packet-Count"))
    yield _labelled("lost", _first(event, "Source0-Lost", "Source-Lost"))


def _registration(event: Event) -> _Facts:
    user = _first(
        event, "to-user", "from-user", "user", "username"
    )  # who registers stands in To; old switches have From
    host = _first(event, "to-host", "from-host", "host", "realm")
    contact = _address(_first(event, "contact"))
    yield f"{_account(user, host)} → {contact}" if contact else _account(user, host), "name"
    yield from _expiry(event)
    yield _first(event, "auth-result", "registration-type"), "warn"
    yield _first(event, "user-agent"), "quiet"
    yield _labelled("profile", _first(event, "profile-name"))


def _expiry(event: Event) -> _Facts:
    kind, seconds = kind_of(event), _number(event.get("expires"))
    if kind in {"sofia::unregister", "sofia::expire"}:
        yield "gone" if kind == "sofia::unregister" else "expired", "warn"
    elif seconds is not None:  # an epoch in some subclasses, seconds from now in the others
        yield f"expires {short_duration(seconds)}" if seconds < 1e9 else "", "good"


def _presence(event: Event) -> _Facts:
    yield _first(event, "from", "Channel-Presence-ID"), "name"
    status, rpid = _first(event, "status"), _first(event, "rpid")
    yield status, "good" if status.startswith("Registered") else ""
    yield rpid, "quiet"
    yield short_uuid(event.unique_id), "quiet"


def _probe(event: Event) -> _Facts:
    asking, asked = _first(event, "from"), _first(event, "to")
    yield f"{asking} asks for {asked}" if asked else asking, "name"
    yield _first(event, "probe-type", "proto-specific-event-name"), "quiet"


def _lamp(event: Event) -> _Facts:
    yield _first(event, "MWI-Message-Account").removeprefix("sip:"), "name"
    waiting = _first(event, "MWI-Messages-Waiting")
    yield f"waiting: {waiting}" if waiting else "", "warn" if waiting == "yes" else "quiet"
    counts = _first(event, "MWI-Voice-Message")
    new, _, rest = counts.partition("/")
    yield f"{new} new, {rest.partition(' ')[0]} saved" if rest else counts, ""


def _mailbox(event: Event) -> _Facts:
    yield _account(_first(event, "VM-User"), _first(event, "VM-Domain")), "name"
    yield _first(event, "VM-Action"), ""
    new, saved = _first(event, "VM-Total-New"), _first(event, "VM-Total-Saved")
    yield f"{new} new, {saved} saved" if new or saved else "", ""


def _query(event: Event) -> _Facts:
    yield _first(event, "Message-Account").removeprefix("sip:"), "name"


def _message(event: Event) -> _Facts:
    sender, receiver = _first(event, "from"), _first(event, "to")
    if sender or receiver:
        yield f"{sender} → {receiver}", "name"
        yield event.body.decode("utf-8", "replace")[:200], ""
    else:  # the settings of a mailbox, as old switches sent them
        yield _account(_first(event, "mailbox", "sip_mailbox"), _first(event, "domain_name")), "name"
        yield _first(event, "effective_caller_id_name"), ""


def _heartbeat(event: Event) -> _Facts:
    sessions, limit = _first(event, "Session-Count") or "?", _first(event, "Max-Sessions")
    yield f"{sessions} of {limit} sessions" if limit else f"{sessions} sessions", "name"
    uptime = _number(event.get("Uptime-msec"))
    yield f"up {short_duration(uptime / 1000)}" if uptime is not None else _uptime(event.get("Up-Time") or ""), ""
    now, allowed = _first(event, "Session-Per-Sec-Last"), _first(event, "Session-Per-Sec")
    if allowed:
        yield f"{now or '?'} of {allowed} cps", ""
    idle = _number(event.get("Idle-CPU"))
    yield f"{idle:.0f}% idle" if idle is not None else "", "quiet"


def _uptime(text: str) -> str:
    """``0 years, 0 days, 22 hours, 30 minutes, ...`` in short."""
    seconds = 0.0
    for count, unit in re.findall(r"(\d{1,9}) (year|day|hour|minute|second)s?\b", text):
        seconds += int(count) * {"year": 31536000, "day": 86400, "hour": 3600, "minute": 60, "second": 1}[unit]
    return f"up {short_duration(seconds)}" if text else ""


def _schedule(event: Event) -> _Facts:
    yield _first(event, "Task-Desc"), "name"
    yield _labelled("task", _first(event, "Task-ID"))
    yield _labelled("group", _first(event, "Task-Group"))


def _api(event: Event) -> _Facts:
    yield f"{_first(event, 'API-Command')} {_first(event, 'API-Command-Argument')}".strip(), ""


def _job(event: Event) -> _Facts:
    yield f"{_first(event, 'Job-Command')} {_first(event, 'Job-Command-Arg')}".strip(), ""
    answer = event.body.decode("utf-8", "replace").strip().partition("\n")[0]
    yield answer, "bad" if answer.startswith("-ERR") else "good"
    yield short_uuid(_first(event, "Job-UUID")), "quiet"


def _conference(event: Event) -> _Facts:
    yield _first(event, "Conference-Name"), "name"
    yield _first(event, "Action"), ""
    yield _labelled("members", _first(event, "Conference-Size"))
    yield short_uuid(event.unique_id), "quiet"
    yield _parties(event), "quiet"


def _parking(event: Event) -> _Facts:
    yield f"{_first(event, 'Valet-Lot-Name')} {_first(event, 'Valet-Extension')}".strip(), "name"
    yield _first(event, "Action"), ""
    yield short_uuid(event.unique_id), "quiet"
    yield _parties(event), "quiet"


def _gateway(event: Event) -> _Facts:
    yield _first(event, "Gateway"), "name"
    state = _first(event, "State")
    yield state, "bad" if "FAIL" in state or state in {"DOWN", "EXPIRED"} else "good"
    yield _labelled("ping", _first(event, "Ping-Status"))
    yield _first(event, "Phrase"), "quiet"


def _module(event: Event) -> _Facts:
    yield f"{_first(event, 'type')} {_first(event, 'name')}".strip(), "name"
    yield _first(event, "key"), "quiet"


def _peer(event: Event) -> _Facts:
    """What a switch re-fired from the group, or what it says of its peers."""
    peer = _first(event, "Peer", "Orig-Multicast-Sender")
    yield peer, "name"
    yield _first(event, "Orig-Event-Subclass", "Orig-Event-Name"), ""
    seen = _number(event.get("Lastseen"))
    yield "never seen before" if event.get("Lastseen") == "Never" else f"last seen {seen:.0f}" if seen else "", "quiet"


def _anything(event: Event) -> _Facts:
    """The first headers that are not in every event."""
    shown = 0
    for name, value in event.items():
        if value and not name.startswith(_EVERYWHERE) and name not in _NAMING and shown < 6:
            shown += 1
            yield f"{name}: {value}", "" if shown == 1 else "quiet"
    if event.body:
        yield f"{len(event.body)} bytes of body", "quiet"


_EVERYWHERE: Final = ("FreeSWITCH-", "Event-Date-", "Event-Calling-", "Multicast-Sender", "variable_")
_NAMING: Final = frozenset({"Event-Name", "Event-Subclass", "Core-UUID", "Event-Sequence", "Event-UUID", "Command"})

_TELLERS: Final[dict[str, Callable[[Event], _Facts]]] = {
    "CHANNEL_STATE": _state,
    "CHANNEL_CALLSTATE": _call_state,
    "CHANNEL_HANGUP": _hangup,
    "CHANNEL_HANGUP_COMPLETE": _hangup,
    "CHANNEL_DESTROY": _hangup,
    "CHANNEL_EXECUTE": _execute,
    "CHANNEL_EXECUTE_COMPLETE": _execute,
    "CHANNEL_BRIDGE": _bridge,
    "CHANNEL_UNBRIDGE": _bridge,
    "CODEC": _codec,
    "DTMF": _dtmf,
    "RECORD_START": _file,
    "RECORD_STOP": _file,
    "PLAYBACK_START": _file,
    "PLAYBACK_STOP": _file,
    "MEDIA_BUG_START": _file,
    "MEDIA_BUG_STOP": _file,
    "RECV_RTCP_MESSAGE": _rtcp,
    "SEND_RTCP_MESSAGE": _rtcp,
    "sofia::register": _registration,
    "sofia::unregister": _registration,
    "sofia::expire": _registration,
    "sofia::pre_register": _registration,
    "sofia::register_attempt": _registration,
    "sofia::register_failure": _registration,
    "sofia::reregister": _registration,
    "sofia::sip_user_state": _registration,
    "sofia::gateway_state": _gateway,
    "PRESENCE_IN": _presence,
    "PRESENCE_OUT": _presence,
    "PRESENCE_PROBE": _probe,
    "MESSAGE_WAITING": _lamp,
    "MESSAGE_QUERY": _query,
    "MESSAGE": _message,
    "RECV_MESSAGE": _message,
    "vm::": _mailbox,
    "HEARTBEAT": _heartbeat,
    "ADD_SCHEDULE": _schedule,
    "DEL_SCHEDULE": _schedule,
    "EXE_SCHEDULE": _schedule,
    "RE_SCHEDULE": _schedule,
    "API": _api,
    "BACKGROUND_JOB": _job,
    "conference::": _conference,
    "valet_parking::": _parking,
    "MODULE_LOAD": _module,
    "MODULE_UNLOAD": _module,
    "multicast::": _peer,
}
