"""What happened, in one sentence: who called whom, whether it was answered, how long they talked, and who ended it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from switchcast.archive.trace.causes import cause_text
from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.story import Bridge, Leg, Transfer

__all__ = ["clauses_of", "result_of", "seconds_of", "talked"]

_AT_ONCE: Final = 5_000
"""Microseconds in which nobody waits."""
_USUAL: Final = "NORMAL_CLEARING"
"""Explains itself."""
_TOGETHER: Final = 2_000_000
"""Microseconds within which legs that end do so for one reason."""


def seconds_of(microseconds: int) -> str:
    """``no time``, ``0.34 s``, ``4.8 s``, ``48 s``, ``3 min 07 s``, ``2 h 05 min``."""
    seconds = max(0, microseconds) / 1e6
    if seconds < 0.005:
        return "no time"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def talked(bridges: Sequence[Bridge]) -> float | None:
    """Seconds in which any two legs were bridged; ``None`` where none ever were, or not for a time that is known."""
    spans = sorted((b.began, b.ended) for b in bridges if b.began is not None and b.ended is not None)
    if not spans:
        return None
    total, reached = 0, spans[0][0]
    for began, ended in spans:
        total += max(0, ended - max(began, reached))
        reached = max(reached, ended)
    return total / 1e6


def result_of(legs: Sequence[Leg], bridges: Sequence[Bridge]) -> str:
    """``talked 4.8 s``, ``up for 3.9 s``, ``USER_BUSY``, ``still up``: for a list of calls."""
    root = legs[0]
    if any(leg.state in {"up", "ringing"} for leg in legs):
        return "still up" if any(leg.answered is not None for leg in legs) else "still ringing"
    spoken = talked(bridges)
    if spoken is not None:
        return f"talked {seconds_of(round(spoken * 1e6))}"
    if root.answered is not None and root.ended is not None:
        return f"up for {seconds_of(root.ended - root.answered)}"
    if root.answered is not None:
        return "answered"
    return next((leg.cause for leg in legs if leg.cause), "not known")


def clauses_of(
    legs: Sequence[Leg],
    parents: Mapping[str, str],
    bridges: Sequence[Bridge],
    transfers: Sequence[Transfer],
    own: Sequence[Sighting],
) -> Iterator[str]:
    """The sentence's clauses. The first one says who called whom, and can be followed by when."""
    root = legs[0]
    yield _opening(legs, parents)
    yield from _answered(legs, bridges)
    held = sum(leg.held for leg in legs)
    if held:
        yield f"on hold for {seconds_of(held)}"
    conferences = dict.fromkeys(name for each in own if (name := each.get("Conference-Name")))
    if conferences:
        yield f"in conference {', '.join(conferences)}"
    for transfer in transfers:
        if transfer.kind != "bridge":
            yield f"transferred to {transfer.to} ({transfer.kind})"
    if any(each.kind == "valet_parking::info" and each.get("Action") == "hold" for each in own):
        yield "parked"
    spoken = talked(bridges)
    if spoken is not None:
        yield f"talked {seconds_of(round(spoken * 1e6))}"
    elif root.answered is not None and root.ended is not None:
        yield f"up for {seconds_of(root.ended - root.answered)}"
    yield from _ending(legs, parents)


def _opening(legs: Sequence[Leg], parents: Mapping[str, str]) -> str:
    root = legs[0]
    nodes = list(dict.fromkeys(leg.node for leg in legs if leg.heard and leg.node))
    over = f" over {', '.join(nodes[:-1])} and {nodes[-1]}" if len(nodes) > 1 else ""
    caller = (root.from_number or "somebody") if root.inbound else root.from_number or root.node or "a switch"
    if root.direction == "outbound" and root.id not in parents:
        caller = root.node or "a switch"
    return f"{caller} called {root.to_number or 'an unknown number'}{over}"


def _answered(legs: Sequence[Leg], bridges: Sequence[Bridge]) -> Iterator[str]:
    root = legs[0]
    if root.answered is not None:
        wait = 0 if root.began is None else root.answered - root.began
        after = "" if root.began is None else " at once" if wait < _AT_ONCE else f" after {seconds_of(wait)}"
        first = bridges[0] if bridges else None
        other = next((leg for leg in legs if first is not None and leg.id == first.b), None)
        first_up = other is not None and other.answered is not None and other.answered <= root.answered
        by = f" by {other.party}" if other and first_up and other.party not in {"", root.to_number} else ""
        yield f"answered{by}{after}"
        return
    if root.state in {"up", "ringing"}:
        yield "not answered yet"
        return
    refused = next((leg for leg in legs if leg.disposition == "recv_refuse" and leg.party), None)
    if refused is not None:
        status = f", SIP {refused.sip_status}" if refused.sip_status else ""
        yield f"{refused.party} refused: {refused.cause} ({cause_text(refused.cause, refused.cause_code)}{status})"
    else:
        yield "not answered"


def _ending(legs: Sequence[Leg], parents: Mapping[str, str]) -> Iterator[str]:
    root = legs[0]
    if any(leg.state in {"up", "ringing"} for leg in legs):
        yield "still up when last heard of" if root.answered is not None else "still ringing when last heard of"
        return
    if root.answered is None and any(leg.disposition == "recv_refuse" for leg in legs):
        return
    ends = [leg.ended for leg in legs if leg.ended is not None]
    if not ends:
        return
    last = [leg for leg in legs if leg.ended is not None and leg.ended >= max(ends) - _TOGETHER]
    last.sort(key=lambda leg: (leg.ended or 0, leg.letter))
    between = {leg for pair in parents.items() for leg in pair if _between_nodes(pair, legs)}
    telephone = next((leg for leg in last if leg.ended_by == "telephone" and leg.id not in between), None)
    cause = (telephone or last[0]).cause
    told = f"{cause} ({cause_text(cause)})" if cause_text(cause) and cause != _USUAL else cause
    if telephone is not None and telephone.party:
        verb = "given up" if telephone.disposition == "recv_cancel" else "hung up"
        yield f"{verb} by {telephone.party}, {told}"
    elif any(leg.ended_by == "command" for leg in last):
        yield f"hung up by command, {told}"
    elif told:
        yield f"ended by the switch, {told}" if any(leg.ended_by == "switch" for leg in last) else f"ended, {told}"


def _between_nodes(pair: tuple[str, str], legs: Sequence[Leg]) -> bool:
    """Whether these two legs are the ends of one way between two nodes: neither leads to a telephone."""
    nodes = [leg.node for leg in legs if leg.id in pair]
    return len(nodes) == 2 and nodes[0] != nodes[1]
