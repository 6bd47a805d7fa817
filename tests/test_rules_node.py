"""``switchcast rules`` asking the running node: its rules, what they did, and what they could not do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from ruling import Done, rules

from switchcast.app.control import ControlServer, Handler

RESULTS = [
    {"time": "2026-08-01T10:00:02.000Z", "rule": "b", "action": "log", "key": "", "event": "TRAP", "event_id": "c:2/b",
     "outcome": "done", "detail": "hello", "output": "", "seconds": 0.001},
    {"time": "2026-08-01T10:00:01.000Z", "rule": "lamp", "action": "run", "key": "10\n00", "event": "MESSAGE_WAITING",
     "event_id": "c:1/lamp", "outcome": "failed", "detail": "exit 1", "output": "no lamp\n", "seconds": 0.25},
]  # fmt: skip


DEAD = [
    {"id": 18, "rule": "b", "key": "", "event_id": "c:2/b", "at": 1.0, "died": 1_700_000_060.5, "why": "answer 404"},
    {"id": 17, "rule": "lamp", "key": "10\n00", "event_id": "c:1/lamp", "at": 0.0, "died": 1.7e9, "why": "exit 1"},
]  # fmt: skip
RUNNING = [
    {"name": "lamp", "on": "MESSAGE_WAITING", "counters": {"matched": 1200, "fired": 3, "refused_rate": 1197}},
    {"name": "b", "on": "all", "counters": {"matched": 0, "fired": 0}},
]  # fmt: skip


def asked(socket: Path, *arguments: str) -> tuple[Done, list[dict[str, Any]]]:
    """What a command prints of a node whose rules did ``RESULTS``, and what the node was asked."""
    requests: list[dict[str, Any]] = []

    def answering(rows: list[dict[str, Any]]) -> Handler:
        async def answer(request: dict[str, Any]) -> object:
            requests.append(request)
            return rows[: request["limit"]] if "limit" in request else rows

        return answer

    async def replay(request: dict[str, Any]) -> object:
        requests.append(request)
        return len(request.get("ids", DEAD))

    async def serve() -> Done:
        handlers = {"rules": answering(RUNNING), "rules-log": answering(RESULTS), "rules-dead": answering(DEAD)}
        async with ControlServer(socket, handlers | {"rules-replay": replay}):
            return await asyncio.to_thread(rules, *arguments, "--socket", str(socket))

    return asyncio.run(serve()), requests


def test_the_log_of_the_running_node_is_shown_the_newest_last(tmp_path: Path) -> None:
    done, requests = asked(tmp_path / "control.sock", "log")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "2026-08-01T10:00:01.000Z  lamp  failed      MESSAGE_WAITING 10\\n00  in 0.25 s  exit 1",
        "2026-08-01T10:00:02.000Z  b     done        TRAP  in 0.00 s  hello",
    ]
    assert requests == [{"ask": "rules-log", "limit": 20}]


def test_the_log_can_be_of_one_rule_and_as_json(tmp_path: Path) -> None:
    done, _ = asked(tmp_path / "control.sock", "log", "--rule", "lamp", "--json", "-n", "1")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [RESULTS[1]]


def test_the_rules_of_the_running_node_are_listed_with_what_they_did(tmp_path: Path) -> None:
    done, _ = asked(tmp_path / "control.sock", "list")
    assert done.stdout.splitlines() == [
        "lamp  on MESSAGE_WAITING",
        "  1,200 matched, 3 fired, 1,197 refused rate",
        "b  on all",
        "  nothing yet",
    ]


def test_dead_letters_are_shown_and_done_again(tmp_path: Path) -> None:
    done, _ = asked(tmp_path / "control.sock", "dead")
    assert done.stdout.splitlines() == [
        "17  2023-11-14T22:13:20Z  lamp 10\\n00  exit 1",
        "18  2023-11-14T22:14:20Z  b  answer 404",
    ]
    done, requests = asked(tmp_path / "control.sock", "replay", "17")
    assert (done.stdout, requests) == ("1 to be done again\n", [{"ask": "rules-replay", "ids": [17]}])
    done, requests = asked(tmp_path / "control.sock", "replay")
    assert (done.stdout, requests) == ("2 to be done again\n", [{"ask": "rules-replay"}])


@pytest.mark.parametrize("command", ["log", "dead", "replay", "list"])
def test_without_a_node_it_says_so(tmp_path: Path, command: str) -> None:
    done = rules(command, "--socket", str(tmp_path / "none.sock"))
    assert (done.returncode, done.stdout) == (69, "")
    assert "no node runs here" in done.stderr
