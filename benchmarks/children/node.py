"""A node as a child: ``GROUP PORT SINK_PORT BUFFER RULE``, one route from a group to an address, and at will a rule.

Answers ``prepare`` when all is up, ``carry COUNT`` when so many events have been sent on in all, and ``counters``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog

import switchcast
from benchmarks.child import Stopwatch
from benchmarks.children.endpoint import say
from benchmarks.children.ours import force_buffer
from switchcast.app.automation import Automation
from switchcast.app.config import Configuration, load
from switchcast.node import Node, Route, Sink, Source

PATIENCE_SECONDS = 60.0
ROUTE = """
[node]
state_dir = "{folder}"
[endpoints.group]
url = "multicast://{group}:{port}?interface=lo"
[endpoints.away]
url = "udp://127.0.0.1:{sink_port}"
[[route]]
from = "group"
to = ["away"]
policy = "all"
"""


async def main(group: str, port: str, sink_port: str, buffer: str, rule: str) -> None:
    """Run until standard input ends."""
    with tempfile.TemporaryDirectory() as folder:
        text = ROUTE.format(folder=folder, group=group, port=port, sink_port=sink_port) + json.loads(rule)
        configuration = await asyncio.to_thread(loaded, Path(folder, "node.toml"), text)
    source = Source(configuration.endpoints["group"].url, name="group")
    away = Sink(configuration.endpoints["away"].url, name="away", overflow="block")
    node = Node([Route(source, [away])], name="bench", patient=True)
    automation = Automation(node)
    running = asyncio.create_task(node.run())
    await node.ready.wait()
    acting = []
    if configuration.rules:
        await automation.change(automation.prepare(configuration), 0.0)
        acting.append(asyncio.create_task(automation.run()))
    say({"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, *arguments = line.split()
        if word == "prepare":
            await up(node)
            force_buffer(int(port), int(buffer))
            say({})
        else:
            say(await carry(node, int(arguments[0])) if word == "carry" else await counters(node, automation))
    await automation.stop(0.0)
    node.stop()
    for task in acting:
        task.cancel()
    await asyncio.gather(running, *acting, return_exceptions=True)


def loaded(file: Path, text: str) -> Configuration:
    """The configuration that ``text`` is."""
    file.write_text(text, encoding="utf-8")
    return load(file, {})


async def up(node: Node) -> None:
    """Wait until the source and the sink are open, and the source has been asked for what the rule wants."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(state.status != "up" for parts in node.states().values() for state in parts.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def carry(node: Node, count: int) -> dict[str, Any]:
    """Wait until ``count`` events have gone on since the start."""
    outlet = node.outlets["away"]
    watch = Stopwatch()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while outlet.sent < count:  # noqa: ASYNC110 - the line tells nobody of each event
            await asyncio.sleep(0.001)
    return watch.read()


async def counters(node: Node, automation: Automation) -> dict[str, Any]:
    """What the node and its rules have counted, once the rules have seen all of it."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while any(tap.queued for tap in node.taps.subscriptions):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return {**node.counters(), "rules": automation.counters()}


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    switchcast.run(main(*sys.argv[1:]))
