"""The API of a node that runs as one does: turned on, changed and off by a reload, and ended with the node."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from keyfiles import written
from nodes import PATIENCE, configuration, running, wait_for
from parts import fired
from ports import free_port
from test_operations import tcp_port

from switchcast._native import Event, Sender
from switchcast.archive.writing import ArchiveWriter
from switchcast.errors import SwitchcastError

SIMULATED = """
[endpoints.cluster]
url = "sim://?nodes=2&cps=20"
[endpoints.record]
url = "{record}"
[[route]]
from = "cluster"
to = ["record"]
"""


def file(folder: Path, table: str, record: str = "") -> Path:
    text = SIMULATED.replace("{record}", record or f"file:{folder}/events.jsonl")
    return configuration(folder, text + table)


def lines(answer: httpx.Response) -> Iterator[str]:
    return (line for line in answer.iter_lines() if line.startswith("data: "))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_node_ends_at_once_with_streams_open(tmp_path: Path, number: signal.Signals) -> None:
    port = tcp_port()
    file(tmp_path, f'[api]\nlisten = "127.0.0.1:{port}"\n')
    with (
        running(tmp_path) as node,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=PATIENCE) as client,
    ):
        with client.stream("GET", "/events/stream") as answer:
            found = lines(answer)
            assert json.loads(next(found).removeprefix("data: "))["event"]["Event-Name"]
            with socket.create_connection(("127.0.0.1", port)) as deaf:
                deaf.sendall(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                log = node.end(number)
            list(found)  # the stream ends as one should, or this raises
        assert node.process.returncode == (130 if number is signal.SIGINT else 0)
        assert "Traceback" not in log
        assert '"event": "stopped"' in log


def test_a_reload_turns_it_on_changes_its_token_and_turns_it_off(tmp_path: Path) -> None:
    port = tcp_port()
    written(tmp_path / "api.token", "0123456789abcdef")
    table = f'[api]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{tmp_path}/api.token"\n'
    file(tmp_path, "")

    def status(with_token: str) -> int:
        headers = {"Authorization": f"Bearer {with_token}"}
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/peers", headers=headers, timeout=PATIENCE).status_code

    with running(tmp_path) as node:
        with pytest.raises(httpx.ConnectError):
            status("")
        file(tmp_path, table)
        node.ask("reload")
        assert (status("0123456789abcdef"), status("another")) == (200, 401)
        token = tmp_path / "api.token"
        token.write_text("fedcba9876543210", encoding="utf-8")
        node.ask("reload")
        assert (status("0123456789abcdef"), status("fedcba9876543210")) == (401, 200)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            other = taken.getsockname()[1]
            file(tmp_path, table.replace(str(port), str(other)))
            with pytest.raises(SwitchcastError, match=f"api.listen: 127.0.0.1 port {other}: another program has it"):
                node.ask("reload")
        assert status("fedcba9876543210") == 200
        file(tmp_path, "")
        node.ask("reload")
        with pytest.raises(httpx.ConnectError):
            status("fedcba9876543210")
        assert "Traceback" not in node.end()


def test_events_come_from_the_archive_where_the_node_keeps_one(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "history") as writer:
        writer.write([Event("TRAP", {"Number": str(number)}) for number in range(300)])
        writer.commit()
    port = tcp_port()
    file(tmp_path, f'[api]\nlisten = "127.0.0.1:{port}"\n', f"archive://{tmp_path}/history")
    with running(tmp_path), httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=PATIENCE) as client:
        numbers, after = [], None
        while True:
            query = {"bindings": "TRAP", "order": "oldest", "limit": "99"} | ({"after": after} if after else {})
            page = client.get("/events", params=query).raise_for_status().json()
            assert page["origin"] == "archive"
            numbers += [int(row["event"]["Number"]) for row in page["rows"]]
            after = page["next"]
            if after is None:
                break
        assert numbers == list(range(300))
        unknown = client.get("/events", params={"after": "nonsense"})
        assert (unknown.status_code, unknown.json()["where"]) == (404, "query: after")


def test_a_stream_goes_on_in_the_archive_after_a_crash(tmp_path: Path) -> None:
    """A client that was away meanwhile has every event that had been written, once, and is told what nobody knows."""
    port, net = tcp_port(), free_port()
    configuration(
        tmp_path,
        f"""
[endpoints.net]
url = "udp://127.0.0.1:{net}"
[endpoints.history]
url = "archive://{tmp_path}/history"
[[route]]
from = "net"
to = ["history"]
[api]
listen = "127.0.0.1:{port}"
recent = 64
""",
    )

    def heard(client: httpx.Client, first: int, count: int) -> None:
        with contextlib.closing(Sender(["127.0.0.1"], net)) as sender:
            sender.send([fired(0, each) for each in range(first, first + count)])
        wait_for(lambda: told_numbers(client.get("/events?limit=1").json()["rows"]) == [first + count - 1])

    def told_numbers(rows: list[dict[str, Any]]) -> list[int]:
        return [int(row["event"]["Number"]) for row in rows]

    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=PATIENCE) as client:
        with running(tmp_path) as node:
            with client.stream("GET", "/events/stream") as answer:
                heard(client, 0, 10)
                first = [json.loads(line.removeprefix("data: ")) for line in itertools.islice(lines(answer), 7)]
            for batch in range(10, 1_000, 90):
                heard(client, batch, 90)
            assert "Traceback" not in node.end(signal.SIGKILL)
        with running(tmp_path) as node:
            heard(client, 1_000, 300)
            with client.stream("GET", "/events/stream", headers={"Last-Event-ID": first[-1]["id"]}) as answer:
                told = [json.loads(line.removeprefix("data: ")) for line in itertools.islice(lines(answer), 1_294)]
            assert told[0]["events"] is None
            assert told_numbers(first + told[1:]) == list(range(1_300))
            after = {"after": first[-1]["id"], "order": "oldest", "limit": "3"}
            assert told_numbers(client.get("/events", params=after).json()["rows"]) == [7, 8, 9]
            assert "Traceback" not in node.end()
