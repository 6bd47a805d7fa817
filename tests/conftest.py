"""What every test shares: the recorded datagrams, and a watch for whatever a test leaves behind.

After each test no thread, open file or unfinished asyncio task may be left. In CI a skipped test is a failed one.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from doctor_hosts import linked, restored
from namespaces import Host
from recordings import DATA, read_pcap

collect_ignore = [] if find_spec("genesis") else ["test_genesis_peer.py"]
"""Third-party clients have an environment of their own, in which ``make test`` runs these."""
SETTLING_SECONDS = 5.0
"""How long a thread or descriptor that is on its way out may take; a clean test never waits for it."""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user reaches, as those of ``tmp_path`` are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def linked_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts in namespaces, for the doctor's tests of one file."""
    with linked() as hosts:
        yield hosts


@pytest.fixture
def pair(linked_hosts: tuple[Host, Host]) -> Iterator[tuple[Host, Host]]:
    """The same two for each test, which are set right again after it."""
    with restored(linked_hosts) as pair:
        yield pair


@pytest.fixture(scope="session")
def plain_datagrams() -> list[tuple[int, bytes]]:
    """The plain recording: time in nanoseconds since 1970 and the datagram, in the order sent."""
    return read_pcap(DATA / "stock-plain.pcap.gz")


@pytest.fixture(scope="session")
def psk_datagrams() -> list[tuple[int, bytes]]:
    """The recording under the pre-shared key ``ClueCon``, in the same form."""
    return read_pcap(DATA / "stock-psk.pcap.gz")


@pytest.fixture(scope="session")
def decoded_events() -> list[dict[str, Any]]:
    """What FreeSWITCH's own receiver re-fired for the plain recording; ``data/README.md`` says where it is wrong."""
    with gzip.open(DATA / "stock-plain.decoded.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="session")
def wiki_examples() -> list[dict[str, Any]]:
    """The seven events of the module's wiki page: ``kind`` and ``headers``, a list of name and value on the wire."""
    with open(DATA / "wiki-2008-examples.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def open_descriptors() -> dict[int, str]:
    """Number and target of each open file of this process."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the one that listed the directory
            continue
    return found


def live_threads() -> dict[int, str]:
    """Number and, where Python knows it, name of each thread of this process, the native ones too."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    return {int(number): names.get(int(number), "native") for number in os.listdir("/proc/self/task")}


def left_over(before: dict[int, str], now: Callable[[], dict[int, str]]) -> list[str]:
    """What ``now`` tells of that ``before`` did not, once everything that is going has gone."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while True:
        left = [f"{number} ({name})" for number, name in sorted(now().items()) if before.get(number) != name]
        if not left or time.monotonic() > deadline:
            return left
        gc.collect()
        time.sleep(0.01)


LOGS = structlog.get_config()
"""How logs are written while no command says otherwise."""


@pytest.fixture(autouse=True)
def logs_as_at_the_start() -> None:
    """Undo what commands that ran in this process, for a test or for what several share, have made of the logs."""
    structlog.configure(**LOGS)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, an open file or an unfinished asyncio task."""
    unfinished: list[str] = []
    run = asyncio.run

    def watched_run(main: Coroutine[Any, Any, Any], **options: Any) -> Any:
        async def watch() -> Any:
            try:
                return await main
            finally:
                unfinished.extend(await unfinished_tasks())

        return run(watch(), **options)

    descriptors, threads = open_descriptors(), live_threads()
    asyncio.run = watched_run
    try:
        yield
    finally:
        asyncio.run = run
    left = [f"unfinished task {task}" for task in unfinished]
    left += [f"thread {thread}" for thread in left_over(threads, live_threads)]
    left += [f"open file {descriptor}" for descriptor in left_over(descriptors, open_descriptors)]
    if left:
        pytest.fail("the test left behind: " + "; ".join(left), pytrace=False)


async def unfinished_tasks() -> list[str]:
    """Tasks that still run although the test's own coroutine has ended; those about to end are given a few turns."""
    turns = 20
    while (left := asyncio.all_tasks() - {asyncio.current_task()}) and turns:
        await asyncio.sleep(0)
        turns -= 1
    return [repr(task) for task in left]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that was skipped has not shown what it is there to show."""
    return fail_if_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that is skipped."""
    return fail_if_skipped((yield))


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def fail_if_skipped(report: Report) -> Report:
    """``report``, as a failure if it tells of a skip and this is CI."""
    if report.skipped and "CI" in os.environ and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as failed in CI: {reason}"
    return report
