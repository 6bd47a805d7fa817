"""The clock of this host: whether the kernel holds it for synchronised, how far off it may be, whether it jumps.

The kernel is told by whoever disciplines the clock (chrony, ntpd, systemd-timesyncd, ``ptp4l``) through adjtimex(2),
and gives back what it was told; asking changes nothing and takes no permission. A service that sets the clock without
telling so (chrony without ``rtcsync``, some guests of hypervisors) leaves it marked as not synchronised.
"""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from typing import Final

__all__ = ["Clock", "ClockReading", "clock_step", "read_clock", "read_times"]

_STA_UNSYNC: Final = 0x0040
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5


class _Timex(ctypes.Structure):
    """``struct timex`` (``sys/timex.h``)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("fraction", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),  # more than there is, as it may grow
    ]


@dataclass(frozen=True, slots=True)
class Clock:
    """What the kernel knows of its clock. Errors in seconds: ``offset`` is what is still being made up for."""

    synchronised: bool
    offset: float
    largest_error: float
    step: float = 0.0
    """Seconds that it was set forward (or back) by while the doctor looked: see ``clock_step``."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Both clocks at one moment, in seconds: the time of day, and the time since the machine was started."""

    wall: float
    since_start: float


def read_clock() -> Clock:
    """What the kernel knows of its clock. Raises ``OSError`` where it may not be asked (some sandboxes forbid it)."""
    asked = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(asked))
    if state < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return clock_of(state, asked.status, asked.offset, asked.maxerror)


def clock_of(state: int, status: int, offset: int, largest_error: int) -> Clock:
    """What adjtimex(2) answered, as seconds: ``offset`` in ns or µs as ``status`` says, ``largest_error`` in µs."""
    return Clock(
        synchronised=state != _TIME_ERROR and not status & _STA_UNSYNC,
        offset=offset / (1e9 if status & _STA_NANO else 1e6),
        largest_error=largest_error / 1e6,
    )


def read_times() -> ClockReading:
    """Both clocks now. A suspended machine's time counts in both."""
    return ClockReading(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def clock_step(before: ClockReading, after: ClockReading) -> float:
    """Seconds by which the time of day was set forward between two readings; negative: back."""
    return (after.wall - before.wall) - (after.since_start - before.since_start)
