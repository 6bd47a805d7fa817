"""Everything that the checks look at, read once: before the wait, during it, and after it.

What cannot be read is left out, and why is told. Nothing is changed: the kernel is asked, and the probe has sockets of
its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from switchcast.app.doctor.probe import Probe
from switchcast.app.doctor.switch_files import read_switch
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointDenied, EndpointUnavailable, SwitchcastError, UrlError
from switchcast.guard.doctor.facts import Facts, Queries, Sender, Target
from switchcast.keys import load_group_keys
from switchcast.system.clock import clock_step, read_clock, read_times
from switchcast.system.counters import read_counters
from switchcast.system.firewall import read_firewall
from switchcast.system.groups import read_memberships
from switchcast.system.limits import read_limits
from switchcast.system.links import read_links
from switchcast.system.owners import read_owners
from switchcast.system.platform import read_platform
from switchcast.system.queries import Query, QueryListener
from switchcast.system.routes import Route, Unroutable, route_to
from switchcast.system.sightings import SightingListener
from switchcast.system.sockets import read_udp_sockets

__all__ = ["addresses_of", "gather"]

_MOST_QUERIES: Final = 256
_MOST_SENDERS: Final = 256
_MOST_WAYS: Final = 32
"""Senders whose way back is looked up."""

Value = TypeVar("Value")


async def addresses_of(url: EndpointUrl) -> tuple[str, ...]:
    """The hosts of ``url`` as addresses; names are looked up. Raises ``EndpointUnavailable``."""
    loop = asyncio.get_running_loop()
    found = []
    for host in url.hosts:
        try:
            answers = await loop.getaddrinfo(host, url.port, type=socket.SOCK_DGRAM)
        except (socket.gaierror, UnicodeError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise EndpointUnavailable(f"{url}: the name {host!r} cannot be looked up: {why}") from None
        found.append(str(answers[0][4][0]).partition("%")[0])
    return tuple(found)


async def gather(url: EndpointUrl, *, wait: float, query_interval: float) -> Facts:
    """The facts about a ``multicast:`` or ``udp:`` endpoint; it takes ``wait`` seconds, in which the probe runs.

    ``query_interval`` is how often the network's querier asks, in seconds. Raises ``UrlError`` for a wrong option and
    ``EndpointUnavailable`` for a name that cannot be looked up.
    """
    target = await _target_of(url)
    reading = _Reading()
    before = await asyncio.to_thread(_read_before, reading, target, url)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with (
        Probe(target, before.links or (), before.link, wait) as probe,
        _listening(reading, target) as listeners,
    ):
        before = replace(before, sockets_before=await asyncio.to_thread(reading.take, "sockets", read_udp_sockets))
        await probe.run()
        after = await asyncio.to_thread(_read_after, reading, before, probe, listeners)
        return replace(
            after,
            waited=loop.time() - began,
            probe=probe.result(),
            port_refused=probe.port_refused,
            queries=listeners.queries(loop.time() - began, query_interval),
            unread=reading.unread,
        )


async def _target_of(url: EndpointUrl) -> Target:
    """What is to be examined. Raises ``UrlError`` for an address of the wrong kind."""
    target = Target.of(url, await addresses_of(url))
    if url.scheme == "multicast" and not target.groups:
        raise UrlError(f"{url}: names no multicast group (224.0.0.0/4 or ff00::/8); for unicast addresses write udp://")
    if url.scheme == "udp" and target.groups:
        raise UrlError(f"{url}: {target.groups[0]} is a multicast group; write multicast:// instead of udp://")
    return target


@dataclass(slots=True)
class _Reading:
    """Reads what can be read, and keeps why the rest cannot."""

    unread: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, read: Callable[..., Value], *arguments: Any) -> Value | None:
        """What ``read`` returns; ``None`` where it cannot, which is noted under the name of the fact."""
        try:
            return read(*arguments)
        except (OSError, SwitchcastError) as error:
            self.unread[name] = (error.strerror if isinstance(error, OSError) else None) or str(error)
            return None


def _read_before(reading: _Reading, target: Target, url: EndpointUrl) -> Facts:
    """What the host tells before the probe has opened a socket."""
    links = reading.take("links", read_links)
    psk = reading.take("psk", url.secret, "psk")
    reading.take("keys", _read_keys, url)
    return Facts(
        target=target,
        links=links,
        links_before=links,
        routes=reading.take("routes", _routes, (*target.groups, *target.hosts)),
        memberships=reading.take("memberships", read_memberships),
        counters_before=reading.take("counters", read_counters),
        limits=reading.take("limits", read_limits),
        firewall=reading.take("firewall", read_firewall),
        platform=read_platform(environ=os.environ),
        clock=reading.take("clock", read_clock),
        switch=read_switch(psk, "psk" not in reading.unread),
    )


def _read_keys(url: EndpointUrl) -> None:
    """Read the endpoint's file of keys as the endpoint will, and keep nothing of it. Raises what the endpoint would."""
    if (file := url.text("key_file")) is not None:
        load_group_keys(file, looking=True)


def _read_after(reading: _Reading, before: Facts, probe: Probe, listeners: _Listeners) -> Facts:
    """What it tells after the wait, without the probe's own sockets."""
    own = probe.inodes()
    sockets = reading.take("sockets", read_udp_sockets)
    others = None if sockets is None else tuple(each for each in sockets if each.inode not in own)
    earlier = before.sockets_before
    on_port = [each.inode for each in others or () if each.port == before.target.port]
    clock = before.clock
    return replace(
        before,
        links=reading.take("links", read_links),
        counters=reading.take("counters", read_counters),
        sockets=others,
        own_drops=sum(each.drops for each in sockets or () if each.inode in own),
        sockets_before=None if earlier is None else tuple(each for each in earlier if each.inode not in own),
        owners=reading.take("owners", read_owners, on_port),
        clock=None if clock is None else replace(clock, step=clock_step(listeners.times, read_times())),
        senders=reading.take("senders", _senders, probe, listeners),
    )


def _routes(addresses: tuple[str, ...]) -> dict[str, Route | Unroutable]:
    return {address: route_to(address) for address in addresses}


def _senders(probe: Probe, listeners: _Listeners) -> tuple[Sender, ...]:
    """Everybody who sent to the group: heard, or seen at the interface only."""
    near = {each.address: each.interface or each.link_interface for each in probe.result().neighbours}
    found = {**near, **listeners.seen, **probe.senders}
    shown = list(found.items())[:_MOST_WAYS]
    return tuple(
        Sender(address, interface, route_to(address), heard=address in probe.senders) for address, interface in shown
    )


class _Listeners:
    """What listens beside the probe: for queries, and for senders in front of the kernel's checks."""

    def __init__(self) -> None:
        self.times = read_times()
        self.seen: dict[str, str | None] = {}
        self._heard: dict[int, list[Query]] = {}

    def hear(self, version: int, listener: QueryListener) -> None:
        """Called when there are queries."""
        heard = self._heard.setdefault(version, [])
        heard += listener.read()[: _MOST_QUERIES - len(heard)]

    def see(self, listener: SightingListener, own: set[str]) -> None:
        """Called when there are packets to the group."""
        for sighting in listener.read():
            if len(self.seen) < _MOST_SENDERS and sighting.source not in own:
                self.seen[sighting.source] = sighting.interface

    def listened(self, version: int) -> None:
        """Queries of this IP version are listened for."""
        self._heard.setdefault(version, [])

    def queries(self, seconds: float, interval: float) -> tuple[Queries, ...] | None:
        """What was heard; ``None`` where nothing could be listened for."""
        return tuple(Queries(each, tuple(heard), seconds, interval) for each, heard in self._heard.items()) or None


@contextlib.contextmanager
def _listening(reading: _Reading, target: Target) -> Iterator[_Listeners]:
    """Listen as far as this user may."""
    loop, listeners = asyncio.get_running_loop(), _Listeners()
    with contextlib.ExitStack() as stack:
        for version in target.versions:
            try:
                queries = QueryListener(version)
            except (EndpointDenied, OSError) as error:
                reading.unread["queries"] = str(error)
                continue
            stack.callback(queries.close)
            listeners.listened(version)
            loop.add_reader(queries, listeners.hear, version, queries)
            stack.callback(loop.remove_reader, queries)
        for group in target.groups:
            try:
                sightings = SightingListener(group)
            except (EndpointDenied, OSError) as error:
                reading.unread["sightings"] = str(error)
                continue
            stack.callback(sightings.close)
            loop.add_reader(sightings, listeners.see, sightings, set())
            stack.callback(loop.remove_reader, sightings)
        yield listeners
