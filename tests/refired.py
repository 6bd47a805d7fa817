"""The witness of re-firing: what FreeSWITCH's own ``mod_event_multicast`` made of the recorded datagrams."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from typing import Any

from recordings import DATA

from switchcast import Event, StockFrames

Headers = list[tuple[str, Any]]
Pair = tuple[Event, Headers]


def recorded_events(plain_datagrams: Iterable[tuple[int, bytes]]) -> list[Event]:
    """What is in the recorded datagrams, in the order sent."""
    frames = StockFrames()
    return [frames.open(datagram) for _, datagram in plain_datagrams]


def with_what_stock_fired(recorded: Iterable[Event]) -> list[Pair]:
    """Each recorded event that the stock receiver heard, with every header and the body of what it fired."""
    sent = {
        (event.getall("Core-UUID")[-1], event.getall("Event-Sequence")[-1], event.getall("Event-Name")[-1]): event
        for event in recorded
    }
    found = []
    with gzip.open(DATA / "stock-plain.decoded.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            fired = json.loads(line, object_pairs_hook=list)
            last = dict(fired)
            key = tuple(last.get(f"Orig-{name}") for name in ("Core-UUID", "Event-Sequence", "Event-Name"))
            if key in sent:
                found.append((sent[key], fired))
    return found


def from_stock(fired: Headers) -> Headers:
    """What the module put into the event, in order: the headers that every event of a switch gets are left out."""
    at = [name for name, _ in fired].index("Multicast")
    return [("Event-Subclass", dict(fired)["Event-Subclass"]), ("Event-Name", dict(fired)["Event-Name"]), *fired[at:]]


def relayed(fired: Event) -> Headers:
    """The same of an event that a switch fired because a relay told it to."""
    own = ("event-subclass", "event-name", "multicast")
    headers = [pair for pair in fired.items() if pair[0].lower() in own or pair[0].startswith("Orig-")]
    headers.sort(key=lambda pair: own.index(pair[0].lower()) if pair[0].lower() in own else len(own))
    return headers
