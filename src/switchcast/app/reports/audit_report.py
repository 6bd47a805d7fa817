"""The audit's report before it has a form: terminal, JSON, HTML and SARIF are all made from this.

What the inventory keeps by kind of event is turned round here, for readers ask the other way: what leaves, in which
header, in how many kinds. A header that stands in fifty kinds is one ``Place``. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from switchcast.guard.audit.comparison import Comparison
from switchcast.guard.audit.leaks import PERSONAL, AuditResult, By, Found, HeaderRow, KindRow, Leak
from switchcast.guard.audit.reach import Reach
from switchcast.guard.audit.suggest import Suggestion
from switchcast.guard.finding import Finding

__all__ = [
    "RECORDED",
    "AuditReport",
    "Change",
    "Ended",
    "LeakRow",
    "Listener",
    "Listening",
    "Named",
    "Place",
    "leak_rows",
    "less",
    "sections_of",
]

RECORDED: Final = frozenset({"file", "-", "archive"})
"""Schemes whose events have a time of their own."""
_EXAMPLES: Final = 3

Ended = Literal["source", "time", "count", "covered", "signal"]
"""Why the audit came to its end."""


@dataclass(frozen=True, slots=True)
class Place:
    """One header, or the body (``header`` is ``None``), and what of one class it gives away.

    ``kinds`` are the kinds of event that carry it, most frequent first; ``events`` how many events of theirs did.
    ``by`` says how it is known.
    """

    header: str | None
    kinds: tuple[str, ...]
    events: int
    by: By
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeakRow:
    """One class, and the places where it leaves, most frequent first."""

    leak: Leak
    places: tuple[Place, ...]

    @property
    def kinds(self) -> int:
        """In how many kinds of event."""
        return len({kind for place in self.places for kind in place.kinds})

    @property
    def personal(self) -> bool:
        """Whether it is a secret or tells of a person."""
        return self.leak in PERSONAL


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one class under a policy: in how many places it was, and the places where it still is."""

    leak: Leak
    before: int
    after: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Listener:
    """One socket of this host that takes the group's datagrams. ``program`` is ``None`` where the kernel hides it."""

    address: str
    port: int
    interface: str | None
    program: str | None
    pid: int | None


@dataclass(frozen=True, slots=True)
class Listening:
    """Who listens, as far as this host's kernel can tell.

    ``sockets`` are of this host; ``ports`` are ports of its bridges behind which somebody has joined; ``unknown`` says
    in sentences what could not be told, and why.
    """

    sockets: tuple[Listener, ...] = ()
    joined: tuple[str, ...] = ()
    """Interfaces on which this host has joined the groups."""
    ports: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """An endpoint by the name that it has in a configuration; ``given`` says whether that file was named, too."""

    name: str
    file: str
    given: bool

    @property
    def words(self) -> str:
        """What to write after ``switchcast audit``."""
        return shlex.join([self.name, "--config", self.file] if self.given else [self.name])


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """All that the audit has to say.

    ``seconds`` are those that were listened for, or that a recording covers. ``under`` is what was seen under the
    policy of ``comparison``. ``lost`` says in words what the source itself could not take in. ``named`` is how
    the source was named, where that was not by its URL.
    """

    source: str
    made: str
    """When, in ISO 8601."""
    seconds: float
    ended: Ended
    result: AuditResult
    reach: Reach
    listening: Listening | None = None
    findings: tuple[Finding, ...] = ()
    comparison: Comparison | None = None
    under: AuditResult | None = None
    suggestion: Suggestion | None = None
    revealed: bool = False
    lost: tuple[str, ...] = ()
    named: Named | None = None
    leaks: tuple[LeakRow, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "leaks", leak_rows(self.result))

    @property
    def recorded(self) -> bool:
        """Whether the events come from what was kept and not from a network."""
        return self.reach.scheme in RECORDED

    @property
    def judged(self) -> AuditResult:
        """What ``--fail-on`` and SARIF are about: what leaves under the policy, where one is tried."""
        return self.result if self.under is None else self.under

    def changes(self) -> tuple[Change, ...]:
        """What the policy changes, by class, worst first; nothing where none was tried."""
        if self.under is None:
            return ()
        before, after = ({row.leak: row.places for row in leak_rows(each)} for each in (self.result, self.under))
        either = [leak for leak in Leak if leak in before or leak in after]
        return tuple(Change(leak, len(before.get(leak, ())), after.get(leak, ())) for leak in either)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "source": self.source,
            "made": self.made,
            "seconds": round(self.seconds, 3),
            "ended": self.ended,
            "revealed": self.revealed,
            "leaks": [_plain(row) for row in self.leaks],
            "findings": [finding.to_dict() for finding in self.findings],
            "reach": self.reach.to_dict(),
            "listening": None if self.listening is None else asdict(self.listening),
            "inventory": self.result.to_dict(),
            "policy": None if self.comparison is None else self.comparison.to_dict(),
            "under_policy": None if self.under is None else [_plain(row) for row in leak_rows(self.under)],
            "suggestion": None
            if self.suggestion is None
            else {"name": self.suggestion.name, "keep": list(self.suggestion.keep), "text": self.suggestion.text},
            "lost": list(self.lost),
        }


def leak_rows(result: AuditResult) -> tuple[LeakRow, ...]:
    """What leaves, worst first, by class and header."""
    gathered: dict[tuple[Leak, str | None], list[tuple[KindRow, HeaderRow, Found]]] = {}
    for kind, header, found in _found_in(result):
        name = None if header is kind.body else header.name
        gathered.setdefault((found.leak, name), []).append((kind, header, found))
    places: dict[Leak, list[Place]] = {}
    for (leak, name), entries in gathered.items():
        places.setdefault(leak, []).append(_place(name, entries))
    return tuple(
        LeakRow(leak, tuple(sorted(places[leak], key=lambda place: (-place.events, place.header or ""))))
        for leak in Leak
        if leak in places
    )


def less(result: AuditResult, places: Iterable[tuple[str, str | None]]) -> AuditResult:
    """``result`` without these headers, and bodies where one is ``None``, each given with its kind of event.

    A policy that is suggested is tried while it is not yet known what will be found; what it leaves out for that reason
    is taken away here.
    """
    gone = set(places)
    kinds = [_kind_less(kind, gone) for kind in result.kinds]
    octets = sum(before.bytes - after.bytes for before, after in zip(result.kinds, kinds, strict=True))
    return replace(result, kinds=kinds, bytes=result.bytes - octets)


def sections_of(result: AuditResult) -> Iterator[tuple[KindRow, int, tuple[Leak, ...]]]:
    """Each kind of event, most frequent first, with how many of its headers give something away, and which classes."""
    for kind in sorted(result.kinds, key=lambda row: (-row.events, row.kind)):
        giving = [header for header in _rows_of(kind) if header.found]
        classes = {found.leak for header in giving for found in header.found}
        yield kind, len(giving), tuple(sorted(classes, key=lambda leak: leak.rank))


def _kind_less(kind: KindRow, gone: Collection[tuple[str, str | None]]) -> KindRow:
    headers = [header for header in kind.headers if (kind.kind, header.name) not in gone]
    body = None if (kind.kind, None) in gone else kind.body
    octets = sum(header.bytes for header in _rows_of(kind)) - sum(header.bytes for header in headers)
    octets -= 0 if body is None else body.bytes
    return replace(kind, headers=headers, body=body, bytes=kind.bytes - octets)


def _rows_of(kind: KindRow) -> list[HeaderRow]:
    return kind.headers if kind.body is None else [*kind.headers, kind.body]


def _found_in(result: AuditResult) -> Iterator[tuple[KindRow, HeaderRow, Found]]:
    for kind in result.kinds:
        for header in _rows_of(kind):
            for found in header.found:
                yield kind, header, found


def _place(name: str | None, entries: list[tuple[KindRow, HeaderRow, Found]]) -> Place:
    events: dict[str, int] = {}
    examples: dict[str, None] = {}
    for kind, header, found in entries:
        events[kind.kind] = max(events.get(kind.kind, 0), header.events)
        examples |= dict.fromkeys(found.examples)
    by: By = "name" if any(found.by == "name" for *_, found in entries) else entries[0][2].by
    kinds = tuple(sorted(events, key=lambda kind: (-events[kind], kind)))
    return Place(name, kinds, sum(events.values()), by, tuple(examples)[:_EXAMPLES])


def _plain(row: LeakRow) -> dict[str, Any]:
    return {"leak": str(row.leak), "kinds": row.kinds, "headers": [asdict(place) for place in row.places]}
