"""The trial of ``rules test``: events at their own times through the engine, what would fire told and not done."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from rich.text import Text

from switchcast._native import Event, Matcher
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.render import EventLines, clock, error_console, how_many, printable
from switchcast.app.cli.rules_preview import preview
from switchcast.app.cli.rules_view import output_lines
from switchcast.app.cli.running import run_until
from switchcast.endpoints import Endpoint
from switchcast.rules.engine import Engine, Firing, Verdict
from switchcast.wire.times import event_time

__all__ = ["AsJson", "AsText", "Trial"]

_LIVE: Final = frozenset({"multicast", "udp", "esl"})
"""Sources whose events come as they happen: what waits for quiet fires by the clock too."""
_TICK: Final = 0.2
_NEVER: Final = float("inf")

_PHRASES: Final = {
    "where": "where is false",
    "refused_gap": "gap record",
    "refused_untrusted": "nothing vouches for it",
    "refused_unsigned": "not signed as asked for",
    "refused_hops": "too many rules behind it",
    "refused_own": "made by the rule itself",
    "refused_sender": "sender is not in from",
    "debounced": "replaced by a later one",
    "refused_once": "already fired for the key",
    "refused_rate": "rate limit",
    "early": "fired early for want of room",
    "keys_evicted": "keys forgotten for want of room",
}
"""What is said of the engine's counters, and of the events that a rule is bound to and its condition does not take."""


class Trial:
    """Takes what ``source`` yields through ``engine``; ``show`` is told of each event that reaches a rule.

    ``count`` ends it after so many events, of any kind.
    """

    def __init__(self, engine: Engine, source: Endpoint, show: AsText | AsJson, count: int | None = None) -> None:
        self._engine = engine
        self._source = source
        self._show = show
        self._left = count
        self._bound = Matcher(engine.bindings)
        self._now = 0.0
        self.events = 0
        self.reached = 0
        self._untrue: Counter[str] = Counter()

    async def run(self, limit: float | None) -> int:
        """To the end of the source, the count, ``limit`` seconds, or a signal; the exit code."""
        async with self._source:
            code = await run_until(self._follow(), limit=limit)
        self._quiet(_NEVER)
        self._show.end(self)
        for phrase in describe(losses(self._source.counters())):
            error_console().print(Text(phrase, style="yellow"))
        return code

    async def _follow(self) -> None:
        ticking = asyncio.create_task(self._tick()) if self._source.url.scheme in _LIVE else None
        try:
            async for received in self._source.batches():
                batch = received if self._left is None else received[: self._left]
                for event in batch:
                    self._take(event)
                self._show.flush()
                if self._left is not None:
                    self._left -= len(batch)
                    if not self._left:
                        return
        finally:
            if ticking is not None:
                ticking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticking

    async def _tick(self) -> None:
        """While nothing comes, what waits for quiet fires all the same."""
        while True:
            await asyncio.sleep(_TICK)
            self._quiet(time.time())
            self._show.flush()

    def _take(self, event: Event) -> None:
        at = event_time(event)
        self._now = self._now if at is None else max(self._now, at / 1e9)
        self.events += 1
        self._quiet(self._now)
        if not self._bound.matches(event):
            return
        verdicts = [each for each in self._engine.explain(event, self._now) if each.reason != "binding"]
        firings = {firing.rule.name: firing for firing in self._engine.take([event], self._now)}
        self.reached += 1
        self._untrue.update(verdict.rule for verdict in verdicts if verdict.reason == "where")
        self._show.event(event, verdicts, {name: each for name, each in firings.items() if each.event is event})
        for firing in firings.values():
            if firing.event is not event:  # one that waited, and had to make room
                self._show.later(firing)

    def _quiet(self, now: float) -> None:
        """Tell what fires, or does not, of that which has waited until ``now``."""
        while (at := self._engine.next_due()) is not None and at <= now:
            before = self._engine.counters()
            for firing in self._engine.due(at):
                self._show.later(firing)
            for rule, counts in self._engine.counters().items():
                for reason in ("once", "rate"):
                    if counts[f"refused_{reason}"] > before[rule][f"refused_{reason}"]:
                        self._show.not_later(rule, _PHRASES[f"refused_{reason}"], at)

    def summary(self) -> dict[str, dict[str, int]]:
        """For each rule what became of the events that it is bound to."""
        return {
            rule: {"fired": counts["fired"], "where": self._untrue[rule]}
            | {name: counts[name] for name in _PHRASES if name != "where"}
            for rule, counts in self._engine.counters().items()
        }


class AsText:
    """What would fire, for a person: the event's line, and under it a line for each rule that it reaches."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._console = output_lines()
        self._lines = EventLines()

    def event(self, event: Event, verdicts: Sequence[Verdict], firings: dict[str, Firing]) -> None:
        self._print(self._lines.styled(event, self._console.width if sys.stdout.isatty() else sys.maxsize))
        for verdict in verdicts:
            if verdict.fires:
                self._print(self._firing(firings[verdict.rule]))
            else:
                self._print(Text(f"  {verdict.rule}: {printable(verdict.why)}", style="dim"))

    def later(self, firing: Firing) -> None:
        self._print(Text(f"{clock(round(firing.at * 1e9))} quiet since {clock(event_time(firing.event))}", style="dim"))
        self._print(self._firing(firing))

    def not_later(self, rule: str, why: str, at: float) -> None:
        self._print(Text(f"{clock(round(at * 1e9))} quiet\n  {rule}: {why}", style="dim"))

    def flush(self) -> None:
        self._console.file.flush()

    def end(self, trial: Trial) -> None:
        self._print(Text(f"{trial.reached:,} of {how_many(trial.events)} reach a rule; nothing was done", style="dim"))
        for rule, counts in trial.summary().items():
            parts = [f"; {counts[name]:,} {phrase}" for name, phrase in _PHRASES.items() if counts[name]]
            would = Text(f"  {rule}: {counts['fired']:,} would fire", style="green" if counts["fired"] else "yellow")
            self._print(would.append("".join(parts), style="dim"))

    def _firing(self, firing: Firing) -> Text:
        told = preview(firing.rule, firing.event, self._node)
        text = Text(f"  {firing.rule.name}: ", style="bold green")
        text.append(printable(told.text), style="not bold")
        if told.refused is not None:
            text.append(f" would be refused: {printable(told.refused)}", style="not bold red")
        return text

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


class AsJson:
    """The same as JSON, one object a line: an event, then what the rules that it reaches say of it."""

    def __init__(self, node: str) -> None:
        self._node = node

    def event(self, event: Event, verdicts: Sequence[Verdict], firings: dict[str, Firing]) -> None:
        told = [self._verdict(verdict, firings.get(verdict.rule)) for verdict in verdicts]
        print(json.dumps(_facts(event) | {"rules": told}))

    def later(self, firing: Firing) -> None:
        verdict = Verdict(firing.rule.name, True, "it has been quiet", "")
        print(json.dumps(_facts(firing.event) | {"at": firing.at, "rules": [self._verdict(verdict, firing)]}))

    def not_later(self, rule: str, why: str, at: float) -> None:
        print(json.dumps({"at": at, "rules": [{"rule": rule, "fires": False, "why": why}]}))

    def flush(self) -> None:
        sys.stdout.flush()

    def end(self, trial: Trial) -> None:
        print(json.dumps({"summary": {"events": trial.events, "reached": trial.reached, "rules": trial.summary()}}))

    def _verdict(self, verdict: Verdict, firing: Firing | None) -> dict[str, Any]:
        told: dict[str, Any] = {"rule": verdict.rule, "fires": verdict.fires}
        if firing is None:
            return told | {"reason": verdict.reason, "why": verdict.why}
        shown = preview(firing.rule, firing.event, self._node)
        return told | {"key": firing.key} | shown.values | ({"refused": shown.refused} if shown.refused else {})


def _facts(event: Event) -> dict[str, Any]:
    at = event_time(event)
    return {
        "at": None if at is None else at / 1e9,
        "name": event.name,
        "subclass": event.subclass,
        "sender": event.sender,
        "core_uuid": event.core_uuid,
        "sequence": event.sequence,
    }
