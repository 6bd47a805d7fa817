"""``switchcast nodes``, ``registrations``, ``presence``, ``mailboxes``, ``calls``: tables, and what stands below."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from answering import SWITCHCAST, environment
from namespaces import two_hosts
from sockets import PATIENCE
from view_answers import Answers, ask, cells, heard, registered, three_users

from switchcast import Event
from switchcast.views.picture import Picture


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def node() -> Answers:
    return three_users()


def test_a_table_of_registrations(socket: Path, node: Answers) -> None:
    node.asked = [{"endpoint": "switch", "node": "fs1", "at": time.time() - 12.5, "took": 0.1, "why": "", "unread": ""}]
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
    assert re.fullmatch("asked fs1 1[2-9]s ago; fs2 by its events alone", known)


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
    node.asked = [{"endpoint": "switch", "node": "", "at": None, "took": 0.0, "why": "nobody\nthere", "unread": ""}]
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
        (["registrations", "1000@example.com"], "; for the registrations that hold it --match 1000@example.com"),
        (["presence", "two words"], "; for the users that hold it --match 'two words'"),
    ],
)
def test_what_cannot_be_meant(socket: Path, node: Answers, arguments: list[str], said: str) -> None:
    shown = ask(socket, node, *arguments)
    assert shown.returncode == 2
    assert said in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_a_node_that_there_is_not_is_told_of(socket: Path, node: Answers) -> None:
    shown = ask(socket, node, "calls", "--node", "fs3").stdout.splitlines()
    assert shown[0] == "no node is called fs3; there are fs1, fs2"
    assert ask(socket, node, "calls", "--node", "fs2").stdout.splitlines()[0] == "none of the calls match fs2"
    node.take(*(heard("HEARTBEAT", f"sw{number}") for number in range(9)))
    shown = ask(socket, node, "registrations", "--node", "fs3").stdout.splitlines()
    assert shown[0] == "no node is called fs3; 'switchcast nodes' lists them"
    assert ask(socket, node, "nodes", "--node", "fs3").stdout.splitlines()[0] == shown[0]


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
