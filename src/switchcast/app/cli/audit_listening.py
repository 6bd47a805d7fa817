"""Who listens to a group on this host, and behind its bridges: what the kernel tells, put into the report's words.

A group's other hosts are not to be known from here: they join without asking. What cannot be told is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from switchcast.app.reports.audit_report import Listener, Listening
from switchcast.guard.audit.reach import Reach
from switchcast.system.bridges import BridgeMember, read_bridge_members
from switchcast.system.groups import Membership, read_memberships
from switchcast.system.owners import Owners, read_owners
from switchcast.system.sockets import UdpSocket, read_udp_sockets

__all__ = ["listening_of", "read_listening"]

_OTHERS = (
    "which other hosts listen: they join without asking. A switch that snoops knows behind which of its ports somebody "
    "has joined; its group table tells"
)


def read_listening(reach: Reach) -> Listening | None:
    """Who listens on this host to what ``reach`` is about; ``None`` where that is no network."""
    if not reach.is_network or reach.port is None:
        return None
    unknown: list[str] = []
    bridged: Sequence[BridgeMember] = ()
    sockets: Sequence[UdpSocket] = ()
    memberships: Sequence[Membership] = ()
    owners = Owners()
    try:
        memberships = read_memberships()
    except OSError as error:
        unknown.append(f"which groups this host has joined: {error.strerror}")
    try:
        sockets = read_udp_sockets(port=reach.port)
        owners = read_owners({socket.inode for socket in sockets})
    except OSError as error:
        unknown.append(f"which programs listen: {error.strerror}")
    try:
        bridged = read_bridge_members()
    except OSError as error:
        unknown.append(f"behind which ports of bridges somebody has joined: {error.strerror}")
    return listening_of(reach, (*memberships, *bridged), sockets, owners, tuple(unknown))


def listening_of(
    reach: Reach,
    memberships: Sequence[Membership | BridgeMember],
    sockets: Sequence[UdpSocket],
    owners: Owners,
    unknown: tuple[str, ...] = (),
) -> Listening:
    """The same from what was read. This process, which listens only to tell, is left out."""
    groups = {str(group) for group in reach.groups}
    rows = [row for row in memberships if row.group in groups]
    joined = [f"{row.interface} ({row.group})" for row in rows if isinstance(row, Membership)]
    ports = [
        f"{row.port} of {row.bridge} ({row.group})"
        for row in rows
        if isinstance(row, BridgeMember) and row.port != row.bridge
    ]
    listeners = tuple(dict.fromkeys(_listeners(reach, sockets, owners)))
    return Listening(
        sockets=listeners,
        joined=tuple(dict.fromkeys(joined)),
        ports=tuple(dict.fromkeys(ports)),
        unknown=(*unknown, _OTHERS) if groups else unknown,
    )


def _listeners(reach: Reach, sockets: Sequence[UdpSocket], owners: Owners) -> Iterator[Listener]:
    wanted = {str(address) for address in reach.addresses}
    for socket in sockets:
        if socket.port != reach.port or not (socket.wildcard or socket.address in wanted):
            continue
        holders = owners.of(socket.inode)
        if not holders:
            yield Listener(socket.address, socket.port, socket.interface, None, None)
        for holder in holders or ():
            if holder.pid != os.getpid():
                yield Listener(socket.address, socket.port, socket.interface, holder.name, holder.pid)
