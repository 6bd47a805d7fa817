"""The loop guard: what must not be sent on, or events would go round in circles for ever.

A group hears what its members send, and a switch fires what it is sent, so each of the two can hand our own events
back to us. Three rules end every circle at its first turn:

- never to a group: LOG events, and what a switch says about others (``multicast::event``, ``multicast::peerup``,
  ``multicast::peerdown``). This is the stock module's own guard.
- never to a group: an event with ``Multicast: yes``, which is how the module, and we, mark what came from a group.
- never to a switch: an event whose ``Multicast-Sender`` is this node's own name. The switch fired it to begin with.

The guard stands in front of the sinks and not behind the sources: an archive or a terminal may well want these events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from switchcast._native import Event, resendable
from switchcast.wire.gap_record import GAP_SUBCLASS, is_gap
from switchcast.wire.refire import MULTICAST_SUBCLASSES

__all__ = ["Hearer", "hearer_of", "loop_guard"]

Hearer = Literal["group", "switch", "other"]
"""Who hears what a sink sends: other nodes, a switch, or nobody who would send it back."""

_HEARERS: Final[dict[str, Hearer]] = {"multicast": "group", "udp": "group", "esl": "switch"}


def hearer_of(scheme: str) -> Hearer:
    """Who hears what is sent to a URL with this scheme."""
    return _HEARERS.get(scheme, "other")


def loop_guard(hearer: Hearer, node: str, *, gaps: bool = False) -> Callable[[list[Event]], list[Event]]:
    """What takes a batch for ``hearer`` and gives back those events that cannot come round again.

    Without ``gaps`` it keeps gap records, as in an archive that is replayed, from groups and switches too.
    """
    if hearer == "group":
        subclasses = sorted(MULTICAST_SUBCLASSES if gaps else MULTICAST_SUBCLASSES | {GAP_SUBCLASS})
        return lambda events: resendable(events, subclasses)
    if hearer == "switch":
        own = node or None
        return lambda events: [
            event for event in events if (own is None or event.sender != own) and (gaps or not is_gap(event))
        ]
    return lambda events: events
