"""The simulated cluster against the recording it is made from, and against the truth that its switches hold."""

from __future__ import annotations

import datetime as dt
import json
import lzma
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import DATA
from reference import ReferenceEvent, as_text, decode, read_datagram, write_text

from switchcast import Event
from switchcast.errors import UsageError
from switchcast.simulation import DOMAIN, Cluster, Lamp, Presence, Summary
from switchcast.simulation.cluster import DEFAULT_START

ROOT = Path(__file__).parent.parent
TOLERANCE = 0.15
CALL_EVENTS = re.compile(r"CHANNEL_\w+|CODEC|PRESENCE_IN")
Fired = list[tuple[float, int, Event]]


def kind_of(event: Event) -> str:
    return f"{event.name} {event.subclass}" if event.subclass else event.name


def is_mailbox_settings(event: Event) -> bool:
    """The one kind that no current FreeSWITCH fires, taken from the module's own page."""
    return event.name == "MESSAGE" and "sip_mailbox" in event


class Recording:
    """Of the recorded events: header names and sizes by kind, and each channel's story."""

    def __init__(self, datagrams: list[tuple[int, bytes]]) -> None:
        self.names: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        self.sizes: dict[str, list[int]] = defaultdict(list)
        self.stories: dict[str, list[str]] = defaultdict(list)
        self.uuids: set[str] = set()
        for _, datagram in datagrams:
            self.add(read_datagram(datagram))

    def add(self, event: ReferenceEvent) -> None:
        headers = event.headers[:-1]
        assert event.headers[-1][0] == b"Multicast-Sender"
        first = {as_text(name): as_text(decode(value)) for name, value in reversed(headers)}
        kind = f"{first['Event-Name']} {first['Event-Subclass']}" if "Event-Subclass" in first else first["Event-Name"]
        self.names[kind].add(tuple(as_text(name) for name, _ in headers))
        text = write_text(headers, event.body)
        self.sizes[kind].append(len(text))
        self.uuids.update(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", as_text(text)))
        if "Unique-ID" in first and CALL_EVENTS.fullmatch(first["Event-Name"]):
            self.stories[first["Unique-ID"]].append(chapter(first))


def chapter(headers: Event | dict[str, str]) -> str:
    """What an event tells of its channel's story, whoever the channel belongs to."""
    told = ("Event-Name", "Channel-State", "Channel-Call-State", "Answer-State", "Application")
    return " ".join(headers.get(name) or "-" for name in told)


@pytest.fixture(scope="module")
def recording(plain_datagrams: list[tuple[int, bytes]]) -> Recording:
    return Recording(plain_datagrams)


@pytest.fixture(scope="module")
def busy() -> tuple[Cluster, Fired]:
    """Three switches with every kind of call, three minutes long."""
    cluster = Cluster(nodes=3, cps=5, seed=7, users=40, talk=3)
    return cluster, cluster.advance(180)


def test_every_event_has_the_headers_of_a_recorded_one(busy: tuple[Cluster, Fired], recording: Recording) -> None:
    for _, _, event in busy[1]:
        if not is_mailbox_settings(event):
            assert tuple(event.keys()) in recording.names[kind_of(event)], event.to_plain().decode()


def test_mailbox_settings_have_the_headers_of_the_modules_page(busy: tuple[Cluster, Fired]) -> None:
    lines = (DATA / "wiki-2008-examples.jsonl").read_text("utf-8").splitlines()
    example = next(row for row in map(json.loads, lines) if row["kind"] == "MWI Mailbox Settings")
    names = [name for name, _ in example["headers"]]
    found = [event for _, _, event in busy[1] if is_mailbox_settings(event)]
    assert found
    for event in found:
        keys = event.keys()
        assert keys[keys.index("Event-Sequence") + 1 :] == names[: names.index("Event-Name")]


def test_sizes_are_those_of_the_recording(busy: tuple[Cluster, Fired], recording: Recording) -> None:
    for _, _, event in busy[1]:
        if not is_mailbox_settings(event):
            sizes = recording.sizes[kind_of(event)]
            low, high = min(sizes) * (1 - TOLERANCE), max(sizes) * (1 + TOLERANCE)
            assert low <= len(event.to_plain()) <= high, kind_of(event)


def stories_of(fired: Iterable[Event]) -> dict[str, list[str]]:
    stories: dict[str, list[str]] = defaultdict(list)
    for event in fired:
        if event.unique_id and CALL_EVENTS.fullmatch(event.name):
            stories[event.unique_id].append(chapter(event))
    return stories


def test_every_channel_has_the_story_of_a_recorded_one(busy: tuple[Cluster, Fired], recording: Recording) -> None:
    known = {tuple(story) for story in recording.stories.values()}
    cluster, fired = busy
    up = {uuid for switch in cluster.switches for uuid in switch.channels}
    ended = {
        uuid: tuple(story)
        for uuid, story in stories_of(event for _, _, event in fired).items()
        if "CHANNEL_STATE CS_DESTROY HANGUP hangup -" in story and uuid not in up
    }
    assert len(ended) > 800
    assert set(ended.values()) <= known
    # One leg each of application, conference, voicemail; two of bridged, busy, loopback.
    assert len(set(ended.values())) == 9


def test_nothing_of_the_recorded_switch_is_left(busy: tuple[Cluster, Fired], recording: Recording) -> None:
    text = b"\0".join(event.to_plain() for _, _, event in busy[1][:12_000])
    seen = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text.decode("utf-8", "replace")))
    assert len(seen) > 1000
    assert not seen & recording.uuids
    assert b"127.0.0.1" not in text
    assert re.search(rb"Multicast-|: vm\n|2026-11|Nov%202026|(?<!\d)17954\d{5}", text) is None


def test_each_switch_counts_its_events_without_a_gap(busy: tuple[Cluster, Fired]) -> None:
    cluster, fired = busy
    for switch in cluster.switches:
        own = [event for _, node, event in fired if node == switch.index]
        numbers = [event.sequence for event in own]
        assert numbers == list(range(401, 401 + len(own)))
        assert {(e.core_uuid, e["FreeSWITCH-Switchname"], e.source) for e in own} == {
            (switch.core_uuid, switch.name, f"sim:{switch.index + 1}")
        }


def test_dates_agree(busy: tuple[Cluster, Fired]) -> None:

    last = 0.0
    for when, _, event in busy[1]:
        assert when >= last
        last = when
        stamp = event.timestamp
        assert stamp == round((DEFAULT_START + when) * 1e6)
        assert event.received == stamp * 1000
        date = dt.datetime.fromtimestamp(stamp // 10**6, dt.UTC)
        assert event["Event-Date-Local"] == date.strftime("%Y-%m-%d %H:%M:%S")
        assert event["Event-Date-GMT"] == date.strftime("%a, %d %b %Y %H:%M:%S GMT")


def micros(event: Event, name: str) -> int:
    return int(event[name])


def test_no_event_tells_of_the_future_and_spans_fit_their_ends(busy: tuple[Cluster, Fired]) -> None:
    completed = 0
    for _, _, event in busy[1]:
        stamp = event.timestamp or 0
        for name, value in event.items():
            if len(value) == 16 and value.startswith("1735"):
                assert int(value) <= stamp, (event.name, name)
        if event.name != "CHANNEL_HANGUP_COMPLETE":
            continue
        completed += 1
        start, answer, end = (micros(event, f"variable_{name}_uepoch") for name in ("start", "answer", "end"))
        assert start <= end
        assert micros(event, "variable_uduration") == end - start
        assert micros(event, "variable_duration") == end // 10**6 - start // 10**6
        assert micros(event, "variable_start_epoch") == start // 10**6
        for header in (name for name in event if name.endswith("_stamp") and name != "variable_sip_invite_stamp"):
            fine = header.replace("_hold_stamp", "_last_hold_stamp").replace("_stamp", "_uepoch")
            date = dt.datetime.fromtimestamp(micros(event, fine) // 10**6, dt.UTC)
            assert event[header] == date.strftime("%Y-%m-%d %H:%M:%S")
        if answer:
            assert start <= answer <= end
            assert micros(event, "variable_billusec") == end - answer
            assert micros(event, "Caller-Channel-Answered-Time") == answer
    assert completed > 800


def test_every_channel_that_is_created_is_destroyed() -> None:
    cluster = Cluster(nodes=2, cps=4, seed=3, users=20, talk=1)
    created: dict[str, float] = {}
    for when, _, event in cluster.advance(120):
        if event.name == "CHANNEL_CREATE":
            assert event.unique_id not in created
            created[event.unique_id or ""] = when
        elif event.name == "CHANNEL_DESTROY":
            del created[event.unique_id or ""]
    assert min(created.values(), default=120) > 90
    assert set(created) == {uuid for switch in cluster.switches for uuid in switch.channels}


class Told:
    """What somebody knows who has heard nothing but the events."""

    def __init__(self) -> None:
        self.registrations: dict[tuple[int, str], tuple[str, str, int]] = {}
        self.presence: dict[tuple[int, str], Presence] = {}
        self.lamps: dict[tuple[int, str], Lamp] = {}
        self.channels: dict[str, tuple[str, str]] = {}
        self.calls: set[tuple[str, str]] = set()

    def hear(self, node: int, event: Event) -> None:
        kind = kind_of(event)
        if kind == "CUSTOM sofia::register":
            expires = (event.timestamp or 0) // 10**6 + int(event["expires"])
            self.registrations[node, event["from-user"]] = (event["contact"], event["call-id"], expires)
        elif kind == "CUSTOM sofia::unregister":
            del self.registrations[node, event["from-user"]]
        elif kind == "CUSTOM sofia::expire":
            contact, call_id, expires = self.registrations.pop((node, event["user"]))
            assert (event["contact"], event["call-id"], int(event["expires"])) == (contact, call_id, expires)
            assert 0 <= (event.timestamp or 0) // 10**6 - expires <= 3
        elif kind == "PRESENCE_IN":
            self.presence[node, event["from"]] = Presence(event.get("status") or "", event.get("rpid") or "")
        elif kind == "MESSAGE_WAITING":
            account = event["MWI-Message-Account"].removeprefix("sip:")
            counts = (event.get("MWI-Voice-Message") or "0/0").partition(" ")[0]
            self.lamps[node, account] = Lamp(event["MWI-Messages-Waiting"] == "yes", counts)
        elif kind == "CHANNEL_BRIDGE":
            self.calls.add((event.unique_id or "", event["Other-Leg-Unique-ID"]))
        elif kind == "CHANNEL_UNBRIDGE":
            self.calls = {pair for pair in self.calls if event.unique_id not in pair}
        if event.unique_id and (event.unique_id in self.channels or kind == "CHANNEL_CREATE"):
            self.channels[event.unique_id] = (event.get("Channel-State") or "", event.get("Channel-Call-State") or "")
        if kind == "CHANNEL_DESTROY":
            del self.channels[event.unique_id or ""]

    def agree(self, cluster: Cluster) -> None:
        assert self.registrations == {
            (switch.index, user): (registration.contact, registration.call_id, registration.expires)
            for switch in cluster.switches
            for user, registration in switch.registrations.items()
        }
        assert self.presence == {(s.index, who): p for s in cluster.switches for who, p in s.presence.items()}
        assert self.lamps == {(s.index, who): lamp for s in cluster.switches for who, lamp in s.lamps.items()}
        assert set(self.channels) == {uuid for s in cluster.switches for uuid in s.channels}
        assert self.calls == {pair for s in cluster.switches for pair in s.calls.values()}


def test_the_switches_hold_what_their_events_told() -> None:
    cluster = Cluster(nodes=3, cps=3, seed=11, users=60, expires=20, talk=4)
    told = Told()
    kinds = set()
    for until in range(1, 240):
        for _, node, event in cluster.advance(until):
            told.hear(node, event)
            kinds.add(kind_of(event))
        told.agree(cluster)
    assert {"CUSTOM sofia::expire", "CUSTOM sofia::unregister", "CHANNEL_UNBRIDGE"} <= kinds
    homes = [user for _, user in told.registrations]
    assert len(homes) > len(set(homes)), "nobody is registered at two switches, as one who has moved is for a while"


def test_lamps_are_lit_and_go_out_again(busy: tuple[Cluster, Fired]) -> None:
    lamps: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for _, _, event in busy[1]:
        if "Update-Reason" in event:
            lamps[event["MWI-Message-Account"]].append((event["Update-Reason"], event["MWI-Voice-Message"]))
    assert any(said[:2] == [("NEW", "1/0"), ("DELETE", "0/0")] for said in lamps.values())
    assert any(said[:2] == [("NEW", "1/0"), ("READ", "0/1")] for said in lamps.values())
    assert all(account.endswith(f"@{DOMAIN}") for account in lamps)


def test_the_seven_kinds_of_the_modules_page_come_within_a_minute() -> None:
    fired = [event for _, _, event in Cluster(cps=0).advance(60)]
    kinds = {kind_of(event) for event in fired}
    assert kinds >= {
        "RE_SCHEDULE",
        "HEARTBEAT",
        "CUSTOM sofia::register",
        "PRESENCE_IN",
        "MESSAGE_QUERY",
        "MESSAGE",
        "MESSAGE_WAITING",
    }
    assert any(is_mailbox_settings(event) for event in fired)


def texts(fired: Fired) -> list[tuple[float, int, bytes]]:
    return [(when, node, event.to_plain()) for when, node, event in fired]


def small(seed: int = 5) -> Cluster:
    return Cluster(nodes=2, cps=3, seed=seed, users=12, expires=6, talk=1, heartbeat=3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 15), max_size=30))
def test_how_time_is_sliced_changes_nothing(cuts: list[float]) -> None:
    whole = texts(small().advance(15))
    cluster = small()
    sliced = [row for cut in [*sorted(cuts), 15.0] for row in texts(cluster.advance(cut))]
    assert sliced == whole
    assert len(whole) > 1000


def test_the_seed_decides() -> None:
    assert texts(small(1).advance(5)) == texts(small(1).advance(5))
    assert texts(small(1).advance(5)) != texts(small(2).advance(5))


@pytest.mark.parametrize("options", [{"nodes": 0}, {"nodes": 251}, {"cps": -1.0}, {"users": -1}, {"heartbeat": 0.0}])
def test_what_no_cluster_can_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Cluster(**options)  # type: ignore[arg-type]


def test_the_summary_counts_what_there_was(busy: tuple[Cluster, Fired]) -> None:
    summary = Summary()
    summary.count(event for _, _, event in busy[1])
    assert summary.events == len(busy[1]) == sum(summary.by_kind.values()) == sum(summary.by_node.values())
    assert set(summary.by_node) == {"fs1", "fs2", "fs3"}
    assert summary.by_kind["CHANNEL_CREATE"] > summary.calls > 0.9 * busy[0].calls_started


def test_the_shipped_templates_are_what_the_recording_gives(tmp_path: Path) -> None:
    derived = tmp_path / "templates.json.xz"
    subprocess.run([sys.executable, ROOT / "scripts/make_templates.py", derived], check=True, timeout=120)
    shipped = ROOT / "src/switchcast/simulation/templates.json.xz"
    assert json.loads(lzma.decompress(shipped.read_bytes())) == json.loads(lzma.decompress(derived.read_bytes()))
    assert shipped.stat().st_size < 300_000
