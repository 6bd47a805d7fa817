"""One endpoint examined: every check run on the facts, and what came of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from switchcast.app.doctor.gather import gather
from switchcast.app.doctor.switch_asking import ask_switch
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import UsageError
from switchcast.guard.doctor import event_socket, platform, ports, probing, querier, switch
from switchcast.guard.doctor.facts import Facts, Target, Unchecked
from switchcast.guard.doctor.switch_facts import SwitchFacts, UnreadPart
from switchcast.guard.finding import Finding, Severity

__all__ = ["CHECKS", "Check", "Diagnosis", "diagnose", "examine"]

_AS_ROOT: Final = "run it as root: sudo switchcast doctor"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: ``healthy`` is what is said where it finds nothing; ``needs`` are facts without which it is blind."""

    name: str
    healthy: str
    find: Callable[[Facts], Iterator[Finding]]
    needs: tuple[str, ...] = ()
    unchecked: Callable[[Facts], Iterator[Unchecked]] | None = None


CHECKS: Final[tuple[Check, ...]] = (
    Check("probe", "what the probe sent was heard", probing.check, ("probe",), probing.unchecked),
    Check("querier", "a querier keeps the memberships alive", querier.check, ("queries",), querier.unchecked),
    Check("port", "nobody on the port is in another's way", ports.check, ("sockets",), ports.unchecked),
    Check("platform", "the network and the clock of this host are fit for it", platform.check, (), platform.unchecked),
    Check("switch", "FreeSWITCH's own settings agree with the endpoint", switch.check, (), switch.unchecked),
)
_SWITCH_CHECKS: Final[tuple[Check, ...]] = (
    Check("event socket", "the event socket answers and lets us in", event_socket.check, ("switch",)),
    Check("switch", "FreeSWITCH's own settings are sound", switch.check, ("switch",), switch.unchecked),
)
_NAMES: Final = {
    "links": "the network interfaces",
    "routes": "the routing table",
    "memberships": "which groups this host has joined",
    "sockets": "the UDP sockets of this host",
    "counters": "the kernel's counters",
    "limits": "the kernel's limits",
    "firewall": "the firewall's rules",
    "queries": "whether the network has a querier",
    "sightings": "datagrams that this host itself drops",
    "clock": "the clock",
}


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


async def examine(url: EndpointUrl, *, wait: float, query_interval: float) -> Diagnosis:
    """Examine the endpoint at ``url`` for ``wait`` seconds. Raises ``UsageError`` for one that cannot be examined."""
    if url.scheme in ("multicast", "udp"):
        return diagnose(await gather(url, wait=wait, query_interval=query_interval), CHECKS)
    if url.scheme == "esl":
        answers = await ask_switch(url)
        seen = SwitchFacts(unread=(answers,)) if isinstance(answers, UnreadPart) else SwitchFacts(answers=answers)
        return diagnose(Facts(target=Target(url=str(url), port=url.port or 8021), switch=seen), _SWITCH_CHECKS)
    raise UsageError(
        f"{url}: the doctor examines multicast:, udp: and esl: endpoints; {url.scheme}: endpoints have no network"
    )


def diagnose(facts: Facts, checks: Sequence[Check] = CHECKS) -> Diagnosis:
    """Run ``checks`` on ``facts``."""
    findings: list[Finding] = []
    healthy: list[str] = []
    unchecked = [
        Unchecked(name, facts.unread[member], _AS_ROOT) for member, name in _NAMES.items() if member in facts.unread
    ]
    for check in checks:
        found = list(check.find(facts))
        findings += found
        left = list(check.unchecked(facts)) if check.unchecked is not None else []
        unchecked += left
        seen = all(getattr(facts, need) is not None for need in check.needs)
        if seen and not found and not (left and check.name == "querier"):
            healthy.append(check.healthy)
    return Diagnosis(
        url=facts.target.url,
        seconds=facts.waited or 0.0,
        findings=tuple(sorted(findings, key=lambda finding: finding.severity.rank)),
        healthy=tuple(healthy),
        unchecked=tuple({each.what: each for each in reversed(unchecked)}.values())[::-1],
    )
