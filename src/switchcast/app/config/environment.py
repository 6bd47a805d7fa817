"""Settings from the environment: ``SWITCHCAST_NODE__NAME`` is ``name`` of the table ``[node]``.

Two underscores lead into a table. Case does not count, and ``_`` stands for ``-`` and ``.``, which no variable's name
can hold. A list or a table as a value is JSON. Lists of tables (``[[route]]``, ``[[rule]]``) stand in the file only:
their elements have no name to be called by. A variable without two underscores is none of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from switchcast.app.config.locate import Path
from switchcast.app.config.problems import Problems
from switchcast.app.config.shapes import Shape, field_annotation, keys_of, nearest, same_word, shape_of

__all__ = ["PREFIX", "environment_tables"]

PREFIX: Final = "SWITCHCAST_"
_INTO: Final = "__"


def environment_tables(
    environ: Mapping[str, str], root: type[BaseModel], document: Mapping[str, Any], problems: Problems
) -> dict[str, Any]:
    """The tables that ``environ`` sets. ``document`` tells the names that the file has given to endpoints and policies.

    Each path is noted in ``problems.variables``, each mistake in ``problems``.
    """
    tables: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        name = variable.removeprefix(PREFIX)
        if name == variable or _INTO not in name:
            continue
        try:
            path, shape = _way(name.split(_INTO), root, document)
            value = _value(text, shape)
        except ValueError as error:
            problems.add_variable(variable, str(error))
            continue
        _put(tables, path, value)
        problems.variables[path] = f"environment variable {variable}"
    return tables


def _way(parts: list[str], root: type[BaseModel], document: Mapping[str, Any]) -> tuple[Path, Shape]:
    """The path that the parts of a variable's name lead to, and what stands there."""
    shape, path = Shape("table", root), Path()
    given: Any = document
    for place, part in enumerate(parts):
        before = PREFIX + _INTO.join(parts[:place])
        if shape.kind == "table":
            known = keys_of(shape.inner)
            key = next((each for each in known if same_word(each, part)), None)
            if key is None:
                raise ValueError(f"no setting is called so; {_nearest_variable(before, part, known)}")
            annotation = field_annotation(shape.inner, key)
        elif shape.kind == "tables":
            names = list(given) if isinstance(given, Mapping) else []
            key = next((each for each in names if same_word(each, part)), part.lower())
            if not key:
                raise ValueError(f"a name is missing behind {before}{_INTO}")
            annotation = shape.inner
        elif shape.kind == "list":
            raise ValueError(f"{before} is a list, whose elements have no names; write it in the file")
        else:
            raise ValueError(f"{before} is a single value; nothing can follow it")
        path = (*path, key)
        given = given.get(key, {}) if isinstance(given, Mapping) else {}
        shape = shape_of(annotation)
    if shape.kind == "list" and shape_of(shape.inner).kind == "table":
        raise ValueError("is a list of tables; write it in the file")
    if shape.kind == "table":
        example = f"{PREFIX}{_INTO.join(parts)}{_INTO}{keys_of(shape.inner)[0]}".upper()
        raise ValueError(f"is a table; name a key of it, as {example}")
    return path, shape


def _nearest_variable(before: str, part: str, known: list[str]) -> str:
    """The hint about an unknown key, with the nearest one as a whole variable, which can be copied."""
    hint = nearest(part, known)
    key = hint.removeprefix("did you mean ").removesuffix("?")
    if key not in known:
        return hint
    into = "" if before == PREFIX else _INTO
    return f"did you mean {before}{into}{key.upper().replace('-', '_')}?"


def _value(text: str, shape: Shape) -> Any:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("its value is not UTF-8") from None
    if shape.kind == "value" or not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError('its value is no JSON; write a list as ["one", "two"], a table as {"key": "value"}') from None


def _put(tables: dict[str, Any], path: Path, value: Any) -> None:
    for part in path[:-1]:
        inside = tables.get(str(part))
        if not isinstance(inside, dict):
            inside = tables[str(part)] = {}
        tables = inside
    tables[str(path[-1])] = value
