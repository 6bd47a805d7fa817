"""Naming an endpoint on the command line: its URL, or the name that it has in a configuration.

A name is shorter than the URL, and it stands for all that the configuration says: mode, key files, interface, TTL. What
has a colon is a URL, for no name has one; ``-`` is standard input or output.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from switchcast._native import Matcher
from switchcast.app.cli.config import DEFAULT_FILE
from switchcast.endpoints import Endpoint, EndpointUrl, Role, make_endpoint
from switchcast.errors import UrlError

__all__ = ["EndpointConfig", "endpoint_named", "is_name", "url_named"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

EndpointConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        readable=False,
        help="The configuration whose endpoints can be named instead of their URLs.",
    ),
]


def is_name(text: str) -> bool:
    """Whether ``text`` could be an endpoint's name, and so is no URL."""
    return text != "-" and _NAME.fullmatch(text) is not None


def url_named(text: str, config: Path | None = None) -> EndpointUrl:
    """The URL that ``text`` is, or that the endpoint of this name has in ``config``.

    Raises ``UrlError`` where it is neither, and ``ConfigurationError`` where the configuration cannot be used.
    """
    if not is_name(text):
        return EndpointUrl.parse(text)
    file = config or DEFAULT_FILE
    if config is None and not file.exists():
        raise UrlError(
            f"{text!r} is no endpoint URL: for a file write file:{text}, for a group multicast://{text}:4242; "
            f"for an endpoint of a configuration add --config FILE, as there is no {DEFAULT_FILE}"
        )
    from switchcast.app.config import load_either
    from switchcast.app.config.shapes import nearest

    endpoints = load_either(file, outside=True).endpoints
    if text not in endpoints:
        raise UrlError(f"{text!r} is no endpoint URL, and {file} has no [endpoints.{text}]; {nearest(text, endpoints)}")
    return endpoints[text].url


def endpoint_named(text: str, config: Path | None = None, *, role: Role, matcher: Matcher | None = None) -> Endpoint:
    """The endpoint that ``text`` names, not yet opened. Raises as ``url_named`` does."""
    return make_endpoint(url_named(text, config), matcher=matcher, role=role)
