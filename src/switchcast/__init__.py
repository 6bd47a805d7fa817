"""FreeSWITCH events by multicast, everywhere they should be and nowhere they should not."""

import sys

if sys.platform != "linux":  # pragma: no cover
    raise ImportError(f"switchcast runs on Linux only (this is {sys.platform}): its sockets need recvmmsg and epoll")

from switchcast._native import (

    REJECT_REASONS,
    Event,

    __version__,
)

__all__ = ["REJECT_REASONS", "Event", "__version__"]
