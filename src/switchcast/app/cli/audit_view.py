"""The audit's report on a terminal, or wherever standard output goes: the worst first, and every list cut.

It has to be legible in 80 columns, without colour, and to somebody who reads the first three lines only.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from switchcast.app.cli.render import printable
from switchcast.app.reports.audit_report import AuditReport, LeakRow, Place, sections_of
from switchcast.app.reports.audit_words import (
    MEANING,
    TITLES,
    how_many,
    name_of,
    next_steps,
    of_kinds,
    reach_facts,
    seen,
    size_of,
    still,
    uncounted,
    worst,
)
from switchcast.guard.audit.comparison import Comparison
from switchcast.guard.audit.leaks import PERSONAL, AuditResult, Leak
from switchcast.guard.finding import Finding, Severity

__all__ = ["print_report", "render"]

_MOST_PLACES: Final = 6
_MOST_KINDS: Final = 12
_MOST_SENDERS: Final = 6
_MOST_EVIDENCE: Final = 4
_WIDEST: Final = 110
"""Columns: a line of text that is longer is hard to read, however wide the terminal."""
_WIDEST_NAME: Final = 34
_WIDEST_KIND: Final = 25
_WIDEST_EXAMPLE: Final = 40

_OPTIONS: Final = re.compile(r" (?=--[a-z])")
_GOES_ON: Final = " \\"
_AT_LINE_ENDS: Final = re.compile(r" +$", re.MULTILINE)
"""What tables fill their last column with: of no use in a file or a mail."""
_SEVERITIES: Final = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.NOTICE: "cyan"}


def print_report(report: AuditReport) -> None:
    """Print it. A character that the output's encoding does not have is shown by its number."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    console = Console(highlight=False, markup=False, emoji=False)
    width = min(console.width, _WIDEST)
    if console.is_terminal:
        console.print(render(report), width=width, crop=False)
        return
    with console.capture() as captured:
        console.print(render(report), width=width, crop=False)
    sys.stdout.write(_AT_LINE_ENDS.sub("", captured.get()))


def render(report: AuditReport) -> Group:
    """The whole report."""
    return Group(*_parts(report))


def _parts(report: AuditReport) -> Iterator[RenderableType]:
    yield Text(printable(f"audit of {report.source}"), style="bold", overflow="fold")
    yield Text(printable(f"{seen(report)} {worst(report)}"), style="bold red" if _is_bad(report) else "")
    for sentence in _asides(report):
        yield Text(sentence, style="yellow")
    if report.findings:
        yield _heading("Wrong, whatever is sent", len(report.findings))
        for number, finding in enumerate(report.findings):
            yield Padding(_finding(finding), (1 if number else 0, 0, 0, 2))
    for row in report.leaks:
        yield _leak(row)
    yield _heading("How far it goes")
    yield _reach(report)
    if report.result.kinds:
        yield _heading("What was seen", len(report.result.kinds), "kind of event", "kinds of event")
        yield Padding(_senders(report.result), (0, 0, 0, 2))
        yield _kinds(report.result)
    if report.comparison is not None:
        yield from _under(report, report.comparison)
    yield _heading("What to do next")
    yield from _next(report)


def _is_bad(report: AuditReport) -> bool:
    return any(row.personal for row in report.leaks)


def _asides(report: AuditReport) -> Iterator[str]:
    if report.revealed:
        yield "Values are shown as they are (--reveal): this report is as secret as they are."
    if report.lost:
        yield f"Not all of it was heard: {'; '.join(report.lost)}."
    if left := uncounted(report.result):
        yield left


def _heading(title: str, count: int | None = None, one: str | None = None, many: str | None = None) -> Text:
    text = Text("\n").append(title.upper(), "bold")
    if count is not None:
        text.append(f"  {how_many(count, one, many) if one else f'{count:,}'}", "dim")
    return text


def _finding(finding: Finding) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0), expand=False)
    table.add_column(width=8, no_wrap=True)
    table.add_column(overflow="fold")
    style = _SEVERITIES[finding.severity]
    table.add_row(Text(finding.severity, style), Text(printable(finding.title), "bold"))
    for line in finding.evidence[:_MOST_EVIDENCE]:
        table.add_row("", Text(printable(line)))
    if len(finding.evidence) > _MOST_EVIDENCE:
        table.add_row("", _more(len(finding.evidence) - _MOST_EVIDENCE))
    table.add_row("", Text(printable(finding.cause), "dim"))
    for mend in finding.mends:
        table.add_row(Text("mend", "green"), Text(printable(mend.how), "green"))
        table.add_row("", Text(printable(mend.effect), "dim"))
    return table


def _leak(row: LeakRow) -> RenderableType:
    title = Text("\n").append(TITLES[row.leak].upper(), _style(row.leak))
    title.append(f"  {how_many(len(row.places), 'place')}, {of_kinds(row.kinds)}", "dim")
    return Group(title, Text(MEANING[row.leak], style="dim"), Padding(_places(row.places), (0, 0, 0, 2)))


def _places(places: Sequence[Place]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(max_width=_WIDEST_NAME, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(max_width=_WIDEST_KIND, overflow="fold", style="dim")
    table.add_column(overflow="fold", max_width=_WIDEST_EXAMPLE)
    for place in places[:_MOST_PLACES]:
        name, example = Text(printable(name_of(place.header))), Text(printable("".join(place.examples[:1])))
        table.add_row(name, f"{place.events:,}", Text(_kinds_of(place)), example)
    if len(places) <= _MOST_PLACES:
        return table
    return Group(table, _more(len(places) - _MOST_PLACES))


def _kinds_of(place: Place) -> str:
    """``DTMF``, or ``13 kinds``."""
    count = len(place.kinds)
    return f"{count:,} kinds" if count > 1 else printable(place.kinds[0].removeprefix("CUSTOM "))


def _reach(report: AuditReport) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in reach_facts(report):
        style = {None: "", True: "green", False: "red"}[fact.good]
        text = Text().append(printable(fact.value), style)
        if fact.note:
            text.append(f": {printable(fact.note)}" if fact.value else printable(fact.note), "dim")
        table.add_row(fact.name, text)
    return Padding(table, (0, 0, 0, 2))


def _senders(result: AuditResult) -> Text:
    """``from fs1 (1,204), fs2 (673)``, those that sent most first."""
    most = sorted(result.senders.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{printable(name) or '(no name)'} ({events:,})" for name, events in most[:_MOST_SENDERS])
    text = Text("from ", "dim", overflow="fold").append(shown, "not dim")
    return text.append(f" and {len(most) - _MOST_SENDERS:,} more") if len(most) > _MOST_SENDERS else text


def _kinds(result: AuditResult) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    table.add_column("event", overflow="fold", max_width=_WIDEST_NAME)
    for name in ("events", "share", "mean", "most", "senders"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("gives away", no_wrap=True)
    rows = list(sections_of(result))
    for kind, _, leaks in rows[:_MOST_KINDS]:
        table.add_row(
            Text(printable(kind.kind.removeprefix("CUSTOM "))),
            f"{kind.events:,}",
            f"{kind.events / max(1, result.events):.1%}",
            size_of(kind.bytes // max(1, kind.events)),
            size_of(kind.largest),
            f"{len(kind.senders):,}",
            _classes(leaks),
        )
    more = [_more(len(rows) - _MOST_KINDS)] if len(rows) > _MOST_KINDS else []
    return Padding(Group(table, *more), (0, 0, 0, 2))


def _classes(leaks: Sequence[Leak]) -> Text:
    """The worst of them, and how many others."""
    text = Text().append("".join(leaks[:1]), _style(leaks[0]) if leaks else "")
    return text.append(f" +{len(leaks) - 1}", "dim") if len(leaks) > 1 else text


def _under(report: AuditReport, comparison: Comparison) -> Iterator[RenderableType]:
    yield _heading(f"Under the policy {comparison.policy}")
    yield Padding(Text(still(comparison)), (0, 0, 0, 2))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("gives away", no_wrap=True)
    for name in ("places before", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("which", overflow="fold", style="dim")
    for change in report.changes():
        where = [printable(name_of(place.header)) for place in change.after]
        which = "  ".join(where[:3]) + (f"  and {len(where) - 3} more" if len(where) > 3 else "")
        left = Text(f"{len(where):,}", _style(change.leak)) if where else Text("0", "green")
        table.add_row(TITLES[change.leak], f"{change.before:,}", left, which)
    yield Padding(table, (1, 0, 0, 2))


def _next(report: AuditReport) -> Iterator[RenderableType]:
    for step in next_steps(report):
        yield Padding(Text(printable(step.what)), (0, 0, 0, 2))
        if step.command:
            yield _Command(printable(step.command))
    if report.suggestion is not None:
        for warning in report.suggestion.warnings:
            yield Padding(Text(printable(warning), "yellow"), (0, 0, 0, 2))


class _Command:
    """A command to be copied: where it does not fit, it goes on behind a backslash, as shells take it.

    What is too long even so is left to the terminal to break, which copies it as one. It indents itself, for what rich
    puts around a text would stand behind the backslash too.
    """

    def __init__(self, command: str) -> None:
        self._parts = _OPTIONS.split(command)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.max_width - len(_GOES_ON)
        lines = [f"    {self._parts[0]}"]
        for part in self._parts[1:]:
            if len(lines[-1]) + 1 + len(part) <= room:
                lines[-1] += f" {part}"
            else:
                lines.append(f"      {part}")
        yield Text(f"{_GOES_ON}\n".join(lines), "green", no_wrap=True, overflow="ignore")


def _more(count: int) -> Text:
    return Text(f"and {count:,} more: --json has all", "dim")


def _style(leak: Leak) -> str:
    if leak.rank <= Leak.DTMF.rank:
        return "bold red"
    return "yellow" if leak in PERSONAL else "cyan"
