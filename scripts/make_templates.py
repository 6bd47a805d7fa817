"""Derive the simulator's templates from a recording of a real FreeSWITCH.

``make_templates.py [OUTPUT]`` reads ``tests/data`` and writes the file that the package ships.

Each *script* is a stretch of the recording (one call, one registration, one heartbeat) whose events keep their order,
spacing, header names and constant values. What belongs to one run is a *slot*: the switch's names, dates, times and
time spans in all their forms, channel and SIP identities, users, addresses, ports and counters. The output is one JSON
object, compressed, the same bytes for the same input:

- ``literals``: every constant piece of wire text, once;
- ``slots``: every slot's name; ``switchcast.simulation.templates`` tells what each kind means;
- ``scripts``: by name, ``waits`` (gaps that a run stretches, as ``[from, to, kind]`` in microseconds) and ``steps``,
  each ``[at, leg, parts]`` where a part from 0 is a literal and a negative one is slot ``-1 - part``.
"""

from __future__ import annotations

import gzip
import json
import lzma
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from switchcast._native import CaptureReader, StockFrames

ROOT = Path(__file__).parent.parent
CAPTURE = ROOT / "tests/data/stock-plain.pcap.gz"
EXAMPLES = ROOT / "tests/data/wiki-2008-examples.jsonl"
OUTPUT = ROOT / "src/switchcast/simulation/templates.json.xz"
RESERVED = frozenset(b'"#%&+:;<=>?@[\\]^`{|} ')
WAIT = 100_000
"""Microseconds of silence from which a gap counts as waiting (ringing, talking) rather than as work."""


@dataclass
class Recorded:
    """One event of the recording: microseconds since its start, headers as on the wire, body."""

    at: int
    headers: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str:
        return next((value for header, value in self.headers if header == name), "")


@dataclass
class Excerpt:
    """Which events make a script, and what in them belongs to one run.

    ``events``: ranges of numbers in the recording, both ends included. ``users``: recorded user to role. ``params``:
    header to the parameter whose value replaces its own. ``body``: whether the body is a parameter too.
    """

    events: list[tuple[int, int]]
    without: set[int] = field(default_factory=set)
    users: dict[str, str] = field(default_factory=lambda: {"1000": "a"})
    params: dict[str, str] = field(default_factory=dict)
    body: bool = False


LAMP = {
    "MWI-Messages-Waiting": "waiting",
    "Update-Reason": "reason",
    "MWI-Voice-Message": "counts",
    "VM-Total-New": "new",
    "VM-Total-Saved": "saved",
}
HEARTBEAT = {
    "Up-Time": "uptime",
    "Uptime-msec": "uptime-ms",
    "Session-Count": "sessions",
    "Session-Per-Sec-Last": "sps-last",
    "Session-Per-Sec-Max": "sps-max",
    "Session-Per-Sec-FiveMin": "sps-five-minutes",
    "Session-Since-Startup": "since-startup",
    "Session-Peak-Max": "peak",
    "Session-Peak-FiveMin": "peak-five-minutes",
    "Idle-CPU": "idle",
}
CALLER_IS_1001 = {"1001": "a", "1000": "b"}

EXCERPTS = {
    # Without what the recording's operator asked for in between: show channels, an instant message inside the call.
    "application": Excerpt([(163, 212)], {181, 185, 186, 187, 198, 201}),
    "bridged": Excerpt([(213, 301)], {258, 259, 263}, CALLER_IS_1001),
    "busy": Excerpt([(302, 344)], users=CALLER_IS_1001),
    "conference": Excerpt([(345, 386)], users={"1001": "a"}),
    "voicemail": Excerpt([(387, 427)], users=CALLER_IS_1001, params=LAMP),
    "parked": Excerpt([(429, 459)], {445, 450}),
    "loopback": Excerpt([(903, 968)], {942}),
    "register": Excerpt([(124, 126)], params={"expires": "expires"}),
    "registered": Excerpt([(127, 127)]),
    "mailbox-query": Excerpt([(128, 128)]),
    "mailbox-empty": Excerpt([(129, 129)]),
    "register-failure": Excerpt([(121, 123)], users={"1001": "a"}),
    "expire": Excerpt([(507, 508)], users={"1001": "a"}, params={"expires": "expires"}),
    "unregister": Excerpt([(513, 516)]),
    "presence": Excerpt([(154, 154)], users={"1001": "a"}, params={"rpid": "status", "status": "status"}),
    "message": Excerpt([(155, 157)], users=CALLER_IS_1001, body=True),
    "lamp": Excerpt([(1640, 1641)], params=LAMP),
    "heartbeat": Excerpt([(258, 258)], params=HEARTBEAT),
    "reschedule": Excerpt([(259, 259)], params={"Task-Runtime": "runtime"}),
    "check-ip": Excerpt([(850, 850)], params={"Task-Runtime": "runtime"}),
    "api": Excerpt([(16, 16)], params={"API-Command": "command"}),
    "api-argument": Excerpt([(18, 18)], params={"API-Command": "command", "API-Command-Argument": "argument"}),
    "job": Excerpt([(48, 48)], params={"Job-UUID": "job", "Job-Command": "command"}, body=True),
    "job-argument": Excerpt(
        [(93, 93)], params={"Job-UUID": "job", "Job-Command": "command", "Job-Command-Arg": "argument"}, body=True
    ),
    "reloadxml": Excerpt([(21, 21)]),
}

OF_SWITCH = {
    "Core-UUID": "switch.core",
    "FreeSWITCH-Hostname": "switch.hostname",
    "FreeSWITCH-Switchname": "switch.name",
    "FreeSWITCH-IPv4": "switch.ipv4",
    "FreeSWITCH-IPv6": "switch.ipv6",
}
PER_EVENT = OF_SWITCH | {f"variable_{name}": slot for name, slot in OF_SWITCH.items()}
PER_EVENT |= {
    "Event-Date-Local": "date.local",
    "Event-Date-GMT": "date.gmt",
    "Event-Date-Timestamp": "date.us",
    "Event-Sequence": "sequence",
}
AGENT_ADDRESS = re.compile(
    r"(?i)network[-_]ip|network[-_]addr$|sip_received_ip|sip_via_host|sip_contact_host|remote_media_ip|from_sip_ip"
    r"|sip-contact-host"
)
SWITCH_ADDRESS = re.compile(r"local_media_ip|advertised_media_ip|sip_local_network_addr")
SPANS = {  # header of a time span in microseconds: the headers of its ends
    "uduration": ("start_uepoch", "end_uepoch"),
    "billusec": ("answer_uepoch", "end_uepoch"),
    "progressusec": ("start_uepoch", "progress_uepoch"),
    "answerusec": ("start_uepoch", "answer_uepoch"),
    "waitusec": ("start_uepoch", "bridge_uepoch"),
    "progress_mediausec": ("start_uepoch", "progress_media_uepoch"),
    "flow_billusec": ("profile_start_uepoch", "end_uepoch"),
}


def read_capture(path: Path) -> list[Recorded]:
    """The events of the recording, without Multicast-Sender, which the module adds when it sends them."""
    frames = StockFrames()
    datagrams = CaptureReader().feed(gzip.decompress(path.read_bytes()))
    start = datagrams[0][0] // 1000
    events = []
    for time_ns, _, _, _, _, datagram in datagrams:
        event = frames.open(datagram)
        headers = [(text(name), text(value)) for name, value in event.raw_items() if name != b"Multicast-Sender"]
        events.append(Recorded(time_ns // 1000 - start, headers, event.body))
    return events


def text(raw: bytes) -> str:
    """Wire text as text that keeps every byte."""
    return raw.decode("utf-8", "surrogateescape")


def encode(value: str) -> str:
    """``value`` as the switch writes it."""
    raw = value.encode("utf-8", "surrogateescape")
    out = []
    for i, byte in enumerate(raw):
        keep = byte == 0x25 and re.match(rb"[0-9A-F]{2}", raw[i + 1 : i + 3])
        out.append(chr(byte) if keep or (0x20 < byte <= 0x7E and byte not in RESERVED) else f"%{byte:02X}")
    return "".join(out)


def decode(value: str) -> str:
    """What ``value`` stands for."""
    return text(unquote_to_bytes(value.encode("utf-8", "surrogateescape")))


def elapsed(low: int, high: int, unit: str) -> int:
    """What the switch writes for a span; of a ``clock-`` unit, the difference of two times cut to it before."""
    micros = {"us": 1, "ms": 1000, "s": 1_000_000}[unit.removeprefix("clock-")]
    return high // micros - low // micros if unit.startswith("clock-") else (high - low) // micros


class Maker:
    """Turns the events of one excerpt into steps of literals and slots."""

    def __init__(self, name: str, excerpt: Excerpt, recording: list[Recorded]) -> None:
        numbers = [n for low, high in excerpt.events for n in range(low, high + 1) if n not in excerpt.without]
        self.name = name
        self.excerpt = excerpt
        self.events = [recording[n] for n in numbers]
        self.first = self.events[0].at
        self.origin = self._origin()
        self.tokens: dict[str, str] = {}
        self.micros: list[int] = []
        self.legs: list[str] = []
        self._learn()
        names = sorted((*self.tokens, *excerpt.users), key=lambda token: (-len(token), token))
        known = "|".join(re.escape(token) for token in names)
        self.pattern = re.compile(
            r"(?P<address>127\.0\.0\.1:50(?:90|96|98|94))"
            r"|(?P<gmt>\w{3}, \d\d \w{3} 2026 \d\d:\d\d:\d\d GMT)"
            r"|(?P<stamp>2026-11-23 \d\d:\d\d:\d\d)"
            r"|(?P<micros>(?<!\d)1795\d{12}(?!\d))"
            r"|(?P<seconds>(?<!\d)1795\d{6}(?!\d))"
            r"|(?P<sip>127\.0\.0\.1(?=:5060)|(?<=UDP )127\.0\.0\.1)"
            r"|(?P<media>(?<=IN IP4 )127\.0\.0\.1)"
            r"|(?P<ipv4>192\.0\.2\.2(?!\d))"
            r"|(?P<domain>127\.0\.0\.1)"
            r"|(?P<branch>(?<=z9hG4bK)\w+)"
            r"|(?P<rport>(?<=rport=)509[0-8])"
            r"|(?P<rtp>(?<=m=audio )60(?:90|96))"
            rf"|(?P<known>(?<![A-Za-z0-9.])(?:{known})(?![A-Za-z0-9]))"
        )

    def _origin(self) -> int:
        """The recording's start on the switch's clock: so late that no event tells of a time after its own."""
        times = [
            (event.at, int(token))
            for event in self.events
            for name, value in event.headers
            for token in re.findall(r"(?<!\d)1795\d{12}(?!\d)", value)
            if name not in PER_EVENT
        ]
        own = (self.first, int(self.events[0].get("Event-Date-Timestamp")))
        return max(token - at for at, token in (*times, own))

    def _learn(self) -> None:
        """Give a slot to each identity that occurs, in the order of its first occurrence."""
        for event in self.events:
            leg = event.get("Unique-ID")
            if leg and leg not in self.legs and event.get("Channel-State"):
                self.legs.append(leg)
        for number, leg in enumerate(self.legs):
            self.tokens[leg] = f"leg.{number}"
        for event in self.events:
            for name, value in event.headers:
                text = decode(value)
                if name not in PER_EVENT:
                    for uuid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
                        self.tokens.setdefault(uuid, f"uuid.{len(self.tokens)}")
                    for token in re.findall(r"([0-9a-f]{16})@127", text):
                        self.tokens.setdefault(token, f"hex.{len(self.tokens)}.16" if self.legs else "a.call-id")
                tag = re.findall(r";tag=(\w+)", text) + ([text] if name.endswith("_tag") else [])
                for token in tag + re.findall(r"branch=z9hG4bK(\w+)", text):
                    kind = "hex" if re.fullmatch(r"[0-9a-f]+", token) else "token"
                    self.tokens.setdefault(token, f"{kind}.{len(self.tokens)}.{len(token)}")
                if name == "variable_local_media_port":
                    self.tokens.setdefault(text, f"port.{len(self.tokens)}.0")
                    own = self.tokens[text].rpartition(".")[0]
                    self.tokens.setdefault(str(int(text) + 1), f"{own}.1")
                if re.fullmatch(r"1795\d{12}", text):
                    self.micros.append(int(text))

    def steps(self) -> Iterator[tuple[int, int, list[tuple[bool, str]]]]:
        """``(at, leg, parts)`` for each event; ``leg`` is -1 where there is none; a part is (is a slot, text)."""
        for event in self.events:
            leg = event.get("Unique-ID")
            has_leg = leg in self.legs and event.get("Channel-State") != ""
            yield event.at - self.first, self.legs.index(leg) if has_leg else -1, self._parts(event)

    def _parts(self, event: Recorded) -> list[tuple[bool, str]]:
        parts: list[tuple[bool, str]] = []
        for name, value in event.headers:
            parts.append((False, f"{name}: "))
            parts += self._value(event, name, value)
            parts.append((False, "\n"))
        if self.excerpt.body and event.body:
            parts += [(False, "Content-Length: "), (True, "p.length"), (False, "\n\n"), (True, "p.body")]
        elif event.body:
            body = event.body.decode("utf-8", "surrogateescape")
            parts.append((False, f"Content-Length: {len(event.body)}\n\n{body}"))
        else:
            parts.append((False, "\n"))
        return parts

    def _value(self, event: Recorded, name: str, value: str) -> list[tuple[bool, str]]:
        if name in PER_EVENT:
            return [(True, PER_EVENT[name])]
        if name in self.excerpt.params:
            return [(True, f"p.{self.excerpt.params[name]}")]
        span = self._span(event, name, value)
        if span:
            return [(True, span)]
        text = decode(value)
        if "tone_stream" in text or encode(text) != value:
            return [(False, value)]
        parts: list[tuple[bool, str]] = []
        end = 0
        for match in self.pattern.finditer(text):
            parts.append((False, encode(text[end : match.start()])))
            parts += self._slot(event, name, match)
            end = match.end()
        if end == 0 and text.isdigit():
            return [self._port(event, name, text)]
        parts.append((False, encode(text[end:])))
        return [part for part in parts if part[0] or part[1]]

    def _slot(self, event: Recorded, name: str, match: re.Match[str]) -> list[tuple[bool, str]]:
        token = match.group()
        kind = match.lastgroup or ""
        if kind == "address":
            role = self._role_of_port(event, token.rpartition(":")[2])
            return [(True, f"{role}.ip"), (False, "%3A"), (True, f"{role}.port")]
        if kind == "micros":
            return [(True, f"t.{int(token) - self.origin - self.first}.us")]
        if kind in {"sip", "ipv4"}:
            return [(True, "switch.ipv4")]
        if kind in {"seconds", "stamp", "gmt"}:
            return [(True, self._time(event, name, kind, token))]
        if kind == "media":
            return [(True, "switch.ipv4" if "local" in name else f"{self._role(event)}.ip")]
        if kind == "domain":
            if SWITCH_ADDRESS.search(name):
                return [(True, "switch.ipv4")]
            return [(True, f"{self._role(event, name)}.ip" if AGENT_ADDRESS.search(name) else "domain")]
        if kind in {"rport", "rtp"}:
            return [(True, f"{self._role_of_port(event, '50' + token[2:])}.{'rtp' if kind == 'rtp' else 'port'}")]
        if token in self.tokens:
            return [(True, self.tokens[token])]
        return [(True, f"{self.excerpt.users[token]}.user")]

    def _port(self, event: Recorded, name: str, text: str) -> tuple[bool, str]:
        """A value that is nothing but a number, which may be a user agent's port."""
        if re.search(r"(?i)port$", name) and re.fullmatch(r"509[0-8]", text):
            return (True, f"{self._role_of_port(event, text)}.port")
        if name.endswith("remote_media_port") and re.fullmatch(r"60\d\d", text):
            return (True, f"{self._role_of_port(event, '50' + text[2:])}.rtp")
        return (False, text)

    def _role_of_port(self, event: Recorded, port: str) -> str:
        user = {"5090": "1000"}.get(port, "1001")
        return self.excerpt.users.get(user) or self._role(event)

    def _role(self, event: Recorded, name: str = "") -> str:
        """The role whose user agent an event is about."""
        roles = self.excerpt.users
        leg = event.get("Unique-ID")
        if "b" in roles.values() and leg in self.legs:
            number = self.legs.index(leg)
            return "ab"[number if not name.startswith("Other-Leg") else 0]
        user = decode(event.get("from-user") or event.get("user"))
        return roles.get(user, "a")

    def _time(self, event: Recorded, name: str, kind: str, token: str) -> str:
        """A time told in whole seconds: that of the finer time beside it, so that the two never disagree."""
        unit = {"seconds": "s", "stamp": "stamp", "gmt": "gmt"}[kind]
        fine = decode(event.get(re.sub(r"_(epoch|stamp)$", "_uepoch", name.replace("_hold_s", "_last_hold_s"))))
        if not re.fullmatch(r"1795\d{12}", fine):
            near = [us for us in self.micros if kind == "seconds" and us // 1_000_000 == int(token)]
            if kind == "seconds":
                fine = str(near[0]) if near else token + "500000"
            else:
                fine = decode(event.get("variable_Event-Date-Timestamp")) or decode(event.get("variable_start_uepoch"))
        return f"t.{int(fine) - self.origin - self.first}.{unit}"

    def _span(self, event: Recorded, name: str, value: str) -> str | None:
        """The slot of a header that tells how long something took."""
        root = name.removeprefix("variable_")
        if value in ("", "0") and not re.search(r"(?:sec|seconds|duration|ms)$", root):
            return None
        held = re.findall(r"1795\d{12}", decode(event.get("variable_hold_events")))
        if root in ("Caller-Channel-Hold-Accum", "hold_accum_usec", "hold_accum_ms", "hold_accum_seconds"):
            unit = {"hold_accum_ms": "ms", "hold_accum_seconds": "s"}.get(root, "us")
            if (len(held) == 2 and value != "0") or (len(held) == 2 and unit == "s"):
                return self._between(held[0], held[1], unit)
            return None
        fine = re.sub(r"^m?duration$", "uduration", re.sub(r"(?<=[a-z])m?sec$", "usec", root))
        if root.endswith("usec") or root == "uduration":
            fine, unit = root, "us"
        else:
            unit = "clock-ms" if root.endswith("msec") or root == "mduration" else "clock-s"
        ends = SPANS.get(fine)
        if ends is None or event.get(f"variable_{fine}") == "0":
            return None
        low, high = (event.get(f"variable_{end}") for end in ends)
        if elapsed(int(low), int(high), unit) != int(value):
            raise SystemExit(f"{self.name}: {name} is {value}, not the span from {low} to {high}")
        return self._between(low, high, unit)

    def _between(self, low: str, high: str, unit: str) -> str:
        return f"d.{int(low) - self.origin - self.first}.{int(high) - self.origin - self.first}.{unit}"

    def waits(self) -> list[tuple[int, int, str]]:
        """The gaps that a run stretches: ``ring`` before the last answer, ``talk`` after it."""
        answered = [e.at for e in self.events if e.get("Event-Name") == "CHANNEL_ANSWER"]
        up = answered[-1] if answered else self.events[-1].at
        gaps = []
        for before, after in zip(self.events, self.events[1:], strict=False):
            if after.at - before.at >= WAIT:
                gaps.append((before.at - self.first, after.at - self.first, "ring" if after.at <= up else "talk"))
        return gaps


def mailbox_settings(examples: Path, base: list[tuple[bool, str]]) -> list[tuple[bool, str]]:
    """The module's page's MESSAGE with mailbox settings, in today's order: standard headers, then its own.

    No current FreeSWITCH fires it, so the recording has none; ``base`` lends the standard headers.
    """
    rows = [json.loads(line) for line in examples.read_text("utf-8").splitlines()]
    example = next(row["headers"] for row in rows if row["kind"] == "MWI Mailbox Settings")
    slots = {"1000": "a.user", "fs.example.com": "domain", "8005551212": "a.user"}
    parts: list[tuple[bool, str]] = []
    for is_slot, text in base:
        if text == "proto: ":
            break
        parts.append((is_slot, text.replace("PRESENCE_IN", "MESSAGE")))
    for name, value in example[: [name for name, _ in example].index("Event-Name")]:
        parts += [(False, f"{name}: "), (value in slots, slots.get(value, value)), (False, "\n")]
    return [*parts, (False, "\n")]


def pack(scripts: dict[str, Maker], examples: Path) -> dict[str, object]:
    literals: dict[str, int] = {}
    slots: dict[str, int] = {}
    packed: dict[str, object] = {}

    def number(parts: list[tuple[bool, str]]) -> list[int]:
        merged: list[tuple[bool, str]] = []
        for is_slot, text in parts:
            if merged and not is_slot and not merged[-1][0]:
                merged[-1] = (False, merged[-1][1] + text)
            else:
                merged.append((is_slot, text))
        return [
            -1 - slots.setdefault(text, len(slots)) if is_slot else literals.setdefault(text, len(literals))
            for is_slot, text in merged
        ]

    for name, maker in scripts.items():
        steps = [[at, leg, number(parts)] for at, leg, parts in maker.steps()]
        packed[name] = {"waits": maker.waits(), "steps": steps}
    base = next(parts for _, _, parts in scripts["registered"].steps())
    packed["mailbox-settings"] = {"waits": [], "steps": [[0, -1, number(mailbox_settings(examples, base))]]}
    return {"literals": list(literals), "slots": list(slots), "scripts": packed}


def main() -> None:
    """Write the templates."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT
    recording = read_capture(CAPTURE)
    scripts = {name: Maker(name, excerpt, recording) for name, excerpt in EXCERPTS.items()}
    output.write_bytes(lzma.compress(json.dumps(pack(scripts, EXAMPLES), separators=(",", ":")).encode("ascii")))


if __name__ == "__main__":
    main()
