"""What was promised holds when the process is killed, at any time and without a word."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

CHILD = """
import asyncio, os, sys
from pathlib import Path
from switchcast._native import Event
from switchcast.rules.engine import Firing
from switchcast.rules.runner import Runner
from switchcast.rules.settings import RuleSettings

folder, delivery, first, last, blocks_at = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
rule = RuleSettings.model_validate({
    "name": "test", "delivery": delivery, "queue": 5000, "key": "{h[Key]}", "concurrency": 3,
    "emit": {"to": ["group"], "subclass": "test::made", "headers": {"Number": "{h[Event-Sequence]}"}},
})
ran = os.open(folder / "ran", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
done = 0

async def emit(events, to):
    global done
    if done >= blocks_at:
        await asyncio.Event().wait()
    done += 1
    os.write(ran, (events[0]["Number"] + "\\n").encode())

async def main():
    async with Runner([rule], endpoints={}, emit=emit, state_dir=folder, node="n") as runner:
        events = [Event("HEARTBEAT", [("Core-UUID", "core"), ("Event-Sequence", str(n)), ("Key", str(n % 10))])
                  for n in range(first, last)]
        await runner.submit([Firing(rule, event, event["Key"], 0.0) for event in events])
        await runner.journalled()
        while done < blocks_at and (runner.counters()["rules"]["test"]["waiting"] or
                                    runner.counters()["rules"]["test"]["running"]):
            await asyncio.sleep(0)
        await runner.journalled()
        print("ready", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


class Child:
    """A process of its own that runs actions, each of which writes its number down."""

    def __init__(self, folder: Path, delivery: str) -> None:
        self._folder = folder
        self._delivery = delivery

    def run(self, first: int, last: int, blocks_at: int = 1_000_000, *, kill_at: int | None = None) -> None:
        """Submit events of those numbers; ``SIGKILL`` it once it stands still, or once ``kill_at`` more have run."""
        arguments = [str(self._folder), self._delivery, str(first), str(last), str(blocks_at)]
        before = len(self.ran())
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            if kill_at is None:
                assert b"ready\n" in child.stdout  # behind lines of the log
            else:
                while len(self.ran()) < before + kill_at and child.poll() is None:
                    time.sleep(0.001)
            child.send_signal(signal.SIGKILL)

    def ran(self) -> list[int]:
        try:
            return [int(line) for line in (self._folder / "ran").read_text().split()]
        except FileNotFoundError:
            return []


def test_killed_with_a_thousand_pending_none_is_lost(tmp_path: Path) -> None:
    child = Child(tmp_path, "at-least-once")
    child.run(0, 1_300, blocks_at=300)
    ran = child.ran()
    assert len(ran) == 300
    child.run(0, 0, kill_at=200)  # killed again, while it makes up for it
    child.run(0, 0)
    ran = child.ran()
    assert set(ran) == set(range(1_300))
    assert len(ran) >= 1_300
    for key in range(10):
        firsts = list(dict.fromkeys(number for number in ran if number % 10 == key))
        assert firsts == sorted(firsts), "in order within its key"
    child.run(0, 0)
    assert len(child.ran()) == len(ran), "what is done is not done again"


def test_killed_at_any_time_none_runs_twice_where_that_was_promised(tmp_path: Path) -> None:
    child = Child(tmp_path, "at-most-once")
    child.run(0, 1_000, blocks_at=300)
    assert len(child.ran()) == 300
    child.run(0, 1_500, kill_at=200)  # the same events come again, and more
    child.run(0, 2_000)
    ran = Counter(child.ran())
    assert set(ran.values()) == {1}
    assert set(range(1_500, 2_000)) <= set(ran), "what was never taken up before is done"
