"""Who counts as there: stock's rules on stock's own recording, hysteresis, and names that anyone can invent."""

from __future__ import annotations

import asyncio
import socket
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from ports import free_port
from pydantic import ValidationError
from sockets import PATIENCE

import switchcast
from switchcast import Event, StockFrames
from switchcast.views.peers import ESTABLISHED_HEARTBEATS, MOST_NAME_CHARACTERS, Change, Peers, PeersSettings

WALL = 1_795_404_687.0
"""Epoch seconds that belong to the monotonic time 0 of these tests."""
HERE, THERE = "192.0.2.2", "192.0.2.66"


def heartbeat(name: str, address: str = HERE, number: int | None = None) -> Event:
    headers = [("Event-Name", "HEARTBEAT"), ("Multicast-Sender", name)]
    if number is not None:
        headers += [("Core-UUID", "774efe72"), ("Event-Sequence", str(number))]
    return Event.from_headers(headers).with_origin(f"[{address}]:49152" if ":" in address else f"{address}:49152", None)


def heard(peers: Peers, now: float, *events: Event) -> list[tuple[str, str, str]]:
    """What changes when ``events`` come at ``now``: what, who and where."""
    return told(peers.take(events, now, WALL + now))


def told(changes: Sequence[Change]) -> list[tuple[str, str, str]]:
    return [(change.what, change.name, change.address) for change in changes]


def state_of(peers: Peers, name: str, address: str = HERE, now: float = 0.0) -> str:
    found = [row["state"] for row in peers.rows(now) if (row["name"], row["address"]) == (name, address)]
    return found[0] if found else "unknown"


# As stock does


def test_the_recorded_heartbeats_make_the_recorded_peerup(
    plain_datagrams: list[tuple[int, bytes]], decoded_events: list[dict[str, Any]]
) -> None:
    peers, frames = Peers(), StockFrames()
    changes = []
    for time_ns, datagram in plain_datagrams:
        event = frames.open(datagram).with_origin("192.0.2.2:40000", time_ns)
        changes += peers.take([event], time_ns / 1e9, time_ns / 1e9)
    stock = [each for each in decoded_events if each.get("Event-Subclass") == "multicast::peerup"]
    ours = [dict(change.event().items()) for change in changes]
    assert [(each["Event-Subclass"], each["Peer"], each["Lastseen"]) for each in ours] == [
        (each["Event-Subclass"], each["Peer"], each["Lastseen"]) for each in stock
    ]
    assert peers.counters()["heartbeats"] == sum(b"Event-Name: HEARTBEAT\n" in text for _, text in plain_datagrams)


def test_what_stock_re_fired_makes_the_same_peer(decoded_events: list[dict[str, Any]]) -> None:
    peers = Peers()
    events = [
        Event.from_headers([(name, value) for name, value in each.items() if name != "_body"])
        for each in decoded_events
        if each.get("Orig-Event-Name") == "HEARTBEAT"
    ]
    assert told(peers.take(events, 0.0, WALL)) == [("up", "vm", "")]
    assert peers.counters()["heartbeats"] == len(events) > 1


def test_up_at_once_and_down_after_more_than_the_timeout() -> None:
    peers = Peers()
    assert heard(peers, 0.0, heartbeat("fs1")) == [("up", "fs1", HERE)]
    assert heard(peers, 20.0, heartbeat("fs1")) == []
    assert peers.next_due() == 80.0
    assert peers.tick(80.0) == []
    assert told(peers.tick(80.5)) == [("down", "fs1", HERE)]
    assert peers.tick(81.0) == []


def test_the_events_have_stocks_headers() -> None:
    peers = Peers(PeersSettings(comeback=1))
    up = peers.take([heartbeat("fs 1")], 0.0, WALL)
    down = peers.tick(100.0)
    again = peers.take([heartbeat("fs 1")], 120.0, WALL + 120)
    events = [change.event() for change in (*up, *down, *again)]
    assert [event.to_plain().decode() for event in events] == [
        f"Event-Subclass: multicast%3A%3Apeer{what}\nEvent-Name: CUSTOM\nPeer: fs%201\nLastseen: {lastseen}\n"
        f"Peer-Address: {HERE}\n\n"
        for what, lastseen in (("up", "Never"), ("down", "1795404687"), ("up", "1795404687"))
    ]


def test_a_change_is_told_by_whatever_comes_first() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1"))
    assert heard(peers, 61.0, heartbeat("fs2")) == [("down", "fs1", HERE), ("up", "fs2", HERE)]
    heard(peers, 62.0)
    assert heard(peers, 200.0, heartbeat("fs2")) == [("down", "fs2", HERE)]


def test_only_heartbeats_with_a_sender_count() -> None:
    peers = Peers()
    plain = Event("HEARTBEAT").with_origin(f"{HERE}:1", None)
    other = Event("CUSTOM", {"Event-Subclass": "sofia::register", "Multicast-Sender": "fs1"})
    nameless = Event("HEARTBEAT", {"Multicast-Sender": ""})
    assert heard(peers, 0.0, plain, other, nameless) == []
    assert len(peers) == 0


def test_this_node_is_no_peer() -> None:
    peers = Peers(own={"fs1"})
    assert heard(peers, 0.0, heartbeat("fs1"), heartbeat("fs2")) == [("up", "fs2", HERE)]
    assert peers.counters()["own"] == 1


def test_wall_time_is_shown_and_never_reckoned_with() -> None:
    peers = Peers()
    peers.take([heartbeat("fs1")], 0.0, WALL)
    assert peers.take([heartbeat("fs1")], 20.0, WALL - 86_400) == []
    assert peers.tick(79.0) == []
    (row,) = peers.rows(30.0)
    assert (row["last_seen"], row["seconds_ago"], row["in_state"]) == (WALL - 86_400, 10.0, 30.0)


def test_time_that_runs_backwards_stands_still() -> None:
    peers = Peers()
    heard(peers, 100.0, heartbeat("fs1"))
    assert heard(peers, 50.0, heartbeat("fs1")) == []
    assert peers.tick(160.0) == []
    assert told(peers.tick(160.1)) == [("down", "fs1", HERE)]


def test_ipv6_senders_are_told_apart_without_their_ports() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1", "2001:db8::7"))
    assert [row["address"] for row in peers.rows(0.0)] == ["2001:db8::7"]


def test_real_datagrams_tell_their_addresses() -> None:
    url = f"udp://0.0.0.0:{(port := free_port())}"

    async def scenario() -> Peers:
        peers, frames = Peers(), StockFrames()
        async with switchcast.open(url, role="source") as source:
            for address, name in (("127.0.0.2", "fs1"), ("127.0.0.3", "fs1"), ("127.0.0.3", "fs3")):
                with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
                    sender.bind((address, 0))
                    sender.sendto(frames.frame(Event("HEARTBEAT", {"Multicast-Sender": name})), ("127.0.0.1", port))
            async with asyncio.timeout(PATIENCE):
                async for batch in source.batches():
                    peers.take(batch, 0.0, WALL)
                    if peers.counters()["heartbeats"] == 3:
                        break
        return peers

    rows = asyncio.run(scenario()).rows(0.0)
    assert [(row["name"], row["address"], row["state"], row["also"]) for row in rows] == [
        ("fs1", "127.0.0.2", "up", ["127.0.0.3"]),
        ("fs1", "127.0.0.3", "rival", ["127.0.0.2"]),
        ("fs3", "127.0.0.3", "up", []),
    ]


# Hysteresis


def test_one_that_was_down_must_be_heard_twice() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1"))
    peers.tick(61.0)
    assert heard(peers, 100.0, heartbeat("fs1")) == []
    assert state_of(peers, "fs1") == "returning"
    (change,) = peers.take([heartbeat("fs1")], 120.0, WALL + 120)
    assert (change.what, change.last_seen) == ("up", WALL)
    assert peers.rows(120.0)[0]["downs"] == 1


def test_a_heartbeat_that_comes_twice_counts_once() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1", number=1))
    peers.tick(61.0)
    assert heard(peers, 100.0, heartbeat("fs1", number=9), heartbeat("fs1", number=9)) == []
    assert heard(peers, 120.0, heartbeat("fs1", number=20)) == [("up", "fs1", HERE)]


def test_heartbeats_rarer_than_the_timeout_go_down_once() -> None:
    peers = Peers()
    changes = [change for beat in range(50) for change in heard(peers, beat * 70.0, heartbeat("fs1"))]
    assert changes == [("up", "fs1", HERE), ("down", "fs1", HERE)]
    stock = Peers(PeersSettings(comeback=1))
    assert len([change for beat in range(50) for change in heard(stock, beat * 70.0, heartbeat("fs1"))]) == 99


# Names that anyone can write


def test_the_same_name_from_elsewhere_neither_refreshes_nor_takes_down() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1"))
    changes = [change for beat in range(1, 4) for change in heard(peers, beat * 20.0, heartbeat("fs1", THERE))]
    assert changes == []
    holder, rival = peers.rows(60.0)
    assert (holder["address"], holder["state"], holder["also"]) == (HERE, "up", [THERE])
    assert (rival["address"], rival["state"], rival["also"]) == (THERE, "rival", [HERE])
    assert heard(peers, 61.0, heartbeat("fs1", THERE)) == [("down", "fs1", HERE)]


def test_a_rival_that_falls_silent_is_forgotten_without_a_word() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1", THERE), heartbeat("fs1"))
    assert heard(peers, 50.0, heartbeat("fs1", THERE)) == []
    assert peers.tick(100.0) == []
    assert [row["address"] for row in peers.rows(100.0)] == [THERE]


def test_a_peer_that_moves_is_up_again_at_its_new_address() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("fs1"))
    assert heard(peers, 61.0, heartbeat("fs1", THERE)) == [("down", "fs1", HERE)]
    (change,) = peers.take([heartbeat("fs1", THERE)], 81.0, WALL + 81)
    assert (change.what, change.address, change.last_seen) == ("up", THERE, WALL)
    assert [(row["address"], row["downs"]) for row in peers.rows(81.0)] == [(THERE, 1)]


def test_what_the_switch_re_fires_adds_nothing_to_who_is_heard_directly() -> None:
    peers = Peers()
    re_fired = Event(
        "CUSTOM",
        {"Event-Subclass": "multicast::event", "Orig-Event-Name": "HEARTBEAT", "Orig-Multicast-Sender": "fs1"},
    )
    assert heard(peers, 0.0, heartbeat("fs1"), re_fired) == [("up", "fs1", HERE)]
    assert [row["also"] for row in peers.rows(0.0)] == [[]]
    assert peers.counters()["repeated"] == 1


def test_inventions_from_one_address_leave_room_for_others() -> None:
    peers = Peers(PeersSettings(most=100, most_per_address=10))
    heard(peers, 0.0, heartbeat("fs1"))
    heard(peers, 1.0, *(heartbeat(f"evil{number}", THERE) for number in range(1000)))
    assert len(peers) == 11
    assert peers.counters()["refused_address"] == 990
    assert heard(peers, 2.0, heartbeat("fs2", "192.0.2.3")) == [("up", "fs2", "192.0.2.3")]


def test_who_is_up_is_never_given_up_for_a_newcomer() -> None:
    peers = Peers(PeersSettings(most=10))
    real = [heartbeat(f"fs{number}", f"192.0.2.{number}") for number in range(10)]
    heard(peers, 0.0, *real)
    assert heard(peers, 1.0, *(heartbeat("x", f"198.51.100.{number}") for number in range(200))) == []
    assert peers.counters()["refused_full"] == 200
    assert [row["state"] for row in peers.rows(1.0)] == ["up"] * 10


def test_who_was_long_there_outlasts_inventions_while_it_is_down() -> None:
    peers = Peers(PeersSettings(most=10))
    for beat in range(ESTABLISHED_HEARTBEATS):
        heard(peers, beat * 20.0, heartbeat("fs1"))
    now = 400.0
    peers.tick(now)
    for wave in range(5):
        now += 100.0
        heard(peers, now, *(heartbeat(f"evil{wave}-{number}", f"198.51.100.{number}") for number in range(50)))
    assert state_of(peers, "fs1") == "down"
    assert peers.counters()["evicted"] == 9 * 4
    heard(peers, now, heartbeat("fs1"))
    assert heard(peers, now + 20, heartbeat("fs1")) == [("up", "fs1", HERE)]


def test_a_switch_may_tell_of_a_whole_cluster_but_not_fill_the_table() -> None:
    peers = Peers(PeersSettings(most=100, most_per_address=4))
    for number in range(100):
        headers = {"Event-Subclass": "multicast::event", "Orig-Event-Name": "HEARTBEAT"}
        peers.take([Event("CUSTOM", headers | {"Orig-Multicast-Sender": f"fs{number}"})], 0.0, WALL)
    assert len(peers) == 50
    assert heard(peers, 1.0, heartbeat("real")) == [("up", "real", HERE)]


def test_a_core_uuid_of_any_length_is_not_kept() -> None:
    peers = Peers()
    headers = {"Core-UUID": "7" * 100_000, "Event-Sequence": "1", "Multicast-Sender": "fs1"}
    heard(peers, 0.0, Event("HEARTBEAT", headers))
    assert [row["core"] for row in peers.rows(0.0)] == ["7" * 36]


def test_a_name_of_any_length_is_not_kept() -> None:
    peers = Peers()
    heard(peers, 0.0, heartbeat("x" * MOST_NAME_CHARACTERS, THERE), heartbeat("x" * (MOST_NAME_CHARACTERS + 1), THERE))
    assert len(peers) == 1
    assert peers.counters()["refused_name"] == 1


def test_the_long_down_are_forgotten() -> None:
    peers = Peers(PeersSettings(forget=3600.0))
    heard(peers, 0.0, heartbeat("fs1"))
    peers.tick(61.0)
    assert peers.next_due() == 3661.0
    assert peers.tick(3661.0) == []
    assert len(peers) == 1
    assert peers.tick(3662.0) == []
    assert (len(peers), peers.next_due(), peers._rows, peers._holders) == (0, None, {}, {})


@pytest.mark.parametrize("addresses", [1, 250, 100_000])
def test_invented_names_take_bounded_memory(addresses: int) -> None:
    peers = Peers()

    def flood(start: int) -> None:
        heard(
            peers,
            start * 0.01,
            *(
                heartbeat("n" * 100 + str(number), f"198.18.{number % addresses // 250}.{number % addresses % 250}")
                for number in range(start, start + 1000)
            ),
        )

    tracemalloc.start()
    try:
        for start in range(0, 20_000, 1000):
            flood(start)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    settings = PeersSettings()
    assert len(peers) == min(settings.most, settings.most_per_address * addresses)
    assert size < 1_500_000
    counts = peers.counters()
    assert counts["heartbeats"] == 20_000
    admitted = counts["heartbeats"] - counts["refused_address"] - counts["refused_full"]
    assert admitted == len(peers) + counts["evicted"]


def test_settings_are_checked() -> None:
    assert PeersSettings.model_validate({"timeout": "90s", "comeback": 3}).timeout == 90.0
    for wrong in ({"timeout": 0}, {"comeback": 0}, {"most": 0}, {"hysteresis": 1}):
        with pytest.raises(ValidationError):
            PeersSettings.model_validate(wrong)


# What heartbeats are worth


def proven(event: Event) -> Event:
    return event.with_trust("member")


def anyones(event: Event) -> Event:
    return event.with_trust("stock")


def test_a_peers_event_is_worth_what_its_heartbeats_are() -> None:
    peers = Peers()
    up = peers.take([anyones(heartbeat("fs1")), proven(heartbeat("fs2"))], 0.0, WALL)
    signed = heartbeat("fs3").with_trust("signed", "fs3.example.com")
    up += peers.take([signed], 0.0, WALL)
    assert [change.event().trust for change in up] == ["stock", "member", "signed"]
    assert up[-1].event().signer == "fs3.example.com"
    down = {change.name: change.event().trust for change in peers.tick(60.5)}
    assert down == {"fs1": "stock", "fs2": "member", "fs3": "signed"}


def test_a_stranger_keeps_no_member_alive_from_its_very_address() -> None:
    peers = Peers()
    assert heard(peers, 0.0, proven(heartbeat("fs1"))) == [("up", "fs1", HERE)]
    for now in (20.0, 40.0, 60.0):
        assert heard(peers, now, anyones(heartbeat("fs1"))) == []
    assert heard(peers, 60.5, anyones(heartbeat("fs1"))) == [("down", "fs1", HERE)]
    assert heard(peers, 80.0, anyones(heartbeat("fs1"))) == []
    assert peers.counters()["untrusted"] == 5


def test_a_stranger_who_was_there_first_gives_a_members_name_back() -> None:
    peers = Peers()
    assert heard(peers, 0.0, anyones(heartbeat("fs1", THERE))) == [("up", "fs1", THERE)]
    assert heard(peers, 1.0, proven(heartbeat("fs1"))) == []
    assert heard(peers, 21.0, anyones(heartbeat("fs1", THERE)), proven(heartbeat("fs1"))) == [("up", "fs1", HERE)]
    assert heard(peers, 22.0, anyones(heartbeat("fs1", THERE)), anyones(heartbeat("fs1", THERE))) == []
    assert (state_of(peers, "fs1"), state_of(peers, "fs1", THERE)) == ("up", "rival")


def test_a_stranger_does_not_take_the_name_of_a_member_that_is_down() -> None:
    peers = Peers()
    heard(peers, 0.0, proven(heartbeat("fs1")))
    assert heard(peers, 70.0) == [("down", "fs1", HERE)]
    for now in (71.0, 72.0, 73.0):
        assert heard(peers, now, anyones(heartbeat("fs1", THERE))) == []
    assert heard(peers, 80.0, proven(heartbeat("fs1", "192.0.2.9")), proven(heartbeat("fs1", "192.0.2.9"))) == [
        ("up", "fs1", "192.0.2.9")
    ]
