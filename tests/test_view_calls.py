"""Calls: those of the recording, what hangs together and what does not, states and durations."""

from __future__ import annotations

from typing import Any

import pytest
from viewing import WALL, Watched, channel, feed, micros, replayed
from viewing_calls import begun, bridge, leg_of, only, uuids

from switchcast.views.calls import MOST_LEGS_SHOWN, MOST_WAITING, Calls


def test_the_recording_has_as_many_calls_as_its_readme_says(plain_datagrams: list[tuple[int, bytes]]) -> None:
    view = Calls()
    created, answered, over, bridges = set[str](), set[str](), set[str](), dict[frozenset[str], list[float]]()
    unborn = set[str]()
    for now in replayed(plain_datagrams, view):
        for uuid, leg in view.legs().items():
            unborn |= {uuid} if uuid not in created and leg.answered else set()
            created.add(uuid)
            answered |= {uuid} if leg.answered else set()
            over |= {uuid} if leg.over else set()
            if leg.bridged_to:
                bridges.setdefault(frozenset((uuid, leg.bridged_to)), []).append(now)
    assert (len(created), len(over)) == (54, 54)
    assert len(answered) == 45
    assert len(answered - unborn) == 40, "the README does not count loopback legs that are answered before they begin"
    assert [(round(times[0], 2), round(times[-1], 2)) for times in bridges.values()] == [
        (15.88, 20.68),
        (61.79, 63.11),
        (73.35, 73.91),
    ]
    assert view.rows(100.0) == []
    assert view.counters()["legs"] == 0


def rows_at(datagrams: list[tuple[int, bytes]], at: float) -> list[dict[str, Any]]:
    view = Calls()
    for _ in replayed(datagrams, view, until=at):
        pass
    return view.rows(at)


@pytest.mark.parametrize(
    ("at", "state", "numbers"),
    [
        (11.0, None, []),
        (12.0, "active", [("1000", "9196")]),
        (13.6, "held", [("1000", "9196")]),
        (14.2, "active", [("1000", "9196")]),
        (15.5, None, []),
        (15.7, "ringing", [("1001", "1000"), ("1001", "1000")]),
        (16.5, "active", [("1001", "1000"), ("1001", "1000")]),
        (19.2, "held", [("1001", "1000"), ("1001", "1000")]),
        (20.0, "active", [("1001", "1000"), ("1001", "1000")]),
        (21.3, None, []),
        (22.0, "active", [("1001", "3001")]),
    ],
)
def test_the_recorded_calls_are_up_when_its_readme_says(
    plain_datagrams: list[tuple[int, bytes]], at: float, state: str | None, numbers: list[tuple[str, str]]
) -> None:
    rows = rows_at(plain_datagrams, at)
    assert [row["state"] for row in rows] == ([] if state is None else [state])
    assert [(leg["from_number"], leg["to_number"]) for row in rows for leg in row["legs"]] == numbers


def test_a_recorded_call_tells_all_there_is_to_know(plain_datagrams: list[tuple[int, bytes]]) -> None:
    (row,) = rows_at(plain_datagrams, 18.0)
    first, second = row["legs"]
    assert row["id"] == first["uuid"] == second["bridged_to"] == "172f2f1b-611d-42b2-a102-f1524ccd5358"
    assert first["bridged_to"] == second["uuid"]
    assert (row["nodes"], row["node"], row["sure"], row["trust"], row["more_legs"]) == (
        ["vm"],
        "vm",
        "told",
        "stock",
        0,
    )
    assert row["since"] == 1795404685.033318
    assert row["duration"] == pytest.approx(2.45, abs=0.02)
    assert row["talking"] == pytest.approx(2.15, abs=0.02)
    assert {key: first[key] for key in ("direction", "name", "from_name", "user", "codec_read", "codec_write")} == {
        "direction": "inbound",
        "name": "sofia/internal/1001@127.0.0.1",
        "from_name": "User 1001",
        "user": "1001@127.0.0.1",
        "codec_read": "PCMU/8000",
        "codec_write": "PCMU/8000",
    }
    assert (first["answered"], first["sip_call_id"]) == (1795404685.373362, "7aea2de52876840f@127.0.0.1")
    assert (second["direction"], second["from_name"], second["state"]) == ("outbound", "Extension 1001", "active")


def test_a_recorded_leg_that_has_ended_tells_why_how_long_and_how_it_sounded(
    plain_datagrams: list[tuple[int, bytes]],
) -> None:
    view = Calls()
    for _ in replayed(plain_datagrams, view):
        leg = view.legs().get("816b289e-2e68-4ed6-be9c-170e1814d1ff")
        if leg is not None and leg.quality is not None:
            break
    (row,) = view.rows(20.7)
    ended = row["legs"][1]
    assert (ended["cause"], ended["duration"]) == ("NORMAL_CLEARING", 5.120702)
    assert ended["quality"]["mos"] == 4.5
    assert (ended["quality"]["packets_in"], ended["quality"]["jitter_max"]) == (237.0, 11.27)


@pytest.mark.parametrize("at", [62.5, 73.6])
def test_loopbacks_and_bridges_of_the_recording_are_one_call(
    plain_datagrams: list[tuple[int, bytes]], at: float
) -> None:
    (row,) = rows_at(plain_datagrams, at)
    assert (len(row["legs"]), row["state"]) == (4, "active")


def test_recorded_conferences_and_parking_places_are_told(plain_datagrams: list[tuple[int, bytes]]) -> None:
    rows = rows_at(plain_datagrams, 76.0)
    assert [{leg["conference"] for leg in row["legs"]} for row in rows] == [{"", "3001"}, {"", "3001"}]
    (row,) = rows_at(plain_datagrams, 81.0)
    assert (row["state"], [leg["parked"] for leg in row["legs"]]) == ("parked", [True, True])
    (row,) = rows_at(plain_datagrams, 71.0)
    assert row["id"] == "aaaaaaaa-0000-4000-8000-0000000000ff", "the UUID that it was given"
    assert (row["state"], row["legs"][0]["from_number"]) == ("parked", "default")


# What hangs together


def test_legs_on_two_switches_are_one_call_by_their_sip_call_id() -> None:
    view = Calls()
    feed(
        view,
        begun("a", node="fs1", created=1.0, variable_sip_call_id="in"),
        begun("b", node="fs1", created=2.0, call="a", variable_sip_call_id="trunk"),
        begun("c", node="fs2", created=3.0, variable_sip_call_id="trunk"),
        begun("d", node="fs2", created=4.0, call="c", variable_sip_call_id="out"),
        begun("e", node="fs2", created=5.0, variable_sip_call_id="another"),
    )
    assert uuids(view) == [["a", "b", "c", "d"], ["e"]]
    assert (view.rows(1.0)[0]["nodes"], view.rows(1.0)[0]["node"]) == (["fs1", "fs2"], "fs1")


def test_an_attended_transfer_makes_one_call_of_two() -> None:
    view = Calls()
    watched = Watched(view)
    feed(view, begun("a", created=1.0), begun("b", created=2.0, call="a"), bridge("a", "b"))
    feed(view, begun("b2", created=3.0), begun("c", created=4.0, call="b2"), bridge("b2", "c"))
    assert watched.keys() == ["a", "b2"]
    feed(view, bridge("b2", "c", name="CHANNEL_UNBRIDGE", call="b2"), bridge("a", "b", name="CHANNEL_UNBRIDGE"))
    feed(view, bridge("a", "c", call="a"))
    for gone in ("b", "b2"):
        feed(view, channel("CHANNEL_HANGUP", gone), channel("CHANNEL_DESTROY", gone))
    assert uuids(view) == [["a", "c"]]
    assert [leg["bridged_to"] for leg in only(view)["legs"]] == ["c", "a"]
    assert watched.keys() == ["a"]
    assert watched.rows["a"] == view.row("a", 1.0)


def test_a_blind_transfer_keeps_the_leg_and_tells_where_it_goes() -> None:
    view = Calls()
    feed(view, begun("a", Caller_Destination_Number="9197"), channel("CHANNEL_PARK", "a"))
    assert only(view)["state"] == "parked"
    feed(view, channel("CHANNEL_STATE", "a", state="CS_ROUTING", Caller_Destination_Number="9196"))
    assert (only(view)["state"], leg_of(view, "a")["to_number"]) == ("active", "9196")


def test_a_channel_that_changes_its_uuid_is_the_same_leg() -> None:
    view = Calls()
    feed(view, begun("old", Caller_Caller_ID_Number="1000"), begun("b"), bridge("old", "b"))
    feed(view, channel("CHANNEL_UUID", "new", Old_Unique_ID="old"))
    assert uuids(view) == [["b", "new"]]
    assert (leg_of(view, "new")["from_number"], leg_of(view, "b")["bridged_to"]) == ("1000", "new")
    feed(view, channel("CHANNEL_STATE", "old"))
    assert uuids(view) == [["b", "new"]], "nothing brings the old one back"


def test_a_call_has_one_id_while_its_legs_come_and_go() -> None:
    view = Calls()
    feed(view, begun("a", created=1.0), begun("b", created=2.0, call="a"), bridge("a", "b"))
    feed(view, channel("CHANNEL_DESTROY", "a"))
    assert (only(view)["id"], uuids(view), leg_of(view, "b")["bridged_to"]) == ("a", [["b"]], "")


def test_the_row_of_a_call_shows_so_many_legs_and_counts_the_rest() -> None:
    view = Calls()
    feed(view, *(begun(f"u{number:05}", call="u00000") for number in range(MOST_LEGS_SHOWN + 7)))
    assert (len(only(view)["legs"]), only(view)["more_legs"]) == (MOST_LEGS_SHOWN, 7)


def test_what_hangs_together_is_found_out_though_nobody_asks() -> None:
    view = Calls()
    for number in range(MOST_WAITING + 10):
        feed(view, begun(f"u{number}"), channel("CHANNEL_DESTROY", f"u{number}"))
    assert view.legs() == {}
    assert view.changes() == []


# States and times


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (("DOWN",), "down"),
        (("RINGING", "DOWN"), "ringing"),
        (("RINGING", "RING_WAIT"), "ringing"),
        (("RINGING", "EARLY"), "early"),
        (("ACTIVE", "RINGING"), "active"),
        (("ACTIVE", "HELD"), "held"),
        (("UNHELD",), "active"),
        (("HANGUP", "RINGING"), "ringing"),
        (("HANGUP", "HANGUP"), "hangup"),
    ],
)
def test_a_call_is_as_far_as_its_furthest_leg(states: tuple[str, ...], said: str) -> None:
    view = Calls()
    for number, state in enumerate(states):
        feed(view, begun(f"u{number}", call="u0"), channel("CHANNEL_CALLSTATE", f"u{number}", call_state=state))
    assert only(view)["state"] == said


@pytest.mark.parametrize("ahead", [0.0, -86_400.0, 1e9])
def test_durations_are_right_whatever_the_switch_takes_the_time_to_be(ahead: float) -> None:
    view = Calls()
    feed(view, begun("a", created=ahead + 1.0, at=ahead + 1.0), now=1.0)
    feed(view, channel("CHANNEL_ANSWER", "a", created=ahead + 1.0, answered=ahead + 4.0, at=ahead + 4.0), now=4.0)
    row = only(view, now=10.0)
    assert (round(row["duration"], 3), round(row["talking"], 3)) == (9.0, 6.0)
    assert row["since"] == WALL + ahead + 1.0
    ended: dict[str, Any] = {
        "Caller_Channel_Hangup_Time": micros(ahead + 11.5),
        "answered": ahead + 4.0,
        "Hangup_Cause": "USER_BUSY",
    }
    feed(view, channel("CHANNEL_HANGUP", "a", created=ahead + 1.0, **ended), now=15.0)
    assert (only(view, now=20.0)["duration"], only(view, now=20.0)["talking"]) == (10.5, 7.5)


def test_a_hold_that_the_channels_state_does_not_show_is_none() -> None:
    view = Calls()
    feed(view, begun("a"), channel("CHANNEL_HOLD", "a", call_state="ACTIVE"))
    assert not leg_of(view, "a")["held"]
    feed(view, channel("CHANNEL_HOLD", "a", call_state="HELD"))
    assert leg_of(view, "a")["held"]
