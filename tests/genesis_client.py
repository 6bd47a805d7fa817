"""A program around genesis, a client for the event socket from PyPI; it runs where genesis is installed.

``genesis_client.py inbound HOST PORT PASSWORD`` does what JSON lines on its standard input tell (``on``: an event to
listen for, ``send``: a command), and writes each reply, and each event that it hears, as a JSON line.
``genesis_client.py consumer HOST PORT PASSWORD NAME...`` writes the events of those names.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from genesis import Consumer, Inbound
from genesis.exceptions import AuthenticationError


def say(kind: str, event: Any = None) -> None:
    body = getattr(event, "body", None)
    headers = None if event is None else dict(event)
    print(json.dumps({"kind": kind, "headers": headers, "body": body}), flush=True)


def heard(event: Any) -> None:
    say("event", event)


async def inbound(host: str, port: int, password: str) -> None:
    async with Inbound(host, port, password) as genesis:
        say("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if "on" in order:
                genesis.on(order["on"], heard)
            else:
                say("reply", await genesis.send(order["send"]))


async def consumer(host: str, port: int, password: str, names: list[str]) -> None:
    genesis = Consumer(host, port, password)
    for name in names:
        genesis.handle(name)(heard)
    await genesis.start()


def main() -> None:
    what, host, port, password, *names = sys.argv[1:]
    try:
        if what == "inbound":
            asyncio.run(inbound(host, int(port), password))
        else:
            asyncio.run(consumer(host, int(port), password, names))
    except AuthenticationError:
        say("denied")


if __name__ == "__main__":
    main()
