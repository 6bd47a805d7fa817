"""The API for tests: a node with a source in memory, served over real TCP in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sockets import until

from switchcast import Event
from switchcast.app.api.facts import NodeFacts
from switchcast.app.api.service import Api
from switchcast.app.api.settings import ApiSettings
from switchcast.app.automation import Automation
from switchcast.app.config.load import Given, assemble
from switchcast.app.picture import Watching
from switchcast.app.presence import Presence
from switchcast.app.report import Report
from switchcast.node import Node, Route, Sink, Source
from switchcast.views.peers import PeersSettings

PATIENCE = 60.0
"""Seconds after which what should have happened is said not to; a passing test never waits for it."""
_NUMBERS = itertools.count()


@dataclass
class Served:
    """A running node and its API; ``facts`` can be given views and an archive."""

    node: Node
    api: Api
    report: Report
    facts: NodeFacts

    @property
    def base(self) -> str:
        """Where the paths begin."""
        return f"http://127.0.0.1:{self.api.port}/api/v1"

    @contextlib.asynccontextmanager
    async def client(self, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client that asks there."""
        async with httpx.AsyncClient(base_url=self.base, headers=headers, timeout=PATIENCE, trust_env=False) as client:
            yield client

    async def give(self, *events: Event) -> None:
        """Let the node have ``events``, and wait until the API has them."""
        recent = self.api.recent
        wanted = recent.newest.number + len(events)
        await self.node.inject(events)
        await until(lambda: recent.newest.number >= wanted)


@contextlib.asynccontextmanager
async def served(settings: Mapping[str, Any] | None = None, archive: Path | None = None) -> AsyncIterator[Served]:
    """A node that receives nothing but what it is given, and its API on a free port.

    It has a sink ``out`` and, where an ``archive`` is named, one for that, ``history``.
    """
    name = f"api-{next(_NUMBERS)}"
    sinks = [Sink(f"memory:{name}-out", name="out")]
    if archive is not None:
        sinks.append(Sink(f"archive:{archive}", name="history"))
    route = Route(Source(f"memory:{name}-in", name="in"), sinks)
    node = Node([route], name="fs1", patient=True, drain=0.0)
    presence, automation = Presence(node, PeersSettings()), Automation(node)
    watching = Watching(node, assemble(Given(Path("node.toml"), {"node": {"name": "fs1"}}, {})))
    report = Report(node, automation, presence, watching)
    report.phase = "running"
    facts = NodeFacts(report, watching)
    api = Api(node, facts, ApiSettings.model_validate({"listen": "127.0.0.1:0"} | dict(settings or {})))
    running = asyncio.create_task(node.run())
    await node.ready.wait()
    await api.start()
    report.api = api
    beside = [asyncio.create_task(work) for work in (presence.run(), watching.run())]
    await until(lambda: len(node.taps.subscriptions) > 2)
    try:
        yield Served(node, api, report, facts)
    finally:
        await api.close()
        node.stop()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await running


@dataclass(frozen=True)
class Told:
    """One server-sent event: its kind, id and data."""

    kind: str
    id: str
    data: Any


class Listener:
    """Reads a live stream as its standard says."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.last_id = ""
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def next(self) -> Told:
        """The next event. Raises ``StopAsyncIteration`` at the stream's end."""
        kind, data = "message", []
        async with asyncio.timeout(PATIENCE):
            while True:
                line = await anext(self._lines)
                field, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif field == "id":
                    self.last_id = value
                elif field == "event":
                    kind = value
                elif field == "data":
                    data.append(value)
                elif not line and data:
                    return Told(kind, self.last_id, json.loads("\n".join(data)))

    async def take(self, count: int) -> list[Told]:
        """So many events."""
        return [await self.next() for _ in range(count)]


@contextlib.asynccontextmanager
async def listening(
    client: httpx.AsyncClient, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Listener]:
    """The live stream, from the moment on that the client counts as its reader."""
    async with client.stream("GET", "/events/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        yield Listener(answer)
