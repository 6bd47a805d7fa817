"""The tightest policy that still serves what somebody names: of each kind of event the headers that are read, no more.

What was seen at the source changes it in one way only: a header in which a credential, the content of a call or dialled
digits were found is left out, whoever reads it. Otherwise the policy is the same for a source that was silent, since
what was not sent today may be needed tomorrow; what was seen stands in comments beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from switchcast._native import ESSENTIAL_HEADERS
from switchcast.errors import UsageError
from switchcast.guard.audit.features import Feature, features_named
from switchcast.guard.audit.leaks import AuditResult, Found, Leak
from switchcast.guard.audit.suggested_text import Allowance, Draft, Left, bindings_of, policy_text
from switchcast.guard.policy import PolicySettings

__all__ = ["NEVER", "Suggestion", "suggest"]

NEVER: Final = (Leak.CREDENTIALS, Leak.CONTENT, Leak.DTMF)
"""What no suggested policy lets pass, whatever it is asked to keep."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What a policy may be called, as in the configuration."""
_ESSENTIAL: Final = frozenset(name.lower() for name in ESSENTIAL_HEADERS)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A policy that serves the features ``keep``.

    ``settings`` are as ``compile_policy`` takes them; ``text`` is a ``[policies.NAME]`` table in TOML, with comments,
    and reads back as the same. ``left_out`` is what gives something away and stays, ``warnings`` say in a sentence each
    what is left out although it is read.
    """

    name: str
    keep: tuple[str, ...]
    settings: PolicySettings
    text: str
    left_out: tuple[Left, ...] = ()
    warnings: tuple[str, ...] = ()


def suggest(keep: Sequence[str], result: AuditResult | None = None, name: str = "suggested") -> Suggestion:
    """The policy that serves the features ``keep`` and nothing else; ``result`` is what was seen at the source.

    Raises ``UsageError`` for a name that is no feature's, for none at all, and for a name that no policy can have.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a policy; write letters, digits, '.', '_' and '-', at most 64, "
            "and begin with a letter or a digit"
        )
    features = features_named(keep)
    seen = _seen(result)
    wanted = _wanted(features)
    refused = {(kind, header): leaks for kind, header in _pairs(wanted) if (leaks := _never(seen, kind, header))}
    allowances = _grouped(features, wanted, refused)
    whens = [{"events": bindings_of(each.kinds), "headers": each.headers} for each in allowances]
    settings = PolicySettings.model_validate({"when": whens})
    left = tuple(_left(result, allowances))
    warnings = tuple(_warnings(features, refused))
    text = policy_text(Draft(name, features, allowances, result, left, warnings))
    return Suggestion(name, tuple(feature.name for feature in features), settings, text, left, warnings)


Wanted = Mapping[str, Sequence[str]]
"""Of each kind the headers that are read, in order of their names."""
Refused = Mapping[tuple[str, str], tuple[Leak, ...]]


def _wanted(features: Iterable[Feature]) -> Wanted:
    headers: dict[str, dict[str, str]] = {}
    for feature in features:
        for need in feature.needs:
            for kind in need.kinds:
                headers.setdefault(kind, {}).update((header.lower(), header) for header in need.headers)
    return {kind: [names[lower] for lower in sorted(names)] for kind, names in headers.items()}


def _pairs(wanted: Wanted) -> Iterable[tuple[str, str]]:
    return [(kind, header) for kind, headers in wanted.items() for header in headers]


def _seen(result: AuditResult | None) -> dict[tuple[str, str], list[Found]]:
    """What was found in each header of each kind, both in lower case: senders do not agree on that."""
    found: dict[tuple[str, str], list[Found]] = {}
    for kind in result.kinds if result else ():
        for row in kind.headers:
            found.setdefault((kind.kind.lower(), row.name.lower()), []).extend(row.found)
    return found


def _never(seen: Mapping[tuple[str, str], list[Found]], kind: str, header: str) -> tuple[Leak, ...]:
    return tuple(leak for leak in _leaks(seen.get((kind.lower(), header.lower()), ())) if leak in NEVER)


def _grouped(features: Sequence[Feature], wanted: Wanted, refused: Refused) -> list[Allowance]:
    """Kinds of which the same headers pass, for the same reasons, together."""
    kinds_of: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for kind, headers in wanted.items():
        passing = tuple(header for header in headers if (kind, header) not in refused)
        whys = tuple(
            f"{feature.name}: {need.why}" for feature in features for need in feature.needs if kind in need.kinds
        )
        kinds_of.setdefault((passing, whys), []).append(kind)
    return [Allowance(tuple(kinds), headers, whys) for (headers, whys), kinds in kinds_of.items()]


def _left(result: AuditResult | None, allowances: Sequence[Allowance]) -> Iterable[Left]:
    """What gives something away and stays here, in the order in which the kinds were told."""
    passing = {
        kind.lower(): {header.lower() for header in allowance.headers}
        for allowance in allowances
        for kind in allowance.kinds
    }
    for kind in result.kinds if result else ():
        allowed = passing.get(kind.kind.lower())
        for row in kind.headers:
            stays = allowed is None or row.name.lower() not in allowed | _ESSENTIAL
            if stays and row.found:
                yield Left(kind.kind, row.name, _leaks(row.found))
        if kind.body is not None and kind.body.found:
            yield Left(kind.kind, None, _leaks(kind.body.found))


def _leaks(found: Iterable[Found]) -> tuple[Leak, ...]:
    return tuple(sorted({each.leak for each in found}, key=lambda leak: leak.rank))


def _warnings(features: Sequence[Feature], refused: Refused) -> Iterable[str]:
    for (kind, header), leaks in refused.items():
        serving = [
            feature.name
            for feature in features
            if any(kind in need.kinds and header in need.headers for need in feature.needs)
        ]
        yield (
            f"{header} of {kind} stays here, for {' and '.join(leaks)} stood in it at this source; "
            f"{' and '.join(serving)} will lack it"
        )
