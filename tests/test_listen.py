"""``switchcast.open`` and ``switchcast.listen``."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest
from recordings import DATA

from switchcast import Event
from switchcast.endpoints.memory import MemoryEndpoint
from switchcast.errors import BindingError, ConditionError, EndpointUnavailable, UrlError, UsageError
from switchcast.listening import listen, make_matcher
from switchcast.listening import open as open_endpoint

CAPTURE = f"file:{DATA / 'stock-plain.pcap.gz'}"


def test_open_gives_an_endpoint_for_async_with() -> None:
    async def act() -> list[Event]:
        async with open_endpoint(CAPTURE, bindings="HEARTBEAT", role="source") as source:
            return [event async for event in source]

    events = asyncio.run(act())
    assert len(events) == 8
    assert {event.name for event in events} == {"HEARTBEAT"}


def test_open_warns_of_an_event_that_freeswitch_does_not_have() -> None:
    with pytest.warns(UserWarning, match="HEARTBEAT"):
        open_endpoint("memory:x", bindings="HEARTBET")


def test_open_matches_by_this_hosts_name_unless_told_another() -> None:
    source = open_endpoint("memory:x", where="sender != node", node="fs9", role="source")
    assert source.matcher is not None
    assert not source.matcher.matches(Event("HEARTBEAT", {"Multicast-Sender": "fs9"}))
    assert source.matcher.matches(Event("HEARTBEAT", {"Multicast-Sender": "fs1"}))


def test_everything_is_matched_by_no_matcher() -> None:
    assert make_matcher(" ALL ", None) is None
    assert make_matcher("all", "name == 'API'") is not None


def test_listen_is_a_plain_loop() -> None:
    events = list(listen(CAPTURE, bindings="CUSTOM sofia::register", where='h["expires"] == "60"'))
    assert events
    assert {event.subclass for event in events} == {"sofia::register"}


def test_listen_tells_a_mistake_at_once() -> None:
    with pytest.raises(UrlError):
        listen("nosuch:x")
    with pytest.raises(BindingError):
        listen("memory:x", bindings="")
    with pytest.raises(ConditionError):
        listen("memory:x", where="name ==")
    with pytest.raises(EndpointUnavailable):
        next(listen("file:/no/such/file.jsonl"))


def test_listen_ends_after_a_silence() -> None:
    assert list(listen("memory:nobody", timeout=0.01)) == []


def test_closing_the_generator_closes_the_endpoint() -> None:
    events = listen(CAPTURE)
    assert next(events).name == "MODULE_LOAD"
    events.close()
    assert list(events) == []


def test_listen_says_what_to_do_inside_a_running_loop() -> None:
    async def act() -> None:
        listen("memory:x")

    with pytest.raises(UsageError, match=r"async with switchcast\.open"):
        asyncio.run(act())


def test_ctrl_c_interrupts_a_listener_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()
    opening = MemoryEndpoint.open_source

    async def open_and_tell(self: MemoryEndpoint) -> None:
        await opening(self)
        asyncio.get_running_loop().call_later(0.01, begun.set)

    monkeypatch.setattr(MemoryEndpoint, "open_source", open_and_tell)

    def interrupt() -> None:
        begun.wait()
        os.kill(os.getpid(), signal.SIGINT)

    events = listen("memory:silence")
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        next(events)
    interrupting.join()
    assert list(events) == []


def test_one_that_never_began_leaves_nothing_open(tmp_path: Path) -> None:
    listen(f"file:{tmp_path / 'never.jsonl'}").close()
