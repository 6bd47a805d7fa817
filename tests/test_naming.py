"""Endpoints that go by their names: the commands that take a source or a sink look them up in a configuration."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from keyfiles import group, written
from recordings import DATA

from switchcast.app.cli import main, naming
from switchcast.app.cli.naming import endpoint_named, url_named
from switchcast.errors import ConfigurationError, UrlError

CAPTURE = DATA / "stock-plain.pcap.gz"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A recording, a group with mode and key, and a file that is written."""
    key = written(tmp_path / "group.key", group())
    file = tmp_path / "switchcast.toml"
    file.write_text(
        f"""
        [node]
        name = "fs1"
        state_dir = "{tmp_path}"

        [endpoints.recording]
        url = "file:{CAPTURE}"

        [endpoints.group]
        url = "multicast://239.192.1.1:4250?interface=lo"
        mode = "traced"
        key_file = "{key}"

        [endpoints.out-1]
        url = "file:{tmp_path}/out.jsonl"

        [[route]]
        from = "recording"
        to = ["group", "out-1"]
        """,
        encoding="utf-8",
    )
    return file


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """The exit code of one command, and what it printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["switchcast", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert isinstance(left.value.code, int)
    return left.value.code, out.detach().getvalue().decode("utf-8")


def test_a_name_stands_for_all_that_the_configuration_says(configuration: Path) -> None:
    url = url_named("group", configuration)
    options = dict(url.options)
    assert (url.scheme, url.port, options["interface"], options["mode"]) == ("multicast", 4250, "lo", "traced")
    assert options["key_file"] == str(configuration.parent / "group.key")
    assert endpoint_named("recording", configuration, role="source").url.path == str(CAPTURE)


@pytest.mark.parametrize("text", ["-", "file:recording", "sim://", "multicast://group"])
def test_a_url_is_what_it_is_whatever_the_configuration_has(configuration: Path, text: str) -> None:
    assert str(url_named(text, configuration)) == text
    assert str(url_named(text, Path("/no/such/file"))) == text


def test_the_modules_own_configuration_has_names_too() -> None:
    assert str(url_named("group", DATA / "event_multicast.conf.xml")).startswith("multicast://225.1.1.1")


def test_without_a_file_it_is_the_one_of_the_service(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "DEFAULT_FILE", configuration)
    assert url_named("recording").scheme == "file"
    monkeypatch.setattr(naming, "DEFAULT_FILE", configuration.with_name("none.toml"))
    with pytest.raises(UrlError, match="multicast://recording:4242; for an endpoint of a configuration add --config"):
        url_named("recording")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recordin", r"has no \[endpoints.recordin\]; did you mean recording\?"),
        ("239.1.1.1", r"has no \[endpoints.239.1.1.1\]; there are recording, group, out-1"),
        ("./recording", r"it has no scheme; for a file write file:./recording$"),
        ("", "an endpoint URL is empty"),
        ("recording?x=1", "it has no scheme"),
    ],
)
def test_what_is_neither_a_url_nor_a_name(configuration: Path, text: str, message: str) -> None:
    with pytest.raises(UrlError, match=message):
        url_named(text, configuration)


def test_a_configuration_that_cannot_be_used_is_told(configuration: Path) -> None:
    configuration.write_text("[endpoints.recording]\nurl = 7\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"switchcast.toml:2: endpoints.recording.url"):
        url_named("recording", configuration)


def test_commands_that_take_sources_and_sinks_take_names(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ("--config", str(configuration))
    code, shown = run(monkeypatch, "tail", "recording", "-n", "2", "--fields", "Event-Name", *config)
    assert (code, shown) == (0, "MODULE_LOAD\nMODULE_LOAD\n")
    code, shown = run(monkeypatch, "stats", "recording", "-b", "HEARTBEAT", "--json", *config)
    assert (code, '"HEARTBEAT"' in shown) == (0, True)
    code, shown = run(monkeypatch, "nodes", "recording", "--json", *config)
    assert (code, [row["name"] for row in json.loads(shown)["rows"]]) == (0, ["vm"])
    code, shown = run(monkeypatch, "peers", "recording", "--json", *config)
    assert (code, [peer["name"] for peer in json.loads(shown)["peers"]]) == (0, ["vm"])
    out = configuration.parent / "out.jsonl"
    assert run(monkeypatch, "pipe", "recording", "out-1", "-n", "3", *config)[0] == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 3
    assert run(monkeypatch, "send", "out-1", "TRAP", "--quiet", *config)[0] == 0
    assert out.read_text(encoding="utf-8").startswith('{"Event-Name":"TRAP",')
