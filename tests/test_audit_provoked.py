"""What is wrong whatever is sent, provoked for real: the command listens on loopback to what is wrongly set up."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit_samples import recorded_events
from keyfiles import group, written
from ports import free_port
from switches import serve

import switchcast
from switchcast import Event
from switchcast._native import LIMITS

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")
PATIENCE = 60.0
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error"}


async def audit_while(sends: Sequence[tuple[str, Sequence[Event]]], source: str, *options: str) -> dict[str, Any]:
    """The JSON report on ``source``, while events are sent, again and again, to each of the URLs."""
    command = [SWITCHCAST, "audit", source, "--json", *options]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=ENVIRONMENT)
    answer = asyncio.create_task(process.communicate())
    sinks = [(switchcast.open(url, role="sink"), events) for url, events in sends]
    for sink, _ in sinks:
        await sink.__aenter__()
    try:
        async with asyncio.timeout(PATIENCE):
            while not answer.done():
                for sink, events in sinks:
                    await sink.send(events)
                await asyncio.sleep(0.02)
            out, _ = await answer
    finally:
        for sink, _ in sinks:
            await sink.__aexit__(None, None, None)
    report: dict[str, Any] = json.loads(out)
    return report


def codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def test_a_stock_group_as_it_is_shipped_and_worse() -> None:
    """Everything bound, a group that belongs to nobody, beyond the first router, under the key of the examples."""
    port, events = free_port(), recorded_events()[:400]
    options = "interface=lo&ttl=4&psk=ClueCon"
    url = f"multicast://225.1.1.1:{port}?{options}"
    report = asyncio.run(audit_while([(url, events)], url, "-n", "1200"))
    assert codes(report) == {
        "registrations-can-be-hijacked",
        "well-known-key",
        "well-known-secret-sent",
        "stock-psk",
        "everything-bound",
        "group-not-scoped",
        "ttl-over-one",
    }
    assert "ClueCon" not in json.dumps(report)


def test_in_plain_text_with_a_password_in_it() -> None:
    url = f"multicast://239.192.77.9:{free_port()}?interface=lo"
    event = Event("CUSTOM", {"Event-Subclass": "acme::login", "variable_default_password": "1234"})
    report = asyncio.run(audit_while([(url, [event])], url, "-n", "5"))
    assert codes(report) == {"readable-by-all", "well-known-secret-sent"}
    assert report["leaks"][0]["leak"] == "credentials"


def test_strangers_in_a_group_with_a_key(tmp_path: Path) -> None:
    key = written(tmp_path / "group.key", group())
    where = f"multicast://239.192.77.10:{free_port()}?interface=lo"
    keyed = f"{where}&mode=traced&key_file={key}"
    event = Event("HEARTBEAT", {"Event-Info": "System Ready"})
    both = [(f"{where}&ttl=1", [event])]
    report = asyncio.run(audit_while(both, keyed, "-n", "5"))
    assert codes(report) == {"readable-by-all", "unproven-events"}


def test_a_flood_of_invented_names() -> None:
    url = f"multicast://239.192.77.11:{free_port()}?interface=lo"
    events = [Event("CUSTOM", {"Event-Subclass": f"x::{number}"}) for number in range(1_100)]
    report = asyncio.run(audit_while([(url, events)], url, "-n", "5000", "--fail-on", "finding:too-many-names"))
    assert codes(report) >= {"too-many-names"}
    assert len(report["inventory"]["kinds"]) == LIMITS["audit_kinds"]
    assert report["inventory"]["uncounted"]["kinds"] > 0


def test_the_password_of_every_new_switch() -> None:
    async def listen() -> dict[str, Any]:
        async with serve() as server:
            return await audit_while([], f"esl://127.0.0.1:{server.port}", "--for", "300ms")

    assert codes(asyncio.run(listen())) == {"well-known-password"}
