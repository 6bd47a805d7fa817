"""The control socket: one node to a path, answers that fit their questions, and clients that do everything wrong."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sockets import PATIENCE, until
from strategies import PROPERTY

from switchcast import __version__
from switchcast.app import control
from switchcast.app.control import MOST_CLIENTS, MOST_REQUEST_BYTES, ControlServer, ask
from switchcast.errors import ConfigurationError, EndpointDenied, EndpointUnavailable, SwitchcastError, UsageError


async def echo(request: dict[str, Any]) -> object:
    return request


async def asked(path: Path, request: Mapping[str, object]) -> Any:
    """Ask from a thread, as another program would."""
    return await asyncio.to_thread(ask, path, request, PATIENCE)


async def gone(*writers: asyncio.StreamWriter) -> None:
    """Close the connections."""
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def test_what_is_asked_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "run" / "control.sock"

    async def scenario() -> None:
        async with ControlServer(path, {"echo": echo}):
            request = {"ask": "echo", "name": "fs1 \udce9 \n ✓", "number": 1}
            assert await asked(path, request) == request
            large = {"ask": "echo", "text": "x" * (MOST_REQUEST_BYTES - 100)}
            assert await asked(path, large) == large
        assert list(path.parent.iterdir()) == []

    asyncio.run(scenario())


def test_the_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> int:
        async with ControlServer(path, {}):
            return path.stat().st_mode

    before = os.umask(0)
    try:
        mode = asyncio.run(scenario())
    finally:
        os.umask(before)
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o660)


def test_several_requests_on_one_connection(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> list[Any]:
        async with ControlServer(path, {"echo": echo}):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"ask":"echo","n":1}\n{"ask":"no"}\n{"ask":"echo","n":2}\n')
            writer.write_eof()
            answers = [json.loads(line) for line in (await reader.read()).splitlines()]
            await gone(writer)
            return answers

    first, unknown, last = asyncio.run(scenario())
    assert (first, last) == ({"reply": {"ask": "echo", "n": 1}}, {"reply": {"ask": "echo", "n": 2}})
    assert unknown == {"error": "unknown verb 'no'", "code": 69, "knows": ["echo"], "version": __version__}


def test_an_answer_of_any_size_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def large(_: dict[str, Any]) -> object:
        return ["x" * 1000] * 5000

    async def scenario() -> Any:
        async with ControlServer(path, {"large": large}):
            return await asked(path, {"ask": "large"})

    assert asyncio.run(scenario()) == ["x" * 1000] * 5000


# One node to a path


def test_a_second_node_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> None:
        async with ControlServer(path, {"echo": echo}):
            with pytest.raises(EndpointUnavailable, match="another node runs here; stop it first"):
                await ControlServer(path, {}).open()
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}

    asyncio.run(scenario())


def test_of_several_that_start_at_once_one_runs(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path_of_the_dead(path)

    async def scenario() -> None:
        servers = [ControlServer(path, {"echo": echo}) for _ in range(8)]
        results = await asyncio.gather(*(server.open() for server in servers), return_exceptions=True)
        assert [type(result) for result in results if result] == [EndpointUnavailable] * 7
        assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}
        for server in servers:
            await server.close()

    asyncio.run(scenario())
    assert list(tmp_path.iterdir()) == []


def path_of_the_dead(path: Path) -> None:
    """Leave a socket at ``path`` as a node that was killed does."""
    killed = f"import os, socket; s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    assert path.is_socket()


def test_a_socket_that_a_killed_node_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path_of_the_dead(path)

    async def scenario() -> None:
        with pytest.raises(EndpointUnavailable, match="no node runs here"):
            await asked(path, {"ask": "echo"})
        async with ControlServer(path, {"echo": echo}):
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}

    asyncio.run(scenario())
    assert not path.exists()


def test_what_another_has_put_there_since_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> None:
        async with ControlServer(path, {}):
            path.unlink()
            path.write_text("not ours")

    asyncio.run(scenario())
    assert path.read_text() == "not ours"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")
    with pytest.raises(EndpointUnavailable, match="in the way of the control socket and is no socket"):
        asyncio.run(ControlServer(path, {}).open())
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda folder: folder / "file" / "control.sock", EndpointUnavailable, "cannot be made: "),
        (lambda folder: folder / ("x" * 120), UsageError, "at most 107 bytes"),
        (lambda _: Path("/proc/switchcast/control.sock"), EndpointUnavailable, r"choose another path with \[control\]"),
    ],
)
def test_a_path_that_cannot_be_listened_at(
    tmp_path: Path, make: Callable[[Path], Path], error: type[SwitchcastError], message: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(error, match=message):
        asyncio.run(ControlServer(make(tmp_path), {}).open())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


NOBODY = 65534
"""The user of Linux systems that may do nothing."""


def as_nobody(code: str) -> str:
    """What ``code`` prints when a user without permissions runs it."""
    prelude = f"import os, sys; sys.path[:0] = {sys.path!r}; import switchcast.app.control\n"
    prelude += f"if os.getuid() == 0:\n    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
    shown = subprocess.run(
        [sys.executable, "-c", prelude + code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    return shown.stdout + shown.stderr


def test_permission_that_is_missing_is_named_with_its_mend(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o755)
    path = folder / "control.sock"

    async def scenario() -> tuple[str, str]:
        async with ControlServer(path, {"echo": echo}):
            path.chmod(0)  # for whoever runs the tests: only root is let through, and asks as somebody else
            asking = f"switchcast.app.control.ask({str(path)!r}, {{'ask': 'echo'}})"
            opening = "import asyncio; asyncio.run(switchcast.app.control.ControlServer('/proc/1/x', {}).open())"
            return await asyncio.to_thread(as_nobody, asking), await asyncio.to_thread(as_nobody, opening)

    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    asking, opening = asyncio.run(scenario())
    assert "EndpointDenied" in asking
    assert "you may not speak to the node there; run this as " in asking
    assert "cannot be made" in opening


# Whatever handlers do


def test_a_handlers_error_is_the_askers(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def refuse(request: dict[str, Any]) -> object:
        kinds = {78: ConfigurationError, 77: EndpointDenied, 69: EndpointUnavailable, 2: UsageError, 1: SwitchcastError}
        raise kinds[request["code"]](f"because of {request['code']}")

    async def scenario() -> None:
        async with ControlServer(path, {"refuse": refuse, "echo": echo}):
            for code in (78, 77, 69, 2, 1):
                with pytest.raises(SwitchcastError, match=f"because of {code}") as raised:
                    await asked(path, {"ask": "refuse", "code": code})
                assert raised.value.exit_code == code
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}

    asyncio.run(scenario())


def test_a_fault_in_a_handler_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def fault(_: dict[str, Any]) -> object:
        return 1 / 0

    async def unsayable(_: dict[str, Any]) -> object:
        return {"at": float("nan")}

    async def scenario() -> None:
        async with ControlServer(path, {"fault": fault, "unsayable": unsayable, "echo": echo}):
            for verb, name in (("fault", "ZeroDivisionError"), ("unsayable", "ValueError")):
                with pytest.raises(SwitchcastError, match=f"{verb}: a fault in the node, {name}"):
                    await asked(path, {"ask": verb})
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}

    asyncio.run(scenario())


def test_a_handler_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(control, "_HANDLER_SECONDS", 0.05)

    async def hang(_: dict[str, Any]) -> object:
        await asyncio.Event().wait()
        return None

    async def scenario() -> None:
        async with ControlServer(path, {"hang": hang}):
            with pytest.raises(EndpointUnavailable, match="hang: not done after"):
                await asked(path, {"ask": "hang"})

    asyncio.run(scenario())


def test_closing_ends_those_who_wait(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    begun = asyncio.Event()

    async def hang(_: dict[str, Any]) -> object:
        begun.set()
        await asyncio.Event().wait()
        return None

    async def scenario() -> None:
        async with ControlServer(path, {"hang": hang}) as server:
            asking = asyncio.create_task(asked(path, {"ask": "hang"}))
            await begun.wait()
            await server.close()
            with pytest.raises(EndpointUnavailable, match="ended the connection"):
                await asking

    asyncio.run(scenario())


# Clients that do everything wrong


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\n", "one JSON object on one line"),
        (b"status\n", "one JSON object on one line"),
        (b"\xff\xfe\n", "one JSON object on one line"),
        (b"[" * 50_000 + b"\n", "one JSON object on one line"),
        (b'{"n":' + b"9" * 10_000 + b"}\n", "one JSON object on one line"),
        (b'["ask"]\n', "an object|JSON object with a verb"),
        (b'{"ask": 1}\n', "JSON object with a verb"),
        (b'{"verb": "status"}\n', "JSON object with a verb"),
        (b"x" * (MOST_REQUEST_BYTES + 1000) + b"\n", "at most 65,536 bytes"),
    ],
    ids=range(9),
)
def test_a_request_that_is_none_is_told_so(tmp_path: Path, sent: bytes, said: str) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> Any:
        async with ControlServer(path, {"echo": echo}):
            reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
            writer.write(sent)
            answer = json.loads(await reader.readline())
            await gone(writer)
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}
            return answer

    answer = asyncio.run(scenario())
    assert answer["code"] == 2
    assert any(part in answer["error"] for part in said.split("|"))


@settings(PROPERTY, max_examples=50)
@given(
    sent=st.lists(st.binary(max_size=60) | st.sampled_from([b"\n", b'{"ask": "echo"}\n', b'{"ask": 1}\n']), max_size=12)
)
def test_whatever_is_sent_each_line_has_its_answer(sent: list[bytes]) -> None:
    data = b"".join(sent)

    async def scenario(path: Path) -> list[bytes]:
        async with ControlServer(path, {"echo": echo}):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(data)
            writer.write_eof()
            answers = (await reader.read()).splitlines()
            await gone(writer)
            return answers

    with TemporaryDirectory() as folder:
        answers = [json.loads(line) for line in asyncio.run(scenario(Path(folder) / "control.sock"))]
    assert len(answers) == data.count(b"\n")
    assert all(answer.keys() <= {"reply", "error", "code", "knows", "version"} for answer in answers)


def test_clients_that_leave_or_stay_silent_harm_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "control.sock"
    monkeypatch.setattr(control, "_IDLE_SECONDS", 0.2)

    async def large(_: dict[str, Any]) -> object:
        return "x" * 10_000_000

    async def scenario() -> None:
        async with ControlServer(path, {"echo": echo, "large": large}) as server:
            _, silent = await asyncio.open_unix_connection(path)
            _, leaving = await asyncio.open_unix_connection(path)
            leaving.write(b'{"ask": "large"}\n{"ask": "la')
            leaving.transport.abort()
            with closing(socket.socket(socket.AF_UNIX)) as deaf:  # asks, and takes nothing of the answer
                deaf.connect(str(path))
                deaf.sendall(b'{"ask": "large"}\n')
                assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}
                await until(lambda: not server._clients)
            await gone(silent, leaving)

    asyncio.run(scenario())


def test_there_is_a_most_of_clients(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"

    async def scenario() -> None:
        async with ControlServer(path, {"echo": echo}) as server:
            crowd = [await asyncio.open_unix_connection(path) for _ in range(MOST_CLIENTS)]
            await until(lambda: len(server._clients) == MOST_CLIENTS)
            with pytest.raises(EndpointUnavailable, match=f"{MOST_CLIENTS} others are connected; ask again later"):
                await asked(path, {"ask": "echo"})
            await gone(*(writer for _, writer in crowd))
            await until(lambda: not server._clients)
            assert await asked(path, {"ask": "echo"}) == {"ask": "echo"}

    asyncio.run(scenario())
