"""Which events bindings and conditions let through, on recorded events, and what a mistake in them is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY, bodies, header_lists

from switchcast import EVENT_NAMES, LIMITS, Event, Matcher, StockFrames
from switchcast.errors import BindingError, ConditionError, SwitchcastError, UsageError


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    """Every event of the plain recording."""
    frames = StockFrames()
    return [frames.open(datagram) for _, datagram in plain_datagrams]


HEARTBEAT = Event("HEARTBEAT", {"Up-Time": "5", "Multicast-Sender": "fs1"})
REGISTER = Event("CUSTOM", {"Event-Subclass": "sofia::register", "Multicast-Sender": "fs2"})
BARE_CUSTOM = Event("CUSTOM", {"X": "1"})


def is_custom(event: Event, *subclasses: str) -> bool:
    """Whether this is a CUSTOM event of these subclasses, or of none: bindings take the latter with any CUSTOM."""
    return event.name == "CUSTOM" and event.subclass in {*subclasses, None}


# Bindings


@pytest.mark.parametrize(
    ("bindings", "lets_through"),
    [
        ("all", lambda _: True),
        ("ALL", lambda _: True),
        ("HEARTBEAT", lambda event: event.name == "HEARTBEAT"),
        ("heartbeat", lambda event: event.name == "HEARTBEAT"),
        ("HEARTBEAT MESSAGE_WAITING", lambda event: event.name in {"HEARTBEAT", "MESSAGE_WAITING"}),
        ("HEARTBEAT,MESSAGE_WAITING", lambda event: event.name in {"HEARTBEAT", "MESSAGE_WAITING"}),
        ("  HEARTBEAT ,\t MESSAGE_WAITING \n", lambda event: event.name in {"HEARTBEAT", "MESSAGE_WAITING"}),
        ("CUSTOM sofia::register", lambda event: is_custom(event, "sofia::register")),
        (
            "HEARTBEAT CUSTOM sofia::register conference::maintenance",
            lambda event: event.name == "HEARTBEAT" or is_custom(event, "sofia::register", "conference::maintenance"),
        ),
        ("CUSTOM sofia::register HEARTBEAT", lambda event: is_custom(event, "sofia::register")),
        ("CUSTOM", is_custom),
        ("HEARTBEAT all", lambda _: True),
    ],
)
def test_bindings_let_through_what_they_name(
    bindings: str, lets_through: Callable[[Event], bool], recorded: list[Event]
) -> None:
    matcher = Matcher(bindings)
    expected = [event for event in recorded if lets_through(event)]
    assert matcher.select(recorded) == expected
    assert [event for event in recorded if matcher.matches(event)] == expected
    assert matcher.errors == 0


def test_every_event_name_can_be_bound(recorded: list[Event]) -> None:
    for name in EVENT_NAMES:
        matcher = Matcher(name)
        expected = recorded if name == "ALL" else [event for event in recorded if event.name == name]
        if name != "CUSTOM":
            assert matcher.select(recorded) == expected
            assert matcher.warnings == []


def test_custom_alone_takes_events_without_a_subclass_and_warns() -> None:
    """As the switch's event socket takes it: a subclass has to be named to be sent."""
    matcher = Matcher("CUSTOM")
    assert matcher.matches(BARE_CUSTOM)
    assert not matcher.matches(REGISTER)
    [warning] = matcher.warnings
    assert "CUSTOM" in warning
    assert "subclass" in warning


def test_custom_with_a_subclass_takes_that_subclass_and_events_without_one() -> None:
    matcher = Matcher("CUSTOM sofia::register")
    assert matcher.matches(REGISTER)
    assert matcher.matches(BARE_CUSTOM)
    assert not matcher.matches(HEARTBEAT)
    assert not matcher.matches(Event("CUSTOM", {"Event-Subclass": "sofia::register_attempt"}))
    assert not matcher.matches(Event("HEARTBEAT", {"Event-Subclass": "sofia::register"}))
    assert matcher.warnings == []


def test_a_subclass_of_any_characters_is_bound(recorded: list[Event]) -> None:
    """But for a space, which separates words: a condition takes those."""
    event = Event("CUSTOM", {"Event-Subclass": "é::100%"})
    assert event.raw("Event-Subclass") == b"%C3%A9%3A%3A100%25"
    assert Matcher("CUSTOM é::100%").matches(event)
    assert not Matcher("CUSTOM é::100").matches(event)
    selected = Matcher("CUSTOM test::body-utf8").select(recorded)
    assert [event.subclass for event in selected] == ["test::body-utf8", None, None, None]
    [spaced] = Matcher(where='subclass == "weird sub:class %/ü"').select(recorded)
    assert spaced.subclass == "weird sub:class %/ü"


def test_an_event_without_a_name_matches_all_alone() -> None:
    event = Event.from_plain(b"A: b\n\n")
    assert Matcher("all").matches(event)
    assert not Matcher(" ".join(name for name in EVENT_NAMES if name != "ALL")).matches(event)


def test_the_first_of_two_names_counts() -> None:
    event = Event.from_headers([("A", "b"), ("event-name", "HEARTBEAT"), ("Event-Name", "LOG")])
    assert Matcher("HEARTBEAT").matches(event)
    assert not Matcher("LOG").matches(event)


def test_a_name_in_the_body_does_not_count() -> None:
    event = Event.from_headers([("A", "b")], b"Event-Name: HEARTBEAT\nEvent-Subclass: sofia::register\n\n")
    assert not Matcher("HEARTBEAT CUSTOM sofia::register").matches(event)


def test_bindings_are_shown_as_event_plain_takes_them() -> None:
    assert Matcher().bindings == Matcher("all").bindings == Matcher("ALL HEARTBEAT").bindings
    assert Matcher().bindings.lower() == "all"
    shown = Matcher("heartbeat, message_waiting CUSTOM sofia::register").bindings
    assert shown.split() == ["HEARTBEAT", "MESSAGE_WAITING", "CUSTOM", "sofia::register"]
    assert Matcher(shown).bindings == shown


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("HARTBEAT", "HEARTBEAT"),
        ("heartbeats", "HEARTBEAT"),
        ("MESAGE_WAITING", "MESSAGE_WAITING"),
        ("CHANEL_CREATE", "CHANNEL_CREATE"),
        ("PRESENCE", "PRESENCE_IN"),
    ],
)
def test_an_unknown_name_is_a_warning_that_names_the_nearest(word: str, nearest: str) -> None:
    matcher = Matcher(f"DTMF {word}")
    [warning] = matcher.warnings
    assert word in warning
    assert nearest in warning
    assert matcher.matches(Event("DTMF"))


def test_a_subclass_without_custom_in_front_is_a_warning_that_says_so() -> None:
    matcher = Matcher("HEARTBEAT sofia::register")
    [warning] = matcher.warnings
    assert "sofia::register" in warning
    assert "CUSTOM" in warning


@pytest.mark.parametrize("bindings", ["", " ", ",", " ,\t\n"])
def test_bindings_that_select_nothing_are_an_error(bindings: str) -> None:
    with pytest.raises(BindingError):
        Matcher(bindings)


# Conditions


@pytest.mark.parametrize(
    ("where", "lets_through"),
    [
        ('name == "HEARTBEAT"', lambda event: event.name == "HEARTBEAT"),
        ('name != "HEARTBEAT"', lambda event: event.name != "HEARTBEAT"),
        ('subclass == "sofia::register"', lambda event: event.subclass == "sofia::register"),
        ('subclass == ""', lambda event: event.subclass is None),
        ('subclass.startsWith("sofia::")', lambda event: (event.subclass or "").startswith("sofia::")),
        ('name in ["DTMF", "TRAP"]', lambda event: event.name in {"DTMF", "TRAP"}),
        ('name == "DTMF" || name == "TRAP"', lambda event: event.name in {"DTMF", "TRAP"}),
        ('name.startsWith("CHANNEL_") && name.endsWith("_COMPLETE")', lambda event: event.name[-9:] == "_COMPLETE"),
        ('sender == "vm"', lambda _: True),
        ("sender != node", lambda _: True),
        ('node == "fs1"', lambda _: True),
        ('h["Event-Name"] == name', lambda _: True),
        ('h["event-name"] == "DTMF"', lambda event: event.name == "DTMF"),
        ('h["X-Dup"] == "1"', lambda event: event.get("X-Dup") == "1"),
        ('h["No-Such-Header"] == ""', lambda _: True),
        ('h["No-Such-Header"] != ""', lambda _: False),
        ('h["X-Undef"] == "" && h["X-Synthetic"] != ""', lambda event: "X-Synthetic" in event),
        ('h["variable_nolocal:foo"] == "bar baz"', lambda event: "variable_nolocal:foo" in event),
        ('h["MWI-Messages-Waiting"] == "yes"', lambda event: event.get("MWI-Messages-Waiting") == "yes"),
        (
            'h["presence-call-direction"].contains("bound")',
            lambda event: "bound" in event.get("Presence-Call-Direction", ""),
        ),
        ('int(h["Event-Sequence"]) < 500', lambda event: (event.sequence or 0) < 500),
        ('size(h["Event-Subclass"]) > 20', lambda event: len(event.subclass or "") > 20),
        ("true", lambda _: True),
        ("false", lambda _: False),
    ],
)
def test_a_condition_lets_through_what_it_says(
    where: str, lets_through: Callable[[Event], bool], recorded: list[Event]
) -> None:
    matcher = Matcher(where=where, node="fs1")
    expected = [event for event in recorded if lets_through(event)]
    assert matcher.select(recorded) == expected
    assert [event for event in recorded if matcher.matches(event)] == expected
    assert matcher.errors == 0
    assert matcher.where == where


def test_bindings_and_condition_must_both_match(recorded: list[Event]) -> None:
    matcher = Matcher("CUSTOM sofia::register conference::maintenance", 'subclass.startsWith("conf")')
    assert matcher.select(recorded) == [event for event in recorded if event.subclass == "conference::maintenance"]


def test_the_condition_is_not_asked_of_what_the_bindings_refuse() -> None:
    matcher = Matcher("DTMF", 'int(h["Up-Time"]) > 0')
    assert not matcher.matches(Event("HEARTBEAT", {"Up-Time": "not a number"}))
    assert matcher.errors == 0


def test_a_condition_that_fails_on_an_event_does_not_match_and_is_counted() -> None:
    matcher = Matcher(where='int(h["Up-Time"]) > 3')
    events = [HEARTBEAT, Event("HEARTBEAT", {"Up-Time": "five"}), Event("HEARTBEAT")]
    assert matcher.select(events) == [HEARTBEAT]
    assert matcher.errors == 2
    assert not matcher.matches(events[1])
    assert matcher.errors == 3


def test_nothing_but_what_is_asked_for_is_decoded() -> None:
    """Other headers may hold broken escapes, bytes that are not UTF-8, arrays at their limit: they do not matter."""
    odd = Event.from_plain(
        b"Event-Name: DTMF\nA: %zz%\nB: \xff\xfe\nC\xff: %E9\nD: ARRAY%3A%3A" + b"|:" * 3999 + b"\nDTMF-Digit: 5\n\n"
    )
    matcher = Matcher("DTMF", 'h["DTMF-Digit"] == "5"')
    assert matcher.matches(odd)
    assert matcher.select([odd] * 3) == [odd] * 3
    assert matcher.errors == 0


def test_a_value_that_is_not_utf8_is_compared_without_an_error() -> None:
    matcher = Matcher(where='h["A"].startsWith("caf")')
    assert matcher.matches(Event.from_plain(b"Event-Name: X\nA: caf%E9\n\n"))
    assert matcher.errors == 0


def test_selected_events_are_the_very_ones_that_were_given() -> None:
    events = [HEARTBEAT, REGISTER, BARE_CUSTOM, HEARTBEAT]
    selected = Matcher("HEARTBEAT").select(events)
    assert len(selected) == 2
    assert all(event is HEARTBEAT for event in selected)
    assert Matcher().select(tuple(events)) == events
    assert Matcher().select([]) == []


@pytest.mark.parametrize(
    ("where", "column", "says"),
    [
        ("name ==", 8, ""),
        ('name = "X"', 6, ""),
        ("name == 'X", 9, ""),
        ('name == "X" &&', 15, ""),
        ('(name == "X"', 13, ""),
        ('nme == "X"', 1, "nme"),
        ('name == "X" || sbclass == "Y"', 16, "sbclass"),
        ('name.strtsWith("X")', None, "strtsWith"),
        ('h["Up-Time"]', None, "true or false"),
        ('"yes"', None, "true or false"),
        ("", None, ""),
        ("   ", None, ""),
    ],
)
def test_a_condition_that_does_not_compile_points_at_its_column(where: str, column: int | None, says: str) -> None:
    with pytest.raises(ConditionError) as refused:
        Matcher(where=where)
    if column is not None:
        assert refused.value.column == column
        assert f"column {column}" in str(refused.value)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_mistakes_are_usage_errors_and_survive_pickle() -> None:
    with pytest.raises(ConditionError) as refused:
        Matcher(where="name ==")
    assert isinstance(refused.value, UsageError)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (str(again), again.column) == (str(refused.value), refused.value.column)


def test_a_matcher_is_shown_with_what_it_matches() -> None:
    assert "HEARTBEAT" in repr(Matcher("HEARTBEAT", 'sender != "fs1"'))


# Anything at all


@PROPERTY
@given(header_lists(), bodies())
def test_any_event_is_matched_by_all_and_by_its_own_name(headers: list[tuple[str, str]], body: bytes) -> None:
    event = Event.from_headers(headers, body)
    assert Matcher().matches(event)
    for name in ["HEARTBEAT", "DTMF"]:
        assert Matcher(name).matches(event) == (event.name == name)
    assert Matcher("CUSTOM a::b").matches(event) == is_custom(event, "a::b")


def encodings(text: str) -> st.SearchStrategy[bytes]:
    """Every way to write ``text`` on the wire: each byte as it is or as an escape, in hex of either case."""
    ways = [st.sampled_from([bytes([byte]), b"%%%02X" % byte, b"%%%02x" % byte]) for byte in text.encode()]
    return st.tuples(*ways).map(b"".join)


@PROPERTY
@given(encodings("HEARTBEAT"))
def test_a_name_matches_however_it_is_encoded(raw: bytes) -> None:
    event = Event.from_plain(b"Event-Name: " + raw + b"\n\n")
    assert event.name == "HEARTBEAT"
    assert Matcher("HEARTBEAT").matches(event)
    assert Matcher(where='name == "HEARTBEAT"').matches(event)


@PROPERTY
@given(encodings("CUSTOM"), encodings("a::é_b%"))
def test_a_subclass_matches_however_it_is_encoded(name: bytes, subclass: bytes) -> None:
    event = Event.from_plain(b"Event-Subclass: " + subclass + b"\nEvent-Name: " + name + b"\n\n")
    assert (event.name, event.subclass) == ("CUSTOM", "a::é_b%")
    assert Matcher("CUSTOM a::é_b%").matches(event)
    assert not Matcher("CUSTOM a::é_b").matches(event)


@PROPERTY
@given(header_lists(), st.sampled_from(["Event-Name", "x[4000]", "%41", "a: b", "with space"]))
def test_a_condition_sees_the_value_that_python_sees(headers: list[tuple[str, str]], name: str) -> None:
    event = Event.from_headers(headers)
    matcher = Matcher(
        where=f'h["{name}"] == h["{name.lower()}"] && (h["{name}"] == "") == {str(not event.get(name)).lower()}'
    )
    assert matcher.matches(event)


@PROPERTY
@given(st.text(max_size=40))
def test_any_bindings_and_condition_are_taken_or_refused_by_name(text: str) -> None:
    builds: list[Callable[[], Matcher]] = [lambda: Matcher(text), lambda: Matcher(where=text)]
    for build in builds:
        try:
            matcher = build()
        except (BindingError, ConditionError) as refused:
            message = str(refused)
        else:
            assert matcher.matches(HEARTBEAT) in {True, False}
            message = " ".join(matcher.warnings) or "taken"
        assert message


@pytest.mark.parametrize(
    ("limit", "build"),
    [
        ("bindings_bytes", lambda most: Matcher("DTMF ".ljust(most))),
        ("binding_words", lambda most: Matcher("DTMF " * most)),
        ("binding_word_bytes", lambda most: Matcher("CUSTOM " + "s" * most)),
        ("condition_bytes", lambda most: Matcher(where='name == "X"'.ljust(most))),
        ("pattern_bytes", lambda most: Matcher(where=f'name.matches("{"a" * most}")')),
        ("condition_additions", lambda most: Matcher(where='name == ""' + ' + "x"' * most)),
    ],
)
def test_the_limits_on_bindings_and_conditions_are_where_they_say(limit: str, build: Callable[[int], Matcher]) -> None:
    most = LIMITS[limit]
    assert not build(most).matches(HEARTBEAT)
    with pytest.raises(UsageError, match=str(most)) as refused:
        build(most + 1)
    assert isinstance(refused.value, SwitchcastError)


HUNDREDS = "[" + ",".join("0" for _ in range(500)) + "]"


@pytest.mark.parametrize(
    "where",
    [
        "(" * 1000 + "true" + ")" * 1000,
        "[" * 2000,
        'name.matches("(a{999}){999}")',
        f"{HUNDREDS}.all(a, {HUNDREDS}.all(b, true))",
    ],
)
def test_a_condition_that_would_cost_too_much_is_refused(where: str) -> None:
    with pytest.raises(ConditionError) as refused:
        Matcher(where=where)
    assert len(str(refused.value)) < 300
