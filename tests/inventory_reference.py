"""An inventory by hand, slowly, from the whole list of events: what the native one is compared with."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from switchcast import LIMITS, Event

Specimen = tuple[str, str, str] | tuple[str, None, bytes]
UUID = re.compile(
    rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![0-9A-Za-z\x80-\xff])", re.IGNORECASE
)
SHAPED_BYTES = 512
OTHERS = b"others"
"""No shape is written so."""
WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")


def shown(name: bytes) -> str:
    """A name as the audit shows it."""
    return name.decode("utf-8", "replace")


def lower(name: str) -> str:
    """ASCII letters in lower case, and no others."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def decoded(raw: bytes) -> bytes:
    return b"" if raw == b"_undef_" else unquote_to_bytes(raw)


def shape(value: bytes) -> bytes:
    """Letters ``a``, up to 6 digits ``9``, up to 15 ``N``, more ``M``, both ``x``, a UUID ``U``; the rest as it is."""
    tokens, at = b"", 0
    while at < len(value):
        found = UUID.match(value, at) or WORD.match(value, at)
        token = value[at : at + 1]
        if found:
            word = found[0]
            digits = sum(byte in b"0123456789" for byte in word)
            if found.re is UUID:
                token = b"U"
            elif 0 < digits < len(word):
                token = b"x"
            else:
                token = b"a" if not digits else b"9" if digits < 7 else b"N" if digits < 16 else b"M"
        tokens += b"" if tokens.endswith(token) else token
        at += len(found[0]) if found else 1
    return tokens[:64]


def kind_of(event: Event) -> str:
    values: dict[str, bytes] = {}
    for name, raw in event.raw_items():
        values.setdefault(lower(name.decode("latin-1")), decoded(raw))
    name, subclass = values.get("event-name", b""), values.get("event-subclass", b"")
    return shown(name + b" " + subclass if name == b"CUSTOM" and subclass else name)


def sender_of(event: Event) -> str:
    for wanted in (b"multicast-sender", b"freeswitch-switchname"):
        for name, raw in event.raw_items():
            if name.lower() == wanted:
                return shown(decoded(raw))
    return ""


class Reference:
    """The inventory of ``events``, kept within these bounds."""

    def __init__(self, events: Sequence[Event], kinds: int, headers: int, headers_of_kind: int, senders: int) -> None:
        self.senders: Counter[str] = Counter()
        self.sizes: dict[str, list[int]] = {}
        self.senders_of: dict[str, Counter[str]] = defaultdict(Counter)
        self.headers: dict[str, dict[str, tuple[str, list[int]]]] = {}
        """By kind and name in lower case: the name as first spelt, the events that have it and bytes of values."""
        self.bodies: dict[str, list[int]] = defaultdict(list)
        self.uncounted: Counter[str] = Counter()
        self.specimens: list[Specimen] = []
        self._values: dict[tuple[str, str | None], dict[bytes, tuple[int, bytes]]] = defaultdict(dict)
        """By kind and header: of each shape how many values had it, and the one that was last worth a look."""
        self._shows: list[tuple[set[tuple[str, str]], bool]] = []
        """What each event shows, and whether the bounds leave out some of it."""
        self._bounds = (kinds, headers, headers_of_kind, senders)
        for event in events:
            self._add(event)

    def coverage(self) -> float:
        """The share of events that show nothing which no other shows."""
        if not self._shows:
            return 0.0
        seen = Counter(thing for things, _ in self._shows for thing in things)
        alone = sum(beyond or any(seen[thing] == 1 for thing in things) for things, beyond in self._shows)
        return 1 - alone / len(self._shows)

    def _add(self, event: Event) -> None:
        kinds, _, _, senders = self._bounds
        sender: str | None = sender_of(event)
        if sender in self.senders or len(self.senders) < senders:
            self.senders[str(sender)] += 1
        else:
            sender = None
            self.uncounted["senders"] += 1
        kind = kind_of(event)
        if kind not in self.sizes and len(self.sizes) == kinds:
            self.uncounted["kinds"] += 1
            self._shows.append((set(), True))
            return
        self.sizes.setdefault(kind, []).append(len(event.to_plain()))
        if sender is not None:
            self.senders_of[kind][sender] += 1
        self._add_headers(event, kind)
        if event.body:
            self.bodies[kind].append(len(event.body))
            self._look(kind, None, event.body, event.body)

    def _add_headers(self, event: Event, kind: str) -> None:
        _, most, most_of_kind, _ = self._bounds
        known = self.headers.setdefault(kind, {})
        shows, beyond = {(kind, "")}, False
        for wire_name, raw in event.raw_items():
            name = shown(wire_name)
            if lower(name) not in known:
                if len(known) == most_of_kind or sum(map(len, self.headers.values())) == most:
                    self.uncounted["headers"] += 1
                    beyond = True
                    continue
                known[lower(name)] = (name, [0, 0])
            spelling, counts = known[lower(name)]
            counts[0] += (kind, lower(name)) not in shows
            counts[1] += len(raw)
            shows.add((kind, lower(name)))
            self._look(kind, spelling, raw, decoded(raw))
        self._shows.append((shows, beyond))

    def _look(self, kind: str, header: str | None, raw: bytes, value: bytes) -> None:
        shapes = self._values[kind, header]
        start = raw[:SHAPED_BYTES]
        mine = shape(start if header is None else decoded(start))
        if mine not in shapes and len(shapes.keys() - {OTHERS}) == LIMITS["audit_shapes"]:
            mine = OTHERS
            self.uncounted["shapes"] += 1
        count, last = shapes.get(mine, (0, b""))
        count += 1
        if count & (count - 1) == 0 and (count == 1 or last != raw):
            last = raw
            self.specimens.append((kind, None, value) if header is None else (kind, header, shown(value)))
        shapes[mine] = count, last
