"""A hub that loses, doubles, holds back, damages and delays the UDP datagrams of the hosts on it, from a seed.

It passes whole Ethernet frames between interfaces, so hosts see each other's addresses, multicast works as on a cable,
and each IP fragment meets its own fate. What is not UDP (ARP, neighbour discovery, IGMP) passes untouched. Every
interface has a cable with faults of its own in both directions, as in the simulator (``native/tests/reliable/simnet``):

    host -- up --> hub -- down --> every other host

As a program it takes the seed and the interfaces, reads one JSON object a line, ``{"interface": "h0", "way": "down",
"loss": 0.1}``, answers each by an empty line once it is in force, and at the end of its input prints what it did.
"""

from __future__ import annotations

import heapq
import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import count

ETH_P_ALL = 3
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = b"\x08\x00", b"\x86\xdd"
UDP, IPV6_FRAGMENT = 17, 44
# From linux/socket.h, linux/if_packet.h and asm-generic/socket.h; not in the socket module.
SOL_PACKET, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 263, 23, 33
FRAME_BYTES = 65_600
FRAMES_AT_ONCE = 64
RECEIVE_BUFFER = 16 * 1024 * 1024
HELD_SECONDS = 0.02
"""Seconds that a frame is held back at most, when too few others come that could overtake it."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong on one cable in one direction; the first five are probabilities for one frame."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    flip: float = 0.0
    """Of one bit, behind the headers of IP: the checksum catches it, so the frame is lost to the socket."""
    burst: float = 0.0
    """Of a run of ``burst_length`` frames being lost, beginning with this one."""
    burst_length: int = 50
    reorder_by: int = 8
    """A frame that is reordered is overtaken by 1 to so many."""
    delay: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds at most, added to the delay; no frame overtakes another by it."""
    cut: bool = False
    """Nothing gets through, ARP and the like included."""


@dataclass
class Tally:
    """What became of the frames with UDP in them."""

    frames: int = 0
    lost: int = 0
    doubled: int = 0
    held: int = 0
    flipped: int = 0


@dataclass
class Held:
    behind: int
    until: float
    frame: bytes


@dataclass
class Cable:
    """One direction of an interface's cable. It reads no clock: the time is an argument."""

    dice: random.Random
    faults: Faults = Faults()
    tally: Tally = field(default_factory=Tally)
    held: list[Held] = field(default_factory=list)
    burst_left: int = 0
    last_arrival: float = 0.0

    def carry(self, frame: bytes, now: float) -> list[tuple[float, bytes]]:
        """A frame goes in; which come out because of it, and when, in seconds of the clock of ``now``."""
        faults, tally = self.faults, self.tally
        if faults.cut:
            tally.lost += 1
            return []
        if not is_udp(frame):
            return [(self._arrival(now), frame)]
        tally.frames += 1
        if self._is_lost():
            tally.lost += 1
            return []
        if self.dice.random() < faults.flip:
            tally.flipped += 1
            frame = self._flipped(frame)
        if self.dice.random() < faults.reorder:
            tally.held += 1
            self.held.append(Held(self.dice.randint(1, max(1, faults.reorder_by)), now + HELD_SECONDS, frame))
            return []
        arrival = self._arrival(now)
        out = [(arrival, frame)]
        if self.dice.random() < faults.duplicate:
            tally.doubled += 1
            out.append((arrival, frame))
        for held in self.held:
            held.behind -= 1
        out += [(arrival, held.frame) for held in self.held if held.behind == 0]
        self.held = [held for held in self.held if held.behind > 0]
        return out

    def release(self, now: float) -> list[tuple[float, bytes]]:
        """The frames that have been held back long enough."""
        out = [(self._arrival(now), held.frame) for held in self.held if held.until <= now]
        self.held = [held for held in self.held if held.until > now]
        return out

    def next_release(self) -> float | None:
        """When a frame has been held back long enough."""
        return min((held.until for held in self.held), default=None)

    def _is_lost(self) -> bool:
        if self.burst_left == 0 and self.dice.random() < self.faults.burst:
            self.burst_left = self.faults.burst_length
        if self.burst_left > 0:
            self.burst_left -= 1
            return True
        return self.dice.random() < self.faults.loss

    def _arrival(self, now: float) -> float:
        later = now + self.faults.delay + self.dice.random() * self.faults.jitter
        self.last_arrival = max(self.last_arrival, later)
        return self.last_arrival

    def _flipped(self, frame: bytes) -> bytes:
        damaged = bytearray(frame)
        damaged[self.dice.randrange(min(62, len(frame) - 1), len(frame))] ^= 1 << self.dice.randrange(8)
        return bytes(damaged)


def cable(seed: int, interface: str, way: str) -> Cable:
    """A cable without faults, whose luck depends on nothing but its place and the seed."""
    return Cable(random.Random(f"{seed} {interface} {way}"))  # noqa: S311 - repeatable is what it has to be


def is_udp(frame: bytes) -> bool:
    """Whether a frame carries UDP, or a fragment of it."""
    kind = frame[12:14]
    if kind == ETHERTYPE_IPV4:
        return len(frame) > 23 and frame[23] == UDP
    if kind == ETHERTYPE_IPV6:
        # Behind the IPv6 header there is UDP at once, or a fragment header and then UDP: our hosts send nothing else.
        return len(frame) > 54 and (frame[20] == UDP or (frame[20] == IPV6_FRAGMENT and frame[54] == UDP))
    return False


class Hub:
    """The hub itself, on the interfaces of this network namespace."""

    def __init__(self, seed: int, interfaces: list[str]) -> None:
        self.cables = {(name, way): cable(seed, name, way) for name in interfaces for way in ("up", "down")}
        self.sockets = {name: open_interface(name) for name in interfaces}
        self.full = 0
        self._waiting: list[tuple[float, int, str, str, bytes]] = []
        self._serial = count()

    def set(self, interface: str, way: str, **faults: float) -> None:
        """Change faults of one direction of a cable. What has been sent before is carried with the old ones."""
        for name in self.sockets:
            while self.take(name):
                pass
        self.run_due()
        place = self.cables[interface, way]
        place.faults = replace(place.faults, **faults)  # type: ignore[arg-type]

    def take(self, interface: str) -> int:
        """Read what an interface's host has sent, a batch of it at most; how many frames that was."""
        frames = list(read_frames(self.sockets[interface]))
        for frame in frames:
            self._put(interface, "up", self.cables[interface, "up"].carry(frame, time.monotonic()))
        return len(frames)

    def run_due(self) -> float | None:
        """Pass on what is due; in how many seconds there is more to do."""
        now = time.monotonic()
        for (interface, way), place in self.cables.items():
            if place.held:
                self._put(interface, way, place.release(now))
        while self._waiting and self._waiting[0][0] <= now:
            _, _, interface, way, frame = heapq.heappop(self._waiting)
            self._pass_on(interface, way, frame)
        times = [due for place in self.cables.values() if (due := place.next_release()) is not None]
        if self._waiting:
            times.append(self._waiting[0][0])
        return max(0.0, min(times) - time.monotonic()) if times else None

    def tallies(self) -> dict[str, object]:
        """What each cable did, by interface and way; ``full``: frames that an interface would not take."""
        rows = {f"{interface} {way}": vars(place.tally) for (interface, way), place in self.cables.items()}
        return {**rows, "full": self.full}

    def _put(self, interface: str, way: str, frames: list[tuple[float, bytes]]) -> None:
        for arrival, frame in frames:
            heapq.heappush(self._waiting, (arrival, next(self._serial), interface, way, frame))

    def _pass_on(self, interface: str, way: str, frame: bytes) -> None:
        """A frame has come to the end of a cable: at the hub, or at a host."""
        if way == "down":
            try:
                self.sockets[interface].send(frame)
            except OSError:
                self.full += 1
            return
        for other in self.sockets:
            if other != interface:
                self._put(other, "down", self.cables[other, "down"].carry(frame, time.monotonic()))


def open_interface(name: str) -> socket.socket:
    """A socket for the frames of an interface that others send."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    opened.bind((name, 0))
    opened.setblocking(False)
    return opened


def read_frames(opened: socket.socket) -> Iterator[bytes]:
    """The frames that are there, `FRAMES_AT_ONCE` at most."""
    for _ in range(FRAMES_AT_ONCE):
        try:
            yield opened.recv(FRAME_BYTES)
        except BlockingIOError:
            return


def main(words: list[str]) -> None:
    """Serve until the input ends."""
    hub = Hub(int(words[0]), words[1:])
    known = {each.name for each in fields(Faults)}
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for name, opened in hub.sockets.items():
            selector.register(opened, selectors.EVENT_READ, name)
        print(flush=True)
        while True:
            for key, _ in selector.select(hub.run_due()):
                if key.data is not None:
                    hub.take(key.data)
                elif line := sys.stdin.readline():
                    change = json.loads(line)
                    hub.set(change["interface"], change["way"], **{k: v for k, v in change.items() if k in known})
                    print(flush=True)
                else:
                    print(json.dumps(hub.tallies()), flush=True)
                    return


if __name__ == "__main__":
    main(sys.argv[1:])
