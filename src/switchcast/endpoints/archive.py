"""``archive:DIR``: the embedded history, as a sink that keeps and a source that gives again. See docs/archive.md.

As a sink: ``keep`` (``30d``: how far back it goes), ``size`` (``10GiB``: how large it grows), ``segment`` (``512MiB``:
how large one file of it grows), ``level`` (zstd's), ``commit`` (``250ms``: how long an event may wait in memory).

As a source: ``since``, ``until`` (points in time: ``2026-11-23T14:05``, ``14:05``, ``2h`` for two hours ago), ``speed``
(0, the default: as fast as can be; 1: as recorded; 10: ten times as fast), ``after`` (a position).

What is read again is of trust ``stock`` where it was, else ``local``: files prove nothing of what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from switchcast._native import Event, Matcher
from switchcast.archive.reading import ArchiveReader, Stored
from switchcast.archive.recording import BACKLOG_EVENTS, Recorder
from switchcast.archive.segment import parse_position
from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.times import parse_time
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.descriptor import Worker
from switchcast.endpoints.pace import FASTEST, Pace, pause
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointUnavailable, UrlError
from switchcast.quantities import parse_duration

__all__ = ["ArchiveEndpoint"]

SOURCE_OPTIONS = ("after", "since", "speed", "until")
SINK_OPTIONS = ("commit", "keep", "level", "segment", "size")

BATCH_EVENTS: Final = 256
COMMIT_SECONDS: Final = 0.25
LONGEST_COMMIT: Final = 60.0

_BOUNDS: Final = {
    "greater_than_equal": "it is {ge} at least",
    "less_than_equal": "it is {le} at most",
    "int_parsing": "it is no whole number",
}
"""What a setting that is out of bounds is told as, by pydantic's word for it."""

_Value = TypeVar("_Value", float, str | None)


class ArchiveEndpoint(Endpoint):
    """An archive.

    ``clock`` (seconds, monotonic) and ``sleep`` are what ``speed`` goes by; the event loop's own by default.
    """

    is_source = True
    is_sink = True

    def __init__(
        self,
        url: EndpointUrl,
        *,
        matcher: Matcher | None = None,
        role: Role | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        super().__init__(url, matcher=matcher, role=role)
        url.only({"source": SOURCE_OPTIONS, "sink": SINK_OPTIONS}.get(role or "", (*SOURCE_OPTIONS, *SINK_OPTIONS)))
        if url.hosts:
            raise UrlError(f"{url}: an archive has no host; write archive:DIR, or archive:///DIR from the root")
        if not url.path:
            raise UrlError(f"{url}: names no directory; write archive:DIR")
        self.directory = Path(url.path)
        self._settings = _settings_of(url)
        self._interval = _parsed(url, "commit", parse_duration, COMMIT_SECONDS)
        if self._interval > LONGEST_COMMIT:
            raise UrlError(f"{url}: commit={url.text('commit')} is too long; an event waits 60s at most")
        self._speed = url.number("speed", 0.0, 0.0, FASTEST)
        self._since, self._until = _time_of(url, "since"), _time_of(url, "until")
        self._after = _parsed(url, "after", _position, None)
        self._clock = clock
        self._sleep = sleep
        self._stopped = asyncio.Event()
        self._recorder: Recorder | None = None
        self._changed = asyncio.Event()
        self._worker: Worker | None = None
        self._stored: Generator[Stored, None, None] | None = None
        self._ready: list[Event] = []
        self._given = 0
        self._reader: ArchiveReader | None = None

    def counters(self) -> dict[str, int]:
        """Of a source: ``events`` given, ``damaged`` blocks.

        Of a sink: events ``committed``, in the ``backlog`` and ``lost``; ``commits``, ``failures`` to write,
        ``write_outages``, and ``segments_removed``.
        """
        counts: dict[str, int] = {}
        if self._reader is not None:
            counts |= {"events": self._given, "damaged": self._reader.damaged}
        if (recorder := self._recorder) is not None:
            counts |= {
                "committed": recorder.committed,
                "backlog": recorder.backlog,
                "lost": recorder.lost,
                "commits": recorder.commits,
                "failures": recorder.failures,
                "write_outages": recorder.outages,
                "segments_removed": recorder.removed,
            }
        return counts

    async def open_source(self) -> None:
        self.check_open()
        if self._reader is None:
            self._worker = worker = Worker()
            try:
                self._reader = await worker.run(lambda: ArchiveReader(self.directory))
            except BaseException:
                self._worker = None
                await worker.close()
                raise

    async def batches(self) -> AsyncIterator[list[Event]]:
        await self.open_source()
        pace = Pace(self._speed, self._clock or asyncio.get_running_loop().time)
        while not self.closed:
            if not self._ready:
                await self._read_more()
                if not self._ready:
                    return
            due = pace.count_due(self._ready)
            if due:
                batch, self._ready = self._ready[:due], self._ready[due:]
                self._given += len(batch)
                yield batch
            else:
                await pause(pace.delay(self._ready[0]), self._stopped, self._sleep)

    async def _read_more(self) -> None:
        """Read the next events in the thread; none where there are no more."""
        worker, reader = self._worker, self._reader
        if worker is None or reader is None or self.closed:
            return
        if self._stored is None:
            self._stored = reader.events(self._since, self._until, matcher=self.matcher, after=self._after)
        stored = self._stored

        def step() -> None:
            self._ready += [_replayed(each.event) for each in itertools.islice(stored, BATCH_EVENTS)]

        await worker.run(step)

    async def open_sink(self) -> None:
        self.check_open()
        if self._recorder is not None:
            return
        loop = asyncio.get_running_loop()

        def changed() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(self._changed.set)

        recorder = self._recorder = Recorder(self.directory, self._settings, self._interval, changed)
        recorder.start()
        await self._until_true(lambda: recorder.opened or recorder.ended)
        if recorder.error is not None:
            self._recorder = None
            raise recorder.error

    async def send(self, events: Sequence[Event]) -> None:
        """Hand ``events`` to the archive's thread, which has them on the disk within the ``commit`` time.

        Waits while it has too many. Raises ``EndpointUnavailable`` while nothing can be written, as on a full disk;
        what was taken before is kept, and written as soon as that can be. Cancelled, it has taken none.
        """
        await self.open_sink()
        recorder = self._recorder
        if recorder is None:
            raise EndpointUnavailable(f"{self.url}: is being opened")
        await self._until_true(
            lambda: recorder.backlog < BACKLOG_EVENTS or recorder.fault is not None or recorder.ended
        )
        self.check_open()
        if recorder.fault is not None:
            raise EndpointUnavailable(str(recorder.fault)) from recorder.fault
        if recorder.error is not None:
            raise recorder.error
        recorder.put(list(events))

    async def close(self) -> None:
        """What ``send`` has accepted is on the disk when this returns. Raises why not."""
        already, self.closed = self.closed, True
        self._stopped.set()
        if not already and self._worker is not None:
            self._worker.stop()
            await self._worker.close()
            if self._stored is not None:
                self._stored.close()
        recorder = self._recorder
        if recorder is not None:
            if not already:
                recorder.end()
            await self._until_true(lambda: recorder.ended)
            if not already and recorder.error is not None:
                raise recorder.error

    async def _until_true(self, condition: Callable[[], bool]) -> None:
        """Wait until the thread has changed what ``condition`` looks at."""
        while not condition():
            self._changed.clear()
            if not condition():
                await self._changed.wait()


def _replayed(event: Event) -> Event:
    return event if event.trust in {"stock", "local"} else event.with_trust("local")


def _settings_of(url: EndpointUrl) -> ArchiveSettings:
    given = {name: value for name in ("keep", "size", "segment", "level") if (value := url.text(name)) is not None}
    try:
        return ArchiveSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        message = _BOUNDS.get(first["type"], str(first["msg"]).removeprefix("Value error, "))
        message = message.format(**first.get("ctx", {}))
        raise UrlError(f"{url}: {name}={given[name]!r}: {message}") from None


def _position(text: str) -> str:
    parse_position(text)
    return text


def _parsed(url: EndpointUrl, name: str, parse: Callable[[Any], _Value], default: _Value) -> _Value:
    text = url.text(name)
    if text is None:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise UrlError(f"{url}: {name}={text!r}: {error}") from None


def _time_of(url: EndpointUrl, name: str) -> int | None:
    text = url.text(name)
    if text is None:
        return None
    try:
        return parse_time(text, time.time_ns())
    except ValueError as error:
        raise UrlError(f"{url}: {name}={text!r}: {error}") from None
