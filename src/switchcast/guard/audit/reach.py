"""How far events go from an endpoint, and what keeps them from being read and forged on the way: what its URL says."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from switchcast.endpoints.modes import Mode, ModeName
from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.audit.well_known import is_well_known

__all__ = ["GroupScope", "Reach", "reach_of", "scope_of"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
GroupScope = Literal["host", "link", "site", "global"]
"""How far routers may carry a group's datagrams. ``site`` is whatever an organisation administers itself."""

STOCK_PORT: Final = 4242
_DATAGRAMS: Final = frozenset({"multicast", "udp"})
_ADMINISTERED: Final = ipaddress.IPv4Network("239.0.0.0/8")
_LOCAL_CONTROL: Final = ipaddress.IPv4Network("224.0.0.0/24")
_HOST_SCOPE: Final = 1
_LINK_SCOPE: Final = 2
_WIDEST_ADMINISTERED_SCOPE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One endpoint, as far as it matters to those who should not hear it. Holds no secret.

    ``url`` is shown with secrets masked. ``hosts`` are as in it; ``ttl``, ``interface`` and ``mode`` are ``None`` where
    the scheme has none. ``well_known`` are the options whose secret everybody knows. ``bindings`` are those by which
    events are chosen, where that is known.
    """

    url: str
    scheme: str
    hosts: tuple[str, ...] = ()
    port: int | None = None
    interface: str | None = None
    ttl: int | None = None
    mode: ModeName | None = None
    psk: bool = False
    keyed: bool = False
    takes_stock: bool = False
    """Whether datagrams that prove nothing are delivered."""
    well_known: tuple[str, ...] = ()
    bindings: str | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Those of ``hosts`` that are addresses and not names."""
        return tuple(address for host in self.hosts if (address := _address(host)) is not None)

    @property
    def groups(self) -> tuple[Address, ...]:
        """The multicast groups among the addresses."""
        return tuple(address for address in self.addresses if address.is_multicast)

    @property
    def is_network(self) -> bool:
        """Whether events go as datagrams over a network."""
        return self.scheme in _DATAGRAMS

    @property
    def encrypted(self) -> Literal["no", "stock psk", "sealed"]:
        """What whoever hears the datagrams needs in order to read them."""
        if self.mode == "sealed":
            return "sealed"
        return "stock psk" if self.psk else "no"

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        scopes = {str(group): scope_of(group) for group in self.groups}
        return {**asdict(self), "scopes": scopes, "encrypted": self.encrypted}


def reach_of(url: EndpointUrl, *, secret: bytes | None = None, bindings: str | None = None) -> Reach:
    """What ``url`` says. ``secret`` is its pre-shared key or password, which is compared and not kept.

    Raises ``UrlError`` where an option of the mode is wrong.
    """
    datagrams = url.scheme in _DATAGRAMS
    mode = Mode.of(url) if datagrams else None
    option = "password" if url.scheme == "esl" else "psk"
    return Reach(
        url=str(url),
        scheme=url.scheme,
        hosts=url.hosts,
        port=STOCK_PORT if datagrams and url.port is None else url.port,
        interface=url.text("interface") if datagrams else None,
        ttl=url.integer("ttl", 1, 0, 255) if url.scheme == "multicast" else None,
        mode=None if mode is None else mode.name,
        psk=any(name in dict(url.options) for name in ("psk", "psk_file")),
        keyed=mode is not None and mode.key_file is not None,
        takes_stock=mode is not None and mode.name != "sealed" and (mode.key_file is None or mode.stock == "deliver"),
        well_known=(option,) if is_well_known(secret) else (),
        bindings=bindings,
    )


def scope_of(group: Address) -> GroupScope:
    """How far ``group`` may go.

    239.0.0.0/8 is administratively scoped (RFC 2365), 224.0.0.0/24 is never forwarded (RFC 5771); an IPv6 group says it
    in four bits (RFC 4291, RFC 7346).
    """
    if isinstance(group, ipaddress.IPv4Address):
        if group in _LOCAL_CONTROL:
            return "link"
        return "site" if group in _ADMINISTERED else "global"
    scope = group.packed[1] & 0x0F
    if scope <= _HOST_SCOPE:
        return "host"
    if scope <= _LINK_SCOPE:
        return "link"
    return "site" if scope <= _WIDEST_ADMINISTERED_SCOPE else "global"


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
