"""The kernel's limits and settings that decide whether datagrams arrive: ``/proc/sys``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from switchcast.system.files import read_sysctl

__all__ = ["SYSCTLS", "KernelLimits", "read_limits", "sysctl_name"]

SYSCTLS: Final = {
    "rmem_max": "net/core/rmem_max",
    "rmem_default": "net/core/rmem_default",
    "wmem_max": "net/core/wmem_max",
    "wmem_default": "net/core/wmem_default",
    "igmp_max_memberships": "net/ipv4/igmp_max_memberships",
    "igmp_max_msf": "net/ipv4/igmp_max_msf",
    "ipfrag_high_thresh": "net/ipv4/ipfrag_high_thresh",
    "ipfrag_time": "net/ipv4/ipfrag_time",
    "ipfrag_max_dist": "net/ipv4/ipfrag_max_dist",
    "ip6frag_high_thresh": "net/ipv6/ip6frag_high_thresh",
    "ip6frag_time": "net/ipv6/ip6frag_time",
    "ipv6_disabled": "net/ipv6/conf/all/disable_ipv6",
}
"""Each limit and its place below ``/proc/sys``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLimits:
    """Sizes are in bytes, times in seconds; ``None`` where the kernel has none such.

    In a network namespace of its own, a container's for example, ``net.core`` is often not there.
    """

    rmem_max: int | None = None
    rmem_default: int | None = None
    wmem_max: int | None = None
    wmem_default: int | None = None
    igmp_max_memberships: int | None = None
    """Groups that one socket may join."""
    igmp_max_msf: int | None = None
    """Senders that one socket may name for a group."""
    ipfrag_high_thresh: int | None = None
    """Memory for fragments that wait for the rest of their datagram."""
    ipfrag_time: int | None = None
    """How long they wait."""
    ipfrag_max_dist: int | None = None
    ip6frag_high_thresh: int | None = None
    ip6frag_time: int | None = None
    ipv6_disabled: int | None = None


def read_limits(root: Path = Path("/")) -> KernelLimits:
    """All of them, now."""
    return KernelLimits(**{each.name: read_sysctl(SYSCTLS[each.name], root) for each in fields(KernelLimits)})


def sysctl_name(limit: str) -> str:
    """``rmem_max`` as sysctl(8) names it: ``net.core.rmem_max``."""
    return SYSCTLS[limit].replace("/", ".")
