"""One endpoint as the standing checks look at it: how far it reaches, and what was seen to go there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from switchcast.guard.audit.features import FEATURES, Feature
from switchcast.guard.audit.leaks import AuditResult, Leak
from switchcast.guard.audit.reach import Reach

__all__ = ["Look", "keyed"]

KEY_FILE: Final = "/etc/switchcast/group.key"
SHARED: Final = ("registrations", "presence", "lamps", "peers")
"""What a cluster binds unless somebody wants more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One endpoint, and what is known of what goes there; the rest is as in ``standing_findings``."""

    reach: Reach
    result: AuditResult | None = None
    keep: frozenset[str] = frozenset()
    trust: Mapping[str, int] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, int]:
        """The kinds that were seen, with how many events of each."""
        return {} if self.result is None else {row.kind: row.events for row in self.result.kinds}

    @property
    def from_network(self) -> bool:
        """Whether what was seen had been on a network: it came from there, or a recording of it is looked at."""
        return self.reach.is_network or any(self.trust.get(trust) for trust in ("stock", "member", "signed"))

    @property
    def anyone_may_speak(self) -> bool:
        """Whether a datagram needs no proof to be taken, as all of them in mode stock."""
        if self.reach.is_network:
            return not self.reach.keyed
        return bool(self.trust.get("stock"))

    @property
    def proof(self) -> str:
        """What the endpoint asks of datagrams, in a few words."""
        if self.reach.scheme == "esl":
            return "the switch takes datagrams of a group by mod_event_multicast"
        if not self.reach.is_network:
            return "what was recorded are datagrams without a proof"
        mode = f"mode {self.reach.mode}"
        if self.reach.psk:
            return f"{mode} under a pre-shared key"
        return f"{mode} with a key" if self.reach.keyed else f"{mode} without a key"

    @property
    def leaks(self) -> dict[Leak, int]:
        """What was seen to be given away, worst first: in how many headers and bodies."""
        found = [
            {each.leak for each in row.found}
            for kind in (self.result.kinds if self.result else ())
            for row in (*kind.headers, *([kind.body] if kind.body else []))
        ]
        counts = {leak: sum(leak in leaks for leaks in found) for leak in Leak}
        return {leak: count for leak, count in counts.items() if count}

    @property
    def wanted(self) -> list[Feature]:
        """The features that are to go there; what a cluster shares where nobody said."""
        return [feature for feature in FEATURES.values() if feature.name in (self.keep or SHARED)]


def keyed(mode: str, more: str = "") -> str:
    """The settings that a ``mode`` with a key of its own takes, word for word, with ``more`` of them."""
    settings = f'mode = "{mode}", key_file = "{KEY_FILE}"{more}'
    return f"{settings}, on every node; one key for all of them: switchcast key new {KEY_FILE}"
