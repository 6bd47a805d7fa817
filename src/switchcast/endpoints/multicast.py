"""``multicast://group[,group...]:port``: stock datagrams to and from multicast groups, IPv4 and IPv6.

=================  ====================================================================  ===================
option             meaning                                                               default
=================  ====================================================================  ===================
``interface``      name, or an address, of the interface to join and to send on          by the routing table
``ttl``            TTL (IPv4) and hop limit (IPv6) of what is sent, 0 to 255              1
``loopback``       whether this host's own members hear what is sent                     yes
``source``         hear only these senders (source-specific), comma-separated            anyone
``source_address`` local address to send from                                            any
``misread``        events that stock receivers read wrong: ``send``, ``warn``, ``refuse``  send
``psk``            stock pre-shared key; better ``psk_file``, which keeps it in a file    none
``sender``         ``Multicast-Sender`` for events that have none                        FreeSWITCH-Switchname
``receive_buffer`` bytes to ask the kernel for; read back in ``receiver.sockets()``       4194304
``send_buffer``    the same for sending                                                  4194304
``ring``           events that may wait for the program before some are dropped          65536
=================  ====================================================================  ===================
"""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from switchcast._native import Matcher, Receiver, ReliableReceiver, ReliableSender, Sender
from switchcast.endpoints.base import Role
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UrlError

__all__ = ["MulticastEndpoint"]


class MulticastEndpoint(DatagramEndpoint):
    """A multicast group, or several on one port. A unicast address among them is sent to, as the module does."""

    OPTIONS = (*DatagramEndpoint.OPTIONS, "loopback", "source", "source_address", "ttl")
    example: ClassVar[str] = "239.192.1.1"

    def __init__(self, url: EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> None:
        super().__init__(url, matcher=matcher, role=role)
        self.ttl = url.integer("ttl", 1, 0, 255)
        self.loopback = url.boolean("loopback", True)
        self.sources = url.addresses("source")

    def make_receiver(self, addresses: list[str], **options: Any) -> Receiver | ReliableReceiver:
        groups = [address for address in addresses if ipaddress.ip_address(address).is_multicast]
        return super().make_receiver(
            groups,
            interface=self.url.text("interface"),
            sources=self.sources,
            **options,
        )

    def make_sender(self, addresses: list[str], **options: Any) -> Sender | ReliableSender:
        return super().make_sender(
            addresses,
            interface=self.url.text("interface"),
            source=self.source_address,
            ttl=self.ttl,
            loopback=self.loopback,
            **options,
        )

    async def _addresses(self) -> list[str]:
        addresses = await super()._addresses()
        if not any(ipaddress.ip_address(address).is_multicast for address in addresses):
            shown = ", ".join(addresses)
            raise UrlError(
                f"{self.url}: {shown} is no multicast group (224.0.0.0/4 or ff00::/8); "
                "for a unicast address write udp:// instead"
            )
        return addresses
