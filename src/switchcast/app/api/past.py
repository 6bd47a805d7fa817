"""The archive that the live stream may go on from, and the one thread that reads in it for all who do.

A client whose place lies before what memory holds reads on in an archive, and joins memory where the two meet
(``way.py``). That is right only where the archive has the events as the stream has them, in the same order, each once
and unaltered. The line gives every batch to the taps and to the queues of the sinks in one step, so any archive keeps
the order that has

* at most one route from each source, or a batch would come in two parts, or twice, and
* no policy on these routes, or no event would be known again.

A route may leave some out, by its bindings for instance: numbers count what is missing then. Of several such archives
the one is taken that the fewest routes keep something from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from switchcast.app.api.aside import Aside
from switchcast.app.api.recent import Recent
from switchcast.archive.following import Following, Mark
from switchcast.errors import EndpointUnavailable
from switchcast.node import Node, Plan, Route, unchanged
from switchcast.quantities import parse_duration

__all__ = ["Archive", "Past", "archive_for"]

READ_SECONDS: Final = 20.0
"""For one block to be read, with the turns of all who wait before: after that the archive counts as one that cannot be
read."""
_COMMIT: Final = "250ms"

_LONGEST_REST: Final = 0.01

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Archive:
    """Where it is, how many seconds an event waits before it is there, and whose echo it holds: ``own``, or nobody's.

    A node that hears its own group has what it sent a second time in an archive of that group, but not in the stream.
    """

    directory: Path
    commit: float
    own: str


def archive_for(plan: Plan, node: str) -> Archive | None:
    """The archive of ``plan`` that the stream of the node called ``node`` may go on from."""
    best: Archive | None = None
    most = -1
    for name, sink in plan.sinks.items():
        if sink.url.scheme != "archive":
            continue
        routes = [route for route in plan.routes.values() if any(each.name == name for each in route.sinks)]
        sources = [route.source.name for route in routes]
        if len(set(sources)) < len(sources) or any(route.policy is not unchanged for route in routes):
            continue
        whole = sum(_takes_all(plan, route) for route in routes)
        if whole > most:
            own = node if any(plan.hears_itself(each) for each in sources) else ""
            commit = parse_duration(sink.url.text("commit") or _COMMIT)
            best, most = Archive(Path(sink.url.path), commit, own), whole
    return best


def _takes_all(plan: Plan, route: Route) -> bool:
    return plan.matchers[route.name] is None and route.require is None


class Past:
    """Reads in the node's archive for those who stream, a block for one of them, then for the next who waits."""

    def __init__(self, node: Node, recent: Recent) -> None:
        self.begun: Mark | None = None
        """Behind the first event of this run that can be known again, once that is found."""
        self.recent = recent
        self._node = node
        self._plan: Plan | None = None
        self._archive: Archive | None = None
        self._following: Following | None = None
        self._thread = Aside(1, waiting=None)

    @property
    def archive(self) -> Archive | None:
        """The one to go on from, as the node runs now."""
        if self._plan is not self._node.plan:
            self._plan = self._node.plan
            found = archive_for(self._plan, self._node.name)
            if found is None or self._archive is None or found.directory != self._archive.directory:
                self._following, self.begun = None, None
            self._archive = found
        return self._archive

    async def look(self, work: Callable[[Following], T]) -> T:
        """What ``work`` finds there. Raises ``EndpointUnavailable`` and ``EndpointDenied``."""
        archive = self.archive
        if archive is None:
            raise EndpointUnavailable("the node has no archive any more")
        following = self._following = self._following or Following(archive.directory)
        try:
            async with asyncio.timeout(READ_SECONDS):
                return await self._thread.run(lambda: _resting(work, following))
        except TimeoutError:
            raise EndpointUnavailable(f"{archive.directory}: nothing could be read for {READ_SECONDS:g} s") from None

    async def find_beginning(self) -> None:
        """Look where this run begins in the archive, if that is not known yet."""
        first = self.recent.first
        if self.begun is None and first is not None:
            found = await self.look(lambda following: following.find(first.time, first.check))
            self.begun = self.begun or found

    async def close(self) -> None:
        """End the thread, once it has read what it reads, at most within a second."""
        await self._thread.finish()
        self._thread.close()


def _resting(work: Callable[[Following], T], following: Following) -> T:
    """What ``work`` finds, after a pause as long as it took: half of the time no thread is in the event loop's way."""
    began = time.monotonic()
    found = work(following)
    time.sleep(min(time.monotonic() - began, _LONGEST_REST))
    return found
