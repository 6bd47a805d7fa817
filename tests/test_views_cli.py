"""``switchcast nodes``, ``registrations``, ``presence``, ``mailboxes`` and ``calls`` as users have them."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from answering import SWITCHCAST, answering, environment
from namespaces import two_hosts
from nodes import configuration, running
from recordings import DATA
from sockets import PATIENCE
from terminals import shown_until

from switchcast import Event
from switchcast.app.cli import main
from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import EventSocketServer
from switchcast.views.picture import Picture

RECORDING = f"file:{DATA / 'stock-plain.pcap.gz'}"
"""Its README tells times in seconds from the first datagram; so do the tests."""


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@dataclass(frozen=True)
class Shown:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def typed(*arguments: str, socket: Path, columns: int = 80) -> Shown:
    """Run the program in this process, for somebody whose node is asked at ``socket``."""
    said, complaint = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(said), redirect_stderr(complaint):
        patched.setattr("sys.argv", ["switchcast", *arguments])
        for name, value in environment(socket, columns).items():
            patched.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    return Shown(code if isinstance(code, int) else 0, said.getvalue(), complaint.getvalue())


# The recording, as its README tells it


@cache
def replayed(view: str, *arguments: str) -> list[dict[str, Any]]:
    """The JSON that the command prints of the recording, a line at a time."""
    shown = typed(view, RECORDING, "--json", *arguments, socket=Path("/nonexistent"))
    assert (shown.returncode, shown.stderr) == (0, "")
    return [json.loads(line) for line in shown.stdout.splitlines()]


@pytest.fixture(scope="module")
def began() -> float:
    """When the first datagram of the recording was sent, in seconds since 1970."""
    return float(replayed("nodes", "--watch")[0]["at"])


def rows_at(view: str, seconds: float) -> list[dict[str, Any]]:
    """The rows that long after the first datagram."""
    [whole] = replayed(view, "--for", f"{seconds}s")
    assert whole["view"] == view
    rows: list[dict[str, Any]] = whole["rows"]
    return rows


def test_registrations_of_the_recording(began: float) -> None:
    seen = []
    for change in replayed("registrations", "--watch"):
        row = change["row"]
        user, port = row["user"].partition("@")[0], int(row["address"].rpartition(":")[2])
        seen.append((round(change["at"] - began, 1), change["change"], user, port))
    assert seen[:6] == [
        (8.1, "new", "1000", 5090),
        (8.5, "changed", "1000", 5090),
        (8.5, "new", "1001", 5096),
        (34.8, "gone", "1001", 5096),
        (35.2, "new", "1001", 5098),
        (35.2, "gone", "1000", 5090),
    ]
    assert seen[6][1:] == ("gone", "1001", 5098)
    assert len(seen) == 7
    assert [(row["user"], row["address"]) for row in rows_at("registrations", 9)] == [
        ("1000@127.0.0.1", "127.0.0.1:5090"),
        ("1001@127.0.0.1", "127.0.0.1:5096"),
    ]
    [ran_out] = rows_at("registrations", 43)
    assert (ran_out["user"], ran_out["sure"]) == ("1001@127.0.0.1", "doubtful")


def test_lamps_of_the_recording(began: float) -> None:
    lamps: list[tuple[float, bool, list[int]]] = []
    for change in replayed("mailboxes", "--watch"):
        row = change["row"]
        if not row["account"].startswith("1000@"):
            continue
        counts = [row[name] for name in ("new", "saved", "urgent_new", "urgent_saved")]
        if (row["lamp"], counts) not in [lamp[1:] for lamp in lamps[-1:]]:
            lamps.append((round(change["at"] - began, 2), row["lamp"], counts))
    assert lamps[1:] == [
        (28.44, True, [1, 0, 0, 0]),
        (33.82, True, [2, 1, 1, 0]),
        (34.12, False, [0, 0, 0, 0]),
        (82.54, True, [2, 0, 0, 0]),
        (85.61, True, [3, 0, 0, 0]),
        (92.82, False, [0, 0, 0, 0]),
    ]


def test_presence_of_the_recording() -> None:
    [row] = [row for row in rows_at("presence", 10.6) if row["user"] == "1001@127.0.0.1"]
    assert row["status"] == "At désk"
    changes = [change for change in replayed("presence", "--watch") if change["key"].startswith("1000@")]
    states = [change["row"]["state"] for change in changes]
    assert states[:6] == ["available", "ringing", "active", "held", "active", "available"]


def test_calls_of_the_recording(began: float) -> None:
    legs: dict[str, list[dict[str, Any]]] = {}
    bridged: dict[frozenset[str], float] = {}
    changes = replayed("calls", "--watch")
    for change in changes:
        for leg in change["row"]["legs"]:
            legs.setdefault(leg["uuid"], []).append(leg)
            if leg["bridged_to"]:
                bridged.setdefault(frozenset((leg["uuid"], leg["bridged_to"])), change["at"] - began)
    assert len(legs) == 54
    assert all(any(leg["cause"] for leg in seen) for seen in legs.values()), "a leg was not hung up"
    assert [round(at, 2) for at in bridged.values()] == [15.88, 61.79, 73.35]
    news = [change["key"] for change in changes if change["change"] == "new"]
    assert sorted(news) == sorted(change["key"] for change in changes if change["change"] == "gone")
    [call] = rows_at("calls", 17)
    assert (call["state"], len(call["legs"]), call["legs"][0]["to_number"]) == ("active", 2, "1000")


def test_what_matches_no_longer_is_gone() -> None:
    changes = [
        (change["change"], change["row"]["status"]) for change in replayed("presence", "--watch", "--match", "désk")
    ]
    assert [change for change, _ in (changes[0], changes[-1])] == ["new", "gone"]
    assert {status for _, status in changes} == {"At désk"}


def test_nothing_is_left_at_the_end_of_the_recording() -> None:
    assert replayed("registrations")[0]["rows"] == []
    assert replayed("calls")[0]["rows"] == []
    assert [row["lamp"] for row in replayed("mailboxes")[0]["rows"]] == [False, False]
    [node] = replayed("nodes")[0]["rows"]
    assert (node["name"], node["state"]) == ("vm", "down")


# Tables


def heard(kind: str, node: str = "fs1", **headers: str) -> Event:
    """An event that ``node`` fired; underscores in names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    own = {"FreeSWITCH-Switchname": node, "Core-UUID": f"{node}-core"}
    if "::" in kind:
        own["Event-Subclass"], kind = kind, "CUSTOM"
    return Event(kind, own | named)


def registered(user: str, node: str = "fs1", address: str = "192.0.2.7") -> Event:
    headers = {"from-user": user, "from-host": "example.com", "contact": f"<sip:{user}@{address}:5060>"}
    more = {"call-id": f"{user}-call", "expires": "60", "network-ip": address, "network-port": "5060"}
    return heard(
        "sofia::register", node, **headers, **more, **{"profile-name": "internal", "user-agent": "tiny-ua/1.0"}
    )


class Answers:
    """A picture of two nodes, and the answers that a node with that picture gives, a ``page`` at a time."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.now, self.wall = 100.0, time.time()
        self.requests: list[dict[str, Any]] = []
        self.page = 10_000
        self.asked: list[dict[str, Any]] = []
        self.take(heard("HEARTBEAT", "fs1"), heard("HEARTBEAT", "fs2"))

    def take(self, *events: Event) -> None:
        self.picture.take(list(events), self.now, self.wall)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        limit = min(request["limit"], self.page)
        page = self.picture.page(request["name"], self.now, after=request["after"], limit=limit, match=request["match"])
        return {**page, "asked": self.asked}


@pytest.fixture
def node() -> Answers:
    """Three users at two switches."""
    answers = Answers()
    answers.take(registered("1000"), registered("1001"), registered("1002", "fs2", "198.51.100.9"))
    return answers


def ask(socket: Path, node: Answers, *arguments: str, columns: int = 80) -> Shown:
    with answering(socket, {"view": node}):
        return typed(*arguments, socket=socket, columns=columns)


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def test_a_table_of_registrations(socket: Path, node: Answers) -> None:
    node.asked = [{"endpoint": "switch", "node": "fs1", "at": time.time() - 12.5, "took": 0.1, "why": ""}]
    shown = ask(socket, node, "registrations", columns=100)
    assert (shown.returncode, shown.stderr) == (0, "")
    heading, *rows, totals, known = shown.stdout.splitlines()
    assert cells(heading) == ["user", "node", "address", "expires", "reached", "agent", "since", "profile", "call id"]
    assert [cells(row)[:3] for row in rows] == [
        ["1000@example.com", "fs1", "192.0.2.7:5060"],
        ["1001@example.com", "fs1", "192.0.2.7:5060"],
        ["1002@example.com", "fs2", "198.51.100.9:5060"],
    ]
    assert totals == "3 registrations of 3 users at 2 nodes"
    assert re.fullmatch("asked fs1 1[2-9]s ago", known)


@pytest.mark.parametrize(
    ("columns", "last"),
    [(20, "node"), (30, "expires"), (50, "expires"), (80, "since"), (90, "profile"), (160, "call id")],
)
def test_less_important_columns_give_way(socket: Path, node: Answers, columns: int, last: str) -> None:
    lines = ask(socket, node, "registrations", columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert cells(lines[0])[-1] == last
    assert all(line.startswith("10") for line in lines[1:4]), "a row takes more than a line"


def test_what_is_doubtful_is_marked_and_explained(socket: Path, node: Answers) -> None:
    gap = {"Event-Subclass": "switchcast::gap", "Gap-Sender": "fs2", "Gap-Events": "3"}
    node.take(Event("CUSTOM", gap).with_trust("local", None))
    shown = ask(socket, node, "registrations").stdout.splitlines()
    assert [line[0] for line in shown[1:4]] == [" ", " ", "?"]
    since = time.strftime("%H:%M:%S", time.gmtime(node.wall))
    assert f"? 1 row doubtful: events of fs2 were lost since {since}" in shown


def test_what_is_told_of_a_node_that_is_down_is_doubtful(socket: Path, node: Answers) -> None:
    node.now += 59.0
    node.take(heard("HEARTBEAT", "fs1"))
    node.now, node.wall = node.now + 2.0, node.wall + 61.0
    node.take(registered("1000"), registered("1001"))
    shown = ask(socket, node, "registrations").stdout
    since = time.strftime("%H:%M:%S", time.gmtime(node.wall))
    assert f"? 1 row doubtful: fs2 has been down since {since}\n" in shown
    shown = ask(socket, node, "nodes").stdout
    assert [cells(line)[:2] for line in shown.splitlines()[1:3]] == [["fs1", "up"], ["? fs2", "down"]]


def test_what_has_run_out_is_doubtful_until_the_switch_says_so(socket: Path, node: Answers) -> None:
    node.wall -= 61.0
    node.take(registered("1001"))
    node.now += 61.0
    node.take(heard("HEARTBEAT", "fs1"))
    node.take(heard("HEARTBEAT", "fs2"))
    shown = ask(socket, node, "registrations", "--match", "1001").stdout
    assert "1s ago" in shown
    assert "? 1 row doubtful: time has run out, and the switch has not said so yet" in shown


def test_rows_are_chosen_and_sorted(socket: Path, node: Answers) -> None:
    def users(*arguments: str) -> list[str]:
        shown = ask(socket, node, "registrations", "--json", *arguments).stdout
        return [row["user"].partition("@")[0] for row in json.loads(shown)["rows"]]

    assert users() == ["1000", "1001", "1002"]
    assert users("--match", "1001@EXAMPLE") == ["1001"]
    assert node.requests[-1]["match"] == "1001@EXAMPLE"
    assert users("--node", "fs1") == ["1000", "1001"]
    assert users("--node", "fs") == []
    assert users("--node", "fs1", "--match", "1002") == []
    assert users("--sort", "address") == ["1000", "1001", "1002"]
    assert users("--sort", "-address") == ["1002", "1000", "1001"]
    node.page = 1
    assert users() == ["1000", "1001", "1002"]
    assert [request["after"].partition("@")[0] for request in node.requests[-3:]] == ["", "1000", "1001"]


def test_numbers_are_sorted_as_numbers(socket: Path) -> None:
    node = Answers()
    node.take(*(registered(user) for user in ("10", "9", "x" + "1" * 5000, "x2")))
    shown = ask(socket, node, "registrations", columns=160).stdout.splitlines()
    assert [line[:6].strip("@exam") for line in shown[1:3]] == ["9", "10"]
    assert shown[3].startswith("x2@")


def test_as_json(socket: Path, node: Answers) -> None:
    shown = ask(socket, node, "registrations", "--json")
    reply = json.loads(shown.stdout)
    assert shown.stdout.count("\n") == 1
    assert set(reply) == {"view", "at", "rows", "counters", "asked", "doubts"}
    assert reply["rows"][0]["contact"] == "<sip:1000@192.0.2.7:5060>"
    assert reply["counters"]["registered"] == 3


def test_calls_are_folded_or_shown_leg_by_leg(socket: Path) -> None:
    node = Answers()
    for uuid, other, direction in (("aaaa1111-1", "bbbb2222-2", "inbound"), ("bbbb2222-2", "aaaa1111-1", "outbound")):
        headers = {"Unique-ID": uuid, "Channel-Call-UUID": "aaaa1111-1", "Other-Leg-Unique-ID": other}
        more = {"Caller-Caller-ID-Number": "1001", "Caller-Caller-ID-Name": "Ada", "Caller-Destination-Number": "1000"}
        states = {"Channel-State": "CS_EXECUTE", "Channel-Call-State": "ACTIVE", "Call-Direction": direction}
        node.take(heard("CHANNEL_ANSWER", "fs1", **headers, **more, **states))
    folded = ask(socket, node, "calls").stdout.splitlines()
    assert [cells(line)[:4] for line in folded[1:2]] == [["aaaa1111", "Ada 1001", "1000", "active"]]
    assert folded[2] == "1 call, 1 active, 2 legs"
    legs = ask(socket, node, "calls", "--legs").stdout.splitlines()
    assert [cells(line)[:2] for line in legs[2:4]] == [["aaaa1111", "├ Ada 1001"], ["bbbb2222", "└ Ada 1001"]]
    for columns in (30, 60, 160):
        lines = ask(socket, node, "calls", "--legs", columns=columns).stdout.splitlines()
        assert max(map(len, lines)) <= columns


def test_a_value_cannot_reach_the_terminal(socket: Path) -> None:
    node = Answers()
    node.take(registered("1\x1b[2J\u202e\n9"))
    shown = ask(socket, node, "registrations").stdout
    assert "1\\x1b[2J\\u202e\\n9" in shown
    assert not set("\x1b\u202e") & set(shown)


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("nodes", "no switch has been heard"),
        ("registrations", "nobody is registered"),
        ("presence", "nobody has told of a presence"),
        ("mailboxes", "no mailbox has been heard of"),
        ("calls", "no call is up"),
    ],
)
def test_an_empty_view_says_what_that_means(socket: Path, view: str, said: str) -> None:
    node = Answers()
    node.picture = Picture()
    shown = ask(socket, node, view).stdout.splitlines()
    assert shown == [said, "told by events since the node began; no switch could be asked what was so before"]
    node.asked = [{"endpoint": "switch", "node": "", "at": None, "took": 0.0, "why": "nobody\nthere"}]
    shown = ask(socket, node, view, "--match", "x").stdout.splitlines()
    assert shown[0].endswith("match 'x'")
    assert shown[1] == "switch could not tell it all: nobody\\nthere"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nodes", "--for", "5s"], "one does; leave it out"),
        (["nodes", "--interval", "5s"], "--interval is how often --watch asks"),
        (["nodes", "--sort", "colour"], "--sort 'colour' is no column of nodes; there are node, state, "),
        (["calls", "udp://127.0.0.1", "--for", "soon"], "--for 'soon' is no length of time"),
        (["calls", "carrier-pigeon://x"], "carrier-pigeon"),
    ],
)
def test_what_cannot_be_meant(socket: Path, node: Answers, arguments: list[str], said: str) -> None:
    shown = ask(socket, node, *arguments)
    assert shown.returncode == 2
    assert said in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_no_node_so_it_listens_itself(socket: Path) -> None:
    with two_hosts() as (host, _):
        host.run("ip", "route", "add", "224.0.0.0/4", "dev", host.interface)
        listening = subprocess.run(
            ["ip", "netns", "exec", host.name, SWITCHCAST, "presence", "--for", "100ms"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment(socket),
            check=False,
        )
    assert listening.returncode == 0
    assert listening.stdout.startswith("nobody has told of a presence\nheard in 0s; ")
    assert f"no node runs here: nothing listens at {socket}; " in listening.stderr
    assert listening.stderr.endswith("; listening to multicast://225.1.1.1:4242 meanwhile\n")


# A node, and a switch, that are asked


def test_a_running_node_tells_of_its_switches(tmp_path: Path) -> None:
    cluster = Cluster(2, 2.0, start=time.time())
    list(cluster.advance(20.0))

    async def scenario() -> dict[str, Any]:
        async with EventSocketServer(cluster.switches[0]) as one, EventSocketServer(cluster.switches[1]) as other:
            ports = (one.port, other.port)
            tables = [f'[endpoints.s{port}]\nurl = "esl://127.0.0.1:{port}"\n' for port in ports]
            tables += [f'[[route]]\nfrom = "s{port}"\nto = ["out"]\n' for port in ports]
            text = f'{"".join(tables[:2])}[endpoints.out]\nurl = "file:{tmp_path}/out.jsonl"\n{"".join(tables[2:])}'
            return await asyncio.to_thread(registrations, configuration(tmp_path, text))

    def registrations(file: Path) -> dict[str, Any]:
        with running(tmp_path, file) as node:
            deadline = time.monotonic() + PATIENCE
            while True:
                shown = typed("registrations", "--json", socket=node.socket)
                reply: dict[str, Any] = json.loads(shown.stdout)
                if [switch["at"] is not None for switch in reply["asked"]] == [True, True]:
                    return reply
                assert time.monotonic() < deadline, shown

    told = asyncio.run(scenario())
    held = {user for switch in cluster.switches for user in switch.registrations}
    assert {row["user"].partition("@")[0] for row in told["rows"]} == held
    assert {row["sure"] for row in told["rows"]} == {"asked"}
    assert {row["node"] for row in told["rows"]} == {"fs1", "fs2"}


def test_a_switch_tells_all_at_once(socket: Path) -> None:
    cluster = Cluster(1, 2.0, start=time.time())
    list(cluster.advance(20.0))
    switch = cluster.switches[0]

    async def rows(view: str, server: EventSocketServer) -> list[dict[str, Any]]:
        url = f"esl://127.0.0.1:{server.port}"
        program = await asyncio.create_subprocess_exec(
            SWITCHCAST, view, url, "--json", stdout=asyncio.subprocess.PIPE, env=environment(socket)
        )
        said, _ = await program.communicate()
        assert program.returncode == 0
        told: list[dict[str, Any]] = json.loads(said)["rows"]
        return told

    async def scenario() -> list[list[dict[str, Any]]]:
        async with EventSocketServer(switch) as server, asyncio.timeout(PATIENCE):
            return [await rows(view, server) for view in ("registrations", "calls", "mailboxes")]

    registrations, calls, boxes = asyncio.run(scenario())
    assert {row["user"].partition("@")[0] for row in registrations} == set(switch.registrations)
    assert {row["sure"] for row in registrations} == {"asked"}
    assert {leg["uuid"] for call in calls for leg in call["legs"]} == set(switch.channels)
    assert {row["account"] for row in boxes} == {row["user"] for row in registrations}


# Watching


@contextmanager
def watching(socket: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command with its output in a pipe; ended by Ctrl-C."""
    running = subprocess.Popen(
        [SWITCHCAST, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(socket)
    )
    with running:
        yield running
        running.send_signal(signal.SIGINT)
        running.wait(PATIENCE)


def test_watching_prints_each_change(socket: Path, node: Answers) -> None:
    with (
        answering(socket, {"view": node}),
        watching(socket, "registrations", "--watch", "--interval", "10ms") as running,
    ):
        assert running.stdout is not None
        there = [running.stdout.readline() for _ in range(3)]
        node.take(registered("1000", "fs2", "192.0.2.8"))
        moved = running.stdout.readline()
        node.take(registered("1000", "fs2", "192.0.2.8"), registered("1003"))
        new = running.stdout.readline()
    assert [line.split()[1:3] for line in there] == [["there", f"{user}@example.com"] for user in (1000, 1001, 1002)]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} (gone +1000@example\.com|changed +1000@example\.com +node fs1 → fs2 .*)\n", moved
    )
    assert "1003@example.com" in new or "1000@example.com" in new
    assert running.returncode == 130


def test_watching_as_json(socket: Path, node: Answers) -> None:
    arguments = ("registrations", "--watch", "--json", "--interval", "10ms")
    with answering(socket, {"view": node}), watching(socket, *arguments) as running:
        assert running.stdout is not None
        changes = [json.loads(running.stdout.readline()) for _ in range(3)]
        node.take(registered("1003"))
        changes.append(json.loads(running.stdout.readline()))
    assert [change["change"] for change in changes] == ["there", "there", "there", "new"]
    assert changes[-1]["row"]["user"] == "1003@example.com"
    assert set(changes[-1]) == {"at", "view", "change", "key", "row"}


def test_watching_ends_with_the_node_where_nobody_looks(socket: Path, node: Answers) -> None:
    running = subprocess.Popen(
        [SWITCHCAST, "nodes", "--watch", "--interval", "10ms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(socket),
    )
    with running:
        with answering(socket, {"view": node}):
            assert running.stdout is not None
            while not running.stdout.readline():
                assert running.poll() is None
        _, complaint = running.communicate(timeout=PATIENCE)
    assert running.returncode == 69
    assert "no node runs here" in complaint or "ended the connection" in complaint


def test_watching_on_a_terminal_marks_what_has_changed(socket: Path, node: Answers) -> None:
    controller, terminal = pty.openpty()
    command = [SWITCHCAST, "registrations", "--watch", "--interval", "20ms"]
    try:
        with answering(socket, {"view": node}):
            running = subprocess.Popen(
                command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment(socket) | {"LINES": "12"}
            )
            shown_until(controller, "  1000@example.com")
            node.take(registered("1003"))
            shown_until(controller, "+ 1003@example.com")
            node.take(*(registered(str(number)) for number in range(2000, 2020)))
            shown_until(controller, "lines more; --match narrows")
        shown_until(controller, "no node runs here")
        with answering(socket, {"view": node}):
            shown_until(controller, "24 registrations of 24 users at 2 nodes")
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 130
    finally:
        os.close(controller)
        os.close(terminal)
