"""Which source addresses may be heard: the one check on who speaks that stock datagrams permit.

An address is no proof, since a datagram's can be forged by anyone on the way. It keeps out whoever just happens to send
to the same group, and a host whose switch was left with its sample configuration.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from switchcast._native import Event
from switchcast.errors import UsageError

__all__ = ["Allowed"]

_REMEMBERED: Final = 4_096
"""Sources whose answer is remembered: a flood from forged addresses and ports must not fill the memory."""


class Allowed:
    """A set of addresses and networks (``192.0.2.1``, ``192.0.2.0/24``, ``2001:db8::/32``).

    An event that came from no address, as from a file or an event socket, is not subject to it.
    Raises ``UsageError`` for a text that is neither.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = tuple(dict.fromkeys(texts))
        self._networks = [_network(text) for text in self.texts]
        self._answers: dict[str, bool] = {}

    def select(self, events: list[Event]) -> list[Event]:
        """Those from an allowed address, in order."""
        return [event for event in events if self.admits(event.source)]

    def admits(self, source: str | None) -> bool:
        """Whether an event from ``source`` (``address:port``, ``[address]:port``) may be heard."""
        if source is None:
            return True
        answer = self._answers.get(source)
        if answer is None:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            answer = self._answers[source] = self._look_up(source)
        return answer

    @staticmethod
    def union(each: Sequence[Allowed | None]) -> Allowed | None:
        """What one of them admits; ``None``, which admits everyone, where one of them is that or there are none."""
        texts = [text for allowed in each if allowed is not None for text in allowed.texts]
        return Allowed(texts) if texts and None not in each else None

    def _look_up(self, source: str) -> bool:
        host = source.rpartition(":")[0].strip("[]").partition("%")[0]
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return True  # the name of a simulated switch or the like: nothing that came over a network
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise UsageError(
            f"allow: {text!r} is no address and no network; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        ) from None
