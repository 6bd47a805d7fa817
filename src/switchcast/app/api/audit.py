"""``/audit``: what the events give away that the node hears, counted as they come. Off unless ``api.audit`` is set.

The cost is bounded: of each batch that the hub takes at most ``_MOST_OF_A_BATCH`` events are counted, which a quiet
node never notices; what a storm brings beyond that is told as ``left_out``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from switchcast._native import Event
from switchcast.app.api.problems import Problem
from switchcast.app.api.reply import Described, problems, reply
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.inventory import Audit
from switchcast.wire.gap_record import is_gap

__all__ = ["AuditBody", "Auditing", "audit_router"]

_MOST_OF_A_BATCH: Final = 64


class Auditing:
    """Counts what events give away. Raises ``MissingExtra`` without the extra ``audit``."""

    def __init__(self) -> None:
        self._audit = Audit(Classifier())
        self._left_out = 0

    def add(self, events: Sequence[Event]) -> None:
        """Count ``events``, or the first of them."""
        heard = [event for event in events[:_MOST_OF_A_BATCH] if not (event.trust == "local" and is_gap(event))]
        self._audit.add(heard)
        self._left_out += max(0, len(events) - _MOST_OF_A_BATCH)

    def told(self) -> dict[str, Any]:
        """What was found so far."""
        result = self._audit.result()
        return result.to_dict() | {"covered": self._audit.covered, "left_out": self._left_out}


class AuditBody(Described):
    """What the events give away that this node has heard since its start, or since the audit was switched on."""

    events: int = Field(examples=[12000])
    """Events that were counted."""
    left_out: int = Field(examples=[0])
    """Events that were not: they came faster than may be counted."""
    bytes: int = Field(examples=[28000000])
    """Bytes of those counted."""
    senders: dict[str, int] = Field(examples=[{"192.0.2.7:4242": 12000}])
    """Events by sender."""
    kinds: list[dict[str, Any]]
    """Kinds of events, with their headers and what each gives away, as ``switchcast audit --json`` has them; evidence
    is masked."""
    coverage: float = Field(examples=[0.998])
    """How likely the next event shows nothing new: 0 to 1."""
    covered: bool = Field(examples=[True])
    """Whether enough was seen to speak of what did not come."""
    uncounted: dict[str, int] = Field(examples=[{}])
    """What the bounds left out, by what it was."""


def audit_router(auditing: Auditing | None) -> APIRouter:
    """The path."""
    router = APIRouter(tags=["node"])

    @router.get("/audit", response_model=AuditBody, responses=problems(404))
    async def audit() -> Response:
        """What the events give away that this node hears: by kind and header, worst first, evidence masked."""
        if auditing is None:
            raise Problem(404, "nothing is counted for an audit", "set audit = true in [api], and reload")
        return reply(auditing.told())

    return router
