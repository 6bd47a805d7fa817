"""Points in time as people write them, for ``since`` and ``until``."""

from __future__ import annotations

import datetime as dt
import re

from switchcast.quantities import parse_duration

__all__ = ["parse_time"]

_AGO = re.compile(r"\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)")
_EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_time(text: str, now: int) -> int:
    """Nanoseconds since 1970 UTC: ``2026-11-23``, ``2026-11-23T14:05``, ``14:05``, or ``2h``, which is two hours ago.

    A time is this host's own unless it says otherwise (``Z``, ``+01:00``); ``14:05`` is today's. ``now`` is in
    nanoseconds too. Raises ``ValueError`` with what would do.
    """
    text = text.strip()
    if _AGO.fullmatch(text):
        return max(now - round(parse_duration(text) * 1e9), 0)
    moment = _moment(text, now)
    if moment is None:
        raise ValueError("write 2026-11-23, 2026-11-23T14:05:00+01:00, 14:05, or 2h for two hours ago")
    since = moment.astimezone(dt.UTC) - _EARLIEST
    whole = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if whole < 0:
        raise ValueError("it is before 1970")
    return whole


def _moment(text: str, now: int) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        time = dt.time.fromisoformat(text)
    except ValueError:
        return None
    today = dt.datetime.fromtimestamp(now / 1e9, tz=dt.UTC).astimezone(time.tzinfo)
    return dt.datetime.combine(today.date(), time)
