"""One program, from its start to the end of everything it started.

It leads a session and a process group of its own, and the group is what is ended: TERM at the time limit, KILL a
little later, and KILL in any case for what is still there when the program itself is gone. Its number stays its own
until then, since the program is waited for (reaped) last: no other process can be hit by mistake. What has left the
group (``setsid``) is out of reach; a limit on the service's tasks bounds it.

The input is an anonymous file, so that nobody waits for a program that does not read it. Output is read as it comes
and kept up to a limit; beyond it a flood is slowed down.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

__all__ = ["Ended", "execute"]

_PIECE: Final = 65_536
_FLOOD_PAUSE: Final = 0.005
"""Seconds between two pieces of output that nobody keeps: 13 MB/s of a flood are read, and it costs little."""
_POLL: Final = 0.02
_REAP: Final = 5.0
"""Seconds after KILL within which a process is gone; one that hangs in the kernel is reaped whenever it can be."""

log = structlog.get_logger("switchcast")
_ending: set[asyncio.Task[None]] = set()
"""Ends under way, so that they are not forgotten when whoever waited for them is cancelled."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: ``status`` as subprocess has it (negative: the signal), and whether in time."""

    status: int | None
    in_time: bool
    output: bytes
    dropped: int
    """Bytes of output that were read and not kept."""


async def execute(
    arguments: Sequence[bytes],
    *,
    given: bytes,
    environment: Mapping[bytes, bytes],
    directory: str,
    seconds: float,
    kill_after: float,
    output: int,
) -> Ended:
    """Run a program until it has ended and nobody holds its output any more, or ``seconds`` have passed.

    ``given`` is its standard input. Raises ``OSError`` when it cannot be started. Cancelling kills the group at once.
    """
    program = _start(arguments, given, environment, directory, output)
    try:
        in_time = await program.over(seconds)
        if not in_time:
            program.signal(signal.SIGTERM)
            await program.over(kill_after)
    finally:
        program.signal(signal.SIGKILL)
        end = asyncio.create_task(program.end())
        _ending.add(end)
        end.add_done_callback(_ending.discard)
        await asyncio.shield(end)
    return Ended(program.status, in_time, bytes(program.output), program.dropped)


def _start(
    arguments: Sequence[bytes], given: bytes, environment: Mapping[bytes, bytes], directory: str, output: int
) -> _Program:
    with contextlib.ExitStack() as close:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        close.callback(os.close, writing)
        on_failure = close.enter_context(contextlib.ExitStack())
        on_failure.callback(os.close, reading)
        os.set_blocking(reading, False)
        source = os.memfd_create("event", os.MFD_CLOEXEC)
        close.callback(os.close, source)
        with open(source, "wb", closefd=False) as file:
            file.write(given)
        os.lseek(source, 0, os.SEEK_SET)
        process = subprocess.Popen(  # noqa: S603 - what it is made for; never a shell
            arguments,
            stdin=source,
            stdout=writing,
            stderr=writing,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        on_failure.pop_all()
    return _Program(process, reading, output)


class _Program:
    """A program that has been started."""

    def __init__(self, process: subprocess.Popen[bytes], reading: int, limit: int) -> None:
        self.output = bytearray()
        self.dropped = 0
        self._process = process
        self._pipe = reading
        self._limit = limit
        self._exited = asyncio.create_task(_exit_of(process.pid))
        self._read = asyncio.create_task(self._reading())

    @property
    def status(self) -> int | None:
        return self._process.returncode

    async def over(self, seconds: float) -> bool:
        """Wait until it has ended and its output too; ``False`` when ``seconds`` passed before."""
        _, left = await asyncio.wait({self._exited, self._read}, timeout=seconds)
        return not left

    def signal(self, number: signal.Signals) -> None:
        """Send it to the whole group, which is there as long as the program has not been reaped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def end(self) -> None:
        """Reap it, and close what is open. It has been killed."""
        try:
            await asyncio.wait({self._exited}, timeout=_REAP)
            if self._process.poll() is None:
                log.warning("rule_program_stuck", pid=self._process.pid)
            for task in (self._exited, self._read):
                task.cancel()
            await asyncio.wait({self._exited, self._read})
        finally:
            os.close(self._pipe)

    async def _reading(self) -> None:
        while True:
            await _readable(self._pipe)
            data = os.read(self._pipe, _PIECE)
            if not data:
                return
            kept = data[: self._limit - len(self.output)]
            self.output += kept
            self.dropped += len(data) - len(kept)
            if self.dropped:
                await asyncio.sleep(_FLOOD_PAUSE)


async def _exit_of(pid: int) -> None:
    """Wait until the process has ended, and leave it to be reaped."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # a kernel before 5.3, or no descriptor left
        while not _has_exited(pid):  # noqa: ASYNC110 - there is nothing that would tell
            await asyncio.sleep(_POLL)
        return
    try:
        await _readable(descriptor)
    finally:
        os.close(descriptor)


def _has_exited(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
