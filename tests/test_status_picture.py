"""The picture of the cluster in ``switchcast status``: what counts as wrong, said once, and the tables of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from answering import answering, typed
from command_line import Ended
from test_status import WALL, healthy, peer, set_state
from viewing import fired

from switchcast.app.cli.status_view import find_problems
from switchcast.app.picture_state import MOST_DOWN, AskedRow, DoubtRow, PictureState, picture_state
from switchcast.app.status import Status
from switchcast.views.picture import Picture, ViewsSettings
from switchcast.views.telling import Snapshot

NOW = 1000.0


def lately(_: str, counts: object) -> dict[str, int]:
    """As if all that was counted had been counted lately."""
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if count}


def row(endpoint: str, node: str, why: str = "", ago: float = 12.0) -> AskedRow:
    return {"endpoint": endpoint, "node": node, "at": WALL - ago, "took": 0.04, "why": why, "unread": ""}


def kept(*rows: AskedRow, picture: Picture | None = None) -> PictureState:
    """That of a node which heard ``fs2``, and asked who stands in ``rows``."""
    picture = picture or Picture()
    picture.take([fired("HEARTBEAT", node="fs2", Session_Count="3")], NOW, WALL)
    picture.seed(Snapshot("fs1", "core-1", NOW, WALL, status={"Session-Count": "0"}), NOW, WALL)
    counters = picture.counters() | {"kept": {"faults": 0}}
    return picture_state(picture, rows, counters, lately, NOW)


def well() -> Status:
    """A node with nothing wrong, and a picture."""
    return healthy() | {"picture": kept(row("switch", "fs1"))}


def asked(tmp_path: Path, status: Status, columns: int = 80) -> Ended:
    """What ``switchcast status`` says of a node with this status."""
    socket = tmp_path / "control.sock"
    with answering(socket, {"status": status}):
        return typed("status", socket=socket, columns=columns)


# What counts as wrong


def add_asked(status: Status, *rows: AskedRow) -> None:
    status["picture"]["asked"] += rows


def add_down(status: Status, *names: str) -> None:
    status["picture"]["down"] += [{"name": name, "since": WALL - 30, "silent": 95.0} for name in names]


def refuse(status: Status, view: int, **counts: int) -> None:
    status["picture"]["views"][view]["recent"] |= counts


def fail(status: Status) -> None:
    status["picture"]["recent"]["faults"] = 2


PROBLEMS: list[tuple[Callable[[Status], object], str]] = [
    (lambda status: add_asked(status, row("other", "", "nobody there")), "switch other cannot be asked: nobody there"),
    (lambda status: add_asked(status, row("fs3", "fs3", "gone")), "switch fs3 cannot be asked: gone"),
    (lambda status: add_asked(status, row("other", "fs3", "gone")), r"switch fs3 \(other\) cannot be asked: gone"),
    (lambda status: add_down(status, "fs4"), "switch fs4 is down: last heard 1m35s ago"),
    (
        lambda status: refuse(status, 0, refused_full=3),
        r"view nodes: no room for more than 1,000 switches, refused 3 times in the last 5 minutes; 'most' in \[views\.",
    ),
    (
        lambda status: refuse(status, 1, refused_full=1200),
        r"view registrations: no room for more than 200,000 registrations, refused 1,200 times .* 'most' in \[views\]",
    ),
    (lambda status: refuse(status, 4, refused_full=9), "view calls: no room for more than 200,000 legs of calls"),
    (
        lambda status: refuse(status, 2, refused_full=1),
        "view presence: no room for more than 200,000 users, refused once ",
    ),
    (fail, "the views failed on events 2 times in the last 5 minutes: the node's log says where"),
]


@pytest.mark.parametrize(("break_it", "sentence"), PROBLEMS, ids=range(len(PROBLEMS)))
def test_each_thing_that_is_wrong_is_said_in_words(break_it: Callable[[Status], object], sentence: str) -> None:
    status = well()
    assert find_problems(status, WALL) == []
    break_it(status)
    (problem,) = find_problems(status, WALL)
    assert re.match(sentence, problem)


def doubt(status: Status, node: str, *, healing: bool) -> None:
    found: DoubtRow = {"node": node, "since": WALL - 9000, "why": "lost", "rows": 1204, "asked": healing}
    status["picture"]["doubts"].append(found)


@pytest.mark.parametrize(
    "do",
    [
        lambda status: doubt(status, "fs1", healing=True),
        lambda status: doubt(status, "fs9", healing=False),
        lambda status: add_asked(status, row("other", "fs3") | {"unread": "the switch's answer to 'x': no list"}),
        lambda status: refuse(status, 1, untrusted=40, refused_name=3, evicted=5, late=2, ran_out=7),
        lambda status: add_asked(
            status, {"endpoint": "new", "node": "", "at": None, "took": 0.0, "why": "", "unread": ""}
        ),
    ],
)
def test_doubt_time_and_what_strangers_try_are_no_problem(do: Callable[[Status], object]) -> None:
    status = well()
    do(status)
    assert find_problems(status, WALL) == []


def test_what_has_one_cause_is_said_once() -> None:
    status = well()
    set_state(status, "sources", 0, "down", "nobody there")
    status["picture"]["asked"] = [row("switch", "fs1", "nobody there")]
    add_down(status, "fs1")
    (problem,) = find_problems(status, WALL)
    assert problem.startswith("source switch has been down")
    status = well()
    status["peers"].append(peer("fs4", "192.0.2.5", "down"))
    add_down(status, "fs4")
    assert find_problems(status, WALL) == ["peer fs4 is down: last heard 12s ago"]


def test_many_that_are_down_take_few_lines() -> None:
    status = well()
    add_down(status, *(f"sw{number}" for number in range(30)))
    problems = find_problems(status, WALL)
    assert len(problems) == 11
    assert problems[-1] == "20 more switches are down: see 'switchcast nodes'"


# What a node tells


def test_a_switch_that_never_said_how_it_is_is_not_missed() -> None:
    picture = Picture()
    beats, other = fired("HEARTBEAT", node="fs5"), fired("sofia::register", node="tool")
    picture.take([beats, other], 1.0, WALL)
    picture.tick(500.0)
    told = picture_state(picture, [], picture.counters(), lately, 500.0)
    assert [(down["name"], down["silent"]) for down in told["down"]] == [("fs5", 499.0)]
    assert told["views"][0]["states"] == {"up": 0, "down": 2}
    assert {doubt["node"]: (doubt["why"], doubt["rows"], doubt["asked"]) for doubt in told["doubts"]} == {
        "fs5": ("down", 1, False),
        "tool": ("down", 1, False),
    }


def test_names_that_are_made_up_do_not_fill_it() -> None:
    picture = Picture(ViewsSettings.model_validate({"nodes": {"most": 300, "forget": 600}}))
    picture.take([fired("HEARTBEAT", node=f"x{number}", trust="stock") for number in range(1000)], 1.0, WALL)
    picture.tick(500.0)
    told = picture_state(picture, [], picture.counters(), lately, 500.0)
    assert len(told["down"]) == MOST_DOWN
    assert (told["views"][0]["rows"], told["views"][0]["most"]) == (300, 300)
    assert told["views"][0]["recent"]["refused_full"] >= 700
    picture.tick(5000.0)
    assert picture_state(picture, [], {}, lately, 5000.0)["doubts"] == [], "of whom nothing is known any more"


# What it shows


def in_doubt() -> Status:
    status = well()
    add_asked(status, row("other", "fs3.example.com", "nobody there", ago=4000.0))
    add_asked(status, {"endpoint": "new", "node": "", "at": None, "took": 0.0, "why": "", "unread": ""})
    for number in range(7):
        doubt(status, f"fs{number + 10}", healing=False)
    doubt(status, "fs3.example.com", healing=True)
    doubt(status, "fs1", healing=True)
    status["picture"]["doubts"][-1]["since"] = WALL - 3
    states = {"calls": 3, "legs": 6, "answered": 4, "held": 0, "bridged": 4}
    status["picture"]["views"][4] |= {"rows": 3, "states": states}
    return status


def test_the_tables(tmp_path: Path) -> None:
    shown = asked(tmp_path, in_doubt())
    assert shown.returncode == 1
    for line in (
        "picture rows refused",
        "nodes 2 0 2 up",
        "registrations 0 0",
        "calls 3 0 6 legs: 4 answered, 4 bridged",
        "asked state calls itself last asked took",
        r"switch answers fs1 \S+ ago 40ms",
        r"other no answer fs3\.example\.com 1h\S+ ago 40ms",
        "new not yet never",
        "in doubt for rows why",
        r"fs1 \S+ 1,204 events were lost until it has answered",
        r"fs10 2h\S+ 1,204 events were lost nobody asks it",
        "and 1 more",
    ):
        assert re.search(f"^{line.replace(' ', ' +')} *$", shown.stdout, re.MULTILINE), line


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_nothing_is_cut_off_on_any_terminal(tmp_path: Path, columns: int) -> None:
    shown = asked(tmp_path, in_doubt(), columns=columns)
    assert max(map(len, shown.stdout.splitlines())) <= columns
    text = " ".join(shown.stdout.split())
    for figure in ("fs3.example.com", "6 legs: 4 answered, 4 bridged", "until it has answered", "2 up"):
        assert figure in text
    assert "…" not in text


def test_names_from_the_network_cannot_reach_the_terminal(tmp_path: Path) -> None:
    status = well()
    add_asked(status, row("other", "\x1b]0;evil\x07\nfs3", "\x9b1m"), row("third", "[bold]x[/bold]\x1b[2J"))
    add_down(status, "\x1b[2Jfs4")
    doubt(status, "\x1b[2Jfs5", healing=True)
    status["picture"]["views"][2]["states"] |= {"\x1b[2J": 4}
    shown = asked(tmp_path, status, columns=200)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown.stdout)
    assert "[bold]x[/bold]" in shown.stdout
