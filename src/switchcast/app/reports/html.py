"""The audit's report as one page of HTML that can be mailed: no script, nothing from outside, every value escaped.

Characters that nobody sees, or that turn text round, are shown by their numbers. And the page forbids itself by its
content security policy whatever it does not have: all but its own style, which is named by its hash. So a header that
somebody has called ``<script>`` is text, twice over.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from switchcast._native import __version__
from switchcast.app.reports import audit_words
from switchcast.app.reports.audit_report import AuditReport, sections_of
from switchcast.errors import MissingExtra
from switchcast.guard.audit.leaks import PERSONAL, Leak

if TYPE_CHECKING:
    import jinja2

__all__ = ["check_available", "html_page"]

_SHOWN_PLACES: Final = 8
_MOST_PLACES: Final = 200
_SHOWN_KINDS: Final = 20
_MOST_KINDS: Final = 500
_MOST_SENDERS: Final = 50
_FORBIDDEN: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"


def check_available() -> None:
    """Raise ``MissingExtra`` where jinja2 is not installed."""
    _environment()


def html_page(report: AuditReport) -> str:
    """The whole page. Raises ``MissingExtra`` where jinja2 is not installed."""
    style = _text("audit.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        _environment()
        .from_string(_text("audit.html.j2"))
        .render(
            report=report,
            words=audit_words,
            style=style,
            policy=f"{_FORBIDDEN}; style-src 'sha256-{digest}'",
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


def _environment() -> jinja2.Environment:
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("audit", "--html") from None
    from switchcast.app.cli.render import printable

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["visible"] = printable
    return environment


def _text(name: str) -> str:
    return resources.files("switchcast.app.reports").joinpath(name).read_text(encoding="utf-8")
