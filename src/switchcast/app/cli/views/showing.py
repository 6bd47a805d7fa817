"""A view as people see it: the table, and under it the totals, the doubts, and how this is known."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.render import printable
from switchcast.app.cli.views.calls import legs_of
from switchcast.app.cli.views.kinds import ViewKind, at, count_of, ordered, said
from switchcast.app.cli.views.table import Line, Pieces, Row, Widths, lay_out
from switchcast.errors import UsageError
from switchcast.views.picture import holds

__all__ = ["Choice", "Marks", "Seen", "as_object", "footer", "lines_of", "table"]

DOUBTFUL: Final = "?"
_NEW, _CHANGED, _GONE = "+", "~", "-"
Marks = Mapping[str, str]
"""What has lately become of rows, by key: ``new``, ``changed`` or ``gone``."""
_MARKS: Final = {
    "new": (_NEW, "bold green"),
    "changed": (_CHANGED, "bold yellow"),
    "gone": (_GONE, "bold red"),
}
_MOST_NODES_TOLD: Final = 4
_NARROWEST: Final = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A view as it was at ``wall`` (seconds since 1970).

    ``asked``: the switches that are asked for all of it (``endpoint``, ``node``, ``at``, ``why`` not). ``doubts``:
    since when, and why, rows of a node are doubtful. ``nodes``: what is known of each node. ``source`` is what was
    listened to, empty where a node was asked; ``began`` is when that began, ``recorded`` whether the time is the
    events' own. ``cut``: whether there are more rows than these. ``lost``: what was lost on the way here, in words.
    """

    rows: Sequence[Row]
    wall: float
    counters: Mapping[str, int] = field(default_factory=dict)
    asked: Sequence[Mapping[str, Any]] = ()
    doubts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    nodes: Mapping[str, Row] = field(default_factory=dict)
    source: str = ""
    began: float = 0.0
    recorded: bool = False
    cut: bool = False
    lost: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows are wanted and how: ``match`` is a part of any of their values, ``node`` the whole name of one."""

    kind: ViewKind
    match: str = ""
    node: str = ""
    sort: str = ""
    legs: bool = False

    def __post_init__(self) -> None:
        heading = self.sort.removeprefix("-")
        if heading and self.kind.column(heading) is None:
            there = ", ".join(column.heading for column in self.kind.columns)
            raise UsageError(f"--sort {self.sort!r} is no column of {self.kind.name}; there are {there}")

    @property
    def narrowed(self) -> bool:
        """Whether not all rows are wanted."""
        return bool(self.match or self.node)

    def wants(self, row: Row) -> bool:
        """Whether it is of the node that is asked for, and holds the text."""
        if self.node and self.node not in (row.get("node"), row.get("name"), *(row.get("nodes") or ())):
            return False
        return not self.match or holds(row, self.match)

    def sorted(self, rows: Sequence[Row], wall: float) -> list[Row]:
        """By the column that is asked for, else by what a row is known by; equal ones always in the same order."""
        found = sorted(rows, key=lambda row: ordered(self.kind.key(row)))
        if self.kind.order is not None:
            found.sort(key=self.kind.order)
        column = self.kind.column(self.sort.removeprefix("-"))
        if column is None:
            return found
        by = column.sort or (lambda row: ordered(column.value(row, wall)))
        return sorted(found, key=by, reverse=self.sort.startswith("-"))


def as_object(choice: Choice, seen: Seen) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "view": choice.kind.name,
        "at": seen.wall,
        "rows": list(choice.sorted(seen.rows, seen.wall)),
        "counters": dict(seen.counters),
        "asked": list(seen.asked),
        "doubts": dict(seen.doubts),
    }


def table(
    choice: Choice,
    seen: Seen,
    width: int,
    *,
    marks: Marks | None = None,
    height: int | None = None,
    kept: Widths | None = None,
    gone: Sequence[Row] = (),
) -> list[Pieces]:
    """The whole view for a terminal of ``width`` columns, in at most ``height`` lines where that is given.

    ``gone`` are rows that have just gone, shown for a while yet.
    """
    below = list(footer(choice, seen, width))
    if not seen.rows and not gone:
        return [*_nothing(choice, seen), *below]
    lines = lines_of(choice, [*seen.rows, *gone], seen.wall, marks or {})
    most = len(lines) if height is None else max(1, height - 2 - len(below))
    parts = lay_out(choice.kind.columns, lines[:most], width, seen.wall, kept=kept)
    if len(lines) > most:
        parts.append([(f"… {count_of(len(lines) - most, 'line', 'lines')} more; --match narrows", "dim")])
    return [*parts, *below]


def lines_of(choice: Choice, rows: Sequence[Row], wall: float, marks: Marks) -> list[Line]:
    """A line for each row, and for each leg where legs are wanted."""
    lines = []
    for row in choice.sorted(rows, wall):
        what = marks.get(choice.kind.key(row), "")
        mark, mark_style = _MARKS.get(what, ("", ""))
        if row.get("sure") == "doubtful" and what != "gone":
            mark, mark_style = mark + DOUBTFUL, "bold yellow"
        style = {"gone": "dim strike", "new": "", "changed": ""}.get(what, "")
        lines.append(Line(row, mark, mark_style, style))
        legs = legs_of(row) if choice.legs else ()
        for number, leg in enumerate(legs):
            branch = "└ " if number == len(legs) - 1 else "├ "
            lines.append(Line({**leg, "branch": branch}, style=style or "", mark=""))
    return lines


def footer(choice: Choice, seen: Seen, width: int) -> Iterator[Pieces]:
    """Totals, doubts, refusals, and how this is known, each a line or more of its own."""
    sentences = [(sentence, "yellow") for sentence in [*_doubts(seen), *seen.lost, *_refusals(choice, seen)]]
    if seen.rows:
        # What is asked for with --match is a part of the whole, and must not be taken for it.
        counted = ("matching: " if choice.narrowed else "") + choice.kind.count(len(seen.rows))
        sentences.insert(0, (_joined([counted, *choice.kind.totals(seen.rows)]), "dim"))
    sentences += [(sentence, "dim") for sentence in _knowledge(choice, seen)]
    for sentence, style in sentences:
        for line in textwrap.wrap(printable(sentence), max(width, _NARROWEST)):
            yield [(line, style)]


def _joined(phrases: Sequence[str]) -> str:
    """``3 registrations of 2 users at 1 node, 1 unreachable``: what begins with "of" needs no comma."""
    text = ""
    for phrase in phrases:
        text += (" " if phrase.startswith("of ") else ", ") + phrase if text else phrase
    return text


def _nothing(choice: Choice, seen: Seen) -> Iterator[Pieces]:
    if choice.node and seen.nodes and choice.node not in seen.nodes:
        few = len(seen.nodes) <= _MOST_NODES_TOLD
        there = f"there {'is' if len(seen.nodes) == 1 else 'are'} {', '.join(sorted(seen.nodes))}"
        hint = there if few else "'switchcast nodes' lists them"
        yield [(printable(f"no node is called {choice.node}; {hint}"), "yellow")]
    elif choice.narrowed:
        asked_for = " of ".join(filter(None, [choice.match and repr(choice.match), choice.node]))
        yield [(printable(f"none of the {choice.kind.nouns} match {asked_for}"), "yellow")]
    else:
        yield [(choice.kind.empty, "yellow")]


def _doubts(seen: Seen) -> Iterator[str]:
    """``? 3 rows doubtful: events of fs2 were lost since 10:02:11``."""
    over = [row for row in seen.rows if _doubtful(row) and _has_run_out(row, seen.wall)]
    if over:
        yield f"{DOUBTFUL} {_doubtful_rows(len(over))}: time has run out, and the switch has not said so yet"
    rest = Counter(said(row, "node") or said(row, "name") for row in seen.rows if _doubtful(row))
    rest -= Counter(said(row, "node") or said(row, "name") for row in over)
    for node, number in rest.most_common(_MOST_NODES_TOLD):
        yield f"{DOUBTFUL} {_doubtful_rows(number)}: {_reason(node, seen)}"
    if len(rest) > _MOST_NODES_TOLD:
        others = sum(rest.values()) - sum(number for _, number in rest.most_common(_MOST_NODES_TOLD))
        yield f"{DOUBTFUL} {_doubtful_rows(others)} of {len(rest) - _MOST_NODES_TOLD} other nodes"


def _doubtful(row: Row) -> bool:
    return row.get("sure") == "doubtful"


def _has_run_out(row: Row, wall: float) -> bool:
    expires = row.get("expires")
    return isinstance(expires, int | float) and expires <= wall


def _doubtful_rows(number: int) -> str:
    return f"{count_of(number, 'row', 'rows')} doubtful"


def _reason(node: str, seen: Seen) -> str:
    """Since when, and why, not all that happened at ``node`` is known."""
    doubt, known = seen.doubts.get(node, {}), seen.nodes.get(node, {})
    if known.get("state") == "down":
        return f"{node} has been down since {at(known['since'])}"
    since = at(doubt["since"]) if doubt.get("since") else ""
    match doubt.get("why"):
        case "down":
            return f"{node} was away, and was missed at {since}"
        case "restarted":
            return f"{node} began anew at {since}"
    return f"events of {node} were lost" + (f" since {since}" if since else "")


def _refusals(choice: Choice, seen: Seen) -> Iterator[str]:
    """What is not in the table because it was refused: strangers can invent rows, so there is an end to them."""
    full = sum(count for name, count in seen.counters.items() if name.startswith("refused"))
    if full:
        yield f"{count_of(full, 'event', 'events')} refused: no room for more {choice.kind.nouns}, or too long a name"
    if seen.cut:
        yield f"there are more than these {len(seen.rows):,}; --match and --node narrow it"


def _knowledge(choice: Choice, seen: Seen) -> Iterator[str]:
    """How complete this can be: a switch that was asked has told all, events tell only of what happened since."""
    for each in seen.asked:
        if each.get("why"):
            yield f"{_name_of(each)} could not tell it all: {each['why']}"
    answered = [each for each in seen.asked if each.get("at") is not None]
    if seen.recorded and not seen.wall:
        yield f"{seen.source} holds no events"
    elif seen.recorded:
        yield f"as it was at {at(seen.wall)}, {short_duration(seen.wall - seen.began)} after the first event"
    elif answered and choice.kind.asked:
        yield f"asked {_when(answered, seen.wall)}" + _not_asked(answered, seen.rows)
    elif seen.source:
        heard = f"heard in {short_duration(seen.wall - seen.began)}"
        more = "; what was so before is only known of a switch that is asked (esl://HOST)"
        yield heard + more if choice.kind.asked else heard
    elif choice.kind.asked:
        yield "told by events since the node began; no switch could be asked what was so before"


def _name_of(asked: Mapping[str, Any]) -> str:
    return str(asked.get("node") or asked.get("endpoint"))


def _when(answered: Sequence[Mapping[str, Any]], wall: float) -> str:
    """``fs1 12s ago, fs2 1m02s ago``; of many the oldest alone."""
    ages = {_name_of(each): wall - each["at"] for each in answered}
    if len(ages) > _MOST_NODES_TOLD:
        return f"{len(ages):,} nodes, each in the last {short_duration(max(ages.values()))}"
    return ", ".join(f"{name} {short_duration(ago)} ago" for name, ago in ages.items())


def _not_asked(answered: Sequence[Mapping[str, Any]], rows: Sequence[Row]) -> str:
    """Which nodes have told all that is known of them by events."""
    others = {said(row, "node") or said(row, "name") for row in rows} - {_name_of(each) for each in answered}
    if not others:
        return ""
    if len(others) > _MOST_NODES_TOLD:
        return f"; {len(others):,} others are known by their events alone"
    return f"; {', '.join(sorted(others))} by {'its' if len(others) == 1 else 'their'} events alone"
