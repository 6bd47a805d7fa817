"""``switchcast rules`` within the test's own process, which is quicker than to start it each time."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from switchcast.app.cli.rules import app
from switchcast.errors import SwitchcastError


@dataclass(frozen=True)
class Done:
    """How a command ended, as its user sees it."""

    returncode: int
    stdout: str
    stderr: str


def rules(*arguments: str) -> Done:
    """Run ``switchcast rules`` with these arguments to its end."""
    code: object = 0
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            code = app(list(arguments), prog_name="switchcast rules", standalone_mode=False)
        except SwitchcastError as error:
            code = error.exit_code
            errors.write(f"switchcast: {error}\n")
    return Done(code if isinstance(code, int) else 0, output.getvalue(), errors.getvalue())
