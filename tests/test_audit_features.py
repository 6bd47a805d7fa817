"""The table of what each feature reads, against the policies that come along, the recordings, and what never leaves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from switchcast import Event, StockFrames
from switchcast._native import ESSENTIAL_HEADERS
from switchcast.errors import UsageError
from switchcast.guard.audit.classifier import Classifier
from switchcast.guard.audit.features import FEATURES, Feature, features_named
from switchcast.guard.audit.suggest import NEVER
from switchcast.guard.policy import shipped
from switchcast.guard.policy_words import read_kinds, warn_of

CLUSTER = ("registrations", "presence", "lamps", "mailboxes", "peers", "load")
MONITORING = ("load", "versions", "calls", "quality", "logins", "gateways", "conferences", "queues", "switches")
ENDS = ("CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY")
FORBIDDEN = re.compile(  # in lower case
    r"auth|passw|digest|nonce|secret|hash|token|credential|dtmf|digits|sdp|body|record|(^|[-_])file|path|sip_h_",
)


def needed(names: Iterable[str]) -> dict[str, set[str]]:
    """Of each kind the headers that these features read."""
    headers: dict[str, set[str]] = {}
    for feature in features_named(tuple(names)):
        for need in feature.needs:
            for kind in need.kinds:
                headers.setdefault(kind, set()).update(need.headers)
    return headers


def allowed(policy: str) -> dict[str, set[str]]:
    """Of each kind the headers that a shipped policy names."""
    return {str(kind): set(when.headers or ()) for when in shipped(policy).when for kind in read_kinds(when.events)}


def test_cluster_allows_just_what_its_features_read() -> None:
    assert needed(CLUSTER) == allowed("cluster")


def test_monitoring_allows_just_what_its_features_read() -> None:
    read, passing = needed(MONITORING), allowed("monitoring")
    assert read.keys() == passing.keys()
    for when in shipped("monitoring").when:
        kinds = [str(kind) for kind in read_kinds(when.events)]
        assert set().union(*(read[kind] for kind in kinds)) == set(when.headers or ())
    # It names what only the end of a call has for all kinds of that table, to say it once.
    wider = {kind for kind in read if read[kind] != passing[kind]}
    assert wider == {name for name in passing if name.startswith("CHANNEL_")} - set(ENDS)


def test_every_feature_is_in_one_of_them_or_adds_something_to_both() -> None:
    assert FEATURES.keys() - {*CLUSTER, *MONITORING} == {"callers", "failed-logins", "parking"}
    for name in ("callers", "failed-logins", "parking"):
        both = needed((*CLUSTER, *MONITORING))
        assert any(headers - both.get(kind, set()) for kind, headers in needed([name]).items())


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_a_feature_names_whole_headers_each_once_and_nothing_that_may_never_leave(feature: Feature) -> None:
    for need in feature.needs:
        lower = [header.lower() for header in need.headers]
        assert len(set(lower)) == len(lower)
        assert [name for name in (*lower, *need.kinds) if "*" in name or "?" in name] == []
        assert not set(lower) & {name.lower() for name in ESSENTIAL_HEADERS}
        assert [name for name in lower if FORBIDDEN.search(name)] == []
        assert warn_of(read_kinds([", ".join(need.kinds)])) == []


@pytest.mark.parametrize(
    "value", ["4930123456", "Anna", "1000@pbx.example", "7f2c9a01b3", "3/1 (0/0)", "/var/lib/a.wav"]
)
def test_the_audit_takes_none_of_these_headers_for_a_secret_by_its_name(value: str) -> None:
    classifier = Classifier()
    for kind, headers in needed(FEATURES).items():
        for header in headers:
            secrets = [match for match in classifier.of(kind, header, value) if match.leak in NEVER]
            assert [match for match in secrets if match.by == "name"] == [], f"{kind}: {header}"


@pytest.fixture(scope="module")
def recorded_headers(plain_datagrams: list[tuple[int, bytes]]) -> dict[str, set[str]]:
    """Of each recorded kind the names of its headers, as they were written."""
    frames = StockFrames()
    headers: dict[str, set[str]] = {}
    for _, datagram in plain_datagrams:
        event = frames.open(datagram)
        headers.setdefault(kind_of(event), set()).update(event)
    return headers


def kind_of(event: Event) -> str:
    return f"CUSTOM {event.subclass}" if event.name == "CUSTOM" else event.name


NOT_RECORDED = {
    "CUSTOM sofia::register": {"mwi-account"},
    "HEARTBEAT": {"Heartbeat-Interval"},
    "PRESENCE_IN": {
        *("Presence-Privacy", "astate", "register-source", "resub", "variable_sip_from_user", "variable_sip_to_user"),
    },
    "SESSION_CRASH": {"Event-Info"},
}
"""What mod_sofia and others read although the recorded switch had no cause to send it."""


def test_what_is_named_is_what_a_switch_sends(recorded_headers: dict[str, set[str]]) -> None:
    read = {kind: headers for kind, headers in needed(FEATURES).items() if kind in recorded_headers}
    calls = [kind for kind in read if kind.startswith("CHANNEL_")]
    missing = {kind: headers - recorded_headers[kind] for kind, headers in read.items() if kind not in calls}
    assert {kind: headers for kind, headers in missing.items() if headers} == NOT_RECORDED
    in_calls = set().union(*(recorded_headers[kind] for kind in calls))
    assert set().union(*(read[kind] for kind in calls)) - in_calls == {"variable_holdmsec"}
    assert len(read) > 25


def test_names_are_taken_in_any_order_once_and_in_any_case() -> None:
    named = features_named(("Lamps", "registrations", " lamps "))
    assert [feature.name for feature in named] == ["registrations", "lamps"]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            ("registration",),
            r"--keep 'registration' is nothing that can be kept; did you mean registrations\? there are",
        ),
        (
            ("lamps", "messages"),
            r"--keep 'messages' is nothing that can be kept; .*there are registrations, presence, ",
        ),
        (("",), r"--keep '' is nothing that can be kept; there are registrations, .*, switches$"),
        ((), r"--keep names nothing, so nothing would leave; there are registrations, "),
    ],
)
def test_what_is_no_feature_is_told_with_those_that_are(keep: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        features_named(keep)


def test_the_documentation_tells_of_each_in_the_same_words() -> None:
    page = (Path(__file__).parent.parent / "docs" / "audit.md").read_text(encoding="utf-8")
    table = page.partition("| `--keep` | what goes on working |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\S+)` \| (.*) \|$", table, re.MULTILINE) == [
        (feature.name, feature.what) for feature in FEATURES.values()
    ]
