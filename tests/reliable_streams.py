"""Streams on real sockets for tests: numbered events out, books of what came in, and whether both agree."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from switchcast import Event
from switchcast._native import ReliableReceiver, ReliableSender
from switchcast.wire.gap_record import is_gap

KEY: Final = bytes(range(32))
LEFT_OUT: Final = frozenset({"Event-Name", "Multicast-Sender"})
PATIENCE: Final = 30.0
"""Seconds after which what should have come is said not to; a passing test never waits for it."""


class Listener:
    """Reads a receiver in a thread of its own, as a node would, and keeps books for each stream.

    Every event has a ``Number`` that counts what its ``Multicast-Sender`` sent, from 1.
    """

    def __init__(self, receiver: ReliableReceiver) -> None:
        self.receiver = receiver
        self.numbers: dict[str, list[int]] = defaultdict(list)
        """By sender, in the order in which they came."""
        self.gaps: list[Event] = []
        self.first: dict[str, float] = {}
        self.heard: dict[str, float] = {}
        """When a sender was heard first and last, monotonic."""
        self.starts: list[float] = []
        """When the first event of a stream came, monotonic: where it does not begin with that, it is not here."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for(self, sender: str, count: int, patience: float = PATIENCE) -> bool:
        """Wait until so many events of ``sender`` have come."""
        deadline = time.monotonic() + patience
        while len(self.numbers[sender]) < count and time.monotonic() < deadline:
            time.sleep(0.002)
        return len(self.numbers[sender]) >= count

    def wait_until_settled(self, sent: int, patience: float = PATIENCE) -> bool:
        """Wait until its one stream stands behind sequence ``sent``: everything has come or is told to be missing."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            rows = self.receiver.streams()
            if rows and rows[-1]["next"] > sent:
                return True
            time.sleep(0.01)
        return False

    def stop(self) -> list[dict[str, Any]]:
        """Read what is there, close, and give the rows of its streams."""
        self._stopping = True
        self._thread.join()
        rows = self.receiver.streams()
        self.receiver.close()
        return rows

    def _run(self) -> None:
        while True:
            stopping = self._stopping
            events = self.receiver.read()
            for event in events:
                if is_gap(event):
                    self.gaps.append(event)
                else:
                    self.numbers[event.sender or ""].append(int(event["Number"]))
                    self.first.setdefault(event.sender or "", time.monotonic())
                    self.heard[event.sender or ""] = time.monotonic()
                    if event["Number"] == "1":
                        self.starts.append(time.monotonic())
            if not events:
                if stopping:
                    return
                self.receiver.wait(0.05)


def receiver(mode: str, group: str, port: int, **options: Any) -> ReliableReceiver:
    """A receiver with the tests' key, on ``veth`` unless told otherwise."""
    given: dict[str, Any] = {"keys": [KEY], "interface": "veth", "deliver_stock": False} | options
    return ReliableReceiver([group], port, mode=mode, **given)


def sender(mode: str, group: str, port: int, name: str, **options: Any) -> ReliableSender:
    """A sender with the tests' key, on ``veth`` unless told otherwise."""
    given: dict[str, Any] = {"keys": [KEY], "interface": "veth"} | options
    return ReliableSender([group], port, mode=mode, name=name, sender=name, **given)


def bare(events: Sequence[Event]) -> list[Event]:
    """``events`` without a sender of their own."""
    return [
        Event(event.name, [pair for pair in event.items() if pair[0] not in LEFT_OUT], body=event.body)
        for event in events
    ]


def numbered(events: Sequence[Event], count: int, first: int = 1) -> list[Event]:
    """``count`` events that repeat ``events``, each with its number."""
    return [
        events[number % len(events)].with_headers({"Number": str(number)}.items())
        for number in range(first, first + count)
    ]


def send_all(out: ReliableSender, events: Sequence[Event]) -> None:
    """Send ``events`` as fast as the queues take them."""
    done = 0
    while done < len(events):
        sent = out.send(events[done : done + 256])
        done += sent
        if not sent:
            time.sleep(0.001)


def send_numbered(out: ReliableSender, events: Sequence[Event], count: int, rate: float, first: int = 1) -> None:
    """Send ``count`` numbered repetitions of ``events``, ``rate`` of them a second."""
    began, done = time.monotonic(), 0
    while done < count:
        due = min(count, int((time.monotonic() - began) * rate) + 1)
        if due > done:
            piece = numbered(events, min(due - done, 256), first + done)
            send_all(out, piece)
            done += len(piece)
        else:
            time.sleep(0.001)


def assert_conserved(rows: Sequence[dict[str, Any]]) -> None:
    """Of every stream, what was counted is delivered, told to be missing, or rejected for a reason."""
    for row in rows:
        kept = sum(row[name] for name in ("delivered", "gaps", "signatures", "rejected", "held"))
        assert row["next"] - row["first"] == kept, row


def assert_gaps_told(rows: Sequence[dict[str, Any]], gaps: Sequence[Event]) -> None:
    """The gap records say what the rows count."""
    told: dict[str, int] = defaultdict(int)
    for gap in gaps:
        if gap["Gap-Reason"] != "overflow":
            told[gap["Gap-Stream"]] += int(gap.get("Gap-Events") or 0)
    assert {row["stream"]: row["gaps"] for row in rows if row["gaps"]} == {k: v for k, v in told.items() if v}
