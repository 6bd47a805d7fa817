"""``run``: a program of this host, never through a shell.

Each item of the command is one argument, whatever the event puts into it; the event itself is JSON on standard input.
The environment holds ``PATH``, ``LANG``, what the rule sets, and::

    SWITCHCAST_RULE       the rule's name
    SWITCHCAST_NODE       this node's name
    SWITCHCAST_EVENT_ID   the same whenever the rule acts on the same event: what has it already may be skipped

An argument may not begin with ``-`` unless the rule's own text puts it there: a program would take it for an option.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final

import structlog

from switchcast._native import Event
from switchcast.rules.actions.base import Action, Done, Failed, Refused, Unavailable, encoded, shown, value_without
from switchcast.rules.actions.process import Ended, execute
from switchcast.rules.job import Job
from switchcast.rules.settings import RunSettings
from switchcast.rules.template import Template

__all__ = ["ARGUMENTS_BYTES", "ARGUMENT_BYTES", "PATH", "Run"]

ARGUMENT_BYTES: Final = 131_071
"""Bytes of one argument or variable, the kernel's own limit (MAX_ARG_STRLEN, less its NUL)."""
ARGUMENTS_BYTES: Final = 1_048_576
"""Bytes of all of them: half of what the kernel takes with the usual stack of 8 MiB."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_LATER: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
_no_nul = value_without(line_breaks=False)

log = structlog.get_logger("switchcast")


class Run(Action):
    """A program for each event."""

    def __init__(self, rule: str, node: str, settings: RunSettings) -> None:
        super().__init__(rule, node)
        self._settings = settings
        self._program = settings.command[0]
        self._arguments = [Template(text) for text in settings.command[1:]]
        self._variables = {name: Template(text) for name, text in settings.environment.items()}

    async def open(self) -> None:
        if not os.access(self._program, os.X_OK):
            log.warning("rule_program_missing", rule=self.rule, program=self._program)

    async def act(self, job: Job) -> Done:
        settings = self._settings
        arguments = self.command(job.event)
        environment = self._environment(job)
        size = sum(map(len, arguments)) + sum(map(len, environment)) + sum(map(len, environment.values()))
        if size > ARGUMENTS_BYTES:
            raise Refused("too_long", f"the arguments are {size:,} bytes long; {ARGUMENTS_BYTES:,} are allowed")
        try:
            ended = await execute(
                arguments,
                given=job.event.to_json().encode("utf-8", "surrogatepass") + b"\n",
                environment=environment,
                directory=settings.directory,
                seconds=settings.timeout,
                kill_after=settings.kill_after,
                output=settings.output,
            )
        except OSError as error:
            kind = Unavailable if error.errno in _LATER else Failed
            raise kind(f"{error.filename or self._program} cannot be run: {error.strerror}") from None
        return self._outcome(ended)

    def command(self, event: Event) -> list[bytes]:
        """The program and its arguments for ``event``. Raises ``Refused``."""
        return [os.fsencode(self._program), *(self._argument(each, event) for each in self._arguments)]

    def _argument(self, template: Template, event: Event) -> bytes:
        text = self.render(template, event, _no_nul)
        if text.startswith("-") and not template.beginning.startswith("-") and not self._settings.allow_leading_dash:
            raise Refused("leading_dash", f"a value would make an argument begin with -, as an option: {text[:80]!r}")
        return encoded(text, ARGUMENT_BYTES, "an argument")

    def _environment(self, job: Job) -> dict[bytes, bytes]:
        variables = {"PATH": PATH, "LANG": "C.UTF-8"}
        variables |= {name: self.render(each, job.event, _no_nul) for name, each in self._variables.items()}
        variables |= {"SWITCHCAST_RULE": self.rule, "SWITCHCAST_NODE": self.node, "SWITCHCAST_EVENT_ID": job.event_id}
        return {
            name.encode(): encoded(value, ARGUMENT_BYTES - len(name) - 1, f"the variable {name}")
            for name, value in variables.items()
        }

    def _outcome(self, ended: Ended) -> Done:
        printed = shown(ended.output)
        if ended.dropped:
            printed += f"\n[{ended.dropped:,} bytes more]"
        how = _how(ended.status)
        if not ended.in_time:
            raise Failed(f"not over after {self._settings.timeout:g} s, so its group was ended ({how})", printed)
        if ended.status != 0:
            raise Failed(how, printed)
        return Done(how, printed)


def _how(status: int | None) -> str:
    if status is None:
        return "stuck in the kernel"
    if status >= 0:
        return f"exit {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-status}"
