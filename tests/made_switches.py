"""Programs that call themselves freeswitch, running on the hosts of a test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from namespaces import Host

__all__ = ["ANY", "running"]

ANY: Final = "0.0.0.0"  # noqa: S104 - as the module binds
PROGRAM: Final = Path(__file__).parent / "made_switch.py"


@contextmanager
def running(host: Host, folder: Path, group: str, port: int, address: str = ANY, **variables: str) -> Iterator[IO[str]]:
    """A switch on ``host``, on its port, that was set up by ``folder``; what it says."""
    words = [sys.executable, str(PROGRAM), address, str(port), group, "-conf", str(folder)]
    with (
        host.entered(),
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables}
        ) as switch,
    ):
        assert switch.stdin is not None
        assert switch.stdout is not None
        assert switch.stdout.readline() == "ready\n"
        try:
            yield switch.stdout
        finally:
            switch.stdin.close()
