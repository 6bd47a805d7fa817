"""Rows as CSV and JSON, and plain values out of Arrow's.

A *plain* value is what JSON has: text, a number, true, false, null, a list, an object. Times become text such as
``2026-11-23T14:05:00.123456Z``.

CSV is as RFC 4180 has it, with a row of names first, but for two things: lines end in a line feed alone, and what a
spreadsheet would take for a formula gets an apostrophe in front. Names and numbers in events are chosen by whoever
calls, and ``=HYPERLINK(...)`` as a caller's name must not run at the desk of who opens the file. A number with its
sign, as ``+49 30 1234`` is, cannot do anything and stays as it is; JSON and Parquet have every value as it came.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from switchcast.archive.columns import clean

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Plain", "csv_lines", "json_line", "moment", "plain", "rows_of", "text_of"]

Plain = str | int | float | bool | list[Any] | dict[str, Any] | None

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How a cell begins that spreadsheets evaluate; the wide forms are taken for the others in some languages."""
_NUMBER: Final = re.compile(r"[+-][0-9 ()./*#-]*(?:[eE][+-]?[0-9]+)?")
_QUOTED: Final = re.compile('[",\r\n]')
_EMPTY: Final = '""'
"""A row of one cell with nothing in it, which would be an empty line."""
_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def moment(time: int) -> str:
    """``time`` in nanoseconds since 1970 as text, in UTC and to the microsecond."""
    try:
        return f"{(_EPOCH + dt.timedelta(microseconds=time // 1000)).isoformat(timespec='microseconds')}Z"
    except OverflowError:
        return f"{time / 1e9:.0f}"


def plain(value: Any) -> Plain:
    """``value`` as JSON can have it: decimals are numbers, bytes are hexadecimal, what is no number is null."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [plain(each) for each in value]
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def text_of(value: Plain) -> str:
    """A plain value as the text of a cell: null is empty, lists and objects are JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else repr(value)


def json_line(names: Sequence[str], row: Sequence[Plain]) -> str:
    """A row as one JSON object."""
    return json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, separators=(",", ":"))


def csv_lines(rows: Iterable[Sequence[Plain]]) -> str:
    """Rows as lines of CSV."""
    return "".join(f"{','.join(map(_cell, row)) or _EMPTY}\n" for row in rows)


def _cell(value: Plain) -> str:
    text = text_of(value)
    if isinstance(value, str) and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.search(text) else text


def rows_of(batch: pa.RecordBatch, when: Callable[[int], str] = moment) -> Iterator[tuple[Plain, ...]]:
    """The rows of a batch as plain values; ``when`` is how points in time are written."""
    return zip(*(_plain_column(column, when) for column in batch.columns), strict=True)


def _plain_column(column: pa.Array, when: Callable[[int], str]) -> list[Plain]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        scale = 10**9 // _PER_SECOND[kind.unit]
        write = when if kind.tz else lambda time: moment(time).removesuffix("Z")
        return [None if value is None else write(value * scale) for value in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_duration(kind):
        return [
            None if value is None else value / _PER_SECOND[kind.unit] for value in column.cast(pa.int64()).to_pylist()
        ]
    if kind == pa.month_day_nano_interval():
        return [None if value is None else _length(*value) for value in column.to_pylist()]
    if pa.types.is_map(kind):
        return [None if value is None else plain(dict(value)) for value in column.to_pylist()]
    return [plain(value) for value in column.to_pylist()]


def _length(months: int, days: int, nanoseconds: int) -> str:
    """An interval as people read it: ``1 month 3 days 00:10:00``."""
    parts = [f"{number} {name}{'' if abs(number) == 1 else 's'}" for number, name in ((months, "month"), (days, "day"))]
    sign, whole = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    seconds, rest = divmod(whole, 10**9)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    clock += f".{rest // 1000:06}" if rest else ""
    kept = [part for part in parts if not part.startswith("0 ")]
    return " ".join([*kept, clock] if nanoseconds or not kept else kept)
