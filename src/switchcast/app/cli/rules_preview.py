"""What an action would do for an event, told and not done: the argument list, the address, the command, the event."""

from __future__ import annotations

import json
import os
import shlex
from typing import Any, NamedTuple

from switchcast._native import Event
from switchcast.rules.actions.base import Refused
from switchcast.rules.actions.emit import NewEvent
from switchcast.rules.actions.esl import ApiCommand
from switchcast.rules.actions.log import Log
from switchcast.rules.actions.run import Run
from switchcast.rules.settings import (
    EmitSettings,
    EslApiSettings,
    EslEventSettings,
    RuleSettings,
    RunSettings,
    WebhookSettings,
)

__all__ = ["Preview", "preview"]


class Preview(NamedTuple):
    """An action as a person reads it, and as plain values; ``refused`` says why it would not be done after all."""

    text: str
    values: dict[str, Any]
    refused: str | None = None


def preview(rule: RuleSettings, event: Event, node: str) -> Preview:
    """What ``rule`` would do for ``event`` on the host called ``node``."""
    kind = rule.kind.replace("_", "-")
    try:
        text, values = _told(rule, event, node)
    except Refused as error:
        return Preview(kind, {kind: None}, str(error))
    return Preview(f"{kind} {text}", {kind: values})


def _told(rule: RuleSettings, event: Event, node: str) -> tuple[str, Any]:
    action = rule.action
    if isinstance(action, RunSettings):
        arguments = [os.fsdecode(each) for each in Run(rule.name, node, action).command(event)]
        return shlex.join(arguments), arguments
    if isinstance(action, WebhookSettings):
        from switchcast.rules.actions.webhook import Webhook

        address = Webhook(rule.name, node, action).address(event)
        return f"{action.method} {address}", {"method": action.method, "url": address}
    if isinstance(action, EslApiSettings):
        command = ApiCommand(node, action).make(event)
        return f"{command} at {action.endpoint}", {"endpoint": action.endpoint, "command": command}
    if isinstance(action, EslEventSettings | EmitSettings):
        return _event(rule.name, action, event, node)
    message = Log(rule.name, node, action).message(event)
    return f"{action.level} {message}", {"level": action.level, "message": message}


def _event(rule: str, action: EslEventSettings | EmitSettings, event: Event, node: str) -> tuple[str, Any]:
    new = NewEvent(rule, node, action).make(event)
    to = [action.endpoint] if isinstance(action, EslEventSettings) else list(action.to)
    headers = ", ".join(f"{name}: {value}" for name, value in new.items()[1:])
    return f"{new.name} to {', '.join(to)} ({headers})", {"to": to, "event": json.loads(new.to_json())}
