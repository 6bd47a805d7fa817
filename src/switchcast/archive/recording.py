"""Writes an archive from a thread of its own, so that whoever hands events over never waits for a disk.

What cannot be written is told at once: ``on_fault`` is called with the error, the thread tries again once a second, and
what it has been given meanwhile stays with it, in bounded memory. Whoever hears of a fault holds further events back.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from switchcast._native import Event
from switchcast.archive.settings import ArchiveSettings
from switchcast.archive.writing import ArchiveWriter
from switchcast.errors import SwitchcastError

__all__ = ["BACKLOG_EVENTS", "COMMIT_EVENTS", "Recorder"]

BACKLOG_EVENTS: Final = 8_192
"""Events that are taken in and not on the disk yet: 19 MB at the median size of a recorded event."""
COMMIT_EVENTS: Final = 4_096
"""Events after which a commit does not wait for its time."""
AGAIN_SECONDS: Final = 1.0
"""Between two attempts while nothing can be written."""

log = structlog.get_logger("switchcast")


class Recorder:
    """A thread with an archive's writer. ``changed`` is called from it whenever one of the figures here has changed.

    ``backlog`` is how many events are taken in and not on the disk, ``committed`` how many are there, ``lost`` how many
    were given up at the end, ``failures`` how many attempts failed, ``outages`` how many times writing stopped.
    ``fault`` is why nothing is written now.
    """

    def __init__(
        self, directory: Path, settings: ArchiveSettings, interval: float, changed: Callable[[], None]
    ) -> None:
        self.backlog = self.committed = self.lost = self.commits = self.failures = self.outages = self.removed = 0
        self.fault: SwitchcastError | None = None
        self.opened = self.ended = False
        self.error: BaseException | None = None
        """What ended it: at the opening, or for good."""
        self._directory = directory
        self._settings = settings
        self._interval = interval
        self._changed = changed
        self._counting = threading.Lock()
        self._inbox: queue.SimpleQueue[Sequence[Event] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"archive {directory}", daemon=True)

    def start(self) -> None:
        """Open the archive; ``opened`` or ``error`` says how that came out."""
        self._thread.start()

    def put(self, events: Sequence[Event]) -> None:
        """Hand ``events`` over."""
        with self._counting:
            self.backlog += len(events)
        self._inbox.put(events)

    def end(self) -> None:
        """Commit what is left, and let go; ``ended`` says when that is done."""
        self._inbox.put(None)

    def _run(self) -> None:
        try:
            with contextlib.closing(ArchiveWriter(self._directory, self._settings)) as writer:
                self.opened = True
                self._changed()
                self._work(writer)
            self.committed, self.backlog = self.committed + self.backlog, 0
        except BaseException as error:  # noqa: BLE001 - whoever waits for the thread raises it
            self.error = error
        finally:
            self.ended = True
            if self.opened and self.backlog:
                self.lost, self.backlog = self.backlog, 0
                log.error("archive_events_lost", directory=str(self._directory), events=self.lost)
            self._changed()

    def _work(self, writer: ArchiveWriter) -> None:
        due: float | None = None
        while True:
            try:
                events = self._inbox.get(timeout=None if due is None else max(due - time.monotonic(), 0.0))
            except queue.Empty:
                events = ()
            if events is None:
                return  # closing the writer commits the rest
            if events:
                writer.write(events)
                due = time.monotonic() + self._interval if due is None else due
            if due is not None and (time.monotonic() >= due or self._many(writer)):
                due = None if self._commit(writer) else time.monotonic() + AGAIN_SECONDS

    def _many(self, writer: ArchiveWriter) -> bool:
        return self.fault is None and writer.pending >= COMMIT_EVENTS

    def _commit(self, writer: ArchiveWriter) -> bool:
        """Whether it came about; what is wrong is told once, and once more when it is well again."""
        try:
            written = writer.commit()
        except SwitchcastError as error:
            self.failures += 1
            if self.fault is None:
                self.outages += 1
                log.error("archive_not_written", directory=str(self._directory), error=str(error))  # noqa: TRY400
            self.fault = error
            self._changed()
            return False
        if self.fault is not None:
            log.warning("archive_written_again", directory=str(self._directory))
            self.fault = None
        with self._counting:
            self.backlog -= written.events
        self.committed += written.events
        self.commits += 1
        self.removed = writer.removed
        self._changed()
        return True
