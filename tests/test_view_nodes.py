"""Which switches there are and how they are: runs, silence, losses, and what strangers cannot do about it."""

from __future__ import annotations

from typing import Any

import pytest
from firing import WALL, fired, hear, only, states, turned

from switchcast import Event, StockFrames
from switchcast.simulation import Cluster
from switchcast.views import nodes as nodes_module
from switchcast.views.asking import Asking
from switchcast.views.nodes import ESTABLISHED_EVENTS, MOST_NAME_CHARACTERS, Nodes, NodesSettings, Turn
from switchcast.views.telling import Snapshot, Trust, View

TIMEOUT = NodesSettings().timeout


def test_it_is_a_view() -> None:
    view: View = Nodes()
    assert view.name == "nodes"


# What was recorded


def test_the_recording_gives_one_switch_with_its_figures(plain_datagrams: list[tuple[int, bytes]]) -> None:
    nodes, frames, began = Nodes(), StockFrames(), plain_datagrams[0][0]
    turns: list[tuple[float, str]] = []
    sessions = set()
    last: dict[str, Any] = {}
    for at, datagram in plain_datagrams:
        now = (at - began) / 1e9
        event = frames.open(datagram)
        hear(nodes, now, event)
        turns += [(round(now, 1), turn.what) for turn in nodes.turns()]
        if only(nodes, now)["state"] == "up":
            last = only(nodes, now)
            sessions.add(last["sessions"])
    core = "774efe72-0b02-4ad5-b685-481f4ce4aaff"
    assert turns == [(0.0, "up"), (158.6, "down")], "its SHUTDOWN, and not what it says behind that"
    assert (last["name"], last["core"]) == ("vm", core)
    assert last["version"] == "1.11.2-release+git~20260809T162310Z~3f13ad1b1d~64bit"
    assert (last["sessions_max"], last["per_second_max"], last["sessions_peak"]) == (200, 60, 4)
    assert sessions == {None, 0, 2, 4}
    assert last["heartbeat_age"] < 21
    assert last["trust"] == "stock"
    numbers = {frames.open(datagram).sequence or 0 for _, datagram in plain_datagrams}
    assert only(nodes)["lost_at_most"] == max(numbers) - min(numbers) + 1 - len(numbers), "those of events not sent"


# Figures


def test_a_heartbeat_tells_all_figures() -> None:
    beat = fired(
        FreeSWITCH_Version="1.11.2",
        Uptime_msec="60500",
        Session_Count="7",
        Max_Sessions="1000",
        Session_Per_Sec="30",
        Session_Per_Sec_Last="2",
        Session_Per_Sec_Max="9",
        Session_Peak_Max="12",
        Idle_CPU="97.5",
        number=40,
    )
    nodes = hear(Nodes(), 10.0, beat)
    assert only(nodes, 15.0) == {
        "node": "fs1",
        "name": "fs1",
        "state": "up",
        "version": "1.11.2",
        "core": "run-1",
        "uptime": 65.5,
        "sessions": 7,
        "sessions_max": 1000,
        "sessions_peak": 12,
        "per_second": 2,
        "per_second_max": 30,
        "per_second_peak": 9,
        "idle_cpu": 97.5,
        "heartbeat_age": 5.0,
        "silent": 5.0,
        "restarts": 0,
        "lost": 0,
        "lost_at_most": 0,
        "since": WALL + 10,
        "sure": "told",
        "trust": "local",
    }
    assert list(nodes.keys()) == ["fs1"]
    assert nodes.row("fs1", 15.0) == only(nodes, 15.0)
    assert nodes.row("fs2", 15.0) is None


@pytest.mark.parametrize("text", ["", "-1", "1e9", "nan", "inf", "٣", "7 ", "9" * 5000, "0x7"])
def test_figures_that_are_no_numbers_are_not_told(text: str) -> None:
    row = only(hear(Nodes(), 0.0, fired(Session_Count=text, Idle_CPU=text, Uptime_msec=text)))
    assert (row["sessions"], row["idle_cpu"], row["uptime"]) == (None, None, None)


def test_texts_are_bounded() -> None:
    long = "x" * 5000
    row = only(hear(Nodes(), 0.0, fired(core=long, FreeSWITCH_Version=long)))
    assert (len(row["core"]), len(row["version"])) == (64, 64)
    nodes = hear(Nodes(), 0.0, fired(long), fired("x" * MOST_NAME_CHARACTERS))
    assert len(nodes) == 1
    assert nodes.counters()["refused_name"] == 1, "once, though it is heard and learned from"


# Up and down


def test_who_is_unheard_for_too_long_is_down_and_later_forgotten() -> None:
    nodes = hear(Nodes(NodesSettings(forget=100.0)), 0.0, fired())
    assert nodes.next_due() == TIMEOUT
    assert states(nodes, TIMEOUT) == {"fs1": "up"}
    assert states(nodes, TIMEOUT + 0.01) == {"fs1": "down"}
    row = only(nodes, 70.0)
    assert (row["sure"], row["since"], row["silent"]) == ("doubtful", pytest.approx(WALL + TIMEOUT + 0.01), 70.0)
    assert nodes.next_due() == pytest.approx(TIMEOUT + 100.01)
    assert states(nodes, 170.0) == {}
    assert (turned(nodes), nodes.next_due()) == ([("up", "fs1"), ("down", "fs1")], None)


def test_any_event_keeps_a_switch_up() -> None:
    nodes = Nodes()
    for now in range(0, 300, 50):
        hear(nodes, float(now), fired(name="CHANNEL_CREATE"))
    assert states(nodes, 300.0) == {"fs1": "up"}
    assert only(nodes, 300.0)["heartbeat_age"] is None


def test_a_shutdown_takes_it_down_at_once_and_a_start_brings_it_up() -> None:
    nodes = hear(Nodes(), 0.0, fired(number=1))
    hear(nodes, 5.0, fired(name="SHUTDOWN", number=2), fired(name="MODULE_UNLOAD", number=3), fired(number=4))
    assert states(nodes, 5.0) == {"fs1": "down"}
    hear(nodes, 9.0, fired(name="STARTUP", core="run-2", number=1))
    assert states(nodes, 9.0) == {"fs1": "up"}
    assert [turn.what for turn in nodes.turns()] == ["up", "down", "restarted", "up"]
    assert (only(nodes)["restarts"], only(nodes)["core"], only(nodes)["lost_at_most"]) == (1, "run-2", 0)


# Runs


def test_another_run_is_a_restart_and_what_comes_late_of_the_old_one_is_not() -> None:
    nodes = hear(Nodes(), 0.0, fired(Uptime_msec="5000"), fired(core="run-2"), fired(core="run-1"))
    assert nodes.turns() == [Turn("up", "fs1", "run-1"), Turn("restarted", "fs1", "run-2")]
    assert (only(nodes)["core"], only(nodes)["uptime"], only(nodes)["restarts"]) == ("run-2", None, 1)
    assert nodes.counters()["conflicts"] == 1, "what is learned from behind it is not counted again"


def test_one_forged_event_of_another_run_silences_a_switch_for_no_longer_than_a_third_of_the_timeout() -> None:
    nodes = hear(Nodes(), 0.0, fired(trust="stock"), fired(core="forged", trust="stock"))
    hear(nodes, TIMEOUT / 3, fired(trust="stock"))
    assert only(nodes)["core"] == "forged"
    hear(nodes, TIMEOUT / 3 + 1, fired(trust="stock"))
    assert (only(nodes)["core"], states(nodes, TIMEOUT + 5)) == ("run-1", {"fs1": "up"})


# Losses


def test_gaps_in_the_numbers_are_an_upper_bound_and_gap_records_are_exact() -> None:
    nodes = hear(Nodes(), 0.0, *(fired(name="API", number=number) for number in (10, 11, 15, 15, 13)))
    assert (only(nodes)["lost_at_most"], only(nodes)["lost"]) == (2, 0)
    nodes.missed("fs1", 2, 0.0)
    nodes.missed("fs1", None, 0.0)
    nodes.missed("never heard", 5, 0.0)
    assert (only(nodes)["lost"], len(nodes)) == (2, 1)


def test_what_a_switch_re_fires_tells_of_two_switches() -> None:
    refired = Event(
        "CUSTOM",
        {
            "Event-Subclass": "multicast::event",
            "FreeSWITCH-Switchname": "fs1",
            "Core-UUID": "run-1",
            "Event-Sequence": "3",
            "Orig-Event-Name": "HEARTBEAT",
            "Orig-Multicast-Sender": "fs2",
            "Orig-Core-UUID": "far",
            "Orig-Event-Sequence": "70",
            "Orig-Session-Count": "8",
        },
    ).with_trust("stock")
    nodes = hear(Nodes(), 0.0, fired(number=1), fired(number=2), refired, fired(number=4))
    first, second = nodes.rows(0.0)
    assert (first["name"], first["trust"], first["lost_at_most"]) == ("fs1", "local", 0)
    assert (second["name"], second["trust"], second["core"], second["sessions"]) == ("fs2", "stock", "far", 8)


# Snapshots and doubt


def test_a_snapshot_tells_the_figures_before_the_first_heartbeat() -> None:
    cluster = Cluster(nodes=1, cps=3, seed=4)
    cluster.advance(30)
    switch, nodes = cluster.switches[0], Nodes()
    asking = Asking("", 5.0, WALL + 5)
    while (command := asking.next()) is not None:
        asking.take(switch.api(command))
    nodes.seed(asking.snapshot(), 6.0, WALL + 6)
    row = only(nodes, 6.0)
    assert (row["name"], row["core"], row["sure"], row["state"]) == ("fs1", switch.core_uuid, "asked", "up")
    assert (row["sessions"], row["sessions_max"], row["idle_cpu"]) == (len(switch.channels), 200, 99.6)
    assert row["uptime"] == pytest.approx(switch.uptime_micros / 1e6 + 1, abs=0.01)
    assert row["heartbeat_age"] is None
    assert nodes.turns() == [Turn("up", "fs1", switch.core_uuid)]


def test_a_snapshot_does_not_undo_a_heartbeat_nor_an_old_run_a_new_one() -> None:
    nodes = hear(Nodes(), 10.0, fired(Session_Count="5"))
    nodes.seed(Snapshot("fs1", "run-1", 9.0, WALL, status={"Session-Count": "1"}), 11.0, WALL + 11)
    assert only(nodes)["sessions"] == 5
    nodes.seed(Snapshot("fs1", "run-1", 11.0, WALL, status={"Session-Count": "1"}), 12.0, WALL + 12)
    assert only(nodes)["sessions"] == 1
    hear(nodes, 13.0, fired(name="STARTUP", core="run-2"))
    nodes.seed(Snapshot("fs1", "run-1", 13.5, WALL, status={"Session-Count": "9"}), 14.0, WALL + 14)
    assert (only(nodes)["core"], only(nodes)["sessions"]) == ("run-2", 1)
    nodes.seed(Snapshot("fs9", "x", 13.5, WALL), 14.0, WALL + 14)
    assert len(nodes) == 1, "nothing was said"


def test_figures_are_doubtful_after_a_loss_until_they_are_told_anew() -> None:
    nodes = hear(Nodes(), 0.0, fired())
    nodes.doubt("fs1", 1.0)
    nodes.doubt("unknown", 1.0)
    assert only(nodes)["sure"] == "doubtful"
    nodes.restarted("fs1", "x", 1.5)
    hear(nodes, 2.0, fired())
    assert only(nodes)["sure"] == "told"


# Strangers and bounds


@pytest.mark.parametrize("trust", ["local", "member", "signed"])
def test_a_stranger_says_nothing_of_a_switch_that_proves_more(trust: Trust) -> None:
    nodes = hear(Nodes(), 0.0, fired(trust=trust, number=5, Session_Count="3"))
    nodes.turns()
    before = nodes.rows(1.0)
    hear(
        nodes,
        1.0,
        fired(trust="stock", core="other"),
        fired(trust="stock", number=9000, Session_Count="0"),
        fired(name="SHUTDOWN", trust="stock"),
    )
    assert (nodes.rows(1.0), nodes.turns()) == (before, [])
    assert nodes.counters()["untrusted"] == 3
    hear(nodes, 2.0, fired(trust="signed"))
    assert only(nodes)["trust"] == "signed"


def test_who_proved_more_and_fell_silent_comes_back_by_less_but_not_by_a_stranger() -> None:
    nodes = hear(Nodes(), 0.0, fired(trust="member"))
    hear(nodes, 50.0, fired(trust="local"))
    assert states(nodes, 61.0) == {"fs1": "down"}
    hear(nodes, 62.0, fired(trust="stock"))
    assert states(nodes, 62.0) == {"fs1": "down"}
    hear(nodes, 63.0, fired(trust="local"))
    assert (states(nodes, 63.0), only(nodes)["trust"]) == ({"fs1": "up"}, "local")


def test_names_are_bounded_and_who_was_hardly_heard_goes_first() -> None:
    nodes = hear(Nodes(NodesSettings(most=3)), 0.0, *(fired(name, trust="stock") for name in "abcd"))
    assert (sorted(states(nodes, 1.0)), nodes.counters()["refused_full"]) == (["a", "b", "c"], 1)
    for _ in range(ESTABLISHED_EVENTS):
        hear(nodes, 30.0, fired("a", trust="stock"))
    hear(nodes, 70.0, fired("b", trust="stock"))
    hear(nodes, 70.0, fired("d", trust="stock"))
    assert states(nodes, 95.0) == {"a": "down", "b": "up", "d": "up"}, "c was down"
    hear(nodes, 95.0, fired("e", trust="stock"))
    assert "e" not in states(nodes, 95.0), "a was heard often enough to stay"
    hear(nodes, 96.0, fired("m", trust="member"), fired("n", trust="local"))
    assert sorted(states(nodes, 96.0)) == ["d", "m", "n"], "strangers give way, the longest unheard first"
    assert nodes.counters()["evicted"] == 3


def test_turns_and_changes_that_nobody_asks_for_are_bounded() -> None:
    nodes = Nodes()
    for number in range(12_000):
        hear(nodes, 0.0, fired(core=f"run-{number}", name="API"))
    assert len(nodes.turns()) == 10_000
    assert nodes.counters()["turns_lost"] == 2000
    assert list(nodes.changes()) == []
    hear(nodes, 1.0, fired(core="run-11999"))
    assert [(name, row and row["heartbeat_age"]) for name, row in nodes.changes()] == [("fs1", 0.0)]
    hear(nodes, 2.0, fired(core="run-11999", name="API"))
    assert list(nodes.changes()) == [], "that it was heard again is no change"
    nodes.tick(10**6)
    nodes.tick(10**7)
    assert list(nodes.changes()) == [("fs1", None)]


def test_changes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module, "_MOST_CHANGES", 2)
    nodes = Nodes()
    assert list(nodes.changes()) == []
    hear(nodes, 0.0, fired("a"), fired("b"), fired("c"))
    assert [name for name, _ in nodes.changes()] == ["b", "c"]


def test_what_nobody_fired_is_nobodys_and_time_does_not_run_backwards() -> None:
    nodes = hear(Nodes(), 100.0, Event("HEARTBEAT", {"Core-UUID": "x"}), Event("CUSTOM", {}), fired())
    hear(nodes, 50.0, fired("fs2"))
    nodes.tick(20.0)
    assert [(row["name"], row["silent"]) for row in nodes.rows(110.0)] == [("fs1", 10.0), ("fs2", 10.0)]


def test_a_re_fired_event_from_a_host_that_is_not_ours_is_worth_no_more_than_it_is() -> None:
    headers = {"Event-Subclass": "multicast::event", "FreeSWITCH-Switchname": "fs1", "Core-UUID": "run-1"}
    forged = Event("CUSTOM", headers).with_origin("192.0.2.99:4242", None).with_trust("stock")
    nodes = hear(Nodes(), 0.0, forged)
    assert only(nodes)["trust"] == "stock"
