"""Rules, and what they did, as a person reads them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from switchcast.app.cli.render import printable
from switchcast.rules.settings import (
    EmitSettings,
    EslApiSettings,
    EslEventSettings,
    RuleSettings,
    RunSettings,
    WebhookSettings,
)

__all__ = ["output_lines", "show_dead_letters", "show_results", "show_rules", "show_running"]

_STYLES: Final = {"done": "green", "failed": "bold red", "refused": "red", "unfinished": "yellow"}


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Leave it to whoever prints: rich would end the process as if something had failed."""
        raise BrokenPipeError


def output_lines() -> Console:
    """Standard output, for lines of ours: nothing in them is taken for markup."""
    return _Output(highlight=False, markup=False, emoji=False)


def show_rules(rules: Sequence[RuleSettings]) -> None:
    """Each rule: what it does, and below, a line for each thing that counts, when."""
    for rule in rules:
        first = Text(rule.name, style="bold").append(f"  {_action(rule)}", style="not bold")
        _print(first, *(Text(f"  {line}", style="dim") for line in _conditions(rule)))


def show_running(rules: Sequence[Mapping[str, Any]]) -> None:
    """Each rule of a running node, and what became of its events."""
    for rule in rules:
        counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in rule["counters"].items() if count]
        first = Text(printable(rule["name"]), style="bold").append(f"  on {printable(rule['on'])}", style="not bold")
        _print(first, Text(f"  {', '.join(counts) or 'nothing yet'}", style="dim"))


def show_dead_letters(letters: Sequence[Mapping[str, Any]]) -> None:
    """Each dead letter in one line: its number, when it died, whose it is, and why."""
    for letter in letters:
        died = datetime.fromtimestamp(letter["died"], UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        text = Text(f"{letter['id']}", style="bold").append(f"  {died}  {letter['rule']}", style="not bold")
        text.append(f" {printable(letter['key'])}" if letter["key"] else "", style="not bold")
        _print(text.append(f"  {printable(letter['why'])}", style="not bold red"))


def show_results(results: Sequence[Mapping[str, Any]]) -> None:
    """Each result, as ``Runner.log`` has them, in one line."""
    width = max((len(entry["rule"]) for entry in results), default=0)
    for entry in results:
        _print(_line(entry, width))


def _line(entry: Mapping[str, Any], width: int) -> Text:
    """One result: when, which rule, how it went, what for, and what was said of it."""
    text = Text(f"{entry['time']}  {entry['rule']:<{width}}  ")
    text.append(f"{entry['outcome']:<10}", style=_STYLES.get(entry["outcome"], ""))
    text.append(f"  {entry['event']}" + (f" {printable(entry['key'])}" if entry["key"] else ""))
    took = "" if entry["seconds"] is None else f"  in {entry['seconds']:.2f} s"
    return text.append(f"{took}  {printable(str(entry['detail']))}".rstrip(), style="dim")


def _print(*lines: Text) -> None:
    console = output_lines()
    for line in lines:
        console.print(line, soft_wrap=True)


def _action(rule: RuleSettings) -> str:
    """What it does, in as few words as tell it."""
    action = rule.action
    if isinstance(action, RunSettings):
        return f"run {shlex.join(action.command)}"
    if isinstance(action, WebhookSettings):
        return f"webhook {action.method} {action.url}"
    if isinstance(action, EslApiSettings):
        return f"esl-api {' '.join(action.command)} at {action.endpoint}"
    if isinstance(action, EslEventSettings):
        return f"esl-event {action.subclass or action.name} at {action.endpoint}"
    if isinstance(action, EmitSettings):
        return f"emit {action.subclass or action.name} to {', '.join(action.to)}"
    return f"log {action.level}: {action.message}"


def _conditions(rule: RuleSettings) -> list[str]:
    """When it does that, a line for each thing that counts."""
    lines = [f"on {rule.on}"]
    if rule.where is not None:
        lines.append(f"where {printable(rule.where)}")
    if rule.senders:
        lines.append(f"from {', '.join(map(printable, rule.senders))}")
    if rule.debounce is not None:
        lines.append(f"when it has been quiet for {_length(rule.debounce)}" + (f" by {rule.key}" if rule.key else ""))
    elif rule.key:
        lines.append(f"in order by {rule.key}")
    if rule.once_per is not None:
        lines.append(f"once per {rule.once_per.key} in {_length(rule.once_per.interval)}")
    if rule.rate is not None:
        burst = f", {rule.rate.burst} at once" if rule.rate.burst is not None else ""
        lines.append(f"at most {rule.rate.count} in {_length(rule.rate.per)}{burst}")
    if rule.delivery != "at-most-once":
        lines.append(rule.delivery.replace("-", " "))
    return lines


def _length(seconds: float) -> str:
    """``500ms``, ``20s``, ``5m``, ``1h``, as it is written in a file."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit:.0f}{name}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
