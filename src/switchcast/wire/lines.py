"""Events as lines of JSON: one object a line, which gives back the very same event.

::

    {"Event-Name":"HEARTBEAT", ..., "_body":"...", "_source":"192.0.2.1:4242", "_received":17000..., "_trust":"stock"}
     |_________ Event.to_json() ________________|  |______________ our extras, always last _______________________|

The object is what ``event json`` gives, so that anything which reads that reads this. The names of extras begin with
``_``, which ``event json`` itself uses for ``_body`` only:

- ``_source`` and ``_received``: ``Event.source`` and ``Event.received``, where the event has them;
- ``_trust``: ``"stock"`` where ``Event.trust`` is that, and nothing else. What nobody vouched for when it came is as
  doubtful when it is read again. Any other event is ``local`` when it is read: a file holds no proof of what it says,
  so it can lower an event's trust and not raise it;
- ``_wire``: the wire text, each byte one character (Latin-1), **only** where the rest would not build the same bytes
  again: a header whose values do not stand together, percent-encoding that the switch would not write, bytes that are
  not UTF-8 and the like. It counts only as long as it says the same as the rest: a line that was edited is read as it
  now stands.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from switchcast._native import Event
from switchcast.errors import RejectedDatagram

__all__ = ["LINE_BYTES", "LineSplitter", "from_line", "to_line"]

LINE_BYTES = 67_108_864
"""Bytes of one line. A file can go on for ever without a line break, and a line is kept until it ends. The largest
event that is taken has 16 MiB, and ``_wire`` can double it."""

_EXTRAS = frozenset({"_source", "_received", "_trust", "_wire"})
_TAIL = re.compile(r'(?:,"_source":"([^"\\]*)")?(?:,"_received":([0-9]{1,19}))?(,"_trust":"stock")?\}\s*\Z')
"""Extras as ``to_line`` writes them. Quotes within JSON text have a backslash in front, so what this finds at the end
of an object is never part of a value."""
_LARGEST_TIME = 2**64

_Pairs = list[tuple[str, Any]]


def to_line(event: Event) -> str:
    """One line, without its line break, that ``from_line`` makes into an equal event with the same origin.

    Its trust is ``stock`` again where it was, else ``local``.
    """
    text = event.to_json()
    extras: dict[str, str | int] = {}
    if event.source is not None:
        extras["_source"] = event.source
    if event.received is not None:
        extras["_received"] = event.received
    if event.trust == "stock":
        extras["_trust"] = event.trust
    if not event.json_rebuilds():
        extras["_wire"] = event.to_plain().decode("latin-1")
    if not extras:
        return text
    tail = json.dumps(extras, separators=(",", ":"))
    return tail if text == "{}" else f"{text[:-1]},{tail[1:]}"


def from_line(line: str | bytes) -> Event:
    """The event of one line, whether ``to_line`` wrote it, ``event json`` did, or a person.

    Raises ``RejectedDatagram`` with the reason ``bad_json``, or with that of what is wrong with the event.
    """
    text = line if isinstance(line, str) else _decoded(line)
    if not _has_extras(text):
        return Event.from_json(text)
    event = _with_usual_extras(text)
    return _with_any_extras(text) if event is None else event


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise RejectedDatagram("bad_json", f"the line is not UTF-8 at byte {error.start + 1}") from None


def _has_extras(text: str) -> bool:
    """Whether it is worth while to look for extras."""
    return '"_source"' in text or '"_received"' in text or '"_trust"' in text or '"_wire"' in text


def _with_usual_extras(text: str) -> Event | None:
    """The event, if its extras stand just as ``to_line`` writes them; ``None`` where a closer look is needed."""
    at = text.rfind(',"_wire":"')
    if at >= 0:
        return _with_wire_behind(text, at)
    at = text.rfind(',"_source":"')
    if at < 0:
        at = text.rfind(',"_received":')
    if at < 0:
        at = text.rfind(',"_trust":"')
    tail = _TAIL.match(text, at) if at >= 0 else None
    if tail is None:
        return None
    rest = text[: tail.start()] + "}"
    return None if _has_extras(rest) else _with_tail(Event.from_json(rest), tail)


def _with_wire_behind(text: str, at: int) -> Event | None:
    """The same for a line with ``_wire`` at ``at``, if all in front of it stands as ``to_line`` writes that event."""
    try:
        last = json.loads("{" + text[at + 1 :])
    except (ValueError, RecursionError):
        return None
    event = _event_of(last["_wire"]) if last.keys() == {"_wire"} else None
    if event is None:
        return None
    written = event.to_json()[:-1]
    tail = _TAIL.fullmatch(text[len(written) : at] + "}") if text.startswith(written) else None
    return None if tail is None else _with_tail(event, tail)


def _with_tail(event: Event, tail: re.Match[str]) -> Event:
    source, received, stock = tail.groups()
    event = event.with_origin(source or None, None if received is None else int(received))
    return event.with_trust("stock") if stock else event


def _with_any_extras(text: str) -> Event:
    """The event, wherever its extras stand and whatever is in them."""
    pairs = _pairs(text)
    extras = {name: value for name, value in pairs if name in _EXTRAS}
    event = None
    if "_wire" in extras:
        event, extras = _from_wire(extras["_wire"], pairs, extras)
    if event is None:
        event = Event.from_json(text)
    source, received = extras.get("_source"), extras.get("_received")
    event = event.with_origin(
        source if isinstance(source, str) and source else None,
        received if type(received) is int and 0 <= received < _LARGEST_TIME else None,
    )
    return event.with_trust("stock") if extras.get("_trust") == "stock" else event


def _pairs(text: str) -> _Pairs:
    """The members of the line's object in order, repeated names each time."""
    try:
        pairs = json.loads(text, object_pairs_hook=_Members)
    except (ValueError, RecursionError) as error:
        raise RejectedDatagram("bad_json", f"the line is not JSON: {error}") from None
    if not isinstance(pairs, _Members):
        raise RejectedDatagram("bad_json", "the line is JSON, but not an object")
    return pairs


class _Members(_Pairs):
    """What ``json`` gives for an object, told from a list."""


def _from_wire(wire: object, pairs: _Pairs, extras: dict[str, Any]) -> tuple[Event | None, dict[str, Any]]:
    """The event of this wire text, if it says just what the rest of the line says, and the extras beside it.

    A header of the event itself can have the name of an extra: then only what is left over is one.
    """
    event = _event_of(wire)
    if event is None:
        return None, extras
    expected, found = _counted(_pairs(event.to_json())), _counted(pairs)
    left_over = {name: json.loads(value) for name, value in found - expected}
    agrees = found >= expected and left_over.keys() <= _EXTRAS
    return (event, left_over) if agrees else (None, extras)


def _event_of(wire: object) -> Event | None:
    """The event of a wire text, if that is one."""
    if not isinstance(wire, str):
        return None
    try:
        return Event.from_plain(wire.encode("latin-1"))
    except (RejectedDatagram, UnicodeEncodeError):
        return None


def _counted(pairs: _Pairs) -> Counter[tuple[str, str]]:
    return Counter((name, json.dumps(value)) for name, value in pairs)


class LineSplitter:
    """Bytes that come in pieces of any size to whole lines, without their line breaks.

    A line longer than ``limit`` is cut there, so that it fails to parse where it is read; the rest of it is dropped.
    """

    def __init__(self, limit: int = LINE_BYTES) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that end within ``piece``; empty ones count, so that lines can be numbered."""
        first, *others = piece.split(b"\n")
        self._keep(first)
        if not others:
            return []
        lines = [self._take(), *others[:-1]]
        self._keep(others[-1])
        return [line[: self._limit] for line in lines] if len(piece) > self._limit else lines

    def finish(self) -> bytes:
        """What stands behind the last line break."""
        return self._take()

    def _keep(self, part: bytes) -> None:
        part = part[: self._limit - self._size]
        if part:
            self._parts.append(part)
            self._size += len(part)

    def _take(self) -> bytes:
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return line
