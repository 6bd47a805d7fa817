"""SQL over an archive: the same answers as a plain loop, nothing read in vain, and no way out of the table."""

# ruff: noqa: S608 - the SQL here is made of our own words

from __future__ import annotations

import os
import stat
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from archiving import NOON, SECOND, numbered, write
from hypothesis import given, settings
from hypothesis import strategies as st
from querying import archived, recorded, search

from switchcast._native import Event
from switchcast.archive.columns import COLUMNS, clean
from switchcast.archive.export import moment, rows_of
from switchcast.archive.query import Search
from switchcast.archive.sql import Sql
from switchcast.archive.terms import Term
from switchcast.errors import UsageError

Archived = tuple[Path, list[Event]]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, plain_datagrams: list[tuple[int, bytes]]) -> Archived:
    events = recorded(plain_datagrams)
    directory = archived(tmp_path_factory.mktemp("sql") / "archive", events)
    ask(search(directory), "SELECT count(*) FROM events")  # Arrow and DuckDB have threads that stay for good
    return directory, events


def ask(wanted: Search, sql: str) -> list[tuple[Any, ...]]:
    """The rows of the answer, as plain values."""
    with Sql(wanted, sql) as query:
        answer = query.run()
        try:
            return [row for batch in query.batches(answer) for row in rows_of(batch)]
        finally:
            answer.close()


def test_counting_opens_no_block(archive: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, events = archive
    monkeypatch.setattr("switchcast.archive.blocks.decode", None)
    monkeypatch.setattr("switchcast.archive.reading.decode", None)
    assert ask(search(directory), "SELECT count(*) FROM events") == [(len(events),)]


def test_a_signal_while_the_temporary_folder_is_made(
    archive: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, and the one who made it does not know yet."""
    make = os.mkdir

    def interrupted(path: str, mode: int) -> None:
        make(path, mode)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Sql(search(archive[0]), "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_counting_within_times(archive: Archived) -> None:
    directory, events = archive
    middle = events[len(events) // 2].received or 0
    expected = sum((event.received or 0) >= middle for event in events)
    assert ask(search(directory, since=middle), "SELECT count(*) FROM events") == [(expected,)]


def test_every_column_is_what_the_event_has(archive: Archived) -> None:
    directory, events = archive
    rows = ask(search(directory), "SELECT * FROM events")
    stored = [each for some in search(directory).batches() for each in some]
    for row, each, event in zip(rows, stored, events, strict=True):
        values = {column.name: column.value(each) for column in COLUMNS}
        values["time"] = moment(event.received or 0)
        assert dict(zip(values, row, strict=True)) == values


def test_grouped(archive: Archived) -> None:
    directory, events = archive
    rows = ask(search(directory), "SELECT name, subclass, count(*) FROM events GROUP BY ALL")
    expected = Counter((event.name, clean(event.subclass) if event.subclass else None) for event in events)
    assert {row[:2]: row[2] for row in rows} == expected


def test_over_the_blocks_that_other_options_leave(archive: Archived) -> None:
    directory, events = archive
    call = next(call for event in events if (call := event.get("Channel-Call-UUID")))
    narrow = search(directory, groups=(frozenset({Term.uuid(call)}),))
    rows = ask(narrow, f"SELECT count(*), count(*) FILTER (call = '{call}') FROM events")
    expected = [event for event in events if event.get("Channel-Call-UUID") == call]
    assert rows[0][0] >= rows[0][1] == len(expected)
    assert narrow.read < len(events)


@pytest.mark.parametrize(
    ("sql", "columns", "headers"),
    [
        ("SELECT count(*) FROM events", set(), None),
        ("SELECT 1", set(), None),
        ("SELECT count(position) FROM events", {"position"}, None),
        ("SELECT name FROM events WHERE time > now() - INTERVAL 1 HOUR", {"name", "time"}, None),
        ("SELECT e.headers['Hangup-Cause'] FROM events e", {"headers"}, {"Hangup-Cause"}),
        ("SELECT headers['A'], HEADERS['b'] FROM events GROUP BY ALL", {"headers"}, {"A", "b"}),
        ("SELECT headers['A'], headers FROM events", {"headers"}, None),
        ("SELECT h['A'] FROM (SELECT headers AS h FROM events)", {"headers"}, None),
        ("SELECT map_keys(headers) FROM events", {"headers"}, None),
        ("SELECT headers[name] FROM events", {"name", "headers"}, None),
        ("SELECT a.name FROM events a NATURAL JOIN events b", {column.name for column in COLUMNS}, None),
        ("SELECT count(DISTINCT a) FROM events t(a)", {"position"}, None),
        ("SELECT max(#1) FROM (SELECT position FROM events)", {"position"}, None),
        ("SELECT count(t) FROM events t", {"position"}, None),
        ("SELECT t, headers['A'] FROM events t", {column.name for column in COLUMNS}, None),
        ("SELECT headers['A'], (FROM query('SELECT count(headers) FROM events')) FROM events", {"headers"}, None),
        ("SUMMARIZE events", {column.name for column in COLUMNS}, None),
        ("SELECT headers.A, headers['B'] FROM events", {"headers"}, None),
        ("SELECT * FROM events", {column.name for column in COLUMNS}, None),
        ("SELECT * EXCLUDE (headers) FROM events", {column.name for column in COLUMNS} - {"headers"}, None),
        ("SELECT name FROM (SELECT * FROM events)", {"name"}, None),
        ("SELECT a.name FROM events a JOIN events b USING (call)", {"name", "call"}, None),
        ("WITH x AS (SELECT * FROM events) SELECT count(*) FROM x WHERE node = 'a'", {"node"}, None),
        ("SELECT events FROM events", {column.name for column in COLUMNS}, None),
        ("FROM events SELECT COLUMNS('.*_number')", {"from_number", "to_number"}, None),
    ],
)
def test_only_what_is_asked_for_is_read(
    archive: Archived, sql: str, columns: set[str], headers: set[str] | None
) -> None:
    with Sql(search(archive[0]), sql) as query:
        assert query.needed == columns
        assert query.headers == headers


@pytest.fixture(scope="module")
def small(archive: Archived, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of the recording, in one block."""
    return archived(tmp_path_factory.mktemp("small") / "archive", archive[1][600:700])


@settings(deadline=None, max_examples=8)
@given(st.sets(st.sampled_from([column.name for column in COLUMNS]), min_size=1))
def test_any_columns_are_those_of_the_whole(small: Path, names: set[str]) -> None:
    chosen = sorted(names)
    places = [next(at for at, column in enumerate(COLUMNS) if column.name == name) for name in chosen]
    expected = [tuple(row[place] for place in places) for row in ask(search(small), "SELECT * FROM events")]
    assert ask(search(small), f"SELECT {', '.join(chosen)} FROM events") == expected
    counted = ask(search(small), f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(chosen)} FROM events)")
    assert counted == [(len(set(map(repr, expected))),)]


HEADERS: Sequence[tuple[str, str]] = [("A", "1"), ("a", "2"), ("B", "x"), ("B", "y"), ("Ü", "ü"), ("C", "caf\udce9")]


@pytest.mark.parametrize("name", ["A", "a", "B", "b", "Ü", "C", "none", "Event-Name"])
def test_one_header_is_as_it_is_among_all(tmp_path: Path, name: str) -> None:
    event = Event.from_headers([("Event-Name", "DTMF"), *HEADERS]).with_origin(None, NOON)
    write(tmp_path / "a", [event])
    alone = ask(search(tmp_path / "a"), f"SELECT headers['{name}'] FROM events")
    among_all = ask(search(tmp_path / "a"), f"SELECT headers['{name}'], headers FROM events")
    assert alone[0][0] == among_all[0][0] == among_all[0][1].get(name)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("", ["is empty"]),
        ("-- nothing", ["is empty"]),
        (
            "SELECT nam FROM events",
            ['column "nam" not found', '"name"', "\nLINE 1: SELECT nam FROM events\n" + " " * 15 + "^^^"],
        ),
        ("SELECT name,\n  bar()\nFROM events", ["\nLINE 2:   bar()\n" + " " * 10 + "^"]),
        ("SELEC name FROM events", ['syntax error at or near "SELEC"']),
        ("SELECT name FROM calls", ["Table with name calls does not exist"]),
        ("SELECT name::INTEGER FROM events", ["Could not convert string"]),
        ("SELECT 1; SELECT 2", ["holds several statements"]),
        ("SELECT ?", ["parameter"]),
    ],
)
def test_mistakes_are_pointed_at(archive: Archived, sql: str, said: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^--sql") as refused:
        ask(search(archive[0]), sql)
    assert [part for part in said if part not in str(refused.value)] == []


@pytest.mark.parametrize(
    "sql",
    [
        "COPY events TO '{folder}/out.csv'",
        "ATTACH '{folder}/out.db'",
        "CREATE TABLE t AS SELECT * FROM events",
        "DROP VIEW events",
        "INSERT INTO events SELECT * FROM events",
        "EXPORT DATABASE '{folder}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET temp_directory = '{folder}'",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT * FROM '{folder}/in.csv'",
        "SELECT * FROM read_csv('{folder}/in.csv')",
        "SELECT * FROM read_text('{folder}/*')",
        "SELECT * FROM read_parquet('https://192.0.2.1/x.parquet')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sqlite_scan('{folder}/in.csv', 'x')",
        "SELECT * FROM archive",
        "SELECT * FROM secret",
    ],
)
def test_there_is_no_way_out(archive: Archived, tmp_path: Path, sql: str) -> None:
    secret = duckdb.__version__  # a variable of ours, which DuckDB would take for a table if it were let
    (tmp_path / "in.csv").write_text(f"secret\n{secret}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"^--sql") as refused:
        ask(search(archive[0]), sql.format(folder=tmp_path))
    assert secret not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_what_goes_wrong_while_reading_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", [numbered(number) for number in range(10)])

    def broken(*_: object) -> None:
        raise PermissionError("of the disk")

    monkeypatch.setattr(Search, "chosen", broken)
    with pytest.raises(PermissionError, match="of the disk"):
        ask(search(tmp_path / "a"), "SELECT name FROM events")


def test_nothing_but_the_answer_is_printed(archive: Archived) -> None:
    names = ("enable_progress_bar", "enable_external_access", "lock_configuration")
    values = ask(search(archive[0]), "SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    assert values == [(False, False, True)]


def test_times_keep_their_microseconds(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(0, NOON + 123_456_789)], now=lambda: NOON + SECOND)
    sql = "SELECT time, time - TIMESTAMPTZ '2026-11-01 12:00:00Z', hour(time AT TIME ZONE 'UTC') FROM events"
    assert ask(search(tmp_path / "a"), sql)[0][0] == "2026-11-01T12:00:00.123456Z"
