"""The command line, run as its users run it: exit codes, output, and no traceback whatever they type."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from ports import free_port
from recordings import DATA

from switchcast import Event
from switchcast.app.cli.options import seconds
from switchcast.app.cli.render import EventLines, as_headers, printable
from switchcast.errors import UsageError
from switchcast.wire.lines import from_line

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")
CAPTURE = f"file:{DATA / 'stock-plain.pcap.gz'}"
CAPTURED = 1877
PATIENCE = 60.0
ENVIRONMENT = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "PYTHONWARNINGS": "error"}
ENVIRONMENT.pop("NO_COLOR", None)
ENVIRONMENT.pop("FORCE_COLOR", None)


def switchcast(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    done = subprocess.run(
        [SWITCHCAST, *arguments], input=given, capture_output=True, timeout=PATIENCE, env=ENVIRONMENT, check=False
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode()
    )


def started(*arguments: str) -> subprocess.Popen[str]:
    """Run it on, its output to be read."""
    return subprocess.Popen(
        [SWITCHCAST, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def lines_of(text: str) -> list[str]:
    return text.splitlines()


# tail


def test_tail_shows_one_line_an_event() -> None:
    shown = switchcast("tail", CAPTURE)
    assert shown.returncode == 0
    lines = lines_of(shown.stdout)
    assert len(lines) == CAPTURED
    assert "\x1b" not in shown.stdout
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} vm +\S", line) for line in lines)
    assert re.search(r"1,877 events in \d+\.\d s \([\d,.]+/s\)", shown.stderr)


@pytest.mark.parametrize(
    ("bindings", "expected"),
    [
        ("CUSTOM sofia::register", "1001@127.0.0.1 → 1001@127.0.0.1:5096  expires 1m00s"),
        ("CUSTOM sofia::unregister", "1000@127.0.0.1 → 1000@127.0.0.1:5090  gone"),
        ("CUSTOM sofia::expire", "1001@127.0.0.1 → 1001@127.0.0.1:5096  expired"),
        ("HEARTBEAT", "4 of 200 sessions  up 1m19s  0 of 60 cps"),
        ("MESSAGE_WAITING", "1000@127.0.0.1  waiting: yes  2 new, 1 saved"),
        ("PRESENCE_IN", "1001@127.0.0.1"),
        ("CHANNEL_BRIDGE", "c6d95629 ⇄ 92477510  0000000000 → 9190  with 0000000000 → 9196"),
        ("CHANNEL_HANGUP_COMPLETE", "0000000000 → 9999  NO_ROUTE_DESTINATION  not answered"),
        ("DTMF", "digit 2  250 ms"),
        ("BACKGROUND_JOB", "originate loopback/"),
        ("API", "conference 3001 dtmf 3 1"),
        ("CHANNEL_CALLSTATE", "DOWN → EARLY"),
        ("CODEC", "read L16/8000  write L16/8000"),
        ("RE_SCHEDULE", "heartbeat  task 1"),
    ],
)
def test_tail_shows_what_matters(bindings: str, expected: str) -> None:
    shown = switchcast("tail", CAPTURE, "--bindings", bindings)
    assert any(expected in line for line in lines_of(shown.stdout)), shown.stdout[:2000]
    assert "others not asked for" in shown.stderr


def test_tail_json_is_what_file_reads_back() -> None:
    shown = switchcast("tail", CAPTURE, "--json")
    objects = [json.loads(line) for line in lines_of(shown.stdout)]
    assert len(objects) == CAPTURED
    assert all("Core-UUID" in each and "_received" in each and "_source" in each for each in objects)
    assert any(isinstance(each.get("Hangup-Cause"), list) for each in objects)
    assert any("_body" in each for each in objects)
    events = [from_line(line) for line in lines_of(shown.stdout)]
    again = switchcast("tail", "-", "--json", given=shown.stdout.encode("utf-8", "surrogateescape"))
    assert again.stdout == shown.stdout
    assert events[0].name == "MODULE_LOAD"


def test_tail_plain_shows_whole_events() -> None:
    shown = switchcast("tail", CAPTURE, "--plain", "--bindings", "BACKGROUND_JOB", "--count", "1")
    headers, _, body = shown.stdout.partition("\n\n")
    assert "Event-Name: BACKGROUND_JOB" in lines_of(headers)
    assert lines_of(headers)[-1].startswith("Content-Length: ")
    assert body.strip()


def test_tail_fields() -> None:
    shown = switchcast("tail", CAPTURE, "--fields", "Event-Name, core-uuid,Not-There", "-n", "2")
    assert shown.stdout == "MODULE_LOAD\t774efe72-0b02-4ad5-b685-481f4ce4aaff\t\n" * 2
    assert "no event had a header Not-There" in shown.stderr
    misspelt = switchcast("tail", CAPTURE, "--fields", "hangup-caus", "--bindings", "CHANNEL_HANGUP", "-n", "1")
    assert (misspelt.returncode, misspelt.stdout) == (0, "\n")
    assert "no event had a header hangup-caus; did you mean Hangup-Cause?" in misspelt.stderr
    assert "no event had" not in switchcast("tail", CAPTURE, "--fields", "DTMF-Digit").stderr, "some had one"


def test_tail_where_and_count() -> None:
    shown = switchcast("tail", CAPTURE, "--where", 'name == "HEARTBEAT" && h["Session-Count"] != "0"', "--count", "2")
    assert shown.returncode == 0
    assert len(lines_of(shown.stdout)) == 2


def test_tail_ends_by_itself_after_a_time() -> None:
    shown = switchcast("tail", "memory:silence", "--for", "50ms")
    assert shown.returncode == 0
    assert shown.stdout == ""
    assert "0 events" in shown.stderr


def test_tail_tells_of_what_was_rejected(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"Event-Name":"TRAP"}\nnot json\n{"Event-Name":"TRAP"}\n')
    shown = switchcast("tail", f"file:{broken}")
    assert len(lines_of(shown.stdout)) == 2
    assert "1 rejected: bad json" in shown.stderr


def test_values_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\u202eevil\x00"
    event = Event("CUSTOM", {"Event-Subclass": hostile, "Multicast-Sender": hostile, "X-\x1b[31m": hostile}, hostile)
    capture = tmp_path / "hostile.jsonl"
    capture.write_text(event.to_json() + "\n")
    for form in ([], ["--plain"], ["--fields", "Event-Subclass,Multicast-Sender"]):
        shown = switchcast("tail", f"file:{capture}", *form)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown.stdout), form
        assert "\\x1b" in shown.stdout
    assert "\x1b" not in EventLines().plain(event) + as_headers(event)
    assert printable("a\x1b\u202e\udcff\t") == "a\\x1b\\u202e\\xff\\t"


def on_a_terminal(*arguments: str) -> bytes:
    """What it writes to a terminal of 80 columns."""
    leader, follower = pty.openpty()
    process = subprocess.Popen([SWITCHCAST, *arguments], stdout=follower, stderr=subprocess.PIPE, env=ENVIRONMENT)
    os.close(follower)
    written = b""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        select.select([leader], [], [], 0.1)
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        written += piece
    os.close(leader)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return written


def test_on_a_terminal_lines_are_coloured_and_fit() -> None:
    written = on_a_terminal("tail", CAPTURE, "--bindings", "CHANNEL_EXECUTE CHANNEL_BRIDGE").decode()
    assert "\x1b[" in written
    lines = lines_of(re.sub(r"\x1b\[[0-9;]*m", "", written))
    assert max(map(len, lines)) == 80
    assert any(line.endswith("…") for line in lines)


# pipe, send, simulate, stats


def test_pipe_moves_events_to_every_sink(tmp_path: Path) -> None:
    lines, capture = tmp_path / "a.jsonl.zst", tmp_path / "b.pcapng"
    piped = switchcast("pipe", CAPTURE, f"file:{lines}", f"file:{capture}")
    assert piped.returncode == 0
    assert piped.stdout == ""
    assert lines_of(piped.stderr)[1:] == [f"1,877 to file:{lines}", f"1,877 to file:{capture}"]
    wanted = switchcast("tail", CAPTURE, "--fields", "Event-Sequence,Event-Name").stdout
    for copy in (lines, capture):
        assert switchcast("tail", f"file:{copy}", "--fields", "Event-Sequence,Event-Name").stdout == wanted


def test_pipe_stops_at_the_count(tmp_path: Path) -> None:
    piped = switchcast("pipe", CAPTURE, f"file:{tmp_path / 'few.jsonl'}", "--bindings", "CHANNEL_CREATE", "-n", "5")
    assert piped.returncode == 0
    assert len(lines_of((tmp_path / "few.jsonl").read_text())) == 5
    assert lines_of(piped.stderr)[0].startswith("5 events from file:"), "what was read ahead is nobody's business"


def test_pipe_to_standard_output_is_json_lines() -> None:
    piped = switchcast("pipe", CAPTURE, "-", "--bindings", "HEARTBEAT")
    assert [json.loads(line)["Event-Name"] for line in lines_of(piped.stdout)] == ["HEARTBEAT"] * 8


def test_pipe_says_when_a_sink_failed_for_good() -> None:
    piped = switchcast("pipe", CAPTURE, "file:/dev/full?format=jsonl", "--for", "100ms", "--overflow", "drop-newest")
    assert piped.returncode == 1
    assert "No space left" in piped.stderr
    assert "Traceback" not in piped.stderr


def test_send_makes_an_event_with_the_standard_headers() -> None:
    sent = switchcast(
        "send", "-", "CUSTOM", "X-One=1", "X-One=2", "Event-Date-Local=now", "-s", "a::b", "--body", "hello"
    )
    assert sent.returncode == 0
    event = from_line(sent.stdout)
    assert (event.name, event.subclass, event.getall("X-One"), event.body) == ("CUSTOM", "a::b", ["1", "2"], b"hello")
    assert event.hostname == socket.gethostname()
    assert abs((event.timestamp or 0) / 1e6 - time.time()) < PATIENCE
    assert event.getall("Event-Date-Local") == ["now"]


def test_send_takes_the_body_from_a_file_or_from_input(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"from a file")
    assert from_line(switchcast("send", "-", "MESSAGE", "--body", f"@{body}").stdout).body == b"from a file"
    assert from_line(switchcast("send", "-", "MESSAGE", "--body", "-", given=b"given").stdout).body == b"given"


def test_send_reaches_a_socket_and_says_what_it_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE)
        port = receiver.getsockname()[1]
        sent = switchcast("send", f"udp://127.0.0.1:{port}", "HEARTBET", "X=\u20ac")
        assert sent.returncode == 0
        assert b"X: %E2%82%AC\n" in receiver.recv(65536)
    assert "did you mean HEARTBEAT" in sent.stderr
    assert f"sent to udp://127.0.0.1:{port}" in sent.stderr


def test_send_warns_of_what_stock_would_misread() -> None:
    sent = switchcast("send", f"udp://127.0.0.1:{free_port()}", "MESSAGE", "--body", "Forged: header")
    assert sent.returncode == 0
    assert "warning: a stock FreeSWITCH will misread this event" in sent.stderr


def test_send_refuses_what_no_datagram_carries() -> None:
    sent = switchcast("send", f"udp://127.0.0.1:{free_port()}", "TRAP", "X=" + "a" * 70_000)
    assert sent.returncode == 1
    assert len(lines_of(sent.stderr)) == 1
    assert "65,507" in sent.stderr


def test_simulate_is_the_same_for_the_same_seed() -> None:
    arguments = ("simulate", "--for", "30s", "--speed", "0", "--seed", "7", "--nodes", "2")
    first, second = switchcast(*arguments), switchcast(*arguments)
    assert first.returncode == 0
    assert first.stdout == second.stdout
    assert len(lines_of(first.stdout)) > 100
    assert {from_line(line)["FreeSWITCH-Switchname"] for line in lines_of(first.stdout)} == {"fs1", "fs2"}
    assert "30.0 s of simulation" in first.stderr


def test_simulate_serves_event_sockets() -> None:
    port = free_port()
    serving = started("simulate", "--nodes", "2", "--event-socket", str(port))
    try:
        assert serving.stderr is not None
        assert serving.stderr.readline().startswith(f"fs1: event socket on 127.0.0.1:{port}")
        assert str(port + 1) in serving.stderr.readline()
        shown = switchcast("tail", f"esl://127.0.0.1:{port + 1}", "--json", "--count", "1")
        assert json.loads(shown.stdout)["FreeSWITCH-Switchname"] == "fs2"
    finally:
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=PATIENCE)
    assert serving.returncode == 130


def test_stats_counts_by_sender_and_by_event() -> None:
    counted = switchcast("stats", CAPTURE, "--json")
    report = json.loads(counted.stdout)
    assert report["total"]["events"] == report["senders"]["vm"]["events"] == CAPTURED
    assert report["events"]["HEARTBEAT"]["events"] == 8
    assert (report["seconds"], report["total"]["per_second"]) == (158.572, 11.837), "the recording's, not the reading's"
    assert report["lost_at_most"] > 0  # events that were never bound use up numbers
    assert sum(row["bytes"] for row in report["events"].values()) == report["total"]["bytes"]
    shown = switchcast("stats", CAPTURE)
    assert "CHANNEL_STATE" in shown.stdout
    assert "lost ≤" in shown.stdout
    assert "at most 1,973 lost" in shown.stdout.replace("\n", " ")
    assert "≤" not in switchcast("stats", CAPTURE, "--bindings", "HEARTBEAT").stdout


# How it ends


@pytest.mark.parametrize("command", [["tail"], ["stats"], ["pipe", "-"]], ids=["tail", "stats", "pipe"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"])
def test_a_signal_ends_it_with_a_summary(command: list[str], number: signal.Signals, code: int, tmp_path: Path) -> None:
    fifo = tmp_path / "events"
    os.mkfifo(fifo)
    name, *sinks = command
    running = started("--verbose", name, f"file:{fifo}?format=jsonl", *(sinks or []))
    with open(fifo, "w", encoding="utf-8") as feeding:
        feeding.write('{"Event-Name":"TRAP"}\n')
        feeding.flush()
        if name != "stats":  # what it shows proves that it listens
            assert running.stdout is not None
            assert "TRAP" in running.stdout.readline()
        else:
            wait_until_read(running.pid, number, feeding.fileno())
        running.send_signal(number)
        output, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == code
    assert "Traceback" not in errors
    assert "1 event" in output + errors


def wait_until_read(pid: int, number: int, given: int) -> None:
    """Wait until the process handles the signal, has read what it was given, and sleeps: then it has dealt with it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        caught = int(re.findall(r"SigCgt:\s*([0-9a-f]+)", status)[0], 16)
        unread = int.from_bytes(fcntl.ioctl(given, termios.FIONREAD, bytes(4)), sys.byteorder)
        threads = [task.read_text(encoding="ascii") for task in Path(f"/proc/{pid}/task").glob("*/status")]
        asleep = all(re.search(r"^State:\s*S", thread, re.MULTILINE) for thread in threads)
        if caught >> (number - 1) & 1 and caught >> (signal.SIGTERM - 1) & 1 and not unread and asleep:
            return
        time.sleep(0.01)
    pytest.fail("it never caught signals")


@pytest.mark.parametrize("command", [["tail", CAPTURE], ["tail", "--json", CAPTURE], ["pipe", CAPTURE, "-"]])
def test_a_reader_that_goes_away_is_no_error(command: list[str]) -> None:
    piped = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" "$@" | head -1', SWITCHCAST, *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=ENVIRONMENT,
        check=False,
    )
    assert piped.returncode in {0, 141}
    assert len(lines_of(piped.stdout)) == 1
    assert "rror" not in piped.stderr
    assert "Traceback" not in piped.stderr


MISTAKES: list[tuple[int, str, list[str]]] = [
    (2, "no endpoint has the scheme", ["tail", "nosuch://x"]),
    (2, "did you mean multicast", ["tail", "multcast://239.1.1.1:4242"]),
    (2, "is no endpoint URL", ["tail", "239.1.1.1"]),
    (2, "is empty", ["tail", ""]),
    (2, "port", ["tail", "multicast://239.1.1.1:x"]),
    (2, "out of range", ["tail", "multicast://239.1.1.1:70000"]),
    (2, "did you mean 'interface'", ["tail", "multicast://239.1.1.1:4242?interfce=lo"]),
    (2, "no multicast group", ["tail", "multicast://127.0.0.1:4242"]),
    (2, "column", ["tail", CAPTURE, "--where", "nme == 1"]),
    (2, "^", ["tail", CAPTURE, "--where", "name == "]),
    (2, "--bindings", ["tail", CAPTURE, "--bindings", ""]),
    (69, "no such file", ["tail", "file:/no/such/file.jsonl"]),
    (69, "no such file", ["stats", "file:/no/such/file.jsonl"]),
    (69, "no such file", ["pipe", "file:/no/such/file.jsonl", "-"]),
    (69, "no such file", ["pipe", CAPTURE, "file:/no/such/folder/x.jsonl"]),
    (69, "", ["tail", "esl://127.0.0.1:1"]),
    (69, "", ["tail", "file:/"]),
    (2, "Missing argument", ["tail"]),
    (2, "Missing argument", ["pipe", CAPTURE]),
    (2, "Missing argument", ["send", "-"]),
    (2, "No such option", ["tail", CAPTURE, "--frobnicate"]),
    (2, "No such command", ["tial", CAPTURE]),
    (2, "unexpected extra argument", ["tail", CAPTURE, CAPTURE]),
    (2, "no length of time", ["tail", CAPTURE, "--for", "soon"]),
    (2, "no length of time", ["demo", "--for", "0s"]),
    (2, "--count", ["tail", CAPTURE, "--count", "0"]),
    (2, "--count", ["tail", CAPTURE, "--count", "many"]),
    (2, "exclude one another", ["tail", CAPTURE, "--json", "--plain"]),
    (2, "names no header", ["tail", CAPTURE, "--fields", ","]),
    (2, "--overflow", ["pipe", CAPTURE, "-", "--overflow", "explode"]),
    (2, "does not tell the format", ["pipe", CAPTURE, "file:/tmp/x.unknown"]),
    (2, "can be listened to but not sent to", ["pipe", CAPTURE, "sim://"]),
    (2, "only one standard output", ["pipe", CAPTURE, "-", "-"]),
    (2, "is no header", ["send", "-", "TRAP", "novalue"]),
    (2, "no event name", ["send", "-", "TRAP\n"]),
    (69, "No such file", ["send", "-", "TRAP", "--body", "@/no/such/file"]),
    (2, "out of range", ["simulate", "--nodes", "0"]),
    (2, "is no port", ["simulate", "--event-socket", "65535"]),
    (2, "no multicast group", ["demo", "--group", "127.0.0.1", "--for", "1s"]),
    (2, "is no port", ["demo", "--port", "0"]),
    (2, "neither console nor json", ["--log-format", "xml", "tail", CAPTURE]),
]


@pytest.mark.parametrize(("code", "message", "arguments"), MISTAKES, ids=[" ".join(each[2])[:60] for each in MISTAKES])
def test_a_mistake_gives_one_clear_message(code: int, message: str, arguments: list[str]) -> None:
    done = switchcast(*arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stdout == ""
    told = [line for line in lines_of(done.stderr) if line.startswith("switchcast: ") and "warning" not in line]
    assert len(told) == 1, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"), [("20s", 20.0), ("500ms", 0.5), ("1.5m", 90.0), ("2h", 7200.0), ("1d", 86400.0), ("3", 3.0)]
)
def test_lengths_of_time(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1w", "inf", "nan", "1e3s", "0", "99999999d"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        seconds(text)
