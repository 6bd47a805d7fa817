"""Which processes hold a socket: the numbers (inodes) that ``/proc/net/udp`` gives, found in ``/proc/PID/fd``.

Only root, and the user that a process runs as, may look into it. A socket whose process cannot be seen has no owner
here, and ``Owners.hidden`` tells which processes could not be looked into: an answer of "nobody" is sure only where
none is. Processes of other PID namespaces (of containers, seen from inside one) are not there at all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["Owner", "Owners", "read_owners"]

MOST_PROCESSES: Final = 65_536
MOST_FILES: Final = 1_048_576
"""Open files of all processes together that are looked at: a busy host's take a second or two."""

_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """One process: its number and its name, as the kernel keeps it (15 bytes)."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Owners:
    """Who holds which socket. ``by_inode`` has those that were found, the lowest process number first."""

    by_inode: Mapping[int, tuple[Owner, ...]] = field(default_factory=dict)
    hidden: frozenset[int] = frozenset()
    """Numbers of the processes that could not be looked into."""

    def of(self, inode: int) -> tuple[Owner, ...] | None:
        """Who holds the socket of this number; ``None`` where that cannot be told."""
        return self.by_inode.get(inode) or (None if self.hidden else ())


def read_owners(inodes: Collection[int], root: Path = Path("/")) -> Owners:
    """Who holds the sockets of these numbers. Raises ``OSError`` where there is no ``/proc``."""
    wanted = set(inodes)
    found: dict[int, list[Owner]] = {}
    left = MOST_FILES
    processes = sorted(int(name) for name in os.listdir(root / "proc") if name.isascii() and name.isdigit())
    hidden = set(processes[MOST_PROCESSES:])
    for pid in processes[:MOST_PROCESSES]:
        if left <= 0:
            hidden.add(pid)
            continue
        folder = root / "proc" / str(pid)
        try:
            names = os.listdir(folder / "fd")[:left]
            numbers = _sockets(folder / "fd", names)
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        except OSError:
            hidden.add(pid)
            continue
        left -= len(names)
        for inode in numbers & wanted:
            found.setdefault(inode, []).append(Owner(pid, _name(folder)))
    return Owners({inode: tuple(owners) for inode, owners in found.items()}, frozenset(hidden))


def _sockets(folder: Path, names: list[str]) -> set[int]:
    """Raises ``PermissionError``: root without CAP_SYS_PTRACE, as in a container, may see the names, not the files."""
    numbers = set()
    for name in names:
        try:
            target = os.readlink(folder / name)
        except PermissionError:
            raise
        except OSError:
            continue  # closed meanwhile
        if match := _SOCKET.fullmatch(target):
            numbers.add(int(match[1]))
    return numbers


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_bytes().decode("utf-8", "replace").strip() or "?"
    except OSError:
        return "?"
