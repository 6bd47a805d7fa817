"""A configuration that has been checked as a whole: what the node is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from switchcast.app.api.settings import ApiSettings
from switchcast.app.config.mode_checks import shown_mode
from switchcast.app.config.model import (
    ControlSettings,
    FileSettings,
    LoggingSettings,
    MetricsSettings,
    NodeSettings,
    RouteSettings,
)
from switchcast.app.config.problems import HIDDEN, is_secret, masked
from switchcast.bus import Overflow
from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.policy import PolicySettings
from switchcast.keys import GroupKeys
from switchcast.rules.settings import RuleSettings
from switchcast.views.peers import PeersSettings
from switchcast.views.picture import ViewsSettings

__all__ = ["Configuration", "ConfiguredEndpoint"]


@dataclass(frozen=True, slots=True)
class ConfiguredEndpoint:
    """One end of the line. Two are equal when nothing about them has changed, their secrets included.

    ``url`` is what ``make_endpoint`` takes: secrets are named in it as files, or held in it and masked wherever it is
    shown. ``fingerprints`` tell one secret from another; ``keys``, which a running endpoint can change, are not among
    them.
    """

    name: str
    url: EndpointUrl
    queue: int
    overflow: Overflow
    fingerprints: tuple[str, ...] = field(default=(), repr=False)
    keys: GroupKeys | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a configuration file means, defaults and environment included.

    Each route has its ``name`` and ``policy`` filled in. Secret files of rules, policies and the API are paths; of
    endpoints they are in the URL. ``warnings`` are sentences that begin with the file and line they are about.
    """

    path: FilePath
    node: NodeSettings
    log: LoggingSettings
    metrics: MetricsSettings | None
    api: ApiSettings | None
    control: ControlSettings
    peers: PeersSettings
    views: ViewsSettings
    endpoints: Mapping[str, ConfiguredEndpoint]
    routes: tuple[RouteSettings, ...]
    policies: Mapping[str, PolicySettings]
    rules: tuple[RuleSettings, ...]
    warnings: tuple[str, ...] = ()
    settings: FileSettings = field(default_factory=FileSettings, repr=False)
    """The tables as they were given, with what was filled in."""

    def as_tables(self) -> dict[str, Any]:
        """The effective settings as plain values, for ``config show``. What may be a secret is ``***``."""
        tables = self.settings.model_dump(by_alias=True, exclude_none=True)
        for name, endpoint in self.endpoints.items():
            if any(option in {"psk", "password"} for option, _ in endpoint.url.options):
                tables["endpoints"][name]["url"] = str(endpoint.url)
            tables["endpoints"][name] |= shown_mode(self.settings.endpoints[name], endpoint.url)
        shown = {key: _shown(value, key == "rule") for key, value in tables.items()}
        return {key: value for key, value in shown.items() if value not in ({}, [])}


def _shown(value: Any, by_name: bool) -> Any:
    """``value`` without secrets; ``by_name``: what a key calls a secret is one."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if by_name and isinstance(each, str) and is_secret(key) else _shown(each, by_name)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shown(each, by_name) for each in value]
    return masked(value) if isinstance(value, str) else value
