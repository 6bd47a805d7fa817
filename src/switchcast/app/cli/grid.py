"""Rows under a heading, for any number of rows: the widths of columns come from the first page of them.

::

    time                     node  name              n
    2026-11-23 14:05:00.123  fs1   CHANNEL_ANSWER   17
                                    text, from the left; figures, up to the right

On a terminal the widest columns give way until all fit into it, and what is too long ends in ``…``. Elsewhere nothing
is cut off, so that other programs find all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size

from switchcast.app.cli.render import printable
from switchcast.archive.export import Plain, text_of

__all__ = ["PAGE", "Grid"]

PAGE: Final = 256
"""Rows that are looked at before the first is shown."""
_GAP: Final = "  "
_NARROWEST: Final = 4
_WIDEST: Final = 60
"""Columns of one value where no terminal sets the limit: longer ones stand as they are, out of line."""


class Grid:
    """Makes lines of rows. ``width`` is the terminal's, ``None`` where nothing is to be cut off."""

    def __init__(self, names: Sequence[str], width: int | None) -> None:
        self._names = [printable(name) for name in names]
        self._width = width
        self._page: list[Sequence[Plain]] = []
        self._widths: list[int] = []
        self._figures: list[bool] = []

    def lines(self, rows: Iterable[Sequence[Plain]]) -> Iterator[str]:
        """The lines that are ready, the first of all being the heading."""
        for row in rows:
            if self._widths:
                yield self._line(row)
                continue
            self._page.append(row)
            if len(self._page) == PAGE:
                yield from self.finish()

    def finish(self) -> Iterator[str]:
        """What is left at the end."""
        if self._widths:
            return
        shown = [[printable(text_of(value)) for value in row] for row in self._page]
        wanted = [max([cell_len(name), *(cell_len(row[at]) for row in shown)]) for at, name in enumerate(self._names)]
        self._figures = [
            any(row[at] is not None for row in self._page)
            and all(row[at] is None or _is_figure(row[at]) for row in self._page)
            for at in range(len(self._names))
        ]
        self._widths = self._fitted(wanted)
        yield self._joined(self._names)
        yield from (self._joined(row) for row in shown)
        self._page = []

    def _line(self, row: Sequence[Plain]) -> str:
        return self._joined([printable(text_of(value)) for value in row])

    def _joined(self, cells: Sequence[str]) -> str:
        return _GAP.join(
            self._cell(cell, width, figure)
            for cell, width, figure in zip(cells, self._widths, self._figures, strict=True)
        ).rstrip()

    def _cell(self, text: str, width: int, figure: bool) -> str:
        length = cell_len(text)
        if length > width:
            return f"{set_cell_size(text, width - 1).rstrip()}…" if self._width is not None else text
        blanks = " " * (width - length)
        return blanks + text if figure else text + blanks

    def _fitted(self, wanted: Sequence[int]) -> list[int]:
        """Widths that fit into the terminal: the widest give way first, none further than it must."""
        if self._width is None:
            return [min(each, _WIDEST) for each in wanted]
        room = max(self._width - len(_GAP) * (len(wanted) - 1), _NARROWEST * len(wanted))
        low, high = _NARROWEST, max([*wanted, _NARROWEST])
        while low < high:  # the widest limit under which the sum fits
            middle = (low + high + 1) // 2
            if sum(min(each, middle) for each in wanted) <= room:
                low = middle
            else:
                high = middle - 1
        return [min(each, low) for each in wanted]


def _is_figure(value: Plain) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
