"""Files, pipes, terminals: read and written in a thread, so that the event loop never waits for one.

A thread that waits for a pipe cannot be cancelled. So it waits for a wake-up too, which a cancelled task gives it, and
then comes back with what it has: nothing that was read or is still to be written gets lost by that.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from switchcast.errors import EndpointClosed, EndpointDenied, EndpointUnavailable

__all__ = ["Input", "Output", "Worker", "telling"]

READ_BYTES = 262_144
"""Bytes that are read at a time."""

PIPE_BYTES = 4_096
"""Bytes that a pipe which says that it is writable takes without waiting (PIPE_BUF). We leave a standard stream in
blocking mode, since that mode belongs to everyone who has it open, the shell among them."""

Result = TypeVar("Result")


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Make an ``OSError`` in here an error of the endpoint called ``name``; the ``OSError`` stays as its cause."""
    try:
        yield
    except BrokenPipeError as error:
        raise EndpointUnavailable(f"{name}: whoever was reading it has gone") from error
    except FileNotFoundError as error:
        raise EndpointUnavailable(f"{name}: no such file or directory") from error
    except PermissionError as error:
        raise EndpointDenied(f"{name}: permission denied; this runs as user {os.geteuid()}") from error
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise EndpointUnavailable(f"{name}: nobody is reading from this named pipe") from error
        raise EndpointUnavailable(f"{name}: {error.strerror or error}") from error


class Worker:
    """Runs the blocking steps of one endpoint in a thread, one at a time."""

    def __init__(self) -> None:
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._turn = asyncio.Lock()
        self._step: asyncio.Future[Any] | None = None
        self._stopped = False
        self._closed = False

    async def run(self, step: Callable[[], Result], *, last: bool = False) -> Result:
        """Run ``step`` in a thread. Cancelled, it wakes the step and lets it end by itself; the next waits for that.

        So a step keeps what it has rather than only return it. After ``stop`` every step finds itself woken, but the
        ``last`` one. After ``close`` there are none: ``EndpointClosed``.
        """
        async with self._turn:
            if self._closed:
                raise EndpointClosed("closed while this waited for its turn")
            if self._step is not None and not self._step.done():
                await asyncio.wait([self._step])
            if last or not self._stopped:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            future = asyncio.get_running_loop().run_in_executor(None, step)
            self._step = future
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self.wake()
                raise

    def wake(self) -> None:
        """Let the step that runs now come back at once, if it waits for a descriptor."""
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """The same for every step from now on."""
        self._stopped = True
        self.wake()

    def ready(self, descriptor: int, event: int, *, wait: bool = True) -> bool:
        """For a step: wait until ``descriptor`` can be read or written; False when it was woken instead."""
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._wake, select.POLLIN)
        found = [number for number, _ in poll.poll(None if wait else 0)]
        return descriptor in found and self._wake not in found

    async def close(self) -> None:
        """Wait for the step that still runs, if any, and let go of the wake-up."""
        async with self._turn:
            if self._step is not None and not self._step.done():
                await asyncio.wait([self._step])
            if not self._closed:
                self._closed = True
                os.close(self._wake)


class Input:
    """A descriptor that is read from; ``None`` for ``path`` is standard input."""

    def __init__(self, path: str | None, worker: Worker) -> None:
        self._worker = worker
        self._owned = path is not None
        # Without O_NONBLOCK, opening a named pipe would wait for somebody to write to it.
        self._descriptor = 0 if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if stat.S_ISDIR(status.st_mode):
            self.close()
            raise IsADirectoryError(errno.EISDIR, "is a directory; a file is wanted")
        self.bytes_read = 0
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None

    def pieces(self) -> Iterator[bytes]:
        """What is read, as it comes; an empty piece when the worker was woken."""
        while True:
            piece = b""
            if self._worker.ready(self._descriptor, select.POLLIN):
                try:
                    piece = os.read(self._descriptor, READ_BYTES)
                except BlockingIOError:
                    continue
                if not piece:
                    return
                self.bytes_read += len(piece)
            yield piece

    def close(self) -> None:
        """Let go of the file; standard input stays open."""
        if self._owned:
            os.close(self._descriptor)


class Output:
    """A descriptor that is written to; ``None`` for ``path`` is standard output."""

    def __init__(self, path: str | None, worker: Worker, *, append: bool = False) -> None:
        self._worker = worker
        self._owned = path is not None
        flags = os.O_RDWR | os.O_APPEND if append else os.O_WRONLY | os.O_TRUNC
        flags |= os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = 1 if path is None else os.open(path, flags, 0o666)
        regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._most = READ_BYTES if regular else PIPE_BYTES
        self._waiting = b""
        self._interrupted = False
        self.bytes_written = 0

    def ends_in(self) -> bytes:
        """The last byte of a file that is appended to; empty when there is none."""
        size = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, 1, size - 1) if size else b""

    def write(self, data: bytes, *, wait: bool = True) -> bool:
        """Write all of ``data``, behind what an interrupted call has left.

        False when the worker was woken before the end, or, without ``wait``, when it could not all be written at once;
        what is left is kept.
        """
        self._waiting += data
        view = memoryview(self._waiting)
        try:
            while view and self._worker.ready(self._descriptor, select.POLLOUT, wait=wait):
                try:
                    written = os.write(self._descriptor, view[: self._most])
                except BlockingIOError:
                    continue
                self.bytes_written += written
                view = view[written:]
        finally:
            self._waiting = bytes(view)
        self._interrupted = bool(self._waiting)
        return not self._waiting

    def finish(self, data: bytes) -> None:
        """Write the last bytes. Does not wait when a call was interrupted before: nobody promised those bytes."""
        self.write(data, wait=not self._interrupted)

    def close(self) -> None:
        """Let go of the file; standard output stays open."""
        if self._owned:
            os.close(self._descriptor)
