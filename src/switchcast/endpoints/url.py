"""Endpoint URLs: parsed once, options checked by type, secrets never shown.

``scheme://host[,host...]:port/path?option=value``; ``file:PATH``, ``memory:name`` and ``-`` have no host. Hosts of IPv6
stand in brackets. An option that the endpoint does not take is an error that names the nearest one it does.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from switchcast.errors import UrlError
from switchcast.private_files import read_secret

__all__ = ["SECRET_OPTIONS", "EndpointUrl", "mask_text", "parse_boolean"]

SECRET_OPTIONS = frozenset({"psk", "password"})
"""Options whose value is a secret: shown as ``***`` wherever a URL is printed. Each also exists as ``<name>_file``."""

_WITHOUT_HOST = {"-", "file", "archive", "memory"}
_TRUE = {"1", "yes", "true", "on"}
_FALSE = {"0", "no", "false", "off"}


@dataclass(frozen=True, slots=True)
class EndpointUrl:
    """One parsed endpoint URL. ``str()`` gives it back with secrets masked."""

    scheme: str
    hosts: tuple[str, ...] = ()
    port: int | None = None
    path: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> EndpointUrl:
        """Parse ``text``; raises ``UrlError`` that says which part is wrong."""
        if text == "" or text.isspace():
            raise UrlError("an endpoint URL is empty; give one such as multicast://239.192.1.1:4242")
        scheme, colon, rest = text.partition(":")
        standard_streams = text.partition("?")[0] == "-"
        if not colon and not standard_streams:
            group = "" if "/" in text else f", for a group multicast://{text}:4242"
            raise UrlError(f"{text!r} is no endpoint URL: it has no scheme; for a file write file:{text}{group}")
        try:
            parts = urlsplit(text)
            options = tuple(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        except ValueError as error:
            raise UrlError(f"{mask_text(text)}: not a URL: {error}") from None
        if standard_streams:
            return cls("-", options=options)
        if not rest.startswith("//"):
            return cls(scheme.lower(), path=unquote(rest.partition("?")[0]), options=options)
        userinfo, _, location = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        hosts, port = _hosts_and_port(mask_text(text), location)
        return cls(
            scheme.lower(),
            hosts,
            port,
            unquote(parts.path),
            unquote(username) or None,
            unquote(password) or None,
            options,
        )

    def __str__(self) -> str:
        text = "-" if self.scheme == "-" else f"{self.scheme}:"
        if self.hosts or self.port is not None:
            text += "//"
            if self.username or self.password:
                text += (self.username or "") + (":***" if self.password else "") + "@"
            text += ",".join(f"[{host}]" if ":" in host else host for host in self.hosts)
            text += f":{self.port}" if self.port is not None else ""
        elif not self.path and self.scheme not in _WITHOUT_HOST:
            text += "//"
        text += self.path
        shown = (f"{name}={'***' if name in SECRET_OPTIONS else value}" for name, value in self.options)
        query = "&".join(shown)
        return f"{text}?{query}" if query else text

    def only(self, allowed: Sequence[str]) -> None:
        """Raise ``UrlError`` for an option that is not in ``allowed``, or that stands twice."""
        seen: set[str] = set()
        for name, _ in self.options:
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(allowed)) or 'none'}"
                raise UrlError(f"{self}: unknown option {name!r} for {self.scheme}: endpoints; {hint}")
            if name in seen:
                raise UrlError(f"{self}: option {name!r} is given twice")
            seen.add(name)

    def text(self, name: str, default: str | None = None) -> str | None:
        """The option's value, or ``default``."""
        return dict(self.options).get(name, default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """The option as a whole number within ``low`` to ``high``, both allowed."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = int(value)
        except ValueError:
            raise UrlError(f"{self}: {name}={value!r} is not a whole number") from None
        if not low <= number <= high:
            raise UrlError(f"{self}: {name}={value} is out of range; {low} to {high} are allowed")
        return number

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """The option as a number within ``low`` to ``high``, both allowed."""
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            raise UrlError(f"{self}: {name}={value!r} is not a number") from None
        if not low <= number <= high:  # refuses NaN too
            raise UrlError(f"{self}: {name}={value} is out of range; {low:g} to {high:g} are allowed")
        return number

    def boolean(self, name: str, default: bool) -> bool:
        """The option as yes or no."""
        value = self.text(name)
        if value is None:
            return default
        truth = parse_boolean(value)
        if truth is None:
            raise UrlError(f"{self}: {name}={value!r} is neither yes nor no")
        return truth

    def choice(self, name: str, default: str, allowed: Sequence[str]) -> str:
        """The option as one of ``allowed``."""
        value = dict(self.options).get(name, default)
        if value not in allowed:
            raise UrlError(f"{self}: {name}={value!r} is none of {', '.join(allowed)}")
        return value

    def addresses(self, name: str) -> tuple[str, ...]:
        """The option as IP addresses with commas between them; none where it is not given."""
        addresses = tuple((self.text(name) or "").split(",")) if self.text(name) else ()
        for address in addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise UrlError(f"{self}: {name}={address!r} is no IP address") from None
        return addresses

    def secret(self, name: str) -> bytes | None:
        """The secret ``name``: given as ``name=`` or, better, kept in the file that ``name_file=`` gives.

        One line break at the end of the file is not part of the secret. A file that others can read is refused.
        """
        value, file = self.text(name), self.text(f"{name}_file")
        if value is not None and file is not None:
            raise UrlError(f"{self}: both {name} and {name}_file are given; keep {name}_file")
        if file is None:
            return None if value is None else os.fsencode(value)
        return read_secret(file)


def parse_boolean(text: str) -> bool | None:
    """Yes or no, in any of the words for it; ``None`` when it is neither."""
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else None


def mask_text(text: str) -> str:
    """``text``, which could not be parsed, without what may be a secret in it."""
    head, question, _ = text.partition("?")
    scheme, slashes, rest = head.partition("//")
    return scheme + slashes + rest.rpartition("@")[2] + ("?..." if question else "")


def _hosts_and_port(shown: str, location: str) -> tuple[tuple[str, ...], int | None]:
    """``a,b,[c]:port`` to its hosts and its port."""
    if location.count(":") > 1 and not {"[", ","} & set(location):
        raise UrlError(f"{shown}: an IPv6 address stands in brackets, as in [ff15::1]:4242")
    head, colon, tail = location.rpartition(":")
    port: int | None = None
    if colon and "]" not in tail:
        try:
            port = int(tail)
        except ValueError:
            raise UrlError(f"{shown}: the port {tail!r} is not a number") from None
        if not 0 <= port <= 65535:
            raise UrlError(f"{shown}: the port {port} is out of range; 1 to 65535 are allowed")
        location = head
    hosts = []
    for host in location.split(",") if location else []:
        bare = host.removeprefix("[").removesuffix("]")
        if not bare:
            raise UrlError(f"{shown}: a host is missing between the commas")
        if ":" in bare and not (host.startswith("[") and host.endswith("]")):
            raise UrlError(f"{shown}: an IPv6 address stands in brackets: [{bare}]")
        hosts.append(bare)
    return tuple(hosts), port
