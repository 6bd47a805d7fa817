"""The hub with faults does what it is told, no more and no less, and the same for the same seed."""

from __future__ import annotations

import socket
import struct
from itertools import pairwise

import pytest
from faulty_relay import HELD_SECONDS, SO_RCVBUFFORCE, Cable, Faults, cable, is_udp
from namespaces import Host
from receiving import PATIENCE
from relayed_hosts import relayed_hosts

GROUP, PORT = "239.192.7.7", 4747
HEADER = bytes(12) + b"\x08\x00" + bytes(9) + b"\x11" + bytes(38)
"""An Ethernet header and enough of an IPv4 header to be taken for UDP, filled up to 62 bytes."""
SPACING = 0.0002


def carry(place: Cable, count: int) -> list[int]:
    """Send numbered frames through a cable; the numbers in the order in which they come out."""
    out: list[tuple[float, int]] = []
    now = 0.0
    for number in range(count):
        now = number * SPACING
        out += [(due, struct.unpack("!I", frame[-4:])[0]) for due, frame in place.carry(frame_of(number), now)]
        out += [(due, struct.unpack("!I", frame[-4:])[0]) for due, frame in place.release(now)]
    out += [(due, struct.unpack("!I", frame[-4:])[0]) for due, frame in place.release(now + 1)]
    return [number for _, number in sorted(out, key=lambda item: item[0])]


def frame_of(number: int) -> bytes:
    return HEADER + struct.pack("!I", number)


def with_faults(**faults: float) -> Cable:
    place = cable(1, "h0", "up")
    place.faults = Faults(**faults)  # type: ignore[arg-type]
    return place


def test_a_cable_without_faults_is_a_wire() -> None:
    assert carry(with_faults(jitter=0.01, delay=0.02), 1_000) == list(range(1_000))


def test_a_seed_decides_all() -> None:
    faults = Faults(loss=0.1, duplicate=0.1, reorder=0.2, flip=0.1, burst=0.01, jitter=0.01)
    cables = [cable(1, "h0", "up"), cable(1, "h0", "up"), cable(2, "h0", "up"), cable(1, "h1", "up")]
    for place in cables:
        place.faults = faults
    first, again, other_seed, other_place = (carry(place, 2_000) for place in cables)
    assert first == again
    assert first not in (other_seed, other_place)


def test_faults_are_as_frequent_as_asked_for() -> None:
    lossy = with_faults(loss=0.2)
    assert len(carry(lossy, 10_000)) + lossy.tally.lost == 10_000
    assert 1_800 < lossy.tally.lost < 2_200
    doubling = with_faults(duplicate=0.1)
    assert len(carry(doubling, 10_000)) == 10_000 + doubling.tally.doubled
    assert 900 < doubling.tally.doubled < 1_100
    bursty = with_faults(burst=0.001, burst_length=70)
    got = carry(bursty, 20_000)
    runs = [after - before - 1 for before, after in pairwise(got) if after - before > 1]
    assert runs
    assert all(run % 70 == 0 for run in runs)


def test_the_overtaken_are_displaced_by_no_more_than_asked_for() -> None:
    got = carry(with_faults(reorder=0.2, reorder_by=16), 5_000)
    assert sorted(got) == list(range(5_000))
    overtaken = [sum(other > number for other in got[max(0, place - 64) : place]) for place, number in enumerate(got)]
    assert 800 < sum(by > 0 for by in overtaken) < 1_200
    assert 12 < max(overtaken) <= 16 + 16


def test_what_is_not_udp_passes_a_lossy_cable_and_not_a_cut_one() -> None:
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    assert not is_udp(arp)
    assert is_udp(frame_of(1))
    assert with_faults(loss=1.0).carry(arp, 0.0) == [(0.0, arp)]
    assert with_faults(cut=True).carry(arp, 0.0) == []


def listen(host: Host) -> socket.socket:
    """A socket that hears the group, and what is sent to the host alone."""
    with host.entered():
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 * 1024 * 1024)
        ear.bind(("", PORT))
        member = struct.pack("4s4si", socket.inet_aton(GROUP), socket.inet_aton(host.ipv4), 0)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    return ear


def speak(host: Host) -> socket.socket:
    with host.entered():
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host.ipv4))
    return mouth


def hear(ear: socket.socket, last: int) -> list[int]:
    """Read numbers until ``last`` has come."""
    got: list[int] = []
    ear.settimeout(PATIENCE)
    while last not in got:
        got.append(struct.unpack("!I", ear.recv(65_536)[:4])[0])
    return got


@pytest.mark.parametrize("size", [100, 4_000], ids=["one frame", "fragments"])
def test_every_host_hears_the_others_through_its_own_faults(size: int) -> None:
    """Frames lost on the way up are lost to all, those on the way down to one host; the hub's account says as much."""
    count = 400
    with relayed_hosts(3, seed=7) as (hosts, relay):
        ears = [listen(host) for host in hosts[1:]]
        with speak(hosts[0]) as mouth:
            relay.set(0, "up", loss=0.1)
            relay.set(2, "down", loss=0.2, duplicate=0.1, reorder=0.1, delay=0.002, jitter=0.001)
            for number in range(count):
                mouth.sendto(struct.pack("!I", number) + bytes(size), (GROUP, PORT))
            relay.set(0, "up", loss=0.0)
            relay.set(2, "down", loss=0.0, duplicate=0.0, reorder=0.0, jitter=0.0)
            last = count + Faults.reorder_by
            for number in range(count, last):  # so many that whatever is held back has been overtaken
                mouth.sendto(struct.pack("!I", number), (GROUP, PORT))
            relay.set(2, "down", delay=2 * HELD_SECONDS)
            mouth.sendto(struct.pack("!I", last), (GROUP, PORT))
            near, far = ([number for number in hear(ear, last) if number < count] for ear in ears)
            mouth.sendto(struct.pack("!I", last + 1), (hosts[2].ipv4, PORT))
            assert hear(ears[1], last + 1) == [last + 1]
        tallies = relay.stop()
        for ear in ears:
            ear.close()
    assert near == sorted(set(near))
    assert set(far) < set(near)
    assert len(near) < count * (0.95 if size == 100 else 0.8)
    if size == 100:
        assert len(near) == count - tallies["h0 up"]["lost"]
        down = tallies["h2 down"]
        assert len(far) == len(near) - down["lost"] + down["doubled"]
        assert down["held"] > 0
        assert far != sorted(far)


def test_a_host_that_is_cut_off_hears_nothing_until_it_is_back() -> None:
    with relayed_hosts(2, seed=1) as (hosts, relay), listen(hosts[1]) as ear, speak(hosts[0]) as mouth:
        relay.set(1, "down", cut=True)
        mouth.sendto(struct.pack("!I", 1), (GROUP, PORT))
        relay.set(1, "down", cut=False)
        mouth.sendto(struct.pack("!I", 2), (GROUP, PORT))
        got = hear(ear, 2)
        tallies = relay.stop()
    # The first may have been on its way when the cable was joined again: then it was not lost.
    assert got == ([2] if tallies["h1 down"]["lost"] else [1, 2])
