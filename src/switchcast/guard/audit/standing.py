"""What is wrong with an endpoint whatever is sent: who hears it, who can forge it.

Each check is a generator of findings over what is known of an endpoint (``Reach``) and what was seen. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from switchcast.guard.audit.leaks import AuditResult
from switchcast.guard.audit.reach import Reach
from switchcast.guard.finding import Finding

__all__ = ["standing_findings"]


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
    return sorted(_findings(reaches), key=lambda finding: finding.severity.rank)


def _findings(reaches: Sequence[Reach]) -> Iterator[Finding]:
    yield from ()
