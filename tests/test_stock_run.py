"""``switchcast run event_multicast.conf.xml``: each param of the module's file has its effect, between two hosts.

Host A has a simulated switch and a node that runs from the file; what comes out is looked at on host B, by sockets of
the test's own.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import Host, two_hosts
from nodes import PATIENCE, PROGRAM, RunningNode, is_running, wait_for
from recordings import DATA

from switchcast import Event, StockFrames
from switchcast._native import Receiver, Sender

IP_RECVTTL = 12  # linux/in.h; not in the socket module
VANILLA = (DATA / "event_multicast.conf.xml").read_text(encoding="utf-8")
SPARE = "10.42.0.7"
SPARE_IPV6 = "fd42::7"
ON = ["ip", "netns", "exec"]
REGISTRATION = "CUSTOM sofia::register"


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with a route for groups, the first with spare addresses and a switch at its event socket."""
    with two_hosts() as (a, b), contextlib.ExitStack() as running:
        for host in (a, b):
            host.run("ip", "route", "add", "224.0.0.0/4", "dev", host.interface)
        a.run("ip", "address", "add", f"{SPARE}/24", "dev", a.interface)
        a.run("ip", "address", "add", f"{SPARE_IPV6}/64", "dev", a.interface, "nodad")
        simulate = f"{PROGRAM} simulate --nodes 1 --cps 5 --heartbeat 500ms --event-socket 8021 --to memory:nowhere"
        switch = subprocess.Popen([*ON, a.name, *simulate.split()], stderr=subprocess.DEVNULL)
        running.callback(switch.wait)
        running.callback(switch.kill)
        yield a, b


def file_with(folder: Path, **params: str) -> Path:
    """The vanilla file with other values for some params."""
    text = VANILLA
    for name, value in params.items():
        param = f'<param name="{name}" value="{value}"/>'
        text = text.replace("</settings>", f"{param}\n</settings>")
        for line in VANILLA.splitlines():
            if f'name="{name}"' in line:
                text = text.replace(line + "\n", "")
    file = folder / "event_multicast.conf.xml"
    file.write_text(text, encoding="utf-8")
    return file


@contextlib.contextmanager
def node(host: Host, folder: Path, file: Path) -> Iterator[RunningNode]:
    """A node on ``host`` that runs from the module's file."""
    settings = [f"SWITCHCAST_CONTROL__SOCKET={folder}/control.sock", f"SWITCHCAST_NODE__STATE_DIR={folder}"]
    process = subprocess.Popen(
        [*ON, host.name, "env", *settings, "SWITCHCAST_LOG__FORMAT=json", PROGRAM, "run", file],
        stderr=subprocess.PIPE,
        text=True,
    )
    running = RunningNode(folder, process)
    try:
        wait_for(lambda: process.poll() is not None or is_running(running))
        assert process.poll() is None, process.communicate()[1]
        yield running
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def hearing(host: Host, address: str, port: int = 4242, **options: object) -> Iterator[Receiver]:
    with host.entered():
        receiver = Receiver([address], port, interface=host.interface, **options)  # type: ignore[arg-type]
    try:
        yield receiver
    finally:
        receiver.close()


def heard(receiver: Receiver, count: int) -> list[Event]:
    """The next ``count`` events at least."""
    events: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while len(events) < count:
        assert time.monotonic() < deadline, f"only {len(events)} events came"
        receiver.wait(0.2)
        events += receiver.read()
    return events


def address_of(event: Event) -> str:
    return (event.source or "").rpartition(":")[0]


def test_the_vanilla_file_runs(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """All events go to 225.1.1.1:4242 with a TTL of 1, and this host hears no copy."""
    a, b = hosts
    with node(a, tmp_path, file_with(tmp_path)), hearing(b, "225.1.1.1") as there, hearing(a, "225.1.1.1") as here:
        events = heard(there, 200)
        assert len({event.name for event in events}) > 5
        assert {address_of(event) for event in events} == {a.ipv4}
        assert here.counters()["datagrams"] == 0
        with b.entered():
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            ear.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
            ear.bind(("225.1.1.1", 4242))
        with ear:
            ear.settimeout(PATIENCE)
            datagram, extra, _, _ = ear.recvmsg(65536, 64)
            assert [int.from_bytes(data, "little") for _, _, data in extra] == [1]
            assert StockFrames().open(datagram).sender


def test_bindings_port_ttl_and_loopback(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = hosts
    file = file_with(tmp_path, bindings=f"HEARTBEAT {REGISTRATION}", port="5151", ttl="7", loopback="yes")
    with (
        node(a, tmp_path, file),
        hearing(b, "225.1.1.1", 5151) as there,
        hearing(a, "225.1.1.1", 5151) as here,
        b.entered(),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
    ):
        kinds = {(event.name, event.subclass) for event in heard(there, 10)}
        assert kinds <= {("HEARTBEAT", None), ("CUSTOM", "sofia::register")}
        assert ("HEARTBEAT", None) in kinds
        assert heard(here, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ear.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        ear.bind(("225.1.1.1", 5151))
        ear.settimeout(PATIENCE)
        assert [int.from_bytes(data, "little") for _, _, data in ear.recvmsg(65536, 64)[1]] == [7]


def test_addresses_of_every_kind_and_this_hosts_own_is_skipped(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = hosts
    addresses = ["225.1.1.1", "ff15::4242", b.ipv4, b.ipv6]
    file = file_with(tmp_path, address=",".join([*addresses, a.ipv4]), bindings="HEARTBEAT")
    with contextlib.ExitStack() as stack:
        receivers = [stack.enter_context(hearing(b, address)) for address in addresses]
        running = stack.enter_context(node(a, tmp_path, file))
        for receiver in receivers:
            assert {event.name for event in heard(receiver, 2)} == {"HEARTBEAT"}
        destinations = [row["address"] for row in running.ask("peers")["destinations"]]
        assert sorted(destinations) == sorted(addresses)
        assert "own" in json.dumps(running.ask("status")["warnings"])


def test_source_addresses(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """What is sent comes from them, in either family."""
    a, b = hosts
    file = file_with(
        tmp_path,
        address=f"{b.ipv4},{b.ipv6}",
        bindings="HEARTBEAT",
        source_address=SPARE,
        source_address_ipv6=SPARE_IPV6,
    )
    with hearing(b, b.ipv4) as four, hearing(b, b.ipv6) as six, node(a, tmp_path, file):
        assert {address_of(event) for event in heard(four, 2)} == {SPARE}
        assert {address_of(event) for event in heard(six, 2)} == {f"[{SPARE_IPV6}]"}


def test_a_pre_shared_key(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    a, b = hosts
    key = "n0t-to-be-seen"
    file = file_with(tmp_path, psk=key, bindings="HEARTBEAT")
    with (
        node(a, tmp_path, file) as running,
        hearing(b, "225.1.1.1", psk=key.encode()) as keyed,
        hearing(b, "225.1.1.1") as plain,
    ):
        assert {event.name for event in heard(keyed, 2)} == {"HEARTBEAT"}
        assert plain.counters()["delivered"] == 0
        assert plain.counters()["rejected_encrypted"] > 0
        assert key not in json.dumps(running.ask("status"))
        arguments = Path(f"/proc/{running.process.pid}/cmdline").read_bytes()
        assert key.encode() not in arguments
        running.process.terminate()
        assert key not in running.log()


def test_what_others_send_is_fired_and_they_are_peers(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """As the module does: ``multicast::event`` with ``Orig-`` headers, and ``multicast::peerup`` for a newcomer."""
    a, b = hosts
    with node(a, tmp_path, file_with(tmp_path, bindings="")) as running:
        tail = f"{PROGRAM} tail esl://127.0.0.1:8021 --json --count 2 --bindings"
        listener = subprocess.Popen(
            [*ON, a.name, *tail.split(), "CUSTOM multicast::event multicast::peerup"], stdout=subprocess.PIPE, text=True
        )
        with b.entered():
            sender = Sender(["225.1.1.1"], 4242, interface=b.interface)
        beat = Event("HEARTBEAT", {"FreeSWITCH-Switchname": "fs2", "Up-Time": "0 years"})
        with contextlib.closing(sender):
            while listener.poll() is None:  # it may not have asked for these events yet
                sender.send([beat])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    listener.wait(0.1)
            rows = running.ask("peers")["peers"]
        assert listener.stdout is not None
        fired = [json.loads(line) for line in listener.stdout]
        listener.stdout.close()
    assert [(row["name"], row["state"], row["address"]) for row in rows] == [("fs2", "up", b.ipv4)]
    refired = [event for event in fired if event["Event-Subclass"] == "multicast::event"]
    assert refired
    assert refired[0]["Orig-Event-Name"] == "HEARTBEAT"
    assert refired[0]["Orig-Multicast-Sender"] == "fs2"
    assert refired[0]["Multicast"] == "yes"
