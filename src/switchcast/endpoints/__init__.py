"""Where events come from and go to: one file a URL scheme, and the table that picks the file."""

from __future__ import annotations

import difflib
from importlib import import_module

from switchcast._native import Matcher
from switchcast.endpoints.base import Endpoint, Role
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UrlError

__all__ = ["SCHEMES", "Endpoint", "EndpointUrl", "Role", "make_endpoint"]

SCHEMES = {
    "multicast": "switchcast.endpoints.multicast:MulticastEndpoint",
    "udp": "switchcast.endpoints.udp:UdpEndpoint",
    "esl": "switchcast.endpoints.esl:EslEndpoint",
    "sim": "switchcast.endpoints.sim:SimEndpoint",
    "file": "switchcast.endpoints.file:FileEndpoint",
    "-": "switchcast.endpoints.file:FileEndpoint",
    "archive": "switchcast.endpoints.archive:ArchiveEndpoint",
    "memory": "switchcast.endpoints.memory:MemoryEndpoint",
}
"""Scheme to ``module:class``; a module is imported when its scheme is first used."""


def make_endpoint(url: str | EndpointUrl, *, matcher: Matcher | None = None, role: Role | None = None) -> Endpoint:
    """The endpoint for ``url``, not yet opened. Raises ``UrlError``.

    A secret that is in no file, such as the key in the module's own XML, is passed within an ``EndpointUrl``.
    """
    parsed = EndpointUrl.parse(url) if isinstance(url, str) else url
    try:
        module, _, name = SCHEMES[parsed.scheme].partition(":")
    except KeyError:
        near = difflib.get_close_matches(parsed.scheme, list(SCHEMES), n=1)
        hint = f"did you mean {near[0]}:?" if near else f"there are {', '.join(SCHEMES)}"
        raise UrlError(f"{parsed}: no endpoint has the scheme {parsed.scheme!r}; {hint}") from None
    kind: type[Endpoint] = getattr(import_module(module), name)
    return kind(parsed, matcher=matcher, role=role)
