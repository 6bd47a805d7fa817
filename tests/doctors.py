"""``switchcast doctor`` on the hosts of a test: each in its network namespace, several at the same time.

The commands are forked from one process that has imported everything, so that the wait alone takes time. Each can have
files of its own laid over the kernel's ``/sys``, in a mount namespace: what a driver would tell of a radio or a bond,
or the firmware of a cloud, on a machine that has none. Everything else there is the kernel's own.
"""

from __future__ import annotations

import ctypes
import io
import json
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from namespaces import Host, run, set_namespace

__all__ = ["Answer", "doctors", "ensure_forking"]

CLONE_NEWNS: Final = 0x20000
CLONE_NEWUSER: Final = 0x10000000
_libc = ctypes.CDLL(None, use_errno=True)
_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["switchcast.app.cli", "switchcast.app.doctor.examine"])


def ensure_forking() -> None:
    """Start what the doctors are forked from; what a test leaves behind is looked for after this."""
    multiprocessing.resource_tracker.ensure_running()
    multiprocessing.forkserver.ensure_running()


@dataclass(frozen=True)
class Answer:
    """What the doctor said on one host, and how it ended."""

    host: str
    code: int
    said: dict[str, Any]
    complaint: str

    @property
    def findings(self) -> dict[str, dict[str, Any]]:
        """By code."""
        return {finding["code"]: finding for each in self.said["endpoints"] for finding in each["findings"]}

    @property
    def wrong(self) -> list[str]:
        """Codes of what is worse than worth knowing."""
        return [code for code, finding in self.findings.items() if finding["severity"] != "notice"]

    @property
    def healthy(self) -> str:
        """What was found healthy, all in one."""
        return "\n".join(line for endpoint in self.said["endpoints"] for line in endpoint["healthy"])

    @property
    def unchecked(self) -> list[str]:
        """What was not checked."""
        return [each["what"] for endpoint in self.said["endpoints"] for each in endpoint["unchecked"]]


def doctors(*orders: tuple[Host, list[str]], over: Path | None = None, ordinary: bool = False) -> list[Answer]:
    """Run ``switchcast doctor --json ARGUMENTS`` on each host at the same time.

    ``over`` is laid over its ``/sys``; an ``ordinary`` user runs it, who may do nothing that only root may.
    """
    started = []
    for host, arguments in orders:
        ours, theirs = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=_examine, args=(host, arguments, over, ordinary, theirs))
        process.start()
        theirs.close()
        started.append((host, process, ours))
    answers = []
    for host, process, ours in started:
        code, said, complaint = ours.recv()
        process.join()
        ours.close()
        process.close()
        assert code in (0, 1), f"{host.name}: {complaint}"
        answers.append(Answer(host.name, code, json.loads(said), complaint))
    return answers


def _examine(host: Host, arguments: list[str], over: Path | None, ordinary: bool, answer: Connection) -> None:
    from switchcast.app.cli import main

    sys.argv = ["switchcast", "doctor", "--json", *arguments]
    said, complaint = io.StringIO(), io.StringIO()
    code: Any = 0
    with open(f"/run/netns/{host.name}", "rb") as there:
        set_namespace(there.fileno())  # for good: this process examines one host
    with redirect_stdout(said), redirect_stderr(complaint):
        if over is not None:
            _lay_over_sys(over)
        if ordinary:
            _unshare(CLONE_NEWUSER)  # root's rights are those over a user namespace of its own, where nothing is
        try:
            main()
        except SystemExit as ending:
            code = ending.code
    answer.send((code, said.getvalue(), complaint.getvalue()))
    answer.close()


def _lay_over_sys(files: Path) -> None:
    """In this process alone: the ``/sys`` of the network namespace that it is in, with these files in front."""
    _unshare(CLONE_NEWNS)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={files}:/sys", "/sys")


def _unshare(what: int) -> None:
    """unshare(2), which Python has from 3.12 on."""
    if _libc.unshare(what) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
