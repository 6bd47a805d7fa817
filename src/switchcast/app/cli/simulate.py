"""``switchcast simulate``: a simulated cluster, to a sink, to event sockets, or both."""

from __future__ import annotations

import sys
import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from switchcast._native import Event
from switchcast.app.cli.options import port_of, seconds
from switchcast.app.cli.running import BROKEN_PIPE, close_quietly, run, run_until
from switchcast.endpoints import make_endpoint
from switchcast.errors import UsageError
from switchcast.node import Node, Route, Sink, Source

__all__ = ["simulate"]


def simulate(
    *,
    nodes: Annotated[int, typer.Option("--nodes", metavar="N", help="Switches.")] = 3,
    cps: Annotated[float, typer.Option("--cps", metavar="RATE", help="Calls that begin a second, cluster-wide.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed makes the same events.")] = 1,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop after this time of the simulation's: 20s, 5m, 1h.")
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", metavar="FACTOR", help="1 is real time, 0 as fast as it goes.")
    ] = 1.0,
    heartbeat: Annotated[
        str, typer.Option("--heartbeat", metavar="TIME", help="Between a switch's HEARTBEATs.")
    ] = "20s",
    users: Annotated[int | None, typer.Option("--users", metavar="N", help="Users; 20 a switch by default.")] = None,
    event_socket: Annotated[
        int | None,
        typer.Option("--event-socket", metavar="PORT", help="Serve each switch's event socket: PORT, PORT+1, ..."),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where those listen.")] = "127.0.0.1",
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="SINK", help="Where the events go; - by default. May repeat.")
    ] = None,
) -> None:
    """Run a simulated cluster of switches.

    Registrations, presence, calls and voicemail, as a recorded switch sent them.

    switchcast simulate --nodes 3 --cps 20 --to multicast://239.255.42.42:4242?interface=lo
    """
    url = _url(nodes=nodes, cps=cps, seed=seed, length=for_, speed=speed, heartbeat=heartbeat, users=users)
    if event_socket is not None:
        port_of(event_socket, "--event-socket")
        port_of(event_socket + nodes - 1, f"--event-socket {event_socket} with {nodes} switches needs port")
    urls = to or ([] if event_socket is not None else ["-"])
    sinks = [Sink(make_endpoint(each, role="sink"), overflow="block") for each in urls]
    if [sink.name for sink in sinks].count("-") > 1:
        raise UsageError("there is only one standard output; give - once")
    run(_Simulation(url, sinks, host, event_socket).run())


def _url(
    *, nodes: int, cps: float, seed: int, length: str | None, speed: float, heartbeat: str, users: int | None
) -> str:
    """The ``sim:`` URL of these options; real time means that dates are today's."""
    options: dict[str, object] = {"nodes": nodes, "cps": cps, "seed": seed, "speed": speed}
    options["heartbeat"] = seconds(heartbeat, "--heartbeat")
    if length is not None:
        options["for"] = f"{seconds(length)}s"
    if users is not None:
        options["users"] = users
    if speed == 1.0:
        options["start"] = "now"
    return f"sim://?{urlencode(options)}"


class _Simulation:
    """A cluster with its sinks and its event sockets."""

    def __init__(self, url: str, sinks: list[Sink], host: str, port: int | None) -> None:
        from switchcast.app.cli.live_cluster import LiveCluster  # the other commands need no simulation

        self._cluster = LiveCluster(url, host=host, port=port or 0)
        self._serving = port is not None
        self._node = Node([Route(Source(self._cluster.source), sinks, policy=self._publish)] if sinks else [])

    async def run(self) -> int:
        began = time.monotonic()
        halt = self._node.stop if self._node.plan.sinks else None
        try:
            if self._serving:
                async with self._cluster:
                    for switch, server in zip(self._cluster.switches, self._cluster.servers, strict=True):
                        _tell(f"{switch.name}: event socket on {server.host}:{server.port}, password ClueCon")
                    code = await run_until(self._work(), halt=halt)
            else:
                code = await run_until(self._work(), halt=halt)
        finally:
            counters = self._cluster.source.counters()
            _tell(
                f"{counters['events']:,} events, {counters['calls']:,} calls in {counters['virtual_ms'] / 1000:,.1f} s "
                f"of simulation, {time.monotonic() - began:.1f} s of yours"
            )
        if any(outlet.reader_gone for outlet in self._node.outlets.values()):
            close_quietly()
            return code or BROKEN_PIPE
        return code or int(any(outlet.failed for outlet in self._node.outlets.values()))

    async def _work(self) -> None:
        if self._node.plan.sinks:
            await self._node.run()
        else:
            async for batch in self._cluster.source.batches():
                self._publish(batch)

    def _publish(self, events: list[Event]) -> list[Event]:
        if self._serving:
            self._cluster.publish(events)
        return events


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
