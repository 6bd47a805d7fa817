"""A child that holds 100,000 registrations: in views of its own, or in a simulated switch that a node can ask."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.child import serve
from switchcast import Event
from switchcast.simulation import DEFAULT_START, DOMAIN, Cluster, Registration
from switchcast.simulation.eventsocket import EventSocketServer
from switchcast.simulation.stage import UserAgent
from switchcast.views.picture import Picture

SWITCHES = 20


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def register(user: int) -> Event:
    """What a switch fires when ``user`` registers, with all that a view reads of it."""
    ip, port = f"198.18.{user >> 8 & 255}.{user & 255}", 5062 + user % 937
    headers = {
        "Event-Subclass": "sofia::register",
        "Core-UUID": f"774efe72-0000-4000-8000-{user % SWITCHES:012x}",
        "FreeSWITCH-Switchname": f"fs{user % SWITCHES + 1}",
        "Event-Sequence": str(1000 + user),
        "profile-name": "internal",
        "from-user": str(1000 + user),
        "from-host": DOMAIN,
        "contact": f'"" <sip:{1000 + user}@{ip}:{port}>',
        "call-id": f"{user * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF:016x}@{DOMAIN}",
        "rpid": "unknown",
        "status": "Registered(UDP)",
        "expires": "3600",
        "network-ip": ip,
        "network-port": str(port),
        "username": str(1000 + user),
        "realm": DOMAIN,
        "user-agent": "tiny-ua/1.0",
    }
    return Event("CUSTOM", headers)


def memory(users: str) -> dict[str, Any]:
    """What so many registrations cost in a picture, in bytes that are resident, and how many it has then."""
    picture = Picture()
    picture.take([register(0)], 0.0, DEFAULT_START)  # what comes with the first is not the rows'
    before = resident()
    for first in range(0, int(users), 100):
        picture.take([register(user) for user in range(first, min(first + 100, int(users)))], 0.0, DEFAULT_START)
    return {"bytes": resident() - before, "rows": sum(1 for _ in picture.view("registrations").keys())}  # noqa: SIM118


class Served:
    """A simulated switch with an event socket, in a thread of its own."""

    def __init__(self, users: int) -> None:
        self.cluster = Cluster(nodes=1, cps=0, users=0)
        (self.switch,) = self.cluster.switches
        for user in range(users):
            ip, port = f"198.18.{user >> 8 & 255}.{user & 255}", str(5062 + user % 937)
            number, call_id = str(1000 + user), f"{user:016x}@{DOMAIN}"
            expires = self.switch.epoch_seconds + 3600
            contact = f'"" <sip:{number}@{ip}:{port}>'
            self.switch.register(Registration(number, contact, call_id, ip, port, expires, UserAgent(number, ip)))
        self.port = 0
        self._listening = threading.Event()

    def start(self) -> int:
        """Listen; the port."""
        threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True).start()
        self._listening.wait()
        return self.port

    async def _run(self) -> None:
        async with EventSocketServer(self.switch) as server:
            self.port = server.port
            self._listening.set()
            await asyncio.Event().wait()


def switch(users: str) -> dict[str, Any]:
    """Serve a switch with so many registrations; the port of its event socket."""
    return {"port": Served(int(users)).start()}


if __name__ == "__main__":
    serve({"memory": memory, "switch": switch})
    sys.exit(0)
