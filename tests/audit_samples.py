"""Reports of audits to show: of the recording, and of traffic that somebody made up to do harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache

from recordings import DATA

from switchcast import Event
from switchcast.app.cli.audit_reach import reach_of_source
from switchcast.app.reports.audit_report import AuditReport, Listener, Listening
from switchcast.endpoints import EndpointUrl, make_endpoint
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.comparison import compare
from switchcast.guard.audit.inventory import Audit
from switchcast.guard.audit.standing import standing_findings
from switchcast.guard.audit.suggest import suggest
from switchcast.guard.policy import compile_policy

CAPTURE = f"file:{DATA / 'stock-plain.pcap.gz'}"
KEEP = ("registrations", "presence", "lamps")
SCRIPT = "<script>document.title='taken'</script>"
HOSTILE = '"><img src=x onerror="document.title=\'taken\'"><style>*{display:none}</style>&lt;'
GROUP = "multicast://225.1.1.1:4242?interface=lo&ttl=8"


@cache
def recorded_events() -> tuple[Event, ...]:
    async def read() -> list[Event]:
        async with make_endpoint(CAPTURE, role="source") as source:
            return [event async for event in source]

    return tuple(asyncio.run(read()))


def hostile_events() -> list[Event]:
    """What a stranger on the group may send."""
    headers = {
        f"Caller-ANI{HOSTILE}": f"+4930123456{SCRIPT}",
        "Caller-Caller-ID-Number": f"+4930{HOSTILE}",
        "sip_auth_password": SCRIPT,
        "Multicast-Sender": SCRIPT,
        "x" * 300: "+493012345678",
        "\u202eCaller-ANI\u0007": "\u202e+493012345678",
    }
    custom = {"Event-Subclass": SCRIPT, "Caller-Caller-ID-Number": "+493012345678"}
    return [Event("CHANNEL_CREATE", headers), Event(SCRIPT, headers), Event("CUSTOM", custom)]


def report_of(
    events: Iterable[Event], source: str = GROUP, *, keep: tuple[str, ...] = KEEP, reveal: bool = False
) -> AuditReport:
    """The report on ``events``, as if ``source`` had given them, with the suggested policy tried."""
    url = EndpointUrl.parse(source)
    reach = reach_of_source(url)
    before, after = Audit(Classifier(reveal=reveal)), Audit(Classifier(reveal=reveal))
    batch = list(events)
    before.add(batch)
    result = before.result()
    suggestion = suggest(keep, result) if keep else None
    if suggestion is not None:
        after.add(compile_policy("suggested", suggestion.settings)(batch))
    network = Listening(
        sockets=(Listener("0.0.0.0", 4242, None, "freeswitch", 812), Listener("0.0.0.0", 4242, None, None, None)),  # noqa: S104
        joined=("lo (225.1.1.1)",),
        unknown=("which other hosts listen",),
    )
    return AuditReport(
        source=str(url),
        made="2026-01-02T03:04:05+00:00",
        seconds=159.2,
        ended="source",
        result=result,
        reach=reach,
        listening=network if reach.is_network else None,
        findings=tuple(standing_findings([reach], result, keep=keep, trust=before.trust)),
        comparison=compare("suggested", result, after.result()) if keep else None,
        under=after.result() if keep else None,
        suggestion=suggestion,
        revealed=reveal,
    )


@cache
def recorded_report() -> AuditReport:
    """The report on the recording, as if its events had come from a group."""
    return report_of(recorded_events())
