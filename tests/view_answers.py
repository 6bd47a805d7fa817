"""A node that is asked for its views: the answers that one gives which has heard what a test tells it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from answering import answering, typed
from command_line import Ended

from switchcast import Event
from switchcast.views.picture import Picture

__all__ = ["Answers", "ask", "cells", "heard", "registered", "three_users"]


def heard(kind: str, node: str = "fs1", **headers: str) -> Event:
    """An event that ``node`` fired; underscores in names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    own = {"FreeSWITCH-Switchname": node, "Core-UUID": f"{node}-core"}
    if "::" in kind:
        own["Event-Subclass"], kind = kind, "CUSTOM"
    return Event(kind, own | named)


def registered(user: str, node: str = "fs1", address: str = "192.0.2.7") -> Event:
    headers = {"from-user": user, "from-host": "example.com", "contact": f"<sip:{user}@{address}:5060>"}
    more = {"call-id": f"{user}-call", "expires": "60", "network-ip": address, "network-port": "5060"}
    return heard(
        "sofia::register", node, **headers, **more, **{"profile-name": "internal", "user-agent": "tiny-ua/1.0"}
    )


class Answers:
    """A picture of two nodes, and the answers that a node with that picture gives, a ``page`` at a time."""

    def __init__(self) -> None:
        self.picture = Picture()
        self.now, self.wall = 100.0, time.time()
        self.requests: list[dict[str, Any]] = []
        self.page = 10_000
        self.asked: list[dict[str, Any]] = []
        self.take(heard("HEARTBEAT", "fs1"), heard("HEARTBEAT", "fs2"))

    def take(self, *events: Event) -> None:
        self.picture.take(list(events), self.now, self.wall)

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request)
        limit = min(request["limit"], self.page)
        page = self.picture.page(request["name"], self.now, after=request["after"], limit=limit, match=request["match"])
        return {**page, "asked": self.asked}


def three_users() -> Answers:
    """Two at one switch, one at the other."""
    answers = Answers()
    answers.take(registered("1000"), registered("1001"), registered("1002", "fs2", "198.51.100.9"))
    return answers


def ask(socket: Path, node: Answers, *arguments: str, columns: int = 80) -> Ended:
    with answering(socket, {"view": node}):
        return typed(*arguments, socket=socket, columns=columns)


def cells(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())
