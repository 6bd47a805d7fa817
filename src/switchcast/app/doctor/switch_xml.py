"""FreeSWITCH's own files, read with care: a broken one is an error with its line, and never more than that.

::

    vars.xml                 <X-PRE-PROCESS cmd="set" data="name=value"/>   variables, for the files that are read later
    event_socket.conf.xml    <param name="password" value="$${password}"/>  with its line, variables filled in
    modules.conf.xml         <load module="mod_event_multicast"/>

FreeSWITCH finds its ``X-PRE-PROCESS`` lines before anything is XML, so they are looked for as text here too. Document
types, which can hold entities without end, are refused. What a variable was set to by a command, a STUN server or the
switch itself is not known here; a param that needs one says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.parsers import expat

from switchcast.app.config.load import read_text
from switchcast.errors import ConfigurationError

__all__ = ["Element", "filled_in", "read_elements", "read_variables", "unknown_variables"]

_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_PREPROCESS: Final = re.compile(
    r"<X-PRE-PROCESS\s+cmd\s*=\s*\"(set|env-set)\"[^>]*?\sdata\s*=\s*\"([^\"=]+)=([^\"]*)\"", re.IGNORECASE
)
_VARIABLE: Final = re.compile(r"\$\$\{([^}]*)\}")
MOST_ELEMENTS: Final = 10_000
"""Elements of one file: the largest of FreeSWITCH's own has some hundreds."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its name, its attributes as they stand, and its line."""

    name: str
    attributes: Mapping[str, str]
    line: int


def read_elements(path: Path) -> list[Element]:
    """Every element of the file. Raises ``ConfigurationError`` that names file and line."""
    found: list[Element] = []
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says: the text is Unicode by now

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(found) == MOST_ELEMENTS:
            raise ConfigurationError(f"{path}:{parser.CurrentLineNumber}: has over {MOST_ELEMENTS:,} elements")
        found.append(Element(name, attributes, parser.CurrentLineNumber))

    def refuse(*_: object) -> None:
        raise ConfigurationError(
            f"{path}:{parser.CurrentLineNumber}: has a document type, which can hold entities without end; "
            "FreeSWITCH's files need none"
        )

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(read_text(path).encode("utf-8"), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ConfigurationError(f"{path}:{error.lineno}: column {error.offset + 1}: not XML: {reason}") from None
    return found


def read_variables(path: Path, environ: Mapping[str, str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """``known``, and what the file sets, each with those in front of it filled in. Raises ``ConfigurationError``.

    A variable that is set from an unknown one is as unknown.
    """
    variables = dict(known or {})
    for command, name, value in _PREPROCESS.findall(_COMMENT.sub("", read_text(path))):
        text = filled_in(value, variables)
        if command.lower() == "env-set":
            text = environ.get(text, "") if text is not None else None
        if text is None:
            variables.pop(name.strip(), None)
        else:
            variables[name.strip()] = text
    return variables


def filled_in(text: str, variables: Mapping[str, str]) -> str | None:
    """``text`` with its ``$${name}`` filled in; ``None`` where one of them is not known."""
    if any(name not in variables for name in _VARIABLE.findall(text)):
        return None
    return _VARIABLE.sub(lambda found: variables[found[1]], text)


def unknown_variables(elements: list[Element], variables: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """The variables that params need and that are not known, each with the line. What the file sets itself is known."""
    known = set(variables)
    for element in elements:
        if element.name == "X-PRE-PROCESS":
            known.add(element.attributes.get("data", "").partition("=")[0].strip())
        elif element.name == "param":
            for value in element.attributes.values():
                yield from ((name, element.line) for name in _VARIABLE.findall(value) if name not in known)
