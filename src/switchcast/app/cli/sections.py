"""A heading with rows under it: a table where the terminal is wide enough, else a few short lines for each row.

::

    sinks        state       queue         per s   sent        sinks
    archive      down 3m12s  16,384/16,384   0.0    812        archive  down 3m12s
                                                                 queue 16,384/16,384, per s 0.0, sent 812
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from switchcast.app.cli.render import printable

__all__ = ["NARROW", "Cell", "Entry", "section"]

NARROW: Final = 72
"""Columns below which a table would cut its figures off."""
_WIDEST_NAME: Final = 24
_INDENT: Final = 2


@dataclass(frozen=True)
class Cell:
    """One value under its heading. ``left``: text, which begins where the column does; figures end there."""

    heading: str
    value: str
    style: str = ""
    left: bool = False


@dataclass(frozen=True)
class Entry:
    """One row: who, how it fares, the values, and what else there is to say of it."""

    name: str
    state: Text = field(default_factory=Text)
    cells: Sequence[Cell] = ()


def section(title: str, entries: Sequence[Entry], width: int) -> Iterator[RenderableType]:
    """``entries`` under ``title``, for a terminal of ``width`` columns; nothing when there are none."""
    if not entries:
        return
    if width < NARROW:
        yield Text(title, style="dim")
        for entry in entries:
            yield from _stacked(entry, width)
    else:
        yield _table(title, entries)


def _table(title: str, entries: Sequence[Entry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=_WIDEST_NAME)
    stateful = any(entry.state for entry in entries)
    if stateful:
        table.add_column("state", no_wrap=True)
    columns = list(zip(*(entry.cells for entry in entries), strict=True))
    told = [number for number, cells in enumerate(columns) if any(cell.value for cell in cells)]
    for number in told:
        left = columns[number][0].left
        table.add_column(columns[number][0].heading, justify="left" if left else "right", no_wrap=not left)
    for entry in entries:
        state = [entry.state] if stateful else []
        values = [Text(entry.cells[number].value, style=entry.cells[number].style) for number in told]
        table.add_row(Text(printable(entry.name), style="bold"), *state, *values)
    return table


def _stacked(entry: Entry, width: int) -> Iterator[RenderableType]:
    head = Text(printable(entry.name), style="bold")
    if entry.state:
        head.append("  ").append(entry.state)
    yield head
    line = Text()
    for cell in entry.cells:
        if not cell.value:
            continue
        fact = Text(f"{cell.heading} " if cell.heading else "", style="dim")
        fact.append(cell.value.replace("\n", ", "), style=cell.style or "default")
        if line and line.cell_len + fact.cell_len + 2 > width - _INDENT:
            yield Padding(line.append(","), (0, 0, 0, _INDENT))
            line = Text()
        line.append(", " if line else "").append(fact)
    if line:
        yield Padding(line, (0, 0, 0, _INDENT))
