"""What is written: CSV that no spreadsheet evaluates, JSON, Parquet, a grid for the terminal; others read it back."""

from __future__ import annotations

import csv
import decimal
import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archiving import NOON
from hypothesis import example, given
from hypothesis import strategies as st
from querying import archived, recorded, search
from rich.cells import cell_len
from strategies import PROPERTY

from switchcast.app.cli.grid import PAGE, Grid
from switchcast.app.cli.query_progress import line
from switchcast.archive.arrow import Writer, batches_of, schema_of
from switchcast.archive.columns import COLUMNS, clean
from switchcast.archive.export import csv_lines, json_line, moment, plain, rows_of, text_of

FIRST = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How formulas begin."""


def cells() -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from("=+-@\t\r\n\",;' 19")
    return st.text(characters, max_size=12)


@PROPERTY
@example([["\r"], ["a\rb"], ["\n"], [""]])
@example([['=HYPERLINK("http://192.0.2.1","x")', "+49 30 1234", "-1+cmd|' /C calc'!A0"]])
@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(cells(), min_size=width, max_size=width), min_size=1)))
def test_csv_is_read_back_by_others_and_is_no_formula(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_lines(rows), newline=""), strict=True))
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]
    for row, back in zip(rows, read, strict=True):
        for cell, written in zip(row, back, strict=True):
            assert written in {cell, f"'{cell}"}
            assert not written.startswith(FIRST) or set(written[1:]) <= set("0123456789 ()./*#-+eE"), written


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3+cmd", "'-2+3+cmd"),
        ("+49 30 1234", "+49 30 1234"),
        ("-1.5", "-1.5"),
        (-1.5, "-1.5"),
        ("1001", "1001"),
        ("a=b", "a=b"),
        ("'quoted", "'quoted"),
        (None, ""),
        (True, "true"),
        (["=1"], '["=1"]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_cells(value: Any, cell: str) -> None:
    assert next(csv.reader([csv_lines([[value, "x"]])])) == [cell, "x"]


@PROPERTY
@given(st.lists(st.tuples(cells(), st.none() | cells() | st.floats() | st.integers() | st.booleans()), min_size=1))
def test_json_is_read_back(pairs: list[tuple[str, Any]]) -> None:
    names = list(dict(pairs))
    values = [plain(value) for value in dict(pairs).values()]
    written = json_line(names, values)
    assert "\n" not in written
    assert json.loads(written, parse_constant=pytest.fail) == dict(zip(names, values, strict=True))


def test_plain_values() -> None:
    given_values = [
        decimal.Decimal(12),
        decimal.Decimal("1.5"),
        b"\xff",
        float("nan"),
        [("a", 1)],
        {"a": {1: "b\udce9"}},
    ]
    assert [plain(value) for value in given_values] == [12, 1.5, "ff", None, [["a", 1]], {"a": {"1": "b\ufffd"}}]


def test_values_out_of_arrow() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "instant": pa.array([NOON // 1000, None], pa.timestamp("us", "UTC")),
            "wall": pa.array([NOON, None], pa.timestamp("ns")),
            "length": pa.array([1_500, None], pa.duration("ms")),
            "interval": pa.array([pa.MonthDayNano([1, 2, 3_600_500_000_000]), None], pa.month_day_nano_interval()),
            "map": pa.array([[("a", "b")], None], pa.map_(pa.string(), pa.string())),
            "sum": pa.array([decimal.Decimal(45), None], pa.decimal128(38, 0)),
        }
    )
    assert list(rows_of(batch)) == [
        (
            "2026-11-01T12:00:00.000000Z",
            "2026-11-01T12:00:00.000000",
            1.5,
            "1 month 2 days 01:00:00.500000",
            {"a": "b"},
            45,
        ),
        (None,) * 6,
    ]
    assert next(rows_of(batch, str))[0] == str(NOON)
    assert moment(2**63 - 1) == "2262-04-11T23:47:16.854775Z"


class Pipe(io.RawIOBase):
    """What can be written to and nothing else."""

    def __init__(self) -> None:
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


@pytest.fixture(scope="module")
def warm() -> None:
    """Arrow's threads, which stay once they have been used."""
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), stream)
    pq.read_table(stream)


@pytest.mark.usefixtures("warm")
def test_parquet_is_read_back_by_others(tmp_path: Path, plain_datagrams: list[tuple[int, bytes]]) -> None:
    events = recorded(plain_datagrams)
    directory = archived(tmp_path / "archive", events)
    schema, pipe = schema_of(COLUMNS), Pipe()
    writer = Writer(pipe, schema)  # type: ignore[arg-type]
    sizes = []
    for batch in batches_of(COLUMNS, schema, search(directory).batches(), most=500):
        sizes.append(batch.num_rows)
        writer.write(batch)
    writer.close()
    assert sizes == [500, 500, 500, len(events) - 1_500]
    (tmp_path / "a.parquet").write_bytes(pipe.data)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    for row, event in zip(rows, events, strict=True):
        assert row["name"] == event.name
        assert dict(row["headers"]).keys() == {clean(name) for name in event.keys()}  # noqa: SIM118
        assert (row["body"] or "").encode("utf-8", "replace") == event.body.decode("utf-8", "replace").encode()
        assert row["time"].timestamp() == pytest.approx((event.received or 0) / 1e9)
    with duckdb.connect() as other:
        counted = other.execute(f"SELECT count(*), max(epoch_us(time)) FROM '{tmp_path}/a.parquet'").fetchall()  # noqa: S608
    assert counted == [(len(events), max(event.received or 0 for event in events) // 1_000)]


def grid(names: list[str], rows: list[list[Any]], width: int | None) -> list[str]:
    made = Grid(names, width)
    return [*made.lines(rows), *made.finish()]


def test_a_grid_has_text_at_the_left_and_figures_at_the_right() -> None:
    assert grid(["name", "n"], [["a", 5], ["long one", 1_000], [None, None]], None) == [
        "name         n",
        "a            5",
        "long one  1000",
        "",
    ]
    assert grid(["name", "n"], [], 80) == ["name  n"]


@PROPERTY
@given(
    st.integers(1, 6).flatmap(
        lambda width: st.lists(
            st.lists(st.none() | st.integers() | st.text(max_size=60), min_size=width, max_size=width), max_size=8
        )
    ),
    st.integers(40, 160),
)
def test_a_grid_fits_into_the_terminal_and_shows_nothing_a_terminal_acts_on(rows: list[list[Any]], width: int) -> None:
    names = [f"column{number}" for number in range(len(rows[0]) if rows else 1)]
    for shown in grid(names, rows, width):
        assert cell_len(shown) <= width
        assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in shown)
    assert len(grid(names, rows, None)) == len(rows) + 1


def test_a_grid_goes_on_for_any_number_of_rows() -> None:
    rows: list[list[Any]] = [[number, "x" * (number % 70)] for number in range(PAGE + 10)]
    made = Grid(["n", "text"], None)
    assert list(made.lines(rows[: PAGE - 1])) == []
    assert len(list(made.lines(rows[PAGE - 1 :]))) == len(rows) + 1
    assert list(made.finish()) == []


def test_the_widest_column_gives_way_first() -> None:
    shown = grid(["id", "short", "text"], [["a" * 8, "b" * 8, "c" * 200]], 40)
    assert shown[1] == "aaaaaaaa  bbbbbbbb  " + "c" * 19 + "…"


def test_how_far_and_how_long_still() -> None:
    assert line(0.0, 0, 0, 1.0).plain == "────────────   0%  0 events read, 0 found"
    assert line(0.5, 1_204_224, 17, 4.0).plain == "━━━━━━──────  50%  1,204,224 events read, 17 found, 4s left"


def test_text_of_values() -> None:
    assert [text_of(value) for value in (None, False, 1, 1.5, "a", ["b"])] == ["", "false", "1", "1.5", "a", '["b"]']
