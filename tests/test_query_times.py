"""Points in time as people write them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import pytest
from archiving import DAY, NOON, SECOND
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.archive.times import parse_time


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_days_begin_by_this_hosts_clock(zone: str) -> None:
    for word, days in (("today", 0), ("yesterday", 1)):
        begun = parse_time(word, NOON)
        assert time.localtime(begun // SECOND)[3:6] == (0, 0, 0), zone
        day, now = time.localtime(begun // SECOND), time.localtime(NOON // SECOND)
        assert dt.date(*now[:3]) - dt.date(*day[:3]) == dt.timedelta(days=days)


def test_lengths_of_time_are_counted_back() -> None:
    assert parse_time("now", NOON) == NOON
    assert parse_time("2h", NOON) == parse_time("-2h", NOON) == parse_time(" -120 m ", NOON) == NOON - 7_200 * SECOND
    assert parse_time("-36500d", SECOND) == 0


@PROPERTY
@given(st.integers(0, 4_000 * DAY), st.sampled_from(["us", "ms", "s"]), st.integers(-14 * 60, 14 * 60))
def test_any_moment_written_out_is_that_moment(moment: int, unit: str, offset: int) -> None:
    step = {"us": 10**3, "ms": 10**6, "s": 10**9}[unit]
    moment = 15_000 * DAY + moment // step * step
    there = dt.timezone(dt.timedelta(minutes=offset))
    written = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=moment // 1_000)
    assert parse_time(written.astimezone(there).isoformat(), NOON) == moment
    assert parse_time(written.isoformat().replace("+00:00", "Z").replace("T", " "), NOON) == moment


@PROPERTY
@example("0001-01-01T00:00+14:00")
@example("9999-12-31T23:59-14:00")
@example("yesteryear")
@example("-")
@example("99999999999d")
@given(st.text(max_size=12) | st.from_regex(r"\A-?[0-9]{1,5} ?[a-z:.+T-]{0,4}[0-9:Z+-]{0,8}\Z"))
def test_whatever_is_written_is_a_moment_or_a_sentence(text: str) -> None:
    said = ""
    try:
        moment = parse_time(text, NOON)
    except ValueError as error:
        moment, said = 0, str(error)
    assert moment >= 0
    assert not said or any(word in said for word in ("write", "before 1970", "further", "length of time"))
