"""Configurations that are right: what they mean, what the environment says instead, where secrets come from."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from configurations import ESL_PASSWORD, FULL, GROUP_KEY, HASH_KEY, SECRETS, TWO_ENDPOINTS, lay_out, loaded

from switchcast.app.config import Configuration, load
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.errors import ConfigurationError

ROUTE = '[[route]]\nfrom = "{}"\nto = ["{}"]\n'
"""A route; the folder's name is filled in later."""


def test_every_table_is_taken(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, FULL)
    assert (configuration.node.name, configuration.node.drain) == ("fs1.example.com", 10.0)
    assert configuration.node.state_dir == str(tmp_path)
    assert (configuration.log.format, configuration.log.level) == ("json", "debug")
    assert configuration.metrics is not None
    assert configuration.metrics.address == ("127.0.0.1", 9748)
    assert configuration.control.socket == f"{tmp_path}/control.sock"
    assert configuration.peers.timeout == 90.0
    assert list(configuration.endpoints) == ["switch", "group", "archive"]
    archive = configuration.endpoints["archive"]
    assert (archive.url.path, archive.queue, archive.overflow) == (f"{tmp_path}/events.jsonl", 1000, "block")
    assert list(configuration.policies) == ["small"]
    assert configuration.policies["small"].key_file == f"{tmp_path}/hash.key"
    out, back = configuration.routes
    assert (out.name, out.source, out.to, out.policy) == ("out", "switch", ("group", "archive"), "small")
    assert (back.name, back.policy, back.deduplicate) == ("group-to-switch", "all", True)
    assert back.allow == ("192.0.2.0/24", "2001:db8::7")
    assert [(rule.name, rule.kind) for rule in configuration.rules] == [
        ("lamp", "run"),
        ("tell", "webhook"),
        ("echo", "emit"),
    ]
    assert [warning.partition(": ")[2].partition(": ")[0] for warning in configuration.warnings] == ["route[2].trust"]


def test_an_empty_file_is_a_node_that_does_nothing_and_says_so(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, "")
    assert configuration.node.name == socket.gethostname()
    assert configuration.node.state_dir == "/var/lib/switchcast"
    assert configuration.node.drain == 5.0
    assert configuration.control.socket == "/run/switchcast/control.sock"
    assert configuration.metrics is None
    (warning,) = configuration.warnings
    assert warning == f"{tmp_path}/switchcast.toml: there is no [[route]] and no [[rule]]: nothing would be done"


def test_metrics_are_on_where_there_is_a_table(tmp_path: Path) -> None:
    metrics = loaded(tmp_path, "[metrics]").metrics
    assert metrics is not None
    assert metrics.address == ("127.0.0.1", 9747)


def test_the_state_directory_is_systemds(tmp_path: Path) -> None:
    environ = {"STATE_DIRECTORY": "/var/lib/private/one:/var/lib/private/two"}
    assert loaded(tmp_path, "", environ).node.state_dir == "/var/lib/private/one"
    assert loaded(tmp_path, '[node]\nstate_dir = "/srv"', environ).node.state_dir == "/srv"


@pytest.mark.parametrize(
    ("sink", "policy"),
    [
        ("multicast://239.192.1.1:4242", "cluster"),
        ("udp://192.0.2.7:4242", "cluster"),
        ("file:/tmp/a.jsonl", "all"),
        ("memory:a", "all"),
        ("esl://127.0.0.1", "all"),
    ],
)
def test_the_policy_of_a_route_is_cluster_where_events_leave_the_host(tmp_path: Path, sink: str, policy: str) -> None:
    text = f'[endpoints.from]\nurl = "sim://"\n[endpoints.to]\nurl = "{sink}"\n'
    (route,) = loaded(tmp_path, text + ROUTE.format("from", "to")).routes
    assert route.policy == policy
    text += ROUTE.format("from", "to") + 'policy = "monitoring"\n'
    assert loaded(tmp_path, text).routes[0].policy == "monitoring"


def test_a_policy_in_place_of_a_shipped_one_is_told(tmp_path: Path) -> None:
    text = TWO_ENDPOINTS + ROUTE.format("switch", "group") + 'policy = "all"\n[policies.all]\nevents = "HEARTBEAT"\n'
    configuration = loaded(tmp_path, text)
    assert configuration.policies["all"].events == ("HEARTBEAT",)
    (warning,) = configuration.warnings
    assert warning.endswith("switchcast.toml:12: policies.all: stands in place of the policy of this name that comes "
                            "with switchcast")  # fmt: skip


def test_routes_without_a_name_get_one_of_their_own(tmp_path: Path) -> None:
    routes = loaded(tmp_path, TWO_ENDPOINTS + ROUTE.format("switch", "group") * 3).routes
    assert [route.name for route in routes] == ["switch-to-group", "switch-to-group-2", "switch-to-group-3"]


def test_endpoints_are_given_their_secrets_and_show_none(tmp_path: Path) -> None:
    configuration = loaded(tmp_path, FULL)
    switch, group = configuration.endpoints["switch"].url, configuration.endpoints["group"].url
    assert switch.secret("password") == ESL_PASSWORD.encode()
    assert make_endpoint(switch, role="sink").url == switch
    endpoint = make_endpoint(group, role="source")
    assert isinstance(endpoint, DatagramEndpoint)
    assert endpoint.psk == GROUP_KEY.encode()
    for shown in (repr(configuration), str(switch), str(group), repr(endpoint), repr(configuration.as_tables())):
        assert not any(secret in shown for secret in SECRETS)


def test_only_keys_of_ours_name_files(tmp_path: Path) -> None:
    """A header, a variable and an event may be called as our keys are."""
    text = (
        '[policies.p]\nevents = "all"\nvalues = {{ record_file = "mask" }}\n[[rule]]\nname = "r"\n'
        '[rule.run]\ncommand = ["/bin/true"]\nenvironment = {{ OF_file = "x", of_files = "y" }}\n'
    )
    configuration = loaded(tmp_path, text)
    assert configuration.policies["p"].values == {"record_file": "mask"}
    (rule,) = configuration.rules
    assert rule.run is not None
    assert rule.run.environment == {"OF_file": "x", "of_files": "y"}


def test_a_new_secret_in_the_same_file_is_a_change(tmp_path: Path) -> None:
    before = loaded(tmp_path, FULL).endpoints
    (tmp_path / "group.psk").write_text("another")
    after = load(tmp_path / "switchcast.toml", {}).endpoints
    assert before["group"] != after["group"]
    assert {name for name in before if before[name] == after[name]} == {"switch", "archive"}


def credentials(folder: Path, mode: int = 0o440) -> dict[str, str]:
    """A folder of credentials as systemd makes it: readable by an access control list, which shows as the group."""
    directory = folder / "credentials"
    directory.mkdir()
    for name, secret in (("esl", ESL_PASSWORD), ("hash", HASH_KEY)):
        (directory / name).write_text(secret)
        (directory / name).chmod(mode)
    return {"CREDENTIALS_DIRECTORY": str(directory)}


def with_credentials() -> str:
    return FULL.replace("{folder}/esl.password", "credential:esl").replace("{folder}/hash.key", "credential:hash")


def test_secrets_come_from_systemds_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = credentials(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", environ["CREDENTIALS_DIRECTORY"])
    configuration = loaded(tmp_path, with_credentials(), environ)
    assert configuration.endpoints["switch"].url.secret("password") == ESL_PASSWORD.encode()
    assert configuration.policies["small"].key_file == f"{tmp_path}/credentials/hash"
    (webhook,) = (rule.webhook for rule in configuration.rules if rule.webhook)
    assert webhook.secret_file == f"{tmp_path}/credentials/hash"
    assert configuration.as_tables()["endpoints"]["switch"]["password_file"] == "credential:esl"  # noqa: S105


def test_who_only_looks_at_a_file_has_not_the_services_credentials(tmp_path: Path) -> None:
    path = lay_out(tmp_path, with_credentials())
    warnings = [each for each in load(path, {}, outside=True).warnings if ".trust: " not in each]
    assert [re.sub(r"^.*: (\S+): credential:", r"\1 ", each) for each in warnings] == [
        f"{key} cannot be looked at here: only the service has its credentials"
        for key in (
            "endpoints.switch.password_file esl",
            "policies.small.key_file hash",
            "rule[2].webhook.secret_file hash",
        )
    ]
    with pytest.raises(ConfigurationError, match="there are no credentials"):
        load(path, {})


def test_a_secret_file_may_stand_in_the_url_too(tmp_path: Path) -> None:
    environ = credentials(tmp_path, 0o400)
    text = '[endpoints.a]\nurl = "esl://127.0.0.1?password_file=credential:esl&timeout=5"\n'
    url = loaded(tmp_path, text, environ).endpoints["a"].url
    assert url.options == (("timeout", "5"), ("password_file", f"{tmp_path}/credentials/esl"))


def test_a_credential_that_everyone_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = credentials(tmp_path, 0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", environ["CREDENTIALS_DIRECTORY"])
    with pytest.raises(ConfigurationError, match=r"password_file: .*others may read this secret \(mode 0444\)"):
        loaded(tmp_path, with_credentials(), environ)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            TWO_ENDPOINTS + '[[rule]]\nname = "a"\nlog = "x"\n',
            ["switchcast.toml:1: endpoints.switch: no route and no rule names it"],
        ),
        (
            TWO_ENDPOINTS + ROUTE.format("switch", "group") + 'bindings = "HEARTBEET"\n',
            ["switchcast.toml:11: route[1].bindings: unknown event", "HEARTBEAT"],
        ),
        (
            '[endpoints.a]\nurl = "esl://127.0.0.1"\n[endpoints.b]\nurl = "memory:"\n' + ROUTE.format("a", "b"),
            ["switchcast.toml:1: endpoints.a: no password_file"],
        ),
        (
            '[policies.own]\nevents = "HEARTBEET"\n[[rule]]\nname = "a"\non = "HEARTBEET"\nlog = "x"\n',
            [
                "toml:5: rule[1].on: unknown event",
                "toml:1: policies.own: no route names",
                "toml:1: policies.own: unknown",
            ],
        ),
    ],
)
def test_what_is_odd_is_a_warning_with_its_place(tmp_path: Path, text: str, words: list[str]) -> None:
    text = text.replace("memory:", "memory:b")
    warnings = "\n".join(loaded(tmp_path, text).warnings)
    for word in words:
        assert word in warnings


def test_a_configuration_opens_nothing(tmp_path: Path) -> None:
    path = lay_out(tmp_path, FULL)
    before = set(os.listdir(tmp_path))
    configuration = load(path, {})
    assert isinstance(configuration, Configuration)
    assert set(os.listdir(tmp_path)) == before
