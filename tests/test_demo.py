"""The demo: three switches, three nodes, real multicast on loopback, and sums that agree."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from ports import free_port

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")
PATIENCE = 120.0


def rows(output: str) -> dict[str, list[int]]:
    """The summary's figures by switch: fired, sent, received, lost."""
    found = re.findall(r"^(fs\d|total) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)", output, re.MULTILINE)
    return {name: [int(figure.replace(",", "")) for figure in figures] for name, *figures in found}


def assert_whole(output: str) -> None:
    figures = rows(output)
    assert set(figures) == {"fs1", "fs2", "fs3", "total"}
    for fired, sent, received, lost in figures.values():
        assert fired == sent == received > 0
        assert lost == 0
    assert figures["total"] == [sum(figures[f"fs{number}"][column] for number in (1, 2, 3)) for column in range(4)]
    assert "everything that was sent was received" in output


def test_everything_that_was_sent_is_received() -> None:
    shown = subprocess.run(
        [SWITCHCAST, "demo", "--for", "3s", "--port", str(free_port()), "--cps", "20", "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stderr == ""
    assert_whole(shown.stdout)


def test_ctrl_c_ends_it_with_the_summary() -> None:
    running = subprocess.Popen(
        [SWITCHCAST, "demo", "--seed", "1", "--port", str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for _ in range(2):
        assert "heard from fs1" in running.stdout.readline()
    running.send_signal(signal.SIGINT)
    output, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, output + errors
    assert errors == ""
    assert_whole(output)
