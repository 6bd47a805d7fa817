"""What the picture of the cluster costs: events a second, memory for its registrations, and a node that joins late.

The peers are the figures that it has to keep: 50,000 events a second on one core in all views together, 200 MB for
100,000 registrations, 5 s until a node that starts has them all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.child import Child, python
from benchmarks.events import recorded
from benchmarks.result import Row, at_least, at_most, check
from switchcast import Event, StockFrames
from switchcast._native import Matcher
from switchcast.app.control import ask
from switchcast.errors import EndpointUnavailable
from switchcast.views.picture import Picture

BATCH: Final = 64
"""Events that come at once, as a receiver under load hands them over."""
EVENTS_A_SECOND: Final = 50_000
REGISTRATIONS: Final = 100_000
QUICK_REGISTRATIONS: Final = 10_000
MEGABYTES: Final = 200
JOIN_SECONDS: Final = 5.0
PATIENCE: Final = 60.0
_UUID: Final = re.compile(rb"\b[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b")
WALL: Final = 1_795_404_687.0


def run(runs: int, quick: bool) -> list[Row]:
    """The three."""
    users = QUICK_REGISTRATIONS if quick else REGISTRATIONS
    return [*speed(runs, 3 if quick else 20), memory(users), join(min(runs, 3), users)]


def speed(runs: int, repeats: int) -> list[Row]:
    """The recording again and again, with the match that a tap makes first; as it is, and only what a view wants."""
    matcher = Matcher(Picture().bindings)
    days = [events_of(number) for number in range(repeats)]
    rows = []
    for case, chosen in (("as recorded", days), ("what a view wants", [matcher.select(day) for day in days])):
        rows.append(
            Row(
                benchmark="views",
                case=f"all views, {case}",
                unit="events/s of CPU",
                runs=[learned(chosen) for _ in range(runs)],
                peer="asked for",
                peer_runs=[EVENTS_A_SECOND] * runs,
                aim=at_least(1.0),
                details={"events": len(chosen[0]), "wanted": len(matcher.select(chosen[0]))},
            )
        )
    return rows


def events_of(number: int) -> list[Event]:
    """The recording as another run of its switch tells it, all UUIDs others: what was seen before would cost less."""
    frames = StockFrames()
    return [frames.open(_UUID.sub(b"%08x" % number + rb"\1", datagram)) for datagram in recorded()]


def learned(days: Sequence[list[Event]]) -> float:
    """Events a second of processor time; what each recording ends with is looked at, and not timed."""
    picture = Picture()
    matcher = Matcher(picture.bindings)
    spent, now = 0, 0.0
    late: list[int] = []
    for number, events in enumerate(days):
        batches = [events[at : at + BATCH] for at in range(0, len(events), BATCH)]
        start = time.process_time_ns()
        for place, batch in enumerate(batches):
            now = 200.0 * number + 100.0 * place / len(batches)
            picture.take(matcher.select(batch), now, WALL + now)
        spent += time.process_time_ns() - start
        late.append(picture.view("calls").counters()["late"])
        check(late[-1] == late[0] * len(late), "views: new events were taken for old ones")
        check(not picture.view("calls").rows(now), "views: a call of the recording is still up")
        lit = [row["account"] for row in picture.view("mailboxes").rows(now) if row["lamp"]]
        check(not lit, f"views: lamps of the recording are still lit: {lit}")
        picture.tick(now + 60.0)
        check(not picture.view("registrations").rows(now + 60.0), "views: somebody is still registered")
    return sum(map(len, days)) / (spent / 1e9)


def memory(users: int) -> Row:
    """What is resident more than before, in a process of its own."""
    with Child(python("benchmarks.children.views")) as child:
        answer = child.ask("memory", users)
    check(answer["rows"] == users, f"views: {answer['rows']} of {users} registrations are there")
    return Row(
        benchmark="views",
        case=f"memory of {users:,} registrations",
        unit="MB",
        runs=[answer["bytes"] / 1e6],
        peer="allowed",
        peer_runs=[MEGABYTES * users / REGISTRATIONS],
        aim=at_most(1.0),
        details={"bytes_each": answer["bytes"] / users},
    )


def join(runs: int, users: int) -> Row:
    """From the start of a node's process until it has every registration of a switch, over the switch's socket."""
    with Child(python("benchmarks.children.views")) as child:
        port = child.ask("switch", users)["port"]
        outcomes = [joined(port, users) for _ in range(runs)]
    return Row(
        benchmark="views",
        case=f"a node that starts has {users:,} registrations",
        unit="s",
        runs=[seconds for seconds, _ in outcomes],
        peer="allowed",
        peer_runs=[JOIN_SECONDS] * runs,
        aim=at_most(1.0),
        details={"node_cpu_seconds": [cpu for _, cpu in outcomes]},
    )


def joined(port: int, users: int) -> tuple[float, float]:
    """Seconds until a node has them, and of processor time that it took; each is looked at afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/control.sock"
        with node(Path(folder), port) as process:
            begin = time.monotonic()
            while not asked(socket):
                check(process.poll() is None, f"views: the node has ended, status {process.returncode}")
                check(time.monotonic() - begin < PATIENCE, "views: the node has not asked its switch")
                time.sleep(0.1)  # asking costs the node time as well
            seconds, cpu = time.monotonic() - begin, cpu_seconds(process.pid)
            check(registered(socket) == {f"{1000 + user}@sim.example" for user in range(users)}, "views: other users")
    return seconds, cpu


def cpu_seconds(pid: int) -> float:
    """Of a process and all its threads, user and system (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def node(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A node with the switch's socket as its source."""
    (folder / "password").write_text("ClueCon")
    (folder / "password").chmod(0o600)
    file = folder / "node.toml"
    file.write_text(
        f"""
[node]
name = "watcher"
state_dir = {json.dumps(str(folder))}
[control]
socket = {json.dumps(f"{folder}/control.sock")}
[endpoints.switch]
url = "esl://127.0.0.1:{port}"
password_file = {json.dumps(f"{folder}/password")}
[endpoints.kept]
url = {json.dumps(f"file:{folder}/kept.jsonl")}
[[route]]
from = "switch"
to = ["kept"]
bindings = "TRAP"
"""
    )
    process = subprocess.Popen(python("benchmarks.children.configured", file))
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


def asked(socket: str) -> bool:
    """Whether the node has an answer of its switch."""
    try:
        reply = ask(socket, {"ask": "view", "name": "nodes", "limit": 1}, PATIENCE)
    except EndpointUnavailable:
        return False
    return any(row["at"] is not None for row in reply["asked"])


def registered(socket: str) -> set[str]:
    """Everyone who is registered, page by page."""
    users: set[str] = set()
    request: dict[str, Any] = {"ask": "view", "name": "registrations"}
    while True:
        page = ask(socket, request, PATIENCE)
        users |= {row["user"] for row in page["rows"]}
        if page["next"] is None:
            return users
        request["after"] = page["next"]
