"""A control socket that answers as a node would, in a thread of this process, and the program that asks it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command_line import Ended
from command_line import switchcast as run_here
from sockets import PATIENCE

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


def typed(*arguments: str, socket: Path, columns: int = 80) -> Ended:
    """Run the program in this process, for somebody whose node is asked at ``socket``."""
    return run_here(*arguments, columns=columns, environment=environment(socket, columns))
