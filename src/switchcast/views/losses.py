"""How many events of one switch were lost at most, by the gaps in its ``Event-Sequence``.

::

    numbers heard    41 42 45 44 44      43 is missing: one lost at most, for 43 may not have been sent to us at all
    window           the last 4096 numbers, a bit each: 44 came late and takes back what was counted for it, once

Numbers in front of the first one that was heard are not missed, nor those of a run before. What comes later than the
window stays counted, so the figure errs upwards only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MOST_JUMP", "WINDOW", "Losses"]

MOST_JUMP: Final = 1_000_000
"""A number that is further ahead counts when the next one follows it: one forged number silences nobody."""
WINDOW: Final = 4096
"""Numbers behind the highest one of which is known whether they were heard."""
_ALL: Final = (1 << WINDOW) - 1


@dataclass(slots=True)
class Losses:
    """The account of one switch; ``at_most`` goes on over its restarts."""

    at_most: int = 0
    _highest: int | None = None
    _heard: int = _ALL
    _far: int | None = None

    def begin(self) -> None:
        """Another run: numbers begin anew."""
        self._highest, self._heard, self._far = None, _ALL, None

    def note(self, number: int) -> None:
        """A number that was heard."""
        if self._highest is None:
            self._highest = number
            return
        ahead = number - self._highest
        if ahead > 0:
            self._go_on(number, ahead)
        elif -ahead < WINDOW and not self._heard >> -ahead & 1:
            self._heard |= 1 << -ahead
            self.at_most -= 1

    def _go_on(self, number: int, ahead: int) -> None:
        missing = ahead - 1
        if ahead > MOST_JUMP:
            if self._far is None or not 0 < number - self._far <= MOST_JUMP:
                self._far = number
                return
            missing -= 1  # the far one, which was heard
        self._far = None
        self.at_most += missing
        self._heard = (self._heard << ahead | 1) & _ALL if ahead < WINDOW else 1
        self._highest = number
