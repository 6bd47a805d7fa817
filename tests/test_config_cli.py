"""``switchcast config``: what it prints, its exit codes, and that no secret is ever in it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from configurations import FULL, GROUP_KEY, KEYED, SECRETS, TWO_ENDPOINTS, lay_out
from pydantic import BaseModel
from recordings import DATA

from switchcast.app.cli.config import app
from switchcast.app.config import Configuration, load, load_stock
from switchcast.app.config.model import EndpointSettings, FileSettings, MetricsSettings, NodeSettings, RouteSettings
from switchcast.app.config.schema import json_schema
from switchcast.endpoints import make_endpoint
from switchcast.errors import ConfigurationError, UsageError
from switchcast.listening import make_matcher

VANILLA = DATA / "event_multicast.conf.xml"
SHOWN_SECRETS = (*SECRETS, "not-for-show")


def run(*arguments: str | Path) -> None:
    app([str(each) for each in arguments], prog_name="switchcast config", standalone_mode=False)


def keyed(folder: Path) -> Path:
    """The vanilla file with a key."""
    path = folder / "event_multicast.conf.xml"
    param = f'<param name="psk" value="{GROUP_KEY}"/>'
    path.write_text(VANILLA.read_text().replace('<!-- <param name="psk" value="ClueCon"/> -->', param))
    assert GROUP_KEY in path.read_text()
    return path


def test_check_says_what_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = lay_out(tmp_path, FULL)
    run("check", path)
    printed = capsys.readouterr()
    assert printed.out == f"{path}: 3 endpoints, 2 routes, 3 rules, 1 policy\n"
    assert printed.err.count("\n") == 1
    assert 'route[2].trust: "stock": whoever can send a datagram to group' in printed.err


def test_check_tells_warnings_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    run("check", VANILLA)
    printed = capsys.readouterr()
    assert printed.out == f"{VANILLA}: 2 endpoints, 2 routes, 0 rules\n"
    assert printed.err.startswith(f"switchcast: warning: {VANILLA}")


def test_check_tells_which_extras_are_missing(tmp_path: Path) -> None:
    text = '[metrics]\n[api]\naudit = true\n[[rule]]\nname = "r"\non = "TRAP"\nwebhook = "http://127.0.0.1:9/"\n'
    path = lay_out(tmp_path, text)
    without = "import sys; sys.modules |= dict.fromkeys(['prometheus_client', 'fastapi', 'phonenumbers', 'httpx'])\n"
    program = f"{without}from switchcast.app.cli import main; main()"
    command = [sys.executable, "-c", program, "config", "check", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    for where, extra in (
        (":1: metrics", "metrics"),
        (":2: api", "api"),
        (":3: api.audit", "audit"),
        (":7: rule[1].webhook", "webhook"),
    ):
        told = f"switchcast: warning: {path}{where}: needs an optional dependency: pip install 'switchcast[{extra}]'"
        assert told in ended.stderr.splitlines()
    assert "optional dependency" not in "".join(load(path).warnings), "here they are all installed"


def test_check_raises_every_mistake_with_exit_code_78(tmp_path: Path) -> None:
    path = lay_out(tmp_path, "[nod]\n[lag]\n")
    with pytest.raises(ConfigurationError) as raised:
        run("check", path)
    assert raised.value.exit_code == 78
    assert str(raised.value) == (
        f"{path}:1: nod: unknown key; did you mean node?\n{path}:2: lag: unknown key; did you mean log?"
    )


def same(one: Configuration, other: Configuration) -> bool:
    fields = ("node", "log", "metrics", "api", "control", "peers", "endpoints", "routes", "policies", "rules")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


@pytest.mark.parametrize("text", [FULL, KEYED, TWO_ENDPOINTS, ""])
def test_what_show_prints_reads_back_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    text = text.replace('"X-Token" = "not-for-show"', '"X-Kind" = "beat"')
    path = lay_out(tmp_path, text)
    run("show", path)
    again = tmp_path / "again.toml"
    again.write_text(capsys.readouterr().out)
    assert same(load(again, {}), load(path, {}))


def test_show_has_defaults_and_the_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHCAST_NODE__NAME", "from-the-environment")
    path = lay_out(tmp_path, FULL)
    run("show", path)
    toml = tomllib.loads(capsys.readouterr().out)
    run("show", path, "--json")
    assert json.loads(capsys.readouterr().out) == toml
    assert toml["node"]["name"] == "from-the-environment"
    assert toml["endpoints"]["group"]["queue"] == 16384
    assert toml["route"][1]["policy"] == "all"
    assert toml["rule"][0]["run"]["timeout"] == 10.0


def test_no_secret_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, stock = lay_out(tmp_path, FULL), keyed(tmp_path)
    for arguments in (("check", path), ("show", path), ("show", path, "--json"), ("check", stock), ("show", stock)):
        run(*arguments)
    run("convert", stock)
    printed = capsys.readouterr()
    assert printed.out.count("***") > 2
    assert not any(secret in printed.out + printed.err for secret in SHOWN_SECRETS)


def test_show_of_the_modules_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("show", keyed(tmp_path), "--switch", "esl://192.0.2.9")
    shown = tomllib.loads(capsys.readouterr().out)
    assert shown["endpoints"]["switch"]["url"] == "esl://192.0.2.9"
    assert shown["endpoints"]["group"]["url"] == "multicast://225.1.1.1:4242?ttl=1&loopback=no&psk=***"


def test_convert_prints_what_means_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("convert", VANILLA)
    printed = capsys.readouterr()
    converted = tmp_path / "switchcast.toml"
    converted.write_text(printed.out)
    assert same(load(converted, {}), load_stock(VANILLA, {}))
    assert printed.err == ""


def test_convert_says_where_to_put_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("convert", keyed(tmp_path))
    printed = capsys.readouterr()
    assert 'psk_file = "/etc/switchcast/group.psk"' in printed.out
    assert "put it into /etc/switchcast/group.psk with mode 0600, or let --psk-file write it" in printed.err


def test_convert_writes_files_and_never_over_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stock, output, psk = keyed(tmp_path), tmp_path / "switchcast.toml", tmp_path / "group.psk"
    run("convert", stock, "--output", output, "--psk-file", psk)
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(psk.stat().st_mode) == 0o600
    assert same_but_for_the_key(load(output, {}), load_stock(stock, {}))
    before = (output.read_text(), psk.read_text())
    with pytest.raises(UsageError, match="exists already, and is not written over"):
        run("convert", stock, "--output", output)
    with pytest.raises(UsageError, match="exists already, and is not written over"):
        run("convert", stock, "--psk-file", psk)
    assert (output.read_text(), psk.read_text()) == before


def same_but_for_the_key(ours: Configuration, theirs: Configuration) -> bool:
    keys = [each.endpoints["group"].url.secret("psk") for each in (ours, theirs)]
    return keys[0] == keys[1] == GROUP_KEY.encode() and ours.routes == theirs.routes


def test_convert_of_a_wrong_file_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(VANILLA.read_text().replace('value="4242"', 'value="none"'))
    with pytest.raises(ConfigurationError, match="port"):
        run("convert", path, "--output", tmp_path / "b", "--psk-file", tmp_path / "c")
    assert [each.name for each in tmp_path.iterdir()] == ["a.xml"]


def test_a_key_file_for_no_key_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("convert", VANILLA, "--psk-file", tmp_path / "psk")
    assert "has no psk" in capsys.readouterr().err
    assert not (tmp_path / "psk").exists()


def test_variables_are_given_with_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.xml"
    path.write_text(VANILLA.read_text().replace("225.1.1.1", "$${group}"))
    with pytest.raises(ConfigurationError, match="--set group=value"):
        run("check", path)
    run("convert", path, "--set", "group=225.8.8.8")
    assert "multicast://225.8.8.8:4242" in capsys.readouterr().out
    with pytest.raises(UsageError, match="is not written NAME=VALUE"):
        run("check", path, "--set", "group")


def tables_in(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"FileSettings": schema, **schema["$defs"]}


def test_the_schema_describes_every_key_of_our_own_tables(capsys: pytest.CaptureFixture[str]) -> None:
    run("schema")
    schema = json.loads(capsys.readouterr().out)
    assert schema == json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    tables = tables_in(schema)
    for name in ("FileSettings", "NodeSettings", "MetricsSettings", "EndpointSettings", "RouteSettings"):
        assert tables[name]["additionalProperties"] is False
        for key, value in tables[name]["properties"].items():
            assert value.get("description") or "$ref" in value, f"{name}.{key} has no description"
    assert set(tables["RouteSettings"]["properties"]) >= {"from", "to", "bindings", "where", "policy", "allow"}
    assert tables["EndpointSettings"]["properties"]["url"]["examples"]
    assert "esl-api" in tables["RuleSettings"]["properties"]


LEAST: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (NodeSettings, {}),
    (MetricsSettings, {}),
    (EndpointSettings, {"url": "memory:a"}),
    (RouteSettings, {"from": "a", "to": ["b"]}),
]
"""Tables whose keys have examples, with what must be given."""


@pytest.mark.parametrize(("model", "least"), LEAST)
def test_the_examples_in_the_schema_are_right(model: type[BaseModel], least: dict[str, Any]) -> None:
    examples = [
        (field.alias or key, each) for key, field in model.model_fields.items() for each in field.examples or ()
    ]
    assert examples
    for key, example in examples:
        model.model_validate(least | {key: example})
        if key == "url":
            make_endpoint(example)
        elif key in {"bindings", "where"}:
            assert (
                make_matcher(example if key == "bindings" else "all", example if key == "where" else None) is not None
            )


def test_every_key_that_the_schema_names_is_one_that_is_read() -> None:
    """What pydantic takes and what the schema says come from the same models; aliases are where they could differ."""
    schema = tables_in(json_schema())
    shown = {"FileSettings": FileSettings} | {
        field.annotation.__name__: field.annotation
        for field in FileSettings.model_fields.values()
        if isinstance(field.annotation, type)
    }
    for name, model in shown.items():
        assert set(schema[name]["properties"]) == {field.alias or key for key, field in model.model_fields.items()}
