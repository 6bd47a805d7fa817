"""The module's own file as a configuration of ours: what FreeSWITCH does with it, the node does.

::

    switch ──> group       what is bound, as the module sends it (policy "all")
    group ───> switch      what others send, re-fired there, and who of them comes and goes
    unicast ─> switch      the same, where a destination is no group: the module hears both on its one socket

``tables_of`` says that as the tables of our own file, which are then checked, overridden by the environment and shown
like any other. Not copied is what the module does wrong: a source address makes nobody deaf, and the TTL and loopback
count for IPv6 as well.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from switchcast.app.config.configuration import Configuration
from switchcast.app.config.load import Given, assemble
from switchcast.app.config.locate import Path
from switchcast.app.config.stock_xml import StockSettings, read_stock
from switchcast.app.config.writing import toml_text

__all__ = ["PSK_FILE", "StockOptions", "as_toml", "is_own_address", "load_stock"]

LOCAL_SWITCH: Final = "esl://127.0.0.1:8021"
PSK_FILE: Final = "/etc/switchcast/group.psk"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_own_address(address: Address) -> bool:
    """Whether ``address`` is one of this host's, loopback aside: the kernel lets nobody bind another's."""
    if address.is_multicast or address.is_loopback or address.is_unspecified:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((str(address), 0))
        return True
    return False


@dataclass(frozen=True)
class StockOptions:
    """What is said beside the module's file: ``variables`` of other files of FreeSWITCH's, where the ``switch`` is."""

    variables: Mapping[str, str] = field(default_factory=dict)
    switch: str | None = None
    is_own: Callable[[Address], bool] = is_own_address


def load_stock(
    path: FilePath | str,
    environ: Mapping[str, str] | None = None,
    options: StockOptions | None = None,
    *,
    outside: bool = False,
) -> Configuration:
    """The configuration that the module's file at ``path`` means.

    The switch is the one on this host (``SWITCHCAST_ENDPOINTS__SWITCH__URL`` or ``options.switch`` name another). A key
    in the file is held in memory and never shown. ``outside`` is as in ``load``. Raises ``ConfigurationError`` with
    every mistake.
    """
    file, options = FilePath(path), options or StockOptions()
    environ = os.environ if environ is None else environ
    stock = read_stock(file, options.variables, environ)
    tables = tables_of(stock, str(file), options)
    keyed = [name for name in tables.document["endpoints"] if name != "switch"] if stock.psk else []
    return assemble(
        Given(
            path=file,
            document=tables.document,
            environ=environ,
            lines=tables.lines,
            variables={} if options.switch is None else {("endpoints", "switch", "url"): "--switch"},
            secrets={name: {"psk": stock.psk or ""} for name in keyed},
            warnings=(*stock.warnings, *tables.warnings),
            outside=outside,
        )
    )


@dataclass
class Tables:
    """A file of ours, before it is written: its tables, where in the module's file each comes from, and its notes."""

    document: dict[str, Any]
    lines: dict[Path, int]
    notes: dict[Path, str]
    warnings: list[str]


def tables_of(stock: StockSettings, file: str, options: StockOptions) -> Tables:
    """What ``stock`` says, as tables of ours. The key is left to the caller."""
    warnings: list[str] = []
    destinations = _Destinations()
    for text in stock.address:
        address = _address_of(text)
        if address is not None and options.is_own(address):
            warnings.append(
                f"{file}:{stock.lines['address']}: address: {text} is this host's own; skipped, as in stock"
            )
        else:
            destinations.add(text, address)
    endpoints: dict[str, Any] = {"switch": {"url": options.switch or LOCAL_SWITCH}}
    lines: dict[Path, int] = {}
    notes: dict[Path, str] = {("endpoints", "switch"): "The FreeSWITCH on this host, by its event socket."}
    routes: list[dict[str, Any]] = []
    sinks = _sinks(stock, destinations)
    for name, url in sinks.items():
        endpoints[name] = {"url": url}
        lines |= {("endpoints", name): stock.lines["address"], ("endpoints", name, "url"): stock.lines["address"]}
    sources = [name for name, url in sinks.items() if url.startswith("multicast:")]
    if destinations.unicast:
        endpoints["unicast"] = {"url": f"udp://{_listening(stock, destinations)}:{stock.port}?share=yes"}
        lines[("endpoints", "unicast")] = stock.lines["address"]
        notes[("endpoints", "unicast")] = "What the others send to this host alone."
        sources.append("unicast")
    if stock.bindings.split() and sinks:
        notes["route", len(routes)] = "What is bound here goes to the others, whole, as the module sends it."
        routes.append({"from": "switch", "to": list(sinks), "bindings": stock.bindings, "policy": "all"})
        lines |= {("route", 0): stock.lines["bindings"], ("route", 0, "bindings"): stock.lines["bindings"]}
    for source in sources:
        notes["route", len(routes)] = (
            "What the others send is re-fired here as multicast::event, whoever sent it, as the module does."
        )
        routes.append({"from": source, "to": ["switch"], "policy": "all", "trust": "stock"})
    document: dict[str, Any] = {"peers": {"comeback": 1, "to": ["switch"]}, "endpoints": endpoints}
    notes["peers",] = (
        "Who comes and goes is told to the switch, each time, as multicast::peerup and multicast::peerdown."
    )
    return Tables(document | ({"route": routes} if routes else {}), lines, notes, warnings)


@dataclass
class _Destinations:
    """Destinations by kind. A name counts as unicast: what it stands for shows only when it is looked up."""

    groups: list[str] = field(default_factory=list)
    unicast: list[str] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)

    def add(self, text: str, address: Address | None) -> None:
        """One more, ``address`` being ``None`` for a name."""
        host = f"[{text}]" if address is not None and address.version == 6 else text
        (self.groups if address is not None and address.is_multicast else self.unicast).append(host)
        self.versions.add(4 if address is None else address.version)


def _sinks(stock: StockSettings, destinations: _Destinations) -> dict[str, str]:
    """The endpoints to send to: one, or one a family where both have a source address of their own."""
    hosts = [*destinations.groups, *destinations.unicast]
    if stock.source_address and stock.source_address_ipv6 and destinations.versions == {4, 6}:
        families = {"group": [host for host in hosts if host[0] != "["], "group6": [h for h in hosts if h[0] == "["]}
    else:
        families = {"group": hosts} if hosts else {}
    return {name: _url(stock, each, destinations) for name, each in families.items()}


def _url(stock: StockSettings, hosts: list[str], destinations: _Destinations) -> str:
    place = f"{','.join(hosts)}:{stock.port}"
    of_six = [host[0] == "[" for host in hosts]
    source = (None if all(of_six) else stock.source_address) or (stock.source_address_ipv6 if any(of_six) else None)
    if not set(hosts) & set(destinations.groups):
        return f"udp://{place}" + (f"?source_address={source}" if source else "")
    options = f"ttl={stock.ttl}&loopback={'yes' if stock.loopback else 'no'}"
    return f"multicast://{place}?{options}" + (f"&source_address={source}" if source else "")


def _listening(stock: StockSettings, destinations: _Destinations) -> str:
    """The addresses that unicast is heard on: the source addresses, else any."""
    hosts = []
    if 4 in destinations.versions:
        hosts.append(stock.source_address or "0.0.0.0")  # noqa: S104 - as the module binds it
    if 6 in destinations.versions:
        hosts.append(f"[{stock.source_address_ipv6 or '::'}]")
    return ",".join(hosts)


def _address_of(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def as_toml(stock: StockSettings, file: FilePath, psk_file: str, options: StockOptions) -> tuple[str, list[str]]:
    """``stock`` as a file of ours, and what its reader should be warned of. The key is named as ``psk_file``."""
    tables = tables_of(stock, str(file), options)
    for name, endpoint in tables.document["endpoints"].items():
        if stock.psk and name != "switch":
            endpoint["psk_file"] = psk_file
    heading = (
        f"# From {file.name}. It does what the module does with that file; docs/configuration.md tells what else can\n"
        '# be said. A policy "cluster" in place of "all" would keep call details on this host.\n\n'
    )
    return heading + toml_text(tables.document, tables.notes), [*stock.warnings, *tables.warnings]
