"""A view without a node: its events listened to, and where the source is a switch, the switch asked at once.

What is recorded or made up has a time of its own, that of its events: ten seconds of it are ten seconds there, however
fast it is read. In what is live, time is ours.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from switchcast._native import Event, Matcher
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.naming import url_named
from switchcast.app.cli.views.showing import Choice, Seen
from switchcast.app.picture import ask_mailboxes, ask_switch, unread
from switchcast.endpoints import Endpoint, make_endpoint
from switchcast.endpoints.esl import EslEndpoint
from switchcast.views.picture import Picture
from switchcast.wire.times import event_time

__all__ = ["LISTEN_SECONDS", "Change", "Changed", "Listening", "listening_to"]

LISTEN_SECONDS: Final = 25.0
"""A little more than the 20 s between two heartbeats of stock."""
_RECORDED: Final = frozenset({"file", "-", "archive"})
_MADE_UP: Final = frozenset({"sim"})

Change = tuple[str, dict[str, Any] | None]
"""A row's key, and the row; ``None`` where it is gone."""
Changed = Callable[[Iterator[Change], bool], None]
"""Is given what has changed, and whether that is what was there already."""


def listening_to(source: str, choice: Choice, config: Path | None = None) -> Listening:
    """Whoever listens to ``source``, a URL or a name of ``config``, for ``choice``. Raises as ``url_named`` does."""
    picture = Picture()
    url = url_named(source, config)
    own_time = url.scheme in _RECORDED | _MADE_UP
    # How long ago a recording began is told by its first event, whatever that is; what is live is asked for no more
    # than is wanted.
    matcher = None if own_time else Matcher(picture.bindings)
    return Listening(make_endpoint(url, matcher=matcher, role="source"), choice, picture)


class Listening:
    """Keeps a picture from one source, and says when it has changed."""

    def __init__(self, endpoint: Endpoint, choice: Choice, picture: Picture) -> None:
        self.endpoint = endpoint
        self.choice = choice
        self.picture = picture
        self.view = picture.view(choice.kind.name)
        self.recorded = endpoint.url.scheme in _RECORDED
        self.own_time = endpoint.url.scheme in _RECORDED | _MADE_UP
        self._began: tuple[float, float] | None = None
        self._now = self._wall = 0.0
        self._asked: list[dict[str, Any]] = []

    @property
    def default_limit(self) -> float | None:
        """How long to listen unless it is said: a recording to its end, a switch until it has answered."""
        if isinstance(self.endpoint, EslEndpoint):
            return 0
        if self.recorded or (self.endpoint.url.scheme == "sim" and self.endpoint.url.text("for") is not None):
            return None
        return LISTEN_SECONDS

    @property
    def wall(self) -> float:
        """How late it is there, in seconds since 1970."""
        return self._wall

    async def listen(self, limit: float | None, changed: Changed | None = None) -> None:
        """Listen for ``limit`` seconds of the source's own time, or to its end; ``changed`` hears what became of rows.

        A switch is asked at the beginning; where nothing more is wanted (``limit`` 0), that is all.
        """
        tell = changed or _nobody
        if not self.own_time:
            self._pass(time.monotonic(), time.time())
        if changed is not None:
            self.view.changes()
        if isinstance(self.endpoint, EslEndpoint):
            await self._ask(self.endpoint)
            self.view.changes()
            seen = self.seen()
            there = self.choice.sorted(seen.rows, seen.wall)
            tell(((self.choice.kind.key(row), dict(row)) for row in there), True)
            if limit == 0:
                return
        try:
            async with asyncio.timeout(None if self.own_time else limit):
                async for batch in self.endpoint.batches():
                    for events, now, wall in self._timed(batch):
                        if self.own_time and limit is not None and self._is_over(now, limit):
                            return
                        self._take(events, now, wall)
                        tell(self._changes(), False)
        except TimeoutError:
            pass

    def tick(self) -> Iterator[Change]:
        """Let time pass: what has run out is gone."""
        if not self.own_time:
            self._pass(time.monotonic(), time.time())
        self.picture.tick(self._now)
        return self._changes()

    def seen(self) -> Seen:
        """The view as it is."""
        if not self.own_time:
            self._pass(time.monotonic(), time.time())
        self.picture.tick(self._now)
        rows = self.view.rows(self._now)
        return Seen(
            [row for row in rows if self.choice.wants(row)],
            self._wall,
            counters=self.view.counters(),
            asked=self._asked,
            doubts=self.picture.doubts,
            nodes={str(row["name"]): row for row in self.picture.view("nodes").rows(self._now)},
            source=str(self.endpoint.url),
            began=self._began[1] if self._began is not None else self._wall,
            recorded=self.own_time,
            lost=describe(losses(self.endpoint.counters())),
        )

    def _timed(self, batch: list[Event]) -> Iterable[tuple[Sequence[Event], float, float]]:
        if not self.own_time:
            return [(batch, time.monotonic(), time.time())]
        return (([event], at, at) for event in batch if (at := self._time_of(event)) is not None)

    def _time_of(self, event: Event) -> float:
        """Its own time, in seconds; never before that of an event that came earlier."""
        return max(self._now, (event_time(event) or 0) / 1e9)

    def _is_over(self, now: float, limit: float) -> bool:
        """Whether ``limit`` seconds have passed by ``now``; then it is as late as that."""
        if self._began is None or now - self._began[0] <= limit:
            return False
        self._pass(self._began[0] + limit, self._began[1] + limit)
        return True

    def _pass(self, now: float, wall: float) -> None:
        if self._began is None:
            self._began = now, wall
        self._now, self._wall = now, wall

    def _take(self, events: Sequence[Event], now: float, wall: float) -> None:
        self._pass(now, wall)
        self.picture.take(events, now, wall)

    def _changes(self) -> Iterator[Change]:
        """What became of rows. One that is no longer among those that are wanted is gone."""
        return ((key, row if row is not None and self.choice.wants(row) else None) for key, row in self.view.changes())

    async def _ask(self, endpoint: EslEndpoint) -> None:
        """Have the switch say what is so."""
        began, wall = time.monotonic(), time.time()
        snapshot, faults = await ask_switch(endpoint)
        self.picture.seed(snapshot, time.monotonic(), time.time())
        if self.choice.kind.name == "mailboxes":
            boxes, more = await ask_mailboxes(endpoint, snapshot, self.picture.accounts(snapshot))
            self.picture.seed(boxes, time.monotonic(), time.time())
            faults = [*faults, *more]
        why, took = unread(faults), time.monotonic() - began
        told = {"endpoint": str(endpoint.url), "node": snapshot.node, "at": wall, "took": took}
        self._asked = [{**told, "why": why, "unread": why}]


def _nobody(changes: Iterator[Change], there: bool) -> None:
    """Nobody wants to know."""
