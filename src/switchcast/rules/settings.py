"""The ``[[rule]]`` table: which events, how often, and what is done about them.

Everything that can be wrong is found when the file is read: bindings and conditions are compiled, templates parsed,
and each message says what would do. Keys are written with ``_`` or with ``-``, and the short forms stand for the long
ones: ``run = [...]``, ``webhook = "https://..."``, ``log = "text"``, ``rate = "10/s"``, ``from = "fs1"``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from switchcast._native import Matcher
from switchcast.errors import BindingError, ConditionError
from switchcast.quantities import parse_duration
from switchcast.rules.checks import (
    EventHeaders,
    EventName,
    HttpHeaders,
    Line,
    SecretFile,
    SecretFiles,
    TemplateText,
    WebAddress,
    Words,
    constant,
    one_line,
)
from switchcast.settings import Duration, Settings, Size, check_trust

__all__ = [
    "ACTIONS",
    "NEVER_VERBS",
    "SAFE_VERBS",
    "Action",
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

ACTIONS: Final = ("run", "webhook", "esl_api", "esl_event", "emit", "log")
"""The fields of a rule that are actions; just one of them is given."""
SAFE_VERBS: Final = frozenset(
    {
        "echo", "group_call", "hostname", "in_group", "multicast_peers", "show", "sofia_contact", "sofia_count_reg",
        "sofia_username_of", "status", "strftime", "user_exists", "uuid_buglist", "uuid_dump", "uuid_exists",
        "uuid_getvar", "valet_info", "version", "vm_boxcount",
    }
)  # fmt: skip
"""API commands that only tell: whatever an event puts behind one of them, nothing at the switch changes."""
NEVER_VERBS: Final = frozenset(
    {
        "bg_spawn", "bg_system", "bgapi", "eval", "expand", "json", "sched_api", "spawn", "spawn_stream", "system",
        "xml_wrap",
    }
)  # fmt: skip
"""API commands that hand their arguments to a shell or to any other command, or expand ``${...}``, which can."""

_VERB: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RATE: Final = re.compile(r"(\d+)\s*/\s*(\d+(?:\.\d+)?)?\s*(ms|s|sec|second|m|min|minute|h|hour|d|day)")
_UNITS: Final = {"sec": "s", "second": "s", "min": "m", "minute": "m", "hour": "h", "day": "d"}


class _Table(Settings):
    """A table whose keys may be written with ``-`` for ``_``, as people write TOML."""

    @model_validator(mode="before")
    @classmethod
    def _dashes(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        taken: dict[Any, Any] = {}
        for key, value in given.items():
            name = key.replace("-", "_") if isinstance(key, str) else key
            field = cls.model_fields.get(name)
            known = key if field is None else field.alias or name
            if known in taken:
                raise ValueError(f"{key} is given twice, with - and with _; leave one out")
            taken[known] = value
        return taken


def _short(key: str) -> Callable[[Any], Any]:
    """A text in place of a table stands for the table with just that ``key``."""
    return lambda given: {key: given} if isinstance(given, str) else given


def _several(given: Any) -> Any:
    """One text stands for a list of one."""
    return (given,) if isinstance(given, str) else given


Names = Annotated[tuple[str, ...], BeforeValidator(_several, json_schema_input_type=list[str] | str)]
"""A list of texts; one alone may stand without brackets."""


class RunSettings(_Table):
    """A program of this host: its argument list, never a shell."""

    command: Words = Field(min_length=1, examples=[["/usr/local/bin/lamp", "{h[MWI-Message-Account]}"]])
    """An absolute program, then templates: each is one argument, whatever the event puts into it."""
    timeout: Duration = 10.0
    """How long it may take; then its process group gets TERM."""
    kill_after: Duration = 2.0
    """How long after TERM the process group gets KILL."""
    output: Size = 65_536
    """Bytes of output that are kept for the log; the rest is read and counted."""
    environment: dict[str, TemplateText] = Field(default_factory=dict)
    """Variables beside PATH and LANG: templates. Nothing of the node's own environment is passed on."""
    directory: str = "/"
    """Where it runs: an absolute path."""
    allow_leading_dash: bool = False
    """Whether a value from an event may make an argument begin with ``-``, as an option does."""

    @field_validator("command")
    @classmethod
    def _absolute(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        program = constant(command[0], "the program")
        if not program.startswith("/"):
            named = program.rpartition("/")[2] or "program"
            raise ValueError(f"the program {program!r} is not absolute; write its whole path, as /usr/bin/{named}")
        if program.endswith("/"):
            raise ValueError(f"the program {program!r} is a directory; name a program in it")
        return command

    @field_validator("environment")
    @classmethod
    def _variables(cls, environment: dict[str, str]) -> dict[str, str]:
        for name in environment:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"{name!r} is no name of a variable; letters, digits and _ will do")
        return environment

    @field_validator("directory")
    @classmethod
    def _directory(cls, directory: str) -> str:
        if not directory.startswith("/") or "\0" in directory:
            raise ValueError(f"the directory {directory!r} is not absolute; write its whole path")
        return directory


class WebhookSettings(_Table):
    """An HTTP request with the event as JSON."""

    url: WebAddress = Field(examples=["https://example.com/lamp"])
    """A template; the host may not come from an event, and values are percent-encoded."""
    method: Literal["POST", "PUT"] = "POST"
    """How it is sent."""
    headers: HttpHeaders = Field(default_factory=dict)
    """Further headers: templates."""
    header_files: SecretFiles = Field(default_factory=dict)
    """Headers whose values are secrets: the file that holds each, or ``credential:NAME``."""
    secret_file: SecretFile | None = None
    """The key of the HMAC-SHA256 signature: the file that holds it, or ``credential:NAME``."""
    timeout: Duration = 10.0
    """How long the server may take to answer."""
    retry_for: Duration = 300.0
    """How long it is tried again before it becomes a dead letter."""


class EslApiSettings(_Table):
    """An API command of a switch."""

    endpoint: str = Field(min_length=1, examples=["switch"])
    """The name of an esl: endpoint."""
    command: Words = Field(min_length=1, examples=[["sofia_contact", "{h[user]}"]])
    """A verb, which may not come from an event, then templates: its arguments."""
    background: bool = False
    """Whether as bgapi: the switch does not hold the connection up while it works."""
    verbs: Names = ()
    """Verbs allowed beside those that are safe by themselves."""

    @field_validator("verbs")
    @classmethod
    def _verbs(cls, verbs: tuple[str, ...]) -> tuple[str, ...]:
        for verb in verbs:
            _check_verb(verb)
        return verbs

    @model_validator(mode="after")
    def _allowed(self) -> EslApiSettings:
        verb = constant(self.command[0], "the verb")
        _check_verb(verb)
        for argument in self.command[1:]:
            one_line(argument)
        if verb not in SAFE_VERBS and verb not in self.verbs:
            raise ValueError(
                f'{verb} can change something at the switch; allow it by verbs = ["{verb}"]. '
                f"Without that only those are run that just tell: {', '.join(sorted(SAFE_VERBS))}"
            )
        return self


def _check_verb(verb: str) -> None:
    if not _VERB.fullmatch(verb):
        raise ValueError(f"{verb!r} is no API command; write one word, and its arguments as items of their own")
    if verb.lower() in NEVER_VERBS:
        raise ValueError(f"{verb} would let an event run anything at the switch; use run = [...] on this host instead")


class _NewEvent(_Table):
    name: EventName = "CUSTOM"
    """The event's name, one that FreeSWITCH has."""
    subclass: Line | None = Field(default=None, examples=["example::lamp"])
    """The kind of a CUSTOM event."""
    headers: EventHeaders = Field(default_factory=dict)
    """Its headers: templates. A line break in a value is refused."""
    body: TemplateText | None = None
    """Its body: a template."""

    @model_validator(mode="after")
    def _one_kind(self) -> _NewEvent:
        if self.name == "CUSTOM" and not self.subclass:
            raise ValueError('an event CUSTOM needs a subclass, such as subclass = "example::lamp"')
        if self.name != "CUSTOM" and self.subclass is not None:
            raise ValueError(f'only CUSTOM has a subclass; leave out name = "{self.name}" or the subclass')
        if self.subclass is not None:
            constant(self.subclass, "a subclass")
        return self


class EslEventSettings(_NewEvent):
    """An event fired at a switch."""

    endpoint: str = Field(min_length=1, examples=["switch"])
    """The name of an esl: endpoint."""


class EmitSettings(_NewEvent):
    """A new event into sinks."""

    to: Names = Field(min_length=1, examples=[["group"]])
    """The names of the endpoints it goes to."""


class LogSettings(_Table):
    """A line in the node's log."""

    message: Line = Field(examples=["{h[MWI-Message-Account]} has mail"])
    """The line: a template."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """How serious it is."""


class RateSettings(_Table):
    """A token bucket: so many firings in so long, and so many at once. ``"10/s"``, ``"100/min"``, ``"5/h"``."""

    count: int = Field(ge=1, examples=[10])
    """How many firings."""
    per: Duration = 1.0
    """In how long."""
    burst: int | None = Field(default=None, ge=1)
    """How many may fire at once; ``count`` by default."""


class OncePerSettings(_Table):
    """At most one firing for each key in an interval."""

    key: TemplateText = Field(examples=["{h[Unique-ID]}"])
    """A template: what counts as the same."""
    interval: Duration = Field(examples=["1h"])
    """How long a key that fired does not fire again."""

    @field_validator("key")
    @classmethod
    def _not_empty(cls, key: str) -> str:
        if not key:
            raise ValueError('a key is a template, such as "{h[Unique-ID]}"')
        return key


def _rate(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    found = _RATE.fullmatch(given.strip())
    if not found or not int(found[1]):
        raise ValueError(f'{given!r} is no rate; write "10/s", "100/min", "5/h" or {{count = 10, per = "1s"}}')
    return {"count": int(found[1]), "per": parse_duration(f"{found[2] or 1}{_UNITS.get(found[3], found[3])}")}


def _run(given: Any) -> Any:
    return {"command": given} if isinstance(given, str | list | tuple) else given


class RuleSettings(_Table):
    """One rule. Exactly one action is given."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", examples=["new-voicemail"])
    """Letters, digits, ``.``, ``_`` and ``-``, at most 64. No two rules have the same."""
    on: str = Field(default="all", examples=["MESSAGE_WAITING CUSTOM sofia::register"])
    """Bindings, in FreeSWITCH's own words."""
    where: str | None = Field(default=None, examples=['h["MWI-Messages-Waiting"] == "yes"'])
    """A condition in CEL: which of those events."""
    senders: Names = Field(default=(), alias="from")
    """Which senders may fire it: names, ``*`` and ``?`` allowed. Empty: any."""
    trust: Literal["stock"] | None = None
    """``stock``: events that nothing vouches for may fire it too; any host that reaches the group can send those."""
    require: Literal["signed"] | None = None
    """``signed``: only signed events may fire it."""
    signers: Names = ()
    """Whose signature it must be, by the names in signers_file. Empty: any signer's."""
    rate: Annotated[RateSettings, BeforeValidator(_rate, json_schema_input_type=RateSettings | str)] | None = None
    """How many may fire in how long: ``"10/s"``, ``"100/min"``, ``"5/h"``, or a table. More are refused and counted."""
    debounce: Duration | None = None
    """Fire when so long nothing more has come (for the same ``key``), with the last event."""
    key: TemplateText = ""
    """A template: what debounce tells apart, and what keeps its order."""
    once_per: OncePerSettings | None = None
    """Fire once for a key in an interval."""
    concurrency: int = Field(default=1, ge=1, le=256)
    """How many actions of this rule may be under way at a time."""
    queue: int = Field(default=1024, ge=1, le=1_000_000)
    """Firings that wait; more are refused and counted."""
    delivery: Literal["at-most-once", "at-least-once"] = "at-most-once"
    """``at-least-once`` keeps a firing on disk until its action is done, and does it again after a crash."""

    run: Annotated[RunSettings, BeforeValidator(_run, json_schema_input_type=RunSettings | list[str])] | None = None
    """A program of this host: ``["/usr/local/bin/lamp", "{name}"]``, or a table. There is no shell."""
    webhook: (
        Annotated[WebhookSettings, BeforeValidator(_short("url"), json_schema_input_type=WebhookSettings | str)] | None
    ) = None
    """An HTTP request with the event as JSON: its address, or a table."""
    esl_api: EslApiSettings | None = Field(default=None, alias="esl-api")
    """An API command of a switch."""
    esl_event: EslEventSettings | None = Field(default=None, alias="esl-event")
    """An event fired at a switch."""
    emit: EmitSettings | None = None
    """A new event into endpoints of this node."""
    log: Annotated[LogSettings, BeforeValidator(_short("message"), json_schema_input_type=LogSettings | str)] | None = (
        None
    )
    """A line in the node's log: the line, or a table."""

    @field_validator("on")
    @classmethod
    def _bindings(cls, on: str) -> str:
        try:
            Matcher(on)
        except BindingError as error:
            raise ValueError(str(error)) from None
        return on

    @field_validator("where")
    @classmethod
    def _condition(cls, where: str | None) -> str | None:
        try:
            Matcher("all", where)
        except ConditionError as error:
            raise ValueError(str(error)) from None
        return where

    @model_validator(mode="after")
    def _trust_as_meant(self) -> RuleSettings:
        check_trust(self.trust, self.require, self.signers)
        return self

    @model_validator(mode="after")
    def _one_action(self) -> RuleSettings:
        given = [name.replace("_", "-") for name in ACTIONS if getattr(self, name) is not None]
        if len(given) == 1:
            return self
        every = ", ".join(name.replace("_", "-") for name in ACTIONS)
        if not given:
            raise ValueError(f"the rule {self.name} does nothing; give it one of {every}")
        raise ValueError(f"the rule {self.name} has {' and '.join(given)}, and a rule does one thing; make two rules")

    @property
    def kind(self) -> str:
        """Which action it has: one of ``ACTIONS``."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @property
    def action(self) -> Action:
        """What it does."""
        action: Action = getattr(self, self.kind)
        return action

    @property
    def warnings(self) -> list[str]:
        """What is odd about it, one sentence each: event names that FreeSWITCH does not have."""
        return Matcher(self.on).warnings


Action = RunSettings | WebhookSettings | EslApiSettings | EslEventSettings | EmitSettings | LogSettings
"""The table of one action."""
