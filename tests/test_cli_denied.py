"""What may not be read or written: one line that names it, and the exit code that says so, whatever the command."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from archiving import as_nobody
from command_line import switchcast
from recordings import DATA

CAPTURE = f"file:{DATA / 'stock-plain.pcap.gz'}"


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """Python loads its threads when they are first needed, and an ordinary user may not reach where it is."""
    ThreadPoolExecutor().shutdown()


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        (["config", "check", "secret"], (78, "secret: cannot be read")),
        (["run", "secret"], (78, "secret: cannot be read")),
        (["config", "convert", "secret"], (78, "secret: cannot be read")),
        (["rules", "list", "secret"], (78, "secret: cannot be read")),
        (["query", "--config", "secret"], (78, "secret: cannot be read")),
        (["tail", "file:secret"], (77, "file:secret: permission denied")),
        (["send", "-", "TRAP", "--body", "@secret"], (77, "--body @secret: Permission denied")),
        (["pipe", CAPTURE, "file:closed/a.jsonl"], (77, "file:closed/a.jsonl: permission denied")),
        (["pipe", CAPTURE, "archive:closed/a"], (77, "closed/a: permission denied")),
        (["trace", "172f2f1b", "--from", CAPTURE, "--html", "closed/a.html"], (77, "a.html: Permission denied")),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_what_is_denied(
    arguments: list[str],
    outcome: tuple[int, str],
    open_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(open_folder)
    Path("secret").touch(mode=0)
    Path("closed").mkdir(mode=0)
    with as_nobody():
        ended = switchcast(*arguments)
    assert (ended.returncode, outcome[1] in ended.stderr) == (outcome[0], True), ended.stderr
    assert "[Errno" not in ended.stderr
    assert ended.stderr.count("\n") == 1
