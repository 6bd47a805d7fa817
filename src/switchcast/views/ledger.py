"""A table of a view: bounded, every row with who told it, how far that is believed, and whether something was missed.

It decides four things, alike for every view that is built on it:

- **Belief.** A row is not changed by who proves less than the one who wrote it. What a switch answered has no event
  behind it that proved anything: such a row takes any event as good as the best that was heard of its node.
- **Room.** The table is full at ``most`` rows. A stranger's row, of trust ``stock``, then gives way to one that proves
  more, the oldest first; anyone else is refused, and counted. Nothing that a stranger invents keeps a member out.
- **Doubt.** When events of a node were lost, its rows are ``doubtful`` until they are put right: by an answer that was
  asked for after that, for one that was asked for before may be older than what was lost.
- **Change.** Keys of what was touched are kept until somebody asks for them, from the first time that one asks.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from switchcast.views.telling import WORTH, Snapshot, Sure, Told, Trust

__all__ = ["MOST_CHARACTERS", "MOST_NODES", "Ledger", "Standing", "cut"]

MOST_CHARACTERS: Final = 256
"""Of a name or a value that is kept with a row: a header can hold a mebibyte, and there are many rows."""
MOST_NODES: Final = 10_000
"""Nodes whose best proof is remembered; names of nodes can be invented too."""
_TRUSTS: Final = tuple(sorted(WORTH, key=WORTH.__getitem__))
"""By worth."""


def cut(text: str) -> str:
    """``text`` as far as it is kept."""
    return text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS]


class Standing(Protocol):
    """What each row has: who told it, when it was last heard of (monotonic), how sure it is.

    ``worth`` is that of the best event behind it, -1 as long as only the switch's own answer is.
    """

    node: str
    heard: float
    worth: int
    trust: Trust
    sure: Sure


Row = TypeVar("Row", bound=Standing)


@dataclass(eq=False)
class Ledger(Generic[Row]):
    """The rows by key. Read them as you like; add, move and remove them through these methods only.

    ``leaving`` is called for each row that goes, displaced ones among them, when it has gone.
    """

    most: int
    leaving: Callable[[str, Row], None] | None = None
    rows: dict[str, Row] = field(default_factory=dict, init=False)
    counts: Counter[str] = field(default_factory=Counter, init=False)
    """What was refused, by reason: ``untrusted``, ``refused_full``, ``refused_name``; and what was ``displaced``."""
    _of_node: dict[str, dict[str, None]] = field(default_factory=dict, init=False, repr=False)
    _strangers: dict[str, None] = field(default_factory=dict, init=False, repr=False)
    _best: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    _doubts: OrderedDict[str, float] = field(default_factory=OrderedDict, init=False, repr=False)
    _touched: dict[str, None] | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def admits(self, told: Told, row: Row | None) -> bool:
        """Whether ``told`` may write, and ``row``, where there is one, takes it. What may not is counted."""
        worth = told.worth
        node = told.node
        best = self._best.get(node, -1)
        if worth > best:
            if len(node) > MOST_CHARACTERS:
                self.counts["refused_name"] += 1
                return False
            if best >= 0 or len(self._best) < MOST_NODES:
                self._best[node] = worth
        if row is not None and worth < (row.worth if row.worth >= 0 else self._best.get(row.node, -1)):
            self.counts["untrusted"] += 1
            return False
        return True

    def has_room(self, key: str, worth: int) -> bool:
        """Whether a new row can be added; a stranger's row is displaced for it if need be. -1: a switch's answer."""
        if not key or len(key) > MOST_CHARACTERS:
            self.counts["refused_name"] += 1
            return False
        if len(self.rows) < self.most:
            return True
        if worth == 0 or not self._strangers:
            self.counts["refused_full"] += 1
            return False
        self.remove(next(iter(self._strangers)))
        self.counts["displaced"] += 1
        return True

    def add(self, key: str, row: Row) -> None:
        """Take in a row for which there is room."""
        row.node = sys.intern(row.node)  # many rows have the same, and each event a copy of its own
        self.rows[key] = row
        self._of_node.setdefault(row.node, {})[key] = None
        if row.worth >= 0:
            row.trust = _TRUSTS[row.worth]
        if row.worth == 0:
            self._strangers[key] = None
        self.touch(key)

    def remove(self, key: str) -> Row | None:
        """Let a row go."""
        row = self.rows.pop(key, None)
        if row is not None:
            self._leave(key, row.node)
            self._strangers.pop(key, None)
            self.touch(key)
            if self.leaving is not None:
                self.leaving(key, row)
        return row

    def credit(self, key: str, row: Row, told: Told, now: float) -> None:
        """Let ``told``, which was admitted, stand behind the row from now on."""
        row.heard = now
        worth = told.worth
        if worth != row.worth:
            row.worth, row.trust = worth, _TRUSTS[worth]
            if worth:
                self._strangers.pop(key, None)
            else:
                self._strangers[key] = None
        if told.node != row.node:
            self.move(key, row, told.node)
        if self._touched is not None:
            self._touched[key] = None

    def move(self, key: str, row: Row, node: str) -> None:
        """Let the row be another node's."""
        self._leave(key, row.node)
        row.node = node = sys.intern(node)
        self._of_node.setdefault(node, {})[key] = None

    def touch(self, key: str) -> None:
        """Say that the row has changed."""
        if self._touched is not None:
            self._touched[key] = None

    @property
    def waiting(self) -> int:
        """How many keys ``touched`` would give."""
        return len(self._touched or ())

    def touched(self) -> list[str]:
        """Keys of rows that have changed or gone since the last call; the first call begins it."""
        keys = list(self._touched or ())
        self._touched = {}
        return keys

    def best(self, node: str) -> int:
        """The worth of the best event that was heard of this node; -1 for none."""
        return self._best.get(node, -1)

    def of_node(self, node: str) -> list[str]:
        """Keys of what this node told last."""
        return list(self._of_node.get(node, ()))

    def doubt(self, node: str, now: float) -> None:
        """Something of this node was missed."""
        self._doubts[node] = now
        self._doubts.move_to_end(node)
        if len(self._doubts) > MOST_NODES:
            self._doubts.popitem(last=False)
        for key in self._of_node.get(node, ()):
            row = self.rows[key]
            if row.sure != "doubtful":
                row.sure = "doubtful"
                self.touch(key)

    def sure_by(self, snapshot: Snapshot) -> Sure:
        """How sure a row is that was put right by this answer of its switch."""
        return "doubtful" if self._doubts.get(snapshot.node, float("-inf")) > snapshot.begun else "asked"

    def doubtful(self) -> Counter[str]:
        """How many rows are, by node."""
        return Counter(row.node for row in self.rows.values() if row.sure == "doubtful")

    def refusals(self) -> dict[str, int]:
        """The counts, those that are nought among them."""
        return {name: self.counts[name] for name in ("untrusted", "refused_full", "refused_name", "displaced")}

    def _leave(self, key: str, node: str) -> None:
        keys = self._of_node.get(node)
        if keys is not None:
            keys.pop(key, None)
            if not keys:
                del self._of_node[node]
