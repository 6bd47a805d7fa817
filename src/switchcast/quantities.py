"""Lengths of time and sizes as people write them: ``20s``, ``64MiB``.

Settings, options of URLs and those of the command line take the same words.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["parse_duration", "parse_size"]

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_LONGEST: Final = 100 * 365 * 86400
_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9, None: 1}


def parse_duration(value: Any) -> float:
    """``"500ms"``, ``"20s"``, ``"5m"``, ``"1h"``, ``"2d"``, or a number of seconds. Raises ``ValueError``."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise ValueError("write a length of time as 500ms, 20s, 5m, 1h or 2d")
    if not 0 < seconds <= _LONGEST:
        raise ValueError("a length of time is more than 0 and at most 100 years; write 500ms, 20s, 5m, 1h or 2d")
    return seconds


def parse_size(value: Any) -> int:
    """``"64 KiB"``, ``"1MiB"``, ``"10MB"``, or a number of bytes. Raises ``ValueError``."""
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        return int(found[1]) * _BYTES[found[2]]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("write a size as 4096, 64KiB, 1MiB or 10MB")
