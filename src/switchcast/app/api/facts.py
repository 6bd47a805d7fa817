"""What the API asks of the node that it speaks for, in the node's event loop, and is answered at once."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from switchcast.app.config import Configuration
from switchcast.app.picture import Watching
from switchcast.app.picture_state import AskedRow
from switchcast.app.report import Report
from switchcast.app.snapshot import Snapshot
from switchcast.app.status import PeersReply
from switchcast.views.telling import View

__all__ = ["Facts", "NodeFacts", "archive_of"]


class Facts(Protocol):
    """A running node, as far as the API needs it."""

    def peers(self) -> PeersReply:
        """Who is there."""

    def snapshot(self) -> Snapshot:
        """The node's counters and states."""

    def view(self, name: str) -> View | None:
        """One picture of the cluster; ``None`` where none is kept."""

    def asked(self) -> list[AskedRow]:
        """The switches that are asked for what no event has told."""

    def archive(self) -> Path | None:
        """The directory of the node's archive, if it has one."""


def archive_of(configuration: Configuration) -> Path | None:
    """The directory of the first archive that a route leads to."""
    urls = (configuration.endpoints[name].url for route in configuration.routes for name in route.to)
    return next((Path(url.path) for url in urls if url.scheme == "archive"), None)


class NodeFacts:
    """The same from the parts of a daemon, which sets ``archive_at``."""

    def __init__(self, report: Report, watching: Watching) -> None:
        self.archive_at: Path | None = None
        self._report = report
        self._watching = watching

    def peers(self) -> PeersReply:
        """As the answer to ``peers`` on the control socket."""
        return self._report.peers()

    def snapshot(self) -> Snapshot:
        """As for metrics."""
        return self._report.snapshot()

    def view(self, name: str) -> View | None:
        """As it is kept now: a change of ``[views]`` begins another."""
        return self._watching.picture.views.get(name)

    def asked(self) -> list[AskedRow]:
        """As the answer to ``view`` on the control socket."""
        return self._watching.asked()

    def archive(self) -> Path | None:
        """``archive_at``."""
        return self.archive_at
