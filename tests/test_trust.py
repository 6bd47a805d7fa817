"""Trust: what vouches for an event stays with it, and nothing acts on what nothing vouches for."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from configurations import lay_out, loaded
from nodes import configuration, running
from parts import Given, Keeping, fired, run
from ports import free_port
from sockets import until
from switches import esl, serve, take

import switchcast
from switchcast import Event, StockFrames
from switchcast._native import Sender, TrustCheck
from switchcast.app.config import load
from switchcast.errors import ConfigurationError
from switchcast.guard.policy import compile_policy, shipped
from switchcast.line.duplicates import Duplicates
from switchcast.node import Node, Route, Sink, Source
from switchcast.rules.actions.emit import NewEvent
from switchcast.rules.engine import REFUSALS, Engine
from switchcast.rules.settings import EmitSettings, RuleSettings
from switchcast.views.peers import Change
from switchcast.wire.fs_path import route_back
from switchcast.wire.lines import from_line, to_line
from switchcast.wire.refire import from_switch, refire, restore

TRUSTS: list[tuple[str, str | None]] = [
    ("stock", None),
    ("local", None),
    ("member", None),
    ("signed", "alice"),
    ("signed", "bob"),
]
REGISTRATION = Event(
    "CUSTOM",
    [
        ("Event-Subclass", "sofia::register"),
        ("from-user", "1000"),
        ("from-host", "fs1.example.com"),
        ("contact", '"" <sip:1000@192.0.2.66>'),
        ("FreeSWITCH-IPv4", "192.0.2.1"),
        ("Multicast-Sender", "fs1"),
    ],
)


def each() -> list[Event]:
    """The same event once under every trust."""
    return [REGISTRATION.with_trust(trust, signer) for trust, signer in TRUSTS]  # type: ignore[arg-type]


def trusts(events: list[Event]) -> list[str]:
    """Who vouches for each."""
    return [event.signer or event.trust for event in events]


# What stays


@pytest.mark.parametrize(
    "made",
    [
        copy.copy,
        copy.deepcopy,
        lambda event: pickle.loads(pickle.dumps(event)),
        lambda event: event.with_headers([("A", "b")]),
        lambda event: event.with_origin("192.0.2.1:4242", 1),
        lambda event: event.with_text(b"A: 1\n\n"),
        refire,
        restore,
        lambda event: route_back(event, "192.0.2.1", replace=True),
        lambda event: compile_policy("cluster", shipped("cluster"), None)([event])[0],
    ],
    ids=["copy", "deepcopy", "pickle", "headers", "origin", "text", "refire", "restore", "fs_path", "policy"],
)
def test_what_is_made_of_an_event_has_its_trust(made: Callable[[Event], Event]) -> None:
    results = [made(event.with_origin("192.0.2.7:1", 7)) for event in each()]
    assert [(event.trust, event.signer) for event in results] == TRUSTS
    assert results[0].source in {"192.0.2.7:1", "192.0.2.1:4242"}


def test_what_this_program_makes_is_local() -> None:
    settings = EmitSettings.model_validate({"to": ["group"], "subclass": "example::pong"})
    made = [
        Event("TRAP"),
        Event.from_headers([("A", "1")]),
        Event.from_plain(b"A: 1\n\n"),
        Event.from_json("{}"),
        NewEvent("r", "fs1", settings).make(REGISTRATION.with_trust("stock")),
        Change("up", "fs2", "", None).event(),
    ]
    assert {event.trust for event in made} == {"local"}


@pytest.mark.parametrize(
    "wrong", [("signed", None), ("member", "alice"), ("stock", "alice"), ("trusted", None), ("", None)]
)
def test_a_trust_that_is_none_is_refused(wrong: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match=r"signer|trust is"):
        REGISTRATION.with_trust(*wrong)
    with pytest.raises(ValueError, match=r"signer|trust is"):
        Event.from_plain(b"A: 1\n\n", None, None, *wrong)


def test_a_datagram_is_stock_under_a_pre_shared_key_too() -> None:
    for frames in (StockFrames(), StockFrames(b"ClueCon")):
        assert frames.open(frames.frame(REGISTRATION.with_trust("member"))).trust == "stock"


# Where it cannot stay


def test_a_file_lowers_trust_and_never_raises_it() -> None:
    assert trusts([from_line(to_line(event)) for event in each()]) == ["stock", *["local"] * 4]
    line = to_line(REGISTRATION.with_trust("stock").with_origin("192.0.2.7:1", 7))
    assert json.loads(line)["_trust"] == "stock"
    again = from_line(line)
    assert (again.trust, again.source, again.received) == ("stock", "192.0.2.7:1", 7)
    for claimed in ("member", "signed", "local", 1, None):
        assert from_line(line.replace('"_trust":"stock"', f'"_trust":{json.dumps(claimed)}')).trust == "local"


def test_a_file_that_was_written_otherwise_is_read_the_same() -> None:
    awkward = Event.from_plain(b"A: %2f\n_trust: member\n\n").with_trust("stock")
    assert from_line(to_line(awkward)) == awkward
    assert from_line(to_line(awkward)).trust == "stock"
    assert from_line('{"_trust": "stock", "A": "1"}').trust == "stock"
    assert from_line('{"A":"1", "_source":"x", "_trust":"stock"}').trust == "stock"
    assert "_trust" not in to_line(REGISTRATION)


@pytest.mark.parametrize("name", ["events.jsonl", "events.pcapng"])
def test_a_capture_is_of_stock_datagrams_whatever_was_written(tmp_path: Path, name: str) -> None:
    url = f"file:{tmp_path}/{name}"

    async def main() -> list[Event]:
        async with switchcast.open(url, role="sink") as sink:
            await sink.send(each())
        async with switchcast.open(url + "?speed=0", role="source") as source:
            return [event async for event in source]

    expected = ["stock", *["local"] * 4] if name.endswith("jsonl") else ["stock"] * 5
    assert trusts(asyncio.run(main())) == expected


@pytest.mark.parametrize("form", ["plain", "json"])
def test_what_a_switch_was_told_by_a_group_is_stock_when_it_comes_back(form: str) -> None:
    def heard(event: Event) -> str:
        return from_switch(form, event.to_plain() if form == "plain" else event.to_json().encode()).trust

    assert heard(Event("HEARTBEAT")) == "local"
    assert heard(Event("MESSAGE", {"from": "1000"}, "Multicast: yes\n")) == "local"
    assert heard(Event("CUSTOM", {"Event-Subclass": "sofia::register"})) == "local"
    assert heard(refire(REGISTRATION)) == "stock"
    assert heard(restore(REGISTRATION)) == "stock"
    assert heard(Change("down", "fs2", "", None).event()) == "stock"


# Who acts


def test_a_check_takes_what_it_is_told_to() -> None:
    def taken(check: TrustCheck) -> list[str]:
        events = each()
        kept = check.select(events)
        assert [event for event in events if check.refusal(event) is None] == kept
        return trusts(kept)

    assert taken(TrustCheck()) == ["local", "member", "alice", "bob"]
    assert taken(TrustCheck(stock=True)) == ["stock", "local", "member", "alice", "bob"]
    assert taken(TrustCheck(signed=True)) == ["alice", "bob"]
    assert taken(TrustCheck(signed=True, signers=["bob", "carol"])) == ["bob"]


@pytest.mark.parametrize(
    ("hearer", "options", "untrusted", "unsigned", "passed"),
    [
        ("switch", {}, 1, 0, ["local", "member", "alice", "bob"]),
        ("switch", {"trust": "stock"}, 0, 0, ["stock", "local", "member", "alice", "bob"]),
        ("switch", {"require": "signed"}, 0, 3, ["alice", "bob"]),
        ("switch", {"require": "signed", "signers": ["alice"]}, 0, 4, ["alice"]),
        ("other", {}, 0, 0, ["stock", "local", "member", "alice", "bob"]),
        ("group", {"require": "signed"}, 0, 3, ["alice", "bob"]),
    ],
)
def test_a_route_takes_those_it_may_and_counts_the_others(
    hearer: Any, options: dict[str, Any], untrusted: int, unsigned: int, passed: list[str]
) -> None:
    sink, unwanted = Keeping(), Event("TRAP").with_trust("stock")
    route = Route(
        Source(Given([*each(), unwanted])),
        [Sink(sink, hearer=hearer)],
        bindings="CUSTOM sofia::register",
        name="way",
        **options,
    )
    node = Node([route])
    run(node)
    assert trusts(sink.kept) == passed
    counts = node.counters()["routes"]["way"]
    assert (counts["untrusted"], counts["unsigned"], counts["unmatched"]) == (untrusted, unsigned, 1)
    assert sum(counts.values()) == 6


def test_a_route_to_a_switch_and_elsewhere_is_one_decision() -> None:
    switch, record = Keeping("switch"), Keeping("record")
    run(Node([Route(Source(Given(each())), [Sink(switch, hearer="switch"), Sink(record)])]))
    assert trusts(switch.kept) == trusts(record.kept) == ["local", "member", "alice", "bob"]


@pytest.mark.parametrize(
    ("options", "fires", "reasons"),
    [
        ({}, ["local", "member", "alice", "bob"], {"untrusted": 1}),
        ({"trust": "stock"}, ["stock", "local", "member", "alice", "bob"], {}),
        ({"require": "signed"}, ["alice", "bob"], {"unsigned": 3}),
        ({"require": "signed", "signers": "alice"}, ["alice"], {"unsigned": 4}),
    ],
)
def test_a_rule_fires_for_those_it_may_and_counts_the_others(
    options: dict[str, Any], fires: list[str], reasons: dict[str, int]
) -> None:
    rule = RuleSettings.model_validate({"name": "r", "log": "x"} | options)
    engine = Engine([rule], "fs1")
    verdicts = [engine.explain(event, 0.0)[0] for event in each()]
    assert trusts([firing.event for firing in engine.take(each(), 0.0)]) == fires
    counts = engine.counters()["r"]
    assert {reason: counts[f"refused_{reason}"] for reason in REFUSALS if counts[f"refused_{reason}"]} == reasons
    assert counts["matched"] == counts["fired"] + sum(reasons.values())
    assert [verdict.fires for verdict in verdicts] == [name in fires for name in trusts(each())]
    assert {verdict.reason for verdict in verdicts if not verdict.fires} == reasons.keys()


def test_a_rule_says_why_not() -> None:
    rule = RuleSettings.model_validate({"name": "r", "log": "x", "require": "signed", "signers": ["alice"]})
    words = [Engine([rule], "fs1").explain(event, 0.0)[0].why for event in each()]
    assert words == [*["it is not signed"] * 3, "fires", 'it is signed by "bob", who is not in signers']
    anyones = Engine([RuleSettings.model_validate({"name": "r", "log": "x"})], "fs1").explain(each()[0], 0.0)[0]
    assert anyones.why.startswith("nothing vouches for it")


def test_a_forgery_does_not_silence_what_somebody_vouches_for() -> None:
    duplicates = Duplicates()
    forged, real = fired(0, 1).with_trust("stock"), fired(0, 1).with_trust("member")
    assert trusts(duplicates.take([forged, forged, real, real, forged])) == ["stock", "member"]
    assert trusts(duplicates.take([fired(0, 2).with_trust("member"), fired(0, 2).with_trust("stock")])) == ["member"]


@pytest.mark.parametrize("trust", [None, "stock"])
def test_a_forged_registration_is_relayed_only_by_a_route_that_takes_anyones(trust: Any) -> None:
    port = free_port()

    async def main() -> tuple[list[str], dict[str, int]]:
        async with serve() as server, esl(server) as listener:
            await listener.open_source()
            group = Source(f"udp://127.0.0.1:{port}", name="group")
            node = Node([Route(group, [Sink(listener.url, name="switch")], trust=trust, name="hear")], name="fs2")
            running = asyncio.create_task(node.run())
            await node.ready.wait()
            stranger = Sender(["127.0.0.1"], port)
            stranger.send([REGISTRATION])
            await until(lambda: node.feeds["group"].received == 1)
            await until(lambda: node.outlets["switch"].queue.queued == 0)
            server.publish([Event("TRAP", {"Mark": "the end"})])
            told = [] if trust is None else [event.subclass or "" for event in await take(listener, 1)]
            stranger.close()
            node.stop()
            await running
            return told, node.counters()["routes"]["hear"]

    told, counts = asyncio.run(main())
    assert told == ([] if trust is None else ["multicast::event"])
    assert (counts["untrusted"], counts["passed"]) == ((1, 0) if trust is None else (0, 1))


# What a configuration says

LINES = """
[endpoints.switch]
url = "esl://127.0.0.1:8021"
password_file = "{folder}/esl.password"
[endpoints.group]
url = "udp://127.0.0.1:4242"
[endpoints.record]
url = "file:{folder}/events.jsonl"
[[route]]
from = "group"
to = ["switch", "record"]
ROUTE
[[rule]]
name = "lamp"
run = ["/usr/local/bin/lamp"]
RULE
"""


def told(tmp_path: Path, route: str = "", rule: str = "", more: str = "") -> list[str]:
    text = (
        LINES.replace("ROUTE", route).replace("RULE", rule).replace("[endpoints.record]", f"{more}\n[endpoints.record]")
    )
    return [warning.split("/switchcast.toml:")[1] for warning in loaded(tmp_path, text).warnings]


def test_whoever_takes_anyones_is_warned_of_what_a_stranger_could_do(tmp_path: Path) -> None:
    assert told(tmp_path, 'trust = "stock"', 'trust = "stock"') == [
        (
            '13: route[1].trust: "stock": whoever can send a datagram to group can have switch take over, by the route '
            "group-to-switch-record, registrations, presence and lamps that it makes up"
        ),
        (
            '17: rule[1].trust: "stock": whoever can send a datagram to a source of this node can fire the rule lamp, '
            "with values that it makes up, and so run /usr/local/bin/lamp"
        ),
    ]


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ('webhook = "https://example.com/"', "have its webhook called"),
        ('esl-api = {{endpoint = "switch", command = ["status"]}}', "have status done at switch"),
        ('esl-event = {{endpoint = "switch", subclass = "a::b"}}', "fire an event at switch"),
        ('emit = {{to = "group", subclass = "a::b"}}', "have an event sent to group in this node's name"),
        ('log = "x"', "write to this node's log"),
    ],
)
def test_the_warning_says_what_the_rule_does(tmp_path: Path, action: str, says: str) -> None:
    text = LINES.replace("ROUTE", 'trust = "stock"').replace('run = ["/usr/local/bin/lamp"]', action)
    assert loaded(tmp_path, text.replace("RULE", 'trust = "stock"')).warnings[1].endswith(f"and so {says}")


def test_a_route_that_could_carry_nothing_is_warned_of(tmp_path: Path) -> None:
    (warning,) = told(tmp_path)
    assert warning == (
        "10: route[1]: nothing vouches for what comes from group, so switch will be told nothing of it; give group a "
        'key (mode, key_file), or take anyone\'s by trust = "stock"'
    )
    assert told(tmp_path, more='mode = "traced"\nkey_file = "{folder}/group.key"') == []
    assert told(tmp_path, 'require = "signed"', more='mode = "traced"\nkey_file = "{folder}/group.key"') == []


@pytest.mark.parametrize(
    ("route", "rule", "says"),
    [
        ('trust = "stock"\nrequire = "signed"', "", "leave one out"),
        ("", 'trust = "stock"\nrequire = "signed"', "leave one out"),
        ('signers = ["fs1"]', "", 'only with require = "signed"'),
        ("", 'signers = "fs1"', 'only with require = "signed"'),
        ('trust = "member"', "", "none of stock"),
        ("", 'require = "sealed"', "none of signed"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, route: str, rule: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        told(tmp_path, route, rule)


def test_a_source_that_is_never_signed_cannot_be_asked_for_signatures(tmp_path: Path) -> None:
    text = LINES.replace('from = "group"\nto = ["switch", "record"]', 'from = "switch"\nto = ["record"]')
    path = lay_out(tmp_path, text.replace("ROUTE", 'require = "signed"').replace("RULE", ""))
    with pytest.raises(ConfigurationError, match="events from esl: are never signed"):
        load(path, {})


def test_trust_that_opens_nothing_is_odd(tmp_path: Path) -> None:
    text = LINES.replace('"switch", "record"', '"record"').replace("ROUTE", 'trust = "stock"').replace("RULE", "")
    warnings = [warning for warning in loaded(tmp_path, text).warnings if "route[1]" in warning]
    assert len(warnings) == 1
    assert "says nothing here" in warnings[0]


def test_a_node_repeats_the_warning_at_every_start_and_reload(tmp_path: Path) -> None:
    configuration(
        tmp_path,
        f'[endpoints.net]\nurl = "udp://127.0.0.1:{free_port()}"\n[endpoints.record]\nurl = "file:{tmp_path}/a.jsonl"\n'
        '[[route]]\nfrom = "net"\nto = ["record"]\n[[rule]]\nname = "told"\ntrust = "stock"\nlog = "x"\n',
    )
    with running(tmp_path) as node:
        node.ask("reload")
        node.ask("reload")
        log = node.end()
    warned = [line for line in log.splitlines() if "can fire the rule told" in line]
    assert [json.loads(line)["level"] for line in warned] == ["warning"] * 3
