"""How the picture of the cluster stands, as ``switchcast status`` is told of it: plain values, and their making.

It says how much there is and how far that can be believed; the rows themselves are told page by page (``view``). Pure:
``now`` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, TypedDict

from switchcast.views.picture import Picture

__all__ = ["MOST_DOWN", "AskedRow", "DoubtRow", "DownRow", "PictureState", "ViewState", "no_picture", "picture_state"]

MOST_DOWN: Final = 100
"""Switches that are told of as down, by name: names can be invented."""

Recent = Callable[[str, Mapping[str, int]], dict[str, int]]
"""By how much the counters of a part of the picture, by its name, have grown lately, without those that have not."""


class AskedRow(TypedDict):
    """A switch that is asked.

    ``node`` is what it calls itself, ``at`` when its last answers were asked for, in seconds since 1970, and ``took``
    how many seconds they took; ``why`` says what keeps it from answering now, and is empty where nothing does.
    ``unread`` is which of its last answers nobody could read, and why.
    """

    endpoint: str
    node: str
    at: float | None
    took: float
    why: str
    unread: str


class ViewState(TypedDict):
    """A view. ``rows`` are those that it has, ``states`` how many of them by what is so of them.

    It has room for ``most``, of ``calls`` for that many legs. ``counters`` count what had no effect, by reason, from
    the node's start, ``recent`` what of that was lately.
    """

    name: str
    rows: int
    most: int
    states: dict[str, int]
    counters: dict[str, int]
    recent: dict[str, int]


class DownRow(TypedDict):
    """A switch that is down: since when, in seconds since 1970, and for how many seconds nothing was heard of it."""

    name: str
    since: float
    silent: float


class DoubtRow(TypedDict):
    """A node of which not all is known that happened, since when and why, and how many rows are doubtful for that.

    ``asked``: its answers make it good.
    """

    node: str
    since: float
    why: Literal["lost", "down", "restarted"]
    rows: int
    asked: bool


class PictureState(TypedDict):
    """The whole of it. ``down`` are those switches that once said how they were, the last first.

    ``counters`` have the ``gaps`` that were told, the ``snapshots`` taken, how often switches have ``answered``, not
    (``unanswered``), or said what nobody could read (``refused``), and ``faults`` of the views themselves.
    """

    views: list[ViewState]
    asked: list[AskedRow]
    down: list[DownRow]
    doubts: list[DoubtRow]
    counters: dict[str, int]
    recent: dict[str, int]


def no_picture() -> PictureState:
    """That of a node which has not begun to keep one."""
    return {"views": [], "asked": [], "down": [], "doubts": [], "counters": {}, "recent": {}}


def picture_state(
    picture: Picture, asked: Sequence[AskedRow], counters: Mapping[str, Mapping[str, int]], recent: Recent, now: float
) -> PictureState:
    """``counters`` are those of the views by name, and others that are told as of the whole."""
    own = {part: counts for part, counts in counters.items() if part not in picture.views}
    known = {row["node"] for row in asked}
    states = picture.states()
    return {
        "views": [
            {
                "name": name,
                "rows": len(view),
                "most": picture.most[name],
                "states": states[name],
                "counters": dict(counters.get(name, {})),
                "recent": recent(name, counters.get(name, {})),
            }
            for name, view in picture.views.items()
        ],
        "asked": list(asked),
        "down": [
            {"name": row["name"], "since": row["since"], "silent": row["silent"]}
            for row in islice(picture.nodes.away(now), MOST_DOWN)
        ],
        "doubts": [
            {"node": node, **picture.doubts[node], "rows": rows, "asked": node in known}
            for node, rows in picture.in_doubt().items()
        ],
        "counters": {name: count for counts in own.values() for name, count in counts.items()},
        "recent": {name: count for part, counts in own.items() for name, count in recent(part, counts).items()},
    }
