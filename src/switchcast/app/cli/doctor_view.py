"""What the doctor found, for people: the worst first, each with its evidence, its cause, and the command that mends it.

::

    critical  no-route
      Nothing leads to 239.192.1.1.
      seen   ip route get 239.192.1.1: Network is unreachable
      why    ...
      mend   ip route add 224.0.0.0/4 dev eth0
             groups are routed to that interface
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from switchcast.app.cli.render import printable
from switchcast.guard.finding import Finding, Severity

if TYPE_CHECKING:
    from switchcast.app.doctor.examine import Diagnosis

__all__ = ["print_diagnosis"]

_STYLES: Final = {Severity.CRITICAL: "bold red", Severity.WARNING: "bold yellow", Severity.NOTICE: "bold cyan"}
_LABEL: Final = 9
"""Columns in front of what is said, the label among them."""
_NARROWEST: Final = 30
_WIDEST: Final = 110


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print it whole. A command stands on a line of its own and is never broken, so that it can be copied."""
    console.print(_heading(diagnosis), soft_wrap=True)
    for finding in diagnosis.findings:
        console.print()
        _print_finding(console, finding)
    if diagnosis.healthy:
        console.print(Text("\nfound healthy", "bold green"))
        for line in diagnosis.healthy:
            _print_said(console, "  ok", line, "green")
    if diagnosis.unchecked:
        console.print(Text("\nnot checked", "bold"))
        for each in diagnosis.unchecked:
            _print_said(console, "  ?", f"{each.what}: {each.why}", "dim")
            _print_how(console, each.how)


def _heading(diagnosis: Diagnosis) -> Text:
    text = Text(printable(diagnosis.url), "bold")
    if not diagnosis.findings:
        return text.append("  nothing wrong was found", "green")
    counts = {severity: sum(each.severity is severity for each in diagnosis.findings) for severity in Severity}
    shown = ", ".join(f"{count} {severity}" for severity, count in counts.items() if count)
    return text.append(f"  {shown}", _STYLES[diagnosis.findings[0].severity])


def _print_finding(console: Console, finding: Finding) -> None:
    head = Text(f"{finding.severity}  ", _STYLES[finding.severity]).append(finding.code, "bold")
    console.print(head, soft_wrap=True)
    _print_said(console, None, finding.title)
    for place, line in enumerate(finding.evidence):
        _print_said(console, "" if place else "  seen", line)
    _print_said(console, "  why", finding.cause)
    for mend in finding.mends:
        for place, line in enumerate(mend.how.splitlines()):
            _print_line(console, ("" if place else "  mend").ljust(_LABEL), printable(line), "bold green")
        _print_said(console, "", mend.effect, "dim")


def _print_how(console: Console, how: str) -> None:
    """A command as it stands, anything else broken between words."""
    if how.startswith("switchcast "):
        console.print(Text(" " * _LABEL).append(printable(how)), soft_wrap=True)
    else:
        _print_said(console, "", how)


def _print_said(console: Console, label: str | None, said: str, style: str = "") -> None:
    """``said`` behind its label, broken between words; ``None`` for a sentence that needs no label."""
    indent = 2 if label is None else _LABEL
    width = max(min(console.width, _WIDEST) - indent, _NARROWEST)
    lines = textwrap.wrap(printable(said), width, break_long_words=False, break_on_hyphens=False) or [""]
    for place, line in enumerate(lines):
        front = "" if label is None or place else label
        _print_line(console, front.ljust(indent), line, style)


def _print_line(console: Console, front: str, said: str, style: str) -> None:
    """Only what stands in front is dim."""
    console.print(Text().append(front, "dim").append(said, style), soft_wrap=True)
