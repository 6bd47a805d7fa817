"""A rotation over many hosts, in any order that the steps allow: at every moment each host can read every other.

The model has the real files: a master on the host where the operator works, a copy on each of the others, and what
each node has loaded. Between two steps every host has to be reloaded, and only that: copies and reloads within a step
come in any order, and a host may be reloaded, or copied to, any number of times.
"""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from keyfiles import group, written

from switchcast.keys import GroupKeys, KeyFile, load_group_keys, load_key_file, new_secret

HOSTS: Final = 5
TODAY: Final = dt.date(2027, 2, 23)
MASTER: Final = 0
hosts = st.integers(0, HOSTS - 1)


def unheard(loaded: list[GroupKeys]) -> list[tuple[int, int]]:
    """Each host that cannot read another, with that other."""
    return [
        (hearing, sending)
        for hearing, sending in itertools.permutations(range(len(loaded)), 2)
        if loaded[sending].secrets[0] not in loaded[hearing].secrets
    ]


class Rotation(RuleBasedStateMachine):
    """An operator who goes through steps, copying and reloading as the command says."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.files = [str(written(Path(self.folder.name) / f"host{host}.key", group())) for host in range(HOSTS)]
        self.loaded = [load_group_keys(file) for file in self.files]

    def teardown(self) -> None:
        self.folder.cleanup()

    def step(self, host: int, after: KeyFile) -> None:
        written(Path(self.files[host]), after)

    def master(self) -> KeyFile:
        return load_key_file(self.files[MASTER])

    def all_have_it(self) -> bool:
        """Whether every node runs with what the master's file says: then the next step may be taken."""
        return all(keys == self.master().live() for keys in self.loaded)

    @precondition(lambda self: self.all_have_it() and not self.master().following and len(self.master().keys) < 4)
    @rule()
    def add(self) -> None:
        self.step(MASTER, self.master().add(new_secret(), TODAY))

    @precondition(lambda self: self.all_have_it() and self.master().following)
    @rule()
    def switch(self) -> None:
        self.step(MASTER, self.master().switch())

    @precondition(lambda self: self.all_have_it() and self.master().former)
    @rule()
    def retire(self) -> None:
        self.step(MASTER, self.master().retire())

    @rule(host=hosts)
    def copy(self, host: int) -> None:
        self.step(host, self.master())

    @rule(host=hosts)
    def do_the_same_there(self, host: int) -> None:
        """Take the step that the master took, where that needs no new key."""
        own = load_key_file(self.files[host])
        for possible, take in ((own.following, KeyFile.switch), (own.former, KeyFile.retire)):
            if possible and take(own) == self.master():
                self.step(host, take(own))
                return

    @rule(host=hosts)
    def reload(self, host: int) -> None:
        self.loaded[host] = load_group_keys(self.files[host])

    @rule(order=st.permutations(range(HOSTS)))
    def roll_out(self, order: list[int]) -> None:
        for host in order:
            self.copy(host)
            self.reload(host)
            assert unheard(self.loaded) == []

    @invariant()
    def every_host_can_read_every_other(self) -> None:
        if hasattr(self, "loaded"):
            assert unheard(self.loaded) == []


TestRotation = Rotation.TestCase
TestRotation.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_the_model_sees_a_host_that_was_left_out() -> None:
    """What the command warns of: the next step before every host has been reloaded."""
    old, added = group(), group().add(new_secret(), TODAY)
    switched = added.switch()
    assert unheard([old.live(), added.live(), added.live()]) == []
    assert unheard([old.live(), added.live(), switched.live()]) == [(0, 2)]
    assert unheard([added.live(), switched.live(), switched.retire().live()]) == [(2, 0)]


def test_a_rotation_can_be_begun_anew_forever() -> None:
    file = group()
    for _ in range(10):
        before = file
        file = file.add(new_secret(), TODAY).switch().retire()
        assert file.lines[:-1] == before.lines[:-1]
        assert len(file.keys) == 1
        assert file.sending != before.sending
