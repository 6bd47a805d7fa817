"""What every endpoint is: a source of batches of events, a sink for them, or both."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from switchcast._native import Event, Matcher
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointClosed, UrlError
from switchcast.keys import GroupKeys

__all__ = ["Endpoint", "Role"]

Role = Literal["source", "sink"]


class Endpoint(ABC):
    """One end of the line, chosen by a URL.

    A source yields lists of events, never empty ones, until it ends or is closed. A sink takes lists. Both may be
    cancelled at any await and closed at any time; closing twice is harmless. What is not opened by ``async with`` is
    opened by the first use.
    """

    is_source: ClassVar[bool] = False
    is_sink: ClassVar[bool] = False

    def __init__(self, url: EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> None:
        if role == "source" and not self.is_source:
            raise UrlError(f"{url}: {url.scheme}: can be sent to but not listened to")
        if role == "sink" and not self.is_sink:
            raise UrlError(f"{url}: {url.scheme}: can be listened to but not sent to")
        self.url = url
        self.matcher = matcher
        self.role = role
        self.closed = False

    async def __aenter__(self) -> Self:
        if self.role == "source":
            await self.open_source()
        elif self.role == "sink":
            await self.open_sink()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    async def open_source(self) -> None:
        """Make ready to receive: join, bind, connect, open. Idempotent."""

    async def open_sink(self) -> None:
        """Make ready to send. Idempotent."""

    def batches(self) -> AsyncIterator[list[Event]]:
        """Batches of events as they come, each holding at least one, until the source ends or is closed.

        ``matcher`` is already applied. A source overrides this with an async generator.
        """
        raise UrlError(f"{self.url}: {self.url.scheme}: can be sent to but not listened to")

    async def send(self, events: Sequence[Event]) -> None:
        """Send ``events`` in order. Waits while the way is full, and raises what only the caller can mend.

        A sink overrides this.
        """
        raise UrlError(f"{self.url}: {self.url.scheme}: can be listened to but not sent to")

    def rekey(self, keys: GroupKeys) -> None:
        """Go on with ``keys``, of which the first is sent with, without losing anything; open or not.

        An endpoint that knows group keys overrides this.
        """
        raise UrlError(f"{self.url}: {self.url.scheme}: endpoints have no group keys")

    def streams(self) -> list[dict[str, Any]]:
        """What is known of each stream that is heard, where streams are told apart: see ``ReliableReceiver``."""
        return []

    @property
    def tells_gaps(self) -> bool:
        """Whether it says in-band, with gap records that this host vouches for, what it did not get."""
        return False

    def check_open(self) -> None:
        """Raise ``EndpointClosed`` when the endpoint has been closed."""
        if self.closed:
            raise EndpointClosed(f"{self.url}: closed")

    def counters(self) -> dict[str, int]:
        """What has come, gone and been dropped since the start, by reason; names are stable."""
        return {}

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. Idempotent; a pending ``batches()`` ends."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for batch in self.batches():
            for event in batch:
                yield event
