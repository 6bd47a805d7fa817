"""Programs that are measured run as processes of their own, told what to do line by line.

A child says ``{"ready": ...}`` once it can be told, and answers each line with one line of JSON. This file holds both
ends: ``Child`` for the benchmark, ``serve`` for children written in Python.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.result import Incorrect

__all__ = ["Child", "Stopwatch", "python", "receiver_command", "serve"]

PATIENCE_SECONDS = 120.0
"""How long an answer may take; one that is later means that something hangs."""


def python(module: str, *arguments: object) -> list[str]:
    """The command line that runs ``module`` with this Python."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def receiver_command(group: str, port: int, buffer: int, bindings: str) -> list[str]:
    """The command line of our receiver: joined to ``group`` with a receive buffer of ``buffer`` bytes."""
    return [*python("benchmarks.children.ours", "receive", group, port, buffer), bindings]


class Child:
    """A running child; as a context manager it is ended at the end."""

    def __init__(self, command: Sequence[object]) -> None:
        self.command = [str(word) for word in command]
        self._process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._rest = b""
        try:
            self.greeting = self.answer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def tell(self, *words: object) -> None:
        """Give the child something to do; ``answer`` collects the outcome."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, patience: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The child's next answer. Raises ``Incorrect`` when it has ended or takes too long."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + patience
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Incorrect(f"no answer within {patience:g} s from: {' '.join(self.command)}")
            piece = self._process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
            if not piece:
                raise Incorrect(f"ended without an answer, status {self._process.wait(10)}: {' '.join(self.command)}")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, *words: object) -> dict[str, Any]:
        """``tell`` and ``answer`` in one."""
        self.tell(*words)
        return self.answer()

    def close(self) -> None:
        """End the child: by the end of its input, by force if that does not do."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()


class Stopwatch:
    """What something takes: of this process's processor time, all threads together, and by the clock."""

    def __init__(self) -> None:
        self._wall = time.monotonic_ns()
        self._cpu = time.process_time_ns()

    def read(self) -> dict[str, int]:
        """``cpu_ns`` and ``wall_ns`` since the start."""
        cpu = time.process_time_ns() - self._cpu
        return {"cpu_ns": cpu, "wall_ns": time.monotonic_ns() - self._wall}


def serve(answers: dict[str, Callable[..., dict[str, Any]]], ready: dict[str, Any] | None = None) -> None:
    """Be a child: answer each line of standard input by the function its first word names, until there are no more."""
    print(json.dumps({"ready": True, **(ready or {})}), flush=True)
    for line in sys.stdin:
        word, *arguments = line.split()
        print(json.dumps(answers[word](*arguments)), flush=True)
