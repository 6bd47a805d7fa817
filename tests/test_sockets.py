"""The native sockets on loopback: every datagram arrives or is counted, whoever reads."""

from __future__ import annotations

import gc
import socket
import threading
import time

import pytest
from ports import free_port
from receiving import PATIENCE, collect

from switchcast import Event, Matcher, StockFrames
from switchcast._native import Receiver, Sender
from switchcast.errors import EndpointClosed, EndpointUnavailable, KeyTextError, UrlError

GROUP = "239.255.77.1"


def numbered(count: int, start: int = 0, size: int = 0) -> list[Event]:
    """Events that carry a number each, padded with ``size`` bytes."""
    return [Event("HEARTBEAT", {"Event-Sequence": str(start + i), "Pad": "x" * size}) for i in range(count)]


def settled(receiver: Receiver, datagrams: int) -> dict[str, int]:
    """The counters once this many datagrams have been looked at."""
    deadline = time.monotonic() + PATIENCE
    while (counters := receiver.counters())["datagrams"] < datagrams and time.monotonic() < deadline:
        receiver.wait(0.05)
        receiver.read()
    return counters


def send_all(sender: Sender, events: list[Event]) -> None:
    """Send until everything has been taken or counted."""
    while events:
        events = events[sender.send(events[:256]) :]


def numbers(events: list[Event]) -> list[int | None]:
    return [event.sequence for event in events]


def rejected(counters: dict[str, int]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("rejected_"))


def assert_adds_up(counters: dict[str, int]) -> None:
    """Every datagram is in just one place."""
    places = ("delivered", "unmatched", "ring_overflow", "waiting")
    assert counters["datagrams"] == sum(counters[place] for place in places) + rejected(counters)


def test_what_is_sent_is_received_in_order_with_its_origin() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender([GROUP], port, interface="lo", sender="fs1")
    before = time.time_ns()
    send_all(sender, numbered(500))
    events = collect(receiver, 500)
    assert numbers(events) == list(range(500))
    assert events[0].sender == "fs1"
    assert events[0].source is not None
    assert events[0].received is not None
    assert before <= events[0].received <= time.time_ns()
    assert sender.counters()["datagrams"] == 500
    assert sender.counters()["bytes"] == receiver.counters()["bytes"]
    sender.close()
    receiver.close()


def test_events_that_a_program_holds_cost_no_garbage_collection() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender([GROUP], port, interface="lo")
    send_all(sender, numbered(3))
    assert [gc.is_tracked(event) for event in collect(receiver, 3)] == [False, False, False]
    sender.close()
    receiver.close()


def test_the_datagrams_are_those_of_the_module(plain_datagrams: list[tuple[int, bytes]]) -> None:
    port = free_port()
    frames = StockFrames()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        other.settimeout(PATIENCE)
        sender = Sender(["127.0.0.1"], port)
        for _, datagram in plain_datagrams[:200]:
            assert sender.send([frames.open(datagram)]) == 1
            assert other.recv(65536) == datagram
        sender.close()


def test_every_receiver_on_the_host_hears_everything() -> None:
    port = free_port()
    receivers = [Receiver([GROUP], port, interface="lo") for _ in range(3)]
    sender = Sender([GROUP], port, interface="lo")
    send_all(sender, numbered(100))
    for receiver in receivers:
        assert numbers(collect(receiver, 100)) == list(range(100))
        receiver.close()
    sender.close()


def test_a_receiver_hears_its_own_groups_only() -> None:
    port = free_port()
    other_group = "239.255.77.2"
    one, both = Receiver([GROUP], port, interface="lo"), Receiver([GROUP, other_group], port, interface="lo")
    to_one, to_other = Sender([GROUP], port, interface="lo"), Sender([other_group], port, interface="lo")
    to_other.send(numbered(3, start=100))
    to_one.send(numbered(3))
    assert numbers(collect(one, 3)) == [0, 1, 2]
    assert one.counters()["datagrams"] == 3
    assert sorted(n for n in numbers(collect(both, 6)) if n is not None) == [0, 1, 2, 100, 101, 102]
    for end in (one, both, to_one, to_other):
        end.close()


def test_bindings_and_condition_are_applied_before_python_sees_anything() -> None:
    port = free_port()
    matcher = Matcher("HEARTBEAT", 'h["Event-Sequence"].endsWith("7") || int(h["Nothing"]) > 1')
    receiver = Receiver([GROUP], port, interface="lo", matcher=matcher)
    sender = Sender([GROUP], port, interface="lo")
    send_all(sender, [event for pair in zip(numbered(50), [Event("TALK")] * 50, strict=True) for event in pair])
    assert numbers(collect(receiver, 5)) == [7, 17, 27, 37, 47]
    counters = settled(receiver, 100)
    assert (counters["delivered"], counters["unmatched"], counters["condition_errors"]) == (5, 95, 45)
    assert_adds_up(counters)
    receiver.close()
    sender.close()


def test_rubbish_and_empty_datagrams_are_counted_and_harmless() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for rubbish in (b"", b"x", b"\0" * 300, b"a" * 65507, b"Event-Name: X\n\n"):
            stranger.sendto(rubbish, (GROUP, port))
    sender = Sender([GROUP], port, interface="lo")
    sender.send(numbered(1))
    assert numbers(collect(receiver, 1)) == [0]
    counters = receiver.counters()
    assert (counters["rejected_zero_length"], counters["rejected_no_trailer"]) == (1, 4)
    assert_adds_up(counters)
    receiver.close()
    sender.close()


def test_under_a_key_and_without_it() -> None:
    port = free_port()
    with_key = Receiver([GROUP], port, interface="lo", psk=b"ClueCon")
    without = Receiver([GROUP], port, interface="lo")
    sealed, plain = Sender([GROUP], port, interface="lo", psk=b"ClueCon"), Sender([GROUP], port, interface="lo")
    send_all(sealed, numbered(10))
    send_all(plain, numbered(10, start=100))
    assert numbers(collect(with_key, 10)) == list(range(10))
    assert numbers(collect(without, 10)) == list(range(100, 110))
    assert settled(with_key, 20)["rejected_not_encrypted"] == 10
    assert settled(without, 20)["rejected_encrypted"] == 10
    for end in (with_key, without, sealed, plain):
        end.close()


@pytest.mark.parametrize("length", [0, 73])
def test_a_key_that_stock_could_not_use_is_refused_without_being_shown(length: int) -> None:
    with pytest.raises(KeyTextError, match=f"{length} bytes.*1 to 72") as caught:
        Receiver([GROUP], free_port(), interface="lo", psk=b"k" * length)
    assert "kk" not in str(caught.value)


def test_any_address_beside_a_group_on_one_port_hears_unicast_only() -> None:
    port = free_port()
    group = Receiver([GROUP], port, interface="lo")
    everybody = Receiver(["0.0.0.0"], port, shared=True)  # noqa: S104
    to_group, to_host = Sender([GROUP], port, interface="lo"), Sender(["127.0.0.1"], port)
    send_all(to_group, numbered(5))
    send_all(to_host, numbered(5, start=100))
    assert numbers(collect(group, 5)) == list(range(5))
    assert numbers(collect(everybody, 5)) == list(range(100, 105))
    assert [receiver.counters()["datagrams"] for receiver in (group, everybody)] == [5, 5]
    with pytest.raises(EndpointUnavailable, match="in use"):
        Receiver(["0.0.0.0"], port)  # noqa: S104
    for each in (group, everybody, to_group, to_host):
        each.close()


def test_kernel_drops_are_counted() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo", receive_buffer=65536, paused=True)
    sender = Sender([GROUP], port, interface="lo")
    send_all(sender, numbered(500, size=1000))
    receiver.resume()
    dropped = receiver.counters()["kernel_drops"]
    assert 0 < dropped < 500
    events = collect(receiver, 500 - dropped)
    assert len(events) == 500 - dropped
    send_all(sender, numbered(1, start=1000))
    assert numbers(collect(receiver, 1)) == [1000]
    assert receiver.counters()["kernel_drops"] == dropped
    granted = receiver.sockets()[0]["receive_buffer"]
    assert granted == 2 * 65536
    receiver.close()
    sender.close()


def test_a_reader_that_stays_away_overflows_the_ring_by_a_count() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo", ring_events=100)
    sender = Sender([GROUP], port, interface="lo")
    sent = 0
    deadline = time.monotonic() + PATIENCE
    # Nobody reads: the receiver's own thread has to come and empty the kernel's buffer.
    while receiver.counters()["ring_overflow"] == 0 and time.monotonic() < deadline:
        send_all(sender, numbered(50, start=sent))
        sent += 50
    counters = receiver.counters()
    assert counters["ring_overflow"] > 0
    assert counters["kernel_drops"] == 0
    events = collect(receiver, 100)
    assert numbers(events)[:100] == list(range(100))
    assert_adds_up(receiver.counters())
    receiver.close()
    sender.close()


def test_order_holds_while_the_reading_changes_hands() -> None:
    """Bursts make the thread take over, pauses give the sockets back: no event is lost, doubled or out of order."""
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender([GROUP], port, interface="lo")
    total = 0
    got: list[int | None] = []
    for burst in [1, 1, 300, 1, 2000, 1, 1, 700, 64, 32, 33, 1] * 3:
        send_all(sender, numbered(burst, start=total))
        total += burst
        if burst == 1:
            got += numbers(collect(receiver, total - len(got)))
    got += numbers(collect(receiver, total - len(got)))
    assert got == list(range(total))
    assert receiver.counters()["kernel_drops"] == 0
    assert_adds_up(receiver.counters())
    receiver.close()
    sender.close()


def test_a_flood_from_another_thread_adds_up() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender([GROUP], port, interface="lo")
    total = 60_000
    batch = numbered(1000, size=500)

    def flood() -> None:
        for _ in range(total // len(batch)):
            send_all(sender, batch)

    thread = threading.Thread(target=flood)
    thread.start()
    delivered = 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        receiver.wait(0.1)
        delivered += len(receiver.read())
        counters = receiver.counters()
        if counters["datagrams"] + counters["kernel_drops"] == total and counters["waiting"] == 0:
            break
    thread.join()
    delivered += len(receiver.read(1 << 20))
    counters = receiver.counters()
    assert counters["delivered"] == delivered
    assert counters["delivered"] + counters["kernel_drops"] == total == sender.counters()["datagrams"]
    assert_adds_up(counters)
    receiver.close()
    sender.close()


def test_the_largest_datagram_passes_and_a_larger_event_is_told() -> None:
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender([GROUP], port, interface="lo")
    frames = StockFrames()
    overhead = len(frames.frame(Event("TEXT", body=b"x" * 10_000))) - 10_000
    largest = Event("TEXT", body=b"x" * (65507 - overhead))
    assert len(frames.frame(largest)) == 65507
    too_large = Event("TEXT", body=b"x" * (65508 - overhead))
    assert sender.send([too_large, largest, too_large, numbered(1)[0]]) == 4
    assert [event.body for event in collect(receiver, 2)] == [largest.body, b""]
    assert sender.counters()["too_large"] == 2
    assert sender.take_too_large() == ("TEXT", 65508, 65507)
    assert sender.take_too_large() is None
    receiver.close()
    sender.close()


def test_a_failing_destination_does_not_stop_the_others() -> None:
    """A closed port answers each datagram with an ICMP error; the group behind it gets everything all the same."""
    port = free_port()
    receiver = Receiver([GROUP], port, interface="lo")
    sender = Sender(["127.0.0.1", GROUP], port, interface="lo")
    for number in range(50):
        assert sender.send(numbered(1, start=number)) == 1
    assert numbers(collect(receiver, 50)) == list(range(50))
    refused, group = sender.destinations()
    assert (refused["kind"], group["kind"]) == ("IPv4 unicast", "IPv4 multicast")
    assert "refused" in str(refused["last_error"])
    assert (group["datagrams"], group["errors"], group["last_error"]) == (50, 0, "")
    counters = sender.counters()
    assert counters["datagrams"] + counters["errors"] + counters["queue_full"] == 100
    receiver.close()
    sender.close()


def test_unicast_needs_no_group() -> None:
    for address in ("127.0.0.1", "::1"):
        port = free_port()
        receiver = Receiver([address], port)
        sender = Sender([address], port)
        send_all(sender, numbered(20))
        events = collect(receiver, 20)
        assert numbers(events) == list(range(20))
        assert events[0].source is not None
        assert events[0].source.startswith("[::1]:" if ":" in address else "127.0.0.1:")
        receiver.close()
        sender.close()


def test_a_port_in_use_is_told_with_the_command_that_finds_its_owner() -> None:
    port = free_port()
    first = Receiver(["127.0.0.1"], port)
    with pytest.raises(EndpointUnavailable, match=f"in use.*ss -ulpn 'sport = :{port}'"):
        Receiver(["127.0.0.1"], port)
    first.close()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Receiver([], 4242), UrlError, "no address"),
        (lambda: Receiver(["example"], 4242), UrlError, "not an IP address"),
        (lambda: Receiver(["10.255.255.254"], 4242), EndpointUnavailable, "not on the interface"),
        (lambda: Receiver([GROUP], 4242, interface="nosuch0"), EndpointUnavailable, "this host has .*lo"),
        (lambda: Receiver([GROUP], 4242, interface="192.0.2.200"), EndpointUnavailable, "no interface .* 192.0.2.200"),
        (lambda: Receiver(["127.0.0.1"], 4242, sources=["127.0.0.1"]), UrlError, "no multicast group"),
        (lambda: Sender([GROUP], 0), UrlError, "port 0"),
        (lambda: Sender([], 4242), UrlError, "no address"),
        (lambda: Sender([GROUP], 4242, source="10.255.255.254"), EndpointUnavailable, "not on the interface"),
    ],
)
def test_mistakes_are_told_with_their_mend(make: object, error: type[Exception], words: str) -> None:
    assert callable(make)
    with pytest.raises(error, match=words):
        make()


def test_closing_wakes_the_one_who_waits() -> None:
    receiver = Receiver([GROUP], free_port(), interface="lo")
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(receiver.wait()))
    waiter.start()
    receiver.close()
    waiter.join(PATIENCE)
    assert answers == [False]
    assert receiver.read() == []
    assert not receiver.wait()
    receiver.close()
    assert receiver.counters()["datagrams"] == 0


def test_a_closed_sender_says_so() -> None:
    sender = Sender([GROUP], free_port(), interface="lo")
    sender.close()
    with pytest.raises(EndpointClosed):
        sender.send(numbered(1))
