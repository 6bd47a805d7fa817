"""Calls against the truth of a simulated cluster, and what holds whatever is heard, in whatever order."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import PROPERTY
from viewing import WALL, Watched, channel, feed, snapshot_of

from switchcast import Event
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.switch import Switch
from switchcast.views.calls import Calls, CallsSettings
from switchcast.views.grouping import Groups
from switchcast.views.legs import tags_of
from switchcast.views.telling import Snapshot, Trust

SOON = 1e-6
FEW = settings(PROPERTY, max_examples=6)
"""Each example is a cluster for half a minute."""
Heard = list[tuple[float, int, Event]]


def truth(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    """State, partner and node of each channel that is up."""
    up = {uuid: (switch, leg) for switch in cluster.switches for uuid, leg in switch.channels.items()}
    partners = {uuid: leg.bridged_to if leg.bridged_to in up else "" for uuid, (_, leg) in up.items()}
    return {uuid: (leg.call_state.lower(), partners[uuid] or "", switch.name) for uuid, (switch, leg) in up.items()}


def shown(view: Calls, now: float) -> dict[str, tuple[str, str, str]]:
    legs = [leg for row in view.rows(now) for leg in row["legs"]]
    return {leg["uuid"]: (leg["state"], leg["bridged_to"], leg["node"]) for leg in legs}


def applications(cluster: Cluster) -> dict[str, str]:
    """What the dialplan does for each channel that is up."""
    legs = {uuid: leg for switch in cluster.switches for uuid, leg in switch.channels.items()}
    return {u: (leg.executing.get("Application") or "") if leg.executing else "" for u, leg in legs.items()}


def hear(view: Calls, heard: Heard) -> None:
    for when, _, event in heard:
        feed(view, event, now=when)
    if heard:
        view.tick(heard[-1][0])


def ask(view: Calls, switch: Switch, now: float) -> None:
    view.seed(snapshot_of(switch, now + SOON), now + 2 * SOON, WALL + now)


def check_rows(view: Calls, now: float) -> None:
    """What every list of calls has to be."""
    rows = view.rows(now)
    legs = [leg["uuid"] for row in rows for leg in row["legs"]]
    assert sorted(legs) == sorted(view.legs()), "each leg is in one call"
    assert len({row["id"] for row in rows}) == len(rows) == len(view)
    assert sorted(view.keys()) == [row["id"] for row in rows]
    assert all(view.row(row["id"], now) == row for row in rows)
    assert all(count >= 0 for count in view.counters().values())
    assert all(row["duration"] >= 0 and row["talking"] >= 0 for row in rows)


def test_where_nothing_is_lost_it_agrees_with_every_switch_at_any_time() -> None:
    cluster, view = Cluster(nodes=3, cps=12.0, seed=11), Calls()
    watched = Watched(view)
    for step in range(1, 120):
        hear(view, cluster.advance(until=step / 4))
        assert shown(view, cluster.now) == truth(cluster)
        assert {uuid: leg.application for uuid, leg in view.legs().items()} == applications(cluster)
        watched.look()
    check_rows(view, cluster.now)
    assert watched.keys() == sorted(view.keys())
    assert view.counters()["bridged"] > 10


def test_calls_of_a_simulated_switch_are_its_bridges_and_its_loopbacks() -> None:
    cluster, view = Cluster(nodes=2, cps=10.0, seed=3), Calls()
    hear(view, cluster.advance(until=30.0))
    together = {frozenset(leg["uuid"] for leg in row["legs"]) for row in view.rows(30.0)}
    for switch in cluster.switches:
        for first, second in switch.calls.values():
            assert any({first, second} <= legs for legs in together)
    assert {len(legs) for legs in together} >= {1, 2}


@FEW
@given(st.integers(0, 10_000), st.sampled_from([0.01, 0.1, 0.5, 0.95]), st.booleans())
def test_after_a_snapshot_it_agrees_whatever_was_lost(seed: int, loss: float, restart: bool) -> None:
    cluster, view, dice = Cluster(nodes=2, cps=6.0, seed=seed), Calls(), Random(seed)  # noqa: S311
    for step in range(1, 8):
        hear(view, [found for found in cluster.advance(until=step * 3.0) if dice.random() >= loss])
        if restart and step == 4:
            cluster.switches[0].restart()
            view.restarted("fs1", cluster.switches[0].core_uuid, cluster.now)
        check_rows(view, cluster.now)
        for switch in cluster.switches:
            view.doubt(switch.name, cluster.now)
            ask(view, switch, cluster.now)
        assert shown(view, cluster.now) == truth(cluster)
        assert all(row["sure"] != "doubtful" for row in view.rows(cluster.now))
        check_rows(view, cluster.now)


@FEW
@given(st.integers(0, 10_000), st.floats(0.01, 3.0), st.floats(0.01, 3.0))
def test_a_snapshot_that_events_overtake_takes_nothing_back(seed: int, while_asked: float, answer_late: float) -> None:
    cluster, view = Cluster(nodes=2, cps=6.0, seed=seed), Calls()
    now = 0.0
    for _ in range(5):
        now += 3.0
        hear(view, cluster.advance(until=now))
        begun = cluster.now + SOON
        hear(view, cluster.advance(until=now + while_asked))
        answers = [(switch, snapshot_of(switch, begun)) for switch in cluster.switches]
        hear(view, cluster.advance(until=now + while_asked + answer_late))
        for _, snapshot in answers:
            view.seed(snapshot, cluster.now, WALL + cluster.now)
        assert shown(view, cluster.now) == truth(cluster)
        now = cluster.now


def test_who_joins_late_agrees_at_once_and_goes_on_agreeing() -> None:
    cluster, view = Cluster(nodes=3, cps=12.0, seed=7), Calls()
    cluster.advance(until=40.0)
    for switch in cluster.switches:
        ask(view, switch, cluster.now)
    assert shown(view, 40.0) == truth(cluster)
    assert {row["sure"] for row in view.rows(40.0)} == {"asked"}
    assert {uuid: leg.application for uuid, leg in view.legs().items()} == applications(cluster)
    for step in range(1, 40):
        hear(view, cluster.advance(until=40.0 + step / 2))
        assert shown(view, cluster.now) == truth(cluster)


def test_a_restart_that_nobody_tells_of_leaves_nothing_of_the_old_run_after_a_snapshot() -> None:
    cluster, view = Cluster(nodes=2, cps=12.0, seed=9), Calls()
    hear(view, cluster.advance(until=20.0))
    cluster.switches[0].restart()
    hear(view, cluster.advance(until=30.0))
    assert shown(view, 30.0) != truth(cluster)
    ask(view, cluster.switches[0], 30.0)
    assert shown(view, 30.0) == truth(cluster)


# Whatever is heard

KINDS = sorted(Calls.kinds)
UUIDS = ("a", "b", "c", "d")
STATES = ("CS_NEW", "CS_ROUTING", "CS_EXECUTE", "CS_EXCHANGE_MEDIA", "CS_HANGUP", "CS_DESTROY")
TRUSTS: tuple[Trust, ...] = ("stock", "local", "member")

names = st.sampled_from(UUIDS)
nodes = st.sampled_from(["fs1", "fs2"])
events = st.builds(
    lambda kind, uuid, other, call, state, call_state, node, core, trust, number: channel(
        kind,
        uuid,
        state=state,
        call_state=call_state,
        node=node,
        core=core,
        trust=trust,
        call=call,
        created=float(UUIDS.index(uuid)),
        Bridge_A_Unique_ID=uuid,
        Bridge_B_Unique_ID=other,
        Other_Leg_Unique_ID=other,
        Old_Unique_ID=other,
        Bridged_To=other,
        variable_sip_call_id=f"{call}-{other}",
        **({"Event_Sequence": str(number)} if number else {}),
    ),
    st.sampled_from(KINDS),
    names,
    names,
    names,
    st.sampled_from(STATES),
    st.sampled_from(["DOWN", "RINGING", "ACTIVE", "HELD", "HANGUP"]),
    nodes,
    st.sampled_from(["core-1", "core-2"]),
    st.sampled_from(TRUSTS),
    st.integers(0, 20),
)
rows_listed = st.dictionaries(names, st.tuples(names, st.sampled_from(STATES)), max_size=4)
steps = st.one_of(
    st.tuples(st.just("event"), events),
    st.tuples(st.just("event"), events),
    st.tuples(st.just("event"), events),
    st.tuples(st.just("seed"), st.tuples(nodes, st.floats(0, 5), rows_listed)),
    st.tuples(st.sampled_from(["doubt", "restart"]), nodes),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 31.0, 70.0, 4000.0])),
)


def listing(node: str, begun: float, rows: dict[str, tuple[str, str]], core: str = "core-1") -> Snapshot:
    channels = tuple({"uuid": u, "call_uuid": call, "state": s, "callstate": "ACTIVE"} for u, (call, s) in rows.items())
    calls = tuple({"uuid": uuid, "b_uuid": call} for uuid, (call, _) in rows.items())
    return Snapshot(node, core, begun, WALL + begun, channels=channels, calls=calls)


@PROPERTY
@given(st.lists(steps, max_size=40))
def test_whatever_is_heard_each_leg_is_in_one_call_and_changes_tell_everything(steps: list[tuple[str, Any]]) -> None:
    view = Calls(CallsSettings(quiet=1000.0, forget=7000.0), most=3)
    watched = Watched(view)
    now = 10.0
    for what, argument in steps:
        now += 0.25
        if what == "event":
            feed(view, argument, now=now)
        elif what == "seed":
            node, ago, rows = argument
            view.seed(listing(node, now - ago, rows), now, WALL + now)
        elif what == "doubt":
            view.doubt(argument, now)
        elif what == "restart":
            view.restarted(argument, "core-2", now)
        else:
            now += argument
            view.tick(now)
            due = view.next_due()
            assert due is None or due > now, "a tick does all there is to do"
        check_rows(view, now)
        assert len(view.legs()) <= 3
        assert all(leg.bridged_to != uuid == leg.uuid for uuid, leg in view.legs().items())
        watched.look()
        assert watched.keys() == sorted(view.keys())
        timeless = [_without_time(row) for row in view.rows(now)]
        assert [_without_time(row) for _, row in sorted(watched.rows.items())] == timeless
        assert {frozenset(leg["uuid"] for leg in row["legs"]) for row in view.rows(now)} == _from_scratch(view)
    for node in ("fs1", "fs2"):
        view.seed(listing(node, now + 1.0, {}, core="core-2"), now + 1.0, WALL + now)
    assert view.rows(now + 1.0) == [], "what no switch has is not there for ever"


@PROPERTY
@given(st.lists(events, max_size=30), st.integers(0, 10_000))
def test_without_snapshots_time_ends_everything(heard: list[Event], seed: int) -> None:
    view = Calls(CallsSettings(quiet=1000.0, forget=7000.0))
    Random(seed).shuffle(heard)  # noqa: S311
    feed(view, *heard)
    turns = 0
    while (due := view.next_due()) is not None:
        view.tick(due)
        turns += 1
        assert turns < 1000
    assert view.rows(1e6) == []
    assert view.counters()["legs"] == 0


def _without_time(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what changes by itself."""
    legs = [{key: value for key, value in leg.items() if key != "duration"} for leg in row["legs"]]
    return {key: value for key, value in row.items() if key not in ("duration", "talking")} | {"legs": legs}


def _from_scratch(view: Calls) -> set[frozenset[str]]:
    """The calls as they are if nobody remembers what they were."""
    legs = view.legs()
    groups = Groups(lambda uuid: legs[uuid].strange)
    for uuid in legs:
        groups.tag(uuid, tags_of(legs[uuid]))
    return {frozenset(groups.call(uuid)) for uuid in legs}


tags = st.dictionaries(st.integers(0, 7), st.tuples(st.booleans(), st.frozensets(st.integers(0, 7), max_size=3)))


@PROPERTY
@given(tags)
def test_what_hangs_together_is_divided_into_calls(drawn: dict[int, tuple[bool, frozenset[int]]]) -> None:
    groups = Groups(lambda leg: drawn[int(leg)][0])
    for leg, (_, named) in drawn.items():
        groups.tag(str(leg), tuple(str(tag) for tag in sorted(named)))
    calls = {str(leg): groups.call(str(leg)) for leg in drawn}
    assert all(leg in call and all(calls[other] == call for other in call) for leg, call in calls.items())
    for leg, (strange, named) in drawn.items():
        for other, (other_strange, other_named) in drawn.items():
            if not strange and not other_strange and named & other_named:
                assert str(other) in calls[str(leg)]
            if strange and not other_strange and calls[str(leg)] == calls[str(other)]:
                assert _vouched_way(drawn, calls[str(other)])


def _vouched_way(drawn: dict[int, tuple[bool, frozenset[int]]], call: set[str]) -> bool:
    """Whether those of a call that are vouched for hang together without the others."""
    vouched = [int(leg) for leg in call if not drawn[int(leg)][0]]
    reached = {vouched[0]}
    while True:
        more = {leg for leg in vouched if any(drawn[leg][1] & drawn[other][1] for other in reached)} - reached
        if not more:
            return reached == set(vouched)
        reached |= more
