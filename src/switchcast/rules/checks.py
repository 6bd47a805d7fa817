"""What a rule's texts have to be: each check gives the text back, or raises ``ValueError`` with what would do.

The kinds of text are annotated types, so that a table of settings says by a field's type what it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from switchcast._native import EVENT_NAMES, Event
from switchcast.rules.template import Template

__all__ = [
    "EventHeaders",
    "EventName",
    "HttpHeaders",
    "SecretFile",
    "TemplateText",
    "Words",
    "constant",
    "one_line",
    "web_address",
]

_BREAKS: Final = {"\r": "a carriage return", "\n": "a line break", "\0": "a NUL"}
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HTTP_OWN: Final = frozenset({"connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"})
_EVENT_OWN: Final = frozenset({"event-name", "event-subclass", "content-length", "multicast", "multicast-sender"})
_MARKS: Final = "switchcast-"
_CREDENTIAL: Final = re.compile(r"credential:[A-Za-z0-9][A-Za-z0-9_.@-]*")


def without_nul(text: str) -> str:
    """A template without a NUL in its own text: no argument, variable or event body can hold one."""
    if any("\0" in literal for literal in Template(text).literals):
        raise ValueError(f"{text!r} holds a NUL, which cannot be passed on; leave it out")
    return text


def one_line(text: str) -> str:
    """A template without a line break or NUL in its own text. What events bring is the action's to refuse."""
    for literal in Template(text).literals:
        for character, called in _BREAKS.items():
            if character in literal:
                raise ValueError(f"{text!r} holds {called}, which would end the line; leave it out")
    return text


def constant(text: str, what: str) -> str:
    """A text without fields, and so without braces."""
    fields = Template(text).fields
    if fields:
        raise ValueError(f"{what} may not come from an event, and {text!r} holds {{{fields[0]}}}; write it out")
    if "{" in text or "}" in text:
        raise ValueError(f"{what} {text!r} holds a brace; choose one without")
    return text


def web_address(text: str) -> str:
    """An http or https URL whose host no event can change."""
    template = Template(one_line(text))
    if " " in "".join(template.literals):
        raise ValueError(f"{text!r} holds a space; write it as %20")
    parts = _parts_of(template.beginning, text)
    if parts.scheme not in {"http", "https"} or not (parts.hostname or template.fields):
        raise ValueError(f"{text!r} is no web address; write https://host/path or http://host:port/path")
    if template.fields and not (parts.path or parts.query):
        raise ValueError(
            f"the host of {text!r} may come from an event; write host and a / before the first field, "
            "as https://host/{h[Unique-ID]}"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("a web address here holds no user or password; put them in a file and name it in header_files")
    if "#" in text:
        raise ValueError(f"{text!r} holds a #, and what follows one is never sent; leave it out")
    return text


def _parts_of(beginning: str, text: str) -> Any:
    try:
        parts = urlsplit(beginning)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no web address: {error}; write https://host/path") from None
    return parts


def _words(value: object) -> object:
    """A text where a list of texts is meant would be taken apart by a shell elsewhere; there is none here."""
    if isinstance(value, str):
        raise ValueError(f"write a list, one item for each argument, such as {_as_list(value)}; there is no shell")  # noqa: TRY004
    return value


def _as_list(text: str) -> str:
    shown = [f'"{word}"' for word in text.split()[:4]] or ['"word"']
    return f"[{', '.join(shown)}]"


def _event_name(name: str) -> str:
    upper = constant(name, "an event's name").upper()
    if upper not in EVENT_NAMES or upper == "ALL":
        raise ValueError(f"{name!r} is no event that FreeSWITCH has; write CUSTOM and a subclass for one of your own")
    return upper


def _http_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no HTTP header name; letters, digits and - will do")
        if name.lower() in _HTTP_OWN:
            raise ValueError(f"{name} is set by the request itself; leave it out")
        one_line(value)
    return headers


def _event_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        lower = name.lower()
        if lower in _EVENT_OWN or lower.startswith(_MARKS):
            raise ValueError(f"{name} is not set here: name, subclass and body do that, and what passes events on")
        try:
            Event("CUSTOM", {name: ""})
        except ValueError as error:
            raise ValueError(f"{name!r} is no header name: {error}") from None
        one_line(value)
    return headers


def _secret_file(text: str) -> str:
    if not (text.startswith("/") or _CREDENTIAL.fullmatch(text)) or "\0" in text:
        raise ValueError(f"{text!r} is no place of a secret; write an absolute path, or credential:NAME of systemd's")
    return text


def _each(check: Callable[[str], str]) -> Callable[[Mapping[str, str]], Mapping[str, str]]:
    def check_all(values: Mapping[str, str]) -> Mapping[str, str]:
        for value in values.values():
            check(value)
        return values

    return check_all


TemplateText = Annotated[str, AfterValidator(without_nul)]
"""A template."""
Line = Annotated[str, AfterValidator(one_line)]
"""A template that gives one line."""
Words = Annotated[tuple[TemplateText, ...], BeforeValidator(_words)]
"""A list of templates: one argument each."""
EventName = Annotated[str, AfterValidator(_event_name)]
"""The name of an event that can be sent."""
HttpHeaders = Annotated[dict[str, str], AfterValidator(_http_headers)]
"""Names, and templates for their values."""
EventHeaders = Annotated[dict[str, str], AfterValidator(_event_headers)]
"""Names, and templates for their values."""
SecretFile = Annotated[str, AfterValidator(_secret_file)]
"""Where a secret is: an absolute path, or ``credential:NAME``."""
SecretFiles = Annotated[
    dict[str, SecretFile], AfterValidator(lambda files: _http_headers(dict.fromkeys(files, "")) and files)
]
"""HTTP header names, and where each one's value is."""
WebAddress = Annotated[str, AfterValidator(web_address)]
"""A template of an http or https URL."""
