"""Duplicates: never one that is new, always one that is remembered, and memory that a stranger cannot fill."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from parts import CORES, fired

from switchcast import Event, StockFrames
from switchcast.line.duplicates import PROVEN_EVENTS, Duplicates

PAIRS = st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=20), max_size=12)


@given(batches=PAIRS)
def test_it_is_a_set_of_pairs(batches: list[list[tuple[int, int]]]) -> None:
    duplicates, seen = Duplicates(), set[tuple[int, int]]()
    for batch in batches:
        expected = []
        for pair in batch:
            if pair not in seen:
                seen.add(pair)
                expected.append(fired(*pair))
        assert duplicates.take([fired(*pair) for pair in batch]) == expected
    assert duplicates.dropped == sum(len(batch) for batch in batches) - len(seen)


@given(sequences=st.lists(st.integers(0, 2**63), max_size=60) | st.lists(st.integers(0, 12), max_size=60))
def test_it_remembers_a_window_whatever_the_numbers_are(sequences: list[int]) -> None:
    """Never drops what did not come before; always drops what is among the last four different ones."""
    duplicates, distinct = Duplicates(window=4), list[int]()
    for sequence in sequences:
        passed = bool(duplicates.take([fired(0, sequence)]))
        if sequence not in distinct:
            assert passed
        if sequence in distinct[-4:]:
            assert not passed
        if passed:
            distinct.append(sequence)


def test_a_window_stays_within_its_bound() -> None:
    duplicates = Duplicates(window=16)
    duplicates.take([fired(0, sequence) for sequence in range(10_000)])
    (run,) = duplicates._proven.values()
    assert len(run.last) + len(run.before) <= 32


def test_two_events_of_one_number_and_different_names_both_pass(plain_datagrams: list[tuple[int, bytes]]) -> None:
    """As mod_sofia's incoming MESSAGE, which it fires twice; of the recording nothing at all is a duplicate."""
    frames = StockFrames()
    events = [frames.open(datagram) for _, datagram in plain_datagrams]
    numbers = [(event.core_uuid, event.sequence) for event in events]
    assert len(set(numbers)) < len(numbers)
    assert Duplicates().take(events) == events
    assert Duplicates().take([*events[:100], *events[:100]]) == events[:100]


def test_what_cannot_be_told_from_another_passes() -> None:
    duplicates = Duplicates()
    without = [
        Event("TRAP"),
        Event("TRAP", {"Core-UUID": CORES[0]}),
        Event("TRAP", {"Core-UUID": CORES[0], "Event-Sequence": "twelve"}),
        Event("TRAP", {"Event-Sequence": "12"}),
    ]
    assert duplicates.take(without * 2) == without * 2
    assert len(duplicates) == 0


def test_the_same_event_is_known_on_whatever_path_it_comes() -> None:
    duplicates = Duplicates()
    paths = ["192.0.2.1:4242", "198.51.100.1:4242", None]
    assert duplicates.take([fired(0, 7, source=path) for path in paths]) == [fired(0, 7)]


def invented(number: int, address: str) -> Event:
    headers = {"Core-UUID": f"invented-{number}", "Event-Sequence": "1"}
    return Event("TRAP", headers).with_origin(f"{address}:4242", None)


def test_one_stranger_forgets_only_what_he_invented() -> None:
    duplicates = Duplicates(cores=50, address_cores=5)
    real = fired(0, 1, source="192.0.2.1:4242")
    duplicates.take([real])  # a single one: not proven yet
    duplicates.take([invented(number, "198.51.100.1") for number in range(1000)])
    assert len(duplicates) == 6
    assert duplicates.take([real]) == []


def test_many_strangers_cannot_push_a_real_switch_out() -> None:
    duplicates = Duplicates(cores=50, address_cores=5)
    real = [fired(0, sequence, source="192.0.2.1:4242") for sequence in range(PROVEN_EVENTS)]
    duplicates.take(real)
    duplicates.take([invented(number, f"198.51.{number // 250}.{number % 250}") for number in range(1000)])
    assert len(duplicates) == 50
    assert duplicates.take(real) == []


def test_proven_ones_give_way_to_one_another_only() -> None:
    duplicates = Duplicates(cores=2, address_cores=1)
    for core in (0, 1, 2):
        duplicates.take([fired(core, sequence, source=f"192.0.2.{core}:1") for sequence in range(PROVEN_EVENTS)])
    assert len(duplicates) == 2
    assert list(duplicates._proven) == [CORES[1], CORES[2]]
    assert duplicates.take([fired(2, 0)]) == []
    assert duplicates.take([invented(1, "192.0.2.1")]) != []  # at its address's limit: at the cost of that one
    assert list(duplicates._proven) == [CORES[2]]
