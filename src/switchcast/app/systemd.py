"""What the node tells systemd about itself: sd_notify(3), without a library.

=================  =========================================================================================
``NOTIFY_SOCKET``  where to say that we are ready, reloading, stopping: a path, or ``@`` and an abstract name
``WATCHDOG_USEC``  how long we may be silent before we are taken for dead and started again
``WATCHDOG_PID``   whose watchdog that is: a process that we start must not speak for us
=================  =========================================================================================

Not to run under systemd is no error: then nobody is told.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

__all__ = ["Notifier"]

_STATUS_CHARACTERS: Final = 256
"""Of a status line; a datagram to systemd has a limit, and ``systemctl status`` one line."""

log = structlog.get_logger("switchcast")


class Notifier:
    """Speaks to the service manager, if there is one.

    Nothing here waits or raises: a message that cannot be sent is logged, once. ``watchdog_seconds`` is how long we may
    be silent, ``None`` without a watchdog.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self.watchdog_seconds = _watchdog_seconds(environ)
        self._failed = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """The start, or a reload, is done."""
        self._send(["READY=1", *_status_line(status)])

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(_status_line(text))

    def reloading(self) -> None:
        """A reload begins; ``ready`` ends it, whether or not the new configuration was taken."""
        self._send(["RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"])

    def stopping(self, status: str = "") -> None:
        """The end has begun: queues are drained."""
        self._send(["STOPPING=1", *_status_line(status)])

    async def keep_watchdog(self, alive: Callable[[], bool] = lambda: True) -> None:
        """Say in half of each interval that we live, as long as the event loop turns and ``alive`` agrees.

        To be run as a task, and cancelled at the end; it ends by itself where there is no watchdog.
        """
        if self.watchdog_seconds is None or not self.wanted:
            return
        while True:
            if alive():
                self._send(["WATCHDOG=1"])
            await asyncio.sleep(self.watchdog_seconds / 2)

    def _send(self, lines: list[str]) -> None:
        if self._address is None or not lines:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as speaking:
                speaking.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd_not_told", message=lines[0], error=str(error))
            self._failed = True
        else:
            self._failed = False


def _address(text: str) -> str | bytes | None:
    """The socket's address as Python takes it: an abstract name begins with NUL."""
    if text.startswith("/"):
        return text
    if text.startswith("@") and len(text) > 1:
        return b"\0" + os.fsencode(text[1:])
    if text:
        log.warning("systemd_not_told", error=f"NOTIFY_SOCKET={text!r} is neither a path nor an abstract name")
    return None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    text = environ.get("WATCHDOG_USEC", "")
    if not text or environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        log.warning("systemd_watchdog_unknown", error=f"WATCHDOG_USEC={text!r} is no number of microseconds")
        return None
    return int(text) / 1e6


def _status_line(text: str) -> list[str]:
    """A line break in it would begin another message."""
    return [f"STATUS={' '.join(text.split())[:_STATUS_CHARACTERS]}"] if text else []
