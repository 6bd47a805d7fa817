"""``switchcast peers``: who is there, as the running node knows it, or as a while of listening shows."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json as json_text
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from switchcast._native import Event, Matcher
from switchcast.app.cli.asking import Socket, output_console, show, to_a_reader
from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.naming import EndpointConfig, endpoint_named
from switchcast.app.cli.options import seconds
from switchcast.app.cli.render import printable
from switchcast.app.cli.running import run, run_until
from switchcast.app.cli.sections import Cell, Entry, section
from switchcast.app.control import DEFAULT_SOCKET, ask
from switchcast.app.status import Destination, PeersReply, peers_reply
from switchcast.endpoints import Endpoint
from switchcast.errors import NoNode, UsageError
from switchcast.views.peers import BINDINGS, PeerRow, Peers

__all__ = ["peer_entries", "peers", "peers_table", "stock_lines"]

LISTEN_SECONDS: Final = 25.0
"""A little more than the 20 s between two heartbeats of stock."""
STOCK_GROUP: Final = "multicast://225.1.1.1:4242"
"""Where FreeSWITCH's sample configuration sends."""
_REFRESH: Final = 0.5
_RECORDED: Final = frozenset({"file", "-", "archive"})
_STYLES: Final = {"up": "green", "returning": "yellow", "down": "bold red", "rival": "yellow"}


def peers(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Listen here instead of asking the running node: multicast://, file:, ..., or an endpoint of "
            "the configuration by name. Without a node multicast://225.1.1.1:4242, as in FreeSWITCH's sample "
            "configuration.",
        ),
    ] = None,
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long to listen: 25s by default.")
    ] = None,
    stock: Annotated[bool, typer.Option("--stock", help="The lines of FreeSWITCH's own multicast_peers.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    config: EndpointConfig = None,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Show who is there: the other switches on the group.

    Asks the running node. Where none runs, or with a SOURCE, it listens itself for a while.

    switchcast peers
    """
    if stock and json:
        raise UsageError("--stock and --json are two ways to print the same; give one")
    limit = seconds(for_)
    if source is None:
        try:
            reply: PeersReply = ask(socket, {"ask": "peers"})
        except NoNode as error:
            print(f"switchcast: {error}; listening to {STOCK_GROUP} meanwhile", file=sys.stderr)
            source = STOCK_GROUP
        else:
            if limit is not None:
                raise UsageError("--for is how long to listen where no node runs, and one does; leave it out")
            with to_a_reader():
                _print(reply, stock=stock, json=json)
            return
    endpoint = endpoint_named(source, config, matcher=Matcher(BINDINGS), role="source")
    run(_Listening(endpoint, stock=stock, json=json).run(limit))


def _print(reply: PeersReply, *, stock: bool, json: bool) -> None:
    if json:
        print(json_text.dumps(reply))
    elif stock:
        print("\n".join(stock_lines(reply)))
    else:
        console = output_console()
        show(console, peers_table(reply, console.width))


def stock_lines(reply: PeersReply) -> list[str]:
    """What ``multicast_peers`` prints. One line for each name, as stock has it; names cannot hold line breaks."""
    lines = [f"Module state: {'Active' if reply['active'] else 'Inactive'}", "", "Configured peers:"]
    lines += [f"\t{each['kind']}: {each['address']}" for each in reply["destinations"]]
    lines += ["", ""]
    shown = set()
    for row in sorted(reply["peers"], key=lambda row: row["state"] == "rival"):
        if row["name"] not in shown:
            shown.add(row["name"])
            state = "UP" if row["state"] == "up" else "DOWN"
            lines.append(f"Peer {printable(row['name'])} {state}; last seen {int(row['seconds_ago'])} seconds ago")
    return lines if shown else [*lines, "No multicast peers seen"]


def peers_table(reply: PeersReply, width: int) -> Group:
    """Everyone in a table, and what keeps it from being complete."""
    rows, parts = reply["peers"], list[RenderableType]()
    parts += section("peer", list(peer_entries(rows)), width)
    if not rows:
        parts.append(Text("nobody has been heard", style="yellow"))
    counts = reply["counters"]
    if refused := sum(counts.get(f"refused_{reason}", 0) for reason in ("full", "address", "name")):
        parts.append(
            Text(f"{refused:,} heartbeats under new names were refused: no room, or too long a name", style="yellow")
        )
    if not reply["active"]:
        parts.append(Text("the node receives nothing at present", style="bold red"))
    return Group(*parts)


def peer_entries(rows: Sequence[PeerRow]) -> Iterator[Entry]:
    """A row for each name at each address."""
    for row in rows:
        state = Text(f"{row['state']} {short_duration(row['in_state'])}", style=_STYLES.get(row["state"], ""))
        notes = []
        if row["also"]:
            notes.append(f"also from {', '.join(map(printable, row['also']))}")
        if row["downs"]:
            notes.append("was down once" if row["downs"] == 1 else f"was down {row['downs']} times")
        yield Entry(
            row["name"],
            state,
            [
                Cell("last heard", f"{short_duration(row['seconds_ago'])} ago"),
                Cell("from", printable(row["address"]) or "a switch's event socket", left=True),
                Cell("", "; ".join(notes), "yellow" if row["also"] else "dim", left=True),
            ],
        )


class _Listening:
    """Peers as they are heard from one source for a while. In a recording time is the recording's."""

    def __init__(self, endpoint: Endpoint, *, stock: bool, json: bool) -> None:
        self._endpoint = endpoint
        self._stock = stock
        self._json = json
        self._peers = Peers()
        self._recorded = endpoint.url.scheme in _RECORDED
        self._latest = 0.0

    async def run(self, limit: float | None) -> int:
        if limit is None and not self._recorded:
            limit = LISTEN_SECONDS
        async with self._endpoint:
            showing = asyncio.create_task(self._show(limit))
            try:
                code = await run_until(self._listen(), limit=limit)
            finally:
                showing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await showing
        _print(self._reply(), stock=self._stock, json=self._json)
        if not len(self._peers) and not self._recorded and not code:
            print("switchcast: heartbeats come every 20 s; 'switchcast stats' shows what else arrives", file=sys.stderr)
        return code

    async def _listen(self) -> None:
        async for batch in self._endpoint.batches():
            if self._recorded:
                for event in batch:
                    self._hear([event], (event.received or 0) / 1e9, (event.received or 0) / 1e9)
            else:
                self._hear(batch, time.monotonic(), time.time())

    def _hear(self, events: list[Event], now: float, wall: float) -> None:
        self._latest = max(self._latest, now)
        self._peers.take(events, now, wall)

    def _reply(self) -> PeersReply:
        now = self._latest if self._recorded else time.monotonic()
        self._peers.tick(now)
        return peers_reply(self._peers.rows(now), self._peers.counters(), destinations=_destinations(self._endpoint))

    async def _show(self, limit: float | None) -> None:
        """Who has been heard so far, on a terminal that waits for it."""
        console = output_console()
        if not console.is_terminal or self._json or self._stock or limit is None:
            return
        ends = time.monotonic() + limit
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while True:
                left = Text(f"listening to {self._endpoint.url}, {short_duration(ends - time.monotonic())} left", "dim")
                live.update(Group(peers_table(self._reply(), console.width), left), refresh=True)
                await asyncio.sleep(_REFRESH)


def _destinations(endpoint: Endpoint) -> Iterator[Destination]:
    """The addresses in the URL, with stock's word for their kind."""
    for host in endpoint.url.hosts:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(host)
            kind = f"IPv{address.version} {'multicast' if address.is_multicast else 'unicast'}"
            yield {"address": host, "kind": kind}
