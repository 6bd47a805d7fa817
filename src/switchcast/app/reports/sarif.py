"""The audit's report as SARIF 2.1.0, which pipelines read: a rule for each class of leak and each standing finding.

A result is one header of one class. Events are no lines of a file, so its locations are logical ones, kind and header.
A file is named besides, for some readers show nothing without one: the recording, or the configuration that names the
endpoint. Fingerprints hold from one run to the next, whatever the values were. Where a policy is tried, the results are
of what would leave under it.
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

_WEIGHTS: Final = {"error": "8.5", "warning": "5.5", "note": "2.0"}
"""``security-severity``, by which readers sort: as a CVSS score, 0 to 10."""
_WEAKNESSES: Final[dict[str, str]] = {
    **dict.fromkeys(map(str, PERSONAL), "359"),
    **dict.fromkeys(("credentials", "content", "dtmf"), "319"),
    **dict.fromkeys(("call", "inside", "topology"), "497"),
    **dict.fromkeys(("readable-by-all", "clear-to-public-address", "event-socket-in-clear"), "319"),
    **dict.fromkeys(("well-known-key", "well-known-password", "well-known-secret-sent"), "1392"),
    **dict.fromkeys(("registrations-can-be-hijacked", "unproven-events"), "345"),
    "stock-psk": "353",
    "everything-bound": "359",
}
"""The weakness that it is, in the Common Weakness Enumeration: cleartext 319, default credentials 1392, no proof of
origin 345, no integrity check 353, private information exposed 359, system information exposed 497."""
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
            "name": f"Leak{leak.capitalize()}",
            "shortDescription": {"text": TITLES[leak]},
            "fullDescription": {"text": MEANING[leak]},
            "defaultConfiguration": {"level": _level(leak)},
            "help": {"text": "Leave these headers out by a policy: switchcast audit SOURCE --keep ... --suggest FILE"},
            "properties": _properties(leak, _level(leak)),
        }
    found = {finding.code: finding for finding in reversed(report.findings)}
    for code, sentence in CODES.items():
        said = f"{sentence[0].upper()}{sentence[1:]}."
        rule: dict[str, Any] = {
            "id": f"finding/{code}",
            "name": "".join(word.capitalize() for word in code.split("-")),
            "shortDescription": {"text": said},
            "fullDescription": {"text": said},
            "properties": _properties(code, "warning"),
        }
        if (finding := found.get(code)) is not None:
            level = _LEVELS[finding.severity]
            rule |= {
                "shortDescription": {"text": finding.title},
                "fullDescription": {"text": finding.cause},
                "defaultConfiguration": {"level": level},
                "help": {"text": "\n".join(f"{mend.how}\n  {mend.effect}" for mend in finding.mends)},
                "properties": _properties(code, level),
            }
        yield rule


def _properties(name: str, level: str) -> dict[str, Any]:
    """What readers sort and filter rules by."""
    tags = ["security", *([f"external/cwe/cwe-{_WEAKNESSES[name]}"] if name in _WEAKNESSES else [])]
    return {"tags": tags, "security-severity": _WEIGHTS[level]}


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
    if (path := _file(report)) is not None:
        # What is relative, readers take from the root of what they have checked out.
        uri = f"file://{quote(path)}" if path.startswith("/") else quote(path)
        location["physicalLocation"] = {"artifactLocation": {"uri": uri}}
    return location


def _file(report: AuditReport) -> str | None:
    """The configuration, which is where it can be mended, or else the recording."""
    if report.named is not None:
        return report.named.file
    if report.reach.scheme == "file":
        return report.source.removeprefix("file:").partition("?")[0]
    return None


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _utc(made: str) -> str:
    """SARIF's times are in UTC."""
    return dt.datetime.fromisoformat(made).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
