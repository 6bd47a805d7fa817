"""Changed key files under running nodes: noticed at a reload, checked first, taken in place, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from keyfiles import MADE, assert_hidden, group, secret, written
from nodes import configuration, running, wait_for
from ports import free_port
from sockets import until

from switchcast import Event
from switchcast.app.config import load
from switchcast.app.daemon import Daemon
from switchcast.endpoints.udp import DatagramEndpoint
from switchcast.errors import ConfigurationError
from switchcast.keys import GroupKeys, KeyFile, SigningKey

GROUP = "239.255.42.83"
SECRETS = tuple(secret(number) for number in range(6))


def member(folder: Path, port: int, name: str = "fs1", mode: str = "sealed", more: str = "") -> Path:
    """A node of a group, under the keys in a file of its own."""
    folder.mkdir(exist_ok=True)
    if not (folder / "group.key").exists():
        written(folder / "group.key", group())
    text = f"""
[endpoints.group]
url = "multicast://{GROUP}:{port}?interface=lo"
mode = "{mode}"
key_file = "{folder}/group.key"
{more}
[endpoints.in]
url = "memory:in-{name}-{port}"
[endpoints.out]
url = "memory:out-{name}-{port}"
[[route]]
from = "in"
to = ["group"]
policy = "all"
[[route]]
from = "group"
to = ["out"]
"""
    return configuration(folder, text, name=name)


@asynccontextmanager
async def carrying(path: Path) -> AsyncIterator[Daemon]:
    """A node in this process."""
    daemon = Daemon(lambda: load(path, {}))
    task = asyncio.create_task(daemon.run())
    running = asyncio.create_task(daemon.running.wait())
    await asyncio.wait([task, running], return_when=asyncio.FIRST_COMPLETED)
    try:
        yield daemon
    finally:
        running.cancel()
        daemon.stop()
        await task


def ends(daemon: Daemon) -> list[DatagramEndpoint]:
    """The endpoints of the group: to listen to, and to send to."""
    found = [daemon.node.feeds["group"].endpoint, daemon.node.outlets["group"].endpoint]
    return [end for end in found if isinstance(end, DatagramEndpoint)]


def live(daemon: Daemon) -> list[GroupKeys | None]:
    return [end.mode.keys for end in ends(daemon)]


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What has been logged since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("mode", ["sealed", "traced"])
def test_a_changed_key_file_is_taken_by_the_endpoints_that_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    path = member(tmp_path, free_port(), mode=mode)

    async def act() -> None:
        async with carrying(path) as daemon:
            before = ends(daemon)
            assert live(daemon) == [group().live()] * 2
            assert [entry["event"] for entry in told(capsys)] == ["running"]
            await daemon.reload()
            assert [entry["event"] for entry in told(capsys)] == ["reloaded"]
            written(tmp_path / "group.key", group(2).switch())
            await daemon.reload()
            assert live(daemon) == [group(2).switch().live()] * 2
            assert [after is one for after, one in zip(ends(daemon), before, strict=True)] == [True, True]
            assert not any(end.closed for end in before)
            *changes, reloaded = told(capsys)
            ids = group(2).switch().live().ids
            assert [(entry.get("source"), entry.get("sink")) for entry in changes] == [("group", None), (None, "group")]
            for entry in changes:
                assert (entry["event"], entry["sends_with"]) == ("rekeyed", ids[0])
                assert entry["receives"] == " ".join(ids)
            assert reloaded["event"] == "reloaded"
            assert_hidden(f"{changes}{daemon.report.status()}{ends(daemon)}", *SECRETS)

    asyncio.run(act())


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (group(5).text(), 0o600, "group.key:7: one key more than the 4 that can be live"),
        (group(2).text(), 0o640, "others may read this secret (mode 0640); run: chmod 600"),
        (None, 0o600, "no such file, though it should hold keys"),
    ],
)
def test_a_wrong_key_file_changes_nothing_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, mode: int, words: str
) -> None:
    path = member(tmp_path, free_port())

    async def act() -> None:
        async with carrying(path) as daemon:
            before = ends(daemon)
            if text is None:
                (tmp_path / "group.key").unlink()
            else:
                written(tmp_path / "group.key", text, mode)
            told(capsys)
            with pytest.raises(ConfigurationError) as raised:
                await daemon.reload()
            assert words in str(raised.value)
            assert f"{path}:" in str(raised.value)
            assert live(daemon) == [group().live()] * 2
            assert [after is one for after, one in zip(ends(daemon), before, strict=True)] == [True, True]
            (refused,) = told(capsys)
            assert (refused["event"], refused["error"]) == ("reload_refused", str(raised.value))
            assert words in daemon.report.problems["reload"]
            assert_hidden(f"{raised.value!r}{refused}{daemon.report.status()}", *SECRETS)
            written(tmp_path / "group.key", group(2))
            await daemon.reload()
            assert live(daemon) == [group(2).live()] * 2
            assert "reload" not in daemon.report.problems

    asyncio.run(act())


def test_an_endpoint_that_is_made_has_the_keys_that_were_checked(tmp_path: Path) -> None:
    """Whoever changes the file between the check and the opening has not changed the keys: the next reload does."""
    path = member(tmp_path, free_port())

    def read_and_change() -> object:
        found = load(path, {})
        written(tmp_path / "group.key", "not any more a key")
        return found

    async def act() -> None:
        daemon = Daemon(read_and_change)  # type: ignore[arg-type] # what it reads is a Configuration
        task = asyncio.create_task(daemon.run())
        await daemon.running.wait()
        assert live(daemon) == [group().live()] * 2
        assert all(state.status == "up" for states in daemon.node.states().values() for state in states.values())
        daemon.stop()
        await task

    asyncio.run(act())


def numbered(sender: str, first: int, count: int) -> list[Event]:
    """Events with the pair by which a node knows what it has heard twice."""
    headers = {"Core-UUID": f"core-{sender}", "FreeSWITCH-Switchname": sender, "Multicast-Sender": sender}
    return [
        Event("TRAP", headers | {"Event-Sequence": str(number + 1), "Number": str(number)})
        for number in range(first, first + count)
    ]


class Member:
    """A node under load, and what it has heard of each other."""

    def __init__(self, name: str, folder: Path, daemon: Daemon) -> None:
        self.name = name
        self.folder = folder
        self.daemon = daemon
        self.sent = 0
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.gaps: list[Event] = []
        self._tap = daemon.node.tap("test", limit=1_000_000)

    async def fire(self) -> None:
        while True:
            await self.daemon.node.inject(numbered(self.name, self.sent, 5), to=["group"])
            self.sent += 5
            await asyncio.sleep(0.001)

    async def listen(self) -> None:
        while batch := await self._tap.take():
            for event in batch:
                if event.name == "TRAP" and event.sender != self.name:
                    self.heard[str(event.sender)].append(int(event["Number"]))
                elif event.name != "TRAP":
                    self.gaps.append(event)
            self._tap.settle()

    async def take(self, file: KeyFile) -> None:
        """Have the node go over to these keys."""
        written(self.folder / "group.key", file)
        await self.daemon.reload()


@pytest.mark.parametrize("mode", ["sealed", "traced"])
def test_a_rotation_under_load_loses_nothing(tmp_path: Path, mode: str) -> None:
    """Three rotations over three nodes that all send, the order of the hosts another one each time."""
    names, port, dice = ("fs1", "fs2", "fs3"), free_port(), random.Random(5)  # noqa: S311 - a test's dice

    async def act() -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            members = [
                Member(name, tmp_path / name, await stack.enter_async_context(carrying(path)))
                for name, path in ((name, member(tmp_path / name, port, name, mode)) for name in names)
            ]
            work = [tasks.create_task(step) for each in members for step in (each.fire(), each.listen())]
            await until(lambda: all(len(each.heard) == 2 for each in members))
            for file in steps(3):
                for each in dice.sample(members, len(members)):
                    await each.take(file)
                    sent = {other.name: other.sent + 20 for other in members}
                    await until(lambda: all(heard(each, sent) for each in members))  # noqa: B023 - awaited here
            for task in work[::2]:
                task.cancel()
            await until(lambda: all(heard(each, {other.name: other.sent for other in members}) for each in members))
            for each in members:
                others = [other for other in members if other is not each]
                assert {other.name: each.heard[other.name] for other in others} == {
                    other.name: list(range(other.sent)) for other in others
                }
                assert each.gaps == []
            for task in work:
                task.cancel()

    def steps(rotations: int) -> Iterator[KeyFile]:
        file = group()
        for number in range(1, rotations + 1):
            file = file.add(secret(number), file.sending.made)
            yield file
            file = file.switch()
            yield file
            file = file.retire()
            yield file

    def heard(each: Member, sent: dict[str, int]) -> bool:
        return all(len(each.heard[name]) >= count for name, count in sent.items() if name != each.name)

    asyncio.run(act())


def test_other_signers_under_load_lose_nothing(tmp_path: Path) -> None:
    """They take another endpoint: the new one is open before the old one goes, and what both heard is given once."""
    names, port = ("fs1", "fs2"), free_port()
    signing = {name: SigningKey(secret(number), MADE) for number, name in enumerate(names, start=7)}
    lines = [f"{name} {key.public}\n" for name, key in signing.items()]

    def signed(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        written(folder / "signers", "".join(lines))
        written(folder / "own.signing", signing[name])
        more = f'sign_key_file = "{folder}/own.signing"\nsigners_file = "{folder}/signers"'
        return member(folder, port, name, more=more)

    async def act() -> None:
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            one, other = [
                Member(name, tmp_path / name, await stack.enter_async_context(carrying(signed(name)))) for name in names
            ]
            work = [tasks.create_task(step) for each in (one, other) for step in (each.fire(), each.listen())]
            await until(lambda: one.heard and other.heard)
            before = ends(other.daemon)
            written(other.folder / "signers", lines[0])
            await other.daemon.reload()
            assert [after is end for after, end in zip(ends(other.daemon), before, strict=True)] == [False, False]
            for task in work[::2]:
                task.cancel()
            await until(lambda: len(other.heard["fs1"]) >= one.sent and len(one.heard["fs2"]) >= other.sent)
            assert other.heard["fs1"] == list(range(one.sent))
            assert one.heard["fs2"] == list(range(other.sent))
            assert one.gaps == other.gaps == []
            for task in work:
                task.cancel()

    asyncio.run(act())


def test_sighup_has_a_node_look_at_its_key_file(tmp_path: Path) -> None:
    member(tmp_path, free_port())
    with running(tmp_path) as node:
        written(tmp_path / "group.key", group(5))
        node.send(signal.SIGHUP)
        wait_for(lambda: "one key more than the 4" in str(node.ask("status")["problems"]))
        written(tmp_path / "group.key", group(2))
        node.send(signal.SIGHUP)
        wait_for(lambda: "one key more than the 4" not in str(node.ask("status")["problems"]))
        for kind in ("sources", "sinks"):
            assert node.row(kind, "group")["keys"] == list(group(2).live().ids)
        shown = json.dumps([node.ask(verb) for verb in ("status", "peers", "rules", "health")])
        log = node.end()
    entries = [json.loads(line) for line in log.splitlines()]
    (refused,) = (entry for entry in entries if entry["event"] == "reload_refused")
    assert "group.key:7: one key more than the 4 that can be live" in refused["error"]
    assert [entry["sends_with"] for entry in entries if entry["event"] == "rekeyed"] == [group().sending.id] * 2
    assert_hidden(log + shown, *SECRETS)
