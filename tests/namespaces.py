"""Network namespaces joined by a veth pair: two hosts on one machine, made and removed by the test itself."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*words: str) -> str:
    """Run a command of the system; its output. An error shows what the command said."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


@dataclass(frozen=True)
class Host:
    """One namespace, with an interface ``veth`` that has an IPv4 and an IPv6 address."""

    name: str
    ipv4: str
    ipv6: str
    interface: str = "veth"

    def run(self, *words: str) -> str:
        """Run a command on this host."""
        return run("ip", "netns", "exec", self.name, *words)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is opened inside belongs to this host, and goes on to when the block is left."""
        with (
            open(f"/proc/self/task/{_libc.gettid()}/ns/net", "rb") as home,
            open(f"/run/netns/{self.name}", "rb") as there,
        ):
            set_namespace(there.fileno())
            try:
                yield
            finally:
                set_namespace(home.fileno())


def set_namespace(descriptor: int) -> None:
    """Move this thread into a network namespace (setns(2), which Python has from 3.12 on)."""
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def wait_until_heard(sender: Host, hearer: Host) -> None:
    """Wait until IPv6 multicast gets through: a new link takes a moment to have its routes."""
    group, port = "ff15::beef", 4999
    with hearer.entered():
        ear = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = socket.if_nametoindex(hearer.interface)
    with sender.entered():
        mouth = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        out = socket.if_nametoindex(sender.interface)
    with ear, mouth:
        ear.setsockopt(
            socket.IPPROTO_IPV6,
            socket.IPV6_JOIN_GROUP,
            socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index),
        )
        ear.bind(("::", port))
        ear.settimeout(0.05)
        mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, out)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                mouth.sendto(b"?", (group, port))
                ear.recv(16)
            except OSError:
                continue
            else:
                return
    raise AssertionError(f"{hearer.name} hears nothing from {sender.name}")


@contextmanager
def two_hosts(mtu: int = 1500) -> Iterator[tuple[Host, Host]]:
    """Two hosts on one link with this MTU, IPv4 and IPv6."""
    assert os.geteuid() == 0, "network namespaces need root: run the tests as root"
    assert shutil.which("ip"), "network namespaces need the Debian package iproute2"
    tag = f"switchcast-{os.getpid()}"
    hosts = (
        Host(f"{tag}-a", "10.42.0.1", "fd42::1"),
        Host(f"{tag}-b", "10.42.0.2", "fd42::2"),
    )
    made: list[str] = []
    try:
        for host in hosts:
            run("ip", "netns", "add", host.name)
            made.append(host.name)
            # Without duplicate address detection, which keeps IPv6 multicast out for a second.
            host.run("sysctl", "--quiet", "--write", "net.ipv6.conf.default.accept_dad=0")
        a, b = (host.name for host in hosts)
        run("ip", "-n", a, "link", "add", "veth", "mtu", str(mtu), "type", "veth", "peer", "veth", "netns", b)
        run("ip", "-n", b, "link", "set", "veth", "mtu", str(mtu))
        for host in hosts:
            run("ip", "-n", host.name, "address", "add", f"{host.ipv4}/24", "dev", "veth")
            run("ip", "-n", host.name, "address", "add", f"{host.ipv6}/64", "dev", "veth", "nodad")
            for interface in ("lo", "veth"):
                run("ip", "-n", host.name, "link", "set", interface, "up")
        for sender, hearer in (hosts, hosts[::-1]):
            wait_until_heard(sender, hearer)
        yield hosts
    finally:
        for name in made:
            run("ip", "netns", "delete", name)


@contextmanager
def bridged_hosts(count: int, mtu: int = 1500) -> Iterator[list[Host]]:
    """So many hosts on one bridge, IPv4 and IPv6; it floods what goes to a group to all of them."""
    assert os.geteuid() == 0, "network namespaces need root: run the tests as root"
    assert shutil.which("ip"), "network namespaces need the Debian package iproute2"
    tag = f"switchcast-{os.getpid()}-b"
    bridge = f"{tag}-bridge"
    hosts = [Host(f"{tag}{place}", f"10.44.0.{place + 1}", f"fd44::{place + 1}") for place in range(count)]
    made: list[str] = []
    try:
        for name in [bridge, *(host.name for host in hosts)]:
            run("ip", "netns", "add", name)
            made.append(name)
            run("ip", "netns", "exec", name, "sysctl", "--quiet", "--write", "net.ipv6.conf.default.accept_dad=0")
        run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        run("ip", "-n", bridge, "link", "set", "br0", "up")
        for place, host in enumerate(hosts):
            port = ["link", "add", f"h{place}", "mtu", str(mtu)]
            run("ip", "-n", bridge, *port, "type", "veth", "peer", "veth", "netns", host.name)
            run("ip", "-n", bridge, "link", "set", f"h{place}", "master", "br0", "up")
            run("ip", "-n", host.name, "link", "set", "veth", "mtu", str(mtu))
            run("ip", "-n", host.name, "address", "add", f"{host.ipv4}/24", "dev", "veth")
            run("ip", "-n", host.name, "address", "add", f"{host.ipv6}/64", "dev", "veth", "nodad")
            for interface in ("lo", "veth"):
                run("ip", "-n", host.name, "link", "set", interface, "up")
        for host in hosts[1:]:
            wait_until_heard(hosts[0], host)
            wait_until_heard(host, hosts[0])
        yield hosts
    finally:
        for name in made:
            run("ip", "netns", "delete", name)


def drop_some(host: Host, percent: int) -> None:
    """Drop so many of the UDP packets that come in to ``host``, fragments too, each by chance; 0 for none again."""
    if percent:
        host.run("nft", "add table netdev faults")
        host.run("nft", "add chain netdev faults ingress { type filter hook ingress device veth priority 0; }")
        for family in ("ip protocol udp", "ip6 nexthdr { udp, ipv6-frag }"):
            host.run("nft", f"add rule netdev faults ingress {family} numgen random mod 100 < {percent} drop")
    else:
        host.run("nft", "delete table netdev faults")
