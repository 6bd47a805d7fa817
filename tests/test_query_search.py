"""Searching: by times, terms and conditions, each answer compared with a plain loop over the events."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from archiving import NOON, SECOND, numbered, write
from hypothesis import given, settings
from hypothesis import strategies as st
from querying import archived, found, looped, recorded, search, simulated
from strategies import PROPERTY

from switchcast._native import Event, Matcher
from switchcast.archive.columns import COLUMNS, USUAL, clean, columns_of, headers_of
from switchcast.archive.query import Search, Selection, kinds_of
from switchcast.archive.reading import ArchiveReader, Stored
from switchcast.archive.segment import open_writing, segment_path
from switchcast.archive.terms import Term, terms_of
from switchcast.errors import UsageError

Archived = tuple[Path, list[Event]]


@pytest.fixture(scope="module", params=["recorded", "simulated"])
def archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plain_datagrams: list[tuple[int, bytes]]
) -> Archived:
    events = recorded(plain_datagrams) if request.param == "recorded" else simulated(20)
    return archived(tmp_path_factory.mktemp("query") / "archive", events), events


def number_term(event: Event) -> str:
    return event.get("Caller-Destination-Number") or ""


def test_all(archive: Archived) -> None:
    directory, events = archive
    assert found(directory) == events
    assert found(directory, newest_first=True) == events[::-1]


def test_by_every_number_that_is_called(archive: Archived) -> None:
    directory, events = archive
    numbers = {number for event in events if (number := number_term(event))}
    assert len(numbers) > 3
    for number in sorted(numbers)[:6]:
        term = Term.number(number)
        expected = looped(events, lambda event, term=term: term in terms_of(event))  # type: ignore[misc]
        assert found(directory, groups=(frozenset({term}),)) == expected
        assert expected


def test_groups_all_hold_and_one_term_of_each(archive: Archived) -> None:
    directory, events = archive
    calls = sorted({call for event in events if (call := event.get("Channel-Call-UUID"))})[:3]
    either = frozenset(term for call in calls for term in (Term.uuid(call), Term.call_id(call)))
    numbers = frozenset(Term.number(number_term(event)) for event in events[len(events) // 2 :] if number_term(event))
    assert len(numbers) > 1
    expected = looped(events, lambda event: bool(terms_of(event) & either) and bool(terms_of(event) & numbers))
    assert found(directory, groups=(either, numbers)) == expected
    assert found(directory, groups=(numbers, either)) == expected


@pytest.mark.parametrize(
    "bindings", ["all", "HEARTBEAT", "CUSTOM", "CHANNEL_ANSWER CHANNEL_HANGUP", "HEARTBEAT CUSTOM sofia::register"]
)
@pytest.mark.parametrize("where", [None, 'h["Event-Calling-Line-Number"] > "5"', 'name == "HEARTBEAT"'])
def test_by_a_matcher(archive: Archived, bindings: str, where: str | None) -> None:
    directory, events = archive
    matcher = Matcher(bindings, where)
    assert found(directory, matcher=matcher) == looped(events, matcher.matches)


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_by_times(archive: Archived, data: st.DataObject) -> None:
    directory, events = archive
    times = [event.received or 0 for event in events]
    moment = st.sampled_from(times) | st.integers(min(times) - SECOND, max(times) + SECOND)
    since, until, newest = data.draw(moment), data.draw(moment), data.draw(st.booleans())
    expected = looped(events, lambda event: since <= (event.received or 0) < until)
    assert found(directory, since=since, until=until, newest_first=newest) == (expected[::-1] if newest else expected)


def test_few_blocks_are_read_for_one_call(archive: Archived) -> None:
    directory, events = archive
    call = next(call for event in events if (call := event.get("Channel-Call-UUID")))
    narrow = search(directory, groups=(frozenset({Term.uuid(call)}),))
    assert list(narrow.batches())
    assert narrow.read < len(events)


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        ("all", set()),
        ("ALL", set()),
        ("CUSTOM", {"custom"}),
        ("HEARTBEAT CUSTOM", {"heartbeat", "custom"}),
        ("HEARTBEAT DTMF", {"heartbeat", "dtmf"}),
        ("HEARTBEAT CUSTOM sofia::register a::b", {"heartbeat", "custom", "sofia::register", "a::b"}),
    ],
)
def test_kinds_that_bindings_name(bindings: str, expected: set[str]) -> None:
    assert {term.value for term in kinds_of(Matcher(bindings))} == expected
    assert kinds_of(None) == frozenset()


def test_what_is_damaged_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(number) for number in range(600)])
    name = ArchiveReader(tmp_path / "a").segments()[0]
    db = open_writing(segment_path(tmp_path / "a", name))
    db.execute("UPDATE bodies SET data = x'00' WHERE first = 256")
    db.close()
    damaged = search(tmp_path / "a")
    assert sum(map(len, damaged.batches())) == 600 - 256
    assert damaged.reader.damaged == 1


@pytest.mark.parametrize("newest_first", [False, True])
def test_how_far_along(tmp_path: Path, newest_first: bool) -> None:
    write(tmp_path / "a", [numbered(number, NOON + number * SECOND) for number in range(1_024)])
    shares: list[float] = []
    watched = Search(
        ArchiveReader(tmp_path / "a"),
        Selection(until=NOON + 2_000 * SECOND, newest_first=newest_first),
        lambda: shares.append(watched.share()),
    )
    assert watched.share() == 0.0
    assert (sum(map(len, watched.batches())), watched.read, watched.found) == (1_024, 1_024, 1_024)
    assert len(shares) == 4
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.3
    assert 0.7 < shares[-1] <= 1.0


def test_an_archive_that_is_removed_meanwhile_is_told_of(tmp_path: Path) -> None:
    write(tmp_path / "a", [numbered(number) for number in range(10)])
    gone = search(tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(Exception, match="no such directory"):
        list(gone.batches())


def stored(event: Event) -> Stored:
    return Stored(event, NOON, "2026-11-01-0000/000000000000")


def test_columns() -> None:
    event = Event(
        "CUSTOM",
        {
            "Event-Subclass": "a::b",
            "FreeSWITCH-Hostname": "host",
            "FreeSWITCH-Switchname": "fs1",
            "Unique-ID": "leg",
            "Channel-Call-UUID": "call",
            "Caller-Caller-ID-Number": "1001",
            "Caller-Destination-Number": "1002",
            "Channel-Call-State": "HANGUP",
            "Hangup-Cause": "NORMAL_CLEARING",
        },
        b"caf\xe9",
    ).with_origin("192.0.2.1:4242", NOON)
    values = {column.name: column.value(stored(event)) for column in COLUMNS}
    assert values.pop("headers") == dict(event.items())
    assert values == {
        "position": "2026-11-01-0000/000000000000",
        "time": NOON,
        "node": "fs1",
        "name": "CUSTOM",
        "subclass": "a::b",
        "unique_id": "leg",
        "call": "call",
        "from_number": "1001",
        "to_number": "1002",
        "state": "HANGUP",
        "cause": "NORMAL_CLEARING",
        "source": "192.0.2.1:4242",
        "trust": "local",
        "body": "caf\ufffd",
    }
    assert set(USUAL) < set(values)


def test_a_column_is_ours_or_a_header() -> None:
    columns = columns_of(["name", "Name", "hangup-cause", "none"])
    event = Event("DTMF", {"Name": "of a header", "Hangup-Cause": "caf\udce9"})
    assert [column.value(stored(event)) for column in columns] == ["DTMF", "of a header", "caf\ufffd", None]
    with pytest.raises(UsageError, match="no column is named"):
        columns_of([])
    with pytest.raises(UsageError, match="'a' is named twice"):
        columns_of(["a", "b", "a"])


@PROPERTY
@given(st.text(st.characters()), st.binary(max_size=8))
def test_text_is_unicode(text: str, raw: bytes) -> None:
    mixed = text.encode("utf-8", "surrogateescape" if not any("\ud800" <= c <= "\udfff" for c in text) else "replace")
    taken = clean((mixed + raw).decode("utf-8", "surrogateescape"))
    assert taken == (mixed + raw).decode("utf-8", "replace")


def test_of_a_repeated_header_the_first_counts() -> None:
    event = Event.from_headers([("A", "1"), ("B", "2"), ("A", "3")])
    assert headers_of(event) == {"A": "1", "B": "2"}
