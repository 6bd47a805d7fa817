"""The event socket's protocol, both ways: bytes in, messages out, and commands to bytes. No I/O.

::

    switch to client                       client to switch
    +--------------------------------+     +--------------------------------+
    | Content-Length: 42             |     | sendevent CUSTOM               |
    | Content-Type: text/event-plain |     | Event-Subclass: a::b           |
    |                                |     | Content-Length: 2              |
    | 42 bytes                       |     |                                |
    +--------------------------------+     | 2 bytes                        |
                                           +--------------------------------+

Each line ends with a line feed. The facts here are those of FreeSWITCH's ``mod_event_socket`` and ``switch_event``:

- Every command gets one reply, in order: ``api/response`` for ``api``, else ``command/reply``. Events come in between.
- A command's lines end at any run of CR and LF, so a CR in an argument would begin a new header: what builds commands
  here refuses CR, LF and NUL. A header is split at its first colon, spaces behind the colon are dropped, and
  **nothing is percent-decoded**.
- An event that is fired carries ``Command``, then what was sent, ``Event-UUID``, and the switch's own headers last. One
  whose ``Unique-ID`` is a channel of that switch is queued to the channel instead of being fired.
- ``nixevent CUSTOM sub`` takes subclasses away but never CUSTOM itself; ``nixevent X`` while ALL is on leaves all else
  on. ``nolog`` and ``noevents`` throw away events that wait, so nothing here uses them to probe a connection.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from switchcast._native import EVENT_NAMES, Event
from switchcast.errors import BindingError, EndpointError, UsageError

__all__ = [
    "BODY_LIMIT",
    "COMMAND_BLOCK_LIMIT",
    "HEADER_BLOCK_LIMIT",
    "NOOP",
    "Command",
    "CommandReader",
    "Interest",
    "Message",
    "MessageReader",
    "command_line",
    "render_api",
    "render_auth",
    "render_bgapi",
    "render_message",
    "render_sendevent",
    "render_sendevents",
]

HEADER_BLOCK_LIMIT = 65_536
"""Bytes of one message's header block. A switch sends under 1 KB; a peer that never ends it would fill our memory."""

COMMAND_BLOCK_LIMIT = 10_485_760
"""Bytes of one command with its headers; the figure is the switch's own. A client that never ends one would fill us."""

BODY_LIMIT = 16_777_216
"""Bytes of one body, either way. Events are seldom over 64 KB; a claimed length must not make us wait for gigabytes."""

NOOP = b"noop\n\n"
"""No command, so the switch answers ``-ERR command not found`` and does nothing else: asks if anyone is there."""

_NAMES = frozenset(EVENT_NAMES)
_FORBIDDEN = re.compile("[\r\n\0]")
_LINE_BREAKS = re.compile(rb"[\r\n]+")
# What a value cannot hold on a command line, and a percent sign that the switch would take for one of its own escapes.
_UNCARRIED = re.compile(rb"[\r\n\0]|%(?=[0-9A-F]{2})")
_TO_BE_LOOKED_AT = re.compile(rb"[% \r\n\0]")
_UNCARRIED_NAME = re.compile(rb"[:\[\r\n\0]")


class _Headed:
    """What has header lines."""

    __slots__ = ()
    headers: tuple[tuple[str, str], ...]

    def get(self, name: str, default: str = "") -> str:
        """The first header of that name, in any case."""
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), default)


@dataclass(frozen=True, slots=True)
class Message(_Headed):
    """What a switch sends: a header block and, where it has ``Content-Length``, a body."""

    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    @property
    def content_type(self) -> str:
        """``Content-Type``: what kind of message this is."""
        return self.get("Content-Type")

    @property
    def reply(self) -> str:
        """``Reply-Text``: ``+OK ...`` or ``-ERR ...``."""
        return self.get("Reply-Text")

    @property
    def ok(self) -> bool:
        """Whether the reply is ``+OK``."""
        return self.reply.startswith("+OK")


@dataclass(frozen=True, slots=True)
class Command(_Headed):
    """What a client sends: a line, headers, and a body where it has ``content-length``."""

    line: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class _Framer(ABC):
    """Header blocks and the bodies behind them, out of pieces of any size: what both directions share."""

    def __init__(self, block_limit: int, body_limit: int = BODY_LIMIT) -> None:
        self._block_limit = block_limit
        self._body_limit = body_limit
        self._buffer = bytearray()
        self._start = 0
        self._scan = 0
        self._block: bytes | None = None
        self._need = 0

    def _frames(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Add ``data``; every block with its body that is whole by now."""
        self._buffer += data
        frames = []
        while True:
            if self._block is None:
                self._block = self._next_block()
                if self._block is None:
                    break
                self._need = self._body_length(self._block)
                if self._need > self._body_limit:
                    allowed = f"{self._body_limit} are allowed"
                    raise EndpointError(f"the event socket's peer announces a body of {self._need} bytes; {allowed}")
            end = self._start + self._need
            if len(self._buffer) < end:
                break
            frames.append((self._block, bytes(self._buffer[self._start : end])))
            self._start = self._scan = end
            self._block = None
        del self._buffer[: self._start]
        self._scan -= self._start
        self._start = 0
        return frames

    def _next_block(self) -> bytes | None:
        """The next header block, its empty line left out; ``None`` while it is not whole."""
        buffer = self._buffer
        while self._start < len(buffer) and buffer[self._start] in b"\r\n":  # the switch skips these, too
            self._start += 1
        self._scan = max(self._scan, self._start)
        while True:
            newline = buffer.find(b"\n", self._scan)
            if (len(buffer) if newline < 0 else newline) - self._start > self._block_limit:
                raise EndpointError(
                    f"the event socket's peer sent a header block of over {self._block_limit} bytes without an end"
                )
            if newline < 0:
                self._scan = len(buffer)  # no byte is looked at twice, however small the pieces
                return None
            line_start = buffer.rfind(b"\n", self._start, newline) + 1 or self._start
            self._scan = newline + 1
            if not buffer[line_start:newline].strip(b"\r"):
                block = bytes(buffer[self._start : line_start])
                self._start = self._scan
                return block

    @abstractmethod
    def _body_length(self, block: bytes) -> int:
        """How many bytes of body follow this header block."""


class MessageReader(_Framer):
    """A client's reader: feed it what the switch sends, in pieces of any size. ``body_limit``: bytes of one body."""

    def __init__(self, body_limit: int = BODY_LIMIT) -> None:
        super().__init__(HEADER_BLOCK_LIMIT, body_limit)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete by now. Raises ``EndpointError`` when this is no event socket's stream."""
        return [Message(_headers(block.split(b"\n")), body) for block, body in self._frames(data)]

    def _body_length(self, block: bytes) -> int:
        length = 0
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                digits = value.strip()
                if not digits.isdigit() or len(digits) > 18:
                    shown = digits[:40].decode("ascii", "backslashreplace")
                    raise EndpointError(f"the event socket's peer sent a Content-Length that is no number: {shown!r}")
                length = int(digits)
        return length


class CommandReader(_Framer):
    """A switch's reader: feed it what a client sends, in pieces of any size."""

    def __init__(self) -> None:
        super().__init__(COMMAND_BLOCK_LIMIT)

    def feed(self, data: bytes) -> list[Command]:
        """The commands that are complete by now. Raises ``EndpointError`` beyond a limit.

        As in the switch, each ``content-length`` line reads a body of its own and the last one stays.
        """
        commands = []
        for block, body in self._frames(data):
            lines = _LINE_BREAKS.split(block)
            lengths = self._lengths(lines) if body else []
            kept = body[len(body) - lengths[-1] :] if lengths else b""
            commands.append(Command(_text(lines[0]), _headers(lines[1:]), kept))
        return commands

    def _body_length(self, block: bytes) -> int:
        return sum(self._lengths(_LINE_BREAKS.split(block))) if b"content-length" in block.lower() else 0

    @staticmethod
    def _lengths(lines: Sequence[bytes]) -> list[int]:
        lengths = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                digits = re.match(rb" *\+?([0-9]{1,18})", value)
                if digits and int(digits[1]):
                    lengths.append(int(digits[1]))
        return lengths


@dataclass(frozen=True, slots=True)
class Interest:
    """Which events a connection asks for: names, and the subclasses of CUSTOM."""

    names: frozenset[str]
    subclasses: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, bindings: str) -> Interest:
        """Read bindings in the switch's own words, every word behind CUSTOM a subclass; normalise them before.

        Raises ``BindingError`` when there is no word in them.
        """
        words = bindings.replace(",", " ").split()
        if not words:
            raise BindingError("the bindings name no event; give names such as HEARTBEAT, or ALL")
        names = [word.upper() for word in words]
        end = names.index("CUSTOM") + 1 if "CUSTOM" in names else len(names)
        if "ALL" in names[:end]:
            return cls(frozenset({"ALL"}))
        return cls(frozenset(names[:end]), frozenset(words[end:]))

    def __or__(self, other: Interest) -> Interest:
        """Whatever one of the two asks for."""
        if "ALL" in self.names | other.names:
            return Interest(frozenset({"ALL"}))
        return Interest(self.names | other.names, self.subclasses | other.subclasses)

    @property
    def words(self) -> str:
        """As ``event plain`` takes them: names, then CUSTOM with its subclasses."""
        words = sorted(self.names - {"CUSTOM"})
        if "CUSTOM" in self.names or self.subclasses:
            words += ["CUSTOM", *sorted(self.subclasses)]
        return " ".join(words)

    def start(self, form: str) -> bytes:
        """The one command that asks a fresh connection for this."""
        return command_line(f"event {form}", self.words)

    def change_to(self, new: Interest, form: str) -> list[bytes]:
        """The commands that turn this into ``new``: what is added comes first, so that what both hold is never missed.

        CUSTOM itself stays bound, since the switch has no command that takes it back alone.
        """
        if new == self:
            return []
        if "ALL" in self.names:
            added = Interest(frozenset(), new.subclasses)
            removed = Interest(_NAMES - new.names - {"ALL", "CUSTOM"})
        else:
            kept = self.names if "ALL" in new.names else new.names
            added = Interest(new.names - self.names, new.subclasses - self.subclasses)
            removed = Interest(self.names - kept - {"CUSTOM"}, self.subclasses - new.subclasses)
        commands = []
        if added.words:
            commands.append(added.start(form))
        if removed.words:
            commands.append(command_line("nixevent", removed.words))
        return commands


def command_line(command: str, *arguments: str) -> bytes:
    """One command with its arguments, checked. Raises ``UsageError`` for a CR, LF or NUL, which would forge another."""
    for argument in (command, *arguments):
        found = _FORBIDDEN.search(argument)
        if found:
            raise UsageError(
                f"an event socket command cannot hold {found[0]!r} (at {found.start()} of {argument[:80]!r}): "
                "it would end the command and begin another; take it out"
            )
    return _bytes(" ".join((command, *arguments))) + b"\n\n"


def render_auth(password: bytes, user: str | None = None) -> bytes:
    """``auth``, or ``userauth`` for a directory user (``name@domain``). Never shows the password in an error."""
    if re.search(rb"[\r\n\0]", password):
        raise UsageError("the event socket's password holds a CR, LF or NUL, which its protocol cannot carry")
    if user is None:
        return b"auth " + password + b"\n\n"
    if "@" not in user or ":" in user:
        raise UsageError(f"an event socket user is written name@domain, not {user!r}")
    return command_line("userauth", user)[:-2] + b":" + password + b"\n\n"


def render_api(command: str) -> bytes:
    """``api``: a command of the switch's command line."""
    if not command.strip():
        raise UsageError("an empty command cannot be run; give one such as 'status'")
    return command_line("api", command)


def render_bgapi(command: str, job: str) -> bytes:
    """``bgapi`` with the job's UUID chosen by us, so that its answer cannot come before we know it."""
    return b"bg" + render_api(command)[:-1] + command_line("Job-UUID:", job)


def render_sendevent(event: Event) -> tuple[bytes, list[str]]:
    """The command that fires ``event`` on a switch, and the names of headers that no command can carry.

    Values go decoded, as what acts on them inside the switch (mod_sofia) wants them. What a line cannot hold stays
    percent-encoded, and so does what the switch would take for something else: line breaks, NUL, a first space,
    ``%41``, the text ``_undef_``. Listeners with ``event plain`` then read every value as it was. Left out are names
    with ``:`` (the switch would cut them there) or ``[`` (an array's index), and ``_body``; ``Event-Name`` and
    ``Content-Length`` are the command's own. Raises ``UsageError`` for an event without a usable name, or with a NUL in
    its body, where the switch would cut it.
    """
    name = event.name
    if not name or _FORBIDDEN.search(name) or " " in name:
        raise UsageError(f"an event without a name that a command can carry cannot be fired: {name!r}")
    body = event.body
    if b"\0" in body:
        raise UsageError(f"the body of this {name} holds a NUL, where the switch would cut it; it was not sent")
    if len(body) > BODY_LIMIT:
        raise UsageError(f"the body of this {name} is {len(body)} bytes; an event socket takes up to {BODY_LIMIT}")
    parts = [b"sendevent ", _bytes(name), b"\n"]
    omitted = []
    # The switch adds the name of the command, CUSTOM for one that it does not know, as the last Event-Name: one header
    # with a known name need not be sent, and any other keeps what a look-up is to find first.
    name_is_enough = name in _NAMES and len(event.getall("Event-Name")) == 1
    for key, raw in event.raw_items():
        lower = key.lower()
        if lower == b"content-length" or (lower == b"event-name" and name_is_enough):
            continue
        if key == b"_body" or _UNCARRIED_NAME.search(key):
            omitted.append(_text(key))
        else:
            parts += [key, b": ", _carried(raw), b"\n"]
    if body:
        parts.append(b"Content-Length: %d\n" % len(body))
    parts += [b"\n", body]
    return b"".join(parts), omitted


def render_sendevents(events: Sequence[Event]) -> tuple[list[bytes], int]:
    """The commands for those of ``events`` that can be sent, and how many headers had to be left out."""
    commands = []
    omitted = 0
    for event in events:
        try:
            command, names = render_sendevent(event)
        except UsageError:
            continue
        commands.append(command)
        omitted += len(names)
    return commands, omitted


def render_message(headers: Sequence[tuple[str, str]], body: bytes | None = None) -> bytes:
    """What a switch sends: ``headers`` as they stand, an empty line, and ``body``, whose length they already give."""
    return b"".join(_bytes(f"{name}: {value}\n") for name, value in headers) + b"\n" + (body or b"")


def _carried(raw: bytes) -> bytes:
    """A value as a command line carries it, from its wire form."""
    if not _TO_BE_LOOKED_AT.search(raw):
        return raw or b"_undef_"
    value = unquote_to_bytes(raw)
    if value == b"_undef_":
        return b"%5Fundef_"
    value = _UNCARRIED.sub(lambda found: b"%%%02X" % found[0][0], value)
    return b"%20" + value[1:] if value.startswith(b" ") else value


def _headers(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """Lines to headers, split at the first colon; a line without one is none."""
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            headers.append((_text(name), _text(value.lstrip(b" ").rstrip(b"\r"))))
    return tuple(headers)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
