"""The view of switches beside a model that goes through a dictionary each time, and its bound on losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firing import fired, hear, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from strategies import PROPERTY

from switchcast.views.losses import MOST_JUMP, WINDOW, Losses
from switchcast.views.nodes import Nodes, NodesSettings


@PROPERTY
@given(
    order=st.lists(st.integers(1, 60), max_size=80),
    base=st.sampled_from([0, 1000, WINDOW, 10**12]),
)
def test_the_bound_is_exact_within_the_window(order: list[int], base: int) -> None:
    losses = Losses()
    for number in order:
        losses.note(base + number)
    heard = {number for number in order if number >= order[0]}
    highest = max(heard, default=0)
    assert losses.at_most == (highest - order[0] + 1 - len(heard) if order else 0)


@settings(deadline=None, max_examples=30)
@given(sent=st.integers(1, 20_000), drawn=st.randoms(use_true_random=True), late=st.integers(0, 3 * WINDOW))
def test_it_is_never_below_what_was_lost(sent: int, drawn: Any, late: int) -> None:
    arriving = [number for number in range(2, sent) if drawn.random() < 0.9]
    order = sorted(arriving, key=lambda number: number + drawn.random() * late)
    losses = Losses()
    for number in [1, *order]:
        losses.note(number)
        if drawn.random() < 0.1:
            losses.note(number)
    highest = max([1, *order])
    assert losses.at_most >= highest - 1 - len(order) >= 0
    if late < WINDOW:
        assert losses.at_most == highest - 1 - len(order)


def test_one_number_from_nowhere_does_no_harm_and_a_long_silence_is_counted() -> None:
    losses = Losses()
    for number in (1, 10**17, 2, 3, 10**17 + MOST_JUMP + 1, 4):
        losses.note(number)
    assert losses.at_most == 0
    start = 10 * MOST_JUMP
    losses.note(start)
    losses.note(start + 1)
    losses.note(start + 2)
    assert losses.at_most == start - 5
    losses.begin()
    losses.note(1)
    losses.note(3)
    assert losses.at_most == start - 4, "it goes on over restarts"


@dataclass
class Said:
    """What the model knows of one switch."""

    heard: float
    core: str
    state: str = "up"
    ended: str = ""
    before: str = ""
    since: float = 0.0
    restarts: int = 0


class Switches(RuleBasedStateMachine):
    """The same rules, said with a dictionary that is gone through each time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.nodes = Nodes(NodesSettings(timeout=60.0, forget=500.0))
        self.model: dict[str, Said] = {}
        self.turns: list[tuple[str, str]] = []
        self.heard_turns: list[tuple[str, str]] = []

    @rule(seconds=st.sampled_from([0.5, 19.0, 21.0, 61.0, 501.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.nodes.tick(self.now)
        self.age()

    def age(self) -> None:
        for name, said in sorted(self.model.items(), key=lambda item: item[1].heard):
            if said.state == "up" and self.now - said.heard > 60:
                said.state, said.since = "down", self.now
                self.turns.append(("down", name))
        for name, said in list(self.model.items()):
            if said.state == "down" and self.now - said.since > 500:
                del self.model[name]

    @rule(name=st.sampled_from("abc"), core=st.sampled_from(["1", "2", "3"]), kind=st.sampled_from(["API", "SHUTDOWN"]))
    def speak(self, name: str, core: str, kind: str) -> None:
        self.now += 0.001
        hear(self.nodes, self.now, fired(name, kind, core=core))
        self.age()
        for _ in range(2 if kind == "SHUTDOWN" else 1):  # heard, and learned from
            self.listen(name, core)
        said = self.model[name]
        if kind == "SHUTDOWN" and said.core == core:
            said.ended = core
            if said.state == "up":
                said.state, said.since = "down", self.now
                self.turns.append(("down", name))

    def listen(self, name: str, core: str) -> None:
        said = self.model.get(name)
        if said is None:
            self.model[name] = Said(self.now, core)
            self.turns.append(("up", name))
            return
        if core != said.core:
            if core == said.before and said.state == "up" and self.now - said.heard <= 20:
                return
            said.before, said.core = said.core, core
            said.restarts += 1
            self.turns.append(("restarted", name))
        if said.ended == core:
            return
        said.heard = self.now
        if said.state == "down":
            said.state = "up"
            self.turns.append(("up", name))

    @invariant()
    def they_agree(self) -> None:
        rows = {row["name"]: (row["state"], row["core"], row["restarts"]) for row in self.nodes.rows(self.now)}
        assert rows == {name: (said.state, said.core, said.restarts) for name, said in self.model.items()}
        self.heard_turns += turned(self.nodes)
        assert self.heard_turns == self.turns
        due = self.nodes.next_due()
        assert due is None if not rows else due is not None and due >= self.now
        assert sum(self.nodes.counters()[state] for state in ("up", "down")) == len(rows)


TestSwitches = Switches.TestCase
TestSwitches.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
