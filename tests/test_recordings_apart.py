"""Nothing is written over what is still to be read: a recording that is source and sink at once is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import switchcast
from parts import Given, Keeping

from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.places import place_on_disk
from switchcast.errors import UsageError
from switchcast.node import Node, Route, Sink, Source

LINE = '{"Event-Name":"TRAP"}\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording, ``a.jsonl``, with another name, ``b.jsonl``, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(LINE, encoding="utf-8")
    Path("b.jsonl").symlink_to("a.jsonl")


@pytest.mark.parametrize(
    ("sinks", "why"),
    [
        (["a.jsonl"], "written to where they are read"),
        (["./a.jsonl?append=yes"], "written to where they are read"),
        (["b.jsonl"], "written to where they are read"),
        (["c.jsonl", "./c.jsonl"], "two sinks would write to this file"),
    ],
)
def test_pipe_refuses_before_it_opens_anything(sinks: list[str], why: str) -> None:
    refused = switchcast("pipe", "file:a.jsonl", *(f"file:{sink}" for sink in sinks))
    assert (refused.returncode, why in refused.stderr) == (2, True), refused.stderr
    assert Path("a.jsonl").read_text(encoding="utf-8") == LINE
    assert not Path("c.jsonl").exists()


def test_what_holds_nothing_may_be_written_to_twice() -> None:
    Node([Route(Source("file:a.jsonl"), [Sink("file:/dev/null?format=jsonl"), Sink("file:/dev/null?format=pcap")])])
    assert place_on_disk(EndpointUrl.parse("file:/dev/null")) is None
    assert place_on_disk(EndpointUrl.parse("udp://127.0.0.1:4242")) is None


def test_one_route_does_not_write_to_what_another_reads() -> None:
    reading = Route(Source("file:a.jsonl"), [Sink(Keeping())])
    with pytest.raises(UsageError, match="another route reads this file"):
        Node([reading, Route(Source(Given([])), [Sink("file:b.jsonl")])])


def test_an_archive_can_be_read_while_it_is_written_but_not_into_itself() -> None:
    past, writing = Source("archive:history"), Sink("archive:history?keep=1d")
    Node([Route(past, [Sink(Keeping())]), Route(Source(Given([])), [writing])])
    with pytest.raises(UsageError, match="written to where they are read"):
        Node([Route(past, [writing])])
