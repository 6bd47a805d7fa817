"""What was reported written is there after ``kill -9``, at whatever moment that comes."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

from archiving import number_of, segments

from switchcast.archive.reading import ArchiveReader
from switchcast.archive.recovery import check

KILLS = 50
ROUND = 1_000_000
"""Numbers from one writer's first event to the next one's."""
WRITER = Path(__file__).with_name("archive_killed.py")


def one_life(commands: IO[str], told: IO[str], directory: Path, life: int, dice: random.Random) -> dict[str, int]:
    """Let a writer write, kill it some time after it has reported a few commits; everything that it reported."""
    print(directory, life * ROUND, life, file=commands, flush=True)
    process = int(told.readline())
    wanted = dice.randrange(12)
    lines = [told.readline() for _ in range(wanted)]
    os.kill(process, signal.SIGKILL)
    lines += itertools.takewhile(lambda line: line != "gone\n", told)
    whole = [line.removesuffix("gone\n").split() for line in lines if line.endswith("\n")]
    return {position: int(number) for position, number in (words for words in whole if len(words) == 2)}


def test_killed_fifty_times_nothing_that_was_reported_is_lost(tmp_path: Path) -> None:
    directory = tmp_path / "archive"
    dice = random.Random(1)  # noqa: S311
    reported: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for life in range(KILLS):
            reported |= one_life(writer.stdin, writer.stdout, directory, life, dice)
        writer.stdin.close()
    assert len(reported) > KILLS
    assert len(segments(directory)) > 1
    found = {stored.position: number_of(stored.event) for stored in ArchiveReader(directory).events()}
    assert found.items() >= reported.items(), "each where it was reported to be"
    for life, numbers in itertools.groupby(found.values(), lambda number: number // ROUND):
        first_to_last = list(numbers)
        assert first_to_last == list(range(life * ROUND, life * ROUND + len(first_to_last))), "in order, without a hole"
        last_reported = max((number for number in reported.values() if number // ROUND == life), default=-1)
        assert first_to_last[-1] >= last_reported
    assert [fault for checked in check(directory) for fault in checked.faults] == []
