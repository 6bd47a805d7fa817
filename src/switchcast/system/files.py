"""Files of ``/proc`` and ``/sys``, of the network namespace that the calling thread is in.

``/proc/net`` is that of the process's first thread; ``/proc/thread-self/net`` is ours also after setns(2).
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["net_file", "read_sysctl", "read_text"]


def read_text(path: Path) -> str:
    """What a file holds, whatever its bytes are. Raises ``OSError``."""
    return path.read_text(encoding="utf-8", errors="replace")


def net_file(name: str, root: Path) -> str:
    """``/proc/net/NAME``. Raises ``OSError``; a kernel without IPv6 has no ``udp6``, ``igmp6`` and ``snmp6``."""
    ours = root / "proc/thread-self/net"
    return read_text((ours if ours.is_dir() else root / "proc/net") / name)


def read_sysctl(name: str, root: Path) -> int | None:
    """A sysctl that is one whole number, with ``/`` between its parts; ``None`` where the kernel has none such."""
    try:
        return int(read_text(root / "proc/sys" / name))
    except (OSError, ValueError):
        return None
