"""What the URL of an ``esl:`` endpoint may say, and the two of its options that take more than one look."""

from __future__ import annotations

import os
from typing import Final

from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UrlError
from switchcast.wire.eventsocket import command_line

__all__ = ["DEFAULT_PASSWORD", "OPTIONS", "filters_of", "password_of"]

DEFAULT_PASSWORD: Final = b"ClueCon"

OPTIONS: Final = (
    "password",
    "password_file",
    "user",
    "format",
    "filter",
    "timeout",
    "heartbeat",
    "reconnect",
    "queue",
    "refire",
    "fs_path",
    "fs_path_host",
)


def password_of(url: EndpointUrl) -> bytes:
    """The one that the URL gives, in one of three ways, or the one that FreeSWITCH is shipped with."""
    given = url.secret("password")
    if url.password is not None:
        if given is not None:
            raise UrlError(f"{url}: the password is given twice; keep password_file")
        given = os.fsencode(url.password)
    return DEFAULT_PASSWORD if given is None else given


def filters_of(url: EndpointUrl) -> list[tuple[str, str]]:
    """``Header:value,...`` as pairs, each fit for a command."""
    pairs = []
    for text in filter(None, (url.text("filter") or "").split(",")):
        name, colon, value = text.partition(":")
        if not (name and colon and value) or " " in name:
            raise UrlError(f"{url}: filter={text!r} is not written Header:value")
        command_line("filter", name, value)
        pairs.append((name, value))
    return pairs
