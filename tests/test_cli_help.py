"""What the command line shows whatever the command: version, help, and text in encodings that lack some of it."""

from __future__ import annotations

import re
import subprocess

import pytest
from command_line import switchcast as typed
from test_cli import CAPTURE, ENVIRONMENT, PATIENCE, SWITCHCAST, lines_of, switchcast


def test_version_and_help() -> None:
    assert re.fullmatch(r"switchcast \d+\.\d+\.\d+\S*\n", switchcast("--version").stdout)
    for command in ([], ["tail"], ["pipe"], ["run"], ["send"], ["archive"], ["config"], ["key"], ["rules"]):
        shown = switchcast(*command, "--help")
        assert shown.returncode == 0
        assert shown.stdout.startswith("Usage: switchcast")
        assert max(map(len, lines_of(shown.stdout))) <= 80
        assert "..." not in shown.stdout.partition("Commands:")[2], "no summary is cut short"


def test_the_usage_line_names_arguments_as_unix_does() -> None:
    usage = {name: lines_of(switchcast(name, "--help").stdout)[0] for name in ("pipe", "run")}
    assert usage["pipe"] == "Usage: switchcast pipe [OPTIONS] SOURCE SINK..."
    assert usage["run"] == "Usage: switchcast run [OPTIONS] [FILE]"
    assert "<" not in switchcast("pipe", "--help").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tail", "-v", CAPTURE], "-v goes in front of the command: switchcast -v tail (see"),
        (["rules", "log", "--log-format", "json"], "switchcast --log-format rules log (see"),
        (["tail", "--wher", "x", CAPTURE], "No such option: --wher (Possible options: --help, --where) (see"),
    ],
)
def test_an_option_in_the_wrong_place_is_told_where_it_goes(words: list[str], told: str) -> None:
    refused = typed(*words)
    assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr


def test_nothing_asked_for_shows_the_help() -> None:
    shown = switchcast()
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("Usage: switchcast [OPTIONS] COMMAND")
    assert "Commands:" in shown.stderr
    assert switchcast("key").stderr.startswith("Usage: switchcast key")


@pytest.mark.parametrize(
    ("command", "spelled"),
    [
        (["tail", CAPTURE, "--bindings", "CUSTOM sofia::register"], "1000@127.0.0.1 -> 1000@127.0.0.1:5090"),
        (["calls", CAPTURE, "--legs", "--for", "20s"], "` Extension 1001"),
        (["trace", "172f2f1b", "--from", CAPTURE, "--unicode"], "A-B bridged"),
        (["stats", CAPTURE], "lost <="),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_an_encoding_that_lacks_a_character_gets_a_near_one(command: list[str], spelled: str) -> None:
    narrow = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([SWITCHCAST, *command], capture_output=True, timeout=PATIENCE, env=narrow, check=False)
    assert shown.returncode == 0, shown.stderr
    assert spelled in shown.stdout.decode("ascii")
