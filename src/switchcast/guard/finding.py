"""What the audit and the doctor say to people: something is wrong, how that is known, why, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Mend", "Severity"]


class Severity(StrEnum):
    """How much it matters, worst first."""

    CRITICAL = "critical"
    """Events do not arrive, or anyone can take them or make them up."""
    WARNING = "warning"
    """They will stop arriving, or some are lost, or they go further than they should."""
    NOTICE = "notice"
    """Worth knowing; nothing is wrong yet."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Mend:
    """One way to put it right: ``how`` is a command or a setting, word for word; ``effect`` is what it would do.

    Of several commands, or of a setting and the command that has it read, each stands on a line of its own.
    """

    how: str
    effect: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    ``code`` is its stable name in kebab-case, in JSON and in the documentation; ``title`` one sentence; ``evidence``
    what was seen, one line each, with secrets and identities masked; ``cause`` why that does what the title says.
    """

    code: str
    severity: Severity
    title: str
    evidence: tuple[str, ...]
    cause: str
    mends: tuple[Mend, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "code": self.code,
            "severity": str(self.severity),
            "title": self.title,
            "evidence": list(self.evidence),
            "cause": self.cause,
            "mends": [{"how": mend.how, "effect": mend.effect} for mend in self.mends],
        }
