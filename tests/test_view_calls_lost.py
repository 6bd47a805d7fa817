"""Calls: what lost and late events leave behind, what a switch puts right, and what strangers cannot change."""

from __future__ import annotations

from typing import Any

import pytest
from viewing import WALL, channel, feed, fired
from viewing_calls import begun, bridge, leg_of, listed, only, up, uuids

from switchcast import Event
from switchcast.views import channels
from switchcast.views.calls import Calls, CallsSettings
from switchcast.views.telling import Trust

# Lost and late events


@pytest.mark.parametrize("name", ["CHANNEL_STATE", "CHANNEL_CALLSTATE", "CHANNEL_HOLD", "CHANNEL_ANSWER", "CODEC"])
def test_a_leg_whose_beginning_was_lost_is_made_from_what_is_heard_of_it(name: str) -> None:
    view = Calls()
    feed(view, channel(name, "a", Caller_Caller_ID_Number="1000", Call_Direction="inbound"))
    leg = leg_of(view, "a")
    assert (leg["from_number"], leg["direction"], leg["state"], leg["created"]) == (
        "1000",
        "inbound",
        "active",
        WALL + 1,
    )


@pytest.mark.parametrize(
    "event",
    [
        channel("CHANNEL_STATE", "a", state="CS_NEW"),
        channel("CHANNEL_STATE", "a", state="CS_INIT"),
        channel("CHANNEL_ANSWER", "a", state="CS_INIT"),
        channel("CHANNEL_HANGUP", "a"),
        channel("CHANNEL_HANGUP_COMPLETE", "a", state="CS_REPORTING"),
        channel("CHANNEL_STATE", "a", state="CS_DESTROY"),
        channel("CHANNEL_DESTROY", "a"),
        channel("CHANNEL_UUID", "a", Old_Unique_ID="b"),
        fired("CHANNEL_STATE"),
        fired("CHANNEL_STATE", Unique_ID="a"),
        fired("conference::maintenance", Action="conference-create"),
    ],
)
def test_what_does_not_show_a_channel_up_makes_no_leg(event: Event) -> None:
    view = Calls()
    feed(view, event)
    assert view.rows(1.0) == []


def test_a_bridge_that_was_not_heard_is_made_good() -> None:
    view = Calls()
    feed(view, begun("a"), begun("b", call="a"))
    feed(view, channel("CHANNEL_STATE", "b", call="a", state="CS_EXCHANGE_MEDIA", Other_Leg_Unique_ID="a"))
    assert [leg["bridged_to"] for leg in only(view)["legs"]] == ["b", "a"]
    other = Calls()
    feed(other, begun("a"), begun("b", call="a"), channel("CALL_UPDATE", "a", Bridged_To="b"))
    assert [leg["bridged_to"] for leg in only(other)["legs"]] == ["b", "a"]


def test_a_bridge_to_a_leg_that_is_not_known_yet_holds_when_it_is() -> None:
    view = Calls()
    feed(view, begun("a"), bridge("a", "b"), channel("CHANNEL_STATE", "b", created=2.0))
    assert [leg["bridged_to"] for leg in only(view)["legs"]] == ["b", "a"]


@pytest.mark.parametrize("name", ["CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_STATE", "CHANNEL_CALLSTATE"])
def test_a_leg_that_was_hung_up_goes_though_its_destroy_was_lost(name: str) -> None:
    view = Calls()
    feed(view, begun("a"), channel(name, "a", state="CS_HANGUP", call_state="HANGUP"), now=1.0)
    view.tick(1.0 + channels.LINGER - 0.1)
    assert only(view)["state"] == "hangup"
    due = view.next_due()
    assert due is not None
    view.tick(due)
    assert view.rows(due) == []


def test_of_a_leg_that_nobody_tells_of_it_is_doubtful_and_then_over() -> None:
    view = Calls(CallsSettings(quiet=600.0, forget=7200.0))
    feed(view, begun("a"), now=0.0)
    seen: list[tuple[float, str]] = []
    due = view.next_due()
    while due is not None and view.legs():
        view.tick(due)
        sure = only(view)["sure"] if view.legs() else "over"
        if not seen or seen[-1][1] != sure:
            seen.append((due, sure))
        due = view.next_due()
    assert [sure for _, sure in seen] == ["told", "doubtful", "over"]
    assert 600.0 <= seen[1][0] <= 660.0
    assert 7200.0 <= seen[2][0] <= 7260.0


def test_an_event_that_was_overtaken_changes_nothing() -> None:
    view = Calls()
    feed(view, begun("a", Event_Sequence="10"))
    feed(view, channel("CHANNEL_CALLSTATE", "a", call_state="HELD", Event_Sequence="30"))
    feed(view, channel("CHANNEL_CALLSTATE", "a", call_state="ACTIVE", Event_Sequence="20"))
    assert (only(view)["state"], view.counters()["late"]) == ("held", 1)
    feed(view, bridge("a", "b", Event_Sequence="25"))
    assert leg_of(view, "a")["bridged_to"] == "b", "nothing newer has told of a bridge"
    feed(view, bridge("a", "b", name="CHANNEL_UNBRIDGE", Event_Sequence="24"))
    assert leg_of(view, "a")["bridged_to"] == "b"


def test_nothing_brings_a_leg_back_that_has_gone() -> None:
    view = Calls()
    feed(view, begun("a", Event_Sequence="1"), channel("CHANNEL_DESTROY", "a", Event_Sequence="9"), now=1.0)
    feed(view, channel("CHANNEL_STATE", "a", state="CS_REPORTING", Event_Sequence="8"))
    feed(view, channel("CHANNEL_STATE", "a", state="CS_EXECUTE", Event_Sequence="5"))
    feed(view, begun("a", Event_Sequence="1"))
    view.seed(listed("fs1", 0.5, up("a")), 1.5, WALL + 1.5)
    assert view.rows(2.0) == []
    feed(view, begun("a", Event_Sequence="20"))
    assert uuids(view) == [["a"]], "a UUID can be given again"


def test_what_is_kept_of_those_that_have_gone_is_bounded_and_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MOST_GONE", 10)
    view = Calls()
    for number in range(30):
        feed(view, begun(f"u{number}"), channel("CHANNEL_DESTROY", f"u{number}"), now=1.0)
    feed(view, channel("CHANNEL_STATE", "u29"), channel("CHANNEL_STATE", "u0"), now=2.0)
    assert uuids(view) == [["u0"]]
    view.tick(200.0)
    feed(view, channel("CHANNEL_STATE", "u29"), now=201.0)
    assert uuids(view) == [["u0"], ["u29"]]


def test_a_stranger_bridges_no_leg_that_comes_later() -> None:
    view = Calls()
    feed(view, begun("x", trust="stock"), bridge("x", "a", trust="stock"), begun("a", trust="member"))
    assert leg_of(view, "a")["bridged_to"] == ""


# What a switch answers


def test_who_joins_late_has_the_calls_as_the_switch_lists_them() -> None:
    view = Calls()
    numbers = {"cid_num": "1001", "cid_name": "User 1001", "dest": "1000", "read_codec": "PCMU", "read_rate": "8000"}
    rows = (up("a", created_epoch=str(int(WALL) - 50), **numbers), up("b", call_uuid="a", application="park"))
    view.seed(listed("fs1", 10.0, *rows, pairs=(("a", "b"),)), 10.1, WALL + 10.1)
    row = only(view, 10.0)
    assert (row["sure"], row["trust"], row["state"], row["duration"]) == ("asked", "local", "active", 60.0)
    assert [(leg["uuid"], leg["bridged_to"], leg["parked"]) for leg in row["legs"]] == [
        ("a", "b", False),
        ("b", "a", True),
    ]
    first = leg_of(view, "a")
    assert (first["from_number"], first["from_name"], first["to_number"]) == ("1001", "User 1001", "1000")
    assert first["codec_read"] == "PCMU/8000"
    feed(view, channel("CHANNEL_CALLSTATE", "a", call_state="HELD"), now=11.0)
    assert (only(view, 11.0)["state"], leg_of(view, "a")["sure"]) == ("held", "told")


def test_a_snapshot_ends_what_it_does_not_list_and_leaves_what_was_told_since() -> None:
    view = Calls()
    feed(view, begun("ghost"), begun("other", node="fs2"), now=1.0)
    feed(view, begun("fresh"), now=3.0)
    feed(view, begun("changed"), channel("CHANNEL_CALLSTATE", "changed", call_state="HELD"), now=3.0)
    view.seed(listed("fs1", 2.0, up("changed"), up("missed")), 4.0, WALL + 4.0)
    assert uuids(view) == [["changed"], ["fresh"], ["missed"], ["other"]]
    assert leg_of(view, "changed")["state"] == "held"


def test_a_snapshot_of_calls_puts_bridges_right_but_not_those_told_since() -> None:
    view = Calls()
    feed(view, begun("a"), begun("b"), bridge("a", "b"), begun("c"), begun("d"), now=1.0)
    feed(view, bridge("c", "d"), begun("e"), begun("f"), now=3.0)
    snapshot = listed("fs1", 2.0, *map(up, "abcdef"), pairs=(("a", "e"),))
    view.seed(snapshot, 4.0, WALL + 4.0)
    bridged = {uuid: leg.bridged_to for uuid, leg in view.legs().items()}
    assert bridged == {"a": "e", "b": "", "c": "d", "d": "c", "e": "a", "f": ""}


def test_a_snapshot_of_a_run_that_is_over_tells_nothing() -> None:
    view = Calls()
    feed(view, begun("a"), begun("new", core="core-2"), now=1.0)
    view.restarted("fs1", "core-2", 3.0)
    assert uuids(view) == [["new"]]
    view.seed(listed("fs1", 2.0, up("a")), 4.0, WALL + 4.0)
    feed(view, channel("CHANNEL_STATE", "a"), now=5.0)
    assert uuids(view) == [["new"]], "neither does an event of it that came late"


def test_a_forged_number_keeps_the_true_events_out_until_the_next_snapshot_only() -> None:
    view = Calls()
    feed(view, begun("a", Event_Sequence="10", trust="stock"))
    feed(view, channel("CHANNEL_HOLD", "a", call_state="HELD", Event_Sequence="9" * 17, trust="stock"), now=1.0)
    view.seed(listed("fs1", 2.0, up("a")), 2.0, WALL + 2.0)
    assert only(view)["state"] == "active"
    feed(view, channel("CHANNEL_CALLSTATE", "a", call_state="EARLY", Event_Sequence="20", trust="stock"), now=3.0)
    assert only(view)["state"] == "early"


def test_rows_of_a_node_that_lost_events_are_doubtful_until_it_was_asked() -> None:
    view = Calls()
    feed(view, begun("a"), begun("x", node="fs2"), now=1.0)
    view.doubt("fs1", 2.0)
    feed(view, channel("CHANNEL_CALLSTATE", "a"), begun("b"), now=2.5)
    assert [(row["id"], row["sure"]) for row in view.rows(2.5)] == [("a", "doubtful"), ("b", "told"), ("x", "told")]
    view.seed(listed("fs1", 2.2, up("a")), 3.0, WALL + 3.0)
    assert [row["sure"] for row in view.rows(3.0)] == ["told", "told", "told"]
    view.doubt("fs1", 4.0)
    view.seed(listed("fs1", 5.0, up("a"), up("b")), 5.0, WALL + 5.0)
    assert [row["sure"] for row in view.rows(5.0)] == ["asked", "asked", "told"]


def test_an_answer_that_was_asked_for_before_the_loss_takes_no_doubt_away() -> None:
    view = Calls()
    feed(view, begun("a"), now=1.0)
    view.doubt("fs1", 3.0)
    view.seed(listed("fs1", 2.0, up("a"), up("b")), 4.0, WALL + 4.0)
    assert [row["sure"] for row in view.rows(4.0)] == ["doubtful", "doubtful"]
    view.seed(listed("fs1", 5.0, up("a"), up("b")), 5.0, WALL + 5.0)
    assert [row["sure"] for row in view.rows(5.0)] == ["asked", "asked"]


def test_a_leg_is_that_switchs_which_lists_it() -> None:
    view = Calls()
    feed(view, begun("a", node="impostor"), now=1.0)
    view.seed(listed("fs1", 2.0, up("a")), 2.0, WALL + 2.0)
    assert leg_of(view, "a")["node"] == "fs1"
    view.seed(listed("impostor", 3.0), 3.0, WALL + 3.0)
    assert uuids(view) == [["a"]]


def test_a_channel_that_a_switch_still_lists_after_its_end_goes_though_nothing_more_is_heard() -> None:
    view = Calls()
    view.seed(listed("fs1", 1.0, up("a", state="CS_REPORTING", callstate="HANGUP")), 1.0, WALL + 1.0)
    assert only(view)["state"] == "hangup"
    view.tick(1.0 + channels.LINGER)
    assert view.rows(40.0) == []


def test_a_call_that_a_switch_recovers_after_a_crash_goes_on_with_numbers_that_begin_anew() -> None:
    view = Calls()
    feed(view, channel("CHANNEL_CALLSTATE", "a", Event_Sequence="90000"), now=1.0)
    feed(view, channel("CHANNEL_CALLSTATE", "a", call_state="HELD", core="core-2", Event_Sequence="500"), now=2.0)
    assert only(view)["state"] == "held"


# Strangers


@pytest.mark.parametrize("writer", ["local", "member", "signed"])
def test_a_stranger_changes_no_leg_that_somebody_better_told_of(writer: Trust) -> None:
    view = Calls()
    feed(view, begun("a", trust=writer), begun("b", trust=writer, call="a"))
    before = view.rows(1.0)
    forged: dict[str, Any] = {"trust": "stock"}
    feed(
        view,
        channel("CHANNEL_CALLSTATE", "a", call_state="HELD", **forged),
        channel("CHANNEL_HANGUP", "a", **forged),
        channel("CHANNEL_DESTROY", "a", **forged),
        channel("CHANNEL_UUID", "z", Old_Unique_ID="a", **forged),
        bridge("b", "x", **forged),
    )
    assert view.rows(1.0) == before
    assert view.counters()["untrusted"] == 5


def test_a_stranger_is_shown_with_the_call_that_it_names_and_joins_nothing() -> None:
    view = Calls()
    feed(view, begun("a", trust="member", created=5.0), begun("m", trust="member", created=6.0))
    feed(view, begun("x", trust="stock", call="a", created=1.0, Other_Leg_Unique_ID="m"))
    feed(view, bridge("x", "m", trust="stock", call="a"), begun("y", trust="stock", created=2.0))
    assert [row["id"] for row in view.rows(1.0)] == ["a", "m", "y"]
    assert uuids(view) == [["a", "x"], ["m"], ["y"]]


def test_a_strangers_leg_says_nothing_of_the_calls_state_or_age() -> None:
    view = Calls()
    feed(view, begun("a", trust="member", created=5.0), channel("CHANNEL_CALLSTATE", "a", trust="member", created=5.0))
    feed(view, begun("x", trust="stock", call="a", created=1.0, node="evil"))
    feed(view, channel("CHANNEL_CALLSTATE", "x", call_state="HELD", trust="stock", call="a", node="evil"))
    row = only(view)
    assert (row["state"], row["since"], row["node"], row["nodes"]) == ("active", WALL + 5.0, "fs1", ["fs1"])
    assert (row["trust"], [leg["trust"] for leg in row["legs"]]) == ("member", ["member", "stock"])


def test_a_forged_end_keeps_no_leg_away_from_a_switch_that_proves_more() -> None:
    view = Calls()
    feed(view, begun("m", trust="member"), channel("CHANNEL_DESTROY", "a", trust="stock"), now=1.0)
    view.seed(listed("fs1", 1.5, up("a"), up("m")), 2.0, WALL + 2.0)
    assert uuids(view) == [["a"], ["m"]]


def test_a_full_table_refuses_strangers_and_gives_their_legs_up_for_others() -> None:
    view = Calls(most=3)
    feed(view, *(begun(f"x{number}", trust="stock", call="x") for number in range(5)))
    assert (len(view.legs()), view.counters()["refused_full"]) == (3, 2)
    feed(view, *(begun(f"m{number}", trust="member") for number in range(4)))
    assert uuids(view) == [["m0"], ["m1"], ["m2"]]
    assert view.counters()["displaced"] == 3


def test_a_name_without_end_is_refused_and_a_value_is_cut() -> None:
    view = Calls()
    feed(view, begun("u" * 100_000), begun("a", node="n" * 100_000), channel("CHANNEL_DESTROY", "v" * 100_000))
    assert (view.rows(1.0), view.counters()["refused_name"]) == ([], 2)
    feed(view, begun("a", Caller_Caller_ID_Name="x" * 100_000, call="c" * 100_000), bridge("a", "b" * 100_000))
    assert all(len(value) <= 256 for value in leg_of(view, "a").values() if isinstance(value, str))


def test_rubbish_in_figures_is_no_figure() -> None:
    view = Calls()
    feed(view, begun("a", Caller_Channel_Created_Time="-1", Event_Date_Timestamp="nan"))
    figures = {"variable_rtp_audio_in_mos": "nan", "variable_rtp_audio_in_flaw_total": "1e999"}
    feed(view, channel("CHANNEL_HANGUP_COMPLETE", "a", variable_rtp_audio_in_packet_count="x", **figures))
    assert leg_of(view, "a")["quality"] == {}


def test_what_another_switch_re_fires_is_its_leg() -> None:
    view = Calls()
    inner = dict(begun("a", node="fs2", Event_Sequence="5").items())
    feed(view, Event("CUSTOM", {"Event-Subclass": "multicast::event"} | {f"Orig-{k}": v for k, v in inner.items()}))
    assert (only(view)["node"], view.legs()["a"].sequence) == ("fs2", 5)
