"""``switchcast query`` as a user meets it: forms, files, mistakes, signals, a terminal."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from answering import SWITCHCAST, environment
from archiving import NOON, SECOND, as_nobody, numbered, write
from command_line import Ended, switchcast
from querying import FOR_EVER, archived, recorded, search
from sockets import PATIENCE

from switchcast._native import Event
from switchcast.archive.segment import open_writing, segment_path
from switchcast.archive.sql import Sql
from switchcast.wire.lines import from_line

SUM = re.compile(r"(\d[\d,]*) (?:events?|rows?), of ([\d,]+) events? read, in [\d.]+ s")

CONFIGURATION = """
[endpoints.cluster]
url = "sim://"
[endpoints.history]
url = "{}"
[[route]]
from = "cluster"
to = ["history"]
"""


@pytest.fixture(scope="module")
def events(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    return recorded(plain_datagrams)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, events: list[Event]) -> Path:
    directory = archived(tmp_path_factory.mktemp("cli") / "history", events)
    with Sql(search(directory), "SELECT count(*) FROM events") as asked:  # Arrow and DuckDB have threads that stay
        answer = asked.run()
        answer.read_all()
        answer.close()
    return directory


def query(*words: str | Path) -> Ended:
    return switchcast("query", *words)


def test_events_one_a_line_with_the_day(archive: Path) -> None:
    shown = query(archive, "--number", "1001", "--bindings", "CHANNEL_ANSWER", "-n", "2")
    assert shown.returncode == 0
    lines = shown.stdout.splitlines()
    assert len(lines) == 2
    assert all(re.match(r"2026-11-23 \d\d:\d\d:\d\d\.\d{3} vm  CHANNEL_ANSWER ", line) for line in lines)
    assert SUM.match(shown.stderr)


def test_json_is_the_very_events(archive: Path, events: list[Event]) -> None:
    shown = query(archive, "--format", "json")
    assert [from_line(line) for line in shown.stdout.splitlines()] == events
    newest = query(f"archive:{archive}", "--format", "json", "--newest", "-n", "3")
    assert [from_line(line) for line in newest.stdout.splitlines()] == events[:-4:-1]


def test_csv_of_chosen_columns(archive: Path, events: list[Event]) -> None:
    shown = query(archive, "--format", "csv", "--fields", "name, Core-UUID,body", "--since", "2026-11-23T03:31:20Z")
    rows = list(csv.reader(shown.stdout.splitlines(keepends=True)))
    assert rows[0] == ["name", "Core-UUID", "body"]
    since = 1_795_404_680 * SECOND
    assert [row[0] for row in rows[1:]] == [event.name for event in events if (event.received or 0) >= since]


def test_sql_and_its_forms(archive: Path, events: list[Event]) -> None:
    sql = "SELECT name, count(*) AS n FROM events GROUP BY name ORDER BY n DESC, name"
    table = query(archive, "--sql", sql, "--limit", "1").stdout.splitlines()
    assert [line.split() for line in table] == [["name", "n"], ["CHANNEL_STATE", "364"]]
    rows = [json.loads(line) for line in query(archive, "--sql", sql, "--format", "json").stdout.splitlines()]
    assert sum(row["n"] for row in rows) == len(events)
    assert list(rows[0]) == ["name", "n"]
    as_csv = query(archive, "--sql", sql, "--format", "csv").stdout.splitlines()
    assert as_csv[:2] == ["name,n", "CHANNEL_STATE,364"]


def test_a_file_is_whole_or_not_there(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = query(archive, "-o", "out.csv", "-n", "2")
    assert (written.returncode, written.stdout) == (0, "")
    assert written.stderr.rstrip().endswith("in out.csv")
    first = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert first.startswith("time,node,name,")
    again = query(archive, "-o", "out.csv")
    assert (again.returncode, "add --force" in again.stderr) == (2, True)
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == first
    broken = query(archive, "-o", "out.csv", "--force", "--sql", "SELECT name::INTEGER FROM events")
    assert broken.returncode == 2
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == first
    assert query(archive, "-o", "out.csv", "--force", "-n", "3").returncode == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith(first)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert (tmp_path / "out.csv").stat().st_mode & 0o007 == 0


def test_parquet_of_events_and_of_sql(
    archive: Path, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, expected in (
        (("-o", "all.parquet"), f"{len(events)} ['position', 'time', 'node', "),
        (("-o", "some.parquet", "--fields", "time,Core-UUID"), f"{len(events)} ['time', 'Core-UUID']"),
        (("-o", "sql.parquet", "--sql", "SELECT name, headers FROM events LIMIT 7"), "7 ['name', 'headers']"),
    ):
        assert query(archive, *arguments).returncode == 0
        with duckdb.connect() as other:
            read = other.sql(f"SELECT * FROM '{tmp_path / arguments[1]}'")  # noqa: S608
            assert f"{read.shape[0]} {read.columns}".startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{none}"], (69, "no such directory")),
        (["{folder}"], (78, "is no archive, but holds other files")),
        (["{folder}/notes.txt"], (78, "is a file; an archive is a directory")),
        ([], (78, "no archive is named, and there is no configuration")),
        (["--config", "{folder}/none.toml"], (78, "no such file")),
        (["--config", "{folder}/without.toml"], (78, "has no archive: endpoint")),
        (["{archive}", "--since", "25:00"], (2, "--since '25:00' is no point in time; write 2026-11-23")),
        (["{archive}", "--since", "1h", "--until", "2h"], (2, "--since 1h is not before --until 2h")),
        (["{archive}", "--where", "name = 'x'"], (2, "--where: column 6")),
        (["{archive}", "--number", ""], (2, "--number is empty")),
        (["{archive}", "--format", "xml"], (2, "'xml' is none of table, json, csv, parquet")),
        (["{archive}", "--fields", ","], (2, "no column is named")),
        (["{archive}", "--fields", "a,a"], (2, "'a' is named twice")),
        (["{archive}", "--sql", "SELECT 1", "--newest"], (2, "ORDER BY time DESC")),
        (["{archive}", "--sql", "SELECT\n nam FROM events"], (2, "LINE 2:  nam FROM events\n         ^^^")),
        (["{archive}", "--output", "{none}/x.csv"], (69, "No such file or directory")),
        (["{archive}", "--output", "{folder}"], (2, "is a directory; name a file in it")),
        (["archive:{archive}?keep=1d"], (2, "options do not count here")),
    ],
)
def test_mistakes(archive: Path, tmp_path: Path, arguments: list[str], expected: tuple[int, str]) -> None:
    (tmp_path / "notes.txt").touch()
    (tmp_path / "without.toml").write_text(CONFIGURATION.format("file:b.jsonl"), encoding="utf-8")
    places = {"none": tmp_path / "none", "folder": tmp_path, "archive": archive}
    ended = query(*(argument.format(**places) for argument in arguments))
    assert (ended.returncode, ended.stdout, expected[1] in ended.stderr) == (expected[0], "", True), ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_id_as_tables_show_it_is_told_of(archive: Path) -> None:
    ended = query(archive, "--call", "0123abcd")
    assert ended.returncode == 0
    assert "--call takes a whole id" in ended.stderr
    assert "switchcast trace 0123abcd" in ended.stderr
    assert "takes a whole id" not in query(archive, "--call", "a84b4c76e66710@192.0.2.9").stderr


def test_the_archive_of_the_configuration(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(CONFIGURATION.format(f"archive:{archive}"), encoding="utf-8")
    assert len(query("--config", tmp_path / "node.toml", "-n", "4").stdout.splitlines()) == 4


def test_permission(open_folder: Path) -> None:
    write(open_folder / "a", [numbered(0)], settings=FOR_EVER)
    (open_folder / "a").chmod(0)
    with as_nobody():
        ended = query(open_folder / "a")
    (open_folder / "a").chmod(0o700)
    assert (ended.returncode, "permission denied" in ended.stderr) == (77, True)


def test_without_the_extra(archive: Path) -> None:
    program = (
        "import sys; sys.modules['duckdb'] = sys.modules['pyarrow'] = None\nfrom switchcast.app.cli import main; main()"
    )

    def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, "query", str(archive), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    for arguments in (["--sql", "SELECT 1"], ["--format", "parquet"]):
        ended = ran(*arguments)
        assert (ended.returncode, "pip install 'switchcast[analytics]'" in ended.stderr) == (69, True)
    assert ran("--format", "csv", "-n", "1").returncode == 0


def test_what_is_damaged_is_told_of(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(number) for number in range(300)], settings=FOR_EVER)
    db = open_writing(next(segment_path(tmp_path / "a", path.stem) for path in (tmp_path / "a").glob("*.sqlite")))
    db.execute("UPDATE bodies SET data = x'00' WHERE first = 0")
    db.close()
    ended = query(tmp_path / "a", "--format", "csv")
    assert (ended.returncode, len(ended.stdout.splitlines())) == (1, 1 + 44)
    assert f"switchcast archive check {tmp_path / 'a'}" in ended.stderr


@pytest.mark.parametrize("form", ["table", "json", "csv", "parquet"])
def test_a_reader_that_goes(archive: Path, form: str) -> None:
    with subprocess.Popen(
        [SWITCHCAST, "query", archive, "--format", form], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.read(1)
        running.stdout.close()
        assert running.wait(PATIENCE) == 141
        assert b"Traceback" not in running.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing_behind(archive: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The query would take for ever; it has begun when its file has."""
    sql = "SELECT count(*) FROM events, range(1000000) a, range(1000000) b WHERE a.range % 7 = b.range % 11"
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    out.mkdir()
    temporary.mkdir()
    with subprocess.Popen(
        [SWITCHCAST, "query", archive, "--sql", sql, "-o", out / "a.csv"],
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as running:
        assert running.stderr is not None
        while not list(temporary.iterdir()):
            assert running.poll() is None
        running.send_signal(number)
        assert running.wait(PATIENCE) == code
        assert running.stderr.read() == b""
    assert list(out.iterdir()) == list(temporary.iterdir()) == []


def on_a_terminal(arguments: list[str | Path], columns: int) -> str:
    """What stands on a terminal of so many columns, standard error included."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [SWITCHCAST, "query", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(Path("/nonexistent"), columns),
    ) as running:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65_536)
            except OSError:  # the other end is closed
                break
            shown += piece
        os.close(leader)
        assert running.wait(PATIENCE) in {0, 2}
    return shown.decode()


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_gets_lines_that_fit_and_nothing_it_would_act_on(tmp_path: Path, columns: int) -> None:
    evil = "\x1b]0;owned\x07\u202e" + "x" * 200
    events = [
        numbered(number, NOON + number * 3_600 * SECOND, {"Caller-Caller-ID-Number": evil, "Unique-ID": "leg"})
        for number in range(30)
    ]
    write(tmp_path / "a", events, settings=FOR_EVER, now=lambda: NOON + 48 * 3_600 * SECOND)
    for arguments in ([], ["--fields", "time,from_number,name"], ["--format", "csv", "--fields", "from_number"]):
        shown = on_a_terminal([tmp_path / "a", *arguments], columns)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert "\x1b" not in plain
        assert "\u202e" not in plain
        if "csv" not in arguments:
            assert max(map(len, plain.splitlines())) <= columns
        if not arguments:
            days = [line for line in plain.splitlines() if "──" in line]
            assert ["2026-11-01" in days[0], "2026-11-02" in days[1], len(days)] == [True, True, 2]


def test_parquet_is_not_for_the_screen(archive: Path) -> None:
    assert "Parquet is not for the screen" in on_a_terminal([archive, "--format", "parquet"], 80)
