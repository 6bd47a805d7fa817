"""Whether anybody asks the hosts of the link for their groups, who, and in which version.

A switch that snoops passes a group only to ports whose hosts were heard to ask for it, and forgets them after the
membership interval, twice the querier's interval and ten seconds (RFC 3376, 8.4), when nobody asks them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from switchcast.guard.doctor.facts import Facts, Queries, Unchecked
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["GRACE", "check", "unchecked"]

GRACE: Final = 10.0
"""Seconds more than an interval to wait for a query, at most; an interval that is shorter is waited for twice."""
_PROTOCOLS: Final = {4: "IGMP", 6: "MLD"}
_NOBODY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - sources of queries, no address to bind
_MOST_SHOWN: Final = 8


def check(facts: Facts) -> Iterator[Finding]:
    """No querier within the time in which one would have asked; several of them; one of an old version."""
    if facts.link is not None and facts.link.loopback:
        return
    for queries in facts.queries or ():
        if not queries.heard:
            if queries.seconds >= _needed(queries):
                yield _absent(facts, queries)
            continue
        yield from _several(queries)
        yield from _old(facts, queries)


def unchecked(facts: Facts) -> Iterator[Unchecked]:
    """A wait that was shorter than a querier may take."""
    if facts.link is not None and facts.link.loopback:
        return
    for queries in facts.queries or ():
        needed = _needed(queries)
        if not queries.heard and queries.seconds < needed:
            protocol = _PROTOCOLS[queries.version]
            yield Unchecked(
                f"whether the network has an {protocol} querier",
                f"none was heard in {queries.seconds:.3g} s, and one may ask only every {queries.interval:g} s",
                f"switchcast doctor '{facts.target.url}' --wait {needed:g}s",
            )


def _needed(queries: Queries) -> float:
    """Seconds in which a querier would have been heard."""
    return queries.interval + min(GRACE, queries.interval)


def _absent(facts: Facts, queries: Queries) -> Finding:
    protocol = _PROTOCOLS[queries.version]
    interface = facts.link.name if facts.link is not None else facts.target.interface or "the link"
    option = "mcast_querier 1" if queries.version == 4 else "mcast_querier 1 mcast_mld_version 2"
    return Finding(
        code="querier-absent",
        severity=Severity.WARNING,
        title=f"Nobody asks the hosts of this network for their groups: no {protocol} query was heard.",
        evidence=(
            f"no {protocol} query on {interface} in {queries.seconds:.3g} s; one is due every {queries.interval:g} s",
        ),
        cause=(
            f"A switch with {protocol} snooping learns from the answers which ports want the group. Without a querier "
            "there are no answers: events arrive at first and stop some four minutes after the last join."
        ),
        mends=(
            Mend(
                f"ip link set dev BRIDGE type bridge {option}",
                "a Linux bridge that connects the hosts asks by itself; BRIDGE is its name on the machine it runs on",
            ),
            Mend(
                "ip igmp snooping querier",
                "on a managed switch (Cisco's words for it; others have their own): it asks in place of a router",
            ),
            Mend(
                "ip link set dev BRIDGE type bridge mcast_snooping 0",
                "without snooping the bridge floods the group to every port: right for a few hosts",
            ),
        ),
    )


def _several(queries: Queries) -> Iterator[Finding]:
    """More than one address asks on one interface, where the lowest should silence the others (RFC 3376, 6.6.2)."""
    sources: dict[str | None, dict[str, None]] = {}
    for query in queries.heard:
        if query.source not in _NOBODY:
            sources.setdefault(query.interface, {})[query.source] = None
    for interface, found in sources.items():
        if len(found) > 1:
            shown = list(found)[:_MOST_SHOWN]
            yield Finding(
                code="querier-several",
                severity=Severity.NOTICE,
                title=f"{len(found)} hosts ask for groups on {interface or 'one link'}, where one should.",
                evidence=tuple(f"{_PROTOCOLS[queries.version]} query from {source}" for source in shown),
                cause=(
                    "The one with the lowest address should silence the others. Where it does not, they do not hear "
                    "each other: a VLAN or a filter stands between them, and it may stand between the hosts too."
                ),
                mends=(
                    Mend(
                        "bridge vlan show",
                        "shows whether the hosts are in one VLAN; leave one querier on, next to the senders",
                    ),
                ),
            )


def _old(facts: Facts, queries: Queries) -> Iterator[Finding]:
    """Hosts that name their senders are not understood: they answer in the version in which they are asked."""
    current = 3 if queries.version == 4 else 2
    old = [query for query in queries.heard if query.version < current]
    if not old or not facts.target.sources:
        return
    query = old[0]
    yield Finding(
        code="querier-old-version",
        severity=Severity.CRITICAL,
        title=f"The querier speaks {query.protocol}v{query.version}, which knows no joins that name their senders.",
        evidence=(
            f"{query.protocol}v{query.version} query from {query.source} on {query.interface or 'the link'}",
            f"source= in the URL names {len(facts.target.sources)}",
        ),
        cause="All hosts of the link answer in the version in which they are asked, so the network hears of no source.",
        mends=(
            Mend(
                f"ip link set dev BRIDGE type bridge mcast_{query.protocol.lower()}_version {current}",
                "a Linux bridge that asks uses the current version; on a switch or router set it there",
            ),
        ),
    )
