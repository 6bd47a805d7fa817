"""The audit's SARIF, read by another hand's reader, and compared with the report that it was made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import unquote

import pytest
from audit_samples import CAPTURE, GROUP, hostile_events, recorded_events, recorded_report, report_of
from pydantic import BaseModel
from sarif_pydantic import Sarif  # type: ignore[import-untyped]  # it has no py.typed

from switchcast.app.reports.audit_report import Named, leak_rows, less
from switchcast.app.reports.sarif import MOST_LOCATIONS, MOST_RESULTS, sarif_log
from switchcast.guard.audit.leaks import Leak
from switchcast.guard.audit.standing import CODES

UNKNOWN_TO_THE_READER = {"occurrenceCount"}
"""Of SARIF 2.1.0, section 3.27; the reader keeps it without knowing it."""


@cache
def unredacted() -> dict[str, Any]:
    """The log on the recording as it is, with no policy tried."""
    return sarif_log(report_of(recorded_events(), CAPTURE, keep=()))


def uri_of(location: dict[str, Any]) -> str:
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert isinstance(uri, str)
    return uri


def extras(model: object) -> Iterator[str]:
    """Names of properties that the reader does not know, anywhere in ``model``."""
    if isinstance(model, BaseModel):
        yield from model.model_extra or ()
        for name in type(model).model_fields:
            yield from extras(getattr(model, name))
    elif isinstance(model, list):
        for each in model:
            yield from extras(each)


def test_another_hand_reads_it() -> None:
    for log in (unredacted(), sarif_log(recorded_report()), sarif_log(report_of(hostile_events(), reveal=True))):
        read = Sarif.model_validate_json(json.dumps(log))
        assert read.version == "2.1.0"
        assert set(extras(read)) <= UNKNOWN_TO_THE_READER
        (run,) = read.runs
        assert run.tool.driver.name == "switchcast"
        assert run.invocations[0].execution_successful


def test_every_result_has_its_rule_level_and_place() -> None:
    (run,) = unredacted()["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [
        *(f"leak/{leak}" for leak in Leak),
        *(f"finding/{code}" for code in CODES),
    ]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["message"]["text"]
        assert 1 <= len(result["locations"]) <= MOST_LOCATIONS
        for location in result["locations"]:
            assert unquote(uri_of(location)) == CAPTURE.replace("file:", "file://")
            assert location["logicalLocations"][0]["fullyQualifiedName"]
    assert len(run["results"]) <= MOST_RESULTS


def test_every_rule_says_what_it_is_about_whether_it_was_broken_or_not() -> None:
    rules = sarif_log(report_of([], GROUP, keep=()))["runs"][0]["tool"]["driver"]["rules"]
    assert len({rule["name"] for rule in rules}) == len({rule["id"] for rule in rules}) == len(Leak) + len(CODES)
    for rule in rules:
        assert re.fullmatch(r"(?:[A-Z][a-z]*)+", rule["name"])
        assert rule["shortDescription"]["text"]
        assert rule["properties"]["tags"][0] == "security"
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    broken = next(rule for rule in unredacted()["runs"][0]["tool"]["driver"]["rules"] if "defaultConfiguration" in rule)
    assert broken["defaultConfiguration"]["level"] == "error"
    assert float(broken["properties"]["security-severity"]) > 7


@pytest.mark.parametrize(
    ("source", "named", "uri"),
    [
        ("file:captures/a b.pcap?speed=1", None, "captures/a%20b.pcap"),
        ("file:/tmp/a.pcap", None, "file:///tmp/a.pcap"),
        (GROUP, Named("group", "deploy/fs1.toml", given=True), "deploy/fs1.toml"),
        (
            GROUP,
            Named("group", "/etc/switchcast/switchcast.toml", given=False),
            "file:///etc/switchcast/switchcast.toml",
        ),
        ("file:a.jsonl", Named("old", "fs1.toml", given=True), "fs1.toml"),
        (GROUP, None, None),
    ],
)
def test_a_result_names_a_file_where_there_is_one(source: str, named: Named | None, uri: str | None) -> None:
    """Readers that show results beside files show nothing of one without."""
    report = replace(report_of(recorded_events()[:20], source, keep=()), named=named)
    results = sarif_log(report)["runs"][0]["results"]
    assert results
    for result in results:
        for location in result["locations"]:
            assert ("physicalLocation" in location) == (uri is not None)
            assert uri is None or uri_of(location) == uri


def test_it_holds_what_the_report_does_and_no_more() -> None:
    report = report_of(recorded_events(), CAPTURE, keep=())
    (run,) = unredacted()["runs"]
    told = {
        (result["ruleId"], location["logicalLocations"][0]["fullyQualifiedName"])
        for result in run["results"]
        for location in result["locations"]
    }
    for row in report.leaks:
        for place in row.places:
            name = "(body)" if place.header is None else place.header
            for kind in place.kinds[:MOST_LOCATIONS]:
                assert (f"leak/{row.leak}", f"{kind}/{name}") in told
    assert len(run["results"]) == sum(len(row.places) for row in report.leaks) + len(report.findings)
    digits = next(result for result in run["results"] if result["ruleId"] == "leak/dtmf")
    assert digits["level"] == "error"


def test_under_a_policy_it_is_of_what_would_leave() -> None:
    report = recorded_report()
    assert report.under is not None
    (run,) = sarif_log(report)["runs"]
    leaking = {result["ruleId"] for result in run["results"] if result["ruleId"].startswith("leak/")}
    assert leaking == {f"leak/{row.leak}" for row in leak_rows(report.under)}
    assert not leaking & {"leak/credentials", "leak/content", "leak/dtmf"}
    assert run["properties"]["policy"] == "suggested"


def test_what_a_suggestion_leaves_out_is_taken_from_what_was_seen() -> None:
    result = recorded_report().result
    kind = next(kind for kind in result.kinds if kind.kind == "BACKGROUND_JOB")
    header = kind.headers[0]
    assert kind.body is not None
    left = less(result, [(kind.kind, header.name), (kind.kind, None), ("CODEC", "no such header")])
    after = next(each for each in left.kinds if each.kind == kind.kind)
    assert after.headers == kind.headers[1:]
    assert after.body is None
    assert kind.bytes - after.bytes == result.bytes - left.bytes == header.bytes + kind.body.bytes
    assert less(result, []) == result


def test_fingerprints_are_each_results_own_and_stay() -> None:
    fingerprints = [
        result["partialFingerprints"]["switchcastAudit/v1"] for result in unredacted()["runs"][0]["results"]
    ]
    assert len(set(fingerprints)) == len(fingerprints)
    half = sarif_log(report_of(recorded_events()[:900], CAPTURE, keep=()))
    later = [result["partialFingerprints"]["switchcastAudit/v1"] for result in half["runs"][0]["results"]]
    assert set(later) <= set(fingerprints)
    assert len(later) > 100
