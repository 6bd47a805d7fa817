"""What fires: batches of events and the time in, firings out. No I/O, no clock.

A matched event goes through these in order, and ends in just one of them::

    on, where ──> gap, trust, loop, from ──> debounce ──> once per ──> rate ──> fires
    (native)      refused_gap                debounced    refused_     refused_
                  refused_untrusted          waiting      once         rate
                  refused_unsigned
                  refused_hops
                  refused_own
                  refused_sender

so that for each rule ``matched = fired + every refused_ + debounced + waiting`` at all times. A firing that the rate
refuses has not happened: it leaves no mark on its key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from switchcast._native import Event, Matcher, TrustCheck
from switchcast.rules.limits import Debounce, OncePer, TokenBucket, short_key
from switchcast.rules.origin import hops_of, refusal
from switchcast.rules.settings import RuleSettings
from switchcast.rules.template import Template
from switchcast.wire.gap_record import GAP_SUBCLASS, is_gap

__all__ = ["REFUSALS", "Engine", "Firing", "Reason", "Verdict"]

Reason = Literal[
    "", "binding", "where", "gap", "untrusted", "unsigned", "hops", "own", "sender", "debounce", "once", "rate"
]
REFUSALS: Final[tuple[Reason, ...]] = ("gap", "untrusted", "unsigned", "hops", "own", "sender", "once", "rate")
"""Why an event that matched fires nothing, each counted as ``refused_<reason>``."""

_SHOWN: Final = 64


@dataclass(frozen=True, slots=True)
class Firing:
    """An action to be done: the rule, its event, the key that keeps its order, and when, on the clock of ``take``."""

    rule: RuleSettings
    event: Event
    key: str
    at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of one event: whether it fires, why (a phrase), the reason as a word (none when it fires)."""

    rule: str
    fires: bool
    why: str
    reason: Reason


class Engine:
    """Rules over batches of events. ``node`` is this host's name.

    ``now`` is seconds on any clock; one that runs backwards is taken to stand still. With ``previous``, rules that are
    the same as there go on where they were: their limits, what waits and their counts move here, and what is left in
    ``previous`` (``previous.due(math.inf)``) belongs to rules that are no more.
    """

    def __init__(self, rules: Sequence[RuleSettings], node: str, *, previous: Engine | None = None) -> None:
        self.rules: tuple[RuleSettings, ...] = tuple(rules)
        self.node = node
        names = Counter(rule.name for rule in self.rules)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"two rules are called {twice[0]}; give each a name of its own")
        self._now: float = previous._now if previous is not None else float("-inf")
        kept = previous._give_up(self.rules) if previous is not None and previous.node == node else {}
        self._rules: tuple[_Rule, ...] = tuple(kept.get(rule.name) or _Rule(rule, node) for rule in self.rules)
        self.bindings: str = _union(rule.matcher.bindings for rule in self._rules)
        """What all the rules together are bound to; empty when there are none."""
        self._bound = Matcher(self.bindings) if len(self._rules) > 1 and self.bindings != "ALL" else None

    def take(self, events: Sequence[Event], now: float) -> list[Firing]:
        """What fires for ``events``, which came ``now``: rule by rule, for each in their order; first what was due."""
        now = self._advance(now)
        firings = self._due(now)
        bound = events if self._bound is None else self._bound.select(events)
        if bound:
            for rule in self._rules:
                matched = rule.matcher.select(bound)
                if matched:
                    rule.take(matched, now, firings)
        return firings

    def due(self, now: float) -> list[Firing]:
        """What fires because it has been quiet for long enough. Nothing is missed by being asked for late."""
        return self._due(self._advance(now))

    def next_due(self) -> float | None:
        """When ``due`` will have something, if no event comes before; ``None`` when nothing waits."""
        return min((at for rule in self._rules if (at := rule.next_due()) is not None), default=None)

    def explain(self, event: Event, now: float) -> list[Verdict]:
        """What each rule would say of ``event`` if it came ``now``. Changes nothing."""
        now = max(now, self._now)
        return [rule.explain(event, now) for rule in self._rules]

    def counters(self) -> dict[str, dict[str, int]]:
        """What became of the events of each rule, by its name.

        ``matched``, ``fired``, ``refused_<reason>``, ``debounced`` and ``waiting`` are as this file's head tells;
        ``condition_errors`` counts events that ``where`` failed on, ``early`` those that fired before it was quiet,
        ``keys_evicted`` keys forgotten before their interval was over, both for want of room.
        """
        return {rule.settings.name: rule.counters() for rule in self._rules}

    def _advance(self, now: float) -> float:
        self._now = max(now, self._now)
        return self._now

    def _due(self, now: float) -> list[Firing]:
        firings: list[Firing] = []
        for rule in self._rules:
            if rule.debounce is not None:
                rule.due(now, firings)
        return firings

    def _give_up(self, wanted: Iterable[RuleSettings]) -> dict[str, _Rule]:
        """Take those out that are among ``wanted``, as they are."""
        names = {rule.name: rule for rule in wanted}
        same = {rule.settings.name: rule for rule in self._rules if names.get(rule.settings.name) == rule.settings}
        self._rules = tuple(rule for rule in self._rules if rule.settings.name not in same)
        return same


class _Rule:
    """One rule: its settings made ready, its limits and its counts."""

    def __init__(self, settings: RuleSettings, node: str) -> None:
        self.settings = settings
        self.node = node
        self.matcher = Matcher(settings.on, settings.where, node=node)
        self.debounce = Debounce[Event](settings.debounce) if settings.debounce is not None else None
        self._counts: Counter[str] = Counter()
        self._sees_gaps = Matcher(settings.on).matches(Event("CUSTOM", {"Event-Subclass": GAP_SUBCLASS}))
        self._trust = TrustCheck(
            stock=settings.trust == "stock", signed=settings.require == "signed", signers=settings.signers
        )
        self._senders = _pattern(settings.senders)
        self._key = _renderer(settings.key, node)
        rate, once = settings.rate, settings.once_per
        self._rate = TokenBucket(rate.count, rate.per, rate.burst) if rate is not None else None
        self._once = OncePer(once.interval) if once is not None else None
        self._once_key = _renderer(once.key if once is not None else "", node)
        self._probe: tuple[Matcher, Matcher] | None = None

    def take(self, events: Sequence[Event], now: float, firings: list[Firing]) -> None:
        self._counts["matched"] += len(events)
        for event in events:
            reason = self._refusal(event)
            if reason is not None:
                self._counts[reason] += 1
            elif self.debounce is None:
                self._fire(event, self._key(event), now, firings)
            else:
                self._hold(self.debounce, event, now, firings)

    def due(self, now: float, firings: list[Firing]) -> None:
        if self.debounce is not None:
            for at, key, event in self.debounce.due(now):
                self._fire(event, key, at, firings)

    def next_due(self) -> float | None:
        return self.debounce.next_due() if self.debounce is not None else None

    def counters(self) -> dict[str, int]:
        counts = {"matched": self._counts["matched"], "fired": self._counts["fired"]}
        counts |= {f"refused_{reason}": self._counts[reason] for reason in REFUSALS}
        return counts | {
            "debounced": self._counts["debounced"],
            "waiting": len(self.debounce) if self.debounce is not None else 0,
            "condition_errors": self.matcher.errors,
            "early": self.debounce.early if self.debounce is not None else 0,
            "keys_evicted": self._once.evicted if self._once is not None else 0,
        }

    def explain(self, event: Event, now: float) -> Verdict:
        reason, why = self._unmatched(event) or self._why_not(event, now) or ("", "fires")
        return Verdict(self.settings.name, not reason, why, reason)

    def _refusal(self, event: Event) -> Reason | None:
        """Why this event may not fire the rule, whatever the time."""
        if self._sees_gaps and is_gap(event):
            return "gap"
        distrust = self._trust.refusal(event)
        if distrust is not None:
            return distrust
        made = refusal(event, self.node, self.settings.name)
        if made is not None:
            return made
        if self._senders is not None and not self._senders(event.sender or ""):
            return "sender"
        return None

    def _hold(self, debounce: Debounce[Event], event: Event, now: float, firings: list[Firing]) -> None:
        key = self._key(event)
        if key in debounce:
            self._counts["debounced"] += 1
        crowded_out = debounce.put(key, event, now)
        if crowded_out is not None:
            self._fire(crowded_out[1], crowded_out[0], now, firings)

    def _fire(self, event: Event, key: str, at: float, firings: list[Firing]) -> None:
        once, once_key = self._once, ""
        if once is not None:
            once_key = self._once_key(event)
            if once.fired_at(once_key, at) is not None:
                self._counts["once"] += 1
                return
        if self._rate is not None and not self._rate.take(at):
            self._counts["rate"] += 1
            return
        if once is not None:
            once.mark(once_key, at)
        self._counts["fired"] += 1
        firings.append(Firing(self.settings, event, key, at))

    def _unmatched(self, event: Event) -> tuple[Reason, str] | None:
        """Asked of matchers of its own, so that what is only explained is not counted."""
        if self._probe is None:
            settings = self.settings
            self._probe = Matcher(settings.on), Matcher(settings.on, settings.where, node=self.node)
        bindings, whole = self._probe
        if not bindings.matches(event):
            return "binding", "not in the bindings"
        failed = whole.errors
        if whole.matches(event):
            return None
        return "where", "where is false" if whole.errors == failed else "where cannot be worked out for it"

    def _why_not(self, event: Event, now: float) -> tuple[Reason, str] | None:
        settings, reason = self.settings, self._refusal(event)
        if reason is not None:
            return reason, _WORDS[reason](event)
        if settings.debounce is not None:
            again = " again" if self.debounce is not None and self._key(event) in self.debounce else ""
            return "debounce", f"debounced{again}: fires in {_seconds(settings.debounce)} if nothing comes until then"
        if self._once is not None:
            key = self._once_key(event)
            at = self._once.fired_at(key, now)
            if at is not None:
                return "once", f"already fired for key {_shown(key)} {_seconds(now - at)} ago"
        if self._rate is not None and self._rate.free_in(now):
            return "rate", f"rate limit: the next may fire in {_seconds(self._rate.free_in(now))}"
        return None


_WORDS: Final[dict[Reason, Callable[[Event], str]]] = {
    "gap": lambda _: "a gap record fires no rule",
    "untrusted": lambda _: 'nothing vouches for it: any host could have sent it (trust = "stock" would take it)',
    "unsigned": lambda event: (
        f"it is signed by {_shown(event.signer)}, who is not in signers" if event.signer else "it is not signed"
    ),
    "hops": lambda event: f"{hops_of(event)} rules stand behind it already (Switchcast-Hops)",
    "own": lambda _: "this rule made it itself (Switchcast-Origin)",
    "sender": lambda event: f"sender {_shown(event.sender)} is not in from" if event.sender else "it has no sender",
}


def _pattern(senders: Sequence[str]) -> Callable[[str], object] | None:
    """Whether a name is one of ``senders``; ``*`` is any text in them, ``?`` any character, all else is itself."""
    if not senders or "*" in senders:
        return None
    wild = {"*": ".*", "?": "."}
    texts = ["".join(wild.get(character) or re.escape(character) for character in sender) for sender in senders]
    return re.compile("|".join(texts), re.DOTALL).fullmatch


def _renderer(text: str, node: str) -> Callable[[Event], str]:
    """A key of an event."""
    template = Template(text)
    if template.constant:
        same = template.beginning
        return lambda _: same
    return lambda event: short_key(template.render(event, node))


def _union(bindings: Iterable[str]) -> str:
    """Bindings that let through what any of ``bindings`` (normalised ones) does."""
    names: dict[str, None] = {}
    subclasses: dict[str, None] = {}
    custom = False
    for each in bindings:
        words = each.split()
        if words == ["ALL"]:
            return "ALL"
        place = words.index("CUSTOM") if "CUSTOM" in words else len(words)
        names |= dict.fromkeys(words[:place])
        subclasses |= dict.fromkeys(words[place + 1 :])
        custom = custom or place < len(words)
    return " ".join([*names, "CUSTOM", *subclasses] if custom else names)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _shown(text: str | None) -> str:
    text = text or ""
    return f'"{text}"' if len(text) <= _SHOWN else f'"{text[: _SHOWN - 1]}…"'
