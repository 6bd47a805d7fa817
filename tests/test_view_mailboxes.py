"""Mailboxes: what the recording lights and puts out, what a switch counts, and what a stranger cannot change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY
from viewing import WALL, Watched, feed, fired, replayed

from switchcast import Event
from switchcast.views.mailboxes import Mailboxes, account_of, counts_of
from switchcast.views.telling import Snapshot, Trust

ACCOUNT = "1000@example.com"


def waiting(counts: str, lamp: str = "yes", *, account: str = f"sip:{ACCOUNT}", **more: Any) -> Event:
    headers = {"MWI_Messages_Waiting": lamp, "MWI_Message_Account": account}
    return fired("MESSAGE_WAITING", **headers | ({"MWI_Voice_Message": counts} if counts else {}) | more)


def counted(node: str, begun: float, **boxes: tuple[int, int]) -> Snapshot:
    return Snapshot(
        node, "core-1", begun, WALL + begun, mailboxes={f"{name}@example.com": n for name, n in boxes.items()}
    )


def only(view: Mailboxes) -> dict[str, Any]:
    (row,) = view.rows(0.0)
    return row


def test_the_recording_lights_the_lamps_that_its_readme_lists(plain_datagrams: list[tuple[int, bytes]]) -> None:
    view = Mailboxes()
    steps: list[tuple[float, bool, int, int, int]] = []
    for now in replayed(plain_datagrams, view):
        row = view.row("1000@127.0.0.1", now)
        if row is not None:
            said = (row["lamp"], row["new"], row["saved"], row["urgent_new"])
            if not steps or steps[-1][1:] != said:
                steps.append((round(now, 2), *said))
    assert steps == [
        (8.12, False, 0, 0, 0),
        (28.44, True, 1, 0, 0),
        (33.82, True, 2, 1, 1),
        (34.12, False, 0, 0, 0),
        (82.54, True, 2, 0, 0),
        (85.61, True, 3, 0, 0),
        (92.82, False, 0, 0, 0),
    ]
    assert view.counters()["lit"] == 0
    assert [row["account"] for row in view.rows(100.0)] == ["1000@127.0.0.1", "1001@127.0.0.1"]


def test_an_account_is_the_same_with_and_without_its_scheme() -> None:
    assert account_of("sip:1000@example.com") == account_of("SIPS:1000@example.com") == account_of(ACCOUNT) == ACCOUNT
    assert account_of("x:1000@example.com") == "x:1000@example.com"


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("2/1 (1/0)", (2, 1, 1, 0)),
        ("3/0", (3, 0, 0, 0)),
        ("0/0 (0/0)", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
        ("many", (0, 0, 0, 0)),
        ("-1/2", (0, 0, 0, 0)),
        ("99999999999/1", (0, 0, 0, 0)),
        ("999999999/1", (1_000_000, 1, 0, 0)),
    ],
)
def test_counts_are_read_as_voicemail_writes_them(text: str, counts: tuple[int, int, int, int]) -> None:
    assert counts_of(text) == counts


def test_a_lost_message_waiting_is_made_good_by_what_voicemail_says_beside_it() -> None:
    view = Mailboxes()
    totals: dict[str, Any] = {
        "VM_Total_New": "2",
        "VM_Total_Saved": "1",
        "VM_Total_New_Urgent": "1",
        "VM_Total_Saved_Urgent": "0",
    }
    feed(view, fired("vm::maintenance", VM_Action="mwi-update", VM_User="1000", VM_Domain="example.com", **totals))
    assert {key: only(view)[key] for key in ("account", "lamp", "new", "saved", "urgent_new")} == {
        "account": ACCOUNT,
        "lamp": True,
        "new": 2,
        "saved": 1,
        "urgent_new": 1,
    }
    feed(view, fired("vm::maintenance", VM_Action="leave-message", VM_User="1000", VM_Domain="example.com"))
    assert only(view)["new"] == 2, "it counts nothing, so it says nothing"


def test_what_another_switch_re_fires_counts_as_the_event_that_it_was() -> None:
    view = Mailboxes()
    inner = dict(waiting("1/0", node="fs2").items())
    feed(view, Event("CUSTOM", {"Event-Subclass": "multicast::event"} | {f"Orig-{k}": v for k, v in inner.items()}))
    assert (only(view)["node"], only(view)["lamp"]) == ("fs2", True)


def test_what_a_switch_counts_is_right_for_all_that_nobody_told_of_since() -> None:
    view = Mailboxes()
    watched = Watched(view)
    feed(view, waiting("1/0"), now=1.0)
    view.seed(counted("fs1", 2.0, **{"1000": (4, 1), "1001": (0, 2)}), 2.1, WALL + 2.1)
    assert [(row["account"], row["lamp"], row["new"], row["sure"]) for row in view.rows(3.0)] == [
        ("1000@example.com", True, 4, "asked"),
        ("1001@example.com", False, 0, "asked"),
    ]
    feed(view, waiting("0/5", "no"), now=4.0)
    view.seed(counted("fs1", 3.5, **{"1000": (4, 1)}), 4.5, WALL + 4.5)
    assert (view.rows(5.0)[0]["new"], view.rows(5.0)[0]["sure"]) == (0, "told"), "it was asked before the last message"
    assert watched.keys() == ["1000@example.com", "1001@example.com"]
    assert watched.rows == {row["account"]: row for row in view.rows(0.0)}


def test_a_switch_that_does_not_have_the_mailbox_does_not_put_the_lamp_out() -> None:
    view = Mailboxes()
    feed(view, waiting("3/0", node="fs1"), now=1.0)
    view.seed(counted("fs2", 2.0, **{"1000": (0, 0)}), 2.0, WALL + 2.0)
    assert only(view)["lamp"]
    view.doubt("fs1", 3.0)
    assert only(view)["sure"] == "doubtful"
    view.seed(counted("fs2", 4.0, **{"1000": (0, 0)}), 4.0, WALL + 4.0)
    assert (only(view)["lamp"], only(view)["sure"]) == (False, "asked"), "what fs1 told may not have been the last"


def test_an_answer_that_was_asked_for_before_the_loss_takes_no_doubt_away() -> None:
    view = Mailboxes()
    feed(view, waiting("1/0"), now=1.0)
    view.doubt("fs1", 3.0)
    view.seed(counted("fs1", 2.0, **{"1000": (2, 0)}), 4.0, WALL + 4.0)
    assert (only(view)["new"], only(view)["sure"]) == (2, "doubtful")


def test_urgent_messages_stay_while_the_others_agree_with_what_was_counted() -> None:
    view = Mailboxes()
    feed(view, waiting("2/1 (1/0)"), now=1.0)
    view.seed(counted("fs1", 2.0, **{"1000": (2, 1)}), 2.0, WALL + 2.0)
    assert (only(view)["urgent_new"], only(view)["since"]) == (1, WALL + 1.0)
    view.seed(counted("fs1", 3.0, **{"1000": (1, 1)}), 3.0, WALL + 3.0)
    assert (only(view)["urgent_new"], only(view)["since"]) == (0, WALL + 3.0)


@pytest.mark.parametrize("writer", ["local", "member", "signed"])
def test_a_stock_datagram_changes_no_lamp_that_somebody_better_wrote(writer: Trust) -> None:
    view = Mailboxes()
    feed(view, waiting("1/0", trust=writer))
    feed(view, waiting("0/0", "no", trust="stock"))
    assert only(view)["lamp"]
    assert view.counters()["untrusted"] == 1


def test_a_stock_datagram_does_not_change_what_was_asked_of_a_switch_that_proves_more() -> None:
    view = Mailboxes()
    feed(view, waiting("1/0", account="1001@example.com", trust="member"), now=1.0)
    view.seed(counted("fs1", 2.0, **{"1000": (5, 0)}), 2.0, WALL + 2.0)
    feed(view, waiting("0/0", "no", trust="stock"), now=3.0)
    assert view.row(ACCOUNT, 3.0) is not None
    assert view.rows(3.0)[0]["new"] == 5
    feed(view, waiting("0/0", "no", trust="member"), now=4.0)
    assert view.rows(4.0)[0]["new"] == 0


def test_where_stock_is_all_there_is_it_changes_what_was_asked() -> None:
    view = Mailboxes()
    view.seed(counted("fs1", 1.0, **{"1000": (5, 0)}), 1.0, WALL + 1.0)
    feed(view, waiting("0/0", "no", trust="stock"), now=2.0)
    assert only(view)["new"] == 0


def test_a_full_table_refuses_strangers_and_gives_their_rows_up_for_others() -> None:
    view = Mailboxes(most=3)
    for number in range(5):
        feed(view, waiting("1/0", account=f"x{number}@example.com", trust="stock"))
    assert (len(view), view.counters()["refused_full"]) == (3, 2)
    for number in range(4):
        feed(view, waiting("1/0", account=f"m{number}@example.com", trust="member"))
    assert sorted(row["account"][0] for row in view.rows(0.0)) == ["m", "m", "m"]
    assert (view.counters()["displaced"], view.counters()["refused_full"]) == (3, 3)


def test_a_name_without_end_is_refused() -> None:
    view = Mailboxes()
    feed(view, waiting("1/0", account="1" * 100_000), waiting("1/0", account=""), waiting("1/0", node="n" * 100_000))
    assert view.rows(0.0) == []
    assert view.counters()["refused_name"] == 3


counts = st.integers(-5, 2_000_000)


@PROPERTY
@given(
    st.lists(
        st.tuples(st.sampled_from(["tell", "seed", "doubt"]), st.integers(0, 3), counts, counts, st.booleans()),
        max_size=30,
    )
)
def test_counts_are_never_negative_and_changes_tell_everything(
    steps: list[tuple[str, int, int, int, bool]],
) -> None:
    view = Mailboxes(most=3)
    watched = Watched(view)
    for number, (what, who, new, saved, late) in enumerate(steps):
        now, node = float(number), f"fs{who % 2}"
        if what == "tell":
            feed(view, waiting(f"{new}/{saved}", node=node, account=f"{who}@example.com"), now=now)
        elif what == "seed":
            begun = now - 1.5 if late else now
            view.seed(counted(node, begun, **{str(who): (new, saved)}), now, WALL + now)
        else:
            view.doubt(node, now)
        rows = view.rows(now)
        assert all(min(row["new"], row["saved"], row["urgent_new"], row["urgent_saved"]) >= 0 for row in rows)
        assert len(rows) <= 3
        watched.look()
        assert watched.rows == {row["account"]: row for row in rows}
    assert all(count >= 0 for count in view.counters().values())
    assert view.next_due() is None
