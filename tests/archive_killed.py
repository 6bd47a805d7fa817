"""What ``test_archive_killed`` kills: a process that forks a writer for each line that it reads, and reaps it.

A line is ``DIRECTORY FIRST SEED``. The writer tells its process id, then, for every commit that has returned, the
position and the number of the last event, and goes on until it is killed.
"""

from __future__ import annotations

import os
import random
import sys

from archiving import NOON, numbered

from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.writing import ArchiveWriter

SETTINGS = ArchiveSettings.model_validate({"segment": "1MiB"})


def write_for_ever(directory: str, first: int, seed: int) -> None:
    """Commit after commit, of few events and of many."""
    dice = random.Random(seed)  # noqa: S311
    os.write(1, f"{os.getpid()}\n".encode())
    with ArchiveWriter(directory, SETTINGS, now=lambda: NOON) as writer:
        number = first
        while True:
            count = dice.choice((1, 2, 40, 300))
            writer.write(numbered(number + each, None, {"Filling": dice.randbytes(60).hex()}) for each in range(count))
            number += count
            os.write(1, f"{writer.commit().position} {number - 1}\n".encode())


def main() -> None:
    """Fork at every line of standard input; end with it."""
    for line in sys.stdin:
        directory, first, seed = line.split()
        child = os.fork()
        if not child:
            write_for_ever(directory, int(first), int(seed))
        os.waitpid(child, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
