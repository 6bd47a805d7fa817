"""The picture that a running node keeps: simulated switches asked over event sockets, losses, the control socket."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from nodes import RunningNode, configuration, running, wait_for
from sockets import until
from structlog.testing import capture_logs

from switchcast import Event
from switchcast.app.cli.status_view import find_problems
from switchcast.app.config import Configuration, load
from switchcast.app.daemon import Daemon
from switchcast.app.picture import Watching
from switchcast.errors import ConfigurationError, UsageError
from switchcast.simulation import Cluster, Switch
from switchcast.simulation.commands import COMMANDS
from switchcast.simulation.eventsocket import EventSocketServer
from switchcast.wire.gap_record import Gap

REFRESH = "100ms"
NEVER = "1h"


def in_a_loop(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """A test that runs in an event loop of its own."""

    @functools.wraps(test)
    def run(tmp_path: Path) -> None:
        asyncio.run(test(tmp_path))

    return run


def written(folder: Path, *ports: int, refresh: str = REFRESH, more: str = "", name: str = "watcher") -> Path:
    """A node whose sources are the event sockets at ``ports``, as ``fs1`` and following."""
    (folder / "password").write_text("ClueCon")
    (folder / "password").chmod(0o600)
    switches = "".join(
        f"""
[endpoints.fs{number}]
url = "esl://127.0.0.1:{port}?timeout=0.5"
password_file = "{folder}/password"
[[route]]
from = "fs{number}"
to = ["kept"]
bindings = "TRAP"
"""
        for number, port in enumerate(ports, 1)
    )
    text = f'[endpoints.kept]\nurl = "file:{folder}/kept.jsonl"\n[views]\nrefresh = "{refresh}"\n{more}\n{switches}'
    return configuration(folder, text, name=name)


@asynccontextmanager
async def watched(file: Path) -> AsyncIterator[tuple[Daemon, Watching]]:
    """A node in this process, and what keeps its picture."""

    def read() -> Configuration:
        return load(file, {})

    daemon = Daemon(read)
    task = asyncio.create_task(daemon.run())
    try:
        await until(lambda: daemon.running.is_set() or task.done())
        yield daemon, daemon.watching
    finally:
        daemon.stop()
        await task


@asynccontextmanager
async def switches(count: int = 1, seconds: float = 20.0) -> AsyncIterator[tuple[Cluster, list[EventSocketServer]]]:
    """A cluster that has been up for some seconds, each switch with its event socket."""
    cluster = Cluster(count, cps=4, seed=11, users=40)
    cluster.advance(seconds)
    async with AsyncExitStack() as stack:
        yield cluster, [await stack.enter_async_context(EventSocketServer(each)) for each in cluster.switches]


def publish(cluster: Cluster, servers: list[EventSocketServer], until: float) -> None:
    """Let virtual time pass, and each switch tell its clients."""
    for _, number, event in cluster.advance(until):
        servers[number].publish([event])


def users(watching: Watching, sure: str = "") -> set[str]:
    return {row["user"] for row in watching.page("registrations")["rows"] if sure in ("", row["sure"])}


def legs(watching: Watching) -> set[str]:
    return {leg["uuid"] for row in watching.page("calls")["rows"] for leg in row["legs"]}


def registered(*found: Switch) -> set[str]:
    return {f"{user}@sim.example" for switch in found for user in switch.registrations}


def channels(*found: Switch) -> set[str]:
    return {uuid for switch in found for uuid in switch.channels}


def agrees(watching: Watching, cluster: Cluster) -> bool:
    return users(watching) == registered(*cluster.switches) and legs(watching) == channels(*cluster.switches)


@in_a_loop
async def test_a_node_that_joins_late_is_right_at_once(tmp_path: Path) -> None:
    async with switches(2) as (cluster, servers):
        assert channels(cluster.switches[0])
        file = written(tmp_path, *(server.port for server in servers), refresh=NEVER)
        async with watched(file) as (_, watching):
            await until(lambda: all(row["at"] for row in watching.asked()))
            assert agrees(watching, cluster)
            nodes = {row["name"]: (row["state"], row["sure"]) for row in watching.page("nodes")["rows"]}
            assert nodes == dict.fromkeys(("fs1", "fs2"), ("up", "asked"))
            await until(lambda: all(server.history[-1][-1].startswith("api vm_boxcount") for server in servers))
            boxes = {f"{user}@sim.example": box for user, box in cluster.stage.mailboxes.items() if box.new}
            lit = {row["account"] for row in watching.page("mailboxes")["rows"] if row["lamp"]}
            assert lit <= set(boxes)


@in_a_loop
async def test_events_keep_it_and_a_lost_connection_is_made_good(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        file = written(tmp_path, servers[0].port, refresh="2s")
        async with watched(file) as (daemon, watching):
            await until(lambda: watching.asked()[0]["at"])
            feed = daemon.node.feeds["fs1"]
            await until(lambda: feed.state.status == "up" and servers[0].clients == 2)
            publish(cluster, servers, 30.0)
            await until(lambda: agrees(watching, cluster))
            await servers[0].drop_connections()
            cluster.advance(60.0)  # of which nobody hears anything
            await until(lambda: feed.endpoint.counters()["reconnects"] == 1 and agrees(watching, cluster))
            await until(lambda: not watching.picture.doubts)


@in_a_loop
async def test_a_gap_makes_rows_doubtful_until_the_switch_was_asked(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        file = written(tmp_path, servers[0].port, refresh=NEVER)
        async with watched(file) as (daemon, watching):
            await until(lambda: watching.asked()[0]["at"])
            assert users(watching, "asked") == registered(cluster.switches[0])
            before = watching.counters()["asked"]["answered"]
            daemon.node.tell(Gap("group", "gave_up", 2, sender="fs1", range="7-8").event())
            await until(lambda: watching.page("registrations")["doubts"])
            assert users(watching, "doubtful") == registered(cluster.switches[0])
            await until(lambda: watching.counters()["asked"]["answered"] == before + 1)
            assert users(watching, "asked") == registered(cluster.switches[0])
            assert watching.page("registrations")["doubts"] == {}


@in_a_loop
async def test_a_switch_that_goes_away_is_doubted_and_told_of(tmp_path: Path) -> None:
    async with switches() as (cluster, servers), watched(written(tmp_path, servers[0].port)) as (_, watching):
        await until(lambda: watching.asked()[0]["at"])
        with capture_logs() as logged:
            await servers[0].kill()
            await until(lambda: watching.asked()[0]["why"] and users(watching, "doubtful"))
            assert users(watching, "doubtful") == registered(cluster.switches[0])
            await until(lambda: watching.counters()["asked"]["unanswered"] > 1)
        assert [line["event"] for line in logged].count("switch_not_asked") == 1
        cluster.switches[0].restart()
        await servers[0].start()
        await until(lambda: not watching.asked()[0]["why"])
        await until(lambda: agrees(watching, cluster) and not legs(watching))


@in_a_loop
async def test_a_switch_that_was_not_there_is_asked_when_it_comes(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        await servers[0].close()
        async with watched(written(tmp_path, servers[0].port)) as (_, watching):
            await until(lambda: "is FreeSWITCH running there" in watching.asked()[0]["why"])
            assert watching.page("registrations")["rows"] == []
            await servers[0].start()
            await until(lambda: watching.asked()[0]["at"])
            assert agrees(watching, cluster)


@in_a_loop
async def test_who_says_no_name_is_not_believed(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        cluster.switches[0].name = "-ERR switchname Command not found!"
        async with watched(written(tmp_path, servers[0].port)) as (_, watching):
            await until(lambda: watching.asked()[0]["why"])
            assert watching.page("nodes")["rows"] == []


@in_a_loop
async def test_a_switch_without_voicemail_is_not_asked_about_every_mailbox(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        assert len(cluster.switches[0].registrations) > 5
        with pytest.MonkeyPatch.context() as patched:
            patched.delitem(COMMANDS, "vm_boxcount")
            async with watched(written(tmp_path, servers[0].port)) as (daemon, watching):
                await until(lambda: watching.counters()["asked"]["answered"] > 3)
                assert watching.asked()[0]["unread"].startswith("the switch's answer to 'vm_boxcount 10")
                assert watching.asked()[0]["unread"].endswith(", and 2 more like it")
                assert users(watching, "asked") == registered(cluster.switches[0])
                counts = watching.counters()["asked"]
                assert counts["refused"] in (3 * counts["answered"], 3 * counts["answered"] - 3)
                (warned,) = daemon.report.warnings
                assert "switch_not_understood" in warned["text"]


@in_a_loop
async def test_other_settings_are_taken_over_while_it_runs(tmp_path: Path) -> None:
    async with switches(2) as (cluster, servers):
        ports = [server.port for server in servers]
        async with watched(written(tmp_path, *ports, more='ask = ["fs1"]')) as (daemon, watching):
            await until(lambda: watching.asked()[0]["at"])
            assert [row["endpoint"] for row in watching.asked()] == ["fs1"]
            assert users(watching) == registered(cluster.switches[0])
            written(tmp_path, *ports, more='ask = ["fs2"]')
            await daemon.reload()
            await until(lambda: watching.asked()[0]["at"])
            assert [row["endpoint"] for row in watching.asked()] == ["fs2"]
            assert users(watching) == registered(cluster.switches[1])
            await until(lambda: servers[0].clients == 1)  # the route's
            written(tmp_path, *ports, more="ask = []")
            await daemon.reload()
            assert watching.asked() == []


@in_a_loop
async def test_who_is_only_asked_more_often_is_not_forgotten(tmp_path: Path) -> None:
    async with switches() as (_, servers):
        file = written(tmp_path, servers[0].port, refresh=NEVER)
        async with watched(file) as (daemon, watching):
            await until(lambda: watching.asked()[0]["at"])
            before, answered = watching.picture, watching.counters()["asked"]["answered"]
            written(tmp_path, servers[0].port, refresh=REFRESH, more="voicemail = false")
            await daemon.reload()
            await until(lambda: watching.counters()["asked"]["answered"] > answered + 1)
            assert watching.picture is before
            written(tmp_path, servers[0].port, more="nodes = {timeout = '2m'}")
            await daemon.reload()
            assert watching.picture is not before


class Broken:
    """A view with a fault: it fails on every event."""

    name = "broken"

    def learn(self, *_: object) -> None:
        raise ZeroDivisionError


@in_a_loop
async def test_a_fault_in_a_view_ends_nothing(tmp_path: Path) -> None:
    async with switches() as (cluster, servers):
        file = written(tmp_path, servers[0].port)
        async with watched(file) as (daemon, watching):
            await until(lambda: watching.asked()[0]["at"] and servers[0].clients == 2)
            watching.picture._learning["SHUTDOWN"] = (Broken(),)  # type: ignore[assignment]
            with capture_logs() as logged:
                await daemon.node.inject([Event("SHUTDOWN", {"FreeSWITCH-Switchname": "fs9"})])
                await until(lambda: watching.counters()["kept"]["faults"] == 1)
            assert [line["event"] for line in logged] == ["views_fault"]
            publish(cluster, servers, 30.0)
            await until(lambda: agrees(watching, cluster))


@in_a_loop
async def test_a_request_that_makes_no_sense_is_told_so(tmp_path: Path) -> None:
    async with switches() as (_, servers), watched(written(tmp_path, servers[0].port)) as (_, watching):
        for request, why in (
            ({}, "there is no view ''; there are nodes, registrations, presence, mailboxes, calls"),
            ({"name": 7}, "name is text, not 7"),
            ({"name": "calls", "match": ["x"]}, "match is text"),
            ({"name": "calls", "limit": "all"}, "limit is a whole number, not 'all'"),
            ({"name": "calls", "limit": 0}, "limit is a whole number from 1 to 10,000, not 0"),
        ):
            with pytest.raises(UsageError, match=why):
                watching.reply(request)


@in_a_loop
async def test_status_tells_how_the_picture_stands(tmp_path: Path) -> None:
    async with switches(2) as (cluster, servers):
        file = written(tmp_path, *(server.port for server in servers))
        async with watched(file) as (daemon, watching):
            await until(lambda: all(row["at"] for row in watching.asked()))
            status = daemon.report.status()
            views = {view["name"]: view for view in status["picture"]["views"]}
            assert views["nodes"]["states"] == {"up": 2, "down": 0}
            assert views["registrations"]["rows"] == len(registered(*cluster.switches))
            assert views["calls"]["states"]["legs"] == len(channels(*cluster.switches))
            named = {row["endpoint"]: row["node"] for row in status["picture"]["asked"]}
            assert named == {"fs1": "fs1", "fs2": "fs2"}
            assert find_problems(status, time.time()) == []
            assert json.dumps(status)
            plain = asdict(daemon.report.snapshot())
            assert plain["rows"] == {name: view["states"] for name, view in views.items()}
            assert plain["doubted"] == {}

            daemon.node.tell(Gap("group", "gave_up", 2, sender="fs9", range="7-8").event())
            daemon.node.tell(Gap("group", "gave_up", 2, sender="fs1", range="7-8").event())
            await until(lambda: daemon.report.status()["picture"]["counters"]["gaps"] == 2)
            assert {row["node"] for row in daemon.report.status()["picture"]["doubts"]} <= {"fs1"}, "fs9 is unknown"

            await servers[1].kill()
            await until(lambda: watching.asked()[1]["why"])
            await until(lambda: daemon.node.feeds["fs2"].state.status == "down")
            status = daemon.report.status()
            (problem,) = find_problems(status, time.time())
            assert problem.startswith("source fs2 has been down")
            assert daemon.report.snapshot().answering == {"fs1": True, "fs2": False}


@in_a_loop
async def test_a_switch_that_is_only_asked_is_missed_by_name(tmp_path: Path) -> None:
    async with switches(2) as (_, servers):
        file = written(tmp_path, servers[0].port)
        asked = f'[endpoints.other]\nurl = "esl://127.0.0.1:{servers[1].port}?timeout=0.5"\npassword_file = "'
        file.write_text(f'{file.read_text()}{asked}{tmp_path}/password"\n')
        async with watched(file) as (daemon, watching):
            await until(lambda: all(row["at"] for row in watching.asked()))
            assert find_problems(daemon.report.status(), time.time()) == []
            await servers[1].kill()
            await until(lambda: watching.asked()[1]["why"])
            (problem,) = find_problems(daemon.report.status(), time.time())
            assert problem.startswith("switch fs2 (other) cannot be asked: esl://127.0.0.1")


def test_only_event_sockets_can_be_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"kept.*is file: and no switch; name an esl: endpoint"):
        load(written(tmp_path, 8021, more='ask = ["kept"]'), {})
    with pytest.raises(ConfigurationError, match=r"there is no \[endpoints.fs9\]"):
        load(written(tmp_path, 8021, more='ask = ["fs9"]'), {})


def test_the_control_socket_answers_page_by_page(tmp_path: Path) -> None:
    """A node as a process, with 40 users registered at two switches of another."""

    async def scenario() -> None:
        async with switches(2) as (cluster, servers):
            file = written(tmp_path, *(server.port for server in servers))
            await asyncio.to_thread(look, file, registered(*cluster.switches))

    def look(file: Path, truth: set[str]) -> None:
        with running(tmp_path, file) as node:
            wait_for(lambda: {row["node"] for row in node.ask("view", name="nodes")["asked"]} == {"fs1", "fs2"})
            wait_for(lambda: node.ask("view", name="registrations")["counters"]["registered"] == len(truth))
            assert paged(node) == sorted(truth)
            (one,) = node.ask("view", name="registrations", match=min(truth).upper())["rows"]
            assert one["user"] == min(truth)
            assert json.dumps(one)

    def paged(node: RunningNode) -> list[str]:
        found: list[str] = []
        after = ""
        while True:
            page = node.ask("view", name="registrations", after=after, limit=7)
            found += [row["user"] for row in page["rows"]]
            if page["next"] is None:
                return found
            after = page["next"]

    asyncio.run(scenario())
