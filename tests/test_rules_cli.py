"""``switchcast rules test`` and ``list``: on the recording, on events made for it, and on wrong files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from recordings import DATA
from ruling import rules

import switchcast
from switchcast import Event
from switchcast.app.cli.rules_file import read_rules
from switchcast.errors import ConfigurationError
from switchcast.wire.lines import to_line

SWITCHCAST = str(Path(sys.executable).parent / "switchcast")
CAPTURE = f"file:{DATA / 'stock-plain.pcap.gz'}"
PATIENCE = 60.0
ENVIRONMENT = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color", "PYTHONWARNINGS": "error", "TZ": "UTC"}
ENVIRONMENT.pop("FORCE_COLOR", None)

LAMP = """
[[rule]]
name = "new-voicemail"
on = "MESSAGE_WAITING"
where = 'h["MWI-Messages-Waiting"] == "yes"'
run = ["/usr/local/bin/lamp", "{h[MWI-Message-Account]}"]
trust = "stock"
"""
"""The design's own example, for a group without a key."""


def run(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run ``switchcast rules`` as its users do, to its end."""
    done = subprocess.run(
        [SWITCHCAST, "rules", *arguments],
        input=given,
        capture_output=True,
        timeout=PATIENCE,
        env=ENVIRONMENT,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def lamp(tmp_path: Path) -> str:
    return written(tmp_path / "lamp.toml", LAMP)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown as they are where the tests were written."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def recorded(events: list[Event], path: Path) -> str:
    """The URL of a file with ``events``."""
    return "file:" + written(path, "".join(f"{to_line(event)}\n" for event in events))


def tried(file: str, *arguments: str, events: list[Event] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of ``rules test --json`` and its summary."""
    source = CAPTURE if events is None else recorded(events, Path(file).with_suffix(".jsonl"))
    done = rules("test", file, source, "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = map(json.loads, done.stdout.splitlines())
    return lines, last["summary"]


def shown(file: str, events: list[Event], *arguments: str) -> str:
    """What ``rules test`` shows of ``events``."""
    return rules("test", file, recorded(events, Path(file).with_suffix(".jsonl")), *arguments).stdout


def at(seconds: float, **headers: str) -> Event:
    """A lamp event that happened so many seconds after some moment."""
    stamp = str(round((1_700_000_000 + seconds) * 1e6))
    return Event(
        "MESSAGE_WAITING", {"Event-Date-Timestamp": stamp} | {k.replace("_", "-"): v for k, v in headers.items()}
    )


# test


def test_the_lamp_rule_would_fire_for_each_lit_lamp(lamp: str) -> None:
    done = run("test", lamp, CAPTURE)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-2:] == [
        "13 of 1,877 events reach a rule; nothing was done",
        "  new-voicemail: 6 would fire; 7 where is false",
    ]
    assert lines.count("  new-voicemail: run /usr/local/bin/lamp 1000@127.0.0.1") == 5
    assert lines.count("  new-voicemail: run /usr/local/bin/lamp sip:1000@127.0.0.1") == 1
    assert lines.count("  new-voicemail: where is false") == 7
    assert "03:31:37.937 vm  MESSAGE_WAITING           1000@127.0.0.1  waiting: yes  1 new, 0 saved" in lines


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_is_no_failure(lamp: str, form: list[str]) -> None:
    """As ``head`` does: the events come without end, so the trial is writing when its reader goes."""
    arguments = [SWITCHCAST, "rules", "test", lamp, "sim://?nodes=2&cps=100&seed=1&speed=0", *form]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as trial:
        assert trial.stdout is not None
        assert trial.stderr is not None
        trial.stdout.readline()
        trial.stdout.close()
        assert (trial.wait(PATIENCE), trial.stderr.read()) == (141, b"")


def test_json_tells_the_same(lamp: str) -> None:
    lines, summary = tried(lamp)
    assert summary["events"] == 1877
    assert summary["reached"] == len(lines) == 13
    assert summary["rules"]["new-voicemail"]["fired"] == 6
    [first, *_] = [line for line in lines if line["rules"][0]["fires"]]
    assert first["name"] == "MESSAGE_WAITING"
    assert first["rules"] == [
        {"rule": "new-voicemail", "fires": True, "key": "", "run": ["/usr/local/bin/lamp", "1000@127.0.0.1"]}
    ]
    assert lines[0]["rules"] == [{"rule": "new-voicemail", "fires": False, "reason": "where", "why": "where is false"}]


def test_nothing_is_done(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    file = written(
        tmp_path / "r.toml",
        f'[[rule]]\nname = "r"\non = "HEARTBEAT"\ntrust = "stock"\nrun = ["/usr/bin/touch", "{trace}"]\n',
    )
    _, summary = tried(file)
    assert summary["rules"]["r"]["fired"] > 1
    assert not trace.exists()


def test_limits_go_by_the_time_of_the_events(tmp_path: Path) -> None:
    file = written(
        tmp_path / "r.toml",
        """
        [[rule]]
        name = "rated"
        rate = "1/min"
        log = "x"
        [[rule]]
        name = "once"
        once-per = {key = "{h[Account]}", interval = "1h"}
        log = "x"
        [[rule]]
        name = "quiet"
        debounce = "30s"
        key = "{h[Account]}"
        log = "{h[Account]} {h[N]}"
        """,
    )
    times = [0, 10, 59, 60, 200, 3700]
    lines, summary = tried(file, events=[at(time, Account="a", N=str(n)) for n, time in enumerate(times)])
    fired = {name: counts["fired"] for name, counts in summary["rules"].items()}
    assert fired == {"rated": 4, "once": 2, "quiet": 4}
    assert summary["rules"]["rated"]["refused_rate"] == 2
    assert summary["rules"]["quiet"]["debounced"] == 2
    quiet = [
        line["rules"][0]["log"]["message"]
        for line in lines
        if "key" in line["rules"][0] and line["rules"][0]["rule"] == "quiet"
    ]
    assert quiet == ["a 1", "a 3", "a 4", "a 5"]


def test_what_waited_and_then_may_not_fire_is_told(tmp_path: Path) -> None:
    file = written(
        tmp_path / "r.toml", '[[rule]]\nname = "r"\ndebounce = "5s"\nkey = "{h[A]}"\nrate = "1/h"\nlog = "{h[A]}"\n'
    )
    events = [at(0, A="one"), at(1, A="two"), at(60, A="three")]
    lines, summary = tried(file, events=events)
    told = [line["rules"][0] for line in lines if line["rules"][0].get("reason") != "debounce"]
    assert [verdict["fires"] for verdict in told] == [True, False, False]
    assert told[0]["log"]["message"] == "one"
    assert told[1] == {"rule": "r", "fires": False, "why": "rate limit"}
    assert (summary["rules"]["r"]["fired"], summary["rules"]["r"]["refused_rate"]) == (1, 2)
    text = shown(file, events)
    assert "  r: debounced: fires in 5.0 s if nothing comes until then\n" in text
    assert "22:13:25.000 quiet since 22:13:20.000\n  r: log info one\n" in text
    assert "22:13:26.000 quiet\n  r: rate limit\n" in text


EVERY_ACTION = """
[node]
name = "fs1.example.com"
[[rule]]
name = "run"
run = ["/bin/lamp", "{h[A]}", "--", "two words"]
[[rule]]
name = "webhook"
webhook = "https://example.com/{h[A]}?node={node}"
[[rule]]
name = "esl-api"
esl-api = {endpoint = "switch", command = ["uuid_kill", "{h[A]}"], verbs = "uuid_kill"}
[[rule]]
name = "esl-event"
esl-event = {endpoint = "switch", name = "TRAP", headers = {X = "<{h[A]}>"}}
[[rule]]
name = "emit"
emit = {to = "group", subclass = "example::lamp", body = "{h[A]}"}
[[rule]]
name = "log"
log = {message = "{h[A]} on {node}", level = "warning"}
"""


def test_each_action_is_shown_as_it_would_be_done(tmp_path: Path) -> None:
    [line], _ = tried(written(tmp_path / "r.toml", EVERY_ACTION), events=[at(0, A="x/1")])
    marks = {"Switchcast-Hops": "1"}
    expected: dict[str, Any] = {
        "run": ["/bin/lamp", "x/1", "--", "two words"],
        "webhook": {"method": "POST", "url": "https://example.com/x%2F1?node=fs1.example.com"},
        "esl-api": {"endpoint": "switch", "command": "uuid_kill x/1"},
        "esl-event": {
            "to": ["switch"],
            "event": {"Event-Name": "TRAP", "X": "<x/1>", "Switchcast-Origin": "fs1.example.com/esl-event"} | marks,
        },
        "emit": {
            "to": ["group"],
            "event": {
                "Event-Name": "CUSTOM",
                "Event-Subclass": "example::lamp",
                "Switchcast-Origin": "fs1.example.com/emit",
                "Content-Length": "3",
                "_body": "x/1",
            }
            | marks,
        },
        "log": {"level": "warning", "message": "x/1 on fs1.example.com"},
    }
    assert line["rules"] == [{"rule": name, "fires": True, "key": "", name: told} for name, told in expected.items()]


def test_each_action_is_shown_to_a_person(tmp_path: Path) -> None:
    text = shown(written(tmp_path / "r.toml", EVERY_ACTION), [at(0, A="x/1")], "--node", "fs2")
    assert text.splitlines()[1:7] == [
        "  run: run /bin/lamp x/1 -- 'two words'",
        "  webhook: webhook POST https://example.com/x%2F1?node=fs2",
        "  esl-api: esl-api uuid_kill x/1 at switch",
        "  esl-event: esl-event TRAP to switch (X: <x/1>, Switchcast-Origin: fs2/esl-event, Switchcast-Hops: 1)",
        "  emit: emit CUSTOM to group (Event-Subclass: example::lamp, Switchcast-Origin: fs2/emit, Switchcast-Hops: 1)",
        "  log: log warning x/1 on fs2",
    ]


@pytest.mark.parametrize("value", ["-rf", "a\nb", "a\0b"])
def test_what_an_action_would_refuse_is_told(tmp_path: Path, value: str) -> None:
    file = written(tmp_path / "r.toml", EVERY_ACTION)
    [line], _ = tried(file, events=[at(0, A=value)])
    refused = {verdict["rule"] for verdict in line["rules"] if verdict.get("refused")}
    expected = {
        "-rf": {"run", "esl-api"},
        "a\nb": {"esl-api", "esl-event"},
        "a\0b": {"run", "esl-api", "esl-event", "emit"},
    }
    assert refused == expected[value]
    assert "  esl-api: esl-api would be refused: a value " in shown(file, [at(0, A=value)])


def test_what_events_hold_cannot_move_the_cursor(tmp_path: Path) -> None:
    file = written(tmp_path / "r.toml", '[[rule]]\nname = "r"\nrun = ["/bin/x", "{h[A]}"]\n')
    event = at(0, A="\x1b[2J\n  r: where is false")
    done = run("test", file, "-", given=f"{to_line(event)}\n".encode())
    assert "\x1b" not in done.stdout
    assert "'\\x1b[2J\\n  r: where is false'" in done.stdout


def test_one_rule_of_several_can_be_tried(tmp_path: Path) -> None:
    file = written(tmp_path / "r.toml", EVERY_ACTION)
    _, summary = tried(file, "--rule", "log", events=[at(0)])
    assert set(summary["rules"]) == {"log"}
    wrong = rules("test", file, "-", "--rule", "lgo")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "switchcast: --rule 'lgo' is none of run, webhook, esl-api, esl-event, emit, log\n"


def test_a_trial_ends_after_so_many_events(lamp: str) -> None:
    _, summary = tried(lamp, "-n", "100")
    assert summary["events"] == 100


def test_a_simulated_cluster_will_do_for_a_trial(lamp: str) -> None:
    done = rules("test", lamp, "sim://?nodes=2&cps=20&seed=1", "--json", "-n", "200")
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["events"] == 200


def test_a_live_source_fires_what_is_quiet_without_another_event(tmp_path: Path) -> None:
    """Nothing follows the one event, and no time limit is near: only the clock can tell that it has been quiet."""
    file = written(tmp_path / "r.toml", '[[rule]]\nname = "r"\ndebounce = "200ms"\ntrust = "stock"\nlog = "x"\n')
    url = f"udp://127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [SWITCHCAST, "rules", "test", file, url, "--json", "--for", "40s"], stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as trial:
        assert trial.stdout is not None
        output = trial.stdout

        async def send_until_heard() -> None:
            async with switchcast.open(url, role="sink") as sink:
                heard = asyncio.create_task(asyncio.to_thread(output.readline))
                while not heard.done():
                    await sink.send([Event("TRAP")])
                    await asyncio.wait([heard], timeout=0.1)

        asyncio.run(send_until_heard())
        verdicts: list[dict[str, Any]] = []
        while not any(verdict["fires"] for verdict in verdicts):
            verdicts += json.loads(output.readline())["rules"]
        trial.terminate()
        assert trial.wait(PATIENCE) == 143


# Files with mistakes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'FILE: there is no [[rule]] in it; write one with name = "..." and an action'),
        ("[node]\nname = 'x'\n", "FILE: there is no [[rule]] in it"),
        ("[[rule]\n", "FILE:1: "),
        ("rule = 3\n", "FILE:1: rule: 3: "),
        ('[[rule]]\nname = "a"\n\nrun = ["lamp"]\n', "FILE:4: rule[1].run.command: "),
        ('[[rule]]\nname = "a"\nlog = "{nam}"\n', 'FILE:3: rule[1].log.message: "{nam}": {nam} is no field; '),
        ('[[rule]]\nname = "a"\n', "FILE:1: rule[1]: the rule a does nothing; give it one of run, webhook, "),
        ('[[rule]]\nname = "a"\nlog = "x"\nwhere = "h["\n', 'FILE:4: rule[1].where: "h[": column '),
        ('[[rule]]\nname = "a"\nlog = "x"\nkill-after = 3\n', "FILE:4: rule[1].kill-after: unknown key"),
        ('[[rule]]\nname = "a"\nrun = {command = ["/x"], kill-after = "x"}\n', "FILE:3: rule[1].run.kill_after: "),
        ('[[rule]]\nname = "a"\nlog = "x"\n' * 2, 'FILE:2: rule[1].name: "a": another rule has this name'),
    ],
    ids=lambda value: None if value.startswith("FILE") else value or "empty",
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path / "r.toml", text)
    with pytest.raises(ConfigurationError) as refused:
        read_rules(Path(file))
    assert str(refused.value).startswith(told.replace("FILE", file))


def test_all_mistakes_are_told_at_once_with_exit_code_78(tmp_path: Path) -> None:
    mistakes = '[[rule]]\nname = "a"\n[[rule]]\nname = "b"\nlog = "x"\nrate = "fast"\non = ""\n'
    file = written(tmp_path / "r.toml", mistakes)
    for command in (["list", file], ["test", file, "-"]):
        done = run(*command)
        assert (done.returncode, done.stdout) == (78, "")
        assert [line.partition(" ")[0] for line in done.stderr.removeprefix("switchcast: ").splitlines()] == [
            f"{file}:{line}:" for line in (1, 6, 7)
        ]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = rules("test", str(tmp_path / "none.toml"), "-")
    assert done.returncode == 78
    assert "none.toml: no such file" in done.stderr


def test_odd_bindings_are_a_warning(tmp_path: Path) -> None:
    done = rules("test", written(tmp_path / "r.toml", '[[rule]]\nname = "r"\non = "HARTBEAT"\nlog = "x"\n'), CAPTURE)
    assert done.returncode == 0
    assert done.stderr.startswith('switchcast: warning: rule r: unknown event "HARTBEAT"; the nearest ')


# list


def test_rules_are_listed_with_all_that_counts(tmp_path: Path) -> None:
    limits = """
[[rule]]
name = "limits"
from = ["fs*", "pbx"]
where = 'name != "LOG"'
debounce = "1500ms"
key = "{sender}"
once-per = {key = "{h[Unique-ID]}", interval = "1h"}
rate = {count = 5, per = "1m", burst = 2}
delivery = "at-least-once"
emit = {to = ["a", "b"], name = "TRAP"}
"""
    listed = rules("list", written(tmp_path / "r.toml", LAMP + limits))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.splitlines() == [
        "new-voicemail  run /usr/local/bin/lamp '{h[MWI-Message-Account]}'",
        "  on MESSAGE_WAITING",
        '  where h["MWI-Messages-Waiting"] == "yes"',
        "limits  emit TRAP to a, b",
        "  on all",
        '  where name != "LOG"',
        "  from fs*, pbx",
        "  when it has been quiet for 1.5s by {sender}",
        "  once per {h[Unique-ID]} in 1h",
        "  at most 5 in 1m, 2 at once",
        "  at least once",
    ]


def test_every_action_can_be_listed(tmp_path: Path) -> None:
    file = written(tmp_path / "r.toml", EVERY_ACTION)
    listed = [line for line in rules("list", file).stdout.splitlines() if not line.startswith(" ")]
    assert listed == [
        "run  run /bin/lamp '{h[A]}' -- 'two words'",
        "webhook  webhook POST https://example.com/{h[A]}?node={node}",
        "esl-api  esl-api uuid_kill {h[A]} at switch",
        "esl-event  esl-event TRAP at switch",
        "emit  emit example::lamp to group",
        "log  log warning: {h[A]} on {node}",
    ]
    rows = [json.loads(line) for line in rules("list", file, "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == ["run", "webhook", "esl-api", "esl-event", "emit", "log"]
    assert rows[0] == {"name": "run", "run": {"command": ["/bin/lamp", "{h[A]}", "--", "two words"]}}
