"""All views together: who learns from what, what loss and restarts do to rows, pages, and what a stranger can do."""

from __future__ import annotations

from typing import Any

import pytest
from recordings import DATA, read_pcap
from viewing import WALL, channel, fired

from switchcast import Event, StockFrames
from switchcast._native import Matcher
from switchcast.errors import UsageError
from switchcast.views.picture import MOST_ROWS, Picture, ViewsSettings, holds
from switchcast.views.telling import Snapshot
from switchcast.wire.gap_record import Gap


def register(user: str, node: str = "fs1", contact: str = "", **more: Any) -> Event:
    headers = {
        "profile-name": "internal",
        "from-user": user,
        "from-host": "example.com",
        "contact": contact or f"<sip:{user}@192.0.2.9:5060>",
        "call-id": f"call-of-{user}",
        "expires": "600",
    }
    return fired("sofia::register", node=node, **headers | more)


def take(picture: Picture, *events: Event, now: float = 1.0) -> set[str]:
    return picture.take(list(events), now, WALL + now)


def rows(picture: Picture, view: str, now: float = 1.0) -> list[dict[str, Any]]:
    return picture.page(view, now)["rows"]


def sure(picture: Picture, view: str, now: float = 1.0) -> dict[str, str]:
    """How sure each row is, by its node."""
    return {row["node"]: row["sure"] for row in rows(picture, view, now)}


def snapshot(node: str = "fs1", core: str = "core-1", begun: float = 5.0, **more: Any) -> Snapshot:
    return Snapshot(node, core, begun, WALL + begun, **more)


def listed(user: str) -> dict[str, str]:
    return {
        "profile": "internal",
        "user": f"{user}@example.com",
        "contact": f"<sip:{user}@192.0.2.9:5060>",
        "call-id": f"call-of-{user}",
        "status": "Registered(UDP)(unknown) exp(2025-01-01 01:00:00) expsecs(500)",
        "ping-status": "Reachable",
    }


# Settings


def test_each_setting_reaches_its_view() -> None:
    picture = Picture(
        ViewsSettings.model_validate(
            {
                "nodes": {"timeout": 5, "forget": 2000},
                "registrations": {"grace": 100, "multiple": "yes"},
                "presence": {"forget": 900},
                "calls": {"quiet": 600, "forget": 1500},
            }
        )
    )
    second = "<sip:1000@192.0.2.10:5060>"
    take(picture, register("1000"), register("1000", contact=second, call_id="another"), channel("CHANNEL_CREATE", "a"))
    said: dict[str, Any] = {"from": "1001@example.com", "status": "Unregistered"}
    take(picture, fired("PRESENCE_IN", **said))
    assert len(rows(picture, "registrations")) == 2, "of one account, for its profile allows several"
    assert {row["state"] for row in rows(picture, "nodes")} == {"up"}
    picture.tick(7.0)
    assert {row["state"] for row in rows(picture, "nodes", 7.0)} == {"down"}
    picture.tick(690.0)
    assert {row["sure"] for row in rows(picture, "registrations", 690.0)} == {"doubtful"}, "within their grace"
    picture.tick(702.0)
    assert rows(picture, "registrations", 702.0) == []
    assert [row["user"] for row in rows(picture, "presence", 702.0)] == ["1001@example.com"]
    picture.tick(1300.0)
    assert rows(picture, "presence", 1300.0) == []
    assert [row["id"] for row in rows(picture, "calls", 1300.0)] == ["a"]
    picture.tick(1700.0)
    assert rows(picture, "calls", 1700.0) == []
    picture.tick(2100.0)
    assert rows(picture, "nodes", 2100.0) == []


def test_what_grows_and_what_there_is_are_counted_apart() -> None:
    picture = Picture()
    take(picture, register("1000"), channel("CHANNEL_CREATE", "a"))
    for name, view in picture.views.items():
        states, refusals = view.states(), view.refusals()
        assert not states.keys() & refusals.keys()
        assert view.counters() == states | refusals
        assert picture.counters()[name] == refusals
        assert len(view) == len(list(view.keys()))
        assert picture.most[name] == (1000 if name == "nodes" else 200_000)


def test_a_node_is_in_doubt_as_long_as_a_row_of_it_is() -> None:
    picture = Picture()
    message: dict[str, Any] = {"MWI_Message_Account": "sip:1000@example.com", "MWI_Messages_Waiting": "yes"}
    said: dict[str, Any] = {"from": "1000@example.com", "status": "Registered"}
    told = [
        fired("HEARTBEAT", Session_Count="1"),
        register("1000"),
        channel("CHANNEL_CREATE", "a"),
        fired("MESSAGE_WAITING", **message),
        fired("PRESENCE_IN", **said),
    ]
    take(picture, *told)
    assert picture.in_doubt() == {}
    take(picture, Gap("group", "gave_up", 2, sender="fs1", range="7-8").event(), now=2.0)
    assert picture.in_doubt() == {"fs1": 5}
    assert all(dict(view.doubtful()) == {"fs1": 1} for view in picture.views.values())
    take(picture, *told[:4], now=3.0)
    assert picture.in_doubt() == {"fs1": 2}, "what was missed of a call, its later events do not tell"
    assert "fs1" in picture.doubts
    take(picture, *told[4:], channel("CHANNEL_DESTROY", "a"), now=4.0)
    assert picture.in_doubt() == {}
    assert picture.doubts == {}


# Who learns from what


def test_its_bindings_are_those_of_the_views_and_of_what_tells_of_loss() -> None:
    picture = Picture()
    matcher = Matcher(picture.bindings)
    assert not matcher.warnings
    for view in picture.views.values():
        assert all(kind in picture.bindings.split() for kind in view.kinds)
    wanted = [register("1000"), channel("CHANNEL_CREATE", "a"), Gap("group", "ring_overflow", 3).event()]
    refired = fired("multicast::event", Orig_Event_Name="HEARTBEAT")
    assert matcher.select([*wanted, refired, fired("API"), fired("sofia::pre_register")]) == [*wanted, refired]


def test_each_event_goes_to_those_that_learn_from_its_kind() -> None:
    picture = Picture()
    take(picture, register("1000"), channel("CHANNEL_CREATE", "a"), fired("API"), fired("no::view"))
    assert [row["user"] for row in rows(picture, "registrations")] == ["1000@example.com"]
    assert [leg["uuid"] for row in rows(picture, "calls") for leg in row["legs"]] == ["a"]
    assert [row["name"] for row in rows(picture, "nodes")] == ["fs1"]


def test_what_a_switch_re_fires_counts_for_the_one_that_fired_it() -> None:
    picture = Picture()
    own = dict(register("1000", node="fs2").items())
    orig = {f"Orig-{name}": value for name, value in own.items()}
    headers = {"Event-Subclass": "multicast::event", "Core-UUID": "core-9", "FreeSWITCH-Switchname": "fs1"}
    take(picture, Event("CUSTOM", headers | orig | {"Orig-Event-Name": "CUSTOM"}))
    assert [(row["user"], row["node"]) for row in rows(picture, "registrations")] == [("1000@example.com", "fs2")]


def test_the_recording_ends_as_its_notes_say() -> None:
    picture, frames, now = Picture(), StockFrames(), 0.0
    recorded = read_pcap(DATA / "stock-plain.pcap.gz")
    start = recorded[0][0]
    lit: list[tuple[int, int, int]] = []
    for at, datagram in recorded:
        now = (at - start) / 1e9
        picture.take([frames.open(datagram)], now, at / 1e9)
        lamps = [
            (row["new"], row["saved"], row["urgent_new"]) for row in rows(picture, "mailboxes", now) if row["lamp"]
        ]
        if lamps and (not lit or lit[-1] != lamps[0]):
            lit.append(lamps[0])
    assert lit == [(1, 0, 0), (2, 1, 1), (2, 0, 0), (3, 0, 0)]
    assert rows(picture, "calls", now) == []
    assert not [row for row in rows(picture, "mailboxes", now) if row["lamp"]]
    picture.tick(now + 60)
    assert rows(picture, "registrations", now + 60) == []


# Loss, silence and restarts


def test_a_gap_of_a_sender_makes_its_rows_doubtful_until_it_is_asked() -> None:
    picture = Picture()
    take(picture, fired("HEARTBEAT"), register("1000", "fs1"), register("2000", "fs2"))
    assert take(picture, Gap("group", "gave_up", 3, sender="fs1", range="7-9").event(), now=2.0) == {"fs1"}
    assert sure(picture, "registrations", 2.0) == {"fs1": "doubtful", "fs2": "told"}
    assert picture.doubts == {"fs1": {"since": WALL + 2.0, "why": "lost"}}
    (row,) = [row for row in rows(picture, "nodes", 2.0) if row["name"] == "fs1"]
    assert (row["lost"], row["sure"]) == (3, "doubtful")
    picture.seed(snapshot(registrations=(listed("1000"),)), 6.0, WALL + 6.0)
    assert sure(picture, "registrations", 6.0) == {"fs1": "asked", "fs2": "told"}
    assert picture.doubts == {}


def test_a_gap_of_nobody_known_makes_everyone_doubtful() -> None:
    picture = Picture()
    take(picture, register("1000", "fs1"), register("2000", "fs2"))
    assert take(picture, Gap("views", "overflow", 800).event(), now=2.0) == {"fs1", "fs2"}
    assert set(sure(picture, "registrations", 2.0).values()) == {"doubtful"}
    assert picture.counters()["picture"]["gaps"] == 1


def test_a_gap_that_the_network_tells_of_is_somebody_elses_claim() -> None:
    picture = Picture()
    take(picture, register("1000", "fs1"))
    for trust in ("stock", "member"):
        take(picture, Gap("group", "gave_up", 3, sender="fs1").event().with_trust(trust, None), now=2.0)
    assert sure(picture, "registrations", 2.0) == {"fs1": "told"}


def test_a_gap_in_the_numbers_of_a_switch_is_an_upper_bound_and_no_doubt() -> None:
    picture = Picture()
    take(picture, register("1000", Event_Sequence="10"), register("1001", Event_Sequence="500"))
    assert sure(picture, "registrations") == {"fs1": "told"}
    (row,) = rows(picture, "nodes")
    assert row["lost"] == 0
    assert row["lost_at_most"] > 400


def test_a_switch_that_falls_silent_is_doubted() -> None:
    picture = Picture()
    take(picture, register("1000"), channel("CHANNEL_CREATE", "a"))
    due = picture.next_due()
    assert due is not None
    assert due <= 61.0 + 1e-6
    assert picture.tick(61.5) == {"fs1"}
    assert sure(picture, "registrations", 61.5) == sure(picture, "calls", 61.5) == {"fs1": "doubtful"}
    assert picture.doubts["fs1"]["why"] == "down"


def test_a_new_run_ends_the_calls_of_the_old_one_where_it_begins() -> None:
    picture = Picture()
    take(picture, channel("CHANNEL_CREATE", "a"), register("1000"))
    doubted = take(
        picture,
        channel("CHANNEL_CREATE", "old"),
        channel("CHANNEL_CREATE", "new", core="core-2"),
        channel("CHANNEL_ANSWER", "new", core="core-2"),
        now=2.0,
    )
    assert doubted == {"fs1"}
    assert [leg["uuid"] for row in rows(picture, "calls", 2.0) for leg in row["legs"]] == ["new"]
    assert sure(picture, "registrations", 2.0) == {"fs1": "doubtful"}


def test_an_answer_of_a_new_run_ends_the_calls_of_the_old_one() -> None:
    picture = Picture()
    take(picture, channel("CHANNEL_CREATE", "a"), fired("HEARTBEAT"))
    status = {"Session-Count": "0"}
    picture.seed(snapshot(core="core-2", status=status, channels=(), calls=()), 6.0, WALL + 6.0)
    assert rows(picture, "calls", 6.0) == []


def test_what_is_heard_while_a_switch_is_asked_stands() -> None:
    picture = Picture()
    take(picture, register("1000"))
    take(picture, register("1001"), now=5.5)
    picture.seed(snapshot(registrations=(), channels=(), calls=()), 6.0, WALL + 6.0)
    assert [row["user"] for row in rows(picture, "registrations", 6.0)] == ["1001@example.com"]


# Pages


def test_pages_have_every_row_once_whatever_comes_and_goes_meanwhile() -> None:
    picture = Picture()
    take(picture, *(register(str(1000 + number)) for number in range(250)))
    seen, after = [], ""
    while True:
        page = picture.page("registrations", 1.0, after=after, limit=60)
        seen += [row["user"] for row in page["rows"]]
        if page["next"] is None:
            break
        after = page["next"]
        take(picture, register(f"0{after[:4]}"))  # before what is still to come
    assert seen == [f"{1000 + number}@example.com" for number in range(250)]


def test_a_page_that_is_exactly_full_is_the_last() -> None:
    picture = Picture()
    take(picture, register("1000"), register("1001"))
    page = picture.page("registrations", 1.0, limit=2)
    assert (len(page["rows"]), page["next"]) == (2, None)


def test_text_is_looked_for_in_any_case_and_however_deep() -> None:
    picture = Picture()
    take(picture, *(register(str(user)) for user in range(1000, 1100)))
    take(picture, channel("CHANNEL_CREATE", "leg-of-Anna", Caller_Caller_ID_Name="Änne"))
    page = picture.page("registrations", 1.0, match="SIP:107", limit=5)
    assert [row["user"] for row in page["rows"]] == [f"{user}@example.com" for user in range(1070, 1075)]
    rest = picture.page("registrations", 1.0, match="SIP:107", limit=5, after=page["next"] or "")
    assert [row["user"] for row in rest["rows"]] == [f"{user}@example.com" for user in range(1075, 1080)]
    assert rest["next"] is None
    assert holds(picture.page("calls", 1.0)["rows"][0], "LEG-OF-ANNA")
    assert not picture.page("calls", 1.0, match="nobody")["rows"]


@pytest.mark.parametrize("limit", [0, -1, MOST_ROWS + 1])
def test_a_page_is_bounded(limit: int) -> None:
    with pytest.raises(UsageError, match="limit is a whole number from 1 to 10,000"):
        Picture().page("calls", 1.0, limit=limit)


def test_a_view_that_there_is_not_is_told_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="there is no view 'lamps'; there are nodes, registrations, presence, mailbox"):
        Picture().view("lamps")


# Strangers


def test_a_stranger_does_not_move_what_a_member_has_told() -> None:
    picture = Picture()
    take(picture, register("1000", "fs1", trust="member"))
    forged = register("1000", "fs1", "<sip:1000@203.0.113.66>", trust="stock")
    elsewhere = register("1000", "fs66", trust="stock")
    take(picture, forged, elsewhere, now=2.0)
    (row,) = rows(picture, "registrations", 2.0)
    assert (row["node"], row["contact"], row["trust"]) == ("fs1", "<sip:1000@192.0.2.9:5060>", "member")
    assert picture.counters()["registrations"]["untrusted"] == 2


def test_a_stranger_does_not_end_the_calls_of_a_members_switch() -> None:
    picture = Picture()
    take(picture, channel("CHANNEL_CREATE", "a", trust="member"))
    take(picture, channel("CHANNEL_CREATE", "b", core="forged", trust="stock"), now=2.0)
    take(picture, channel("CHANNEL_DESTROY", "a", trust="stock"), now=2.0)
    assert [leg["uuid"] for row in rows(picture, "calls", 2.0) for leg in row["legs"] if leg["trust"] == "member"] == [
        "a"
    ]


def test_no_table_grows_beyond_its_bound() -> None:
    picture = Picture(ViewsSettings(most=50))
    for number in range(2000):
        user, node = str(10_000 + number), f"fs{number}"
        take(
            picture,
            register(user, node, trust="stock"),
            channel("CHANNEL_CREATE", f"leg-{number}", trust="stock"),
            fired("MESSAGE_WAITING", MWI_Message_Account=f"sip:{user}@x", MWI_Messages_Waiting="yes", trust="stock"),
            fired("PRESENCE_IN", trust="stock", **{"from": f"{user}@x"}),
            Gap("group", "gave_up", 1, sender=f"invented-{number}").event(),
            now=1.0 + number / 1000,
        )
    sizes = {name: len(list(view.keys())) for name, view in picture.views.items()}
    assert sizes["nodes"] == 1000
    assert max(sizes[name] for name in ("registrations", "presence", "mailboxes", "calls")) == 50
    assert len(picture.doubts) <= 1000
    counts = picture.counters()
    assert all(counts[name]["refused_full"] > 900 for name in ("nodes", "registrations", "calls", "mailboxes"))
    take(picture, register("1000", "fs1", trust="member"), now=9.0)  # and keeps no member out
    assert "1000@example.com" in {row["user"] for row in rows(picture, "registrations", 9.0)}
