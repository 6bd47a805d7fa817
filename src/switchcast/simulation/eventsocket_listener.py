"""What one client of an event socket may do, has asked for, and is answered: commands in, replies out. No I/O.

The order in which commands are tried, by their first letters only, the texts of the replies (their misspelling
included) and what a filter admits are those of FreeSWITCH's ``mod_event_socket``.
"""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from switchcast._native import EVENT_NAMES, Event
from switchcast.wire.eventsocket import Command, render_message

__all__ = ["Access", "Listener", "SocketUser", "SwitchLike", "text_message"]

_NAMES = frozenset(EVENT_NAMES)
_FORMATS = ("plain", "json", "xml")
_LOG_LEVELS = ("console", "alert", "crit", "err", "warning", "notice", "info", "debug")
# What `myevents` binds: the events of one channel.
_MY_EVENTS = frozenset(
    "CHANNEL_" + name
    for name in (
        "ANSWER APPLICATION BRIDGE CREATE DATA DESTROY EXECUTE EXECUTE_COMPLETE HANGUP HANGUP_COMPLETE ORIGINATE "
        "OUTGOING PARK PROGRESS PROGRESS_MEDIA STATE UNBRIDGE UNPARK UUID"
    ).split()
) | {"DETECTED_SPEECH", "DTMF", "NOTALK", "TALK"}


class SwitchLike(Protocol):
    """What an event socket needs of its switch."""

    @property
    def name(self) -> str:
        """The switch's name."""

    def api(self, command: str) -> str:
        """What the switch's command line answers; ``-ERR <word> Command not found!`` for what it does not know."""

    def fire(self, name: str, headers: Sequence[tuple[str, str]], body: bytes) -> Event:
        """The event that the switch makes of this, with its own headers (Core-UUID, Event-Sequence, ...) in it."""


@dataclass(frozen=True, slots=True)
class SocketUser:
    """A directory user who may use ``userauth``; ``events`` and ``api`` are allow-lists, all when ``None``."""

    password: str = field(repr=False)
    events: str | None = None
    api: str | None = None


class Access(Protocol):
    """Who may come in."""

    def check_password(self, password: str) -> bool:
        """Whether ``auth`` is to be accepted."""

    def check_user(self, user: str, password: str) -> SocketUser | None:
        """The directory user, where name and password are right."""


class Listener:
    """One client, as the module calls it.

    ``emit`` gets each event that the client fires, ``later`` what is to be done once the reply is on its way, and
    ``flush`` is called for the commands with which the module throws away the events that wait.
    """

    def __init__(
        self,
        switch: SwitchLike,
        access: Access,
        *,
        emit: Callable[[Event], None],
        later: Callable[[Callable[[], None]], None],
        flush: Callable[[], None],
    ) -> None:
        self._switch = switch
        self._access = access
        self._emit = emit
        self._later = later
        self._flush = flush
        self.running = True
        self.format = "plain"
        self._authed = False
        self._user: SocketUser | None = None
        self._listening = False
        self._logging = False
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        self._channel: str | None = None

    def answer(self, command: Command) -> bytes:
        """Do what ``command`` says; the message that answers it. ``running`` is false once the connection is to end."""
        reply = self._reply_to(command)
        if isinstance(reply, bytes):
            return reply
        return render_message([("Content-Type", "command/reply"), ("Reply-Text", reply)])

    def wants(self, event: Event) -> bool:
        """Whether the client asked for ``event``."""
        if not self._listening:
            return False
        name, subclass = event.name, event.subclass
        if "ALL" not in self._names:
            if name not in self._names:
                return False
            if name == "CUSTOM" and subclass is not None and subclass not in self._subclasses:
                return False
        if self._filters and not _passes(self._filters, event):
            return False
        return self._channel is None or event.unique_id == self._channel

    def frame(self, event: Event) -> bytes:
        """The message that carries ``event`` in the format that the client chose."""
        if self.format == "plain":
            text = event.to_plain()
        else:
            text = _encoded(event.to_json() if self.format == "json" else event.to_xml())
        length = str(len(text))
        return render_message([("Content-Length", length), ("Content-Type", f"text/event-{self.format}")], text)

    def _reply_to(self, command: Command) -> str | bytes:
        line = command.line.lower()
        if line.startswith(("exit", "...")):
            self.running = False
            return "+OK bye"
        if not self._authed:
            if line.startswith("auth "):
                return self._auth(command.line[5:])
            if line.startswith("userauth "):
                return self._userauth(command.line[9:])
            return "-ERR command not found"
        for prefix, method in _COMMANDS:
            if line.startswith(prefix):
                return method(self, command)
        return "-ERR command not found"

    def _auth(self, password: str) -> str:
        self._authed = self.running = self._access.check_password(password)
        return "+OK accepted" if self._authed else "-ERR invalid"

    def _userauth(self, credentials: str) -> str | bytes:
        name, _, password = credentials.partition(":")
        self._user = self._access.check_user(name, password)
        self._authed = self.running = self._user is not None
        if self._user is None:
            return "-ERR invalid"
        return render_message(
            [
                ("Content-Type", "command/reply"),
                ("Reply-Text", "+OK accepted"),
                ("Allowed-Events", self._user.events or "all"),
                ("Allowed-API", self._user.api or "all"),
                ("Allowed-LOG", "true"),
            ]
        )

    def _filter(self, command: Command) -> str:
        name, _, value = command.line[7:].lstrip(" ").partition(" ")
        if name.lower() == "delete" and value:
            name, _, value = value.partition(" ")
            self._filters = [
                (key, text)
                for key, text in self._filters
                if name.lower() != "all" and (key.lower() != name.lower() or (value and text != value))
            ]
            return f"+OK filter deleted. [{name}][{value}]"
        if not value:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        self._filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"

    def _myevents(self, command: Command) -> str:
        channel, _, form = command.line[9:].partition(" ")
        if self._channel is not None:
            return "-ERR aready enabled."
        self._channel = channel
        self._names |= _MY_EVENTS
        self._listening = True
        self.format = form.lower() if form.lower() in _FORMATS else self.format
        return "+OK Events Enabled"

    def _divert_events(self, command: Command) -> str:
        return "-ERR not controlling a session."

    def _sendmsg(self, command: Command) -> str:
        channel = command.line[7:].strip(" ") or command.get("session-id")
        return f"-ERR invalid session id [{channel}]"

    def _sendevent(self, command: Command) -> str:
        event_uuid = str(uuid.uuid4())
        name = _event_name(command.line[9:].strip(" \t")) or "CUSTOM"
        headers = [("Command", command.line)]
        subclass = command.get("Event-Subclass") if name == "CUSTOM" else ""
        for key, value in command.headers:
            if not value:  # an empty value takes away what stood under that name
                headers = [pair for pair in headers if pair[0].lower() != key.lower()]
            elif not (subclass and key.lower() == "event-subclass"):
                headers.append((key, value))
        headers.append(("Event-UUID", event_uuid))
        if subclass:
            headers.append(("Event-Subclass", subclass))
        body = command.body.partition(b"\0")[0]
        self._emit(self._switch.fire(name, headers, body))
        return f"+OK {event_uuid}"

    def _api(self, command: Command) -> str | bytes:
        text = command.line[4:]
        if not self._may_call(text):
            return "-ERR permission denied"
        return text_message("api/response", _encoded(self._switch.api(text) or "-ERR no reply\n"))

    def _bgapi(self, command: Command) -> str | bytes:
        text = command.line[6:]
        if not self._may_call(text):
            return "-ERR permission denied"
        job = command.get("Job-UUID") or str(uuid.uuid4())
        self._later(lambda: self._finish_job(job, text))
        return render_message(
            [("Content-Type", "command/reply"), ("Reply-Text", f"+OK Job-UUID: {job}"), ("Job-UUID", job)]
        )

    def _finish_job(self, job: str, text: str) -> None:
        name, _, argument = text.partition(" ")
        headers = [("Job-UUID", job), ("Job-Command", name), *([("Job-Command-Arg", argument)] if argument else [])]
        self._emit(self._switch.fire("BACKGROUND_JOB", headers, _encoded(self._switch.api(text))))

    def _may_call(self, text: str) -> bool:
        if self._user is None or self._user.api is None:
            return True
        return text.partition(" ")[0] in self._user.api.replace(",", " ").split()

    def _log(self, command: Command) -> str:
        level = command.line[4:]
        number = _log_level(level)
        if number is None:
            return "-ERR invalid log level"
        self._logging = True
        return f"+OK log level {level} [{number}]"

    def _nolog(self, command: Command) -> str:
        was, self._logging = self._logging, False
        self._flush()  # the module throws these away, too
        return "+OK no longer logging" if was else "-ERR not loging"

    def _linger(self, command: Command) -> str:
        return "-ERR not controlling a session"

    def _event(self, command: Command) -> str:
        words = command.line.split(" ")[1:]
        if words and words[0].lower() in _FORMATS:
            self.format = words.pop(0).lower()
        known = 0
        custom = False
        for word in words:
            name = _event_name(word)
            if custom:
                if not self._may_hear(word, subclass=True):
                    return "-ERR permission denied"
                self._subclasses.add(word)
            elif name:
                if not self._may_hear(name):
                    return "-ERR permission denied"
                known += 1
                self._names.add(name)
                custom = name == "CUSTOM"
        if not known:
            return "-ERR no keywords supplied"
        self._listening = True
        return f"+OK event listener enabled {self.format}"

    def _may_hear(self, word: str, *, subclass: bool = False) -> bool:
        if self._user is None or self._user.events is None:
            return True
        allowed = self._user.events.replace(",", " ").split()
        return word in allowed or (not subclass and "all" in (name.lower() for name in allowed))

    def _nixevent(self, command: Command) -> str:
        known = 0
        custom = False
        for word in command.line.split(" ")[1:]:
            name = _event_name(word)
            if custom:
                self._subclasses.discard(word)
                continue
            known += bool(name)
            custom = name == "CUSTOM"  # which itself stays bound
            if name == "ALL":
                self._names.clear()
            elif name and not custom:
                if "ALL" in self._names:
                    self._names = set(_NAMES - {"ALL"})
                self._names.discard(name)
        if not known:
            return "-ERR no keywords supplied"
        self._listening = True
        return "+OK events nixed"

    def _noevents(self, command: Command) -> str:
        was, self._listening = self._listening, False
        self._flush()
        if not was:
            return "-ERR not listening for events"
        self._names.clear()
        self._subclasses.clear()
        return "+OK no longer listening for events"


_COMMANDS: tuple[tuple[str, Callable[[Listener, Command], str | bytes]], ...] = (
    ("filter ", Listener._filter),
    ("myevents ", Listener._myevents),
    ("divert_events", Listener._divert_events),
    ("sendmsg", Listener._sendmsg),
    ("sendevent", Listener._sendevent),
    ("api ", Listener._api),
    ("bgapi ", Listener._bgapi),
    ("log", Listener._log),
    ("linger", Listener._linger),
    ("nolinger", Listener._linger),
    ("nolog", Listener._nolog),
    ("event", Listener._event),
    ("nixevent", Listener._nixevent),
    ("noevents", Listener._noevents),
)


def _passes(filters: Sequence[tuple[str, str]], event: Event) -> bool:
    """Whether one of the filters admits ``event`` and none that begins with ``-`` and comes to bear refuses it.

    Values compare without regard to case; one that begins with ``/`` is a regular expression.
    """
    admitted = False
    for name, text in filters:
        value = event.get(name)
        if value is None:
            continue
        wanted = text.lstrip("+- ")
        positive = not text[: len(text) - len(wanted)].replace(" ", "").endswith("-")
        if admitted and positive:
            continue
        if text.startswith("/"):
            pattern = wanted[1:].rpartition("/")[0] or wanted[1:]
            with contextlib.suppress(re.error):
                if re.search(pattern, value):
                    admitted = True
        elif value.lower() == wanted.lower():
            if not positive:
                return False
            admitted = True
    return admitted


def _event_name(word: str) -> str | None:
    """The name of an event type as the switch reads it: in any case, with or without ``SWITCH_EVENT_``."""
    name = word.upper().removeprefix("SWITCH_EVENT_")
    return name if name in _NAMES else None


def _log_level(text: str) -> int | None:
    if not text:
        return len(_LOG_LEVELS) - 1
    if text.isdecimal():
        return min(int(text), len(_LOG_LEVELS) - 1)
    return _LOG_LEVELS.index(text.lower()) if text.lower() in _LOG_LEVELS else None


def text_message(kind: str, body: bytes) -> bytes:
    """A message of type ``kind`` that is all body."""
    return render_message([("Content-Type", kind), ("Content-Length", str(len(body)))], body)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
