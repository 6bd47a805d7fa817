"""``switchcast trace`` as its users run it: keys, sources, the list of calls, forms of output, and mistakes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from audit_samples import CAPTURE
from command_line import Ended, switchcast
from two_node_call import two_node_call

from switchcast.archive.writing import ArchiveWriter
from switchcast.wire.lines import to_line

PROGRAM = [sys.executable, "-c", "from switchcast.app.cli import main; main()", "trace"]


def trace(*words: str, columns: int = 100) -> Ended:
    return switchcast("trace", *words, columns=columns)


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("calls") / "two.jsonl"
    file.write_text("".join(f"{to_line(event)}\n" for event in two_node_call()), encoding="utf-8")
    return f"file:{file}"


def test_a_call_across_two_nodes_as_a_ladder(two_nodes: str) -> None:
    done = trace("1002", "--from", two_nodes)
    assert done.returncode == 0, done.stderr
    sentence = done.stdout.partition("2026-11-23")[0].replace("\n", " ")
    assert sentence.startswith("1001 called 2000 over fs1 and fs2 at 12:00:00; answered by 1000 after 2.1 s; ")
    assert done.stdout.isascii(), "what is piped is ASCII"
    assert "C   is transferred to 1002 (blind)" in done.stdout
    unicode = trace("1002", "--from", two_nodes, "--unicode").stdout
    assert "┣━━━━━┫" in unicode


def test_several_calls_are_listed_and_one_can_be_picked() -> None:
    done = trace("1000", "--from", CAPTURE)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "id",
        "c742060e",
        "34239e9b",
        "172f2f1b",
        "1bc4ee65",
    ]
    assert "4 calls match 1000: name one by its id, as 'switchcast trace c742060e', or take the newest" in done.stderr
    assert "up for 0.82 s" in trace("1000", "--from", CAPTURE, "--last").stdout
    assert "1000 refused: USER_BUSY" in trace("34239e9b", "--from", CAPTURE).stdout


def test_json(two_nodes: str) -> None:
    whole = json.loads(trace("1000", "--from", CAPTURE, "--json").stdout)
    assert (whole["key"], len(whole["calls"]), whole["cut"], whole["notes"]) == ("1000", 4, [], [])
    (only,) = json.loads(trace("1000", "--from", CAPTURE, "--json", "--last").stdout)["calls"]
    assert only["id"].startswith("c742060e")
    (story,) = json.loads(trace("2000", "--from", two_nodes, "--json").stdout)["calls"]
    assert story["nodes"] == ["fs1", "fs2"]
    assert [leg["letter"] for leg in story["legs"]] == list("ABCDE")
    nothing = trace("no-such", "--from", CAPTURE, "--json")
    assert nothing.returncode == 1
    assert json.loads(nothing.stdout)["calls"] == []


def test_digits_are_shown_only_when_asked_for(two_nodes: str, tmp_path: Path) -> None:
    assert "DTMF *" in trace("1002", "--from", two_nodes).stdout
    assert "DTMF 7" in trace("1002", "--from", two_nodes, "--reveal").stdout
    page = tmp_path / "call.html"
    assert trace("1002", "--from", two_nodes, "--reveal", "--html", str(page)).returncode == 0
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "DTMF 7" in page.read_text(encoding="utf-8")


def test_a_page(two_nodes: str, tmp_path: Path) -> None:
    page = tmp_path / "call.html"
    done = trace("1002", "--from", two_nodes, "--html", str(page))
    assert done.returncode == 0
    assert f"trace written to {page}" in done.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    printed = trace("1002", "--from", two_nodes, "--html", "-")
    assert printed.stdout.startswith("<!doctype html>")
    several = trace("1000", "--from", CAPTURE, "--html", str(tmp_path / "several.html"))
    assert several.returncode == 1
    assert not (tmp_path / "several.html").exists()


def test_an_archive(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "history") as writer:
        writer.write(list(two_node_call()))
        writer.commit()
    history = str(tmp_path / "history")
    done = trace("1002", "--archive", history)
    assert done.returncode == 0, done.stderr
    assert "over fs1 and fs2" in done.stdout
    assert trace("1002", "--archive", history, "--until", "2026-11-22").returncode == 1
    assert trace("1002", "--archive", history, "--since", "2026-11-23").returncode == 0
    for named in (("--archive", f"archive:{history}"), ("--from", f"archive:{history}")):
        assert trace("1002", *named, "--since", "2026-11-23").stdout == done.stdout
    assert trace("1002", "--from", f"archive:{history}?until=2026-11-22").returncode == 1


def test_a_simulated_cluster() -> None:
    done = trace("1001", "--last", "--from", "sim://?nodes=2&cps=4&seed=3&speed=0&for=30s", "--all")
    assert done.returncode == 0, done.stderr
    assert "codec hears" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("5559", "--from", CAPTURE), 1, "no call with 5559 in file:"),
        (("1000",), 78, "or say where to look with --from"),
        (("1000", "--archive", "/no/such"), 69, "/no/such"),
        (("1000", "--from", "file:/no/such.pcap"), 69, "/no/such.pcap"),
        (("1000", "--from", "nonsense:"), 2, "nonsense"),
        (("1000", "--from", CAPTURE, "--archive", "x"), 2, "two places to look"),
        (("1000", "--from", CAPTURE, "--since", "2h"), 2, "--since and --until are for archives"),
        (("1000", "--archive", "x", "--for", "2s"), 2, "--for is how long to listen"),
        (("1000", "--from", CAPTURE, "--for", "soon"), 2, "is no length of time"),
        (("1000", "--archive", "x", "--since", "soon"), 2, "--since 'soon'"),
        (("1000", "--from", CAPTURE, "--html", "/no/such/page.html"), 69, "there is no directory"),
        (("1000", "--from", CAPTURE, "--html", "-", "--json"), 2, "would both be printed"),
        (("1000", "--archive", "x", "--since", "09:00", "--until", "08:00"), 2, "--since 09:00 is not before"),
        (("", "--from", CAPTURE), 2, "KEY is empty"),
        ((), 2, "KEY"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: tuple[str, ...], code: int, told: str) -> None:
    done = trace(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_a_key_from_a_terminal_is_shown_safely() -> None:
    done = trace("\x1b[2J", "--from", CAPTURE)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr


def test_whoever_reads_may_leave_early(two_nodes: str) -> None:
    process = subprocess.Popen([*PROGRAM, "1002", "--from", two_nodes], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    assert process.returncode in {0, 141}
