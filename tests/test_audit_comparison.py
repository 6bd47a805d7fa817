"""Before and after: what a policy takes away from what the audit sees, and which policy somebody means by a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from keyfiles import written
from recordings import PSK

from switchcast import Event, StockFrames
from switchcast.app.cli.audit_policy import read_policy
from switchcast.errors import ConfigurationError, SwitchcastError, UsageError
from switchcast.guard.audit.comparison import compare
from switchcast.guard.audit.inventory import Audit
from switchcast.guard.audit.leaks import Leak, Match
from switchcast.guard.policy import SHIPPED, shipped


class Plain:
    """A classifier for these tests: a password by its header's name, a number by its value, a text in a body."""

    def of(self, kind: str, header: str, value: str) -> tuple[Match, ...]:
        assert kind
        if "password" in header:
            return (Match(Leak.CREDENTIALS, "name", "***"),)
        return (Match(Leak.NUMBERS, "value", "***"),) if value.isdigit() and len(value) > 3 else ()

    def of_body(self, kind: str, body: bytes) -> tuple[Match, ...]:
        assert kind
        return (Match(Leak.CONTENT, "body", "***"),) if body else ()


EVENTS = [
    Event("MESSAGE", [("from", "1000"), ("X-password", "a")], "hello"),
    Event("HEARTBEAT", [("Up-Time", "1 day"), ("X-Number", "5551234")]),
    Event("HEARTBEAT", [("Up-Time", "2 days"), ("X-Number", "5551234")]),
    Event("DTMF", [("DTMF-Digit", "7")]),
    Event("CUSTOM", [("Event-Subclass", "sofia::register"), ("from-user", "1000"), ("password", "b")]),
]
POLICY = """
[policies.try]
headers = ["Up-Time", "X-Number", "from-user"]
values = { "X-Number" = "mask all but last 2" }
events = "HEARTBEAT CUSTOM sofia::register"
"""


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A file with one policy."""
    return written(tmp_path / "policy.toml", POLICY)


def test_what_is_gone_and_what_stays(policy_file: Path) -> None:
    chosen = read_policy(str(policy_file))
    before, after = Audit(Plain()), Audit(Plain())
    before.add(EVENTS)
    after.add(chosen.policy(EVENTS))
    comparison = compare(chosen.name, before.result(), after.result())
    assert (comparison.policy, comparison.events_before, comparison.events_after) == ("try", 5, 3)
    assert 0 < comparison.bytes_after < comparison.bytes_before
    assert (comparison.gone, comparison.stays) == ((Leak.CREDENTIALS, Leak.CONTENT), (Leak.NUMBERS,))
    credentials, content, numbers = comparison.leaks
    assert (credentials.headers_before, credentials.headers_after) == (2, 0)
    assert (credentials.kinds_before, credentials.kinds_after) == (2, 0)
    assert (content.headers_before, content.headers_after, content.where) == (1, 0, ())
    assert (numbers.headers_before, numbers.headers_after) == (3, 1)
    assert numbers.where == (("CUSTOM sofia::register", "from-user"),)

    # First what still gives something away, then by what it gave away before.
    register, message, heartbeat, dtmf = comparison.kinds
    assert [kind.kind for kind in comparison.kinds] == ["CUSTOM sofia::register", "MESSAGE", "HEARTBEAT", "DTMF"]
    assert (register.leaks_before, register.leaks_after) == ((Leak.CREDENTIALS, Leak.NUMBERS), (Leak.NUMBERS,))
    assert (register.gone, register.changed) == (("password",), ())
    assert {"from-user", "Event-Name", "Event-Subclass"} <= set(register.stay)
    assert (message.events_before, message.events_after, message.bytes_after) == (1, 0, 0)
    assert (message.stay, message.body_gone) == ((), True)
    assert {"from", "X-password"} <= set(message.gone)
    assert message.leaks_before == (Leak.CREDENTIALS, Leak.CONTENT, Leak.NUMBERS)
    assert (heartbeat.events_before, heartbeat.events_after, heartbeat.body_gone) == (2, 2, False)
    assert (heartbeat.gone, heartbeat.changed) == ((), ("X-Number",))
    assert (dtmf.leaks_before, dtmf.events_after) == ((), 0)

    told = json.loads(json.dumps(comparison.to_dict()))
    assert (told["leaks_gone"], told["leaks_staying"]) == (["credentials", "content"], ["numbers"])
    assert told["leaks"][2]["where"] == [{"kind": "CUSTOM sofia::register", "header": "from-user"}]
    assert told["kinds"][2]["headers_changed"] == ["X-Number"]


def test_under_all_nothing_changes() -> None:
    audit = Audit(Plain())
    audit.add(read_policy("all").policy(EVENTS))
    comparison = compare("all", audit.result(), audit.result())
    assert comparison.gone == ()
    assert all(change.headers_before == change.headers_after for change in comparison.leaks)
    assert all(not kind.gone and not kind.changed and not kind.body_gone for kind in comparison.kinds)


def test_nothing_at_all_compares_too() -> None:
    empty = Audit(Plain()).result()
    assert compare("all", empty, empty).to_dict()["kinds"] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_one_that_comes_along_by_its_name(name: str) -> None:
    chosen = read_policy(name)
    assert (chosen.name, chosen.settings) == (name, shipped(name))


def test_one_of_several_in_a_configuration_of_which_nothing_else_is_looked_at(tmp_path: Path) -> None:
    file = written(
        tmp_path / "node.toml",
        f"""
[endpoints.switch]
url = "esl://127.0.0.1"
password_file = "/nowhere/at/all"
{POLICY}
[policies.other]
events = "API HEARTBEET"
""",
    )
    chosen = read_policy(f"{file}:other")
    assert (chosen.name, chosen.settings.events) == ("other", ("API HEARTBEET",))
    assert chosen.warnings == ['unknown event "HEARTBEET"; the nearest are HEARTBEAT, SESSION_HEARTBEAT']
    with pytest.raises(UsageError, match=rf"--policy {file}: has 2 policies; write {file}:NAME with one of try, other"):
        read_policy(str(file))
    with pytest.raises(UsageError, match=rf"{file}:othr: there is no \[policies.othr\] in it; did you mean other\?"):
        read_policy(f"{file}:othr")


def test_a_file_with_a_colon_in_its_name(tmp_path: Path) -> None:
    file = written(tmp_path / "a:try", POLICY)
    assert read_policy(str(file)).name == "try"
    assert read_policy(f"{file}:try").name == "try"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no \\[policies.NAME\\] in it; write one with events"),
        ("policies = 3", "policy.toml:1: policies: 3: write a table"),
        ('events = "API"', r"there is no \[policies.NAME\] in it; put \[policies.NAME\] in front of events"),
        ("[policies.a]\nevents = ", r"policy.toml:2: .*no value of TOML"),
        ('[policies.a]\nevents = "CUSTOM"', r'policy.toml:2: policies.a.events: "CUSTOM": CUSTOM says nothing of'),
        ('[policies.a]\nevent = "API"', r"policy.toml:2: .*event.* did you mean events\?"),
        ('[policies."a b"]\nevents = "API"', "policy.toml:1: "),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path / "policy.toml", text)
    with pytest.raises(ConfigurationError, match=message):
        read_policy(str(file))


def test_what_is_neither_a_file_nor_a_policy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--policy 'clustr' is neither a file nor .* did you mean cluster\?"):
        read_policy("clustr")
    with pytest.raises(UsageError, match=r"neither a file nor a policy .*there are all, cluster, monitoring"):
        read_policy(f"{tmp_path}/none.toml:a")
    with pytest.raises(ConfigurationError, match="is a directory"):
        read_policy(str(tmp_path))
    stock = written(tmp_path / "event_multicast.conf.xml", "<configuration/>")
    with pytest.raises(ConfigurationError, match="the module's own configuration has no policies"):
        read_policy(str(stock))


HASHING = """
[policies.hashing]
events = "HEARTBEAT"
headers = ["X-Number"]
values = {{ "X-Number" = "hash" }}
key_file = "{}"
"""


def test_a_policy_that_hashes_needs_its_key(tmp_path: Path) -> None:
    key = tmp_path / "hash.key"
    file = written(tmp_path / "policy.toml", HASHING.format(key))
    with pytest.raises(ConfigurationError, match=rf"policies.hashing.key_file: {key}: .*; the audit hashes with the"):
        read_policy(str(file))
    written(key, "0123456789abcdef", mode=0o644)
    with pytest.raises(ConfigurationError, match=rf"{key}: .*chmod"):
        read_policy(str(file))
    written(key, "0123456789abcde")
    key.chmod(0o600)
    with pytest.raises(ConfigurationError, match="the key has 15 bytes, and at least 16 are needed"):
        read_policy(str(file))
    written(key, "0123456789abcdef")
    (left,) = read_policy(str(file)).policy([EVENTS[1]])
    assert left["X-Number"] != "5551234"
    assert len(left["X-Number"]) == 16


def test_a_key_among_the_credentials_of_the_service(tmp_path: Path) -> None:
    written(tmp_path / "hash.key", "0123456789abcdef")
    file = written(tmp_path / "policy.toml", HASHING.format("credential:hash.key"))
    assert read_policy(str(file), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).settings.hashes
    with pytest.raises(SwitchcastError, match="there are no credentials"):
        read_policy(str(file), {})


def test_the_recording_under_cluster(plain_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames()
    events = [frames.open(datagram) for _, datagram in plain_datagrams]
    before, after = Audit(Plain()), Audit(Plain())
    before.add(events)
    after.add(read_policy("cluster").policy(events))
    comparison = compare("cluster", before.result(), after.result())
    assert comparison.bytes_after * 50 < comparison.bytes_before
    assert Leak.CONTENT in comparison.gone
    staying = {kind.kind for kind in comparison.kinds if kind.events_after}
    assert staying == {row.kind for row in after.result().kinds}
    assert PSK.decode() not in json.dumps(comparison.to_dict())
