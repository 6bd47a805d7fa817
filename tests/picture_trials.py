"""A picture beside the simulated cluster that it is of: events that come late or never, switches asked, rows compared.

The truth is the simulator's own state. What no switch keeps, and nobody can ask for, is the words that users publish as
their presence: for these the truth is a second view that lost nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from switchcast import Event
from switchcast._native import Matcher
from switchcast.simulation import DEFAULT_START, DOMAIN, Cluster, Switch
from switchcast.views.answers import box_count, mailbox_question
from switchcast.views.asking import Asking
from switchcast.views.picture import Picture
from switchcast.views.presence import Presence
from switchcast.views.telling import Snapshot, View, told

STEP = 0.1
"""Virtual seconds between two batches; an event arrives one batch after it was fired, so that answers overtake it."""

IDS = (
    "Unique-ID",
    "Other-Leg-Unique-ID",
    "Channel-Call-UUID",
    "Bridge-A-Unique-ID",
    "Bridge-B-Unique-ID",
    "Core-UUID",
)

Rows = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Wrong:
    """Keys of the rows that are missing, too many or different, and how many there are in truth."""

    keys: frozenset[str]
    of: int


@dataclass
class Trial:
    """``loss``: the share of events that never arrive."""

    cluster: Cluster
    loss: float = 0.0
    seed: int = 1
    picture: Picture = field(default_factory=Picture)
    fired: int = 0
    lost: int = 0
    missing: deque[tuple[float, Event]] = field(default_factory=deque)
    """What was lost, and when, as long as it can explain something."""
    spoken: set[str] = field(default_factory=set)
    """Users whose published words were lost, until they publish others."""
    beyond: set[str] = field(default_factory=set)
    """Keys that no snapshot can heal while a switch is down."""
    _late: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)  # noqa: S311 - a trial wants dice that fall the same way again
        self.matcher = Matcher(self.picture.bindings)
        self.whole = Presence()

    @property
    def now(self) -> float:
        return self.cluster.now

    @property
    def up(self) -> list[Switch]:
        return [switch for switch in self.cluster.switches if switch.up]

    def kill(self, switch: Switch) -> None:
        """Let it crash. What was lost until now stays so: nobody can ask it."""
        self.beyond |= self.explained()
        switch.kill()

    def start(self, switch: Switch) -> None:
        """Let it come up again; the view that loses nothing hears of it at once."""
        self.beyond.clear()
        switch.start()
        self.whole.restarted(switch.name, switch.core_uuid, self.now)

    def run(self, until: float, between: Callable[[], None] | None = None) -> None:
        """Let virtual time pass; ``between`` is called after each step."""
        while self.now < until - 1e-9:
            self.step(min(self.now + STEP, until))
            if between is not None:
                between()

    def step(self, until: float) -> None:
        """One batch fired; the one before it arrives."""
        fired = self.matcher.select([event for _, _, event in self.cluster.advance(until)])
        self.fired += len(fired)
        arriving, self._late = self._late, []
        for event in fired:
            arrives = not self.loss or self.dice.random() >= self.loss
            if not arrives:
                self.lost += 1
                self.missing.append((self.now, event))
            else:
                self._late.append(event)
            if event.name in self.whole.kinds:
                self._speak(event, arrives=arrives)
        self._take(arriving)

    def settle(self) -> None:
        """Let all arrive that is on its way, and what has run out by now go."""
        arriving, self._late = self._late, []
        self._take(arriving)

    def ask(self) -> float:
        """Ask every switch that is up, while it goes on firing; since when what was lost can still be missing."""
        begun = self.now
        for switch in self.up:
            asking = Asking(switch.name, self.now, DEFAULT_START + self.now)
            while (command := asking.next()) is not None:
                asking.take(switch.api(command))
                self.step(self.now + STEP / 10)
            assert not asking.faults, asking.faults
            snapshot = asking.snapshot()
            self._seed(snapshot)
            counted = {
                name: box_count("", switch.api(mailbox_question(name))) for name in self.picture.accounts(snapshot)
            }
            self._seed(Snapshot(switch.name, switch.core_uuid, self.now, DEFAULT_START + self.now, mailboxes=counted))
        self.settle()
        while self.missing and self.missing[0][0] < begun - 2 * STEP:
            self.missing.popleft()
        return begun

    def wrong(self) -> dict[str, Wrong]:
        """Each view against the truth."""
        return {
            "nodes": _compared(self._nodes(), self._true_nodes()),
            "registrations": _compared(self._registrations(), self._true_registrations()),
            "presence": _compared(self._presence(self.picture.views["presence"]), self._presence(self.whole)),
            "mailboxes": _compared(self._mailboxes(), self._true_mailboxes()),
            "calls": _compared(self._legs(), self._true_legs()),
        }

    def explained(self) -> set[str]:
        """Keys that an event which was lost lately was about, so that no snapshot could heal them yet."""
        return self.beyond | {key for _, event in self.missing for key in keys_of(event)}

    def assert_healed(self) -> dict[str, Wrong]:
        """Each view is as the truth, but for what was lost while the switches were asked; what is wrong by that."""
        wrong, explained = self.wrong(), self.explained()
        for view, rows in wrong.items():
            assert rows.keys <= explained, (view, self.now, sorted(rows.keys - explained)[:5])
        return wrong

    def assert_doubted(self, switch: Switch) -> None:
        """Nobody takes for certain what a switch that is gone had told."""
        for view in ("registrations", "mailboxes", "calls"):
            rows = [row for row in self.picture.views[view].rows(self.now) if row["node"] == switch.name]
            assert {row["sure"] for row in rows} <= {"doubtful"}, view

    def _seed(self, snapshot: Snapshot) -> None:
        for view in (self.picture, self.whole):
            view.seed(snapshot, self.now, DEFAULT_START + self.now)

    def _take(self, events: list[Event]) -> None:
        self.picture.take(events, self.now, DEFAULT_START + self.now)

    def _speak(self, event: Event, *, arrives: bool) -> None:
        told_of = told(event)
        if told_of is None:
            return
        self.whole.learn(told_of, self.now, DEFAULT_START + self.now)
        if event.name == "PRESENCE_IN" and not event.get("Channel-Name"):
            user = event.get("from") or ""
            (self.spoken.discard if arrives else self.spoken.add)(user)

    def _rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a view, but for those of a switch that is down: nobody can answer for them."""
        down = {switch.name for switch in self.cluster.switches if not switch.up}
        return [row for row in self.picture.views[name].rows(self.now) if row["node"] not in down]

    def _nodes(self) -> Rows:
        rows = self.picture.views["nodes"].rows(self.now)
        return {row["name"]: (row["state"], row["core"]) for row in rows}

    def _true_nodes(self) -> Rows:
        return {each.name: ("up" if each.up else "down", each.core_uuid) for each in self.cluster.switches}

    def _registrations(self) -> Rows:
        return {
            row["user"]: (row["node"], row["contact"], row["call_id"], row["reachable"])
            for row in self._rows("registrations")
        }

    def _true_registrations(self) -> Rows:
        """Where each user registered last, of all switches that still hold it."""
        latest: dict[str, tuple[int, Switch]] = {}
        for switch in self.cluster.switches:
            for user, held in switch.registrations.items():
                if held.expires > latest.get(user, (0, switch))[0]:
                    latest[user] = held.expires, switch
        truth: Rows = {}
        for user, (_, switch) in latest.items():
            held = switch.registrations[user]
            if switch.up:
                truth[f"{user}@{DOMAIN}"] = (switch.name, held.contact, held.call_id, True)
        return truth

    def _presence(self, view: View) -> Rows:
        """Users who are not offline, those left out of whose words some were lost: no switch can be asked for them."""
        rows = [row for row in view.rows(self.now) if row["user"] not in self.spoken]
        return {row["user"]: (row["state"], row["calls"]) for row in rows if row["state"] != "offline"}

    def _mailboxes(self) -> Rows:
        rows = self._rows("mailboxes")
        return {row["account"]: (row["new"], row["saved"]) for row in rows if row["new"] or row["saved"]}

    def _true_mailboxes(self) -> Rows:
        down = {switch.name for switch in self.cluster.switches if not switch.up}
        theirs = {row["account"] for row in self.picture.views["mailboxes"].rows(self.now) if row["node"] in down}
        boxes = {f"{user}@{DOMAIN}": (box.new, box.saved) for user, box in self.cluster.stage.mailboxes.items()}
        return {account: counts for account, counts in boxes.items() if any(counts) and account not in theirs}

    def _legs(self) -> Rows:
        legs = [leg for row in self._rows("calls") for leg in row["legs"]]
        return {leg["uuid"]: (leg["node"], leg["state"], leg["bridged_to"]) for leg in legs}

    def _true_legs(self) -> Rows:
        return {
            uuid: (switch.name, channel.call_state.lower(), channel.bridged_to or "")
            for switch in self.up
            for uuid, channel in switch.channels.items()
        }


def keys_of(event: Event) -> Iterable[str]:
    """The keys of the rows that ``event`` is about, in whichever view."""
    yield from (value for name in IDS if (value := event.get(name)))
    yield from (value.removeprefix("sip:") for name in ("from", "MWI-Message-Account") if (value := event.get(name)))
    for user, host in (("from-user", "from-host"), ("user", "host"), ("VM-User", "VM-Domain")):
        yield f"{event.get(user)}@{event.get(host)}"
    yield event.get("FreeSWITCH-Switchname") or ""


def _compared(seen: Mapping[str, object], true: Mapping[str, object]) -> Wrong:
    keys = {key for key in seen.keys() | true.keys() if seen.get(key) != true.get(key)}
    return Wrong(frozenset(keys), len(true))
