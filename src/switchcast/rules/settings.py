"""The ``[[rule]]`` table: which events, how often, and what is done about them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from switchcast.settings import Duration, Settings, Size

__all__ = [
    "EmitSettings",
    "EslApiSettings",
    "EslEventSettings",
    "LogSettings",
    "OncePerSettings",
    "RateSettings",
    "RuleSettings",
    "RunSettings",
    "WebhookSettings",
]


class RunSettings(Settings):
    """A program of this host: its argument list, never a shell."""

    command: tuple[str, ...] = Field(min_length=1)
    """An absolute program, then templates: each is one argument, whatever the event puts into it."""
    timeout: Duration = 10.0
    kill_after: Duration = 2.0
    """From TERM to KILL of the process group."""
    output: Size = 65_536
    """Bytes of output that are kept for the log; the rest is read and counted."""
    environment: dict[str, str] = Field(default_factory=dict)
    directory: str = "/"
    allow_leading_dash: bool = False
    """Whether a value from an event may make an argument begin with ``-``, as an option does."""


class WebhookSettings(Settings):
    """An HTTP request with the event as JSON."""

    url: str
    method: Literal["POST", "PUT"] = "POST"
    headers: dict[str, str] = Field(default_factory=dict)
    secret_file: str | None = None
    """Key of the HMAC-SHA256 signature."""
    timeout: Duration = 10.0
    retry_for: Duration = 300.0
    """How long it is tried again before it becomes a dead letter."""


class EslApiSettings(Settings):
    """An API command of a switch."""

    endpoint: str
    command: tuple[str, ...] = Field(min_length=1)
    """A verb, which may not come from an event, then templates: its arguments."""
    background: bool = False
    verbs: tuple[str, ...] = ()
    """Verbs allowed beside those that are safe by themselves."""


class EslEventSettings(Settings):
    """An event fired at a switch."""

    endpoint: str
    name: str = "CUSTOM"
    subclass: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = None


class EmitSettings(Settings):
    """A new event into sinks."""

    to: tuple[str, ...] = Field(min_length=1)
    name: str = "CUSTOM"
    subclass: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = None


class LogSettings(Settings):
    """A line in the node's log."""

    message: str
    level: Literal["debug", "info", "warning", "error"] = "info"


class RateSettings(Settings):
    """A token bucket: so many firings in so long, and so many at once."""

    count: int = Field(ge=1)
    per: Duration = 1.0
    burst: int | None = Field(default=None, ge=1)


class OncePerSettings(Settings):
    """At most one firing for each key in an interval."""

    key: str
    """A template, such as ``{h[Unique-ID]}``."""
    interval: Duration


class RuleSettings(Settings):
    """One rule. Exactly one action is given."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    on: str = "all"
    """Bindings, in FreeSWITCH's own words."""
    where: str | None = None
    """A condition in CEL."""
    senders: tuple[str, ...] = Field(default=(), alias="from")
    """Which senders may fire it: names, ``*`` and ``?`` allowed. Empty: any."""
    rate: RateSettings | None = None
    debounce: Duration | None = None
    """Fire when so long nothing more has come (for the same ``key``), with the last event."""
    key: str = ""
    """A template: what debounce tells apart and what keeps its order."""
    once_per: OncePerSettings | None = None
    concurrency: int = Field(default=1, ge=1, le=256)
    queue: int = Field(default=1024, ge=1)
    """Firings that wait; more are refused and counted."""
    delivery: Literal["at-most-once", "at-least-once"] = "at-most-once"

    run: RunSettings | None = None
    webhook: WebhookSettings | None = None
    esl_api: EslApiSettings | None = Field(default=None, alias="esl-api")
    esl_event: EslEventSettings | None = Field(default=None, alias="esl-event")
    emit: EmitSettings | None = None
    log: LogSettings | None = None
