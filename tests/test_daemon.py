"""A whole node: it runs from its file, takes a changed one over while events flow, and comes to an end as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest
from nodes import PROGRAM, RunningNode, configuration, lines_of, running, wait_for
from ports import free_port
from switches import serve

from switchcast import Event
from switchcast._native import Sender
from switchcast.errors import ConfigurationError, EndpointUnavailable


def numbered(first: int, count: int) -> list[Event]:
    """Events that tell of a lamp each, with a number."""
    return [
        Event("MESSAGE_WAITING", {"X-Number": str(number), "FreeSWITCH-Switchname": "fs9"})
        for number in range(first, first + count)
    ]


def numbers(file: Path) -> list[int]:
    return [int(line["X-Number"]) for line in lines_of(file) if "X-Number" in line]


def recorder(folder: Path, port: int, more: str = "") -> Path:
    """A node that writes down what comes to a port."""
    return configuration(
        folder,
        f"""
[endpoints.net]
url = "udp://127.0.0.1:{port}"
[endpoints.record]
url = "file:{folder}/events.jsonl"
overflow = "block"
[[route]]
from = "net"
to = ["record"]
{more}
""",
    )


def test_it_runs_tells_how_it_fares_and_stops_when_told(tmp_path: Path) -> None:
    port, metrics = free_port(), free_port()
    recorder(tmp_path, port, f'[metrics]\nlisten = "127.0.0.1:{metrics}"')
    with running(tmp_path) as node:
        with contextlib.closing(Sender(["127.0.0.1"], port)) as sender:
            sender.send(numbered(0, 100))
        wait_for(lambda: len(numbers(tmp_path / "events.jsonl")) == 100)
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/readyz") as answer:
            assert json.load(answer)["ready"] is True
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
            assert 'switchcast_sink_sent_total{sink="record"} 100.0' in answer.read().decode()
        shown = subprocess.run(
            [PROGRAM, "status", "--socket", node.socket],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "all is well" in shown
        assert "net-to-record" in shown
        log = node.end()
        assert node.process.returncode == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-2:] == ["stopping", "stopped"]
    assert not node.socket.exists()


def test_an_interrupt_ends_it_with_the_shells_code(tmp_path: Path) -> None:
    recorder(tmp_path, free_port())
    with running(tmp_path) as node:
        node.end(signal.SIGINT)
        assert node.process.returncode == 130


def test_a_wrong_configuration_is_one_clear_message(tmp_path: Path) -> None:
    recorder(tmp_path, free_port(), '[[route]]\nfrom = "nett"\nto = ["record"]')
    with running(tmp_path, ready=False) as node:
        log = node.log()
        assert node.process.returncode == 78
    assert "node.toml:" in log
    assert "did you mean" in log or "net" in log
    assert "Traceback" not in log


def test_a_second_node_on_one_socket_is_refused(tmp_path: Path) -> None:
    recorder(tmp_path, free_port())
    with running(tmp_path), running(tmp_path, ready=False) as second:
        log = second.log()
        assert second.process.returncode == 69
        assert "another node runs here" in log


def test_what_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    """The switch comes up after the node; meanwhile the rest of it works, and status says what is wrong."""
    port = free_port()
    with contextlib.closing(kept_port()) as kept:
        switch_port = kept.getsockname()[1]
        recorder(
            tmp_path,
            port,
            f'[endpoints.switch]\nurl = "esl://127.0.0.1:{switch_port}"\n[[route]]\nfrom = "switch"\nto = ["record"]',
        )
        with running(tmp_path, ready=False) as node:
            wait_for(lambda: node.socket.exists() and node.row("sources", "switch")["state"] == "down")
            with contextlib.closing(Sender(["127.0.0.1"], port)) as sender:
                sender.send(numbered(0, 1))
            wait_for(lambda: numbers(tmp_path / "events.jsonl") == [0])
            kept.close()
            asyncio.run(serve_until_up(node, switch_port))


def kept_port() -> socket.socket:
    """A TCP port that nobody else gets, and nobody listens to."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    return kept


async def serve_until_up(node: RunningNode, port: int) -> None:
    async with serve(port=port):
        await asyncio.to_thread(wait_for, lambda: node.row("sources", "switch")["state"] == "up")
        await asyncio.to_thread(node.end)


# Another configuration


def test_a_reload_with_an_error_under_load_loses_nothing_and_changes_nothing(tmp_path: Path) -> None:
    port = free_port()
    file = recorder(tmp_path, port)
    right = file.read_text(encoding="utf-8")
    with running(tmp_path) as node, sending(port) as sent:
        for wrong in (
            '\n[[route]]\nfrom = "nobody"\nto = ["record"]',
            "\n[endpoints.net]\n",
            '\nwhere = "1 +"',
            "\n[[",
        ):
            file.write_text(right + wrong, encoding="utf-8")
            with pytest.raises(ConfigurationError, match=r"node\.toml"):
                node.ask("reload")
            assert "was not taken" in node.ask("status")["problems"][0]
        file.write_text(right, encoding="utf-8")
        total = sent()
        wait_for(lambda: len(numbers(tmp_path / "events.jsonl")) >= total)
        status = node.ask("status")
        assert [route["name"] for route in status["routes"]] == ["net-to-record"]
        node.end()
    assert numbers(tmp_path / "events.jsonl") == list(range(total))


def test_fifty_reloads_under_load_lose_nothing_and_leak_nothing(tmp_path: Path) -> None:
    port, other = free_port(), free_port()
    file = recorder(tmp_path, port)
    one = file.read_text(encoding="utf-8")
    two = (
        one
        + f'[endpoints.more]\nurl = "udp://127.0.0.1:{other}"\n[[route]]\nfrom = "more"\nto = ["record"]\n'
        + '[[rule]]\nname = "told"\non = "MESSAGE_WAITING"\nrate = "1/s"\nlog = "{h[X-Number]}"\n'
    )
    with running(tmp_path) as node, sending(port) as sent:
        for text in (two, one):
            file.write_text(text, encoding="utf-8")
            node.ask("reload")
        before = node.descriptors()
        for number in range(50):
            file.write_text((two, one)[number % 2], encoding="utf-8")
            node.ask("reload")
        wait_for(lambda: node.descriptors() <= before)
        assert node.threads() < 30  # a pool of a few that files are read in, and one a socket
        total = sent()
        wait_for(lambda: len(numbers(tmp_path / "events.jsonl")) >= total)
        node.end()
    assert numbers(tmp_path / "events.jsonl") == list(range(total))


def test_sighup_reloads_and_what_cannot_change_is_refused(tmp_path: Path) -> None:
    file = recorder(tmp_path, free_port())
    text = file.read_text(encoding="utf-8")
    with running(tmp_path) as node:
        file.write_text(text + '[[rule]]\nname = "told"\non = "HEARTBEAT"\nlog = "x"\n', encoding="utf-8")
        node.send(signal.SIGHUP)
        wait_for(lambda: [row["name"] for row in node.ask("status")["rules"]] == ["told"])
        file.write_text(text.replace('name = "fs1"', 'name = "fs2"'), encoding="utf-8")
        node.send(signal.SIGHUP)
        wait_for(lambda: node.ask("status")["problems"])
        (problem,) = node.ask("status")["problems"]
        assert "node.name" in problem
        assert "restart" in problem


def test_a_reload_that_cannot_serve_its_figures_leaves_the_old_ones(tmp_path: Path) -> None:
    metrics = free_port()
    with contextlib.closing(kept_port()) as kept:
        kept.listen()
        taken = kept.getsockname()[1]
        file = recorder(tmp_path, free_port(), f'[metrics]\nlisten = "127.0.0.1:{metrics}"')
        text = file.read_text(encoding="utf-8")
        with running(tmp_path) as node:
            file.write_text(text.replace(f":{metrics}", f":{taken}"), encoding="utf-8")
            with pytest.raises(EndpointUnavailable, match=r"metrics\.listen"):
                node.ask("reload")
            with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as answer:
                assert 'switchcast_reloads_total{outcome="refused"} 1.0' in answer.read().decode()


# Rules


def test_no_action_is_lost_when_the_node_is_killed(tmp_path: Path) -> None:
    """Killed with actions pending, it does the rest after a restart; at most once means that none runs twice."""
    port, count = free_port(), 300
    program = tmp_path / "note"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/$2\n', encoding="utf-8")
    program.chmod(0o755)
    recorder(
        tmp_path,
        port,
        f"""
[[rule]]
name = "surely"
on = "MESSAGE_WAITING"
trust = "stock"
delivery = "at-least-once"
run = ["{program}", "{{h[X-Number]}}", "surely"]
[[rule]]
name = "once"
on = "MESSAGE_WAITING"
trust = "stock"
run = ["{program}", "{{h[X-Number]}}", "once"]
""",
    )

    def done(name: str) -> list[int]:
        noted = tmp_path / name
        return [int(line) for line in noted.read_text().split()] if noted.exists() else []

    with running(tmp_path) as node:
        with contextlib.closing(Sender(["127.0.0.1"], port)) as sender:
            sender.send(
                [
                    event.with_headers([("Core-UUID", "one"), ("Event-Sequence", str(number))])
                    for number, event in enumerate(numbered(0, count))
                ]
            )
        wait_for(lambda: node.row("rules", "surely")["counters"]["fired"] == count)
        wait_for(lambda: len(done("surely")) > 5)
        node.send(signal.SIGKILL)
        node.log()
    assert len(done("surely")) < count
    with running(tmp_path) as node:
        wait_for(lambda: set(done("surely")) == set(range(count)))
        node.end()
    assert len(done("once")) == len(set(done("once")))


@contextlib.contextmanager
def sending(port: int) -> Iterator[Callable[[], int]]:
    """Send numbered events all the while; what is given ends that and tells how many there were."""
    stop, total = Flag(), [0]

    def send() -> None:
        with contextlib.closing(Sender(["127.0.0.1"], port)) as sender:
            while not stop.is_set():
                sender.send(numbered(total[0], 5))
                total[0] += 5
                time.sleep(0.002)

    thread = Thread(target=send)

    def ended() -> int:
        stop.set()
        thread.join()
        return total[0]

    thread.start()
    try:
        yield ended
    finally:
        ended()
