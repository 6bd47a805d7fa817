"""Scripts of a real switch's events, and filling them in fast.

``templates.json.xz`` is derived from a recording by ``scripts/make_templates.py``. A script is a stretch of it: one
call, one registration, one heartbeat. Its events are cut into constant pieces of wire text and *slots* for what belongs
to one run. Filling in a run means to make one list of all pieces, slots included, once; an event is then a join of some
of them. Pieces that only ever stand together (most of a channel's headers do) are joined once a run.

===================== =================================================================================================
slot                  what it holds
===================== =================================================================================================
``date.*``            the event's own date: ``local``, ``gmt``, ``us``
``sequence``          its Event-Sequence
``switch.*``          ``core``, ``hostname``, ``name``, ``ipv4``, ``ipv6``
``domain``            the cluster's SIP domain
``a.*``, ``b.*``      the user agent in that role (caller, callee): ``user``, ``ip``, ``port``, ``rtp``, ``call-id``
``leg.N``, ``uuid.N`` a channel's UUID, any other UUID
``hex.N.L``           L random hexadecimal digits; ``token.N.L`` L letters and digits
``port.N.D``          the Nth media port of the switch, and the port D above it
``t.OFFSET.UNIT``     a time, in microseconds since the run began: ``us``, ``s``, ``stamp``, ``gmt``
``d.FROM.TO.UNIT``    how long it was between two such times: ``us``, ``ms``, ``s``; ``clock-`` cuts both times first
``p.NAME``            a parameter
===================== =================================================================================================

A run may take longer than the recording did: the gaps in which nothing happened (ringing, talking) stretch, and every
time and span in the events moves with them.
"""

from __future__ import annotations

import json
import lzma
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate
from operator import itemgetter
from random import Random
from typing import Final, Literal, NamedTuple, TypedDict
from urllib.parse import unquote

__all__ = ["DATE_SLOTS", "Effect", "Moment", "Script", "Step", "Timing", "Values", "gmt", "local", "scripts", "wire"]

Values = list[bytes]
"""Every piece of one run: first the event's own date and sequence (``DATE_SLOTS``), then slots and literals."""

DATE_SLOTS: Final = ("date.local", "date.gmt", "date.us", "sequence")

Effect = Literal["", "create", "update", "execute", "bridge", "unbridge", "destroy", "presence", "lamp"]
"""What an event does to the state of the switch that fires it."""

_EFFECTS: Final[Mapping[str, Effect]] = {
    "CHANNEL_CREATE": "create",
    "CHANNEL_EXECUTE": "execute",
    "CHANNEL_BRIDGE": "bridge",
    "CHANNEL_UNBRIDGE": "unbridge",
    "CHANNEL_DESTROY": "destroy",
    "PRESENCE_IN": "presence",
    "MESSAGE_WAITING": "lamp",
}
_SECOND = 1_000_000
_UNITS = {"us": 1, "ms": 1000, "s": _SECOND}
_LETTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz2345678"
"""64 of them, so that six random bits make one."""
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b'"#%&+:;<=>?@[\\]^`{|}')
_ENCODED = tuple(bytes((byte,)) if byte in _PLAIN else b"%%%02X" % byte for byte in range(256))


class Moment(NamedTuple):
    """A time of the recording, in microseconds since the script's first event, placed among the gaps that stretch."""

    offset: int
    gaps: int
    """How many gaps lie wholly before it."""
    into: float
    """How far into the next gap it lies, from 0 to 1; 0 outside."""


class Step(NamedTuple):
    """One event of a script."""

    at: Moment
    leg: int
    """Which of the script's channels it is about; -1 for none."""
    name: str
    subclass: str
    effect: Effect
    state: str
    """Channel-State, as it stands in the event; empty without a channel."""
    call_state: str
    pick: Callable[[Values], tuple[bytes, ...]]


class Timing:
    """When each moment of one run happens, in microseconds since the run began."""

    __slots__ = ("_cut", "_extra", "_sums")

    def __init__(self, extra: Sequence[int] = ()) -> None:
        """``extra``: what each gap lasts longer than it did in the recording, in microseconds; may be negative."""
        self._extra = extra
        self._sums = list(accumulate(extra, initial=0))
        self._cut: tuple[int, int, int] | None = None

    def cut(self, since: int, moment: Moment, now: int) -> None:
        """Let ``moment`` be ``now``, whatever lay before it; what is later than ``since`` moves along."""
        self._cut = (since, moment.offset, now)

    def place(self, moment: Moment) -> int:
        """Microseconds from the run's beginning to ``moment``."""
        offset, gaps, into = moment
        when = offset + self._sums[gaps]
        if into:
            when += int(self._extra[gaps] * into)
        if self._cut is None:
            return when
        since, base, now = self._cut
        return now + offset - base if offset > since else min(when, now)


class Packed(TypedDict):
    """A script in the file: gaps as (from, to, kind), events as (at, leg, pieces)."""

    waits: list[tuple[int, int, str]]
    steps: list[tuple[int, int, list[int]]]


class Script:
    """One script, ready to be filled in."""

    def __init__(self, name: str, packed: Packed, text: Sequence[str], slots: Sequence[str]) -> None:
        self.name = name
        self.gaps = packed["waits"]
        self._starts = [start for start, _, _ in self.gaps]
        self._blank: Values = [b""] * len(DATE_SLOTS)
        self._index: dict[int, int] = {}
        self.legs: dict[int, int] = {}
        self._switch: list[tuple[int, str]] = []
        self._domain: list[int] = []
        self._roles: list[tuple[int, str, str]] = []
        self._random: list[tuple[int, str, int]] = []
        self._ports: list[list[tuple[int, int]]] = []
        self._times: list[tuple[int, Moment, str]] = []
        self._spans: list[tuple[int, Moment, Moment, str]] = []
        self.params: dict[str, int] = {}
        self._blocks: list[tuple[int, Callable[[Values], tuple[bytes, ...]]]] = []
        ports: dict[str, list[tuple[int, int]]] = {}
        events = [[self._place(part, text, slots, ports) for part in parts] for _, _, parts in packed["steps"]]
        self._ports = list(ports.values())
        constant = [b"".join([self._blank[piece] for piece in event]).decode("utf-8", "replace") for event in events]
        joined = self._joined(events)
        self.steps = [
            self._step(at, leg, constant[number], joined[number]) for number, (at, leg, _) in enumerate(packed["steps"])
        ]
        self.answered = max((i for i, step in enumerate(self.steps) if step.name == "CHANNEL_ANSWER"), default=-1)
        self.hangup = next((i for i, step in enumerate(self.steps) if step.name == "CHANNEL_HANGUP"), len(self.steps))

    def _joined(self, events: list[list[int]]) -> list[list[int]]:
        """``events``, pieces made into one that only ever stand together and that stay the same all through a run."""
        changing = {*range(len(DATE_SLOTS)), *self.params.values()}
        chains = chain_up(events, changing)
        uses = Counter(chain for event in chains for chain in event)
        places: dict[tuple[int, ...], int] = {}
        joined = []
        for event in chains:
            own: list[int] = []
            for chain in event:
                if len(chain) < 3 or uses[chain] < 3:  # to join it beforehand would cost more than it saves
                    own += chain
                    continue
                if chain not in places:
                    places[chain] = len(self._blank)
                    self._blocks.append((len(self._blank), itemgetter(*chain)))
                    self._blank.append(b"")
                own.append(places[chain])
            joined.append(own)
        return joined

    def _step(self, at: int, leg: int, constant: str, indices: list[int]) -> Step:
        """``constant``: the event's text, its slots empty."""
        headers = dict(line.partition(": ")[::2] for line in reversed(constant.split("\n")))
        name = headers["Event-Name"]
        state = headers.get("Channel-State", "") if leg >= 0 else ""
        return Step(
            self.moment(at),
            leg,
            name,
            unquote(headers.get("Event-Subclass", "")),
            _EFFECTS.get(name, "update" if state else ""),
            state,
            headers.get("Channel-Call-State", "") if leg >= 0 else "",
            itemgetter(*indices),
        )

    def moment(self, offset: int) -> Moment:
        """``offset`` microseconds of the recording, placed among the gaps."""
        gap = bisect_right(self._starts, offset) - 1
        if gap < 0:
            return Moment(offset, 0, 0.0)
        start, end, _ = self.gaps[gap]
        if offset >= end:
            return Moment(offset, gap + 1, 0.0)
        return Moment(offset, gap, (offset - start) / (end - start))

    def _place(
        self, part: int, text: Sequence[str], slots: Sequence[str], ports: dict[str, list[tuple[int, int]]]
    ) -> int:
        """Where in a run's values this part stands; a place is made when it is new."""
        index = self._index.get(part)
        if index is not None:
            return index
        if part >= 0:
            index = len(self._blank)
            self._blank.append(text[part].encode("utf-8", "surrogateescape"))
        else:
            slot = slots[-1 - part]
            if slot in DATE_SLOTS:
                index = DATE_SLOTS.index(slot)
            else:
                index = len(self._blank)
                self._blank.append(b"")
                self._slot(index, slot, ports)
        self._index[part] = index
        return index

    def _slot(self, index: int, slot: str, ports: dict[str, list[tuple[int, int]]]) -> None:
        kind, _, rest = slot.partition(".")
        match kind:
            case "switch":
                self._switch.append((index, rest))
            case "domain":
                self._domain.append(index)
            case "a" | "b":
                self._roles.append((index, kind, rest))
            case "leg":
                self.legs[int(rest)] = index
            case "uuid":
                self._random.append((index, kind, 0))
            case "hex" | "token":
                self._random.append((index, kind, int(rest.partition(".")[2])))
            case "port":
                number, _, above = rest.partition(".")
                ports.setdefault(number, []).append((index, int(above)))
            case "t":
                offset, _, unit = rest.partition(".")
                self._times.append((index, self.moment(int(offset)), unit))
            case "d":
                start, end, unit = rest.split(".")
                self._spans.append((index, self.moment(int(start)), self.moment(int(end)), unit))
            case "p":
                self.params[rest] = index
            case _:
                raise ValueError(f"script {self.name}: unknown slot {slot!r}")

    def fill(
        self,
        rng: Random,
        switch: Mapping[str, bytes],
        roles: Mapping[str, Mapping[str, bytes]],
        params: Mapping[str, bytes],
    ) -> Values:
        """The pieces of a new run, all but its times (``fill_times``). ``switch`` holds ``domain`` too."""
        values = self._blank.copy()
        for index, name in self._switch:
            values[index] = switch[name]
        for index in self._domain:
            values[index] = switch["domain"]
        for index, role, name in self._roles:
            values[index] = roles[role][name]
        for index in self.legs.values():
            values[index] = new_uuid(rng)
        for index, kind, length in self._random:
            values[index] = new_uuid(rng) if kind == "uuid" else new_token(rng, kind, length)
        for places in self._ports:
            port = 16384 + 2 * int(rng.random() * 8192)
            for index, above in places:
                values[index] = b"%d" % (port + above)
        for name, value in params.items():
            values[self.params[name]] = value
        return values

    def fill_times(self, values: Values, timing: Timing, began: int) -> None:
        """Write all times into ``values``; ``began`` is when the run began, in microseconds since 1970 UTC."""
        place = timing.place
        for index, moment, unit in self._times:
            when = began + place(moment)
            if unit == "us":
                values[index] = b"%d" % when
            elif unit == "s":
                values[index] = b"%d" % (when // _SECOND)
            else:
                values[index] = (local if unit == "stamp" else gmt)(when // _SECOND)
        for index, start, end, unit in self._spans:
            low, high = began + place(start), began + place(end)
            micros = _UNITS[unit.removeprefix("clock-")]
            whole = high // micros - low // micros if unit.startswith("clock-") else (high - low) // micros
            values[index] = b"%d" % max(0, whole)
        for index, pick in self._blocks:
            values[index] = b"".join(pick(values))


def chain_up(events: Sequence[Sequence[int]], changing: Collection[int]) -> list[list[tuple[int, ...]]]:
    """``events`` (numbers of pieces) cut into chains: pieces that stand in the same company wherever they stand.

    Two neighbours are of one chain when each is the other's only neighbour on that side in all events, and neither is
    ``changing``. To tell apart the places of a piece that stands in many, a piece counts together with the one before.
    """
    after: dict[tuple[int, int], set[int]] = {}
    before: dict[tuple[int, int], set[int]] = {}
    for event in events:
        padded = [-1, -1, *event, -1, -1]
        for i in range(2, len(padded) - 1):
            after.setdefault((padded[i - 1], padded[i]), set()).add(padded[i + 1])
            before.setdefault((padded[i], padded[i + 1]), set()).add(padded[i - 1])
    chains = []
    for event in events:
        own: list[list[int]] = []
        for i, piece in enumerate(event):
            previous = event[i - 1] if i else -1
            pair = (event[i - 2] if i > 1 else -1, previous)
            together = (
                i > 0
                and piece not in changing
                and previous not in changing
                and len(after[pair]) == 1
                and len(before[previous, piece]) == 1
            )
            if together:
                own[-1].append(piece)
            else:
                own.append([piece])
        chains.append([tuple(chain) for chain in own])
    return chains


@cache
def scripts() -> Mapping[str, Script]:
    """All scripts by name; read once."""
    packed = json.loads(lzma.decompress(files("switchcast.simulation").joinpath("templates.json.xz").read_bytes()))
    literals, slots = packed["literals"], packed["slots"]
    return {name: Script(name, script, literals, slots) for name, script in packed["scripts"].items()}


def wire(text: str) -> bytes:
    """``text`` as it stands in an event: percent-encoded as the switch does it."""
    return b"".join([_ENCODED[byte] for byte in text.encode("utf-8", "surrogateescape")]) or b"_undef_"


@lru_cache(4096)
def local(second: int) -> bytes:
    """Event-Date-Local of ``second`` since 1970, as it stands in an event. A simulated switch lives in UTC."""
    return time.strftime("%Y-%m-%d%%20%H%%3A%M%%3A%S", time.gmtime(second)).encode("ascii")


@lru_cache(4096)
def gmt(second: int) -> bytes:
    """Event-Date-GMT of ``second`` since 1970, as it stands in an event. English in any locale, as the switch is."""
    t = time.gmtime(second)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[t.tm_wday]
    month = ("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split()[t.tm_mon - 1]
    clock = f"{t.tm_hour:02}%3A{t.tm_min:02}%3A{t.tm_sec:02}"
    return f"{day},%20{t.tm_mday:02}%20{month}%20{t.tm_year}%20{clock}%20GMT".encode("ascii")


def new_uuid(rng: Random) -> bytes:
    """A random (version 4) UUID."""
    digits = f"{rng.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}".encode("ascii")


def new_token(rng: Random, kind: str, length: int) -> bytes:
    """``length`` random characters: hexadecimal digits for the kind ``hex``, letters and digits otherwise."""
    if kind == "hex":
        return b"%0*x" % (length, rng.getrandbits(4 * length))
    bits = rng.getrandbits(6 * length)
    return "".join([_LETTERS[bits >> 6 * i & 63] for i in range(length)]).encode("ascii")
