"""What the kernel answers to netlink, whose errors are ``OSError`` here as those of any other reader.

By pyroute2. Its calls run an event loop of their own, so a program that has one calls the readers from another thread;
the sockets are of the network namespace of the calling thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkDecodeError, NetlinkError

__all__ = ["routing"]


@contextmanager
def routing() -> Iterator[Any]:
    """A pyroute2 ``IPRoute``, closed at the end. What the kernel refuses is an ``OSError`` with its number."""
    try:
        with IPRoute() as socket:
            yield socket
    except NetlinkError as error:
        raise OSError(error.code, str(error.args[1])) from None
    except NetlinkDecodeError as error:
        raise OSError(f"netlink answered something that cannot be read: {error.exception}") from None
