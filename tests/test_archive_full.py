"""A disk that gets full: an alarm, the line goes on, and the archive says afterwards what it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCENARIO = Path(__file__).with_name("archive_disk_full.py")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the scenario tells, which has run in a mount namespace."""
    assert os.geteuid() == 0, "mount namespaces need root: run the tests as root"
    ran = subprocess.run(
        ["unshare", "--mount", sys.executable, SCENARIO, tmp_path_factory.mktemp("disk")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_a_full_disk_costs_the_line_nothing_and_the_archive_a_gap_record(told: Any) -> None:
    sent, archived, gaps, counters = told["sent"], told["archived"], told["gaps"], told["counters"]
    assert told["other"] == list(range(sent)), "the other sink has lost nothing"
    missing = sorted(set(range(sent)) - set(archived))
    assert archived == [number for number in range(sent) if number not in missing], "in order, none twice"
    assert missing, "there was no room for some"
    assert missing[0] >= 500, "what was written before stays"
    assert set(missing).isdisjoint(range(sent - 100, sent)), "and it goes on afterwards"
    assert sum(int(gap["Gap-Events"]) for gap in gaps) == len(missing) == counters["dropped_overflow"]
    assert {gap["Gap-Place"] for gap in gaps} == {"archive"}
    assert "database or disk is full" in told["reason"], "as health and status tell it"
    assert counters["failures"] > 0
    assert counters["write_outages"] >= 1
    assert counters["outages"] >= 1
    assert counters["lost"] == 0
    assert {"archive_not_written", "sink_down", "archive_written_again", "sink_up"} <= set(told["logs"])
    assert all(0 < int(gap["Gap-Since"]) <= int(gap["Gap-Until"]) for gap in gaps)


def test_closed_while_the_disk_is_full_it_says_what_is_lost(told: Any) -> None:
    closed = told["closed"]
    counters, archived = closed["counters"], closed["archived"]
    assert archived == list(range(counters["committed"])), "what was committed is there, and no more"
    assert counters["committed"] + counters["lost"] == closed["sent"]
    assert counters["lost"] > 0
    assert "database or disk is full" in closed["error"]
    assert "archive_events_lost" in closed["logs"]
