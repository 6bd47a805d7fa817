"""A table with one line for each row, however narrow the terminal: the less important columns give way.

::

    user              node  address         expires    agent          contact
    1000@example.com  fs1   192.0.2.7:5060  in 41s     tiny-ua/1.0    sip:1000@192.0.2.7:5060     160 columns
    1000@example.com  fs1   192.0.2.7:5060  in 41s     tiny-ua/1.0                                 80 columns

The essential columns are shown as soon as there is room for what each needs at the least, and grow with what is left;
the others get what they leave. A column that has nothing to say in any row is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from switchcast.app.cli.render import printable

__all__ = ["Column", "Line", "Pieces", "Row", "Widths", "lay_out", "plain", "shortened", "styled"]

Row = Mapping[str, Any]
"""A row of a view, as plain values."""

Widths = dict[str, int]
"""How wide columns have been, by heading: a table that is drawn again and again keeps its shape by it."""

Pieces = list[tuple[str, str]]
"""One line, in pieces with their styles."""

_BETWEEN: Final = 2
_BLANKS: Final = (" " * _BETWEEN, "")
_MARK: Final = 2
_ESSENTIAL: Final = 4
"""The last rank of the columns without which a row says little."""
_WIDEST: Final = 48


@dataclass(frozen=True, slots=True)
class Column:
    """A column: what stands in it for a row at a time (seconds since 1970), and how much it matters.

    ``rank`` says which columns stay where there is no room: the smallest. ``least`` is the width below which it says
    nothing any more. ``sort`` gives what rows are sorted by; by default that is what is shown. A ``moving`` column
    changes as time passes, which is no news, unless it tells of a new row what is ``ahead``. A ``differing`` column is
    left out where all rows say the same.
    """

    heading: str
    rank: int
    value: Callable[[Row, float], str]
    style: Callable[[Row], str] | str = ""
    left: bool = True
    least: int = 0
    most: int = _WIDEST
    sort: Callable[[Row], Any] | None = None
    moving: bool = False
    ahead: bool = False
    differing: bool = False

    def shown(self, row: Row, wall: float) -> str:
        """The value, harmless to a terminal."""
        value = self.value(row, wall)
        return value if value.isprintable() else printable(value)

    def style_of(self, row: Row) -> str:
        """How the value is to look."""
        return self.style if isinstance(self.style, str) else self.style(row)


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be: a row, the mark in front of it with its style, and the style of the whole line."""

    row: Row
    mark: str = ""
    mark_style: str = ""
    style: str = ""


def lay_out(
    columns: Sequence[Column], lines: Sequence[Line], width: int, wall: float, *, kept: Widths | None = None
) -> list[Pieces]:
    """A heading and ``lines``, none of them wider than ``width``.

    ``kept`` are widths of before, below which no column goes while there is room; they are brought up to date.
    """
    marked = _MARK if any(line.mark for line in lines) or kept is not None else 0
    told = {column.heading: [column.shown(line.row, wall) for line in lines] for column in columns}
    wanted = {column.heading: _wanted(column, told[column.heading], kept or {}) for column in columns}
    widths = _fitted(columns, wanted, width - marked)
    if kept is not None:
        kept.update(wanted)
    chosen = [(column, widths[column.heading]) for column in columns if column.heading in widths]
    drawn = [[(" " * marked, ""), *_spaced([_piece(column, column.heading, room, "dim") for column, room in chosen])]]
    for number, line in enumerate(lines):
        pieces = [
            _piece(column, told[column.heading][number], room, line.style or column.style_of(line.row))
            for column, room in chosen
        ]
        drawn.append([(line.mark.ljust(marked), line.mark_style), *_spaced(pieces)])
    return drawn


def styled(pieces: Pieces) -> Text:
    """One line for a terminal."""
    line = Text(no_wrap=True, overflow="crop")
    for text, style in pieces:
        line.append(text, style or None)
    line.rstrip()
    return line


def plain(pieces: Pieces) -> str:
    """One line without colours."""
    return "".join(text for text, _ in pieces).rstrip()


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns, the end of it left out."""
    if _cells(text) <= width:
        return text
    return "…" if width <= 1 else set_cell_size(text, width - 1).rstrip() + "…"


def _wanted(column: Column, values: Sequence[str], kept: Widths) -> int:
    """How wide it would be with all that it has to say; 0 when that is nothing."""
    quiet = column.differing and len(set(values)) <= 1
    widest = 0 if quiet else max(map(_cells, values), default=0)
    if not widest and not kept.get(column.heading):
        return 0
    return max(min(max(widest, _cells(column.heading)), column.most), kept.get(column.heading, 0))


def _fitted(columns: Sequence[Column], wanted: Widths, width: int) -> Widths:
    """The columns for which there is room, and how wide they are.

    The others get what the essential ones leave: none of these is cut short to make room for a detail.
    """
    ranked = sorted((column for column in columns if wanted[column.heading]), key=lambda column: column.rank)
    essential = [column for column in ranked if column.rank <= _ESSENTIAL]
    details = [column for column in ranked if column.rank > _ESSENTIAL]
    widths: Widths = {}
    left = _give_room(essential, wanted, widths, width + _BETWEEN)
    _give_room(details, wanted, widths, left)
    return widths


def _give_room(ranked: Sequence[Column], wanted: Widths, widths: Widths, left: int) -> int:
    """Put columns that fit at their least into ``widths``, and let them grow; what is left of the room."""
    for column in ranked:
        least = min(column.least or wanted[column.heading], wanted[column.heading])
        if not widths:
            least = max(1, min(least, left - _BETWEEN))
        if least + _BETWEEN <= left:
            widths[column.heading] = least
            left -= least + _BETWEEN
    for column in ranked:
        if column.heading in widths:
            more = min(wanted[column.heading] - widths[column.heading], left)
            widths[column.heading] += more
            left -= more
    return left


def _piece(column: Column, text: str, width: int, style: str) -> tuple[str, str]:
    fitting = shortened(text, width)
    blank = " " * (width - _cells(fitting))
    return fitting + blank if column.left else blank + fitting, style


def _spaced(pieces: Sequence[tuple[str, str]]) -> Pieces:
    """With blanks between them, which have no style: a line struck through is so only where there are words."""
    return [each for piece in pieces for each in (piece, _BLANKS)]


def _cells(text: str) -> int:
    """How many columns it takes."""
    return len(text) if text.isascii() else cell_len(text)
