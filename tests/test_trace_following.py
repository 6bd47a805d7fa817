"""From key to call: over nodes, transfers and lost Call-IDs, in an archive as in a recording, and within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from pathlib import Path

import pytest
from audit_samples import recorded_events
from tracing import main_steps, only_call, recorded_calls, recorded_collected, trace_of
from two_node_call import ANSWERED, BEGAN, CALL_ID, LEGS, two_node_call

from switchcast import Event
from switchcast.archive.reading import ArchiveReader
from switchcast.archive.terms import Term
from switchcast.archive.trace.following import Bounds, gather
from switchcast.archive.trace.ladder import rows_of
from switchcast.archive.trace.sources import Collected, in_archive
from switchcast.archive.trace.story import Story
from switchcast.archive.writing import ArchiveWriter
from switchcast.endpoints import make_endpoint
from switchcast.wire.gap_record import GAP_SUBCLASS


def the_call(key: str = "1001") -> Story:
    return only_call(trace_of(key, two_node_call()))


def test_a_call_over_two_nodes_with_a_transfer() -> None:
    story = the_call()
    assert [(leg.letter, leg.id, leg.node) for leg in story.legs] == [
        (letter, LEGS[letter], "fs1" if letter in "AB" else "fs2") for letter in "ABCDE"
    ]
    assert story.clauses == (
        "1001 called 2000 over fs1 and fs2",
        "answered by 1000 after 2.1 s",
        "on hold for 0.50 s",
        "transferred to 1002 (blind)",
        "talked 12 s",
        "hung up by 1002, NORMAL_CLEARING",
    )
    assert story.began == pytest.approx(BEGAN, abs=1000)
    assert (story.legs[0].answered or 0) - BEGAN == pytest.approx(ANSWERED, abs=20_000)
    assert [step[:2] for step in main_steps(story) if step[0] in {"begin", "bridge", "transfer", "hangup"}] == [
        ("begin", "A"),
        ("begin", "BA"),
        ("begin", "CB"),
        ("begin", "DC"),
        ("bridge", "CD"),
        ("bridge", "AB"),
        ("hangup", "D"),
        ("transfer", "C"),
        ("begin", "EC"),
        ("bridge", "CE"),
        ("hangup", "E"),
        ("hangup", "C"),
        ("hangup", "B"),
        ("hangup", "A"),
    ]
    assert ("hangup", "B", "is hung up by fs2: 16 normal call clearing") in main_steps(story)
    assert [(link.kind) for link in story.links if {link.a, link.b} == {LEGS["B"], LEGS["C"]}] == ["call-id"]
    assert story.missing == ()
    assert story.duration == pytest.approx(14.1, abs=0.1)


@pytest.mark.parametrize(
    "key", [*LEGS.values(), LEGS["E"][:8], CALL_ID, "2000", "1002", "1001@example", "+1001", LEGS["D"].upper()]
)
def test_whatever_names_a_leg_of_it_finds_all_of_it(key: str) -> None:
    assert the_call(key).to_dict() == the_call().to_dict()


def test_without_call_ids_the_way_between_nodes_is_likely_and_says_so() -> None:
    for key in ("1001", "1002", LEGS["E"]):
        story = only_call(trace_of(key, two_node_call(call_ids=False)))
        assert [leg.letter for leg in story.legs] == list("ABCDE")
        (link,) = [link for link in story.links if link.kind == "likely"]
        assert not link.sure
        assert {link.a, link.b} == {LEGS["B"], LEGS["C"]}
        assert [missing.kind for missing in story.missing] == ["likely"]


def changed(events: tuple[Event, ...], leg: str, **headers: str) -> list[Event]:
    """``events``, those of one leg with other values."""
    new = {name.replace("_", "-"): value for name, value in headers.items()}
    return [
        Event.from_headers([(name, new.get(name, value)) for name, value in event.items()]).with_origin(
            event.source, event.received
        )
        if event.unique_id == LEGS[leg]
        else event
        for event in events
    ]


def test_nothing_is_likely_that_comes_from_elsewhere_or_is_not_the_only_one() -> None:
    events = two_node_call(call_ids=False)
    elsewhere = changed(events, "C", Caller_Network_Addr="203.0.113.9")
    elsewhere = [
        Event.from_headers([(n, v) for n, v in event.items() if n != "variable_sip_network_ip"]).with_origin(None, 1)
        for event in elsewhere
    ]
    assert len(only_call(trace_of(LEGS["A"], elsewhere)).legs) == 2
    twin = "0000000f-0000-4000-8000-00000000000f"
    second = [
        Event.from_headers(
            [(name, value.replace(LEGS["C"], twin).replace("22222222-", "33333333-")) for name, value in event.items()]
        )
        for event in events
        if event.unique_id == LEGS["C"] and event.name == "CHANNEL_CREATE"
    ]
    assert second
    assert len(only_call(trace_of(LEGS["A"], [*events, *second])).legs) == 2


def test_a_leg_that_only_others_speak_of() -> None:
    story = only_call(trace_of(LEGS["A"], [event for event in two_node_call() if event.unique_id == LEGS["A"]]))
    b = story.leg(LEGS["B"])
    assert b is not None
    assert (b.heard, b.direction, b.to_number) == (0, "outbound", "2000")
    assert ("leg", LEGS["B"]) in {(missing.kind, missing.leg) for missing in story.missing}


def test_a_beginning_that_was_not_heard_is_told_by_later_events() -> None:
    late = [event for event in two_node_call() if (event.timestamp or 0) > BEGAN + 3_000_000]
    story = only_call(trace_of("1001", late))
    whole = the_call()
    for letter in "ABC":
        leg, full = story.leg(LEGS[letter]), whole.leg(LEGS[letter])
        assert leg is not None
        assert full is not None
        assert (leg.began or 0) == pytest.approx(full.began or 0, abs=30_000)
        assert leg.answered == pytest.approx(full.answered, abs=30_000)
        assert not leg.begin_heard
    answers = [step for step in story.steps if step.kind == "answer" and step.leg == LEGS["A"]]
    assert [step.told for step in answers] == [False]
    assert any("beginning of leg A was not heard" in missing.words for missing in story.missing)


def test_a_call_that_is_still_up_says_so() -> None:
    early = [event for event in two_node_call() if (event.timestamp or 0) < BEGAN + 6_000_000]
    story = only_call(trace_of("1001", early))
    assert story.running
    assert story.clauses[-1] == "still up when last heard of"
    assert story.result == "still up"
    assert rows_of(story)[-1].after == ("talking",) * 4


def gap(sender: str, when: int, trust: str = "local") -> Event:
    headers = {
        "Event-Subclass": "switchcast::gap",
        "Gap-Place": "group",
        "Gap-Reason": "overflow",
        "Gap-Sender": sender,
    }
    event = Event("CUSTOM", {**headers, "Gap-Events": "812"}).with_origin(None, when * 1000)
    return event if trust == "local" else event.with_trust("stock")


def test_lost_events_of_its_nodes_are_told() -> None:
    during = BEGAN + 4_000_000
    records = [gap("fs1", during), gap("fs9", during), gap("fs2", BEGAN + 600_000_000), gap("fs2", during, "stock")]
    story = only_call(trace_of("1001", [*two_node_call(), *records]))
    told = [(each.node, each.words) for each in story.missing if each.kind == "gap"]
    assert told == [("fs1", "812 events of fs1 were lost (overflow, group)")]


def test_clocks_that_do_not_agree_are_told() -> None:
    events = [
        event.with_origin(event.source, (event.received or 0) + (3_000_000_000 if event.hostname == "fs2" else 0))
        for event in two_node_call()
    ]
    (missing,) = only_call(trace_of("1001", events)).missing
    assert (missing.kind, missing.node) == ("clock", "fs2")
    assert "3.0 s behind" in missing.words


def test_an_event_that_a_switch_fired_for_another_is_the_same_event() -> None:
    refired = [
        Event.from_headers(
            [
                ("Event-Name", "CUSTOM"),
                ("Event-Subclass", "multicast::event"),
                ("Core-UUID", "99999999-9999-4999-8999-999999999999"),
                ("Event-Sequence", str(number)),
                *((f"Orig-{name}", value) for name, value in event.items()),
            ]
        )
        for number, event in enumerate(two_node_call(), 1)
    ]
    plain, both = the_call(), only_call(trace_of("1001", [*refired, *two_node_call()]))
    assert only_call(trace_of("1001", refired)).clauses == plain.clauses
    assert [(step.time, step.kind, step.words) for step in both.steps] == [
        (step.time, step.kind, step.words) for step in plain.steps
    ]


def test_several_calls_come_newest_first() -> None:
    calls = recorded_calls("1000")
    assert [call.id[:8] for call in calls] == ["c742060e", "34239e9b", "172f2f1b", "1bc4ee65"]
    assert [call.result for call in calls] == ["up for 0.82 s", "USER_BUSY", "talked 4.8 s", "up for 3.9 s"]


def test_the_beginning_of_a_unique_id_may_match_several() -> None:
    created = sorted({event.unique_id or "" for event in recorded_events() if event.name == "CHANNEL_CREATE"})
    for beginning in {uuid[:4] for uuid in created}:
        found = {leg.id for story in recorded_calls(beginning) for leg in story.legs}
        assert {uuid for uuid in created if uuid.startswith(beginning)} <= found


def test_bounds_are_kept_and_told() -> None:
    few = trace_of("1000", recorded_events(), bounds=Bounds(calls=2))
    assert [call.id[:8] for call in few.calls] == ["c742060e", "34239e9b"]
    assert few.cut == ("4 calls match; these are the newest 2",)
    short = only_call(trace_of("11b64889", recorded_events(), bounds=Bounds(legs=2)))
    assert len(short.legs) == 2
    assert [missing.kind for missing in short.missing].count("bound") == 1
    assert trace_of("1001", two_node_call(), bounds=Bounds(rounds=1)).cut == (
        "it goes on; it was asked 1 times what belongs to it",
    )
    cut = trace_of("1001", two_node_call(), bounds=Bounds(events=100))
    assert cut.cut == ("only the first 100 events were followed",)
    assert only_call(cut).events <= 100
    legs = trace_of("1001", two_node_call(), bounds=Bounds(all_legs=2))
    assert "only the first 2 legs were followed" in legs.cut
    many = trace_of("1000", recorded_events(), bounds=Bounds(calls=1))
    assert many.cut[0] == "6 legs match; only the newest 4 were followed"
    assert len(many.calls) == 1


def test_what_is_collected_is_bounded() -> None:
    collected = Collected(most=50)
    collected.take(two_node_call())
    assert len(collected) == 50
    assert collected.taken == len(two_node_call())
    assert collected.let_go > 0
    story = only_call(gather("1002", collected))
    assert not story.legs[0].begin_heard


def test_an_archive_tells_the_same(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "history") as writer:
        writer.write([*recorded_events(), *two_node_call()])
        writer.commit()
    reader = ArchiveReader(tmp_path / "history")
    for key in ("1002", LEGS["C"], "0000000e", CALL_ID):
        assert only_call(gather(key, in_archive(reader))).clauses == the_call().clauses
    for key in ("172f2f1b", "34239e9b", "c8954013"):
        told = only_call(gather(key, in_archive(reader)))
        assert [leg.id for leg in told.legs] == [leg.id for leg in only_call(recorded_calls(key)).legs]
    newest = in_archive(reader, begin=(BEGAN - 1_000_000) * 1000)
    assert [call.caller for call in gather("1001", newest).calls] == ["1001"]
    assert gather("1001", in_archive(reader, end=1)).calls == ()


def test_every_call_of_a_simulated_cluster_is_told_apart() -> None:
    async def heard() -> Collected:
        collected = Collected()
        async with make_endpoint("sim://?nodes=3&cps=4&seed=7&speed=0&for=40s", role="source") as source:
            async for events in source.batches():
                collected.take(events)
                everything.extend(events)
        return collected

    everything: list[Event] = []
    collected = asyncio.run(heard())
    roots = [event for event in everything if event.name == "CHANNEL_CREATE"]
    assert len(roots) > 100
    for event in roots[::23]:
        story = only_call(gather(event.unique_id or "", collected))
        assert story.nodes == (event.get("FreeSWITCH-Switchname"),)
        ended = {each.unique_id for each in everything if each.name == "CHANNEL_HANGUP"}
        assert all((leg.ended is not None) == (leg.id in ended) for leg in story.legs)
        own = {leg.id for leg in story.legs}
        assert {each.get("Channel-Call-UUID") for each in everything if each.unique_id in own} - {None} <= own


def test_an_attended_transfer_is_told_with_whom_it_connected() -> None:
    """The switch writes it into the history of the leg that goes on, and ends the other two with a cause of its own."""
    entry = "1795435207:5f0c7d9e-0000-4000-8000-000000000002:att_xfer:1001@example/1002@example"
    events = [
        Event.from_headers(
            [
                (name, entry if "bl_xfer" in value else value.replace("BLIND_TRANSFER", "ATTENDED_TRANSFER"))
                for name, value in event.items()
            ]
        ).with_origin(event.source, event.received)
        for event in two_node_call()
    ]
    story = only_call(trace_of("1001", events))
    assert [(each.kind, each.to, each.leg) for each in story.transfers] == [("attended", "1002@example", LEGS["C"])]
    assert "transferred to 1002@example (attended)" in story.clauses
    assert ("hangup", "D", "hangs up: attended transfer") in main_steps(story)


def test_the_newest_call_alone_is_the_first_of_all() -> None:
    for key in ("1000", "1001", "9196"):
        calls = recorded_calls(key)
        assert len(calls) > 1
        alone = gather(key, recorded_collected(), newest=True)
        assert [call.to_dict() for call in alone.calls] == [calls[0].to_dict()]
        assert alone.cut == ()
    assert gather("5559", recorded_collected(), newest=True).calls == ()


def test_legs_that_began_together_are_asked_about_at_once() -> None:
    """To read the same minutes of a large archive again for each leg would take minutes."""
    collected = Collected()
    collected.take(two_node_call(call_ids=False))
    collected.take(recorded_events())
    asked: list[tuple[int, float, float]] = []

    def search(terms: Collection[Term], since: float | None = None, until: float | None = None) -> Iterable[Event]:
        terms = [term for term in terms if term != Term.named(GAP_SUBCLASS)]
        if since is not None and until is not None and terms:
            asked.append((len(terms), since, until))
        return collected(terms, since, until)

    found = gather("1001", search)
    assert found.to_dict() == gather("1001", collected).to_dict()
    assert len(asked) < sum(len(call.legs) for call in found.calls) / 2
    assert max(count for count, _, _ in asked) > 1
