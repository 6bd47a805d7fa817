"""Whatever becomes of events on the way: order and repetition do not count, and loss takes away but never invents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

import pytest
from audit_samples import recorded_events
from hypothesis import given, settings
from hypothesis import strategies as st
from tracing import only_call, trace_of
from two_node_call import two_node_call

from switchcast import Event
from switchcast.app.cli.trace_view import story_view
from switchcast.archive.trace.ladder import rows_of
from switchcast.archive.trace.story import Story

KEYS = ("1001", "0000000c", "b2c-7f3a9e@192.0.2.101")
COUNT = len(two_node_call())
RECORDED = [event for event in recorded_events() if event.unique_id is not None]


@cache
def whole_story(*, call_ids: bool = True) -> Story:
    return only_call(trace_of("1001", two_node_call(call_ids=call_ids)))


@cache
def told_of_all(key: str) -> list[str]:
    return told(key, two_node_call())


def as_json(story: Story) -> str:
    return json.dumps(story.to_dict(), sort_keys=True)


def told(key: str, events: Sequence[Event]) -> list[str]:
    return [as_json(story) for story in trace_of(key, events).calls]


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(COUNT)), st.sampled_from(KEYS))
def test_the_order_of_events_does_not_matter(order: list[int], key: str) -> None:
    events = two_node_call()
    assert told(key, [events[place] for place in order]) == told_of_all(key)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, COUNT - 1), max_size=200), st.sampled_from(KEYS))
def test_duplicates_do_not_matter(again: list[int], key: str) -> None:
    events = two_node_call()
    late = [events[place].with_origin("192.0.2.9:4242", 2 * 10**18) for place in again[::2]]
    assert told(key, [*events, *(events[place] for place in again), *late]) == told_of_all(key)


def assert_nothing_invented(part: Story, whole: Story) -> None:
    """All that ``part`` tells is told by ``whole``."""
    assert {leg.id for leg in part.legs} <= {leg.id for leg in whole.legs}
    assert {(step.kind, step.leg) for step in part.steps} <= {(step.kind, step.leg) for step in whole.steps}
    assert {(each.a, each.b) for each in part.bridges} <= {(each.a, each.b) for each in whole.bridges}
    sent = {(each.leg, each.kind, each.to) for each in whole.transfers}
    assert {(each.leg, each.kind, each.to) for each in part.transfers} <= sent
    for leg in part.legs:
        full = whole.leg(leg.id)
        assert full is not None
        for value, whole_value in (
            (leg.cause, full.cause),
            (leg.sip_call_id, full.sip_call_id),
            (leg.direction, full.direction),
        ):
            assert value in {"", whole_value}
        assert leg.answered is None or full.answered is not None
        assert leg.heard <= full.heard


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, COUNT - 1)), st.booleans())
def test_losing_any_events_never_fails_and_never_invents(lost: set[int], call_ids: bool) -> None:
    events = two_node_call(call_ids=call_ids)
    whole = whole_story(call_ids=call_ids)
    kept = [event for place, event in enumerate(events) if place not in lost]
    for story in trace_of("1001", kept).calls:
        assert_nothing_invented(story, whole)
        assert rows_of(story, detail=True)
        story_view(story, 80)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=12, unique=True))
def test_a_few_events_are_enough_for_a_story(few: list[int]) -> None:
    """Nearly all is lost: what is left is told, and what is not heard is said."""
    events = [two_node_call()[place] for place in few]
    whole = whole_story()
    for leg in sorted({event.unique_id or "" for event in events if event.name.startswith("CHANNEL_")}):
        found = trace_of(leg, events).calls
        assert len(found) == 1
        assert_nothing_invented(found[0], whole)
        unheard = {leg.id for leg in found[0].legs if not (leg.begin_heard and leg.end_heard)}
        assert unheard <= {missing.leg for missing in found[0].missing}


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_recording_with_holes_can_be_traced_by_any_key(data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(RECORDED), max_size=300))
    key = data.draw(st.sampled_from(["1000", "1001", "9196", "3001", RECORDED[0].unique_id or ""]))
    for story in trace_of(key, kept).calls:
        assert story.began <= story.ended
        json.dumps(story.to_dict())
        story_view(story, 100, detail=True)


NAMES = {name for event in two_node_call() for name in event if not name.startswith("variable_s")}
HEADERS = st.sampled_from(sorted(NAMES))
ODD = st.one_of(st.text(max_size=40), st.sampled_from(["0", "-1", "9" * 30, "ARRAY::a|:b", "1:2:bl_xfer:", "::::"]))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, COUNT - 1), HEADERS, ODD), max_size=12))
def test_strange_values_are_only_strange(changes: list[tuple[int, str, str]]) -> None:
    """Anyone can send events: whatever they hold, there is a story or there is none."""
    events = list(two_node_call())
    for place, name, value in changes:
        try:
            headers = [(each, value if each == name else old) for each, old in events[place].items()]
            events[place] = Event.from_headers(headers).with_origin(events[place].source, events[place].received)
        except ValueError:
            continue
    for story in trace_of("1001", events).calls:
        json.dumps(story.to_dict())
        story_view(story, 60, detail=True)


@pytest.mark.parametrize("key", ["", " ", "no such", "0000", "\x00", "x" * 5000, "+", "@", "ARRAY::"])
def test_keys_that_match_nothing(key: str) -> None:
    assert trace_of(key, recorded_events()[:200]).calls == ()
