"""An event as one line that a person can follow, and other text that is safe to show.

::

    03:31:22.633 fs1 sofia::register  1001@example.com → 1001@192.0.2.7:5060  expires 1m00s  tiny-ua/1.0
    time         sender  kind         facts, cut off at the terminal's edge

Whatever came from outside is shown with its control characters escaped: a value cannot move the cursor, change the
title, or answer as if it had been typed.
"""

from __future__ import annotations

import re
import sys
import time
import zlib
from typing import Final

from rich.console import Console
from rich.text import Text

from switchcast._native import Event
from switchcast.app.cli.facts import Fact, facts, kind_of
from switchcast.wire.times import event_time

__all__ = [
    "EventLines",
    "as_headers",
    "clock",
    "error_console",
    "family_style",
    "how_many",
    "printable",
    "sender_of",
    "sender_style",
]

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control characters of both sets, what is invisible or reorders text, and lone surrogates."""

_SENDER_STYLES: Final = (
    "bright_cyan",
    "bright_magenta",
    "bright_green",
    "bright_yellow",
    "bright_blue",
    "orange1",
    "medium_purple1",
    "spring_green2",
)
_FAMILIES: Final = (
    (("sofia::register", "sofia::unregister", "sofia::expire", "sofia::pre_reg", "sofia::rereg"), "green"),
    (("sofia::sip_user_state", "PRESENCE_", "ROSTER"), "magenta"),
    (("MESSAGE_WAITING", "MESSAGE_QUERY", "vm::"), "yellow"),
    (("MESSAGE", "RECV_MESSAGE", "SEND_MESSAGE", "TEXT"), "bright_yellow"),
    (("CHANNEL_HANGUP", "CHANNEL_DESTROY"), "red"),
    (("CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "CHANNEL_ANSWER"), "bright_cyan"),
    (("CHANNEL_", "CALL_", "SESSION_", "DTMF", "CODEC", "sofia::"), "cyan"),
    (("conference::", "CONFERENCE_", "valet_parking::"), "bright_magenta"),
    (("API", "BACKGROUND_JOB", "COMMAND"), "blue"),
    (("HEARTBEAT", "STARTUP", "SHUTDOWN"), "bright_green"),
    (("multicast::",), "bright_blue"),
    (("FAILURE", "TRAP", "SESSION_CRASH"), "bright_red"),
)
_ROLES: Final = {"": "", "good": "green", "bad": "bold red", "warn": "yellow", "name": "bold", "quiet": "dim"}
_WIDEST_SENDER: Final = 18
_WIDEST_KIND: Final = 26


def how_many(events: int) -> str:
    """``1 event``, ``1,877 events``."""
    return f"{events:,} event" if events == 1 else f"{events:,} events"


def printable(text: str) -> str:
    r"""``text`` with everything that a terminal would act on shown as ``\x1b``, ``\n``, ``\u202e``."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return short or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def error_console() -> Console:
    """Standard error, for text of ours: wrapped between words on a terminal, and left in one line elsewhere."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=not sys.stderr.isatty())


def clock(time_ns: int | None) -> str:
    """Local time of day with milliseconds."""
    if time_ns is None:
        return "--:--:--.---"
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1_000_000:03}"
    except (OverflowError, OSError, ValueError):
        return "??:??:??.???"


def sender_of(event: Event) -> str:
    """Who sent the event: what the module wrote, else what the switch calls itself, else where it came from."""
    return event.sender or event.get("FreeSWITCH-Switchname") or event.hostname or event.source or "?"


def sender_style(sender: str) -> str:
    """A colour that is always the same for the same sender."""
    return _SENDER_STYLES[zlib.crc32(sender.encode("utf-8", "surrogatepass")) % len(_SENDER_STYLES)]


def family_style(kind: str) -> str:
    """The colour of the family of events that ``kind`` belongs to."""
    return next((style for prefixes, style in _FAMILIES if kind.startswith(prefixes)), "white")


def as_headers(event: Event) -> str:
    """The whole event as text: decoded headers, an empty line, the body, an empty line."""
    lines = [f"{printable(name)}: {printable(value)}" for name, value in event.items()]
    body = event.body
    if body:
        text = body.decode("utf-8", "surrogateescape")
        lines += [f"Content-Length: {len(body)}", "", *(printable(line) for line in text.rstrip("\n").split("\n"))]
    return "\n".join(lines) + "\n\n"


class EventLines:
    """Makes one line of each event. Columns grow with what they have to hold, so that they stay in line."""

    def __init__(self) -> None:
        self._sender_width = 3
        self._kind_width = 24

    def plain(self, event: Event) -> str:
        """The line without colours."""
        return "".join(text for text, _ in self._pieces(event)).rstrip()

    def styled(self, event: Event, width: int) -> Text:
        """The line in colours, cut off at ``width`` columns."""
        text = Text(no_wrap=True, overflow="ellipsis")
        for piece, style in self._pieces(event):
            text.append(piece, style or None)
        text.rstrip()
        text.truncate(width, overflow="ellipsis")
        return text

    def _pieces(self, event: Event) -> list[Fact]:
        sender, kind = printable(sender_of(event)), printable(kind_of(event))
        self._sender_width = min(max(self._sender_width, len(sender)), _WIDEST_SENDER)
        self._kind_width = min(max(self._kind_width, len(kind)), _WIDEST_KIND)
        pieces = [
            (clock(event_time(event)), "dim"),
            (" ", ""),
            (_fitted(sender, self._sender_width), sender_style(sender)),
            (" ", ""),
            (_fitted(kind, self._kind_width), family_style(kind)),
        ]
        for text, role in facts(event):
            pieces += [("  ", ""), (printable(text), _ROLES[role])]
        return pieces


def _fitted(text: str, width: int) -> str:
    """``text`` in exactly ``width`` columns."""
    return text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
