"""``--fail-on``: which leaks and findings make the audit's exit code 1. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from switchcast.app.config.shapes import nearest
from switchcast.app.reports.audit_report import leak_rows
from switchcast.app.reports.audit_words import TITLES, how_many
from switchcast.errors import UsageError
from switchcast.guard.audit.leaks import AuditResult, Leak
from switchcast.guard.audit.standing import CODES
from switchcast.guard.finding import Finding

__all__ = ["Gates", "read_gates"]

_ANY: Final = "any"
_FINDING: Final = "finding:"
_WORDS: Final = (*map(str, Leak), _ANY, *(f"{_FINDING}{code}" for code in CODES))


@dataclass(frozen=True, slots=True)
class Gates:
    """What may not be found: these leaks, these findings by code, or anything at all (``everything``)."""

    leaks: frozenset[Leak] = frozenset()
    codes: frozenset[str] = frozenset()
    everything: bool = False

    def broken(self, result: AuditResult, findings: Sequence[Finding]) -> Iterator[str]:
        """What was found although it may not be, one phrase each, worst first."""
        for row in leak_rows(result):
            if self.everything or row.leak in self.leaks:
                places = how_many(len(row.places), "place")
                yield f"{row.leak} ({TITLES[row.leak][:1].lower()}{TITLES[row.leak][1:]} in {places})"
        for finding in findings:
            if self.everything or finding.code in self.codes:
                yield f"{_FINDING}{finding.code}"


def read_gates(given: Iterable[str]) -> Gates:
    """The gates that ``--fail-on`` names: each text a list with commas. Raises ``UsageError`` with the nearest name."""
    words = [word.strip() for text in given for word in text.split(",")]
    for word in words:
        if word not in _WORDS:
            raise UsageError(f"--fail-on {word!r} is no class of leak and no finding; {_hint(word)}")
    leaks = frozenset(Leak(word) for word in words if word in set(Leak))
    codes = frozenset(word.removeprefix(_FINDING) for word in words if word.startswith(_FINDING))
    return Gates(leaks, codes, _ANY in words)


def _hint(word: str) -> str:
    if word in CODES:
        return f"write {_FINDING}{word}"
    if word.startswith(_FINDING):
        return nearest(word, [each for each in _WORDS if each.startswith(_FINDING)])
    return nearest(word, [*map(str, Leak), _ANY, f"{_FINDING}CODE"])
