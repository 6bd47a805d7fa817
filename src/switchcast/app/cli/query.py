"""``switchcast query``: search an archive, by what is known of events, by a condition, or in SQL."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from switchcast.app.cli.archives import Archive, Config, open_archive, period
from switchcast.app.cli.config import DEFAULT_FILE
from switchcast.app.cli.options import Bindings, Where, matcher_of, warn
from switchcast.app.cli.query_output import FORMATS, format_of
from switchcast.app.cli.query_run import Asked, answer
from switchcast.archive.query import Selection
from switchcast.archive.terms import Term
from switchcast.errors import UsageError

__all__ = ["query"]

_SHOWN_ID: Final = re.compile("[0-9a-f]{8}")
"""A UUID's beginning, by which tables and lines show it."""


def query(
    archive: Archive = None,
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="From then on: 2026-11-23T14:05, 14:05, today, -2h.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Up to before then.")] = None,
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="NUMBER", help="Who calls or is called; may be repeated.")
    ] = None,
    call: Annotated[
        list[str] | None, typer.Option("--call", metavar="ID", help="A leg's or a call's UUID, or a SIP Call-ID.")
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option("--user", metavar="USER", help="1001@example.com, or 1001 in any domain.")
    ] = None,
    node: Annotated[list[str] | None, typer.Option("--node", metavar="NODE", help="The switch.")] = None,
    bindings: Bindings = "all",
    where: Where = None,
    sql: Annotated[
        str | None, typer.Option("--sql", metavar="SELECT", help="SQL over these events, the table 'events'.")
    ] = None,
    fields: Annotated[
        str | None, typer.Option("--fields", metavar="A,B", help="Only these columns: time, node, name, any header ...")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", metavar="N", min=1, help="At most N of them.")] = None,
    newest: Annotated[bool, typer.Option("--newest", help="The newest first.")] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="|".join(FORMATS), help="By default a table, or what the ending of --output says."
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file, all of it or nothing.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    config: Config = DEFAULT_FILE,
) -> None:
    """Search an archive for events.

    Options of different kinds all hold, of the same kind one at least. By number, call, user and node few blocks of
    the archive are read.

    switchcast query --since -2h --number 1001
    """
    if sql is not None and (fields is not None or newest):
        raise UsageError(
            "--sql says itself which columns there are and in which order: leave --fields and --newest out, "
            "write SELECT time, name ... ORDER BY time DESC"
        )
    begin, end = period(since, until, time.time_ns())
    selection = Selection(
        since=begin,
        until=end,
        groups=_groups(number, call, user, node),
        matcher=matcher_of(bindings, where),
        newest_first=newest,
    )
    names = None if fields is None else [name for part in fields.split(",") if (name := part.strip())]
    asked = Asked(selection, sql, names, limit, format_of(format_, output), output, force)
    answer(open_archive(archive, config), asked)


def _groups(
    numbers: Sequence[str] | None,
    calls: Sequence[str] | None,
    users: Sequence[str] | None,
    nodes: Sequence[str] | None,
) -> tuple[frozenset[Term], ...]:
    """What an event must have one of, group by group; the first says most."""
    for option, texts in (("--call", calls), ("--number", numbers), ("--user", users), ("--node", nodes)):
        if any(not text.strip() for text in texts or ()):
            raise UsageError(f"{option} is empty; say which")
    for text in calls or ():
        if _SHOWN_ID.fullmatch(text):
            warn(f"--call takes a whole id; by its beginning a call is found with: switchcast trace {text}")
    groups = (
        frozenset(term for text in calls or () for term in (Term.uuid(text), Term.call_id(text))),
        frozenset(Term.number(text) for text in numbers or ()),
        frozenset(Term.user(text) for text in users or ()),
        frozenset(Term.node(text) for text in nodes or ()),
    )
    return tuple(group for group in groups if group)
