"""The live stream as its client sees it: server-sent events (WHATWG HTML, section 9.2).

::

    : switchcast 0.1.0                           a comment at once, so that the client sees that it is connected
    retry: 2000

    id: 5f0c6a1e-17-18...                              an event, as a row of /events
    data: {"id":"5f0c6a1e-17-18...","received":...,"event":{"Event-Name":"HEARTBEAT",...}}

    event: gap                                   some that this client will not get; also records of other losses
    data: {"events":812,"why":"they are no longer kept","next":"5f0c6a1e-830-18...",...}

    : still here                                 when nothing came for 15 s
    id: 5f0c6a1e-901-18...                             from where to go on, though none of those between was wanted

A client that takes nothing for ``STALLED_SECONDS`` is disconnected. It is a response of our own: sse-starlette changes
uvicorn's signal handling at import and asks twice a second whether to stop, and the node has its own way to end.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, replace
from typing import Final

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from switchcast._native import __version__
from switchcast.app.api.hub import Hub, Reader
from switchcast.app.api.recent import Missed, Place, Reading, Selection
from switchcast.wire.gap_record import is_gap

__all__ = ["HEARTBEAT_SECONDS", "STALLED_SECONDS", "EventStream"]

HEARTBEAT_SECONDS: Final = 15.0
"""The HTML standard advises a comment every 15 seconds or so, for proxies that drop what is silent."""
STALLED_SECONDS: Final = 60.0
_PIECE_BYTES: Final = 65_536
"""What is sent at once: after each piece the event loop turns."""
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_GAP: Final = b"event: gap\n"
_HELLO: Final = f": switchcast {__version__}\nretry: 2000\n\n".encode()


class EventStream(Response):
    """The stream for one client from ``place`` on, after ``missed``. The client counts as a reader while it lasts."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, selection: Selection, place: Place, missed: Missed | None) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._selection = selection
        self._place = place
        self._told = place
        self._missed = missed
        self._since: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client has gone, or the node ends."""
        with self._hub.reading() as reader:
            watching = asyncio.create_task(_watch(receive, reader))
            try:
                await self._send_all(reader, send)
            except TimeoutError:
                self._hub.counts["streams_stalled"] += 1
                if (abort := scope.get("state", {}).get("abort")) is not None:
                    abort()
            finally:
                watching.cancel()

    async def _send_all(self, reader: Reader, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        piece = _HELLO if self._missed is None else _HELLO + self._gap(self._missed)
        while True:
            if piece:
                await _within(STALLED_SECONDS, send, {"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # a send that need not wait gives nobody else a turn
            if reader.gone:
                break
            piece = self._piece()
            if not piece and not await reader.woken(HEARTBEAT_SECONDS):
                piece = self._heartbeat()
        await _within(STALLED_SECONDS, send, {"type": "http.response.body", "body": b"", "more_body": False})

    def _piece(self) -> bytes:
        """What there is for this client, up to a piece of it."""
        pieces: list[bytes] = []
        size = 0
        while size < _PIECE_BYTES and (reading := self._hub.recent.read(self._place, self._selection)) is not None:
            self._place = reading.place
            if reading.missed is not None:
                pieces.append(self._gap(replace(reading.missed, since=self._since)))
            self._since = reading.time / 1e9 or self._since
            if reading.events:
                pieces.append(self._events(reading))
                self._told = reading.place
            size = sum(map(len, pieces))
        return b"".join(pieces)

    def _events(self, reading: Reading) -> bytes:
        self._hub.counts["events_sent"] += len(reading.events)
        return b"".join(
            b"%sid: %s\ndata: %s\n\n" % (_GAP if event.trust == "local" and is_gap(event) else b"", key.encode(), text)
            for key, event, text in zip(reading.ids(), reading.events, reading.texts(), strict=True)
        )

    def _gap(self, missed: Missed) -> bytes:
        self._hub.counts["gaps"] += 1
        self._hub.counts["events_missed"] += missed.events or 0
        return b"%sdata: %s\n\n" % (_GAP, json.dumps(asdict(missed)).encode())

    def _heartbeat(self) -> bytes:
        """A comment, and from where to go on, where that has moved without an event of this client's."""
        last = None if self._told == self._place else self._hub.recent.last_id(self._place)
        if last is None:
            return b": still here\n\n"
        self._told = self._place
        return f": still here\nid: {last}\n\n".encode()


async def _watch(receive: Receive, reader: Reader) -> None:
    """Wait until the client has gone. It has nothing more to say: what it sends is not read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.leave()


async def _within(seconds: float, send: Send, message: Message) -> None:
    async with asyncio.timeout(seconds):
        await send(message)
