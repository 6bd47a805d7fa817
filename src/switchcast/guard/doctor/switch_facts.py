"""What can be seen of the FreeSWITCH on this host: its process, its files, and what it answers.

Gathered by ``app.doctor``; none of it holds a password or a key, only what was found out about them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

__all__ = [
    "EventSocketFile",
    "ModuleAnswers",
    "ModuleFile",
    "ModulesFile",
    "SwitchFacts",
    "SwitchProcess",
    "UnreadPart",
    "groups_of",
    "is_local",
]

SAMPLE_PORT: Final = 4242
_PORT: Final = re.compile(r"(?<![^\s])(?:\d+(?:\.\d+){3}|\[[^\]\s]*\]):(\d{1,5})\b")
"""The port in ``225.1.1.1:4242`` or ``[ff15::1]:4242``."""


def groups_of(addresses: Iterable[str]) -> frozenset[str]:
    """The multicast groups among some addresses and names of hosts, each written one way."""
    found = set()
    for text in addresses:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue  # a host's name
        if address.is_multicast:
            found.add(str(address))
    return frozenset(found)


def is_local(url: str) -> bool:
    """Whether the switch at this URL is the one whose files can be read here."""
    host = urlsplit(url).hostname or "localhost"
    return host == "localhost" or host.startswith("127.") or host == "::1"


@dataclass(frozen=True, slots=True)
class UnreadPart:
    """A file, or another part, that could not be read: what it is, and why (with the line, where it has one)."""

    what: str
    why: str
    how: str
    """What would let it be read."""


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """``event_multicast.conf.xml``: the module's params, variables filled in. ``lines`` tells where each stands."""

    path: str
    address: tuple[str, ...]
    port: int
    bindings: str = ""
    ttl: int = 1
    loopback: bool = False
    source_address: str | None = None
    source_address_ipv6: str | None = None
    keyed: bool = False
    """It has a pre-shared key."""
    key_agrees: bool | None = None
    """Whether that is the key of the endpoint examined (neither having one agrees); ``None``: not known of that."""
    endpoint_keyed: bool = False
    """The endpoint examined has a pre-shared key."""
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, param: str) -> str:
        """Where the param stands: ``/etc/freeswitch/.../event_multicast.conf.xml:12``."""
        line = self.lines.get(param)
        return self.path if line is None else f"{self.path}:{line}"


@dataclass(frozen=True, slots=True)
class EventSocketFile:
    """``event_socket.conf.xml``: where the event socket listens, and whom it lets in."""

    path: str
    listen_ip: str = "127.0.0.1"
    port: int = 8021
    default_password: bool = False
    """The password is the one that FreeSWITCH is shipped with."""
    acls: tuple[str, ...] = ()
    """``apply-inbound-acl``; where there is none FreeSWITCH 1.10 takes ``loopback.auto``, and older ones let all in."""
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, param: str) -> str:
        """Where the param stands."""
        line = self.lines.get(param)
        return self.path if line is None else f"{self.path}:{line}"


@dataclass(frozen=True, slots=True)
class ModulesFile:
    """``modules.conf.xml``: whether FreeSWITCH loads the module when it starts."""

    path: str
    loads_module: bool


@dataclass(frozen=True, slots=True)
class SwitchProcess:
    """A running FreeSWITCH."""

    pid: int
    same_network: bool | None = None
    """Whether it has the network that the doctor looks at; a container's has its own."""
    openssl: str | None = None
    """The version of libcrypto that it uses: ``3``, ``1.1``; empty for none; ``None`` where that cannot be seen."""
    legacy: bool | None = None
    """Whether that has its legacy provider, which Blowfish is part of; ``None``: cannot be told."""
    legacy_from: str = ""
    """How ``legacy`` is known."""


@dataclass(frozen=True, slots=True)
class ModuleAnswers:
    """What a switch answered about the module, over its event socket. ``None`` is what it would not tell."""

    url: str
    """As shown, without its password."""
    loaded: bool | None = None
    active: bool | None = None
    """What ``multicast_peers`` says of the module's state."""
    destinations: tuple[str, ...] = ()
    """The destinations that it lists, with their kind."""
    default_password: bool = False
    """The password that FreeSWITCH is shipped with was let in."""


@dataclass(frozen=True, slots=True)
class SwitchFacts:
    """All that could be seen. A host without FreeSWITCH has none of it; ``looked_in`` says where was looked."""

    processes: tuple[SwitchProcess, ...] = ()
    folder: str | None = None
    module: ModuleFile | None = None
    event_socket: EventSocketFile | None = None
    modules: ModulesFile | None = None
    answers: ModuleAnswers | None = None
    unread: tuple[UnreadPart, ...] = ()
    looked_in: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether there is any FreeSWITCH to be seen."""
        return bool(self.processes or self.folder or self.answers)

    @property
    def module_known(self) -> tuple[str, ...]:
        """By what it is known that the module runs here, or will at the next start; empty where it is not."""
        known = []
        if self.answers is not None and self.answers.loaded:
            known.append(f"{self.answers.url} says that mod_event_multicast is loaded")
        if self.modules is not None and self.modules.loads_module:
            known.append(f"{self.modules.path} loads mod_event_multicast")
        return tuple(known)

    @property
    def module_port(self) -> int:
        """The port that the module is on: as its file has it, else as the switch says, else that of its sample file."""
        if self.module is not None:
            return self.module.port
        said = [
            found[1] for line in (self.answers.destinations if self.answers else ()) if (found := _PORT.search(line))
        ]
        return int(said[0]) if said else SAMPLE_PORT
