"""The policy that is suggested: it reads back as it was meant, lets nothing else pass, and says why in its comments."""

from __future__ import annotations

import string
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import PSK

from switchcast import Event, StockFrames
from switchcast._native import ESSENTIAL_HEADERS
from switchcast.app.cli.audit_policy import read_policy
from switchcast.errors import UsageError
from switchcast.guard.audit.features import FEATURES, features_named
from switchcast.guard.audit.leaks import AuditResult, Found, HeaderRow, KindRow, Leak
from switchcast.guard.audit.suggest import NEVER, suggest
from switchcast.guard.policy import PolicySettings, compile_policy, shipped

SHARED = ("registrations", "presence", "lamps")
ESSENTIAL = {name.lower() for name in ESSENTIAL_HEADERS}


def row(name: str, *leaks: Leak, events: int = 3, size: int = 30) -> HeaderRow:
    return HeaderRow(name, events, size, [Found(leak, "name", events, ["***"]) for leak in leaks])


def kind_row(kind: str, *headers: HeaderRow, events: int = 3, body: HeaderRow | None = None) -> KindRow:
    return KindRow(kind, events, 1000, 300, 400, 0 if body is None else events, {"fs1": events}, list(headers), body)


def seen(*kinds: KindRow) -> AuditResult:
    return AuditResult(sum(kind.events for kind in kinds), 1000, {"fs1": 3}, list(kinds), 0.9)


def table(text: str, name: str = "suggested") -> PolicySettings:
    return PolicySettings.model_validate(tomllib.loads(text)["policies"][name])


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]], psk_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    """Every event of both recordings."""
    plain, encrypted = StockFrames(), StockFrames(PSK)
    return [
        *(plain.open(datagram) for _, datagram in plain_datagrams),
        *(encrypted.open(datagram) for _, datagram in psk_datagrams),
    ]


def kind_of(event: Event) -> str:
    return f"CUSTOM {event.subclass}" if event.name == "CUSTOM" else event.name


def read_of(names: tuple[str, ...]) -> dict[str, set[str]]:
    """Of each kind the headers that these features read, in lower case."""
    headers: dict[str, set[str]] = {}
    for feature in features_named(names):
        for need in feature.needs:
            for kind in need.kinds:
                headers.setdefault(kind, set()).update(name.lower() for name in need.headers)
    return headers


@pytest.mark.parametrize("keep", [*((name,) for name in FEATURES), SHARED, tuple(FEATURES)], ids=" ".join)
def test_it_lets_pass_what_the_features_read_and_nothing_else(keep: tuple[str, ...], recorded: list[Event]) -> None:
    policy = compile_policy("suggested", suggest(keep).settings)
    read = read_of(keep)
    passed = policy(recorded)
    assert [kind_of(event) for event in passed] == [kind_of(event) for event in recorded if kind_of(event) in read]
    originals = {(event.core_uuid, event.sequence, kind_of(event)): event for event in recorded}
    for event in passed:
        before = originals[event.core_uuid, event.sequence, kind_of(event)]
        allowed = read[kind_of(event)] | ESSENTIAL
        assert {name.lower() for name in event} == {name.lower() for name in before} & allowed
        assert all(event[name] == before[name] for name in event)
        assert event.body == b""


def test_for_a_cluster_it_is_what_the_shipped_policy_leaves(recorded: list[Event]) -> None:
    keep = ("registrations", "presence", "lamps", "mailboxes", "peers", "load")
    suggested = compile_policy("suggested", suggest(keep).settings)
    cluster = compile_policy("cluster", shipped("cluster"))
    assert [event.to_plain() for event in suggested(recorded)] == [event.to_plain() for event in cluster(recorded)]


@pytest.mark.parametrize("keep", [*((name,) for name in FEATURES), SHARED, tuple(FEATURES)], ids=" ".join)
def test_it_has_no_wildcard_no_body_no_value_to_change_and_reads_back(keep: tuple[str, ...], tmp_path: Path) -> None:
    suggestion = suggest(keep, name="fs1.wide-area")
    settings = suggestion.settings
    assert "*" not in repr(settings)
    assert "?" not in repr(settings)
    assert not any((settings.events, settings.headers, settings.values, settings.body, settings.key_file))
    assert {when.body for when in settings.when} == {None}
    file = tmp_path / "policy.toml"
    file.write_text(suggestion.text, encoding="utf-8")
    chosen = read_policy(str(file))
    assert (chosen.name, chosen.settings, chosen.warnings) == ("fs1.wide-area", settings, [])
    assert max(map(len, suggestion.text.splitlines())) <= 120


NAMES = st.text(st.sampled_from(string.ascii_letters + "-_:\"\\'# =[]\n\r\t\0\x85\u2028\u202e\ud800é💥"), max_size=90)
ROWS = st.builds(
    lambda name, leaks, events: row(name, *leaks, events=events),
    NAMES | st.sampled_from(["contact", "from-user", "status", "Event-Name", "Idle-CPU"]),
    st.lists(st.sampled_from(Leak), unique=True, max_size=3),
    st.integers(0, 10**9),
)
KINDS = st.builds(
    lambda kind, headers, body: kind_row(kind, *headers, body=body),
    NAMES | st.sampled_from(["CUSTOM sofia::register", "PRESENCE_IN", "HEARTBEAT", "API", "custom sofia::register"]),
    st.lists(ROWS, max_size=8),
    st.none() | ROWS,
)


@given(
    st.lists(st.sampled_from(list(FEATURES)), min_size=1),
    st.builds(lambda kinds: seen(*kinds), st.lists(KINDS, max_size=8)),
)
def test_whatever_was_seen_it_reads_back_and_never_allows_more(keep: list[str], result: AuditResult) -> None:
    suggestion = suggest(keep, result)
    assert table(suggestion.text) == suggestion.settings
    assert tomllib.loads(suggestion.text).keys() == {"policies"}
    plain = {
        (kind, header)
        for when in suggest(keep).settings.when
        for kind in kinds_in(when.events)
        for header in when.headers or ()
    }
    passing = {
        (kind, header)
        for when in suggestion.settings.when
        for kind in kinds_in(when.events)
        for header in when.headers or ()
    }
    refused = {
        (kind.kind.lower(), header.name.lower())
        for kind in result.kinds
        for header in kind.headers
        if any(found.leak in NEVER for found in header.found)
    }
    assert passing == {each for each in plain if (each[0].lower(), each[1].lower()) not in refused}
    assert len(suggestion.warnings) == len(plain) - len(passing)


def kinds_in(events: tuple[str, ...]) -> list[str]:
    names = " ".join(events).replace("CUSTOM ", "").split()
    return [f"CUSTOM {name}" if "::" in name else name for name in names]


REGISTER = kind_row(
    "CUSTOM sofia::register",
    row("from-user", Leak.NUMBERS),
    row("contact", Leak.SIP, Leak.NUMBERS),
    row("expires"),
    row("rpid", size=0),
    row("sip_auth_password", Leak.CREDENTIALS),
    row("Event-Date-GMT"),
    row("FreeSWITCH-Hostname", Leak.TOPOLOGY),
)


def lines_with(text: str, word: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if word in line]


def test_its_comments_say_for_whom_what_is_given_away_and_what_stays() -> None:
    message = kind_row("MESSAGE", row("from", Leak.SIP), body=row("_body", Leak.CONTENT), events=2)
    api = kind_row("API", row("API-Command-Argument", Leak.CREDENTIALS), events=40)
    result = seen(REGISTER, message, api, kind_row("RE_SCHEDULE", row("Task-ID"), events=7))
    suggestion = suggest(SHARED, result)
    text = suggestion.text
    assert lines_with(text, "registrations  ") == [
        "#   registrations  a telephone that is registered at one switch can be called from the others"
    ]
    assert "# registrations: mod_sofia inserts into sip_registrations;" in text
    assert lines_with(text, '"from-user"')[0] == '"from-user",        # numbers'
    assert lines_with(text, '"contact"')[0] == '"contact",          # numbers, sip'
    assert lines_with(text, '"expires"')[0] == '"expires",'
    assert lines_with(text, '"rpid"')[0] == '"rpid",             # always empty here'
    assert lines_with(text, '"username"')[0] == '"username",         # not seen here'
    assert lines_with(text, "sip_auth_password") == ["#   credentials  sip_auth_password"]
    assert lines_with(text, "FreeSWITCH-Hostname") == []  # every event has it
    assert lines_with(text, "Left out altogether") == ["# Left out altogether: 49 events of 3 kinds."]
    assert text.endswith("#   credentials  in API\n#   content      in MESSAGE\n#   sip          in MESSAGE\n")
    assert lines_with(text, "Seen here") == ["# Seen here: 3 events."]
    assert len(lines_with(text, "# Not seen here.")) == 5
    assert [(left.kind, left.header) for left in suggestion.left_out] == [
        ("CUSTOM sofia::register", "sip_auth_password"),
        ("MESSAGE", "from"),
        ("MESSAGE", None),
        ("API", "API-Command-Argument"),
    ]


@pytest.mark.parametrize("leak", NEVER)
def test_a_header_that_was_seen_to_hold_a_secret_stays_whoever_reads_it(leak: Leak) -> None:
    result = seen(kind_row("custom SOFIA::register", row("Contact", leak), row("from-user", Leak.NUMBERS)))
    suggestion = suggest(("registrations", "lamps"), result)
    (warning,) = suggestion.warnings
    assert warning == (
        f"contact of CUSTOM sofia::register stays here, for {leak} stood in it at this source; "
        "registrations will lack it"
    )
    register = next(when for when in suggestion.settings.when if "CUSTOM sofia::register" in when.events)
    assert "contact" not in (register.headers or ())
    assert "from-user" in (register.headers or ())
    assert "# Mind: contact of CUSTOM sofia::register stays here" in suggestion.text
    assert table(suggestion.text) == suggestion.settings


def test_peers_need_nothing_but_that_a_heartbeat_comes(recorded: list[Event]) -> None:
    suggestion = suggest(["peers"])
    assert suggestion.text.endswith('[[policies.suggested.when]]\nevents = "HEARTBEAT"\nheaders = []\n')
    passed = compile_policy("suggested", suggestion.settings)(recorded)
    assert {event.name for event in passed} == {"HEARTBEAT"}
    assert {name.lower() for event in passed for name in event} <= ESSENTIAL


@pytest.mark.parametrize("name", ["", "a b", "a\nb", 'a"', "-a", "a" * 65, "a]"])
def test_a_name_that_no_policy_can_have_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a policy; write letters, digits"):
        suggest(["lamps"], name=name)


def test_what_is_no_feature_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'lamp' .* did you mean lamps\?"):
        suggest(["lamp"])
