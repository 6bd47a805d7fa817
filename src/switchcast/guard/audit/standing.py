"""What is wrong with an endpoint whatever is sent: who hears it, who can forge it.

Each check is a function from what is known of one endpoint (``Look``) to findings; ``CHECKS`` has them all. Pure: what
was seen comes as the audit's result, secrets as whether everybody knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from switchcast.guard.audit.leaks import AuditResult
from switchcast.guard.audit.look import Look
from switchcast.guard.audit.reach import Reach
from switchcast.guard.audit.standing_bounds import too_many_names
from switchcast.guard.audit.standing_forgery import hijackable, secrets_seen, stock_psk, unproven, well_known_secret
from switchcast.guard.audit.standing_reach import (
    event_socket_in_clear,
    everything_bound,
    in_clear_to_public,
    not_scoped,
    readable,
    ttl,
)
from switchcast.guard.finding import Finding

__all__ = ["CHECKS", "CODES", "standing_findings"]

CODES: Final[Mapping[str, str]] = {
    "registrations-can-be-hijacked": "any host on the group can move a registration, for stock datagrams prove nothing",
    "well-known-key": "the pre-shared key is one that everybody knows",
    "well-known-password": "the event socket's password is one that everybody knows",
    "well-known-secret-sent": "a password that everybody knows stands in an event",
    "readable-by-all": "events go in plain text",
    "clear-to-public-address": "events go in plain text over networks of others",
    "stock-psk": "the module's key hides little and proves nothing",
    "everything-bound": "every event of the switch is sent, needed or not",
    "group-not-scoped": "the group is not administratively scoped",
    "ttl-over-one": "routers may forward what is sent",
    "event-socket-in-clear": "an event socket is reached over a network without encryption",
    "unproven-events": "events came that nothing vouches for",
    "too-many-names": "more names came than are counted apart: a flood of invented ones can hide what else is sent",
}
"""Every code that a finding of these can have, and what it says of what is wrong, as the documentation has it."""

CHECKS: Final[tuple[Callable[[Look], Iterator[Finding]], ...]] = (
    hijackable,
    well_known_secret,
    readable,
    in_clear_to_public,
    stock_psk,
    everything_bound,
    not_scoped,
    ttl,
    event_socket_in_clear,
    unproven,
    too_many_names,
)
"""All of them; findings of one severity are told in this order."""


def standing_findings(
    reaches: Sequence[Reach],
    result: AuditResult | None = None,
    *,
    keep: Collection[str] = (),
    trust: Mapping[str, int] | None = None,
    well_known: Iterable[tuple[str, str]] = (),
) -> list[Finding]:
    """What is wrong with ``reaches``, worst first; of each kind of finding and endpoint at most one.

    ``result`` is what was seen, ``keep`` the features that are to go there (``features.FEATURES``), ``trust`` how many
    events were ``stock``, ``local``, ``member`` and ``signed``, and ``well_known`` the kind and header of each value
    that was seen to be a secret that everybody knows (``well_known.Sightings.seen``).
    """
    found = list(secrets_seen(list(well_known)))
    for reach in reaches:
        look = Look(reach=reach, result=result, keep=frozenset(keep), trust=trust or {})
        found += [finding for check in CHECKS for finding in check(look)]
    return sorted(found, key=lambda finding: finding.severity.rank)
