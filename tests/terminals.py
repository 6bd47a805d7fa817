"""A terminal that a program of ours is shown on, and looking at it."""

from __future__ import annotations

import os
import re
import select
import time

from sockets import PATIENCE

__all__ = ["shown_until"]


def shown_until(terminal: int, text: str) -> None:
    """Read what appears on the terminal until ``text`` does."""
    shown, deadline = "", time.monotonic() + PATIENCE
    while text not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown):
        assert time.monotonic() < deadline, shown
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 65_536).decode("utf-8", "replace")
