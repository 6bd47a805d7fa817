"""What can be asked of a simulated switch from outside: its command line, firing events, beginning and ending calls."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from reference import as_text, decode, read_datagram

from switchcast import Event
from switchcast.simulation import DOMAIN, Cluster, Switch
from switchcast.simulation.cluster import CALLS


def busy_cluster() -> Cluster:
    """Two switches half a minute after their start, calls up."""
    cluster = Cluster(nodes=2, cps=2, seed=21, users=24, talk=30)
    cluster.advance(30)
    return cluster


def quiet_switch(users: int = 6) -> tuple[Cluster, Switch]:
    """A switch on its own, its users registered and nobody calling."""
    cluster = Cluster(nodes=1, cps=0, seed=4, users=users, talk=20, expires=3600)
    cluster.advance(15)
    return cluster, cluster.switches[0]


def new_events(cluster: Cluster, seconds: float = 0.0) -> list[Event]:
    return [event for _, _, event in cluster.advance(cluster.now + seconds)]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("nosuchcmd foo", "-ERR nosuchcmd Command not found!\n"),
        ("expr 1+1", "-ERR expr Command not found!\n"),
        ("hostname", "fs1"),
        ("switchname", "fs1"),
        ("global_getvar hostname", "fs1"),
        ("echo ümläut ✓ — 100% A a:b", "ümläut ✓ — 100% A a:b"),
        ("strftime", "2025-01-01 00:00:15"),
        ("strftime 86400|%Y", "1970"),
        ("vm_boxcount 1000@sim.example", "0"),
        ("vm_boxcount 1000@sim.example|all", "0:0:0:0"),
        ("sofia_contact */9999@sim.example", "error/user_not_registered"),
        ("sofia status profile nosuch reg", "Invalid Profile!\n"),
        ("show channels", "\n0 total.\n"),
        ("show channels as json", '{"row_count":0}'),
        ("show registrations count", "\n6 total.\n"),
        ("uuid_kill 00000000-0000-4000-8000-000000000000", "-ERR No such channel!\n"),
        ("originate user/9999 &park", "-ERR USER_NOT_REGISTERED\n"),
        ("originate sofia/gateway/gw/1 &park", "-ERR CHAN_NOT_IMPLEMENTED\n"),
        ("reloadxml", "+OK [Success]\n"),
    ],
)
def test_what_the_command_line_answers(command: str, answer: str) -> None:
    cluster, switch = quiet_switch()
    assert switch.api(command) == answer
    word, _, argument = command.partition(" ")
    event = new_events(cluster)[0]
    assert (event.name, event["API-Command"], event.get("API-Command-Argument", "")) == ("API", word, argument)


def test_status_has_the_form_of_the_recorded_one(plain_datagrams: list[tuple[int, bytes]]) -> None:
    """Digits apart, line by line."""
    events = [read_datagram(datagram) for _, datagram in plain_datagrams]
    recorded = next(event.body for event in events if (b"Job-Command", b"status") in event.headers).decode()
    told = quiet_switch()[1].api("status")

    def shape(text: str) -> str:
        return re.sub(r"\d+", "#", text)

    assert shape(told) == shape(recorded)


def test_a_job_fires_its_answer(plain_datagrams: list[tuple[int, bytes]]) -> None:
    cluster, switch = quiet_switch()
    job = switch.bgapi("echo grüße")
    api, done = new_events(cluster)
    assert (api.name, done.name) == ("API", "BACKGROUND_JOB")
    assert (done["Job-UUID"], done["Job-Command"], done["Job-Command-Arg"]) == (job, "echo", "grüße")
    assert done.body == "grüße".encode()
    given = switch.bgapi("hostname", "0b5d6f3e-1111-4222-8333-444455556666")
    assert given == "0b5d6f3e-1111-4222-8333-444455556666"
    assert new_events(cluster)[1].body == b"fs1"
    lists = [[as_text(name) for name, _ in read_datagram(d).headers[:-1]] for _, d in plain_datagrams]
    assert done.keys() in lists


def test_show_tells_of_the_channels_and_calls_that_are_up() -> None:
    cluster = busy_cluster()
    for switch in cluster.switches:
        shown = json.loads(switch.api("show channels as json"))
        assert shown["row_count"] == len(shown["rows"]) == len(switch.channels) > 5
        for row in shown["rows"]:
            channel = switch.channels[row["uuid"]]
            assert (row["state"], row["callstate"]) == (channel.state, channel.call_state)
            assert row["name"] == channel.created["Channel-Name"]
            assert row["created_epoch"] == str((channel.created.timestamp or 0) // 10**6)
            assert row["hostname"] == switch.name
            assert channel.executing is None or row["application"] == channel.executing["Application"]
        calls = json.loads(switch.api("show calls as json"))["rows"]
        assert {(row["uuid"], row["b_uuid"]) for row in calls if row["b_uuid"]} == set(switch.calls.values())
        assert len(calls) == len(switch.channels) - len(switch.calls)
        plain = switch.api("show channels").split("\n")
        assert plain[0] == ",".join(shown["rows"][0])
        assert plain[-2] == f"{len(switch.channels)} total."


def test_sofia_and_show_tell_of_the_registrations() -> None:
    cluster = busy_cluster()
    for switch in cluster.switches:
        known = {(r.call_id, f"{user}@{DOMAIN}", r.contact) for user, r in switch.registrations.items()}
        found = ET.fromstring(switch.api("sofia xmlstatus profile internal reg")).iter("registration")
        assert {tuple(row.findtext(name) for name in ("call-id", "user", "contact")) for row in found} == known
        text = switch.api("sofia status profile internal reg")
        assert f"Total items returned: {len(known)}\n" in text
        assert set(re.findall(r"^Call-ID: +\t(.*)$", text, re.MULTILINE)) == {row[0] for row in known}
        rows = json.loads(switch.api("show registrations as json"))["rows"]
        assert {row["reg_user"] for row in rows} == set(switch.registrations)
        one = rows[0]
        assert switch.api(f"sofia_contact {one['reg_user']}@{DOMAIN}") == one["url"]
        assert one["reg_user"] in switch.api(f"sofia status profile internal reg {one['reg_user']}")


def recorded_lists(datagrams: list[tuple[int, bytes]], mark: bytes) -> Iterator[tuple[list[tuple[str, str]], bytes]]:
    """Decoded headers, less Multicast-Sender, and body of each recorded event whose text holds ``mark``."""
    for _, datagram in datagrams:
        if mark in datagram:
            event = read_datagram(datagram)
            yield [(as_text(name), as_text(decode(raw))) for name, raw in event.headers[:-1]], event.body


def test_fired_events_look_like_those_that_were_sent_to_the_recorded_switch(
    plain_datagrams: list[tuple[int, bytes]],
) -> None:
    """The client's headers in, the recorded event out: names, order and all values but the switch's own."""
    cluster, switch = quiet_switch()
    own = {"Core-UUID", "Event-Sequence", "FreeSWITCH-Hostname", "FreeSWITCH-Switchname", "FreeSWITCH-IPv4"}
    tried = 0
    for headers, body in recorded_lists(plain_datagrams, b"Command: sendevent%20"):
        names = [name for name, _ in headers]
        sent = headers[: names.index("Event-Name")]
        word = sent[0][1].partition(" ")[2]
        event = switch.fire(word, sent, body)
        differing = own | {name for name in names if name.startswith(("Event-Date-", "FreeSWITCH-IPv6"))}
        assert event.keys() == names
        assert [pair for pair in event.items() if pair[0] not in differing] == [
            pair for pair in headers if pair[0] not in differing
        ]
        assert event.body == body
        tried += 1
    assert tried > 60
    assert [e.sequence for e in new_events(cluster)] == list(range(switch.sequence - tried + 1, switch.sequence + 1))


def test_a_fired_lamp_or_presence_counts_as_told() -> None:
    cluster, switch = quiet_switch()
    before = switch.sequence
    lamp = switch.fire(
        "MESSAGE_WAITING",
        [
            ("Command", "sendevent MESSAGE_WAITING"),
            ("MWI-Messages-Waiting", "yes"),
            ("MWI-Message-Account", f"sip:1001@{DOMAIN}"),
            ("MWI-Voice-Message", "2/1 (1/0)"),
        ],
    )
    switch.fire("PRESENCE_IN", [("from", "a@b"), ("status", "On a cäll"), ("rpid", "busy")])
    assert lamp.sequence == before + 1
    assert (switch.lamps[f"1001@{DOMAIN}"].waiting, switch.lamps[f"1001@{DOMAIN}"].counts) == (True, "2/1")
    assert (switch.presence["a@b"].status, switch.presence["a@b"].rpid) == ("On a cäll", "busy")
    assert [event.name for event in new_events(cluster)] == ["MESSAGE_WAITING", "PRESENCE_IN"]


@pytest.mark.parametrize("kind", [kind for kind, _ in CALLS if kind != "busy"] + ["conference", "parked"])
@pytest.mark.parametrize("after", [0.002, 0.5, 9.0, 14.0])
def test_a_killed_call_ends_at_once_or_when_it_is_up(kind: str, after: float) -> None:
    cluster, switch = quiet_switch()
    call = cluster.begin_call(switch, kind)
    story = new_events(cluster, after)
    went_up = [event.name for event in story].count("CHANNEL_ANSWER")
    if call.legs[0] not in switch.channels:
        assert switch.api(f"uuid_kill {call.legs[0]}").startswith("-ERR")
        return
    killed = cluster.now
    assert switch.api(f"uuid_kill {call.legs[0]}") == "+OK\n"
    story += new_events(cluster, 0.5 if call.next > call.script.answered else 6.0)
    assert not switch.channels
    assert not switch.calls
    hung_up = [event for event in story if event.name == "CHANNEL_HANGUP_COMPLETE"]
    assert {event.unique_id for event in hung_up} == set(call.legs)
    for event in hung_up:
        start, answer, end = (int(event[f"variable_{name}_uepoch"]) for name in ("start", "answer", "end"))
        assert start <= answer <= end <= (event.timestamp or 0)
        assert int(event["variable_uduration"]) == end - start
        assert went_up == 0 or abs(end - cluster.stage.epoch - killed * 1e6) < 200_000
    assert switch.api(f"uuid_kill {call.legs[0]}").startswith("-ERR")


def test_busy_calls_end_by_themselves_when_killed() -> None:
    cluster, switch = quiet_switch()
    call = cluster.begin_call(switch, "busy")
    new_events(cluster, 0.03)
    assert switch.api(f"uuid_kill {call.legs[0]}") == "+OK\n"
    assert "CHANNEL_DESTROY" in [event.name for event in new_events(cluster, 1.0)]
    assert not switch.channels


def test_originate_calls_a_user_or_the_switch_itself() -> None:
    cluster, switch = quiet_switch()
    user = next(iter(switch.registrations))
    wanted = "aaaaaaaa-0000-4000-8000-0000000000ff"
    assert switch.api(f"originate {{origination_uuid={wanted}}}user/{user}@{DOMAIN} &park") == f"+OK {wanted}\n"
    loop = switch.api("originate loopback/9196/default &park").split()[1]
    events = new_events(cluster, 0.25)
    assert {wanted, loop} <= set(switch.channels)
    assert switch.api(f"uuid_exists {wanted}") == "true"
    created = next(e for e in events if e.name == "CHANNEL_CREATE" and e.unique_id == wanted)
    assert created["Channel-Presence-ID"] == f"{user}@{DOMAIN}"
    assert [e["API-Command"] for e in events if e.name == "API"] == ["originate", "originate"]


def test_a_switch_without_users_can_only_call_itself() -> None:
    cluster = Cluster(nodes=1, cps=5, seed=1, users=0, talk=1)
    names = {event["Channel-Name"].partition("/")[0] for event in new_events(cluster, 20) if event.unique_id}
    assert names == {"loopback"}
