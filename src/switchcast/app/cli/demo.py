"""``switchcast demo``: a whole cluster on one machine, from switches to a listener, with nothing set up.

::

    fs1 ── event socket ── node ──┐
    fs2 ── event socket ── node ──┼── multicast group on loopback ── listener
    fs3 ── event socket ── node ──┘

The switches are simulated; everything behind them is what runs on a real host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from switchcast.app.cli.census import Census
from switchcast.app.cli.demo_view import DemoView, Lane
from switchcast.app.cli.options import port_of, seconds
from switchcast.app.cli.running import run, run_until
from switchcast.endpoints import Endpoint, make_endpoint
from switchcast.node import Node, Route, Sink, Source

__all__ = ["demo"]

SETTLE_SECONDS: Final = 5.0
"""How long nothing may arrive, after the last switch has fallen silent, before what is missing counts as lost."""
_REFRESH: Final = 0.25


def demo(
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop after this time, as 20s; by default at Ctrl-C.")
    ] = None,
    group: Annotated[
        str, typer.Option("--group", metavar="ADDRESS", help="The multicast group, used on loopback only.")
    ] = "239.255.42.42",
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="Its port.")] = 4242,
    cps: Annotated[float, typer.Option("--cps", metavar="RATE", help="Calls that begin a second, cluster-wide.")] = 5.0,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Repeat an earlier run's events.")] = None,
) -> None:
    """Show it all at work on this machine.

    Three simulated switches with an event socket each, a node for each that publishes to a multicast group on
    loopback, and a listener.

    Ends at Ctrl-C, or after --for, and then says whether everything that was sent was received.
    """
    limit = seconds(for_)
    host = f"[{group}]" if ":" in group else group
    url = f"multicast://{host}:{port_of(port, '--port')}?interface=lo"
    run(_Demo(url, cps, seed if seed is not None else int.from_bytes(os.urandom(4))).run(limit))


class _Demo:
    """The cluster, its nodes and the listener."""

    def __init__(self, url: str, cps: float, seed: int) -> None:
        self._url = url
        from switchcast.app.cli.live_cluster import LiveCluster  # the other commands need no simulation

        self._cluster = LiveCluster(f"sim://?nodes=3&cps={cps}&seed={seed}&heartbeat=5&start=now")
        self._listener: Endpoint = make_endpoint(url, role="source")
        self._census = Census()
        self._lanes = [Lane(switch.name, switch.core_uuid) for switch in self._cluster.switches]
        self._by_core = {lane.core_uuid: lane for lane in self._lanes}
        self._node = Node()
        self._view = DemoView(str(self._listener.url), self._lanes, self._census)
        self._console = Console(highlight=False, markup=False, emoji=False)

    async def run(self, limit: float | None) -> int:
        async with make_endpoint(self._url, role="sink"):
            pass  # a group that cannot be sent to is told of once, not by each node
        async with self._cluster, self._listener:
            self._node = Node(
                Route(
                    Source(f"esl://127.0.0.1:{server.port}", name=server.switch.name),
                    [Sink(self._url, name=f"group of {server.switch.name}")],
                )
                for server in self._cluster.servers
            )
            running = asyncio.create_task(self._node.run())
            listening = asyncio.create_task(self._listen())
            try:
                await self._connected(running)
                with self._screen() as live:
                    code = await run_until(self._play(live, running, listening), limit=limit)
                    await self._settle()
                    self._tally(live)
            finally:
                self._node.stop()
                await running
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening
        self._console.print(self._view.summary())
        whole = all(lane.whole for lane in self._lanes)
        return (1 if not whole else 0) if code in {0, 130} else code

    async def _connected(self, running: asyncio.Task[None]) -> None:
        """Wait until every node hears its switch, or one has failed."""
        ready = asyncio.create_task(self._node.ready.wait())
        try:
            await asyncio.wait([ready, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if running.done():
            await running

    async def _play(self, live: Live | None, running: asyncio.Task[None], listening: asyncio.Task[None]) -> None:
        """Let the switches fire, and show what arrives, until cancelled."""
        self._tally(live)
        firing = asyncio.create_task(self._fire())
        watched: set[asyncio.Task[None]] = {firing, running, listening}
        try:
            while not any(task.done() for task in watched):
                await asyncio.wait(watched, timeout=_REFRESH, return_when=asyncio.FIRST_COMPLETED)
                self._tally(live)
            for task in watched:
                if task.done():
                    task.result()
        finally:
            firing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await firing

    async def _fire(self) -> None:
        async for _ in self._cluster.batches():
            pass

    async def _listen(self) -> None:
        async for batch in self._listener.batches():
            ours = []
            for event in batch:
                lane = self._by_core.get(event.core_uuid or "")
                if lane is not None:  # someone else may be using the group too
                    ours.append(event)
                    lane.heard += 1
            self._census.add(ours)
            self._view.latest.extend(ours)

    async def _settle(self) -> None:
        """Wait until everything that was fired has arrived, or nothing more does."""
        heard, since = -1, time.monotonic()
        while time.monotonic() - since < SETTLE_SECONDS:
            self._tally(None)
            if all(lane.whole for lane in self._lanes):
                return
            now = sum(lane.heard for lane in self._lanes)
            if now != heard:
                heard, since = now, time.monotonic()
            await asyncio.sleep(0.02)

    def _tally(self, live: Live | None) -> None:
        for lane, outlet in zip(self._lanes, self._node.outlets.values(), strict=True):
            lane.fired = self._cluster.fired[lane.name]
            lane.sent = outlet.sent
        fresh = self._view.tick(time.monotonic())
        if fresh and live is None and not self._console.is_terminal:
            print(self._view.line(), flush=True)
        if live is not None:
            live.update(self._view.screen(self._console.width, self._console.height), refresh=True)

    @contextlib.contextmanager
    def _screen(self) -> Iterator[Live | None]:
        """The live display on a terminal; elsewhere a plain line now and then."""
        if not self._console.is_terminal:
            yield None
            return
        with Live(console=self._console, auto_refresh=False, transient=True, screen=False) as live:
            yield live
