"""What is removed from an archive: whole segments, oldest first, never the newest."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from switchcast.archive.segment import (
    file_bytes,
    files_of,
    open_reading,
    segment_path,
    segments_in,
    sync_folder,
)
from switchcast.errors import SwitchcastError

__all__ = ["latest_time", "remove_old"]

_LEFT_OVER: Final = (".sqlite-wal", ".sqlite-shm", ".sqlite-journal")

log = structlog.get_logger("switchcast")


def remove_old(directory: Path, keep: float, size: int, now: int, known: Mapping[str, int] | None = None) -> list[str]:
    """Remove what is older than ``keep`` seconds at ``now`` (ns), and the oldest beyond ``size`` bytes; their names.

    ``known`` has the latest times (ns) of segments that are not written to any more. Raises ``OSError``.
    """
    segments = segments_in(directory)
    sizes = {segment: file_bytes(segment_path(directory, segment)) for segment in segments}
    total, removed = sum(sizes.values()), []
    for segment in segments[:-1]:
        latest = (known or {}).get(segment)
        if latest is None:
            latest = latest_time(segment_path(directory, segment))
        too_old = latest is not None and latest < now - keep * 1e9
        if not too_old and total <= size:
            break
        _remove(segment_path(directory, segment))
        total -= sizes[segment]
        removed.append(segment)
        log.info("archive_segment_removed", segment=segment, why="age" if too_old else "size", bytes=sizes[segment])
    if removed:
        sync_folder(directory)
    return removed


def latest_time(path: Path) -> int | None:
    """The latest time (ns) of a segment's events; ``None`` where it holds none, or cannot be read."""
    try:
        db = open_reading(path)
    except (sqlite3.Error, SwitchcastError):
        return None
    if db is None:
        return None
    try:
        latest: int | None = db.execute("SELECT max(end) FROM blocks").fetchone()[0]
    except sqlite3.Error:
        return None
    finally:
        db.close()
    return latest


def _remove(path: Path) -> None:
    """The file itself first: what is beside it means nothing alone, and its name never comes again."""
    for each in files_of(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each)


def clear_left_over(directory: Path) -> None:
    """Remove what a removal that was interrupted has left beside a file that is gone."""
    names = set(os.listdir(directory))
    for name in names:
        for ending in _LEFT_OVER:
            if name.endswith(ending) and name.removesuffix(ending) + ".sqlite" not in names:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(directory / name)
