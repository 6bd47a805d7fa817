"""A child that is a node as its configuration says, without the command line: the peers ask for another typer."""

from __future__ import annotations

import asyncio
import sys

from switchcast.app.config import load
from switchcast.app.daemon import Daemon


async def run(file: str) -> None:
    """Run the node until SIGTERM."""
    daemon = Daemon(lambda: load(file), log_level="error")
    with daemon.signals():
        await daemon.run()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
