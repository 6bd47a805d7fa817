"""The mistakes of a configuration, and what is only odd: collected, and told one a line in the file's order.

::

    /etc/switchcast/switchcast.toml:12: endpoints.group.queue: "many": write a whole number
    file                            line key                   given   what would do

Nothing that may be a secret is repeated in a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from switchcast.app.config.locate import Path, line_of
from switchcast.app.config.shapes import keys_of, nearest, plain, shape_at, tables_in
from switchcast.app.config.writing import toml_key, toml_value
from switchcast.errors import ConfigurationError

__all__ = ["HIDDEN", "Problems", "is_secret", "key_text", "masked"]

HIDDEN: Final = "***"
_WIDEST: Final = 80
_SECRET_NAME: Final = re.compile(r"secret|passw|psk|token|authorization|cookie|credential|api.?key", re.IGNORECASE)
_USER_INFORMATION: Final = re.compile(r"(://[^/?#@\s\"']*?:)[^/?#@\s\"']*@")
_SECRET_OPTION: Final = re.compile(r"\b(psk|password|token|secret|api_?key)=[^&\s\"']+", re.IGNORECASE)

_MENDS: Final[Mapping[str, str]] = {
    "string_type": "write a text in quotes",
    "int_type": "write a whole number",
    "int_parsing": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "tuple_type": "write a list in brackets",
    "list_type": "write a list in brackets",
    "set_type": "write a list in brackets",
    "frozen_set_type": "write a list in brackets",
    "dict_type": "write a table",
    "model_type": "write a table",
    "model_attributes_type": "write a table",
}


def is_secret(key: str) -> bool:
    """Whether the value of ``key`` may be a secret by its name. The name of a file with one is none."""
    return bool(_SECRET_NAME.search(key)) and not plain(key).endswith(("_file", "_files"))


def masked(text: str) -> str:
    """``text`` without the passwords and keys in the URLs that it holds."""
    return _SECRET_OPTION.sub(rf"\1={HIDDEN}", _USER_INFORMATION.sub(rf"\1{HIDDEN}@", text))


def key_text(path: Path) -> str:
    """``endpoints.group.url``, ``route[2].to[1]``: elements are counted from 1, as people do."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else ("." if text else "") + toml_key(part)
    return text


@dataclass
class Problems:
    """The mistakes of one file, and its ``warnings``.

    ``lines`` tells where each key stands, ``variables`` which environment variable (or option of the command line)
    gave it instead.
    """

    file: str
    lines: dict[Path, int] = field(default_factory=dict)
    variables: dict[Path, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    _found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path, given: Any, mend: str) -> None:
        """Note that what stands at ``path`` will not do. ``given`` is the value, or ``None`` to show none."""
        shown = "" if given is None else f"{_shown(path, given)}: "
        where, line = self.place(path)
        message = masked(f"{where}: {key_text(path)}: {shown}{mend}" if path else f"{where}: {shown}{mend}")
        if (line, message) not in self._found:
            self._found.append((line, message))

    def add_line(self, line: int, mend: str) -> None:
        """Note what is wrong with a line of the file, where no key can be told."""
        self._found.append((line, masked(f"{self.file}:{line}: {mend}")))

    def add_variable(self, name: str, mend: str) -> None:
        """Note what is wrong with an environment variable."""
        self._found.append((0, masked(f"environment variable {name}: {mend}")))

    def warn(self, path: Path, sentence: str) -> None:
        """Note that what stands at ``path`` is odd, though it can be used."""
        where, _ = self.place(path)
        self.warnings.append(masked(f"{where}: {key_text(path)}: {sentence}" if path else f"{where}: {sentence}"))

    def place(self, path: Path) -> tuple[str, int]:
        """Where ``path`` was given, and its line; 0 where it has none."""
        for length in range(len(path), 0, -1):
            if variable := self.variables.get(path[:length]):
                return variable, 0
        for table in (path, path[:-1]):
            if table and table not in self.lines:  # then it may be the environment that made it
                for given, name in self.variables.items():
                    if given[: len(table)] == table:
                        return name, 0
        line = line_of(self.lines, path)
        return (self.file, 0) if line is None else (f"{self.file}:{line}", line)

    def add_invalid(self, error: Mapping[str, Any], root: type[BaseModel]) -> None:
        """Note what pydantic found wrong: one of ``ValidationError.errors()``."""
        path: Path = tuple(error["loc"])
        kind, given = error["type"], error.get("input")
        if path and path[-1] == "[key]":
            self.add(path[:-1], None, "a name has letters, digits, '.', '_' and '-', 64 at most; choose another")
        elif kind == "extra_forbidden":
            table = shape_at(root, path[:-1])
            model = table.inner if table is not None and table.kind == "table" else None
            self.add(path, None, f"unknown key; {_hint(path, model)}")
        elif kind == "missing":
            self.add(path, None, _missing(root, path))
        else:
            whole = kind == "value_error" and isinstance(given, Mapping | list | tuple)
            self.add(path, None if whole else given, _without_secrets(_mend(error), path, given))

    def found(self) -> int:
        """How many there are by now."""
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raise ``ConfigurationError`` with all of them, in the file's order."""
        if self._found:
            raise ConfigurationError("\n".join(message for _, message in sorted(self._found, key=lambda each: each[0])))


def _hint(path: Path, model: type[BaseModel] | None) -> str:
    """Which key may be meant: one of a table further inside, else the nearest of ``model``'s own."""
    if model is None:
        return nearest(str(path[-1]), [])
    inside = [key for key, keys in tables_in(model).items() if path[-1] in keys]
    if inside:
        return "it belongs into " + " or ".join(f"[{key_text((*path[:-1], key))}]" for key in inside)
    return nearest(str(path[-1]), keys_of(model))


def _missing(root: type[BaseModel], path: Path) -> str:
    table = shape_at(root, path[:-1])
    example = None
    if table is not None and table.kind == "table":
        for name, info in table.inner.model_fields.items():
            if path[-1] in {name, info.alias} and info.examples:
                example = info.examples[0]
    return "missing" if example is None else f"missing; for example {toml_key(str(path[-1]))} = {toml_value(example)}"


def _mend(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        given = error.get("input")
        return f"none of {', '.join(choices)}" + (f"; {near}" if (near := _near(given, choices)) else "")
    if kind in {"too_short", "string_too_short"}:
        return "empty; give at least one" if kind == "too_short" else "empty; give a text"
    if kind == "string_pattern_mismatch":
        return "a name has letters, digits, '.', '_' and '-', 64 at most; choose another"
    if kind.startswith(("greater_than", "less_than")):
        limit = next(iter(context.values()))
        bound = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
        return f"out of range; {bound.get(kind, 'at most')} {limit} is allowed"
    return _MENDS.get(kind, str(error["msg"]))


def _near(given: Any, choices: list[str]) -> str:
    near = nearest(given, choices) if isinstance(given, str) else ""
    return near if near.startswith("did") else ""


def _is_hidden(path: Path, given: Any) -> bool:
    """Whether the value ``given`` at ``path`` may be a secret, or one that stands where its file should be named."""
    keys = [part for part in path if isinstance(part, str)]
    if any(is_secret(key) for key in keys):
        return True
    return any(plain(key).endswith(("_file", "_files")) for key in keys) and not str(given).startswith(
        ("/", "credential:")
    )


def _without_secrets(message: str, path: Path, given: Any) -> str:
    """``message`` without the values in it that may be secrets."""
    inside = given.items() if isinstance(given, Mapping) else [(path[-1] if path else "", given)]
    for key, value in inside:
        if isinstance(value, str) and value and _is_hidden((*path, key), value):
            message = message.replace(repr(value), HIDDEN).replace(value, HIDDEN)
    return message


def _shown(path: Path, given: Any) -> str:
    if isinstance(given, Mapping):
        return "a table"
    if isinstance(given, list | tuple):
        return "a list"
    if _is_hidden(path, given):
        return HIDDEN
    text = toml_value(given)
    if len(text) <= _WIDEST:
        return text
    return text[: _WIDEST - 4] + ('..."' if text.startswith('"') else "...")
