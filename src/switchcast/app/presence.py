"""Who is there, kept by a running node: heartbeats in, ``multicast::peerup`` and ``multicast::peerdown`` out."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from switchcast.node import Node
from switchcast.views.peers import BINDINGS, Change, PeerRow, Peers, PeersSettings

__all__ = ["Presence"]

TAP: Final = "peers"

log = structlog.get_logger("switchcast")


class Presence:
    """The table of peers, fed by a tap of ``node``."""

    def __init__(self, node: Node, settings: PeersSettings) -> None:
        self._node = node
        self._peers = Peers(settings, own=(node.name,))

    def change(self, settings: PeersSettings) -> None:
        """Go on with other settings."""
        self._peers.settings = settings

    def rows(self) -> list[PeerRow]:
        """Everyone known."""
        return self._peers.rows(asyncio.get_running_loop().time())

    def counters(self) -> dict[str, int]:
        """As ``Peers.counters``."""
        return self._peers.counters()

    async def run(self) -> None:
        """Learn who is there, until cancelled."""
        tap = self._node.tap(TAP, BINDINGS)
        clock = asyncio.get_running_loop().time
        while True:
            due = self._peers.next_due()
            wait = None if due is None else max(due - clock(), 0.0) + 0.001  # a peer is there until just after it
            try:
                async with asyncio.timeout(wait):
                    batch = await tap.take()
            except TimeoutError:
                await self._tell(self._peers.tick(clock()))
                continue
            if not batch:
                return  # the node has ended
            changes = self._peers.take(batch, clock(), time.time())
            tap.settle()
            await self._tell(changes)

    async def _tell(self, changes: list[Change]) -> None:
        for change in changes:
            log.info("peer_up" if change.what == "up" else "peer_down", peer=change.name, address=change.address)
        if changes:
            sinks = [name for name in self._peers.settings.to if name in self._node.outlets]
            await self._node.inject([change.event() for change in changes], sinks)
