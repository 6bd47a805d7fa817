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
import re
import tempfile
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
    "lock_configuration": "true",
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
            folder = self._open.enter_context(tempfile.TemporaryDirectory(prefix="switchcast-sql-"))
            self._db = duckdb.connect(":memory:", config={**_SETTINGS, "temp_directory": folder})
            self._open.callback(self._db.close)
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
        self._events.need(_projections(json.loads(plan[0][1])), _Mentioned.of(json.loads(said[0][0])))
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


class _Mentioned:
    """Which columns a query names, and which headers; ``None`` for all, as ``*`` means and ``headers`` by itself."""

    def __init__(self) -> None:
        self.columns: set[str] | None = set()
        self.headers: set[str] | None = set()

    @classmethod
    def of(cls, tree: Any) -> Self:
        """Of DuckDB's own syntax tree."""
        found = cls()
        if tree.get("error"):  # no tree of this statement: all of it, then
            found.columns = found.headers = None
        else:
            found._look(tree)
        return found

    def _look(self, node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                self._look(each)
        elif isinstance(node, dict):
            kind = node.get("type")
            if kind == "STAR":
                self.columns = self.headers = None
            elif kind == "COLUMN_REF":
                self._column(node["column_names"])
            elif kind == "ARRAY_EXTRACT" and self._header(node.get("children", [])):
                return
            for each in node.values():
                self._look(each)

    def _column(self, path: list[str]) -> None:
        names = {part.lower() for part in path}
        if self.columns is not None:
            self.columns |= names
        if "headers" in names or TABLE in names:
            self.headers = None
        if TABLE in names:  # the row as a whole
            self.columns = None

    def _header(self, children: list[Any]) -> bool:
        """Whether it is ``headers['a name']``, which is noted."""
        if len(children) != 2 or children[0].get("type") != "COLUMN_REF" or self.headers is None:
            return False
        literal = children[1].get("literal", {})
        path = children[0]["column_names"]
        if path[-1].lower() != "headers" or literal.get("kind") != "STRING":
            return False
        self.headers.add(literal["text"])
        if self.columns is not None:
            self.columns.add("headers")
        return True


class _Events:
    """The table: each scan of DuckDB's asks for the stream anew.

    ``failure`` is what went wrong while reading, which DuckDB would tell as an error of its own.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._schema = schema_of(COLUMNS)
        self.needed = frozenset(_NAMES)
        self._headers: frozenset[str] | None = None
        self.failure: BaseException | None = None

    def need(self, planned: set[str], mentioned: _Mentioned) -> None:
        """Read no more than both the plan and the text ask for: where no column is named, the plan has the first."""
        self.needed = frozenset(planned if mentioned.columns is None else planned & mentioned.columns)
        self._headers = None if mentioned.headers is None else frozenset(mentioned.headers)

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
                    yield batch_of(COLUMNS, self._schema, stored, self.needed, self._headers)
        except GeneratorExit:  # DuckDB has enough
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _nothing(self, count: int) -> pa.RecordBatch:
        import pyarrow as pa

        return pa.RecordBatch.from_arrays([pa.nulls(count, field.type) for field in self._schema], schema=self._schema)
