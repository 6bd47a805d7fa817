"""Events as the rows of a table: the columns that every event has, and any header as one more.

============== ==================================================================== ===================================
column         what                                                                 where from
============== ==================================================================== ===================================
position       where it stands in the archive; sorts as events were written         the archive
time           when it came; nanoseconds since 1970 UTC                             the archive
node           the switch that fired it                                             ``Multicast-Sender``, else
                                                                                    ``FreeSWITCH-Switchname``, else
                                                                                    ``FreeSWITCH-Hostname``
name, subclass its kind; a subclass is of CUSTOM events                             ``Event-Name``, ``Event-Subclass``
unique_id      the leg                                                              ``Unique-ID``
call           the call that the leg is of                                          ``Channel-Call-UUID``
from_number    who calls                                                            ``Caller-Caller-ID-Number``
to_number      who is called                                                        ``Caller-Destination-Number``
state          what the leg is doing: ``RINGING``, ``ACTIVE``, ``HELD``, ...        ``Channel-Call-State``
cause          why it ended                                                         ``Hangup-Cause``
source         the address and port that the datagram came from                     the line
trust          what vouches for it: ``stock``, ``local``, ``member``, ``signed``    the line
headers        all headers; of a repeated one the first, as the switch reads it
body           its text
============== ==================================================================== ===================================

What an event does not have is ``None``. Text is valid Unicode: of bytes that are none, each is U+FFFD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from switchcast._native import Event
from switchcast.archive.reading import Stored
from switchcast.errors import UsageError

__all__ = ["COLUMNS", "USUAL", "Column", "Value", "clean", "columns_of", "header_value", "headers_of"]

Value = str | int | dict[str, str] | None
"""Text, a time in nanoseconds, headers, or nothing."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, and what stands in it for an event."""

    name: str
    value: Callable[[Stored], Value]


def clean(text: str) -> str:
    """``text`` with U+FFFD for what is no Unicode, such as a byte of another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return text


def header_value(event: Event, name: str) -> str | None:
    """The first header of this name, whatever its case."""
    value = event.get(name)
    return None if value is None else clean(value)


def headers_of(event: Event) -> dict[str, str]:
    """Every header in order; of a repeated one the first."""
    items = event.items()
    found = dict(items)
    if len(found) < len(items):
        found = {}
        for name, value in items:
            found.setdefault(name, value)
    try:
        "".join(found.values()).encode()
        "".join(found).encode()
    except UnicodeEncodeError:
        return {clean(name): clean(value) for name, value in found.items()}
    return found


def _header(*names: str) -> Callable[[Stored], str | None]:
    """What looks these headers up; the first that says something counts."""

    def value(stored: Stored) -> str | None:
        for name in names:
            found = stored.event.get(name)
            if found:
                return clean(found)
        return None

    return value


def _body(stored: Stored) -> str | None:
    return stored.event.body.decode("utf-8", "replace") or None


COLUMNS: Final[tuple[Column, ...]] = (
    Column("position", lambda stored: stored.position),
    Column("time", lambda stored: stored.time),
    Column("node", _header("Multicast-Sender", "FreeSWITCH-Switchname", "FreeSWITCH-Hostname")),
    Column("name", _header("Event-Name")),
    Column("subclass", _header("Event-Subclass")),
    Column("unique_id", _header("Unique-ID")),
    Column("call", _header("Channel-Call-UUID")),
    Column("from_number", _header("Caller-Caller-ID-Number")),
    Column("to_number", _header("Caller-Destination-Number")),
    Column("state", _header("Channel-Call-State")),
    Column("cause", _header("Hangup-Cause")),
    Column("source", lambda stored: stored.event.source),
    Column("trust", lambda stored: stored.event.trust),
    Column("headers", lambda stored: headers_of(stored.event)),
    Column("body", _body),
)
"""Every column, in order. The first is the cheapest: it is what a query that names no column reads."""

_BY_NAME: Final = {column.name: column for column in COLUMNS}
_LONG: Final = frozenset({"position", "source", "trust", "headers", "body"})
USUAL: Final = tuple(column.name for column in COLUMNS if column.name not in _LONG)
"""The columns that are shown where nobody says which: those with one short value."""


def columns_of(names: Sequence[str]) -> tuple[Column, ...]:
    """A column for each of ``names``: ours, written as above, or else the header of that name.

    Raises ``UsageError`` for none, and for one that stands twice.
    """
    if not names:
        raise UsageError("no column is named; write some, such as time,node,name,Caller-Caller-ID-Number")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the column {twice!r} is named twice; leave one out")
    return tuple(_BY_NAME.get(name) or Column(name, _header_column(name)) for name in names)


def _header_column(name: str) -> Callable[[Stored], str | None]:
    return lambda stored: header_value(stored.event, name)
