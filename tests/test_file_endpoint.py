"""``file:``: what is written reads back, whatever it is called and however it is cut."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zstandard
from filing import BEGIN, NAMES, PATIENCE, SECOND, all_of, event, opened, origins, read, read_counting, write
from structlog.testing import capture_logs

from switchcast._native import CaptureWriter, Event, Matcher, StockFrames
from switchcast.endpoints import make_endpoint
from switchcast.endpoints.file import FileEndpoint
from switchcast.errors import EndpointDenied, EndpointError, EndpointUnavailable, UrlError


@pytest.fixture
def recorded(plain_datagrams: list[tuple[int, bytes]]) -> list[Event]:
    frames = StockFrames()
    return [frames.open(datagram).with_origin("127.0.0.1:4242", time_ns) for time_ns, datagram in plain_datagrams]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_back(name: str, tmp_path: Path, recorded: list[Event]) -> None:
    url = f"file:{tmp_path / name}"
    counters = write(url, recorded[:1], recorded[1:1_000], recorded[1_000:])
    size = (tmp_path / name).stat().st_size
    assert (counters["events"], counters["bytes"]) == (len(recorded), size)
    endpoint = opened(url, "source")
    assert origins(asyncio.run(all_of(endpoint))) == origins(recorded)
    assert endpoint.progress() == (size, size)
    assert (endpoint.counters()["events"], endpoint.counters()["bytes"]) == (len(recorded), size)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_2008_pass_unchanged(name: str, tmp_path: Path, wiki_examples: list[dict[str, Any]]) -> None:
    events = [
        Event.from_headers([(header, value) for header, value in example["headers"]], encoded=True)
        for example in wiki_examples
    ]
    write(f"file:{tmp_path / name}", events)
    assert [each.to_plain() for each in read(f"file:{tmp_path / name}")] == [each.to_plain() for each in events]


def test_under_a_pre_shared_key(tmp_path: Path, psk_datagrams: list[tuple[int, bytes]]) -> None:
    frames = StockFrames(b"ClueCon")
    events = [frames.open(datagram).with_origin("127.0.0.1:4242", time_ns) for time_ns, datagram in psk_datagrams]
    key = tmp_path / "key"
    key.write_text("ClueCon\n")
    key.chmod(0o600)
    capture = tmp_path / "sealed.pcapng"
    write(f"file:{capture}?psk_file={key}", events)
    assert events[0].to_plain() not in capture.read_bytes()
    assert origins(read(f"file:{capture}?psk=ClueCon")) == origins(events)
    found, counters, logs = read_counting(f"file:{capture}")
    assert (found, counters["rejected_encrypted"], counters["datagrams"]) == ([], 603, 603)
    assert [(each["event"], each["rejected_encrypted"]) for each in logs] == [("the capture holds no event", 603)]


def test_a_name_that_is_wrong_does_no_harm(tmp_path: Path) -> None:
    events = [event(number) for number in range(3)]
    for name in NAMES:
        write(f"file:{tmp_path / name}", events)
        for other in ("no-suffix", "wrong.pcap", "wrong.jsonl.gz", "wrong.zst"):
            (tmp_path / other).write_bytes((tmp_path / name).read_bytes())
            assert origins(read(f"file:{tmp_path / other}")) == origins(events)


def test_files_that_were_put_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "both"
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst", ".pcapng"):
        one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
        write(f"file:{one}", [event(1)])
        write(f"file:{two}", [event(2)])
        path.write_bytes(one.read_bytes() + two.read_bytes())
        assert read(f"file:{path}") == [event(1), event(2)]
    path.write_bytes(gzip.compress(b'{"A":"1"}\n') + bytes(1_000) + gzip.compress(b'{"A":"2"}\n') + bytes(9))
    assert [each["A"] for each in read(f"file:{path}")] == ["1", "2"]


def test_lines_that_people_write(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_bytes(b'\xef\xbb\xbf\n  {"A":"1"}\r\n\n{ "A" : "2" }\n   \n{"A":"3"}')
    found, counters, logs = read_counting(f"file:{path}")
    assert [each["A"] for each in found] == ["1", "2", "3"]
    assert (counters, logs) == ({"events": 3, "bytes": path.stat().st_size}, [])


def test_a_bad_line_is_told_of_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"A":"1"}\nrubbish\n{"A":"2"}\n' + '{"A":5}\n' * 4 + '{"A":"3"}\n')
    found, counters, logs = read_counting(f"file:{path}")
    assert [each["A"] for each in found] == ["1", "2", "3"]
    assert (counters["events"], counters["rejected_bad_json"]) == (3, 5)
    assert [each["line"] for each in logs] == [2, 4, 5]


def test_an_empty_file_is_a_recording_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    for content in (b"", b"\n", gzip.compress(b""), zstandard.compress(b"")):
        path.write_bytes(content)
        assert read_counting(f"file:{path}")[0] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_short_gives_what_is_there(name: str, tmp_path: Path, recorded: list[Event]) -> None:
    path = tmp_path / name
    write(f"file:{path}", recorded)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, counters, logs = read_counting(f"file:{path}")
    assert 500 < len(found) < 1_400
    assert origins(found) == origins(recorded[: len(found)])
    assert (counters["truncated"], len(logs)) == (1, 1)
    assert logs[0]["event"].startswith("the file is cut short")


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_damaged_stream_gives_what_came_before(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(compress(b'{"A":"1"}\n') + compress(b'{"A":"2"}\n') + b"rubbish behind it")
    found, counters, _ = read_counting(f"file:{path}")
    assert [each["A"] for each in found] == ["1", "2"]
    assert counters["truncated"] == 1


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"\x7fELF\x02\x01", "program", "neither JSON lines nor a capture .*ELF"),
        (b'[{"A":"1"}]', "list.txt", "neither JSON lines nor a capture.*jq -c"),
        (b"rubbish\nand more\n", "bad.jsonl", "no line of it is an event in JSON; line 1: "),
        (b"rubbish", "bad.json", "no line of it is an event in JSON; line 1: "),
        (b'{"A":5}', "bad.json", "no line of it is an event in JSON; line 1: "),
        (b"rubbish", "bad.pcap", "no capture: it begins with 72 75 62 62"),
        (b"\xd4\xc3\xb2\xa1" + bytes(16) + b"\x69\0\0\0", "wlan.pcap", "link type 105"),
    ],
)
def test_what_is_no_recording_is_told_apart(content: bytes, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EndpointError, match=message), capture_logs():
        read(f"file:{tmp_path / name}")


def test_a_capture_of_other_things_too(tmp_path: Path) -> None:
    writer = CaptureWriter("pcapng")
    frames = StockFrames()
    here, group = ("10.0.0.9", 5_000), "225.1.1.1"
    packets = [
        writer.packet(BEGIN, *here, "10.0.0.1", 53, b"a question"),
        writer.packet(BEGIN, *here, group, 4_242, b""),
        writer.packet(BEGIN + 1, *here, group, 4_242, frames.frame(event(1))),
        writer.packet(BEGIN + 2, "fe80::1", 5_000, "ff02::1", 4_243, frames.frame(event(2))),
    ]
    path = tmp_path / "mixed.pcapng"
    path.write_bytes(writer.header() + b"".join(packets))
    found, counters, logs = read_counting(f"file:{path}")
    assert [(each.source, each.received) for each in found] == [
        ("10.0.0.9:5000", BEGIN + 1),
        ("[fe80::1]:5000", BEGIN + 2),
    ]
    rejected = {name: count for name, count in counters.items() if name.startswith("rejected")}
    assert rejected == {"rejected_no_trailer": 1, "rejected_zero_length": 1}
    assert logs == []
    found, counters, _ = read_counting(f"file:{path}?port=4243")
    assert (found, counters["other_port"]) == ([event(2)], 3)


def test_packets_say_when_and_from_where(tmp_path: Path) -> None:
    path = tmp_path / "events.pcap"
    nowhere = Event("HEARTBEAT", {"Event-Date-Timestamp": "1700000001000000"})
    strange = Event("HEARTBEAT", {"Event-Date-Timestamp": "99999999999999999999"}).with_origin("esl://fs1", 2**64 - 1)
    six = nowhere.with_origin("[fe80::1%2]:7", 5)
    write(f"file:{path}", [nowhere, strange, six])
    (first, second, third) = read(f"file:{path}")
    assert (first.source, first.received) == ("127.0.0.1:4242", 1_700_000_001 * SECOND)
    assert second.source == "127.0.0.1:4242"
    assert BEGIN < (second.received or 0) < 2**32 * SECOND
    assert (third.source, third.received) == ("[fe80::1]:7", 5)


def test_an_event_larger_than_any_datagram_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "events.pcapng"
    large = Event("CUSTOM", {"Event-Subclass": "x"}, b"x" * 65_507)
    with capture_logs() as logs:
        counters = write(f"file:{path}", [event(1), large, large, event(2)])
    assert (counters["events"], counters["too_large"]) == (2, 2)
    assert [each["limit"] for each in logs] == [65_507]
    assert read(f"file:{path}") == [event(1), event(2)]


def test_what_was_there_is_replaced_or_added_to(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(f"file:{path}", [event(1)])
    write(f"file:{path}", [event(2)])
    write(f"file:{path}?append=yes", [event(3)], [event(4)])
    assert read(f"file:{path}") == [event(2), event(3), event(4)]
    path.write_text('{"A":"the line that a crash cut')
    write(f"file:{path}?append=yes", [event(5)])
    assert read_counting(f"file:{path}")[0] == [event(5)]
    for suffix in (".gz", ".zst"):
        for number in range(3):
            write(f"file:{path}{suffix}?append=yes", [event(number)])
        assert read(f"file:{path}{suffix}") == [event(0), event(1), event(2)]


def test_only_what_matches_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(f"file:{path}", [event(1), Event("HEARTBEAT"), event(2)])
    found, counters, _ = read_counting(f"file:{path}", matcher=Matcher("HEARTBEAT"))
    assert ([each.name for each in found], counters["unmatched"]) == (["HEARTBEAT"], 2)


@pytest.mark.parametrize(
    ("url", "role", "message"),
    [
        ("file:", "source", "names no file"),
        ("file://host/x.jsonl", "source", "a file has no host"),
        ("file:x.txt", "sink", r"add \?format=jsonl, pcap or pcapng"),
        ("file:x.jsonl?psk=abc", "sink", "psk is for captures"),
        ("file:x.pcap?append=yes", "sink", "append=yes is for JSON lines"),
        ("file:x.jsonl?speed=1", "sink", "unknown option 'speed'"),
        ("file:x.jsonl?append=yes", "source", "unknown option 'append'"),
        ("file:x.jsonl?speed=-1", "source", "out of range"),
        ("file:x.jsonl?format=xml", "source", "'xml' is none of jsonl, pcap, pcapng"),
        ("file:x.jsonl?port=0", "source", "out of range"),
    ],
)
def test_urls_that_cannot_be_meant(url: str, role: str, message: str) -> None:
    with pytest.raises(UrlError, match=message) as caught:
        opened(url, role)
    assert "abc" not in str(caught.value)


@contextmanager
def without_privileges() -> Iterator[None]:
    """As an ordinary user, whom permissions hold back."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.touch(mode=0)
    with pytest.raises(EndpointUnavailable, match=r"nothing\.jsonl: no such file"):
        read(f"file:{tmp_path}/nothing.jsonl")
    with pytest.raises(EndpointUnavailable, match="is a directory; a file is wanted"):
        read(f"file:{tmp_path}")
    with pytest.raises(EndpointUnavailable, match="no such file or directory"):
        write(f"file:{tmp_path}/nowhere/x.jsonl", [event(1)])
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(EndpointUnavailable, match="Is a directory"):
        write(f"file:{tmp_path}/folder.jsonl", [event(1)])
    with without_privileges():
        with pytest.raises(EndpointDenied, match=r"secret\.jsonl: permission denied"):
            read(f"file:{secret}")
        with pytest.raises(EndpointDenied, match=r"secret\.jsonl: permission denied"):
            write(f"file:{secret}", [event(1)])


@pytest.mark.parametrize("kind", ["format=jsonl", "format=pcap"])
def test_a_full_disk_is_told_of(kind: str) -> None:
    with pytest.raises(EndpointUnavailable, match=r"/dev/full.*: No space left on device"):
        write(f"file:/dev/full?{kind}", [event(1)])


def test_a_full_disk_is_told_of_when_only_the_close_meets_it(tmp_path: Path) -> None:
    path = tmp_path / "full.jsonl.zst"
    path.symlink_to("/dev/full")

    async def send() -> None:
        endpoint = opened(f"file:{path}", "sink")
        await endpoint.send([event(1)])
        with pytest.raises(EndpointUnavailable, match=r"full\.jsonl\.zst: No space left on device"):
            await endpoint.close()
        await endpoint.close()

    asyncio.run(send())


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.mark.parametrize(("speed", "factor"), [(1, 1.0), (4, 0.25), (0.5, 2.0)])
def test_the_recorded_pace(speed: float, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    seconds = [0, 0, 1, 5, 3, 5, 8]  # one that came out of order is due at once
    write(f"file:{path}", [event(number, BEGIN + at * SECOND) for number, at in enumerate(seconds)])
    time = FakeTime()

    async def paced() -> list[tuple[float, list[str]]]:
        endpoint = opened(f"file:{path}?speed={speed}", "source", clock=time.clock, sleep=time.sleep)
        async with endpoint:
            return [(time.now - 1_000, [each["Number"] for each in batch]) async for batch in endpoint.batches()]

    assert asyncio.run(paced()) == [
        (0.0, ["0", "1"]),
        (1 * factor, ["2"]),
        (5 * factor, ["3", "4", "5"]),
        (8 * factor, ["6"]),
    ]
    assert time.slept == [1 * factor, 4 * factor, 3 * factor]


def test_events_without_any_time_do_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    own = Event("CUSTOM", {"Event-Date-Timestamp": str(BEGIN // 1_000 + 2_000_000)})
    write(f"file:{path}", [Event("ONE"), event(0), Event("TWO"), own])
    time = FakeTime()
    assert len(read(f"file:{path}?speed=1", clock=time.clock, sleep=time.sleep)) == 4
    assert time.slept == [2.0]


def test_closing_ends_a_wait_for_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(f"file:{path}", [event(0), event(1_000_000)])

    async def close_it() -> list[Event]:
        async with opened(f"file:{path}?speed=1", "source") as endpoint:
            found = []
            async for batch in endpoint.batches():
                found += batch
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(endpoint.close()))
            return found

    assert asyncio.run(asyncio.wait_for(close_it(), PATIENCE)) == [event(0)]


def test_the_table_knows_both_schemes(tmp_path: Path) -> None:
    assert isinstance(make_endpoint("-"), FileEndpoint)
    assert isinstance(make_endpoint(f"file:{tmp_path}/x.jsonl"), FileEndpoint)
