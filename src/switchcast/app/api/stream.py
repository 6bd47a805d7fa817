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

A client that names an event which memory no longer has, or has fallen behind what it has, is given the events from the
archive of the node until memory has the next one (``way.py``); without an archive it is told a gap.

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

from switchcast._native import Event, __version__
from switchcast.app.api.hub import Hub, Reader
from switchcast.app.api.recent import Missed, Reading, Selection, rendered
from switchcast.app.api.way import POLL_SECONDS, Way, way_from
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
    """The stream for one client behind the event with the id ``last``, or from now on. It is a reader while it lasts.

    It is at a place in memory or, while what comes next is no longer there, on a way through the archive.
    """

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, selection: Selection, last: str | None) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._hub = hub
        self._selection = selection
        self._place, self._missed = hub.recent.resumed(last)
        self._told = self._place
        self._last = last if last is not None else hub.recent.last_id(self._place)
        self._since: float | None = None
        self._way: Way | None = None
        if self._missed is not None and self._fall_behind():
            self._missed = None

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
        clock = asyncio.get_running_loop().time
        silent_since = clock()
        while True:
            if piece:
                await _within(STALLED_SECONDS, send, {"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0)  # a send that need not wait gives nobody else a turn
                silent_since = clock()
            if reader.gone:
                break
            if self._way is not None:
                piece = await self._archived(self._way)
                if not piece and clock() - silent_since >= HEARTBEAT_SECONDS:
                    piece = self._heartbeat()
                continue
            piece = self._piece()
            if not piece and self._way is None and not await reader.woken(HEARTBEAT_SECONDS):
                piece = self._heartbeat()
        await _within(STALLED_SECONDS, send, {"type": "http.response.body", "body": b"", "more_body": False})

    def _piece(self) -> bytes:
        """What there is for this client in memory, up to a piece of it."""
        recent = self._hub.recent
        pieces: list[bytes] = []
        size = 0
        while size < _PIECE_BYTES:
            if recent.oldest > self._place.number and self._fall_behind():
                break
            reading = recent.read(self._place, self._selection)
            if reading is None:
                break
            self._place = reading.place
            self._last = reading.last_id or self._last
            if reading.missed is not None:
                pieces.append(self._gap(replace(reading.missed, since=self._since)))
            self._since = reading.time / 1e9 or self._since
            if reading.events:
                pieces.append(self._events(reading))
                self._told = reading.place
            size = sum(map(len, pieces))
        return b"".join(pieces)

    def _fall_behind(self) -> bool:
        """Go on in the archive, where there is one that may have what comes behind the last event."""
        self._way = way_from(self._last, self._selection, self._hub.past)
        self._hub.counts["streams_behind"] += self._way is not None
        return self._way is not None

    async def _archived(self, way: Way) -> bytes:
        """What comes next on the way through the archive, and where that ends, what is missing."""
        step = await way.step()
        if step.wait:
            await asyncio.sleep(POLL_SECONDS)
        pieces = [_event(event_id, event, rendered(event_id, event)) for event_id, event in step.events]
        self._hub.counts["events_sent"] += len(pieces)
        self._hub.counts["events_archived"] += len(pieces)
        if step.missed is not None:
            pieces.append(self._gap(step.missed))
        self._last = way.last
        if step.place is not None:
            self._way = None
            self._place = self._told = step.place
            self._last = way.last_before(step.place)
        return b"".join(pieces)

    def _events(self, reading: Reading) -> bytes:
        self._hub.counts["events_sent"] += len(reading.events)
        return b"".join(map(_event, reading.ids(), reading.events, reading.texts()))

    def _gap(self, missed: Missed) -> bytes:
        self._hub.counts["gaps"] += 1
        self._hub.counts["events_missed"] += missed.events or 0
        return b"%sdata: %s\n\n" % (_GAP, json.dumps(asdict(missed)).encode())

    def _heartbeat(self) -> bytes:
        """A comment, and from where to go on, where that has moved without an event of this client's."""
        last = self._last if self._way is not None or self._told != self._place else None
        if last is None:
            return b": still here\n\n"
        self._told = self._place
        return f": still here\nid: {last}\n\n".encode()


def _event(event_id: str, event: Event, text: bytes) -> bytes:
    kind = _GAP if event.trust == "local" and is_gap(event) else b""
    return b"%sid: %s\ndata: %s\n\n" % (kind, event_id.encode(), text)


async def _watch(receive: Receive, reader: Reader) -> None:
    """Wait until the client has gone. It has nothing more to say: what it sends is not read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.leave()


async def _within(seconds: float, send: Send, message: Message) -> None:
    async with asyncio.timeout(seconds):
        await send(message)
