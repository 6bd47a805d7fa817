"""Where an answer goes: to standard output, or into a file that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from switchcast.errors import EndpointDenied, EndpointUnavailable, UsageError

__all__ = ["FORMATS", "format_of", "is_screen", "opened"]

FORMATS: Final = ("table", "json", "csv", "parquet")
_ENDINGS: Final = {".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".parquet": "parquet"}
_MODE: Final = 0o640
"""As the archive's own files: others on this host are not to read who called whom."""


def format_of(asked: str | None, output: str | None) -> str:
    """The format that was asked for, else what the file's name says, else a table. Raises ``UsageError``."""
    if asked is None:
        return _ENDINGS.get(Path(output).suffix.lower(), "table") if output is not None else "table"
    if asked not in FORMATS:
        raise UsageError(f"--format {asked!r} is none of {', '.join(FORMATS)}")
    return asked


def is_screen(output: str | None) -> bool:
    """Whether a person looks at the answer as it is written."""
    return output in {None, "-"} and sys.stdout.isatty()


@contextlib.contextmanager
def opened(output: str | None, *, force: bool) -> Iterator[IO[bytes]]:
    """What to write to. A file appears when this is left without an error.

    Raises ``UsageError`` for a file that is there, unless ``force``; ``EndpointDenied``, ``EndpointUnavailable``.
    """
    if output is None or output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    stream: IO[bytes]
    if path.exists() and not path.is_file():
        if path.is_dir():
            raise UsageError(f"--output {output}: is a directory; name a file in it")
        with _telling(path):
            stream = path.open("wb")
        with stream:  # a pipe or a device, which cannot be replaced
            yield stream
        return
    if path.exists() and not force:
        raise _there_already(output)
    with _telling(path):
        beside, stream = _beside(path)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        with _telling(path):
            _put(beside, path, output, force=force)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def _beside(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file in the same folder; its mode is that of the file it replaces, if there is one."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    beside = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    if mode is not None:
        os.fchmod(descriptor, mode)
    return beside, os.fdopen(descriptor, "wb")


def _put(beside: Path, path: Path, output: str, *, force: bool) -> None:
    """Give the file its name; without ``force`` only where nobody has that name, by now either."""
    if force:
        beside.replace(path)
        return
    try:
        os.link(beside, path)
    except FileExistsError:
        raise _there_already(output) from None
    except OSError:  # a file system without links
        beside.rename(path)


def _there_already(output: str) -> UsageError:
    return UsageError(f"--output {output}: is there already; name another file, or add --force to replace it")


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise EndpointDenied(f"--output {path}: permission denied; this runs as user {os.geteuid()}") from None
    except OSError as error:
        raise EndpointUnavailable(f"--output {path}: {error.strerror or error}") from None
