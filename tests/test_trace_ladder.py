"""The ladder on a terminal: every line fits, in ASCII too, and nothing that a stranger sends gets out of its place."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from audit_samples import recorded_events
from rich.console import Console
from tracing import only_call, recorded_calls, trace_of
from two_node_call import LEGS, two_node_call

from switchcast import Event
from switchcast.app.cli.trace_view import after, calls_table, story_view
from switchcast.archive.trace.ladder import rows_of
from switchcast.archive.trace.legs import letter_of
from switchcast.archive.trace.story import Story

WIDTHS = (60, 72, 80, 100, 160)
STORIES = ("172f2f1b", "34239e9b", "c8954013", "11b64889", "26ad112e")
ESCAPES = "\x1b[2J\x07\u202e\nA"


def drawn(story: Story, width: int, *, detail: bool = False, ascii_only: bool = False, colour: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, force_terminal=colour)
    console.print(story_view(story, width, detail=detail, ascii_only=ascii_only))
    return out.getvalue()


def two_nodes() -> Story:
    return only_call(trace_of("1001", two_node_call()))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_line_fits(width: int, ascii_only: bool) -> None:
    for story in (two_nodes(), *(only_call(recorded_calls(key)) for key in STORIES)):
        text = drawn(story, width, detail=True, ascii_only=ascii_only)
        assert max(map(len, text.splitlines())) <= width
        assert text.isascii() or not ascii_only
        assert all(words in re.sub(r"\s+", " ", text) for words in ("bridged",) if story.bridges)


def test_the_ladder_of_two_nodes_at_100_columns() -> None:
    lines = [line.rstrip() for line in drawn(two_nodes(), 100).splitlines()]
    start = lines.index(next(line for line in lines if re.fullmatch(r" +A +B +C +D +E", line)))
    assert lines[start - 1].split() == ["fs1", "fs2"]
    lanes = [line[24:52].rstrip() for line in lines[start + 1 :]]
    assert lanes[:7] == [
        "○",
        "├────▶○",
        "┆     •",
        "•     ┆",
        "┆     ├────▶○",
        "┆     ┆     ├────▶○",
        "┆     ┆     ┆     •",
    ]
    assert "┆     ┆     ┣━━━━━┫" in lanes
    assert "┃     ┃     ┣━━━━━━━━━━━┫" in lanes
    assert "4.9 s later" in "\n".join(lines)


def test_the_same_in_ascii() -> None:
    lines = drawn(two_nodes(), 80, ascii_only=True).splitlines()
    assert any("#==#  #  #" in line and "A-B bridged" in line for line in lines)
    assert any("DTMF *" in line for line in lines)


def test_colour_changes_nothing_but_colour() -> None:
    plain = drawn(two_nodes(), 100)
    coloured = drawn(two_nodes(), 100, colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_what_happened_only_in_detail() -> None:
    story = only_call(recorded_calls("172f2f1b"))
    short, every = rows_of(story), rows_of(story, detail=True)
    assert len(every) > 3 * len(short)
    assert {row.step.kind for row in every} > {row.step.kind for row in short}
    assert {"codec", "state"} <= {row.step.kind for row in every}


def test_the_lanes_states_follow_the_steps() -> None:
    rows = rows_of(two_nodes())
    states = {(row.step.kind, row.letters): row.after for row in rows}
    assert states["begin", "A"] == ("begun", "none", "none", "none", "none")
    assert states["bridge", "A-B"] == ("talking", "talking", "talking", "talking", "none")
    assert states["hold", "A"][0] == "held"
    assert states["unhold", "A"][0] == "talking"
    assert states["hangup", "D"] == ("talking", "talking", "up", "ended", "none")
    assert rows[-1].after == ("ended",) * 5
    every = rows_of(two_nodes(), detail=True)
    assert all(row.before == last.after for last, row in itertools.pairwise(every))
    pauses = [row.step.kind for row in rows if row.pause]
    assert "hangup" in pauses


def test_digits_of_one_number_share_a_row() -> None:
    story = only_call(recorded_calls("26ad112e"))
    words = [row.words for row in rows_of(story) if row.step.kind == "dtmf"]
    assert words == ["DTMF •••", "DTMF •"]
    shown = only_call(trace_of("26ad112e", recorded_events(), reveal=True))
    assert [row.words for row in rows_of(shown) if row.step.kind == "dtmf"] == ["DTMF 12#", "DTMF 9"]


def test_a_call_with_more_legs_than_fit_is_told_in_words() -> None:
    members = []
    for number in range(40):
        uuid = f"{number:08x}-1111-4111-8111-111111111111"
        headers = [
            ("Unique-ID", uuid),
            ("Conference-Unique-ID", "c0ffee00-0000-4000-8000-000000000000"),
            ("Event-Date-Timestamp", str(1_795_435_200_000_000 + number)),
            ("FreeSWITCH-Switchname", "fs1"),
            ("Action", "add-member"),
            ("Event-Subclass", "conference::maintenance"),
            ("Conference-Name", "3001"),
        ]
        members.append(Event("CUSTOM", headers))
    story = only_call(
        trace_of("00000005", members) if False else trace_of("00000005-1111-4111-8111-111111111111", members)
    )
    assert len(story.legs) == 40
    text = drawn(story, 80)
    assert max(map(len, text.splitlines())) <= 80
    assert "joins conference 3001" in text
    assert letter_of(39) == "N1"


def test_what_a_stranger_sends_stays_in_its_place() -> None:
    headers = [
        (name, value + ESCAPES if name in {"Caller-Caller-ID-Number", "Channel-Name", "Hangup-Cause"} else value)
        for event in two_node_call()
        if event.unique_id == LEGS["A"] and event.name == "CHANNEL_HANGUP_COMPLETE"
        for name, value in event.items()
    ]
    headers += [("Application", "set\x1b[31m"), ("Event-Date-Timestamp", "9" * 30)]
    text = drawn(only_call(trace_of(LEGS["A"], [Event.from_headers(headers)])), 100, detail=True)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J" in text


def test_times_beside_one_another_agree() -> None:
    assert after(1_000_999, 1_000_001) == "+0.000"
    assert after(1_001_000, 1_000_999) == "+0.001"
    assert after(0, 5) == "+0.000"


def test_the_list_of_calls() -> None:
    out = io.StringIO()
    for width in WIDTHS:
        console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
        console.print(calls_table(recorded_calls("1000"), width))
    text = out.getvalue()
    assert "34239e9b" in text
    assert "USER_BUSY" in text
