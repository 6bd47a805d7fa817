"""The recording's calls, told as its README lists them."""

from __future__ import annotations

import json

import pytest
from audit_samples import recorded_events
from tracing import main_steps, only_call, recorded_calls, trace_of

from switchcast.archive.trace.causes import CAUSES, cause_text
from switchcast.archive.trace.story import Story

BRIDGED = "172f2f1b"
BUSY = "34239e9b"
TRANSFERRED = "26ad112e"
BY_COMMAND = "c8954013"
CONFERENCE = "11b64889"
VALET = "d01ddd78"
RENAMED = "aaaaaaaa-0000-4000-8000-0000000000ff"


def call(key: str) -> Story:
    return only_call(recorded_calls(key))


def test_the_bridged_call_with_hold_and_recording() -> None:
    story = call(BRIDGED)
    assert story.clauses == (
        "1001 called 1000",
        "answered after 0.36 s",
        "on hold for 0.50 s",
        "talked 4.8 s",
        "hung up by 1001, NORMAL_CLEARING",
    )
    assert story.head("at 03:31:25").startswith("1001 called 1000 at 03:31:25; answered after 0.36 s; ")
    assert main_steps(story) == [
        ("begin", "A", "1001 calls 1000 from 127.0.0.1:5096"),
        ("begin", "BA", "1000 is called"),
        ("ring", "B", "rings"),
        ("ring", "A", "hears ringing"),
        ("answer", "B", "answers, PCMU/8000"),
        ("answer", "A", "is answered, PCMU/8000"),
        ("bridge", "AB", "bridged"),
        ("dtmf", "A", "DTMF •"),
        ("command", "A", "command uuid_hold"),
        ("hold", "A", "on hold"),
        ("command", "A", "command uuid_hold off"),
        ("unhold", "A", "off hold after 0.50 s"),
        ("record", "A", "recording begins (b.wav)"),
        ("recorded", "A", "recording ends (b.wav, 0.02 s)"),
        ("hangup", "A", "hangs up: 16 normal call clearing"),
        ("hangup", "B", "ends: 16 normal call clearing"),
    ]
    (bridge,) = story.bridges
    assert bridge.seconds == pytest.approx(4.78, abs=0.01)
    assert [(leg.letter, leg.direction, leg.party, leg.state) for leg in story.legs] == [
        ("A", "inbound", "1001", "ended"),
        ("B", "outbound", "1000", "ended"),
    ]
    a = story.legs[0]
    assert (a.address, a.sip_call_id, a.user_agent) == ("127.0.0.1:5096", "7aea2de52876840f@127.0.0.1", "tiny-ua/1.0")
    assert a.quality["mos"] == 4.5
    assert story.missing == ()


def test_the_call_that_found_him_busy() -> None:
    story = call(BUSY)
    assert story.clauses == ("1001 called 1000", "1000 refused: USER_BUSY (17 user busy, SIP 486)")
    assert story.result == "USER_BUSY"
    assert story.bridges == ()
    assert story.talked is None
    assert [words for kind, _, words in main_steps(story) if kind == "hangup"] == [
        "refuses: 17 user busy, SIP 486",
        "is refused: 17 user busy",
    ]


def test_the_call_to_an_application() -> None:
    story = call("1bc4ee65")
    assert story.clauses[0] == "1000 called 9196"
    assert story.clauses[-1] == "hung up by 1000, NORMAL_CLEARING"
    steps = main_steps(story)
    assert ("application", "A", "runs echo") in steps
    assert ("refused", "A", "asks for a transfer to 9197, which is refused") in steps
    assert [words for kind, _, words in steps if kind in {"hold", "unhold"}] == ["on hold", "off hold after 0.80 s"]


def test_a_blind_transfer() -> None:
    story = call(TRANSFERRED)
    (transfer,) = story.transfers
    assert (transfer.kind, transfer.to, transfer.leg) == ("blind", "9196", story.legs[0].id)
    assert transfer.time - story.began == pytest.approx(4.2e6, abs=1e5)
    assert "transferred to 9196 (blind)" in story.clauses
    kinds = [kind for kind, _, _ in main_steps(story)]
    assert kinds.index("park") < kinds.index("transfer") < kinds.index("application")


def test_two_legs_that_were_bridged_by_command_and_parted_by_a_transfer() -> None:
    story = call(BY_COMMAND)
    assert len(story.legs) == 4
    a, _, c, _ = (leg.id for leg in story.legs)
    sent = {(each.kind, each.leg, each.to) for each in story.transfers}
    assert sent == {("bridge", a, c), ("bridge", c, a), ("blind", a, "9197")}
    assert story.talked == pytest.approx(0.56, abs=0.01)
    assert "hung up by command, NORMAL_CLEARING" in story.clauses
    assert {(link.kind, link.sure) for link in story.links} == {("bridge", True), ("loopback", True)}


def test_a_conference_is_one_call_with_all_its_legs() -> None:
    story = call(CONFERENCE)
    assert [leg.letter for leg in story.legs] == ["A", "B", "C", "D"]
    assert "in conference 3001" in story.clauses
    joined = [(letters, words) for kind, letters, words in main_steps(story) if kind == "conference"]
    assert joined[0] == ("B", "joins conference 3001")
    assert ("D", "leaves conference 3001") in joined
    assert ("B", "is thrown out of conference 3001") in joined
    first = only_call(tuple(each for each in recorded_calls("3001") if each.caller == "1001"))
    assert len(first.legs) == 1, "two conferences of one name are two"


def test_valet_parking() -> None:
    story = call(VALET)
    assert [words for kind, _, words in main_steps(story) if kind in {"park", "unpark"}][:1] == [
        "is parked in valet_lot 5901"
    ]
    assert "parked" in story.clauses


def test_voicemail() -> None:
    words = [words for kind, _, words in main_steps(call("3b084e1d")) if kind == "voicemail"]
    assert words == ["leaves a message of 3 s for 1000@127.0.0.1"]


def test_a_leg_that_was_renamed_is_found_by_both_names() -> None:
    story = call(RENAMED)
    assert story.legs[0].id == RENAMED
    assert story.legs[0].also == ("f3fbf711-0e4c-4eaa-95fb-969fd4c9ca2c",)
    assert call("f3fbf711").to_dict() == story.to_dict()
    assert any(step.kind == "rename" for step in story.steps)


def test_the_loopbacks_second_half_is_told_as_that() -> None:
    story = call("92477510")
    names = [(leg.direction, leg.name.rpartition("-")[2]) for leg in story.legs]
    assert names == [("outbound", "a"), ("inbound", "b")] * 2
    assert ("begin", "BA", "the other half of the loopback") in main_steps(story)
    assert story.bridges[0].seconds == pytest.approx(1.32, abs=0.02)


def test_the_three_bridges_and_every_channel() -> None:
    uuids = {event.unique_id for event in recorded_events() if event.name == "CHANNEL_CREATE"}
    stories = {story.id: story for uuid in uuids for story in recorded_calls(uuid or "")}
    legs = [leg.id for story in stories.values() for leg in story.legs]
    assert len(legs) == len(set(legs)), "no leg is of two calls"
    assert uuids <= set(legs)
    assert len([leg for story in stories.values() for leg in story.legs if leg.id in uuids]) == 54
    assert sum(len(story.bridges) for story in stories.values()) == 3
    assert not any(story.running for story in stories.values())
    answered = {event.unique_id for event in recorded_events() if event.name == "CHANNEL_ANSWER"}
    assert {leg.id for story in stories.values() for leg in story.legs if leg.answered is not None} == answered


def test_digits_are_masked_unless_they_are_asked_for() -> None:
    digits = [step.words for step in call(BRIDGED).steps if step.kind == "dtmf"]
    shown = only_call(trace_of(BRIDGED, recorded_events(), reveal=True))
    assert digits == ["DTMF •"]
    assert [step.words for step in shown.steps if step.kind == "dtmf"] == ["DTMF 7"]
    assert shown.revealed
    assert not call(BRIDGED).revealed


def test_what_applications_are_called_with_is_masked_where_it_may_be_a_secret() -> None:
    told = {step.words for step in call("ca65ba86").steps if step.kind == "application"}
    assert "runs set(…)" in told
    assert not any("RECORD_TITLE" in words for words in told)
    shown = only_call(trace_of("ca65ba86", recorded_events(), reveal=True))
    assert any("RECORD_TITLE" in step.words for step in shown.steps)


def test_a_story_as_json_is_stable_and_complete() -> None:
    story = call(BRIDGED)
    plain = json.loads(json.dumps(story.to_dict()))
    assert list(plain) == [
        "id", "head", "caller", "callee", "result", "running", "began", "ended", "duration", "talked", "nodes", "legs",
        "steps", "bridges", "transfers", "links", "missing", "events", "trust", "revealed",
    ]  # fmt: skip
    assert plain["began"] == "2026-11-23T03:31:25.013338Z"
    assert plain["head"].startswith("1001 called 1000 at 03:31:25 UTC; ")
    assert plain["legs"][0]["cause_text"] == "16 normal call clearing"
    assert plain["steps"][0]["after"] == 0.0
    assert plain["trust"] == {"stock": story.events}
    assert plain["links"] == [{"a": story.legs[0].id, "b": story.legs[1].id, "kind": "bridge", "sure": True}]


def test_causes_have_the_numbers_that_the_switch_gives_them() -> None:
    for event in recorded_events():
        cause, number = event.get("variable_hangup_cause"), event.get("variable_hangup_cause_q850")
        if cause and number and event.name == "CHANNEL_HANGUP_COMPLETE":
            assert CAUSES[cause][0] == int(number)
    assert cause_text("NO_SUCH_CAUSE", 99) == "99"
    assert cause_text("NO_SUCH_CAUSE") == ""
    assert cause_text("ATTENDED_TRANSFER") == "attended transfer"
