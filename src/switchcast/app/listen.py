"""Where a node listens for those who ask it over HTTP: the setting, the socket, and by which names it may be called."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
from collections.abc import Iterator
from typing import Final

from switchcast.errors import EndpointUnavailable, UsageError

__all__ = ["bare_host", "is_local", "listening", "names_loopback", "parse_listen"]

_LISTEN: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<name>[^\[\]:]+)):(?P<port>[0-9]{1,5})")


def parse_listen(text: str, setting: str, example: int = 9747) -> tuple[str, int]:
    """``127.0.0.1:9747``, ``localhost:9747`` or ``[::1]:9747`` as address and port.

    Raises ``UsageError``, which names ``setting`` and shows ``example`` as a port.
    """
    mend = f"write an address and a port, such as 127.0.0.1:{example} or [::1]:{example}"
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(f"{setting}: {text!r} is no address with a port; {mend}")
    bare = "127.0.0.1" if found["name"] == "localhost" else found["name"] or found["ipv6"]
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        raise UsageError(f"{setting}: {bare!r} is no IP address; {mend}") from None
    if (version == 6) != bool(found["ipv6"]):
        raise UsageError(f"{setting}: only an IPv6 address stands in brackets; {mend}")
    return bare, int(found["port"])


def is_local(address: str) -> bool:
    """Whether only this host reaches ``address``."""
    return ipaddress.ip_address(address).is_loopback


@contextlib.contextmanager
def listening(setting: str, address: str, port: int, backlog: int) -> Iterator[socket.socket]:
    """A socket that listens there, closed at the end, with room for ``backlog`` connections that nobody has taken yet.

    Raises ``EndpointUnavailable``, which names ``setting``.
    """
    where = f"{setting}: {address} port {port}"
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(backlog)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise EndpointUnavailable(f"{where}: another program has it; choose another port") from None
            mend = "choose an address of this host and a port from 1024 on"
            raise EndpointUnavailable(f"{where}: {error.strerror}; {mend}") from None
        yield listener


def bare_host(host: str) -> str:
    """The name or address in a ``Host`` header, without its port, in lower case."""
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    return bare.rstrip(".").lower()


def names_loopback(host: str) -> bool:
    """Whether a ``Host`` header is an IP address or ``localhost``, which no web page's name can be."""
    bare = bare_host(host)
    if bare in {"", "localhost"}:
        return True  # none at all is a client of HTTP/1.0, no browser
    try:
        ipaddress.ip_address(bare.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
