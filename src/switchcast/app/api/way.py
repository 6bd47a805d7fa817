"""One client's way through the archive, from the last event that it was given to where memory goes on.

::

    archive  ... x x x │ x x x x x x x x x x x x x          │  this run of the node begins here
    memory             │         x x x x x x x x x x x x    ^  here the two meet: what the archive has next is in memory

The archive has what the stream has had, in the same order, or less of it (``past.py``). So the first event of it that
memory has too is where they meet, and everything that memory holds comes behind all that was read until then: no event
comes twice, and none is passed over.

What the archive lacks is counted within a run of the node: the events between two numbers, less those that were read
between them, and that is told where archive and memory meet. Where the client's id is of an earlier run, nobody knows
what that one never wrote, nor what came while no node ran: that is told first. Ids on the way are those that the events
had when they came, as long as nothing is missing; so a client that breaks off comes back with the count.

What memory has forgotten the archive may not have written yet. Then it is waited for, no longer than a commit takes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from switchcast._native import Event
from switchcast.app.api.ids import EventId
from switchcast.app.api.past import Archive, Past
from switchcast.app.api.recent import RESTARTED, Missed, Place, Selection
from switchcast.archive.following import Followed, Following, Mark, Stretch, check_of, mark_of, position_at
from switchcast.errors import SwitchcastError

__all__ = ["GRACE_SECONDS", "POLL_SECONDS", "Step", "Way", "way_from"]

POLL_SECONDS: Final = 0.05
"""Between two looks whether the archive has more."""
GRACE_SECONDS: Final = 2.0
"""Beyond the time that a commit takes by its setting, for a disk to be slow in."""
_STEP_BYTES: Final = 65_536
_EDGE: Final = 64
"""Events on either side of where archive and memory meet that are compared, among which some cannot be known again."""
_LACKING: Final = "the node's archive does not have them"
_UNCOUNTED: Final = "the node's archive does not have all, and nobody has counted what it lacks"
_UNREADABLE: Final = "the node's archive cannot be read"


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next: events, each with its id, then what is missing; ``place`` is set once memory has what follows.

    ``wait``: nothing, until the archive has more.
    """

    events: Sequence[tuple[str, Event]] = ()
    missed: Missed | None = None
    place: Place | None = None
    wait: bool = False


def way_from(last: str | None, selection: Selection, past: Past) -> Way | None:
    """The way from the event with the id ``last``; ``None`` where there is no archive, or no such id."""
    archive, recent = past.archive, past.recent
    if archive is None or last is None:
        return None
    if recent.first is None and recent.oldest > 1:
        return None  # nothing of what memory holds could be known again in the archive
    begin = EventId.parse(last)
    if begin is None:
        try:
            return Way(mark_of(last), last, selection, past, archive)
        except ValueError:
            return None
    if begin.check is None or (begin.run == recent.run and begin.number >= recent.newest.number):
        return None  # nothing that could be found again, or nothing that has been
    return Way(begin, last, selection, past, archive)


class Way:
    """The way of one client. ``last`` is the id to go on from, whether or not its client has wanted that event."""

    def __init__(self, begin: EventId | Mark, last: str, selection: Selection, past: Past, archive: Archive) -> None:
        self.last = last
        self._begin = begin
        self._selection = selection
        self._past = past
        self._recent = past.recent
        self._archive = archive
        self._mark: Mark | None = None
        self._run: str | None = None
        self._number = 0  # of the last event that was passed, where the run is known
        self._in_this_run = False
        self._untold: str | None = None  # why nobody knows how many events are missing
        self._since = begin.time / 1e9 if isinstance(begin, EventId) else None
        self._passed: deque[int] = deque(maxlen=_EDGE)
        self._waiting: float | None = None

    def last_before(self, place: Place) -> str:
        """The id to go on from for one who is at ``place``, where the way has ended, and has been given nothing yet."""
        begin = EventId.parse(self.last)
        if begin is None:
            return self.last
        return str(EventId(self._recent.run, place.number - 1, begin.time, begin.check))

    async def step(self) -> Step:
        """What comes next; an archive that cannot be read is what ends the way."""
        try:
            mark = self._mark or await self._find_begin()
            if isinstance(mark, Step):
                return mark
            stretch = await self._past.look(lambda following: following.behind(mark))
        except SwitchcastError:
            return self._join(self._recent.oldest, _UNREADABLE)
        if self._past.archive is None or self._past.archive.directory != self._archive.directory:
            return self._join(self._recent.oldest, _LACKING)
        return self._at_end() if stretch is None else self._along(stretch)

    async def _find_begin(self) -> Step | Mark:
        """Find the event that the client was given last; a step where there is something to do first."""
        await self._past.find_beginning()
        begun = self._past.begun
        if not isinstance(self._begin, EventId):
            return await self._begin_at(self._begin, begun)
        begin, of_this_run = self._begin, self._begin.run == self._recent.run
        before = None if of_this_run else begun
        found, near, more = await self._past.look(lambda following: _found(following, begin, before))
        if found is None and of_this_run and not more and self._is_worth_waiting():
            return Step(wait=True)  # memory has forgotten it, and the archive has not written it yet
        self._waiting = None
        self._mark = near if found is None else found
        self._in_this_run = of_this_run
        if found is not None:
            self._run, self._number = begin.run, begin.number
        if not of_this_run or found is None:
            self._untold = _UNCOUNTED if of_this_run else RESTARTED
        return self._mark

    async def _begin_at(self, mark: Mark, begun: Mark | None) -> Step | Mark:
        """Begin behind a position of the archive; in memory, where that has the event."""
        stretch = await self._past.look(lambda following: following.behind((mark[0], mark[1] - 1)))
        for each in stretch.events[:1] if stretch is not None else ():
            number = self._recent.number_of(each.event, each.check) if each.mark == mark else None
            if number is not None:
                return Step(place=Place(number + 1))
        self._mark = mark
        self._in_this_run = begun is not None and mark >= begun
        self._untold = _UNCOUNTED if self._in_this_run else RESTARTED
        return mark

    def _along(self, stretch: Stretch) -> Step:
        """Go along ``stretch``, to its end, to where memory goes on, or as far as a client is given at once."""
        self._waiting = None
        wanted = set(self._selection.of([each.event for each in stretch.events]))
        events: list[tuple[str, Event]] = []
        size = 0
        for index, each in enumerate(stretch.events):
            begins = not self._in_this_run and self._begins_run(each)
            if self._in_this_run or begins or self._past.begun is None:
                number = self._recent.number_of(each.event, each.check)
                if number is not None:
                    return self._join(self._meeting(number), events=events)
            if self._untold is not None:
                why, self._untold = self._untold, None
                return Step((), Missed(None, why, self._id_of(each, self._number + 1), self._since))
            if begins:
                self._cross()
            if not self._is_echo(each.event):
                self._pass(each)
                if index in wanted:
                    events.append((self.last, each.event))
                    size += len(each.event.to_plain())
            self._mark = each.mark
            if size >= _STEP_BYTES:
                return Step(events)
        self._mark = stretch.end
        return Step(events)

    def _at_end(self) -> Step:
        """The archive has nothing more: memory goes on, unless what is between the two is still being written."""
        oldest = self._recent.oldest
        if self._run == self._recent.run and oldest <= self._number + 1:
            return self._join(self._number + 1)
        if oldest == 1:
            return self._join(oldest)
        return Step(wait=True) if self._is_worth_waiting() else self._join(oldest, _LACKING)

    def _is_worth_waiting(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._waiting = self._waiting or now
        return now - self._waiting < self._archive.commit + GRACE_SECONDS

    def _begins_run(self, each: Followed) -> bool:
        """Whether this is the first event of this run of the node."""
        first = self._recent.first
        if self._past.begun is None and first is not None and (each.check, each.event) == (first.check, first.event):
            self._past.begun = each.mark
        return self._past.begun is not None and each.mark >= self._past.begun

    def _cross(self) -> None:
        """Go over into this run, from its first event on."""
        first = self._recent.first
        self._in_this_run = True
        self._run, self._number = self._recent.run, 0 if first is None else first.number - 1

    def _is_echo(self, event: Event) -> bool:
        """Whether it is one of the node's own, as it heard it back from a group."""
        return bool(self._archive.own) and event.sender == self._archive.own and event.source is not None

    def _pass(self, each: Followed) -> None:
        self._number += 1
        self.last = self._id_of(each, self._number)
        self._since = each.time / 1e9
        self._passed.append(each.check)

    def _id_of(self, each: Followed, number: int) -> str:
        """The id that the event had when it came, if none has been missing since the client's; else its position."""
        return position_at(each.mark) if self._run is None else str(EventId(self._run, number, each.time, each.check))

    def _meeting(self, number: int) -> int:
        """From where on memory has what was not passed in front of the event of this ``number``.

        That is all that it holds, but for what cannot be known again and was in the archive too.
        """
        oldest = self._recent.oldest
        for before in range(number - 1, max(oldest, number - _EDGE) - 1, -1):
            event = self._recent.event_at(before)
            if event is not None and check_of(event) in self._passed:
                return before + 1
        return oldest

    def _join(self, number: int, why: str = "", events: Sequence[tuple[str, Event]] = ()) -> Step:
        """Go on in memory with the event of this number, and tell what is missing in front of it.

        ``why`` is given where something is known to be missing, counted or not.
        """
        place = Place(number)
        lacking: int | None = None
        if self._run == self._recent.run:
            lacking, why = number - self._number - 1, why or _LACKING
            if lacking == 0:
                why = ""
            elif lacking < 0 or self._recent.uncounted > self._number:
                lacking, why = None, _UNCOUNTED
        why = why or self._untold or ""
        return Step(events, self._recent.missed(lacking, why, place, self._since) if why else None, place)


def _found(following: Following, begin: EventId, before: Mark | None) -> tuple[Mark | None, Mark, bool]:
    """Where the event is, where it would be by its time, and whether there is something behind that."""
    found = None if begin.check is None else following.find(begin.time, begin.check, before)
    if found is not None:
        return found, found, True
    near = following.last_until(begin.time, before)
    return None, near, following.behind(near) is not None
