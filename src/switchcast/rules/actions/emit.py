"""``emit``: a new event into sinks of this node; and how a rule makes an event, for ``esl-event`` too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from switchcast._native import Event
from switchcast.rules.actions.base import Action, Done, Refused, encoded, value_without
from switchcast.rules.job import Job
from switchcast.rules.origin import origin_headers
from switchcast.rules.settings import EmitSettings, EslEventSettings
from switchcast.rules.template import Template

__all__ = ["BODY_BYTES", "VALUE_BYTES", "Emit", "NewEvent"]

VALUE_BYTES = 32_768
"""Bytes of one header's value: half of what a datagram can carry."""
BODY_BYTES = 65_536
"""Bytes of the body."""

_line = value_without(line_breaks=True)
_no_nul = value_without(line_breaks=False)


class NewEvent:
    """The event that a rule's table describes, with the values of the event that fired it.

    A CR, LF or NUL in a header's value is refused, a NUL in the body: on an event socket they would begin something
    else, or end it. It carries ``Switchcast-Origin`` and ``Switchcast-Hops``, which end circles of rules.
    """

    def __init__(self, rule: str, node: str, settings: EmitSettings | EslEventSettings) -> None:
        self._rule = rule
        self._node = node
        self._name = settings.name
        self._subclass = settings.subclass
        self._headers = {name: Template(text) for name, text in settings.headers.items()}
        self._body = Template(settings.body) if settings.body is not None else None

    def make(self, cause: Event) -> Event:
        """Raises ``Refused``."""
        headers = [("Event-Subclass", self._subclass)] if self._subclass is not None else []
        for name, template in self._headers.items():
            value = template.render(cause, self._node, _line)
            encoded(value, VALUE_BYTES, f"the header {name}")
            headers.append((name, value))
        headers += origin_headers(cause, self._node, self._rule)
        body = None
        if self._body is not None:
            body = encoded(self._body.render(cause, self._node, _no_nul), BODY_BYTES, "the body")
        try:
            return Event(self._name, headers, body)
        except ValueError as error:  # an array (ARRAY::...) that is none
            raise Refused("character", str(error)) from None


class Emit(Action):
    """A new event for each event, into the sinks that the rule names."""

    def __init__(
        self,
        rule: str,
        node: str,
        settings: EmitSettings,
        emit: Callable[[list[Event], Sequence[str]], Awaitable[None]],
    ) -> None:
        super().__init__(rule, node)
        self._to = settings.to
        self._new = NewEvent(rule, node, settings)
        self._emit = emit

    async def act(self, job: Job) -> Done:
        event = self._new.make(job.event)
        await self._emit([event], self._to)
        return Done(f"{event.subclass or event.name} to {', '.join(self._to)}")
