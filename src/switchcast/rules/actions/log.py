"""``log``: a line in the node's own log."""

from __future__ import annotations

import structlog

from switchcast._native import Event
from switchcast.rules.actions.base import Action, Done, shown
from switchcast.rules.job import Job
from switchcast.rules.settings import LogSettings
from switchcast.rules.template import Template

__all__ = ["MESSAGE_CHARACTERS", "Log"]

MESSAGE_CHARACTERS = 8_192
"""Characters of a message that are written: an event's value can be megabytes long."""

log = structlog.get_logger("switchcast")


class Log(Action):
    """A line for each event. Line breaks and what a terminal would obey are written as escapes."""

    def __init__(self, rule: str, node: str, settings: LogSettings) -> None:
        super().__init__(rule, node)
        self._message = Template(settings.message)
        self._level = settings.level

    async def act(self, job: Job) -> Done:
        message = self.message(job.event)
        getattr(log, self._level)("rule_message", rule=self.rule, message=message, event_id=job.event_id)
        return Done(message[:200])

    def message(self, event: Event) -> str:
        """The line for ``event``."""
        return self.render(self._message, event, _one_line)[:MESSAGE_CHARACTERS]


def _one_line(value: str) -> str:
    return shown(value[:MESSAGE_CHARACTERS]).replace("\n", "\\n").replace("\t", "\\t")
