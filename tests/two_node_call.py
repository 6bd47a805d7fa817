"""A call over two nodes with a transfer, made of the recorded bridged call: its events, three times, in new clothes.

::

    fs1   A  1001's telephone calls 2000         ┐
          B  ... which fs1 sends to fs2          ┘ one SIP Call-ID on B and C
    fs2   C  ... which comes in there from fs1     ┐
          D  ... and rings 1000, who answers       ┘ until 1000 transfers it, blind:
          E  ... so that C is bridged with 1002    until 1002 hangs up

What differs from the recording: UUIDs, nodes and their addresses, numbers, Call-IDs, network addresses, who hung up,
and every time. Headers of the recording that would tell other times, or the media's addresses, are left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from audit_samples import recorded_events

from switchcast import Event

__all__ = ["ANSWERED", "BEGAN", "CALL_ID", "LEGS", "NODES", "two_node_call"]

CALLER: Final = "172f2f1b-611d-42b2-a102-f1524ccd5358"
CALLEE: Final = "816b289e-2e68-4ed6-be9c-170e1814d1ff"
_CAPTURED_CORE: Final = "774efe72-0b02-4ad5-b685-481f4ce4aaff"
_SETUP: Final = 1_795_404_685_013_318
"""Microseconds since 1970: when the recorded call began."""
_PHASES: Final = ((5_100_000, "end"), (1_000_000, "talk"), (310_000, "answer"), (0, "setup"))
"""Microseconds from there on, the last first."""

BEGAN: Final = 1_795_435_200_000_000
"""When the made call begins: 2026-11-23 12:00:00 UTC."""
ANSWERED: Final = 2_040_000
"""Microseconds until A is answered."""
LEGS: Final = {
    letter: f"{number:08x}-0000-4000-8000-00000000000{number:x}" for number, letter in enumerate("ABCDE", 10)
}
NODES: Final = {"fs1": "192.0.2.101", "fs2": "192.0.2.102"}
CORES: Final = {"fs1": "11111111-1111-4111-8111-111111111111", "fs2": "22222222-2222-4222-8222-222222222222"}
CALL_ID: Final = "b2c-7f3a9e@192.0.2.101"
_TRANSFER: Final = "1795435207:5f0c7d9e-0000-4000-8000-000000000001:bl_xfer:1002/default/XML"
_LEFT_OUT: Final = re.compile(
    r"variable_.*(stamp|epoch|sec|duration|sdp.*|via|media_ip|Date.*|Sequence|_port|received_ip|from_(host|uri)|full_.*"
    r"|(req|to|contact|reply|via|local_network)_?(host|uri|addr)?|originate_causes|originated_legs|destination_url)"
)


@dataclass(frozen=True)
class _Leg:
    """What a leg of the recording becomes. ``headers`` are put in place of what it had, ``None`` takes one away."""

    letter: str
    to: str
    address: str
    call_id: str
    name: str
    headers: Mapping[str, str | None] = field(default_factory=dict)
    late: int = 0
    """Microseconds by which it ends later than the recorded one did, which was the first to."""


@dataclass(frozen=True)
class _Part:
    """The recorded call once more: on which node, when each phase of it begins, and which events there are of it."""

    node: str
    caller: _Leg
    callee: _Leg
    begins: Mapping[str, int]
    keep: Callable[[Event, str, str], bool] = lambda _event, _letter, _phase: True


_LATER: Final = 60_000
_BY_FAR_END: Final = {"variable_sip_hangup_disposition": "recv_bye"}
_BY_SWITCH: Final = {"variable_sip_hangup_disposition": "send_bye", "variable_proto_specific_hangup_cause": None}
_A: Final = _Leg(
    "A", "2000", "198.51.100.11", "a-1001@198.51.100.11", "sofia/internal/1001@fs1.example", _BY_SWITCH, _LATER
)
_B: Final = _Leg("B", "2000", "192.0.2.102", CALL_ID, "sofia/external/2000@192.0.2.102:5060", _BY_FAR_END)
_C: Final = _Leg("C", "2000", "192.0.2.101", CALL_ID, "sofia/external/1001@192.0.2.101", _BY_SWITCH)
_D: Final = _Leg(
    "D", "1000", "198.51.100.10", "d-1000@fs2.example", "sofia/internal/1000@198.51.100.10:5060",
    {**_BY_FAR_END, "Hangup-Cause": "BLIND_TRANSFER", "variable_hangup_cause_q850": "600"},
)  # fmt: skip
_SENT_ON: Final = {**_BY_SWITCH, "Caller-Transfer-Source": _TRANSFER, "variable_transfer_history": _TRANSFER}
_C2: Final = _Leg("C", "1002", "192.0.2.101", CALL_ID, "sofia/external/1001@192.0.2.101", _SENT_ON, _LATER)
_E: Final = _Leg(
    "E", "1002", "198.51.100.12", "e-1002@fs2.example", "sofia/internal/1002@198.51.100.12:5060", _BY_FAR_END
)


def _until_transferred(event: Event, letter: str, phase: str) -> bool:
    """C goes on, D ends; and the two are parted."""
    return phase != "talk" and (phase != "end" or letter == "D" or event.name == "CHANNEL_UNBRIDGE")


def _once_transferred(event: Event, letter: str, phase: str) -> bool:
    """C is up already: it only runs the bridge to E."""
    if letter == "C" and phase in {"setup", "answer"}:
        return event.name in {"CHANNEL_EXECUTE", "CHANNEL_BRIDGE"}
    return phase != "talk"


_PARTS: Final = (
    _Part("fs1", _A, _B, {"setup": 0, "answer": 2_000_000, "talk": 3_000_000, "end": 14_000_000}),
    _Part("fs2", _C, _D, {"setup": 60_000, "answer": 1_950_000, "end": 7_000_000}, _until_transferred),
    _Part("fs2", _C2, _E, {"setup": 7_050_000, "answer": 9_000_000, "end": 13_950_000}, _once_transferred),
)


@cache
def two_node_call(*, call_ids: bool = True) -> tuple[Event, ...]:
    """The call's events, in order of time. Without ``call_ids`` no leg tells its SIP Call-ID."""
    made: list[tuple[int, str, list[tuple[str, str]]]] = []
    for part in _PARTS:
        for event in _recorded():
            leg = part.caller if event.unique_id == CALLER else part.callee
            phase, offset = _phase_of(event.timestamp or 0)
            if phase in part.begins and part.keep(event, leg.letter, phase):
                when = BEGAN + part.begins[phase] + offset + (leg.late if phase == "end" else 0)
                made.append((when, part.node, _dressed(event, part, leg, when, call_ids=call_ids)))
    made.sort(key=lambda each: each[0])
    counts = dict.fromkeys(NODES, 100)
    events = []
    for when, node, headers in made:
        counts[node] += 1
        numbered = [(name, str(counts[node]) if name == "Event-Sequence" else value) for name, value in headers]
        events.append(Event.from_headers(numbered).with_origin(f"{NODES[node]}:4242", when * 1000 + 300_000))
    return tuple(events)


def _recorded() -> Sequence[Event]:
    return [event for event in recorded_events() if event.unique_id in (CALLER, CALLEE)]


def _phase_of(when: int) -> tuple[str, int]:
    """Which phase of the recorded call ``when`` lies in, and how far, in microseconds."""
    since = max(0, when - _SETUP)
    return next((phase, since - start) for start, phase in _PHASES if since >= start)


def _dressed(event: Event, part: _Part, leg: _Leg, when: int, *, call_ids: bool) -> list[tuple[str, str]]:
    """The headers of ``event`` as the made call has them."""
    other = part.callee if leg is part.caller else part.caller
    own = {
        "Channel-Name": leg.name,
        "Caller-Channel-Name": leg.name,
        "Caller-Destination-Number": leg.to,
        "Caller-Callee-ID-Number": part.callee.to,
        "Caller-Network-Addr": leg.address,
        "Other-Leg-Channel-Name": other.name,
        "Other-Leg-Destination-Number": other.to,
        "Other-Leg-Callee-ID-Number": part.callee.to,
        "Other-Leg-Network-Addr": other.address,
        "Channel-Presence-ID": None if leg.letter in "BC" else f"{'1001' if leg.letter == 'A' else leg.to}@example",
        "variable_presence_id": None,
        "variable_dialed_user": leg.to,
        "variable_dialed_extension": leg.to,
        "variable_sip_call_id": leg.call_id if call_ids else None,
        "variable_sip_network_ip": leg.address,
        "variable_sip_network_port": "5060",
        "variable_sip_user_agent": "FreeSWITCH" if leg.letter in "BC" else "tiny-ua/1.0",
        "FreeSWITCH-Hostname": part.node,
        "FreeSWITCH-Switchname": part.node,
        "Multicast-Sender": part.node,
        "FreeSWITCH-IPv4": NODES[part.node],
        "FreeSWITCH-IPv6": "::1",
        "Event-Date-Timestamp": str(when),
        "Event-Date-GMT": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(when // 1_000_000)),
        "Event-Date-Local": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(when // 1_000_000)),
        "Application-Data": f"user/{part.callee.to}@example" if event.get("Application") == "bridge" else None,
    }
    if other.letter == "E":
        own["Other-Leg-Unique-ID"] = LEGS["E"]
    ending = event.name in {"CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"}
    changed = {**own, **leg.headers}
    headers = [
        (name, _value(name, value, part, leg, changed))
        for name, value in event.items()
        if not _LEFT_OUT.fullmatch(name) and changed.get(name, "") is not None
    ]
    names = {name for name, _ in headers}
    added = [name for name in ("Caller-Transfer-Source", "variable_transfer_history") if name in leg.headers]
    added += ["variable_sip_hangup_disposition"] * ending
    headers += [(name, value) for name in added if name not in names and (value := leg.headers[name]) is not None]
    return headers


def _value(name: str, value: str, part: _Part, leg: _Leg, changed: Mapping[str, str | None]) -> str:
    if name in changed:
        return changed[name] or ""
    if name.endswith("-Time") and value.isdigit() and int(value) > 0:
        return str(_moment(int(value), part, leg, other=name.startswith("Other-Leg-")))
    for old, new in (
        (CALLER, LEGS[part.caller.letter]),
        (CALLEE, LEGS[part.callee.letter]),
        (_CAPTURED_CORE, CORES[part.node]),
    ):
        value = value.replace(old, new)
    return value


def _moment(value: int, part: _Part, leg: _Leg, *, other: bool) -> int:
    """A time that the recording tells of a channel, as the made call has it; of C what it was before the transfer."""
    phase, offset = _phase_of(value)
    of = leg if not other else part.callee if leg is part.caller else part.caller
    begins = _PARTS[1].begins if of.letter == "C" and phase != "end" else part.begins
    return BEGAN + begins.get(phase, begins["setup"]) + offset + (of.late if phase == "end" else 0)
