"""Two nodes, each with its switch: what one switch learns the other knows, and nothing goes round in circles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from namespaces import Host, two_hosts
from ports import free_port
from refired import from_stock, recorded_events, relayed, with_what_stock_fired
from relays import Pair, event_socket, inside, relaying, settled
from sockets import until
from switches import take

from switchcast import Event, Matcher
from switchcast.guard.policy import compile_policy, shipped
from switchcast.simulation import DOMAIN, Cluster, Switch

MULTICAST_EVENTS = Matcher("CUSTOM multicast::event")
RELAYED = {"PRESENCE_IN", "MESSAGE_WAITING", "sofia::register", "sofia::unregister"}

LAG = 3
"""Seconds of virtual time that a switch may hear of a registration late in these tests."""


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as pair:
        yield pair


def differences(one: Switch, other: Switch) -> list[str]:
    """Accounts that the two would call at different places.

    One that runs out about now counts for none: what a switch was told runs out as much later as it heard of it.
    """
    now = one.epoch_seconds
    tables = [{row.account: row for row in switch.registrar.rows(now)} for switch in (one, other)]
    found = []
    for account in sorted({*tables[0], *tables[1]}):
        rows = [table[account] for table in tables if account in table]
        agree = len(rows) == 2 and rows[0].uri == rows[1].uri
        if not agree and max(row.expires for row in rows) > now + LAG:
            found.append(account)
    return found


@pytest.mark.parametrize(
    ("group", "local"), [("239.192.1.1", "127.0.0.1"), ("[ff15::4242]", "::1")], ids=["IPv4", "IPv6"]
)
def test_a_recorded_event_arrives_as_the_stock_receiver_fired_it(
    hosts: tuple[Host, Host], plain_datagrams: list[tuple[int, bytes]], group: str, local: str
) -> None:
    """Registrations, presence and lamps of the recording, fired by a switch on one host, told by that on the other."""
    events = [event for event in recorded_events(plain_datagrams) if (event.subclass or event.name) in RELAYED]
    pairs = with_what_stock_fired(events)
    assert {event.subclass or event.name for event, _ in pairs} == RELAYED
    fired = [Event.from_headers(event.items()[:-1], event.body, exact=True) for event, _ in pairs]
    url = f"multicast://{group}:4242?interface=veth"

    async def main() -> None:
        pair = Pair(Cluster(nodes=2, cps=0, users=0), hosts, local)
        await pair.start()
        a, b = pair.servers
        listener = event_socket(b, matcher=MULTICAST_EVENTS)
        with inside(hosts[1]):
            await listener.open_source()
        async with (
            a,
            b,
            listener,
            relaying("vm", a, url, host=hosts[0]) as here,
            relaying("fs2", b, url, host=hosts[1]) as there,
        ):
            assert "Multicast-Sender" not in fired[0]
            a.publish(fired)
            told = await take(listener, len(pairs))  # type: ignore[arg-type]
            for (_, stock), event in zip(pairs, told, strict=True):
                assert relayed(event) == from_stock(stock)
            await until(lambda: there.fired == len(pairs))  # it counts when the switch has replied
            assert (here.sent, there.sent, here.fired) == (len(pairs), 0, 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("group", "local", "way"),
    [("239.192.1.1", "127.0.0.1", "10.42.0.1"), ("[ff15::4242]", "::1", "[fd42::1]")],
    ids=["IPv4", "IPv6"],
)
def test_the_other_switch_shows_what_it_was_told(hosts: tuple[Host, Host], group: str, local: str, way: str) -> None:
    """A registration, a presence and a lamp, of which ``cluster``, the policy by default, lets through what it takes.

    The way to the telephone leads over the host that knows it.
    """
    cluster = compile_policy("cluster", shipped("cluster"), None)
    url = f"multicast://{group}:4242?interface=veth"

    async def main() -> None:
        pair = Pair(Cluster(nodes=2, cps=0, users=0), hosts, local)
        await pair.start()
        a, b = pair.servers
        home, other = pair.switches
        async with (
            a,
            b,
            relaying("fs1", a, url, host=hosts[0], policy=cluster) as here,
            relaying("fs2", b, url, "fs_path=rewrite", hosts[1], policy=cluster) as there,
        ):
            home.fire(
                "CUSTOM",
                [
                    ("Event-Subclass", "sofia::register"),
                    ("profile-name", "internal"),
                    ("from-user", "1000"),
                    ("from-host", DOMAIN),
                    ("contact", '"Anna: 100%" <sip:1000@198.51.100.7:5062>'),
                    ("call-id", "abc@198.51.100.7"),
                    ("expires", "60"),
                    ("network-ip", "198.51.100.7"),
                    ("network-port", "5062"),
                    ("user-agent", "phone/1"),
                    ("username", "1000"),
                    ("realm", DOMAIN),
                    ("sip_auth_password", "secret"),
                ],
            )
            home.fire("PRESENCE_IN", [("from", f"1000@{DOMAIN}"), ("status", "At désk"), ("rpid", "busy")])
            home.fire(
                "MESSAGE_WAITING",
                [
                    ("MWI-Messages-Waiting", "yes"),
                    ("MWI-Message-Account", f"sip:1000@{DOMAIN}"),
                    ("MWI-Voice-Message", "2/1 (0/0)"),
                ],
            )
            pair.live(0)
            await settled(pair, [here, there])
            account = f"1000@{DOMAIN}"
            assert (
                other.api(f"sofia_contact {account}") == f"sofia/internal/sip:1000@198.51.100.7:5062;fs_path=sip:{way}"
            )
            shown = other.api(f"sofia status profile internal reg {account}")
            assert f'Contact:    \t"Anna: 100%" <sip:1000@198.51.100.7:5062;fs_path=sip:{way}>\n' in shown
            assert "Agent:      \tphone/1\n" in shown
            assert "EXPSECS(60)" in shown
            registered = next(e for e in pair.heard[1] if e.get("Orig-Event-Subclass") == "sofia::register")
            assert "Orig-sip_auth_password" not in registered
            assert other.api("show registrations count") == "\n0 total.\n"
            assert (other.presence[account].status, other.presence[account].rpid) == ("At désk", "busy")
            assert (other.lamps[account].waiting, other.lamps[account].counts) == (True, "2/1")
            home.fire(
                "CUSTOM",
                [
                    ("Event-Subclass", "sofia::unregister"),
                    ("profile-name", "internal"),
                    ("from-user", "1000"),
                    ("from-host", DOMAIN),
                    ("call-id", "abc@198.51.100.7"),
                ],
            )
            pair.live(0)
            await settled(pair, [here, there])
            assert other.api(f"sofia_contact {account}") == "error/user_not_registered"

    asyncio.run(main())


@pytest.mark.parametrize("refire", ["auto", "original"])
def test_two_nodes_that_relay_both_ways_settle(refire: str) -> None:
    """On one host, where each hears its own datagrams too: each event crosses once, and both switches know the same."""
    url = f"multicast://239.255.42.42:{free_port()}?interface=lo"

    async def main() -> None:
        pair = Pair(Cluster(nodes=2, cps=0, seed=7, users=60, expires=20))
        await pair.start()
        a, b = pair.servers
        async with (
            a,
            b,
            relaying("fs1", a, url, f"refire={refire}") as one,
            relaying("fs2", b, url, f"refire={refire}") as two,
        ):
            for _ in range(60):
                pair.live(1)
                await settled(pair, [one, two], rounds=0)
            await settled(pair, [one, two])
            assert min(len(told) for told in pair.told) > 100
            await until(lambda: two.fired == len(pair.told[0]) and one.fired == len(pair.told[1]))
            assert [one.sent, two.sent] == [len(told) for told in pair.told]
            for relay in (one, two):
                assert relay.switch.counters()["refused"] == 0
            if refire == "auto":
                assert min(len(list(switch.registrar.rows(0))) for switch in pair.switches) > 30
                assert differences(*pair.switches) == []

    asyncio.run(main())


def test_a_switch_that_was_restarted_is_relayed_on() -> None:
    """It has another Core-UUID, and its events are numbered from the start again."""
    url = f"multicast://239.255.42.43:{free_port()}?interface=lo"

    async def main() -> None:
        pair = Pair(Cluster(nodes=2, cps=0, users=6, expires=3600))
        await pair.start()
        a, b = pair.servers
        async with a, b, relaying("fs1", a, url) as one, relaying("fs2", b, url) as two:
            pair.live(15)
            await settled(pair, [one, two])
            before = pair.switches[0].core_uuid
            connections = len(a.history)
            await a.kill()
            pair.switches[0].restart()
            await a.start()
            await until(lambda: len(a.history) > connections and "event plain" in " ".join(a.history[-1]))
            pair.switches[0].fire("PRESENCE_IN", [("from", f"1000@{DOMAIN}"), ("status", "Back")])
            pair.live(0)
            await until(lambda: pair.switches[1].presence[f"1000@{DOMAIN}"].status == "Back")
            assert pair.switches[0].core_uuid != before
            assert pair.told[0][-1]["Core-UUID"] == pair.switches[0].core_uuid
            assert differences(*pair.switches) == []

    asyncio.run(main())
