"""``file:`` and ``-`` on pipes: events as they come, and nothing lost by an interruption."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from filing import NAMES, PATIENCE, event, opened, write

from switchcast._native import Event
from switchcast.errors import EndpointClosed, EndpointUnavailable


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "events.pipe"
    os.mkfifo(path)
    return path


async def next_of(batches: AsyncIterator[list[Event]]) -> list[Event]:
    return await asyncio.wait_for(anext(batches), PATIENCE)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread that tells nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["jsonl", "pcap", "pcapng"])
def test_a_pipe_gives_each_event_as_it_comes(kind: str, pipe: Path) -> None:
    async def follow() -> None:
        async with opened(f"file:{pipe}", "source") as source, opened(f"file:{pipe}?format={kind}", "sink") as sink:
            batches = source.batches()
            for number in range(3):
                await sink.send([event(number)])
                assert await next_of(batches) == [event(number)]
            await sink.close()
            with pytest.raises(StopAsyncIteration):
                await next_of(batches)
            assert source.progress() == (sink.counters()["bytes"], None)

    asyncio.run(follow())


def test_a_cancelled_wait_for_a_pipe_loses_nothing(pipe: Path) -> None:
    async def interrupt() -> None:
        async with opened(f"file:{pipe}", "source") as source, opened(f"file:{pipe}?format=jsonl", "sink") as sink:
            for number in range(3):
                waiting = asyncio.ensure_future(anext(source.batches()))
                await sink.send([])  # a turn of the thread later the wait has begun, or is about to
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                await sink.send([event(number)])
                assert await next_of(source.batches()) == [event(number)]

    asyncio.run(interrupt())


def test_closing_ends_a_wait_for_a_pipe(pipe: Path) -> None:
    async def close_it() -> None:
        async with opened(f"file:{pipe}", "source") as source, opened(f"file:{pipe}?format=jsonl", "sink") as sink:
            batches = source.batches()
            waiting = asyncio.ensure_future(next_of(batches))
            await sink.send([])
            await source.close()
            with pytest.raises(StopAsyncIteration):
                await waiting
            with pytest.raises(EndpointClosed):
                await anext(source.batches())

    asyncio.run(close_it())


def test_a_full_pipe_can_be_given_up(pipe: Path) -> None:
    many = [event(number) for number in range(2_000)]

    async def give_up() -> bytes:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            async with opened(f"file:{pipe}?format=jsonl", "sink") as sink:
                sending = asyncio.ensure_future(sink.send(many))
                await until(lambda: sink.counters().get("bytes", 0) >= fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ))
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
            return os.read(reader, 10_000_000)
        finally:
            os.close(reader)

    text = asyncio.run(asyncio.wait_for(give_up(), PATIENCE))
    assert text.startswith(b'{"Event-Name":"CUSTOM"')


def test_closing_ends_a_send_to_a_full_pipe(pipe: Path) -> None:
    many = [event(number) for number in range(2_000)]

    async def close_it() -> None:
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            sink = opened(f"file:{pipe}?format=jsonl", "sink")
            sending = [asyncio.ensure_future(sink.send(many)) for _ in range(3)]
            await until(lambda: sink.counters().get("bytes", 0) > 0)
            await asyncio.gather(sink.close(), sink.close())
            ends = await asyncio.gather(*sending, return_exceptions=True)
            assert [type(end) for end in ends] == [EndpointClosed] * 3
        finally:
            os.close(reader)

    asyncio.run(asyncio.wait_for(close_it(), PATIENCE))


def test_a_cancelled_opening_leaves_nothing_open(pipe: Path) -> None:
    async def cancel() -> None:
        for url, role in ((f"file:{pipe}", "source"), (f"file:{pipe.parent}/x.jsonl", "sink")):
            opening = asyncio.ensure_future(opened(url, role).__aenter__())
            await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening

    asyncio.run(cancel())  # every test looks for what is left open


def test_what_a_cancelled_send_left_goes_out_first(pipe: Path) -> None:
    many = [event(number) for number in range(2_000)]

    async def resume() -> list[Event]:
        async with opened(f"file:{pipe}", "source") as source, opened(f"file:{pipe}?format=jsonl", "sink") as sink:
            sending = asyncio.ensure_future(sink.send(many))
            await until(lambda: sink.counters().get("bytes", 0) > 0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            last = asyncio.ensure_future(sink.send([event(9_999)]))
            found: list[Event] = []
            batches = source.batches()
            while event(9_999) not in found[-1:]:
                found += await next_of(batches)
            await last
            return found

    assert asyncio.run(resume()) == [*many, event(9_999)]


def test_a_reader_that_has_gone(pipe: Path) -> None:
    async def send() -> None:
        async with opened(f"file:{pipe}?format=jsonl", "sink") as sink:
            os.close(reader)
            await sink.send([event(1)])

    with pytest.raises(EndpointUnavailable, match="nobody is reading from this named pipe"):
        write(f"file:{pipe}?format=jsonl", [event(1)])
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(EndpointUnavailable, match="whoever was reading it has gone") as caught:
        asyncio.run(send())
    assert isinstance(caught.value.__cause__, BrokenPipeError)


def test_use_after_close(tmp_path: Path) -> None:
    async def use() -> None:
        endpoint = opened(f"file:{tmp_path}/x.jsonl")
        await endpoint.send([event(1)])
        await endpoint.close()
        await endpoint.close()
        with pytest.raises(EndpointClosed):
            await endpoint.send([event(1)])
        with pytest.raises(EndpointClosed):
            await anext(endpoint.batches())

    asyncio.run(use())


COPY = """
import asyncio, sys
from switchcast.endpoints import make_endpoint

async def copy():
    async with make_endpoint(sys.argv[1], role="source") as source, make_endpoint(sys.argv[2], role="sink") as sink:
        async for batch in source.batches():
            await sink.send(batch)

asyncio.run(copy())
"""


def copy(source: str, sink: str, data: bytes) -> bytes:
    """What a process writes to its standard output that copies one endpoint to another."""
    done = subprocess.run(
        [sys.executable, "-c", COPY, source, sink], input=data, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_standard_input_is_any_recording(name: str, tmp_path: Path) -> None:
    events = [event(number) for number in range(3)]
    write(f"file:{tmp_path / name}", events)
    lines = tmp_path / "expected.jsonl"
    # Of a capture nobody knows who sent what is in it.
    write(f"file:{lines}", [each if "jsonl" in name else each.with_trust("stock") for each in events])
    assert copy("-", "-", (tmp_path / name).read_bytes()) == lines.read_bytes()


def test_standard_input_that_is_no_recording() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COPY, "-", "-"], input=b"rubbish", capture_output=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert b"EndpointError: -: neither JSON lines nor a capture" in done.stderr


def test_standard_output_can_be_a_capture(tmp_path: Path) -> None:
    write(f"file:{tmp_path}/x.jsonl", [event(1)])
    write(f"file:{tmp_path}/x.pcapng", [event(1)])
    assert copy(f"file:{tmp_path}/x.jsonl", "-?format=pcapng", b"") == (tmp_path / "x.pcapng").read_bytes()


def test_a_cancelled_process_does_not_wait_for_its_standard_input() -> None:
    script = COPY.replace("asyncio.run(copy())", "asyncio.run(asyncio.wait_for(copy(), 0.01))")
    with subprocess.Popen(
        [sys.executable, "-c", script, "-", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as it:
        assert it.stderr is not None
        assert b"TimeoutError" in it.stderr.read()
        assert it.wait(PATIENCE) == 1
