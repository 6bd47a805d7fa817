"""A suggested policy as a table of the configuration; in comments for whom, what it gives away, and what stays here.

Names in it come from the network, so they are shown only as far as they are printable: a comment that held a line break
would be a setting.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from switchcast.guard.audit.features import Feature
from switchcast.guard.audit.leaks import AuditResult, HeaderRow, KindRow, Leak

__all__ = ["Allowance", "Draft", "Left", "bindings_of", "policy_text", "shown"]

WIDTH: Final = 120
MOST_SHOWN: Final = 6
"""Names of one list: what follows is a number."""
LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may pass of some kinds of event, and whom it serves: ``whys`` are ``feature: what reads it``."""

    kinds: tuple[str, ...]
    headers: tuple[str, ...]
    whys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A header, or with ``None`` the body, of a kind of event that stays here though it was seen, for what it holds."""

    kind: str
    header: str | None
    leaks: tuple[Leak, ...]


def bindings_of(kinds: Sequence[str]) -> list[str]:
    """``kinds`` as bindings are written, names and then ``CUSTOM`` and the subclasses, in texts of at most a line."""
    plain = [kind for kind in kinds if not kind.startswith("CUSTOM ")]
    custom = [kind.removeprefix("CUSTOM ") for kind in kinds if kind.startswith("CUSTOM ")]
    texts = textwrap.wrap(" ".join(plain), WIDTH - 8, break_on_hyphens=False)
    return texts + [f"CUSTOM {line}" for line in textwrap.wrap(" ".join(custom), WIDTH - 15, break_on_hyphens=False)]


@dataclass(frozen=True, slots=True)
class Draft:
    """A suggested policy before it is written down; ``result`` is what was seen at the source, if anything was."""

    name: str
    features: Sequence[Feature]
    allowances: Sequence[Allowance]
    result: AuditResult | None
    left: Sequence[Left]
    warnings: Sequence[str]


def policy_text(draft: Draft) -> str:
    """The table ``[policies.NAME]``, ending in a line break."""
    table = f"policies.{_key(draft.name)}"
    lines = [*_head(draft), f"[{table}]"]
    for allowance in draft.allowances:
        lines += ["", *_allowance(f"{table}.when", allowance, draft.result, draft.left)]
    lines += _withheld(draft.allowances, draft.result, draft.left)
    return "\n".join(lines) + "\n"


def _head(draft: Draft) -> Iterator[str]:
    features, result = draft.features, draft.result
    yield from _comment(f'The tightest policy for what is named here. A route takes it by policy = "{draft.name}".')
    widest = max(len(feature.name) for feature in features)
    for feature in features:
        yield from _comment(f"{feature.name:{widest}}  {feature.what}", "#   ", "#   " + " " * (widest + 2))
    yield from _comment(
        "Nothing else does: no other kind of event, no other header, no body. Besides these headers every event tells "
        "its name, host, time and number, without which it is none."
    )
    if result is not None and result.events:
        yield from _comment(
            f"Beside a header stands what it gives away, as seen in {_count(result.events, 'event')} of "
            f"{_count(len(result.kinds), 'kind')}."
        )
    for warning in draft.warnings:
        yield "#"
        yield from _comment(f"Mind: {shown(warning, WIDTH * 4)}.")
    yield ""


def _allowance(table: str, allowance: Allowance, result: AuditResult | None, left: Sequence[Left]) -> Iterator[str]:
    kinds = {kind.lower() for kind in allowance.kinds}
    seen = [row for row in (result.kinds if result else ()) if row.kind.lower() in kinds]
    for why in allowance.whys:
        yield from _comment(why)
    if result is not None and result.events:
        yield from _comment(_seen(allowance, seen))
    yield from _stays(allowance, left)
    yield f"[[{table}]]"
    yield from _events(allowance.kinds)
    if not allowance.headers:
        yield "headers = []"
        return
    yield "headers = ["
    notes = {header: _note(header, seen) for header in allowance.headers}
    widest = max(len(header) for header, note in notes.items() if note) if any(notes.values()) else 0
    for header, note in notes.items():
        quoted = f'"{header}",'
        yield f"    {quoted:{widest + 3}}  # {note}" if note else f"    {quoted}"
    yield "]"


def _seen(allowance: Allowance, seen: Sequence[KindRow]) -> str:
    total = sum(kind.events for kind in seen)
    if not total:
        return "Not seen here."
    missing = len(allowance.kinds) - len({kind.kind.lower() for kind in seen})
    return f"Seen here: {_count(total, 'event')}" + (f"; {_count(missing, 'kind')} of them not." if missing else ".")


def _stays(allowance: Allowance, left: Sequence[Left]) -> Iterator[str]:
    """What these events hold and may not take with them."""
    kinds = {kind.lower() for kind in allowance.kinds}
    of_these = [each for each in left if each.kind.lower() in kinds]
    if not of_these:
        return
    yield "# Left out of it:"
    for leak, where in _by_leak(of_these):
        names = dict.fromkeys("the body" if each.header is None else shown(each.header) for each in where)
        yield from _comment(f"{leak:11}  {_listed(names)}", "#   ", "#   " + " " * 13)


def _note(header: str, seen: Sequence[KindRow]) -> str:
    """What this header was seen to hold."""
    rows = [row for kind in seen for row in kind.headers if row.name.lower() == header.lower()]
    if not seen:
        return ""
    if not rows:
        return "not seen here"
    found = {each.leak for row in rows for each in row.found}
    if found:
        return ", ".join(leak for leak in Leak if leak in found)
    return "" if _holds_something(rows) else "always empty here"


def _holds_something(rows: Iterable[HeaderRow]) -> bool:
    return any(row.bytes for row in rows)


def _events(kinds: Sequence[str]) -> Iterator[str]:
    """The ``events`` of a table."""
    texts = bindings_of(kinds)
    if len(texts) == 1:
        yield f'events = "{texts[0]}"'
        return
    yield "events = ["
    yield from (f'    "{text}",' for text in texts)
    yield "]"


def _withheld(allowances: Sequence[Allowance], result: AuditResult | None, left: Sequence[Left]) -> Iterator[str]:
    """Which kinds stay here altogether, and what they would have given away."""
    if result is None:
        return
    kept = {kind.lower() for allowance in allowances for kind in allowance.kinds}
    away = {kind.kind: kind.events for kind in result.kinds if kind.kind.lower() not in kept}
    if not away:
        return
    yield ""
    yield from _comment(f"Left out altogether: {_count(sum(away.values()), 'event')} of {_count(len(away), 'kind')}.")
    for leak, where in _by_leak([each for each in left if each.kind in away]):
        kinds = dict.fromkeys(each.kind for each in where)
        ranked = sorted(kinds, key=lambda kind: -away[kind])
        yield from _comment(f"{leak:11}  in {_listed([shown(kind) for kind in ranked])}", "#   ", "#   " + " " * 16)


def _by_leak(left: Iterable[Left]) -> Iterator[tuple[Leak, list[Left]]]:
    """Each class of leak with what shows it, worst first."""
    rows = list(left)
    for leak in Leak:
        if where := [each for each in rows if leak in each.leaks]:
            yield leak, where


def _listed(names: Iterable[str]) -> str:
    """The first of ``names``, and how many more there are."""
    every = list(names)
    more = len(every) - MOST_SHOWN
    if more <= 1:
        return ", ".join(every)
    return f"{', '.join(every[:MOST_SHOWN])} and {more:,} more"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _comment(text: str, first: str = "# ", rest: str = "# ") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def shown(text: str, longest: int = LONGEST_NAME) -> str:
    """``text``, which may come from the network, as it may stand in a comment or as evidence."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def _key(name: str) -> str:
    """``name`` as a key of TOML."""
    return f'"{name}"' if "." in name else name
