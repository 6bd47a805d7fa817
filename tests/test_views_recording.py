"""The plain recording as the commands of views show it: what its README lists."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from answering import typed
from recordings import DATA

RECORDING = f"file:{DATA / 'stock-plain.pcap.gz'}"
"""Its README tells times in seconds from the first datagram; so do the tests."""


@cache
def replayed(view: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON that the command prints of the recording, a line at a time."""
    shown = typed(view, RECORDING, "--json", *arguments, socket=Path("/nonexistent"))
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture(scope="module")
def began() -> float:
    """When the first datagram of the recording was sent, in seconds since 1970."""
    return float(replayed("nodes", "--watch")[0]["at"])


def rows_at(view: str, seconds: float) -> list[dict[str, Any]]:
    """The rows that long after the first datagram."""
    [whole] = replayed(view, "--for", f"{seconds}s")
    assert whole["view"] == view
    rows: list[dict[str, Any]] = whole["rows"]
    return rows


def test_registrations_of_the_recording(began: float) -> None:
    seen = []
    for change in replayed("registrations", "--watch"):
        row = change["row"]
        user, port = row["user"].partition("@")[0], int(row["address"].rpartition(":")[2])
        seen.append((round(change["at"] - began, 1), change["change"], user, port))
    assert seen[:6] == [
        (8.1, "new", "1000", 5090),
        (8.5, "changed", "1000", 5090),
        (8.5, "new", "1001", 5096),
        (34.8, "gone", "1001", 5096),
        (35.2, "new", "1001", 5098),
        (35.2, "gone", "1000", 5090),
    ]
    assert seen[6][1:] == ("gone", "1001", 5098)
    assert len(seen) == 7
    assert [(row["user"], row["address"]) for row in rows_at("registrations", 9)] == [
        ("1000@127.0.0.1", "127.0.0.1:5090"),
        ("1001@127.0.0.1", "127.0.0.1:5096"),
    ]
    [ran_out] = rows_at("registrations", 43)
    assert (ran_out["user"], ran_out["sure"]) == ("1001@127.0.0.1", "doubtful")


def test_lamps_of_the_recording(began: float) -> None:
    lamps: list[tuple[float, bool, list[int]]] = []
    for change in replayed("mailboxes", "--watch"):
        row = change["row"]
        if not row["account"].startswith("1000@"):
            continue
        counts = [row[name] for name in ("new", "saved", "urgent_new", "urgent_saved")]
        if (row["lamp"], counts) not in [lamp[1:] for lamp in lamps[-1:]]:
            lamps.append((round(change["at"] - began, 2), row["lamp"], counts))
    assert lamps[1:] == [
        (28.44, True, [1, 0, 0, 0]),
        (33.82, True, [2, 1, 1, 0]),
        (34.12, False, [0, 0, 0, 0]),
        (82.54, True, [2, 0, 0, 0]),
        (85.61, True, [3, 0, 0, 0]),
        (92.82, False, [0, 0, 0, 0]),
    ]


def test_presence_of_the_recording() -> None:
    [row] = [row for row in rows_at("presence", 10.6) if row["user"] == "1001@127.0.0.1"]
    assert row["status"] == "At désk"
    changes = [change for change in replayed("presence", "--watch") if change["key"].startswith("1000@")]
    states = [change["row"]["state"] for change in changes]
    assert states[:6] == ["available", "ringing", "active", "held", "active", "available"]


def test_calls_of_the_recording(began: float) -> None:
    legs: dict[str, list[dict[str, Any]]] = {}
    bridged: dict[frozenset[str], float] = {}
    changes = replayed("calls", "--watch")
    for change in changes:
        for leg in change["row"]["legs"]:
            legs.setdefault(leg["uuid"], []).append(leg)
            if leg["bridged_to"]:
                bridged.setdefault(frozenset((leg["uuid"], leg["bridged_to"])), change["at"] - began)
    assert len(legs) == 54
    assert all(any(leg["cause"] for leg in seen) for seen in legs.values()), "a leg was not hung up"
    assert [round(at, 2) for at in bridged.values()] == [15.88, 61.79, 73.35]
    news = [change["key"] for change in changes if change["change"] == "new"]
    assert sorted(news) == sorted(change["key"] for change in changes if change["change"] == "gone")
    [call] = rows_at("calls", 17)
    assert (call["state"], len(call["legs"]), call["legs"][0]["to_number"]) == ("active", 2, "1000")


def test_what_matches_no_longer_is_gone() -> None:
    changes = [
        (change["change"], change["row"]["status"]) for change in replayed("presence", "--watch", "--match", "désk")
    ]
    assert [change for change, _ in (changes[0], changes[-1])] == ["new", "gone"]
    assert {status for _, status in changes} == {"At désk"}


def test_nothing_is_left_at_the_end_of_the_recording() -> None:
    assert replayed("registrations")[0]["rows"] == []
    assert replayed("calls")[0]["rows"] == []
    assert [row["lamp"] for row in replayed("mailboxes")[0]["rows"]] == [False, False]
    [node] = replayed("nodes")[0]["rows"]
    assert (node["name"], node["state"]) == ("vm", "down")


def test_a_recording_without_events_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").touch()
    shown = typed("calls", "file:empty.jsonl", socket=Path("/nonexistent"))
    assert (shown.returncode, shown.stdout) == (0, "no call is up\nfile:empty.jsonl holds no events\n")
