"""A control socket that answers as a node would, in a thread of this process, and the program that asks it."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sockets import PATIENCE

from switchcast.app.cli import main
from switchcast.app.control import ControlServer, Handler

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")


@contextmanager
def answering(path: Path, answers: Mapping[str, object]) -> Iterator[None]:
    """Each verb of ``answers`` is answered with its value, or what that makes of the request, while the block lasts."""

    def handler(answer: object) -> Handler:
        async def give(request: dict[str, Any]) -> object:
            return answer(request) if callable(answer) else answer

        return give

    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with ControlServer(path, {verb: handler(answer) for verb, answer in answers.items()}):
            ready.set()
            await asyncio.to_thread(ended.wait)

    def run() -> None:
        with asyncio.Runner() as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name="answering")
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        ended.set()
        thread.join(PATIENCE)


def environment(socket: Path, columns: int = 80) -> dict[str, str]:
    """That of somebody whose node is asked at ``socket``, on a terminal ``columns`` wide."""
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    mine = {"COLUMNS": str(columns), "SWITCHCAST_CONTROL": str(socket), "PYTHONWARNINGS": "error", "TZ": "UTC"}
    return kept | mine | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def switchcast(*arguments: str, socket: Path, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [SWITCHCAST, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(socket, columns),
        check=False,
    )


@dataclass(frozen=True)
class Shown:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def typed(*arguments: str, socket: Path, columns: int = 80) -> Shown:
    """Run the program in this process, for somebody whose node is asked at ``socket``."""
    said, complaint = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(said), redirect_stderr(complaint):
        patched.setattr("sys.argv", ["switchcast", *arguments])
        for name, value in environment(socket, columns).items():
            patched.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    return Shown(code if isinstance(code, int) else 0, said.getvalue(), complaint.getvalue())
