"""Mailboxes: how many messages wait in them, and whether the lamp is lit.

From MESSAGE_WAITING: its account, with or without ``sip:``, whether messages wait, and
``MWI-Voice-Message: new/saved (urgent new/urgent saved)``. Without counts there are none: that is what the voicemail
module answers for an account of which it has no message. ``vm::maintenance`` tells the same counts beside it
(``mwi-update``, ``folder-summary``), so that a lost MESSAGE_WAITING is made good.

Mailboxes are kept where all switches can read them, or on each its own. So what another switch answers does not change
a row that somebody else told, unless that one is doubtful or it has messages of which nobody told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from switchcast.views.ledger import Ledger
from switchcast.views.telling import ROOM, Snapshot, Sure, Told, Trust

__all__ = ["Mailboxes"]

MOST_MESSAGES: Final = 1_000_000
"""More than anybody keeps: a count beyond it is taken for it."""

_COUNTS: Final = re.compile(r"\s*(\d{1,9})/(\d{1,9})(?:\s*\((\d{1,9})/(\d{1,9})\))?")
_NONE: Final = (0, 0, 0, 0)
_TOTALS: Final = {
    "mwi-update": ("VM-Total-New", "VM-Total-Saved", "VM-Total-New-Urgent", "VM-Total-Saved-Urgent"),
    "folder-summary": (
        "VM-Total-New-Messages",
        "VM-Total-Saved-Messages",
        "VM-Total-New-Urgent-Messages",
        "VM-Total-Saved-Urgent-Messages",
    ),
}

Counts = tuple[int, int, int, int]


@dataclass(slots=True, eq=False)
class _Mailbox:
    """``counts``: messages new, saved, urgent new, urgent saved."""

    node: str
    since: float
    heard: float
    worth: int
    trust: Trust
    sure: Sure
    lamp: bool
    counts: Counts


class Mailboxes:
    """The view ``mailboxes``: a row an account. ``most``: in all, however many are invented."""

    name = "mailboxes"
    kinds: Collection[str] = frozenset({"MESSAGE_WAITING", "vm::maintenance"})

    def __init__(self, *, most: int = ROOM) -> None:
        self._boxes: Ledger[_Mailbox] = Ledger(most)

    def __len__(self) -> int:
        return len(self._boxes)

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event of these kinds."""
        if told.kind == "MESSAGE_WAITING":
            account = account_of(told.get("MWI-Message-Account"))
            lamp = told.get("MWI-Messages-Waiting").lower() == "yes"
            counts = counts_of(told.get("MWI-Voice-Message"))
        else:
            names = _TOTALS.get(told.get("VM-Action"))
            user, domain = told.get("VM-User"), told.get("VM-Domain")
            if names is None or not user or not domain:
                return
            account = account_of(f"{user}@{domain}")
            numbers = [_number(told.get(name)) for name in names]
            counts = (numbers[0], numbers[1], numbers[2], numbers[3])
            lamp = counts[0] + counts[2] > 0
        box = self._boxes.rows.get(account)
        if not self._boxes.admits(told, box):
            return
        if box is None:
            if not self._boxes.has_room(account, told.worth):
                return
            trust = told.event.trust
            self._boxes.add(account, _Mailbox(told.node, wall, now, told.worth, trust, "told", lamp, counts))
            return
        if (box.lamp, box.counts) != (lamp, counts):
            box.lamp, box.counts, box.since = lamp, counts, wall
        box.sure = "told"
        self._boxes.credit(account, box, told, now)

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Put right what the switch could count."""
        sure = self._boxes.sure_by(snapshot)
        for name, counted in (snapshot.mailboxes or {}).items():
            account = account_of(name)
            new, saved = _within(counted[0]), _within(counted[1])
            box = self._boxes.rows.get(account)
            if box is None:
                if self._boxes.has_room(account, -1):
                    counts = (new, saved, 0, 0)
                    made = _Mailbox(snapshot.node, wall, snapshot.begun, -1, "local", sure, new > 0, counts)
                    self._boxes.add(account, made)
            elif box.heard < snapshot.begun and self._concerns(snapshot.node, box, new):
                box.sure = sure
                self._correct(account, box, new, saved, wall)

    def _concerns(self, node: str, box: _Mailbox, new: int) -> bool:
        return box.node == node or box.sure == "doubtful" or (new > 0 and not box.lamp)

    def _correct(self, account: str, box: _Mailbox, new: int, saved: int, wall: float) -> None:
        """A switch counts urgent messages apart and is not asked for them: they stay while the others agree."""
        if box.counts[:2] != (new, saved):
            box.lamp, box.counts, box.since = new > 0, (new, saved, 0, 0), wall
        self._boxes.touch(account)

    def doubt(self, node: str, now: float) -> None:
        """What ``node`` told last of a mailbox may not be the last."""
        self._boxes.doubt(node, now)

    def restarted(self, node: str, core: str, now: float) -> None:
        """Messages outlive the switch that took them."""

    def tick(self, now: float) -> None:
        """Nothing runs out: a message waits until it is heard."""

    def next_due(self) -> float | None:
        """Never."""
        return None

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Every mailbox, by account."""
        return [_row(account, box) for account, box in sorted(self._boxes.rows.items())]

    def keys(self) -> Iterable[str]:
        """The names of all."""
        return self._boxes.rows.keys()

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """The row of one account."""
        found = self._boxes.rows.get(key)
        return None if found is None else _row(key, found)

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Accounts whose row has changed since the last call."""
        return [(key, self.row(key, 0.0)) for key in self._boxes.touched()]

    def states(self) -> dict[str, int]:
        """All ``mailboxes``, and those that are ``lit``."""
        lit = sum(box.lamp for box in self._boxes.rows.values())
        return {"mailboxes": len(self._boxes), "lit": lit}

    def doubtful(self) -> Mapping[str, int]:
        """How many rows are, by node."""
        return self._boxes.doubtful()

    def refusals(self) -> dict[str, int]:
        """As those of ``Ledger``."""
        return self._boxes.refusals()

    def counters(self) -> dict[str, int]:
        """``states`` and ``refusals``."""
        return self.states() | self.refusals()


def account_of(text: str) -> str:
    """``1000@example.com`` of ``sip:1000@example.com``."""
    scheme, colon, rest = text.partition(":")
    return rest if colon and scheme.lower() in ("sip", "sips") else text


def counts_of(text: str) -> Counts:
    """Messages new, saved, urgent new and urgent saved, of ``2/1 (1/0)``; none where there is nothing to read."""
    found = _COUNTS.match(text)
    if found is None:
        return _NONE
    numbers = [_number(group or "") for group in found.groups()]
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _number(text: str) -> int:
    return _within(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _within(number: int) -> int:
    return max(0, min(number, MOST_MESSAGES))


def _row(account: str, box: _Mailbox) -> dict[str, Any]:
    new, saved, urgent_new, urgent_saved = box.counts
    return {
        "account": account,
        "new": new,
        "saved": saved,
        "urgent_new": urgent_new,
        "urgent_saved": urgent_saved,
        "lamp": box.lamp,
        "node": box.node,
        "since": box.since,
        "sure": box.sure,
        "trust": box.trust,
    }
