"""What is shipped beside the program: the units are judged by systemd's own tools, the example configurations are read
as a node reads them, and their rules are tried on the recording.
"""  # noqa: D205 - two things are shipped

from __future__ import annotations

import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from keyfiles import MADE, group, secret, written
from test_docs import rows

from switchcast import Event, StockFrames, errors
from switchcast.app.config import Configuration, load
from switchcast.errors import ConfigurationError, SwitchcastError, UsageError
from switchcast.keys import SigningKey
from switchcast.rules.engine import Engine

ROOT = Path(__file__).parent.parent
SYSTEMD = ROOT / "packaging" / "systemd"
EXAMPLES = sorted((ROOT / "packaging" / "examples").glob("*.toml"))
EXPOSURE = {"switchcast": 20, "switchcast-triggers": 25}
"""Each unit, and in tenths how exposed it may be: ``systemd-analyze security`` judges from 0, the safest, to 10."""
UNITS = list(EXPOSURE)


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all its values in order."""
    settings: dict[str, list[str]] = {}
    for line in (SYSTEMD / f"{name}.service").read_text(encoding="utf-8").splitlines():
        if (found := re.fullmatch(r"([A-Za-z]+)=(.*)", line)) is not None:
            settings.setdefault(found[1], []).append(found[2])
    return settings


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with the program where it is installed here, not in /usr/bin."""
    program = Path(sysconfig.get_path("scripts")) / "switchcast"
    for name in UNITS:
        text = (SYSTEMD / f"{name}.service").read_text(encoding="utf-8")
        assert "ExecStart=/usr/bin/switchcast run " in text
        (tmp_path / f"{name}.service").write_text(text.replace("/usr/bin/switchcast", str(program)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, installed: Path) -> None:
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", installed / f"{name}.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_systemd_would_find_what_is_wrong(installed: Path) -> None:
    broken = installed / "broken.service"
    broken.write_text((installed / "switchcast.service").read_text().replace("WatchdogSec=", "WatchdogSeconds="))
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", broken], capture_output=True, text=True, check=False
    )
    assert "WatchdogSeconds" in ended.stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_as_hardened_as_it_says(name: str, installed: Path) -> None:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE[name]}"]
    ended = subprocess.run([*command, installed / f"{name}.service"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


def test_the_node_is_stricter_than_the_triggers() -> None:
    node, triggers = unit("switchcast"), unit("switchcast-triggers")
    strict = {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "CapabilityBoundingSet": "",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "MemoryDenyWriteExecute": "yes",
        "RestrictNamespaces": "yes",
        "LockPersonality": "yes",
        "StateDirectory": "switchcast",
    }
    assert {key: node[key] for key in strict} == {key: [value] for key, value in strict.items()}
    assert node["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert {"MemoryMax", "TasksMax"} <= node.keys()
    assert {"MemoryMax", "TasksMax"} <= triggers.keys()
    assert "MemoryDenyWriteExecute" not in triggers  # a program that is run may compile as it runs
    assert not {*node["RuntimeDirectory"], *node["StateDirectory"]} & {
        *triggers["RuntimeDirectory"],
        *triggers["StateDirectory"],
    }


@pytest.mark.parametrize("name", UNITS)
def test_systemd_does_not_start_again_what_cannot_succeed(name: str) -> None:
    settings = unit(name)
    assert settings["Restart"] == ["on-failure"]
    (codes,) = settings["RestartPreventExitStatus"]
    assert {int(code) for code in codes.split()} == {UsageError.exit_code, ConfigurationError.exit_code}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_speaks_as_the_node_does(name: str) -> None:
    settings = unit(name)
    assert settings["Type"] == ["notify"]
    assert settings["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert settings["WatchdogSec"] == ["30s"]


def test_the_reload_of_newer_systemds_takes_the_place_of_the_command() -> None:
    lines = (SYSTEMD / "notify-reload.conf").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["[Service]", "Type=notify-reload", "ExecReload="]


def test_the_triggers_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    subprocess.run(
        ["systemd-sysusers", f"--root={tmp_path}", SYSTEMD / "sysusers.conf"], capture_output=True, check=True
    )
    (account,) = (tmp_path / "etc" / "passwd").read_text().splitlines()
    user, _, _, _, _, home, shell = account.split(":")
    settings = unit("switchcast-triggers")
    assert [user] == settings["User"] == settings["Group"]
    assert home == f"/var/lib/{settings['StateDirectory'][0]}"
    assert shell.endswith("nologin")


def unit_of(example: Path) -> str:
    """The unit that an example is meant for."""
    return "switchcast-triggers" if example.stem == "trigger-host" else "switchcast"


def handed_over(name: str) -> set[str]:
    """The credentials that a unit hands over."""
    return {value.partition(":")[0] for value in unit(name)["LoadCredential"]}


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a service whose credentials are all there."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    keys = {"group.key": group().text(), "host.signing": SigningKey(secret(1), MADE).text()}
    for name in {each for one in UNITS for each in handed_over(one)}:
        # of this mode, as systemd's access control list makes it look
        written(folder / name, keys.get(name, "a secret of some length"), 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def read(name: str, environ: dict[str, str]) -> Configuration:
    """An example, read as the node reads it."""
    return load(ROOT / "packaging" / "examples" / f"{name}.toml", environ)


def test_there_is_an_example_for_each_use() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "monitoring-only",
        "registration-sync",
        "sealed-group",
        "stock-drop-in",
        "trigger-host",
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_right_and_warns_only_of_whom_it_trusts(example: Path, credentials: dict[str, str]) -> None:
    configuration = load(example, credentials)
    anyones = re.findall(r'^trust = "stock"$', example.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(configuration.warnings) == len(anyones)
    assert all('.trust: "stock": whoever can' in warning for warning in configuration.warnings)
    assert configuration.log.format == "json"
    assert configuration.metrics is not None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_the_unit_hands_over_each_secret_of_an_example(example: Path) -> None:
    asked = set(re.findall(r'"credential:([^"]+)"', example.read_text(encoding="utf-8")))
    assert asked <= handed_over(unit_of(example))


def test_secrets_of_other_services_have_other_names() -> None:
    for name in UNITS:
        for value in unit(name)["LoadCredential"]:
            own, _, stored = value.partition(":")
            assert stored == f"switchcast.{own}"


def test_node_and_triggers_can_run_side_by_side(credentials: dict[str, str]) -> None:
    triggers = read("trigger-host", credentials)
    (runtime,) = unit("switchcast-triggers")["RuntimeDirectory"]
    assert triggers.control.socket == f"/run/{runtime}/control.sock"
    for name in ("stock-drop-in", "registration-sync", "sealed-group", "monitoring-only"):
        node = read(name, credentials)
        assert node.control.socket == f"/run/{unit('switchcast')['RuntimeDirectory'][0]}/control.sock"
        assert node.metrics is not None
        assert triggers.metrics is not None
        assert node.metrics.listen != triggers.metrics.listen


def test_only_the_drop_in_sends_everything(credentials: dict[str, str]) -> None:
    leaving = {
        name: {route.policy for route in read(name, credentials).routes if "group" in route.to}
        for name in ("stock-drop-in", "registration-sync", "sealed-group", "monitoring-only", "trigger-host")
    }
    assert leaving == {
        "stock-drop-in": {"all"},
        "registration-sync": {"cluster"},
        "sealed-group": {"cluster"},
        "monitoring-only": set(),
        "trigger-host": set(),
    }


@pytest.fixture(scope="module")
def recorded(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    """The events of the recording, as from a member of the group."""
    frames = StockFrames()
    return [frames.open(datagram).with_trust("member") for _, datagram in plain_datagrams if datagram]


def test_the_rules_of_the_examples_fire_on_what_they_are_for(
    credentials: dict[str, str], recorded: list[Event]
) -> None:
    sender = recorded[0].sender
    assert sender
    rules = [
        rule.model_copy(update={"senders": (sender,)} if rule.senders else {})
        for name in ("trigger-host", "monitoring-only")
        for rule in read(name, credentials).rules
    ]
    engine = Engine(rules, "fs9")
    full = Event.from_headers({"Event-Name": "HEARTBEAT", "Max-Sessions": "1000", "Session-Count": "950"})
    asked = Event.from_headers({"Event-Name": "MESSAGE_QUERY", "Message-Account": "sip:1000@example.com"})
    fired = [*engine.take([*recorded, full, asked], 0.0), *engine.due(3600.0)]
    counts = engine.counters()
    assert {firing.rule.name for firing in fired} == set(counts) == {rule.name for rule in rules}
    assert {name: count["condition_errors"] for name, count in counts.items()} == dict.fromkeys(counts, 0)
    assert counts["nearly-full"]["fired"] == 1


def test_the_page_says_what_systemd_does_at_each_exit_code() -> None:
    told = {int(row[0]): row[2] for row in rows("operations.md", "Exit codes", "code")}
    ours = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SwitchcastError)
    }
    assert ours <= told.keys()
    settings = unit("switchcast")
    prevented = {int(code) for code in settings["RestartPreventExitStatus"][0].split()}
    assert {code for code, done in told.items() if done.startswith("nothing")} == prevented | {0}
    (pause,) = settings["RestartSec"]
    again = f"starts it again after {pause.removesuffix('s')} s"
    assert {done for code, done in told.items() if code not in prevented | {0}} == {again}


def test_the_page_names_each_secret_that_a_unit_hands_over() -> None:
    told = {
        row[0].removeprefix("credential:"): row[1] for row in rows("operations.md", "Secrets", "in the configuration")
    }
    stored = {each.partition(":")[0]: each.partition(":")[2] for name in UNITS for each in unit(name)["LoadCredential"]}
    assert {name: place.partition("`")[0] for name, place in told.items()} == {
        name: f"/etc/credstore/{file}" for name, file in stored.items()
    }
