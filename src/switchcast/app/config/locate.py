"""Where in a TOML text each key stands: ``tomllib`` tells values and forgets their places.

A path is a tuple of keys, with the index (from 0) of an element where there is a list or an array of tables:
``("route", 1, "to", 0)``. The scanner relies on a text that ``tomllib`` has read without complaint; all it needs to
know is where a value ends. ``tests/test_config_locate.py`` compares its paths with those of tomllib's own result.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Iterator
from typing import Final

__all__ = ["Path", "line_of", "lines_of"]

Path = tuple[str | int, ...]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BASIC: Final = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_LITERAL: Final = re.compile(r"'[^']*'")
_LONG_BASIC: Final = re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{0,2})', re.DOTALL)
_LONG_LITERAL: Final = re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)
_PLAIN_VALUE: Final = re.compile(r"[^,\]}\n#]+")
_BLANK: Final = re.compile(r"[ \t]*")
_VOID: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every key, table and element in ``text``, which tomllib must have read.

    Empty where the scanner loses its way: no line is better than a wrong one.
    """
    scanner = _Scanner(text)
    try:
        scanner.scan()
    except (_LostError, RecursionError, tomllib.TOMLDecodeError):
        return {}
    return scanner.lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of ``path``, or of the nearest table around it that stands in the text: where a key is missing."""
    for length in range(len(path), 0, -1):
        for way in _spellings(path[:length]):
            if (line := lines.get(way)) is not None:
                return line
    return None


def _spellings(path: Path) -> Iterator[Path]:
    """``path``, and how else it may be written where a table takes ``-`` for ``_``; never another name."""
    yield path
    for old, new in (("-", "_"), ("_", "-")):
        yield (*path[:2], *(part.replace(old, new) if isinstance(part, str) else part for part in path[2:]))


class _LostError(Exception):
    """The text is not as the scanner expects it."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._breaks = [found.start() for found in re.finditer("\n", text)]
        self._tables: dict[Path, int] = {}  # how many tables each array has by now
        self.lines: dict[Path, int] = {}

    def scan(self) -> None:
        """Go through the whole text."""
        table: Path = ()
        self._pass(_VOID)
        while self._at < len(self._text):
            if self._sees("["):
                table = self._header()
            else:
                self._pair(table)
            self._pass(_VOID)

    def _header(self) -> Path:
        start, array = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if array else 1
        keys = self._keys()
        self._expect("]]" if array else "]")
        path: Path = ()
        for place, key in enumerate(keys):
            path = (*path, key)
            self._note(path, start)
            if array and place == len(keys) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._note(path, start)
        return path

    def _pair(self, table: Path) -> None:
        start = self._at
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._expect("=")
        self._pass(_BLANK)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._sees("["):
            self._list(path)
        elif self._sees("{"):
            self._inline_table(path)
        else:
            self._scalar()

    def _list(self, path: Path) -> None:
        self._expect("[")
        index = 0
        self._pass(_VOID)
        while not self._sees("]"):
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
            self._pass(_VOID)
            if self._sees(","):
                self._expect(",")
                self._pass(_VOID)
        self._expect("]")

    def _inline_table(self, path: Path) -> None:
        self._expect("{")
        self._pass(_VOID)
        while not self._sees("}"):
            self._pair(path)
            self._pass(_VOID)
            if self._sees(","):
                self._expect(",")
                self._pass(_VOID)
        self._expect("}")

    def _scalar(self) -> None:
        for opening, pattern in (
            ('"""', _LONG_BASIC),
            ("'''", _LONG_LITERAL),
            ('"', _BASIC),
            ("'", _LITERAL),
            ("", _PLAIN_VALUE),
        ):
            if self._sees(opening):
                self._take(pattern)
                return

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._sees("."):
            self._expect(".")
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._pass(_BLANK)
        if self._sees('"'):
            key = str(tomllib.loads(f"key = {self._take(_BASIC)}")["key"])
        elif self._sees("'"):
            key = self._take(_LITERAL)[1:-1]
        else:
            key = self._take(_BARE_KEY)
        self._pass(_BLANK)
        return key

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect.bisect_left(self._breaks, at) + 1)

    def _sees(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _expect(self, text: str) -> None:
        if not self._sees(text):
            raise _LostError
        self._at += len(text)

    def _pass(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self._text, self._at):
            self._at = found.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise _LostError
        self._at = found.end()
        return found[0]
