"""Waiting for a descriptor: a task is resumed when there is something to read, and only then."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from switchcast import run as run_directly
from switchcast.endpoints.loop import EventLoop
from switchcast.endpoints.watch import Watch

Run = Callable[[Coroutine[Any, Any, None]], None]

TURNS = 50
"""Rounds of the event loop in which a task that should sleep would show that it does not."""


@pytest.fixture(params=[asyncio.run, run_directly], ids=["asyncio.run", "switchcast.run"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both kinds of event loop."""
    runner: Run = request.param
    return runner


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_NONBLOCK)
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def test_one_byte_wakes_once_and_then_the_task_sleeps(run: Run) -> None:
    async def main(inward: int, outward: int) -> None:
        watch = Watch(inward)
        woken = 0

        async def read() -> None:
            nonlocal woken
            while True:
                await watch.readable()
                woken += 1
                os.read(inward, 1)

        reader = asyncio.ensure_future(read())
        for expected in (1, 2, 3):
            await turns()
            os.write(outward, b"x")
            await turns()
            assert woken == expected
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        watch.end()

    with pipe() as ends:
        run(main(*ends))


def test_a_task_that_is_back_at_once_does_not_hold_up_the_loop(run: Run) -> None:
    """What it left unread wakes it again in the loop's next round, and others have theirs in between."""

    async def main(inward: int, outward: int) -> None:
        watch = Watch(inward)
        os.write(outward, b"x")
        rounds = 0

        async def spin() -> None:
            nonlocal rounds
            while True:
                await watch.readable()
                rounds += 1

        spinner = asyncio.ensure_future(spin())
        await turns()
        assert 0 < rounds <= TURNS
        spinner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spinner
        watch.end()

    with pipe() as ends:
        run(main(*ends))


def test_while_nobody_waits_the_loop_does_not_look(run: Run) -> None:
    async def main(inward: int, outward: int) -> None:
        watch = Watch(inward)
        os.write(outward, b"x")
        await watch.readable()
        await turns()
        loop = asyncio.get_running_loop()
        looked = 0

        def look() -> None:
            nonlocal looked
            looked += 1

        # A second watch of one descriptor is refused while the first one stands.
        if isinstance(loop, EventLoop):
            loop.watch(inward, look)
            await turns()
            loop.unwatch(inward)
            assert looked > 0
        else:
            assert not loop.remove_reader(inward)
        await watch.readable()
        watch.end()

    with pipe() as ends:
        run(main(*ends))


def test_the_end_lets_everyone_go(run: Run) -> None:
    async def main(inward: int, _: int) -> None:
        watch = Watch(inward)
        waiting = [asyncio.ensure_future(wait(watch)) for _ in range(3)]
        await turns()
        watch.end()
        await asyncio.gather(*waiting)

    async def wait(watch: Watch) -> None:
        await watch.readable()

    with pipe() as ends:
        run(main(*ends))


def test_everything_else_of_asyncio_works_as_ever() -> None:
    """Timers, threads, streams and signals beside a watch that fires all the time."""

    async def main(inward: int, outward: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        fired = 0

        def wake() -> None:
            nonlocal fired
            fired += 1

        os.write(outward, b"x")
        loop.watch(inward, wake)
        async with asyncio.timeout(5):
            signalled = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, signalled.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await signalled.wait()
            loop.remove_signal_handler(signal.SIGUSR1)
            assert await asyncio.to_thread(lambda: 7) == 7
            server = await asyncio.start_server(echo, "127.0.0.1")
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"hello\n")
                assert await reader.readline() == b"hello\n"
                writer.close()
                await writer.wait_closed()
        assert fired > 0
        loop.unwatch(inward)
        loop.unwatch(inward)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    with pipe() as ends:
        run_directly(main(*ends))


def test_a_watch_may_end_after_its_descriptor() -> None:
    async def main() -> None:
        inward, outward = os.pipe()
        watch = Watch(inward)
        waiting = asyncio.ensure_future(watch.readable())
        await turns()
        os.close(outward)
        os.close(inward)
        watch.end()
        await waiting

    run_directly(main())


def test_one_wake_up_may_end_another_watch() -> None:
    async def main(first: tuple[int, int], second: tuple[int, int]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        woken: list[int] = []

        def wake(fd: int, other: int) -> None:
            woken.append(fd)
            loop.unwatch(fd)
            loop.unwatch(other)

        os.write(first[1], b"x")
        os.write(second[1], b"x")
        loop.watch(first[0], lambda: wake(first[0], second[0]))
        loop.watch(second[0], lambda: wake(second[0], first[0]))
        await turns()
        assert len(woken) == 1

    with pipe() as first, pipe() as second:
        run_directly(main(first, second))


def test_an_interrupt_ends_the_run() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run_directly(main())
