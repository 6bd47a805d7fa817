"""From a TOML file to a checked ``Configuration``, or to one error that tells every mistake.

::

    file ──> tomllib ──┐
                       ├──> pydantic-settings ──> checks between tables ──> Configuration
    environment ───────┘         │                        │
                                 └────────> Problems <────┘──> ConfigurationError

A table that cannot be read is noted, left out, and the rest is checked all the same: whoever mends a file wants to hear
everything at once.
"""

from __future__ import annotations

import copy
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from switchcast.app.config.checks import Checks
from switchcast.app.config.configuration import Configuration
from switchcast.app.config.endpoint_checks import EndpointChecks, HeldSecrets
from switchcast.app.config.environment import environment_tables
from switchcast.app.config.locate import Path, lines_of
from switchcast.app.config.model import FileSettings
from switchcast.app.config.problems import Problems
from switchcast.app.config.secret_files import SecretFiles
from switchcast.errors import ConfigurationError

__all__ = ["LARGEST_FILE", "Given", "assemble", "load", "read_text"]

LARGEST_FILE: Final = 1_048_576
"""Bytes of a configuration file: what is larger is something else, given by mistake."""
_NAMED_TABLES: Final = ("endpoints", "policies")
_LISTED_TABLES: Final = ("route", "rule")
_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")

_TOML_MENDS: Final = {
    "Invalid value": "no value of TOML; write a text in quotes, and yes and no as true and false",
    "Cannot overwrite a value": "this key stands twice; leave one out",
    "Expected '=' after a key in a key/value pair": "write key = value",
    "Invalid statement": "no statement of TOML; write key = value, [table] or # comment",
    "Expected newline or end of document after a statement": "something follows the value; write one key on a line",
    "Unclosed array": "a list is not closed; its ] is missing",
    "Unterminated string": "a text is not closed; its quotes are missing",
    "Expected ']' at the end of a table declaration": "a table's name is not closed; its ] is missing",
    "Expected ']]' at the end of an array declaration": "a table's name is not closed; its ]] is missing",
}
"""What tomllib finds, and what would do."""


@dataclass
class Given:
    """What a configuration is made from. ``secrets`` are those that stand in no file.

    ``outside``: it is looked at by somebody else than the service that it is for.
    """

    path: FilePath
    document: dict[str, Any]
    environ: Mapping[str, str]
    lines: dict[Path, int] = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)
    secrets: HeldSecrets = field(default_factory=dict)
    outside: bool = False
    warnings: tuple[str, ...] = ()


def load(path: FilePath | str, environ: Mapping[str, str] | None = None, *, outside: bool = False) -> Configuration:
    """The configuration in the TOML file at ``path``, with what ``environ`` (this process's by default) says instead.

    ``outside``: not the service itself asks, so that a credential, which only the service has, is no mistake.
    Raises ``ConfigurationError``, whose text has a line for each mistake: file and line, key, what was given, what
    would do. Opens no endpoint.
    """
    file = FilePath(path)
    text = read_text(file)
    document = _parsed(text, file)
    environ = os.environ if environ is None else environ
    return assemble(Given(file, document, environ, lines_of(text), outside=outside))


def read_text(path: FilePath) -> str:
    """The text of a configuration file. Raises ``ConfigurationError``."""
    try:
        if not path.is_file() and path.exists():
            what = "a directory" if path.is_dir() else "not a file"
            raise ConfigurationError(f"{path}: is {what}; name a configuration file")
        with open(path, "rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; name a configuration, or write one there") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigurationError(f"{path}: cannot be read: {reason}") from None
    if len(content) > LARGEST_FILE:
        raise ConfigurationError(f"{path}: is larger than {LARGEST_FILE:,} bytes, so it is no configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path}:{line}: is not UTF-8; save the file in that encoding") from None


def _parsed(text: str, path: FilePath) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        reason = _PLACE.sub("", message).removesuffix(" (at end of document)")
        said = _TOML_MENDS.get(reason, f"not TOML: {reason[:1].lower()}{reason[1:]}")
        if place:
            raise ConfigurationError(f"{path}:{place[1]}: column {place[2]}: {said}") from None
        raise ConfigurationError(f"{path}:{text.count(chr(10)) + 1}: at the end of the file: {said}") from None
    except RecursionError:
        raise ConfigurationError(f"{path}: its lists are nested too deep") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from None


def assemble(given: Given) -> Configuration:
    """Check what was ``given`` as a whole. Raises ``ConfigurationError``."""
    problems = Problems(str(given.path), given.lines, dict(given.variables))
    overrides = environment_tables(given.environ, FileSettings, given.document, problems)
    tables = [overrides, copy.deepcopy(given.document), _defaults(given.environ)]
    settings, places = _read(tables, problems)
    endpoints = EndpointChecks(problems, SecretFiles(problems, given.environ, given.outside))
    endpoints.check(settings.endpoints, given.secrets)
    checks = Checks(problems, endpoints, _broken(given.document, overrides, settings), places)
    settings = checks.check(settings)
    policies, rules, api = checks.policies(settings), checks.rules(settings), checks.api(settings)
    problems.raise_if_any()
    return Configuration(
        path=given.path,
        node=settings.node,
        log=settings.log,
        metrics=settings.metrics,
        api=api,
        control=settings.control,
        peers=settings.peers,
        views=settings.views,
        endpoints=endpoints.configured,
        routes=settings.route,
        policies=policies,
        rules=rules,
        warnings=(*given.warnings, *problems.warnings),
        settings=settings,
    )


def _defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    """What this machine and systemd say where the file does not."""
    node = {"name": socket.gethostname()}
    if state := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        node["state_dir"] = state
    return {"node": node}


def _read(tables: list[dict[str, Any]], problems: Problems) -> tuple[FileSettings, dict[str, tuple[int, ...]]]:
    """What can be read of ``tables``, and the index in the file of each route and rule among it.

    What cannot is noted and taken out of ``tables``: first just the keys that are wrong, then, where that leaves
    something else missing, the tables around them.
    """
    for attempt in range(3):
        places = {key: tuple(_kept(tables, key)) for key in _LISTED_TABLES}
        try:
            return FileSettings.read(*(_without_gaps(table) for table in tables)), places
        except ValidationError as invalid:
            errors: list[Mapping[str, Any]] = [{**error} for error in invalid.errors(include_url=False)]
            for error in errors:
                path = _in_file(tuple(error["loc"]), places)
                if attempt == 0 and not _follows_from_another(error, errors):
                    problems.add_invalid({**error, "loc": path}, FileSettings)
                depth = len(path) if attempt == 0 else _element_depth(path)
                _take_out(tables, path[:depth])
    return FileSettings(), {}


def _follows_from_another(error: Mapping[str, Any], errors: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a list is only too short because what stands in it is wrong, which is told as well."""
    place = error["loc"]
    return error["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in errors
    )


_GAP: Final = object()
"""Stands for a route or rule that was taken out, so that those behind it keep their index."""


def _kept(tables: list[dict[str, Any]], key: str) -> Iterator[int]:
    for table in tables:
        if isinstance(table.get(key), list):
            yield from (index for index, each in enumerate(table[key]) if each is not _GAP)


def _without_gaps(table: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [each for each in value if each is not _GAP] if isinstance(value, list) else value
        for key, value in table.items()
    }


def _in_file(path: Path, places: Mapping[str, tuple[int, ...]]) -> Path:
    """``path`` with the index that a route or rule has in the file."""
    if len(path) > 1 and path[0] in places and isinstance(path[1], int) and path[1] < len(places[str(path[0])]):
        return (path[0], places[str(path[0])][path[1]], *path[2:])
    return path


def _element_depth(path: Path) -> int:
    """How much of ``path`` names the element or the table that it is in."""
    return 2 if path and path[0] in (*_NAMED_TABLES, *_LISTED_TABLES) else 1


def _take_out(tables: list[dict[str, Any]], path: Path) -> None:
    """Remove from ``tables`` what is at ``path``; where nothing is, the nearest thing around it."""
    ways = [_way(table, path) for table in tables]
    longest = max(len(way) for way in ways)
    for way in ways:
        if len(way) == longest:
            _remove(way)


def _way(table: Any, path: Path) -> list[tuple[Any, str | int]]:
    """Each table and list that ``path`` goes through, with the key that it takes there, as far as they exist."""
    way: list[tuple[Any, str | int]] = []
    for part in path:
        key = _key_in(table, part)
        if key is None:
            break
        way.append((table, key))
        table = table[key]
    return way


def _remove(way: list[tuple[Any, str | int]]) -> None:
    while way:
        inside, key = way.pop()
        if isinstance(inside, dict):
            del inside[key]
            return
        if len(way) == 1:  # an element of [[route]] or [[rule]]; a list within one goes as a whole
            inside[int(key)] = _GAP
            return


def _key_in(place: Any, part: str | int) -> str | int | None:
    """``part`` as it stands in ``place``, where keys may be written with ``_`` for ``-``; ``None`` if it does not."""
    if isinstance(place, dict):
        return next((key for key in place if str(key).replace("_", "-") == str(part).replace("_", "-")), None)
    if isinstance(place, list) and isinstance(part, int) and part < len(place):
        return part
    return None


def _broken(document: Mapping[str, Any], overrides: Mapping[str, Any], settings: FileSettings) -> set[tuple[str, str]]:
    """Names that the file or the environment gives to endpoints and policies which could not be read."""
    return {
        (kind, name)
        for kind in _NAMED_TABLES
        for tables in (document, overrides)
        for name in (tables[kind] if isinstance(tables.get(kind), Mapping) else ())
        if name not in getattr(settings, kind)
    }
