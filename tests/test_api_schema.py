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
from switchcast.app.api.guard import STREAM_PATH

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
PROFILE = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
MOST_EVENTS = 500
MOST_EXAMPLES = 8
CONDITIONS = st.sampled_from(
    ["name == 'HEARTBEAT'", 'h["Caller-Destination-Number"] == "1000"', "true", "sender != node"]
)
schemathesis.openapi.format("cel", CONDITIONS)  # which no pattern describes


async def recorded() -> list[Event]:
    """The recording, or as much of it: registrations, calls, presences and mailboxes."""
    async with switchcast.open(f"file:{DATA / 'stock-plain.pcap.gz'}", role="source") as source:
        return [event async for batch in source.batches() for event in batch][:MOST_EVENTS]


@pytest.fixture(scope="module")
def schema() -> Iterator[schemathesis.BaseSchema]:
    """The description of a node that runs in a thread of its own and has heard a good deal."""
    ready, done = threading.Event(), threading.Event()
    where: list[str] = []

    async def serve() -> None:
        async with served({"audit": True}) as server:
            await server.give(*numbered(50), *await recorded())
            async with server.client() as client:
                await client.get("/trace/1000")  # which begins a thread
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
