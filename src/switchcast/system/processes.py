"""Running programs of one name, and what the kernel tells of each: ``/proc/PID``.

What a process was started with, the libraries that it has mapped and its open files only root and its own user may
see; its name anybody may. What could not be read is ``None``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Process", "find_processes"]

MOST_FOUND: Final = 64
"""Processes of one name that are looked at."""

_MOST_BYTES: Final = 4_194_304
"""Bytes read of a file: ``maps`` has a line for each piece of memory."""


@dataclass(frozen=True, slots=True)
class Process:
    """One running program.

    ``root`` is where its files are found from here: another container's are under ``/proc/PID/root``. ``arguments``
    are the words that it was started with, ``folder`` its working directory, ``mapped`` the files in its memory.
    """

    pid: int
    name: str
    root: Path
    proc: Path
    """Its own folder, ``/proc/PID``."""
    arguments: tuple[str, ...] | None = None
    executable: str | None = None
    folder: str | None = None
    mapped: tuple[str, ...] | None = None
    same_network: bool | None = None
    """Whether it is in this process's network namespace: if not, it has other interfaces, groups and ports."""

    def argument(self, *names: str) -> str | None:
        """The word behind the first of these options: for ``-conf`` the ``/etc/freeswitch`` of ``-conf /etc/...``."""
        words = self.arguments or ()
        return next((words[at + 1] for at, word in enumerate(words[:-1]) if word in names), None)

    def variable(self, name: str) -> str | None:
        """A variable of the environment that it was started in; ``None`` where it has none or may not be seen."""
        for pair in _words(self.proc / "environ") or ():
            key, equals, value = pair.partition("=")
            if key == name and equals:
                return value
        return None


def find_processes(name: str, root: Path = Path("/")) -> tuple[Process, ...]:
    """The processes of that name, the oldest number first. Raises ``OSError`` where there is no ``/proc``."""
    proc = root / "proc"
    numbers = sorted(int(each) for each in os.listdir(proc) if each.isascii() and each.isdigit())
    found: list[Process] = []
    for pid in numbers:
        text = _read(proc / str(pid) / "comm")
        if text is not None and text.strip() == name.encode() and len(found) < MOST_FOUND:
            found.append(_process(proc, pid, name, root))
    return tuple(found)


def _process(proc: Path, pid: int, name: str, root: Path) -> Process:
    folder = proc / str(pid)
    own_files = _same(folder / "ns/mnt", proc / "self/ns/mnt")
    maps = _read(folder / "maps")
    return Process(
        pid=pid,
        name=name,
        root=folder / "root" if own_files is False else root,
        proc=folder,
        arguments=_words(folder / "cmdline"),
        executable=_target(folder / "exe"),
        folder=_target(folder / "cwd"),
        mapped=None if maps is None else tuple(dict.fromkeys(_mapped(maps))),
        same_network=_same(folder / "ns/net", proc / "self/ns/net"),
    )


def _mapped(maps: bytes) -> Iterator[str]:
    """The file of each line: addresses, rights, offset, device, inode, path."""
    for line in maps.decode("utf-8", "replace").splitlines():
        words = line.split(None, 5)
        if len(words) == 6 and words[5].startswith("/"):
            yield words[5].removesuffix(" (deleted)")


def _words(path: Path) -> tuple[str, ...] | None:
    text = _read(path)
    return None if text is None else tuple(word.decode("utf-8", "replace") for word in text.rstrip(b"\0").split(b"\0"))


def _same(one: Path, other: Path) -> bool | None:
    """Whether both are one namespace."""
    targets = _target(one), _target(other)
    return None if None in targets else targets[0] == targets[1]


def _target(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        with open(path, "rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError:
        return None
