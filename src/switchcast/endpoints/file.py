"""``file:PATH`` and ``-``: recordings as sources and sinks.

====================  ============================================================================================
name                  what it holds
====================  ============================================================================================
``.jsonl .ndjson``    JSON lines, one event each; ``.json`` too (see ``switchcast.wire.lines``)
``.pcap .cap``        a capture, as tcpdump writes it
``.pcapng``           a capture, as Wireshark writes it
``.gz .zst``          behind any of these: compressed
``-``                 standard input, which is any of them; standard output, which is JSON lines
====================  ============================================================================================

What is read is known by how it begins, so a name that is wrong, or no name, does no harm.

Options when reading: ``speed`` (0, the default: as fast as can be; 1: as recorded; 10: ten times as fast), ``port``
(of a capture, only datagrams to that port), ``psk``, ``psk_file``. When writing: ``append=yes`` (JSON lines; otherwise
what was there is replaced), ``psk``, ``psk_file`` (captures). Both: ``format`` (``jsonl``, ``pcap``, ``pcapng``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from switchcast._native import Event, Matcher
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.compression import Compression, Compressor, compressor
from switchcast.endpoints.descriptor import Input, Output, Worker, telling
from switchcast.endpoints.pace import FASTEST, Pace, pause
from switchcast.endpoints.recording import Format, LineWriter, PacketWriter, RecordingReader, RecordingWriter
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointClosed, UrlError

__all__ = ["FileEndpoint"]

SOURCE_OPTIONS = ("format", "port", "psk", "psk_file", "speed")
SINK_OPTIONS = ("append", "format", "psk", "psk_file")

FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".pcap": "pcap",
    ".cap": "pcap",
    ".pcapng": "pcapng",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}

Opened = TypeVar("Opened", "_Source", "_Sink")


class FileEndpoint(Endpoint):
    """A recording.

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
        url.only({"source": SOURCE_OPTIONS, "sink": SINK_OPTIONS}.get(role or "", (*SOURCE_OPTIONS, "append")))
        if url.hosts:
            raise UrlError(f"{url}: a file has no host; write file:PATH, or file:///PATH from the root")
        if url.scheme == "file" and not url.path:
            raise UrlError(f"{url}: names no file; write file:PATH, or - for the standard streams")
        self._path = None if url.scheme == "-" else url.path
        self._named, self._compression = kinds_of(url)
        self._append = url.boolean("append", False)
        self._speed = url.number("speed", 0.0, 0.0, FASTEST)
        self._port = url.integer("port", 0, 1, 65_535) or None
        self._clock = clock
        self._sleep = sleep
        self._worker: Worker | None = None
        self._stopped = asyncio.Event()
        self._closing = asyncio.Lock()
        self._source: _Source | None = None
        self._sink: _Sink | None = None
        if role == "sink":
            self._writer()  # a URL that cannot be written to is told of before anything is opened

    def progress(self) -> tuple[int, int | None]:
        """Bytes of the file read so far, and bytes of the file; ``None`` where that has no size, as a pipe has none."""
        return (self._source.input.bytes_read, self._source.input.size) if self._source else (0, None)

    def counters(self) -> dict[str, int]:
        """``events`` and ``bytes``, and what became of the rest.

        Of a source: ``unmatched``, ``truncated``, ``rejected_<reason>`` and, of a capture, what its packets were and
        ``other_port``. Of a sink for captures: ``too_large``.
        """
        counts: dict[str, int] = {}
        if self._source is not None:
            counts |= self._source.counters()
        if self._sink is not None:
            counts |= self._sink.counters()
        return counts

    async def open_source(self) -> None:
        await self._opened_source()

    async def open_sink(self) -> None:
        await self._opened_sink()

    async def batches(self) -> AsyncIterator[list[Event]]:
        source = await self._opened_source()
        pace = Pace(self._speed, self._clock or asyncio.get_running_loop().time)

        def read_more() -> None:
            with telling(str(self.url)):
                source.read_more()

        while not self.closed:
            if not source.ready:
                if source.ended:
                    return
                await self._thread().run(read_more)
                continue
            due = pace.count_due(source.ready)
            if due:
                batch, source.ready = source.ready[:due], source.ready[due:]
                yield batch
            else:
                await pause(pace.delay(source.ready[0]), self._stopped, self._sleep)

    async def send(self, events: Sequence[Event]) -> None:
        """Write ``events``. They are in the file when this returns, or, when it is compressed, once it is closed.

        Cancelled, it may have written some of them.
        """
        sink = await self._opened_sink()

        def write() -> bool:
            with telling(str(self.url)):
                return sink.write(events)

        if not await self._thread().run(write):
            raise EndpointClosed(f"{self.url}: closed while it was being written to")

    async def close(self) -> None:
        """What ``send`` has accepted is in the file when this returns. Raises what the last bytes run into."""
        self.closed = True
        self._stopped.set()
        if self._worker is not None:
            self._worker.stop()
        async with self._closing:
            worker, self._worker = self._worker, None
            if worker is None:
                return
            try:
                await worker.run(self._finish, last=True)
            finally:
                await worker.close()
                for end in (self._source, self._sink):
                    if end is not None:
                        end.close()

    def _finish(self) -> None:
        if self._sink is not None:
            with telling(str(self.url)):
                self._sink.finish()

    def _thread(self) -> Worker:
        self.check_open()
        if self._worker is None:
            self._worker = Worker()
        return self._worker

    async def _opened_source(self) -> _Source:
        self.check_open()
        if self._source is not None:
            return self._source
        psk = self.url.secret("psk")
        worker = self._thread()

        def open_it() -> _Source:
            if self._source is None:
                with telling(str(self.url)):
                    file = Input(self._path, worker)
                reader = RecordingReader(str(self.url), self._named, psk=psk, port=self._port)
                self._source = _Source(file, reader, self.matcher)
            return self._source

        return await self._opening(worker, open_it)

    async def _opened_sink(self) -> _Sink:
        self.check_open()
        if self._sink is not None:
            return self._sink
        writer = self._writer()
        worker = self._thread()

        def open_it() -> _Sink:
            if self._sink is None:
                with telling(str(self.url)):
                    output = Output(self._path, worker, append=self._append)
                    sink = _Sink(output, writer, self._compression and compressor(self._compression))
                    sink.start(self._append)
                self._sink = sink
            return self._sink

        return await self._opening(worker, open_it)

    async def _opening(self, worker: Worker, open_it: Callable[[], Opened]) -> Opened:
        """What ``open_it`` opens. Nothing stays open when it fails: ``async with`` closes only what it has entered."""
        try:
            return await worker.run(open_it)
        except BaseException:
            await self.close()
            raise

    def _writer(self) -> RecordingWriter:
        """Raises ``UrlError`` when the URL does not say what to write, or asks for what cannot be."""
        psk = self.url.secret("psk")
        named = self._named or ("jsonl" if self._path is None else None)
        if named is None:
            raise UrlError(f"{self.url}: the name does not tell the format; add ?format=jsonl, pcap or pcapng")
        if named == "jsonl":
            if psk is not None:
                raise UrlError(f"{self.url}: psk is for captures; JSON lines are not encrypted")
            return LineWriter()
        if self._append:
            raise UrlError(f"{self.url}: append=yes is for JSON lines; a capture cannot be added to")
        return PacketWriter(str(self.url), named, psk)


def kinds_of(url: EndpointUrl) -> tuple[Format | None, Compression | None]:
    """The format and the compression that a URL asks for, by its name or its options."""
    stem, suffix = os.path.splitext(url.path.lower())
    compression = COMPRESSIONS.get(suffix)
    if compression is not None:
        _, suffix = os.path.splitext(stem)
    if url.text("format") is None:
        return FORMATS.get(suffix), compression
    formats = {name: name for name in FORMATS.values()}
    return formats[url.choice("format", "", list(formats))], compression  # type: ignore[index]


class _Source:
    """What is open for reading; ``read_more`` is for the thread."""

    def __init__(self, file: Input, reader: RecordingReader, matcher: Matcher | None) -> None:
        self.input = file
        self.ready: list[Event] = []
        self.ended = False
        self._reader = reader
        self._matcher = matcher
        self._unmatched = 0
        self._batches: Iterator[list[Event]] = reader.batches(file.pieces())

    def read_more(self) -> None:
        """Add the next events to ``ready``, or none when the thread was woken, or set ``ended``."""
        batch = next(self._batches, None)
        if batch is None:
            self.ended = True
        elif self._matcher is None:
            self.ready += batch
        else:
            matched = self._matcher.select(batch)
            self._unmatched += len(batch) - len(matched)
            self.ready += matched

    def counters(self) -> dict[str, int]:
        return self._reader.counters() | {"bytes": self.input.bytes_read, "unmatched": self._unmatched}

    def close(self) -> None:
        self.input.close()


class _Sink:
    """What is open for writing; ``start``, ``write`` and ``finish`` are for the thread."""

    def __init__(self, output: Output, writer: RecordingWriter, stream: Compressor | None) -> None:
        self._output = output
        self._writer = writer
        self._stream = stream

    def start(self, append: bool) -> None:
        """Begin the file, or, when it is added to, finish a line that was left without its end."""
        try:
            if append and self._stream is None and self._output.ends_in() not in {b"", b"\n"}:
                self._output.write(b"\n")
            start = self._writer.start()
            if start:
                self._output.write(self._compressed(start))
        except OSError:
            self._output.close()
            raise

    def write(self, events: Sequence[Event]) -> bool:
        """False when the thread was woken before all was written."""
        return self._output.write(self._compressed(self._writer.encode(events)))

    def finish(self) -> None:
        """Write what the compression still holds."""
        self._output.finish(self._stream.flush() if self._stream else b"")

    def close(self) -> None:
        self._output.close()

    def counters(self) -> dict[str, int]:
        return self._writer.counters() | {"bytes": self._output.bytes_written}

    def _compressed(self, data: bytes) -> bytes:
        return self._stream.compress(data) if self._stream else data
