"""What could not be counted: names that nobody should have to count, and what hides behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from switchcast.guard.audit.leaks import AuditResult
from switchcast.guard.audit.look import Look, keyed
from switchcast.guard.audit.suggested_text import bindings_of, shown
from switchcast.guard.finding import Finding, Mend, Severity

__all__ = ["too_many_names"]

_STANDS_OUT: Final = 2
"""A sender of more than one in so many of the kinds that were counted is named."""


def too_many_names(look: Look) -> Iterator[Finding]:
    """More names of kinds, headers or senders came than are counted apart, so something was not looked at."""
    result = look.result
    if result is None or not any(result.uncounted.get(what) for what in ("kinds", "headers", "senders")):
        return
    loudest = _loudest(result)
    yield Finding(
        "too-many-names",
        Severity.WARNING,
        "More names came than are counted apart, so not all that was sent was looked at.",
        (*_left_out(look.reach.url, result), *_of_sender(result, loudest)),
        "Tables are bounded, for whoever reaches the group can write any name, and a flood of them fills the tables: "
        "what came after it, or under a name of more than 256 bytes, may be a leak that this report does not tell. "
        "The same happens without malice where names have a changing part, such as variables called after a call.",
        tuple(_mends(look, loudest)),
    )


def _left_out(url: str, result: AuditResult) -> Iterator[str]:
    headers = sum(len(kind.headers) for kind in result.kinds)
    rows = {
        "kinds": ("kinds of event", len(result.kinds), "events of further kinds"),
        "headers": ("headers", headers, "further headers"),
        "senders": ("senders", len(result.senders), "events of further senders"),
    }
    for what, (kept, count, left) in rows.items():
        if number := result.uncounted.get(what):
            yield f"{url}: {kept} that were counted: {count:,}; {left}, which were not: {number:,}"


def _loudest(result: AuditResult) -> str | None:
    """The sender that most kinds of event came from and from nobody else, if it stands out."""
    alone = Counter(next(iter(kind.senders)) for kind in result.kinds if len(kind.senders) == 1)
    if not alone or len(result.senders) == 1:
        return None
    sender, kinds = alone.most_common(1)[0]
    return sender if kinds * _STANDS_OUT > len(result.kinds) else None


def _of_sender(result: AuditResult, sender: str | None) -> Iterator[str]:
    if sender is not None:
        kinds = sum(kind.senders.keys() == {sender} for kind in result.kinds)
        yield f"{kinds:,} of the kinds that were counted came from {shown(sender)} and nobody else"


def _mends(look: Look, loudest: str | None) -> Iterator[Mend]:
    if loudest is not None and _can_be_quoted(loudest):
        yield Mend(
            f"switchcast audit SOURCE --where 'sender != \"{loudest}\"'",
            "The others are looked at, with all the room there is; and again with == to see what this one sends.",
        )
    kinds = dict.fromkeys(kind for feature in look.wanted for need in feature.needs for kind in need.kinds)
    yield Mend(
        f"switchcast audit SOURCE --bindings '{' '.join(bindings_of(list(kinds)))}'",
        "Only these kinds are counted, so those that somebody made up take no place.",
    )
    if look.anyone_may_speak and look.reach.is_network:
        yield Mend(
            keyed("traced", ', stock = "reject"'),
            "What proves nothing is dropped and counted; hosts that run the module alone are heard no more.",
        )
    yield Mend(
        "in the dialplan: variables whose names do not change; and a policy that names what may leave",
        "What a switch of yours invents does not leave it.",
    )


def _can_be_quoted(sender: str) -> bool:
    """Whether it can stand in a condition and on a command line as it is."""
    return shown(sender) == sender and sender.isascii() and not set(sender) & set("'\"\\`$!")
