"""``switchcast doctor`` as people and programs meet it, and the pure checks of the probe and the querier."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyfiles import group, written
from rich.console import Console

from switchcast.app.cli import main
from switchcast.app.cli.doctor_view import print_diagnosis
from switchcast.app.doctor.examine import Diagnosis, diagnose
from switchcast.errors import EndpointUnavailable
from switchcast.guard.doctor import event_socket, probing, querier
from switchcast.guard.doctor.facts import (
    PROBE_SIZES,
    Facts,
    Heard,
    Neighbour,
    ProbeResult,
    Queries,
    Target,
    Unchecked,
)
from switchcast.guard.doctor.switch_facts import SwitchFacts, UnreadPart
from switchcast.guard.finding import Finding, Mend, Severity
from switchcast.system.links import Address, Link
from switchcast.system.queries import Query, parse_igmp, parse_mld
from switchcast.system.routes import Unroutable

COMMAND: Final = "import sys; from switchcast.app.cli import main; main()"
GROUP: Final = "239.192.1.1"
URL: Final = f"multicast://{GROUP}:4242"
OTHER: Final = "fs2 (10.0.0.2)"
HERE: Final = "this host"


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "doctor", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["file:events.jsonl"], "the doctor examines multicast:, udp: and esl: endpoints"),
        (["sim://?nodes=2"], "sim: endpoints have no network"),
        (["multicast://239.1.1.1?intrface=lo"], "did you mean 'interface'?"),
        (["239.1.1.1"], "for a group multicast://239.1.1.1:4242"),
        (["multicast://fe80::1"], "in brackets, as in [ff15::1]:4242"),
        (["multicast://192.0.2.1", "--wait", "100ms"], "for unicast addresses write udp://"),
        (["udp://239.1.1.1", "--wait", "100ms"], "write multicast:// instead of udp://"),
        ([URL, "--wait", "soon"], "--wait 'soon' is no length of time"),
        ([URL, "--wait", "2h"], "longer than an hour"),
        ([URL, "--query-interval", "0"], "--query-interval '0' is no length of time"),
        ([URL, "--config", "x.toml"], "give one"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["switchcast", "doctor", *arguments])
    with pytest.raises(SystemExit) as ending:
        main()
    shown = capsys.readouterr()
    assert ending.value.code == 2, shown.err
    assert said in shown.err
    assert shown.err.count("switchcast: ") == 1 + ("examining" in shown.err)
    assert shown.out == ""


def test_a_name_that_nobody_knows_is_told_in_one_line() -> None:
    done = doctor("udp://no-such-host.invalid:4242", "--wait", "100ms")
    assert done.returncode == EndpointUnavailable.exit_code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("switchcast: udp://no-such-host.invalid:4242: the name 'no-such-host.invalid' cannot be")
    assert "Errno" not in last


@pytest.mark.parametrize("signals", [1, 2, 3])
def test_who_interrupts_the_wait_is_not_held_up(signals: int) -> None:
    """Once it ends in order; more often at once; and never with a word about it."""
    words = [sys.executable, "-c", COMMAND, "doctor", "multicast://239.192.7.2:4298?interface=lo", "--wait", "1h"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr is not None
        assert "examining" in waiting.stderr.readline()
        for _ in range(signals):
            waiting.send_signal(signal.SIGINT)
        said, complaint = waiting.communicate()
    assert (said, complaint) == ("", "")
    assert waiting.returncode in ({128 + signal.SIGINT} if signals == 1 else {128 + signal.SIGINT, -signal.SIGINT})


def test_a_file_of_keys_that_the_endpoint_would_refuse_is_told(tmp_path: Path) -> None:
    file = written(tmp_path / "group.key", group(), mode=0o644)
    url = f"multicast://239.192.7.2:4298?interface=lo&mode=sealed&key_file={file}"
    told = json.loads(doctor(url, "--wait", "100ms", "--json").stdout)["endpoints"][0]["unchecked"]
    (keys,) = (each for each in told if each["what"] == "the endpoint's keys")
    assert keys["why"] == f"{file}: others may read this secret (mode 0644); run: chmod 600 {file}"
    file.chmod(0o600)
    assert "the endpoint's keys" not in doctor(url, "--wait", "100ms").stdout


def test_endpoints_of_a_configuration_are_examined_together(tmp_path: Path) -> None:
    file = tmp_path / "switchcast.toml"
    file.write_text(
        "[endpoints.one]\n"
        'url = "multicast://239.192.7.3:4297?interface=lo"\n'
        "[endpoints.two]\n"
        'url = "udp://127.0.0.1:4296"\n'
        "[endpoints.file]\n"
        'url = "file:x.jsonl"\n'
        '[[route]]\nfrom = "one"\nto = ["two", "file"]\n'
    )
    done = doctor("--config", str(file), "--wait", "300ms", "--json")
    urls = [each["url"] for each in json.loads(done.stdout)["endpoints"]]
    assert urls == ["multicast://239.192.7.3:4297?interface=lo", "udp://127.0.0.1:4296"]
    done = doctor("two", "--config", str(file), "--wait", "100ms", "--json")
    assert [each["url"] for each in json.loads(done.stdout)["endpoints"]] == urls[1:]
    done = doctor("three", "--config", str(file))
    assert (done.returncode, "has no [endpoints.three]; there are one, two" in done.stderr) == (2, True), done.stderr


def test_an_event_socket_that_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = doctor(f"esl://127.0.0.1:{port}", "--json")
    assert done.returncode == 1
    (examined,) = json.loads(done.stdout)["endpoints"]
    assert [finding["code"] for finding in examined["findings"]] == ["event-socket-silent"]


def test_a_password_that_is_refused_is_another_finding() -> None:
    refused = UnreadPart("what FreeSWITCH says", "esl://h: the switch refused the password; it must be the one ...", "")
    facts = Facts(target=Target(url="esl://h:8021", port=8021), switch=SwitchFacts(unread=(refused,)))
    assert [finding.code for finding in event_socket.check(facts)] == ["event-socket-denied"]


def shown(diagnosis: Diagnosis, width: int) -> list[str]:
    console = Console(width=width, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as captured:
        print_diagnosis(console, diagnosis)
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_command_is_never_broken_and_nothing_can_move_the_cursor(width: int) -> None:
    command = "ip link set dev a-very-long-name-of-an-interface type bridge mcast_querier 1"
    after = "fs_cli -x reloadxml"
    finding = Finding(
        "no-route",
        Severity.CRITICAL,
        "Nothing\x1b[2J.",
        ("seen\x07",),
        "because " * 30,
        (Mend(f"{command}\n{after}", "well " * 30),),
    )
    diagnosis = Diagnosis(URL, 1.0, (finding,), ("fine",), (Unchecked("a", "b", f"switchcast doctor '{URL}' -w 9s"),))
    lines = shown(diagnosis, width)
    assert lines[lines.index(f"  mend   {command}") + 1] == f"         {after}"
    assert any(line.strip() == f"switchcast doctor '{URL}' -w 9s" for line in lines)
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    others = [line for line in lines if command not in line and URL not in line]
    assert max(map(len, others)) <= max(width, 40)


def test_only_what_stands_in_front_is_dim() -> None:
    console = Console(width=80, highlight=False, force_terminal=True, color_system="standard")
    finding = Finding(
        "no-route", Severity.CRITICAL, "Nothing leads there.", ("seen",), "because", (Mend("ip", "well"),)
    )
    with console.capture() as captured:
        print_diagnosis(console, Diagnosis(URL, 1.0, (finding,), (), ()))
    for said in ("Nothing leads there.", "seen", "because"):
        assert f"\x1b[0m{said}\n" in captured.get()
    assert "\x1b[0m\x1b[1;32mip" in captured.get()


def test_the_worst_stands_first_and_what_was_not_read_is_told() -> None:
    facts = Facts(target=Target(url=URL, groups=(GROUP,)))
    diagnosis = diagnose(replace(facts, unread={"queries": "a raw socket needs the capability CAP_NET_RAW"}))
    assert any("CAP_NET_RAW" in each.why for each in diagnosis.unchecked)
    ranks = [finding.severity.rank for finding in diagnosis.findings]
    assert ranks == sorted(ranks)


def rows(sender: str, hearer: str, heard: dict[int, int], sent: int = 10) -> tuple[Heard, ...]:
    return tuple(Heard(hearer, sender, GROUP, size, sent, heard.get(size, sent)) for size in PROBE_SIZES)


def probed(*given: tuple[Heard, ...], **more: Any) -> Facts:
    link = Link(index=2, name="eth0", mtu=1500, addresses=(Address("10.0.0.1", 24),))
    neighbour = more.pop("neighbour", Neighbour(OTHER, GROUP, "10.0.0.2", 1500, "eth0", "eth0"))
    routes = more.pop("routes", None)
    probe = ProbeResult(
        HERE, tuple(row for each in given for row in each), 10.0, neighbours=(neighbour,) if neighbour else (), **more
    )
    target = Target(url=URL, groups=(GROUP,), interface="eth0" if routes is None else None)
    return Facts(target=target, links=(link,), probe=probe, routes=routes)


def codes(facts: Facts) -> list[str]:
    return [finding.code for finding in probing.check(facts)]


NOTHING: Final = dict.fromkeys(PROBE_SIZES, 0)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (probed(rows(HERE, HERE, {}), rows(HERE, OTHER, {}), rows(OTHER, HERE, {})), []),
        (probed(rows(HERE, HERE, NOTHING)), ["own-not-heard"]),
        (probed(rows(HERE, HERE, NOTHING, sent=2)), []),
        (probed(rows(OTHER, HERE, NOTHING)), ["group-not-heard"]),
        (probed(rows(HERE, OTHER, NOTHING)), ["peer-hears-nothing"]),
        (probed(rows(OTHER, HERE, NOTHING), neighbour=Neighbour(OTHER, GROUP, "10.0.0.2", 1500, None, "eth1")),
         ["wrong-interface", "group-not-heard"]),
        (probed(rows(HERE, OTHER, {300: 10, 1472: 0, 1473: 0, 6000: 0, 60000: 0})), ["mtu-mismatch"]),
        (probed(rows(HERE, OTHER, {1473: 0, 6000: 0, 60000: 0})), []),  # which ``fragments`` tells
        (probed(rows(OTHER, HERE, {1473: 0, 6000: 0, 60000: 0}),
                neighbour=Neighbour(OTHER, GROUP, "10.0.0.2", 9000, "eth0", "eth0")), ["mtu-mismatch"]),
        (probed(rows(OTHER, HERE, {300: 7})), ["datagrams-lost"]),
        (probed(rows(OTHER, HERE, {300: 9})), []),
        (probed(send_errors=dict.fromkeys(PROBE_SIZES, "Operation not permitted")), ["send-refused"]),
        (probed(send_errors={60000: "No buffer space available"}), []),
        (probed(send_errors=dict.fromkeys(PROBE_SIZES, "Network is unreachable"),
                routes={GROUP: Unroutable(GROUP, "Network is unreachable")}), []),
        (probed(join_errors={GROUP: "No buffer space available"}), ["join-refused"]),
        (probed(neighbour=None, refused=("10.0.0.2",)), ["nobody-listens"]),
        (probed(neighbour=Neighbour("x", "10.0.0.2", "10.0.0.2"), refused=("10.0.0.2",)), []),
    ],
)  # fmt: skip
def test_what_the_probe_means(facts: Facts, expected: list[str]) -> None:
    assert codes(facts) == expected
    for finding in probing.check(facts):
        assert finding.evidence
        assert finding.mends


def test_without_another_host_the_way_is_unchecked() -> None:
    assert [each.what for each in probing.unchecked(probed(neighbour=None))] == [
        "the way between this host and another"
    ]
    assert not list(probing.unchecked(probed()))
    assert "of more nodes" in "".join(each.why for each in probing.unchecked(probed(crowded=3)))


def asked(seconds: float, *heard: Query, sources: tuple[str, ...] = ()) -> Facts:
    target = Target(url=URL, groups=(GROUP,), interface="eth0", sources=sources)
    return Facts(target=target, queries=(Queries(4, heard, seconds, 125.0),))


def query(source: str, version: int = 3, interface: str = "eth0") -> Query:
    return Query("IGMP", version, source, interface)


@pytest.mark.parametrize(
    ("facts", "found", "left"),
    [
        (asked(134.9), [], 1),
        (asked(135.0), ["querier-absent"], 0),
        (asked(10.0, query("10.0.0.254")), [], 0),
        (asked(10.0, query("10.0.0.254"), query("10.0.0.254")), [], 0),
        (asked(10.0, query("10.0.0.254"), query("10.0.0.253")), ["querier-several"], 0),
        (asked(10.0, query("10.0.0.254"), query("0.0.0.0")), [], 0),  # noqa: S104 - a switch that asks by proxy
        (asked(10.0, query("10.0.0.254"), query("10.0.1.254", interface="eth1")), [], 0),
        (asked(10.0, query("10.0.0.254", 2)), [], 0),
        (asked(10.0, query("10.0.0.254", 2), sources=("10.0.0.2",)), ["querier-old-version"], 0),
    ],
)
def test_what_queries_mean(facts: Facts, found: list[str], left: int) -> None:
    assert [finding.code for finding in querier.check(facts)] == found
    assert len(list(querier.unchecked(facts))) == left


def ip_packet(message: bytes, options: bytes = b"\x94\x04\0\0") -> bytes:
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x40 | (5 + len(options) // 4), 0, 0, 0, 0, 1, 2, 0, b"\x0a\0\0\xfe", b"\xe0\0\0\1"
    )
    return head + options + message


@pytest.mark.parametrize(
    ("message", "version", "group", "interval"),
    [
        ("11 00 ee ff 00 00 00 00", 1, None, None),
        ("11 64 ee 9b 00 00 00 00", 2, None, None),
        ("11 64 ee 9b ef c0 01 01", 2, GROUP, None),
        ("11 64 ec 1e 00 00 00 00 02 7d 00 00", 3, None, 125.0),
        ("11 64 ec 1e 00 00 00 00 02 8f 00 00", 3, None, 248.0),
        ("11 64 ec 1e 00 00 00 00 02 ff 00 00", 3, None, 31744.0),
    ],
)
def test_igmp_queries_are_read(message: str, version: int, group: str | None, interval: float | None) -> None:
    expected = Query("IGMP", version, "10.0.0.254", "eth0", group, interval)
    assert parse_igmp(ip_packet(bytes.fromhex(message)), "eth0") == expected


def test_what_is_no_igmp_query_is_left() -> None:
    report = bytes.fromhex("16 00 09 04 e0 00 00 fb")
    assert parse_igmp(ip_packet(report), "eth0") is None
    assert parse_igmp(ip_packet(bytes.fromhex("11 64 ec 1e 00 00 00 00 02 7d")), "eth0") is None


@pytest.mark.parametrize(("length", "version", "interval"), [(24, 1, None), (28, 2, 125.0)])
def test_mld_queries_are_read(length: int, version: int, interval: float | None) -> None:
    message = (b"\x82\0\0\0\x27\x10\0\0" + bytes(16) + b"\x02\x7d\0\0")[:length]
    assert parse_mld(message, "fe80::1", "eth0") == Query("MLD", version, "fe80::1", "eth0", None, interval)


@given(st.binary(max_size=64))
def test_any_bytes_are_a_query_or_none(packet: bytes) -> None:
    parse_igmp(packet, None)
    parse_igmp(ip_packet(packet), None)
    parse_mld(packet, "fe80::1", None)
    parse_mld(b"\x82" + packet, "fe80::1", None)
