"""How often a rule may fire: each limit held against a model that is plain to see through. Time is an argument."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast.rules.limits import KEY_LENGTH, ONCE_KEYS, WAIT_KEYS, Debounce, OncePer, TokenBucket, short_key

TICKS = st.lists(st.integers(0, 40), min_size=1, max_size=80)
"""Steps of time in eighths of a second: exact as floats."""
KEYED = st.lists(st.tuples(st.integers(0, 24), st.sampled_from("abcdef")), max_size=80)
"""A step of time in eighths of a second, and the key that comes after it."""


# The rate


@PROPERTY
@given(steps=TICKS, count=st.sampled_from([1, 2, 4, 8]), per=st.sampled_from([1, 2, 8]), burst=st.integers(1, 10))
def test_a_bucket_gives_what_a_bucket_that_is_filled_drop_by_drop_would(
    steps: list[int], count: int, per: int, burst: int
) -> None:
    bucket, tokens, now = TokenBucket(count, float(per), burst), Fraction(burst), Fraction(0)
    for step in steps:
        now += Fraction(step, 8)
        tokens = min(Fraction(burst), tokens + Fraction(step, 8) * count / per)
        free_in = bucket.free_in(float(now))
        assert free_in == pytest.approx(float(max(Fraction(0), (1 - tokens) * per / count)), abs=1e-6)
        assert bucket.take(float(now)) is (tokens >= 1)
        if tokens >= 1:
            tokens -= 1


def test_a_bucket_holds_its_count_by_default_and_is_full_at_first() -> None:
    bucket = TokenBucket(3, 1.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.free_in(0.0) == pytest.approx(1 / 3)
    assert bucket.take(1000.0)
    assert [bucket.take(1000.0) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("count", [3, 7, 10, 100, 997])
def test_rounding_takes_no_token_away(count: int) -> None:
    bucket = TokenBucket(count, 60.0)
    for minute in (0.1, 1e5 + 0.7, 1.7e9 + 0.3):  # as times on a wall clock too
        assert sum(bucket.take(minute) for _ in range(count + 1)) == count


def test_a_clock_that_goes_back_gives_no_tokens() -> None:
    bucket = TokenBucket(1, 1.0)
    assert bucket.take(100.0)
    assert not bucket.take(50.0)
    assert not bucket.take(100.5)
    assert bucket.take(101.0)


# Once for each key


@PROPERTY
@given(steps=KEYED, interval=st.integers(1, 20))
def test_a_key_fires_once_in_an_interval(steps: list[tuple[int, str]], interval: int) -> None:
    once, fired, now = OncePer(interval / 8), dict[str, int](), 0
    for step, key in steps:
        now += step
        before = fired.get(key)
        expected = before / 8 if before is not None and now - before < interval else None
        assert once.fired_at(key, now / 8) == expected
        if expected is None:
            once.mark(key, now / 8)
            fired[key] = now
    assert once.evicted == 0
    assert len(once) <= len(fired)


def test_past_its_bound_the_oldest_key_is_forgotten_and_counted() -> None:
    once = OncePer(3600.0, keys=3)
    for at, key in enumerate("abcd"):
        once.mark(key, float(at))
    assert (len(once), once.evicted) == (3, 1)
    assert once.fired_at("a", 4.0) is None
    assert [once.fired_at(key, 4.0) for key in "bcd"] == [1.0, 2.0, 3.0]


def test_keys_whose_interval_is_over_make_room_and_are_not_counted() -> None:
    once = OncePer(10.0, keys=3)
    for at, key in enumerate("abcdefgh"):
        once.mark(key, at * 5.0)
    assert len(once) <= 3
    assert once.evicted == 0


def test_a_key_that_fires_again_is_the_youngest() -> None:
    once = OncePer(10.0, keys=2)
    once.mark("a", 0.0)
    once.mark("b", 5.0)
    once.mark("a", 10.0)
    once.mark("c", 12.0)
    assert once.fired_at("a", 12.0) == 10.0
    assert once.fired_at("b", 12.0) is None


def test_the_bounds_that_are_documented_hold() -> None:
    once, wait = OncePer(1e9), Debounce[int](1e9)
    for number in range(ONCE_KEYS + 10):
        once.mark(str(number), 0.0)
    for number in range(WAIT_KEYS + 10):
        wait.put(str(number), number, 0.0)
    assert (len(once), once.evicted) == (ONCE_KEYS, 10)
    assert (len(wait), wait.early) == (WAIT_KEYS, 10)


# Debounce


@PROPERTY
@given(steps=KEYED, quiet=st.integers(1, 20))
def test_the_last_of_each_key_comes_when_it_has_been_quiet(steps: list[tuple[int, str]], quiet: int) -> None:
    wait, now, given_back = Debounce[int](quiet / 8), 0, []
    times: list[tuple[int, str, int]] = []
    for number, (step, key) in enumerate(steps):
        now += step
        times.append((now, key, number))
        given_back += wait.due(now / 8)
        assert wait.put(key, number, now / 8) is None
    assert (wait.next_due() is None) is (not steps)
    given_back += wait.due(float("inf"))

    def next_of(key: str, after: int) -> float:
        return next((at for at, other, number in times if other == key and number > after), float("inf"))

    expected = [((at + quiet) / 8, key, number) for at, key, number in times if next_of(key, number) >= at + quiet]
    assert sorted(given_back) == sorted(expected)
    assert [at for at, _, _ in given_back] == sorted(at for at, _, _ in given_back)
    assert (len(wait), wait.next_due(), wait.early) == (0, None, 0)


def test_past_its_bound_the_oldest_is_let_go_early_and_counted() -> None:
    wait = Debounce[str](10.0, keys=2)
    assert wait.put("a", "A", 0.0) is None
    assert wait.put("b", "B", 1.0) is None
    assert wait.put("a", "A2", 2.0) is None
    assert wait.put("c", "C", 3.0) == ("b", "B")
    assert ("a" in wait, "b" in wait, wait.early) == (True, False, 1)
    assert wait.due(100.0) == [(12.0, "a", "A2"), (13.0, "c", "C")]


# Keys


@PROPERTY
@given(key=st.text(max_size=3 * KEY_LENGTH))
def test_a_key_is_bounded_and_a_short_one_is_itself(key: str) -> None:
    assert len(short_key(key)) <= KEY_LENGTH
    if len(key) <= KEY_LENGTH:
        assert short_key(key) == key


def test_long_keys_that_begin_alike_stay_apart() -> None:
    one, other = "a" * 1000 + "1", "a" * 1000 + "2"
    assert short_key(one) != short_key(other)
    assert short_key(one).startswith("a" * 200)
    assert short_key("\udc80" * 300) == short_key("\udc80" * 300)
