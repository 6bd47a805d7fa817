"""Who is registered where, after a switch was asked: what its snapshot puts right, and what it must leave."""

from __future__ import annotations

import pytest
from registering import WALL, held, listed, register, snapshot, tell, unregister

from switchcast import Event
from switchcast.simulation import Cluster
from switchcast.views.asking import Asking
from switchcast.views.registration_reading import MOST_SECONDS
from switchcast.views.registrations import Registrations, RegistrationsSettings
from switchcast.views.telling import told

GRACE = RegistrationsSettings().grace


# Snapshots


def test_a_late_joiner_has_what_the_switch_lists() -> None:
    view = Registrations()
    far = listed("2000", seconds=-5, ping_status="Unreachable", network_port="")
    view.seed(snapshot("fs1", 5.0, listed(), far, {"user": ""}, {}), 6.0, WALL + 6.0)
    first, second = view.rows(6.0)
    assert (first["expires_in"], first["expires"], first["sure"]) == (3599.0, WALL + 3605.0, "asked")
    assert (first["call_id"], first["agent"], first["address"]) == ("call-of-1000-at-fs1", "phone/1", "198.18.0.1:5060")
    assert (second["reachable"], second["address"], second["sure"]) == (False, "198.18.0.1", "doubtful")
    assert view.counters()["malformed"] == 2
    assert view.next_due() == 5.0 + GRACE


def test_a_snapshot_that_was_not_asked_for_registrations_changes_none() -> None:
    view = tell(Registrations(), 0.0, register())
    view.seed(snapshot("fs1", 5.0).__class__("fs1", "core", 5.0, WALL), 6.0, WALL)
    assert len(view) == 1


def test_a_snapshot_puts_right_what_was_lost() -> None:
    view = tell(Registrations(), 0.0, register("gone"), register("stays"), register("far", node="fs2"))
    view.seed(snapshot("fs1", 10.0, listed("stays", call_id="newer"), listed("new")), 11.0, WALL + 11)
    assert held(view) == {"stays": "fs1", "new": "fs1", "far": "fs2"}
    assert {row["call_id"] for row in view.rows(11.0)} >= {"newer"}


def test_what_was_told_since_the_question_stands() -> None:
    view = tell(Registrations(), 0.0, register("a"), register("b"), register("c"))
    tell(view, 10.5, unregister("a"), register("b", contact="fresh"), register("d"), unregister("never-known"))
    view.seed(snapshot("fs1", 10.0, listed("a"), listed("b"), listed("never-known")), 11.0, WALL + 11)
    assert held(view) == {"b": "fs1", "d": "fs1"}
    assert view.rows(11.0)[0]["contact"] == "fresh"
    view.seed(snapshot("fs1", 12.0, listed("a"), listed("b")), 12.5, WALL + 12)
    assert held(view) == {"a": "fs1", "b": "fs1"}, "the next one is from after that"


def test_what_has_moved_since_the_question_is_not_moved_back() -> None:
    view = tell(Registrations(), 0.0, register(node="fs1"))
    tell(view, 10.5, register(node="fs2"))
    view.seed(snapshot("fs1", 10.0, listed()), 11.0, WALL + 11)
    assert held(view) == {"1000": "fs2"}
    view.seed(snapshot("fs1", 20.0, listed(seconds=3500)), 21.0, WALL + 21)
    assert held(view) == {"1000": "fs2"}, "its copy runs out before"
    view.seed(snapshot("fs1", 30.0), 31.0, WALL + 31)
    assert held(view) == {"1000": "fs2"}, "of another switch's it says nothing"


def test_the_registration_that_runs_longer_is_the_later_one() -> None:
    view = tell(Registrations(), 0.0, register(node="fs2"))
    view.seed(snapshot("fs1", 100.0, listed(seconds=3590)), 101.0, WALL + 101)
    assert held(view) == {"1000": "fs1"}


def test_a_copy_that_was_propagated_stays_with_its_switch() -> None:
    view = tell(Registrations(), 0.0, register(node="fs2", call_id="same"))
    view.seed(snapshot("fs1", 100.0, listed(call_id="same", seconds=3590)), 101.0, WALL + 101)
    [row] = view.rows(101.0)
    assert (row["node"], row["expires_in"]) == ("fs2", 3589.0), "renewed there, unheard"


@pytest.mark.parametrize("path", ["sip:192.0.2.2", "sip:192.0.2.2:5060", "sip%3A192.0.2.2%3A5060", "192.0.2.2"])
def test_a_contact_that_leads_to_a_known_switch_is_held_there(path: str) -> None:
    beat = {"FreeSWITCH-Switchname": "fs2", "FreeSWITCH-IPv4": "192.0.2.2", "Core-UUID": "b"}
    view = tell(Registrations(), 0.0, Event("HEARTBEAT", beat))
    through = f'"" <sip:1000@198.18.0.1:5060;fs_path={path}>'
    nat = '"" <sip:2000@198.18.0.1:5060;fs_nat=yes;fs_path=sip%3A2000%40198.18.0.1%3A5060>'
    view.seed(snapshot("fs1", 1.0, listed(contact=through), listed("2000", contact=nat)), 2.0, WALL)
    assert held(view) == {"1000": "fs2", "2000": "fs1"}


def test_whatever_only_a_snapshot_tells_can_be_changed_by_anyone_who_tells_more() -> None:
    view = Registrations()
    view.seed(snapshot("fs1", 0.0, listed()), 0.0, WALL)
    assert view.rows(0.0)[0]["trust"] == "stock"
    assert held(tell(view, 1.0, register(node="fs2", trust="stock"))) == {"1000": "fs2"}


def test_a_snapshot_that_took_too_long_is_not_used() -> None:
    view = tell(Registrations(), 0.0, register("b"))
    view.seed(snapshot("fs1", 0.0, listed("a")), 601.0, WALL)
    assert (held(view), view.counters()["late"]) == ({"b": "fs1"}, 1)
    view.seed(snapshot("fs1", 601.0, listed("a", seconds=5), listed("b")), 650.0, WALL)
    assert held(view) == {"b": "fs1"}, "a has run out meanwhile"


def test_rows_without_seconds_and_without_end() -> None:
    view = Registrations()
    view.seed(snapshot("fs1", 0.0, listed("a", seconds=None), listed("b", seconds=-1_800_000_000)), 0.0, WALL)
    assert [row["expires_in"] for row in view.rows(0.0)] == [3600.0, MOST_SECONDS]


# Doubt


def test_rows_of_a_switch_are_doubtful_until_they_are_told_of_or_asked_about() -> None:
    view = tell(Registrations(), 0.0, register("a"), register("b"), register("c", node="fs2"))

    def sure() -> list[str]:
        return [row["sure"] for row in view.rows(5.0)]

    view.doubt("fs1", 1.0)
    assert sure() == ["doubtful", "doubtful", "told"]
    assert view.counters()["doubtful"] == 2
    tell(view, 2.0, register("a"))
    assert sure() == ["told", "doubtful", "told"]
    view.seed(snapshot("fs1", 0.5, listed("a"), listed("b")), 3.0, WALL)
    assert sure() == ["told", "doubtful", "told"], "it was begun before that"
    view.seed(snapshot("fs1", 3.0, listed("a"), listed("b")), 4.0, WALL)
    assert sure() == ["asked", "asked", "told"]
    view.restarted("fs2", "new", 4.5)
    assert sure() == ["asked", "asked", "doubtful"], "a restart leaves registrations"


# The simulator's truth


def test_snapshots_of_all_switches_agree_with_the_truth_after_losses() -> None:
    cluster = Cluster(nodes=4, cps=0, users=120, expires=60, seed=11)
    view, lost = Registrations(), 0
    for until in range(20, 400, 20):
        for number, (at, _, event) in enumerate(cluster.advance(until)):
            said = told(event)
            if said is None or said.kind not in view.kinds:
                continue
            if number % 13 == 5:
                lost += 1
                view.doubt(said.node, at)
                continue
            view.tick(at)
            view.learn(said, at, at)
        for switch in cluster.switches:
            asking = Asking("", until, until)
            while (command := asking.next()) is not None:
                asking.take(switch.api(command))
            assert asking.faults == []
            view.seed(asking.snapshot(), until, until)
        truth: dict[str, tuple[int, str, str]] = {}
        for switch in cluster.switches:
            for user, row in switch.registrations.items():
                truth[user] = max(truth.get(user, (0, "", "")), (row.expires, switch.name, row.call_id))
        rows = {row["user"].partition("@")[0]: (row["node"], row["call_id"]) for row in view.rows(until)}
        assert rows == {user: (node, call_id) for user, (_, node, call_id) in truth.items()}
    assert lost > 20
