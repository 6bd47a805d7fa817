"""What a monitoring system asks a node over HTTP: is it alive, is it ready, what are its figures.

============  =========================================================================================
``/healthz``  200 while the event loop turns, 503 when it is stuck: for whoever would restart the node
``/readyz``   200 when every endpoint is up, else 503; a JSON body says which is not, and why
``/metrics``  the figures, in the text formats of Prometheus and OpenMetrics
============  =========================================================================================

The answers come from threads of their own, for a loop that is stuck could not say so; each puts its question to the
loop and gives up after ``ANSWER_SECONDS``. The server is bounded all round: a few threads, each with one request, and
the rest wait in the kernel's backlog; one request a connection; a deadline for the whole of it, however slowly it
comes; no body of a request is read. On a loopback address it answers only who calls it by an address or as
``localhost``, so that no web page can read it through a name of its own that leads here.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import ipaddress
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import structlog

from switchcast.app.listen import listening, names_loopback, parse_listen
from switchcast.app.snapshot import Snapshot
from switchcast.errors import UsageError

__all__ = ["ANSWER_SECONDS", "HealthServer", "LoopProbe", "LoopStuck", "Render", "Take", "serving"]

ANSWER_SECONDS: Final = 5.0
"""How long the event loop may take to answer before it counts as stuck; Prometheus gives up a scrape after 10."""
REQUEST_SECONDS: Final = 10.0
"""For all of a request's bytes to come, and again for all of the answer's to go: one that dribbles holds no thread."""
_THREADS: Final = 4
_BACKLOG: Final = 16
SETTING: Final = "metrics.listen"
"""The setting that errors are about."""
_PATHS: Final = ("/metrics", "/healthz", "/readyz")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}

Take = Callable[[], tuple[Snapshot, float]]
"""Gives a snapshot and the seconds that the event loop took to make it; raises ``LoopStuck``."""
Render = Callable[[str | None], tuple[bytes, str]]
"""Gives the body of ``/metrics`` and its content type, for what the ``Accept`` header says."""

log = structlog.get_logger("switchcast")
_T = TypeVar("_T")


class LoopStuck(Exception):
    """The event loop has not answered in time, or has ended."""


class LoopProbe:
    """Puts questions to the running event loop from other threads."""

    def __init__(self, limit: float = ANSWER_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit

    def ask(self, question: Callable[[], _T]) -> tuple[_T, float]:
        """What ``question`` gives when the loop calls it, and the seconds until it did. Raises ``LoopStuck``."""
        answer: concurrent.futures.Future[tuple[_T, float]] = concurrent.futures.Future()
        asked = time.monotonic()

        def reply() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # nobody waits any more
            try:
                answer.set_result((question(), time.monotonic() - asked))
            except Exception as error:  # noqa: BLE001 - raised again where it was asked
                answer.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(reply)
        except RuntimeError:
            raise LoopStuck("the event loop has ended") from None
        try:
            return answer.result(self._limit)
        except concurrent.futures.TimeoutError:
            answer.cancel()
            raise LoopStuck(f"the event loop has not turned for {self._limit:g} s") from None


@contextlib.asynccontextmanager
async def serving(
    listen: str,
    snapshot: Callable[[], Snapshot],
    exposition: Callable[[Take], Render],
    *,
    allow_remote: bool = False,
    request_seconds: float = REQUEST_SECONDS,
    answer_seconds: float = ANSWER_SECONDS,
) -> AsyncIterator[HealthServer]:
    """A server on ``listen`` for as long as the context lasts.

    ``snapshot`` is called in the event loop. ``exposition`` makes of a way to get one the body of ``/metrics``, and is
    called in a thread. An address that other hosts can reach needs ``allow_remote``, and is warned of: whoever reaches
    it may read it. Raises ``UsageError`` and ``EndpointUnavailable``, which name the setting.
    """
    address, port = parse_listen(listen, SETTING)
    local = ipaddress.ip_address(address).is_loopback
    if not local and not allow_remote:
        raise UsageError(
            f"metrics.listen: {listen} can be reached from other hosts; write 127.0.0.1:{port}, or allow it by "
            "metrics.allow_remote = true"
        )
    with listening(SETTING, address, port, _BACKLOG) as listener:
        server = HealthServer(listener, LoopProbe(answer_seconds), snapshot, exposition, request_seconds)
        if not local:
            log.warning("metrics_reachable_from_other_hosts", address=address, port=server.port)
        server.start()
        try:
            yield server
        finally:
            await server.stop()


class HealthServer:
    """What ``serving`` gives: the threads that answer on one listening socket, ``address`` and ``port``."""

    def __init__(
        self,
        listening: socket.socket,
        probe: LoopProbe,
        snapshot: Callable[[], Snapshot],
        exposition: Callable[[Take], Render],
        request_seconds: float,
    ) -> None:
        self.address, self.port = listening.getsockname()[:2]
        self.local = ipaddress.ip_address(self.address).is_loopback
        self.request_seconds = request_seconds
        self._listening = listening
        self._probe = probe
        self._snapshot = snapshot
        self._render = exposition(self._take)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._serve, name=f"health-{number}", daemon=True) for number in range(_THREADS)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """End what is open, and wait for the threads without holding up the event loop, which they may be asking."""
        with self._lock:
            self._closing = True
            for each in (self._listening, *self._connections):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        """What each thread does: one connection after another."""
        while True:
            try:
                connection, peer = self._listening.accept()
            except OSError as error:
                if self._closing:
                    return
                log.warning("health_accept_failed", error=str(error))
                time.sleep(0.1)  # out of descriptors: that passes, or it does not, and is no reason to spin
                continue
            with connection:
                with self._lock:
                    if self._closing:
                        return
                    self._connections.add(connection)
                try:
                    _Request(connection, peer, self)
                except OSError as error:  # it left, or was too slow
                    log.debug("health_request_ended", error=str(error))
                finally:
                    with self._lock:
                        self._connections.discard(connection)

    def _take(self) -> tuple[Snapshot, float]:
        return self._probe.ask(self._snapshot)

    def answer(self, path: str, accept: str | None) -> tuple[HTTPStatus, bytes, str]:
        """Status, body and content type for one of the paths."""
        try:
            if path == "/metrics":
                return HTTPStatus.OK, *self._render(accept)
            if path == "/healthz":
                _, lag = self._probe.ask(lambda: None)
                return _json(HTTPStatus.OK, {"alive": True, "event_loop_lag_seconds": round(lag, 6)})
            snapshot, _ = self._take()
        except LoopStuck as error:
            return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"alive": False, "ready": False, "why": str(error)})
        status = HTTPStatus.OK if snapshot.ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _json(status, snapshot.readiness())


class _Request(BaseHTTPRequestHandler):
    """One request and its answer. The connection is closed after it."""

    protocol_version = "HTTP/1.1"

    def __init__(self, connection: socket.socket, peer: tuple[Any, ...], health: HealthServer) -> None:
        self._health = health
        super().__init__(connection, peer, health)  # type: ignore[arg-type]  # it is only kept there

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self._health.request_seconds)  # for sendall this is the limit of the whole
        self.rfile.close()
        self.rfile = io.BufferedReader(_UntilDeadline(self.connection, self._health.request_seconds))

    def handle(self) -> None:
        self.close_connection = True
        self.handle_one_request()

    def do_GET(self) -> None:
        self._answer(self.headers.get("Accept"))

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def do_POST(self) -> None:
        self._send(*_text(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered here"), {"Allow": "GET, HEAD"})

    do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815

    def _answer(self, accept: str | None) -> None:
        path = urlsplit(self.path).path if self.path.startswith("/") else ""
        if self._health.local and not names_loopback(self.headers.get("Host", "")):
            self._send(*_text(HTTPStatus.MISDIRECTED_REQUEST, "ask for it as localhost or by its address"))
        elif path not in _PATHS:
            self._send(*_text(HTTPStatus.NOT_FOUND, f"there is {', '.join(_PATHS)}"))
        else:
            try:
                answer = self._health.answer(path, accept)
            except Exception:  # a fault of ours in one answer must end neither the thread nor the node
                log.exception("health_fault", path=path)
                answer = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault in the node; its log has it")
            self._send(*answer)

    def _send(self, status: HTTPStatus, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class answers to what is no request: without repeating it."""
        self.command = getattr(self, "command", None) or ""
        self.request_version = self.protocol_version  # what has no version we know gets headers all the same
        self._send(*_text(HTTPStatus(code), HTTPStatus(code).phrase))

    def end_headers(self) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "switchcast"

    def log_message(self, *_: object) -> None:
        """Nothing: a scrape every few seconds is no news, and what a stranger writes into a request is none either."""


class _UntilDeadline(io.RawIOBase):
    """Reads a socket until a deadline that holds for all reads together."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no whole request within {self._seconds:g} s")
        self._connection.settimeout(left)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._seconds)


def _json(status: HTTPStatus, body: dict[str, object]) -> tuple[HTTPStatus, bytes, str]:
    return status, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") + b"\n", "application/json"


def _text(status: HTTPStatus, text: str) -> tuple[HTTPStatus, bytes, str]:
    return status, f"{text}\n".encode(), "text/plain; charset=utf-8"
