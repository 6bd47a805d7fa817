"""Which extras a configuration takes, so that a check tells of one that is missing before a node does."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from switchcast.app.config.locate import Path
from switchcast.app.config.model import FileSettings

__all__ = ["missing_extras"]

_BROUGHT: Final = {
    "api": ("fastapi", "uvicorn"),
    "audit": ("jinja2", "phonenumbers"),
    "metrics": ("prometheus_client",),
    "webhook": ("httpx", "stamina"),
}
"""What an extra brings, by the names that are imported."""


def missing_extras(settings: FileSettings) -> Iterator[tuple[Path, str]]:
    """The place of each table that this installation cannot do, and a sentence that names the mend."""
    for path, extra in _asked_for(settings):
        if not all(map(_is_there, _BROUGHT[extra])):
            yield path, f"needs an optional dependency: pip install 'switchcast[{extra}]'"


def _asked_for(settings: FileSettings) -> Iterator[tuple[Path, str]]:
    if settings.metrics is not None:
        yield ("metrics",), "metrics"
    if settings.api is not None:
        yield ("api",), "api"
        if settings.api.audit:
            yield ("api", "audit"), "audit"
    for index, rule in enumerate(settings.rule):
        if rule.webhook is not None:
            yield ("rule", index, "webhook"), "webhook"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # a module without a specification, as one that was put out of use
        return False
