"""What the pages have in common: jinja2 that escapes everything, and a policy that forbids what a page does not have.

Characters that nobody sees, or that turn text round, are shown by their numbers. A page's content security policy
names its own style by its hash and allows nothing else. So a header that somebody has called ``<script>`` is text,
twice over.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final

from switchcast.errors import MissingExtra

if TYPE_CHECKING:
    import jinja2

__all__ = ["check_available", "environment", "policy_of", "resource"]

_FORBIDDEN: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"


def check_available() -> None:
    """Raise ``MissingExtra`` where jinja2 is not installed."""
    environment()


def environment() -> jinja2.Environment:
    """What templates are rendered in; ``|visible`` is for text from the network."""
    try:
        import jinja2
    except ImportError:
        raise MissingExtra("audit", "--html") from None
    from switchcast.app.cli.render import printable

    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["visible"] = printable
    return made


def policy_of(style: str) -> str:
    """The content security policy of a page whose only style is ``style``."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"{_FORBIDDEN}; style-src 'sha256-{digest}'"


def resource(name: str) -> str:
    """A template or style sheet of this package."""
    return resources.files("switchcast.app.reports").joinpath(name).read_text(encoding="utf-8")
