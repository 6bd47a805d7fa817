"""The everyday script as a child: ``GROUP PORT BUFFER``."""

from __future__ import annotations

import socket
import sys
from typing import Any

from benchmarks.child import Stopwatch, serve
from benchmarks.events import READ
from benchmarks.peers import everyday

SO_RCVBUFFORCE = 33
FIRST, SECOND, THIRD = READ


def main(group: str, port: str, buffer: str) -> None:
    """Serve ``deliver``: parse as many datagrams as are asked for, and read three headers of each."""
    sock = everyday.join(group, int(port))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, int(buffer))
    sock.settimeout(None)

    def deliver(expected: str) -> dict[str, Any]:
        total = delivered = 0

        def handle(headers: dict[str, str]) -> None:
            nonlocal total, delivered
            total += len(headers[FIRST]) + len(headers[SECOND]) + len(headers[THIRD])
            delivered += 1

        watch = Stopwatch()
        everyday.receive(sock, handle, int(expected))
        return {**watch.read(), "delivered": delivered, "checksum": total}

    serve({"deliver": deliver})


if __name__ == "__main__":
    main(*sys.argv[1:])
