"""Whose events a route or rule takes: what cannot be meant, and what a stranger could do where anyone's are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from switchcast.app.config.locate import Path
from switchcast.app.config.model import RouteSettings
from switchcast.app.config.problems import Problems
from switchcast.endpoints import Endpoint
from switchcast.rules.settings import (
    EmitSettings,
    EslApiSettings,
    EslEventSettings,
    RuleSettings,
    RunSettings,
    WebhookSettings,
)

__all__ = ["TrustChecks"]

_SIGNABLE: Final = frozenset({"multicast", "udp", "memory"})
"""Schemes of sources whose events can be signed."""
_SWITCHES: Final = frozenset({"esl"})
"""Schemes of sinks that take over what they are told."""


@dataclass
class TrustChecks:
    """The checks of ``trust``, ``require`` and ``signers``. ``made`` are the endpoints that could be made, by name."""

    problems: Problems
    made: Mapping[str, Endpoint]

    def route(self, path: Path, route: RouteSettings) -> None:
        """Look at one route."""
        source = self.made.get(route.source)
        if route.require == "signed" and source is not None and source.url.scheme not in _SIGNABLE:
            self.problems.add(
                (*path, "require"),
                route.require,
                f"events from {source.url.scheme}: are never signed, so none would go this way; leave it out",
            )
        switches = [name for name in route.to if name in self.made and self.made[name].url.scheme in _SWITCHES]
        if route.trust != "stock":
            if switches and route.require is None and source is not None and _never_vouched_for(source):
                self.problems.warn(
                    path,
                    f"nothing vouches for what comes from {route.source}, so {' and '.join(switches)} will be told "
                    f'nothing of it; give {route.source} a key (mode, key_file), or take anyone\'s by trust = "stock"',
                )
            return
        if switches:
            self._warn(
                path,
                f"whoever can send a datagram to {route.source} can have {' and '.join(switches)} take over, by the "
                f"route {route.name}, registrations, presence and lamps that it makes up",
            )
        elif all(name in self.made for name in route.to):
            self.problems.warn((*path, "trust"), '"stock" says nothing here: no switch is in to; leave it out')

    def rule(self, path: Path, rule: RuleSettings) -> None:
        """Look at one rule."""
        if rule.trust == "stock":
            self._warn(
                path,
                f"whoever can send a datagram to a source of this node can fire the rule {rule.name}, with values that "
                f"it makes up, and so {_done_by(rule)}",
            )

    def _warn(self, path: Path, what: str) -> None:
        self.problems.warn((*path, "trust"), f'"stock": {what}')


def _never_vouched_for(source: Endpoint) -> bool:
    """Whether its events are datagrams that prove nothing."""
    return source.url.scheme in {"multicast", "udp"} and source.url.text("key_file") is None


def _done_by(rule: RuleSettings) -> str:
    """What becomes of it, as the end of a sentence."""
    action = rule.action
    if isinstance(action, RunSettings):
        return f"run {action.command[0]}"
    if isinstance(action, WebhookSettings):
        return "have its webhook called"
    if isinstance(action, EslApiSettings):
        return f"have {action.command[0]} done at {action.endpoint}"
    if isinstance(action, EslEventSettings):
        return f"fire an event at {action.endpoint}"
    if isinstance(action, EmitSettings):
        return f"have an event sent to {' and '.join(action.to)} in this node's name"
    return "write to this node's log"
