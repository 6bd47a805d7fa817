"""Templates: text with an event's values in it, ``/var/lamps/{h[MWI-Message-Account]}``.

Nothing is computed in one: a field is replaced by its value as it is, once, and what the value holds is never read as
a template again. What a value may do where it is put (an argument, a URL, a line) is the action's to say: ``escape``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from switchcast._native import Event

__all__ = ["FIELDS", "Template"]

FIELDS: Final = ("h[Header-Name]", "name", "subclass", "sender", "node", "unique_id", "body")
"""Every field there is, as it is written between braces."""

_PART: Final = re.compile(r"\{\{|\}\}|\{h\[(?P<header>[^{}\r\n]*?)\]\}|\{(?P<field>[^{}]*)\}|(?P<stray>[{}])|[^{}]+")
_Part = str | Callable[[Event, str], str]

_VALUES: Final[dict[str, Callable[[Event, str], str]]] = {
    "name": lambda event, _: event.name,
    "subclass": lambda event, _: event.subclass or "",
    "sender": lambda event, _: event.sender or "",
    "node": lambda _, node: node,
    "unique_id": lambda event, _: event.unique_id or "",
    "body": lambda event, _: event.body.decode("utf-8", "surrogateescape"),
}


class Template:
    """Text with fields: ``{h[Header-Name]}``, ``{name}``, ``{subclass}``, ``{sender}``, ``{node}``, ``{unique_id}``
    and ``{body}``; ``{{`` and ``}}`` stand for braces.

    A header that the event does not have is the empty text, as in conditions. Raises ``ValueError`` with a sentence
    that says what would do.
    """  # noqa: D205 - the list of fields is the sentence

    def __init__(self, text: str) -> None:
        self.text = text
        parts: list[_Part] = []
        fields: list[str] = []
        for found in _PART.finditer(text):
            part, field = _part(found, text)
            if field is not None:
                fields.append(field)
            if parts and isinstance(part, str) and isinstance(parts[-1], str):
                parts[-1] += part
            else:
                parts.append(part)
        self._parts: tuple[_Part, ...] = tuple(parts)
        self.fields: tuple[str, ...] = tuple(dict.fromkeys(fields))
        """Each field once, in order, as it is written between its braces."""

    @property
    def constant(self) -> bool:
        """Whether no event can change what it gives."""
        return not self.fields

    @property
    def literals(self) -> tuple[str, ...]:
        """The text around the fields."""
        return tuple(part for part in self._parts if isinstance(part, str))

    @property
    def beginning(self) -> str:
        """The text in front of the first field: what no event can change."""
        return self._parts[0] if self._parts and isinstance(self._parts[0], str) else ""

    def render(self, event: Event, node: str, escape: Callable[[str], str] | None = None) -> str:
        """The text with ``event``'s values, each through ``escape`` if there is one; ``node`` is this host's name.

        Bytes of the event that are not UTF-8 are lone surrogates (``surrogateescape``), as everywhere.
        """
        if escape is None:
            return "".join([part if isinstance(part, str) else part(event, node) for part in self._parts])
        return "".join([part if isinstance(part, str) else escape(part(event, node)) for part in self._parts])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def _part(found: re.Match[str], text: str) -> tuple[_Part, str | None]:
    """What one match of ``_PART`` stands for: a piece of text, or a value and the name of its field."""
    piece = found[0]
    if piece in {"{{", "}}"}:
        return piece[0], None
    if found["header"] is not None:
        return _header(found["header"]), f"h[{found['header']}]"
    if found["field"] is not None:
        return _value(found["field"]), found["field"]
    if found["stray"] is not None:
        place = f"character {found.start() + 1} of {text!r}"
        raise ValueError(f"a brace at {place} has no other half; write {piece * 2} for a brace itself")
    return piece, None


def _header(name: str) -> _Part:
    bare = name.strip()
    if bare != name or not bare or bare[0] in "\"'":
        wanted = bare.strip("\"'").strip() or "Header-Name"
        raise ValueError(f"{{h[{name}]}} names no header; write it as {{h[{wanted}]}}, without quotes or spaces")
    return lambda event, _: event.get(name) or ""


def _value(field: str) -> _Part:
    value = _VALUES.get(field)
    if value is None:
        known = ", ".join(f"{{{name}}}" for name in FIELDS)
        raise ValueError(f"{{{field}}} is no field; there are {known}, and {{{{ and }}}} for braces themselves")
    return value
