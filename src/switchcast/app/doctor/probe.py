"""The probe on real sockets: sends and hears for a while as the endpoint would, and says what came of it.

``conversation`` decides what is sent and what it means; here are the sockets, the clock and whatever they refuse.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from switchcast.app.doctor.conversation import HERE, MOST_EVERY, Arrival, Conversation, Node
from switchcast.app.doctor.datagrams import NODE_BYTES, Report
from switchcast.app.doctor.sockets import link_ears, link_mouth, open_ear, open_mouth, received
from switchcast.guard.doctor.facts import PROBE_SIZES, Heard, Neighbour, ProbeResult, Target, version_of
from switchcast.system.links import Link

__all__ = ["LEAST_ROUNDS", "Probe"]

LEAST_ROUNDS: Final = 10
"""How often the ladder is climbed in a wait that is too short for one a second."""
_MOST_SENDERS: Final = 256
_COMMON_MTU: Final = 1500
_HEADERS: Final = 48
"""Bytes in front of a fragment's payload, at most."""
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - an endpoint's own address may say so


@dataclass(slots=True)
class _Way:
    """One address of the target: the talk about it and the sockets that carry it."""

    address: str
    talk: Conversation
    mouth: socket.socket | None = None
    link: socket.socket | None = None
    sent: Counter[int] = field(default_factory=Counter)
    errors: dict[int, str] = field(default_factory=dict)


class Probe:
    """Sends to and hears from every address of a target. Use it as ``with Probe(...) as probe: await probe.run()``.

    Whatever cannot be opened is told in the result and does not stop the rest. ``links`` are the host's interfaces,
    ``link`` the one that the target's datagrams take, ``seconds`` how long is listened.
    """

    def __init__(self, target: Target, links: Sequence[Link], link: Link | None, seconds: float) -> None:
        self.port_refused: str | None = None
        """Why the port of a unicast address cannot be listened on."""
        self.senders: dict[str, str | None] = {}
        """Who was heard sending to a group, probe or not, and by which interface."""
        self._target = target
        self._links = links
        self._link = link
        self._index = link.index if link is not None else 0
        self._seconds = seconds
        self._node = os.urandom(NODE_BYTES)
        self._own = {own.address for each in links for own in each.addresses}
        self._ways: list[_Way] = []
        self._ears: list[tuple[socket.socket, list[_Way], bool]] = []
        self._join_errors: dict[str, str] = {}
        self._refused: set[str] = set()
        self._fragments = 0

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        every = min(MOST_EVERY, self._seconds / LEAST_ROUNDS)
        nowhere = self._target.interface is not None and self._link is None  # of which ``membership`` tells
        for address in () if nowhere else (*self._target.groups, *self._target.hosts):
            talk = Conversation(
                self._node,
                address,
                now=loop.time(),
                every=every,
                name=socket.gethostname(),
                mtu=self._link.mtu if self._link is not None else 0,
                shared=address in self._target.groups,
            )
            way = _Way(address, talk)
            self._ways.append(way)
            self._open_mouth(way)
        for way in self._ways:
            if way.address in self._target.groups:
                self._open_ear(way.address, [way])
        self._open_link()
        self._open_unicast()
        for place, heard in enumerate(self._ears):
            loop.add_reader(heard[0], self._hear, place)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for heard in self._ears:
            loop.remove_reader(heard[0])
        for each in self._sockets():
            each.close()

    def inodes(self) -> set[int]:
        """Of its own sockets: they are none of the host's."""
        return {os.fstat(each.fileno()).st_ino for each in self._sockets()}

    async def run(self) -> None:
        """Send and hear until the time is over."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._seconds
        while (now := loop.time()) < ends:
            for way in self._ways:
                self._send(way, now)
            due = min((way.talk.next_due for way in self._ways), default=ends)
            await asyncio.sleep(max(min(due, ends) - loop.time(), 0))
        for place in range(len(self._ears)):
            self._hear(place)

    def result(self) -> ProbeResult:
        """What was sent and heard."""
        rows: list[Heard] = []
        hops: dict[str, int] = {}
        neighbours: list[Neighbour] = []
        for way in self._ways:
            rows += way.talk.rows(looped=self._hears_itself(way.address))
            for node in way.talk.nodes.values():
                neighbours.append(_neighbour(way.address, node))
                if node.hops is not None:
                    hops[node.label] = min(node.hops, hops.get(node.label, 255))
        return ProbeResult(
            here=HERE,
            rows=tuple(rows),
            seconds=self._seconds,
            hops=hops,
            send_errors={size: said for way in self._ways for size, said in way.errors.items() if not way.sent[size]},
            neighbours=tuple(neighbours),
            join_errors=self._join_errors,
            refused=tuple(sorted(self._refused)),
            fragments=self._fragments,
            crowded=sum(way.talk.crowded for way in self._ways),
        )

    def _open_mouth(self, way: _Way) -> None:
        try:
            way.mouth = open_mouth(self._target, way.address, self._index)
        except OSError as error:
            way.errors = dict.fromkeys(PROBE_SIZES, _said(error))

    def _open_ear(self, address: str, ways: list[_Way]) -> None:
        try:
            self._ears.append((open_ear(self._target, address, self._index), ways, False))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                self.port_refused = _said(error)
            else:
                self._join_errors[address] = _said(error)

    def _open_link(self) -> None:
        """What other doctors tell all hosts of a link, and what this one does. A help, which may be refused."""
        for version in self._target.versions if self._ways else ():
            ways = [way for way in self._ways if version_of(way.address) == version]
            try:
                for ear in link_ears(self._target.port, version, self._links):
                    self._ears.append((ear, ways, True))
                if self._link is not None and not self._link.loopback:
                    for way in ways:
                        way.link = link_mouth(self._target.port, version, self._index)
            except OSError:
                continue

    def _open_unicast(self) -> None:
        """An ear for what comes to this host's own port, where nobody else has it; beside groups, as ever, none."""
        if self._target.groups:
            return
        for version, anywhere in zip((4, 6), _ANY, strict=True):
            ways = [way for way in self._ways if way.address in self._target.hosts]
            ways = [way for way in ways if version_of(way.address) == version]
            own = [way.address for way in ways if way.address in self._own]
            if ways:
                try:
                    ear = open_ear(self._target, own[0] if len(own) == len(ways) == 1 else anywhere, self._index)
                except OSError as error:
                    self.port_refused = _said(error)
                else:
                    self._ears.append((ear, ways, False))

    def _sockets(self) -> list[socket.socket]:
        mouths = [each for way in self._ways for each in (way.mouth, way.link) if each is not None]
        return [*mouths, *(heard[0] for heard in self._ears)]

    def _hears_itself(self, address: str) -> bool:
        """Whether what is sent to ``address`` should come back."""
        target = self._target
        if address in target.hosts:
            return self.port_refused is None and (address in self._own or address in _ANY)
        named = any(version_of(source) == version_of(address) for source in target.sources)
        return (
            target.loopback
            and not self.port_refused
            and address not in self._join_errors
            and not (named and not self._own & {*target.sources})
        )

    def _send(self, way: _Way, now: float) -> None:
        for said in way.talk.due(now):
            datagram = said.encode()
            if isinstance(said, Report):
                _try_to_send(way.link, datagram)
            error = _try_to_send(way.mouth, datagram)
            if error is not None and error.errno == errno.ECONNREFUSED:
                self._refused.add(way.address)  # of the datagram before; this one was not sent
                error = _try_to_send(way.mouth, datagram)
            if error is None and way.mouth is not None:
                way.sent[len(datagram)] += 1
            elif error is not None and not isinstance(said, Report):
                way.errors.setdefault(len(datagram), _said(error))

    def _hear(self, place: int) -> None:
        ear, ways, on_link = self._ears[place]
        now = asyncio.get_running_loop().time()
        for datagram, arrival in received(ear, on_link=on_link):
            if not on_link:
                self._note(arrival, len(datagram))
            for way in _meant(ways, arrival, self._own):
                way.talk.take(datagram, arrival, now)

    def _note(self, arrival: Arrival, size: int) -> None:
        if arrival.address not in self._own:
            mtu = self._link.mtu if self._link is not None else _COMMON_MTU
            pieces = -(-size // (mtu - _HEADERS))
            self._fragments += pieces if pieces > 1 else 0
        if arrival.address not in self._own and len(self.senders) < _MOST_SENDERS:
            self.senders[arrival.address] = arrival.interface


def _meant(ways: list[_Way], arrival: Arrival, own: set[str]) -> list[_Way]:
    """Whose talk a datagram belongs to: of several unicast addresses the one that it came from."""
    if len(ways) < 2 or arrival.on_link:
        return ways
    found = [way for way in ways if way.address == arrival.address]
    return found or [way for way in ways if way.address in own]


def _neighbour(group: str, node: Node) -> Neighbour:
    return Neighbour(node.label, group, node.address, node.mtu or None, node.interface, node.link_interface)


def _try_to_send(mouth: socket.socket | None, datagram: bytes) -> OSError | None:
    try:
        if mouth is not None:
            mouth.send(datagram)
    except OSError as error:
        return error
    return None


def _said(error: OSError) -> str:
    return error.strerror or str(error)
