"""What the tests of actions share: rules, firings, and waiting for what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sockets import until

from switchcast._native import Event
from switchcast.endpoints import Endpoint
from switchcast.endpoints.loop import EventLoop
from switchcast.rules.engine import Firing
from switchcast.rules.lane import COUNTERS
from switchcast.rules.runner import Runner
from switchcast.rules.settings import ACTIONS, RuleSettings

NODE = "fs1.example.com"


def rule(name: str = "test", **table: Any) -> RuleSettings:
    """A rule as a configuration's table gives it; an action that is not given is a line in the log."""
    if not set(table) & set(ACTIONS):
        table["log"] = "{name}"
    return RuleSettings.model_validate({"name": name, **table})


def numbered(number: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Event:
    """An event that is told from every other by its number."""
    core = {"Core-UUID": "0e7e9e04-5fd1-4b45-9d77-5a8f7f2c1ea3", "Event-Sequence": str(number)}
    return Event("MESSAGE_WAITING", core | dict(headers or {}), body)


def firings(settings: RuleSettings, events: Sequence[Event], key: str = "") -> list[Firing]:
    """What the engine says when ``settings`` fires for ``events``; the key is that header's value."""
    return [Firing(settings, event, event.get(key) or "" if key else "", 0.0) for event in events]


class Emitted:
    """Where ``emit`` goes in a test."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, tuple[str, ...]]] = []

    async def __call__(self, events: list[Event], to: Sequence[str]) -> None:
        self.events += [(event, tuple(to)) for event in events]


@asynccontextmanager
async def running(
    state_dir: Path, *rules: RuleSettings, endpoints: Mapping[str, Endpoint] | None = None, emit: Any = None
) -> AsyncIterator[Runner]:
    """A runner for ``rules``."""
    runner = Runner(rules, endpoints=endpoints or {}, emit=emit or Emitted(), state_dir=state_dir, node=NODE)
    async with runner:
        yield runner


def counts(runner: Runner, name: str = "test") -> dict[str, int]:
    """The counters of one rule."""
    found = runner.counters()["rules"][name]
    assert isinstance(found, dict)
    return found


def journal_counts(runner: Runner) -> Any:
    return runner.counters()["journal"]


async def idle(runner: Runner, name: str = "test") -> dict[str, int]:
    """Wait until nothing of that rule waits or runs, and all of it is written; its counters then."""
    await until(lambda: not counts(runner, name)["waiting"] and not counts(runner, name)["running"])
    await runner.journalled()
    return counts(runner, name)


async def act(runner: Runner, settings: RuleSettings, *events: Event) -> list[dict[str, Any]]:
    """Have ``events`` fire ``settings``; the results, in order."""
    await runner.submit(firings(settings, events))
    await idle(runner, settings.name)
    return list(reversed(runner.log(len(events))))


class SettableLoop(EventLoop):
    """An event loop whose clock a test can move on: what sleeps in it wakes as if the time had passed."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` in an event loop whose clock ``pass_time`` moves on."""
    with asyncio.Runner(loop_factory=SettableLoop) as runner:
        runner.run(main)


def pass_time(seconds: float) -> None:
    """Move the clock of the running event loop on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SettableLoop)
    loop.ahead += seconds


async def turns() -> None:
    """Let everything run that can run now."""
    for _ in range(100):
        await asyncio.sleep(0)


EMIT = {"to": ["group"], "subclass": "test::made", "headers": {"Number": "{h[Event-Sequence]}", "Key": "{h[Key]}"}}


def emitting(name: str = "test", **table: object) -> RuleSettings:
    return rule(name, emit=EMIT, **table)


class Gate(Emitted):
    """An ``emit`` that holds every event up until it is opened, and sees how many it holds at once."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.held: list[str] = []
        self.most = 0

    async def __call__(self, events: list[Event], to: Sequence[str]) -> None:
        (event,) = events
        self.held.append(event["Key"])
        self.most = max(self.most, len(self.held))
        await self.open.wait()
        await asyncio.sleep(0)
        self.held.remove(event["Key"])
        await super().__call__(events, to)

    @property
    def numbers(self) -> list[int]:
        return [int(event["Number"]) for event, _ in self.events]


def keyed(number: int, key: object) -> Event:
    return numbered(number, {"Key": f"{key}"})


def adds_up(counted: dict[str, int]) -> bool:
    """Whether every firing is accounted for."""
    behind = COUNTERS[COUNTERS.index("refused_duplicate") :]
    ended = sum(counted[name] for name in ("done", "failed", "unfinished", "waiting", "running", *behind))
    return counted["accepted"] + counted["replayed"] == ended
