"""``webhook``: an HTTP request with the event as JSON, tried again while the server is down.

::

    POST /path HTTP/1.1
    Content-Type: application/json
    Switchcast-Event-Id: <Core-UUID>:<Event-Sequence>:<Event-Name>/<rule>    the same at every attempt, and after a
    Switchcast-Rule: <rule>                                                  restart
    Switchcast-Node: <node>
    Switchcast-Signature: t=<seconds since 1970>,v1=<hex>    HMAC-SHA256 of "<t>.<body>" under the rule's key

What is tried again, for ``retry_for``: a connection that cannot be made, and the answers 408, 425, 429 and 5xx, with
growing, random pauses, or ``Retry-After`` where that is longer. A connection that breaks, or a time limit that passes,
once the request is out leaves open whether it was received: that is tried again where delivery is at least once. Any
other answer but 2xx is final, a redirect too: the server named in the rule is the one that is to have the event.

The clock is the event loop's. ``HTTP_PROXY`` and ``.netrc`` are not looked at.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import hmac
import os
import random
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from switchcast._native import Event, __version__
from switchcast.errors import ConfigurationError, MissingExtra
from switchcast.rules.actions.base import Action, Done, Failed, Refused, encoded, shown, value_without
from switchcast.rules.job import Job
from switchcast.rules.settings import WebhookSettings
from switchcast.rules.template import Template

try:
    import httpx
    import stamina
except ImportError:
    raise MissingExtra("webhook", "a rule with a webhook") from None

__all__ = ["PAUSE_FIRST", "PAUSE_MOST", "SIGNATURE", "Webhook", "read_secret", "sign"]

SIGNATURE: Final = "Switchcast-Signature"
PAUSE_FIRST: Final = 0.5
PAUSE_MOST: Final = 30.0
"""Seconds: the longest pause before the second attempt, doubled for each further one, and the cap."""
VALUE_BYTES: Final = 8_192
"""Bytes of a header's value, and of the URL: what servers commonly take."""
ANSWER_BYTES: Final = 4_096
"""Bytes of an answer that are kept; what is longer is not read."""
SECRET_BYTES: Final = 65_536

_AGAIN: Final = frozenset({408, 425, 429})
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_line = value_without(line_breaks=True)


class Webhook(Action):
    """A request for each event."""

    keeps_failures = True

    def __init__(
        self, rule: str, node: str, settings: WebhookSettings, *, concurrency: int = 1, at_least_once: bool = False
    ) -> None:
        super().__init__(rule, node)
        self._settings = settings
        self._url = Template(settings.url)
        self._headers = {name: Template(text) for name, text in settings.headers.items()}
        self._fixed: dict[str, bytes] = {}
        self._secret: bytes | None = None
        self._connections = concurrency
        self._unsure_again = at_least_once
        self._client: httpx.AsyncClient

    def read_secrets(self) -> None:
        """Read the key and the headers that are in files. Raises ``ConfigurationError``."""
        place, files = self._settings.secret_file, self._settings.header_files
        if place is not None:
            self._secret = read_secret(place, f"rule {self.rule}: webhook.secret_file")
        for name, file in files.items():
            self._fixed[name] = read_secret(file, f"rule {self.rule}: webhook.header_files.{name}")

    async def open(self) -> None:
        settings = self._settings
        self._client = httpx.AsyncClient(
            verify=ssl.create_default_context() if settings.url.startswith("https:") else False,
            trust_env=False,
            follow_redirects=False,
            timeout=settings.timeout,
            limits=httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections),
            headers={"User-Agent": f"switchcast/{__version__}", "Content-Type": "application/json"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def act(self, job: Job) -> Done:
        url = self.address(job.event)
        headers = self._fields(job)
        body = job.event.to_json().encode("utf-8", "surrogatepass")
        attempts = _Attempts(self._settings.retry_for)
        try:
            async for attempt in stamina.retry_context(on=attempts.pause_after, attempts=None, timeout=None):
                with attempt:
                    self.retries += attempt.num > 1
                    done = await self._try(url, headers, body)
                    return Done(
                        f"{done.detail}, attempt {attempt.num}" if attempt.num > 1 else done.detail, done.output
                    )
        except _Again as error:
            raise Failed(f"{error}; given up after {attempts.made} attempts in {attempts.seconds:.0f} s") from None
        raise AssertionError  # pragma: no cover - the loop ends by returning or raising

    async def _try(self, url: str, headers: dict[bytes, bytes], body: bytes) -> Done:
        if self._secret is not None:
            headers = headers | {SIGNATURE.encode(): sign(self._secret, body, int(time.time())).encode()}
        request = self._client.build_request(self._settings.method, url, headers=headers, content=body)
        try:
            async with asyncio.timeout(self._settings.timeout):
                response = await self._client.send(request, stream=True)
                try:
                    answer = await _beginning(response)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Again(f"no connection: {str(error) or type(error).__name__}") from None
        except (httpx.TransportError, TimeoutError) as error:
            kind = _Again if self._unsure_again else Failed
            why = str(error) or f"no answer within {self._settings.timeout:g} s"
            raise kind(f"it may have been received or not: {why}") from None
        except httpx.HTTPError as error:
            raise Failed(f"the request cannot be sent: {error}") from None
        status = response.status_code
        if 200 <= status < 300:
            return Done(str(status), answer)
        if status in _AGAIN or status >= 500:
            raise _Again(f"answer {status}", _retry_after(response.headers.get("Retry-After"), time.time()))
        raise Failed(f"answer {status}" + (", a redirect, is not followed" if 300 <= status < 400 else ""), answer)

    def address(self, event: Event) -> str:
        """Where the request for ``event`` goes. Raises ``Refused``."""
        text = self.render(self._url, event, _quoted)
        encoded(text, VALUE_BYTES, "the address")
        if self._url.fields and {".", ".."} & set(urlsplit(text).path.split("/")):
            raise Refused("character", f"a value would lead to another place at the server: {text[:200]!r}")
        return text

    def _fields(self, job: Job) -> dict[bytes, bytes]:
        fields = dict(self._fixed)
        for name, template in self._headers.items():
            value = self.render(template, job.event, _line)
            if found := _CONTROL.search(value):
                raise Refused("character", f"the header {name} would hold {found[0]!r}")
            fields[name] = encoded(value.strip(" \t"), VALUE_BYTES, f"the header {name}")
        fields["Switchcast-Event-Id"] = job.event_id.encode()
        fields["Switchcast-Rule"] = self.rule.encode()
        fields["Switchcast-Node"] = quote(self.node, safe=" @:/").encode()
        return {name.encode(): value for name, value in fields.items()}


class _Again(Exception):
    """An attempt that may succeed later; ``pause`` is what the server asked for, in seconds."""

    def __init__(self, message: str, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause


class _Attempts:
    """When to try again, and until when."""

    def __init__(self, seconds: float) -> None:
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._began = self._now()
        self._until = self._began + seconds
        self.made = 0

    @property
    def seconds(self) -> float:
        """Since the first attempt."""
        return self._now() - self._began

    def pause_after(self, error: Exception) -> bool | float:
        """Seconds to wait after ``error``, or ``False`` when there is no more to be tried."""
        if not isinstance(error, _Again):
            return False
        longest = min(PAUSE_FIRST * 2.0 ** min(self.made, 16), PAUSE_MOST)
        pause = max(longest * random.uniform(0.5, 1.0), error.pause)  # noqa: S311 - jitter is no secret
        self.made += 1
        return pause if self._now() + pause <= self._until else False


def sign(secret: bytes, body: bytes, at: int) -> str:
    """``t=<at>,v1=<hex>``: HMAC-SHA256 of ``<at>.<body>``. A receiver that checks ``t`` refuses what is replayed."""
    return f"t={at},v1={hmac.new(secret, b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def read_secret(place: str, key: str) -> bytes:
    """The secret in a file, or ``credential:NAME`` of systemd's, without the line break at its end.

    Raises ``ConfigurationError``, which names ``key`` and never holds the secret.
    """
    name = place.removeprefix("credential:")
    if name != place:
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if directory is None:
            raise ConfigurationError(f"{key}: {place}: systemd gave no credentials; set LoadCredential={name}:/path")
        place = f"{directory}/{name}"
    try:
        secret = Path(place).read_bytes()[: SECRET_BYTES + 1].removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise ConfigurationError(f"{key}: {place}: {error.strerror}; write the secret into this file") from None
    if not secret or len(secret) > SECRET_BYTES:
        raise ConfigurationError(f"{key}: {place}: a secret is 1 to {SECRET_BYTES:,} bytes long")
    return secret


async def _beginning(response: httpx.Response) -> str:
    """The first bytes of an answer, whatever its length."""
    answer = b""
    async for piece in response.aiter_raw():
        answer += piece
        if len(answer) >= ANSWER_BYTES:
            break
    return shown(answer[:ANSWER_BYTES])


def _quoted(value: str) -> str:
    return quote(encoded(value, VALUE_BYTES, "a value in the address"), safe="")


def _retry_after(value: Any, now: float) -> float:
    """Seconds that ``Retry-After`` asks for, as a number or a date; 0 where it asks for nothing that can be read."""
    if not isinstance(value, str):
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(email.utils.parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return 0.0
