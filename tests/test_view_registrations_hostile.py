"""Who is registered where, among strangers: what they cannot change, and how much they can make a node keep."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from registering import DOMAIN, WALL, expire, held, listed, register, snapshot, sofia, tell, unregister

from switchcast.views import registration_table, registrations
from switchcast.views.registration_reading import MOST_CHARACTERS
from switchcast.views.registrations import Registrations
from switchcast.views.telling import Trust, told

# Strangers


@pytest.mark.parametrize("trust", ["local", "member", "signed"])
def test_a_stranger_changes_nothing_that_somebody_stands_behind(trust: Trust) -> None:
    view = tell(Registrations(), 0.0, register(trust=trust, call_id="mine"))
    before = view.rows(0.0)
    state: dict[str, Any] = {"profile_name": "internal", "from_user": "1000", "from_host": DOMAIN, "call_id": "mine"}
    tell(
        view,
        1.0,
        register(trust="stock", contact="stranger"),
        register(trust="stock", node="fs9", contact="stranger"),
        unregister(trust="stock"),
        unregister(trust="stock", node="fs9", call_id="mine"),
        expire(trust="stock", call_id="mine"),
        sofia("sip_user_state", trust="stock", **state, Ping_Status="UNREACHABLE"),
    )
    assert view.rows(0.0) == before
    assert view.counters()["untrusted"] == 6


def test_of_one_switch_nobody_is_believed_who_proves_less_but_anyone_can_be_moved_to() -> None:
    view = tell(Registrations(), 0.0, register(node="fs1", trust="signed"))
    tell(view, 1.0, register(node="fs1", trust="member", contact="other"))
    assert view.rows(1.0)[0]["trust"] == "signed"
    tell(view, 2.0, register(node="fs2", trust="local"))
    assert held(view) == {"1000": "fs2"}


def test_an_ending_that_a_stranger_made_up_keeps_no_snapshot_from_telling() -> None:
    view = tell(Registrations(), 1.0, unregister(trust="stock"))
    view.seed(snapshot("fs1", 0.5, listed()), 2.0, WALL)
    assert held(view) == {"1000": "fs1"}


# Bounds


def test_the_table_is_bounded_and_members_come_before_strangers() -> None:
    view = Registrations(most=3)
    for user in "abcd":
        tell(view, 0.0, register(user, trust="stock"))
    assert sorted(held(view)) == ["a", "b", "c"]
    assert view.counters()["refused_full"] == 1
    tell(view, 1.0, register("a", trust="stock"), register("m", trust="member"), register("n"))
    assert sorted(held(view)) == ["a", "m", "n"], "the strangers that were longest unheard went"
    tell(view, 2.0, register("o"), register("p"))
    assert sorted(held(view)) == ["m", "n", "o"]
    assert (view.counters()["evicted"], view.counters()["refused_full"]) == (3, 2)
    tell(view, 3.0, register("o", contact="elsewhere"))
    assert len(view) == 3, "who is there may move"


def test_texts_are_bounded() -> None:
    long = "x" * 5000
    view = tell(Registrations(), 0.0, register(contact=long, call_id=long, user_agent=long, network_ip=long))
    [row] = view.rows(0.0)
    assert {len(row[name]) for name in ("contact", "call_id", "agent", "address")} == {MOST_CHARACTERS}
    tell(view, 0.0, register(long))
    assert (len(view), view.counters()["refused_name"]) == (1, 1)


def test_what_has_ended_is_remembered_for_a_bounded_number_and_after_that_snapshots_add_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registrations, "MOST_ENDED", 100)
    view = Registrations()
    for number in range(101):
        tell(view, 10.0 + number, unregister(f"u{number}"))
    view.seed(snapshot("fs1", 5.0, listed("u0"), listed("other")), 115.0, WALL)
    assert len(view) == 0, "it may be one of those that are forgotten"
    view.seed(snapshot("fs1", 110.0, listed("u0")), 120.0, WALL)
    assert held(view) == {"u0": "fs1"}


def test_what_is_remembered_of_switches_is_bounded_and_invented_ones_push_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registrations, "MOST_NODES", 10)
    view = tell(Registrations(), 0.0, register(node="fs1"))
    view.doubt("fs1", 1.0)
    for number in range(20):
        view.doubt(f"invented-{number}", 1.0)
    assert view.rows(1.0)[0]["sure"] == "doubtful"
    tell(view, 2.0, register(update_reg="true", contact="desk"))
    for number in range(9):
        tell(view, 2.0, register(f"s{number}", node=f"invented-{number}", trust="stock", update_reg="true"))
    tell(view, 3.0, register(contact="cell", call_id="2"))
    assert sum(row["user"] == f"1000@{DOMAIN}" for row in view.rows(3.0)) == 2
    for number in range(10):
        tell(view, 4.0, register(f"s{number}", node=f"more-{number}", trust="stock", update_reg="true"))
    tell(view, 5.0, register(contact="third", call_id="3"))
    assert sum(row["user"] == f"1000@{DOMAIN}" for row in view.rows(5.0)) == 1, "until the next such event"


def test_a_stranger_does_not_tell_that_several_are_allowed_where_others_said_more() -> None:
    view = tell(Registrations(), 0.0, register(contact="desk", call_id="1"))
    tell(view, 1.0, register(contact="x", call_id="x", update_reg="true", trust="stock"))
    tell(view, 2.0, register(contact="cell", call_id="2"))
    assert [row["contact"] for row in view.rows(2.0)] == ["cell"]


def test_who_unregisters_all_the_time_leaves_nothing_behind() -> None:
    view = Registrations()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(5000):
            tell(view, float(number), register("1000", contact=f"c{number}"), unregister("1000"))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(view) == 0
    assert after - before < 1_000_000


def test_a_row_takes_about_a_kilobyte() -> None:
    view, count = Registrations(), 5000
    says = [
        event
        for number in range(count)
        if (event := told(register(f"user{number}", network_ip=f"198.18.{number >> 8}.{number & 255}")))
    ]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for said in says:
            view.learn(said, 0.0, WALL)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(view) == count
    assert (after - before) / count < 2000, "100,000 in 200 MB"


def test_changes_and_shared_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration_table, "_MOST_CHANGES", 3)
    monkeypatch.setattr(registration_table, "_MOST_POOLED", 3)
    view = Registrations()
    assert list(view.changes()) == []
    for number in range(6):
        tell(view, 0.0, register(f"u{number}", node=f"fs{number}", user_agent=f"phone/{number}"))
    assert [row and row["user"][:2] for _, row in view.changes()] == ["u3", "u4", "u5"]
    assert [row["agent"] for row in view.rows(0.0)] == [f"phone/{number}" for number in range(6)]
