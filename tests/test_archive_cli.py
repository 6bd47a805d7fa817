"""``switchcast archive`` as a user sees it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from archiving import numbered, write
from command_line import switchcast

COUNT = 1_000


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli") / "history"
    write(directory, [numbered(number) for number in range(COUNT)])
    return directory


def test_stats_checks_and_repairs(archive: Path, tmp_path: Path) -> None:
    directory = tmp_path / "history"
    shutil.copytree(archive, directory)
    shown = switchcast("archive", "stats", directory)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "2026-11-01-0000" in shown.stdout
    assert "1,000 events in" in shown.stdout
    assert all(len(line) <= 80 and "…" not in line for line in shown.stdout.splitlines())
    told = json.loads(switchcast("archive", "stats", "--json", directory).stdout)
    assert (told["events"], told["segments"][0]["name"]) == (COUNT, "2026-11-01-0000")

    checked = switchcast("archive", "check", directory)
    assert (checked.returncode, checked.stdout) == (0, "2026-11-01-0000: sound, 1,000 events in 4 blocks\n")
    assert switchcast("archive", "repair", directory).stdout == "nothing is damaged\n"

    path = directory / "2026-11-01-0000.sqlite"
    path.write_bytes(bytes(100) + path.read_bytes()[100:])
    checked = switchcast("archive", "check", directory)
    assert checked.returncode == 1
    assert checked.stdout.startswith("2026-11-01-0000: damaged\n")
    assert f"switchcast archive repair {directory}" in checked.stdout
    assert json.loads(switchcast("archive", "check", "--json", directory).stdout)["faults"]
    assert "damaged" in switchcast("archive", "stats", directory).stdout
    repaired = switchcast("archive", "repair", directory)
    assert repaired.returncode == 0
    assert repaired.stdout.startswith("2026-11-01-0000: 1,000 events saved, none known to be missing\n")
    assert switchcast("archive", "check", directory).returncode == 0


def test_an_archive_is_named_as_everywhere(archive: Path) -> None:
    for verb in ("stats", "check"):
        assert switchcast("archive", verb, f"archive:{archive}").returncode == 0


def test_an_archive_that_holds_nothing_yet(tmp_path: Path) -> None:
    checked = switchcast("archive", "check", tmp_path)
    assert (checked.returncode, checked.stdout) == (0, f"{tmp_path}: holds no events yet\n")


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    for verb in ("stats", "check", "repair"):
        refused = switchcast("archive", verb, tmp_path)
        assert refused.returncode == 78
        assert "other files" in refused.stderr
        assert refused.stderr.count("\n") == 1
        refused = switchcast("archive", verb, tmp_path / "letter.txt")
        assert refused.returncode == 78
        assert "is a file; an archive is a directory" in refused.stderr
    missing = switchcast("archive", "stats", tmp_path / "nothing")
    assert (missing.returncode, missing.stderr) == (69, f"switchcast: {tmp_path}/nothing: no such directory\n")
    empty = switchcast("archive", "repair", tmp_path / "nothing")
    assert empty.returncode == 69
    assert not (tmp_path / "nothing").exists(), "nothing is made by looking for it"
