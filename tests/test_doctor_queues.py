"""Losses in a host's own queues, and of fragments, made for real on hosts in namespaces: named, and gone.

One is not made here: ``udp-memory-full`` needs ``net.ipv4.udp_mem`` to be used up, which all namespaces of a machine
share, so it would take the datagrams of everything else that runs on it. Made facts stand for it.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from doctor_hosts import (
    BOTH_WAYS,
    GROUP,
    PORT,
    URL,
    another_link,
    assert_sound,
    found,
    gone,
    mend,
    on,
)
from namespaces import Host

ELSEWHERE: Final = PORT + 1
"""Another port than the endpoint's."""
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_PROBE: Final = 3  # linux/in.h: don't-fragment set, whatever is known of the way


@contextmanager
def member(host: Host, buffer: int) -> Iterator[socket.socket]:
    """A program of ``host`` that has joined the group, with that much receive buffer, and does not read."""
    with host.entered():
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        ear.bind((GROUP, PORT))
        joining = socket.inet_aton(GROUP) + struct.pack("@4xi", socket.if_nametoindex("veth"))
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joining)
    with ear:
        yield ear


@contextmanager
def flood(host: Host, to: tuple[str, int], size: int = 1000, *, whole: bool = False) -> Iterator[None]:
    """``host`` sends such datagrams all the time; ``whole`` ones forbid that they be put into fragments."""
    with host.entered():
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if whole:
        mouth.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.02):
            for _ in range(8):
                mouth.sendto(bytes(size), to)

    thread = threading.Thread(target=send)
    with mouth:
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_a_program_that_does_not_read(pair: tuple[Host, Host]) -> None:
    b = pair[1]
    orders = on([b], f"{URL}&loopback=no")  # nothing of the doctor's comes to it
    with b.entered():
        filling = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("veth")
    with filling, member(b, 100_000) as ear:
        filling.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xi", index))
        for _ in range(100):
            filling.sendto(bytes(4000), (GROUP, PORT))
        _, dropped = found(orders, (b, "receive-queue-full"), (b, "receive-drops"))
        assert "just now" not in dropped["title"]
        empty(ear)
        gone(orders, b, "receive-queue-full")


def empty(ear: socket.socket) -> None:
    """Read all that is there."""
    ear.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while ear.recv(8192):
            pass


def test_a_program_with_a_small_buffer(pair: tuple[Host, Host]) -> None:
    b = pair[1]
    orders = on([b], f"{URL}&loopback=no")
    with member(b, 100_000):
        (finding,) = found(orders, (b, "socket-buffer-small"))
        assert "200,000 bytes" in finding["evidence"][0]  # the kernel counts twice what is asked for
    with member(b, 400_000):  # a program that asks for more
        gone(orders, b, "socket-buffer-small")


def test_drops_of_a_program_on_another_port(pair: tuple[Host, Host]) -> None:
    a, b = pair
    with a.entered():
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.bind((a.ipv4, ELSEWHERE))
        with flood(b, (a.ipv4, ELSEWHERE)):
            (finding,) = found(on([a]), (a, "receive-drops-elsewhere"))
    assert finding["severity"] == "notice"
    gone(on([a]), a, "receive-drops-elsewhere")


def test_a_queue_of_the_interface_that_is_full_and_one_that_was(pair: tuple[Host, Host]) -> None:
    a = pair[0]
    queue = "dev veth root tbf burst 2000"
    a.run("tc", *shlex.split(f"qdisc add {queue} rate 100kbit limit 3000"))
    (finding,) = found(on([a]), (a, "send-queue-full"))
    assert any("veth: its queue (tbf) dropped" in line for line in finding["evidence"])
    a.run("tc", *shlex.split(f"qdisc change {queue} rate 10gbit limit 10000000"))
    (finding,) = found(on([a]), (a, "send-queue-dropped"))
    assert finding["severity"] == "notice"
    a.run("tc", "qdisc", "delete", "dev", "veth", "root")
    gone(on([a]), a, "send-queue-full", "send-queue-dropped")


def test_hardly_any_memory_for_fragments(pair: tuple[Host, Host]) -> None:
    a, b = pair
    b.run("sysctl", "-qw", "net.ipv4.ipfrag_low_thresh=0")
    b.run("sysctl", "-qw", "net.ipv4.ipfrag_high_thresh=1")
    finding, failing, _ = found(
        on(pair), (b, "fragment-memory-small"), (b, "reassembly-failures"), (a, "fragments-lost")
    )
    assert (finding["severity"], failing["severity"]) == ("warning", "warning")
    mend(b, finding, "sysctl -w")
    assert_sound(on(pair), said=BOTH_WAYS)
    (failing,) = found(on(pair), (b, "reassembly-failures"))
    assert failing["severity"] == "notice"  # it is counted still, and grows no more


def test_datagrams_that_may_not_be_divided(pair: tuple[Host, Host]) -> None:
    """They come to a router whose way out is narrower, and who sent them forbade that it divide them."""
    a, b = pair
    another_link(b)
    b.run("ip", "link", "set", "other", "mtu", "1000")
    b.run("ip", "neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "other")
    b.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    a.run("ip", "route", "add", "192.0.2.0/24", "via", b.ipv4)
    with flood(a, ("192.0.2.9", ELSEWHERE), 1200, whole=True):
        (finding,) = found(on([b]), (b, "fragmentation-refused"))
        assert finding["evidence"][0].startswith("IpFragFails: ")
        b.run("ip", "link", "set", "other", "mtu", "1500")  # the way out is as wide as the way in
        gone(on([b]), b, "fragmentation-refused")
