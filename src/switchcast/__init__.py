"""FreeSWITCH events by multicast, everywhere they should be and nowhere they should not."""

import sys

if sys.platform != "linux":  # pragma: no cover
    raise ImportError(f"switchcast runs on Linux only (this is {sys.platform}): its sockets need recvmmsg and epoll")

from switchcast._native import (
    EVENT_NAMES,
    REJECT_REASONS,
    Event,
    Matcher,
    __version__,
)

__all__ = ["EVENT_NAMES", "REJECT_REASONS", "Event", "Matcher", "__version__"]
