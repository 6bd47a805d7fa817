"""Recordings written and read through ``file:`` endpoints, the same way in every test."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from switchcast._native import Event
from switchcast.endpoints.file import FileEndpoint
from switchcast.endpoints.url import EndpointUrl

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
PATIENCE = 60.0
"""Seconds that something which should happen at once may take on a busy machine."""

NAMES = [
    f"events{suffix}{compression}" for suffix in (".jsonl", ".pcap", ".pcapng") for compression in ("", ".gz", ".zst")
]


def event(number: int, received: int | None = None) -> Event:
    made = Event("CUSTOM", {"Event-Subclass": "test::file", "Number": str(number)})
    return made.with_origin("10.0.0.1:4242", BEGIN + number * SECOND if received is None else received)


def origins(events: list[Event]) -> list[tuple[bytes, str | None, int | None]]:
    return [(each.to_plain(), each.source, each.received) for each in events]


def opened(url: str, role: str | None = None, **options: Any) -> FileEndpoint:
    return FileEndpoint(EndpointUrl.parse(url), role=role, **options)  # type: ignore[arg-type]


async def all_of(endpoint: FileEndpoint) -> list[Event]:
    found = []
    async with endpoint:
        async for batch in endpoint.batches():
            assert 0 < len(batch) <= 512
            found += batch
    return found


def read(url: str, **options: Any) -> list[Event]:
    return asyncio.run(all_of(opened(url, "source", **options)))


def read_counting(url: str, **options: Any) -> tuple[list[Event], dict[str, int], list[Any]]:
    """The events, the counters other than zero, and what was logged."""
    endpoint = opened(url, "source", **options)
    with capture_logs() as logs:
        found = asyncio.run(all_of(endpoint))
    return found, {name: count for name, count in endpoint.counters().items() if count}, logs


def write(url: str, *batches: list[Event]) -> dict[str, int]:
    async def send() -> dict[str, int]:
        async with opened(url, "sink") as endpoint:
            for batch in batches:
                await endpoint.send(batch)
        return endpoint.counters()

    return asyncio.run(send())
