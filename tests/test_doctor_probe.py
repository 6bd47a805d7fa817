"""The probe without sockets: its datagrams byte by byte, and what doctors make of it, strangers among them."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchcast._native import StockFrames
from switchcast.app.doctor.conversation import (
    HERE,
    MOST_NODES,
    MOST_OF_ADDRESS,
    Arrival,
    Conversation,
)
from switchcast.app.doctor.datagrams import (
    LARGEST_REPORT,
    MOST_HEARD,
    MOST_NAME,
    Report,
    Rung,
    Told,
    decode,
)
from switchcast.errors import RejectedDatagram
from switchcast.guard.doctor.facts import PROBE_SIZES, Heard

PAGE: Final = (Path(__file__).parent.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
NODE: Final = bytes.fromhex("0102030405060708")
OTHER: Final = bytes.fromhex("1112131415161718")
GROUP: Final = "239.192.1.1"

nodes = st.binary(min_size=8, max_size=8)
rounds = st.integers(1, 0xFFFF)


@st.composite
def told(draw: st.DrawFn) -> Told:
    first = draw(st.integers(0, 0xFFFF))
    last = draw(st.integers(first, 0xFFFF))
    counts = draw(st.tuples(*[st.integers(0, last - first)] * len(PROBE_SIZES)))
    return Told(draw(nodes), first, last, counts)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    heard = tuple(draw(st.lists(told(), max_size=MOST_HEARD)))
    return Report(
        node=draw(nodes),
        rounds=draw(st.integers(0, 0xFFFF)),
        group=draw(st.one_of(st.ip_addresses(v=4), st.just("ff15::7:1")).map(str)),
        name=draw(st.text(st.characters(codec="ascii"), max_size=MOST_NAME)),
        mtu=draw(st.integers(0, 0xFFFFFFFF)),
        hears=draw(st.integers(len(heard), 255)),
        heard=heard,
    )


rungs = st.builds(Rung, nodes, rounds, st.sampled_from(PROBE_SIZES))


def example(name: str) -> bytes:
    """The bytes that the page shows."""
    found = re.search(rf"^```{name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return bytes.fromhex(found[1])


def test_a_rung_as_the_page_draws_it() -> None:
    drawn = example("rung")
    assert Rung(NODE, 3, 300).encode()[: len(drawn)] == drawn


def test_a_report_as_the_page_draws_it() -> None:
    report = Report(NODE, 3, GROUP, "fs1", 1500, 1, (Told(OTHER, 2, 7, (5, 5, 5, 5, 4)),))
    assert report.encode() == example("report")


@given(st.one_of(rungs, reports()))
def test_what_is_sent_is_read(said: Rung | Report) -> None:
    assert decode(said.encode()) == said


@given(reports())
def test_no_report_is_long_enough_for_a_stock_receiver(report: Report) -> None:
    assert len(report.encode()) <= LARGEST_REPORT == 256


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_left(datagram: bytes) -> None:
    said = decode(datagram)
    assert said is None or said.encode() == datagram


@given(st.one_of(rungs, reports()), st.data())
def test_a_changed_or_cut_datagram_never_stops_a_doctor(said: Rung | Report, data: st.DataObject) -> None:
    whole = bytearray(said.encode()[:600])
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    decode(bytes(whole))
    decode(bytes(whole[:place]))
    assert decode(said.encode() + b"x") is None


@given(st.one_of(rungs, reports()))
def test_nobody_takes_it_for_an_event(said: Rung | Report) -> None:
    with pytest.raises(RejectedDatagram):
        StockFrames().open(said.encode())


class Room:
    """Doctors that talk of one group, each with what it loses of whom; time is the test's own."""

    def __init__(self, lost: Callable[[str, str, int, int], bool] = lambda *_: False) -> None:
        self.now = 0.0
        self.talks: dict[str, Conversation] = {}
        self._lost = lost

    def join(self, address: str, *, name: str = "", mtu: int = 1500) -> Conversation:
        node = bytes(4) + bytes(map(int, address.split(".")))
        talk = Conversation(node, GROUP, now=self.now, every=0.1, name=name, mtu=mtu)
        self.talks[address] = talk
        return talk

    def run(self, seconds: float) -> None:
        ends = self.now + seconds
        while (due := min(talk.next_due for talk in self.talks.values())) < ends:
            self.now = due
            for sender, talk in self.talks.items():
                for said in talk.due(self.now):
                    for hearer, other in self.talks.items():
                        self._carry(sender, hearer, other, said)
        self.now = ends

    def _carry(self, sender: str, hearer: str, other: Conversation, said: Rung | Report) -> None:
        datagram = said.encode()
        arrival = Arrival(sender, "eth0", 1)
        number = said.round if isinstance(said, Rung) else 0
        if not self._lost(sender, hearer, len(datagram), number):
            other.take(datagram, arrival, self.now)
        if isinstance(said, Report) and sender != hearer:
            other.take(datagram, Arrival(sender, "eth0", 1, on_link=True), self.now)


def between(rows: list[Heard], sender: str, hearer: str) -> dict[int, tuple[int, int]]:
    return {row.size: (row.sent, row.heard) for row in rows if (row.sender, row.hearer) == (sender, hearer)}


def test_two_doctors_know_what_gets_through_both_ways() -> None:
    room = Room()
    talk = room.join("10.0.0.1")
    room.run(0.35)  # the other begins in the middle
    room.join("10.0.0.2", name="fs2")
    room.run(1.0)
    rows = talk.rows()
    other = "fs2 (10.0.0.2)"
    for sender, hearer in ((HERE, HERE), (HERE, other), (other, HERE)):
        seen = between(rows, sender, hearer)
        assert set(seen) == set(PROBE_SIZES)
        assert all(sent == heard >= 6 for sent, heard in seen.values()), (sender, hearer, seen)


def test_what_is_lost_by_size_shows_in_both_ends_rows() -> None:
    room = Room(lambda sender, hearer, size, _: sender != hearer and sender == "10.0.0.1" and size > 1472)
    ours, theirs = room.join("10.0.0.1"), room.join("10.0.0.2")
    room.run(1.5)
    for seen in (between(ours.rows(), HERE, "10.0.0.2"), between(theirs.rows(), "10.0.0.1", HERE)):
        assert {size for size, (sent, heard) in seen.items() if sent and not heard} == {1473, 6000, 60000}
        assert all(sent == heard for size, (sent, heard) in seen.items() if size <= 1472)


def test_a_rate_of_loss_is_counted() -> None:
    room = Room(lambda sender, hearer, size, number: sender != hearer and size == 300 and number % 2 == 0)
    talk = room.join("10.0.0.1")
    room.join("10.0.0.2")
    room.run(2.05)
    sent, heard = between(talk.rows(), "10.0.0.2", HERE)[300]
    assert abs(heard - sent / 2) <= 1


def test_one_that_hears_nothing_of_us_says_so() -> None:
    room = Room(lambda sender, hearer, *_: (sender, hearer) == ("10.0.0.1", "10.0.0.2"))
    ours, theirs = room.join("10.0.0.1"), room.join("10.0.0.2")
    room.run(1.5)
    deaf = between(ours.rows(), HERE, "10.0.0.2")
    assert all(sent >= 3 and heard == 0 for sent, heard in deaf.values())
    silent = between(theirs.rows(), "10.0.0.1", HERE)  # known by what it tells the link
    assert all(sent >= 3 and heard == 0 for sent, heard in silent.values())
    (node,) = theirs.nodes.values()
    assert (node.interface, node.link_interface) == (None, "eth0")


def test_more_nodes_than_a_report_holds_take_turns() -> None:
    room = Room()
    talks = [room.join(f"10.0.0.{number + 1}") for number in range(MOST_HEARD + 4)]
    room.run(2.0)
    for talk in talks:
        rows = talk.rows()
        told_of = {row.hearer for row in rows if row.sender == HERE and row.heard} - {HERE}
        assert len(told_of) == len(talks) - 1
        assert all(row.heard == row.sent for row in rows)


def test_strangers_find_no_room() -> None:
    talk = Conversation(NODE, GROUP, now=0.0)
    for number in range(10_000):
        stranger = number.to_bytes(8, "big")
        talk.take(Report(stranger, 1, GROUP, "x" * 64).encode(), Arrival(f"10.{number % 250}.0.1"), 0.0)
    assert len(talk.nodes) == MOST_NODES
    crowd = Conversation(NODE, GROUP, now=0.0)
    for number in range(100):
        crowd.take(Rung(number.to_bytes(8, "big"), 1, 300).encode(), Arrival("10.0.0.9"), 0.0)
    assert len(crowd.nodes) == MOST_OF_ADDRESS
    assert crowd.crowded == 100 - MOST_OF_ADDRESS


@given(st.lists(st.tuples(st.one_of(rungs, reports()), st.booleans()), max_size=30))
def test_nobody_can_make_it_send_or_say_what_cannot_be(heard: list[tuple[Rung | Report, bool]]) -> None:
    quiet, plagued = (Conversation(NODE, GROUP, now=0.0, every=1.0) for _ in range(2))
    for step, (said, on_link) in enumerate(heard):
        now = float(step)
        plagued.take(said.encode(), Arrival("10.0.0.9", on_link=on_link), now)
        usual, sent = quiet.due(now), plagued.due(now)
        assert [type(each) for each in sent] == [type(each) for each in usual]
        assert all(len(each.encode()) <= LARGEST_REPORT for each in sent if isinstance(each, Report))
        assert all(decode(each.encode()) == each for each in sent)
    assert all(0 <= row.heard <= row.sent for row in plagued.rows())


def test_a_count_that_runs_ahead_of_the_clock_is_not_believed() -> None:
    talk = Conversation(NODE, GROUP, now=0.0)
    talk.take(Report(OTHER, 1, GROUP, "").encode(), Arrival("10.0.0.9"), 0.0)
    assert not talk.take(Report(OTHER, 60_000, GROUP, "").encode(), Arrival("10.0.0.9"), 1.0)
    assert not [row for row in talk.rows() if row.sender != HERE]


def test_rounds_come_at_an_even_pace_and_a_late_one_is_not_made_up_for() -> None:
    talk = Conversation(NODE, GROUP, now=0.0, every=0.5)
    assert len(talk.due(0.0)) == 1 + len(PROBE_SIZES)
    assert talk.due(0.4) == []
    assert talk.due(10.0)
    assert talk.due(10.0) == []
    times = []
    for _ in range(5):
        times.append(talk.next_due)
        talk.due(talk.next_due)
    assert all(later - earlier == pytest.approx(0.5) for earlier, later in pairwise(times))


def test_talk_of_another_group_is_not_about_this_one() -> None:
    talk = Conversation(NODE, GROUP, now=0.0)
    assert not talk.take(Report(OTHER, 1, "239.192.9.9", "").encode(), Arrival("10.0.0.9", on_link=True), 0.0)
    assert not talk.nodes
    assert talk.strange == 1


def test_a_name_that_is_none_is_shown_as_far_as_it_is_one() -> None:
    talk = Conversation(NODE, GROUP, now=0.0)
    talk.take(Report(OTHER, 1, GROUP, "fs\x1b[31m\u202e").encode(), Arrival("10.0.0.9"), 0.0)
    assert talk.nodes[OTHER].label == "fs??31m? (10.0.0.9)"
