"""The same events audited twice, as they are and under a policy: what is gone, and what stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from switchcast.guard.audit.leaks import AuditResult, Leak

__all__ = ["Comparison", "KindChange", "LeakChange", "compare"]


@dataclass(frozen=True, slots=True)
class LeakChange:
    """One class of leak: in how many headers and bodies of how many kinds of event it stood, and stands.

    ``where`` are those in which it still does, as ``kind: header``, each with a space for a body's name.
    """

    leak: Leak
    headers_before: int
    headers_after: int
    kinds_before: int
    kinds_after: int
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KindChange:
    """One kind of event: how many passed, with how many bytes, and which of its headers are ``gone`` and ``stay``.

    A header whose values still pass, but give less away, is among ``changed`` as well.
    """

    kind: str
    events_before: int
    events_after: int
    bytes_before: int
    bytes_after: int
    gone: tuple[str, ...]
    stay: tuple[str, ...]
    changed: tuple[str, ...]
    leaks_before: tuple[Leak, ...]
    leaks_after: tuple[Leak, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Before and after, for the policy called ``policy``. Leaks worst first, kinds that give most away first."""

    policy: str
    events_before: int
    events_after: int
    bytes_before: int
    bytes_after: int
    leaks: tuple[LeakChange, ...]
    kinds: tuple[KindChange, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        raise NotImplementedError


def compare(policy: str, before: AuditResult, after: AuditResult) -> Comparison:
    """What the policy called ``policy`` changes; both are of the same events."""
    return Comparison(policy, before.events, after.events, before.bytes, after.bytes, (), ())
