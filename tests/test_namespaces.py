"""Two hosts on a link with an MTU of 1500: what real networks do to datagrams, fragments above all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from namespaces import Host, two_hosts
from receiving import PATIENCE, collect

from switchcast import Event, StockFrames
from switchcast._native import Receiver, Sender
from switchcast.errors import EndpointUnavailable

PORT = 4242
IP_RECVTTL = 12  # linux/in.h; not in the socket module


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as pair:
        yield pair


def receive(host: Host, address: str, **options: object) -> Receiver:
    with host.entered():
        return Receiver([address], PORT, interface=host.interface, **options)  # type: ignore[arg-type]


def send(host: Host, address: str, **options: object) -> Sender:
    with host.entered():
        return Sender([address], PORT, interface=host.interface, **options)  # type: ignore[arg-type]


def deliver(sender: Sender, receiver: Receiver, events: list[Event]) -> list[Event]:
    """Send ``events`` in pieces that fit the receive buffer, reading each before the next."""
    got: list[Event] = []
    for start in range(0, len(events), 20):
        piece = events[start : start + 20]
        todo = list(piece)
        while todo:
            todo = todo[sender.send(todo) :]
        got += collect(receiver, len(piece))
    return got


@pytest.mark.parametrize("group", ["239.192.1.1", "ff15::4242", "ff12::4242"], ids=["IPv4", "IPv6", "IPv6 link-local"])
def test_every_recorded_event_crosses_the_link(
    hosts: tuple[Host, Host], plain_datagrams: list[tuple[int, bytes]], group: str
) -> None:
    """All sizes up to 61 KB, two thirds of them in several fragments, arrive as the bytes that were sent."""
    a, b = hosts
    frames = StockFrames()
    events = [frames.open(datagram) for _, datagram in plain_datagrams]
    assert max(len(datagram) for _, datagram in plain_datagrams) > 60_000
    receiver, sender = receive(b, group), send(a, group)
    got = deliver(sender, receiver, events)
    assert got == events
    assert {event.source and event.source.rpartition(":")[0] for event in got} <= {a.ipv4, f"[{a.ipv6}]"} | {
        source.rpartition(":")[0] for event in got if (source := event.source) and source.startswith("[fe80")
    }
    counters = receiver.counters()
    assert (counters["delivered"], counters["kernel_drops"]) == (len(events), 0)
    sender.close()
    receiver.close()


def test_unicast_crosses_the_link(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    events = [Event("TEXT", body=b"x" * size) for size in (0, 1_400, 6_000, 61_000)]
    for address in (b.ipv4, b.ipv6):
        receiver, sender = receive(b, address), send(a, address)
        assert deliver(sender, receiver, events) == events
        sender.close()
        receiver.close()


@pytest.mark.parametrize(
    ("group", "family", "ask", "kind"),
    [
        ("239.192.1.1", socket.AF_INET, (socket.IPPROTO_IP, IP_RECVTTL), socket.IP_TTL),
        ("ff15::4242", socket.AF_INET6, (socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT), socket.IPV6_HOPLIMIT),
    ],
    ids=["IPv4 TTL", "IPv6 hop limit"],
)
@pytest.mark.parametrize("ttl", [1, 7, 255])
def test_the_ttl_is_on_the_wire(
    hosts: tuple[Host, Host], group: str, family: int, *, ask: tuple[int, int], kind: int, ttl: int
) -> None:
    a, b = hosts
    member = receive(b, group, paused=True)  # joins, so that the kernel lets the group in
    with b.entered(), socket.socket(family, socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        plain.setsockopt(*ask, 1)
        plain.bind(("" if family == socket.AF_INET else "::", PORT))
        plain.settimeout(PATIENCE)
        sender = send(a, group, ttl=ttl)
        sender.send([Event("HEARTBEAT")])
        _, control, _, _ = plain.recvmsg(65536, 256)
    found = {number: int.from_bytes(value[:4], "little") for _, number, value in control}
    assert found[kind] == ttl
    sender.close()
    member.close()


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_source_specific_receiver_hears_its_source_only(hosts: tuple[Host, Host], family: str) -> None:
    a, b = hosts
    group, friend, stranger = ("232.1.1.1", a.ipv4, "10.42.0.7") if family == "IPv4" else ("ff35::1", a.ipv6, "fd42::7")
    mask = "24" if family == "IPv4" else "64"
    a.run("ip", "address", "add", f"{stranger}/{mask}", "dev", "veth", *([] if family == "IPv4" else ["nodad"]))
    receiver = receive(b, group, sources=[friend])
    from_stranger, from_friend = send(a, group, source=stranger), send(a, group, source=friend)
    for _ in range(3):
        from_stranger.send([Event("TALK")])
        from_friend.send([Event("HEARTBEAT")])
    assert [event.name for event in collect(receiver, 3)] == ["HEARTBEAT"] * 3
    assert receiver.counters()["datagrams"] == 3
    for end in (receiver, from_stranger, from_friend):
        end.close()


@pytest.mark.parametrize("group", ["239.192.1.1", "ff15::4242"])
def test_loopback_off_spares_this_host_and_not_the_other(hosts: tuple[Host, Host], group: str) -> None:
    a, b = hosts
    here, there = receive(a, group), receive(b, group)
    silent, heard = send(a, group, loopback=False), send(a, group)
    silent.send([Event("TALK")])
    heard.send([Event("HEARTBEAT")])
    assert [event.name for event in collect(there, 2)] == ["TALK", "HEARTBEAT"]
    assert [event.name for event in collect(here, 1)] == ["HEARTBEAT"]
    for end in (here, there, silent, heard):
        end.close()


def test_an_interface_can_be_named_by_its_address(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    with b.entered():
        receiver = Receiver(["239.192.1.1"], PORT, interface=b.ipv4)
        assert receiver.sockets()[0]["interface"] == "veth"
    with a.entered():
        sender = Sender(["239.192.1.1"], PORT, interface=a.ipv6)
    sender.send([Event("HEARTBEAT")])
    assert len(collect(receiver, 1)) == 1
    sender.close()
    receiver.close()


def test_without_a_route_the_error_names_the_mend(hosts: tuple[Host, Host]) -> None:
    a, _ = hosts
    with a.entered():
        for make in (Receiver, Sender):
            with pytest.raises(EndpointUnavailable, match=r"no route leads there.*interface=eth0"):
                make(["239.192.1.1"], PORT)


def test_a_slow_link_delays_and_loses_nothing_silently(hosts: tuple[Host, Host]) -> None:
    """Behind a queue that takes 1 MB/s, sending waits; whatever does not get through is counted."""
    a, b = hosts
    a.run("tc", "qdisc", "add", "dev", "veth", "root", "tbf", "rate", "8mbit", "burst", "16kb", "limit", "20kb")
    receiver, sender = receive(b, "239.192.1.1"), send(a, "239.192.1.1", send_buffer=32768)
    events = [Event("TEXT", {"Event-Sequence": str(number), "Pad": "x" * 1000}) for number in range(300)]
    todo = list(events)
    deadline = time.monotonic() + PATIENCE
    while todo and time.monotonic() < deadline:
        todo = todo[sender.send(todo) :]
    counters = sender.counters()
    assert counters["datagrams"] + counters["queue_full"] + counters["errors"] == len(events)
    got = collect(receiver, counters["datagrams"])
    assert len(got) == counters["datagrams"] > len(events) // 2
    sender.close()
    receiver.close()


def test_lost_fragments_lose_whole_events_and_no_others(hosts: tuple[Host, Host]) -> None:
    """One fragment in ten dropped: what arrives is whole, in order, and small events get through."""
    a, b = hosts
    b.run("nft", "add table netdev faults")
    b.run("nft", "add chain netdev faults ingress { type filter hook ingress device veth priority 0; }")
    b.run("nft", "add rule netdev faults ingress ip protocol udp numgen inc mod 10 == 0 drop")
    receiver, sender = receive(b, "239.192.1.1"), send(a, "239.192.1.1")
    events = [Event("TEXT", {"Event-Sequence": str(number)}, body=b"x" * 12_000) for number in range(200)]
    last = Event("HEARTBEAT")
    for event in events:
        assert sender.send([event]) == 1
    got: list[Event] = []
    deadline = time.monotonic() + PATIENCE
    while last not in got and time.monotonic() < deadline:
        sender.send([last])
        receiver.wait(0.05)
        got += receiver.read()
    texts = [event for event in got if event.name == "TEXT"]
    assert len(texts) < len(events)
    assert texts == [event for event in events if event in set(texts)]
    sender.close()
    receiver.close()
