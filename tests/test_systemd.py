"""What is said to systemd, on real sockets of both kinds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from switchcast.app.systemd import Notifier

PATIENCE = 30.0


class Manager:
    """The service manager's end of ``NOTIFY_SOCKET``."""

    def __init__(self, address: str | bytes) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)

    def heard(self) -> list[dict[str, str]]:
        """Every message that has come and was not asked for yet, as a table."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self._socket.recv(65536, socket.MSG_DONTWAIT).decode()
                messages.append(dict(line.split("=", 1) for line in text.split("\n")))
        return messages

    async def next(self) -> str:
        """The next message."""
        self._socket.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            return (await asyncio.get_running_loop().sock_recv(self._socket, 65536)).decode()

    def hears_within(self, seconds: float) -> bool:
        """Wait, blocking the event loop with it, whether a message comes."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(65536)
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Manager, dict[str, str]]]:
    name = f"@switchcast-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    listening = Manager(b"\0" + name[1:].encode() if request.param == "abstract" else name)
    try:
        yield listening, {"NOTIFY_SOCKET": name}
    finally:
        listening.close()


def test_a_start_a_reload_and_a_stop_are_told(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager
    notifier = Notifier(environ)
    assert notifier.wanted
    before = time.monotonic_ns() // 1000
    notifier.ready("2 routes, 3 rules")
    notifier.status("7 peers")
    notifier.reloading()
    notifier.ready()
    notifier.stopping("draining 12 events")
    heard = listening.heard()
    began = int(heard[2].pop("MONOTONIC_USEC"))
    assert before <= began <= time.monotonic_ns() // 1000
    assert heard == [
        {"READY": "1", "STATUS": "2 routes, 3 rules"},
        {"STATUS": "7 peers"},
        {"RELOADING": "1"},
        {"READY": "1"},
        {"STOPPING": "1", "STATUS": "draining 12 events"},
    ]


def test_a_status_cannot_say_more_than_a_status(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager
    Notifier(environ).status("sink switch: gone\nSTOPPING=1\r\nMAINPID=1 \udc80" + "x" * 10_000)
    (message,) = listening.heard()
    assert list(message) == ["STATUS"]
    assert message["STATUS"].startswith("sink switch: gone STOPPING=1 MAINPID=1 ?xxx")
    assert len(message["STATUS"]) <= 256


def test_an_empty_status_is_none(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager
    notifier = Notifier(environ)
    notifier.status("")
    notifier.ready("")
    assert listening.heard() == [{"READY": "1"}]


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"WATCHDOG_USEC": "1000"}])
def test_without_systemd_nobody_is_told_and_nothing_is_wrong(environ: Mapping[str, str]) -> None:
    notifier = Notifier(environ)
    with capture_logs() as lines:
        notifier.ready("started")
        notifier.stopping()
        asyncio.run(notifier.keep_watchdog())  # ends at once
    assert not notifier.wanted
    assert lines == []


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative/path", "@"])
def test_an_address_that_is_none_is_told_once(name: str) -> None:
    with capture_logs() as lines:
        Notifier({"NOTIFY_SOCKET": name}).ready()
    assert [line["event"] for line in lines] == ["systemd_not_told"]
    assert repr(name) in lines[0]["error"]


def test_a_manager_that_is_gone_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with capture_logs() as lines:
        notifier.ready()
        notifier.status("still here")
    assert [(line["event"], line["message"]) for line in lines] == [("systemd_not_told", "READY=1")]


def test_a_manager_that_does_not_read_holds_nothing_up(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    listening = Manager(path)
    notifier = Notifier({"NOTIFY_SOCKET": path})
    with contextlib.closing(listening), capture_logs() as lines:
        for _ in range(10_000):  # more than any queue of a Unix socket holds by default
            notifier.status("busy")
            if lines:
                break
    assert [line["event"] for line in lines] == ["systemd_not_told"]


def watched(environ: dict[str, str], microseconds: int) -> Notifier:
    return Notifier(environ | {"WATCHDOG_USEC": str(microseconds), "WATCHDOG_PID": str(os.getpid())})


def test_the_watchdog_is_fed_in_half_its_time(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager
    notifier = watched(environ, 20_000)
    assert notifier.watchdog_seconds == 0.02

    async def feed() -> float:
        began = asyncio.get_running_loop().time()
        task = asyncio.create_task(notifier.keep_watchdog())
        assert [await listening.next() for _ in range(5)] == ["WATCHDOG=1"] * 5
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(feed()) >= 4 * 0.009  # and no more often than is asked for


def test_an_event_loop_that_is_stuck_starves_the_watchdog(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager

    async def stuck() -> bool:
        task = asyncio.create_task(watched(environ, 20_000).keep_watchdog())
        await listening.next()
        heard = listening.hears_within(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return heard

    assert not asyncio.run(stuck())


def test_a_node_that_does_not_call_itself_alive_starves_it_too(manager: tuple[Manager, dict[str, str]]) -> None:
    listening, environ = manager

    async def ailing() -> None:
        asked = 0
        enough = asyncio.Event()

        def alive() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:
                enough.set()
            return False

        task = asyncio.create_task(watched(environ, 2_000).keep_watchdog(alive))
        await asyncio.wait_for(enough.wait(), PATIENCE)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(ailing())
    assert listening.heard() == []


@pytest.mark.parametrize(
    ("watchdog", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
    ],
)
def test_the_watchdog_of_another_process_is_not_ours(watchdog: dict[str, str], seconds: float | None) -> None:
    assert Notifier(watchdog).watchdog_seconds == seconds


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1e6", "٣"])
def test_a_watchdog_time_that_is_none_is_told(text: str) -> None:
    with capture_logs() as lines:
        assert Notifier({"WATCHDOG_USEC": text}).watchdog_seconds is None
    assert [line["event"] for line in lines] == ["systemd_watchdog_unknown"]
