"""Who else is on the endpoint's port, and what that takes from whom.

A datagram to a group reaches every socket that is bound to its port and to the group or to any address. One to a single
address reaches one socket only, whoever shares the port: the kernel chooses by what was bound last, or at random.
"""

from __future__ import annotations

from collections.abc import Iterator

from switchcast.guard.doctor.facts import Facts, Unchecked, version_of
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.sockets import UdpSocket

__all__ = ["check", "owner_text", "unchecked"]

MOST_SHOWN = 8
"""Sockets named in the evidence of one finding."""


def check(facts: Facts) -> Iterator[Finding]:
    """What is wrong with who holds the port."""
    yield from _refused(facts)
    yield from _deaf(facts)
    yield from _shared(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """Sockets whose process could not be told."""
    port = facts.target.port
    if facts.sockets is None:
        yield Unchecked(f"who is on port {port}", facts.unread.get("sockets", "the sockets cannot be read"), _AS_ROOT)
    elif facts.on_port and facts.owners is None:
        yield Unchecked(f"who is on port {port}", facts.unread.get("owners", "/proc cannot be read"), _AS_ROOT)
    elif facts.owners is not None and any(facts.owners.of(socket.inode) is None for socket in facts.on_port):
        count = len(facts.owners.hidden)
        why = f"{count} process{'es' if count > 1 else ''} cannot be looked into, as those of other users cannot"
        yield Unchecked(f"whose sockets are on port {port}", why, _AS_ROOT)


_AS_ROOT = "run it as root: sudo switchcast doctor"


def owner_text(facts: Facts, socket: UdpSocket) -> str:
    """Whose a socket is, for people."""
    owners = None if facts.owners is None else facts.owners.of(socket.inode)
    if owners:
        return ", ".join(str(owner) for owner in owners[:3])
    if owners is None:
        return f"an unknown process of the user with number {socket.uid}"
    return f"a process that is hidden from here, of the user with number {socket.uid}"


def _listed(facts: Facts, sockets: tuple[UdpSocket, ...]) -> tuple[str, ...]:
    lines = [f"{_place(socket)}: {owner_text(facts, socket)}" for socket in sockets[:MOST_SHOWN]]
    return (*lines, f"and {len(sockets) - MOST_SHOWN} more") if len(sockets) > MOST_SHOWN else tuple(lines)


def _place(socket: UdpSocket) -> str:
    return f"[{socket.address}]:{socket.port}" if socket.version == 6 else f"{socket.address}:{socket.port}"


def _refused(facts: Facts) -> Iterator[Finding]:
    if facts.port_refused is None:
        return
    port = facts.target.port
    yield Finding(
        code="port-taken",
        severity=Severity.CRITICAL,
        title=f"Port {port} is taken by a program that does not share it.",
        evidence=(f"binding to it: {facts.port_refused}", *_listed(facts, facts.on_port)),
        cause="Several programs can be bound to one UDP port only if each of them asks for it (SO_REUSEADDR), as "
        "FreeSWITCH and switchcast do.",
        mends=(
            Mend(f"ss -ulnp sport = :{port}", "Shows who holds the port; stop that program, or give it another port."),
            Mend("another port in the URL, the same on every host", "Leaves the other program where it is."),
        ),
    )


def _deaf(facts: Facts) -> Iterator[Finding]:
    """A socket that is bound to an address of its own hears no group."""
    if not facts.target.groups:
        return
    told = _source_addresses(facts)
    deaf = tuple(
        socket
        for socket in facts.on_port
        if not socket.wildcard and not _is_group(socket.address) and socket.address not in told
    )
    if not deaf:
        return
    yield Finding(
        code="port-deaf",
        severity=Severity.WARNING,
        title=f"A socket on port {facts.target.port} is bound to one address, so it hears no group.",
        evidence=_listed(facts, deaf),
        cause="The kernel hands a datagram to the sockets bound to the address that it was sent to, which is the "
        "group's, or to any address. Joining the group does not change that.",
        mends=tuple(mend for name, mend in _HEARING.items() if _may_be(name, facts, deaf)),
    )


_FREESWITCH = "freeswitch"
_HEARING = {
    _FREESWITCH: Mend(
        "take source_address out of event_multicast.conf.xml, then fs_cli -x reloadxml",
        "FreeSWITCH binds to any address and hears the group; what it sends leaves by the routing table.",
    ),
    "": Mend(
        "bind to 0.0.0.0 or to the group, in the program's settings",
        "It hears the group, and no longer only what is sent to it alone.",
    ),
}
"""What lets a program hear the group: FreeSWITCH, and any other."""


def _may_be(name: str, facts: Facts, sockets: tuple[UdpSocket, ...]) -> bool:
    """Whether one of the sockets is FreeSWITCH's (or, without ``name``, another's), as far as can be told."""
    owned = [None if facts.owners is None else facts.owners.of(socket.inode) for socket in sockets]
    return any(not owners or any((owner.name == _FREESWITCH) is bool(name) for owner in owners) for owners in owned)


def _source_addresses(facts: Facts) -> tuple[str | None, ...]:
    """What FreeSWITCH's own file is known to bind it to: that is told as a fault of the file."""
    module = None if facts.switch is None else facts.switch.module
    return () if module is None else (module.source_address, module.source_address_ipv6)


def _shared(facts: Facts) -> Iterator[Finding]:
    """Only where datagrams come by unicast is one socket's gain another's loss."""
    if not facts.target.hosts:
        return
    for version in sorted({version_of(host) for host in facts.target.hosts}):
        takers = tuple(socket for socket in facts.on_port if socket.version == version and socket.wildcard)
        if len(takers) < 2:
            continue
        yield Finding(
            code="port-shared",
            severity=Severity.WARNING,
            title=f"{len(takers)} sockets share port {facts.target.port}, and each unicast datagram reaches only one.",
            evidence=_listed(facts, takers),
            cause="What is sent to a group reaches every socket on the port; what is sent to this host alone reaches "
            "the one that the kernel chooses, so one program takes the other's events.",
            mends=(
                Mend("another port for one of the programs", "Each gets what is sent to its own port."),
                Mend(
                    "a group in place of the addresses, where the network carries multicast",
                    "Every program on the port hears every event.",
                ),
            ),
        )


def _is_group(address: str) -> bool:
    first = address.partition(".")[0]
    return address.lower().startswith("ff") if ":" in address else first.isdigit() and 224 <= int(first) <= 239
