"""Waiting for a descriptor: a task is resumed when there is something to read, and only then."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from switchcast.endpoints.watch import Watch

TURNS = 50
"""Rounds of the event loop in which a task that should sleep would show that it does not."""


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


def test_one_byte_wakes_once_and_then_the_task_sleeps() -> None:
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
        asyncio.run(main(*ends))


def test_a_task_that_is_back_at_once_does_not_hold_up_the_loop() -> None:
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
        asyncio.run(main(*ends))


def test_while_nobody_waits_the_loop_does_not_look() -> None:
    async def main(inward: int, outward: int) -> None:
        watch = Watch(inward)
        os.write(outward, b"x")
        await watch.readable()
        await turns()
        loop = asyncio.get_running_loop()
        assert not loop.remove_reader(inward)
        await watch.readable()
        watch.end()

    with pipe() as ends:
        asyncio.run(main(*ends))


def test_the_end_lets_everyone_go() -> None:
    async def main(inward: int, _: int) -> None:
        watch = Watch(inward)
        waiting = [asyncio.ensure_future(wait(watch)) for _ in range(3)]
        await turns()
        watch.end()
        await asyncio.gather(*waiting)

    async def wait(watch: Watch) -> None:
        await watch.readable()

    with pipe() as ends:
        asyncio.run(main(*ends))
