"""Searching an archive: what is asked for, and the events that answer, block by block.

Only blocks are read in which the times and the terms can be; the more is said, the fewer these are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from switchcast._native import Matcher
from switchcast.archive.blocks import Damaged
from switchcast.archive.reading import ArchiveReader, Block, Stored
from switchcast.archive.segment import position_of
from switchcast.archive.terms import Term, TermFilter

__all__ = ["Search", "Selection", "kinds_of"]

log = structlog.get_logger("switchcast")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events: from ``since`` up to before ``until`` (ns since 1970 UTC), that ``matcher`` takes.

    An event has one term at least of each of ``groups``.
    """

    since: int | None = None
    until: int | None = None
    groups: tuple[frozenset[Term], ...] = ()
    matcher: Matcher | None = None
    newest_first: bool = False

    @property
    def by_time_only(self) -> bool:
        """Whether nothing is asked for but times."""
        return not self.groups and self.matcher is None


def kinds_of(matcher: Matcher | None) -> frozenset[Term]:
    """The kinds of events that a matcher's bindings name; empty where they name all.

    As in the switch, a CUSTOM event without a subclass goes to whoever names CUSTOM at all.
    """
    words = matcher.bindings.split() if matcher is not None else []
    return frozenset() if "all" in (word.lower() for word in words) else frozenset(map(Term.named, words))


class Search:
    """One pass over an archive, or several: each call of ``blocks`` or ``batches`` is one.

    ``watch`` is called at each block; then ``read`` and ``found`` count the events so far of this pass, and ``share()``
    is how far along it is.
    """

    def __init__(self, reader: ArchiveReader, selection: Selection, watch: Callable[[], None] | None = None) -> None:
        self.reader = reader
        self.selection = selection
        self.read = 0
        self.found = 0
        self._watch = watch
        self._span: tuple[int, int] | None = None
        self._at: int | None = None
        groups = [group for group in selection.groups if group]
        several = [group for group in groups if len(group) > 1]
        kinds = kinds_of(selection.matcher)
        self._every = frozenset(term for group in groups if len(group) == 1 for term in group)
        self._any = several[0] if several else kinds
        self._filters = [TermFilter(group) for group in groups]

    def share(self) -> float:
        """How much of the time that is asked for has been looked through: 0 to 1."""
        if self._span is None:
            stats = self.reader.stats()
            begin, end = stats.begin or 0, stats.end or 0
            since, until = self.selection.since, self.selection.until
            self._span = (
                begin if since is None else max(begin, since),
                end if until is None else min(end, until),
            )
        low, high = self._span
        if self._at is None or high <= low:
            return 0.0
        share = min(max((self._at - low) / (high - low), 0.0), 1.0)
        return 1.0 - share if self.selection.newest_first else share

    def batches(self) -> Iterator[list[Stored]]:
        """The events, a block at a time, in the order in which they were written, or backwards."""
        for block in self.blocks():
            stored = self.chosen(block)
            if stored:
                yield stored

    def blocks(self) -> Iterator[Block]:
        """The blocks that may hold such events: each can have others too (``chosen``)."""
        self.read = self.found = 0
        wanted = self.selection
        for block in self.reader.blocks(
            wanted.since, wanted.until, self._any, every=self._every, newest_first=wanted.newest_first
        ):
            self.read += block.count
            self._at = block.end
            yield block
            if self._watch is not None:
                self._watch()

    def takes_whole(self, block: Block) -> bool:
        """Whether every event of the block is asked for, as can be told without a look at them."""
        since, until = self.selection.since, self.selection.until
        return (
            self.selection.by_time_only
            and (since is None or since <= block.begin)
            and (until is None or block.end < until)
        )

    def chosen(self, block: Block) -> list[Stored]:
        """Those of a block's events that are asked for. None of one that cannot be read, which is counted and told."""
        try:
            stored = block.stored()
        except Damaged as error:
            self.reader.damaged += 1
            position = position_of(block.segment, block.first)
            log.warning("archive_block_damaged", position=position, events=block.count, error=str(error))
            return []
        since, until, matcher = self.selection.since, self.selection.until, self.selection.matcher
        if since is not None and block.begin < since:
            stored = [each for each in stored if each.time >= since]
        if until is not None and block.end >= until:
            stored = [each for each in stored if each.time < until]
        for each_filter in self._filters:
            stored = [each for each in stored if each_filter.matches(each.event)]
        if matcher is not None and stored:
            stored = _matched(stored, matcher)
        self.found += len(stored)
        return stored[::-1] if self.selection.newest_first else stored


def _matched(stored: Sequence[Stored], matcher: Matcher) -> list[Stored]:
    taken = {id(event) for event in matcher.select([each.event for each in stored])}
    return [each for each in stored if id(each.event) in taken]
