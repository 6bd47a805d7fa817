"""The two short ways in: ``open`` for asyncio, ``listen`` for a plain ``for`` loop.

::

    async with switchcast.open("multicast://239.192.1.1:4242") as group:
        async for event in group:
            print(event.name, event.sender)

    for event in switchcast.listen("multicast://239.192.1.1:4242", bindings="HEARTBEAT"):
        print(event["Session-Count"])
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import warnings
from collections.abc import Generator, Iterator

from switchcast._native import Event, Matcher
from switchcast.endpoints import Endpoint, Role, make_endpoint
from switchcast.endpoints.loop import EventLoop
from switchcast.errors import UsageError

__all__ = ["listen", "make_matcher", "open"]


def make_matcher(bindings: str, where: str | None, node: str = "") -> Matcher | None:
    """The matcher for ``bindings`` and ``where``; ``None`` when everything matches, which costs nothing.

    ``node`` is this host's name in conditions; by default the machine's. Raises ``BindingError``, ``ConditionError``.
    """
    if where is None and bindings.strip().lower() == "all":
        return None
    return Matcher(bindings, where, node=node or socket.gethostname())


def open(  # noqa: A001 - it is read as switchcast.open
    url: str, *, bindings: str = "all", where: str | None = None, role: Role | None = None, node: str = ""
) -> Endpoint:
    """The endpoint at ``url``, to be used as ``async with switchcast.open(url) as endpoint``.

    ``bindings`` (FreeSWITCH's own words) and ``where`` (a CEL condition) choose what a source yields. With a ``role``,
    ``"source"`` or ``"sink"``, entering opens it for that, and errors show there; without one the first use opens it.
    Raises ``UrlError``, ``BindingError`` and ``ConditionError``; an event name that FreeSWITCH does not have is a
    ``UserWarning``.
    """
    matcher = make_matcher(bindings, where, node)
    for sentence in matcher.warnings if matcher else ():
        warnings.warn(sentence, stacklevel=2)
    return make_endpoint(url, matcher=matcher, role=role)


def listen(
    url: str, *, bindings: str = "all", where: str | None = None, timeout: float | None = None
) -> Generator[Event, None, None]:
    """The events from ``url``, one by one, for a plain ``for`` loop in a program without asyncio.

    Ends with the source, or when no event has come for ``timeout`` seconds. Ctrl-C raises ``KeyboardInterrupt`` as
    anywhere; closing the generator closes the endpoint. Runs an event loop of its own in the calling thread, while it
    waits only. Raises what ``open`` raises, at once, and ``UsageError`` where an event loop is running already.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _events(open(url, bindings=bindings, where=where, role="source"), timeout)
    raise UsageError(
        "switchcast.listen blocks, and an event loop is running in this thread: "
        "use 'async with switchcast.open(url) as source' and 'async for event in source'"
    )


def _events(source: Endpoint, timeout: float | None) -> Generator[Event, None, None]:
    with asyncio.Runner(loop_factory=EventLoop) as runner, _signal_pipe(runner.get_loop()) as pipe:
        try:
            with _woken_through(pipe):
                runner.run(source.open_source())
            batches = source.batches()

            async def following() -> list[Event]:
                return await asyncio.wait_for(anext(batches), timeout)

            with contextlib.suppress(StopAsyncIteration, TimeoutError):
                while True:
                    with _woken_through(pipe):
                        batch = runner.run(following())
                    yield from batch
        finally:
            runner.run(source.close())


@contextlib.contextmanager
def _signal_pipe(loop: asyncio.AbstractEventLoop) -> Iterator[socket.socket]:
    """A socket that wakes ``loop`` when something is written to it."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        loop.add_reader(reader, reader.recv, 4096)
        try:
            yield writer
        finally:
            loop.remove_reader(reader)


@contextlib.contextmanager
def _woken_through(pipe: socket.socket) -> Iterator[None]:
    """Have signals written to ``pipe`` meanwhile: one that comes just before a loop falls asleep would not wake it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.set_wakeup_fd(pipe.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before, warn_on_full_buffer=False)
