"""Hosts in network namespaces of their own, on a hub with faults from a seed: `faulty_relay`, in one namespace more."""

from __future__ import annotations

import array
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from namespaces import Host, run, wait_until_heard

RELAY = Path(__file__).with_name("faulty_relay.py")
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17  # linux/sockios.h, linux/ethtool.h


class Relay:
    """The hub's process. Interface ``h0`` is the first host's, and so on."""

    def __init__(self, namespace: str, seed: int, interfaces: list[str]) -> None:
        words = ["ip", "netns", "exec", namespace, sys.executable, str(RELAY), str(seed), *interfaces]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def set(self, place: int, way: str, **faults: float) -> None:
        """Change what goes wrong on the cable of host number ``place``, ``way`` being ``up`` (from it) or ``down``.

        The names are those of `faulty_relay.Faults`; it is in force when this returns.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"interface": f"h{place}", "way": way, **faults}) + "\n")
        self._process.stdin.flush()
        self._answer()

    def stop(self) -> dict[str, dict[str, int]]:
        """End; what each cable did, ``h0 up`` and so on, in frames. It fails when a host would not take some."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        told = json.loads(self._answer())
        self._process.wait(timeout=10)
        full = told.pop("full")
        assert full == 0, f"{full} frames found a host's queue full"
        rows: dict[str, dict[str, int]] = told
        return rows

    def kill(self) -> None:
        """End at once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(timeout=10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the relay has ended: its error stands above"
        return line


@contextmanager
def relayed_hosts(count: int, seed: int, mtu: int = 1500) -> Iterator[tuple[list[Host], Relay]]:
    """So many hosts on one hub, without faults yet."""
    assert os.geteuid() == 0, "network namespaces need root: run the tests as root"
    assert shutil.which("ip"), "network namespaces need the Debian package iproute2"
    tag = f"switchcast-{os.getpid()}-r"
    hub = f"{tag}-hub"
    hosts = [Host(f"{tag}{place}", f"10.43.0.{place + 1}", f"fd43::{place + 1}") for place in range(count)]
    made: list[str] = []
    relay: Relay | None = None
    try:
        for name in [hub, *(host.name for host in hosts)]:
            run("ip", "netns", "add", name)
            made.append(name)
            # The hub's own interfaces say nothing; the hosts have no second of duplicate address detection.
            setting = "disable_ipv6=1" if name == hub else "accept_dad=0"
            run("ip", "netns", "exec", name, "sysctl", "--quiet", "--write", f"net.ipv6.conf.default.{setting}")
        interfaces = [f"h{place}" for place in range(count)]
        for host, interface in zip(hosts, interfaces, strict=True):
            _join(host, hub, interface, mtu)
        relay = Relay(hub, seed, interfaces)
        for host in hosts[1:]:
            wait_until_heard(hosts[0], host)
            wait_until_heard(host, hosts[0])
        yield hosts, relay
    finally:
        if relay is not None:
            relay.kill()
        for name in made:
            run("ip", "netns", "delete", name)


def _join(host: Host, hub: str, interface: str, mtu: int) -> None:
    run("ip", "-n", hub, "link", "add", interface, "mtu", str(mtu), "type", "veth", "peer", "veth", "netns", host.name)
    run("ip", "-n", hub, "link", "set", interface, "up")
    run("ip", "-n", host.name, "link", "set", "veth", "mtu", str(mtu))
    with host.entered():
        compute_checksums("veth")
    run("ip", "-n", host.name, "address", "add", f"{host.ipv4}/24", "dev", "veth")
    run("ip", "-n", host.name, "address", "add", f"{host.ipv6}/64", "dev", "veth", "nodad")
    for name in ("lo", "veth"):
        run("ip", "-n", host.name, "link", "set", name, "up")


def compute_checksums(interface: str) -> None:
    """Have the kernel compute UDP's checksums: on a veth pair it leaves them to the hardware, which is not there."""
    value = array.array("B", struct.pack("II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP", interface.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
