"""Naming an archive on the command line, and a time in it.

An archive is its directory, ``archive:DIR``, or the one that the configuration has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from switchcast.app.cli.config import DEFAULT_FILE
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.segment import is_foreign, telling
from switchcast.archive.times import parse_time
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import ConfigurationError, UsageError

__all__ = ["Archive", "Config", "open_archive", "period"]

_SCHEME: Final = "archive"

Archive = Annotated[
    str | None,
    typer.Argument(metavar="ARCHIVE", help="The archive's directory, or archive:DIR; by default the configuration's."),
]
Config = Annotated[
    Path,
    typer.Option("--config", metavar="FILE", readable=False, help="The configuration that says where the archive is."),
]


def open_archive(named: str | None, config: Path = DEFAULT_FILE, *, elsewhere: str = "") -> ArchiveReader:
    """The archive that is named, or else the one of the configuration. ``elsewhere`` is what could be said instead.

    Raises ``EndpointUnavailable`` where there is none, ``EndpointDenied`` where it may not be read,
    ``ConfigurationError`` for what is no archive, ``UsageError`` where the configuration has several.
    """
    directory = _configured(config, elsewhere) if named is None else _directory(named)
    path = Path(directory)
    if path.exists() and not path.is_dir():
        raise ConfigurationError(f"{directory}: is a file; an archive is a directory, which archive:DIR writes")
    with telling(path):
        foreign = is_foreign(path)
    if foreign:
        raise ConfigurationError(f"{directory}: is no archive, but holds other files; name one that archive:DIR wrote")
    return ArchiveReader(path)


def period(since: str | None, until: str | None, now: int) -> tuple[int | None, int | None]:
    """``--since`` and ``--until`` in nanoseconds since 1970, as ``now`` is. Raises ``UsageError``."""
    begin, end = _moment("--since", since, now), _moment("--until", until, now)
    if begin is not None and end is not None and begin >= end:
        raise UsageError(f"--since {since} is not before --until {until}; nothing can lie between them")
    return begin, end


def _moment(option: str, text: str | None, now: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is no point in time; {error}") from None


def _directory(named: str) -> str:
    if not named.startswith(f"{_SCHEME}:"):
        return named
    url = EndpointUrl.parse(named)
    if not url.path or url.hosts:
        raise UsageError(f"{named}: names no directory; write archive:DIR")
    if url.options:
        raise UsageError(f"{named}: options do not count here; write archive:{url.path}")
    return url.path


def _configured(file: Path, elsewhere: str) -> str:
    from switchcast.app.config import load

    if file == DEFAULT_FILE and not file.exists():
        raise ConfigurationError(
            f"no archive is named, and there is no configuration {file}: give its directory{elsewhere}"
        )
    endpoints = load(file, outside=True).endpoints.values()
    found = sorted({endpoint.url.path for endpoint in endpoints if endpoint.url.scheme == _SCHEME})
    if not found:
        raise ConfigurationError(f"{file}: has no archive: endpoint; give an archive's directory{elsewhere}")
    if len(found) > 1:
        raise UsageError(f"{file}: has {len(found)} archives: {', '.join(found)}; give the directory of one of them")
    return found[0]
