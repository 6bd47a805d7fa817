"""The module's own file, ``event_multicast.conf.xml``, read as FreeSWITCH reads it.

::

    <X-PRE-PROCESS cmd="set" data="group=225.1.1.1"/>            variables, for what stands behind them
    <configuration name="event_multicast.conf">
      <settings>
        <param name="address" value="$${group},192.0.2.7"/>      the last of a name counts; case does not

Where a value is wrong FreeSWITCH takes something else without a word; here it is an error that says what FreeSWITCH
would have done. A file needs no document type and no entities, so one that has them is refused before they mean
anything.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Final
from xml.parsers import expat

from switchcast.app.config.load import read_text
from switchcast.app.config.problems import Problems
from switchcast.app.config.shapes import nearest
from switchcast.errors import ConfigurationError

__all__ = ["MOST_DESTINATIONS", "StockSettings", "is_stock_file", "read_stock"]

MOST_DESTINATIONS: Final = 16
"""Destinations that the module has room for."""
PARAMS: Final = ("address", "port", "bindings", "ttl", "loopback", "source_address", "source_address_ipv6", "psk")
_TRUE: Final = frozenset({"yes", "on", "true", "t", "enabled", "active", "allow"})
_FALSE: Final = frozenset({"no", "off", "false", "f", "disabled", "inactive", "disallow", ""})
_VARIABLE: Final = re.compile(r"\$\$\{([^}]*)\}")
_NUMBER: Final = re.compile(r"\s*[+-]?\d+")
_CONFIGURATION: Final = "event_multicast.conf"


@dataclass
class StockSettings:
    """What the module's file says, with the module's defaults. ``lines`` tells where each param stands."""

    address: tuple[str, ...] = ()
    port: int = 0
    bindings: str = ""
    ttl: int = 1
    loopback: bool = False
    source_address: str | None = None
    source_address_ipv6: str | None = None
    psk: str | None = field(default=None, repr=False)
    lines: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def is_stock_file(path: FilePath) -> bool:
    """Whether ``path`` is the module's file rather than ours, by its name."""
    return path.suffix.lower() == ".xml"


def read_stock(path: FilePath, variables: Mapping[str, str], environ: Mapping[str, str]) -> StockSettings:
    """What the file at ``path`` says. ``variables`` are those that FreeSWITCH would have from other files.

    Raises ``ConfigurationError`` with every mistake.
    """
    text = read_text(path)
    problems = Problems(str(path))
    reader = _Reader(problems, variables, environ)
    reader.read(text)
    settings = StockSettings(warnings=reader.warnings)
    for name, (value, line) in reader.params.items():
        settings.lines[name] = line
        try:
            _READERS[name](settings, value)
        except ValueError as error:
            shown = "" if name == "psk" or not value else f'"{value}": '
            problems.add_line(line, f"{name}: {shown}{error}")
    if not problems.found():
        _complete(settings, reader, problems)
    problems.raise_if_any()
    return settings


def _complete(settings: StockSettings, reader: _Reader, problems: Problems) -> None:
    """Note what the module cannot do without."""
    if not settings.address:
        missing = "address: missing; FreeSWITCH would send nowhere; give a group such as 239.192.1.1"
        problems.add_line(reader.line, missing)
    if not settings.port:
        problems.add_line(reader.line, "port: missing; FreeSWITCH would take port 0; give one such as 4242")
    if not settings.bindings.split():
        sentence = "bindings: none, so this host sends nothing, as in stock"
        settings.warnings.append(f"{problems.file}:{reader.line}: {sentence}")


class _Reader:
    """The elements of one file, as they come."""

    def __init__(self, problems: Problems, given: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.params: dict[str, tuple[str, int]] = {}
        self.warnings: list[str] = []
        self.line = 1
        self._problems = problems
        self._given = given  # these win over what the file sets
        self._variables: dict[str, str] = {}
        self._environ = environ
        self._around: list[str] = []
        self._names: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def read(self, text: str) -> None:
        """Read the whole ``text``; raises ``ConfigurationError`` where it is no XML or none of the module's."""
        try:
            self._parser.Parse(re.sub(r"\A\s*<\?xml[^>]*\?>", _blank, text).encode(), True)
        except expat.ExpatError as error:
            reason = f"column {error.offset + 1}: not XML: {expat.ErrorString(error.code)}"
            self._problems.add_line(error.lineno, reason)
            self._problems.raise_if_any()
        if _CONFIGURATION in self._names:
            return
        if self._names:
            reason = f"this is {self._names[0]}, not {_CONFIGURATION}; name the module's file"
            self._problems.add_line(self.line, reason)
        else:
            self._problems.add_line(self.line, f'there is no <configuration name="{_CONFIGURATION}">')
        self._problems.raise_if_any()

    def _refuse_doctype(self, *_: object) -> None:
        raise ConfigurationError(
            f"{self._problems.file}:{self._parser.CurrentLineNumber}: has a document type, which can hold entities "
            "without end; FreeSWITCH's files need none, so take it out"
        )

    def _start(self, element: str, attributes: dict[str, str]) -> None:
        self.line = self._parser.CurrentLineNumber
        self._around.append(element)
        try:
            if element == "X-PRE-PROCESS":
                self._preprocess(attributes)
            elif element == "configuration":
                self._names.append(attributes.get("name", "a configuration without a name"))
            elif self._around[-3:] == ["configuration", "settings", "param"] and self._names[-1] == _CONFIGURATION:
                self._param(attributes)
        except ValueError as error:
            self._problems.add_line(self.line, str(error))

    def _end(self, _element: str) -> None:
        self._around.pop()

    def _param(self, attributes: dict[str, str]) -> None:
        name = self._expanded(attributes.get("name", ""))
        value = self._expanded(attributes.get("value", ""))
        if name.lower() in PARAMS:
            self.params[name.lower()] = (value, self.line)
        else:
            hint = nearest(name, PARAMS)
            called = name or "a param without a name"
            where = f"{self._problems.file}:{self.line}"
            self.warnings.append(f"{where}: {called}: unknown, so it does nothing, as in stock; {hint}")

    def _preprocess(self, attributes: dict[str, str]) -> None:
        command, data = attributes.get("cmd", ""), attributes.get("data", "")
        name, equals, value = data.partition("=")
        if command in {"set", "env-set"} and not (name.strip() and equals):
            raise ValueError(f'X-PRE-PROCESS {command}: data gives no name a value; write data="name=value"')
        if command == "set":
            self._variables[name.strip()] = self._expanded(value)
        elif command == "env-set":
            variable = self._expanded(value)
            if variable not in self._environ:
                raise ValueError(f"X-PRE-PROCESS env-set: the environment has no {variable}; set it")
            self._variables[name.strip()] = self._environ[variable]
        else:
            raise ValueError(
                f"X-PRE-PROCESS {command}: only set and env-set can be done outside of FreeSWITCH; take it out, and "
                "give what it would set with --set name=value"
            )

    def _expanded(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            for variables in (self._given, self._variables):
                if found[1] in variables:
                    return variables[found[1]]
            raise ValueError(
                f"$${{{found[1]}}} is set in another file of FreeSWITCH's; give it with --set {found[1]}=value"
            )

        return _VARIABLE.sub(value, text)


def _blank(found: re.Match[str]) -> str:
    """As many line breaks: the text is Unicode by now, whatever the declaration says of its encoding."""
    return "\n" * found[0].count("\n")


def _address(settings: StockSettings, value: str) -> None:
    destinations = tuple(each.strip() for each in value.split(","))
    if not all(destinations):
        raise ValueError("a destination is missing; write addresses with single commas between them")
    if len(destinations) > MOST_DESTINATIONS:
        raise ValueError(
            f"{len(destinations)} destinations; FreeSWITCH has room for {MOST_DESTINATIONS} and would not start; take "
            "some out"
        )
    if wrong := next((each for each in destinations if re.search(r"[^0-9A-Za-z.:_-]", each)), None):
        raise ValueError(f"{wrong!r} is neither an address nor a name; FreeSWITCH would not start with it")
    settings.address = destinations


def _port(settings: StockSettings, value: str) -> None:
    if not re.fullmatch(r"\s*\d{1,5}\s*", value, re.ASCII) or not 1 <= int(value) <= 65535:
        raise ValueError(f"no port; FreeSWITCH would take it for {_atoi(value) & 0xFFFF}; write 1 to 65535")
    settings.port = int(value)


def _bindings(settings: StockSettings, value: str) -> None:
    settings.bindings = value


def _ttl(settings: StockSettings, value: str) -> None:
    number = _atoi(value)
    taken = number & 0xFF if (number and number <= 255) or value == "0" else 1
    if not re.fullmatch(r"\s*\d{1,3}\s*", value, re.ASCII) or not 0 <= int(value) <= 255:
        raise ValueError(f"no TTL; FreeSWITCH would take it for {taken}; write 0 to 255")
    settings.ttl = int(value)


def _loopback(settings: StockSettings, value: str) -> None:
    word = value.strip().lower()
    if word.isascii() and word.isdigit():
        settings.loopback = int(word) != 0
    elif word in _TRUE or word in _FALSE:
        settings.loopback = word in _TRUE
    else:
        raise ValueError("neither yes nor no; FreeSWITCH would take it for no; write yes or no")


def _source_address(settings: StockSettings, value: str) -> None:
    settings.source_address = _local_address(value, 4)


def _source_address_ipv6(settings: StockSettings, value: str) -> None:
    settings.source_address_ipv6 = _local_address(value, 6)


def _local_address(value: str, version: int) -> str | None:
    """An address to bind; ``None`` for any."""
    text = value.strip()
    if not text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        address = None
    if address is None or address.version != version or address.is_multicast:
        raise ValueError(
            f"no IPv{version} address of a host; FreeSWITCH would not start with it; write one of this host's"
        )
    return None if address.is_unspecified else text


def _psk(settings: StockSettings, value: str) -> None:
    if not 1 <= len(value.encode()) <= 72:
        raise ValueError(f"a key of {len(value.encode())} bytes; 1 to 72 count; write a key, or leave the param out")
    settings.psk = value


def _atoi(text: str) -> int:
    """What the C function makes of ``text``: the number at its beginning, or 0."""
    found = _NUMBER.match(text)
    return int(found[0]) if found and len(found[0]) < 12 else 0


_READERS: Final[Mapping[str, Callable[[StockSettings, str], None]]] = {
    "address": _address,
    "port": _port,
    "bindings": _bindings,
    "ttl": _ttl,
    "loopback": _loopback,
    "source_address": _source_address,
    "source_address_ipv6": _source_address_ipv6,
    "psk": _psk,
}
