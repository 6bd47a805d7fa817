"""What a rule can do: ``run``, ``webhook``, ``esl-api``, ``esl-event``, ``emit`` and ``log``, a file each.

``webhook`` needs an optional dependency, and is imported where a rule has one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from switchcast._native import Event
from switchcast.endpoints import Endpoint
from switchcast.endpoints.esl import EslEndpoint
from switchcast.errors import ConfigurationError
from switchcast.rules.actions.base import Action
from switchcast.rules.actions.emit import Emit
from switchcast.rules.actions.esl import EslApi, EslEvent
from switchcast.rules.actions.log import Log
from switchcast.rules.actions.run import Run
from switchcast.rules.settings import (
    EmitSettings,
    EslApiSettings,
    LogSettings,
    RuleSettings,
    RunSettings,
    WebhookSettings,
)

__all__ = ["Action", "EmitCallable", "make_action"]

EmitCallable = Callable[[list[Event], Sequence[str]], Awaitable[None]]
"""Puts events of this node's own into the sinks of these names."""


def make_action(rule: RuleSettings, *, endpoints: Mapping[str, Endpoint], emit: EmitCallable, node: str) -> Action:
    """What ``rule`` does, not opened yet. Raises ``ConfigurationError`` and ``MissingExtra``."""
    settings = rule.action
    match settings:
        case RunSettings():
            return Run(rule.name, node, settings)
        case LogSettings():
            return Log(rule.name, node, settings)
        case EmitSettings():
            return Emit(rule.name, node, settings, emit)
        case WebhookSettings():
            from switchcast.rules.actions.webhook import Webhook

            again = rule.delivery == "at-least-once"
            webhook = Webhook(rule.name, node, settings, concurrency=rule.concurrency, at_least_once=again)
            webhook.read_secrets()
            return webhook
        case EslApiSettings():
            return EslApi(rule.name, node, settings, _switch(rule, settings.endpoint, endpoints))
        case _:
            return EslEvent(rule.name, node, settings, _switch(rule, settings.endpoint, endpoints))


def _switch(rule: RuleSettings, name: str, endpoints: Mapping[str, Endpoint]) -> EslEndpoint:
    """The event socket that a rule names."""
    place = f"rule {rule.name}: {rule.kind.replace('_', '-')}.endpoint"
    found = endpoints.get(name)
    if isinstance(found, EslEndpoint):
        return found
    known = ", ".join(sorted(name for name, each in endpoints.items() if isinstance(each, EslEndpoint)))
    would_do = f"name one of {known}" if known else "add one, as [endpoints.switch] with url = esl://127.0.0.1:8021"
    wrong = "is no endpoint" if found is None else f"is {found.url.scheme}:, not the event socket of a switch"
    raise ConfigurationError(f"{place}: {name!r} {wrong}; {would_do}")
