"""What a running node says of itself: the answers on the control socket, and the snapshot behind metrics and health."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from switchcast._native import ReliableSender, Sender, __version__
from switchcast.app.automation import Automation
from switchcast.app.picture import Watching
from switchcast.app.presence import Presence
from switchcast.app.snapshot import Phase, Snapshot, make_snapshot
from switchcast.app.status import (
    RECENT_SECONDS,
    Counters,
    History,
    PeersReply,
    Status,
    Warned,
    make_status,
    peers_reply,
)
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.guard.policy import RedactionPolicy
from switchcast.node import Node

if TYPE_CHECKING:
    from switchcast.app.api.service import Api

__all__ = ["Report"]

KEPT_WARNINGS: Final = 50


class Report:
    """Looks at the parts of a running node, and puts what they count into tables.

    Whoever runs the node sets ``phase``, ``path`` (of the configuration) and ``policies``, counts ``reloads``, and puts
    into ``problems`` what is wrong, in words, by a name of its own; ``warnings`` are lines of the log. ``api`` is what
    serves the node over HTTP, where something does.
    """

    def __init__(self, node: Node, automation: Automation, presence: Presence, watching: Watching) -> None:
        self.phase: Phase = "starting"
        self.path = ""
        self.policies: Mapping[str, RedactionPolicy] = {}
        self.configured_at = time.time()
        self.reloads = {"done": 0, "refused": 0}
        self.problems: dict[str, str] = {}
        self.warnings: deque[Warned] = deque(maxlen=KEPT_WARNINGS)
        self.api: Api | None = None
        self._node = node
        self._automation = automation
        self._presence = presence
        self._watching = watching
        self._history = History()
        self._began = time.monotonic()

    def note(self) -> None:
        """Remember the counters as they are, for rates; to be called every few seconds."""
        self._history.note(time.monotonic(), self._counters())

    def status(self) -> Status:
        """The answer to ``status``."""
        now = time.monotonic()
        sizes = self._limits()
        return make_status(
            {
                "name": self._node.name,
                "version": __version__,
                "pid": os.getpid(),
                "phase": self.phase,
                "uptime": now - self._began,
                "configuration": self.path,
            },
            self._counters(),
            self._node.states(),
            self._history,
            now,
            limits=sizes["sinks"] | sizes["rules"],
            keys=self._node.keys(),
            picture=self._watching.state(
                lambda name, counts: self._history.grown("views", name, counts, now, RECENT_SECONDS)[1]
            ),
            peers=self._presence.rows(),
            warnings=self.warnings,
            problems=self.problems.values(),
        )

    def peers(self) -> PeersReply:
        """The answer to ``peers``."""
        active = any(state.status == "up" for state in self._node.states()["sources"].values())
        destinations = [row for sender in self._senders() for row in sender.destinations()]
        return peers_reply(self._presence.rows(), self._presence.counters(), active=active, destinations=destinations)

    def rules(self) -> list[dict[str, Any]]:
        """The answer to ``rules``."""
        counters = self._automation.counters()
        return [{"name": rule.name, "on": rule.on, "counters": counters[rule.name]} for rule in self._automation.rules]

    def snapshot(self) -> Snapshot:
        """For metrics and readiness."""
        engine, runner = self._automation.engine_counters(), self._automation.runner_counters()
        policies = {name: _sums(policy.counters()) for name, policy in self.policies.items()}
        own = {"rules": engine, "actions": runner, "policies": policies}
        own |= {"peers": {"peers": self._presence.counters()}, "journal": {"journal": self._automation.journalled()}}
        own |= {"views": self._watching.counters()}
        own |= {"api": {"api": self.api.counters()}} if self.api is not None else {}
        return make_snapshot(
            self._node.name,
            self.phase,
            self._node.counters() | own,
            self._node.states(),
            limits=self._limits(),
            reloads=self.reloads,
            configured_at=self.configured_at,
            rows=self._watching.picture.states(),
            answering={row["endpoint"]: not row["why"] for row in self._watching.asked()},
            doubted=self._watching.doubted(),
        )

    def _counters(self) -> Counters:
        own = {"rules": self._automation.counters(), "peers": {"peers": self._presence.counters()}}
        own |= {"views": self._watching.counters()}
        return self._node.counters() | own

    def _limits(self) -> dict[str, dict[str, int]]:
        """The sizes of queues, by kind and name."""
        sinks = {name: outlet.queue.limit for name, outlet in self._node.outlets.items()}
        rules = {rule.name: rule.queue for rule in self._automation.rules}
        return {"sinks": sinks, "rules": rules, "actions": rules}

    def _senders(self) -> Iterator[Sender | ReliableSender]:
        for outlet in self._node.outlets.values():
            endpoint = outlet.endpoint
            if isinstance(endpoint, DatagramEndpoint) and endpoint.sender is not None:
                yield endpoint.sender


def _sums(counts: Mapping[str, int | Mapping[str, int]]) -> dict[str, int]:
    """Sums in place of counts by event name."""
    return {name: count if isinstance(count, int) else sum(count.values()) for name, count in counts.items()}
