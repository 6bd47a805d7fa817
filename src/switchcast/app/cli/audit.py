"""``switchcast audit``: what a source's events give away, to whom, and what would mend it."""

from __future__ import annotations

import datetime as dt
import json as json_text
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from switchcast.app.cli.audit_gates import Gates, read_gates
from switchcast.app.cli.audit_listening import read_listening
from switchcast.app.cli.audit_policy import read_policy
from switchcast.app.cli.audit_reach import reach_of_source
from switchcast.app.cli.audit_run import Hearing, Limits
from switchcast.app.cli.audit_view import print_report
from switchcast.app.cli.config import DEFAULT_FILE
from switchcast.app.cli.naming import EndpointConfig, endpoint_named, is_name
from switchcast.app.cli.options import Bindings, Count, For, Source, Where, matcher_of, seconds, warn
from switchcast.app.cli.render import error_console
from switchcast.app.cli.running import run
from switchcast.app.reports.audit_report import AuditReport, Named, less
from switchcast.app.reports.files import check_writable, write_report
from switchcast.endpoints import Endpoint
from switchcast.errors import UsageError
from switchcast.guard.audit.comparison import compare
from switchcast.guard.audit.inventory import Audit
from switchcast.guard.audit.reach import Reach
from switchcast.guard.audit.standing import standing_findings
from switchcast.guard.audit.suggest import suggest
from switchcast.guard.audit.well_known import Sightings
from switchcast.guard.policy import RedactionPolicy, compile_policy

__all__ = ["audit"]

_STANDARD_OUTPUT = "-"


def audit(
    source: Source,
    *,
    for_: For = None,
    count: Count = None,
    until_covered: Annotated[
        bool, typer.Option("--until-covered", help="Stop once little is left that was not seen: 1 event in 100.")
    ] = False,
    bindings: Bindings = "all",
    where: Where = None,
    config: EndpointConfig = None,
    region: Annotated[
        str | None,
        typer.Option("--region", metavar="CC", help="Where numbers without a country code are from: DE, US, ..."),
    ] = None,
    reveal: Annotated[
        bool, typer.Option("--reveal", help="Show values as they are; files are then for their owner only.")
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="POLICY", help="Before and after: cluster, monitoring, FILE or FILE:NAME."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="A,B", help="What has to go on working; suggests the tightest policy for it."),
    ] = None,
    suggest_: Annotated[
        str | None, typer.Option("--suggest", metavar="FILE", help="Write that policy to a new file (- prints it).")
    ] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write the report as one page.")] = None,
    sarif: Annotated[
        str | None, typer.Option("--sarif", metavar="FILE", help="Write it as SARIF 2.1.0, for pipelines.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option("--fail-on", metavar="CLASS", help="Exit code 1 for these: a class, finding:CODE, any; A,B."),
    ] = None,
) -> None:
    """Show what events give away, and to whom.

    The worst first: credentials, content, digits, numbers, names, addresses.

    switchcast audit multicast://225.1.1.1:4242 --for 5m --html report.html
    """
    kept = tuple(word.strip() for text in keep or () for word in text.split(",") if word.strip())
    if (suggest_ is not None or keep) and not kept:
        suggest(kept)  # which says what there is to keep
    wanted = _Wanted(html, sarif, suggest_, json=json, reveal=reveal)
    wanted.check()
    gates = read_gates(fail_on or ())
    limits = Limits(seconds(for_), count, until_covered)
    endpoint = endpoint_named(source, config, matcher=matcher_of(bindings, where), role="source")
    reach = reach_of_source(endpoint.url, None if bindings.strip().lower() == "all" else bindings)
    tried = _tried(policy, kept)
    auditor = _Auditor(endpoint, reach, kept, _named(source, config))
    auditor.attend(region, reveal=reveal, tried=tried, suggested=policy is None)
    run(auditor.run(limits, wanted, gates))


def _named(source: str, config: Path | None) -> Named | None:
    """How ``source`` is called, if not by its URL."""
    if not is_name(source):
        return None
    return Named(source, str(config or DEFAULT_FILE), config is not None)


def _tried(policy: str | None, kept: tuple[str, ...]) -> RedactionPolicy | None:
    """The policy that is shown before and after: the one named, else the one that would be suggested."""
    if policy is not None:
        chosen = read_policy(policy)
        for sentence in chosen.warnings:
            warn(sentence)
        return chosen.policy
    if kept:
        suggestion = suggest(kept)
        return compile_policy(suggestion.name, suggestion.settings)
    return None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Where the report goes, besides the terminal."""

    html: str | None
    sarif: str | None
    suggest: str | None
    json: bool
    reveal: bool

    @property
    def on_screen(self) -> bool:
        """Whether standard output is for people."""
        return not self.json and _STANDARD_OUTPUT not in (self.html, self.sarif, self.suggest)

    def check(self) -> None:
        """Raise at once what could only be told at the end otherwise."""
        files = {"--html": self.html, "--sarif": self.sarif, "--suggest": self.suggest}
        printed = [option for option, path in files.items() if path == _STANDARD_OUTPUT] + ["--json"] * self.json
        if len(printed) > 1:
            raise UsageError(f"{' and '.join(printed)} would both be printed; give one of them a file")
        for option, path in files.items():
            if path is not None and path != _STANDARD_OUTPUT:
                check_writable(path, fresh=option == "--suggest")
        if self.html is not None:
            from switchcast.app.reports.html import check_available

            check_available()

    def write(self, report: AuditReport) -> None:
        """Write and print what was asked for."""
        if self.html is not None:
            from switchcast.app.reports.html import html_page

            self._put(self.html, html_page(report), "report")
        if self.sarif is not None:
            from switchcast.app.reports.sarif import sarif_log

            self._put(self.sarif, json_text.dumps(sarif_log(report), indent=2) + "\n", "SARIF")
        if self.suggest is not None and report.suggestion is not None:
            self._put(self.suggest, report.suggestion.text, "policy", fresh=True)
        if self.json:
            print(json_text.dumps(report.to_dict()))
        elif self.on_screen:
            print_report(report)

    def _put(self, path: str, text: str, what: str, *, fresh: bool = False) -> None:
        if path == _STANDARD_OUTPUT:
            sys.stdout.write(text)
            return
        write_report(path, text, private=self.reveal and not fresh, fresh=fresh)
        error_console().print(f"{what} written to {path}", style="dim")


class _Auditor:
    """Listens, draws up the report, hands it out, and gives the exit code."""

    def __init__(self, endpoint: Endpoint, reach: Reach, kept: tuple[str, ...], named: Named | None) -> None:
        self._endpoint = endpoint
        self._reach = reach
        self._kept = kept
        self._named = named
        self._listening = read_listening(reach)  # before this process listens itself

    def attend(self, region: str | None, *, reveal: bool, tried: RedactionPolicy | None, suggested: bool) -> None:
        """Get ready to audit, with what ``tried`` leaves beside it. Raises ``MissingExtra`` and ``UsageError``."""
        from switchcast.guard.audit.classifier import Classifier  # with all that is known of telephone numbers

        self._sightings = Sightings(Classifier(region, reveal=reveal))
        self._before = Audit(self._sightings)
        self._tried = tried
        self._trying_suggested = suggested
        self._after = None if tried is None else Audit(Classifier(region, reveal=reveal))

    async def run(self, limits: Limits, wanted: _Wanted, gates: Gates) -> int:
        under = None if self._tried is None or self._after is None else (self._tried, self._after)
        hearing = Hearing(self._endpoint, self._before, limits, under)
        code = await hearing.run()
        report = self._report(hearing, revealed=wanted.reveal)
        wanted.write(report)
        return code or _verdict(report, gates)

    def _report(self, hearing: Hearing, *, revealed: bool) -> AuditReport:
        result = self._before.result()
        suggestion = suggest(self._kept, result) if self._kept else None
        after = None if self._after is None else self._after.result()
        if after is not None and suggestion is not None and self._trying_suggested:
            after = less(after, [(left.kind, left.header) for left in suggestion.left_out])
        findings = standing_findings(
            [self._reach],
            result,
            keep=self._kept,
            trust=self._before.trust,
            well_known=self._sightings.seen,
        )
        return AuditReport(
            source=str(self._endpoint.url),
            made=dt.datetime.now(dt.UTC).astimezone().isoformat(timespec="seconds"),
            seconds=hearing.seconds,
            ended=hearing.ended,
            result=result,
            reach=self._reach,
            listening=self._listening,
            findings=tuple(findings),
            comparison=None if after is None or self._tried is None else compare(self._tried.name, result, after),
            under=after,
            suggestion=suggestion,
            revealed=revealed,
            lost=hearing.lost,
            named=self._named,
        )


def _verdict(report: AuditReport, gates: Gates) -> int:
    """1, with a word on standard error, if there was nothing to audit or something stands that may not."""
    if not report.result.events:
        error_console().print(f"switchcast: no event came from {report.source}, so nothing was audited")
        return 1
    broken = list(gates.broken(report.judged, report.findings))
    for what in broken:
        error_console().print(f"switchcast: --fail-on: {what}")
    return 1 if broken else 0
