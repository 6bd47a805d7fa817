"""``switchcast audit`` as its users run it: the report, its other forms, its ends, and the mistakes that can be made.

Most runs are within this process, by the command's own ``main``; those that get a signal, or hear a group, are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import stat
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from audit_samples import CAPTURE, KEEP, recorded_events, report_of
from ports import free_port
from recordings import DATA

import switchcast
from switchcast import Event
from switchcast.app.cli import main
from switchcast.app.cli.audit_gates import read_gates
from switchcast.app.cli.audit_listening import listening_of
from switchcast.app.reports.audit_words import length_of, reach_facts, size_of
from switchcast.app.reports.files import write_report
from switchcast.endpoints import EndpointUrl
from switchcast.errors import EndpointUnavailable, UsageError
from switchcast.guard.audit.leaks import Leak
from switchcast.guard.audit.reach import reach_of
from switchcast.system.bridges import BridgeMember
from switchcast.system.groups import Membership
from switchcast.system.owners import Owner, Owners
from switchcast.system.sockets import UdpSocket

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")
PATIENCE = 60.0
ENVIRONMENT = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "PYTHONWARNINGS": "error", "LC_ALL": "C.UTF-8"}
ENVIRONMENT.pop("FORCE_COLOR", None)
ENVIRONMENT.pop("NO_COLOR", None)


def audit(*arguments: str, encoding: str = "utf-8", columns: str = "80") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        for name in ("FORCE_COLOR", "NO_COLOR"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", columns)
        patch.setattr(sys, "argv", ["switchcast", "audit", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
    assert isinstance(left.value.code, int)
    said = [stream.detach().getvalue().decode(encoding) for stream in (out, err)]
    return subprocess.CompletedProcess(list(arguments), left.value.code, *said)


@cache
def audited() -> dict[str, Any]:
    """The recording's audit as JSON."""
    done = audit(CAPTURE, "--json", "--fail-on", "credentials", "--fail-on", "dtmf")
    assert done.returncode == 1
    assert re.search(r"^switchcast: --fail-on: dtmf \(dialled digits", done.stderr, re.MULTILINE)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def headings(text: str) -> list[str]:
    return re.findall(r"^([A-Z][A-Z ,()]+)(?:  .*)?$", text, re.MULTILINE)


# The report


@pytest.mark.parametrize(("columns", "widest", "encoding"), [("80", 80, "utf-8"), ("200", 110, "ascii")])
def test_the_report_starts_with_the_worst_and_fits(columns: str, widest: int, encoding: str) -> None:
    done = audit(CAPTURE, columns=columns, encoding=encoding)
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert ("…" if encoding == "utf-8" else "\\u2026") in done.stdout
    if encoding == "utf-8":
        assert max(len(line) for line in lines if not line.startswith("    switchcast audit file:")) <= widest
    assert "\x1b" not in done.stdout
    head = " ".join(done.stdout.split()).partition(" WRONG,")[0]
    assert "1,877 events of 126 kinds from 1 sender in a recording of 2 min 39 s." in head
    assert "The worst of what leaves: " in head
    shown = headings(done.stdout)
    assert shown[0] == "WRONG, WHATEVER IS SENT"
    assert shown[-3:] == ["HOW FAR IT GOES", "WHAT WAS SEEN", "WHAT TO DO NEXT"]
    classes = [row["leak"] for row in audited()["leaks"]]
    assert len(shown) == 4 + len(classes)
    assert re.search(r"Caller-Destination-Number +1,273", done.stdout)
    assert "\n  from vm (1,877)\n" in done.stdout
    assert not any(line.endswith(" ") for line in lines)
    assert re.search(r"CHANNEL_STATE +364 +19\.4%", done.stdout)
    assert re.search(r"and \d+ more: --json has all", done.stdout)
    assert "--keep registrations,presence,lamps" in " ".join(done.stdout.split())


def test_json_has_all_of_it() -> None:
    report = audited()
    assert report["ended"] == "source"
    assert report["revealed"] is False
    inventory = report["inventory"]
    assert inventory["events"] == sum(kind["events"] for kind in inventory["kinds"]) == 1877
    ranks = [Leak(row["leak"]).rank for row in report["leaks"]]
    assert ranks == sorted(ranks)
    assert {"numbers", "names", "sip", "topology"} <= {row["leak"] for row in report["leaks"]}
    assert {finding["code"] for finding in report["findings"]} >= {"registrations-can-be-hijacked"}
    assert report["reach"]["scheme"] == "file"
    assert report["listening"] is None


def test_evidence_is_masked_unless_it_is_asked_for() -> None:
    def examples(report: dict[str, Any], leak: str) -> set[str]:
        rows = [row for row in report["leaks"] if row["leak"] == leak]
        return {example for row in rows for place in row["headers"] for example in place["examples"]}

    assert "1000" not in examples(audited(), "numbers")
    done = audit(CAPTURE, "--json", "--reveal", "--count", "700")
    revealed = json.loads(done.stdout)
    assert revealed["revealed"] is True
    assert "1000" in examples(revealed, "numbers")
    assert "--reveal" in audit(CAPTURE, "--reveal", "--count", "5").stdout


# Where it ends


def test_it_ends_by_count_time_and_coverage() -> None:
    assert json.loads(audit(CAPTURE, "--json", "--count", "7").stdout)["inventory"]["events"] == 7
    by_time = json.loads(audit("sim://?nodes=2", "--json", "--for", "300ms").stdout)
    assert (by_time["ended"], by_time["reach"]["scheme"]) == ("time", "sim")
    covered = json.loads(audit("sim://?speed=0", "--json", "--until-covered", "--for", "50s").stdout)
    assert covered["ended"] == "covered"
    assert covered["inventory"]["coverage"] >= 0.99
    assert covered["inventory"]["events"] >= 1000


def test_only_what_is_asked_for_is_audited() -> None:
    report = json.loads(audit(CAPTURE, "--json", "-b", "HEARTBEAT CUSTOM sofia::register").stdout)
    assert {kind["kind"] for kind in report["inventory"]["kinds"]} == {"HEARTBEAT", "CUSTOM", "CUSTOM sofia::register"}


def test_ctrl_c_ends_it_with_the_report_and_progress_is_shown() -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [SWITCHCAST, "audit", "sim://?nodes=2"], stdout=subprocess.PIPE, stderr=follower, text=True, env=ENVIRONMENT
    )
    os.close(follower)
    shown, deadline = b"", time.monotonic() + PATIENCE
    while not re.search(rb"events?\x1b.* covered", shown) and time.monotonic() < deadline:
        if select.select([leader], [], [], 1.0)[0]:
            shown += os.read(leader, 65536)
    process.send_signal(signal.SIGINT)
    while True:
        try:
            if not os.read(leader, 65536):
                break
        except OSError:  # the other end is closed
            break
    os.close(leader)
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "WHAT WAS SEEN" in out
    assert b"Ctrl-C ends it with the report" in shown


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_source_without_events_is_a_failure(form: list[str]) -> None:
    done = audit("file:/dev/null", *form)
    assert done.returncode == 1
    assert done.stderr == "switchcast: no event came from file:/dev/null, so nothing was audited\n"
    if form:
        assert json.loads(done.stdout)["inventory"]["events"] == 0
    else:
        assert "There is no event in it. So nothing is known yet." in done.stdout


def test_an_endpoint_goes_by_its_name(tmp_path: Path) -> None:
    """What is said to be done next names it too: the URL that is shown lacks the secrets that it has."""
    file = tmp_path / "switch cast.toml"
    source = DATA / "stock-psk.pcap.gz"
    file.write_text(
        f'[endpoints.recording]\nurl = "file:{source}?psk_file={tmp_path}/psk"\n'
        '[endpoints.group]\nurl = "multicast://239.192.1.1"\n'
        '[[route]]\nfrom = "recording"\nto = ["group"]\n',
        encoding="utf-8",
    )
    (tmp_path / "psk").write_text("ClueCon", encoding="utf-8")
    (tmp_path / "psk").chmod(0o600)
    done = audit("recording", "--config", str(file), "-n", "50")
    assert done.returncode == 0, done.stderr
    assert "50 events of" in done.stdout
    steps = done.stdout.partition("WHAT TO DO NEXT")[2]
    commands = [line.strip() for line in steps.replace(" \\\n", " ").splitlines() if line.startswith("    ")]
    told = shlex.split("".join(f"{command}\n" for command in commands))
    assert told[:5] == ["switchcast", "audit", "recording", "--config", str(file)]
    assert told.count("recording") == told.count("switchcast") == 3
    wrong = audit("recordin", "--config", str(file))
    assert (wrong.returncode, wrong.stderr) == (
        2,
        f"switchcast: 'recordin' is no endpoint URL, and {file} has no [endpoints.recordin]; did you mean recording?\n",
    )


def test_an_archive_has_its_own_time(tmp_path: Path) -> None:
    archive = f"archive:{tmp_path / 'history'}"
    command = [SWITCHCAST, "pipe", CAPTURE, archive, "-n", "200"]
    subprocess.run(command, env=ENVIRONMENT, check=True, capture_output=True, timeout=PATIENCE)
    report = json.loads(audit(archive, "--json").stdout)
    stamps = [event.received or 0 for event in recorded_events()[:200]]
    assert report["inventory"]["events"] == 200
    assert report["seconds"] == pytest.approx((stamps[-1] - stamps[0]) / 1e9, abs=0.01)


# A group


def test_a_live_group_tells_who_listens() -> None:
    url = f"multicast://239.192.77.1:{free_port()}?interface=lo"

    async def watch() -> tuple[int, dict[str, Any]]:
        async with switchcast.open(url, role="source"), switchcast.open(url, role="sink") as group:
            command = [SWITCHCAST, "audit", url, "--json", "--count", "20"]
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=ENVIRONMENT)
            answer = asyncio.create_task(process.communicate())
            async with asyncio.timeout(PATIENCE):
                while not answer.done():
                    await group.send([Event("HEARTBEAT", {"FreeSWITCH-IPv4": "10.1.2.3"})])
                    await asyncio.sleep(0.01)
                out, _ = await answer
            return process.returncode or 0, json.loads(out)

    code, report = asyncio.run(watch())
    assert code == 0
    assert report["ended"] == "count"
    assert report["reach"]["scopes"] == {"239.192.77.1": "site"}
    assert report["reach"]["encrypted"] == "no"
    assert "lo (239.192.77.1)" in report["listening"]["joined"]
    assert os.getpid() in {socket["pid"] for socket in report["listening"]["sockets"]}
    assert {row["leak"] for row in report["leaks"]} >= {"inside"}
    assert {finding["code"] for finding in report["findings"]} >= {"readable-by-all"}


def test_who_listens_is_told_by_socket_interface_and_port() -> None:
    group = "239.192.1.1"
    reach = reach_of(EndpointUrl.parse(f"multicast://{group}:4242"))
    listening = listening_of(
        reach,
        [
            Membership(group, "eth0", 2),
            Membership("224.0.0.1", "eth0", 1),
            BridgeMember("br0", "vm3", group),
            BridgeMember("br0", "br0", group),
            BridgeMember("br0", "vm4", "239.1.1.1"),
        ],
        [
            UdpSocket("0.0.0.0", 4242, 11),  # noqa: S104
            UdpSocket(group, 4242, 12),
            UdpSocket("10.0.0.1", 4242, 13),
            UdpSocket("0.0.0.0", 4243, 14),  # noqa: S104
        ],
        Owners({11: (Owner(812, "freeswitch"), Owner(os.getpid(), "python"))}, hidden=frozenset({3})),
    )
    assert listening.joined == ("eth0 (239.192.1.1)",)
    assert listening.ports == ("vm3 of br0 (239.192.1.1)",)
    assert [(each.address, each.program) for each in listening.sockets] == [
        ("0.0.0.0", "freeswitch"),  # noqa: S104
        (group, None),
    ]
    assert "which other hosts listen" in listening.unknown[0]


# Policies


def test_the_suggested_policy_takes_away_what_it_should(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    wrote = audit(CAPTURE, "--keep", ",".join(KEEP), "--suggest", str(file))
    assert wrote.returncode == 0
    assert "UNDER THE POLICY SUGGESTED" in wrote.stdout
    assert wrote.stderr == f"policy written to {file}\n"
    gates = ["--fail-on", "credentials,content", "--fail-on", "dtmf"]
    under = audit(CAPTURE, "--policy", str(file), "--json", *gates)
    assert under.returncode == 0, under.stderr
    report = json.loads(under.stdout)
    assert {row["leak"] for row in report["under_policy"]}.isdisjoint({"credentials", "content", "dtmf"})
    assert report["policy"]["events_after"] > 0


def test_a_policy_can_be_printed() -> None:
    printed = audit(CAPTURE, "--keep", "lamps", "--suggest", "-", "--count", "5")
    assert printed.returncode == 0
    assert "[policies.suggested]" in printed.stdout
    assert "audit of" not in printed.stdout


# Files


def test_reports_are_written_whole_and_as_secret_as_they_are(tmp_path: Path) -> None:
    page, log = tmp_path / "report.html", tmp_path / "report.sarif"
    page.write_text("old", encoding="utf-8")
    page.chmod(0o644)
    done = audit(CAPTURE, "--count", "50", "--html", str(page), "--sarif", str(log))
    assert done.returncode == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(log.read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert stat.S_IMODE(page.stat().st_mode) == 0o644
    audit(CAPTURE, "--count", "50", "--html", str(page), "--sarif", str(log), "--reveal")
    assert [stat.S_IMODE(file.stat().st_mode) for file in (page, log)] == [0o600, 0o600]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "report.sarif"]


def test_what_is_no_regular_file_is_written_to_as_it_is(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    write_report(str(link), "text\n")
    assert link.is_symlink()
    assert (tmp_path / "target").read_text(encoding="utf-8") == "text\n"
    write_report("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(UsageError, match="exists already"):
        write_report(str(link), "other", fresh=True)
    with pytest.raises(EndpointUnavailable, match="there is no directory"):
        write_report(str(tmp_path / "no" / "file"), "text")


# Mistakes


@pytest.mark.parametrize(
    ("code", "said", "arguments"),
    [
        (2, "'credential' is no class of leak and no finding; did you mean credentials?", ["--fail-on", "credential"]),
        (2, "did you mean finding:well-known-key?", ["--fail-on", "dtmf,finding:well-known-kee"]),
        (2, "write finding:stock-psk", ["--fail-on", "stock-psk"]),
        (2, "there are credentials, content,", ["--fail-on", ""]),
        (2, "did you mean registrations?", ["--keep", "registration"]),
        (2, "there are registrations, presence", ["--suggest", "policy.toml"]),
        (2, "--keep names nothing", ["--keep", " ,"]),
        (2, "did you mean cluster?", ["--policy", "clustr"]),
        (78, "no [policies.NAME] in it", ["--policy", __file__.replace("test_audit_cli.py", "../pyproject.toml")]),
        (2, "region", ["--region", "XX"]),
        (2, "--sarif and --json would both be printed", ["--json", "--sarif", "-"]),
        (2, "is a directory; name a file in it", ["--html", "/"]),
        (69, "there is no directory /no/such", ["--sarif", "/no/such/audit.sarif"]),
        (2, "exists already, and is not written over", ["--keep", "lamps", "--suggest", __file__]),
        (2, "no length of time", ["--for", "soon"]),
        (2, "column", ["--where", "nme == 1"]),
    ],
)
def test_a_mistake_is_one_line(code: int, said: str, arguments: list[str]) -> None:
    done = audit(CAPTURE, *arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("switchcast: ")
    assert done.stdout == ""


@pytest.mark.parametrize(("module", "arguments"), [("jinja2", ["--html", "-"]), ("phonenumbers", [])])
def test_an_extra_that_is_missing_is_named(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("switchcast.guard.audit.by_value")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    done = audit(CAPTURE, *arguments)
    assert done.returncode == 69
    assert "pip install 'switchcast[audit]'" in done.stderr


def test_any_is_every_leak_and_every_finding() -> None:
    report = report_of(recorded_events()[:200], CAPTURE, keep=())
    broken = list(read_gates(["any"]).broken(report.result, report.findings))
    assert len(broken) == len(report.leaks) + len(report.findings)
    assert list(read_gates([]).broken(report.result, report.findings)) == []
    assert list(read_gates(["finding:everything-bound"]).broken(report.result, ())) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("multicast://[ff15:0::BEEF]:4242", {"Group": "ff15::beef port 4242", "Encrypted": "No", "TTL": "1"}),
        (
            "multicast://239.192.1.1,192.0.2.7:4242",
            {"Group": "239.192.1.1 port 4242", "Address": "192.0.2.7 port 4242"},
        ),
        ("udp://events.example.com:4242", {"Name": "events.example.com port 4242", "Authenticated": "No"}),
        ("multicast://239.192.1.1?psk=secret", {"Encrypted": "Weakly", "Authenticated": "No"}),
        ("multicast://239.192.1.1?mode=sealed&key_file=k", {"Encrypted": "Yes", "Authenticated": "Yes"}),
        ("multicast://239.192.1.1?mode=traced&key_file=k", {"Encrypted": "No", "Authenticated": "Partly"}),
        ("multicast://239.192.1.1?mode=traced&key_file=k&stock=reject", {"Encrypted": "No", "Authenticated": "Yes"}),
        ("file:events.jsonl", {"Source": "file:events.jsonl"}),
    ],
)
def test_how_far_it_goes_is_what_the_url_says(source: str, told: dict[str, str]) -> None:
    facts = {fact.name: fact.value for fact in reach_facts(report_of([], source, keep=()))}
    assert facts.items() >= told.items()
    assert "secret" not in str(facts)
    assert ("Name" in facts) == ("example.com" in source)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.45, "450 ms"), (58, "58 s"), (120, "2 min"), (187.2, "3 min 7 s"), (7500, "2 h 5 min")]
)
def test_lengths_of_time_are_told_shortly(seconds: float, told: str) -> None:
    assert length_of(seconds) == told


@pytest.mark.parametrize(
    ("octets", "told"), [(812, "812 B"), (5_312, "5.3 kB"), (999_600, "1.0 MB"), (12**9, "5.2 GB")]
)
def test_sizes_are_told_shortly(octets: int, told: str) -> None:
    assert size_of(octets) == told
