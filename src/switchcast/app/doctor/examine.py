"""One endpoint examined: every check run on the facts, and what came of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from switchcast.app.doctor.gather import gather
from switchcast.app.doctor.switch_asking import ask_switch
from switchcast.app.doctor.switch_files import read_switch, with_answers
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointDenied, UsageError
from switchcast.guard.doctor import (
    buffers,
    event_socket,
    filtering,
    fragments,
    membership,
    platform,
    ports,
    probing,
    querier,
    routing,
    switch,
)
from switchcast.guard.doctor.facts import Facts, Target, Unchecked
from switchcast.guard.doctor.switch_facts import SwitchFacts, UnreadPart, is_local
from switchcast.guard.finding import Finding, Severity
from switchcast.system.firewall import read_firewall

__all__ = ["CHECKS", "SCHEMES", "Check", "Diagnosis", "diagnose", "examine", "prepare"]

SCHEMES: Final = ("multicast", "udp", "esl")

_AS_ROOT: Final = "run it as root: sudo switchcast doctor"
_KEYS: Final = "mend the file, or run it as root: with a file that is refused the endpoint does not start"


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``healthy`` says what is well where it found nothing, or nothing where it could not look."""

    healthy: Callable[[Facts], str | None]
    find: Callable[[Facts], Iterator[Finding]]
    unchecked: Callable[[Facts], Iterator[Unchecked]] | None = None


def _known(sentence: str, *members: str) -> Callable[[Facts], str | None]:
    """``sentence`` where all these facts are known."""
    return lambda facts: sentence if all(getattr(facts, member) is not None for member in members) else None


def _healthy_probe(facts: Facts) -> str | None:
    if facts.probe is None or not facts.probe.rows or not all(row.heard for row in facts.probe.rows):
        return None
    if others := len(facts.probe.neighbours):
        return f"datagrams of every size get through to and from {others} other host{'s' if others > 1 else ''}"
    return "this host's own datagrams of every size came back to it"


def _healthy_querier(facts: Facts) -> str | None:
    asking = [query for queries in facts.queries or () for query in queries.heard]
    if not asking:
        return None
    return f"{asking[0].source} asks for memberships in {asking[0].protocol}v{asking[0].version}"


def _healthy_membership(facts: Facts) -> str | None:
    if facts.link is None or not facts.target.groups or facts.memberships is None:
        return None
    if any(membership.hearing(facts, group) for group in facts.target.groups):
        return f"{facts.link.name} is up, and the group is joined there"
    return f"{facts.link.name} is up and carries groups; no program here listens on port {facts.target.port} yet"


def _healthy_firewall(facts: Facts) -> str | None:
    """Only where every rule could be listed."""
    if facts.firewall is None or facts.firewall.unread:
        return None
    return "no firewall rule of this host is in the way"


def _healthy_platform(facts: Facts) -> str | None:
    if facts.platform is None or not platform.known(facts):
        return None
    clock = " and its clock are" if facts.clock is not None and facts.target.mode != "stock" else " is"
    return f"the host's network{clock} fit for it"


def _healthy_switch(facts: Facts) -> str | None:
    switch_facts = facts.switch
    if switch_facts is None or not switch_facts.found or switch_facts.unread:
        return None
    if switch_facts.module is None:  # only asked, or a switch without the module
        return "FreeSWITCH is set up safely as far as it was seen"
    return "FreeSWITCH's own settings agree with the endpoint"


def _unchecked_switch(facts: Facts) -> Iterator[Unchecked]:
    """Nothing for a switch that did not answer: that is a finding."""
    if facts.switch is not None and facts.switch.answers is not None:
        yield from switch.unchecked(facts)


CHECKS: Final[tuple[Check, ...]] = (
    Check(_healthy_probe, probing.check, probing.unchecked),
    Check(_healthy_membership, membership.check, membership.unchecked),
    Check(_known("the kernel knows the way there and back", "routes"), routing.check, routing.unchecked),
    Check(
        _known("buffers are large enough, and none overflows", "sockets", "limits"), buffers.check, buffers.unchecked
    ),
    Check(_known("fragments are put together", "counters", "limits"), fragments.check, fragments.unchecked),
    Check(_healthy_firewall, filtering.check, filtering.unchecked),
    Check(_healthy_querier, querier.check, querier.unchecked),
    Check(_known("nobody on the port is in another's way", "sockets"), ports.check, ports.unchecked),
    Check(_healthy_platform, platform.check, platform.unchecked),
    Check(_healthy_switch, switch.check, switch.unchecked),
)
_SWITCH_CHECKS: Final[tuple[Check, ...]] = (
    Check(_known("the event socket answers and lets us in", "switch"), event_socket.check),
    Check(_healthy_switch, switch.check, _unchecked_switch),
)
_NAMES: Final = {
    "counters": "the kernel's counters",
    "queries": "whether the network has a querier",
    "sightings": "datagrams that this host itself drops",
    "clock": "the clock",
    "keys": "the endpoint's keys",
}
"""Facts that no check says of when they could not be read."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, worst first; what is well, a line each; and what could not be looked at."""

    url: str
    seconds: float
    findings: tuple[Finding, ...]
    healthy: tuple[str, ...]
    unchecked: tuple[Unchecked, ...]

    @property
    def sound(self) -> bool:
        """Nothing worse than a notice."""
        return all(finding.severity is Severity.NOTICE for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {
            "url": self.url,
            "seconds": round(self.seconds, 3),
            "findings": [finding.to_dict() for finding in self.findings],
            "healthy": list(self.healthy),
            "unchecked": [{"what": each.what, "why": each.why, "how": each.how} for each in self.unchecked],
        }


def prepare(url: EndpointUrl) -> None:
    """Raise ``UsageError`` for what the endpoint itself would refuse, and for one that cannot be examined."""
    if url.scheme not in SCHEMES:
        raise UsageError(
            f"{url}: the doctor examines multicast:, udp: and esl: endpoints; {url.scheme}: endpoints have no network"
        )
    with contextlib.suppress(EndpointDenied):  # a file of secrets that this user may not read, which is told later
        make_endpoint(url)


async def examine(url: EndpointUrl, *, wait: float, query_interval: float) -> Diagnosis:
    """Examine the endpoint at ``url``, which is fit for it (``prepare``), for ``wait`` seconds.

    Raises ``EndpointUnavailable`` for a name that cannot be looked up, ``UrlError`` where that is of the wrong kind.
    """
    if url.scheme != "esl":
        return diagnose(await gather(url, wait=wait, query_interval=query_interval), CHECKS)
    answers = await ask_switch(url)
    local = is_local(str(url)) and not isinstance(answers, UnreadPart)  # then its files and rules are this host's
    here = replace(await asyncio.to_thread(read_switch, None, False), looked_in=()) if local else SwitchFacts()
    target = Target(url=str(url), port=8021 if url.port is None else url.port)
    rules = await asyncio.to_thread(read_firewall) if local else None
    return diagnose(Facts(target=target, firewall=rules, switch=with_answers(here, answers)), _SWITCH_CHECKS)


def diagnose(facts: Facts, checks: Sequence[Check] = CHECKS) -> Diagnosis:
    """Run ``checks`` on ``facts``."""
    findings: list[Finding] = []
    healthy: list[str] = []
    unchecked = [
        Unchecked(name, facts.unread[member], _KEYS if member == "keys" else _AS_ROOT)
        for member, name in _NAMES.items()
        if member in facts.unread
    ]
    for check in checks:
        found = list(check.find(facts))
        findings += found
        if check.unchecked is not None:
            unchecked += check.unchecked(facts)
        if not found and (well := check.healthy(facts)) is not None:
            healthy.append(well)
    return Diagnosis(
        url=facts.target.url,
        seconds=facts.waited or 0.0,
        findings=tuple(sorted(findings, key=lambda finding: finding.severity.rank)),
        healthy=tuple(healthy),
        unchecked=tuple({each.what: each for each in reversed(unchecked)}.values())[::-1],
    )
