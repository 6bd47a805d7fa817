"""Answering ``switchcast query``: the archive is read once, and what is found is written as it comes."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import IO, TYPE_CHECKING, Final

import typer
from rich.console import Console
from rich.text import Text

from switchcast.app.cli.asking import to_a_reader
from switchcast.app.cli.encoding import SPELLED
from switchcast.app.cli.grid import Grid
from switchcast.app.cli.query_output import is_screen, opened
from switchcast.app.cli.query_progress import Progress
from switchcast.app.cli.render import EventLines, error_console, how_many, printable
from switchcast.archive.columns import COLUMNS, USUAL, Column, columns_of
from switchcast.archive.export import Plain, csv_lines, json_line, moment, rows_of
from switchcast.archive.query import Search, Selection
from switchcast.archive.reading import ArchiveReader, Stored
from switchcast.errors import UsageError
from switchcast.wire.lines import to_line

if TYPE_CHECKING:
    from switchcast.archive.arrow import Batch, Schema

__all__ = ["Asked", "answer"]

_DAMAGED: Final = 1

Rows = Iterable[Sequence[Sequence[Plain]]]
"""Rows, some at a time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for. ``fields`` are names of columns, ``limit`` counts rows of the answer."""

    selection: Selection
    sql: str | None
    fields: Sequence[str] | None
    limit: int | None
    format: str
    output: str | None
    force: bool


def answer(reader: ArchiveReader, asked: Asked) -> None:
    """Write the answer, and to standard error how much that was; leaves with the exit code."""
    if asked.format == "parquet" and is_screen(asked.output):
        raise UsageError("Parquet is not for the screen; add --output FILE, or another --format")
    with _signals(), to_a_reader():
        _Answer(reader, asked).give()
    raise typer.Exit(_DAMAGED if reader.damaged else 0)


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends this as Ctrl-C does: what was begun is put away, and the exit code tells of the signal."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        if not came:
            raise
        raise typer.Exit(128 + came[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Answer:
    """One question and what comes of it."""

    def __init__(self, reader: ArchiveReader, asked: Asked) -> None:
        self._asked = asked
        self._screen = is_screen(asked.output)
        self._progress = Progress(lambda: self._search)
        self._search = Search(reader, asked.selection, self._progress.step)
        self._written = 0
        self._began = time.monotonic()

    def give(self) -> None:
        """All of it, in the form that was asked for."""
        try:
            if self._asked.sql is not None:
                self._give_sql(self._asked.sql)
            elif self._asked.format == "parquet":
                self._give_parquet()
            elif self._asked.fields is None and self._asked.format in {"table", "json"}:
                self._give_events()
            else:
                columns = columns_of(USUAL if self._asked.fields is None else self._asked.fields)
                rows = ([self._row(columns, each) for each in some] for some in self._found())
                with opened(self._asked.output, force=self._asked.force) as stream:
                    self._write_rows(stream, [column.name for column in columns], rows)
        finally:
            self._progress.close()
        self._sum_up()

    def _found(self) -> Iterator[list[Stored]]:
        """The events that were asked for, up to the limit."""
        left = self._asked.limit
        for stored in self._search.batches():
            some = stored if left is None else stored[:left]
            self._written += len(some)
            yield some
            if left is not None:
                left -= len(some)
                if not left:
                    return

    def _row(self, columns: Sequence[Column], stored: Stored) -> list[Plain]:
        when = _local if self._asked.format == "table" else moment
        return [when(stored.time) if column.name == "time" else column.value(stored) for column in columns]

    def _give_events(self) -> None:
        """Whole events: as lines of JSON, or each in a line as ``tail`` has it."""
        write: Callable[[list[Stored]], bytes]
        if self._asked.format == "json":
            write = _as_json
        elif self._screen:
            write = _Screen().lines
        else:
            write = _DatedLines().lines
        with opened(self._asked.output, force=self._asked.force) as stream:
            for some in self._found():
                self._put(stream, write(some))

    def _give_parquet(self) -> None:
        from switchcast.archive import arrow

        arrow.need_arrow("--format parquet")
        columns = COLUMNS if self._asked.fields is None else columns_of(self._asked.fields)
        schema = arrow.schema_of(columns)
        self._write_parquet(schema, arrow.batches_of(columns, schema, self._found()))

    def _give_sql(self, text: str) -> None:
        from switchcast.archive.sql import Sql

        with Sql(self._search, text) as query:
            found = query.run()
            try:
                batches = self._counted(query.batches(found))
                if self._asked.format == "parquet":
                    self._write_parquet(found.schema, batches)
                    return
                when = _local if self._asked.format == "table" else moment
                rows = (list(rows_of(batch, when)) for batch in batches)
                with opened(self._asked.output, force=self._asked.force) as stream:
                    self._write_rows(stream, found.schema.names, rows)
            finally:
                found.close()

    def _counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The rows of an answer, up to the limit."""
        left = self._asked.limit
        for batch in batches:
            some = batch if left is None else batch.slice(0, left)
            self._written += some.num_rows
            yield some
            if left is not None:
                left -= some.num_rows
                if not left:
                    return

    def _write_parquet(self, schema: Schema, batches: Iterable[Batch]) -> None:
        from switchcast.archive.arrow import Writer

        with opened(self._asked.output, force=self._asked.force) as stream:
            writer = Writer(stream, schema)
            try:
                for batch in batches:
                    writer.write(batch)
            except BaseException:
                writer.abandon()
                raise
            writer.close()

    def _write_rows(self, stream: IO[bytes], names: Sequence[str], rows: Rows) -> None:
        if self._asked.format == "table":
            grid = Grid(names, Console().width if self._screen else None)
            for some in rows:
                self._put(stream, _text(grid.lines(some)))
            self._put(stream, _text(grid.finish()))
        elif self._asked.format == "csv":
            self._put(stream, self._shown(csv_lines([names])))
            for some in rows:
                self._put(stream, self._shown(csv_lines(some)))
        else:
            for some in rows:
                self._put(stream, self._shown("".join(f"{json_line(names, row)}\n" for row in some)))

    def _shown(self, text: str) -> bytes:
        """Lines for a file as they are, for the screen without what a terminal would act on."""
        if self._screen:
            text = "".join(f"{printable(line)}\n" for line in text.split("\n")[:-1])
        return text.encode("utf-8", "replace")

    def _put(self, stream: IO[bytes], text: bytes) -> None:
        if not text:
            return
        if self._screen:
            self._progress.close()  # it would stand between the lines
        stream.write(text)
        if self._screen:
            stream.flush()

    def _sum_up(self) -> None:
        passed = time.monotonic() - self._began
        what = how_many(self._written)
        if self._asked.sql is not None:
            what = f"{self._written:,} row" if self._written == 1 else f"{self._written:,} rows"
        text = f"{what}, of {how_many(self._search.read)} read, in {passed:.1f} s"
        if self._asked.output not in {None, "-"}:
            text += f", in {printable(str(self._asked.output))}"
        console = error_console()
        console.print(Text(text, style="dim"))
        if self._search.reader.damaged:
            check = f"switchcast archive check {self._search.reader.directory}"
            console.print(Text(f"what is damaged was passed over; next: {printable(check)}", style="yellow"))


def _local(time_ns: int) -> str:
    """``2026-11-23 14:05:00.123`` by this host's clock."""
    seconds, rest = divmod(time_ns, 10**9)
    try:
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))}.{rest // 10**6:03}"
    except (OverflowError, OSError, ValueError):
        return moment(time_ns)


def _as_json(found: list[Stored]) -> bytes:
    return "".join(f"{to_line(stored.event)}\n" for stored in found).encode("utf-8", "backslashreplace")


def _text(lines: Iterable[str]) -> bytes:
    encoding = sys.stdout.encoding or "utf-8"
    return "".join(f"{line}\n" for line in lines).encode(encoding, SPELLED)


class _DatedLines:
    """Each event in a line of its own that says the day as well."""

    def __init__(self) -> None:
        self._lines = EventLines()

    def lines(self, found: list[Stored]) -> bytes:
        return _text(f"{_local(stored.time)[:10]} {self._lines.plain(stored.event)}" for stored in found)


class _Screen:
    """The same in colours, each day under a heading."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._lines = EventLines()
        self._day = ""

    def lines(self, found: list[Stored]) -> bytes:
        with self._console.capture() as captured:
            for stored in found:
                day = _local(stored.time)[:10]
                if day != self._day:
                    self._day = day
                    self._console.print(Text(f"── {day} ──", style="dim"))
                self._console.print(self._lines.styled(stored.event, self._console.width), no_wrap=True)
        return captured.get().encode(sys.stdout.encoding or "utf-8", SPELLED)
