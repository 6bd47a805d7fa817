"""An hour of a large cluster, and the picture of it: every view is the truth after each snapshot, at full size.

Twenty switches, 200 calls/s, 100,000 users; one event of a hundred never arrives; a switch is killed, and started again
later. ``make soak`` runs it, by this file's name, which no other run collects. It takes the better part of an hour, so
that it wants ``-o faulthandler_timeout=0``, and prints how much was wrong between the snapshots (``pytest -s``).
"""

from __future__ import annotations

import time

from picture_trials import Trial, Wrong

from switchcast.simulation import Cluster

NODES, CALLS_PER_SECOND, USERS = 20, 200.0, 100_000
EXPIRES = 3600.0
"""Seconds for which a telephone registers: what they ask for where a switch sets nothing else."""
SECONDS, SNAPSHOTS = 3600.0, 300.0
KILLED, STARTED = 400.0, 800.0
LOSS = 0.01


def test_every_view_is_the_truth_after_each_snapshot() -> None:
    cluster = Cluster(NODES, CALLS_PER_SECOND, seed=6, users=USERS, expires=EXPIRES)
    trial = Trial(cluster, loss=LOSS)
    victim = cluster.switches[3]
    began = time.monotonic()
    asked = 0
    while trial.now < SECONDS:
        for at, turn in ((KILLED, trial.kill), (STARTED, trial.start)):
            if trial.now < at <= trial.now + SNAPSHOTS:
                trial.run(at)
                turn(victim)
        trial.run(SNAPSHOTS * (asked + 1))
        trial.settle()
        between = trial.wrong()
        trial.ask()
        asked += 1
        after = trial.assert_healed()
        if not victim.up:
            trial.assert_doubted(victim)
        print(f"{trial.now:6.0f} s, {trial.fired:,} events, {trial.lost:,} lost, {time.monotonic() - began:.0f} s")
        for view in between:
            print(f"    {view:14} wrong before {told(between[view])}, after {told(after[view])}", flush=True)
    assert asked == SECONDS / SNAPSHOTS
    assert trial.lost > 0.9 * LOSS * trial.fired


def told(wrong: Wrong) -> str:
    """How many rows of how many."""
    return f"{len(wrong.keys):,} of {wrong.of:,}"
