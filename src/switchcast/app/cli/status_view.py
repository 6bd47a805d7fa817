"""What is wrong with a node, in words, and the rest of its status as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.losses import describe, losses
from switchcast.app.cli.peers import peer_entries
from switchcast.app.cli.render import clock, printable
from switchcast.app.cli.sections import Cell, Entry, section
from switchcast.app.cli.status_picture import picture_problems, picture_sections
from switchcast.app.status import RECENT_SECONDS, PartRow, Status
from switchcast.views.peers import PeerRow

__all__ = ["find_problems", "picture"]

_NEARLY_FULL: Final = 0.8
_WARNINGS: Final = 5
_LATELY: Final = f"in the last {RECENT_SECONDS / 60:.0f} minutes"
_STATES: Final = {"up": "green", "ended": "dim", "starting": "yellow", "down": "bold red", "failed": "bold red"}
_FAILURES: Final = {
    "failed": "failed",
    "dead": "are dead letters",
    "unfinished": "were left unfinished",
    "unjournalled": "could not be journalled",
    "refused_queue_full": "were refused by a full queue",
    "condition_errors": "made the condition fail",
}
"""What can become of a rule's firings that nobody asked for; limits that refuse do as they were told."""


def find_problems(status: Status, wall: float) -> list[str]:
    """One sentence for each thing that is wrong now or was lately, the worst first. ``wall``: seconds since 1970."""
    parts = [("source", row) for row in status["sources"]] + [("sink", row) for row in status["sinks"]]
    problems = [*status["problems"]]
    if status["node"]["phase"] == "stopping":
        problems.append("the node is stopping")
    for kind, row in parts:
        if row["state"] in {"down", "failed"}:
            why = f": {row['why']}" if row["why"] else ""
            ago = short_duration(wall - row["since"])
            word = f"has been down for {ago}" if row["state"] == "down" else f"failed for good {ago} ago"
            problems.append(f"{kind} {row['name']} {word}{why}")
    for kind, row in parts:
        problems += [f"{kind} {row['name']}: {phrase} {_LATELY}" for phrase in describe(_lost(row["recent"]))]
        queued = row["counters"].get("queued", 0)
        if row["limit"] and queued >= _NEARLY_FULL * row["limit"]:
            problems.append(f"{kind} {row['name']}: its queue holds {queued:,} of at most {row['limit']:,} events")
    for row in status["routes"]:
        if faulty := row["recent"].get("faulty"):
            problems.append(f"route {row['name']}: its policy failed on {faulty:,} events {_LATELY}")
    for row in status["rules"]:
        failures = [f"{row['recent'][name]:,} {words}" for name, words in _FAILURES.items() if name in row["recent"]]
        if failures:
            problems.append(f"rule {row['name']}: {', '.join(failures)} {_LATELY}")
    problems += picture_problems(status, _LATELY)
    holders = {row["name"]: row for row in status["peers"] if row["state"] != "rival"}
    problems += [sentence for row in status["peers"] if (sentence := _wrong_with(row, holders))]
    refused = status["peer_counters"]["recent"]
    if heartbeats := sum(refused.get(f"refused_{reason}", 0) for reason in ("full", "address", "name")):
        problems.append(f"{heartbeats:,} heartbeats under new names were refused {_LATELY}: no room for more peers")
    return [printable(problem) for problem in problems]


def _wrong_with(peer: PeerRow, holders: Mapping[str, PeerRow]) -> str | None:
    if peer["state"] == "down":
        return f"peer {peer['name']} is down: last heard {short_duration(peer['seconds_ago'])} ago"
    holder = holders.get(peer["name"])
    if peer["state"] != "rival" or holder is None or _both_families(peer, holder):
        return None
    return (
        f"{peer['address']} sends heartbeats as {peer['name']}, a name that {holder['address'] or 'another'} holds: "
        "another address of it, another switch of that name, or a forgery"
    )


def _both_families(peer: PeerRow, holder: PeerRow) -> bool:
    """Whether these are one run of one switch over IPv4 and IPv6, as one that sends to groups of both."""
    return peer["core"] == holder["core"] != "" and (":" in peer["address"]) != (":" in holder["address"])


def _lost(counts: Mapping[str, int]) -> dict[str, int]:
    """What was lost between a source and the node, or between the node and a sink.

    What the policy, the guards or the checks of hostile input keep out is kept out on purpose.
    """
    own = {
        name: count for name, count in counts.items() if name.startswith("dropped_") or name in {"too_large", "missing"}
    }
    endpoints = losses({name[9:]: count for name, count in counts.items() if name.startswith("endpoint_")})
    kept_out = {"too_large", "refused_misread", "condition_errors"} | {
        name for name in endpoints if name.startswith("rejected_")
    }
    if "missing" in counts:  # which says what became of what these count
        kept_out |= {"kernel_drops", "ring_overflow"}
    return losses(own) | {name: count for name, count in endpoints.items() if name not in kept_out}


def picture(status: Status, width: int, wall: float) -> Group:
    """The whole status for a terminal of ``width`` columns; ``problems`` are complete already."""
    parts: list[RenderableType] = [*_head(status), _verdict(status["problems"])]
    kinds: list[tuple[str, Sequence[PartRow], Callable[[PartRow], list[Cell]]]] = [
        ("sources", status["sources"], _source),
        ("routes", status["routes"], _route),
        ("sinks", status["sinks"], _sink),
        ("rules", status["rules"], _rule),
    ]
    for title, rows, cells in kinds:
        entries = [Entry(row["name"], _state(row, wall), cells(row)) for row in rows]
        parts += _spaced(section(title, entries, width))
    parts += _spaced(section("keys", _keys(status), width))
    parts += _spaced(section("peers", list(peer_entries(status["peers"])), width))
    for of_picture in picture_sections(status, width, wall):
        parts += _spaced(of_picture)
    if status["warnings"]:
        told = Table.grid(padding=(0, 2, 0, 0))
        for each in status["warnings"][-_WARNINGS:]:
            told.add_row(Text(clock(int(each["at"] * 1e9))[:8], "dim"), Text(printable(each["text"]), overflow="fold"))
        parts += [Text(), Text("last warnings", style="dim"), told]
    return Group(*parts)


def _spaced(section: Iterable[RenderableType]) -> list[RenderableType]:
    """A section with an empty line above it."""
    parts = list(section)
    return [Text(), *parts] if parts else []


def _head(status: Status) -> Iterator[Text]:
    node = status["node"]
    yield Text.assemble(
        (printable(node["name"]), "bold"),
        "  ",
        (node["phase"], "green" if node["phase"] == "running" else "yellow"),
        f" {short_duration(node['uptime'])}",
        (f"  switchcast {node['version']}  pid {node['pid']}", "dim"),
    )
    if node["configuration"]:
        yield Text(printable(node["configuration"]), "dim")


def _verdict(problems: Sequence[str]) -> RenderableType:
    if not problems:
        return Text("all is well", style="green")
    listed = Table.grid(padding=(0, 1, 0, 0))
    for problem in problems:
        listed.add_row(Text("✗", "bold red"), Text(problem, overflow="fold"))
    return listed


def _state(row: PartRow, wall: float) -> Text:
    if not row["state"]:
        return Text()
    return Text(f"{row['state']} {short_duration(wall - row['since'])}", style=_STATES.get(row["state"], ""))


def _source(row: PartRow) -> list[Cell]:
    counts = row["counters"]
    refused = counts.get("refused", 0) + sum(count for name, count in counts.items() if "_rejected_" in name)
    kernel = sum(count for name, count in counts.items() if name.endswith("kernel_drops"))
    return [
        _rate(row),
        _figure("received", counts.get("received", 0)),
        _figure("refused", refused),
        # Where missing events are asked for again, a drop of the kernel's is not yet a loss.
        _figure("kernel drops", kernel, bad="missing" not in counts),
        _figure("missing", counts["missing"], bad=True) if "missing" in counts else Cell("missing", ""),
    ]


def _route(row: PartRow) -> list[Cell]:
    counts = row["counters"]
    return [
        _rate(row),
        _figure("passed", counts.get("passed", 0)),
        _figure("withheld", counts.get("withheld", 0)),
        _figure("unmatched", counts.get("unmatched", 0)),
        _figure("refused", counts.get("refused", 0)),
        _figure("untrusted", counts.get("untrusted", 0) + counts.get("unsigned", 0), bad=True),
    ]


def _sink(row: PartRow) -> list[Cell]:
    counts = row["counters"]
    queue = f"{counts.get('queued', 0):,}" + (f"/{row['limit']:,}" if row["limit"] else "")
    dropped = {name.removeprefix("dropped_"): count for name, count in counts.items() if name.startswith("dropped_")}
    reasons = "\n".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    return [
        Cell("queue", queue),
        _rate(row),
        _figure("sent", counts.get("sent", 0)),
        Cell("dropped", reasons or "0", "red" if reasons else ""),
    ]


def _rule(row: PartRow) -> list[Cell]:
    counts = row["counters"]
    refused = sum(count for name, count in counts.items() if name.startswith("refused_"))
    return [
        _figure("matched", counts.get("matched", 0)),
        _figure("fired", counts.get("fired", 0)),
        _figure("refused", refused),
        _figure("done", counts.get("done", 0)),
        _figure("failed", counts.get("failed", 0), bad=True),
    ]


def _keys(status: Status) -> list[Entry]:
    """The ids of the keys that endpoints run with; what listens and what sends has the same ones."""
    ids = {row["name"]: row["keys"] for kind in ("sources", "sinks") for row in status[kind] if row["keys"]}
    return [
        Entry(name, cells=[Cell("sends with", first, left=True), Cell("receives too", " ".join(rest), left=True)])
        for name, (first, *rest) in ids.items()
    ]


def _rate(row: PartRow) -> Cell:
    return Cell("per s", f"{row['rate']:,.1f}")


def _figure(heading: str, count: int, *, bad: bool = False) -> Cell:
    return Cell(heading, f"{count:,}", "red" if bad and count else "")
