"""The rows of the view of registrations: bounded, found by account, and given up when they have run out.

Each row stands in a heap once, by when it ends. One that is renewed stays where it is and is put back when its old end
comes, so that a telephone that registers every minute costs no more than one that does so every hour.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from switchcast.views.registration_reading import Account, Heard
from switchcast.views.telling import WORTH, Trust

__all__ = ["Registration", "RegistrationTable", "Writer"]

_MOST_CHANGES: Final = 1_000_000
"""Keys that wait for ``changes``: who has asked once may never ask again."""
_MOST_POOLED: Final = 10_000
"""Texts that are kept once for all rows which have them. Not ``sys.intern``, for that may never let go of one."""
_MOST_DEAD: Final = 1024
"""Entries of the heap, beyond as many as there are rows, whose rows are gone."""


class Writer(NamedTuple):
    """Who tells of a registration: the switch that holds it, what vouches for that, and when it was so."""

    node: str
    trust: Trust
    at: float
    asked: bool = False


@dataclass(eq=False, slots=True)
class Registration:
    """One registration. Times are monotonic seconds, but for ``since`` and ``expires``, which are since 1970.

    ``core`` and ``number`` are of the event that wrote it last; ``queued`` is its place in the heap.
    """

    account: Account
    contact: str
    since: float
    node: str
    call_id: str
    agent: str
    address: str
    trust: Trust
    touched: float
    ends: float
    expires: float
    asked: bool
    reachable: bool
    core: str = ""
    number: int = -1
    gone: bool = False
    queued: float = float("inf")

    @property
    def key(self) -> str:
        """Its user, profile and contact, with a space between them; spaces in the first two are ``%20``."""
        user, profile = self.account
        return f"{_word(user)} {_word(profile)} {self.contact}"

    def believes(self, trust: Trust, node: str) -> bool:
        """Whether what ``trust`` stands behind, about the switch ``node``, may change this row.

        Of the row's own switch nobody is believed who proves less than it did. That somebody has moved to another
        switch can be told by that one, though it proves less, but never by a stranger.
        """
        return WORTH[trust] >= WORTH[self.trust] or (trust != "stock" and node != self.node)


@dataclass(eq=False)
class RegistrationTable:
    """All rows; ``held`` counts those of each switch."""

    held: Counter[str] = field(default_factory=Counter)
    _accounts: dict[Account, list[Registration]] = field(default_factory=dict)
    _count: int = 0
    _queue: list[tuple[float, int, Registration]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _strangers: OrderedDict[Registration, None] = field(default_factory=OrderedDict)
    _changed: dict[str, Registration | None] | None = None
    _texts: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Registration]:
        return (row for rows in self._accounts.values() for row in rows)

    def of(self, account: Account) -> list[Registration]:
        """The rows of ``account``, which may be none."""
        return self._accounts.get(account, [])

    def add(self, heard: Heard, by: Writer, wall: float, expires: float) -> Registration:
        """A new row, of what ``by`` told at ``wall``."""
        pooled = self.pooled
        row = Registration(
            (heard.account[0], pooled(heard.account[1])),
            heard.contact,
            since=wall,
            node=pooled(by.node),
            call_id=heard.call_id,
            agent=pooled(heard.agent),
            address=heard.address,
            trust=by.trust,
            touched=by.at,
            ends=heard.ends,
            expires=expires,
            asked=by.asked,
            reachable=heard.reachable,
        )
        self._accounts.setdefault(row.account, []).append(row)
        self._count += 1
        self.held[row.node] += 1
        self.changed(row)
        return row

    def rewrite(self, row: Registration, heard: Heard, by: Writer, wall: float, expires: float) -> Registration:
        """Let ``row`` be what ``by`` told; at the same switch it has been there since before."""
        pooled = self.pooled
        if row.node != by.node:
            row.since = wall
            self._let_go(row.node)
            self.held[by.node] += 1
        if by.asked or (row.node, row.call_id) != (by.node, heard.call_id):
            row.reachable = heard.reachable  # a renewal says nothing of it
        row.node, row.trust, row.touched, row.asked = pooled(by.node), by.trust, by.at, by.asked
        row.call_id, row.agent, row.address = heard.call_id, pooled(heard.agent), heard.address
        row.ends, row.expires = heard.ends, expires
        self.changed(row)
        return row

    def changed(self, row: Registration) -> None:
        """``row`` is new, or was written anew; its end may have moved."""
        if row.ends < row.queued:
            row.queued = row.ends
            heapq.heappush(self._queue, (row.ends, next(self._order), row))
        if row.trust == "stock":
            self._strangers[row] = None
            self._strangers.move_to_end(row)
        else:
            self._strangers.pop(row, None)
        self._note(row, row)

    def remove(self, row: Registration) -> None:
        """Take ``row`` out."""
        rows = self._accounts[row.account]
        rows.remove(row)
        if not rows:
            del self._accounts[row.account]
        row.gone = True
        self._count -= 1
        self._let_go(row.node)
        self._strangers.pop(row, None)
        self._note(row, None)
        if len(self._queue) > 2 * self._count + _MOST_DEAD:
            self._queue = [entry for entry in self._queue if not entry[2].gone and entry[0] == entry[2].queued]
            heapq.heapify(self._queue)

    def first_end(self) -> float | None:
        """When the first of all rows ends."""
        self._settle()
        return self._queue[0][0] if self._queue else None

    def ended(self, until: float) -> Iterator[Registration]:
        """Remove and return, one after another, the rows that ended before ``until``."""
        while True:
            self._settle()
            if not self._queue or self._queue[0][0] >= until:
                return
            row = self._queue[0][2]
            self.remove(row)
            yield row

    def make_room(self, trust: Trust) -> bool:
        """Give up the row that a stranger wrote longest ago, for one who proves more; whether there was such a row."""
        if WORTH[trust] == WORTH["stock"] or not self._strangers:
            return False
        self.remove(next(iter(self._strangers)))
        return True

    def changes(self) -> list[tuple[str, Registration | None]]:
        """The keys of what has changed since the last call, each with its row, or ``None`` where it is gone."""
        changed, self._changed = self._changed, {}
        return list(changed.items()) if changed else []

    def find(self, key: str) -> Registration | None:
        """The row of this key."""
        user, _, rest = key.partition(" ")
        profile, _, contact = rest.partition(" ")
        rows = self.of((_meant(user), _meant(profile)))
        return next((row for row in rows if row.contact == contact), None)

    def pooled(self, text: str) -> str:
        """``text``, the same object for all rows while there is room for more of them."""
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _MOST_POOLED:
                self._texts.clear()
            known = self._texts[text] = text
        return known

    def _let_go(self, node: str) -> None:
        self.held[node] -= 1
        if not self.held[node]:
            del self.held[node]

    def _note(self, row: Registration, now: Registration | None) -> None:
        if self._changed is None:
            return  # nobody has asked
        key = row.key
        self._changed.pop(key, None)
        self._changed[key] = now
        if len(self._changed) > _MOST_CHANGES:
            del self._changed[next(iter(self._changed))]

    def _settle(self) -> None:
        """Make the first entry of the heap one of a row that is there and ends then."""
        while self._queue:
            ends, _, row = self._queue[0]
            if row.gone or ends != row.queued:
                heapq.heappop(self._queue)
            elif row.ends > ends:
                row.queued = row.ends
                heapq.heapreplace(self._queue, (row.ends, next(self._order), row))
            else:
                return


def _word(text: str) -> str:
    return text.replace("%", "%25").replace(" ", "%20") if " " in text or "%" in text else text


def _meant(word: str) -> str:
    return word.replace("%20", " ").replace("%25", "%") if "%" in word else word
