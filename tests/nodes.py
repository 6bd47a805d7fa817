"""Whole nodes for tests: ``switchcast run`` as a process of its own, and its configuration."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from switchcast.app.control import ask
from switchcast.errors import EndpointUnavailable

PROGRAM = Path(sysconfig.get_path("scripts")) / "switchcast"
PATIENCE = 60.0
"""Seconds after which what should have happened is said not to; a passing test never waits for it."""


class RunningNode:
    """A node that runs in ``folder`` from ``node.toml`` there, and its control socket."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self.process = process

    @property
    def socket(self) -> Path:
        """Where it is asked."""
        return self.folder / "control.sock"

    def ask(self, verb: str, **more: object) -> Any:
        """What it answers."""
        return ask(self.socket, {"ask": verb, **more}, PATIENCE)

    def row(self, kind: str, name: str) -> Any:
        """A part as ``status`` tells it."""
        return next(row for row in self.ask("status")[kind] if row["name"] == name)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Stop it; what it has logged."""
        self.send(number)
        return self.log()

    def log(self) -> str:
        """What it has logged, once it has ended."""
        return self.process.communicate(timeout=PATIENCE)[1]

    def descriptors(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


def configuration(folder: Path, text: str, *, name: str = "fs1") -> Path:
    """``text`` behind tables that put everything into ``folder``, as a file."""
    file = folder / "node.toml"
    head = f"""
[node]
name = "{name}"
state_dir = "{folder}"
[log]
format = "json"
[control]
socket = "{folder}/control.sock"
"""
    file.write_text(head + text, encoding="utf-8")
    return file


@contextlib.contextmanager
def running(folder: Path, file: Path | None = None, *options: str, ready: bool = True) -> Iterator[RunningNode]:
    """A node from ``file``, ``folder``'s ``node.toml`` by default; killed at the end if it still runs."""
    process = subprocess.Popen(
        [PROGRAM, "run", file or folder / "node.toml", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SWITCHCAST_CONTROL__SOCKET": str(folder / "control.sock")},
    )
    node = RunningNode(folder, process)
    try:
        if ready:
            wait_for(lambda: process.poll() is not None or is_running(node))
            assert process.poll() is None, process.communicate()[1]
        yield node
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_running(node: RunningNode) -> bool:
    """Whether it answers, and all of it is up."""
    try:
        status = node.ask("status")
    except EndpointUnavailable:
        return False
    parts = [*status["sources"], *status["sinks"]]
    return status["node"]["phase"] == "running" and all(part["state"] == "up" for part in parts)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what should have happened has not"
        time.sleep(0.01)


def lines_of(file: Path) -> list[dict[str, Any]]:
    """The events of a file of JSON lines, whole lines only."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
