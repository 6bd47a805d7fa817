"""Whether datagrams are lost in this host's own queues: receive buffers, drops, and full send queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Unchecked
from switchcast.guard.doctor.ports import owner_text
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.limits import KernelLimits
from switchcast.system.sockets import UdpSocket

__all__ = ["check", "unchecked"]

STOCK_DEFAULT: Final = 212_992
"""Bytes of a socket's buffer where nobody sets anything: 25 events of 4 KiB, for the kernel counts its overhead too."""
SERVES: Final = 4 * 1024 * 1024
"""Bytes that hold what our receiver is sent while it waits for its turn."""
FULL: Final = 0.75
"""A queue that is filled so far while somebody looks is one that overflows at times."""


def check(facts: Facts) -> Iterator[Finding]:
    """What the host loses, and would lose in a burst."""
    yield from _dropped(facts)
    yield from _asked(facts)
    yield from _small(facts)
    yield from _not_read(facts)
    yield from _elsewhere(facts)
    yield from _sending(facts)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """What the kernel did not tell."""
    limits = facts.limits
    if limits is None or limits.rmem_max is None:
        why = facts.unread.get("limits", "net.core.rmem_max is not there, as in most containers")
        yield Unchecked(
            "how large receive buffers may be", why, "run it on the container's host: sysctl net.core.rmem_max"
        )
    if facts.sockets is None:
        yield Unchecked("drops of sockets", facts.unread.get("sockets", "they were not read"), "run it as root")
    elif facts.on_port and all(socket.receive_buffer is None for socket in facts.on_port):
        yield Unchecked(
            f"the receive buffers on port {facts.target.port}",
            "the kernel's udp_diag is not there",
            "modprobe udp_diag",
        )
    if facts.counters is None:
        yield Unchecked("the kernel's counters", facts.unread.get("counters", "they were not read"), "run it as root")


def _lifted(facts: Facts, size: int, *, default: bool) -> tuple[Mend, ...]:
    """What gives sockets of this host ``size`` bytes; ``default`` where a program does not ask for any."""
    limits = facts.limits or KernelLimits()
    mends = []
    if limits.rmem_max is None or limits.rmem_max < size:
        mends.append(
            Mend(
                f"sysctl -w net.core.rmem_max={size}",
                "Programs that ask for a larger receive buffer get it, from their next start on; keep it in "
                "/etc/sysctl.d/.",
            )
        )
    if default and (limits.rmem_default is None or limits.rmem_default < size):
        mends.append(
            Mend(
                f"sysctl -w net.core.rmem_default={size}",
                "Programs that ask for none, FreeSWITCH's module among them, get this much from their next start on.",
            )
        )
    return tuple(mends)


def _dropped(facts: Facts) -> Iterator[Finding]:
    """The receive buffer of a socket on the port was full when datagrams came."""
    before = {socket.inode: socket.drops for socket in facts.sockets_before or ()}
    lost = [socket for socket in facts.on_port if socket.drops]
    if not lost:
        return
    grown = {each.inode: each.drops - before.get(each.inode, each.drops) for each in lost}
    total, lately = sum(each.drops for each in lost), sum(grown.values())
    evidence = [
        f"{owner_text(facts, each)}: {each.drops:,} dropped, {grown[each.inode]:,} while the doctor looked on"
        + (f", receive buffer {each.receive_buffer:,} bytes" if each.receive_buffer is not None else "")
        for each in lost[:8]
    ]
    yield Finding(
        code="receive-drops",
        severity=Severity.WARNING,
        title=f"{total:,} datagrams to port {facts.target.port} were lost on this host"
        + (f", {lately:,} of them just now." if lately else "."),
        evidence=tuple(evidence),
        cause="They came faster than the program read, and its receive buffer was full. A burst of calls does that "
        "when the buffer is small.",
        mends=(
            *_lifted(facts, SERVES, default=True),
            Mend(
                f"receive_buffer={2 * SERVES}",
                "In the URL of our endpoints: asks for more than the 4 MiB they ask for by themselves.",
            ),
        ),
    )


def _asked(facts: Facts) -> Iterator[Finding]:
    """What our endpoint asks for is more than the kernel gives, or less than serves."""
    asked = facts.target.receive_buffer
    most = facts.limits.rmem_max if facts.limits else None
    # The kernel counts twice what was asked for. With CAP_NET_ADMIN a program gets more than the limit.
    granted = any(each.receive_buffer is not None and each.receive_buffer >= 2 * asked for each in facts.on_port)
    if most is not None and asked > most and not granted:
        yield Finding(
            code="receive-buffer-limited",
            severity=Severity.WARNING,
            title=f"The kernel gives {most:,} bytes of receive buffer where {asked:,} are asked for.",
            evidence=(f"net.core.rmem_max = {most}", f"the endpoint asks for {asked}", *_probe_lost(facts)),
            cause="It cuts the request without a word, unless the program has CAP_NET_ADMIN, as root has. "
            + _holds(most),
            mends=_lifted(facts, asked, default=False),
        )
    elif asked < STOCK_DEFAULT:
        yield Finding(
            code="receive-buffer-small",
            severity=Severity.WARNING,
            title=f"The endpoint asks for a receive buffer of only {asked:,} bytes.",
            evidence=(f"receive_buffer={asked} in the URL", *_probe_lost(facts)),
            cause=_holds(asked),
            mends=(Mend("leave receive_buffer out of the URL", f"It asks for {SERVES:,} bytes then."),),
        )


def _probe_lost(facts: Facts) -> Iterator[str]:
    """The probe's own sockets ask for as much as the endpoint would."""
    if facts.own_drops:
        yield f"the probe lost {facts.own_drops:,} of its own datagrams for it"


def _holds(size: int) -> str:
    """Of 212,992 bytes 25 events of 4 KiB were seen to fit: about two bytes of buffer for one of an event."""
    events = max(1, size // (STOCK_DEFAULT // 25))
    return f"So much holds about {events} event{'s' if events > 1 else ''} of 4 KiB; a burst beyond it is lost."


def _small(facts: Facts) -> Iterator[Finding]:
    """Somebody on the port has a small buffer: FreeSWITCH's module takes the default, and reads each half second."""
    small = [each for each in facts.on_port if each.receive_buffer is not None and each.receive_buffer <= STOCK_DEFAULT]
    if not small or any(each.drops for each in small):
        return
    yield Finding(
        code="socket-buffer-small",
        severity=Severity.NOTICE,
        title=f"{_sockets(small)} on port {facts.target.port} with a small receive buffer.",
        evidence=tuple(f"{owner_text(facts, each)}: {each.receive_buffer or 0:,} bytes" for each in small[:8]),
        cause=_holds(min(each.receive_buffer or 0 for each in small)) + " None was lost so far.",
        mends=_lifted(facts, SERVES, default=True)
        or (Mend("start the program again", "The kernel's default is larger by now; it was not at its start."),),
    )


def _sockets(some: list[UdpSocket]) -> str:
    return "There is a socket" if len(some) == 1 else f"There are {len(some)} sockets"


def _not_read(facts: Facts) -> Iterator[Finding]:
    """Datagrams lie in the buffer, and the program does not fetch them."""
    for each in facts.on_port:
        if each.receive_buffer and each.receive_queue >= FULL * each.receive_buffer:
            yield Finding(
                code="receive-queue-full",
                severity=Severity.WARNING,
                title=f"A program on port {facts.target.port} does not read what lies in its receive buffer.",
                evidence=(
                    f"{owner_text(facts, each)}: {each.receive_queue:,} of {each.receive_buffer:,} bytes are filled",
                ),
                cause="It hangs, is stopped, or cannot keep up. What comes next finds no room.",
                mends=(
                    Mend(f"ss -uamnp sport = :{facts.target.port}", "Shows the program; look at why it does not read."),
                ),
            )


def _elsewhere(facts: Facts) -> Iterator[Finding]:
    """Drops that are counted for the host, and that no socket on the port had."""
    grown = facts.grown(("UdpRcvbufErrors", "Udp6RcvbufErrors", "UdpMemErrors", "Udp6MemErrors"))
    before = {socket.inode: socket.drops for socket in facts.sockets_before or ()}
    ours = facts.own_drops + sum(each.drops - before.get(each.inode, each.drops) for each in facts.on_port)
    memory = {name: count for name, count in grown.items() if "MemErrors" in name}
    if not memory and sum(grown.values()) <= ours:
        return
    yield Finding(
        code="udp-memory-full" if memory else "receive-drops-elsewhere",
        severity=Severity.WARNING if memory else Severity.NOTICE,
        title="The kernel has no memory left for UDP."
        if memory
        else f"Other sockets of this host than those on port {facts.target.port} lose datagrams.",
        evidence=tuple(f"{name}: {count:,} more while the doctor looked on" for name, count in grown.items()),
        cause="All sockets together have reached net.ipv4.udp_mem; every datagram beyond it is dropped."
        if memory
        else "Their receive buffers were full. A program that was an endpoint's and is gone counts, too.",
        mends=(
            Mend("sysctl net.ipv4.udp_mem", "Shows the limits, in pages; raise the last, or find who holds so much."),
        )
        if memory
        else (Mend("ss -uamnp", "Shows each socket, its buffer and its drops (d)."),),
    )


def _sending(facts: Facts) -> Iterator[Finding]:
    """What was sent did not leave: the socket's or the interface's queue was full."""
    evidence = [
        f"{name}: {count:,} more while the doctor looked on"
        for name, count in facts.grown(("UdpSndbufErrors", "Udp6SndbufErrors")).items()
    ]
    evidence += [
        f"{owner_text(facts, each)}: {each.send_queue:,} of {each.send_buffer:,} bytes wait to be sent"
        for each in facts.on_port
        if each.send_buffer and each.send_queue >= FULL * each.send_buffer
    ]
    link, dropped = facts.link, 0
    if link is not None and link.queue is not None:
        earlier = next((each.queue for each in facts.links_before or () if each.index == link.index), None)
        dropped = link.queue.drops - earlier.drops if earlier is not None else 0
        if dropped > 0:
            evidence.append(f"{link.name}: its queue ({link.queue.kind}) dropped {dropped:,} packets just now")
        elif link.queue.drops and not evidence:
            yield _dropped_once(link.name, link.queue.kind, link.queue.drops)
    if evidence:
        name = link.name if link is not None else "NAME"
        yield Finding(
            code="send-queue-full",
            severity=Severity.WARNING,
            title="Datagrams that this host sends are lost before they leave it.",
            evidence=tuple(evidence),
            cause="The queue is full: more is sent than the interface takes. A plain send says nothing of it (only "
            "with IP_RECVERR, as our senders have it and FreeSWITCH's module has not).",
            mends=(
                Mend(
                    f"tc -s qdisc show dev {name}", "Shows the queue, its limit and drops; a rate limit (tbf) is there."
                ),
                Mend(f"ip link set dev {name} txqueuelen 10000", "More packets may wait in the interface's queue."),
            ),
        )


def _dropped_once(name: str, kind: str, drops: int) -> Finding:
    return Finding(
        code="send-queue-dropped",
        severity=Severity.NOTICE,
        title=f"The queue of {name} has dropped packets, none of them just now.",
        evidence=(f"{name}: its queue ({kind}) dropped {drops:,} packets since it was set up",),
        cause="At some time more was sent than the interface took.",
        mends=(Mend(f"tc -s qdisc show dev {name}", "Shows the queue, its limit and drops."),),
    )
