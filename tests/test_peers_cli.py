"""``switchcast peers``: as the running node knows them, as stock prints them, and as listening shows them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from answering import SWITCHCAST, answering, environment, switchcast
from namespaces import two_hosts
from ports import free_port
from recordings import DATA
from sockets import PATIENCE

import switchcast as library
from switchcast import Event
from switchcast._native import Sender
from switchcast.app.status import PeersReply, peers_reply
from switchcast.views.peers import Peers

RECORDING = f"file:{DATA / 'stock-plain.pcap.gz'}"


def heartbeat(name: str, address: str) -> Event:
    return Event("HEARTBEAT", {"Multicast-Sender": name}).with_origin(f"{address}:4242", None)


def cluster() -> PeersReply:
    """fs2 is there, and somebody else sends under its name; fs3 went down half a minute ago."""
    peers = Peers()
    peers.take([heartbeat("fs3", "192.0.2.3")], 0.0, 1_000.0)
    peers.take([heartbeat("fs2", "192.0.2.2"), heartbeat("fs2", "198.51.100.9")], 80.0, 1_080.0)
    peers.tick(90.0)
    destinations = [
        {"address": "225.1.1.1", "kind": "IPv4 multicast"},
        {"address": "ff15::1", "kind": "IPv6 multicast"},
    ]
    return peers_reply(peers.rows(92.7), peers.counters(), destinations=destinations)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def asked(socket: Path, reply: object, *arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    with answering(socket, {"peers": reply}):
        return switchcast("peers", *arguments, socket=socket, columns=columns)


def test_as_a_table(socket: Path) -> None:
    shown = asked(socket, cluster())
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [re.split(r" {2,}", line.rstrip()) for line in shown.stdout.splitlines()] == [
        ["peer", "state", "last heard", "from"],
        ["fs2", "up 12s", "12s ago", "192.0.2.2", "also from 198.51.100.9"],
        ["fs2", "rival 12s", "12s ago", "198.51.100.9", "also from 192.0.2.2"],
        ["fs3", "down 12s", "1m32s ago", "192.0.2.3", "was down once"],
    ]


def test_on_a_narrow_terminal(socket: Path) -> None:
    shown = asked(socket, cluster(), columns=40)
    assert max(map(len, shown.stdout.splitlines())) <= 40
    text = " ".join(shown.stdout.split())
    assert "fs2 up 12s last heard 12s ago, from 192.0.2.2, also from 198.51.100.9" in text


def test_as_stock_prints_them(socket: Path) -> None:
    shown = asked(socket, cluster(), "--stock")
    assert shown.stdout == (
        "Module state: Active\n"
        "\n"
        "Configured peers:\n"
        "\tIPv4 multicast: 225.1.1.1\n"
        "\tIPv6 multicast: ff15::1\n"
        "\n"
        "\n"
        "Peer fs2 UP; last seen 12 seconds ago\n"
        "Peer fs3 DOWN; last seen 92 seconds ago\n"
    )


def test_stock_has_words_for_nobody(socket: Path) -> None:
    shown = asked(socket, peers_reply([], {}, active=False), "--stock")
    assert shown.stdout == "Module state: Inactive\n\nConfigured peers:\n\n\nNo multicast peers seen\n"


def test_what_is_missing_is_said(socket: Path) -> None:
    shown = asked(socket, peers_reply([], {"refused_full": 3, "refused_name": 1}, active=False))
    assert shown.stdout == (
        "nobody has been heard\n"
        "4 heartbeats under new names were refused: no room, or too long a name\n"
        "the node receives nothing at present\n"
    )


def test_as_json(socket: Path) -> None:
    shown = asked(socket, cluster(), "--json")
    assert json.loads(shown.stdout) == cluster()
    assert shown.stdout.count("\n") == 1


def test_a_name_cannot_reach_the_terminal(socket: Path) -> None:
    peers = Peers()
    peers.take([heartbeat("fs\x1b[2J\nPeer real UP; last seen 0 seconds ago", "192.0.2.2")], 0.0, 0.0)
    for arguments in ([], ["--stock"]):
        shown = asked(socket, peers_reply(peers.rows(0.0), {}), *arguments, columns=200)
        assert "\x1b" not in shown.stdout
        assert not re.search("^Peer real UP", shown.stdout, re.MULTILINE)


def test_no_node_so_it_listens_itself(socket: Path) -> None:
    """To the group of FreeSWITCH's sample configuration, in a host of the test's own, where another sends."""
    with two_hosts() as (a, b):
        for host in (a, b):
            host.run("ip", "route", "add", "224.0.0.0/4", "dev", host.interface)
        listening = subprocess.Popen(
            ["ip", "netns", "exec", a.name, SWITCHCAST, "peers", "--for", "2s"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(socket),
        )
        with listening, b.entered(), contextlib.closing(Sender(["225.1.1.1"], 4242, interface=b.interface)) as sender:
            while listening.poll() is None:
                sender.send([heartbeat("fs1", "ignored")])
                with contextlib.suppress(subprocess.TimeoutExpired):
                    listening.wait(0.05)
            said, complaint = listening.communicate(timeout=PATIENCE)
    assert listening.returncode == 0
    assert re.search(rf"^fs1 +up .* {re.escape(b.ipv4)}", said, re.MULTILINE)
    assert f"no node runs here: nothing listens at {socket}; " in complaint
    assert complaint.endswith("; listening to multicast://225.1.1.1:4242 meanwhile\n")
    assert complaint.count("\n") == 1


def test_a_node_needs_no_time_to_listen(socket: Path) -> None:
    shown = asked(socket, peers_reply([], {}), "--for", "5s")
    assert shown.returncode == 2
    assert "one does; leave it out" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stock", "--json"], "--stock and --json are two ways"),
        (["udp://127.0.0.1", "--for", "soon"], "--for 'soon' is no length of time"),
        (["carrier-pigeon://x"], "carrier-pigeon"),
        (["file:not-there.pcap"], "not-there.pcap"),
    ],
)
def test_what_cannot_be_meant(socket: Path, arguments: list[str], said: str) -> None:
    shown = switchcast("peers", *arguments, socket=socket)
    assert shown.returncode in {2, 69}
    assert said in shown.stderr
    assert shown.stderr.count("\n") == 1


# Without a node


def test_those_in_a_recording(socket: Path) -> None:
    shown = switchcast("peers", RECORDING, "--json", socket=socket)
    assert (shown.returncode, shown.stderr) == (0, "")
    (row,) = json.loads(shown.stdout)["peers"]
    assert (row["name"], row["address"], row["state"], row["downs"]) == ("vm", "127.0.0.1", "up", 0)
    assert row["heartbeats"] > 3
    assert (row["seconds_ago"], row["last_seen"]) == (0.0, pytest.approx(1_795_404_827, abs=2))


def test_those_who_are_heard_for_a_while(socket: Path) -> None:
    url = f"udp://127.0.0.1:{free_port()}"
    listening = subprocess.Popen(
        [SWITCHCAST, "peers", url, "--for", "2s", "--stock"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(socket),
    )

    async def fire() -> None:
        async with library.open(url, role="sink") as sink:
            while listening.poll() is None:
                await sink.send([heartbeat("fs1", "ignored"), heartbeat("fs2", "ignored"), Event("TRAP")])
                await asyncio.sleep(0.02)

    with listening:
        asyncio.run(fire())
        said, complaint = listening.communicate(timeout=PATIENCE)
    assert (listening.returncode, complaint) == (0, "")
    assert re.fullmatch(
        "Module state: Active\n\nConfigured peers:\n\tIPv4 unicast: 127\\.0\\.0\\.1\n\n\n"
        "Peer fs1 UP; last seen [0-2] seconds ago\nPeer fs2 UP; last seen [0-2] seconds ago\n",
        said,
    )


def test_nobody_is_heard(socket: Path) -> None:
    shown = switchcast("peers", f"udp://127.0.0.1:{free_port()}", "--for", "50ms", socket=socket)
    assert (shown.returncode, shown.stdout) == (0, "nobody has been heard\n")
    assert shown.stderr == "switchcast: heartbeats come every 20 s; 'switchcast stats' shows what else arrives\n"
