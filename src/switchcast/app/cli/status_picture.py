"""The picture of the cluster in ``switchcast status``: what is wrong with it, in words, and how much there is of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.render import printable
from switchcast.app.cli.sections import Cell, Entry, section
from switchcast.app.picture_state import AskedRow, DoubtRow, ViewState
from switchcast.app.status import Status

__all__ = ["picture_problems", "picture_sections"]

_MOST_DOWN: Final = 10
"""Switches that are down and have a sentence each."""
_MOST_DOUBTS: Final = 8
_ROOM: Final = {
    "nodes": ("switches", "[views.nodes]"),
    "registrations": ("registrations", "[views]"),
    "presence": ("users", "[views]"),
    "mailboxes": ("mailboxes", "[views]"),
    "calls": ("legs of calls", "[views]"),
}
"""What a view has room for, and the table whose ``most`` says for how many."""
_AILING: Final = frozenset({"down", "failed"})
_WHOLES: Final = frozenset({"registered", "users", "mailboxes", "calls"})
"""States that say how many rows there are in all, which stands beside them."""
_WHY: Final = {"lost": "events were lost", "down": "fell silent", "restarted": "began anew"}


def picture_problems(status: Status, lately: str) -> Iterator[str]:
    """One sentence for each thing that is wrong with the picture. ``lately`` is of when counters count as recent.

    What has one cause is said once: a switch that cannot be asked because its endpoint is down is told of as that, and
    one that is down where it is a peer. A node that is only in doubt is well: its next answers, or time, put it right.
    """
    picture = status["picture"]
    down = {row["name"] for kind in (status["sources"], status["sinks"]) for row in kind if row["state"] in _AILING}
    for asked in picture["asked"]:
        if asked["why"] and asked["endpoint"] not in down:
            yield f"{_who(asked)} cannot be asked: {asked['why']}"
    told = {peer["name"] for peer in status["peers"] if peer["state"] == "down"}
    told |= {asked["node"] for asked in picture["asked"] if asked["why"]}
    away = [row for row in picture["down"] if row["name"] not in told]
    for row in away[:_MOST_DOWN]:
        yield f"switch {row['name']} is down: last heard {short_duration(row['silent'])} ago"
    if len(away) > _MOST_DOWN:
        yield f"{len(away) - _MOST_DOWN} more switches are down: see 'switchcast nodes'"
    for view in picture["views"]:
        if refused := view["recent"].get("refused_full"):
            what, table = _ROOM.get(view["name"], ("rows", "[views]"))
            room = f"no room for more than {view['most']:,} {what}"
            yield f"view {view['name']}: {room}, refused {_times(refused)} {lately}; 'most' in {table} sets it"
    if faults := picture["recent"].get("faults"):
        yield f"the views failed on events {_times(faults)} {lately}: the node's log says where"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _who(asked: AskedRow) -> str:
    name = asked["node"]
    if not name or name == asked["endpoint"]:
        return f"switch {asked['endpoint']}"
    return f"switch {name} ({asked['endpoint']})"


def picture_sections(status: Status, width: int, wall: float) -> Iterator[list[RenderableType]]:
    """The views, the switches that are asked, and the nodes in doubt; what there is nothing of is left out."""
    picture = status["picture"]
    yield list(section("picture", [Entry(view["name"], cells=_view(view)) for view in picture["views"]], width))
    yield list(
        section("asked", [Entry(row["endpoint"], _answers(row), _asked(row, wall)) for row in picture["asked"]], width)
    )
    silent = {row["node"] for row in picture["asked"] if row["why"]}
    doubts = sorted(picture["doubts"], key=lambda row: row["since"], reverse=True)
    parts = list(
        section(
            "in doubt", [Entry(row["node"], cells=_doubt(row, silent, wall)) for row in doubts[:_MOST_DOUBTS]], width
        )
    )
    if len(doubts) > _MOST_DOUBTS:
        parts.append(Text(f"and {len(doubts) - _MOST_DOUBTS:,} more", "dim"))
    yield parts


def _view(view: ViewState) -> list[Cell]:
    refused = sum(count for name, count in view["counters"].items() if name.startswith("refused_"))
    return [
        Cell("rows", f"{view['rows']:,}"),
        Cell("refused", f"{refused:,}", "red" if view["recent"].get("refused_full") else ""),
        Cell("", _of_them(view["states"]), "dim", left=True),
    ]


def _of_them(states: Mapping[str, int]) -> str:
    """``2 up, 1 down``; of calls ``6 legs: 4 answered, 1 held``."""
    phrases = [f"{count:,} {printable(state)}" for state, count in states.items() if count and state not in _WHOLES]
    if "legs" in states and len(phrases) > 1:
        return f"{phrases[0]}: {', '.join(phrases[1:])}"
    return ", ".join(phrases)


def _answers(row: AskedRow) -> Text:
    if row["why"]:
        return Text("no answer", "bold red")
    return Text("answers", "green") if row["at"] is not None else Text("not yet", "yellow")


def _asked(row: AskedRow, wall: float) -> list[Cell]:
    at = row["at"]
    return [
        Cell("calls itself", printable(row["node"]), left=True),
        Cell("last asked", "never" if at is None else f"{short_duration(wall - at)} ago"),
        Cell("took", "" if at is None else _seconds(row["took"])),
        Cell("", printable(row["unread"]), "yellow", left=True),
    ]


def _seconds(took: float) -> str:
    """``40ms``, ``2.5s``, ``1m05s``."""
    if took < 1:
        return f"{took * 1000:.0f}ms"
    return f"{took:.1f}s" if took < 10 else short_duration(took)


def _doubt(row: DoubtRow, silent: Collection[str], wall: float) -> list[Cell]:
    healing = "it does not answer" if row["node"] in silent else "until it has answered"
    return [
        Cell("for", short_duration(wall - row["since"])),
        Cell("rows", f"{row['rows']:,}"),
        Cell("why", _WHY.get(row["why"], printable(row["why"])), left=True),
        Cell("", healing if row["asked"] else "nobody asks it", "dim", left=True),
    ]
