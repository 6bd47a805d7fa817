"""``switchcast send``: make one event and send it."""

from __future__ import annotations

import difflib
import os
import socket
import sys
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from switchcast._native import EVENT_NAMES, Event, stock_misreads
from switchcast.app.cli.losses import count_of
from switchcast.app.cli.naming import EndpointConfig, endpoint_named
from switchcast.app.cli.options import warn
from switchcast.app.cli.render import as_headers
from switchcast.app.cli.running import run
from switchcast.endpoints import Endpoint
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.errors import EndpointDenied, EndpointUnavailable, UsageError

__all__ = ["make_event", "send"]

_MOST_BODY: Final = 65536


def send(
    sink: Annotated[
        str,
        typer.Argument(
            metavar="SINK",
            help="Where to: multicast://, udp://, esl://, file:, -, or the name of an endpoint of the configuration.",
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="EVENT_NAME", help="HEARTBEAT, MESSAGE_WAITING, CUSTOM, ...")],
    headers: Annotated[
        list[str] | None, typer.Argument(metavar="HEADER=VALUE", help="Its headers; a repeated one is kept twice.")
    ] = None,
    *,
    subclass: Annotated[
        str | None, typer.Option("--subclass", "-s", metavar="NAME", help="Event-Subclass, for CUSTOM.")
    ] = None,
    body: Annotated[
        str | None, typer.Option("--body", metavar="TEXT", help="The body; @FILE reads it from a file, - from input.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing when it went well.")] = False,
    config: EndpointConfig = None,
) -> None:
    """Make one event and send it.

    Standard headers that you leave out are added: this host's name and the time.

    switchcast send multicast://225.1.1.1:4242 TRAP X-Reason=test
    """
    _check_name(name, subclass)
    endpoint = endpoint_named(sink, config, role="sink")
    event = make_event(name, subclass, headers or [], _read_body(body))
    if endpoint.url.scheme in {"multicast", "udp"}:
        for sentence in stock_misreads(event):
            warn(f"a stock FreeSWITCH will misread this event: {sentence}")
    run(_send(endpoint, event, quiet))


def make_event(name: str, subclass: str | None, texts: list[str], body: bytes) -> Event:
    """The event, with the headers that every switch sends unless they are given. Raises ``UsageError``."""
    given = [_header(text) for text in texts]
    now = time.time_ns() // 1000
    moment = datetime.fromtimestamp(now / 1_000_000, UTC)
    host = socket.gethostname()
    standard = {
        "FreeSWITCH-Hostname": host,
        "FreeSWITCH-Switchname": host,
        "Event-Date-Local": moment.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "Event-Date-GMT": moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "Event-Date-Timestamp": str(now),
    }
    known = {header.lower() for header, _ in given}
    before = [("Event-Subclass", subclass)] if subclass is not None and "event-subclass" not in known else []
    after = [(header, value) for header, value in standard.items() if header.lower() not in known]
    try:
        return Event(name, [*before, *after, *given], body)
    except ValueError as error:
        raise UsageError(f"this event cannot be: {error}") from None


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"{text!r} is no header; write Name=value")
    return name, value


def _check_name(name: str, subclass: str | None) -> None:
    if not name or any(ord(character) < 0x21 for character in name):
        raise UsageError(f"{name!r} is no event name; write HEARTBEAT, MESSAGE_WAITING, CUSTOM, ...")
    if name not in EVENT_NAMES:
        near = difflib.get_close_matches(name.upper(), EVENT_NAMES, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "its own kinds are CUSTOM with --subclass"
        warn(f"FreeSWITCH has no event named {name}; {hint}")
    if name == "CUSTOM" and not subclass:
        warn("a CUSTOM event without --subclass matches no binding but CUSTOM itself")


def _read_body(text: str | None) -> bytes:
    if text is None:
        return b""
    if text == "-":
        return sys.stdin.buffer.read(_MOST_BODY)
    if not text.startswith("@"):
        return os.fsencode(text)
    try:
        with open(text[1:], "rb") as stream:
            return stream.read(_MOST_BODY)
    except OSError as error:
        kind = EndpointDenied if isinstance(error, PermissionError) else EndpointUnavailable
        raise kind(f"--body {text}: {error.strerror}") from None


def _outcome(endpoint: Endpoint) -> tuple[int, int]:
    """How many destinations took what was sent, and how many did not."""
    if isinstance(endpoint, DatagramEndpoint) and endpoint.sender is not None:
        rows = endpoint.sender.destinations()
        return sum(row["datagrams"] != 0 for row in rows), sum(row["errors"] != 0 for row in rows)
    counters = endpoint.counters()
    return count_of(counters, "sent"), count_of(counters, "errors") + count_of(counters, "refused")


async def _send(endpoint: Endpoint, event: Event, quiet: bool) -> int:
    async with endpoint:
        await endpoint.send([event])
        sent, failed = _outcome(endpoint)
    if not quiet and endpoint.url.scheme != "-":
        sys.stderr.write(as_headers(event))
    if failed:
        warn(f"{failed} of {failed + sent} destinations of {endpoint.url} did not take it")
    elif not quiet and endpoint.url.scheme != "-":
        print(f"sent to {endpoint.url}" + (f", {sent} destinations" if sent > 1 else ""), file=sys.stderr)
    return 0 if sent or not failed else 1
