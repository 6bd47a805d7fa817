"""Dropping what has come before, where several paths carry the same traffic.

Core-UUID names one run of one FreeSWITCH and Event-Sequence counts that run's events, so the pair names an event in the
world, or nearly: mod_sofia fires an incoming MESSAGE without a name first and then with it, under one number (two such
are in the recording). So the name counts as well. An event without the pair cannot be told from another and passes.

What is remembered is bounded in both directions. For each Core-UUID the last ``WINDOW`` sequence numbers, and up to as
many again, are known by what came and not by what is highest: a forged number far ahead makes nothing real look old.
Core-UUIDs anyone can invent, so whoever brings many new ones (by source address) pushes out the oldest of *those*, and
one that has brought ``PROVEN_EVENTS`` events gives way only when all of them have. Forgetting lets a duplicate pass;
it never drops an event that is new. A forger who knows a Core-UUID and guesses the next number is first with the pair:
so an event that somebody vouches for is compared with others of that kind only, and one of ``stock`` trust with all.
Between stock datagrams nothing helps but allowed addresses.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from switchcast._native import Event

__all__ = ["ADDRESS_CORES", "CORES", "PROVEN_EVENTS", "WINDOW", "Duplicates"]

WINDOW: Final = 1_024
"""Sequence numbers of one Core-UUID that are surely remembered: 10 s of a switch that fires 100 events/s."""
CORES: Final = 256
"""Core-UUIDs remembered: running switches, and the runs before that still echo. At most 50 MB together."""
ADDRESS_CORES: Final = 64
"""Those that one source address may have brought: a relay brings many, a forger more."""
PROVEN_EVENTS: Final = 32
"""New events after which a Core-UUID counts as that of a real switch."""


class Duplicates:
    """Remembers which events it has seen. ``dropped`` counts those that came again."""

    def __init__(self, *, window: int = WINDOW, cores: int = CORES, address_cores: int = ADDRESS_CORES) -> None:
        self.dropped = 0
        self._window = window
        self._cores = cores
        self._address_cores = address_cores
        self._new: OrderedDict[str, _Run] = OrderedDict()  # longest unheard first, as in the other one
        self._proven: OrderedDict[str, _Run] = OrderedDict()
        self._brought: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many Core-UUIDs are remembered."""
        return len(self._new) + len(self._proven)

    def take(self, events: list[Event]) -> list[Event]:
        """Those of ``events`` that were not seen before, in order."""
        fresh = [event for event in events if self._is_fresh(event)]
        self.dropped += len(events) - len(fresh)
        return fresh

    def _is_fresh(self, event: Event) -> bool:
        core, sequence = event.core_uuid, event.sequence
        if core is None or sequence is None:
            return True
        run = self._proven.get(core)
        stock = event.trust == "stock"
        if run is not None:
            self._proven.move_to_end(core)
            return run.note((sequence, event.name), self._window, stock=stock)
        run = self._new.get(core)
        if run is None:
            run = self._admit(core, (event.source or "").rpartition(":")[0])
        else:
            self._new.move_to_end(core)
        fresh = run.note((sequence, event.name), self._window, stock=stock)
        if run.events >= PROVEN_EVENTS:
            self._proven[core] = self._new.pop(core)
        return fresh

    def _admit(self, core: str, address: str) -> _Run:
        """Make room for a Core-UUID, at the cost of whoever brings it if that is possible."""
        if self._brought[address] >= self._address_cores:
            runs = self._new if any(run.address == address for run in self._new.values()) else self._proven
            self._forget(runs, next(old for old, run in runs.items() if run.address == address))
        if len(self) >= self._cores:
            runs = self._new or self._proven
            self._forget(runs, next(iter(runs)))
        self._brought[address] += 1
        run = self._new[core] = _Run(address)
        return run

    def _forget(self, runs: OrderedDict[str, _Run], core: str) -> None:
        run = runs.pop(core)
        self._brought[run.address] -= 1
        if not self._brought[run.address]:
            del self._brought[run.address]


class _Run:
    """The sequence numbers of one Core-UUID that have come: the last of them in one set, those before in another."""

    __slots__ = ("address", "before", "events", "last")

    def __init__(self, address: str) -> None:
        self.address = address
        self.events = 0
        self.last: set[tuple[int, str, bool]] = set()
        self.before: set[tuple[int, str, bool]] = set()

    def note(self, number: tuple[int, str], window: int, *, stock: bool) -> bool:
        """Whether this sequence number and name are new, among those that somebody vouches for unless ``stock``."""
        known = [(*number, False), (*number, True)] if stock else [(*number, False)]
        if any(each in self.last or each in self.before for each in known):
            return False
        self.events += 1
        self.last.add((*number, stock))
        if len(self.last) >= window:
            self.before, self.last = self.last, set()
        return True
