"""A story out of the events of one call: its legs, steps, bridges and transfers, and what is missing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from switchcast.archive.trace.lacking import lacking
from switchcast.archive.trace.legs import letter_of, make_leg, spoken_of
from switchcast.archive.trace.sentence import clauses_of, result_of, seconds_of, talked
from switchcast.archive.trace.sightings import Sighting
from switchcast.archive.trace.steps import command_of, say, telling_command
from switchcast.archive.trace.story import Bridge, Leg, Step, StepKind, Story, Transfer
from switchcast.archive.trace.web import Web

__all__ = ["tell"]

_AT_THE_END: Final = 150_000
"""Microseconds before the end of a leg in which what ends with it is no news."""
_LAST: Final = 2**63
_RANKS: Final = {"begin": 0, "hangup": 2}
_ENDINGS: Final = {
    "recv_bye": "hangs up",
    "recv_cancel": "gives up",
    "recv_refuse": "refuses",
    "send_refuse": "is refused",
    "send_cancel": "is called off",
}
"""What ``sip_hangup_disposition`` says of the leg; a BYE that was sent is its switch's doing, for whatever reason."""


def tell(seen: Sequence[Sighting], web: Web, members: Sequence[str], *, reveal: bool = False) -> Story:
    """The story of the legs ``members``, of which at least one was heard.

    ``seen`` are all sightings, distinct and in order; those of other calls are passed over.
    """
    inside = set(members)
    parents = {leg: parent for leg in members if (parent := _parent(web, leg)) in inside}
    legs = _legs(web, members, parents)
    own = [each for each in seen if each.leg and web.name(each.leg) in inside]
    calls = [each for each in seen if not each.leg and _concerns(each, web, inside)]
    legs = [_ended_by_command(leg, calls) for leg in legs]
    bridges = tuple(_bridges(own, web, {leg.id: leg for leg in legs}))
    transfers = tuple(sorted(_transfers(own, web), key=lambda each: (each.time, each.leg, each.to)))
    steps = list(_own_steps(legs, parents, own))
    steps += _said_steps(own, web, {leg.id: leg for leg in legs}, bridges, reveal=reveal)
    steps += _bridge_steps(bridges, own, web, {leg.id: leg for leg in legs})
    steps += _transfer_steps(transfers, web)
    steps += _command_steps(calls, web, inside)
    steps.sort(key=_Order(legs))
    times = [each.time for each in own] + [step.time for step in steps]
    began, ended = min(times), max(times)
    clauses = clauses_of(legs, parents, bridges, transfers, own)
    links = tuple(link for link in web.links if link.a in inside and link.b in inside)
    root = legs[0]
    return Story(
        id=root.id,
        clauses=tuple(clauses),
        began=began,
        ended=ended,
        legs=tuple(legs),
        steps=tuple(steps),
        bridges=bridges,
        transfers=transfers,
        links=links,
        missing=tuple(lacking(legs, links, seen, began, ended)),
        caller=root.from_number if root.inbound or root.from_number else "",
        callee=root.to_number,
        result=result_of(legs, bridges),
        talked=talked(bridges),
        events=len(own) + len(calls),
        trust=Counter(each.event.trust for each in (*own, *calls)),
        revealed=reveal,
    )


_HOW: Final = frozenset({"off", "toggle", "start", "stop", "-bleg", "-both", "-aleg"})
"""Words of a command that may be shown: others can be numbers or digits."""


class _Order:
    """Steps by time; at one time as the switch counted them. What no event told of a leg's end comes at last."""

    def __init__(self, legs: Sequence[Leg]) -> None:
        self._places = {leg.id: place for place, leg in enumerate(legs)}

    def __call__(self, step: Step) -> tuple[int, int, int, int, str, str]:
        number = step.sequence or (_LAST if step.kind == "hangup" else 0)
        return step.time, number, _RANKS.get(step.kind, 1), self._places.get(step.leg, 0), step.kind, step.words


def _parent(web: Web, leg: str) -> str:
    """The leg that began this one; empty where nobody says."""
    for each in web.sightings.get(leg, ()):
        candidates = [
            each.get("variable_originating_leg_uuid"),
            each.get("variable_originator"),
            each.get("variable_loopback_from_uuid"),
        ]
        if each.get("variable_loopback_leg") == "B" or each.get("Channel-Name").endswith("-b"):
            candidates.append(each.get("variable_other_loopback_leg_uuid"))
        if each.get("Other-Type") == "originator" and each.moment("Caller-Channel-Answered-Time") is None:
            candidates.append(each.get("Other-Leg-Unique-ID"))
        for candidate in candidates:
            if candidate and web.name(candidate.lower()) != leg:
                return web.name(candidate.lower())
    own = web.sightings.get(leg)
    if own and own[0].get("Call-Direction") == "inbound":
        for link in web.links:
            if link.kind in {"call-id", "likely"} and leg in (link.a, link.b):
                other = link.b if link.a == leg else link.a
                if any(each.get("Call-Direction") == "outbound" for each in web.sightings.get(other, ())):
                    return other
    return ""


def _legs(web: Web, members: Sequence[str], parents: dict[str, str]) -> list[Leg]:
    """The legs, those next to one another that began one another, with their letters."""
    made = {}
    for leg in members:
        seen = web.sightings.get(leg)
        made[leg] = make_leg(leg, "", seen, web.also(leg)) if seen else spoken_of(leg, "", web.spoken.get(leg, ()))
    children: dict[str, list[str]] = {}
    for leg, parent in parents.items():
        children.setdefault(parent, []).append(leg)

    def age(leg: str) -> tuple[int, bool, str]:
        return made[leg].began or 2**63, not made[leg].inbound, leg

    order: dict[str, None] = {}
    stack = sorted((leg for leg in members if leg not in parents), key=age, reverse=True)
    while stack or len(order) < len(members):
        leg = stack.pop() if stack else min((each for each in members if each not in order), key=age)
        if leg not in order:
            order[leg] = None
            stack += sorted((each for each in children.get(leg, ()) if each not in order), key=age, reverse=True)
    return [replace(made[leg], letter=letter_of(number)) for number, leg in enumerate(order)]


def _concerns(each: Sighting, web: Web, inside: set[str]) -> bool:
    """Whether an event of no leg is of this call: a conference as a whole, or a command about one of its legs."""
    conference = each.get("Conference-Unique-ID").lower()
    if conference and not inside.isdisjoint(web.conferences.get(conference, ())):
        return True
    command, words = command_of(each)
    return bool(command) and any(web.name(word) in inside for word in words)


def _ended_by_command(leg: Leg, calls: Sequence[Sighting]) -> Leg:
    """``leg``, with the command named that ended it, if one did just before."""
    if leg.ended is None or leg.ended_by == "telephone":
        return leg
    for each in calls:
        command, words = command_of(each)
        if command == "uuid_kill" and leg.id in words and abs(leg.ended - each.time) <= _AT_THE_END:
            return replace(leg, ended_by="command")
    return leg


def _bridges(own: Sequence[Sighting], web: Web, legs: dict[str, Leg]) -> Iterator[Bridge]:
    """Each time that two legs were connected. One whose end was not heard ended with the first of them."""
    open_ones: dict[tuple[str, str], int] = {}
    for each in own:
        a, b = (web.name(each.get(f"Bridge-{side}-Unique-ID").lower()) for side in "AB")
        if a not in legs or b not in legs:
            continue
        if each.kind == "CHANNEL_BRIDGE":
            open_ones.setdefault((a, b), each.time)
        elif each.kind == "CHANNEL_UNBRIDGE":
            began = open_ones.pop((a, b), None)
            if began is None:
                began = each.moment("Caller-Channel-Bridged-Time")
            yield Bridge(a, b, began, each.time)
    for (a, b), began in open_ones.items():
        ends = [end for leg in (a, b) if (end := legs[leg].ended) is not None and end >= began]
        yield Bridge(a, b, began, min(ends, default=None))


def _transfers(own: Sequence[Sighting], web: Web) -> Iterator[Transfer]:
    """Where legs were sent. The switch keeps a list: ``seconds:id:kind:where``, ``bl_xfer``, ``att_xfer``, ``uuid_br``.

    An event can have waited, and tell of what came after it: the first one from that second on gives the time.
    """
    first: dict[str, tuple[str, str, str, int, list[int]]] = {}
    for each in own:
        for entry in (*each.array("variable_transfer_history"), each.get("Caller-Transfer-Source")):
            parts = entry.split(":", 3)
            if len(parts) == 4 and parts[0].isdigit() and len(parts[0]) < 12:
                second = int(parts[0]) * 1_000_000
                entered = first.setdefault(parts[1], (web.name(each.leg), parts[2], parts[3], second, []))
                if each.time >= second:
                    entered[4].append(each.time)
    for leg, kind, where, second, times in first.values():
        time = min(times, default=second)
        if kind == "bl_xfer":
            yield Transfer(leg, "blind", where.partition("/")[0], time)
        elif kind == "att_xfer":
            yield Transfer(leg, "attended", where.rpartition("/")[2], time)
        elif kind == "uuid_br":
            yield Transfer(leg, "bridge", web.name(where.lower()), time)


def _own_steps(legs: Sequence[Leg], parents: dict[str, str], own: Sequence[Sighting]) -> Iterator[Step]:
    """How each leg began, rang, was answered and ended, by its events or by the times that later ones give."""
    heard: dict[tuple[str, str], int] = {}
    for each in own:
        heard.setdefault((each.leg, each.kind), each.sequence)
        heard.setdefault((each.leg, ""), each.sequence)
    nodes = {leg.id: leg.node for leg in legs}
    ways = [pair for leg, parent in parents.items() for pair in ((leg, parent), (parent, leg))]
    beyond = {one: nodes[other] for one, other in ways if nodes[one] != nodes[other]}
    for leg in legs:
        own_events: tuple[tuple[StepKind, int | None, str, str], ...] = (
            ("begin", leg.began, _begin_words(leg), "CHANNEL_CREATE"),
            ("ring", leg.rang, "hears ringing" if leg.inbound else "rings", "CHANNEL_PROGRESS"),
            ("answer", leg.answered, _answer_words(leg), "CHANNEL_ANSWER"),
            ("hangup", leg.ended, _end_words(leg, beyond.get(leg.id, "")), "CHANNEL_HANGUP"),
        )
        for kind, time, words, event in own_events:
            number = next((heard[name, event] for name in (leg.id, *leg.also) if (name, event) in heard), None)
            other = parents.get(leg.id, "") if kind == "begin" else ""
            if time is not None:
                told = number is not None or (kind == "hangup" and leg.end_heard)
                if kind == "begin":  # some say what they do before they say that they are there
                    number = next((heard[name, ""] for name in (leg.id, *leg.also) if (name, "") in heard), None)
                yield Step(time, kind, leg.id, words, other, leg.node, event, number or 0, told=told)


def _begin_words(leg: Leg) -> str:
    if leg.name.startswith("loopback/"):
        return "the other half of the loopback" if leg.inbound else f"{leg.to_number or '?'} is called over loopback"
    if not leg.inbound:
        return f"{leg.to_number or leg.party or '?'} is called"
    address = f" from {leg.address}" if leg.address else ""
    return f"{leg.from_number or 'somebody'} calls {leg.to_number or '?'}{address}"


def _answer_words(leg: Leg) -> str:
    who = "is answered" if leg.inbound else "answers"
    return f"{who}, {leg.codec_read}" if leg.codec_read else who


def _end_words(leg: Leg, beyond: str) -> str:
    """Why it ended; ``beyond`` is the node at its other end, if that is one."""
    status = f"SIP {leg.sip_status}" if leg.sip_status and not leg.sip_status.startswith("2") else ""
    why = ", ".join(part for part in (leg.cause_text or leg.cause or "no cause told", status) if part)
    ends = "is hung up by command" if leg.ended_by == "command" else "ends"
    if beyond and leg.disposition == "recv_bye":
        return f"is hung up by {beyond}: {why}"
    return f"{_ENDINGS.get(leg.disposition, ends)}: {why}"


def _said_steps(
    own: Sequence[Sighting], web: Web, legs: dict[str, Leg], bridges: Sequence[Bridge], *, reveal: bool
) -> Iterator[Step]:
    """What the other events say. What ends with its leg is no news, nor what is played into a conversation."""
    bridged = {leg for bridge in bridges for leg in (bridge.a, bridge.b)}
    held: dict[str, int] = {}
    for each in own:
        leg = legs[web.name(each.leg)]
        ending = leg.ended is not None and each.time >= leg.ended - _AT_THE_END
        for said in say(each, reveal=reveal):
            words, main = said.words, said.main
            if said.kind == "hold":
                held.setdefault(leg.id, each.time)
            elif said.kind == "unhold" and leg.id in held:
                words = f"{words} after {seconds_of(each.time - held.pop(leg.id))}"
            if said.kind in {"unpark", "recorded"} and ending:
                main = False
            if said.kind == "play":
                main = leg.id not in bridged
            other = web.name(said.other) if said.other else ""
            yield Step(each.time, said.kind, leg.id, words, other, each.node, each.kind, each.sequence, main)


def _bridge_steps(bridges: Sequence[Bridge], own: Sequence[Sighting], web: Web, legs: dict[str, Leg]) -> Iterator[Step]:
    numbers = {(each.kind, each.time, web.name(each.leg)): each.sequence for each in own}
    for bridge in bridges:
        node = legs[bridge.a].node
        if bridge.began is not None:
            sequence = numbers.get(("CHANNEL_BRIDGE", bridge.began, bridge.a), 0)
            yield Step(bridge.began, "bridge", bridge.a, "bridged", bridge.b, node, "CHANNEL_BRIDGE", sequence)
        ends = [end for leg in (bridge.a, bridge.b) if (end := legs[leg].ended) is not None]
        if bridge.ended is not None and ("CHANNEL_UNBRIDGE", bridge.ended, bridge.a) in numbers:
            sequence = numbers["CHANNEL_UNBRIDGE", bridge.ended, bridge.a]
            length = f" after {seconds_of(bridge.ended - bridge.began)}" if bridge.began is not None else ""
            news = not any(abs(bridge.ended - end) <= _AT_THE_END for end in ends)
            yield Step(
                bridge.ended,
                "unbridge",
                bridge.a,
                f"no longer bridged{length}",
                bridge.b,
                node,
                "CHANNEL_UNBRIDGE",
                sequence,
                news,
            )


def _transfer_steps(transfers: Sequence[Transfer], web: Web) -> Iterator[Step]:
    for transfer in transfers:
        node = next((each.node for each in web.sightings.get(transfer.leg, ())), "")
        if transfer.kind == "bridge":
            yield Step(
                transfer.time, "transfer", transfer.leg, "is to be bridged by command", transfer.to, node, main=False
            )
        else:
            words = f"is transferred to {transfer.to} ({transfer.kind})"
            yield Step(transfer.time, "transfer", transfer.leg, words, "", node)


def _command_steps(calls: Sequence[Sighting], web: Web, inside: set[str]) -> Iterator[Step]:
    for each in calls:
        command, words = command_of(each)
        legs = [web.name(word) for word in words if web.name(word) in inside]
        if command and legs:
            other = legs[1] if len(legs) > 1 else ""
            how = [word for word in words if word in _HOW]
            yield Step(
                each.time,
                "command",
                legs[0],
                " ".join(["command", command, *how]),
                other,
                each.node,
                each.kind,
                each.sequence,
                telling_command(command),
            )
        elif not command:
            action = each.get("Action")
            words_of = f"conference {each.get('Conference-Name')}: {action}"
            yield Step(each.time, "conference", "", words_of, "", each.node, each.kind, each.sequence, main=False)
