"""Rules that fire rules: what an event made by one carries, and which rules it may fire."""

from __future__ import annotations

import pytest

from switchcast import Event
from switchcast.rules.engine import Engine
from switchcast.rules.origin import HOPS, MAX_HOPS, ORIGIN, hops_of, origin_headers
from switchcast.rules.settings import RuleSettings
from switchcast.wire.gap_record import Gap


def rule(name: str = "r", on: str = "all") -> RuleSettings:
    return RuleSettings.model_validate({"name": name, "on": on, "log": "{name}"})


def made(node: str, name: str, cause: Event | None = None) -> Event:
    """What an action of rule ``name`` of ``node`` makes of ``cause``."""
    return Event("TRAP", origin_headers(cause or Event("MESSAGE_WAITING"), node, name))


def test_a_rule_is_not_fired_by_what_it_made_itself() -> None:
    engine = Engine([rule("echo", "TRAP"), rule("other", "TRAP")], "fs1")
    own = made("fs1", "echo")
    assert (own[ORIGIN], own[HOPS]) == ("fs1/echo", "1")
    assert [firing.rule.name for firing in engine.take([own], 0.0)] == ["other"]
    assert engine.counters()["echo"]["refused_own"] == 1
    assert len(engine.take([made("fs2", "echo")], 0.0)) == 2


def test_a_rule_knows_what_it_made_when_a_switch_has_re_fired_it() -> None:
    engine = Engine([rule("echo", "CUSTOM multicast::event")], "fs1")
    marks = {"Event-Subclass": "multicast::event", f"Orig-{ORIGIN}": "fs1/echo", f"Orig-{HOPS}": "1"}
    assert engine.take([Event("CUSTOM", marks)], 0.0) == []
    assert engine.counters()["echo"]["refused_own"] == 1


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_rules_that_fire_one_another_settle(nodes: int) -> None:
    """Every node has a rule that makes B of A and one that makes A of B, and hears all that any of them makes."""
    rules = [rule("a", "TRAP"), rule("b", "DTMF")]
    makes = {"a": "DTMF", "b": "TRAP"}
    engines = [Engine(rules, f"fs{number}") for number in range(nodes)]
    heard, rounds = [Event("TRAP")], 0
    while heard:
        rounds += 1
        heard = [
            Event(makes[firing.rule.name], origin_headers(firing.event, engine.node, firing.rule.name))
            for engine in engines
            for firing in engine.take(heard, float(rounds))
        ]
        assert rounds <= MAX_HOPS + 1
    assert sum(engine.counters()[name]["refused_hops"] for engine in engines for name in makes)


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("0", 0),
        ("", 0),
        ("1", 1),
        ("002", 2),
        ("999", 999),
        ("1000", 3),
        ("-1", 3),
        ("1.0", 3),
        ("²", 3),
        ("x" * 9999, 3),
    ],
)
def test_a_mark_that_cannot_be_read_stops_there(text: str, hops: int) -> None:
    event = Event("TRAP", {HOPS: text})
    assert hops_of(event) == hops
    assert bool(Engine([rule()], "fs1").take([event], 0.0)) is (hops < MAX_HOPS)


def test_gap_records_fire_nothing() -> None:
    gap = Gap("group", "kernel_drops", 7).event()
    engine = Engine([rule("all"), rule("gaps", "CUSTOM switchcast::gap"), rule("beats", "HEARTBEAT")], "fs1")
    assert engine.take([gap], 0.0) == []
    assert [row["refused_gap"] for row in engine.counters().values()] == [1, 1, 0]
