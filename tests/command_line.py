"""The command line in this process, as a person types it: no other process has to be started, and all else is as there.

What it prints goes through streams of bytes in an encoding, as it does on a terminal or in a pipe; neither is one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from switchcast.app.cli import main

__all__ = ["Ended", "switchcast"]


@dataclass(frozen=True)
class Ended:
    """How the command ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def switchcast(
    *words: str | Path, columns: int = 80, encoding: str = "utf-8", environment: Mapping[str, str] | None = None
) -> Ended:
    """Run it to its end; ``environment`` is what stands there besides."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name in ("FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(columns), **(environment or {})}.items():
            patch.setenv(name, value)
        patch.setattr("sys.argv", ["switchcast", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
    code = left.value.code
    assert isinstance(code, int)
    printed, complained = (stream.detach().getvalue().decode(encoding) for stream in (out, err))
    return Ended(code, printed, complained)
