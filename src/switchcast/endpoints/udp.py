"""``udp://host:port``: events as datagrams to and from unicast addresses, for networks without multicast.

As a source it binds the address (``0.0.0.0`` and ``[::]`` for any), as a sink it sends to it. Everything but the
joining is as in ``multicast:``, whose base this is.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import structlog

from switchcast._native import Event, Matcher, Receiver, ReliableReceiver, ReliableSender, Sender, stock_misreads
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.modes import MODE_OPTIONS, Mode
from switchcast.endpoints.reliable import linger, open_receiver, open_sender
from switchcast.endpoints.url import EndpointUrl
from switchcast.endpoints.watch import Watch
from switchcast.errors import EndpointUnavailable, EventTooLarge, UrlError
from switchcast.keys import GroupKeys

__all__ = ["DatagramEndpoint", "UdpEndpoint"]

READ_EVENTS = 1024
"""Events that one batch holds at most: bounds how long the event loop waits for its next turn."""
SEND_EVENTS = 256
"""Events that are sent before the event loop gets a turn."""
QUEUE_FULL_PAUSE = 0.0005
"""Seconds until a full send queue is tried again."""
STOCK_PORT = 4242
"""The port of the module's own sample configuration."""

log = structlog.get_logger("switchcast")


class DatagramEndpoint(Endpoint):
    """Events as datagrams over UDP: what ``udp:`` and ``multicast:`` have in common.

    ``receiver`` and ``sender`` are the native sockets once they are open, for their counters and rows.
    """

    is_source = True
    is_sink = True

    OPTIONS: ClassVar[tuple[str, ...]] = (
        "interface",
        "misread",
        "psk",
        "psk_file",
        "receive_buffer",
        "ring",
        "send_buffer",
        "sender",
        *MODE_OPTIONS,
    )

    def __init__(self, url: EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> None:
        super().__init__(url, matcher=matcher, role=role)
        url.only(self.OPTIONS)
        if not url.hosts:
            raise UrlError(f"{url}: names no address; write for example {url.scheme}://{self.example}:{STOCK_PORT}")
        if url.path not in ("", "/"):
            raise UrlError(f"{url}: {url.scheme}: endpoints have no path, but this one has {url.path!r}")
        self.port = STOCK_PORT if url.port is None else url.port
        self.source_address = next(iter(url.addresses("source_address")), None)
        self.psk = url.secret("psk")
        self.mode = Mode.of(url)
        self.receive_buffer = url.integer("receive_buffer", 4 * 1024 * 1024, 2048, 1 << 30)
        self.send_buffer = url.integer("send_buffer", 4 * 1024 * 1024, 2048, 1 << 30)
        self.misread = url.choice("misread", "send", ("send", "warn", "refuse"))
        self.misreads = 0
        self.ring_events = url.integer("ring", 65536, 1, 1 << 24)
        self.receiver: Receiver | ReliableReceiver | None = None
        self.sender: Sender | ReliableSender | None = None
        self._watch: Watch | None = None

    example: ClassVar[str] = "192.0.2.1"

    def make_receiver(self, addresses: list[str], **options: Any) -> Receiver | ReliableReceiver:
        """The native receiver for ``addresses``, opened; ``options`` are those that only some endpoints have."""
        options |= {
            "matcher": self.matcher,
            "receive_buffer": self.receive_buffer,
            "ring_events": self.ring_events,
        }
        if self.mode.is_stock:
            return Receiver(addresses, self.port, psk=self.psk, **options)
        self.mode = self.mode.loaded()
        return open_receiver(self.mode, addresses, self.port, **options)

    def make_sender(self, addresses: list[str], **options: Any) -> Sender | ReliableSender:
        """The native sender to ``addresses``, opened; ``options`` are those that only some endpoints have."""
        options |= {"sender": self.url.text("sender"), "send_buffer": self.send_buffer}
        if self.mode.is_stock:
            return Sender(addresses, self.port, psk=self.psk, **options)
        self.mode = self.mode.loaded()
        return open_sender(self.mode, addresses, self.port, **options)

    async def open_source(self) -> None:
        await self._open_receiver()

    async def open_sink(self) -> None:
        await self._open_sender()

    async def _open_receiver(self) -> Receiver | ReliableReceiver:
        self.check_open()
        if self.receiver is None:
            self.receiver = self.make_receiver(await self._addresses())
        return self.receiver

    async def _open_sender(self) -> Sender | ReliableSender:
        self.check_open()
        if self.sender is None:
            self.sender = self.make_sender(await self._addresses())
        return self.sender

    async def batches(self) -> AsyncIterator[list[Event]]:
        receiver = await self._open_receiver()
        if self._watch is None:
            self._watch = Watch(receiver.fileno())
        waited = True
        while not self.closed:
            events = receiver.read(READ_EVENTS)
            if events:
                # At full load there is always something to read: other tasks get their turn between batches.
                if not waited:
                    await asyncio.sleep(0)
                waited = False
                yield events
            else:
                await self._watch.readable()
                waited = True

    async def send(self, events: Sequence[Event]) -> None:
        """Send ``events`` to every destination, in order.

        A destination that fails is counted and does not stop the others (see ``sender.destinations()``). Raises
        ``EventTooLarge``, after everything else has been sent, when an event fits no datagram.
        """
        sender = await self._open_sender()
        if self.misread != "send":
            events = self._checked(events)
        done = 0
        try:
            while done < len(events):
                sent = sender.send(events[done : done + SEND_EVENTS])
                done += sent
                if done < len(events):
                    await asyncio.sleep(0 if sent else QUEUE_FULL_PAUSE)
        finally:
            if done < len(events):
                sender.abandon()
        if (too_large := sender.take_too_large()) is not None:
            name, size, limit = too_large
            raise EventTooLarge(
                f"{self.url}: the event {name} makes a datagram of {size:,} bytes, and UDP carries at most {limit:,}; "
                "it was not sent",
                size,
                limit,
            )

    def rekey(self, keys: GroupKeys) -> None:
        self.mode = replace(self.mode, keys=keys)
        for end in (self.receiver, self.sender):
            if isinstance(end, ReliableReceiver | ReliableSender):
                end.rekey(keys.secrets)

    @property
    def tells_gaps(self) -> bool:
        return not self.mode.is_stock

    def streams(self) -> list[dict[str, Any]]:
        return self.receiver.streams() if isinstance(self.receiver, ReliableReceiver) else []

    def counters(self) -> dict[str, int]:
        counters: dict[str, int] = {}
        if self.receiver is not None:
            counters |= {f"received_{name}": count for name, count in self.receiver.counters().items()}
        if self.sender is not None:
            counters |= {f"sent_{name}": count for name, count in self.sender.counters().items()}
            counters["refused_misread" if self.misread == "refuse" else "sent_misread"] = self.misreads
        return counters

    async def close(self) -> None:
        """In the modes with repair a sender stays, for a moment, for those who still ask."""
        lingers = not self.closed
        self.closed = True
        if self._watch is not None:
            self._watch.end()
        if self.receiver is not None:
            self.receiver.close()
        if isinstance(self.sender, ReliableSender) and lingers:
            await linger(self.sender)
        elif self.sender is not None:
            self.sender.close()

    def _checked(self, events: Sequence[Event]) -> list[Event]:
        """Those of ``events`` that may be sent, of which stock receivers would read some wrong."""
        passed = []
        for event in events:
            wrong = stock_misreads(event)
            if wrong:
                self.misreads += 1
                log.warning(
                    "stock_misreads", sink=str(self.url), event_name=event.name, setting=self.misread, why=wrong[0]
                )
            if not wrong or self.misread == "warn":
                passed.append(event)
        return passed

    async def _addresses(self) -> list[str]:
        """The URL's hosts as IP addresses; names are looked up."""
        addresses = []
        for host in self.url.hosts:
            try:
                address = str(ipaddress.ip_address(host))
            except ValueError:
                address = await self._look_up(host)
            self.check_address(address)
            addresses.append(address)
        return addresses

    def check_address(self, address: str) -> None:
        """Raise ``UrlError`` for an address that this kind of endpoint cannot have."""

    async def _look_up(self, host: str) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, self.port, type=socket.SOCK_DGRAM)
        except (socket.gaierror, UnicodeError) as error:
            raise EndpointUnavailable(f"{self.url}: the name {host!r} cannot be looked up: {error}") from None
        return str(found[0][4][0])


class UdpEndpoint(DatagramEndpoint):
    """``udp://host[,host...]:port``. Options: those of ``DatagramEndpoint`` without ``interface``, and two more.

    ``source_address`` is bound for sending. ``share=yes`` allows other sockets on the port that is listened on, as that
    of a group; of several on the very same address each datagram reaches one.
    """

    OPTIONS = (*(name for name in DatagramEndpoint.OPTIONS if name != "interface"), "share", "source_address")

    def make_receiver(self, addresses: list[str], **options: Any) -> Receiver | ReliableReceiver:
        return super().make_receiver(addresses, shared=self.url.boolean("share", default=False), **options)

    def make_sender(self, addresses: list[str], **options: Any) -> Sender | ReliableSender:
        return super().make_sender(addresses, source=self.source_address, **options)

    def check_address(self, address: str) -> None:
        if ipaddress.ip_address(address).is_multicast:
            raise UrlError(f"{self.url}: {address} is a multicast group; write multicast:// instead of udp://")
