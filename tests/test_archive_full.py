"""A disk that gets full: an alarm, the line goes on, and the archive says afterwards what it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCENARIO = Path(__file__).with_name("archive_disk_full.py")


def test_a_full_disk_costs_the_line_nothing_and_the_archive_a_gap_record(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "mount namespaces need root: run the tests as root"
    ran = subprocess.run(
        ["unshare", "--mount", sys.executable, SCENARIO, tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
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
