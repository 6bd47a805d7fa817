"""Settings from the environment: they win over the file, and a mistake names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest
from configurations import FULL, SECRETS, lay_out, loaded, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switchcast.app.config import load
from switchcast.errors import ConfigurationError


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    environ = {
        "SWITCHCAST_NODE__NAME": "fs2",
        "switchcast_node__drain": "lower case is another variable",
        "SWITCHCAST_METRICS__LISTEN": "[::1]:9000",
        "SWITCHCAST_ENDPOINTS__GROUP__QUEUE": "77",
        "SWITCHCAST_ENDPOINTS__EXTRA__URL": "memory:extra",
        "SWITCHCAST_POLICIES__SMALL__HEADERS": '["from-user"]',
        "SWITCHCAST_PEERS__MOST_PER_ADDRESS": "3",
        "SWITCHCAST_TESTED": "wheel",
    }
    configuration = loaded(tmp_path, FULL, environ)
    assert (configuration.node.name, configuration.node.drain) == ("fs2", 10.0)
    assert configuration.metrics is not None
    assert configuration.metrics.address == ("::1", 9000)
    assert configuration.endpoints["group"].queue == 77
    assert configuration.endpoints["group"].url.hosts == ("239.192.1.1",)
    assert configuration.endpoints["extra"].url.path == "extra"
    assert configuration.policies["small"].headers == ("from-user",)
    assert configuration.peers.most_per_address == 3
    assert configuration.warnings[-1] == (
        "environment variable SWITCHCAST_ENDPOINTS__EXTRA__URL: endpoints.extra: no route and no rule names it"
    )


def test_a_variable_finds_a_name_that_no_variable_can_hold(tmp_path: Path) -> None:
    text = '[endpoints."my-group.eu"]\nurl = "memory:a"\n'
    configuration = loaded(tmp_path, text, {"SWITCHCAST_ENDPOINTS__MY_GROUP_EU__URL": "memory:b"})
    assert configuration.endpoints["my-group.eu"].url.path == "b"
    assert list(configuration.endpoints) == ["my-group.eu"]


def test_this_processs_environment_counts_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHCAST_NODE__NAME", "of-this-process")
    assert load(lay_out(tmp_path, "")).node.name == "of-this-process"
    assert loaded(tmp_path, "", {"SWITCHCAST_NODE__NAME": "given"}).node.name == "given"


VARIABLES = [
    ("SWITCHCAST_NODE__NAM", "a", "no setting is called so; did you mean SWITCHCAST_NODE__NAME?"),
    ("SWITCHCAST_NOD__NAME", "a", "no setting is called so; did you mean SWITCHCAST_NODE?"),
    ("SWITCHCAST_NODE__NAME__FIRST", "a", "SWITCHCAST_NODE__NAME is a single value; nothing can follow it"),
    ("SWITCHCAST_LOG__LEVEL", "loud", 'log.level: "loud": none of debug, info, warning, error'),
    ("SWITCHCAST_NODE__DRAIN", "soon", 'node.drain: "soon": write a length of time'),
    ("SWITCHCAST_ROUTE__0__POLICY", "all", "SWITCHCAST_ROUTE is a list, whose elements have no names"),
    ("SWITCHCAST_ENDPOINTS__GROUP", "memory:a", "is a table; name a key of it, as SWITCHCAST_ENDPOINTS__GROUP__URL"),
    ("SWITCHCAST_ENDPOINTS__NEW__QUEUE", "1", "endpoints.new.url: missing"),
    ("SWITCHCAST_ENDPOINTS__", "1", "a name is missing"),
    ("SWITCHCAST_ENDPOINTS__GROUP__QUEUE", "many", 'endpoints.group.queue: "many": write a whole number'),
    ("SWITCHCAST_ENDPOINTS__GROUP__URL", "udp://192.0.2.1?psk=seven-slow-herons", "a configuration holds no secrets"),
    ("SWITCHCAST_ENDPOINTS__GROUP__PSK_FILE", "/nowhere/key", "no such file, though it should hold a secret"),
    ("SWITCHCAST_POLICIES__SMALL__HEADERS", "[a", "its value is no JSON"),
    ("SWITCHCAST_POLICIES__SMALL__HEADERS", "a", "write a list in brackets"),
    ("SWITCHCAST_NODE__NAME", "\udcff", "its value is not UTF-8"),
]


@pytest.mark.parametrize(("name", "value", "words"), VARIABLES)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path: Path, name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        loaded(tmp_path, FULL, {name: value})
    assert str(raised.value).startswith(f"environment variable {name}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not any(secret in str(raised.value) for secret in SECRETS)


WORDS = [
    "NODE",
    "NAME",
    "ENDPOINTS",
    "GROUP",
    "URL",
    "POLICIES",
    "SMALL",
    "VALUES",
    "WHEN",
    "ROUTE",
    "0",
    "",
    "PEERS",
    "TO",
]
GIVEN = [
    "",
    "a",
    "5",
    "[]",
    '["a"]',
    '{"a": "b"}',
    '{"a": {"url": "memory:a"}}',
    "[[",
    "sim://",
    "psk=seven-slow-herons",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    environ=st.dictionaries(
        st.lists(st.sampled_from(WORDS), max_size=4).map(lambda words: "SWITCHCAST_" + "__".join(words)),
        st.sampled_from(GIVEN) | st.text(max_size=10),
        max_size=3,
    )
)
def test_any_environment_gives_a_configuration_or_a_mistake(tmp_path: Path, environ: dict[str, str]) -> None:
    ended = outcome(lay_out(tmp_path, FULL), environ)
    assert not any(secret in f"{ended}{ended!r}" for secret in SECRETS)
