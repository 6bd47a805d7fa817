"""The table of peers against a model that reckons with a plain list, and what holds whatever is heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast import Event
from switchcast.views.peers import ESTABLISHED_HEARTBEATS, Peers, PeersSettings

TIMEOUT = 10.0


def heartbeat(name: str, address: str, number: int) -> Event:
    headers = {"Core-UUID": "774efe72", "Event-Sequence": str(number), "Multicast-Sender": name}
    return Event("HEARTBEAT", headers).with_origin(f"{address}:49152", None)


@dataclass
class Model:
    """The same rules, said with a list of everyone and nothing kept in order."""

    settings: PeersSettings
    rows: list[dict[str, Any]] = field(default_factory=list)
    changes: list[tuple[str, str, str]] = field(default_factory=list)

    def find(self, **wanted: object) -> dict[str, Any] | None:
        return next((row for row in self.rows if all(row[key] == value for key, value in wanted.items())), None)

    def hear(self, name: str, address: str, now: float) -> None:
        self.pass_time(now)
        row = self.find(name=name, address=address)
        holder = self.find(name=name, holds=True)
        if row is None:
            if not self.make_room(address):
                return
            row = {"name": name, "address": address, "holds": holder is None, "beats": 0, "run": 0}
            row["state"] = "up" if holder is None else "rival"
            self.rows.append(row)
            if holder is None:
                self.changes.append(("up", name, address))
            holder = self.find(name=name, holds=True)
        row["beats"] += 1
        row["heard"] = now
        if row["state"] == "up":
            return
        if holder is not None and holder is not row and holder["state"] != "down":
            row["run"] = 0
            return
        row["run"] += 1
        if row["state"] == "down":
            row["state"] = "returning"
        if row["run"] >= self.settings.comeback:
            if holder is not None and holder is not row:
                self.rows.remove(holder)
            row.update(state="up", run=0, holds=True)
            self.changes.append(("up", name, address))

    def make_room(self, address: str) -> bool:
        here = [row for row in self.rows if row["address"] == address]
        if len(here) >= self.settings.most_per_address:
            among = here
        elif len(self.rows) >= self.settings.most:
            among = self.rows
        else:
            return True
        down = [row for row in among if row["state"] == "down" and row["beats"] < ESTABLISHED_HEARTBEATS]
        if not down:
            return False
        self.rows.remove(min(down, key=lambda row: (row["beats"], row["down_at"])))
        return True

    def pass_time(self, now: float) -> None:
        for row in sorted(self.rows, key=lambda row: row["heard"]):
            if row["state"] == "down":
                if now - row["down_at"] > self.settings.forget:
                    self.rows.remove(row)
            elif now - row["heard"] > self.settings.timeout:
                if row["state"] == "rival":
                    self.rows.remove(row)
                    continue
                if row["state"] == "up":
                    self.changes.append(("down", row["name"], row["address"]))
                row.update(state="down", run=0, down_at=now)


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.25, 1.0, 4.0, TIMEOUT + 1, 60.0]),
        st.one_of(st.none(), st.tuples(st.sampled_from("abcdef"), st.sampled_from(["192.0.2.1", "192.0.2.2"]))),
    ),
    max_size=60,
)
TABLES = st.builds(
    PeersSettings,
    timeout=st.just(TIMEOUT),
    comeback=st.integers(1, 3),
    forget=st.sampled_from([30.0, 1000.0]),
    most=st.integers(1, 6),
    most_per_address=st.integers(1, 4),
)


@PROPERTY
@given(settings=TABLES, steps=STEPS)
def test_it_does_what_the_model_does(
    settings: PeersSettings, steps: list[tuple[float, tuple[str, str] | None]]
) -> None:
    peers, model, now = Peers(settings), Model(settings), 0.0
    changes = []
    for number, (passed, what) in enumerate(steps):
        # Each time is a little different, so that nobody is heard at the same time as another.
        now += passed + number * 1e-6
        if what is None:
            changes += peers.tick(now)
            model.pass_time(now)
        else:
            changes += peers.take([heartbeat(*what, number)], now, now)
            model.hear(*what, now)
        ours = {(row["name"], row["address"], row["state"], row["heartbeats"]) for row in peers.rows(now)}
        assert ours == {(row["name"], row["address"], row["state"], row["beats"]) for row in model.rows}
    assert [(change.what, change.name, change.address) for change in changes] == model.changes


@PROPERTY
@given(settings=TABLES, steps=STEPS)
def test_what_always_holds(settings: PeersSettings, steps: list[tuple[float, tuple[str, str] | None]]) -> None:
    peers, now = Peers(settings), 0.0
    standing: dict[tuple[str, str], str] = {}
    for number, (passed, what) in enumerate(steps):
        now += passed
        before = {(row["name"], row["address"]) for row in peers.rows(now) if row["state"] == "up"}
        changes = peers.take([heartbeat(*what, number)] if what else [], now, now)
        gone_down = {(change.name, change.address) for change in changes if change.what == "down"}
        rows = peers.rows(now)
        up = {(row["name"], row["address"]) for row in rows if row["state"] == "up"}
        assert before - gone_down <= up, "one that is up leaves by its own silence only"
        assert len(rows) == len(peers) <= settings.most
        assert all(
            sum(row["address"] == address for row in rows) <= settings.most_per_address
            for address in ("192.0.2.1", "192.0.2.2")
        )
        assert len({name for name, _ in up}) == len(up), "a name is up at one address at most"
        for change in changes:
            key = (change.name, change.address)
            assert standing.get(key, "down") != change.what, "ups and downs take turns"
            standing[key] = change.what
        due = peers.next_due()
        assert due is None or due >= now, "what was due has been done"
        counts = peers.counters()
        assert sum(counts[state] for state in ("up", "returning", "rival", "down")) == len(rows)
