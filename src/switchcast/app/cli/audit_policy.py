"""``--policy``: one that comes with switchcast, or one out of a TOML file: a whole configuration, or just its policies.

Of a configuration only ``[policies]`` is looked at, so that it can be tried on any machine: its endpoints need not be
there. A policy that hashes needs its key all the same, for without it nobody can say what would leave.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from switchcast.app.config.load import load, read_text
from switchcast.app.config.locate import lines_of
from switchcast.app.config.model import Name
from switchcast.app.config.problems import Problems
from switchcast.app.config.secret_files import secret_path
from switchcast.app.config.shapes import nearest
from switchcast.app.config.stock_xml import is_stock_file
from switchcast.errors import ConfigurationError, EndpointError, UsageError
from switchcast.guard.policy import SHIPPED, PolicySettings, RedactionPolicy, compile_policy, shipped
from switchcast.private_files import read_secret
from switchcast.settings import Settings

__all__ = ["ChosenPolicy", "read_policy"]


class _Tables(Settings):
    """What is read of the file."""

    policies: dict[Name, PolicySettings] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChosenPolicy:
    """A policy that somebody named, ready to be used: ``policy`` takes a batch of events and gives what passes."""

    name: str
    settings: PolicySettings
    policy: RedactionPolicy

    @property
    def warnings(self) -> list[str]:
        """What is odd about it, one sentence each."""
        return self.settings.warnings()


def read_policy(text: str, environ: Mapping[str, str] | None = None) -> ChosenPolicy:
    """The policy that ``text`` names: ``cluster``, ``FILE`` if that has one policy, or ``FILE:NAME``.

    Raises ``UsageError`` where it is none of these, and ``ConfigurationError`` for what is wrong with a file or a key.
    """
    if text in SHIPPED:
        settings = shipped(text)
        return ChosenPolicy(text, settings, compile_policy(text, settings))
    path, name = _place(text)
    chosen, settings = _pick(path, name, _read(path))
    key = _key(path, chosen, settings, os.environ if environ is None else environ)
    return ChosenPolicy(chosen, settings, compile_policy(chosen, settings, key))


def _place(text: str) -> tuple[Path, str | None]:
    """The file, and the policy in it, if ``text`` names one."""
    head, colon, tail = text.rpartition(":")
    for path, name in ((text, None), (head, tail)) if colon and head and tail else ((text, None),):
        if os.path.lexists(path):
            return Path(path), name
    raise UsageError(
        f"--policy {text!r} is neither a file nor a policy that comes with switchcast; {nearest(text, SHIPPED)}"
    )


def _read(path: Path) -> dict[str, PolicySettings]:
    if is_stock_file(path):
        raise ConfigurationError(f"{path}: the module's own configuration has no policies; name a TOML file")
    text = read_text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        load(path, {})  # which tells what is no TOML, and where
        raise
    return _validated(path, text, document)


def _validated(path: Path, text: str, document: Mapping[str, Any]) -> dict[str, PolicySettings]:
    if not document.get("policies"):
        bare = document.keys() & PolicySettings.model_fields.keys()
        mend = f"put [policies.NAME] in front of {min(bare)}" if bare else 'write one with events = "..." and headers'
        raise ConfigurationError(f"{path}: there is no [policies.NAME] in it; {mend}")
    problems = Problems(str(path), lines_of(text))
    policies: dict[str, PolicySettings] = {}
    try:
        policies = _Tables.model_validate({"policies": document["policies"]}).policies
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            problems.add_invalid({**error}, _Tables)
    problems.raise_if_any()
    return policies


def _pick(path: Path, name: str | None, policies: Mapping[str, PolicySettings]) -> tuple[str, PolicySettings]:
    """The one called ``name``, or the only one."""
    if name is None and len(policies) == 1:
        return next(iter(policies.items()))
    if name is None:
        raise UsageError(
            f"--policy {path}: has {len(policies)} policies; write {path}:NAME with one of {_all(policies)}"
        )
    if name not in policies:
        raise UsageError(f"--policy {path}:{name}: there is no [policies.{name}] in it; {nearest(name, policies)}")
    return name, policies[name]


def _all(policies: Mapping[str, PolicySettings]) -> str:
    return ", ".join(policies)


def _key(path: Path, name: str, settings: PolicySettings, environ: Mapping[str, str]) -> bytes | None:
    """What ``key_file`` holds, where something is hashed."""
    if not settings.hashes or settings.key_file is None:
        return None
    try:
        return read_secret(secret_path(settings.key_file, environ))
    except (EndpointError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: policies.{name}.key_file: {settings.key_file}: "
            f"{str(error).removeprefix(f'{settings.key_file}: ')}; "
            "the audit hashes with the same key; run it as who may read that, or name another for this"
        ) from None
