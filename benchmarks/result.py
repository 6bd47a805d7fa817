"""What a benchmark gives back: rows of figures, each beside its peer and its aim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, TypeVar

__all__ = ["Aim", "Incorrect", "Row", "at_least", "at_most", "check", "interleave"]

T = TypeVar("T")


class Incorrect(Exception):
    """What was timed was not right, so its time says nothing."""


def check(condition: bool, message: str) -> None:
    """Raise ``Incorrect`` unless ``condition``."""
    if not condition:
        raise Incorrect(message)


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound on a figure."""

    kind: Literal["at most", "at least"]
    bound: float
    of: Literal["ratio", "ours"] = "ratio"

    def met(self, row: Row) -> bool:
        """Whether ``row`` keeps within the bound."""
        figure = row.ours if self.of == "ours" else row.ratio
        if figure is None:
            return False
        return figure <= self.bound if self.kind == "at most" else figure >= self.bound

    def __str__(self) -> str:
        sign = "≤" if self.kind == "at most" else "≥"
        return f"{sign} {self.bound:,.4g}{' x' if self.of == 'ratio' else ''}"


def at_most(bound: float, of: Literal["ratio", "ours"] = "ratio") -> Aim:
    """The aim that a figure is no larger than ``bound``."""
    return Aim("at most", bound, of)


def at_least(bound: float, of: Literal["ratio", "ours"] = "ratio") -> Aim:
    """The aim that a figure is no smaller than ``bound``."""
    return Aim("at least", bound, of)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: our figure, the peer's, and what was aimed at.

    ``runs`` and ``peer_runs`` hold one figure a run, all in ``unit``; the row's figures are their medians. ``ratio`` is
    ours to the peer's, or with ``inverse`` the peer's to ours (so that "times as fast" reads above one). Without a peer
    there is no ratio, and without an aim the row only informs.
    """

    benchmark: str
    case: str
    unit: str
    runs: Sequence[float]
    peer: str = ""
    peer_runs: Sequence[float] = ()
    inverse: bool = False
    aim: Aim | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> float:
        """The median of our runs."""
        return median(self.runs)

    @property
    def theirs(self) -> float | None:
        """The median of the peer's runs."""
        return median(self.peer_runs) if self.peer_runs else None

    @property
    def ratio(self) -> float | None:
        """Ours to the peer's, or the other way round with ``inverse``."""
        if self.theirs is None or not self.theirs or not self.ours:
            return None
        return self.theirs / self.ours if self.inverse else self.ours / self.theirs

    @property
    def verdict(self) -> str:
        """``pass`` or ``miss``; empty where nothing was aimed at."""
        if self.aim is None:
            return ""
        return "pass" if self.aim.met(self) else "miss"

    def as_json(self) -> dict[str, Any]:
        """Everything there is to know about the row."""
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "unit": self.unit,
            "ours": self.ours,
            "ours_runs": list(self.runs),
            "peer": self.peer or None,
            "theirs": self.theirs,
            "theirs_runs": list(self.peer_runs),
            "ratio": self.ratio,
            "ratio_is": "peer/ours" if self.inverse else "ours/peer",
            "aim": str(self.aim) if self.aim else None,
            "verdict": self.verdict or None,
            "details": self.details,
        }


def interleave(runs: int, *contenders: Callable[[], T]) -> list[list[T]]:
    """Run the contenders in turn, ``runs`` times over: one list of outcomes for each contender."""
    outcomes: list[list[T]] = [[] for _ in contenders]
    for _ in range(runs):
        for contender, collected in zip(contenders, outcomes, strict=True):
            collected.append(contender())
    return outcomes
