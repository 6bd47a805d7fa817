"""What every action is, how it can fail, and what the values of an event may not do in one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from switchcast._native import Event
from switchcast.rules.job import Job
from switchcast.rules.template import Template

__all__ = ["REASONS", "Action", "Done", "Failed", "Refused", "Unavailable", "encoded", "shown", "value_without"]

REASONS: Final = ("nul", "line_break", "leading_dash", "too_long", "not_text", "character", "empty")
"""Why an action is refused for what an event put into it; counted as ``refused_<reason>``."""

_BREAK: Final = re.compile(r"[\r\n]")
_UNSEEN: Final = re.compile(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]|[\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Refused(Exception):
    """The event holds a value that may not go where the rule puts it. ``reason`` is one of ``REASONS``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Failed(Exception):
    """The action was tried and did not succeed; trying it at once again would not help."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class Unavailable(Failed):
    """What the action needs is not there now; it may be tried again where that may happen more than once."""


@dataclass(frozen=True, slots=True)
class Done:
    """How it went: a phrase for the log, and what was printed or answered, bounded and fit to be shown."""

    detail: str
    output: str = ""


class Action(ABC):
    """What one rule does. ``act`` is called for several jobs side by side, as the rule's concurrency allows.

    Cancelling ``act`` ends what it has begun: nothing of it runs on.
    """

    keeps_failures: ClassVar[bool] = False
    """Whether a job that failed becomes a dead letter even where delivery is at most once."""

    def __init__(self, rule: str, node: str) -> None:
        self.rule = rule
        self.node = node
        self.retries = 0
        """How often something was tried again."""

    async def open(self) -> None:
        """Make ready. Raises a ``SwitchcastError`` that says what the rule lacks."""

    @abstractmethod
    async def act(self, job: Job) -> Done:
        """Do it. Raises ``Refused``, ``Failed`` or ``Unavailable``."""

    async def close(self) -> None:
        """Let go of everything."""

    def render(self, template: Template, event: Event, escape: Callable[[str], str] | None = None) -> str:
        """``template`` with the event's values, each through ``escape``."""
        return template.render(event, self.node, escape)


def value_without(*, line_breaks: bool) -> Callable[[str], str]:
    """An ``escape`` that refuses a NUL in a value, and with ``line_breaks`` a CR or LF."""

    def check(value: str) -> str:
        if "\0" in value:
            raise Refused("nul", f"a value holds a NUL: {value[:80]!r}")
        if line_breaks and _BREAK.search(value):
            raise Refused("line_break", f"a value holds a line break: {value[:80]!r}")
        return value

    return check


def encoded(text: str, limit: int, what: str) -> bytes:
    """``text`` as the bytes that the event brought. Refused beyond ``limit`` bytes, or where it has no bytes."""
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Refused("not_text", f"{what} holds half a character, which is no text: {text[:80]!r}") from None
    if len(data) > limit:
        raise Refused("too_long", f"{what} is {len(data):,} bytes long; {limit:,} are allowed")
    return data


def shown(text: str | bytes) -> str:
    """``text`` as a log may show it: whatever a terminal would obey, or hide, is written as an escape."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
