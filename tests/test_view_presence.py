"""Presence: the words and the calls of the recording, what loss leaves behind, and what a stranger cannot say."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY
from viewing import WALL, Watched, channel, feed, fired, replayed

from switchcast import Event
from switchcast.simulation.cluster import Cluster
from switchcast.views.presence import MOST_CALLS_EACH, Presence, PresenceSettings
from switchcast.views.telling import Snapshot, Trust, told

USER = "1000@example.com"


def words(status: str, rpid: str = "unknown", *, user: str = USER, name: str = "PRESENCE_IN", **more: Any) -> Event:
    more = {"from_": user, "status": status, "rpid": rpid, "proto": "sip"} | more
    return fired(name, **{key.removesuffix("_"): value for key, value in more.items()})


def on_call(uuid: str, info: str, *, user: str = USER, **more: Any) -> Event:
    presence = {"from": user, "status": "CS_ROUTING", "rpid": "unknown", "presence_call_info_state": info}
    return channel("PRESENCE_IN", uuid, Channel_Name="sofia/internal/1000", proto="any", **presence, **more)


def only(view: Presence) -> dict[str, Any]:
    (row,) = view.rows(0.0)
    return row


def listing(
    node: str, begun: float, *uuids: str, users: tuple[str, ...] | None = None, core: str = "core-1"
) -> Snapshot:
    channels = tuple({"uuid": uuid} for uuid in uuids)
    registrations = None if users is None else tuple({"user": user} for user in users)
    return Snapshot(node, core, begun, WALL + begun, channels=channels, registrations=registrations)


def test_the_recording_shows_the_presences_that_its_readme_lists(plain_datagrams: list[tuple[int, bytes]]) -> None:
    view = Presence()
    steps: dict[str, list[tuple[float, str, str]]] = {}
    for now in replayed(plain_datagrams, view):
        for row in view.rows(now):
            mine = steps.setdefault(row["user"].partition("@")[0], [])
            if not mine or mine[-1][1:] != (row["state"], row["status"]):
                mine.append((round(now, 2), row["state"], row["status"]))
    assert steps["1001"][:5] == [
        (2.74, "available", "hi"),
        (8.53, "available", "Registered"),
        (9.14, "offline", "Unregistered"),
        (10.35, "available", "At désk"),
        (15.55, "ringing", "At désk"),
    ]
    assert steps["1001"][-2:] == [(34.42, "busy", "On a cäll"), (34.82, "offline", "Unregistered")]
    assert [(at, state) for at, state, _ in steps["1000"]] == [
        (8.12, "available"),
        (11.28, "ringing"),
        (11.28, "active"),
        (13.22, "held"),
        (14.03, "active"),
        (15.22, "available"),
        (15.56, "ringing"),
        (15.86, "active"),
        (20.68, "available"),
        (21.09, "ringing"),
        (21.09, "available"),
        (29.24, "ringing"),
        (29.55, "active"),
        (30.37, "available"),
        (35.23, "offline"),
    ]
    assert steps["3001"][0][1:] == ("active", "Active (1 caller)")
    assert steps["3001"][-1][1:] == ("idle", "Inactive")
    assert [state for _, state, _ in steps["5901"]] == ["active", "idle"]
    assert view.counters()["calls"] == 0


def test_a_call_does_not_wipe_out_what_somebody_published() -> None:
    view = Presence()
    feed(view, words("At désk", "At désk"), on_call("u1", "alerting"))
    assert (only(view)["state"], only(view)["status"], only(view)["calls"]) == ("ringing", "At désk", 1)
    assert (only(view)["said"], only(view)["said_rpid"]) == ("CS_ROUTING", "unknown")
    feed(view, on_call("u1", "active"), on_call("u2", "held"))
    assert (only(view)["state"], only(view)["calls"]) == ("active", 2)
    feed(view, on_call("u1", "idle"))
    assert only(view)["state"] == "held"
    feed(view, on_call("u2", "idle"))
    assert (only(view)["state"], only(view)["status"], only(view)["calls"]) == ("available", "At désk", 0)


@pytest.mark.parametrize(
    ("status", "rpid", "state"),
    [
        ("Registered", "unknown", "available"),
        ("Unregistered", "away", "offline"),
        ("On a cäll", "busy", "busy"),
        ("Do Not Disturb", "", "busy"),
        ("Lunch", "away", "away"),
        ("Lunch", "", "available"),
    ],
)
def test_words_become_the_state_that_a_lamp_shows(status: str, rpid: str, state: str) -> None:
    view = Presence()
    feed(view, words(status, rpid))
    assert only(view)["state"] == state


def test_presence_out_is_the_end_of_it_and_of_a_stranger_tells_nothing() -> None:
    view = Presence()
    feed(view, words("gone", name="PRESENCE_OUT"))
    assert view.rows(0.0) == []
    feed(view, words("Available"), words("gone", "unavailable", name="PRESENCE_OUT", from_=f"sip:{USER}"))
    assert only(view)["state"] == "offline"


def test_a_call_whose_end_was_lost_goes_when_its_channel_is_destroyed() -> None:
    view = Presence()
    feed(view, words("Registered"), on_call("u1", "active"))
    feed(view, channel("CHANNEL_DESTROY", "u1", state="CS_REPORTING"))
    assert (only(view)["state"], only(view)["calls"]) == ("available", 0)


def test_a_call_whose_end_was_lost_goes_when_the_switch_does_not_list_it() -> None:
    view = Presence()
    feed(view, on_call("u1", "active"), on_call("u2", "alerting"), now=1.0)
    feed(view, on_call("u3", "active"), now=3.0)
    view.seed(listing("fs1", 2.0, "u2"), 3.5, WALL + 3.5)
    assert only(view)["calls"] == 2, "u1 is gone; u3 was heard after the switch was asked"
    view.seed(listing("fs2", 5.0), 5.0, WALL + 5.0)
    assert only(view)["calls"] == 2, "they are not that switch's"


def test_a_restart_ends_the_calls_and_nothing_else() -> None:
    view = Presence()
    feed(view, words("At désk"), on_call("u1", "active"), on_call("u2", "active", core="core-2"))
    view.restarted("fs1", "core-2", 2.0)
    assert (only(view)["calls"], only(view)["status"]) == (1, "At désk")


def test_a_switch_says_who_is_registered_but_not_what_they_published() -> None:
    view = Presence()
    feed(view, words("Unregistered"), words("At désk", user="1001@example.com"), now=1.0)
    feed(view, words("Registered", user="1002@example.com"), now=1.0)
    everyone = (USER, "1001@example.com", "1003@example.com")
    view.seed(listing("fs1", 2.0, users=everyone), 2.0, WALL + 2.0)
    assert [(row["user"][:4], row["status"], row["state"], row["sure"]) for row in view.rows(2.0)] == [
        ("1000", "Registered", "available", "asked"),
        ("1001", "At désk", "available", "told"),
        ("1002", "Unregistered", "offline", "asked"),
        ("1003", "Registered", "available", "asked"),
    ]
    feed(view, words("Unregistered", user="1003@example.com"), now=4.0)
    view.seed(listing("fs1", 3.0, users=everyone), 4.5, WALL + 4.5)
    row = view.row("1003@example.com", 5.0)
    assert row is not None
    assert (row["state"], row["sure"]) == ("offline", "told")


def test_who_registers_elsewhere_is_there_and_does_not_come_and_go() -> None:
    view = Presence()
    feed(view, words("Unregistered", node="fs1"), now=1.0)
    for now in (2.0, 3.0):
        view.seed(listing("fs2", now, users=(USER,)), now, WALL + now)
        view.seed(listing("fs1", now, users=()), now, WALL + now)
        assert (only(view)["state"], only(view)["node"]) == ("available", "fs2")


def test_calls_that_were_missed_are_taken_from_what_the_switch_lists() -> None:
    view = Presence()
    feed(view, words("Registered"), on_call("u1", "alerting"), now=1.0)
    rows = ({"uuid": "u1", "callstate": "ACTIVE"}, {"uuid": "u2", "callstate": "HELD", "presence_id": USER})
    view.seed(Snapshot("fs1", "core-1", 2.0, WALL + 2.0, channels=rows), 2.0, WALL + 2.0)
    assert (only(view)["state"], only(view)["calls"]) == ("active", 2)
    feed(view, on_call("u1", "idle"), on_call("u2", "idle"), now=4.0)
    view.seed(Snapshot("fs1", "core-1", 3.0, WALL + 3.0, channels=rows), 5.0, WALL + 5.0)
    assert (only(view)["state"], only(view)["calls"]) == ("available", 0)


def test_what_says_when_it_ends_goes_then() -> None:
    view = Presence()
    feed(
        view,
        words("At désk", expires="60"),
        words("Here", user="1001@example.com", expires=str(int(WALL) + 31)),
        now=1.0,
    )
    assert [row["expires"] for row in view.rows(1.0)] == [WALL + 61.0, WALL + 31.0]
    assert view.next_due() == 31.0
    view.tick(31.0)
    assert [row["user"] for row in view.rows(31.0)] == [USER]
    feed(view, words("At désk", expires="60"), now=50.0)
    view.tick(61.0)
    assert len(view) == 1, "it was told again"
    view.tick(110.0)
    assert len(view) == 0


def test_who_publishes_again_and_again_is_awaited_once() -> None:
    view = Presence()
    for number in range(5_000):
        feed(view, words("At désk", expires="3600"), now=number * 0.001)
    due: list[float] = []
    while (at := view.next_due()) is not None and at < 10_000.0:
        view.tick(at)
        due.append(at)
    assert len(view) == 0
    assert len([at for at in due if at % 300.0]) < 200


def test_since_when_is_when_what_is_shown_has_changed() -> None:
    view = Presence()
    feed(view, words("Registered"), now=1.0)
    feed(view, words("Registered"), now=2.0)
    assert only(view)["since"] == WALL + 1.0
    feed(view, on_call("u1", "active"), now=3.0)
    assert only(view)["since"] == WALL + 3.0
    feed(view, channel("CHANNEL_DESTROY", "u1"), now=4.0)
    assert only(view)["since"] == WALL + 4.0
    feed(view, words("At désk"), now=5.0)
    assert (only(view)["since"], only(view)["state"]) == (WALL + 5.0, "available")
    rows = ({"uuid": "u2", "callstate": "ACTIVE", "presence_id": USER},)
    view.seed(Snapshot("fs1", "core-1", 6.0, WALL + 6.0, channels=rows), 6.5, WALL + 6.5)
    assert only(view)["since"] == WALL + 6.5
    view.seed(listing("fs1", 7.0), 7.0, WALL + 7.0)
    assert only(view)["since"] == WALL + 7.0


def test_who_is_offline_or_doubtful_for_long_is_forgotten_and_so_are_calls() -> None:
    view = Presence(PresenceSettings(forget=1000.0))
    feed(view, words("Unregistered"), words("Registered", user="1001@example.com"), now=0.0)
    feed(view, words("At désk", user="1002@example.com"), on_call("u1", "active", user="1002@example.com"), now=0.0)
    feed(view, words("Registered", user="1003@example.com", node="fs2"), now=0.0)
    view.doubt("fs2", 1.0)
    due = view.next_due()
    while due is not None and due < 2000.0:
        view.tick(due)
        due = view.next_due()
    assert [(row["user"][:4], row["state"]) for row in view.rows(2000.0)] == [
        ("1001", "available"),
        ("1002", "available"),
    ]


def test_rows_of_a_node_that_lost_events_are_doubtful_until_told_again() -> None:
    view = Presence()
    feed(view, words("At désk"), words("Here", user="1001@example.com", node="fs2"))
    view.doubt("fs1", 2.0)
    assert [row["sure"] for row in view.rows(2.0)] == ["doubtful", "told"]
    feed(view, words("Away"))
    assert [row["sure"] for row in view.rows(2.0)] == ["told", "told"]


@pytest.mark.parametrize("writer", ["local", "member", "signed"])
def test_a_stranger_changes_neither_words_nor_calls(writer: Trust) -> None:
    view = Presence()
    feed(view, words("At désk", trust=writer), on_call("u1", "active", trust=writer))
    feed(view, words("Gone", trust="stock"), on_call("u1", "idle", trust="stock"))
    feed(view, on_call("u1", "idle", trust="stock", user="mallory@example.com"))
    feed(view, on_call("u1", "active", trust="stock", user="mallory@example.com"))
    feed(view, channel("CHANNEL_DESTROY", "u1", trust="stock"))
    row = view.row(USER, 1.0)
    assert row is not None
    assert (row["status"], row["state"], row["calls"]) == ("At désk", "active", 1)
    assert view.counters()["untrusted"] == 4


def test_the_table_and_the_calls_of_one_are_bounded() -> None:
    view = Presence(most=2_000)
    feed(view, *(on_call(f"u{number}", "active") for number in range(MOST_CALLS_EACH + 5)))
    assert (only(view)["calls"], view.counters()["refused_calls"]) == (MOST_CALLS_EACH, 5)
    feed(view, *(words("Here", user=f"{number}@example.com") for number in range(2_500)))
    assert (len(view), view.counters()["refused_full"]) == (2_000, 500)
    feed(view, words("Here", user=""), words("Here", user="x" * 10_000))
    assert view.counters()["refused_name"] == 2


def test_a_strangers_calls_go_with_the_row_that_is_given_up() -> None:
    view = Presence(most=1)
    feed(view, on_call("u1", "active", trust="stock"))
    feed(view, words("Here", user="1001@example.com", trust="member"))
    assert (only(view)["user"], view.counters()["calls"]) == ("1001@example.com", 0)


def test_of_a_simulated_cluster_it_says_what_each_switch_said_last() -> None:
    cluster = Cluster(nodes=3, cps=8.0, seed=5)
    view = Presence()
    said: dict[str, tuple[str, str]] = {}
    for step in range(60):
        for when, _, event in cluster.advance(until=step + 1.0):
            found = told(event)
            if found is not None and found.kind in view.kinds:
                view.learn(found, when, WALL + when)
                if found.kind == "PRESENCE_IN":
                    said[found.get("from")] = (found.get("status"), found.get("rpid"))
    rows = {row["user"]: row for row in view.rows(60.0)}
    assert {user: (row["said"], row["said_rpid"]) for user, row in rows.items()} == said
    assert {(p.status, p.rpid) for switch in cluster.switches for p in switch.presence.values()} >= set(said.values())
    up = {uuid for switch in cluster.switches for uuid in switch.channels}
    assert 0 < view.counters()["calls"] <= len(up)
    for switch in cluster.switches:
        view.seed(listing(switch.name, 61.0), 61.0, WALL + 61.0)
    assert view.counters()["calls"] == 0


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["words", "call", "end", "seed", "doubt", "restart", "tick"]),
            st.integers(0, 2),
            st.integers(0, 2),
            st.sampled_from(["alerting", "active", "held", "idle", "?"]),
            st.sampled_from(["stock", "local", "member"]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_calls_are_counted_once_and_changes_tell_everything(
    steps: list[tuple[str, int, int, str, Trust]],
) -> None:
    view = Presence(PresenceSettings(forget=10.0), most=2)
    watched = Watched(view)
    for number, (what, who, which, info, trust) in enumerate(steps):
        now, node, user = number * 3.0, f"fs{which}", f"{who}@example.com"
        if what == "words":
            feed(view, words(info, user=user, node=node, trust=trust, expires=str(which)), now=now)
        elif what == "call":
            feed(view, on_call(f"u{which}", info, user=user, node=node, trust=trust), now=now)
        elif what == "end":
            feed(view, channel("CHANNEL_DESTROY", f"u{which}", node=node, trust=trust), now=now)
        elif what == "seed":
            view.seed(listing(node, now - who, f"u{who}", users=(user,)), now, WALL + now)
        elif what == "doubt":
            view.doubt(node, now)
        elif what == "restart":
            view.restarted(node, f"core-{who}", now)
        else:
            view.tick(now)
        rows = view.rows(now)
        counters = view.counters()
        assert len(rows) <= 2
        assert sum(row["calls"] for row in rows) == counters["calls"]
        assert all(count >= 0 for count in counters.values())
        watched.look()
        assert watched.rows == {row["user"]: row for row in rows}
    for user in ("0@example.com", "1@example.com", "2@example.com"):
        feed(view, words("Unregistered", user=user, trust="signed"), now=1000.0)
    for which in range(3):
        view.seed(listing(f"fs{which}", 1001.0), 1001.0, WALL + 1001.0)
    assert view.counters()["calls"] == 0, "a call that no switch has is not there for ever"
