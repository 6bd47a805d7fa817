"""The view of registrations beside a cluster of simple switches: events that are lost, and snapshots that race them.

The switches keep plain dictionaries. What was told without a loss has to be in the view at once; after every switch has
been asked, whatever was lost before, the view has to be the truth.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from registering import WALL, expire, held, listed, register, snapshot, tell, unregister

from switchcast import Event
from switchcast.views.registrations import Registrations
from switchcast.views.telling import Snapshot

SECONDS = 600
"""Every telephone asks for the same time, so that the later registration is the one that runs longer."""
NODES = ("fs1", "fs2", "fs3")
users = st.sampled_from(["1000", "1001", "1002", "1003"])
nodes = st.sampled_from(NODES)
steps = st.sampled_from([3, 10, 200, SECONDS + 5])


class Cluster(RuleBasedStateMachine):
    """Switches, what they told, and who listens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.calls = 0
        self.numbers = dict.fromkeys(NODES, 0)
        self.tables: dict[str, dict[str, tuple[str, int]]] = {node: {} for node in NODES}
        self.told: dict[str, tuple[str, str]] = {}
        self.spoiled: set[str] = set()
        self.asked: list[tuple[Snapshot, dict[str, tuple[str, str] | None]]] = []
        self.losing = False
        self.view = Registrations()
        self.shadow: dict[str, dict[str, Any]] = dict(self.view.changes())  # type: ignore[arg-type]

    def fire(self, node: str, user: str, event: Event, now_held: tuple[str, str] | None) -> None:
        """An event of ``node``, and where ``user`` is by it; a registration that is heard makes that certain again."""
        if self.losing:
            self.spoiled.add(user)
            self.view.doubt(node, float(self.now))
            return
        tell(self.view, float(self.now), event)
        if now_held is None:
            self.told.pop(user, None)
        else:
            self.told[user] = now_held
            if event.subclass == "sofia::register":
                self.spoiled.discard(user)

    def number(self, node: str) -> int:
        self.numbers[node] += 1
        return self.numbers[node]

    @rule(seconds=steps)
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        for node, table in self.tables.items():
            for user, (call_id, ends) in list(table.items()):
                if ends <= self.now:
                    del table[user]
                    mine = self.told.get(user) == (node, call_id)
                    event = expire(user, node, call_id=call_id, number=self.number(node))
                    self.fire(node, user, event, None if mine else self.told.get(user))
        self.view.tick(float(self.now))

    @rule(user=users, node=nodes)
    def register(self, user: str, node: str) -> None:
        self.pass_time(3)
        self.calls += 1
        call_id = f"c{self.calls}"
        self.tables[node][user] = (call_id, self.now + SECONDS)
        event = register(user, node, call_id=call_id, expires=str(SECONDS), number=self.number(node))
        self.fire(node, user, event, (node, call_id))

    @rule(user=users, node=nodes)
    def unregister(self, user: str, node: str) -> None:
        self.pass_time(3)
        if self.tables[node].pop(user, None) is None:
            return
        here = self.told.get(user)
        event = unregister(user, node, number=self.number(node))
        self.fire(node, user, event, None if here is None or here[0] == node else here)

    @rule()
    def lose_what_comes(self) -> None:
        self.losing = True

    @rule()
    def hear_again(self) -> None:
        self.losing = False

    @rule(node=nodes)
    def ask(self, node: str) -> None:
        """The switch answers now; the answer arrives later, or never."""
        self.pass_time(3)
        self.asked.append((self.answer(node), dict(self.told)))
        self.pass_time(3)

    @precondition(lambda self: bool(self.asked))
    @rule()
    def hear_an_answer(self) -> None:
        """What was told since the question is not undone by an answer from before."""
        answer, told_then = self.asked.pop(0)
        fresh = {user for user in self.told if self.told[user] != told_then.get(user) and user not in self.spoiled}
        before = {user: place for user, place in held(self.view).items() if user in fresh}
        self.view.seed(answer, float(self.now), WALL + self.now)
        after = held(self.view)
        assert {user: after.get(user) for user in fresh} == {user: before.get(user) for user in fresh}
        gone = {user for user in told_then if user not in self.told and user not in self.spoiled}
        self.spoiled |= set(after) - set(self.told) - gone  # what it still knows and was told of as ended elsewhere
        self.spoiled |= set(held(self.view)) ^ set(self.told)

    @rule()
    def ask_all(self) -> None:
        """Then the view is the truth."""
        self.losing = False
        self.pass_time(3)
        self.asked.clear()
        for node in NODES:
            self.view.seed(self.answer(node), float(self.now), WALL + self.now)
        truth: dict[str, tuple[int, str, str]] = {}
        for node, table in self.tables.items():
            for user, (call_id, ends) in table.items():
                truth[user] = max(truth.get(user, (0, "", "")), (ends, node, call_id))
        self.told = {user: (node, call_id) for user, (_, node, call_id) in truth.items()}
        self.spoiled.clear()
        assert all(row["sure"] != "doubtful" for row in self.view.rows(float(self.now)))

    @rule(user=users, node=nodes)
    def forge(self, user: str, node: str) -> None:
        """A stranger's datagrams do nothing to what a switch told."""
        rows = {row["user"]: row for row in self.view.rows(float(self.now))}
        if rows.get(f"{user}@pbx.example", {}).get("trust") != "local":
            return
        forged = [
            register(user, node, trust="stock", contact="stranger", expires="86400", number=10**9),
            unregister(user, node, trust="stock", call_id=rows[f"{user}@pbx.example"]["call_id"]),
            expire(user, node, trust="stock"),
        ]
        tell(self.view, float(self.now), *forged)
        assert {row["user"]: row for row in self.view.rows(float(self.now))} == rows

    def answer(self, node: str) -> Snapshot:
        table = self.tables[node].items()
        rows = [listed(user, call_id=call_id, seconds=ends - self.now) for user, (call_id, ends) in table]
        return snapshot(node, float(self.now), *rows)

    @invariant()
    def what_was_told_is_there(self) -> None:
        rows = {row["user"].partition("@")[0]: (row["node"], row["call_id"]) for row in self.view.rows(float(self.now))}
        known = {user: place for user, place in rows.items() if user not in self.spoiled}
        assert known == {user: place for user, place in self.told.items() if user not in self.spoiled}

    @invariant()
    def it_is_in_order(self) -> None:
        rows = self.view.rows(float(self.now))
        assert len(rows) == len(self.view) == len({row["user"] for row in rows}) <= 4
        assert all(count >= 0 for count in self.view.counters().values())
        assert all(row["expires_in"] >= 0 for row in rows)
        due = self.view.next_due()
        assert due is None if not rows else due is not None and due >= self.now

    @invariant()
    def the_changes_tell_all(self) -> None:
        for key, row in self.view.changes():
            if row is None:
                self.shadow.pop(key, None)
            else:
                self.shadow[key] = row
        assert set(self.shadow) == set(self.view.keys())
        for key, row in self.shadow.items():
            now = self.view.row(key, float(self.now))
            assert now is not None
            assert (now["node"], now["call_id"], now["expires"]) == (row["node"], row["call_id"], row["expires"])


TestCluster = Cluster.TestCase
TestCluster.settings = settings(deadline=None, max_examples=150, stateful_step_count=30)


def test_who_left_unheard_is_where_another_switch_still_lists_it() -> None:
    view = Registrations()
    tell(view, 3.0, register("1001", "fs1", call_id="c1", expires="600", number=1))
    tell(view, 6.0, register("1001", "fs2", call_id="c2", expires="600", number=1))
    view.seed(snapshot("fs1", 9.0, listed("1001", call_id="c1", seconds=594)), 9.0, WALL + 9)
    assert held(view) == {"1001": "fs2"}
    view.seed(snapshot("fs2", 9.0), 9.0, WALL + 9)
    assert held(view) == {"1001": "fs1"}
    tell(view, 10.0, unregister("1001", "fs1", number=2))
    assert held(view) == {}
