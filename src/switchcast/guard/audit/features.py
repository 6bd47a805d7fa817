"""What each thing that a cluster does needs of the events: kind by kind, the headers that somebody reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["FEATURES", "Feature", "Need", "features_named"]


@dataclass(frozen=True, slots=True)
class Need:
    """One kind of event, ``HEARTBEAT`` or ``CUSTOM sofia::register``; who reads what of it; and those headers."""

    kind: str
    why: str
    headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that somebody may name in ``--keep``, what it is, and what it needs."""

    name: str
    what: str
    needs: tuple[Need, ...]


FEATURES: Mapping[str, Feature] = {}
"""By name, in the order in which they are told."""


def features_named(keep: tuple[str, ...]) -> list[Feature]:
    """The features with these names, each once. Raises ``UsageError`` that names the nearest, and all."""
    return [FEATURES[name] for name in dict.fromkeys(keep)]
