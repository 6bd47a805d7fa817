"""What is wrong with an endpoint by itself: how far it reaches, who reads and forges, and secrets that all know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from switchcast import Event
from switchcast.app.cli.audit_reach import reach_of_source
from switchcast.endpoints.url import EndpointUrl
from switchcast.errors import EndpointDenied, UrlError
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.inventory import Audit
from switchcast.guard.audit.leaks import AuditResult, Found, HeaderRow, KindRow, Leak, Match
from switchcast.guard.audit.reach import Reach, scope_of
from switchcast.guard.audit.standing import CODES, standing_findings
from switchcast.guard.audit.standing_reach import HOUSEKEEPING, MOST_KINDS
from switchcast.guard.audit.well_known import MOST_PLACES, Sightings
from switchcast.guard.finding import Finding, Severity
from switchcast.listening import make_matcher

STOCK = "multicast://225.1.1.1"
SEALED = "multicast://239.192.1.1:4243?mode=sealed&key_file=/etc/switchcast/group.key"
TRACED = "multicast://239.192.1.1?mode=traced&key_file=/etc/switchcast/group.key"


def reach(text: str, bindings: str | None = None) -> Reach:
    return reach_of_source(EndpointUrl.parse(text), bindings)


def seen(kinds: Mapping[str, int] | None = None, *leaks: Leak) -> AuditResult:
    """So many events of each kind, the first of which has a header that gives ``leaks`` away."""
    headers = [HeaderRow("X-Header", 1, 10, [Found(leak, "name", 1) for leak in leaks])]
    rows = [
        KindRow(kind, count, 1000, 300, 400, 0, {"fs1": count}, headers if place == 0 else [])
        for place, (kind, count) in enumerate((kinds or {"HEARTBEAT": 1}).items())
    ]
    return AuditResult(sum(row.events for row in rows), 1000, {"fs1": 1}, rows, 0.9)


def found(text: str, result: AuditResult | None = None, **more: Any) -> dict[str, Finding]:
    """The findings about one endpoint by their codes, of which none is given twice."""
    bindings = more.pop("bindings", None)
    findings = standing_findings([reach(text, bindings)], result, **more)
    assert [finding.severity.rank for finding in findings] == sorted(finding.severity.rank for finding in findings)
    assert {finding.code for finding in findings} <= set(CODES)
    for finding in findings:
        assert finding.evidence
        assert finding.mends
        assert all(line and "\n" not in line for line in (*finding.evidence, finding.title, finding.cause))
    by_code = {finding.code: finding for finding in findings}
    assert len(by_code) == len(findings)
    return by_code


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("224.0.0.251", "link"),
        ("224.0.1.1", "global"),
        ("225.1.1.1", "global"),
        ("238.255.255.255", "global"),
        ("239.0.0.0", "site"),
        ("239.192.1.1", "site"),
        ("239.255.255.255", "site"),
        ("ff01::1", "host"),
        ("ff02::4242", "link"),
        ("ff12::4242%lo", "link"),
        ("ff04::1", "site"),
        ("ff15::4242", "site"),
        ("ff08::4242", "site"),
        ("ff0e::4242", "global"),
        ("ff1e::4242", "global"),
        ("ff3e:30:2001:db8::1", "global"),
    ],
)
def test_how_far_a_group_may_go(address: str, scope: str) -> None:
    assert scope_of(ip_address(address)) == scope


def test_the_reach_says_what_the_url_does_and_holds_no_secret() -> None:
    shown = reach("multicast://225.1.1.1,[ff15::4242],192.0.2.7?psk=hunter2hunter2&ttl=3&interface=eth0", "all")
    assert "hunter2" not in repr(shown)
    assert shown.to_dict() == {
        "url": "multicast://225.1.1.1,[ff15::4242],192.0.2.7?psk=***&ttl=3&interface=eth0",
        "scheme": "multicast",
        "hosts": ("225.1.1.1", "ff15::4242", "192.0.2.7"),
        "port": 4242,
        "interface": "eth0",
        "ttl": 3,
        "mode": "stock",
        "psk": True,
        "keyed": False,
        "takes_stock": True,
        "well_known": (),
        "bindings": "all",
        "scopes": {"225.1.1.1": "global", "ff15::4242": "site"},
        "encrypted": "stock psk",
    }
    assert (reach(SEALED).encrypted, reach(TRACED).encrypted, reach(STOCK).encrypted) == ("sealed", "no", "no")
    assert (reach(SEALED).takes_stock, reach(TRACED).takes_stock) == (False, True)
    assert not reach(f"{TRACED}&stock=reject").takes_stock
    assert reach("udp://[2001:db8::7]:1").ttl is None
    assert (reach("file:capture.pcapng?psk=x").psk, reach("sim://").mode, reach("-").hosts) == (True, None, ())
    with pytest.raises(UrlError, match="ttl=256 is out of range"):
        reach("multicast://225.1.1.1?ttl=256")


def test_the_default_group_of_the_module() -> None:
    findings = found(STOCK, seen({"CUSTOM sofia::register": 7}, Leak.NUMBERS, Leak.TOPOLOGY))
    assert {code: finding.severity for code, finding in findings.items()} == {
        "registrations-can-be-hijacked": Severity.CRITICAL,
        "readable-by-all": Severity.CRITICAL,
        "group-not-scoped": Severity.NOTICE,
    }
    assert findings["registrations-can-be-hijacked"].evidence == (
        "multicast://225.1.1.1: mode stock without a key",
        "CUSTOM sofia::register: 7 seen",
    )
    assert findings["readable-by-all"].evidence == (
        "multicast://225.1.1.1: mode stock without a key",
        "numbers in 1 header",
    )
    assert findings["group-not-scoped"].evidence == (
        "multicast://225.1.1.1: 225.1.1.1 is outside 239.0.0.0/8; ttl is 1",
    )
    assert '<param name="address" value="239.192.1.1"/>' in findings["group-not-scoped"].mends[0].how


def test_a_sealed_group_within_the_organisation_has_nothing_wrong() -> None:
    everything = seen({"CUSTOM sofia::register": 7}, *Leak)
    assert found(SEALED, everything, keep=["registrations"], trust={"member": 7}) == {}
    assert found("sim://", everything, keep=["registrations"], trust={"local": 7}) == {}
    assert found("esl://127.0.0.1?password=another", everything, trust={"local": 7}) == {}


@pytest.mark.parametrize(
    ("text", "kinds", "more", "hijackable"),
    [
        (STOCK, {"CUSTOM sofia::register": 1}, {}, True),
        (STOCK, {"HEARTBEAT": 1}, {}, False),
        (STOCK, {"HEARTBEAT": 1}, {"keep": ["registrations"]}, True),
        (STOCK, {"HEARTBEAT": 1}, {"keep": ["lamps"]}, False),
        (f"{STOCK}?psk=hunter2", {"CUSTOM sofia::register": 1}, {}, True),
        ("udp://127.0.0.1:4242", {"CUSTOM sofia::register": 1}, {}, True),
        ("multicast://239.192.1.1?mode=traced", {"CUSTOM sofia::register": 1}, {}, True),
        (TRACED, {"CUSTOM sofia::register": 1}, {"trust": {"stock": 1}}, False),
        ("file:capture.pcap", {"CUSTOM sofia::register": 1}, {"trust": {"stock": 1}}, True),
        ("file:events.jsonl", {"CUSTOM sofia::register": 1}, {"trust": {"local": 1}}, False),
        ("esl://127.0.0.1", {"CUSTOM sofia::register": 1}, {"trust": {"local": 5}}, False),
        ("esl://127.0.0.1", {"CUSTOM sofia::register": 1}, {"trust": {"local": 5, "stock": 1}}, True),
    ],
)
def test_who_can_move_a_registration(text: str, kinds: dict[str, int], more: dict[str, Any], hijackable: bool) -> None:
    assert ("registrations-can-be-hijacked" in found(text, seen(kinds), **more)) is hijackable


def test_strangers_beside_members_are_worth_a_notice() -> None:
    finding = found(TRACED, trust={"stock": 3, "member": 5})["unproven-events"]
    assert finding.severity == Severity.NOTICE
    assert "3 of 8 events had no valid proof" in finding.evidence[0]
    assert "unproven-events" not in found(TRACED, trust={"member": 5})
    assert "unproven-events" not in found(f"{TRACED}&stock=reject", trust={"stock": 3})
    assert "unproven-events" not in found(STOCK, trust={"stock": 3})


def test_a_key_that_everybody_knows(tmp_path: Path) -> None:
    file = tmp_path / "group.psk"
    file.write_text("ClueCon\n")
    file.chmod(0o600)
    for text in (f"{STOCK}?psk=ClueCon", f"{STOCK}?psk_file={file}"):
        findings = found(text)
        assert findings["well-known-key"].severity == Severity.CRITICAL
        assert "ClueCon" not in repr(findings["well-known-key"].evidence)
        assert "stock-psk" in findings
        assert "readable-by-all" not in findings
    assert "well-known-key" not in found(f"{STOCK}?psk=cluecon")
    file.chmod(0o644)
    with pytest.raises(EndpointDenied):
        reach(f"{STOCK}?psk_file={file}")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("esl://127.0.0.1", True),
        ("esl://:ClueCon@127.0.0.1", True),
        ("esl://127.0.0.1?password=ClueCon", True),
        ("esl://127.0.0.1?password=1f4a", False),
        ("multicast://239.192.1.1", False),
    ],
)
def test_the_password_of_every_new_switch(text: str, known: bool) -> None:
    assert ("well-known-password" in found(text)) is known


def test_a_stock_key_hides_and_proves_nothing() -> None:
    finding = found("udp://192.168.1.7?psk=hunter2")["stock-psk"]
    assert finding.severity == Severity.WARNING
    assert "hunter2" not in repr(finding)
    assert "stock-psk" not in found("file:capture.pcap?psk=hunter2", trust={"stock": 1})


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("multicast://225.1.1.1?ttl=1", Severity.NOTICE),
        ("multicast://225.1.1.1?ttl=2", Severity.WARNING),
        ("multicast://[ff1e::4242]?ttl=8", Severity.WARNING),
        ("multicast://[ff15::4242]?ttl=8", None),
        ("multicast://239.192.1.1?ttl=8", None),
        ("udp://192.0.2.7", None),
    ],
)
def test_a_group_that_no_border_stops(text: str, severity: Severity | None) -> None:
    finding = found(text).get("group-not-scoped")
    assert (finding and finding.severity) == severity


def test_a_group_of_six_is_mended_by_one_of_six() -> None:
    finding = found("multicast://[ff1e::4242]:5000")["group-not-scoped"]
    assert "has the scope e (global)" in finding.evidence[0]
    assert 'url = "multicast://[ff15::4242]:5000"' in finding.mends[0].how


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("multicast://239.192.1.1", None),
        ("multicast://239.192.1.1?ttl=0", None),
        ("multicast://239.192.1.1?ttl=2", Severity.WARNING),
        ("multicast://[ff15::1]?ttl=255", Severity.WARNING),
        (f"{SEALED}&ttl=16", Severity.NOTICE),
        ("udp://192.0.2.7", None),
    ],
)
def test_beyond_the_first_router(text: str, severity: Severity | None) -> None:
    finding = found(text).get("ttl-over-one")
    assert (finding and finding.severity) == severity


def test_everything_is_bound_where_it_says_so_or_shows() -> None:
    three = dict.fromkeys(sorted(HOUSEKEEPING)[:3], 1)
    two = dict.fromkeys(sorted(HOUSEKEEPING)[:2], 1)
    many = {f"CUSTOM acme::event-{number}": 1 for number in range(MOST_KINDS + 1)}
    few = {f"CUSTOM acme::event-{number}": 1 for number in range(MOST_KINDS)}
    group = "multicast://239.192.1.1"
    assert "everything-bound" in found(group, bindings="all")
    assert "everything-bound" in found(group, bindings="HEARTBEAT ALL")
    assert "everything-bound" in found(group, seen(three))
    assert "everything-bound" in found(group, seen(many))
    assert "everything-bound" in found("file:capture.pcap", seen(many), trust={"stock": 1})
    assert "everything-bound" not in found(group, seen(two), bindings="HEARTBEAT")
    assert "everything-bound" not in found(group, seen(few))
    assert "everything-bound" not in found("esl://127.0.0.1", seen(many), trust={"local": 1})
    mend = found(group, seen(three), keep=["lamps", "gateways"])["everything-bound"].mends[0]
    assert mend.how.startswith('bindings = "MESSAGE_WAITING CUSTOM sofia::gateway_state"; for the module <param ')
    assert mend.effect == "Only what lamps and gateways need is sent."


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("udp://8.8.8.8", Severity.CRITICAL),
        ("udp://8.8.8.8?psk=hunter2", Severity.WARNING),
        ("multicast://239.192.1.1,[2606:4700::1]", Severity.CRITICAL),
        ("udp://8.8.8.8?mode=sealed&key_file=/k", None),
        ("udp://10.0.0.8", None),
        ("udp://[fd42::1]", None),
        ("udp://localhost", None),
    ],
)
def test_in_clear_to_a_public_address(text: str, severity: Severity | None) -> None:
    finding = found(text).get("clear-to-public-address")
    assert (finding and finding.severity) == severity


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("esl://10.0.0.8", True),
        ("esl://switch.example", True),
        ("esl://127.0.0.1", False),
        ("esl://[::1]", False),
        ("esl://localhost", False),
    ],
)
def test_an_event_socket_over_the_network(text: str, clear: bool) -> None:
    assert ("event-socket-in-clear" in found(text)) is clear


class Nothing:
    """A classifier that finds nothing, and was asked everything."""

    def __init__(self) -> None:
        self.asked: list[str | bytes] = []

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        assert kind == "API"
        assert header
        self.asked.append(value)
        return ()

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        assert kind == "API"
        self.asked.append(body)
        return ()


@pytest.mark.parametrize(
    ("header", "value", "known"),
    [
        ("X-Secret", "ClueCon", True),
        ("API-Command-Argument", "auth ClueCon", True),
        ("API-Command-Argument", "esl://:ClueCon@127.0.0.1:8021", True),
        ("API-Command-Argument", '{"password": "ClueCon"}', True),
        ("variable_psk", "psk=ClueCon", True),
        ("variable_default_password", "1234", True),
        ("Text", "default_password=1234\ndomain=10.0.0.1", True),
        ("API-Command-Argument", "{sip_auth_password='1234'}user/1000", True),
        ("Text", "default_password=12345", False),
        ("Text", "call 1234, no password", False),
        ("Caller-Destination-Number", "1234", False),
        ("Text", "See you at ClueCon! http://www.cluecon.com/", False),
        ("Text", "ClueCon 2026, Chicago", False),
        ("password", "ClueConnected", False),
        ("password", "", False),
    ],
)
def test_a_well_known_secret_in_a_value(header: str, value: str, known: bool) -> None:
    inner = Nothing()
    sightings = Sightings(inner)
    assert sightings.of("API", header, value) == ()
    assert sightings.of_body("API", value.encode()) == ()
    assert inner.asked == [value, value.encode()]
    assert (("API", header) in sightings.seen) is known
    findings = {finding.code for finding in standing_findings([], well_known=sightings.seen)}
    assert findings == ({"well-known-secret-sent"} if known else set())


def test_how_many_places_are_remembered_is_bounded() -> None:
    sightings = Sightings(Nothing())
    for number in range(MOST_PLACES + 10):
        sightings.of("API", f"X-{number}\n\x1b" + "y" * 1000, "ClueCon")
    assert len(sightings.seen) == MOST_PLACES
    (finding,) = standing_findings([], well_known=sightings.seen)
    assert len(finding.evidence) < 20
    assert all(line.isprintable() and len(line) < 100 for line in finding.evidence)


def test_several_endpoints_are_each_looked_at() -> None:
    findings = standing_findings([reach(STOCK), reach("udp://10.0.0.8"), reach(SEALED)], seen())
    assert sorted(finding.evidence[0].partition(": ")[0] for finding in findings) == [
        STOCK,
        STOCK,
        "udp://10.0.0.8",
    ]


def audited(events: list[Event]) -> AuditResult:
    audit = Audit(Classifier())
    audit.add(events)
    return audit.result()


def test_a_flood_of_invented_names_is_told_with_who_it_came_from() -> None:
    """Behind it a leak goes by unseen: that there was one nobody can say."""
    honest = [Event("HEARTBEAT", {"Multicast-Sender": "fs1"})]
    flood = [Event("CUSTOM", {"Event-Subclass": f"x::{n}", "Multicast-Sender": "fs9"}) for n in range(3_000)]
    leak = [Event("CUSTOM", {"Event-Subclass": "acme::login", "Multicast-Sender": "fs1", "password": "hunter2"})]
    result = audited(honest + flood + leak)
    assert not any(header.found for kind in result.kinds for header in kind.headers if header.name == "password")
    finding = found(STOCK, result)["too-many-names"]
    assert finding.severity == Severity.WARNING
    assert finding.evidence == (
        f"{STOCK}: kinds of event that were counted: 1,024; events of further kinds, which were not: 1,978",
        "1,023 of the kinds that were counted came from fs9 and nobody else",
    )
    how = [mend.how for mend in finding.mends]
    assert how[0] == "switchcast audit SOURCE --where 'sender != \"fs9\"'"
    assert how[1].startswith("switchcast audit SOURCE --bindings 'PRESENCE_IN ")
    assert how[2].startswith('mode = "traced", key_file = ')
    assert 'stock = "reject"' in how[2]
    chosen = make_matcher("all", how[0].partition("--where '")[2].removesuffix("'"))
    assert chosen is not None
    mended = found(STOCK, audited([event for event in honest + flood + leak if chosen.matches(event)]))
    assert "too-many-names" not in mended
    assert "credentials in 1 header" in mended["readable-by-all"].evidence


@pytest.mark.parametrize(
    ("text", "events", "figures"),
    [
        (STOCK, [Event("API", {f"X-{n}": "" for n in range(at, at + 1_050)}) for at in (0, 1_050)], ("2,048", "53")),
        (STOCK, [Event("API", {"x" * 300: "1"})], ("1", "1")),
        (SEALED, [Event("API", {"Multicast-Sender": f"s{n}"}) for n in range(1_030)], ("1,024", "6")),
        ("file:x.pcap", [Event("A" * 300)], ("0", "1")),
    ],
)
def test_whatever_the_bounds_leave_out_for_its_name_is_told(
    text: str, events: list[Event], figures: tuple[str, str]
) -> None:
    finding = found(text, audited(events))["too-many-names"]
    (line,) = finding.evidence
    assert tuple(re.findall(r": ([\d,]+)(?:;|$)", line)) == figures
    assert any('stock = "reject"' in mend.how for mend in finding.mends) is (text == STOCK)


def test_what_a_flooding_sender_calls_itself_is_no_command() -> None:
    name = "$(reboot)'\"\x1b[2J"
    events = [Event("CUSTOM", {"Event-Subclass": f"x::{n}", "Multicast-Sender": name}) for n in range(1_030)]
    finding = found(STOCK, audited([Event("API", {"Multicast-Sender": "fs1"}), *events]))["too-many-names"]
    assert "came from $(reboot)'\"?[2J and nobody else" in finding.evidence[1]
    assert not any("reboot" in mend.how for mend in finding.mends)


def test_values_that_are_long_or_of_many_shapes_are_no_flood() -> None:
    events = [Event("API", {"X-Long": "x" * 40_000, "X-Shape": f"{n:010b}".replace("0", "a.")}) for n in range(200)]
    result = audited(events)
    assert result.uncounted.keys() == {"cut", "shapes"}
    assert "too-many-names" not in found(STOCK, result)


def test_the_documentation_tells_of_every_code() -> None:
    page = (Path(__file__).parent.parent / "docs" / "audit.md").read_text(encoding="utf-8")
    table = page.partition("| code | what it says |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\S+)` \| (.*) \|$", table, re.MULTILINE) == list(CODES.items())
