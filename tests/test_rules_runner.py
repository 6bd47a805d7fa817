"""The runner: bounded, in order, one rule apart from another, and true to its promise when it is killed."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from acting import Emitted, Gate, act, adds_up, counts, emitting, firings, idle, keyed, numbered, rule, running
from hypothesis import given, settings
from hypothesis import strategies as st
from sockets import PATIENCE, until

from switchcast._native import Event
from switchcast.errors import ConfigurationError
from switchcast.rules import runner as runner_module
from switchcast.rules.actions.log import Log
from switchcast.rules.job import Job
from switchcast.rules.lane import Lane
from switchcast.rules.runner import Runner
from switchcast.rules.settings import LogSettings, RuleSettings


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4), st.integers())
def test_a_key_keeps_its_order_and_never_runs_twice_at_once(keys: list[int], concurrency: int, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - no secret
    began: list[Job] = []
    runs: set[str] = set()

    async def carry_out(_lane: Lane, job: Job) -> None:
        assert job.key not in runs
        runs.add(job.key)
        began.append(job)
        assert len(runs) <= concurrency
        for _turn in range(dice.randrange(4)):
            await asyncio.sleep(0)
        runs.remove(job.key)

    async def main() -> None:
        acting = rule(key="{h[Key]}", concurrency=concurrency, queue=20)
        lane = Lane(acting, Log("test", "", LogSettings(message="")), carry_out)
        jobs = [Job.of("test", f"{key}", keyed(number, key)) for number, key in enumerate(keys)]
        accepted = []
        for job in jobs:
            if lane.accept():
                lane.add(job)
                accepted.append(job)
            for _ in range(dice.randrange(3)):
                await asyncio.sleep(0)  # the worker takes what is there
        async with asyncio.timeout(PATIENCE):
            await lane.drained()
        assert len(accepted) + lane.counts["refused_queue_full"] == len(jobs)
        for key in set(keys):
            assert [job for job in began if job.key == f"{key}"] == [job for job in accepted if job.key == f"{key}"]
        assert await lane.stop() == 0

    asyncio.run(main())


@pytest.mark.parametrize("delivery", ["at-most-once", "at-least-once"])
def test_order_holds_through_the_journal(tmp_path: Path, delivery: str) -> None:
    acting = emitting(key="{h[Key]}", concurrency=4, delivery=delivery)

    async def main() -> None:
        gate = Gate()
        gate.open.set()
        async with running(tmp_path, acting, emit=gate) as runner:
            for start in range(0, 500, 10):
                await runner.submit(firings(acting, [keyed(start + each, each % 7) for each in range(10)], "Key"))
                await asyncio.sleep(0)
            assert (await idle(runner))["done"] == 500
        done: dict[str, list[int]] = defaultdict(list)
        for event, _ in gate.events:
            done[event["Key"]].append(int(event["Number"]))
        assert all(numbers == sorted(numbers) for numbers in done.values())

    asyncio.run(main())


def test_keys_take_turns_and_concurrency_is_used(tmp_path: Path) -> None:
    acting = emitting(key="{h[Key]}", concurrency=3)

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, acting, emit=gate) as runner:
            events = [keyed(number, "busy") for number in range(50)] + [keyed(100, "a"), keyed(101, "b")]
            await runner.submit(firings(acting, events, "Key"))
            await until(lambda: len(gate.held) == 3)
            assert sorted(gate.held) == ["a", "b", "busy"]
            gate.open.set()
            await idle(runner)
            assert gate.most == 3

    asyncio.run(main())


def test_without_a_key_order_is_that_of_one_at_a_time(tmp_path: Path) -> None:
    single, several = emitting("single"), emitting("several", concurrency=4)

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, single, several, emit=gate) as runner:
            await runner.submit(firings(single, [numbered(number) for number in range(20)]))
            await until(lambda: len(gate.held) == 1)
            await runner.submit(firings(several, [numbered(number) for number in range(100, 120)]))
            await until(lambda: len(gate.held) == 5)
            gate.open.set()
            await idle(runner, "single")
            await idle(runner, "several")
            assert [number for number in gate.numbers if number < 100] == list(range(20))
            assert gate.most == 5

    asyncio.run(main())


@pytest.mark.parametrize("delivery", ["at-most-once", "at-least-once"])
def test_a_storm_holds_the_limits(tmp_path: Path, delivery: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten seconds of 10,000 firings a second, as fast as they can be handed over."""
    acting = emitting(queue=100, concurrency=2, key="{h[Key]}", delivery=delivery)
    storm = 100_000

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, acting, emit=gate) as runner:
            numbers = itertools.count()
            while (sent := next(numbers) * 1000) < storm:
                events = [keyed(sent + each, each % 7) for each in range(1000)]
                await runner.submit(firings(acting, events, "Key"))
                counted = counts(runner)
                assert counted["waiting"] <= 100
                assert counted["running"] <= 2
                assert counted["accepted"] + counted["refused_queue_full"] == sent + 1000
            await until(lambda: len(gate.held) == 2)
            assert counts(runner)["accepted"] <= 102 + 2
            gate.open.set()
            counted = await idle(runner)
            assert counted["done"] == counted["accepted"]
            assert adds_up(counted)
            assert gate.most == 2

    asyncio.run(main())
    assert 1 <= capsys.readouterr().out.count("rule_queue_full") < 20


def test_a_storm_that_is_acted_on_is_all_done_and_little_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    acting = emitting(queue=20_000)
    emitted = Emitted()

    async def main() -> None:
        async with running(tmp_path, acting, emit=emitted) as runner:
            for start in range(0, 10_000, 500):
                await runner.submit(firings(acting, [numbered(start + each) for each in range(500)]))
                await asyncio.sleep(0)
            assert (await idle(runner))["done"] == 10_000
            assert len(runner.log(100_000)) == runner_module.LOG_ENTRIES
            assert [entry["event_id"] for entry in runner.log(2)] == [
                f"0e7e9e04-5fd1-4b45-9d77-5a8f7f2c1ea3:{number}:MESSAGE_WAITING/test" for number in (9_999, 9_998)
            ]

    asyncio.run(main())
    assert [int(event["Number"]) for event, _ in emitted.events] == list(range(10_000))
    assert capsys.readouterr().out.count("rule_done") < 1_000, "not a line for each, however slow the machine"


def test_the_results_that_are_remembered_are_bounded_in_size_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "LOG_CHARACTERS", 1_000)
    acting = rule(run=["/bin/echo", "{h[X]}"])

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            for number, size in enumerate([300, 300, 300, 300, 5_000]):
                await act(runner, acting, numbered(number, {"X": "x" * size}))
                outputs = [len(entry["output"]) for entry in runner.log()]
                assert outputs[0] == size + 1
                assert outputs == outputs[:1] or sum(outputs) <= 1_000

    asyncio.run(main())


def test_an_action_that_waits_for_nothing_lets_all_else_run(tmp_path: Path) -> None:
    acting = rule(log={"message": "{name}", "level": "debug"}, queue=5_000)

    async def main() -> None:
        async with running(tmp_path, acting) as runner:
            await runner.submit(firings(acting, [numbered(number) for number in range(5_000)]))
            turns = 0
            while counts(runner)["done"] < 5_000:
                await asyncio.sleep(0)
                turns += 1
            assert turns > 1_000

    asyncio.run(main())


def test_rules_do_not_disturb_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hanging, broken, working = emitting("hanging"), emitting("broken"), rule("working", run=["/bin/true"])

    async def emit(events: list[Event], to: Sequence[str]) -> None:
        if events[0]["Switchcast-Origin"].endswith("/hanging"):
            await asyncio.Event().wait()
        raise ZeroDivisionError(f"a fault at {to}")

    async def main() -> None:
        async with running(tmp_path, hanging, broken, working, emit=emit) as runner:
            for settings_ in (hanging, broken, working):
                await runner.submit(firings(settings_, [numbered(number) for number in range(5)]))
            assert (await idle(runner, "working"))["done"] == 5
            assert (await idle(runner, "broken"))["failed"] == 5
            assert counts(runner, "hanging")["running"] == 1
            assert "a fault of ours: ZeroDivisionError" in runner.log()[-1]["detail"] + runner.log()[0]["detail"]
            assert await runner.stop() == 5
            assert all(adds_up(counts(runner, name)) for name in ("hanging", "broken", "working"))

    asyncio.run(main())
    assert "rule_fault" in capsys.readouterr().out


def test_a_stop_gives_what_is_under_way_its_time(tmp_path: Path) -> None:
    acting = emitting()

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, acting, emit=gate) as runner:
            await runner.submit(firings(acting, [numbered(number) for number in range(10)]))
            stopping = asyncio.create_task(runner.stop(PATIENCE))
            await until(lambda: gate.held)
            await runner.submit(firings(acting, [numbered(99)]))
            assert counts(runner)["refused_stopping"] == 1
            gate.open.set()
            assert await stopping == 0
            assert gate.numbers == list(range(10))
            assert await runner.stop() == 0, "twice is harmless"

    asyncio.run(main())


def test_what_a_stop_leaves_is_replayed_where_it_was_promised(tmp_path: Path) -> None:
    rules = emitting("least", delivery="at-least-once"), emitting("most")

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, *rules, emit=gate) as runner:
            for each in rules:
                await runner.submit(firings(each, [numbered(number) for number in range(10)]))
            await until(lambda: len(gate.held) == 2)
            assert await runner.stop() == 20
        gate = Gate()
        gate.open.set()
        async with running(tmp_path, *rules, emit=gate) as runner:
            counted = await idle(runner, "least")
            assert (counted["replayed"], counted["done"]) == (10, 10)
            assert gate.numbers == list(range(10))
            assert await runner.stop() == 0
        async with running(tmp_path, *rules, emit=gate) as runner:
            assert counts(runner, "least")["replayed"] == 0

    asyncio.run(main())


def test_a_stop_right_after_a_submission_loses_nothing_that_was_promised(tmp_path: Path) -> None:
    acting = emitting(delivery="at-least-once", queue=5_000)

    async def main() -> None:
        gate = Gate()
        async with running(tmp_path, acting, emit=gate) as runner:
            await runner.submit(firings(acting, [numbered(number) for number in range(3_000)]))
            assert await runner.stop() == 3_000
            assert adds_up(counts(runner))
        async with running(tmp_path, acting, emit=gate) as runner:
            assert counts(runner)["replayed"] == 3_000

    asyncio.run(main())


def test_a_rule_that_is_no_more_leaves_dead_letters(tmp_path: Path) -> None:
    acting = emitting(delivery="at-least-once")

    async def main() -> None:
        async with running(tmp_path, acting, emit=Gate()) as runner:
            await runner.submit(firings(acting, [numbered(1)]))
        emitted = Emitted()
        async with running(tmp_path, emitting("another"), emit=emitted) as runner:
            (letter,) = await runner.dead_letters()
            assert letter["why"] == "there is no rule test any more"
            assert await runner.replay() == 0, "not without its rule"
        async with running(tmp_path, acting, emit=emitted) as runner:
            assert await runner.replay([letter["id"]]) == 1
            assert (await idle(runner))["done"] == 1
            assert len(emitted.events) == 1
            assert await runner.dead_letters() == []

    asyncio.run(main())


def test_what_failed_is_a_dead_letter_where_it_was_promised(tmp_path: Path) -> None:
    marker = tmp_path / "mended"
    command = ["/bin/ls", str(marker)]
    least, most = rule("least", run=command, delivery="at-least-once"), rule("most", run=command)

    async def main() -> None:
        async with running(tmp_path, least, most) as runner:
            for each in (least, most):
                await act(runner, each, numbered(1))
                assert counts(runner, each.name)["failed"] == 1
            (letter,) = await runner.dead_letters()
            assert (letter["rule"], letter["why"]) == ("least", "exit 2")
            assert await runner.replay() == 1
            await idle(runner, "least")
            assert len(await runner.dead_letters()) == 1, "it failed once more"
            marker.touch()
            assert await runner.replay() == 1
            assert (await idle(runner, "least"))["done"] == 1
            assert await runner.dead_letters() == []
            assert adds_up(counts(runner, "least"))

    asyncio.run(main())


def test_an_event_that_comes_again_is_acted_on_once(tmp_path: Path) -> None:
    acting = emitting()
    emitted = Emitted()

    async def main() -> None:
        for duplicates in (1, 2):
            async with running(tmp_path, acting, emit=emitted) as runner:
                await act(runner, acting, numbered(1), numbered(1))
                counted = await idle(runner)
                assert counted["refused_duplicate"] == duplicates
                assert adds_up(counted)

    asyncio.run(main())
    assert len(emitted.events) == 1


def test_a_journal_that_cannot_be_written_breaks_no_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchcast.rules.journal.JournalFile.keep", fail)
    monkeypatch.setattr("switchcast.rules.journal.JournalFile.mark", fail)
    rules = emitting("least", delivery="at-least-once"), emitting("most")
    emitted = Emitted()

    async def main() -> None:
        async with running(tmp_path, *rules, emit=emitted) as runner:
            for each in rules:
                await runner.submit(firings(each, [numbered(number) for number in range(3)]))
                assert adds_up(await idle(runner, each.name))
            least, most = counts(runner, "least"), counts(runner, "most")
            assert (least["done"], least["unjournalled"]) == (3, 3)
            assert (most["done"], most["refused_unwritten"]) == (0, 3)

    asyncio.run(main())
    assert len(emitted.events) == 3


def fail(*_: object) -> bool:
    raise OSError(28, "No space left on device")


def test_a_rule_of_another_runner_is_a_mistake(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, rule("one")) as runner:
            with pytest.raises(KeyError, match="two"):
                await runner.submit(firings(rule("one"), [numbered(1)]) + firings(rule("two"), [numbered(1)]))
            assert counts(runner, "one")["accepted"] == 0

    asyncio.run(main())


@pytest.mark.parametrize(("kind", "table"), [("esl-api", {"command": ["status"]}), ("esl-event", {"subclass": "a::b"})])
def test_an_endpoint_that_is_none_is_told(tmp_path: Path, kind: str, table: dict[str, Any]) -> None:
    acting = RuleSettings.model_validate({"name": "test", kind: table | {"endpoint": "swich"}})
    with pytest.raises(ConfigurationError, match=rf"rule test: {kind}\.endpoint: 'swich' is no endpoint; add one"):
        Runner([acting], endpoints={}, emit=Emitted(), state_dir=tmp_path, node="")
