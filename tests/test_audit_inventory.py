"""What the audit counts and looks at: against an inventory by hand, on any events and on recordings."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inventory_reference import Reference
from recordings import DATA, PSK, read_pcap
from strategies import PROPERTY, bodies, names, values

from switchcast import LIMITS, Event, StockFrames
from switchcast._native import Inventory
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.inventory import BODY, COVERED_EVENTS, Audit
from switchcast.guard.audit.leaks import AuditResult, Found, Leak, Match

EVERYTHING = (LIMITS["audit_kinds"], LIMITS["audit_headers"], LIMITS["audit_headers_of_kind"], LIMITS["audit_senders"])
KINDS = ["API", "HEARTBEAT", "CUSTOM", "custom", "", "\udcff", "Ü"]
FEW_NAMES = ["A", "a", "B", "Event-Name", "Event-Subclass", "Multicast-Sender", "FreeSWITCH-Switchname", "\udcfe"]


class ByHand:
    """Knows a secret by its header's name, a number by its first character, and nothing else."""

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        found = []
        if header == "Secret":
            found.append(Match(Leak.CREDENTIALS, "name", f"{value[:1]}..."))
        if value.startswith("+"):
            found.append(Match(Leak.NUMBERS, "value", f"{value[:3]}..."))
        if value.startswith("++"):
            found.append(Match(Leak.NUMBERS, "value", "twice"))
        return tuple(found)

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        return (Match(Leak.CONTENT, "body", f"{len(body)} bytes"),)


class Nothing:
    """Finds nothing."""

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        return ()

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        return ()


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event; mostly of few kinds and with few headers, so that they meet."""
    kind = draw(st.sampled_from(KINDS))
    names_drawn = st.sampled_from(FEW_NAMES) | names()
    values_drawn = st.sampled_from(["1", "2", "+49", "a.b"]) | values()
    headers = draw(st.lists(st.tuples(names_drawn, values_drawn), max_size=8))
    return Event(kind, headers, draw(st.just(b"") | bodies()))


def audited(batches: Sequence[Sequence[Event]]) -> AuditResult:
    audit = Audit(ByHand())
    for batch in batches:
        audit.add(batch)
    return audit.result()


def recorded(name: str) -> list[Event]:
    frames = StockFrames(PSK if "psk" in name else None)
    return [frames.open(datagram) for _, datagram in read_pcap(DATA / f"{name}.pcap.gz")]


def check_against_reference(
    events: Sequence[Event], inventory: Inventory, found: list[object], bounds: tuple[int, int, int, int]
) -> None:
    reference = Reference(events, *bounds)
    assert found == reference.specimens
    assert inventory.senders() == reference.senders
    assert inventory.coverage() == pytest.approx(reference.coverage())
    uncounted = {what: count for what, count in inventory.uncounted().items() if count}
    assert uncounted == +reference.uncounted
    assert (inventory.events, inventory.event_bytes) == (len(events), sum(len(event.to_plain()) for event in events))
    expected = [
        (
            kind,
            len(sizes),
            sum(sizes),
            min(sizes),
            max(sizes),
            reference.senders_of[kind],
            [(name, *counts) for name, counts in reference.headers[kind].values()],
            (len(reference.bodies[kind]), sum(reference.bodies[kind])),
        )
        for kind, sizes in reference.sizes.items()
    ]
    assert inventory.kinds() == expected


@PROPERTY
@given(st.lists(events(), max_size=30), st.integers(1, 30), st.tuples(*[st.integers(0, 8)] * 4) | st.just(EVERYTHING))
def test_it_is_the_inventory_by_hand(events: list[Event], batch: int, bounds: tuple[int, int, int, int]) -> None:
    kinds, headers, headers_of_kind, senders = bounds
    inventory = Inventory(
        most_kinds=kinds, most_headers=headers, most_headers_of_kind=headers_of_kind, most_senders=senders
    )
    found: list[object] = []
    for start in range(0, len(events), batch):
        found += inventory.add(events[start : start + batch])
    check_against_reference(events, inventory, found, bounds)


@PROPERTY
@given(st.lists(values(), max_size=60), st.binary(max_size=3))
def test_the_same_values_are_worth_a_look(texts: list[str], body: bytes) -> None:
    seen = [Event("API", {"X-A": text}, body + text.encode("utf-8", "surrogateescape")) for text in texts]
    inventory = Inventory()
    found: list[object] = list(inventory.add(seen))
    check_against_reference(seen, inventory, found, EVERYTHING)


@pytest.mark.parametrize("name", ["stock-plain", "stock-psk"])
def test_a_recording_is_counted_as_by_hand(name: str) -> None:
    seen = [event for event in recorded(name) if len(event.body) <= LIMITS["audit_value_bytes"]]
    inventory = Inventory()
    found: list[object] = []
    for start in range(0, len(seen), 500):
        found += inventory.add(seen[start : start + 500])
    check_against_reference(seen, inventory, found, EVERYTHING)


def test_the_richest_recording_fits_the_bounds_and_is_looked_at_ever_less() -> None:
    seen = recorded("stock-plain")
    inventory = Inventory()
    looked_at = [len(inventory.add(seen)) for _ in range(8)]
    assert set(inventory.uncounted().items()) >= {("kinds", 0), ("headers", 0), ("senders", 0)}
    lines = sum(map(len, seen))
    assert looked_at[0] < lines / 5
    assert sum(looked_at[4:8]) < sum(looked_at[1:4])
    assert sum(looked_at[4:8]) < 4 * lines / 20


def test_what_is_found_is_collected_worst_first() -> None:
    seen = [Event("API", {"Secret": f"+{number}"}) for number in range(1, 9)]
    (kind,) = audited([seen[:3], seen[3:]]).kinds
    name, secret = kind.headers
    assert (name.name, name.events, name.found) == ("Event-Name", 8, [])
    assert (secret.name, secret.events, secret.bytes) == ("Secret", 8, 8 * len("%2B1"))
    assert secret.found == [
        Found(Leak.CREDENTIALS, "name", 4, ["+..."]),
        Found(Leak.NUMBERS, "value", 4, ["+1...", "+2...", "+4..."]),
    ]


def test_a_value_that_gives_the_same_away_twice_counts_once() -> None:
    (kind,) = audited([[Event("API", {"X-A": "++49"})]]).kinds
    assert kind.headers[1].found == [Found(Leak.NUMBERS, "value", 1, ["++4...", "twice"])]


def test_bodies_have_a_row_of_their_own() -> None:
    api, quiet = audited([[Event("API", body=b"one"), Event("API", body=b"three"), Event("HEARTBEAT")]]).kinds
    assert api.body is not None
    assert (api.bodies, api.body.name, api.body.events, api.body.bytes) == (2, BODY, 2, 8)
    assert api.body.found == [Found(Leak.CONTENT, "body", 2, ["3 bytes", "5 bytes"])]
    assert (quiet.bodies, quiet.body) == (0, None)


def test_a_result_stays_as_it_is_and_is_plain_values() -> None:
    audit = Audit(ByHand())
    audit.add([Event("HEARTBEAT"), Event("API", {"Secret": "\udcff", "Multicast-Sender": "f\udcff"}, b"x")])
    before = audit.result()
    text = json.dumps(before.to_dict(), ensure_ascii=False)
    audit.add([Event("API", {"Secret": "b.", "X-B": "+"})])
    assert json.dumps(before.to_dict(), ensure_ascii=False) == text
    assert text.encode("utf-8"), "names and values can be written as UTF-8"
    result = json.loads(text)
    assert [kind["kind"] for kind in result["kinds"]] == ["API", "HEARTBEAT"]
    assert result["kinds"][0]["headers"][1]["found"] == [
        {"leak": "credentials", "by": "name", "looked_at": 1, "examples": ["\ufffd..."]}
    ]
    assert result["senders"] == {"": 1, "f\ufffd": 1}
    assert (result["uncounted"], audit.trust) == ({}, {"local": 3})


def test_what_the_bounds_leave_out_is_told() -> None:
    audit = Audit(Nothing(), most_kinds=1, most_headers=2, most_headers_of_kind=5, most_senders=0)
    audit.add([Event("API", {"A": "1", "B": "1", "b": "2"}), Event("HEARTBEAT"), Event("API", body=b"x" * 20_000)])
    result = audit.result()
    assert result.uncounted == {"kinds": 1, "headers": 2, "senders": 3, "cut": 1}
    assert (result.events, len(result.kinds), result.kinds[0].events) == (3, 1, 2)


def test_a_bound_is_lowered_and_never_raised() -> None:
    inventory = Inventory(most_senders=1 << 40)
    inventory.add([Event("API", {"Multicast-Sender": str(n)}) for n in range(LIMITS["audit_senders"] + 1)])
    assert inventory.uncounted()["senders"] == 1


def test_covered_means_enough_events_and_little_that_is_new() -> None:
    audit = Audit(Nothing())
    assert (audit.coverage(), audit.covered) == (0.0, False)
    audit.add([Event("HEARTBEAT")] * (COVERED_EVENTS - 1))
    assert (audit.coverage(), audit.covered) == (1.0, False)
    audit.add([Event("HEARTBEAT")])
    assert audit.covered
    audit.add([Event("HEARTBEAT", {f"X-{number}": "1"}) for number in range(11)])
    assert audit.coverage() == pytest.approx(1000 / 1011)
    assert not audit.covered


def test_the_real_classifier_is_one_and_its_examples_are_few_and_short() -> None:
    audit = Audit(Classifier("DE"))
    audit.add(recorded("stock-plain"))
    rows = [row for kind in audit.result().kinds for row in (*kind.headers, *filter(None, [kind.body]))]
    found = [found for row in rows for found in row.found]
    assert {entry.leak for entry in found} == set(Leak) - {Leak.OUTSIDE}, "nobody called from outside"
    assert all(1 <= len(entry.examples) <= 3 and entry.looked_at >= len(entry.examples) for entry in found)
    assert max(len(example) for entry in found for example in entry.examples) <= 80
    assert all(row.found == sorted(row.found, key=lambda entry: (entry.leak.rank, entry.by)) for row in rows)
