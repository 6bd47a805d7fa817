"""The picture beside the simulator's truth: what events alone keep right, and what snapshots heal.

``tests/soak_views.py`` does the same for an hour of a large cluster.
"""

from __future__ import annotations

import pytest
from picture_trials import Trial

from switchcast.simulation import Cluster

SNAPSHOTS = 30.0
"""Virtual seconds between two, as long as half the users' registrations."""


def cluster(seed: int) -> Cluster:
    return Cluster(3, cps=6, seed=seed, users=150)


def test_events_alone_keep_every_view_right() -> None:
    trial = Trial(cluster(1))
    for _ in range(4):
        trial.run(trial.now + 10.0)
        trial.settle()
        assert {view: sorted(rows.keys) for view, rows in trial.wrong().items() if rows.keys} == {}


@pytest.mark.parametrize("seed", range(2, 4))
def test_each_snapshot_heals_what_loss_has_done(seed: int) -> None:
    trial = Trial(cluster(seed), loss=0.05, seed=seed)
    wrong_before = 0
    for _ in range(3):
        trial.run(trial.now + SNAPSHOTS)
        trial.settle()
        wrong_before += sum(len(rows.keys) for rows in trial.wrong().values())
        trial.ask()
        trial.assert_healed()
    assert wrong_before > 0


def test_without_loss_since_they_were_asked_nothing_at_all_is_wrong() -> None:
    trial = Trial(cluster(5), loss=0.1)
    trial.run(40.0)
    trial.loss = 0.0
    trial.ask()
    assert {view: sorted(rows.keys) for view, rows in trial.wrong().items() if rows.keys} == {}


def test_a_switch_that_is_killed_is_doubted_and_when_it_is_back_all_is_right() -> None:
    trial = Trial(cluster(6), loss=0.02)
    victim = trial.cluster.switches[1]
    trial.run(SNAPSHOTS)
    trial.ask()
    held = [row for row in trial.picture.view("calls").rows(trial.now) if row["node"] == victim.name]
    trial.kill(victim)
    trial.run(trial.now + 70.0)
    trial.ask()
    trial.assert_healed()
    trial.assert_doubted(victim)
    assert held
    nodes = {row["name"]: row["state"] for row in trial.picture.view("nodes").rows(trial.now)}
    assert nodes == {switch.name: "down" if switch is victim else "up" for switch in trial.cluster.switches}
    trial.start(victim)
    trial.run(trial.now + SNAPSHOTS)
    trial.ask()
    trial.assert_healed()
    assert victim.name not in trial.picture.doubts


def test_who_joins_late_is_right_at_once() -> None:
    early = cluster(7)
    early.advance(45.0)
    trial = Trial(early)
    assert not trial.picture.view("calls").rows(45.0)
    trial.ask()
    wrong = trial.wrong()
    registered = {row["user"] for row in trial.picture.view("registrations").rows(trial.now)}
    assert not wrong["mailboxes"].keys & registered  # of others nobody knows that they have one
    assert {view: sorted(wrong[view].keys) for view in ("nodes", "registrations", "calls") if wrong[view].keys} == {}
    assert wrong["registrations"].of > 100
    assert wrong["mailboxes"].of > 5
