"""Faults of the port, of the platform and of FreeSWITCH's own side made for real, and gone by their mends.

The switch is a program of that name in a namespace, which reads its port as the stock module does.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Final

import made_switches
import pytest
from doctor_trees import event_socket_settings, lay, module_settings, modules_list
from made_switches import ANY
from namespaces import Host, two_hosts

from switchcast.app.doctor.examine import examine
from switchcast.endpoints.url import EndpointUrl
from switchcast.guard.finding import Finding

GROUP: Final = "239.192.7.2"
PORT: Final = 4298
URL: Final = f"multicast://{GROUP}:{PORT}?interface=veth"
OURS: Final = ("switch-", "port-", "container-")
PSK: Final = "an-otter-under-ice"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as hosts:
        for host in hosts:
            host.run("ip", "route", "add", "224.0.0.0/4", "dev", "veth")
        yield hosts


@pytest.fixture
def host(pair: tuple[Host, Host]) -> Iterator[Host]:
    """The first of both, without rules afterwards."""
    yield pair[0]
    pair[0].run("nft", "flush", "ruleset")


def findings(host: Host, url: str = URL) -> dict[str, Finding]:
    """What the doctor finds of the port, the switch and the platform, by code."""
    with host.entered():
        diagnosis = asyncio.run(examine(EndpointUrl.parse(url), wait=0.1, query_interval=125))
    return {each.code: each for each in diagnosis.findings if each.code.startswith(OURS)}


def settings(folder: Path, **params: str) -> Path:
    """FreeSWITCH's files in ``folder``: all well but for ``params``, which are the module's."""
    given = {"address": GROUP, "port": str(PORT), "loopback": "yes", "ttl": "1"} | params
    return lay(
        folder,
        {
            "autoload_configs/event_multicast.conf.xml": module_settings(**given),
            "autoload_configs/event_socket.conf.xml": event_socket_settings(listen_ip="127.0.0.1", password=PSK),
            "autoload_configs/modules.conf.xml": modules_list("mod_event_multicast", "mod_event_socket"),
        },
    )


def running(host: Host, folder: Path, address: str = ANY, **variables: str) -> AbstractContextManager[IO[str]]:
    """A switch on ``host``, on the group, that was set up by ``folder``; what it says."""
    return made_switches.running(host, folder, GROUP, PORT, address, **variables)


def mend(host: Host, finding: Finding, tool: str) -> None:
    """Do what the finding says, word for word."""
    command = next(each.how for each in finding.mends if each.how.startswith(tool))
    host.run("sh", "-ec", command)


def send(sender: Host, receiver: Host, content: bytes) -> None:
    with sender.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(content, (receiver.ipv4, PORT))


def test_an_empty_datagram_ends_the_module_and_the_rule_keeps_it_out(
    pair: tuple[Host, Host], host: Host, tmp_path: Path
) -> None:
    stranger = pair[1]
    with running(host, settings(tmp_path)) as said:
        found = findings(host)
        assert list(found) == ["switch-zero-length"]
        mend(host, found["switch-zero-length"], "nft")
        assert findings(host) == {}
        send(stranger, host, b"")
        send(stranger, host, b"x" * 257)
        assert findings(host) == {}  # it has its socket still
        host.run("nft", "flush", "ruleset")
        send(stranger, host, b"")
        assert said.readline() == "ended\n"
        assert list(findings(host)) == ["switch-module-ended"]


def test_a_source_address_and_its_deaf_socket(host: Host, tmp_path: Path) -> None:
    shield(host)
    with running(host, settings(tmp_path, source_address=host.ipv4), host.ipv4):
        found = findings(host)
    assert list(found) == ["switch-source-address"]
    mend(host, found["switch-source-address"], "ip route add")
    assert f"dev veth src {host.ipv4}" in host.run("ip", "route", "get", GROUP)
    with running(host, settings(tmp_path)):
        assert findings(host) == {}


def shield(host: Host) -> None:
    """Keep empty datagrams out, so that they are no finding."""
    host.run("nft", "add table inet t")
    host.run("nft", "add chain inet t i { type filter hook input priority 0; }")
    host.run("nft", f"add rule inet t i udp dport {PORT} udp length <= 264 drop")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"address": "225.1.1.1"}, "switch-group-differs"),
        ({"bindings": ""}, "switch-sends-nothing"),
        ({"ttl": "0"}, "switch-ttl-zero"),
        ({"ttl": "4"}, "switch-ttl-differs"),
    ],
)
def test_a_param_that_differs(host: Host, tmp_path: Path, params: dict[str, str], code: str) -> None:
    shield(host)
    folder = settings(tmp_path, **params)
    with running(host, folder):
        found = findings(host)
        assert list(found) == [code]
        set_as_told(folder / "autoload_configs/event_multicast.conf.xml", found[code])
        assert findings(host) == {}


def set_as_told(file: Path, finding: Finding) -> None:
    """Put the param that the finding names in place of the file's own."""
    param, reload = finding.mends[0].how.splitlines()
    assert reload == "fs_cli -x reloadxml"
    name = param.split('"')[1]
    lines = file.read_text().splitlines()
    assert sum(f'name="{name}"' in line for line in lines) == 1
    file.write_text("\n".join(param if f'name="{name}"' in line else line for line in lines))


def test_a_key_on_openssl_3_without_its_legacy_provider(host: Host, tmp_path: Path) -> None:
    shield(host)
    folder = settings(tmp_path / "conf", psk=PSK)
    (tmp_path / "psk").write_text(PSK)
    (tmp_path / "psk").chmod(0o600)
    url = f"{URL}&psk_file={tmp_path / 'psk'}"
    settings_of_openssl = tmp_path / "openssl.cnf"
    settings_of_openssl.write_text("openssl_conf = a\n[a]\nproviders = b\n[b]\ndefault = c\n[c]\nactivate = 1\n")
    with running(host, folder, OPENSSL_CONF=str(settings_of_openssl)):
        found = findings(host, url)
    assert list(found) == ["switch-psk-openssl"]
    assert PSK not in repr(found)
    settings_of_openssl.write_text(found["switch-psk-openssl"].mends[0].how)
    with running(host, folder, OPENSSL_CONF=str(settings_of_openssl)):
        assert findings(host, url) == {}
        (tmp_path / "psk").write_text("another key")
        assert list(findings(host, url)) == ["switch-key-differs"]


def test_a_switch_that_does_not_let_its_host_hear(host: Host, tmp_path: Path) -> None:
    shield(host)
    with running(host, settings(tmp_path, loopback="no")), host.entered():
        assert findings(host) == {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind((ANY, PORT))
            assert list(findings(host)) == ["switch-loopback-off"]


def test_a_switch_in_another_network(pair: tuple[Host, Host], tmp_path: Path) -> None:
    with running(pair[1], settings(tmp_path)):
        assert "switch-elsewhere" in findings(pair[0])


def test_a_containers_network(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace with a default route through a veth is what a container has."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert "container-network" not in findings(host)
    host.run("ip", "route", "add", "default", "via", "10.42.0.254")
    try:
        assert "container-network" in findings(host)
    finally:
        host.run("ip", "route", "delete", "default")


def test_two_programs_that_take_unicast_from_each_other(host: Host) -> None:
    url = f"multicast://{GROUP},{host.ipv4}:{PORT}?interface=veth"
    with host.entered():
        ears = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        for ear in ears:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind((ANY, PORT))
        found = findings(host, url)
        assert f"process {os.getpid()}" in found["port-shared"].evidence[0]
    finally:
        for ear in ears:
            ear.close()
    assert "port-shared" not in findings(host, url)


def test_a_socket_on_one_address(host: Host) -> None:
    with host.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind((host.ipv4, PORT))
        assert list(findings(host)) == ["port-deaf"]
