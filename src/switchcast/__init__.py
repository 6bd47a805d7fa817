"""FreeSWITCH events by multicast, everywhere they should be and nowhere they should not.

``open(url)`` gives an endpoint to receive from or to send to, inside asyncio; ``listen(url)`` is a plain loop over
the events; ``run`` is ``asyncio.run`` with less delay. An ``Event`` is the same object wherever it comes from. Errors
are in ``switchcast.errors``.
"""

import sys

if sys.platform != "linux":  # pragma: no cover
    raise ImportError(f"switchcast runs on Linux only (this is {sys.platform}): its sockets need recvmmsg and epoll")

from switchcast._native import (
    EVENT_NAMES,
    LIMITS,
    REJECT_REASONS,
    Event,
    Matcher,
    StockFrames,
    __version__,
    stock_misreads,
)
from switchcast.endpoints import Endpoint
from switchcast.endpoints.loop import run
from switchcast.errors import SwitchcastError
from switchcast.listening import listen, open  # noqa: A004 - it is read as switchcast.open

__all__ = [
    "EVENT_NAMES",
    "LIMITS",
    "REJECT_REASONS",
    "Endpoint",
    "Event",
    "Matcher",
    "StockFrames",
    "SwitchcastError",
    "__version__",
    "listen",
    "open",
    "run",
    "stock_misreads",
]
