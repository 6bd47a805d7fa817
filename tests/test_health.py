"""A node's answers to a monitoring system: over real connections, well-behaved and otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from switchcast.app.health import ANSWER_SECONDS, HealthServer, LoopProbe, LoopStuck, serving
from switchcast.app.listen import parse_listen
from switchcast.app.metrics import Exposition
from switchcast.app.snapshot import EndpointState, Part, Snapshot
from switchcast.errors import EndpointUnavailable, UsageError

UP = Snapshot("fs1", "running", endpoints=[EndpointState("switch", up=True), EndpointState("group", up=True)])
DOWN = Snapshot(
    "fs1",
    "running",
    endpoints=[EndpointState("switch", up=False, why="connection refused"), EndpointState("g", up=True)],
)
PATIENCE = 30.0
_T = TypeVar("_T")


@contextlib.asynccontextmanager
async def server(snapshot: Snapshot = UP, listen: str = "127.0.0.1:0", **options: Any) -> AsyncIterator[HealthServer]:
    async with serving(listen, lambda: snapshot, Exposition, **options) as running:
        yield running


class Answer:
    """What came back, and what it was."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(at: HealthServer, path: str, method: str = "GET", **headers: str) -> Answer:
    """One request, as a client in another thread sends it."""
    connection = http.client.HTTPConnection(at.address, at.port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def say(at: HealthServer, text: bytes) -> bytes:
    """Send ``text`` as it is; everything that comes back until the connection is closed."""
    with socket.create_connection((at.address, at.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(text)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while some := connection.recv(65536):
                received += some
        return received


def with_server(client: Callable[[HealthServer], _T], snapshot: Snapshot = UP, **options: Any) -> _T:
    """Run ``client`` in a thread while a server runs."""

    async def both() -> _T:
        async with server(snapshot, **options) as running:
            return await asyncio.to_thread(client, running)

    return asyncio.run(both())


def test_a_node_that_is_well_says_so() -> None:
    alive, ready = with_server(lambda at: (ask(at, "/healthz"), ask(at, "/readyz")))
    assert (alive.status, ready.status) == (200, 200)
    assert alive.json["alive"] is True
    assert 0 <= alive.json["event_loop_lag_seconds"] < PATIENCE
    assert ready.json == {"ready": True, "node": "fs1", "phase": "running", "down": {}}


def test_a_node_without_its_switch_lives_but_is_not_ready() -> None:
    alive, ready = with_server(lambda at: (ask(at, "/healthz"), ask(at, "/readyz")), DOWN)
    assert alive.status == 200
    assert ready.status == 503
    assert ready.json == {"ready": False, "node": "fs1", "phase": "running", "down": {"switch": "connection refused"}}


@pytest.mark.parametrize(
    ("phase", "status"), [("starting", 503), ("running", 200), ("reloading", 200), ("stopping", 503)]
)
def test_readiness_follows_the_phase(phase: Any, status: int) -> None:
    assert with_server(lambda at: ask(at, "/readyz").status, Snapshot("fs1", phase)) == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_a_stuck_event_loop_is_told(path: str) -> None:
    async def stuck() -> Answer:
        with ThreadPoolExecutor(1) as outside:
            async with server(answer_seconds=0.05) as running:
                return outside.submit(ask, running, path).result()  # blocks the loop: nothing else can turn it

    answer = asyncio.run(stuck())
    assert answer.status == 503
    assert answer.json["alive"] is False
    assert "has not turned for 0.05 s" in answer.json["why"]


def test_a_question_to_a_loop_that_has_ended_is_not_waited_for() -> None:
    async def probe() -> LoopProbe:
        return LoopProbe(PATIENCE)

    ended = asyncio.run(probe())
    with pytest.raises(LoopStuck, match="has ended"):
        ended.ask(lambda: 1)


def test_an_answer_that_nobody_waits_for_any_more_does_no_harm() -> None:
    async def late() -> list[str]:
        asked: list[str] = []
        probe = LoopProbe(0.01)
        with ThreadPoolExecutor(1) as outside, pytest.raises(LoopStuck):
            outside.submit(probe.ask, lambda: asked.append("asked")).result()
        await asyncio.sleep(0)
        return asked

    assert asyncio.run(late()) == []


def test_a_fault_in_the_snapshot_is_one_answer_and_not_the_end() -> None:
    def broken() -> Snapshot:
        raise ZeroDivisionError

    async def asked() -> list[int]:
        async with serving("127.0.0.1:0", broken, Exposition) as running:
            return [
                (await asyncio.to_thread(ask, running, path)).status for path in ("/readyz", "/metrics", "/healthz")
            ]

    with capture_logs() as lines:
        assert asyncio.run(asked()) == [500, 500, 200]
    assert [line["event"] for line in lines] == ["health_fault", "health_fault"]


def test_metrics_are_served_in_the_form_that_is_asked_for() -> None:
    plain, open_metrics = with_server(
        lambda at: (ask(at, "/metrics"), ask(at, "/metrics", Accept="application/openmetrics-text; version=1.0.0"))
    )
    assert plain.status == open_metrics.status == 200
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert open_metrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert open_metrics.body.endswith(b"# EOF\n")
    assert b'switchcast_endpoint_up{endpoint="switch"} 1.0' in plain.body


def test_every_answer_carries_the_protecting_headers() -> None:
    def client(at: HealthServer) -> list[Answer]:
        return [ask(at, "/metrics"), ask(at, "/healthz"), ask(at, "/nothing"), ask(at, "/metrics", "POST")]

    for answer in with_server(client):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Server"] == "switchcast"
        assert int(answer.headers["Content-Length"]) == len(answer.body)


def test_head_tells_the_length_and_no_body() -> None:
    head, get = with_server(lambda at: (ask(at, "/readyz", "HEAD"), ask(at, "/readyz")))
    assert head.status == 200
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metrics/",
        "/metrics/../metrics",
        "/../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "/%6detrics",
        "/METRICS",
        "/metrics%00",
        "*",
        "http://127.0.0.1/metrics",
    ],
)
def test_there_are_three_paths_and_no_other(path: str) -> None:
    assert with_server(lambda at: ask(at, path).status) == 404


def test_a_query_changes_nothing() -> None:
    assert with_server(lambda at: ask(at, "/healthz?verbose=1").status) == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed_here(method: str) -> None:
    answer = with_server(lambda at: ask(at, "/metrics", method))
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["localhost", "localhost:9747", "127.0.0.1:9747", "[::1]:9747", "127.0.0.1", ""])
def test_a_loopback_address_answers_to_its_own_names(host: str) -> None:
    assert with_server(lambda at: ask(at, "/healthz", Host=host).status) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9747", "localhost.evil.example", "127.0.0.1.example"])
def test_a_loopback_address_does_not_answer_to_a_web_pages_name(host: str) -> None:
    assert with_server(lambda at: ask(at, "/metrics", Host=host).status) == 421


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"GET /metrics HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /metrics HTTP/9.9\r\n\r\n", 505),
        (b"GET  /metrics  with spaces HTTP/1.1\r\n\r\n", 400),
        (b"BREW /metrics HTTP/1.1\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_gets_a_short_answer_that_does_not_repeat_it(text: bytes, status: int) -> None:
    answer = with_server(lambda at: say(at, text))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert len(body) < 100
    assert b"aaaa" not in answer
    assert b"Traceback" not in answer


@pytest.mark.parametrize("beginning", [b"", b"GET /metrics HT", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_request_that_never_ends_is_given_up(beginning: bytes) -> None:
    assert with_server(lambda at: say(at, beginning), request_seconds=0.05) == b""


def test_the_deadline_is_for_the_whole_request_however_slowly_it_dribbles() -> None:
    def dribble(at: HealthServer) -> int:
        sent = 0
        connection = socket.create_connection((at.address, at.port), timeout=0.01)
        with connection, contextlib.suppress(ConnectionError):
            ended = False
            while not ended:
                connection.sendall(b"G")
                sent += 1
                with contextlib.suppress(TimeoutError):
                    ended = connection.recv(1) == b""
        return sent

    assert 1 < with_server(dribble, request_seconds=0.2) < 1000


def test_more_clients_than_threads_wait_their_turn() -> None:
    def client(at: HealthServer) -> list[int]:
        with ThreadPoolExecutor(16) as crowd:
            return [answer.status for answer in crowd.map(lambda _: ask(at, "/metrics"), range(64))]

    assert with_server(client) == [200] * 64


def test_stopping_does_not_wait_for_clients_that_say_nothing() -> None:
    async def stop_with_clients() -> None:
        with contextlib.ExitStack() as clients:
            async with server(request_seconds=10 * PATIENCE) as running:
                for _ in range(8):
                    clients.enter_context(socket.create_connection((running.address, running.port)))

    asyncio.run(asyncio.wait_for(stop_with_clients(), PATIENCE))


def test_a_port_that_is_taken_names_the_setting() -> None:
    async def twice() -> None:
        async with server() as first:
            with pytest.raises(
                EndpointUnavailable, match=rf"^metrics\.listen: 127\.0\.0\.1 port {first.port}: another"
            ):
                async with server(listen=f"127.0.0.1:{first.port}"):
                    pass

    asyncio.run(twice())


def test_an_address_of_another_host_names_the_setting() -> None:
    async def elsewhere() -> None:
        async with server(listen="192.0.2.1:9747", allow_remote=True):
            pass

    with pytest.raises(EndpointUnavailable, match=r"^metrics\.listen: 192\.0\.2\.1 port 9747: .*address of this host"):
        asyncio.run(elsewhere())


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:9747"])
def test_other_hosts_are_let_in_only_when_that_is_said(listen: str) -> None:
    async def opened() -> None:
        async with server(listen=listen):
            pass

    with pytest.raises(UsageError, match=r"metrics\.allow_remote = true"):
        asyncio.run(opened())


def test_letting_other_hosts_in_is_warned_of() -> None:
    with capture_logs() as lines:
        status = with_server(
            lambda at: ask(at, "/healthz", Host="fs1.example.com").status, listen="0.0.0.0:0", allow_remote=True
        )
    assert status == 200
    assert [(line["event"], line["log_level"]) for line in lines] == [("metrics_reachable_from_other_hosts", "warning")]


def test_it_listens_on_ipv6() -> None:
    assert with_server(lambda at: ask(at, "/healthz").status, listen="[::1]:0") == 200


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:9747", ("127.0.0.1", 9747)),
        ("localhost:9747", ("127.0.0.1", 9747)),
        ("[::1]:80", ("::1", 80)),
        ("[2001:db8::7]:1", ("2001:db8::7", 1)),
    ],
)
def test_listen_is_an_address_and_a_port(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text, "metrics.listen") == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "9747",
        ":9747",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "::1:9747",
        "[127.0.0.1]:1",
        "fs1.example.com:9747",
        "127.0.0.1:٣",
        "[::1:9747",
    ],
)
def test_a_wrong_listen_says_what_would_do(text: str) -> None:
    with pytest.raises(UsageError, match=r"^metrics\.listen: .*such as 127\.0\.0\.1:9747"):
        parse_listen(text, "metrics.listen")


def test_a_snapshot_without_endpoints_that_runs_is_ready() -> None:
    assert Snapshot("fs1", "running", rules=[Part("lamp")]).ready


def test_the_page_shows_what_an_answer_holds() -> None:
    page = (Path(__file__).parent.parent / "docs" / "monitoring.md").read_text(encoding="utf-8")
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    told = DOWN.readiness()
    assert shown.keys() == told.keys()
    assert {key: type(value) for key, value in shown.items()} == {key: type(value) for key, value in told.items()}
    assert f"it has not for {ANSWER_SECONDS:g} s" in page
