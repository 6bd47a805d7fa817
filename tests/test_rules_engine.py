"""What fires and what does not, and why: on recorded events, against a model, and for events that rules made."""

from __future__ import annotations

import fnmatch
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast import Event, Matcher, StockFrames
from switchcast.rules.engine import REFUSALS, Engine, Firing
from switchcast.rules.origin import HOPS, ORIGIN, origin_headers
from switchcast.rules.settings import RuleSettings


def rule(name: str = "r", **table: Any) -> RuleSettings:
    """A rule that logs; ``once_per`` and such as they stand in a file, ``senders`` for ``from``."""
    if "senders" in table:
        table["from"] = table.pop("senders")
    return RuleSettings.model_validate({"name": name, "log": "{name}"} | table)


def lamp(account: str = "1000", waiting: str = "yes", **headers: str) -> Event:
    return Event("MESSAGE_WAITING", {"MWI-Message-Account": account, "MWI-Messages-Waiting": waiting} | headers)


def fired(firings: list[Firing]) -> list[tuple[str, str, float]]:
    return [(firing.rule.name, firing.event.get("MWI-Message-Account") or "", firing.at) for firing in firings]


def balanced(engine: Engine) -> bool:
    """Whether each matched event is counted in just one place."""
    return all(
        row["matched"]
        == row["fired"] + sum(row[f"refused_{reason}"] for reason in REFUSALS) + row["debounced"] + row["waiting"]
        for row in engine.counters().values()
    )


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    frames = StockFrames()
    return [frames.open(datagram) for _, datagram in plain_datagrams]


# What matches


def test_the_lamp_rule_of_the_design_fires_for_each_lit_lamp(recorded: list[Event]) -> None:
    new_voicemail = rule(
        "new-voicemail",
        on="MESSAGE_WAITING",
        where='h["MWI-Messages-Waiting"] == "yes"',
        key="{h[MWI-Message-Account]}",
        trust="stock",
    )
    engine = Engine([new_voicemail], "fs1")
    firings = engine.take(recorded, 0.0)
    expected = [event for event in recorded if event.get("MWI-Messages-Waiting") == "yes"]
    assert [firing.event for firing in firings] == expected
    assert len(expected) > 3
    assert {firing.key for firing in firings} == {event["MWI-Message-Account"] for event in expected}
    counts = engine.counters()["new-voicemail"]
    assert counts["matched"] == counts["fired"] == len(expected)


def test_rules_see_whole_batches_each_its_own_events_in_order(recorded: list[Event]) -> None:
    rules = [
        rule("beats", on="HEARTBEAT", trust="stock"),
        rule("lamps", on="MESSAGE_WAITING", trust="stock"),
        rule("registers", on="CUSTOM sofia::register sofia::unregister", where='subclass != ""', trust="stock"),
    ]
    engine = Engine(rules, "fs1")
    firings = [
        firing for start in range(0, len(recorded), 50) for firing in engine.take(recorded[start : start + 50], 0)
    ]
    for each in rules:
        expected = Matcher(each.on, each.where).select(recorded)
        assert [firing.event for firing in firings if firing.rule is each] == expected
        assert expected


WORDS = [
    "all",
    "HEARTBEAT",
    "MESSAGE_WAITING",
    "heartbeat DTMF",
    "CUSTOM",
    "CUSTOM a::b",
    "DTMF CUSTOM c::d CUSTOM",
    "NO_CUSTOM_NAME",
]
KINDS = [
    Event("HEARTBEAT"),
    Event("MESSAGE_WAITING"),
    Event("DTMF"),
    Event("TRAP"),
    Event("NO_CUSTOM_NAME"),
    Event("CUSTOM"),
    *(Event("CUSTOM", {"Event-Subclass": subclass}) for subclass in ("a::b", "c::d", "CUSTOM", "HEARTBEAT")),
]


@PROPERTY
@given(words=st.lists(st.sampled_from(WORDS), max_size=4))
def test_what_any_rule_is_bound_to_reaches_it(words: list[str]) -> None:
    engine = Engine([rule(f"r{number}", on=on) for number, on in enumerate(words)], "fs1")
    firings = engine.take(KINDS, 0.0)
    for number, on in enumerate(words):
        assert [firing.event for firing in firings if firing.rule.name == f"r{number}"] == Matcher(on).select(KINDS)
    if words:
        expected = [event for event in KINDS if any(Matcher(on).matches(event) for on in words)]
        assert Matcher(engine.bindings).select(KINDS) == expected
    else:
        assert engine.bindings == ""


def test_no_rules_fire_nothing() -> None:
    engine = Engine([], "fs1")
    assert engine.take(KINDS, 0.0) == engine.due(1.0) == []
    assert engine.explain(KINDS[0], 0.0) == []
    assert engine.next_due() is None
    assert engine.counters() == {}


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two rules are called twin"):
        Engine([rule("twin"), rule("twin", on="DTMF")], "fs1")


def test_a_condition_sees_this_node() -> None:
    engine = Engine([rule(where="sender != node")], "fs1")
    assert engine.take([lamp(**{"Multicast-Sender": "fs1"})], 0.0) == []
    assert len(engine.take([lamp(**{"Multicast-Sender": "fs2"})], 0.0)) == 1


def test_a_condition_that_fails_on_an_event_is_counted_and_said() -> None:
    engine = Engine([rule(where='int(h["N"]) > 0')], "fs1")
    event = Event("DTMF", {"N": "none"})
    assert engine.take([event], 0.0) == []
    assert engine.counters()["r"]["condition_errors"] == 1
    [verdict] = engine.explain(event, 0.0)
    assert (verdict.fires, verdict.reason, verdict.why) == (False, "where", "where cannot be worked out for it")
    assert engine.counters()["r"]["condition_errors"] == 1


@PROPERTY
@given(
    patterns=st.lists(st.text("ab.*?+$(|)", max_size=5), min_size=1, max_size=3),
    sender=st.text("ab.*?+$(|)\n", max_size=5),
)
def test_from_takes_stars_and_question_marks_and_nothing_else(patterns: list[str], sender: str) -> None:
    engine = Engine([rule(senders=patterns)], "fs1")
    event = Event("DTMF", {"Multicast-Sender": sender})
    expected = any(fnmatch.fnmatchcase(sender, pattern) for pattern in patterns)
    assert bool(engine.take([event], 0.0)) is expected
    assert engine.counters()["r"]["refused_sender"] == (not expected)


# How often


def test_a_rate_holds_over_a_storm_and_counts_what_it_refuses() -> None:
    engine = Engine([rule(rate="10/s")], "fs1")
    batch = [lamp()] * 100
    firings = [firing for tick in range(100) for firing in engine.take(batch, tick / 100)]
    assert len(firings) == 10 + 9  # those at once, then one each tenth of a second
    assert engine.counters()["r"]["refused_rate"] == 10_000 - 19
    assert balanced(engine)


def test_once_for_each_key_in_an_interval() -> None:
    engine = Engine([rule(once_per={"key": "{h[MWI-Message-Account]}", "interval": "10s"})], "fs1")
    events = [lamp("1"), lamp("2"), lamp("1")]
    assert fired(engine.take(events, 0.0)) == [("r", "1", 0.0), ("r", "2", 0.0)]
    assert engine.take(events, 9.0) == []
    assert fired(engine.take(events, 10.0)) == [("r", "1", 10.0), ("r", "2", 10.0)]
    assert engine.counters()["r"]["refused_once"] == 5


def test_a_firing_that_the_rate_refused_leaves_its_key_free() -> None:
    engine = Engine([rule(rate="1/s", once_per={"key": "{h[MWI-Message-Account]}", "interval": "1h"})], "fs1")
    assert fired(engine.take([lamp("1"), lamp("2")], 0.0)) == [("r", "1", 0.0)]
    assert fired(engine.take([lamp("1"), lamp("2")], 5.0)) == [("r", "2", 5.0)]
    counts = engine.counters()["r"]
    assert (counts["refused_rate"], counts["refused_once"]) == (1, 2 - 1)


def test_a_key_that_fired_costs_no_token() -> None:
    engine = Engine([rule(rate="1/s", once_per={"key": "{h[MWI-Message-Account]}", "interval": "1h"})], "fs1")
    engine.take([lamp("1")], 0.0)
    assert engine.take([lamp("1")] * 5, 1.0) == []
    assert fired(engine.take([lamp("2")], 1.0)) == [("r", "2", 1.0)]


def test_debounce_fires_with_the_last_event_when_it_has_been_quiet() -> None:
    engine = Engine([rule(debounce="2s", key="{h[MWI-Message-Account]}")], "fs1")
    assert engine.take([lamp("1", "yes"), lamp("2")], 0.0) == []
    assert engine.next_due() == 2.0
    assert engine.take([lamp("1", "no")], 1.0) == []
    assert engine.counters()["r"]["waiting"] == 2
    assert fired(engine.due(2.5)) == [("r", "2", 2.0)]
    assert engine.due(2.9) == []
    [firing] = engine.due(3.0)
    assert (firing.event["MWI-Messages-Waiting"], firing.key, firing.at) == ("no", "1", 3.0)
    assert engine.next_due() is None
    assert engine.counters()["r"]["debounced"] == 1
    assert balanced(engine)


def test_what_was_due_fires_before_the_event_that_comes_late() -> None:
    engine = Engine([rule(debounce="2s")], "fs1")
    engine.take([lamp("1")], 0.0)
    assert fired(engine.take([lamp("2")], 5.0)) == [("r", "1", 2.0)]
    assert fired(engine.due(math.inf)) == [("r", "2", 7.0)]


def test_a_clock_that_goes_back_stands_still() -> None:
    engine = Engine([rule("a", rate="1/s"), rule("b", debounce="1s")], "fs1")
    assert len(engine.take([lamp()], 100.0)) == 1
    assert engine.take([lamp()], 10.0) == []
    assert engine.next_due() == 101.0
    assert len(engine.due(101.0)) == 1


STEPS = st.lists(st.tuples(st.integers(0, 12), st.lists(st.sampled_from("abc"), max_size=4)), max_size=30)
"""A step of time in eighths of a second, and the accounts of the events that come after it."""


@PROPERTY
@given(
    steps=STEPS,
    rate=st.none() | st.integers(1, 3),
    once=st.none() | st.integers(1, 24),
    quiet=st.none() | st.integers(1, 16),
)
def test_limits_together_do_what_a_plain_model_does(
    steps: list[tuple[int, list[str]]], rate: int | None, once: int | None, quiet: int | None
) -> None:
    """Times are eighths of a second; the rate is so many a second, with as many at once."""
    table: dict[str, Any] = {"key": "{h[MWI-Message-Account]}"}
    table |= {"rate": f"{rate}/s"} if rate else {}
    table |= {"once_per": {"key": "{h[MWI-Message-Account]}", "interval": once / 8}} if once else {}
    table |= {"debounce": quiet / 8} if quiet else {}
    engine, model = Engine([rule(**table)], "fs1"), Model(rate, once, quiet)
    now = 0
    for step, accounts in steps:
        now += step
        expected = model.due(now) + [firing for account in accounts for firing in model.come(account, now)]
        assert [(f.key, f.at) for f in engine.take([lamp(account) for account in accounts], now / 8)] == expected
        assert engine.next_due() == (min(model.waiting.values()) / 8 if model.waiting else None)
        assert balanced(engine)
    assert [(f.key, f.at) for f in engine.due(math.inf)] == model.due(10**9)
    assert balanced(engine)


class Model:
    """One rule, as its documentation tells it, with nothing made quick. Tokens are counted in eighths."""

    def __init__(self, rate: int | None, once: int | None, quiet: int | None) -> None:
        self.rate, self.once, self.quiet = rate, once, quiet
        self.tokens, self.filled = 8 * (rate or 0), 0
        self.fired: dict[str, int] = {}
        self.waiting: dict[str, int] = {}

    def come(self, key: str, now: int) -> list[tuple[str, float]]:
        if self.quiet is None:
            return self.fire(key, now)
        self.waiting.pop(key, None)
        self.waiting[key] = now + self.quiet
        return []

    def due(self, now: int) -> list[tuple[str, float]]:
        found = [(at, key) for key, at in self.waiting.items() if at <= now]
        for _, key in found:
            del self.waiting[key]
        return [firing for at, key in found for firing in self.fire(key, at)]

    def fire(self, key: str, now: int) -> list[tuple[str, float]]:
        if self.once is not None and key in self.fired and now - self.fired[key] < self.once:
            return []
        if self.rate is not None:
            self.tokens = min(8 * self.rate, self.tokens + (now - self.filled) * self.rate)
            self.filled = now
            if self.tokens < 8:
                return []
            self.tokens -= 8
        self.fired[key] = now
        return [(key, now / 8)]


# Why


def test_each_reason_is_told() -> None:
    rules = [
        rule("bound-elsewhere", on="HEARTBEAT"),
        rule("condition", on="MESSAGE_WAITING", where='h["MWI-Messages-Waiting"] == "no"'),
        rule("sender", senders=["fs3", "pbx-*"]),
        rule("rated", rate="1/min"),
        rule("once", once_per={"key": "{h[MWI-Message-Account]}", "interval": "1h"}),
        rule("debounced", debounce="5s"),
        rule("fires", on="MESSAGE_WAITING", senders=["fs?"]),
    ]
    engine = Engine(rules, "fs1")
    event = lamp(**{"Multicast-Sender": "fs2"})

    def told(now: float) -> list[str]:
        return [f"{verdict.rule}: {verdict.fires}: {verdict.why}" for verdict in engine.explain(event, now)]

    before = [
        "bound-elsewhere: False: not in the bindings",
        "condition: False: where is false",
        'sender: False: sender "fs2" is not in from',
        "rated: True: fires",
        "once: True: fires",
        "debounced: False: debounced: fires in 5.0 s if nothing comes until then",
        "fires: True: fires",
    ]
    assert told(10.0) == told(10.0) == before
    engine.take([event], 10.0)
    after = list(before)
    after[3] = "rated: False: rate limit: the next may fire in 58.0 s"
    after[4] = 'once: False: already fired for key "1000" 2.0 s ago'
    after[5] = "debounced: False: debounced again: fires in 5.0 s if nothing comes until then"
    assert told(12.0) == after


def test_loops_and_gaps_are_told() -> None:
    engine = Engine([rule("r", senders=["fs2"])], "fs1")
    events = [
        Event("TRAP", {HOPS: "3", ORIGIN: "fs9/x"}),
        Event("TRAP", origin_headers(lamp(), "fs1", "r")),
        Event("CUSTOM", {"Event-Subclass": "switchcast::gap"}),
        Event("TRAP"),
    ]
    assert [(verdict.reason, verdict.why) for event in events for verdict in engine.explain(event, 0.0)] == [
        ("hops", "3 rules stand behind it already (Switchcast-Hops)"),
        ("own", "this rule made it itself (Switchcast-Origin)"),
        ("gap", "a gap record fires no rule"),
        ("sender", "it has no sender"),
    ]


@PROPERTY
@given(steps=STEPS, rate=st.none() | st.integers(1, 3), once=st.none() | st.integers(1, 24))
def test_what_is_explained_is_what_happens(
    steps: list[tuple[int, list[str]]], rate: int | None, once: int | None
) -> None:
    table: dict[str, Any] = {"senders": "a"} | ({"rate": f"{rate}/s"} if rate else {})
    table |= {"once_per": {"key": "{name}", "interval": once / 8}} if once else {}
    engine, now = Engine([rule(**table)], "fs1"), 0.0
    for step, senders in steps:
        now += step / 8
        for sender in senders:
            event = lamp(**{"Multicast-Sender": sender})
            [verdict] = engine.explain(event, now)
            before = engine.counters()["r"]
            assert bool(engine.take([event], now)) is verdict.fires
            counted = "fired" if verdict.fires else f"refused_{verdict.reason}"
            assert engine.counters()["r"][counted] == before[counted] + 1


# Reload


def test_rules_that_stay_the_same_go_on_where_they_were() -> None:
    same = rule("same", rate="1/h")
    waits, changed = rule("waits", debounce="5s"), rule("changed", debounce="5s")
    first = Engine([same, waits, changed], "fs1")
    first.take([lamp()], 0.0)
    second = Engine([waits, same, rule("changed", debounce="6s"), rule("new")], "fs1", previous=first)
    assert [firing.rule.name for firing in second.take([lamp()], 1.0)] == ["new"]
    assert [firing.rule.name for firing in first.due(math.inf)] == ["changed"]
    assert [(firing.rule.name, firing.at) for firing in second.due(math.inf)] == [("waits", 6.0), ("changed", 7.0)]
    counts = second.counters()
    assert counts["same"]["matched"] == counts["waits"]["matched"] == 2
    assert counts["changed"]["matched"] == 1
    assert balanced(second)


def test_another_node_name_begins_anew() -> None:
    first = Engine([rule(rate="1/h")], "fs1")
    first.take([lamp()], 0.0)
    assert len(Engine([rule(rate="1/h")], "fs2", previous=first).take([lamp()], 1.0)) == 1
