"""What the doctor looks at: the endpoint asked about, and what the host, the kernel and the probe tell.

Gathered once, then every check is ``check(facts) -> Iterator[Finding]``. A part that could not be read is ``None``, and
``Facts.unread`` says why; no check makes a finding of it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.doctor.switch_facts import SwitchFacts
from switchcast.system.clock import Clock
from switchcast.system.counters import Counters
from switchcast.system.firewall import Firewall
from switchcast.system.groups import Membership
from switchcast.system.limits import KernelLimits
from switchcast.system.links import Link, find_link
from switchcast.system.owners import Owners
from switchcast.system.platform import Platform
from switchcast.system.queries import Query
from switchcast.system.routes import Route, Unroutable
from switchcast.system.sockets import UdpSocket

__all__ = [
    "PROBE_SIZES",
    "Facts",
    "Heard",
    "Neighbour",
    "ProbeResult",
    "Queries",
    "Sender",
    "Target",
    "Unchecked",
    "version_of",
]

PROBE_SIZES: Final = (300, 1472, 1473, 6000, 60000)
"""Bytes of UDP payload that the probe sends: 1472 is the most that one packet of 1500 bytes carries over IPv4."""

ASKED_BUFFER: Final = 4 * 1024 * 1024
"""What our datagram endpoints ask the kernel for, unless their URL says otherwise."""


def version_of(address: str) -> int:
    """4 or 6."""
    return 6 if ":" in address else 4


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint that the doctor was asked about, as its URL says."""

    url: str
    """As shown, secrets masked."""
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """Its unicast addresses."""
    port: int = 4242
    interface: str | None = None
    """A name, or an address of the interface; ``None`` leaves it to the routing table."""
    ttl: int = 1
    loopback: bool = True
    mode: str = "stock"
    sources: tuple[str, ...] = ()
    """The senders that it hears; nobody named means everybody."""
    source_address: str | None = None
    receive_buffer: int = ASKED_BUFFER
    send_buffer: int = ASKED_BUFFER

    @classmethod
    def of(cls, url: EndpointUrl, addresses: Sequence[str] | None = None) -> Target:
        """From the URL of a ``multicast:`` or ``udp:`` endpoint; ``addresses`` are its hosts, names looked up.

        Raises ``UrlError`` for an option that is out of range.
        """
        addresses = [host for host in url.hosts if _is_address(host)] if addresses is None else addresses
        parsed = [ipaddress.ip_address(address) for address in addresses]
        return cls(
            url=str(url),
            groups=tuple(str(address) for address in parsed if address.is_multicast),
            hosts=tuple(str(address) for address in parsed if not address.is_multicast),
            port=4242 if url.port is None else url.port,
            interface=url.text("interface"),
            ttl=url.integer("ttl", 1, 0, 255),
            loopback=url.boolean("loopback", True),
            mode=url.text("mode") or "stock",
            sources=url.addresses("source"),
            source_address=next(iter(url.addresses("source_address")), None),
            receive_buffer=url.integer("receive_buffer", ASKED_BUFFER, 2048, 1 << 30),
            send_buffer=url.integer("send_buffer", ASKED_BUFFER, 2048, 1 << 30),
        )

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions of its groups, 4 before 6."""
        return tuple(sorted({version_of(group) for group in self.groups}))


@dataclass(frozen=True, slots=True)
class Heard:
    """What one host heard of what another, or itself, sent to ``group`` in datagrams of ``size`` bytes of payload."""

    hearer: str
    sender: str
    group: str
    size: int
    sent: int
    heard: int

    @property
    def version(self) -> int:
        """4 or 6."""
        return version_of(self.group)

    @property
    def looped(self) -> bool:
        """What a host heard of itself."""
        return self.hearer == self.sender


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another host that runs the doctor. ``name`` is what the rows call it.

    ``mtu`` is that of the interface it sends on, as it says. ``interface`` is by which its datagrams to ``group`` came
    in, ``link_interface`` by which its reports to the link's all-hosts group did; ``None`` where none came.
    """

    name: str
    group: str
    address: str
    mtu: int | None = None
    interface: str | None = None
    link_interface: str | None = None


@dataclass(frozen=True, slots=True)
class Queries:
    """The membership queries that were heard in ``seconds``. ``interval``: how often the network's querier asks."""

    version: int
    """4 for IGMP, 6 for MLD."""
    heard: tuple[Query, ...] = ()
    seconds: float = 0.0
    interval: float = 125.0


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What the probe saw, a row for each hearer, sender, group and size. ``here`` is this host's name in the rows.

    What other hosts say they heard is a stranger's word: a hint, already bounded and printable.
    """

    here: str
    rows: tuple[Heard, ...] = ()
    seconds: float = 0.0
    """How long was listened."""
    hops: Mapping[str, int] = field(default_factory=dict)
    """The TTL or hop limit with which the datagrams of each other host came in, the least."""
    send_errors: Mapping[int, str] = field(default_factory=dict)
    """By size: what the kernel said when it refused to send."""
    neighbours: tuple[Neighbour, ...] = ()
    """The other hosts that run the doctor, once for each group."""
    join_errors: Mapping[str, str] = field(default_factory=dict)
    """By group: what the kernel said when it refused to join it, or to listen to it."""
    refused: tuple[str, ...] = ()
    """Unicast addresses whose host answered that nobody listens on the port."""
    fragments: int = 0
    """About how many fragments the datagrams had that came in from others: the probe's own load."""
    crowded: int = 0
    """Datagrams that were not looked at, since too many strangers spoke."""

    @property
    def others(self) -> tuple[str, ...]:
        """The other hosts, in the order of the rows."""
        names = dict.fromkeys(name for row in self.rows for name in (row.sender, row.hearer))
        return tuple(name for name in names if name != self.here)

    def between(self, sender: str, hearer: str, version: int) -> dict[int, Heard]:
        """The rows of one pair, by size."""
        return {
            row.size: row
            for row in self.rows
            if row.sender == sender and row.hearer == hearer and row.version == version
        }


@dataclass(frozen=True, slots=True)
class Sender:
    """A host that sends to the group. ``interface`` is the one its datagrams come in by, where that was seen."""

    address: str
    interface: str | None = None
    back: Route | Unroutable | None = None
    """The way back to it, as this host's routing table has it."""
    heard: bool = True
    """Whether a socket heard it; ``False`` for one that is only known to send, or was seen in front of the checks."""


@dataclass(frozen=True, slots=True)
class Unchecked:
    """Something that was not checked, why, and how it could be."""

    what: str
    why: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the checks look at. ``None`` is what could not be read; ``unread`` says why, by the member's name.

    Read ``memberships`` and ``sockets`` before the probe opens sockets of its own, or they are found among them.
    """

    target: Target
    links: tuple[Link, ...] | None = None
    links_before: tuple[Link, ...] | None = None
    """The interfaces at the beginning of the wait, for what their queues dropped since."""
    routes: Mapping[str, Route | Unroutable] | None = None
    """The way to each group and host of the target as the routing table has it, no interface named."""
    memberships: tuple[Membership, ...] | None = None
    sockets: tuple[UdpSocket, ...] | None = None
    """Every UDP socket of the host, at the end of the wait."""
    sockets_before: tuple[UdpSocket, ...] | None = None
    """The same, at its beginning."""
    own_drops: int = 0
    """Datagrams that the probe's own sockets lost for want of receive buffer; the counters have them, too."""
    counters: Counters | None = None
    counters_before: Counters | None = None
    waited: float | None = None
    """Seconds between the two."""
    limits: KernelLimits | None = None
    firewall: Firewall | None = None
    senders: tuple[Sender, ...] | None = None
    probe: ProbeResult | None = None
    queries: tuple[Queries, ...] | None = None
    """Of each IP version of the groups that queries can be heard of."""
    platform: Platform | None = None
    clock: Clock | None = None
    owners: Owners | None = None
    """Who holds the sockets on the target's port."""
    port_refused: str | None = None
    """What the kernel said when the probe was not let onto the target's port."""
    switch: SwitchFacts | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def link(self) -> Link | None:
        """The interface that the target names, or else the one by which its first address is routed."""
        if self.links is None:
            return None
        if self.target.interface is not None:
            return find_link(self.links, self.target.interface)
        for address in (*self.target.groups, *self.target.hosts):
            way = (self.routes or {}).get(address)
            if isinstance(way, Route):
                return find_link(self.links, way.interface)
        return None

    @property
    def on_port(self) -> tuple[UdpSocket, ...]:
        """The sockets that are bound to the target's port."""
        return tuple(socket for socket in self.sockets or () if socket.port == self.target.port)

    def grown(self, names: Iterable[str]) -> dict[str, int]:
        """Which of these counters grew during the wait, and by how much."""
        if self.counters is None or self.counters_before is None:
            return {}
        since = self.counters.since(self.counters_before)
        return {name: since[name] for name in names if since[name] > 0}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
