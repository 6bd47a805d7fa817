"""The description holds: schemathesis asks a node all that it allows, over TCP, and much that it does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from api_clients import served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from parts import numbered
from recordings import DATA

import switchcast
from switchcast import Event
from switchcast.app.api.aside import THREADS
from switchcast.app.api.events import EventPage
from switchcast.app.api.guard import STREAM_PATH
from switchcast.app.api.reply import Page
from switchcast.app.api.rows import CallRow, MailboxRow, NodeRow, PresenceRow, RegistrationRow
from switchcast.app.api.views import ViewPage

PATHS = (
    "peers",
    "stats",
    "audit",
    "nodes",
    "registrations",
    "presence",
    "mailboxes",
    "calls",
    "calls/{id}",
    "events",
    "trace/{key}",
)
PAGES: dict[str, type[Page[Any]]] = {
    "/nodes": ViewPage[NodeRow],
    "/registrations": ViewPage[RegistrationRow],
    "/presence": ViewPage[PresenceRow],
    "/mailboxes": ViewPage[MailboxRow],
    "/calls": ViewPage[CallRow],
    "/events": EventPage,
}
"""Lists, none of which is empty here, with what their rows are described as."""
PROFILE = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
MOST_EVENTS = 2_000
MOST_EXAMPLES = 5
CONDITIONS = st.sampled_from(
    ["name == 'HEARTBEAT'", 'h["Caller-Destination-Number"] == "1000"', "true", "sender != node"]
)
schemathesis.openapi.format("cel", CONDITIONS)  # which no pattern describes


async def recorded() -> list[Event]:
    """The recording, or as much of it, and a cluster with calls under way."""
    events: list[Event] = []
    for url in (f"file:{DATA / 'stock-plain.pcap.gz'}", "sim://?nodes=2&cps=20&users=20&speed=1000&for=3s"):
        async with switchcast.open(url, role="source") as source:
            events += [event async for batch in source.batches() for event in batch][:MOST_EVENTS]
    return events


@pytest.fixture(scope="module")
def schema() -> Iterator[schemathesis.BaseSchema]:
    """The description of a node that runs in a thread of its own and has heard a good deal."""
    ready, done = threading.Event(), threading.Event()
    where: list[str] = []

    async def serve() -> None:
        async with served({"audit": True}) as server:
            await server.give(*numbered(50), *await recorded())
            async with server.client() as client:
                for path, page in PAGES.items():
                    rows = (await client.get(path)).content
                    assert page.model_validate_json(rows).rows, path
                while len([thread for thread in threading.enumerate() if thread.name.startswith("api_")]) < THREADS:
                    await asyncio.gather(*(client.get("/trace/1000") for _ in range(THREADS)))  # which begin threads
            where.append(server.base)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    while not ready.wait(1):
        assert thread.is_alive()
    try:
        yield schemathesis.openapi.from_url(f"{where[0]}/openapi.json").exclude(path=STREAM_PATH)
    finally:
        done.set()
        thread.join()


def test_every_path_is_tried(schema: schemathesis.BaseSchema) -> None:
    described = set(schema.raw_schema["paths"])
    assert described - {STREAM_PATH} == {f"/api/v1/{path}" for path in PATHS}


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_as_described(
    schema: schemathesis.BaseSchema, path: str, mode: schemathesis.GenerationMode
) -> None:
    operation = schema[f"/api/v1/{path}"]["GET"]
    cases = operation.as_strategy(generation_mode=mode)

    @given(case=cases)
    @settings(PROFILE, max_examples=MOST_EXAMPLES)
    def ask(case: schemathesis.Case[Any]) -> None:
        case.call_and_validate()

    try:
        ask()
    except Unsatisfiable:
        assert mode is schemathesis.GenerationMode.NEGATIVE  # there is nothing to say wrong where nothing is asked
