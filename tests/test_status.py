"""``switchcast status``: what is wrong is said first and in words, nothing is cut off, and the exit code tells it."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from answering import SWITCHCAST, answering, environment, switchcast
from sockets import PATIENCE
from terminals import shown_until

from switchcast.app.cli.status_view import find_problems
from switchcast.app.status import RECENT_SECONDS, History, NodeRow, Status, Warned, make_status
from switchcast.line.state import State
from switchcast.views.peers import PeerRow

WALL = time.time()
NODE: NodeRow = {
    "name": "fs1.example.com",
    "version": "0.1.0",
    "pid": 812,
    "phase": "running",
    "uptime": 273_012.0,
    "configuration": "/etc/switchcast/switchcast.toml",
}
COUNTERS = {
    "sources": {
        "switch": {"received": 11_234_567, "refused": 0},
        "group": {"received": 33_234_567, "refused": 4, "endpoint_received_rejected_no_trailer": 8},
    },
    "routes": {"to-cluster": {"passed": 1_322_222, "withheld": 1_234, "unmatched": 9_912_345, "refused": 0}},
    "sinks": {
        "group": {"sent": 1_322_222, "queued": 0, "dropped_overflow": 0},
        "archive": {"sent": 1_201_223, "queued": 12, "dropped_overflow": 0},
    },
    "rules": {"new-voicemail": {"matched": 1_000, "fired": 900, "refused_rate": 100, "done": 899, "failed": 0}},
    "peers": {"peers": {"heartbeats": 40, "refused_full": 0}},
}


def peer(name: str, address: str, state: str = "up", also: list[str] | None = None, core: str = "") -> PeerRow:
    return {
        "name": name,
        "address": address,
        "core": core,
        "state": state,  # type: ignore[typeddict-item]
        "last_seen": WALL - 12,
        "seconds_ago": 12.0,
        "in_state": 392.0,
        "heartbeats": 20,
        "downs": 0,
        "also": also or [],
    }


def healthy() -> Status:
    """A node with nothing wrong, whose counters have long stood still."""
    history = History()
    history.note(0.0, COUNTERS)
    up = State("up", "", time.time() - 7_210)
    return make_status(
        NODE.copy(),
        COUNTERS,
        {"sources": dict.fromkeys(COUNTERS["sources"], up), "sinks": dict.fromkeys(COUNTERS["sinks"], up)},
        history,
        RECENT_SECONDS,
        limits={"group": 16_384, "archive": 16_384},
        keys={kind: {"group": ("3f9a01c2", "77aa01bc")} for kind in ("sources", "sinks")},
        peers=[peer("fs2.example.com", "192.0.2.3"), peer("fs3.example.com", "2001:db8::53:7")],
    )


def asked(tmp_path: Path, status: object, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    """What the program says of a node with this status."""
    socket = tmp_path / "control.sock"
    with answering(socket, {"status": status}):
        return switchcast("status", *arguments, socket=socket, columns=columns)


# What it shows


def test_all_is_well(tmp_path: Path) -> None:
    shown = asked(tmp_path, healthy())
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert re.fullmatch(r"fs1\.example\.com  running 3d03h  switchcast 0\.1\.0  pid 812", lines[0])
    assert lines[2] == "all is well"
    headings = [line.split()[0] for before, line in itertools.pairwise(lines) if not before]
    assert headings == ["sources", "routes", "sinks", "rules", "keys", "peers"]
    assert re.search(r"^group +3f9a01c2 +77aa01bc$", shown.stdout, re.MULTILINE)
    assert re.search(r"^group +up 2h00m +0\.0 +33,234,567 +12 +0$", shown.stdout, re.MULTILINE)
    assert re.search(r"^archive +up 2h00m +12/16,384 +0\.0 +1,201,223 +0$", shown.stdout, re.MULTILINE)
    assert re.search(r"^new-voicemail +1,000 +900 +100 +899 +0$", shown.stdout, re.MULTILINE)
    assert re.search(r"^fs3\.example\.com +up 6m32s +12s ago +2001:db8::53:7$", shown.stdout, re.MULTILINE)


def set_state(status: Status, kind: str, index: int, state: str, why: str = "") -> None:
    rows: list[dict[str, Any]] = status[kind]  # type: ignore[literal-required]
    rows[index] |= {"state": state, "why": why, "since": WALL - 185}


def set_recent(status: Status, kind: str, index: int, **counts: int) -> None:
    rows: list[dict[str, Any]] = status[kind]  # type: ignore[literal-required]
    rows[index]["recent"] |= counts


def set_phase(status: Status, phase: str) -> None:
    status["node"]["phase"] = phase


def set_queue(status: Status, queued: int) -> None:
    status["sinks"][1]["counters"]["queued"] = queued


PROBLEMS: list[tuple[Callable[[Status], object], str]] = [
    (
        lambda status: set_state(status, "sinks", 1, "down", "file:x: No space left on device"),
        r"sink archive has been down for 3m\d\ds: file:x: No space left on device",
    ),
    (lambda status: set_state(status, "sources", 0, "failed", "-ERR invalid"), r"source switch failed for good 3m"),
    (
        lambda status: set_recent(status, "sources", 1, endpoint_received_kernel_drops=12),
        "source group: 12 dropped by the kernel, whose receive buffer was full in the last 5 minutes",
    ),
    (
        lambda status: set_recent(status, "sources", 1, endpoint_received_ring_overflow=3),
        "source group: 3 dropped because this program was too slow in the last 5 minutes",
    ),
    (
        lambda status: set_recent(status, "sinks", 1, dropped_overflow=1_201),
        "sink archive: 1,201 dropped because a queue was full in the last 5 minutes",
    ),
    (lambda status: set_queue(status, 14_000), "sink archive: its queue holds 14,000 of at most 16,384 events"),
    (lambda status: set_recent(status, "routes", 0, faulty=2), "route to-cluster: its policy failed on 2 events"),
    (
        lambda status: set_recent(status, "rules", 0, failed=3, refused_queue_full=7),
        "rule new-voicemail: 3 failed, 7 were refused by a full queue in the last 5 minutes",
    ),
    (
        lambda status: status["peers"].append(peer("fs4", "192.0.2.5", "down")),
        "peer fs4 is down: last heard 12s ago",
    ),
    (
        lambda status: status["peers"].append(peer("fs2.example.com", "198.51.100.9", "rival", ["192.0.2.3"])),
        r"198\.51\.100\.9 sends heartbeats as fs2\.example\.com, a name that 192\.0\.2\.3 holds: .* or a forgery",
    ),
    (
        lambda status: status["peer_counters"]["recent"].update(refused_full=4, refused_address=5),
        "9 heartbeats under new names were refused in the last 5 minutes: no room for more peers",
    ),
    (lambda status: set_phase(status, "stopping"), "the node is stopping"),
    (lambda status: status["problems"].append("the last reload was refused"), "the last reload was refused"),
]


@pytest.mark.parametrize(("break_it", "sentence"), PROBLEMS, ids=range(len(PROBLEMS)))
def test_each_thing_that_is_wrong_is_said_in_words(break_it: Callable[[Status], object], sentence: str) -> None:
    status = healthy()
    assert find_problems(status, WALL) == []
    break_it(status)
    (problem,) = find_problems(status, WALL)
    assert re.match(sentence, problem)


def test_what_is_wrong_stands_first(tmp_path: Path) -> None:
    shown = asked(tmp_path, in_trouble(), columns=200)
    assert shown.returncode == 1
    lines = shown.stdout.splitlines()
    assert [line[0] for line in lines[2 : 2 + len(PROBLEMS)]] == ["✗"] * len(PROBLEMS)
    assert lines[2 + len(PROBLEMS)] == ""
    assert "all is well" not in shown.stdout


@pytest.mark.parametrize(
    "recent",
    [
        {"received": 100, "refused": 9, "duplicates": 3, "endpoint_received_rejected_wrong_key": 5},
        {"endpoint_received_unmatched": 7, "endpoint_received_condition_errors": 7, "outages": 1},
        {"sent": 5, "guarded": 3, "gaps": 1, "delivered": 5, "offered": 5},
        {"refused_rate": 100, "matched": 5, "fired": 2, "debounced": 3},
    ],
)
def test_what_is_kept_out_on_purpose_is_no_problem(recent: dict[str, int]) -> None:
    status = healthy()
    for kind in ("sources", "sinks", "rules"):
        set_recent(status, kind, 0, **recent)
    assert find_problems(status, WALL) == []


@pytest.mark.parametrize(
    ("address", "core", "wrong"),
    [
        ("2001:db8::3", "774efe72", 0),
        ("2001:db8::3", "c0ffee00", 1),
        ("192.0.2.99", "774efe72", 1),
        ("192.0.2.99", "", 1),
    ],
)
def test_a_switch_may_send_over_ipv4_and_ipv6(address: str, core: str, wrong: int) -> None:
    status = healthy()
    status["peers"] = [peer("fs2", "192.0.2.3", core="774efe72"), peer("fs2", address, "rival", core=core)]
    assert len(find_problems(status, WALL)) == wrong


def test_the_last_warnings_are_shown(tmp_path: Path) -> None:
    status = healthy()
    status["warnings"] = [Warned(at=1_795_404_687.0 + number, text=f"warning {number}") for number in range(9)]
    shown = asked(tmp_path, status)
    assert shown.returncode == 0
    assert shown.stdout.endswith("last warnings\n" + "".join(f"03:31:{31 + n}  warning {4 + n}\n" for n in range(5)))


def in_trouble() -> Status:
    """Everything that can be wrong, at once."""
    status = healthy()
    for break_it, _ in PROBLEMS:
        break_it(status)
    status["sinks"][1]["counters"] |= {"dropped_overflow": 12_201, "dropped_failed": 3}
    return status


@pytest.mark.parametrize("columns", [40, 80])
def test_nothing_is_cut_off_on_any_terminal(tmp_path: Path, columns: int) -> None:
    status = in_trouble()
    shown = asked(tmp_path, status, columns=columns)
    assert max(map(len, shown.stdout.splitlines())) <= columns
    text = " ".join(shown.stdout.split())
    for figure in (
        "33,234,567",
        "1,322,222",
        "9,912,345",
        "14,000/16,384",
        "12,201 overflow",
        "3 failed",
        "3f9a01c2",
        "77aa01bc",
        "2001:db8::53:7",
    ):
        assert figure in text
    assert "…" not in text
    for name in (
        "fs1.example.com",
        "to-cluster",
        "new-voicemail",
        "fs3.example.com",
        "/etc/switchcast/switchcast.toml",
    ):
        assert name in text


def test_names_from_the_network_cannot_reach_the_terminal(tmp_path: Path) -> None:
    status = healthy()
    status["peers"] = [
        peer("\x1b]0;evil\x07\nfs2", "192.0.2.3\x1b[2J", "down"),
        peer("[bold]fs3[/bold]", "\x9b1m"),
        peer("[bold]fs3[/bold]", "192.0.2.4", "rival", ["\x9b1m"]),
    ]
    status["warnings"] = [Warned(at=WALL, text="\x1b[2J")]
    shown = asked(tmp_path, status, columns=200)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown.stdout)
    assert "[bold]fs3[/bold]" in shown.stdout
    assert "\\x1b]0;evil\\x07\\nfs2" in shown.stdout


def test_json_is_the_nodes_answer_and_the_problems(tmp_path: Path) -> None:
    status = in_trouble()
    shown = asked(tmp_path, status, "--json")
    assert shown.returncode == 1
    assert shown.stdout.count("\n") == 1
    reply = json.loads(shown.stdout)
    assert len(reply["problems"]) == len(PROBLEMS)
    assert reply | {"problems": status["problems"]} == json.loads(json.dumps(status))
    well = asked(tmp_path, healthy(), "--json")
    assert (well.returncode, json.loads(well.stdout)["problems"]) == (0, [])


# When there is nobody to ask


def test_no_node(tmp_path: Path) -> None:
    shown = switchcast("status", "--socket", str(tmp_path / "other.sock"), socket=tmp_path / "control.sock")
    assert (shown.returncode, shown.stdout) == (69, "")
    assert shown.stderr.startswith(
        f"switchcast: no node runs here: nothing listens at {tmp_path}/other.sock; start one"
    )
    assert shown.stderr.count("\n") == 1


def test_an_older_node(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    with answering(socket, {"peers": {}}):
        shown = switchcast("status", socket=socket)
    assert shown.returncode == 69
    assert "does not know 'status'; restart it" in shown.stderr


def test_an_interval_is_for_watching(tmp_path: Path) -> None:
    shown = switchcast("status", "--interval", "1s", socket=tmp_path / "control.sock")
    assert (shown.returncode, shown.stderr.count("\n")) == (2, 1)


def test_a_reader_that_has_gone_is_no_error(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with answering(socket, {"status": healthy()}):
            ended = subprocess.run(
                [SWITCHCAST, "status"],
                stdout=writer,
                stderr=subprocess.PIPE,
                env=environment(socket),
                timeout=PATIENCE,
                check=False,
            )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, b"")


# Watching


def test_watching_prints_a_line_of_json_again_and_again(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    with answering(socket, {"status": healthy()}):
        running = subprocess.Popen(
            [SWITCHCAST, "status", "--watch", "--json", "--interval", "10ms"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(socket),
        )
        with running:
            assert running.stdout is not None
            lines = [running.stdout.readline() for _ in range(3)]
            running.send_signal(signal.SIGINT)
            _, complaint = running.communicate(timeout=PATIENCE)
    assert [json.loads(line)["node"]["name"] for line in lines] == ["fs1.example.com"] * 3
    assert (running.returncode, complaint) == (130, "")


def test_watching_on_a_terminal_outlives_the_node(tmp_path: Path) -> None:
    socket = tmp_path / "control.sock"
    controller, terminal = pty.openpty()
    try:
        with answering(socket, {"status": healthy()}):
            running = subprocess.Popen(
                [SWITCHCAST, "status", "--watch", "--interval", "20ms"],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=environment(socket) | {"LINES": "50"},
            )
            shown_until(controller, "all is well")
        shown_until(controller, "no node runs here")
        with answering(socket, {"status": in_trouble()}):
            shown_until(controller, "the node is stopping")
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 130
    finally:
        os.close(controller)
        os.close(terminal)
