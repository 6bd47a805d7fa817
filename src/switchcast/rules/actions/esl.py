"""``esl-api`` and ``esl-event``: a command of a switch, and an event fired at it, over an endpoint of the node.

A command is one line, which the switch takes apart: at spaces, and behind many verbs at ``|``, ``,``, quotes, braces
and brackets, each verb in its own way and none with an escape that all of them know. So there is no safe quoting, and
a value may hold only characters that no verb takes for a separator: letters, digits and ``. _ - + @ : / ; = ~ % # * ?
!``. Whatever else an event brings is refused and counted; the rule's own text may hold what it likes but line breaks.
"""

from __future__ import annotations

import re
from typing import Final

from switchcast._native import Event
from switchcast.endpoints.esl import EslEndpoint
from switchcast.errors import EndpointDenied, EndpointError, EndpointUnavailable
from switchcast.rules.actions.base import Action, Done, Failed, Refused, Unavailable, encoded, shown, value_without
from switchcast.rules.actions.emit import NewEvent
from switchcast.rules.job import Job
from switchcast.rules.settings import EslApiSettings, EslEventSettings
from switchcast.rules.template import Template

__all__ = ["VALUE_BYTES", "ApiCommand", "EslApi", "EslEvent"]

VALUE_BYTES: Final = 4_096
"""Bytes of one argument of a command."""
_OUTPUT: Final = 65_536
_SPLITS: Final = re.compile(r"[^\w.\-+@:/;=~%#*?!]|:_:")
_one_line = value_without(line_breaks=True)


class ApiCommand:
    """The command that a rule's table describes, with the values of the event that fired it."""

    def __init__(self, node: str, settings: EslApiSettings) -> None:
        self._node = node
        self.verb = settings.command[0]
        self._arguments = [Template(text) for text in settings.command[1:]]

    def make(self, event: Event) -> str:
        """Raises ``Refused``."""
        return " ".join([self.verb, *(self._argument(each, event) for each in self._arguments)])

    def _argument(self, template: Template, event: Event) -> str:
        text = template.render(event, self._node, _whole)
        if not text:
            raise Refused("empty", f"{template.text!r} is empty for this event, so that the next would take its place")
        if text.startswith("-") and not template.beginning.startswith("-"):
            raise Refused("leading_dash", f"a value would make an argument begin with -, as an option: {text[:80]!r}")
        encoded(text, VALUE_BYTES, "an argument")
        return text


class EslApi(Action):
    """An API command for each event; ``-ERR`` as its answer is a failure."""

    def __init__(self, rule: str, node: str, settings: EslApiSettings, endpoint: EslEndpoint) -> None:
        super().__init__(rule, node)
        self._command = ApiCommand(node, settings)
        self._background = settings.background
        self._endpoint = endpoint

    async def act(self, job: Job) -> Done:
        command = self._command.make(job.event)
        try:
            if self._background:
                output = await (await self._endpoint.bgapi(command)).output()
            else:
                output = await self._endpoint.api(command)
        except EndpointDenied as error:
            raise Failed(str(error)) from None
        except EndpointUnavailable as error:
            raise Unavailable(str(error)) from None
        except EndpointError as error:
            raise Failed(str(error)) from None
        printed = shown(output[:_OUTPUT])
        if output.startswith(("-ERR", "-USAGE")):
            raise Failed(printed.splitlines()[0], printed)
        return Done(self._command.verb, printed)


class EslEvent(Action):
    """An event fired at the switch for each event."""

    def __init__(self, rule: str, node: str, settings: EslEventSettings, endpoint: EslEndpoint) -> None:
        super().__init__(rule, node)
        self._new = NewEvent(rule, node, settings)
        self._endpoint = endpoint

    async def act(self, job: Job) -> Done:
        event = self._new.make(job.event)
        try:
            await self._endpoint.send([event])
        except EndpointUnavailable as error:
            raise Unavailable(str(error)) from None
        except EndpointError as error:
            raise Failed(str(error)) from None
        return Done(f"{event.subclass or event.name} fired")


def _whole(value: str) -> str:
    """A value that the switch cannot take for more than one."""
    _one_line(value)
    found = _SPLITS.search(value)
    if found:
        raise Refused("character", f"a value holds {found[0]!r}, at which the switch may split it: {value[:80]!r}")
    return value
