"""``switchcast trace KEY``: a call's whole story across the cluster, as a ladder."""

from __future__ import annotations

import json as json_text
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from switchcast.app.cli.asking import output_console, show, to_a_reader
from switchcast.app.cli.options import seconds
from switchcast.app.cli.render import error_console, printable
from switchcast.app.cli.running import run
from switchcast.app.reports.files import check_writable, write_report
from switchcast.endpoints import Endpoint, make_endpoint
from switchcast.errors import UsageError

if TYPE_CHECKING:
    from switchcast.archive.trace.following import Found, Search
    from switchcast.archive.trace.story import Story

__all__ = ["trace"]

_STANDARD_OUTPUT: Final = "-"
_SHORTEST_ID: Final = 8


def trace(
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="A Unique-ID or its beginning, a number, a SIP Call-ID, or a user."),
    ],
    *,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="Look here instead: file:, archive:, multicast://, udp://, esl://, sim://, -",
        ),
    ] = None,
    archive: Annotated[
        str | None, typer.Option("--archive", metavar="DIR", help="An archive; by default the configured one.")
    ] = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="With --from: stop listening after 30s, 5m, 1h.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="In an archive from here on: 2h, 14:05, 2026-11-23.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="In an archive up to here.")] = None,
    last: Annotated[bool, typer.Option("--last", help="Where several calls match: the newest.")] = False,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Every step, not only the main ones.")] = False,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show digits that were pressed, and what applications were called with.")
    ] = False,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write it as one page.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
    ascii_: Annotated[
        bool | None, typer.Option("--ascii/--unicode", help="How lines are drawn: ASCII where output is no terminal.")
    ] = None,
) -> None:
    """Show a call's whole story, across all nodes.

    Follows what belongs together: bridged legs, transfers, loopbacks, conferences, and the way from node to node.

    switchcast trace 1000 --from file:capture.pcap.gz --last
    """
    wanted = _Wanted(html, json=json, reveal=reveal, last=last, detail=all_, ascii_only=ascii_)
    wanted.check()
    if not key.strip():
        raise UsageError("KEY is empty; give a Unique-ID or its beginning, a number, a SIP Call-ID, or a user")
    if from_ is not None and archive is not None:
        raise UsageError("--from and --archive are two places to look; give one of them")
    if from_ is not None and from_.startswith("archive:") and "?" not in from_:
        from_, archive = None, from_  # looked up, rather than read from its beginning to its end
    if from_ is not None:
        if since is not None or until is not None:
            raise UsageError("--since and --until are for archives; a source is traced as a whole, or --for a while")
        endpoint = make_endpoint(from_, role="source")
        run(_Tracing(key, wanted).listen(endpoint, seconds(for_)))
        return
    if for_ is not None:
        raise UsageError("--for is how long to listen to --from SOURCE; for an archive say --since and --until")
    search, where = _in_archive(archive, since, until)
    code = _Tracing(key, wanted).tell(search, where, ())
    if code:
        raise typer.Exit(code)


def _in_archive(directory: str | None, since: str | None, until: str | None) -> tuple[Search, str]:
    """The search in an archive between two times, and the archive's name."""
    from switchcast.app.cli.archives import open_archive, period
    from switchcast.archive.trace.sources import in_archive

    begin, end = period(since, until, time.time_ns())
    reader = open_archive(directory, elsewhere=" with --archive, or say where to look with --from")
    return in_archive(reader, begin, end), f"the archive {reader.directory}"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to come out, and how."""

    html: str | None
    json: bool
    reveal: bool
    last: bool
    detail: bool
    ascii_only: bool | None

    def check(self) -> None:
        """Raise at once what could only be told at the end otherwise."""
        if self.html is None:
            return
        if self.json and self.html == _STANDARD_OUTPUT:
            raise UsageError("--json and --html - would both be printed; give the page a file")
        if self.html != _STANDARD_OUTPUT:
            check_writable(self.html)
        from switchcast.app.reports.trace_page import check_available

        check_available()

    @property
    def draws_ascii(self) -> bool:
        """Whether lines are drawn in ASCII: where output cannot have more, else as asked for, else off a terminal."""
        try:
            "┃●▶".encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            return True
        return not sys.stdout.isatty() if self.ascii_only is None else self.ascii_only


class _Tracing:
    """Looks a key up, and tells what was found."""

    def __init__(self, key: str, wanted: _Wanted) -> None:
        self._key = key
        self._wanted = wanted

    async def listen(self, endpoint: Endpoint, limit: float | None) -> int:
        """From a source, once it has been heard."""
        from switchcast.app.cli.trace_source import Listening

        listening = Listening(endpoint)
        code = await listening.run(limit)
        notes = list(listening.lost)
        if listening.collected.let_go:
            notes.append(f"{listening.collected.let_go:,} older events of calls were let go, for want of room")
        where = f"{endpoint.url}, {listening.collected.taken:,} events"
        return self.tell(listening.collected, where, notes) or (0 if code == 130 else code)

    def tell(self, search: Search, where: str, notes: Sequence[str]) -> int:
        """What was found in ``where``; the exit code."""
        from switchcast.archive.trace.following import gather

        found = gather(self._key, search, newest=self._wanted.last, reveal=self._wanted.reveal)
        notes = [*found.cut, *notes]
        if not found.calls:
            if self._wanted.json:
                print(json_text.dumps({**found.to_dict(), "notes": notes}))
            self._complain(f"no call with {printable(self._key)} in {where}")
            for note in notes:
                self._complain(note)
            return 1
        with to_a_reader():
            return self._show(found, notes)

    def _show(self, found: Found, notes: Sequence[str]) -> int:
        chosen = found.calls[0] if len(found.calls) == 1 else None
        if self._wanted.json:
            calls = found.calls if chosen is None else (chosen,)
            print(json_text.dumps({**found.to_dict(), "calls": [call.to_dict() for call in calls], "notes": notes}))
        if chosen is None:
            return self._list(found, notes)
        if self._wanted.html is not None:
            self._write(chosen)
        if not self._wanted.json and self._wanted.html != _STANDARD_OUTPUT:
            from switchcast.app.cli.trace_view import story_view

            console = output_console()
            show(
                console,
                story_view(
                    chosen,
                    console.width,
                    detail=self._wanted.detail,
                    ascii_only=self._wanted.draws_ascii,
                    cut=notes,
                ),
            )
        return 0

    def _list(self, found: Found, notes: Sequence[str]) -> int:
        """Several calls match: which, and how to say which one is meant. A page needs one: that is exit code 1."""
        if not self._wanted.json:
            from switchcast.app.cli.trace_view import calls_table

            console = output_console()
            show(console, calls_table(found.calls, console.width))
        for note in notes:
            self._complain(note)
        example = found.calls[0].id[:_SHORTEST_ID]
        self._complain(
            f"{len(found.calls)} calls match {printable(self._key)}: name one by its id, as"
            f" 'switchcast trace {printable(example)}', or take the newest with --last"
        )
        return 1 if self._wanted.html is not None else 0

    def _write(self, story: Story) -> None:
        from switchcast.app.reports.trace_page import trace_page

        page = trace_page(story, detail=self._wanted.detail)
        if self._wanted.html == _STANDARD_OUTPUT:
            sys.stdout.write(page)
        elif self._wanted.html is not None:
            write_report(self._wanted.html, page, private=self._wanted.reveal)
            error_console().print(f"trace written to {self._wanted.html}", style="dim")

    def _complain(self, sentence: str) -> None:
        sys.stdout.flush()
        print(f"switchcast: {sentence}", file=sys.stderr)
