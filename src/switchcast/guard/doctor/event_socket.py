"""Whether the event socket that the doctor was asked about answers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from switchcast.guard.doctor.facts import Facts
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["check"]


def check(facts: Facts) -> Iterator[Finding]:
    """An event socket that does not answer, or does not let us in."""
    if facts.switch is None or facts.switch.answers is not None:
        return
    host = urlsplit(facts.target.url).hostname or "127.0.0.1"
    said = tuple(part.why for part in facts.switch.unread)
    refused = any("refused the password" in why or "access list" in why for why in said)
    yield Finding(
        code="event-socket-denied" if refused else "event-socket-silent",
        severity=Severity.CRITICAL,
        title="The switch's event socket does not let us in."
        if refused
        else "The switch's event socket does not answer.",
        evidence=said,
        cause=(
            "Its password is another, or its access list does not name this host."
            if refused
            else "FreeSWITCH does not run there, has not loaded mod_event_socket, or listens on another address."
        ),
        mends=(
            Mend(
                f"esl://{host}:{facts.target.port}?password_file=FILE",
                "in the URL: FILE holds the password of event_socket.conf.xml",
            )
            if refused
            else Mend("ss -tlnp sport = :" + str(facts.target.port), "on the switch: shows who listens, and where"),
        ),
    )
