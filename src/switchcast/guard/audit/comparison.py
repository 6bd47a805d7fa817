"""The same events audited twice, as they are and under a policy: what is gone, and what stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from switchcast.guard.audit.leaks import AuditResult, HeaderRow, KindRow, Leak

__all__ = ["Comparison", "KindChange", "LeakChange", "compare"]


@dataclass(frozen=True, slots=True)
class LeakChange:
    """One class of leak: in how many headers (bodies among them) of how many kinds of event it stood, and stands.

    ``where`` says in which it still does: kind and header, ``None`` for a body.
    """

    leak: Leak
    headers_before: int
    headers_after: int
    kinds_before: int
    kinds_after: int
    where: tuple[tuple[str, str | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "leak": str(self.leak),
            "headers_before": self.headers_before,
            "headers_after": self.headers_after,
            "kinds_before": self.kinds_before,
            "kinds_after": self.kinds_after,
            "where": [{"kind": kind, "header": header} for kind, header in self.where],
        }


@dataclass(frozen=True, slots=True)
class KindChange:
    """One kind of event: how many pass, with how many bytes, which of its headers are ``gone`` and which ``stay``.

    ``changed`` are those that stay and whose values give away less than before, or something else.
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
    body_gone: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "kind": self.kind,
            "events_before": self.events_before,
            "events_after": self.events_after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "headers_gone": list(self.gone),
            "headers_staying": list(self.stay),
            "headers_changed": list(self.changed),
            "leaks_before": [str(leak) for leak in self.leaks_before],
            "leaks_after": [str(leak) for leak in self.leaks_after],
            "body_gone": self.body_gone,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Before and after, for the policy called ``policy``. Bytes are of plain text.

    ``leaks`` are those that there were or are, worst first. ``kinds`` are all that were seen: first those that give
    most away afterwards, then those that did before, and of each the most frequent.
    """

    policy: str
    events_before: int
    events_after: int
    bytes_before: int
    bytes_after: int
    leaks: tuple[LeakChange, ...]
    kinds: tuple[KindChange, ...]

    @property
    def gone(self) -> tuple[Leak, ...]:
        """What is given away no more, worst first."""
        return tuple(change.leak for change in self.leaks if not change.headers_after)

    @property
    def stays(self) -> tuple[Leak, ...]:
        """What is given away still, worst first."""
        return tuple(change.leak for change in self.leaks if change.headers_after)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "policy": self.policy,
            "events_before": self.events_before,
            "events_after": self.events_after,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "leaks_gone": [str(leak) for leak in self.gone],
            "leaks_staying": [str(leak) for leak in self.stays],
            "leaks": [change.to_dict() for change in self.leaks],
            "kinds": [change.to_dict() for change in self.kinds],
        }


def compare(policy: str, before: AuditResult, after: AuditResult) -> Comparison:
    """What the policy called ``policy`` changes; ``after`` is of what it left of the events that ``before`` is of."""
    kept = {kind.kind: kind for kind in after.kinds}
    kinds = sorted((_kind(row, kept.get(row.kind)) for row in before.kinds), key=_order)
    leaks = tuple(change for change in _leaks(before, after) if change.headers_before or change.headers_after)
    return Comparison(policy, before.events, after.events, before.bytes, after.bytes, leaks, tuple(kinds))


def _kind(before: KindRow, after: KindRow | None) -> KindChange:
    kept = {} if after is None else {row.name.lower(): row for row in after.headers}
    return KindChange(
        kind=before.kind,
        events_before=before.events,
        events_after=0 if after is None else after.events,
        bytes_before=before.bytes,
        bytes_after=0 if after is None else after.bytes,
        gone=_names(before, lambda row: row.name.lower() not in kept),
        stay=_names(before, lambda row: row.name.lower() in kept),
        changed=_names(before, lambda row: row.name.lower() in kept and _differ(row, kept[row.name.lower()])),
        leaks_before=_held(before),
        leaks_after=() if after is None else _held(after),
        body_gone=before.bodies > 0 and (after is None or after.bodies == 0),
    )


def _names(kind: KindRow, wanted: Callable[[HeaderRow], bool]) -> tuple[str, ...]:
    return tuple(row.name for row in kind.headers if wanted(row))


def _differ(before: HeaderRow, after: HeaderRow) -> bool:
    return {found.leak for found in before.found} != {found.leak for found in after.found}


def _held(kind: KindRow) -> tuple[Leak, ...]:
    """What this kind gives away, worst first."""
    found = {leak for _, leaks in _places(kind) for leak in leaks}
    return tuple(leak for leak in Leak if leak in found)


def _places(kind: KindRow) -> Iterator[tuple[str | None, set[Leak]]]:
    """Each header that gives something away, with ``None`` for the body, and what."""
    for row in kind.headers:
        if row.found:
            yield row.name, {found.leak for found in row.found}
    if kind.body is not None and kind.body.found:
        yield None, {found.leak for found in kind.body.found}


def _leaks(before: AuditResult, after: AuditResult) -> Iterator[LeakChange]:
    places = [_all_places(before.kinds), _all_places(after.kinds)]
    for leak in Leak:
        was, still = ([place for place, leaks in each if leak in leaks] for each in places)
        yield LeakChange(
            leak,
            headers_before=len(was),
            headers_after=len(still),
            kinds_before=len({kind for kind, _ in was}),
            kinds_after=len({kind for kind, _ in still}),
            where=tuple(still),
        )


def _all_places(kinds: Iterable[KindRow]) -> list[tuple[tuple[str, str | None], set[Leak]]]:
    return [((kind.kind, header), leaks) for kind in kinds for header, leaks in _places(kind)]


def _order(change: KindChange) -> tuple[list[int], list[int], int]:
    """Worst first: what gives away the worse thing, or of the same worst things more."""
    return _badness(change.leaks_after), _badness(change.leaks_before), -change.events_before


def _badness(leaks: Iterable[Leak]) -> list[int]:
    """Sorts in front of another where it holds something worse; nothing sorts last."""
    return [*(leak.rank for leak in leaks), len(Leak)]
