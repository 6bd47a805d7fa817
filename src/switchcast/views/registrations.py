"""Who is registered, at which switch, from where and until when: as the ``sip_registrations`` of all switches tell it.

::

    sofia::register ───────> row of the account: new, renewed, or moved here from another switch
    sofia::sip_user_state ─> whether its telephone answers
    sofia::unregister ─────> gone        from the switch that holds it, or by the registration's own Call-ID
    sofia::expire ─────────> gone        from the switch that holds it, of this Call-ID or contact
    time ──────────────────> doubtful when it has run out, gone ``grace`` later
    snapshot ──────────────> all that the switch holds, and none that it held and does not list

**One account, one row.** In mod_sofia an account (``user@domain``) has one row in a profile, and a registration takes
the place of the one before, whatever its contact. In a cluster that goes for all switches: who registers at another one
has moved there, and what the first one says about it later (``expire`` when its copy runs out) counts no more. Where a
profile allows ``multiple-registrations`` an account has a row for each telephone, known by contact or Call-ID. No event
says that a profile does; ``multiple = "auto"`` learns it of a switch and profile from what only such a profile does:
``update-reg`` in a ``sofia::register``, or two rows of one account in a snapshot.

**Time.** ``expires`` of a register counts seconds from when it is heard, so no clock of another host is asked. That of
an ``expire`` is a date by the clock of the host that fired it, and is not needed: that host says that the row is gone.
A snapshot tells the seconds that are left (``expsecs``). mod_sofia looks for what has run out every 30 s and only then
says so, hence ``grace``. Events that come late, behind a newer one of the same run of their switch, change nothing.

**Snapshots** hold what a switch was told by others, too, and do not say whose that is: unless the contact leads to a
known switch (``fs_path``), it is taken for the switch's own, until the other one is heard. Nor do they say who told the
switch, so what only a snapshot tells of is worth no more than what a stranger says. If two switches have an account
under two Call-IDs, the registration that runs longer is the later one: a telephone asks each for the same time.

Pure: ``now`` is monotonic seconds, ``wall`` seconds since 1970 for display only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, TypeVar

from switchcast.settings import Duration, Settings
from switchcast.views.registration_reading import (
    MOST_CHARACTERS,
    Account,
    Heard,
    account_in,
    cut,
    heard_in,
    listed_in,
    path_host,
    run_of,
)
from switchcast.views.registration_table import Registration, RegistrationTable, Writer
from switchcast.views.telling import ROOM, Snapshot, Sure, Told, Trust

__all__ = ["Registrations", "RegistrationsSettings"]

MOST_NODES: Final = 10_000
"""Switches, and profiles of them, of which something is remembered: anyone can invent more."""
MOST_ENDED: Final = 100_000
"""Accounts that lately ended, so that a snapshot from before does not bring them back."""
MOST_CLAIMS: Final = 10_000
"""Registrations that one switch lists although they have moved on, and that are remembered in case they come back."""
ENDED_SECONDS: Final = 600.0
"""For how long that is remembered; a snapshot that took longer is not used."""
_SLACK_SECONDS: Final = 2.0
"""By how much the ends of one registration differ, told in whole seconds by two switches."""
_COUNTED: Final = (
    "malformed",
    "refused_name",
    "refused_full",
    "untrusted",
    "late",
    "elsewhere",
    "evicted",
    "ran_out",
)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class RegistrationsSettings(Settings):
    """The ``[views.registrations]`` table: who counts as registered."""

    grace: Duration = 35.0
    """How long one that has run out is shown as doubtful: mod_sofia looks every 30 s, and says so then."""
    multiple: Literal["auto", "yes", "no"] = "auto"
    """Whether profiles allow several registrations of an account; ``auto`` finds out."""


@dataclass(eq=False)
class Registrations:
    """The view. A row's key is its user, profile and contact with spaces between them (``Registration.key``)."""

    settings: RegistrationsSettings = field(default_factory=RegistrationsSettings)
    most: int = ROOM
    """Rows in all, however many accounts are invented; each takes about a kilobyte."""
    name: ClassVar[str] = "registrations"
    kinds: ClassVar[frozenset[str]] = frozenset(
        {"sofia::register", "sofia::unregister", "sofia::expire", "sofia::sip_user_state", "HEARTBEAT"}
    )
    _table: RegistrationTable = field(default_factory=RegistrationTable, init=False, repr=False)
    _doubts: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _several: dict[tuple[str, str], None] = field(default_factory=dict, init=False, repr=False)
    _homes: dict[str, tuple[str, int]] = field(default_factory=dict, init=False, repr=False)
    _ended: OrderedDict[Account, float] = field(default_factory=OrderedDict, init=False, repr=False)
    _claims: dict[str, dict[Account, tuple[Heard, float]]] = field(default_factory=dict, init=False, repr=False)
    """What a switch listed, and when, of accounts that are taken to have moved on from there."""
    _forgotten: float = field(default=float("-inf"), init=False, repr=False)
    _now: float = field(default=float("-inf"), init=False, repr=False)
    _counts: Counter[str] = field(default_factory=Counter, init=False, repr=False)

    def __len__(self) -> int:
        return len(self._table)

    def learn(self, told: Told, now: float, wall: float) -> None:
        """Learn from one event. A HEARTBEAT tells which switch has which address, for contacts that lead to it."""
        self._now = max(self._now, now)
        match told.kind:
            case "sofia::register":
                self._register(told, wall)
            case "sofia::unregister":
                self._end(told, account_in(told, "from-user", "from-host"))
            case "sofia::expire":
                self._end(told, account_in(told, "user", "host"))
            case "sofia::sip_user_state":
                self._answers(told)
            case "HEARTBEAT":
                self._place(told)

    def seed(self, snapshot: Snapshot, now: float, wall: float) -> None:
        """Take over what a switch lists, and let go what it held and does not list."""
        self._now = max(self._now, now)
        if snapshot.registrations is None:
            return
        if self._now - snapshot.begun > ENDED_SECONDS:
            self._counts["late"] += 1
            return
        listed = [heard for row in snapshot.registrations if (heard := listed_in(row, snapshot.begun)) is not None]
        self._counts["malformed"] += len(snapshot.registrations) - len(listed)
        listed = [heard for heard in listed if heard.ends + self.settings.grace >= self._now]
        once: set[Account] = set()
        for account in (heard.account for heard in listed):
            if account in once:
                _remember(self._several, (snapshot.node, account[1]), None)
            once.add(account)
        self._claims.pop(snapshot.node, None)
        kept: set[Registration] = set()
        for heard in listed:
            kept.update(self._seed_one(heard, snapshot, wall))
        mine = [row for row in self._table if row.node == snapshot.node and row not in kept]
        for row in mine:
            if row.touched <= snapshot.begun:
                self._table.remove(row)
                self._fall_back(row.account, wall)
        if self._doubts.get(snapshot.node, snapshot.begun) <= snapshot.begun:
            self._doubts.pop(snapshot.node, None)

    def doubt(self, node: str, now: float) -> None:
        """Events of ``node`` were lost: its rows are doubtful until they are told of anew.

        That is no change of each row, so ``changes`` does not tell of it.
        """
        if node in self._table.held:  # names are invented, and must not push out who is doubted for a reason
            _remember(self._doubts, node, now)

    def restarted(self, node: str, core: str, now: float) -> None:
        """Registrations outlast a restart, for a switch has them in a database; what ran out meanwhile is not told."""
        self.doubt(node, now)

    def tick(self, now: float) -> None:
        """Let go what has run out more than ``grace`` ago."""
        self._now = max(self._now, now)
        for _ in self._table.ended(self._now - self.settings.grace):
            self._counts["ran_out"] += 1
        while self._ended and next(iter(self._ended.values())) < self._now - ENDED_SECONDS:
            self._forget()

    def next_due(self) -> float | None:
        """Just after this time the next row has run out for good."""
        ends = self._table.first_end()
        return None if ends is None else ends + self.settings.grace

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Everyone registered, by user, profile and contact."""
        rows = sorted(self._table, key=lambda row: (row.account, row.contact))
        return [self._row(row, now) for row in rows]

    def keys(self) -> Iterable[str]:
        """The keys of all rows."""
        return (row.key for row in self._table)

    def row(self, key: str, now: float) -> dict[str, Any] | None:
        """The row of this key, as ``rows`` has it."""
        row = self._table.find(key)
        return None if row is None else self._row(row, now)

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """What has changed since the last call, by key; ``expires_in`` as of the last event or tick."""
        changes = self._table.changes()
        return [(key, None if row is None else self._row(row, self._now)) for key, row in changes]

    def states(self) -> dict[str, int]:
        """All that are ``registered``; of them those ``doubtful`` and ``unreachable``."""
        sure = Counter(self._sure(row, self._now) for row in self._table)
        unreachable = sum(not row.reachable for row in self._table)
        return {"registered": len(self._table), "doubtful": sure["doubtful"], "unreachable": unreachable}

    def doubtful(self) -> Counter[str]:
        """How many rows are, by node; those whose time has run out among them."""
        return Counter(row.node for row in self._table if self._sure(row, self._now) == "doubtful")

    def refusals(self) -> dict[str, int]:
        """What had no effect, by reason.

        ``malformed``: without an account or a time. ``refused_name``: longer than ``MOST_CHARACTERS``.
        ``refused_full``: no room. ``untrusted``: of less worth than what the row was made of. ``late``: behind a newer
        event of the same switch, or a snapshot that took too long. ``elsewhere``: the end of what has moved on.
        ``evicted``: strangers' rows that were given up for others. ``ran_out``: ended by time alone.
        """
        return {name: self._counts[name] for name in _COUNTED}

    def counters(self) -> dict[str, int]:
        """``states`` and ``refusals``."""
        return self.states() | self.refusals()

    def _register(self, told: Told, wall: float) -> None:
        heard = heard_in(told, self._now)
        if heard is None:
            self._counts["malformed"] += 1
            return
        known = self._table.of(heard.account)
        if told.get("update-reg") == "true" and all(row.believes(told.event.trust, told.node) for row in known):
            _remember(self._several, (told.node, heard.account[1]), None)
        before = self._replaced(heard, told.node)
        if not self._counts_for(told, before):
            return
        row = self._write(heard, before, Writer(told.node, told.event.trust, self._now), wall)
        if row is not None:
            core, row.number = run_of(told)
            row.core = self._table.pooled(core)

    def _end(self, told: Told, account: Account | None) -> None:
        """An account is not registered any more, or one of its telephones is not."""
        if account is None:
            self._counts["malformed"] += 1
            return
        rows = self._table.of(account)
        ending = [row for row in rows if self._is_of(told, row)]
        self._counts["elsewhere"] += bool(rows and not ending)
        if not self._counts_for(told, ending):
            return
        for row in ending:
            self._table.remove(row)
        if ending or told.worth:  # a stranger who ends what is not there keeps no snapshot from telling of it
            for claims in self._claims.values():
                claims.pop(account, None)
            self._ended[account] = self._now
            self._ended.move_to_end(account)
            if len(self._ended) > MOST_ENDED:
                self._forget()

    def _answers(self, told: Told) -> None:
        """Whether a telephone answers to OPTIONS, as the switch that holds its registration says."""
        account = account_in(told, "from-user", "from-host")
        call_id, status = cut(told.get("call-id")), told.get("Ping-Status").upper()
        if account is None or status not in ("REACHABLE", "UNREACHABLE"):
            self._counts["malformed"] += 1
            return
        rows = [row for row in self._table.of(account) if row.node == told.node and row.call_id == call_id]
        if rows and self._counts_for(told, rows):
            for row in rows:
                row.reachable, row.touched = status == "REACHABLE", self._now
                self._table.changed(row)

    def _place(self, told: Told) -> None:
        for name in ("FreeSWITCH-IPv4", "FreeSWITCH-IPv6"):
            ip = cut(told.get(name))
            if ip and told.worth >= self._homes.get(ip, ("", 0))[1]:
                _remember(self._homes, ip, (told.node, told.worth))

    def _seed_one(self, heard: Heard, snapshot: Snapshot, wall: float) -> list[Registration]:
        """Take over one registration that a switch lists; the rows of it, which are not to be taken for ended."""
        home, begun = snapshot.node, snapshot.begun
        if ";fs_path=" in heard.contact:
            home, _ = self._homes.get(path_host(heard.contact), (home, 0))
        by = Writer(home, "stock", begun, True)
        before = self._replaced(heard, snapshot.node)
        if not before:
            ended = self._ended.get(heard.account, self._forgotten)
            row = None if begun < max(ended, self._forgotten) else self._insert(heard, by, wall)
            return [] if row is None else [row]
        if any(row.touched > begun for row in before):
            return before
        current = max(before, key=lambda row: row.ends)
        if current.node == snapshot.node:
            by = by._replace(trust=current.trust)
        else:
            if heard.ends <= current.ends + _SLACK_SECONDS or not current.believes("local", home):
                if heard.call_id != current.call_id:
                    self._claim(snapshot, heard)
                return before
            if heard.call_id == current.call_id:  # it was renewed there, which was not heard
                by = by._replace(node=current.node, trust=current.trust)
            elif current.trust != "stock":
                by = by._replace(trust="local")
        row = self._write(heard, before, by, wall)
        return [] if row is None else [row]

    def _claim(self, snapshot: Snapshot, heard: Heard) -> None:
        claims = self._claims.setdefault(snapshot.node, {})
        if len(claims) < MOST_CLAIMS:
            claims[heard.account] = heard, snapshot.begun

    def _fall_back(self, account: Account, wall: float) -> None:
        """The switch that ``account`` had moved to does not list it: it is where another one listed it, if one did."""
        for node, claims in self._claims.items():
            heard, begun = claims.pop(account, (None, 0.0))
            if heard is not None and heard.ends >= self._now and not self._table.of(account):
                self._insert(heard, Writer(node, "stock", begun, True), wall)

    def _write(self, heard: Heard, before: list[Registration], by: Writer, wall: float) -> Registration | None:
        """Make ``heard`` the row in place of those ``before`` it; ``None`` if there is no room for it."""
        row = next((row for row in before if row.contact == heard.contact), None)
        for other in before:
            if other is not row:
                self._table.remove(other)
        if row is None:
            return self._insert(heard, by, wall)
        return self._table.rewrite(row, heard, by, wall, wall + heard.ends - self._now)

    def _insert(self, heard: Heard, by: Writer, wall: float) -> Registration | None:
        """Make ``heard`` a new row, if there is room for it."""
        if not self._has_room(heard.account[0], by.trust):
            return None
        return self._table.add(heard, by, wall, wall + heard.ends - self._now)

    def _has_room(self, user: str, trust: Trust) -> bool:
        if len(user) > MOST_CHARACTERS:
            self._counts["refused_name"] += 1
            return False
        if len(self._table) < self.most:
            return True
        evicted = self._table.make_room(trust)
        self._counts["evicted" if evicted else "refused_full"] += 1
        return evicted

    def _replaced(self, heard: Heard, node: str) -> list[Registration]:
        """The rows that this registration at ``node`` takes the place of."""
        profile, rows = heard.account[1], self._table.of(heard.account)
        return [
            row
            for row in rows
            if not (self._has_several(node, profile) or self._has_several(row.node, profile))
            or row.contact == heard.contact
            or row.call_id == heard.call_id
        ]

    def _is_of(self, told: Told, row: Registration) -> bool:
        """Whether ``told``, the end of a registration, is the end of this one."""
        call_id, contact = cut(told.get("call-id")), cut(told.get("contact"))
        if row.node != told.node:  # it has moved on, unless its own telephone says this
            return told.kind == "sofia::unregister" and bool(call_id) and call_id == row.call_id
        if row.call_id == call_id or row.contact == contact:
            return True
        alone = not self._has_several(row.node, row.account[1])
        return alone and (told.kind == "sofia::unregister" or not (call_id or contact))

    def _has_several(self, node: str, profile: str) -> bool:
        if self.settings.multiple == "auto":
            return (node, profile) in self._several
        return self.settings.multiple == "yes"

    def _counts_for(self, told: Told, rows: list[Registration]) -> bool:
        """Whether these rows may be changed by ``told``."""
        if not all(row.believes(told.event.trust, told.node) for row in rows):
            self._counts["untrusted"] += 1
            return False
        core, number = run_of(told)
        if any(row.core == core and number < row.number for row in rows):
            self._counts["late"] += 1
            return False
        return True

    def _forget(self) -> None:
        """Forget what ended first: no snapshot from before then may add rows."""
        _, at = self._ended.popitem(last=False)
        self._forgotten = max(self._forgotten, at)

    def _sure(self, row: Registration, now: float) -> Sure:
        if row.ends < now or self._doubts.get(row.node, row.touched - 1.0) >= row.touched:
            return "doubtful"
        return "asked" if row.asked else "told"

    def _row(self, row: Registration, now: float) -> dict[str, Any]:
        return {
            "user": row.account[0],
            "contact": row.contact,
            "profile": row.account[1],
            "node": row.node,
            "agent": row.agent,
            "address": row.address,
            "expires": row.expires,
            "expires_in": max(0.0, row.ends - now),
            "reachable": row.reachable,
            "call_id": row.call_id,
            "since": row.since,
            "sure": self._sure(row, now),
            "trust": row.trust,
        }


def _remember(table: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    """Set ``table[key]``, and forget the oldest entry where there are too many."""
    table.pop(key, None)
    table[key] = value
    if len(table) > MOST_NODES:
        del table[next(iter(table))]
