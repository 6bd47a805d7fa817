"""Events as Arrow record batches, a block at a time, and as Parquet. Needs the extra ``analytics``.

Only the columns that are needed are filled; of headers, if it is known which, only those.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from switchcast._native import Event
from switchcast.archive.columns import Column, clean, headers_of
from switchcast.archive.reading import Stored
from switchcast.errors import MissingExtra

if TYPE_CHECKING:
    import pyarrow as pa

    Batch = pa.RecordBatch
    Schema = pa.Schema

__all__ = ["ROW_GROUP", "Writer", "batch_of", "batches_of", "need_arrow", "schema_of"]

ROW_GROUP: Final = 16_384
"""Rows of a row group: as many as are held in memory before they are written."""
_MICROSECOND: Final = 1000


def need_arrow(what: str) -> Any:
    """The package ``pyarrow``. Raises ``MissingExtra``, as needed for ``what``, where it is not installed."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra("analytics", what) from None
    return pa


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """Text, but for ``time`` (UTC, to the microsecond) and ``headers`` (a map)."""
    import pyarrow as pa

    kinds = {"time": pa.timestamp("us", "UTC"), "headers": pa.map_(pa.string(), pa.string())}
    return pa.schema([(column.name, kinds.get(column.name, pa.string())) for column in columns])


def batch_of(
    columns: Sequence[Column],
    schema: pa.Schema,
    stored: Sequence[Stored],
    needed: Collection[str] | None = None,
    headers: Collection[str] | None = None,
) -> pa.RecordBatch:
    """The rows of ``stored``. What is not ``needed`` is null; ``headers``: the only ones that are looked at."""
    import pyarrow as pa

    arrays = []
    for column, field in zip(columns, schema, strict=True):
        if needed is not None and column.name not in needed:
            arrays.append(pa.nulls(len(stored), field.type))
        elif column.name == "time":
            arrays.append(pa.array([each.time // _MICROSECOND for each in stored], field.type))
        elif column.name == "headers":
            arrays.append(_maps(stored, headers, field.type))
        else:
            arrays.append(pa.array([column.value(each) for each in stored], field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _maps(stored: Sequence[Stored], names: Collection[str] | None, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    ends, keys, values = [0], list[str](), list[str]()
    for each in stored:
        found = headers_of(each.event) if names is None else _some(each.event, names)
        keys += found.keys()
        values += found.values()
        ends.append(len(keys))
    return pa.MapArray.from_arrays(
        pa.array(ends, pa.int32()), pa.array(keys, pa.string()), pa.array(values, pa.string()), type=kind
    )


def _some(event: Event, names: Collection[str]) -> dict[str, str]:
    """The headers of just these names, case and all, as ``headers_of`` would have them."""
    found = {name: values for name in names if (values := event.getall(name))}
    if not found:
        return {}
    keys = event.keys()
    if all(len(values) == 1 for values in found.values()):
        return {name: clean(values[0]) for name, values in found.items() if name in keys}
    every = headers_of(event)  # names that are like one another but for case, or that stand twice
    return {name: every[name] for name in found if name in every}


def batches_of(
    columns: Sequence[Column], schema: pa.Schema, found: Iterator[Sequence[Stored]], most: int = ROW_GROUP
) -> Iterator[pa.RecordBatch]:
    """Batches of ``most`` rows at the most, each made of as many blocks as fit."""
    waiting: list[Stored] = []
    for stored in found:
        waiting += stored
        while len(waiting) >= most:
            yield batch_of(columns, schema, waiting[:most])
            del waiting[:most]
    if waiting:
        yield batch_of(columns, schema, waiting)


class Writer:
    """Writes record batches to ``stream`` as Parquet, compressed with zstd."""

    def __init__(self, stream: IO[bytes], schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._sink = _Counted(stream)
        self._writer = parquet.ParquetWriter(self._sink, schema, compression="zstd")

    def write(self, batch: pa.RecordBatch) -> None:
        """One more row group."""
        self._writer.write_batch(batch)

    def close(self) -> None:
        """The end of the file: without it there is none."""
        self._writer.close()

    def abandon(self) -> None:
        """Let go of it, whatever becomes of the file."""
        with contextlib.suppress(OSError):
            self._writer.close()


class _Counted:
    """A stream that cannot be asked where it is, as a pipe, made one that can."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._at = 0

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self.closed = True

    def seekable(self) -> bool:
        return False

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True
