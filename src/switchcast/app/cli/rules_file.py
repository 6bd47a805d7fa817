"""The rules in a TOML file: a whole configuration, of which the rest is not looked at, or just ``[[rule]]`` tables.

``rules test`` is for any machine: the secrets that the configuration names need not be there, nor its interfaces.
``config check`` checks everything.
"""

from __future__ import annotations

import socket
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from switchcast.app.config.load import load, read_text
from switchcast.app.config.locate import lines_of
from switchcast.app.config.problems import Problems
from switchcast.errors import ConfigurationError, UsageError
from switchcast.rules.settings import RuleSettings
from switchcast.settings import Settings

__all__ = ["RulesFile", "read_rules"]


class _Tables(Settings):
    """What is read of the file."""

    rule: tuple[RuleSettings, ...] = ()


@dataclass(frozen=True)
class RulesFile:
    """The rules of a file, and the node's name: what the file says, else the machine's."""

    rules: tuple[RuleSettings, ...]
    node: str

    def named(self, name: str | None) -> Sequence[RuleSettings]:
        """Every rule, or the one called ``name``. Raises ``UsageError``."""
        if name is None:
            return self.rules
        chosen = [rule for rule in self.rules if rule.name == name]
        if not chosen:
            raise UsageError(f"--rule {name!r} is none of {', '.join(rule.name for rule in self.rules)}")
        return chosen


def read_rules(path: Path) -> RulesFile:
    """Read them. Raises ``ConfigurationError`` with a line for each mistake."""
    text = read_text(path)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError):
        load(path, {})  # which tells what is no TOML, and where
        raise
    if not document.get("rule"):
        raise ConfigurationError(f'{path}: there is no [[rule]] in it; write one with name = "..." and an action')
    problems = Problems(str(path), lines_of(text))
    try:
        rules = _Tables.model_validate({"rule": document["rule"]}).rule
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            problems.add_invalid(error, _Tables)
        rules = ()
    names = Counter(rule.name for rule in rules)
    for index, rule in enumerate(rules):
        if names[rule.name] > 1:
            problems.add(("rule", index, "name"), rule.name, "another rule has this name; choose another")
    problems.raise_if_any()
    node = document.get("node")
    name = node.get("name") if isinstance(node, dict) else None
    return RulesFile(rules, name if isinstance(name, str) and name else socket.gethostname())
