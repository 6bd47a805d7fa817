"""The audit's report as SARIF 2.1.0, which pipelines read: a rule for each class of leak and each standing finding.

A result is one header of one class. Events are no lines of a file, so its locations are logical ones, kind and header;
of a recording the file is named besides. Fingerprints hold from one run to the next, whatever the values were. Where a
policy is tried, the results are of what would leave under it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from switchcast._native import __version__
from switchcast.app.reports.audit_report import AuditReport, LeakRow, Place, leak_rows
from switchcast.app.reports.audit_words import KNOWN_BY, MEANING, TITLES, how_many, name_of, of_kinds
from switchcast.guard.audit.leaks import PERSONAL, Leak
from switchcast.guard.audit.standing import CODES
from switchcast.guard.finding import Finding, Severity

__all__ = ["MOST_LOCATIONS", "MOST_RESULTS", "sarif_log"]

MOST_RESULTS: Final = 5_000
"""What readers of SARIF take of one run; the worst come first."""
MOST_LOCATIONS: Final = 100

_LEVELS: Final = {Severity.CRITICAL: "error", Severity.WARNING: "warning", Severity.NOTICE: "note"}
_FINGERPRINT: Final = "switchcastAudit/v1"


def sarif_log(report: AuditReport) -> dict[str, Any]:
    """The whole log, as plain values."""
    rules = list(_rules(report))
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    results = [*_findings(report), *_leaks(report)][:MOST_RESULTS]
    for result in results:
        result["ruleIndex"] = places[result["ruleId"]]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "switchcast", "semanticVersion": __version__, "rules": rules}},
                "automationDetails": {"id": f"switchcast-audit/{report.source}"},
                "invocations": [{"executionSuccessful": report.result.events > 0, "endTimeUtc": _utc(report.made)}],
                "results": results,
                "properties": {
                    "events": report.result.events,
                    "seconds": round(report.seconds, 3),
                    "encrypted": report.reach.encrypted,
                    "policy": None if report.comparison is None else report.comparison.policy,
                },
            }
        ],
    }


def _rules(report: AuditReport) -> Iterator[dict[str, Any]]:
    for leak in Leak:
        yield {
            "id": f"leak/{leak}",
            "name": str(leak),
            "shortDescription": {"text": TITLES[leak]},
            "fullDescription": {"text": MEANING[leak]},
            "defaultConfiguration": {"level": _level(leak)},
            "help": {"text": "Leave these headers out by a policy: switchcast audit SOURCE --keep ... --suggest FILE"},
        }
    found = {finding.code: finding for finding in reversed(report.findings)}
    for code in dict.fromkeys((*CODES, *found)):
        rule: dict[str, Any] = {"id": f"finding/{code}", "name": code}
        if (finding := found.get(code)) is not None:
            rule |= {
                "shortDescription": {"text": finding.title},
                "fullDescription": {"text": finding.cause},
                "defaultConfiguration": {"level": _LEVELS[finding.severity]},
                "help": {"text": "\n".join(f"{mend.how}\n  {mend.effect}" for mend in finding.mends)},
            }
        yield rule


def _level(leak: Leak) -> str:
    if leak.rank <= Leak.DTMF.rank:
        return "error"
    return "warning" if leak in PERSONAL else "note"


def _findings(report: AuditReport) -> Iterator[dict[str, Any]]:
    for finding in report.findings:
        yield {
            "ruleId": f"finding/{finding.code}",
            "level": _LEVELS[finding.severity],
            "message": {"text": _said(finding)},
            "locations": [_location(report, [_logical(report.source, report.source, "resource")])],
            "partialFingerprints": {_FINGERPRINT: _fingerprint("finding", finding.code, report.source)},
        }


def _said(finding: Finding) -> str:
    return "\n".join((finding.title, *finding.evidence))


def _leaks(report: AuditReport) -> Iterator[dict[str, Any]]:
    for row in leak_rows(report.judged):
        for place in row.places:
            yield {
                "ruleId": f"leak/{row.leak}",
                "level": _level(row.leak),
                "message": {"text": _sentence(row, place)},
                "locations": [_location(report, [_header(kind, place)]) for kind in place.kinds[:MOST_LOCATIONS]],
                "occurrenceCount": max(1, place.events),
                "partialFingerprints": {_FINGERPRINT: _fingerprint("leak", row.leak, name_of(place.header))},
                "properties": {"kinds": len(place.kinds), "examples": list(place.examples)},
            }


def _sentence(row: LeakRow, place: Place) -> str:
    kinds = place.kinds[0] if len(place.kinds) == 1 else of_kinds(len(place.kinds))
    example = f", such as {place.examples[0]}" if place.examples else ""
    return (
        f"{TITLES[row.leak]} in {name_of(place.header)} of {kinds}, {how_many(place.events, 'event')}{example} "
        f"(known {KNOWN_BY[place.by]})."
    )


def _header(kind: str, place: Place) -> dict[str, str]:
    name = name_of(place.header)
    return _logical(name, f"{kind}/{name}", "property")


def _logical(name: str, full: str, kind: str) -> dict[str, str]:
    return {"name": name, "fullyQualifiedName": full, "kind": kind}


def _location(report: AuditReport, logical: list[dict[str, str]]) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": logical}
    if report.reach.scheme == "file":
        path = report.source.removeprefix("file:").partition("?")[0]
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(path)}}
    return location


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _utc(made: str) -> str:
    """SARIF's times are in UTC."""
    return dt.datetime.fromisoformat(made).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
