"""Tables to TOML that reads back as the same tables.

Keys with a value come first, then the tables inside, then the arrays of tables: what TOML's grammar asks for. ``None``
is left out, for TOML has no word for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["toml_key", "toml_text", "toml_value"]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDEST_LIST: Final = 100


def toml_text(tables: Mapping[str, Any], notes: Mapping[tuple[str | int, ...], str] | None = None) -> str:
    """``tables`` as TOML. ``notes`` are comments, by the path of what they stand in front of."""
    lines: list[str] = []
    _write(lines, tables, (), (), notes or {})
    return "\n".join(lines).strip("\n") + "\n" if lines else ""


def toml_key(key: str) -> str:
    """``key`` bare where TOML allows it, else in quotes."""
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)


def toml_value(value: Any) -> str:
    """One value on one line: text, number, truth, list or inline table; a long list on several."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        items = [toml_value(each) for each in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= _WIDEST_LIST else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    return str(value)


def _write(
    lines: list[str],
    table: Mapping[str, Any],
    header: tuple[str, ...],
    path: tuple[str | int, ...],
    notes: Mapping[tuple[str | int, ...], str],
) -> None:
    inside: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, Mapping) or _is_array_of_tables(value):
            inside.append((key, value))
        elif value is not None:
            _note(lines, notes.get((*path, key)))
            lines.append(f"{toml_key(key)} = {toml_value(value)}")
    for key, value in inside:
        name = ".".join(toml_key(each) for each in (*header, key))
        if isinstance(value, Mapping):
            kept = [each for each in value.values() if each is not None]
            if not kept or any(map(_is_value, kept)) or (*path, key) in notes:
                lines.append("")
                _note(lines, notes.get((*path, key)))
                lines.append(f"[{name}]")
            _write(lines, value, (*header, key), (*path, key), notes)
            continue
        for index, each in enumerate(value):
            lines.append("")
            _note(lines, notes.get((*path, key, index)))
            lines.append(f"[[{name}]]")
            _write(lines, each, (*header, key), (*path, key, index), notes)


def _note(lines: list[str], note: str | None) -> None:
    lines.extend(f"# {line}".rstrip() for line in (note or "").splitlines())


def _is_array_of_tables(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(each, Mapping) for each in value)
    )


def _is_value(value: Any) -> bool:
    return not isinstance(value, Mapping) and not _is_array_of_tables(value)
