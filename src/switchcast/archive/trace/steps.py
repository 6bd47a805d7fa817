"""What one event of a leg says has happened, in words. A table of kinds; a header that is missing makes a word missing.

Digits that were pressed can be a PIN, and so can what an application was called with: both are masked unless they are
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.story import StepKind

__all__ = ["MASK", "Said", "command_of", "say"]

MASK: Final = "•"
"""What stands for a digit."""
_MOST_DATA: Final = 120
"""Characters of what an application was called with."""

_PREPARING: Final = frozenset(
    "answer bridge bind_meta_app break detect_speech enable_heartbeat event export hangup hash info limit log park"
    " play_and_detect_speech playback endless_playback pre_answer presence push record_session redirect respond"
    " ring_ready sched_hangup set set_profile_var set_user sleep stop_record_session tone_detect unbind_meta_app unset"
    " unshift uuid_bridge verbose_events wait_for_silence multiset multiunset db inherit_codec".split()
)
"""Applications that say nothing which no other event says better, or that only prepare."""
_OPEN_DATA: Final = frozenset({"bridge", "transfer", "valet_park", "park", "echo", "voicemail", "att_xfer", "deflect"})
"""Applications whose data is numbers and addresses, and no secret."""

_TELLING_COMMANDS: Final = frozenset(
    "uuid_kill uuid_transfer uuid_bridge uuid_park uuid_hold uuid_dual_transfer uuid_deflect uuid_redirect"
    " uuid_break uuid_answer uuid_phone_event uuid_simplify".split()
)


class Said(NamedTuple):
    """The kind of step, the words for it, whether the short ladder has it, and the leg that it is with."""

    kind: StepKind
    words: str
    main: bool = True
    other: str = ""


def say(seen: Sighting, *, reveal: bool = False) -> Iterator[Said]:
    """What ``seen`` says has happened to its leg; nothing where the leg itself tells it (its begin, answer and end)."""
    teller = _TELLERS.get(seen.kind)
    if teller is not None:
        yield from teller(seen, reveal)
    elif seen.kind not in _TOLD_BY_LEG:
        yield Said("event", seen.kind, main=False)


def command_of(seen: Sighting) -> tuple[str, tuple[str, ...]]:
    """The ``uuid_`` command that an API event is of, and what it was about; nothing for others."""
    command = seen.get("API-Command")
    if seen.kind != "API" or not command.startswith("uuid_"):
        return "", ()
    return command, tuple(word.lower() for word in seen.get("API-Command-Argument").split(None, 3)[:3])


def telling_command(command: str) -> bool:
    """Whether a command of this name changes the course of a call."""
    return command in _TELLING_COMMANDS


_Teller = Callable[[Sighting, bool], Iterator[Said]]


def _always(kind: StepKind, words: str, *, main: bool = True) -> _Teller:
    def teller(_seen: Sighting, _reveal: bool) -> Iterator[Said]:
        yield Said(kind, words, main)

    return teller


def _file_name(path: str) -> str:
    """The last part of a path; of what is no path its kind (``tone_stream``)."""
    scheme, slashes, _ = path.partition("://")
    return scheme if slashes else path.rpartition("/")[2]


def _application(seen: Sighting, reveal: bool) -> Iterator[Said]:
    name, data = seen.get("Application"), seen.get("Application-Data")
    if not name:
        return
    if name == "conference":
        data = data.partition("+")[0]  # a PIN follows
    elif name in {"playback", "endless_playback"}:
        data = _file_name(data)
    elif name not in _OPEN_DATA and data and not reveal:
        data = "…"
    shown = data if len(data) <= _MOST_DATA else data[: _MOST_DATA - 1] + "…"
    yield Said("application", f"runs {name}({shown})" if shown else f"runs {name}", name not in _PREPARING)


def _dtmf(seen: Sighting, reveal: bool) -> Iterator[Said]:
    digit = seen.get("DTMF-Digit")
    yield Said("dtmf", f"DTMF {digit if reveal else MASK * max(1, min(len(digit), 8))}")


def _recorded(kind: StepKind, words: str) -> _Teller:
    def teller(seen: Sighting, _reveal: bool) -> Iterator[Said]:
        name = _file_name(seen.get("Record-File-Path"))
        milliseconds = seen.number("variable_record_ms") if kind == "recorded" else 0
        length = f", {milliseconds / 1000:.2f} s" if milliseconds else ""
        yield Said(kind, f"{words} ({name}{length})" if name else words)

    return teller


def _played(kind: StepKind, words: str) -> _Teller:
    def teller(seen: Sighting, _reveal: bool) -> Iterator[Said]:
        name = _file_name(seen.get("Playback-File-Path"))
        yield Said(kind, f"{words} {name}".rstrip(), main=False)

    return teller


_MEMBER: Final[dict[str, tuple[str, bool]]] = {
    "add-member": ("joins conference", True),
    "del-member": ("leaves conference", True),
    "kick-member": ("is thrown out of conference", True),
    "mute-member": ("is muted in conference", True),
    "unmute-member": ("is no longer muted in conference", True),
    "deaf-member": ("cannot hear in conference", True),
    "undeaf-member": ("hears again in conference", True),
}


def _conference(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    action, name = seen.get("Action"), seen.get("Conference-Name")
    words, main = _MEMBER.get(action, (f"{action or 'event'} in conference", False))
    yield Said("conference", f"{words} {name}".rstrip(), main)


def _valet(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    place = " ".join(part for part in (seen.get("Valet-Lot-Name"), seen.get("Valet-Extension")) if part)
    action = seen.get("Action")
    if action == "hold":
        yield Said("park", f"is parked in {place}")
    elif action == "bridge":
        yield Said("unpark", f"picks up {place}", other=seen.get("Bridge-To-UUID").lower())
    else:
        yield Said("unpark", f"leaves {place}")


def _voicemail(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    action = seen.get("VM-Action")
    user, domain = seen.get("VM-User"), seen.get("VM-Domain")
    box = f"{user}@{domain}" if user and domain else user
    if action == "leave-message":
        seconds = seen.number("VM-Message-Len")
        yield Said("voicemail", f"leaves a message of {seconds} s for {box}")
    elif action == "authentication":
        yield Said("voicemail", f"opens the mailbox of {box}: {seen.get('VM-Auth-Result') or 'tried'}")
    else:
        yield Said("voicemail", f"mailbox of {box}: {action}", main=False)


def _refused(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    kind, number = seen.get("Error-Type"), seen.get("Transfer-Exten")
    if kind.endswith("transfer"):
        yield Said("refused", f"asks for a transfer to {number or '?'}, which is refused")
    else:
        yield Said("event", f"error: {kind}" if kind else "error", main=False)


def _codec(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    for word, direction in (("hears", "Read"), ("speaks", "Write")):
        name = seen.get(f"Channel-{direction}-Codec-Name")
        if name:
            rate = seen.get(f"Channel-{direction}-Codec-Rate")
            yield Said("codec", f"codec {word} {name}/{rate}" if rate else f"codec {word} {name}", main=False)


def _call_state(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    before, now = seen.get("Original-Channel-Call-State"), seen.get("Channel-Call-State")
    yield Said("state", f"{before} to {now}" if before else now, main=False)


def _state(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    yield Said("state", seen.get("Channel-State"), main=False)


def _rename(seen: Sighting, _reveal: bool) -> Iterator[Said]:
    yield Said("rename", f"is renamed; it was {seen.get('Old-Unique-ID')[:8]}", main=False)


_TOLD_BY_LEG: Final = frozenset(
    {
        "CHANNEL_CREATE",
        "CHANNEL_ANSWER",
        "CHANNEL_PROGRESS",
        "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_DESTROY",
        "CHANNEL_BRIDGE",
        "CHANNEL_UNBRIDGE",
        "CHANNEL_EXECUTE_COMPLETE",
        "API",
    }
)
"""Kinds that make up the leg and its bridges, or that say again what another has said."""

_TELLERS: Final[dict[str, _Teller]] = {
    "CHANNEL_STATE": _state,
    "CHANNEL_CALLSTATE": _call_state,
    "CHANNEL_PROGRESS_MEDIA": _always("early", "early media"),
    "CHANNEL_HOLD": _always("hold", "on hold"),
    "CHANNEL_UNHOLD": _always("unhold", "off hold"),
    "CHANNEL_PARK": _always("park", "is parked"),
    "CHANNEL_UNPARK": _always("unpark", "is no longer parked"),
    "CHANNEL_UUID": _rename,
    "CHANNEL_EXECUTE": _application,
    "CODEC": _codec,
    "DTMF": _dtmf,
    "RECORD_START": _recorded("record", "recording begins"),
    "RECORD_STOP": _recorded("recorded", "recording ends"),
    "PLAYBACK_START": _played("play", "is played"),
    "PLAYBACK_STOP": _played("played", "was played"),
    "conference::maintenance": _conference,
    "valet_parking::info": _valet,
    "vm::maintenance": _voicemail,
    "sofia::error": _refused,
    "sofia::transferor": _always("transfer", "transfers the call"),
    "sofia::transferee": _always("transfer", "is being transferred"),
    "sofia::replaced": _always("transfer", "is replaced by another leg"),
    "sofia::intercepted": _always("transfer", "is picked up by another leg"),
}
