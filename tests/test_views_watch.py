"""The commands of views with a node that runs, with a switch, and with ``--watch``."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from answering import SWITCHCAST, answering, environment, typed
from nodes import configuration, running
from sockets import PATIENCE
from terminals import shown_until
from view_answers import Answers, registered, three_users

from switchcast.simulation.cluster import Cluster
from switchcast.simulation.eventsocket import EventSocketServer


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def node() -> Answers:
    return three_users()


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

    async def told(server: EventSocketServer, view: str, *options: str) -> list[dict[str, Any]]:
        url = f"esl://127.0.0.1:{server.port}"
        program = await asyncio.create_subprocess_exec(
            SWITCHCAST, view, url, "--json", *options, stdout=asyncio.subprocess.PIPE, env=environment(socket)
        )
        said, _ = await program.communicate()
        assert program.returncode == 0
        return [json.loads(line) for line in said.splitlines()]

    async def scenario() -> list[list[dict[str, Any]]]:
        async with EventSocketServer(switch) as server, asyncio.timeout(PATIENCE):
            views = [await told(server, view) for view in ("registrations", "mailboxes")]
            return [view["rows"] for [view] in views] + [await told(server, "calls", "--watch", "--for", "10ms")]

    registrations, boxes, watched = asyncio.run(scenario())
    calls = [change["row"] for change in watched]
    assert {change["change"] for change in watched} == {"there"}
    assert sorted(calls, key=lambda call: (call["since"], call["id"])) == calls
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
