"""The node as a service: what systemd, Prometheus and an operator see of one that runs, from its start to its stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from keyfiles import assert_hidden, group, secret, written
from ports import free_port

PATIENCE = 60.0
PROGRAM = Path(sysconfig.get_path("scripts")) / "switchcast"
EXAMPLES = Path(__file__).parent.parent / "packaging" / "examples"

CONFIGURATION = """
[log]
format = "json"

[metrics]

[endpoints.group]
url = "udp://127.0.0.1:{group}"

[endpoints.archive]
url = "file:{folder}/events.jsonl"

[[route]]
from = "group"
to = ["archive"]
"""


class Service:
    """A node that was started as systemd starts one, and what it has said to systemd."""

    def __init__(self, folder: Path, file: Path | None = None, **environ: str) -> None:
        self.folder = folder
        self.file = file or folder / "switchcast.toml"
        self.metrics_port = tcp_port()
        if file is None:
            self.write(CONFIGURATION)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(folder / "notify"))
        self._notify.settimeout(PATIENCE)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SWITCHCAST_")} | environ
        environ |= {
            "SWITCHCAST_METRICS__LISTEN": f"127.0.0.1:{self.metrics_port}",
            "SWITCHCAST_CONTROL__SOCKET": str(folder / "control.sock"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "2000000",
            "STATE_DIRECTORY": str(folder),
            "RUNTIME_DIRECTORY": str(folder),
        }
        self._log = (folder / "log").open("w+")
        self.process = subprocess.Popen([PROGRAM, "run", self.file], env=environ, stderr=self._log, stdout=self._log)

    def write(self, text: str) -> None:
        """Put ``text`` into the configuration file, with the ports and the folder that are this service's own."""
        places = {"folder": self.folder, "group": free_port()}
        self.file.write_text(text.format_map(places), encoding="utf-8")

    def says(self, wanted: str) -> dict[str, str]:
        """Wait until the node says ``wanted`` to systemd; the message."""
        while True:
            try:
                text = self._notify.recv(65536).decode()
            except TimeoutError:
                pytest.fail(f"nothing with {wanted} within {PATIENCE:g} s; the log:\n{self.log()}")
            message = dict(line.split("=", 1) for line in text.split("\n"))
            if wanted in message:
                return message

    def log(self) -> str:
        """All that was logged."""
        self._log.flush()
        return (self.folder / "log").read_text(encoding="utf-8")

    def get(self, path: str) -> tuple[int, str]:
        """Ask as a monitoring system does."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def readiness(self, down: set[str]) -> int:
        """Wait until just the endpoints in ``down`` are, for one may still be opening; the status of that answer."""
        deadline = time.monotonic() + PATIENCE
        while True:
            status, body = self.get("/readyz")
            if set(json.loads(body)["down"]) == down:
                return status
            if time.monotonic() > deadline:
                pytest.fail(f"after {PATIENCE:g} s: {body}; the log:\n{self.log()}")
            time.sleep(0.02)

    def stop(self) -> int:
        """As systemd stops one; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self._notify.close()
        self._log.close()


def tcp_port() -> int:
    """A TCP port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path) as running:
        running.says("READY")
        yield running


def test_a_node_says_when_it_is_ready_that_it_lives_and_that_it_stops(tmp_path: Path) -> None:
    with Service(tmp_path) as running:
        ready = running.says("READY")
        assert ready["STATUS"]
        running.says("WATCHDOG")
        running.process.send_signal(signal.SIGTERM)
        running.says("STOPPING")
        assert running.process.wait(PATIENCE) == 0
        assert "Traceback" not in running.log()


def test_what_prometheus_and_a_person_ask_is_answered(service: Service) -> None:
    assert service.get("/healthz")[0] == 200
    assert service.readiness(set()) == 200
    told = service.get("/metrics")[1].splitlines()
    assert "switchcast_ready 1.0" in told
    assert 'switchcast_endpoint_up{endpoint="group"} 1.0' in told
    assert any(line.startswith('switchcast_queue_limit_events{name="archive",place="sink"} ') for line in told)
    assert service.stop() == 0


def test_a_reload_is_told_from_its_beginning_to_its_end(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)
    assert int(service.says("RELOADING")["MONOTONIC_USEC"]) > 0
    service.says("READY")
    assert 'switchcast_reloads_total{outcome="done"} 1.0' in service.get("/metrics")[1].splitlines()
    assert service.stop() == 0


def test_a_reload_with_a_mistake_is_counted_logged_and_changes_nothing(service: Service) -> None:
    service.write(CONFIGURATION.replace('to = ["archive"]', 'to = ["nowhere"]'))
    service.process.send_signal(signal.SIGHUP)
    service.says("RELOADING")
    service.says("READY")
    assert service.readiness(set()) == 200
    told = service.get("/metrics")[1].splitlines()
    assert 'switchcast_reloads_total{outcome="refused"} 1.0' in told
    assert 'switchcast_endpoint_up{endpoint="archive"} 1.0' in told
    lines: list[dict[str, Any]] = [json.loads(line) for line in service.log().splitlines()]
    assert [line for line in lines if line["level"] == "error" and "nowhere" in json.dumps(line)]
    assert service.stop() == 0


def test_a_start_with_a_mistake_ends_with_what_keeps_systemd_from_trying_again(tmp_path: Path) -> None:
    file = tmp_path / "switchcast.toml"
    file.write_text('[metrics]\nlisten = "127.0.0.1"\n', encoding="utf-8")
    ended = subprocess.run([PROGRAM, "run", file], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 78
    assert f"{file}:2: metrics.listen" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_another_program_has_ends_the_start_and_names_the_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "switchcast.toml"
        file.write_text(
            f'[metrics]\nlisten = "127.0.0.1:{port}"\n[control]\nsocket = "{tmp_path}/control.sock"\n', encoding="utf-8"
        )
        ended = subprocess.run([PROGRAM, "run", file], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert ended.returncode == 69
    assert f"switchcast: metrics.listen: 127.0.0.1 port {port}: another program has it" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("example", "down"),
    [
        ("stock-drop-in", {"switch"}),
        ("registration-sync", {"switch"}),
        ("sealed-group", {"switch"}),
        ("monitoring-only", set()),
        ("trigger-host", set()),
    ],
)
def test_an_example_runs_as_it_is_though_the_switch_is_not_there_yet(
    example: str, down: set[str], tmp_path: Path
) -> None:
    secrets = tmp_path / "credentials"
    secrets.mkdir()
    for name in ("esl.password", "group.psk", "webhook.secret"):
        (secrets / name).write_text("a secret of some length", encoding="utf-8")
        (secrets / name).chmod(0o400)
    written(secrets / "group.key", group(), 0o400)
    environ = {
        "CREDENTIALS_DIRECTORY": str(secrets),
        "SWITCHCAST_NODE__DRAIN": "100ms",
        "SWITCHCAST_ENDPOINTS__GROUP__URL": f"multicast://239.192.77.1:{free_port()}?interface=lo&ttl=0",
    }
    if "[endpoints.switch]" in (EXAMPLES / f"{example}.toml").read_text(encoding="utf-8"):
        environ["SWITCHCAST_ENDPOINTS__SWITCH__URL"] = f"esl://127.0.0.1:{tcp_port()}"
    with Service(tmp_path, EXAMPLES / f"{example}.toml", **environ) as running:
        running.says("READY")
        assert running.readiness(down) == (503 if down else 200)
        assert running.stop() == 0
        assert "Traceback" not in running.log()
        assert "a secret" not in running.log()
        assert_hidden(running.log(), secret(0))
