"""SQL over the events of an archive, by DuckDB. Needs the extra ``analytics``.

::

    SELECT ... ── DuckDB's own plan ──> which columns ──┐
                                                        ├──> blocks ──> Arrow stream ──> DuckDB ──> rows
    --since, --number, ... ──> which blocks ────────────┘

Events are the table ``events`` with the columns that ``columns.py`` tells. Nothing is read that the query does not ask
for: without a column, blocks are counted and not opened; a header that is named, as in ``headers['Hangup-Cause']``, is
looked up alone.

A query reads this table and nothing else. DuckDB is kept in memory and opens no file and no connection, loads no
extension, sees no variable of Python's, and takes one SELECT; its settings are locked.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from switchcast.archive.arrow import batch_of, need_arrow, schema_of
from switchcast.archive.columns import COLUMNS
from switchcast.archive.query import Search
from switchcast.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TABLE", "Sql"]

TABLE: Final = "events"
_ROWS: Final = 16_384
"""Rows of the answer that are held at once."""
_NAMES: Final = tuple(column.name for column in COLUMNS)
_LINE: Final = re.compile(r"\n+LINE (\d+):")
_SETTINGS: Final = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}


class Sql:
    """One query, which is checked as this is made. Raises ``UsageError`` that points at the mistake, ``MissingExtra``.

    A context manager: what is too large for memory lies in a temporary folder until it is left.
    """

    def __init__(self, search: Search, text: str) -> None:
        need_arrow("--sql")
        try:
            import duckdb
        except ImportError:
            raise MissingExtra("analytics", "--sql") from None
        self._errors: type[Exception] = duckdb.Error
        self._events = _Events(search)
        self._open = ExitStack()
        try:
            folder = os.path.join(tempfile.gettempdir(), f"switchcast-sql-{secrets.token_hex(8)}")
            # to be put away before it is there: a signal can come in between
            self._open.callback(weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True))
            os.mkdir(folder, 0o700)
            self._db = duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": folder})
            self._open.callback(self._db.close)
            self._db.execute("SET enable_progress_bar = false")  # it would stand in the answer
            self._db.execute("SET lock_configuration = true")
            self._db.register(TABLE, self._events)
            self._statement = self._checked(text)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def needed(self) -> frozenset[str]:
        """The columns that are read."""
        return self._events.needed

    @property
    def headers(self) -> frozenset[str] | None:
        """The headers that are looked up alone; ``None`` where all of them are read."""
        return self._events.headers

    def run(self) -> pa.RecordBatchReader:
        """The answer, a part of it in memory at a time. Raises what reading the archive raises, and ``UsageError``."""
        return self._telling(lambda: self._db.sql(self._statement).to_arrow_reader(_ROWS))

    def batches(self, answer: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        """The batches of ``run()``'s answer, with errors as that has them."""
        while True:
            try:
                yield self._telling(answer.read_next_batch)
            except StopIteration:
                return

    def _telling(self, work: Callable[[], Any], lines_before: int = 0) -> Any:
        """Do ``work``; an error of DuckDB's is one of ours, and one that reading caused is that one."""
        try:
            return work()
        except StopIteration:
            raise
        except (self._errors, RuntimeError, OSError) as error:
            if self._events.failure is not None:
                raise self._events.failure from None
            if isinstance(error, RuntimeError) and "interrupted" in str(error):
                raise KeyboardInterrupt from None
            raise _wrong(str(error), lines_before) from None

    def _checked(self, text: str) -> str:
        """The one statement, and from its plan which columns it needs."""
        statements = self._telling(lambda: self._db.extract_statements(text))
        if not statements:
            raise UsageError("--sql is empty; write one such as: SELECT name, count(*) FROM events GROUP BY name")
        kind = statements[0].type.name
        if len(statements) > 1 or kind != "SELECT":
            what = "holds several statements" if len(statements) > 1 else f"is {kind}"
            raise UsageError(f"--sql {what}; it takes one SELECT, which reads the table {TABLE}")
        plan = self._telling(lambda: self._db.execute(f"EXPLAIN (FORMAT json)\n{text}").fetchall(), lines_before=1)
        said = self._db.execute("SELECT json_serialize_sql(?)", [text]).fetchall()
        self._events.need(_projections(json.loads(plan[0][1])), _Reading(json.loads(said[0][0])))
        return text


def _wrong(message: str, lines_before: int) -> UsageError:
    """DuckDB's own message, which shows the place by its line if it has one."""

    def place(found: re.Match[str]) -> str:
        return f"\nLINE {int(found[1]) - lines_before}:{' ' * (len(found[1]) - len(str(int(found[1]) - lines_before)))}"

    return UsageError(f"--sql: {_LINE.sub(place, message.strip())}")


def _projections(plan: Any) -> set[str]:
    """The columns that any scan of the table reads, by DuckDB's plan."""
    found: set[str] = set()
    for node in plan:
        info = node.get("extra_info", {})
        if "SCAN" in node.get("name", ""):
            columns = info.get("Projections", [])
            found.update([columns] if isinstance(columns, str) else columns)
        found |= _projections(node.get("children", []))
    return found


class _Reading:
    """What of the table a query looks at, as far as its text tells; ``None`` and True where that is not sure.

    A column can be meant without its name: by ``*``, by its place (``#1``, ``events t(a, b)``), by a join's USING, by
    the row as a whole, or in a text that is run.
    """

    def __init__(self, tree: Any) -> None:
        nodes = list(_nodes(tree))
        self.first = True
        self.headers: frozenset[str] | None = None
        if tree.get("error") or any(map(_hides_columns, nodes)):
            return
        tables = {TABLE} | {str(node["alias"]).lower() for node in nodes if "table_name" in node or "subquery" in node}
        paths = [[part.lower() for part in node["column_names"]] for node in nodes if node.get("type") == "COLUMN_REF"]
        if any(len(path) == 1 and path[0] in tables for path in paths):
            return
        self.first = any(_NAMES[0] in path for path in paths)
        looked_up = [name for node in nodes if (name := _looked_up(node)) is not None]
        if looked_up and len(looked_up) == sum("headers" in path for path in paths):
            self.headers = frozenset(looked_up)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a syntax tree."""
    if isinstance(tree, dict):
        yield tree
    for each in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(each)


def _hides_columns(node: dict[str, Any]) -> bool:
    return bool(
        node.get("type") in {"STAR", "POSITIONAL_REFERENCE", "SHOW_REF"}
        or node.get("column_name_alias")
        or node.get("using_columns")
        or node.get("ref_type") == "NATURAL"
        or node.get("function_name") in {"query", "query_table"}
    )


def _looked_up(node: dict[str, Any]) -> str | None:
    """The name in ``headers['name']``, if that is what the node is."""
    children = node.get("children", [])
    if node.get("type") != "ARRAY_EXTRACT" or len(children) != 2 or children[0].get("type") != "COLUMN_REF":
        return None
    literal = children[1].get("literal", {})
    if children[0]["column_names"][-1].lower() != "headers" or literal.get("kind") != "STRING":
        return None
    return str(literal["text"])


class _Events:
    """The table: each scan of DuckDB's asks for the stream anew.

    ``failure`` is what went wrong while reading, which DuckDB would tell as an error of its own.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._schema = schema_of(COLUMNS)
        self.needed = frozenset(_NAMES)
        self.headers: frozenset[str] | None = None
        self.failure: BaseException | None = None

    def need(self, planned: set[str], reading: _Reading) -> None:
        """Read no more than what DuckDB plans to; where it needs no column, it plans to read the first."""
        self.needed = frozenset(planned if reading.first or planned != {_NAMES[0]} else ())
        self.headers = reading.headers

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(self._schema, self._batches()).__arrow_c_stream__(requested_schema)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for block in self._search.blocks():
                if not self.needed and self._search.takes_whole(block):
                    self._search.found += block.count
                    yield self._nothing(block.count)
                else:
                    stored = self._search.chosen(block)
                    yield batch_of(COLUMNS, self._schema, stored, self.needed, self.headers)
        except GeneratorExit:  # DuckDB has enough
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _nothing(self, count: int) -> pa.RecordBatch:
        import pyarrow as pa

        return pa.RecordBatch.from_arrays([pa.nulls(count, field.type) for field in self._schema], schema=self._schema)
