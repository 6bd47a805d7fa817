"""What a node keeps of its counters' past: rates, and what has grown lately."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.app.status import RATE_SECONDS, RECENT_SECONDS, History, NodeRow, make_status

NODE: NodeRow = {"name": "fs1", "version": "", "pid": 1, "phase": "running", "uptime": 1.0, "configuration": ""}


def test_rates_and_what_is_recent() -> None:
    history = History()

    def counters(received: int, dropped: int) -> dict[str, dict[str, dict[str, int]]]:
        return {
            "sources": {"group": {"received": received}},
            "sinks": {"archive": {"sent": received, "dropped_overflow": dropped, "queued": received % 7}},
        }

    history.note(0.0, counters(0, 0))
    for second in range(5, 405, 5):
        history.note(float(second), counters(100 * second, 9 if second >= 50 else 0))
    status = make_status(NODE, counters(40_250, 9), {}, history, 402.5)
    (group,), (archive,) = status["sources"], status["sinks"]
    assert group["rate"] == pytest.approx(100.0)
    assert group["recent"] == {"received": 30_250}
    assert archive["recent"] == {"sent": 30_250}, "a drop six minutes ago is long ago, and a queue is none"
    assert make_status(NODE, counters(40_250, 11), {}, history, 402.5)["sinks"][0]["recent"]["dropped_overflow"] == 2


def test_what_begins_later_began_with_nothing() -> None:
    history = History()
    history.note(0.0, {"sources": {}})
    status = make_status(NODE, {"sources": {"new": {"received": 50}}}, {}, history, 10.0)
    assert (status["sources"][0]["rate"], status["sources"][0]["recent"]) == (5.0, {"received": 50})


def test_a_counter_that_begins_anew_counts_from_there() -> None:
    history = History()
    history.note(0.0, {"sources": {"group": {"received": 1000}}})
    assert history.grown("sources", "group", {"received": 7}, 20.0, 10.0) == (20.0, {"received": 7})


@PROPERTY
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(0, 50)), max_size=60),
    seconds=st.sampled_from([RATE_SECONDS, RECENT_SECONDS]),
)
def test_what_is_recent_is_what_came_since_a_time_that_was_asked_for(
    steps: list[tuple[float, int]], seconds: float
) -> None:
    history, now, total = History(), 0.0, 0
    past = [(0.0, 0)]
    history.note(0.0, {"sources": {"group": {"received": 0}}})
    for passed, more in steps:
        now += passed
        total += more
        past.append((now, total))
        history.note(now, {"sources": {"group": {"received": total}}})
        looked_back, grown = history.grown("sources", "group", {"received": total}, now, seconds)
        assert looked_back >= min(seconds, now) - 1e-6, "never less than was asked for, where there is so much"
        counts = {count for time, count in past if abs(time - (now - looked_back)) < 1e-6}
        assert total - grown.get("received", 0) in counts, "reckoned from what was at that time"
    assert len(history) <= RECENT_SECONDS / 5 + 3


def test_a_history_is_not_changed_by_what_it_was_given() -> None:
    history, counters = History(), {"sources": {"group": {"received": 1000}}}
    history.note(0.0, counters)
    counters["sources"]["group"]["received"] += 10
    assert history.grown("sources", "group", counters["sources"]["group"], 1.0, 10.0) == (1.0, {"received": 10})
