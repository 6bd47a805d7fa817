"""The labels of ``data/leak_labels*.tsv``, and the values they are about. ``data/README.md`` says how they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from recordings import DATA

from switchcast.guard.audit.leaks import PERSONAL, Leak

__all__ = ["Labelled", "Measured", "headers_of", "labelled_values", "labels", "measure", "values_by_header"]

Values = dict[str, set[tuple[str, str]]]
"""Of each header name, as it is spelt, every kind of event and value it had."""


@dataclass(frozen=True)
class Labelled:
    """One value of the held-out set."""

    origin: str
    kind: str
    header: str
    value: str
    leaks: frozenset[Leak]


@dataclass(frozen=True)
class Measured:
    """How what was found compares with the labels, in names of headers."""

    holding: set[str]
    """Labelled as personal or secret."""
    missed: set[str]
    """Of these, not classed as any of the right classes."""
    classed: set[str]
    """Classed as personal or secret."""
    alarms: set[str]
    """Of these, not labelled so."""
    others: set[str]
    """Not labelled as personal or secret."""

    def __str__(self) -> str:
        return (
            f"recall {1 - len(self.missed) / len(self.holding):.1%} of {len(self.holding)}, false alarms "
            f"{len(self.alarms)}: {len(self.alarms) / len(self.classed):.1%} of what was classed, "
            f"{len(self.alarms) / len(self.others):.1%} of {len(self.others)} that hold nothing; "
            f"missed {sorted(self.missed)}, alarms {sorted(self.alarms)}"
        )


def labels() -> dict[str, frozenset[Leak]]:
    """Of each header name of the plain recording, what its values there give away."""
    lines = (DATA / "leak_labels.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    table = {name: _leaks(leaks) for name, leaks in rows}
    assert len(table) == len(rows), "a name is labelled twice"
    return table


def labelled_values() -> list[Labelled]:
    """The held-out set."""
    lines = (DATA / "leak_labels_heldout.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    return [Labelled(origin, kind, header, value, _leaks(leaks)) for origin, kind, header, value, leaks in rows]


def _leaks(text: str) -> frozenset[Leak]:
    return frozenset() if text == "-" else frozenset(map(Leak, text.split(" ")))


def headers_of(datagram: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of a plain datagram, read without the code under test."""
    for line in datagram.partition(b"\n\n")[0].split(b"\n"):
        name, _, value = line.decode("utf-8", "surrogateescape").partition(": ")
        yield name, unquote(value, errors="surrogateescape")


def values_by_header(events: Iterable[Iterable[tuple[str, str]]]) -> Values:
    """All that was under each name. ``Content-Length`` frames the body and is no header."""
    values: Values = defaultdict(set)
    for event in events:
        headers = list(event)
        first = dict(reversed(headers))
        subclass = first.get("Event-Subclass")
        kind = f"CUSTOM {subclass}" if subclass else first["Event-Name"]
        for name, value in headers:
            if name != "Content-Length":
                values[name].add((kind, value))
    return values


def measure(truth: dict[str, frozenset[Leak]], found: dict[str, set[Leak]]) -> Measured:
    """Compares, by names."""
    personal = frozenset(PERSONAL)
    holding = {name for name, leaks in truth.items() if leaks & personal}
    classed = {name for name in truth if found.get(name, set()) & personal}
    return Measured(
        holding=holding,
        missed={name for name in holding if not truth[name] & personal & found.get(name, set())},
        classed=classed,
        alarms=classed - holding,
        others=truth.keys() - holding,
    )
