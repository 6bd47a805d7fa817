"""What every request has to pass before anything is done for it, and what every answer carries.

======================  ===========================================================================================
the name asked by       on loopback an address, ``localhost`` or one of ``api.hosts``: else 421, so that no web page
                        reads the node through a name of its own that leads here
the token               where there is one, as ``Authorization: Bearer``, compared in constant time: else 401
a body                  none is read: 413
a long query            more than 8 KiB: 422; long headers, more than 16 KiB: 431
time                    an answer takes at most ``ANSWER_SECONDS``, the live stream excepted: else 503
======================  ===========================================================================================

Pure ASGI, without a task or a buffer of its own for each request.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from switchcast.app.api.problems import Problem, response_of
from switchcast.app.listen import bare_host, names_loopback

__all__ = ["ANSWER_SECONDS", "STREAM_PATH", "Door", "Guard"]

ANSWER_SECONDS: Final = 30.0
"""For an answer to be made and taken."""
STREAM_PATH: Final = "/api/v1/events/stream"
_MOST_QUERY: Final = 8_192
_MOST_HEAD: Final = 16_384
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

log = structlog.get_logger("switchcast")


@dataclass(frozen=True)
class Door:
    """Who is let in: ``token`` is what they have to bring, if anything; on a ``local`` address these ``hosts``."""

    token: bytes | None = field(default=None, repr=False)
    local: bool = True
    hosts: Collection[str] = ()

    def refusal(self, headers: Headers) -> Problem | None:
        """Why a request with these headers is not let in."""
        host = headers.get("host", "")
        if self.local and not names_loopback(host) and bare_host(host) not in {each.lower() for each in self.hosts}:
            return Problem(
                421,
                "the node is not asked by this name here",
                "ask for it as localhost or by its address; add a proxy's name to hosts in [api]",
                "header: Host",
            )
        if self.token is not None and not self._proven(headers.get("authorization", "")):
            return Problem(
                401,
                "the token is missing or wrong",
                "send Authorization: Bearer TOKEN with what is in the node's token_file",
                "header: Authorization",
                {"WWW-Authenticate": 'Bearer realm="switchcast"'},
            )
        return None

    def _proven(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        offered = given.strip().encode("latin-1", "replace")
        # Of equal length whatever was sent, so that the time does not tell the token's.
        equal = hmac.compare_digest(hashlib.sha256(offered).digest(), hashlib.sha256(self.token or b"").digest())
        return equal and scheme.lower() == "bearer"


class Guard:
    """Stands in front of ``app``. ``counts`` are of requests and refusals."""

    def __init__(self, app: ASGIApp, door: Door, counts: Counter[str], seconds: float = ANSWER_SECONDS) -> None:
        self.app = app
        self.door = door
        self.counts = counts
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        self.counts["requests"] += 1
        answer = _Answer(send)
        try:
            refusal = self.door.refusal(Headers(scope=scope)) or _unfit(scope)
            if refusal is None:
                async with asyncio.timeout(None if scope["path"] == STREAM_PATH else self.seconds):
                    await self.app(scope, receive, answer.send)
            else:
                await self._tell(refusal, answer, scope, receive)
        except TimeoutError:
            late = Problem(503, f"not done after {self.seconds:g} s", "ask for less", headers={"Retry-After": "10"})
            await self._tell(late, answer, scope, receive)
        except Exception:  # answered already, where nothing else had been
            log.exception("api_fault", path=scope["path"][:200])
            if not answer.ended:
                _abort(scope)
        finally:
            self.counts[f"answers_{(answer.status or 500) // 100}xx"] += 1

    async def _tell(self, problem: Problem, answer: _Answer, scope: Scope, receive: Receive) -> None:
        """Answer with ``problem``; end the connection where another answer has begun already."""
        if answer.status is None:
            await response_of(problem)(scope, receive, answer.send)
        else:
            _abort(scope)


class _Answer:
    """What is sent, with the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self.status: int | None = None
        self.ended = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass ``message`` on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if self.status in {413, 431}:  # of such a request there may be more to come, which nobody will read
                headers["Connection"] = "close"
        elif not message.get("more_body", False):
            self.ended = True
        await self._send(message)


def _abort(scope: Scope) -> None:
    """End the connection at once, where there is one."""
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        abort()


def _unfit(scope: Scope) -> Problem | None:
    """Why a request is not taken, whoever it is from."""
    headers = Headers(scope=scope)
    if headers.get("content-length", "0").strip("0") or "transfer-encoding" in headers:
        return Problem(413, "a request has no body here", "send none", "body")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > _MOST_HEAD:
        return Problem(431, f"the headers have more than {_MOST_HEAD:,} bytes", "send fewer", "headers")
    if len(scope["query_string"]) > _MOST_QUERY:
        return Problem(422, f"the query has more than {_MOST_QUERY:,} bytes", "ask for less", "query")
    return None
