"""What may leave this host: the ``[policies.NAME]`` table, the policies that come with switchcast, and their use.

A policy is an allow-list. An event passes if ``events`` or a ``when`` names it and ``deny_events`` does not; a header
passes if ``headers`` names it and ``deny_headers`` does not; then the first line of ``values`` that fits decides what
becomes of its value. For the events of a ``when``, each key that stands there takes the place of the policy's own; of
several the first that names the event counts. Whatever nothing names stays here.

The work is done in native code (``_native.Policy``) on whole batches, over headers that nobody has decoded.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from switchcast._native import Event, Policy
from switchcast.errors import ConfigurationError
from switchcast.guard.policy_words import (
    Action,
    Kind,
    covers,
    read_action,
    read_kinds,
    read_pattern,
    refuse_essential,
    warn_of,
)
from switchcast.settings import Settings

__all__ = ["SHIPPED", "SHORTEST_KEY", "PolicySettings", "RedactionPolicy", "WhenSettings", "compile_policy", "shipped"]

SHIPPED: Final = ("all", "cluster", "monitoring")
"""The policies that come with switchcast."""
SHORTEST_KEY: Final = 16
"""Bytes; whoever guesses the key can try every telephone number."""
MOST_PATTERNS: Final = 4_096


def _texts(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""One text, or a list of them."""
Patterns = Annotated[tuple[str, ...], Field(max_length=MOST_PATTERNS)]
ActionText = Annotated[str, Field(examples=["mask", "mask all but last 3", "hash", "truncate 8", "drop", "pass"])]


class _Passing(Settings):
    """What a policy, and each ``when`` of it, checks alike."""

    @field_validator("events", "deny_events", check_fields=False)
    @classmethod
    def _check_events(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        read_kinds(texts)
        return texts

    @field_validator("headers", "deny_headers", check_fields=False)
    @classmethod
    def _check_headers(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for pattern in patterns or ():
            read_pattern(pattern)
        return patterns

    @field_validator("deny_headers", check_fields=False)
    @classmethod
    def _check_denied(cls, patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for pattern in patterns or ():
            refuse_essential(pattern, "denied")
        return patterns

    @field_validator("values", check_fields=False)
    @classmethod
    def _check_values(cls, values: dict[str, str] | None) -> dict[str, str] | None:
        before: list[str] = []
        for pattern, text in (values or {}).items():
            refuse_essential(read_pattern(pattern), "changed")
            try:
                read_action(text)
            except ValueError as wrong:
                raise ValueError(f'"{pattern}": {wrong}') from None
            if wider := next((other for other in before if covers(other, pattern)), None):
                raise ValueError(
                    f'"{pattern}" is never reached: "{wider}" stands in front of it and fits first; put it behind'
                )
            before.append(pattern)
        return values


class WhenSettings(_Passing):
    """What is different for some events. A key that is not given is the policy's own."""

    events: Texts = Field(min_length=1)
    headers: Patterns | None = None
    deny_headers: Patterns | None = None
    values: dict[str, ActionText] | None = Field(default=None, max_length=MOST_PATTERNS)
    body: bool | None = None


class PolicySettings(_Passing):
    """One policy: what may pass of which events."""

    events: Texts = ()
    """Events that pass, written as bindings are; ``*`` and ``?`` allowed."""
    deny_events: Texts = ()
    """Events that do not, though ``events`` or a ``when`` names them."""
    headers: Patterns = ()
    """Headers that pass, beside those that always do."""
    deny_headers: Patterns = ()
    """Headers that do not, though ``headers`` names them."""
    values: dict[str, ActionText] = Field(default_factory=dict, max_length=MOST_PATTERNS)
    """What becomes of the value of a header that passes; the first pattern that fits decides."""
    body: bool = False
    """Whether bodies pass."""
    when: tuple[WhenSettings, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """What is different for some events; the first that names the event counts."""
    key_file: str | None = None
    """The secret that ``hash`` is keyed with: a path, or ``credential:NAME``."""

    @model_validator(mode="after")
    def _check_whole(self) -> PolicySettings:
        if not self.events and not self.when:
            raise ValueError('no event passes; write for example events = "HEARTBEAT", or events = "all"')
        self._check_denied_events()
        self._check_order()
        for rule in self.rules():
            rule.check()
        if self.hashes and self.key_file is None:
            raise ValueError(
                f"hash needs key_file: a file of at least {SHORTEST_KEY} secret bytes, or credential:NAME; "
                "under one key equal values stay equal"
            )
        return self

    def _check_denied_events(self) -> None:
        denied = read_kinds(self.deny_events)
        for kind in self._kinds():
            if by := next((wider for wider in denied if wider.covers(kind)), None):
                raise ValueError(f'"{kind}" is allowed, yet deny_events has "{by}", so it never passes; take one out')

    def _check_order(self) -> None:
        before: list[Kind] = []
        for place, when in enumerate(self.when, 1):
            kinds = read_kinds(when.events)
            for kind in kinds:
                if wider := next((other for other in before if other.covers(kind)), None):
                    raise ValueError(
                        f'"{kind}" of when {place} is never reached: "{wider}" in a when in front of it fits first; '
                        "put it behind"
                    )
            before += kinds

    def _kinds(self) -> list[Kind]:
        return [*read_kinds(self.events), *(kind for when in self.when for kind in read_kinds(when.events))]

    @property
    def hashes(self) -> bool:
        """Whether a key is needed."""
        return any(action.name == "hash" for rule in self.rules() for action in rule.actions.values())

    def warnings(self) -> list[str]:
        """One sentence for each event name that FreeSWITCH does not have, with the nearest that it has."""
        return warn_of([*self._kinds(), *read_kinds(self.deny_events)])

    def rules(self) -> Iterator[Rule]:
        """The rules in the order that they are tried in: each ``when``, then the policy itself."""
        for when in self.when:
            yield Rule(
                read_kinds(when.events),
                self.headers if when.headers is None else when.headers,
                self.deny_headers if when.deny_headers is None else when.deny_headers,
                self.values if when.values is None else when.values,
                self.body if when.body is None else when.body,
            )
        if self.events:
            yield Rule(read_kinds(self.events), self.headers, self.deny_headers, self.values, self.body)


class Rule:
    """What passes of the events of some kinds, with nothing left to inherit."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        headers: Sequence[str],
        denied: Sequence[str],
        values: Mapping[str, str],
        body: bool,
    ) -> None:
        self.kinds = kinds
        self.headers = headers
        self.denied = denied
        self.actions: dict[str, Action] = {pattern: read_action(text) for pattern, text in values.items()}
        self.body = body

    def check(self) -> None:
        """Raise ``ValueError`` if a header is allowed and denied."""
        for allowed in self.headers:
            if by := next((wider for wider in self.denied if covers(wider, allowed)), None):
                raise ValueError(
                    f'"{allowed}" is allowed, yet deny_headers has "{by}", so it never passes; take one out'
                )


class RedactionPolicy:
    """A policy in use: call it with a batch of events, and it gives those that pass, in order.

    An event that it leaves as it is, is the same object; of another, what is left, with the same ``source`` and
    ``received``. It keeps nothing of an event but counts, and may be called from any thread.
    """

    def __init__(self, name: str, native: Policy) -> None:
        self.name = name
        self._native = native

    def __call__(self, events: Sequence[Event]) -> list[Event]:
        return self._native.apply(events)

    def counters(self) -> dict[str, int | dict[str, int]]:
        """Counts since the start.

        ``passed`` and ``withheld`` by event name, names that FreeSWITCH does not have together as ``other``; events
        ``rewritten``; ``headers_removed`` and ``bodies_removed``; ``values_masked``, ``values_hashed`` and
        ``values_truncated``, each where the value is another for it.
        """
        return self._native.counters()

    def __repr__(self) -> str:
        return f"<RedactionPolicy {self.name}>"


def compile_policy(name: str, settings: PolicySettings, key: bytes | None = None) -> RedactionPolicy:
    """Make ``settings`` ready to be used; ``key`` is what ``key_file`` holds.

    Raises ``ConfigurationError`` when values are to be hashed and there is no key, or one that is too short.
    """
    if settings.hashes and key is None:
        raise ConfigurationError(f"policies.{name}: hash needs a key, and {settings.key_file} gave none")
    if settings.hashes and key is not None and len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"policies.{name}.key_file: the key has {len(key)} bytes, and at least {SHORTEST_KEY} are needed; "
            "make one with: openssl rand -hex 32"
        )
    rules = [
        (
            rule.kinds,
            rule.headers,
            rule.denied,
            [(pattern, *action) for pattern, action in rule.actions.items()],
            rule.body,
        )
        for rule in settings.rules()
    ]
    return RedactionPolicy(name, Policy(rules, read_kinds(settings.deny_events), key))


@cache
def shipped(name: str) -> PolicySettings:
    """The policy of this name that comes with switchcast. Raises ``ConfigurationError`` for any other name."""
    if name not in SHIPPED:
        raise ConfigurationError(f"no policy {name!r} comes with switchcast; there are {', '.join(SHIPPED)}")
    text = resources.files("switchcast.guard").joinpath("policies", f"{name}.toml").read_text(encoding="utf-8")
    return PolicySettings.model_validate(tomllib.loads(text))
