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

CODES: Final = (
    "registrations-can-be-hijacked",
    "well-known-key",
    "well-known-password",
    "well-known-secret-sent",
    "readable-by-all",
    "clear-to-public-address",
    "stock-psk",
    "everything-bound",
    "group-not-scoped",
    "ttl-over-one",
    "event-socket-in-clear",
    "unproven-events",
)
"""Every code that a finding of these can have."""

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
