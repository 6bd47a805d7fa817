"""Who is registered where: what events make of the table, and what they must not."""

from __future__ import annotations

from typing import Any

import pytest
from registering import DOMAIN, WALL, expire, held, listed, register, snapshot, sofia, tell, unregister

from switchcast import Event, StockFrames
from switchcast.views.registration_reading import MOST_SECONDS
from switchcast.views.registrations import Registrations, RegistrationsSettings
from switchcast.views.telling import View, told

GRACE = RegistrationsSettings().grace


def test_it_is_a_view() -> None:
    view: View = Registrations()
    assert view.name == "registrations"


# What was recorded


def test_the_recording_gives_what_its_readme_lists(plain_datagrams: list[tuple[int, bytes]]) -> None:
    view, frames, began = Registrations(), StockFrames(), plain_datagrams[0][0]
    seen: list[tuple[float, dict[str, tuple[str, str]]]] = []
    for at, datagram in plain_datagrams:
        now = (at - began) / 1e9
        view.tick(now)
        said = told(frames.open(datagram))
        if said is not None and said.kind in view.kinds:
            view.learn(said, now, at / 1e9)
        there = {row["user"]: (row["address"], row["call_id"]) for row in view.rows(now)}
        if not seen or seen[-1][1] != there:
            seen.append((round(now, 2), there))
    first = ("127.0.0.1:5090", "004d97fe0dedc320@127.0.0.1")
    again = ("127.0.0.1:5090", "f8b4cea502d04bb8@127.0.0.1")
    other = ("127.0.0.1:5096", "14444857c14a5d5c@127.0.0.1")
    later = ("127.0.0.1:5098", "b069a38e6b8403be@127.0.0.1")
    alice, bob = "1000@127.0.0.1", "1001@127.0.0.1"
    assert seen[:7] == [
        (0.0, {}),
        (8.12, {alice: first}),
        (8.53, {alice: again}),
        (8.53, {alice: again, bob: other}),
        (34.82, {alice: again}),
        (35.23, {alice: again, bob: later}),
        (35.23, {bob: later}),
    ]
    assert [there for _, there in seen[7:]] == [{}], "the 6 s of 1001 have passed, and nobody said so"
    assert view.counters()["ran_out"] == 1


def test_a_row_says_all_that_is_known() -> None:
    view = tell(Registrations(), 5.0, register(network_ip="2001:db8::7", core="abc", number=7))
    assert view.rows(15.0) == [
        {
            "user": f"1000@{DOMAIN}",
            "contact": '"" <sip:1000@198.18.0.1:5060>',
            "profile": "internal",
            "node": "fs1",
            "agent": "phone/1",
            "address": "[2001:db8::7]:5060",
            "expires": WALL + 3605.0,
            "expires_in": 3590.0,
            "reachable": True,
            "call_id": "call-of-1000-at-fs1",
            "since": WALL + 5.0,
            "sure": "told",
            "trust": "local",
        }
    ]
    [key] = view.keys()
    assert key == f'1000@{DOMAIN} internal "" <sip:1000@198.18.0.1:5060>'
    assert view.row(key, 15.0) == view.rows(15.0)[0]
    assert view.row("1000", 15.0) is None


def test_a_key_finds_its_row_whatever_is_in_it() -> None:
    view = tell(
        Registrations(), 0.0, register("a b%20c", profile_name="in ter", contact="x y  z"), register("", node="q")
    )
    [key] = view.keys()
    found = view.row(key, 0.0)
    assert found is not None
    assert (found["user"], found["profile"], found["contact"]) == (f"a b%20c@{DOMAIN}", "in ter", "x y  z")


# Renewed, moved, ended


def test_who_registers_again_is_renewed_and_has_been_there_since_the_first_time() -> None:
    view = tell(Registrations(), 0.0, register(expires="60"))
    tell(view, 50.0, register(expires="60", call_id="new", user_agent="phone/2"))
    [row] = view.rows(50.0)
    assert (row["expires_in"], row["since"], row["call_id"], row["agent"]) == (60.0, WALL, "new", "phone/2")


def test_who_registers_at_another_switch_has_moved() -> None:
    view = tell(Registrations(), 0.0, register(node="fs1"))
    tell(view, 10.0, register(node="fs2", contact="elsewhere"))
    [row] = view.rows(10.0)
    assert (row["node"], row["contact"], row["since"]) == ("fs2", "elsewhere", WALL + 10)


@pytest.mark.parametrize("call_id", ["call-of-1000-at-fs1", "kept"])
def test_what_the_switch_that_was_left_says_later_counts_no_more(call_id: str) -> None:
    view = tell(Registrations(), 0.0, register(node="fs1", call_id=call_id))
    tell(view, 10.0, register(node="fs2", call_id="kept"))
    tell(view, 70.0, expire(node="fs1", call_id=call_id))
    assert held(view) == {"1000": "fs2"}
    tell(view, 80.0, unregister(node="fs1"))
    assert held(view) == {"1000": "fs2"}
    assert view.counters()["elsewhere"] == 2
    tell(view, 90.0, expire(node="fs2", call_id="kept"))
    assert held(view) == {}


def test_a_telephone_ends_its_own_registration_wherever_it_says_so() -> None:
    view = tell(Registrations(), 0.0, register(node="fs1", call_id="mine"))
    assert held(tell(view, 1.0, unregister(node="fs2", call_id="mine"))) == {}


def test_an_unregister_needs_no_call_id_that_is_known() -> None:
    view = tell(Registrations(), 0.0, register())
    assert held(tell(view, 1.0, unregister(call_id="f9b3c05b426265b8@127.0.0.1"))) == {}


def test_an_expire_of_a_registration_before_the_last_changes_nothing() -> None:
    view = tell(Registrations(), 0.0, register(call_id="old", contact="old"), register(call_id="new", contact="new"))
    assert held(tell(view, 1.0, expire(call_id="old", contact="old"))) == {"1000": "fs1"}
    assert held(tell(view, 2.0, expire(call_id="new", contact="another"))) == {}


def test_an_expire_without_call_id_and_contact_as_a_policy_leaves_it_still_ends() -> None:
    view = tell(Registrations(), 0.0, register())
    assert held(tell(view, 1.0, expire(call_id="", contact=""))) == {}


@pytest.mark.parametrize("skew", [-86400 * 365, -3600, 0, 3600, 86400 * 365])
def test_no_clock_of_another_host_counts(skew: int) -> None:
    view = Registrations()
    tell(view, 0.0, register(expires="60", Event_Date_Timestamp=str(int((WALL + skew) * 1e6))))
    [row] = view.rows(30.0)
    assert (row["expires_in"], row["expires"], row["sure"]) == (30.0, WALL + 60, "told")
    tell(view, 61.0, expire(expires=str(int(WALL) + skew + 60)))
    assert held(view) == {}


def test_profiles_are_apart() -> None:
    view = tell(Registrations(), 0.0, register(), register(profile_name="external"))
    assert len(view) == 2
    assert [row["profile"] for row in tell(view, 1.0, unregister()).rows(1.0)] == ["external"]


def test_whether_a_telephone_answers_is_what_its_switch_says() -> None:
    def state(word: str, **others: str) -> Event:
        headers = {"profile_name": "internal", "from_user": "1000", "from_host": DOMAIN, "Ping_Status": word}
        told: dict[str, Any] = headers | {"call_id": "call-of-1000-at-fs1"} | others
        return sofia("sip_user_state", **told)

    view = tell(Registrations(), 0.0, register())
    tell(view, 1.0, state("UNREACHABLE"))
    assert view.rows(1.0)[0]["reachable"] is False
    assert view.counters()["unreachable"] == 1
    tell(view, 2.0, state("REACHABLE", call_id="another"), state("odd"), state("REACHABLE", node="fs2"))
    assert view.rows(2.0)[0]["reachable"] is False
    tell(view, 3.0, register(expires="60"))
    assert view.rows(3.0)[0]["reachable"] is False, "a renewal says nothing of it"
    tell(view, 4.0, state("Reachable"))
    assert view.rows(4.0)[0]["reachable"] is True


def test_what_comes_late_changes_nothing() -> None:
    view = tell(Registrations(), 0.0, register(number=20), unregister(number=19), expire(number=18))
    assert held(view) == {"1000": "fs1"}
    tell(view, 1.0, register(number=10, contact="old"))
    assert view.rows(1.0)[0]["contact"] != "old"
    assert view.counters()["late"] == 3
    tell(view, 2.0, register(number=1, contact="new", core="another"))
    assert view.rows(2.0)[0]["contact"] == "new", "another run numbers anew"


# Time


def test_what_has_run_out_is_doubtful_and_goes_after_the_grace() -> None:
    view = tell(Registrations(), 0.0, register(expires="60"))
    due = view.next_due()
    assert due == 60.0 + GRACE
    view.tick(61.0)
    [row] = view.rows(61.0)
    assert (row["sure"], row["expires_in"]) == ("doubtful", 0.0)
    view.tick(due)
    assert len(view) == 1
    view.tick(due + 0.001)
    assert (len(view), view.next_due()) == (0, None)


def test_a_renewal_postpones_and_a_shorter_one_brings_forward() -> None:
    view = tell(Registrations(), 0.0, register(expires="60"))
    tell(view, 50.0, register(expires="600"))
    view.tick(60.0 + GRACE + 1)
    assert len(view) == 1
    assert view.next_due() == 650.0 + GRACE
    tell(view, 100.0, register(expires="10"))
    assert view.next_due() == 110.0 + GRACE
    view.tick(110.0 + GRACE + 1)
    assert len(view) == 0


@pytest.mark.parametrize(
    "text", ["", "0", "-5", "+60", "sixty", "60abc", "6 0", "\u0666\u0660", "\uff16\uff10", "1e3", "0x10", "9" * 5000]
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    view = tell(Registrations(), 0.0, register(expires=text))
    assert (len(view), view.counters()["malformed"]) == (0, 1)


def test_no_registration_stays_for_a_century() -> None:
    view = tell(Registrations(), 0.0, register(expires="9" * 18))
    assert view.rows(0.0)[0]["expires_in"] == MOST_SECONDS


@pytest.mark.parametrize("event", [register(""), register(from_host=""), unregister(""), expire("")])
def test_who_has_no_name_is_not_registered(event: Event) -> None:
    view = tell(Registrations(), 0.0, event)
    assert (len(view), view.counters()["malformed"]) == (0, 1)


# Several registrations of one account


def test_an_account_has_one_registration_unless_its_profile_allows_several() -> None:
    view = tell(Registrations(), 0.0, register(contact="desk", call_id="1"), register(contact="cell", call_id="2"))
    assert [row["contact"] for row in view.rows(0.0)] == ["cell"]
    tell(view, 1.0, register(contact="cell", call_id="2", update_reg="true"), register(contact="desk", call_id="3"))
    assert [row["contact"] for row in view.rows(1.0)] == ["cell", "desk"]
    tell(view, 2.0, register(contact="desk", call_id="4"), register(contact="moved", call_id="2"))
    assert [(row["contact"], row["call_id"]) for row in view.rows(2.0)] == [("desk", "4"), ("moved", "2")]
    tell(view, 3.0, unregister(contact="desk", call_id=""), unregister(contact="none", call_id="none"))
    assert [row["contact"] for row in view.rows(3.0)] == ["moved"]


@pytest.mark.parametrize(("multiple", "count"), [("yes", 2), ("no", 1)])
def test_whether_several_are_allowed_can_be_said(multiple: str, count: int) -> None:
    view = Registrations(RegistrationsSettings.model_validate({"multiple": multiple}))
    tell(view, 0.0, register(contact="desk", call_id="1", update_reg="true"), register(contact="cell", call_id="2"))
    assert len(view) == count


def test_two_rows_in_a_snapshot_tell_that_several_are_allowed_there() -> None:
    view = Registrations()
    view.seed(snapshot("fs1", 0.0, listed(contact="desk"), listed(contact="cell", call_id="2")), 0.0, WALL)
    assert len(view) == 2
    tell(view, 1.0, register(contact="third", call_id="3"))
    assert len(view) == 3
    tell(view, 2.0, register("2000", contact="a", node="fs2"), register("2000", contact="b", node="fs2"))
    assert len(view) == 4, "of another switch that is not known"


# Changes


def test_changes_are_noted_from_the_first_question_on() -> None:
    view = tell(Registrations(), 0.0, register("a"))
    assert list(view.changes()) == []
    tell(view, 1.0, register("a", contact="new"), register("b"), unregister("b"))
    changes = dict(view.changes())
    assert {key.rpartition(" ")[2]: row and row["contact"] for key, row in changes.items()} == {
        "<sip:a@198.18.0.1:5060>": None,
        "new": "new",
        "<sip:b@198.18.0.1:5060>": None,
    }
    assert list(view.changes()) == []
