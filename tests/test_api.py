"""The API over real TCP: what it answers, to whom, and what it says where it does not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_clients import PATIENCE, Served, served
from parts import numbered
from sockets import until

from switchcast import Event
from switchcast.app.api import aside as aside_module
from switchcast.app.api import server as server_module
from switchcast.app.api.events import EventPage
from switchcast.app.api.node_paths import PeersBody, StatsBody
from switchcast.app.api.problems import ProblemBody
from switchcast.archive.writing import ArchiveWriter

TOKEN = "correct horse battery staple"  # noqa: S105 - of these tests


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "api.token"
    file.touch(mode=0o600)
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return file


def problem(answer: httpx.Response, status: int) -> ProblemBody:
    """The problem in ``answer``, which has this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = ProblemBody.model_validate_json(answer.content)
    assert found.status == status
    assert found.detail
    assert found.mend
    return found


async def raw(server: Served, request: bytes) -> bytes:
    """What is answered to these bytes, up to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.api.port)
    writer.write(request)
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return answer


def get(path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_it_tells_who_is_there_and_how_the_node_fares() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            heartbeat = Event("HEARTBEAT", {"Multicast-Sender": "fs2", "Core-UUID": "c2"}).with_origin(
                "192.0.2.2:4242", 1
            )
            await server.give(heartbeat)
            await until(lambda: bool(server.report.peers()["peers"]))
            peers = PeersBody.model_validate_json((await client.get("/peers")).content)
            stats = StatsBody.model_validate_json((await client.get("/stats")).content)
            assert [(peer.name, peer.address) for peer in peers.peers] == [("fs2", "192.0.2.2")]
            assert (stats.node, stats.phase) == ("fs1", "running")
            assert stats.api["requests"] == 2
            assert stats.api["events_kept"] >= 1
            assert {tap.name for tap in stats.taps} >= {"api", "peers"}

    asyncio.run(ask())


def test_recent_events_come_in_pages_either_way() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            await server.give(*numbered(250))
            for order, expected in (("oldest", list(range(250))), ("newest", list(range(249, -1, -1)))):
                told, after = [], ""
                while True:
                    query = {"order": order, "limit": "99"} | ({"after": after} if after else {})
                    page = EventPage.model_validate_json((await client.get("/events", params=query)).content)
                    assert page.origin == "memory"
                    told += [int(row.event["Number"]) for row in page.rows]
                    if page.next is None:
                        break
                    after = page.next
                assert told == expected

    asyncio.run(ask())


def test_events_are_chosen_by_bindings_condition_number_and_time() -> None:
    call = {"Unique-ID": "6d5b2c1e-0f6a-4a57-9f4e-000000000017", "Caller-Destination-Number": "1000"}
    events = [
        Event("CHANNEL_CREATE", call).with_origin(None, 1_000_000_000),
        Event("CHANNEL_HANGUP", call).with_origin(None, 2_000_000_000),
        Event("HEARTBEAT", {"FreeSWITCH-Switchname": "fs2"}).with_origin(None, 3_000_000_000),
    ]
    queries = {
        "bindings=HEARTBEAT": ["HEARTBEAT"],
        "where=name.startsWith('CHANNEL_')": ["CHANNEL_HANGUP", "CHANNEL_CREATE"],
        "number=1000&order=oldest": ["CHANNEL_CREATE", "CHANNEL_HANGUP"],
        "call=6d5b2c1e-0f6a-4a57-9f4e-000000000017&bindings=CHANNEL_CREATE": ["CHANNEL_CREATE"],
        "call=another": [],
        "sender=fs2": ["HEARTBEAT"],
        "since=2": ["HEARTBEAT", "CHANNEL_HANGUP"],
        "until=1970-01-01T00:00:02Z": ["CHANNEL_CREATE"],
        "limit=1": ["HEARTBEAT"],
    }

    async def ask() -> None:
        async with served() as server, server.client() as client:
            await server.give(*events)
            for query, names in queries.items():
                page = EventPage.model_validate_json((await client.get(f"/events?{query}")).content)
                assert [row.event["Event-Name"] for row in page.rows] == names, query

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "status", "where", "said"),
    [
        ("/nothing", 404, "path", "there is no /api/v1/nothing"),
        ("/events?limit=1001", 422, "query: limit", "less than or equal to 1000"),
        ("/events?limit=many", 422, "query: limit", "valid integer"),
        ("/events?bindngs=all", 422, "query: bindngs", "there is no such parameter"),
        ("/events?bindings=", 422, "query: bindings", "pattern"),
        ("/events?where=1%2B", 422, "query: where", "column 3"),
        ("/events?since=someday", 422, "query: since", "write 2026-11-23"),
        ("/events?since=nan", 422, "query: since", "write 2026-11-23"),
        ("/events?after=nonsense", 404, "query: after", "no id"),
        ("/events/stream?where=1%2B", 422, "query: where", "column 3"),
        (f"/events?where={'x' * 9000}", 422, "query", "8,192 bytes"),
    ],
)
def test_a_mistake_is_told_with_what_where_and_the_mend(path: str, status: int, where: str, said: str) -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            found = problem(await client.get(path), status)
            assert found.where == where
            assert said in found.detail

    asyncio.run(ask())


def test_only_reading_is_answered_and_no_body_is_read() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
                answer = await client.request(method, "/peers")
                problem(answer, 405)
                assert "access-control-allow-origin" not in answer.headers
            problem(await client.request("GET", "/peers", content=b"{}"), 413)
            problem(await client.request("POST", "/peers", content=b"x" * 1_000_000), 413)
            assert (await client.get("/peers")).status_code == 200

    asyncio.run(ask())


def test_every_answer_says_how_it_may_be_used() -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            for path in ("/peers", "/nothing", "/openapi.json", "/events?limit=0"):
                headers = (await client.get(path, headers={"Origin": "https://example.com"})).headers
                assert headers["x-content-type-options"] == "nosniff"
                assert headers["cache-control"] == "no-store"
                assert "default-src 'none'" in headers["content-security-policy"]
                assert not [name for name in headers if name.startswith("access-control")]
                assert "server" not in headers

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8480", 200),
        ("[::1]:8480", 200),
        ("fs1.example.com", 200),
        ("FS1.example.com.:443", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8480", 421),
        ("localhost.evil.example", 421),
    ],
)
def test_no_web_page_reads_it_through_a_name_of_its_own(host: str, status: int) -> None:
    async def ask() -> None:
        async with served({"hosts": ["fs1.example.com"]}) as server:
            answer = await raw(server, get("/api/v1/peers", Host=host))
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())

    asyncio.run(ask())


def test_whoever_has_no_token_learns_nothing(token_file: Path) -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer \xff\xfe"},
    ]

    async def ask() -> None:
        async with served({"token_file": str(token_file)}) as server, server.client() as client:
            for path in ("/peers", "/events/stream", "/openapi.json", "/nothing", f"/peers?token={TOKEN}"):
                for headers in wrong:
                    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
                    answer = await client.get(path, headers=encoded)
                    assert problem(answer, 401).where == "header: Authorization"
                    assert answer.headers["www-authenticate"].startswith("Bearer")
            for scheme in ("Bearer", "bearer"):
                assert (await client.get("/peers", headers={"Authorization": f"{scheme} {TOKEN}"})).status_code == 200
            description = (await client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"})).json()
            assert description["security"] == [{"token": []}]
            assert TOKEN not in json.dumps(description)

    asyncio.run(ask())


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"GET /api/v1/peers HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /api/v1/peers HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /api/v1/peers HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/peers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_request_ends_its_connection_and_nothing_else(request_: bytes) -> None:
    async def ask() -> None:
        async with served() as server, server.client() as client:
            answer = await raw(server, request_)
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 431 ")), answer
            assert b"application/problem+json" in answer
            assert (await client.get("/peers")).status_code == 200

    asyncio.run(ask())


def test_a_request_that_dribbles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.05)

    async def ask() -> None:
        async with served() as server, server.client() as client:
            for begun in (b"", b"GET /api/v1/peers HTTP/1.1\r\n"):
                assert await raw(server, begun) == b""
            kept = await client.get("/peers")
            assert kept.status_code == 200

    asyncio.run(ask())


def test_too_many_connections_are_told_so() -> None:
    async def ask() -> None:
        async with served({"streams": 1}) as server:
            idle = [await asyncio.open_connection("127.0.0.1", server.api.port) for _ in range(65)]
            answer = await raw(server, get("/api/v1/peers", Host="localhost"))
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Retry-After: 10" in answer
            for _, writer in idle:
                writer.close()
            await until(lambda: server.api.connections == 0)
            async with server.client() as client:
                assert (await client.get("/peers")).status_code == 200

    asyncio.run(ask())


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_search_that_takes_long_gives_what_it_has_and_how_to_go_on(
    order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArchiveWriter(tmp_path / "history") as writer:
        writer.write(numbered(2_000))
    monkeypatch.setattr(aside_module, "LOOK_SECONDS", 0.0)

    async def ask() -> None:
        async with served() as server, server.client() as client:
            server.facts.archive_at = tmp_path / "history"
            found: list[int] = []
            pages, after = 0, None
            while after is not None or not pages:
                query = {"order": order, "where": 'h["Number"].endsWith("77")'} | ({"after": after} if after else {})
                page = (await client.get("/events", params=query)).raise_for_status().json()
                found += [int(row["event"]["Number"]) for row in page["rows"]]
                pages, after = pages + 1, page["next"]
            assert found == sorted(range(77, 2_000, 100), reverse=order == "newest")
            assert pages == 8  # a block each

    asyncio.run(ask())


def test_a_trace_that_takes_too_long_ends_and_leaves_its_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ArchiveWriter(tmp_path / "history") as writer:
        legs = [{"Unique-ID": f"6d5b{number:04}", "Caller-ANI": "1000"} for number in range(9)]
        writer.write([Event("CHANNEL_CREATE", leg) for leg in legs])
    monkeypatch.setattr(aside_module, "LOOK_SECONDS", 0.0)

    async def ask() -> None:
        async with served() as server, server.client() as client:
            server.facts.archive_at = tmp_path / "history"
            for _ in range(5):
                told = problem(await client.get("/trace/1000"), 503)
                assert told.where == "path: key"
                assert "too many calls match" in told.detail

    asyncio.run(ask())
