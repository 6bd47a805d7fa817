"""Who hears what goes out: in plain text, beyond the segment, over networks of others; and more than is needed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final

from switchcast.guard.audit.leaks import PERSONAL
from switchcast.guard.audit.look import Look, keyed
from switchcast.guard.audit.reach import scope_of
from switchcast.guard.audit.suggested_text import bindings_of
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = [
    "HOUSEKEEPING",
    "MOST_KINDS",
    "event_socket_in_clear",
    "everything_bound",
    "in_clear_to_public",
    "not_scoped",
    "readable",
    "ttl",
]

MOST_KINDS: Final = 30
"""Kinds of event on one group: nobody names more than this in ``bindings``; ``monitoring`` passes 26."""
HOUSEKEEPING: Final = frozenset(
    {
        *("ADD_SCHEDULE", "API", "BACKGROUND_JOB", "CALL_UPDATE", "CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE"),
        *("CHANNEL_STATE", "CODEC", "COMMAND", "DEL_SCHEDULE", "EXE_SCHEDULE", "MEDIA_BUG_START", "MEDIA_BUG_STOP"),
        *("MODULE_LOAD", "MODULE_UNLOAD", "RELOADXML", "REQUEST_PARAMS", "RE_SCHEDULE"),
    }
)
"""What a switch tells of its own doings: together they come by only where everything is bound."""
FEWEST_HOUSEKEEPING: Final = 3
MOST_SHOWN: Final = 8


def readable(look: Look) -> Iterator[Finding]:
    """Plain text on a network."""
    if not look.reach.is_network or look.reach.encrypted != "no":
        return
    leaks = look.leaks
    personal = [
        f"{leak} in {count:,} header{'' if count == 1 else 's'}" for leak, count in leaks.items() if leak in PERSONAL
    ]
    yield Finding(
        "readable-by-all",
        Severity.CRITICAL if personal else Severity.WARNING,
        "Events go out in plain text: whoever hears a datagram reads all of it.",
        (f"{look.reach.url}: {look.proof}", *personal[:MOST_SHOWN]),
        "Every host on the network segment can join the group, and so can whoever a switch or router forwards it to; "
        "no member notices.",
        (
            Mend(
                keyed("sealed", " and a port of its own"),
                "Only holders of the key read it; hosts that run the module alone hear nothing on that port.",
            ),
            Mend(
                f"switchcast audit SOURCE --keep {','.join(feature.name for feature in look.wanted)} --suggest FILE",
                "A policy for the route: what is not needed does not leave the host. The rest stays readable.",
            ),
        ),
    )


def not_scoped(look: Look) -> Iterator[Finding]:
    """A group that no border stops."""
    wide = [group for group in look.reach.groups if scope_of(group) == "global"]
    if not wide:
        return
    ttl = look.reach.ttl
    six = any(group.version == 6 for group in wide)
    scoped = "ff15::4242" if six else "239.192.1.1"
    yield Finding(
        "group-not-scoped",
        Severity.WARNING if ttl is None or ttl > 1 else Severity.NOTICE,
        "The group is not administratively scoped.",
        tuple(
            f"{look.reach.url}: {group} "
            + ("has the scope e (global)" if group.version == 6 else "is outside 239.0.0.0/8")
            + ("" if ttl is None else f"; ttl is {ttl}")
            for group in wide
        ),
        "Routers at the border of an organisation stop 239.0.0.0/8 and IPv6 groups of scope 8 or less (RFC 2365, "
        "RFC 7346), not this one. 225.1.1.1, of the module's sample configuration, belongs to nobody in particular: "
        "225.0.0.0 to 231.255.255.255 are reserved.",
        (
            Mend(
                f'url = "multicast://{f"[{scoped}]" if six else scoped}:{look.reach.port}"; for the module '
                f'<param name="address" value="{scoped}"/>; at once on every host',
                "Events stay within the organisation whatever the TTL is. Hosts left on the old group hear nothing.",
            ),
        ),
    )


def ttl(look: Look) -> Iterator[Finding]:
    """More than the segment."""
    ttl = look.reach.ttl
    if ttl is None or ttl <= 1:
        return
    yield Finding(
        "ttl-over-one",
        Severity.NOTICE if look.reach.encrypted == "sealed" else Severity.WARNING,
        "Events may cross routers.",
        (f"{look.reach.url}: TTL and hop limit are {ttl}, so up to {ttl - 1} routers may forward them",),
        "With 1 they end at the first router, whatever group and whoever joins behind it.",
        (
            Mend(
                'ttl=1 in the URL; for the module <param name="ttl" value="1"/>',
                "Events stay in this network segment. Members behind a router hear nothing more.",
            ),
        ),
    )


def everything_bound(look: Look) -> Iterator[Finding]:
    """``bindings = all``, as configured or as it shows."""
    kinds, bindings = look.kinds, (look.reach.bindings or "").split()
    housekeeping = sorted(HOUSEKEEPING & kinds.keys())
    configured = any(word.lower() == "all" for word in bindings)
    seen = look.from_network and (len(kinds) > MOST_KINDS or len(housekeeping) >= FEWEST_HOUSEKEEPING)
    if not (configured or seen):
        return
    evidence = [f"{look.reach.url}: bindings are {look.reach.bindings}"] if configured else []
    if seen:
        evidence.append(f"{len(kinds):,} kinds of event seen")
        if housekeeping:
            evidence.append(f"among them {', '.join(housekeeping[:MOST_SHOWN])}")
    needed = dict.fromkeys(kind for feature in look.wanted for need in feature.needs for kind in need.kinds)
    names = " ".join(bindings_of(list(needed)))
    yield Finding(
        "everything-bound",
        Severity.WARNING,
        "Every event of the switch is sent, needed or not.",
        tuple(evidence),
        "bindings = all sends what was dialled, message texts, commands and their answers, and each event with all of "
        "its headers; some are near the largest datagram and go in fragments.",
        (
            Mend(
                f'bindings = "{names}"; for the module <param name="bindings" value="{names}"/>',
                f"Only what {_and([feature.name for feature in look.wanted])} need is sent.",
            ),
        ),
    )


def in_clear_to_public(look: Look) -> Iterator[Finding]:
    """Unicast to an address that is not ours."""
    if not look.reach.is_network or look.reach.encrypted == "sealed":
        return
    public = [address for address in look.reach.addresses if address.is_global and not address.is_multicast]
    if not public:
        return
    yield Finding(
        "clear-to-public-address",
        Severity.WARNING if look.reach.psk else Severity.CRITICAL,
        "Events go to a public address, over networks that others run.",
        tuple(f"{look.reach.url}: {address}, {look.proof}" for address in public[:MOST_SHOWN]),
        "Every network on the way can read what is not sealed, and change it where nothing proves it.",
        (
            Mend(
                keyed("sealed"),
                "What is underway can be neither read nor altered. The receiver must be a switchcast node.",
            ),
            Mend("an address within a VPN", "The tunnel does the same, for stock receivers too."),
        ),
    )


def event_socket_in_clear(look: Look) -> Iterator[Finding]:
    """A password and all events over the network."""
    if look.reach.scheme != "esl" or all(_is_this_host(host) for host in look.reach.hosts):
        return
    yield Finding(
        "event-socket-in-clear",
        Severity.WARNING,
        "The event socket is reached over the network, and it has no encryption.",
        (f"{look.reach.url}",),
        "The password and every event cross the network in plain text; whoever hears the password has the switch.",
        (
            Mend("run switchcast on the switch's own host: esl://127.0.0.1:8021", "Nothing of it leaves the host."),
            Mend(
                "ssh -N -L 8021:127.0.0.1:8021 HOST, and esl://127.0.0.1:8021", "It goes through an encrypted tunnel."
            ),
        ),
    )


def _is_this_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
