"""The audit's report as one page of HTML that can be mailed: no script, nothing from outside, every value escaped.

What keeps it inert is in ``pages``.
"""

from __future__ import annotations

from typing import Any, Final

from switchcast._native import __version__
from switchcast.app.reports import audit_words
from switchcast.app.reports.audit_report import AuditReport, sections_of
from switchcast.app.reports.pages import check_available, environment, policy_of, resource
from switchcast.guard.audit.leaks import PERSONAL, Leak

__all__ = ["check_available", "html_page"]

_SHOWN_PLACES: Final = 8
_MOST_PLACES: Final = 200
_SHOWN_KINDS: Final = 20
_MOST_KINDS: Final = 500
_MOST_SENDERS: Final = 50


def html_page(report: AuditReport) -> str:
    """The whole page. Raises ``MissingExtra`` where jinja2 is not installed."""
    style = resource("audit.css")
    return (
        environment()
        .from_string(resource("audit.html.j2"))
        .render(
            report=report,
            words=audit_words,
            style=style,
            policy=policy_of(style),
            version=__version__,
            classes=_classes(report),
            facts=list(audit_words.reach_facts(report)),
            steps=list(audit_words.next_steps(report)),
            kinds=list(sections_of(report.result)),
            senders=sorted(report.result.senders.items(), key=lambda item: (-item[1], item[0])),
            shown_places=_SHOWN_PLACES,
            most_places=_MOST_PLACES,
            shown_kinds=_SHOWN_KINDS,
            most_kinds=_MOST_KINDS,
            most_senders=_MOST_SENDERS,
            tone=_tone,
        )
    )


def _classes(report: AuditReport) -> list[dict[str, Any]]:
    """Every class, worst first, with its row where something of it leaves."""
    rows = {row.leak: row for row in report.leaks}
    return [{"leak": leak, "row": rows.get(leak)} for leak in Leak]


def _tone(leak: Leak) -> str:
    """How a class is coloured."""
    if leak.rank <= Leak.DTMF.rank:
        return "grave"
    return "personal" if leak in PERSONAL else "quiet"
